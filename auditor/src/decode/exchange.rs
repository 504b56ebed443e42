//! What comes out: requests and responses as their heads are complete, exchanges when they are over, and trouble.

use std::borrow::Cow;
use std::sync::Arc;

use super::http1::fields::Fields;
use super::http1::head::Head;
use super::malformed::Malformed;
use super::notes::Notes;
use crate::assemble::{Absence, tls};
use crate::capture::record::{Direction, Nanos};

/// What the decoder has to say.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// A request's head is complete. Comes once for every exchange with a request, before all else about it.
    Request {
        /// The stream offset of the head: names the exchange within its connection.
        key: u64,
        /// The head.
        head: Arc<Head>,
        /// When it was complete.
        time: Nanos,
    },
    /// The head of the final response to a request is complete.
    Response {
        /// The exchange.
        key: u64,
        /// The head.
        head: Arc<Head>,
        /// When it was complete.
        time: Nanos,
    },
    /// An exchange is over.
    Finished(Box<Exchange>),
    /// Bytes were not understood.
    Trouble(Trouble),
}

/// Bytes that were not understood. The first one for a stretch comes at once, a last one counts what followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In which direction.
    pub direction: Direction,
    /// Stream offset where the stretch that this one counts begins.
    pub offset: u64,
    /// Bytes, unread or missing; may be 0 where the trouble is known before its bytes come.
    pub bytes: u64,
    /// Why.
    pub reason: Reason,
    /// When it was noticed.
    pub time: Nanos,
}

/// Why bytes were not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// They are not HTTP, or their boundaries are not certain.
    Malformed(Malformed),
    /// Bytes that would have been needed are not there.
    Hole(Absence),
    /// The connection was open before; its boundaries are not known yet.
    Joined,
    /// They came in two copies that differ, and it is not known which one the receiver took.
    Contradicted,
    /// A response that answers no request.
    NoRequest,
    /// More requests wait for a response than are remembered.
    Pipelined,
    /// What was held back until its meaning would be known became too much, or it never became known.
    Held,
    /// They came after the connection's end.
    AfterEnd,
    /// They are TLS, and could not be decrypted.
    Tls(tls::trouble::Reason),
}

impl Reason {
    /// Whether boundaries that were lost for it are found again where both sides take turns.
    pub(super) fn is_passing(self) -> bool {
        matches!(self, Self::Joined | Self::Contradicted)
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Request and response are whole, or the tunnel was closed by both.
    Completed,
    /// The side that sends requests reset the connection.
    ResetByClient,
    /// The side that sends responses reset the connection.
    ResetByServer,
    /// The side that sends requests was the first to close, before the end of the exchange.
    ClosedByClient,
    /// The side that sends responses was the first to close, before the end of the exchange.
    ClosedByServer,
    /// The peer answered no retransmission, and TCP gave the connection up.
    TimedOut,
    /// The connection ended and neither side was seen to close it.
    Vanished,
    /// The end of a message was not seen, because bytes are missing or their boundaries were lost.
    Incomplete,
}

/// One side of an exchange.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The head; for a response the final one.
    pub head: Option<Arc<Head>>,
    /// Bytes of the head.
    pub head_bytes: u64,
    /// Bytes of the body without transfer coding, also those that were not copied or are missing.
    pub body_bytes: u64,
    /// Bytes that followed the head: the body with its chunk framing and trailers (what nginx calls `$body_bytes_sent`).
    /// Where framing was lost, all bytes up to where it was found again.
    pub wire_bytes: u64,
    /// Of the wire bytes: seen and not copied.
    pub unwanted_bytes: u64,
    /// Of the wire bytes: never seen.
    pub missing_bytes: u64,
    /// Trailer fields: of a chunked body, or of a stream of HTTP/2.
    pub trailers: Option<Box<Fields>>,
    /// First byte of the head.
    pub first: Option<Nanos>,
    /// The head was complete.
    pub head_complete: Option<Nanos>,
    /// Last byte of the message, or the end of the tunnel that it began. None if its end was not seen.
    pub end: Option<Nanos>,
    /// HTTP/2: the frame of the head ended the stream.
    pub(super) ended_by_head: bool,
    pub(super) done: bool,
    pub(super) hit: bool,
}

