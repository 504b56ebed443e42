//! The header of the PROXY protocol, versions 1 and 2, with which a proxy says for whom it opened a connection.
//!
//! Consumes the bytes at the start of a direction, in any split; produces a [`Header`], or the word that there is none.
//! The specification is `HAProxy`'s `doc/proxy-protocol.txt`.
//!
//! Where a header ends and what it says are two questions. Servers differ in what they refuse, and an auditor must see
//! the requests that the most lenient one serves (nginx: `src/core/ngx_proxy_protocol.c`). So whatever has a certain end is a
//! header and is taken off; what is wrong with its content is a [`Defect`], and then it vouches for nobody. What has no
//! certain end is [`Refused::Malformed`].
//!
//! Invariants: no more is held than [`MAX_HELD`]; a header's [`Header::len`] is the number of bytes it took.

mod parser;
mod preamble;
#[cfg(test)]
mod tests;
mod tlv;
mod v1;
mod v2;

use std::net::SocketAddr;

pub use parser::{Parser, Progress, Refused};
pub use preamble::{Part, Preamble};
pub use tlv::{Ssl, Tlvs};

/// Most bytes held of a header that is not complete: the addresses, and the values that are kept.
pub const MAX_HELD: usize = 4 * 1024;

/// What a proxy says at the start of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its form.
    pub version: Version,
    /// What the connection is for.
    pub command: Command,
    /// For whom it was opened.
    pub addresses: Addresses,
    /// What else is said; only in version 2.
    pub tlvs: Tlvs,
    /// Bytes of the whole header.
    pub len: u32,
    /// What is wrong with its content.
    pub defect: Option<Defect>,
}

impl Header {
    /// For whom the connection was opened, where the header says so and is in order.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        match self {
            Self {
                addresses: Addresses::Inet { source, .. }, command: Command::Proxy, defect: None, ..
            } => Some(*source),
            _ => None,
        }
    }
}

/// The form of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text (section 2.1).
    One,
    /// Binary (section 2.2).
    Two,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// It carries another connection.
    Proxy,
    /// The proxy opened it for itself: a health check.
    Local,
    /// Not assigned.
    Unknown,
}

/// The two ends of the connection that is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// IPv4 or IPv6.
    Inet {
        /// Who connected to the proxy.
        source: SocketAddr,
        /// Where.
        destination: SocketAddr,
    },
    /// Two sockets of a host.
    Unix,
    /// The proxy does not say; what it opened for itself has none.
    Unspecified,
}

/// What is wrong with a header that has a certain end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Defect {
    /// An address of version 1 is none, or of the other family.
    #[error("an invalid address")]
    Address,
    /// The command is not assigned; receivers must drop the connection (section 2.2).
    #[error("an unknown command")]
    Command,
    /// The family is not assigned, or the transport is not a stream.
    #[error("an unknown family or transport")]
    Family,
    /// A TLV does not fit into what contains it, or is longer than its kind may be.
    #[error("a TLV of an invalid length")]
    Tlv,
    /// The checksum is not that of the header (section 2.2.3).
    #[error("a wrong checksum")]
    Checksum,
    /// A part of it was not seen.
    #[error("a part was not seen")]
    Missing,
}
