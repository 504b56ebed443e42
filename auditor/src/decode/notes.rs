//! What is unusual in an exchange without making its boundaries uncertain.

/// Something worth telling about an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Note {
    /// Both `Content-Length` and `Transfer-Encoding`; the latter counts (RFC 9112, 6.1).
    LengthAndChunked,
    /// `Content-Length` more than once, each time the same.
    RepeatedLength,
    /// More than one `Host` (RFC 9112, 3.2).
    SeveralHosts,
    /// A field continued on the next line (RFC 9112, 5.2).
    Folded,
    /// Lines ended by a line feed alone (RFC 9112, 2.2).
    BareLf,
    /// A header line without a colon, or with a name that is not a token; servers skip or refuse it.
    OddField,
    /// A transfer coding before `chunked`.
    OtherCoding,
    /// A response's `Transfer-Encoding` does not end in `chunked`: it is read until the connection closes.
    UnknownCoding,
    /// `Transfer-Encoding` in an HTTP/1.0 response.
    ChunkedInOldVersion,
    /// NUL or bare carriage return in a response's head.
    OddBytes,
    /// The response began before the request had ended.
    EarlyResponse,
    /// `101 Switching Protocols` that nobody asked for.
    UnaskedUpgrade,
    /// The boundaries of this message were lost; its end was not seen.
    FramingLost,
    /// Found again after boundaries had been lost, or the first one of a connection that was already open: that the response
    /// belongs to the request follows from the turns of the two sides.
    Resynchronized,
    /// More interim responses than are remembered.
    ManyInterim,
    /// Bytes of its connection came in two copies that differ before TCP had accepted either: the server may have read the
    /// one that was not read here.
    Contradicted,
    /// The controller's TCP refused some of its bytes: the server never read them.
    Refused,
    /// Fields refer to entries of HPACK's table that were lost (RFC 7541, 2.3.2): they are not known, nor is whether a field
    /// that does not show is absent.
    UnknownFields,
    /// Bytes of the request's head are missing: that there was a request is certain, and no more.
    HeadMissing,
    /// The response's fields break the rules of HTTP/2 (RFC 9113, 8.1.1): clients refuse it.
    MalformedResponse,
    /// The request's body has another length than `Content-Length` says (RFC 9113, 8.1.1).
    LengthMismatch,
}

/// All notes, in order.
pub const NOTES: [Note; 21] = [
    Note::LengthAndChunked,
    Note::RepeatedLength,
    Note::SeveralHosts,
    Note::Folded,
    Note::BareLf,
    Note::OddField,
    Note::OtherCoding,
    Note::UnknownCoding,
    Note::ChunkedInOldVersion,
    Note::OddBytes,
    Note::EarlyResponse,
    Note::UnaskedUpgrade,
    Note::FramingLost,
    Note::Resynchronized,
    Note::ManyInterim,
    Note::Contradicted,
    Note::Refused,
    Note::UnknownFields,
    Note::HeadMissing,
    Note::MalformedResponse,
    Note::LengthMismatch,
];

/// A set of [`Note`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes(u32);

impl Notes {
    /// Adds one.
    pub fn insert(&mut self, note: Note) {
        self.0 |= 1 << note as u32;
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether it holds `note`.
    #[must_use]
    pub fn contains(self, note: Note) -> bool {
        self.0 & (1 << note as u32) != 0
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those it holds.
    pub fn iter(self) -> impl Iterator<Item = Note> {
        NOTES.into_iter().filter(move |note| self.contains(*note))
    }
}
