//! What a forwarded request shows of the client's request that it was made for.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use memchr::memchr;

use super::Party;
use super::signs::{Signed, TraceId};
use crate::decode::http1::head::Head;

/// Strength of the evidence; more is better. One bit per witness, the strongest highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u8, Certain);

/// Whether the only candidate is certain; says nothing of how well it fits.
type Certain = bool;

/// Not the address of another client: that is written down by the controller itself.
const AGREES: u8 = 32;
const TARGET: u8 = 16;
const CLIENT: u8 = 8;
const HOST: u8 = 4;
/// No attempt is running.
const IDLE: u8 = 2;
const LENGTH: u8 = 1;

impl Rank {
    /// Nothing is forwarded for another client's address.
    pub(super) fn agrees(self) -> bool {
        self.0 & AGREES != 0
    }

    /// The request id is the same; or the trace id, and what is left of the target; or the target, and with it the
    /// client's address or, for its first attempt, the host. And nothing speaks against it.
    pub(super) fn is_certain(self) -> bool {
        self.1
    }
}

/// What was read from a forwarded request, once, to be held against several candidates.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    forwarded: Signed<'a>,
    client: Option<Named>,
    host: Option<Cow<'a, [u8]>>,
    content_length: Option<Cow<'a, [u8]>>,
    request_id: Option<Cow<'a, [u8]>>,
    trace_id: Option<TraceId>,
}

impl<'a> Evidence<'a> {
    pub(super) fn of(party: &Party, forwarded: Signed<'a>) -> Self {
        let source = party.proxied.as_ref().and_then(|header| header.source());
        Self {
            forwarded,
            client: source.map(Named::End).or_else(|| forwarded.client().map(Named::Address)),
            host: forwarded.host(),
            content_length: forwarded.content_length(),
            request_id: forwarded.request_id().filter(|id| !id.is_empty()),
            trace_id: forwarded.trace_id(),
        }
    }

    /// What was forwarded.
    pub(super) fn forwarded(&self) -> Signed<'a> {
        self.forwarded
    }

    /// The most that any candidate can reach that is idle, or is not.
    pub(super) fn most(&self, idle: bool) -> Rank {
        let bit = |holds: bool, bit: u8| if holds { bit } else { 0 };
        let most = AGREES
            | TARGET
            | bit(idle, IDLE)
            | bit(self.client.is_some(), CLIENT)
            | bit(self.host.is_some(), HOST)
            | bit(self.content_length.is_some(), LENGTH);
        Rank(most, true)
    }

    /// How well `original` fits, or `None` if it does not. `idle`: it can be expected to be forwarded next.
    pub(super) fn rank(&self, original: Signed<'_>, party: &Party, idle: bool) -> Option<Rank> {
        let bit = |holds: bool, bit: u8| if holds { bit } else { 0 };
        let (forwarded, asked) = (self.forwarded.head, original.head);
        let own_id = original.request_id();
        let request_id = self.request_id.is_some() && own_id == self.request_id;
        let id = request_id || (self.trace_id.is_some() && original.trace_id() == self.trace_id);
        // Nothing is the same where it is not known.
        let target = forwarded.target() == asked.target() && !asked.target().is_empty();
        let host = self.host.is_some() && original.host() == self.host;
        let client = self.client.is_some_and(|named| named.is(party));
        // A proxy may ask a backend with GET for what the client asked with HEAD, to fill a cache.
        // An extended CONNECT is an upgrade with GET in HTTP/1 (RFC 8441, 5).
        let as_get = |head: &Head| head.method() == b"HEAD" || head.protocol().is_some();
        let method = (forwarded.method() == asked.method() && !asked.method().is_empty())
            || (forwarded.method() == b"GET" && as_get(asked))
            || (forwarded.protocol().is_some() && asked.method() == b"GET");
        let near = target || is_related(forwarded.target(), asked.target());
        // What a trusted proxy before the controller wrote is handed on, or believed and written again.
        let carried =
            matches!(self.client, Some(Named::Address(address)) if original.client() == Some(address));
        let named = client || carried;
        if !(id || (method && (target || (near && (host || named)) || (host && named)))) {
            return None;
        }
        let agrees = named || self.client.is_none();
        // An id that was replaced may be the controller's doing, and may not.
        let replaced = self.request_id.is_some() && own_id.is_some() && own_id != self.request_id;
        // A trace has many requests by nature.
        let is_certain =
            agrees && (request_id || (id && near) || (target && !replaced && (client || (host && idle))));
        let length = self.content_length.is_some() && original.content_length() == self.content_length;
        let bits = bit(agrees, AGREES)
            | bit(target, TARGET)
            | bit(client, CLIENT)
            | bit(host, HOST)
            | bit(idle, IDLE)
            | bit(length, LENGTH);
        Some(Rank(bits, is_certain))
    }

    /// Whether the request may be `original` with a prefix of its path removed or added, as far as the targets tell.
    pub(super) fn is_rewrite_of(&self, original: &Head) -> bool {
        is_related(self.forwarded.head.target(), original.target())
    }
}

/// The client, as the controller names it to the backend.
#[derive(Clone, Copy, Debug)]
enum Named {
    /// In a PROXY header, which names a connection.
    End(SocketAddr),
    /// In a field of the request.
    Address(IpAddr),
}

impl Named {
    fn is(self, party: &Party) -> bool {
        match self {
            Self::End(end) => party.is_end(end),
            Self::Address(address) => party.is_at(address),
        }
    }
}

/// Whether one path ends with the other and both have the same query, as a proxy makes it that removes or adds a prefix.
fn is_related(forwarded: &[u8], original: &[u8]) -> bool {
    let ((forwarded, asked), (original, had)) = (split_query(forwarded), split_query(original));
    let (long, short) =
        if forwarded.len() > original.len() { (forwarded, original) } else { (original, forwarded) };
    asked == had && short.len() > 1 && short.len() < long.len() && long.ends_with(short)
}

/// What targets have in common that are related: the last segment of the path, and the query.
pub(super) fn tail(target: &[u8]) -> &[u8] {
    let (path, _) = split_query(target);
    let start = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    target.get(start..).unwrap_or(target)
}

fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    target.split_at(memchr(b'?', target).unwrap_or(target.len()))
}
