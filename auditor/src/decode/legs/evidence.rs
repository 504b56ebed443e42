//! What a forwarded request shows of the client's request that it was made for.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use memchr::memchr;

use crate::decode::http1::head::Head;
use crate::decode::legs::Party;

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
    head: &'a Head,
    client: Option<Named>,
    request_id: Option<Cow<'a, [u8]>>,
    trace_id: Option<TraceId>,
}

impl<'a> Evidence<'a> {
    pub(super) fn of(party: &Party, head: &'a Head) -> Self {
        let source = party.proxied.as_ref().and_then(|header| header.source());
        Self {
            head,
            client: source.map(Named::End).or_else(|| client(head).map(Named::Address)),
            request_id: head.get("x-request-id").filter(|id| !id.is_empty()),
            trace_id: trace_id(head),
        }
    }

    /// What was forwarded.
    pub(super) fn head(&self) -> &Head {
        self.head
    }

    /// How well `original` fits, or `None` if it does not. `idle`: it can be expected to be forwarded next.
    pub(super) fn rank(&self, original: &Head, party: &Party, idle: bool) -> Option<Rank> {
        let same = |name| self.head.get(name).is_some_and(|value| original.get(name) == Some(value));
        let bit = |holds: bool, bit: u8| if holds { bit } else { 0 };
        let request_id = self.request_id.is_some() && original.get("x-request-id") == self.request_id;
        let id = request_id || (self.trace_id.is_some() && trace_id(original) == self.trace_id);
        // Nothing is the same where it is not known.
        let target = self.head.target() == original.target() && !original.target().is_empty();
        let host = same("host");
        let client = self.client.is_some_and(|named| named.is(party));
        // A proxy may ask a backend with GET for what the client asked with HEAD, to fill a cache.
        // An extended CONNECT is an upgrade with GET in HTTP/1 (RFC 8441, 5).
        let as_get = |head: &Head| head.method() == b"HEAD" || head.protocol().is_some();
        let method = (self.head.method() == original.method() && !original.method().is_empty())
            || (self.head.method() == b"GET" && as_get(original))
            || (self.head.protocol().is_some() && original.method() == b"GET");
        let near = target || is_related(self.head.target(), original.target());
        // What a trusted proxy before the controller wrote is handed on, or believed and written again.
        let carried =
            matches!(self.client, Some(Named::Address(address)) if self::client(original) == Some(address));
        let named = client || carried;
        if !(id || (method && (target || (near && (host || named)) || (host && named)))) {
            return None;
        }
        let agrees = named || self.client.is_none();
        // An id that was replaced may be the controller's doing, and may not.
        let replaced = self.request_id.is_some()
            && original.get("x-request-id").is_some_and(|own| Some(own) != self.request_id);
        // A trace has many requests by nature.
        let is_certain =
            agrees && (request_id || (id && near) || (target && !replaced && (client || (host && idle))));
        let bits = bit(agrees, AGREES)
            | bit(target, TARGET)
            | bit(client, CLIENT)
            | bit(host, HOST)
            | bit(idle, IDLE)
            | bit(same("content-length"), LENGTH);
        Some(Rank(bits, is_certain))
    }

    /// Whether the request may be `original` with a prefix of its path removed or added, as far as the targets tell.
    pub(super) fn is_rewrite_of(&self, original: &Head) -> bool {
        is_related(self.head.target(), original.target())
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

/// An id that a request came with.
#[derive(Debug, Hash)]
pub(super) enum Id<'a> {
    Request(Cow<'a, [u8]>),
    Trace(TraceId),
}

/// The ids that a request came with.
pub(super) fn ids(head: &Head) -> [Option<Id<'_>>; 2] {
    let request = head.get("x-request-id").filter(|id| !id.is_empty()).map(Id::Request);
    [request, trace_id(head).map(Id::Trace)]
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

/// The address that the proxy saw, as it wrote it down: the last of `X-Forwarded-For` (appended by the proxy itself),
/// or `X-Real-IP`.
fn client(head: &Head) -> Option<IpAddr> {
    let value = head.all("x-forwarded-for").last().or_else(|| head.get("x-real-ip"))?;
    let last = value.rsplit(|byte| *byte == b',').next()?;
    let address: IpAddr = std::str::from_utf8(last).ok()?.trim().parse().ok()?;
    Some(address.to_canonical())
}

/// The trace id of a `traceparent`, 32 digits.
type TraceId = [u8; 32];

/// The trace id of `traceparent` (W3C Trace Context, 3.2.2): proxies that trace keep it and change the rest.
fn trace_id(head: &Head) -> Option<TraceId> {
    head.get("traceparent")?.split(|byte| *byte == b'-').nth(1)?.try_into().ok()
}
