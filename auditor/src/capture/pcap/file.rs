//! The container: pcap and pcapng, read block by block.
//!
//! Consumes any `Read`, produces [`Packet`]s and the TLS secrets that are embedded between them, in the order of the file. Invariants: at most one block of [`MAX_BLOCK`]
//! bytes is held; nothing is allocated on a length's word alone; a block that contradicts itself is skipped and counted
//! as long as its own length says where the next one is.
//!
//! `pcap-parser` parses the blocks. Its streaming readers are not used: they lose I/O errors and cannot tell a block that
//! is damaged from one that is not there yet.

use std::io::Read;

use pcap_parser::pcapng::{
    Block, EPB_MAGIC, IDB_MAGIC, InterfaceDescriptionBlock, OptionCode, SHB_MAGIC, SPB_MAGIC, parse_block_be,
    parse_block_le,
};
use pcap_parser::{PcapHeader, parse_pcap_header};

use super::packet::Packet;
use super::{Counters, PcapError};
use crate::capture::secret::Secret;

mod secrets;
mod source;

use source::Source;

/// Bytes of the largest block that is looked at. libpcap's largest snapshot length is 256 KiB.
pub const MAX_BLOCK: usize = 1 << 20;
/// Interfaces of one section that are known; packets of others count as of an unknown link.
const MAX_INTERFACES: usize = 4096;
/// Bytes of a pcapng block around its body: type, length, length again.
const BLOCK_FRAME: usize = 12;
const DECRYPTION_SECRETS: u32 = 0x0a;
const NANOS: u128 = 1_000_000_000;

/// What a file holds.
pub(super) enum Item<'a> {
    /// A packet.
    Packet(Packet<'a>),
    /// A secret of TLS, and the time of the packet before it: 0 if there is none.
    Secret(Secret<'a>, u64),
}

/// Takes what a file holds.
type Each<'a> = dyn FnMut(Item<'_>, &mut Counters) + 'a;

/// Gives everything in `reader` to `each`.
pub(super) fn items(
    reader: impl Read,
    counters: &mut Counters,
    each: &mut Each<'_>,
) -> Result<(), PcapError> {
    let mut source = Source::new(reader);
    let start = source.up_to(24)?;
    match start.first_chunk() {
        Some(&magic) if u32::from_le_bytes(magic) == SHB_MAGIC => pcapng(&mut source, counters, each),
        Some(_) => match parse_pcap_header(start) {
            Ok((_, header)) => pcap(&mut source, &header, counters, each),
            Err(pcap_parser::nom::Err::Incomplete(_)) => Err(PcapError::Truncated { offset: 0 }),
            Err(_) => Err(PcapError::NotACapture),
        },
        None => Err(PcapError::NotACapture),
    }
}

