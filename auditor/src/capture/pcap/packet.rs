//! One captured packet: from its link header to the TCP segment in it.
//!
//! Consumes a [`Packet`], produces a [`Segment`] or why there is none. Pure. A packet may be cut off by the capture's
//! snapshot length: lengths come from the headers, bytes are what is there.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, LaxIpSlice, TcpHeaderSlice, err};

/// A packet of a capture file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// Nanoseconds since the Unix epoch.
    pub(super) time: u64,
    /// The registry's number of the link type (draft-ietf-opsawg-pcaplinktype); none if the file does not say.
    pub(super) link: Option<u16>,
    /// Bytes on the wire.
    pub(super) wire_len: u32,
    /// Those that were captured.
    pub(super) data: &'a [u8],
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) sequence: u32,
    /// The acknowledgment number, if the segment has one.
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// Bytes of payload on the wire.
    pub(super) len: u32,
    /// Those that were captured.
    pub(super) bytes: &'a [u8],
}

/// Why a packet gave no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unparsed {
    NotIp,
    NotTcp,
    Fragment,
    Unreadable,
    /// Too little of it was captured.
    Cut,
    UnknownLink,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and what was used for 802.1ad before it had a number.
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// More tags than this are not looked behind.
const MAX_VLAN_TAGS: usize = 4;
/// `AF_INET`, and `AF_INET6` of Linux, NetBSD, FreeBSD and Darwin, as null and loopback headers carry them.
const FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];
const MIN_TCP_HEADER: usize = 20;
const MAX_TCP_HEADER: usize = 60;

/// The TCP segment in `packet`.
pub(super) fn parse<'a>(packet: &Packet<'a>) -> Result<Segment<'a>, Unparsed> {
    let Some(link) = packet.link else { return Err(Unparsed::UnknownLink) };
    let offset = match link {
        // Null and loopback differ in byte order; the IP header says which version it is.
        0 | 108 => {
            let family = u32::from_ne_bytes(array(packet.data, 0)?);
            let known = FAMILIES.contains(&family) || FAMILIES.contains(&family.swap_bytes());
            if known { 4 } else { return Err(Unparsed::NotIp) }
        }
        1 => ip_offset(packet.data, 12, 14)?,
        12 | 101 | 228 | 229 => 0,
        113 => ip_offset(packet.data, 14, 16)?,
        276 => ip_offset(packet.data, 0, 20)?,
        _ => return Err(Unparsed::UnknownLink),
    };
    let data = packet.data.get(offset..).ok_or(Unparsed::Cut)?;
    // A file that claims fewer bytes on the wire than it holds has them nonetheless.
    let wire_len = (packet.wire_len as usize).max(packet.data.len()) - offset;
    ip(data, wire_len)
}

/// Where the IP header starts, given where the link header's protocol stands and where its payload starts.
fn ip_offset(data: &[u8], mut protocol_at: usize, mut payload_at: usize) -> Result<usize, Unparsed> {
    for _ in 0..=MAX_VLAN_TAGS {
        let protocol = u16::from_be_bytes(array(data, protocol_at)?);
        if protocol == ETHERTYPE_IPV4 || protocol == ETHERTYPE_IPV6 {
            return Ok(payload_at);
        }
        if !ETHERTYPES_VLAN.contains(&protocol) {
            break;
        }
        // A tag: two bytes of tag control, then the protocol of what it wraps.
        protocol_at = payload_at + 2;
        payload_at += 4;
    }
    Err(Unparsed::NotIp)
}

fn array<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], Unparsed> {
    data.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Unparsed::Cut)
}

fn ip(data: &[u8], wire_len: usize) -> Result<Segment<'_>, Unparsed> {
    let (ip, stopped) = LaxIpSlice::from_slice(data).map_err(|error| match error {
        err::ip::LaxHeaderSliceError::Len(_) => Unparsed::Cut,
        err::ip::LaxHeaderSliceError::Content(_) => Unparsed::Unreadable,
    })?;
    let (header_len, total_len) = match &ip {
        LaxIpSlice::Ipv4(ip) => {
            let header_len = ip.header().slice().len();
            let extensions_len = ip.extensions().auth.map_or(0, |auth| auth.slice().len());
            // Zero: more than the field holds, cut into packets only by the network card.
            let total_len = match ip.header().total_len() {
                0 => wire_len,
                len => usize::from(len),
            };
            (header_len + extensions_len, total_len)
        }
        LaxIpSlice::Ipv6(ip) => {
            let header_len = ip.header().slice().len();
            // Zero: a jumbogram (RFC 2675), as Linux captures its own large packets too.
            let total_len = match ip.header().payload_length() {
                0 => wire_len,
                len => header_len + usize::from(len),
            };
            (header_len + ip.extensions().slice().len(), total_len)
        }
    };
    if total_len > wire_len {
        return Err(Unparsed::Unreadable);
    }
    if ip.is_fragmenting_payload() {
        return Err(Unparsed::Fragment);
    }
    if let Some((error, _)) = stopped {
        let cut = matches!(error, err::ipv6_exts::HeaderSliceError::Len(_)) && data.len() < total_len;
        return Err(if cut { Unparsed::Cut } else { Unparsed::Unreadable });
    }
    let payload = ip.payload();
    if payload.ip_number != IpNumber::TCP {
        return Err(Unparsed::NotTcp);
    }
    let len = total_len.checked_sub(header_len).ok_or(Unparsed::Unreadable)?;
    tcp(ip.source_addr(), ip.destination_addr(), payload.payload, len)
}

fn tcp(source: IpAddr, destination: IpAddr, data: &[u8], len: usize) -> Result<Segment<'_>, Unparsed> {
    if len < MIN_TCP_HEADER {
        return Err(Unparsed::Unreadable);
    }
    if data.len() < MIN_TCP_HEADER {
        return Err(Unparsed::Cut);
    }
    // The fixed part is enough: options are not looked at, and may be cut off.
    let mut header = [0; MAX_TCP_HEADER];
    for (to, from) in header.iter_mut().zip(data) {
        *to = *from;
    }
    let tcp = TcpHeaderSlice::from_slice(&header).map_err(|_| Unparsed::Unreadable)?;
    let header_len = tcp.slice().len();
    let len = len.checked_sub(header_len).ok_or(Unparsed::Unreadable)?;
    let bytes = data.get(header_len..).unwrap_or(&[]);
    Ok(Segment {
        source: SocketAddr::new(source, tcp.source_port()),
        destination: SocketAddr::new(destination, tcp.destination_port()),
        sequence: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        len: u32::try_from(len).map_err(|_| Unparsed::Unreadable)?,
        bytes: bytes.get(..len).unwrap_or(bytes),
    })
}
