//! What can be wrong with a message, as far as its boundaries, or whether it is one, depend on it.

use super::http2::defect::{Defect, FieldDefect};

/// Why bytes are not a message, or why the end of one is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// The first byte is that of a TLS record with a handshake (RFC 8446, 5.1).
    #[error("TLS where HTTP/1 was expected")]
    Tls,
    /// The connection preface of HTTP/2 (RFC 9113, 3.4).
    #[error("HTTP/2 where HTTP/1 was expected")]
    Http2,
    /// A header of the PROXY protocol that is malformed, or not at the start of its stream.
    #[error("a malformed or misplaced header of the PROXY protocol")]
    ProxyProtocol,
    /// The first line is no request line or status line (RFC 9112, 3 and 4). HTTP/0.9 is this too.
    #[error("not HTTP/1")]
    NotHttp,
    /// A version of HTTP other than 1.x.
    #[error("a version of HTTP other than 1")]
    Version,
    /// The head or trailer section is longer than the bound.
    #[error("the head is too large")]
    HeadTooLarge,
    /// The head or trailer section has more lines than the bound.
    #[error("the head has too many lines")]
    TooManyFields,
    /// A NUL stands in a request's head; servers refuse it (RFC 9110, 5.5).
    #[error("a NUL in the head")]
    Nul,
    /// A carriage return without line feed stands in a request's head: some end a line there (RFC 9112, 2.2).
    #[error("a bare carriage return in the head")]
    BareCr,
    /// White space before the first field (RFC 9112, 2.2).
    #[error("white space before the first field")]
    LeadingSpace,
    /// A line that some would read as `Content-Length` or `Transfer-Encoding` and some not (RFC 9112, 5.1).
    #[error("a field name that can be read two ways")]
    FieldName,
    /// `Content-Length` is not a number below 2^64 (RFC 9112, 6.3, rule 5).
    #[error("an invalid Content-Length")]
    ContentLength,
    /// Two different `Content-Length` (RFC 9112, 6.3, rule 5).
    #[error("two different Content-Length")]
    ContentLengthConflict,
    /// `Transfer-Encoding` without `chunked` as its only final coding (RFC 9112, 6.3, rule 4).
    #[error("a Transfer-Encoding that does not end in chunked")]
    TransferEncoding,
    /// `Transfer-Encoding` in an HTTP/1.0 request (RFC 9112, 6.1).
    #[error("Transfer-Encoding in an HTTP/1.0 request")]
    TransferEncodingVersion,
    /// `Content-Length` or `Transfer-Encoding` is folded: not all servers unfold (RFC 9112, 5.2).
    #[error("a folded Content-Length or Transfer-Encoding")]
    FoldedFraming,
    /// CONNECT with a body (RFC 9110, 9.3.6).
    #[error("CONNECT with a body")]
    ConnectWithBody,
    /// A chunk's size, its extension or its end is invalid (RFC 9112, 7.1).
    #[error("an invalid chunk")]
    Chunk,
    /// The head was answered, or its direction ended, before the head was complete.
    #[error("an unfinished head")]
    Unfinished,
    /// A frame of HTTP/2, or a header block, that breaks the rules: an error of the connection (RFC 9113, 5.4.1).
    #[error("HTTP/2: {0}")]
    Connection(#[from] Defect),
    /// A request of HTTP/2 whose fields break the rules (RFC 9113, 8.1.1).
    #[error("HTTP/2: {0}")]
    Fields(#[from] FieldDefect),
}
