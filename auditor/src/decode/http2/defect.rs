//! What can be wrong with frames and with the fields of a message in HTTP/2.

use crate::decode::hpack;

/// A connection error (RFC 9113, 5.4.1): nothing that follows in this direction is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Defect {
    /// The requesting side does not begin with the preface (3.4).
    #[error("no connection preface")]
    Preface,
    /// The first frame is not `SETTINGS` (3.4).
    #[error("a first frame other than SETTINGS")]
    FirstFrame,
    /// A frame longer than the peer's `SETTINGS_MAX_FRAME_SIZE` (4.2).
    #[error("a frame beyond the size that the settings allow")]
    FrameSize,
    /// A frame whose type does not have this length (4.2).
    #[error("a frame of a length that its type does not have")]
    FrameLength,
    /// A frame on a stream that its type, or this side, may not use (5.1.1).
    #[error("a frame on a stream where it may not be")]
    Stream,
    /// A frame on a stream that was not opened (5.1).
    #[error("a frame on an idle stream")]
    IdleStream,
    /// Padding longer than the frame (6.1).
    #[error("padding beyond the frame")]
    Padding,
    /// `CONTINUATION` where none is expected, or another frame where it is (6.10).
    #[error("a header block that is interrupted, or continued where there is none")]
    Continuation,
    /// A setting with a value that it may not have (6.5.2).
    #[error("an invalid setting")]
    Settings,
    /// `PUSH_PROMISE` from the requesting side, or of a stream that cannot be promised (8.4).
    #[error("an invalid push")]
    Push,
    /// A header block that cannot be decoded (4.3).
    #[error(transparent)]
    Hpack(#[from] hpack::Error),
}

/// What makes a request malformed (RFC 9113, 8.1.1); the server answers it with an error of the stream, or with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FieldDefect {
    /// A name with upper case, or with what is no visible ASCII (8.2.1).
    #[error("an invalid field name")]
    Name,
    /// A value with NUL, CR or LF, or with white space at an end (8.2.1).
    #[error("an invalid field value")]
    Value,
    /// A field that belongs to a connection of HTTP/1 (8.2.2).
    #[error("a connection-specific field")]
    Connection,
    /// A pseudo-header field that is unknown, behind other fields, in trailers, or where it does not belong (8.3).
    #[error("a misplaced pseudo-header field")]
    Pseudo,
    /// A pseudo-header field more than once (8.3).
    #[error("a repeated pseudo-header field")]
    Repeated,
    /// A pseudo-header field that must be there (8.3.1, 8.5; RFC 8441, 4).
    #[error("a missing pseudo-header field")]
    Missing,
    /// A `:path` that is empty or does not start with a slash (8.3.1).
    #[error("an invalid path")]
    Path,
    /// `host` and `:authority` differ (8.3.1).
    #[error("Host and :authority that differ")]
    Authority,
    /// Trailers that do not end the stream (8.1).
    #[error("trailers that do not end the stream")]
    Trailers,
}
