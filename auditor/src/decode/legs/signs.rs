//! What a request shows by which the two legs are joined, looked up once: each may be held against many of the other leg.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::decode::http1::fields::Place;
use crate::decode::http1::head::Head;

/// Where in a head its signs are, or what they say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    host: Option<Place>,
    content_length: Option<Place>,
    request_id: Option<Place>,
    trace_id: Option<TraceId>,
    client: Option<IpAddr>,
}

/// The trace id of a `traceparent`, 32 digits.
pub(super) type TraceId = [u8; 32];

/// An id that a request came with.
#[derive(Debug, Hash)]
pub(super) enum Id<'a> {
    Request(Cow<'a, [u8]>),
    Trace(TraceId),
}

/// A head and its signs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) head: &'a Head,
    pub(super) signs: &'a Signs,
}

impl Signs {
    pub(super) fn of(head: &Head) -> Self {
        Self {
            host: head.place("host"),
            content_length: head.place("content-length"),
            request_id: head.place("x-request-id"),
            trace_id: trace_id(head),
            client: client(head),
        }
    }
}

impl<'a> Signed<'a> {
    /// `Host`, or `:authority`.
    pub(super) fn host(self) -> Option<Cow<'a, [u8]>> {
        self.signs.host.map(|place| self.head.at(place))
    }

    /// `Content-Length`.
    pub(super) fn content_length(self) -> Option<Cow<'a, [u8]>> {
        self.signs.content_length.map(|place| self.head.at(place))
    }

    /// `X-Request-ID`.
    pub(super) fn request_id(self) -> Option<Cow<'a, [u8]>> {
        self.signs.request_id.map(|place| self.head.at(place))
    }

    /// The trace id of `traceparent` (W3C Trace Context, 3.2.2): proxies that trace keep it and change the rest.
    pub(super) fn trace_id(self) -> Option<TraceId> {
        self.signs.trace_id
    }

    /// The address that the proxy saw, as it wrote it down: the last of `X-Forwarded-For` (appended by the proxy itself),
    /// or `X-Real-IP`.
    pub(super) fn client(self) -> Option<IpAddr> {
        self.signs.client
    }

    /// The ids that it came with.
    pub(super) fn ids(self) -> [Option<Id<'a>>; 2] {
        let request = self.request_id().filter(|id| !id.is_empty()).map(Id::Request);
        [request, self.trace_id().map(Id::Trace)]
    }
}

fn client(head: &Head) -> Option<IpAddr> {
    let value = head.all("x-forwarded-for").last().or_else(|| head.get("x-real-ip"))?;
    let last = value.rsplit(|byte| *byte == b',').next()?;
    let address: IpAddr = std::str::from_utf8(last).ok()?.trim().parse().ok()?;
    Some(address.to_canonical())
}

fn trace_id(head: &Head) -> Option<TraceId> {
    head.get("traceparent")?.split(|byte| *byte == b'-').nth(1)?.try_into().ok()
}
