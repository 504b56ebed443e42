//! Who the client is: the peer, or what a trusted peer says of it.

use std::net::{IpAddr, SocketAddr};

use super::Settings;
use crate::decode::http1::head::Head;
use crate::decode::legs::Party;
use crate::emit::model::Text;
use crate::emit::model::http::{Client, DeterminedBy};
use crate::emit::model::text::MAX_NAME;

/// Addresses of the chain that are kept.
const MAX_CHAIN: usize = 32;

/// The client of a request. The chain of `X-Forwarded-For` is read from its end, where the nearest proxy wrote, as long as
/// who wrote is trusted: the first address that no trusted peer vouches for is not believed further.
pub(super) fn client(party: &Party, head: Option<&Head>, settings: &Settings) -> Client {
    let peer = party.tuple.remote;
    let forwarded = head.map(chain).unwrap_or_default();
    let trusted = |address: IpAddr| settings.trusted.iter().any(|network| network.contains(address));
    let mut found = None;
    if trusted(peer.ip()) {
        for claim in forwarded.iter().rev() {
            let Some(address) = parse(claim.as_str()) else { break };
            found = Some(address);
            if !trusted(address) {
                break;
            }
        }
    }
    let (address, port, determined_by) = match found {
        Some(address) => (address, None, DeterminedBy::XForwardedFor),
        None => (peer.ip(), Some(peer.port()), DeterminedBy::Peer),
    };
    Client { address: Some(address.into()), port, determined_by, peer: Some(peer.into()), forwarded }
}

/// The last entries of the chain, in the order given.
fn chain(head: &Head) -> Vec<Text> {
    let mut chain = Vec::new();
    for value in head.all("x-forwarded-for") {
        for claim in
            value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|claim| !claim.is_empty())
        {
            if chain.len() == MAX_CHAIN {
                chain.remove(0);
            }
            chain.push(Text::wire(claim, MAX_NAME));
        }
    }
    chain
}

/// An address, with or without a port, in brackets or not.
fn parse(claim: &str) -> Option<IpAddr> {
    let bare = claim.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(claim);
    let address = bare.parse().or_else(|_| claim.parse::<SocketAddr>().map(|end| end.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims() {
        let check = |claim, expected: Option<&str>| {
            assert_eq!(parse(claim), expected.map(|address| address.parse().unwrap()), "{claim}");
        };
        check("203.0.113.7", Some("203.0.113.7"));
        check("203.0.113.7:80", Some("203.0.113.7"));
        check("2001:db8::1", Some("2001:db8::1"));
        check("[2001:db8::1]", Some("2001:db8::1"));
        check("[2001:db8::1]:443", Some("2001:db8::1"));
        check("::ffff:203.0.113.7", Some("203.0.113.7"));
        check("unknown", None);
        check("", None);
    }
}
