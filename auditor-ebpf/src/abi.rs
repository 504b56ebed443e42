//! The layout of every record in the ring and of every cell in shared memory.
//!
//! Invariants: `repr(C)`, integers only (any bit pattern is valid), no implicit padding, sizes asserted at compile time,
//! multiples of eight. A change of layout raises [`VERSION`]. Addresses are 16 bytes with IPv4 mapped into IPv6
//! (RFC 4291, 2.5.5.2); ports and numbers are in host order.

/// Raised with every change of a layout in this file; two sides that disagree must not share maps.
pub const VERSION: u32 = 3;

/// Bytes that entered the controller through the socket.
pub const INGRESS: u8 = 0;
/// Bytes that left the controller through the socket.
pub const EGRESS: u8 = 1;

/// A connection exists: accepted, opened by the controller, or first noticed in the middle. An [`Opened`].
pub const KIND_OPENED: u8 = 1;
/// A piece of payload, or the end of a direction. A [`Segment`], then the copied bytes.
pub const KIND_SEGMENT: u8 = 2;
/// The socket is closed. A [`Closed`].
pub const KIND_CLOSED: u8 = 3;
/// Payload that arrived under a *listener's* cookie, before the connection's own socket existed. An [`Early`], then the bytes.
pub const KIND_EARLY: u8 = 4;
/// The peer on the wire is not the peer the socket was connected to (a translated Service address). An [`Opened`].
pub const KIND_TRANSLATED: u8 = 5;
/// An outgoing connection was never established. An [`Opened`].
pub const KIND_CONNECT_FAILED: u8 = 6;

/// The segment carries the end of its direction (TCP FIN), after its `len` bytes.
pub const FLAG_FIN: u16 = 1;
/// The connection was reset (TCP RST).
pub const FLAG_RST: u16 = 2;

/// [`Opened::how`]: the controller accepted the connection.
pub const HOW_PASSIVE: u8 = 1;
/// [`Opened::how`]: the controller opened the connection.
pub const HOW_ACTIVE: u8 = 2;
/// [`Opened::how`]: it was open before the programs were attached, or its first record was lost. Offsets are what TCP has
/// counted so far (`tcpi_bytes_received`, `tcpi_bytes_acked`), so that they never come again after a restart.
pub const HOW_JOINED: u8 = 3;

/// [`Closed::how`]: the kernel reported it.
pub const CLOSED: u32 = 0;
/// [`Closed::how`]: inferred from FIN or RST on the wire; the counts are not known.
pub const CLOSED_ON_WIRE: u32 = 1;
/// [`Closed::how`]: the kernel reported it, after the last retransmission was not answered.
pub const CLOSED_TIMED_OUT: u32 = 2;

/// What every record starts with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// One of the `KIND_` constants.
    pub kind: u8,
    /// [`INGRESS`] or [`EGRESS`]; 0 where a record has none.
    pub direction: u8,
    /// `FLAG_` bits.
    pub flags: u16,
    /// Bytes of payload on the wire that this record stands for (0 where it stands for none).
    pub len: u32,
    /// The kernel's name of the socket (`bpf_get_socket_cookie`), never used twice in one boot.
    pub cookie: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
}

/// The addresses of a connection, from the side of the controller.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// The controller's address.
    pub local: [u8; 16],
    /// The peer's address.
    pub remote: [u8; 16],
    /// The controller's port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
    /// Always zero.
    pub reserved: u32,
}

/// [`KIND_OPENED`], [`KIND_TRANSLATED`], [`KIND_CONNECT_FAILED`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The common part.
    pub header: Header,
    /// Who talks to whom.
    pub tuple: Tuple,
    /// The sequence number of the first byte (offset 0) of each direction, by [`INGRESS`] and [`EGRESS`].
    pub first: [u32; 2],
    /// The offsets from which on bytes are told of, by direction: 0 but for [`HOW_JOINED`].
    pub start: [u64; 2],
    /// One of the `HOW_` constants.
    pub how: u8,
    /// Always zero.
    pub reserved: [u8; 7],
}

