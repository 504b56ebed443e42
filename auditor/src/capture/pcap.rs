//! Capture files: the records of [`super::record`], from pcap or pcapng instead of from the kernel.
//!
//! Consumes any `Read` in one pass; a file may be larger than memory. Produces the records that the kernel side would
//! have produced for the same packets, in the order of the file; the secrets that the file holds where they stand. Invariants: the same bytes and options give the same
//! records (no clock, no randomness, no global state); memory is bounded by [`MAX_CONNECTIONS`] and [`MAX_BLOCK`],
//! whatever the file says; what was not understood is counted in [`Counters`], never dropped in silence.
//!
//! Absent on purpose: IP fragments are counted, not put together; checksums are not verified (offload leaves them unset
//! in captures of outgoing packets), so a packet that its receiver dropped for its checksum is taken as received.

mod connection;
mod counters;
mod file;
mod packet;
mod perspective;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::net::IpAddr;

pub use counters::Counters;
use file::Item;
pub use file::MAX_BLOCK;
pub use table::MAX_CONNECTIONS;

use super::record::Record;

/// Whose traffic it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The controller's listening ports. Empty: every connection is taken as accepted by a controller at its server's end.
    pub listen: Vec<u16>,
    /// The controller's addresses, if known. Empty: learned from the connections to its listening ports, in the order of
    /// the file, so that a backend's leg seen before any client's is joined where it is first known to be one.
    pub controller_addresses: Vec<IpAddr>,
}

/// Why a capture file could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// It starts neither like a pcap nor like a pcapng file.
    #[error("not a capture file: neither pcap nor pcapng")]
    NotACapture,
    /// It ends in the middle of a block.
    #[error("the capture file is cut off: the block at byte {offset} is not whole")]
    Truncated {
        /// Where the block starts, bytes from the beginning of the file.
        offset: u64,
    },
    /// A block's own length cannot be right, so that the next one cannot be found.
    #[error("the capture file is damaged: the block at byte {offset} has no plausible length")]
    Damaged {
        /// Where the block starts, bytes from the beginning of the file.
        offset: u64,
    },
    /// The file could not be read.
    #[error("reading the capture file failed at byte {offset}")]
    Io {
        /// Bytes read before.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads `reader` to its end and gives each record to `sink`.
///
/// Connections still open at the end are closed there, also when the end is an error: everything before it is delivered.
///
/// # Errors
///
/// [`PcapError`]; `counters` hold in that case as well.
pub fn read(
    reader: impl Read,
    options: &Options,
    counters: &mut Counters,
    sink: &mut dyn FnMut(Record<'_>),
) -> Result<(), PcapError> {
    let mut table = table::Table::new(options);
    let end = file::items(reader, counters, &mut |item, counters| match item {
        Item::Packet(packet) => {
            counters.packets += 1;
            match packet::parse(&packet) {
                Ok(segment) => table.segment(&segment, packet.time, counters, sink),
                Err(reason) => counters.unparsed(reason),
            }
        }
        Item::Secret(secret, time) => sink(Record::Secret { time, secret }),
    });
    table.finish(counters, sink);
    debug_assert!(counters.accounted(), "unaccounted: {counters:?}");
    end
}

/// Gives the TLS secrets that are embedded in a capture file to `sink`, and nothing else: at the time 0, before any packet.
///
/// For a first pass: secrets may stand behind the packets that they serve. What is wrong with the file, [`read`] tells.
pub fn secrets(reader: impl Read, sink: &mut dyn FnMut(Record<'_>)) {
    let _: Result<(), PcapError> = file::items(reader, &mut Counters::default(), &mut |item, _| {
        if let Item::Secret(secret, _) = item {
            sink(Record::Secret { time: 0, secret });
        }
    });
}
