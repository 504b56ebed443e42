//! What capture hands to assembly, whatever it came from: the kernel's ring or a capture file.
//!
//! Times are nanoseconds since the Unix epoch. Offsets count payload bytes of one direction from its first byte and do
//! not wrap. Bytes are borrowed from the source for the length of one call.

use std::net::SocketAddr;

pub use super::secret::Secret;

/// A connection, within one boot (the socket's cookie) or one capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Nanoseconds since the Unix epoch.
pub type Nanos = u64;

/// Which way bytes went, from the side of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the controller.
    Ingress,
    /// From the controller.
    Egress,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The controller's end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

/// How a connection came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// The controller accepted it: a client's leg.
    Passive,
    /// The controller opened it: a backend's leg.
    Active,
    /// It was open before the capture began, or its start was lost. Live, offsets are what TCP has counted; in a capture file
    /// they count from the first byte seen.
    Joined,
}

/// A piece of one direction of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Which way.
    pub direction: Direction,
    /// Stream offset of the first byte.
    pub offset: u64,
    /// Bytes on the wire. `bytes` is a prefix of them; the rest was seen and left out, because not wanted.
    pub len: u32,
    /// The bytes that were copied.
    pub bytes: &'a [u8],
    /// The direction ends after `len` bytes (FIN).
    pub fin: bool,
    /// The connection was reset.
    pub rst: bool,
    /// The ingress offset up to which TCP had accepted everything, in order, before this segment; one more once it has
    /// accepted the end of that direction. None where that is not known (a capture file).
    pub received: Option<u64>,
}

/// What the kernel counted for a connection, at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Payload bytes sent and acknowledged.
    pub bytes_acked: u64,
    /// Smoothed round trip time, microseconds.
    pub srtt_us: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Closed by the controller without waiting for what was in flight: a reset, if anything was.
    pub aborted: bool,
    /// Given up because the peer answered no retransmission.
    pub timed_out: bool,
}

/// One thing that capture saw.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A connection exists. Comes again for one already known if the kernel had to forget it: its offsets start anew.
    Opened {
        /// The connection.
        id: ConnectionId,
        /// When.
        time: Nanos,
        /// Its ends.
        tuple: Tuple,
        /// How it came to be known.
        how: How,
        /// Sequence number of each direction's offset 0: ingress, egress.
        first: [u32; 2],
        /// The offset from which on each direction is told of.
        start: [u64; 2],
    },
    /// Payload, or the end of a direction.
    Segment {
        /// The connection.
        id: ConnectionId,
        /// When.
        time: Nanos,
        /// The piece.
        segment: Segment<'a>,
    },
    /// Payload for a connection that has no socket yet (deferred accept, data on the handshake's last ACK).
    Early {
        /// When.
        time: Nanos,
        /// The connection's ends.
        tuple: Tuple,
        /// Sequence number of the first byte.
        sequence: u32,
        /// Bytes on the wire.
        len: u32,
        /// Those that were copied, a prefix.
        bytes: &'a [u8],
    },
    /// The backend's own address, where the socket was connected to a translated one.
    Translated {
        /// The connection.
        id: ConnectionId,
        /// Its ends as the wire shows them.
        tuple: Tuple,
    },
    /// The controller tried to open a connection and could not.
    ConnectFailed {
        /// The socket.
        id: ConnectionId,
        /// When.
        time: Nanos,
        /// Where to.
        tuple: Tuple,
    },
    /// A connection is over.
    Closed {
        /// The connection.
        id: ConnectionId,
        /// When.
        time: Nanos,
        /// What the kernel counted; none where the end was inferred from the wire.
        totals: Option<Totals>,
    },
    /// A TLS library of the controller has made a secret. Comes before the first packet that is protected with it, where the
    /// controller makes that packet; a client's may come before its secret.
    Secret {
        /// When.
        time: Nanos,
        /// The secret.
        secret: Secret<'a>,
    },
}