/// [`KIND_SEGMENT`]; `copied` bytes follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The common part.
    pub header: Header,
    /// Place of the first byte in its direction's stream; 0 is the first byte after the handshake. Does not wrap.
    pub offset: u64,
    /// The ingress offset up to which TCP had accepted everything, in order, *before* this packet (`rcv_nxt`); one more once
    /// it has accepted a FIN. What lies before it and was not told of is lost; what lies behind it may yet be refused.
    pub received: u64,
    /// How many of the `len` bytes follow: a prefix. The others were seen and not wanted, or found no room.
    pub copied: u32,
    /// Always zero.
    pub reserved: u32,
}

/// [`KIND_EARLY`]; `copied` bytes follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Early {
    /// The common part; the cookie is the listener's.
    pub header: Header,
    /// Names the connection that will exist if the handshake completes.
    pub tuple: Tuple,
    /// TCP sequence number of the first byte.
    pub sequence: u32,
    /// How many of the `len` bytes follow: a prefix.
    pub copied: u32,
}

/// [`KIND_CLOSED`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The common part.
    pub header: Header,
    /// Bytes the peer sent that TCP accepted in order (`tcpi_bytes_received`); 0 with [`CLOSED_ON_WIRE`].
    pub bytes_received: u64,
    /// Bytes the peer acknowledged (`tcpi_bytes_acked`, RFC 4898 tcpEStatsAppHCThruOctetsAcked).
    pub bytes_acked: u64,
    /// Smoothed round trip time, microseconds.
    pub srtt_us: u32,
    /// Segments sent again in the connection's life.
    pub retransmits: u32,
    /// Segments received.
    pub segments_in: u32,
    /// Segments sent.
    pub segments_out: u32,
    /// TCP state that it left (`BPF_TCP_*`, include/uapi/linux/bpf.h).
    pub old_state: u32,
    /// One of the `CLOSED` constants.
    pub how: u32,
}

/// Why something was counted, in the array of counters: index is `DATAGRAM_CELLS + cpu * COUNTERS + reason`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Records lost, or told without the bytes that were wanted: no room in the ring.
    RingFull = 0,
    /// Payload bytes those records stood for.
    RingFullBytes = 1,
    /// Payload bytes seen and not copied, because not wanted.
    UnwantedBytes = 2,
    /// Packets whose IP or TCP header could not be read, or fragments.
    Unreadable = 3,
    /// Packets of a transport other than TCP and UDP.
    NotTcp = 4,
    /// Sockets for which no state could be kept.
    NoState = 5,
    /// Payload that could not be read from the packet.
    CopyFailed = 6,
    /// Payload that arrived under a listener's cookie.
    Early = 7,
    /// Packets to the controller that lie beyond any TCP window, which TCP drops.
    OutOfWindow = 8,
    /// TLS secrets that the key tap was offered by processes of the cgroup.
    TapHit = 9,
    /// Of those: memory that could not be read.
    TapUnreadable = 10,
    /// Of those: with a label, or a length, that no TLS version has.
    TapForeignLabel = 11,
    /// Packets of UDP.
    Udp = 12,
}

/// Cells of UDP at the start of the array of counters, of all CPUs: at twice the controller's port the packets, behind it the
/// bytes of payload.
pub const DATAGRAM_CELLS: u32 = 2 * 65_536;

/// Cells per CPU in the array of counters.
pub const COUNTERS: u32 = 16;

/// Names of the counters, by number, for reports.
pub const COUNTER_NAMES: [&str; 13] = [
    "ring_full",
    "ring_full_bytes",
    "unwanted_bytes",
    "unreadable",
    "not_tcp",
    "no_state",
    "copy_failed",
    "early",
    "out_of_window",
    "tap_hit",
    "tap_unreadable",
    "tap_foreign_label",
    "udp",
];

/// Most bytes copied from one packet. On loopback packets of more than 64 KiB are common; "big TCP" allows up to 512 KiB.
pub const MAX_COPY: usize = 131_072;

const _: () = assert!(size_of::<Header>() == 24);
const _: () = assert!(size_of::<Tuple>() == 40);
const _: () = assert!(size_of::<Opened>() == 96);
const _: () = assert!(size_of::<Segment>() == 48);
const _: () = assert!(size_of::<Early>() == 72);
const _: () = assert!(size_of::<Closed>() == 64);