/// The older format: a header, then records (draft-ietf-opsawg-pcap).
fn pcap(
    source: &mut Source<impl Read>,
    header: &PcapHeader,
    counters: &mut Counters,
    each: &mut Each<'_>,
) -> Result<(), PcapError> {
    source.consume(header.size());
    // The upper half may hold the length of a frame check sequence.
    let link = u16::try_from(header.network.0 & 0xffff).ok();
    let fraction = if header.is_nanosecond_precision() { 1 } else { 1000 };
    let parse = match (header.is_modified_format(), header.is_bigendian()) {
        (true, _) => pcap_parser::parse_pcap_frame_modified,
        (false, true) => pcap_parser::parse_pcap_frame_be,
        (false, false) => pcap_parser::parse_pcap_frame,
    };
    let record_header = if header.is_modified_format() { 24 } else { 16 };
    loop {
        let start = source.block(record_header)?;
        let Some(start) = start else { return Ok(()) };
        let caplen = start.get(8..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        let caplen =
            if header.is_bigendian() { u32::from_be_bytes(caplen) } else { u32::from_le_bytes(caplen) };
        let len = record_header + caplen as usize;
        if len > MAX_BLOCK {
            return Err(PcapError::Damaged { offset: source.offset() });
        }
        let Some(record) = source.block(len)? else { return Ok(()) };
        match parse(record) {
            Ok((_, record)) => {
                let time = u64::from(record.ts_sec) * 1_000_000_000 + u64::from(record.ts_usec) * fraction;
                let packet = Packet { time, link, wire_len: record.origlen, data: record.data };
                each(Item::Packet(packet), counters);
            }
            Err(_) => counters.malformed_blocks += 1,
        }
        source.consume(len);
    }
}

/// What a packet needs to know of its interface.
#[derive(Clone, Copy)]
struct Interface {
    link: u16,
    snaplen: u32,
    /// Units of a timestamp per second.
    resolution: Option<u128>,
    /// Seconds to add.
    offset: i64,
}

/// The newer format: sections of blocks (draft-ietf-opsawg-pcapng).
fn pcapng(
    source: &mut Source<impl Read>,
    counters: &mut Counters,
    each: &mut Each<'_>,
) -> Result<(), PcapError> {
    let mut big_endian = false;
    // None: described by a block that could not be read; it has its number nonetheless.
    let mut interfaces: Vec<Option<Interface>> = Vec::new();
    // Simple packets have no time: they get that of the packet before.
    let mut time = 0;
    while let Some(start) = source.block(BLOCK_FRAME)? {
        let [kind, len, byte_order] = words(start);
        let section = u32::from_le_bytes(kind) == SHB_MAGIC;
        if section {
            big_endian = match byte_order {
                [0x1a, 0x2b, 0x3c, 0x4d] => true,
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                _ if source.offset() == 0 => return Err(PcapError::NotACapture),
                _ => return Err(PcapError::Damaged { offset: source.offset() }),
            };
            interfaces.clear();
        }
        let word = |bytes| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let (kind, len) = (word(kind), word(len) as usize);
        if len < BLOCK_FRAME || !len.is_multiple_of(4) {
            return Err(PcapError::Damaged { offset: source.offset() });
        }
        if kind == DECRYPTION_SECRETS {
            secrets::read(source, len, big_endian, counters, &mut |secret, counters| {
                each(Item::Secret(secret, time), counters);
            })?;
            continue;
        }
        if len > MAX_BLOCK {
            counters.oversized_blocks += 1;
            if kind == IDB_MAGIC && interfaces.len() < MAX_INTERFACES {
                interfaces.push(None);
            }
            source.skip(len)?;
            continue;
        }
        let Some(block) = source.block(len)? else { return Ok(()) };
        match kind {
            _ if section => {}
            IDB_MAGIC | EPB_MAGIC | SPB_MAGIC => {
                let parsed = if big_endian { parse_block_be(block) } else { parse_block_le(block) };
                match parsed {
                    Ok((_, Block::InterfaceDescription(block))) if interfaces.len() < MAX_INTERFACES => {
                        interfaces.push(Some(interface(&block, big_endian)));
                    }
                    Ok((_, Block::EnhancedPacket(block))) => {
                        let interface = interfaces.get(block.if_id as usize).copied().flatten();
                        time =
                            interface.map_or(time, |interface| nanos(interface, block.ts_high, block.ts_low));
                        let data = block.data.get(..block.caplen as usize).unwrap_or(block.data);
                        let link = interface.map(|interface| interface.link);
                        let packet = Packet { time, link, wire_len: block.origlen, data };
                        each(Item::Packet(packet), counters);
                    }
                    Ok((_, Block::SimplePacket(block))) => {
                        let interface = interfaces.first().copied().flatten();
                        // The captured length is not written down (draft-ietf-opsawg-pcapng, 4.4).
                        let snaplen = interface.map_or(0, |interface| interface.snaplen);
                        let snaplen = if snaplen == 0 { u32::MAX } else { snaplen };
                        let data =
                            block.data.get(..block.origlen.min(snaplen) as usize).unwrap_or(block.data);
                        let link = interface.map(|interface| interface.link);
                        let packet = Packet { time, link, wire_len: block.origlen, data };
                        each(Item::Packet(packet), counters);
                    }
                    Ok(_) => counters.skipped_blocks += 1,
                    Err(_) => {
                        counters.malformed_blocks += 1;
                        if kind == IDB_MAGIC && interfaces.len() < MAX_INTERFACES {
                            interfaces.push(None);
                        }
                    }
                }
            }
            _ => counters.skipped_blocks += 1,
        }
        source.consume(len);
    }
    Ok(())
}

/// The first three words of a block. `start` holds them.
fn words(start: &[u8]) -> [[u8; 4]; 3] {
    let (words, _) = start.as_chunks();
    words.first_chunk().copied().unwrap_or_default()
}

fn interface(block: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Interface {
    let mut resolution = 6;
    let mut offset = 0;
    // The parser's own readings of both options are not used: it takes no power of two for a resolution, and every
    // offset for little-endian (pcap-parser 0.17).
    for option in &block.options {
        match (option.code, option.value()) {
            (OptionCode::IfTsresol, &[value, ..]) => resolution = value,
            (OptionCode::IfTsoffset, value) => {
                if let Some(&value) = value.first_chunk() {
                    offset = if big_endian { i64::from_be_bytes(value) } else { i64::from_le_bytes(value) };
                }
            }
            _ => {}
        }
    }
    let exponent = u32::from(resolution & 0x7f);
    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    Interface {
        link: u16::try_from(block.linktype.0).unwrap_or(u16::MAX),
        snaplen: block.snaplen,
        resolution: base.checked_pow(exponent),
        offset,
    }
}

/// Nanoseconds since the Unix epoch, held within what 64 bits can say.
fn nanos(interface: Interface, high: u32, low: u32) -> u64 {
    let units = u128::from(high) << 32 | u128::from(low);
    // A resolution beyond 128 bits: no timestamp reaches its first nanosecond.
    let since = interface.resolution.map_or(0, |resolution| {
        let seconds = units / resolution;
        // The rest is below 2^64 and below the resolution: no overflow.
        seconds * NANOS + (units % resolution) * NANOS / resolution
    });
    let offset = i128::from(interface.offset) * i128::from(1_000_000_000);
    let nanos = i128::try_from(since).unwrap_or(i128::MAX).saturating_add(offset);
    u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
}
