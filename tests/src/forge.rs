//! Segments that a connection's own end never sent: what anyone on the way, or a client that wants to be misread, can send.
//!
//! Consumes a [`RawClient`]'s numbers, which the kernel tells of a socket in repair mode (tcp(7), `TCP_REPAIR`); produces
//! one packet through a raw socket. Invariants: the peer's TCP drops it, for the fault that it is given; the connection
//! is as it was. IPv4 only.

use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;

use anyhow::{Result, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, getsockopt, sendto, setsockopt,
    socket, sockopt,
};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};

use crate::raw::RawClient;

sockopt_impl!(
    /// Which queue the next option is about.
    RepairQueue, Both, libc::IPPROTO_TCP, libc::TCP_REPAIR_QUEUE, u32
);
sockopt_impl!(
    /// The next sequence number of that queue.
    QueueSequence, GetOnly, libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ, u32
);
sockopt_impl!(
    /// The present value of the connection's timestamps.
    Timestamp, GetOnly, libc::IPPROTO_TCP, libc::TCP_TIMESTAMP, u32
);

/// Flags of TCP (RFC 9293, 3.1).
pub const FIN: u8 = 1;
/// See [`FIN`].
pub const RST: u8 = 4;
const ACK: u8 = 16;
/// `TCP_RECV_QUEUE`, `TCP_SEND_QUEUE`, and `TCP_REPAIR_OFF_NO_WP` (include/uapi/linux/tcp.h).
const RECEIVED: u32 = 1;
const SENT: u32 = 2;
const OFF_WITHOUT_PROBE: u32 = u32::MAX;
/// Linux verifies the checksum of a segment of up to 76 bytes before it looks for the socket (include/linux/skbuff.h,
/// `CHECKSUM_BREAK`): a shorter one with a wrong checksum is seen by nobody.
const VISIBLE: usize = 77;

/// Why TCP drops the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A wrong checksum.
    Checksum,
    /// A timestamp of long ago (RFC 7323, 5.3). A reset is obeyed all the same.
    OldTimestamp,
}

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Forgery<'a> {
    /// How far ahead of the next byte.
    pub ahead: u32,
    /// Beside ACK.
    pub flags: u8,
    /// The bytes.
    pub payload: &'a [u8],
    /// Why it is dropped.
    pub fault: Fault,
}

/// Sends a segment in the name of `client`.
///
/// # Errors
/// No right to raw sockets (root is needed), or the connection is not IPv4; or the segment would be dropped unseen.
pub fn send(client: &RawClient, forgery: &Forgery<'_>) -> Result<()> {
    let stream = client.stream();
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (stream.local_addr()?, stream.peer_addr()?) else {
        bail!("not an IPv4 connection")
    };
    setsockopt(stream, sockopt::TcpRepair, &1)?;
    let numbers = (|| -> Result<[u32; 3]> {
        let queue = |which| -> Result<u32> {
            setsockopt(stream, RepairQueue, &which)?;
            Ok(getsockopt(stream, QueueSequence)?)
        };
        Ok([queue(SENT)?, queue(RECEIVED)?, getsockopt(stream, Timestamp)?])
    })();
    setsockopt(stream, sockopt::TcpRepair, &OFF_WITHOUT_PROBE)?;
    let packet = packet(from, to, numbers?, forgery);
    if forgery.fault == Fault::Checksum && packet.len() < 20 + VISIBLE {
        bail!("a segment as short as this is dropped before it is seen");
    }
    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)?;
    sendto(raw.as_raw_fd(), &packet, &SockaddrIn::from(to), MsgFlags::empty())?;
    Ok(())
}

/// The packet, with the IPv4 header that the kernel completes (raw(7)).
fn packet(from: SocketAddrV4, to: SocketAddrV4, numbers: [u32; 3], forgery: &Forgery<'_>) -> Vec<u8> {
    let [sent, received, timestamp] = numbers;
    let timestamp =
        if forgery.fault == Fault::OldTimestamp { timestamp.wrapping_sub(1 << 30) } else { timestamp };
    let mut tcp = Vec::new();
    tcp.extend_from_slice(&from.port().to_be_bytes());
    tcp.extend_from_slice(&to.port().to_be_bytes());
    tcp.extend_from_slice(&sent.wrapping_add(forgery.ahead).to_be_bytes());
    tcp.extend_from_slice(&received.to_be_bytes());
    // Eight words of header; window; no checksum yet; nothing urgent.
    tcp.extend_from_slice(&[0x80, ACK | forgery.flags, 1, 0, 0, 0, 0, 0]);
    // Two NOP and the timestamp option; what it echoes is not looked at.
    tcp.extend_from_slice(&[1, 1, 8, 10]);
    tcp.extend_from_slice(&timestamp.to_be_bytes());
    tcp.extend_from_slice(&[0; 4]);
    tcp.extend_from_slice(forgery.payload);
    let mut sum = checksum(from, to, &tcp);
    if forgery.fault == Fault::Checksum {
        sum = !sum;
    }
    tcp.splice(16..18, sum.to_be_bytes());
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
    packet.extend_from_slice(&from.ip().octets());
    packet.extend_from_slice(&to.ip().octets());
    packet.extend_from_slice(&tcp);
    packet
}

/// RFC 9293, 3.1, with the pseudo-header.
fn checksum(from: SocketAddrV4, to: SocketAddrV4, tcp: &[u8]) -> u16 {
    let length = u32::try_from(tcp.len()).unwrap_or_default().to_be_bytes();
    let pseudo = [&from.ip().octets()[..], &to.ip().octets(), &[0, 6], &length].concat();
    let words = pseudo.chunks(2).chain(tcp.chunks(2));
    let sum = words.fold(0_u32, |sum, word| {
        let [high, low] =
            [word.first(), word.get(1)].map(|byte| u32::from(byte.copied().unwrap_or_default()));
        sum + (high << 8 | low)
    });
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or_default()
}
