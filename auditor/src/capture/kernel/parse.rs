//! From the bytes of a ring record to a [`Record`].
//!
//! The bytes come from our own programs, yet nothing is taken on trust: a record that is too short, or says that more
//! was copied than there is, is refused and counted by the caller.

use std::mem::offset_of;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use auditor_ebpf::abi::{self, Closed, Early, Header, Opened, Segment as SegmentRecord};
use auditor_ebpf::secret;

use super::clock::Clock;
use crate::capture::record::{ConnectionId, Direction, How, Record, Secret, Segment, Totals, Tuple};

/// `BPF_TCP_ESTABLISHED` and `BPF_TCP_CLOSE_WAIT` (include/uapi/linux/bpf.h): from these a connection does not close in
/// order, which leads through FIN-WAIT-1 or LAST-ACK (RFC 9293, 3.3.2).
const ESTABLISHED: u32 = 1;
const CLOSE_WAIT: u32 = 8;

/// Reads one record; `None` if it is not one that this version knows.
#[must_use]
pub fn parse<'a>(bytes: &'a [u8], clock: &Clock) -> Option<Record<'a>> {
    let header = Fields(bytes.get(..size_of::<Header>())?);
    let id = ConnectionId(header.u64(offset_of!(Header, cookie))?);
    let time = clock.unix(header.u64(offset_of!(Header, time))?);
    let len = header.u32(offset_of!(Header, len))?;
    let flags = header.u16(offset_of!(Header, flags))?;
    let direction = match *bytes.get(offset_of!(Header, direction))? {
        abi::INGRESS => Direction::Ingress,
        abi::EGRESS => Direction::Egress,
        _ => return None,
    };
    let fields = Fields(bytes);
    Some(match *bytes.first()? {
        abi::KIND_SEGMENT => {
            let copied = fields.u32(offset_of!(SegmentRecord, copied))? as usize;
            let bytes = bytes.get(size_of::<SegmentRecord>()..)?.get(..copied)?;
            let offset = fields.u64(offset_of!(SegmentRecord, offset))?;
            let (fin, rst) = (flags & abi::FLAG_FIN != 0, flags & abi::FLAG_RST != 0);
            let received = Some(fields.u64(offset_of!(SegmentRecord, received))?);
            Record::Segment {
                id,
                time,
                segment: Segment { direction, offset, len, bytes, fin, rst, received },
            }
        }
        abi::KIND_OPENED => Record::Opened {
            id,
            time,
            tuple: fields.tuple(offset_of!(Opened, tuple))?,
            how: match *bytes.get(offset_of!(Opened, how))? {
                abi::HOW_PASSIVE => How::Passive,
                abi::HOW_ACTIVE => How::Active,
                abi::HOW_JOINED => How::Joined,
                _ => return None,
            },
            first: [fields.u32(offset_of!(Opened, first))?, fields.u32(offset_of!(Opened, first) + 4)?],
            start: [fields.u64(offset_of!(Opened, start))?, fields.u64(offset_of!(Opened, start) + 8)?],
        },
        abi::KIND_CLOSED => Record::Closed {
            id,
            time,
            totals: match fields.u32(offset_of!(Closed, how))? {
                how @ (abi::CLOSED | abi::CLOSED_TIMED_OUT) => Some(Totals {
                    bytes_received: fields.u64(offset_of!(Closed, bytes_received))?,
                    bytes_acked: fields.u64(offset_of!(Closed, bytes_acked))?,
                    srtt_us: fields.u32(offset_of!(Closed, srtt_us))?,
                    retransmits: fields.u32(offset_of!(Closed, retransmits))?,
                    aborted: matches!(fields.u32(offset_of!(Closed, old_state))?, ESTABLISHED | CLOSE_WAIT),
                    timed_out: how == abi::CLOSED_TIMED_OUT,
                }),
                abi::CLOSED_ON_WIRE => None,
                _ => return None,
            },
        },
        abi::KIND_EARLY => {
            let copied = fields.u32(offset_of!(Early, copied))? as usize;
            Record::Early {
                time,
                tuple: fields.tuple(offset_of!(Early, tuple))?,
                sequence: fields.u32(offset_of!(Early, sequence))?,
                len,
                bytes: bytes.get(size_of::<Early>()..)?.get(..copied)?,
            }
        }
        abi::KIND_TRANSLATED => Record::Translated { id, tuple: fields.tuple(offset_of!(Opened, tuple))? },
        abi::KIND_CONNECT_FAILED => {
            Record::ConnectFailed { id, time, tuple: fields.tuple(offset_of!(Opened, tuple))? }
        }
        secret::KIND_SECRET => Record::Secret { time, secret: read_secret(bytes)? },
        _ => return None,
    })
}

/// The body of a record of a secret.
fn read_secret(bytes: &[u8]) -> Option<Secret<'_>> {
    let byte = |at: usize| bytes.get(at).copied();
    let client_random = *bytes.get(offset_of!(secret::Secret, client_random)..)?.first_chunk()?;
    let has_random = byte(offset_of!(secret::Secret, flags))? & secret::HAS_CLIENT_RANDOM != 0;
    let len = byte(offset_of!(secret::Secret, secret_len))?.into();
    let room = bytes.get(offset_of!(secret::Secret, secret)..)?.get(..secret::MAX_SECRET)?;
    Some(Secret {
        label: secret::LABELS.get(usize::from(byte(offset_of!(secret::Secret, label))?))?,
        client_random: has_random.then_some(client_random),
        bytes: room.get(..len)?,
        pid: Fields(bytes).u32(offset_of!(secret::Secret, pid))?,
    })
}

/// Numbers at places in a record, in the machine's order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_ne_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_ne_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_ne_bytes)
    }

    fn tuple(&self, at: usize) -> Option<Tuple> {
        let local = self.address(at + offset_of!(abi::Tuple, local))?;
        let remote = self.address(at + offset_of!(abi::Tuple, remote))?;
        Some(Tuple {
            local: SocketAddr::new(local, self.u16(at + offset_of!(abi::Tuple, local_port))?),
            remote: SocketAddr::new(remote, self.u16(at + offset_of!(abi::Tuple, remote_port))?),
        })
    }

    fn address(&self, at: usize) -> Option<IpAddr> {
        self.array::<16>(at).map(|octets| Ipv6Addr::from(octets).to_canonical())
    }
}
