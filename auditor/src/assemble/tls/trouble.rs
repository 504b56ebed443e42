//! What could not be read, and why.

use crate::assemble::Absence;
use crate::capture::record::Direction;

/// Bytes that were not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which way they went.
    pub direction: Direction,
    /// Why they were not read.
    pub reason: Reason,
    /// Stream offset (of what is on the wire) where they begin.
    pub offset: u64,
    /// How many there are, on the wire. What follows of the same reason is told when it is known, at the end at the latest.
    pub bytes: u64,
}

/// Why bytes were not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// The secret did not come within the bounds of waiting.
    #[error("no key")]
    NoKey,
    /// The secret came after its records had been given up.
    #[error("the key came too late")]
    KeyLate,
    /// The handshake's secrets are missing, those of application data are not: only facts are lost.
    #[error("no key for the handshake")]
    NoHandshakeKey,
    /// The version is before TLS 1.2.
    #[error("a version that is not decrypted")]
    Version,
    /// The cipher suite is none of those that are read: CBC, CCM, RC4 and others.
    #[error("a cipher suite that is not decrypted")]
    Suite,
    /// The tag of a record is wrong: the key is another's, or the record was tampered with.
    #[error("the tag of a record is wrong")]
    BadTag,
    /// The bytes are no record.
    #[error("not a TLS record")]
    NotTls,
    /// A record is longer than its version allows (RFC 8446, 5.2).
    #[error("a record is too long")]
    RecordTooLong,
    /// A record's contents break the rules of its layer.
    #[error("a malformed record")]
    MalformedRecord,
    /// A handshake message is malformed, or where it must not be.
    #[error("a malformed handshake message")]
    MalformedHandshake,
    /// A handshake message is longer than the bound.
    #[error("a handshake message is too long")]
    HandshakeTooLong,
    /// Bytes were lost, and with them what is needed to read what follows.
    #[error("bytes are missing")]
    Missing,
    /// The same of bytes that were seen and not copied: there was too much of them at once.
    #[error("bytes were not copied")]
    NotCopied,
    /// The hello messages were not seen: the connection was open before, or they were lost.
    #[error("the handshake was not seen")]
    NoHello,
    /// Whether the server accepted early data could not be read.
    #[error("early data of which it is not known whether it counts")]
    EarlyData,
    /// Early data that the server rejected: it does not count, and the client sends it again if it wants to. Nothing is lost.
    #[error("early data that the server rejected")]
    RejectedEarlyData,
    /// The certificate is compressed (RFC 8879), which is not read.
    #[error("a compressed certificate")]
    CompressedCertificate,
    /// The direction ended within a record.
    #[error("the stream ends within a record")]
    Truncated,
}

impl From<Absence> for Reason {
    fn from(absence: Absence) -> Self {
        match absence {
            Absence::Lost => Self::Missing,
            Absence::Unwanted => Self::NotCopied,
        }
    }
}
