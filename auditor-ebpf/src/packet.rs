//! Where things are in a packet: IPv4 and IPv6 with extension headers, then TCP, or where UDP begins.
//!
//! Reads through `bpf_skb_load_bytes` (works on packets in fragments of memory), from the network header, where the
//! context of `cgroup_skb` begins.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_skb_load_bytes;

use auditor_ebpf::abi::{INGRESS, Tuple};

/// Protocol numbers of an IP header (IANA "Assigned Internet Protocol Numbers").
const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
/// Extension headers walked at most; RFC 8200, 4.1 has at most seven in a sensible packet.
const MAX_EXTENSIONS: u32 = 8;

/// `ETH_P_IP` and `ETH_P_IPV6` as `skb->protocol` holds them, in network order.
const IPV4: u32 = 0x0800_u16.to_be() as u32;
const IPV6: u32 = 0x86dd_u16.to_be() as u32;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;

/// A TCP packet.
pub(crate) struct Packet {
    v4: bool,
    source_port: u16,
    destination_port: u16,
    /// Sequence number of the first byte of payload.
    pub(crate) sequence: u32,
    /// TCP flags.
    pub(crate) flags: u8,
    /// Where the payload begins.
    pub(crate) payload: u32,
    /// Bytes of payload.
    pub(crate) len: u32,
}

/// What a packet turned out to be.
pub(crate) enum Parsed {
    Tcp(Packet),
    /// UDP, whose header begins here.
    Udp(u32),
    Other,
    Unreadable,
}

/// Finds the TCP header and what it says.
#[inline(always)]
pub(crate) fn parse(skb: *mut __sk_buff) -> Parsed {
    // SAFETY: the context is valid for the length of the program.
    let (protocol, total) = unsafe { ((*skb).protocol, (*skb).len) };
    let v4 = protocol == IPV4;
    let tcp_at = if v4 {
        let Some(header) = near::<20>(skb, 0) else { return Parsed::Unreadable };
        let at = u32::from(header[0] & 0xf) * 4;
        match header[9] {
            TCP => {}
            UDP => return Parsed::Udp(at),
            _ => return Parsed::Other,
        }
        // RFC 791, 3.1: a fragment has an offset or "more fragments".
        if (u16::from_be_bytes([header[6], header[7]]) & 0x3fff) != 0 {
            return Parsed::Unreadable;
        }
        at
    } else if protocol == IPV6 {
        let Some([next]) = near::<1>(skb, 6) else { return Parsed::Unreadable };
        match skip_extensions(skb, next) {
            (TCP, at) => at,
            (UDP, at) => return Parsed::Udp(at),
            (FRAGMENT, _) => return Parsed::Unreadable,
            _ => return Parsed::Other,
        }
    } else {
        return Parsed::Other;
    };
    let Some(tcp) = near::<20>(skb, tcp_at) else { return Parsed::Unreadable };
    let flags = tcp[13];
    let payload = tcp_at + u32::from(tcp[12] >> 4) * 4;
    if payload > total {
        return Parsed::Unreadable;
    }
    let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
    Parsed::Tcp(Packet {
        v4,
        source_port: u16::from_be_bytes([tcp[0], tcp[1]]),
        destination_port: u16::from_be_bytes([tcp[2], tcp[3]]),
        // SYN takes a number of its own (RFC 9293, 3.4): data in the same packet begins after it.
        sequence: sequence.wrapping_add(u32::from(flags & SYN != 0)),
        flags,
        payload,
        len: total - payload,
    })
}

impl Packet {
    /// The packet's ends, from the side of the controller. Read anew from the packet, which few packets need: the stack
    /// of a program has 512 bytes.
    #[inline(always)]
    pub(crate) fn tuple(&self, skb: *mut __sk_buff, direction: u8) -> Tuple {
        let [source, destination] = if self.v4 {
            let w = words::<2>(skb, 12);
            [mapped(w[0]), mapped(w[1])]
        } else {
            let w = words::<8>(skb, 8);
            [[w[0], w[1], w[2], w[3]], [w[4], w[5], w[6], w[7]]]
        };
        let (local, remote, local_port, remote_port) = if direction == INGRESS {
            (destination, source, self.destination_port, self.source_port)
        } else {
            (source, destination, self.source_port, self.destination_port)
        };
        Tuple { local: octets(local), remote: octets(remote), local_port, remote_port, reserved: 0 }
    }
}

/// The first header after IPv6 that is no extension, and where it begins (RFC 8200, 4; RFC 4302 for AH's unit of length).
#[inline(always)]
fn skip_extensions(skb: *mut __sk_buff, first: u8) -> (u8, u32) {
    let (mut next, mut at) = (first, 40_u32);
    let mut walked = 0;
    while walked < MAX_EXTENSIONS {
        walked += 1;
        let unit = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => 8,
            AUTHENTICATION => 4,
            _ => break,
        };
        let Some(extension) = load::<2>(skb, at) else { return (FRAGMENT, at) };
        let extra = if unit == 8 { 1 } else { 2 };
        at += (u32::from(extension[1]) + extra) * unit;
        next = extension[0];
    }
    (next, at)
}

/// The words of an IPv4 address in IPv6 form (RFC 4291, 2.5.5.2), from its word in network order.
#[inline(always)]
pub(crate) fn mapped(address: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), address]
}

/// The bytes of an address from its words in network order.
#[inline(always)]
pub(crate) fn octets(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: four words are sixteen bytes, and every pattern of bits is valid in both.
    unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(words) }
}

/// Words of a header that was read before, so that it is there; zero otherwise.
#[inline(always)]
fn words<const N: usize>(skb: *mut __sk_buff, at: u32) -> [u32; N] {
    let mut words = [0_u32; N];
    // SAFETY: the helper writes at most the size of the array into it, or fails.
    unsafe { bpf_skb_load_bytes(skb.cast(), at, words.as_mut_ptr().cast(), 4 * N as u32) };
    words
}

/// Bytes near the start, which are almost always in the packet's linear part: read without a call.
#[inline(always)]
fn near<const N: usize>(skb: *mut __sk_buff, at: u32) -> Option<[u8; N]> {
    // SAFETY: the context is valid; both are pointers, for the verifier, as long as they are read as they are.
    let (start, end) = unsafe { ((*skb).data as usize, (*skb).data_end as usize) };
    if at < 256 {
        let from = start + at as usize;
        if from + N <= end {
            // SAFETY: within the packet, as the verifier has just seen.
            return Some(unsafe { *(from as *const [u8; N]) });
        }
    }
    load(skb, at)
}

#[inline(always)]
pub(crate) fn load<const N: usize>(skb: *mut __sk_buff, at: u32) -> Option<[u8; N]> {
    let mut bytes = [0_u8; N];
    // SAFETY: the helper writes at most N bytes into a buffer of N bytes, or fails.
    let status = unsafe { bpf_skb_load_bytes(skb.cast(), at, bytes.as_mut_ptr().cast(), N as u32) };
    (status == 0).then_some(bytes)
}
