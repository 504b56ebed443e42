//! Who the client is: the peer, whom a header of the PROXY protocol names, or whom the request is forwarded for.
//!
//! What each of them says is in the event as it came; this decides whom to believe. Only who is trusted is believed: a
//! trusted peer's PROXY header says for whom it opened the connection; then, as long as the one reached so far is trusted,
//! the nearest hop of the forwarding header that was not followed yet says for whom it speaks. The first that is not
//! trusted is the client. A hop that is hidden or not readable ends the way: the last one reached is the client then.
//!
//! Of several forwarding headers the first one that is there is followed, in the order of the configuration. Any of them
//! may have been sent by the client: which one the trusted proxies write is known only to who runs them. Where another
//! one leads elsewhere, a note says so.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use super::Settings;
use crate::decode::forwarding::{ForwardingHeader, Hop, Node};
use crate::decode::http1::head::Head;
use crate::decode::legs::{Leg, Party};
use crate::decode::proxy_protocol::{self, Addresses, Command, Header, Version};
use crate::emit::model::Text;
use crate::emit::model::http::{Client, DeterminedBy, ForwardedIn};
use crate::emit::model::proxy_protocol::{ProxyCommand, ProxyProtocol, ProxyTls};
use crate::emit::model::text::MAX_NAME;

/// Hops that are kept and followed, the nearest.
const MAX_CHAIN: usize = 32;

/// The client of a request, and what is unusual about it.
pub(super) fn of_request(party: &Party, head: Option<&Head>, settings: &Settings) -> (Client, Vec<Text>) {
    let (mut client, mut notes) = (of_party(party, settings), notes(party));
    let trusted = settings.trusts(client.address.map(|address| address.get()));
    let mut reached: Option<Option<IpAddr>> = None;
    for field in &settings.forwarding_headers {
        let lines: Vec<Cow<'_, [u8]>> = head.into_iter().flat_map(|head| head.all(field.name())).collect();
        if lines.is_empty() {
            continue;
        }
        let way = if trusted { follow(field.hops(&lines), settings) } else { Way::default() };
        let address = way.node.map(|node| node.address);
        if let Some(first) = reached {
            if first != address {
                notes.push(Text::from_static("forwarding_headers_differ"));
                break;
            }
            continue;
        }
        reached = Some(address);
        let mut chain: Vec<Text> =
            field.hops(&lines).take(MAX_CHAIN).map(|hop| Text::wire(&hop.text, MAX_NAME)).collect();
        chain.reverse();
        client.forwarded = chain;
        client.forwarded_in = Some(match field {
            ForwardingHeader::XForwardedFor => ForwardedIn::XForwardedFor,
            ForwardingHeader::Forwarded => ForwardedIn::Forwarded,
            ForwardingHeader::XRealIp => ForwardedIn::XRealIp,
        });
        if way.hidden {
            notes.push(Text::from_static("forwarded_for_unknown"));
        }
        if let Some(Node { address, port }) = way.node {
            (client.address, client.port) = (Some(address.into()), port);
            client.determined_by = match field {
                ForwardingHeader::XForwardedFor => DeterminedBy::XForwardedFor,
                ForwardingHeader::Forwarded => DeterminedBy::Forwarded,
                ForwardingHeader::XRealIp => DeterminedBy::XRealIp,
            };
        }
    }
    (client, notes)
}

/// The client of a connection, where more than the peer is known. On a backend's leg, the one that the controller named.
pub(super) fn of_connection(party: &Party, settings: &Settings) -> Option<Client> {
    let header = party.proxied.as_deref()?;
    Some(match party.leg {
        Leg::Client => of_party(party, settings),
        Leg::Backend => {
            let source = header.source();
            let by = if source.is_some() { DeterminedBy::ProxyProtocol } else { DeterminedBy::Unknown };
            client(source, by, None, Some(header))
        }
    })
}

/// What is unusual about the start of a connection.
pub(super) fn notes(party: &Party) -> Vec<Text> {
    let defect = party.proxied.as_ref().and_then(|header| header.defect);
    defect.map(|defect| Text::new(&format!("proxy_protocol: {defect}"))).into_iter().collect()
}

/// Who opened the connection, as far as its start shows it.
fn of_party(party: &Party, settings: &Settings) -> Client {
    let peer = party.tuple.remote;
    let header = party.proxied.as_deref();
    let source = header.filter(|_| settings.trusts(Some(peer.ip()))).and_then(Header::source);
    match source {
        Some(source) => client(Some(source), DeterminedBy::ProxyProtocol, Some(peer), header),
        None => client(Some(peer), DeterminedBy::Peer, Some(peer), header),
    }
}

fn client(
    found: Option<SocketAddr>,
    determined_by: DeterminedBy,
    peer: Option<SocketAddr>,
    header: Option<&Header>,
) -> Client {
    Client {
        address: found.map(|end| end.ip().into()),
        port: found.map(|end| end.port()),
        determined_by,
        peer: peer.map(Into::into),
        proxy_protocol: header.map(|header| Box::new(shown(header))),
        forwarded_in: None,
        forwarded: Vec::new(),
    }
}

/// Where a chain leads.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// The farthest that a trusted one vouches for.
    node: Option<Node>,
    /// It ends at one that is hidden or not readable.
    hidden: bool,
}

/// Follows a chain from a trusted origin.
fn follow<'a>(hops: impl Iterator<Item = Hop<'a>>, settings: &Settings) -> Way {
    let mut way = Way::default();
    for hop in hops.take(MAX_CHAIN) {
        way.hidden = hop.node.is_none();
        let Some(node) = hop.node else { break };
        way.node = Some(node);
        if !settings.trusts(Some(node.address)) {
            break;
        }
    }
    way
}

impl Settings {
    fn trusts(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.trusted.iter().any(|network| network.contains(address)))
    }
}

/// A header, as an event shows it.
fn shown(header: &Header) -> ProxyProtocol {
    let text = |value: &Option<Box<[u8]>>| value.as_deref().map(|value| Text::wire(value, MAX_NAME));
    let (source, destination) = match header.addresses {
        Addresses::Inet { source, destination } => (Some(source.into()), Some(destination.into())),
        Addresses::Unix | Addresses::Unspecified => (None, None),
    };
    let tlvs = &header.tlvs;
    let tls = |ssl: &proxy_protocol::Ssl| ProxyTls {
        version: text(&ssl.version),
        cipher: text(&ssl.cipher),
        client_certificate: ssl.certificate,
        verified: ssl.verified,
        common_name: text(&ssl.common_name),
    };
    ProxyProtocol {
        version: match header.version {
            Version::One => 1,
            Version::Two => 2,
        },
        command: match header.command {
            Command::Proxy => ProxyCommand::Proxy,
            Command::Local => ProxyCommand::Local,
            Command::Unknown => ProxyCommand::Unknown,
        },
        source,
        destination,
        alpn: text(&tlvs.alpn),
        authority: text(&tlvs.authority),
        unique_id: text(&tlvs.unique_id),
        netns: text(&tlvs.netns),
        tls: tlvs.ssl.as_deref().filter(|ssl| ssl.spoken).map(tls),
    }
}
