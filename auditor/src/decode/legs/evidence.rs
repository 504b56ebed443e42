//! What a forwarded request shows of the client's request that it was made for.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::decode::http1::head::Head;

/// Strength of the evidence; more is better. One bit per witness, the strongest highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u8, Certain);

/// Whether the only candidate is certain; says nothing of how well it fits.
type Certain = bool;

const REQUEST_ID: u8 = 32;
const IDLE: u8 = 16;
const TARGET: u8 = 8;
const CLIENT: u8 = 4;
const HOST: u8 = 2;
const LENGTH: u8 = 1;

impl Rank {
    /// Both carry the same request id or trace id, which the client had chosen.
    pub(super) fn request_id(self) -> bool {
        self.0 & REQUEST_ID != 0
    }

    /// The target is that of the request, and so are the client's address or, for its first attempt, the host; and
    /// nothing speaks against it.
    pub(super) fn identifies(self) -> bool {
        self.1
    }
}

/// What was read from a forwarded request, once, to be held against several candidates.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    head: &'a Head,
    client: Option<IpAddr>,
    request_id: Option<Cow<'a, [u8]>>,
    trace_id: Option<TraceId>,
}

impl<'a> Evidence<'a> {
    pub(super) fn of(head: &'a Head) -> Self {
        Self {
            head,
            client: client(head),
            request_id: head.get("x-request-id").filter(|id| !id.is_empty()),
            trace_id: trace_id(head),
        }
    }

    /// How well `original` fits, or `None` if it does not. `idle`: no attempt is running for it.
    pub(super) fn rank(&self, original: &Head, peer: IpAddr, idle: bool) -> Option<Rank> {
        let same = |name| self.head.get(name).is_some_and(|value| original.get(name) == Some(value));
        let bit = |holds: bool, bit: u8| if holds { bit } else { 0 };
        let id = (self.request_id.is_some() && original.get("x-request-id") == self.request_id)
            || (self.trace_id.is_some() && trace_id(original) == self.trace_id);
        let target = self.head.target() == original.target();
        let host = same("host");
        let client = self.client == Some(peer);
        // A proxy may ask a backend with GET for what the client asked with HEAD, to fill a cache.
        let method = self.head.method() == original.method()
            || (self.head.method() == b"GET" && original.method() == b"HEAD");
        let related = target || related(self.head.target(), original.target());
        if !(id || (method && (target || (related && (host || client)) || (host && client)))) {
            return None;
        }
        // Another client's address, or an id that was replaced, may be the controller's doing, and may not.
        let against = self.client.is_some_and(|address| address != peer)
            || (self.request_id.is_some()
                && original.get("x-request-id").is_some_and(|own| Some(own) != self.request_id));
        let identifies = target && !against && (client || (host && idle));
        let bits = bit(id, REQUEST_ID)
            | bit(idle, IDLE)
            | bit(target, TARGET)
            | bit(client, CLIENT)
            | bit(host, HOST)
            | bit(same("content-length"), LENGTH);
        Some(Rank(bits, identifies))
    }
}

/// An id that a request came with.
#[derive(Debug, Hash)]
pub(super) enum Id<'a> {
    Request(Cow<'a, [u8]>),
    Trace(TraceId),
}

/// The ids that a request came with.
pub(super) fn ids(head: &Head) -> impl Iterator<Item = Id<'_>> {
    let request = head.get("x-request-id").filter(|id| !id.is_empty()).map(Id::Request);
    request.into_iter().chain(trace_id(head).map(Id::Trace))
}

/// Whether one path ends with the other, as a proxy makes it that removes or adds a prefix.
fn related(forwarded: &[u8], original: &[u8]) -> bool {
    let (long, short) =
        if forwarded.len() > original.len() { (forwarded, original) } else { (original, forwarded) };
    short.len() > 1 && long.ends_with(short)
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
