//! Tests of the reader as a whole: bytes of files in, records out.

mod build;
mod conversations;
mod damaged;
mod formats;
mod handshakes;
mod links;
mod perspective;
mod resets;
mod secrets;

use std::collections::BTreeMap;

use super::{Counters, Options, PcapError, read, secrets as embedded};
use crate::capture::record::{ConnectionId, Direction, How, Nanos, Record, Tuple};

/// A record that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Opened {
        id: ConnectionId,
        time: Nanos,
        tuple: Tuple,
        how: How,
        first: [u32; 2],
    },
    Segment {
        id: ConnectionId,
        time: Nanos,
        direction: Direction,
        offset: u64,
        len: u32,
        bytes: Vec<u8>,
        fin: bool,
        rst: bool,
    },
    ConnectFailed {
        id: ConnectionId,
        time: Nanos,
        tuple: Tuple,
    },
    Closed {
        id: ConnectionId,
        time: Nanos,
    },
    Secret {
        time: Nanos,
        label: &'static str,
        bytes: Vec<u8>,
    },
}

impl Owned {
    #[track_caller]
    fn of(record: Record<'_>) -> Self {
        match record {
            Record::Opened { id, time, tuple, how, first, .. } => {
                Self::Opened { id, time, tuple, how, first }
            }
            Record::Segment { id, time, segment } => {
                assert!(segment.bytes.len() <= segment.len as usize, "more bytes than there were");
                Self::Segment {
                    id,
                    time,
                    direction: segment.direction,
                    offset: segment.offset,
                    len: segment.len,
                    bytes: segment.bytes.to_vec(),
                    fin: segment.fin,
                    rst: segment.rst,
                }
            }
            Record::ConnectFailed { id, time, tuple } => Self::ConnectFailed { id, time, tuple },
            Record::Closed { id, time, totals: None } => Self::Closed { id, time },
            Record::Secret { time, secret } => {
                Self::Secret { time, label: secret.label, bytes: secret.bytes.to_vec() }
            }
            record => panic!("a capture file gives no {record:?}"),
        }
    }
}

/// What one direction of a connection carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stream {
    bytes: Vec<u8>,
    /// Offsets of FINs.
    fins: Vec<u64>,
    reset: bool,
}

/// What came out of a file.
#[derive(Debug)]
struct Outcome {
    records: Vec<Owned>,
    counters: Counters,
    error: Option<PcapError>,
}

impl Outcome {
    fn of(file: &[u8], options: &Options) -> Self {
        let mut records = Vec::new();
        let mut counters = Counters::default();
        let error = read(file, options, &mut counters, &mut |record| records.push(Owned::of(record))).err();
        let outcome = Self { records, counters, error };
        outcome.check();
        outcome
    }

    /// What holds for any file.
    #[track_caller]
    fn check(&self) {
        assert!(self.counters.accounted(), "{:?}", self.counters);
        let mut open = BTreeMap::new();
        let (mut delivered, mut opened) = (0, 0);
        for record in &self.records {
            match record {
                Owned::Opened { id, .. } => {
                    opened += 1;
                    assert_eq!(open.insert(*id, ()), None, "opened twice: {record:?}");
                }
                Owned::Segment { id, len, fin, rst, .. } => {
                    assert!(open.contains_key(id), "not open: {record:?}");
                    assert!(*len > 0 || *fin || *rst, "says nothing: {record:?}");
                    delivered += u64::from(*len);
                }
                Owned::ConnectFailed { id, .. } => assert!(!open.contains_key(id), "open: {record:?}"),
                Owned::Secret { .. } => {}
                Owned::Closed { id, .. } => assert!(open.remove(id).is_some(), "not open: {record:?}"),
            }
        }
        assert!(open.is_empty(), "never closed: {open:?}");
        assert_eq!((self.counters.connections, self.counters.delivered_bytes), (opened, delivered));
    }

    /// The connections, in the order in which they were opened.
    fn opened(&self) -> Vec<(ConnectionId, How, Tuple)> {
        let opened = |record: &Owned| match *record {
            Owned::Opened { id, how, tuple, .. } => Some((id, how, tuple)),
            _ => None,
        };
        self.records.iter().filter_map(opened).collect()
    }

    /// The only connection.
    #[track_caller]
    fn only(&self) -> ConnectionId {
        match self.opened().as_slice() {
            [(id, ..)] => *id,
            opened => panic!("not one connection: {opened:?}"),
        }
    }

    /// One direction put together by offsets. What overlaps must not contradict, and nothing may be missing.
    #[track_caller]
    fn stream(&self, id: ConnectionId, direction: Direction) -> Stream {
        let mut stream = Stream::default();
        let mut bytes: Vec<Option<u8>> = Vec::new();
        for record in &self.records {
            let Owned::Segment { id: of, direction: way, offset, bytes: part, fin, rst, len, .. } = record
            else {
                continue;
            };
            if *of != id || *way != direction {
                continue;
            }
            let start = usize::try_from(*offset).unwrap();
            if !part.is_empty() {
                bytes.resize(bytes.len().max(start + part.len()), None);
            }
            for (at, byte) in (start..).zip(part) {
                assert!(bytes[at].is_none_or(|known| known == *byte), "contradiction at {at}");
                bytes[at] = Some(*byte);
            }
            if *fin {
                stream.fins.push(offset + u64::from(*len));
            }
            stream.reset |= rst;
        }
        stream.bytes = bytes.into_iter().map(|byte| byte.expect("a gap")).collect();
        stream
    }

    /// Both directions as text.
    #[track_caller]
    fn texts(&self, id: ConnectionId) -> (String, String) {
        let text = |way| String::from_utf8(self.stream(id, way).bytes).unwrap();
        (text(Direction::Ingress), text(Direction::Egress))
    }
}
