//! The connections of a capture file, by their two ends.
//!
//! Consumes TCP segments in the order of the file, hands each to its [`Connection`]. Bounded: with more than
//! [`MAX_CONNECTIONS`], the longest idle one is ended. The order in which connections are ended depends on the file alone.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::connection::{Connection, Context, Next};
use super::packet::Segment;
use super::perspective::Perspective;
use super::{Counters, Options};
use crate::capture::record::{Nanos, Record};

/// Connections that are known at one time, those that ended lately among them.
pub const MAX_CONNECTIONS: usize = 65_536;
/// How long an ended connection is remembered: as long as Linux does (`TCP_TIMEWAIT_LEN`, include/net/tcp.h).
const LINGER: Nanos = 60 * 1_000_000_000;

/// The two ends, the lesser first: both directions have the same.
type Key = [SocketAddr; 2];

struct Entry {
    connection: Connection,
    /// Its place in `Table::idle`.
    touched: u64,
}

pub(super) struct Table<'o> {
    connections: HashMap<Key, Entry>,
    /// By when they were last heard of, in packets.
    idle: BTreeMap<u64, Key>,
    perspective: Perspective<'o>,
    held_bytes: usize,
    packets: u64,
    /// The newest time seen: when connections end that see no end of their own.
    newest: Nanos,
    capacity: usize,
}

impl<'o> Table<'o> {
    pub(super) fn new(options: &'o Options) -> Self {
        Self::with_capacity(options, MAX_CONNECTIONS)
    }

    pub(super) fn with_capacity(options: &'o Options, capacity: usize) -> Self {
        Self {
            connections: HashMap::new(),
            idle: BTreeMap::new(),
            perspective: Perspective::new(options),
            held_bytes: 0,
            packets: 0,
            newest: 0,
            capacity,
        }
    }

    /// Takes the next segment of the file.
    pub(super) fn segment(
        &mut self,
        segment: &Segment<'_>,
        time: Nanos,
        counters: &mut Counters,
        sink: &mut dyn FnMut(Record<'_>),
    ) {
        counters.tcp += 1;
        counters.payload_bytes += u64::from(segment.len);
        counters.cut_bytes += u64::from(segment.len) - segment.bytes.len() as u64;
        self.packets += 1;
        self.newest = self.newest.max(time);
        let (ends, from) = if segment.source <= segment.destination {
            ([segment.source, segment.destination], 0)
        } else {
            ([segment.destination, segment.source], 1)
        };
        let Self { connections, idle, perspective, held_bytes, packets, .. } = self;
        let mut context = Context { time, counters, perspective, held_bytes, sink };

        let known = connections.get_mut(&ends).filter(|entry| !entry.connection.forgotten(time, LINGER));
        if let Some(entry) = known {
            idle.remove(&entry.touched);
            entry.touched = *packets;
            idle.insert(*packets, ends);
            if let Next::Another(next) = entry.connection.segment(from, segment, &mut context) {
                entry.connection = *next;
            }
            return;
        }
        let Some(connection) = Connection::begin(ends, from, segment, &mut context) else {
            if segment.rst {
                context.counters.reset_bytes += u64::from(segment.len);
            } else {
                // A segment without an acknowledgment, if it has any payload.
                context.counters.implausible_bytes += u64::from(segment.len);
            }
            context.counters.without_connection += 1;
            return;
        };
        idle.insert(*packets, ends);
        if let Some(old) = connections.insert(ends, Entry { connection, touched: *packets }) {
            idle.remove(&old.touched);
        }
        if connections.len() > self.capacity {
            self.evict(counters, sink);
        }
    }

    /// The end of the file: ends what is open, the longest idle first.
    pub(super) fn finish(mut self, counters: &mut Counters, sink: &mut dyn FnMut(Record<'_>)) {
        while self.end_longest_idle(counters, sink).is_some() {}
    }

    fn evict(&mut self, counters: &mut Counters, sink: &mut dyn FnMut(Record<'_>)) {
        if self.end_longest_idle(counters, sink) == Some(true) {
            counters.evicted += 1;
        }
    }

    /// Forgets the longest idle connection; whether it was still open.
    fn end_longest_idle(
        &mut self,
        counters: &mut Counters,
        sink: &mut dyn FnMut(Record<'_>),
    ) -> Option<bool> {
        let (_, ends) = self.idle.pop_first()?;
        let mut entry = self.connections.remove(&ends)?;
        let open = !entry.connection.has_ended();
        entry.connection.finish(&mut Context {
            time: self.newest,
            counters,
            perspective: &mut self.perspective,
            held_bytes: &mut self.held_bytes,
            sink,
        });
        Some(open)
    }
}