/// A call of gRPC (its `PROTOCOL-HTTP2`, "Requests" and "Responses").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc<'a> {
    /// The service, with its package.
    pub service: &'a [u8],
    /// The method.
    pub method: &'a [u8],
    /// `grpc-status`; none where the call did not end with one.
    pub status: Option<u32>,
    /// `grpc-message` as sent, percent-encoded.
    pub message: Option<Cow<'a, [u8]>>,
}

/// A request with its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The stream offset of the request's head (in HTTP/2: of its first frame): names the exchange within its connection.
    pub key: u64,
    /// The stream of HTTP/2 that it is on.
    pub stream: Option<u32>,
    /// The request. Its head is none if what the server answered was not readable as one; see [`Self::malformed`].
    pub request: Message,
    /// The response. Its head is none if there was none.
    pub response: Message,
    /// Statuses of interim responses, the first ones.
    pub interim: Vec<u16>,
    /// Why the request is not a request, or why nothing behind it was read.
    pub malformed: Option<Malformed>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was unusual.
    pub notes: Notes,
    /// The connection, or the stream of HTTP/2, was given to another protocol (101, CONNECT): bytes of it, by client and by
    /// server.
    pub tunnel: Option<[u64; 2]>,
    pub(super) may_switch: bool,
}

/// Media types ignore case, and white space may stand before a parameter (RFC 9110, 8.3.1 and 5.6.6).
fn is_grpc(content_type: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let Some((name, rest)) = content_type.split_at_checked(NAME.len()) else { return false };
    let rest = if rest.first() == Some(&b'+') { &[][..] } else { rest.trim_ascii_start() };
    name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b';'))
}

impl Exchange {
    /// Bytes of either message that were never seen.
    #[must_use]
    pub fn missing_bytes(&self) -> u64 {
        self.request.missing_bytes + self.response.missing_bytes
    }

    /// Bytes of either message that were seen and not copied.
    #[must_use]
    pub fn unwanted_bytes(&self) -> u64 {
        self.request.unwanted_bytes + self.response.unwanted_bytes
    }

    /// What gRPC says of it, if it is a call.
    #[must_use]
    pub fn grpc(&self) -> Option<Grpc<'_>> {
        let request = self.request.head.as_ref()?;
        let content_type = request.get("content-type")?;
        if !is_grpc(&content_type) {
            return None;
        }
        let mut parts = request.path().strip_prefix(b"/")?.rsplitn(2, |byte| *byte == b'/');
        let (method, service) = (parts.next()?, parts.next()?);
        let trailers = self.response.trailers.as_deref();
        // A head that is all of the response is its trailers ("Trailers-Only"). Where anything follows, they alone count.
        let response = &self.response;
        let alone = if self.stream.is_some() { response.ended_by_head } else { response.wire_bytes == 0 };
        let fields = trailers.or(response.head.as_deref().map(Head::fields).filter(|_| alone));
        let status = fields.and_then(|fields| fields.get("grpc-status"));
        let status = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
        Some(Grpc { service, method, status, message: fields.and_then(|fields| fields.get("grpc-message")) })
    }

    /// The stream offset behind what was seen of the request.
    pub(super) fn requested_to(&self) -> u64 {
        self.key.saturating_add(self.request.head_bytes.max(1)).saturating_add(self.request.wire_bytes)
    }

    pub(in crate::decode) fn new(key: u64, first: Nanos) -> Box<Self> {
        Box::new(Self {
            key,
            stream: None,
            request: Message { first: Some(first), ..Message::default() },
            response: Message::default(),
            interim: Vec::new(),
            malformed: None,
            outcome: Outcome::Incomplete,
            notes: Notes::default(),
            tunnel: None,
            may_switch: false,
        })
    }
}
