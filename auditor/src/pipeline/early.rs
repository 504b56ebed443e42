//! Payload that came before its connection's socket existed: kept by its ends until the connection is established.
//!
//! Anyone can send a packet with payload to a listener, so what is kept is bounded in number, bytes and time; what is let
//! go is counted.

use std::collections::{HashMap, VecDeque};

use super::coverage::{Coverage, Loss};
use crate::capture::record::{Nanos, Tuple};

/// Connections in the making that are kept at most.
const MAX_CONNECTIONS: usize = 4096;
/// Bytes kept for all of them at most.
const MAX_BYTES: usize = 4 << 20;
/// How long a handshake may take: Linux gives up after five SYN-ACKs (`tcp_synack_retries`), 63 s; data that comes before
/// its ACK is sent again with the ACK within a second or two.
const MAX_AGE: Nanos = 10_000_000_000;

/// What a piece weighs beside its bytes: a flood of small ones must not grow past the bound.
const PIECE: usize = size_of::<Piece>() + 16;

/// One piece.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) time: Nanos,
    pub(super) sequence: u32,
    pub(super) len: u32,
    pub(super) bytes: Box<[u8]>,
}

/// All that is kept.
#[derive(Debug, Default)]
pub(super) struct Early {
    pieces: HashMap<Tuple, Vec<Piece>>,
    /// When the first piece of each connection came; what was given out meanwhile may still be named.
    arrivals: VecDeque<(Nanos, Tuple)>,
    bytes: usize,
}

impl Early {
    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.bytes == 0
    }

    /// Keeps a piece.
    pub(super) fn push(&mut self, tuple: Tuple, piece: Piece, coverage: &mut Coverage) {
        let (time, size) = (piece.time, weight(&piece));
        while (self.pieces.len() >= MAX_CONNECTIONS && !self.pieces.contains_key(&tuple))
            || self.bytes + size > MAX_BYTES
        {
            let Some((since, oldest)) = self.arrivals.pop_front() else { break };
            self.forget(since, &oldest, coverage, time);
        }
        if self.arrivals.len() >= 2 * MAX_CONNECTIONS {
            let pieces = &self.pieces;
            self.arrivals.retain(|(since, tuple)| is_of(pieces, *since, tuple));
        }
        self.bytes += size;
        let pieces = self.pieces.entry(tuple).or_default();
        if pieces.is_empty() {
            self.arrivals.push_back((time, tuple));
        }
        pieces.push(piece);
    }

    /// Gives out what came for a connection that is established now.
    pub(super) fn take(&mut self, tuple: &Tuple) -> Vec<Piece> {
        if self.pieces.is_empty() {
            return Vec::new();
        }
        let pieces = self.pieces.remove(tuple).unwrap_or_default();
        self.bytes -= pieces.iter().map(weight).sum::<usize>();
        pieces
    }

    /// Lets go of what came long before `now`: its handshake never ended.
    pub(super) fn expire(&mut self, now: Nanos, coverage: &mut Coverage) {
        while let Some(&(time, tuple)) = self.arrivals.front() {
            if time.saturating_add(MAX_AGE) > now {
                break;
            }
            self.arrivals.pop_front();
            self.forget(time, &tuple, coverage, now.min(time.saturating_add(MAX_AGE)));
        }
    }

    /// Lets go of what came for a connection since `since`; the same ends may be in use again by another one.
    fn forget(&mut self, since: Nanos, tuple: &Tuple, coverage: &mut Coverage, now: Nanos) {
        if !is_of(&self.pieces, since, tuple) {
            return;
        }
        let pieces = self.take(tuple);
        let bytes = pieces.iter().map(|piece| u64::from(piece.len)).sum();
        if !pieces.is_empty() {
            coverage.count(Loss::NeverEstablished, 1, bytes, now);
        }
    }
}

fn weight(piece: &Piece) -> usize {
    PIECE + piece.bytes.len()
}

/// Whether what is kept for a connection began to come at `since`.
fn is_of(pieces: &HashMap<Tuple, Vec<Piece>>, since: Nanos, tuple: &Tuple) -> bool {
    pieces.get(tuple).and_then(|pieces| pieces.first()).is_some_and(|first| first.time == since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn tuple(port: u16) -> Tuple {
        Tuple { local: ([127, 0, 0, 1], 80).into(), remote: ([127, 0, 0, 2], port).into() }
    }

    fn piece(time: Nanos, size: usize) -> Piece {
        Piece { time, sequence: 1, len: u32::try_from(size).unwrap(), bytes: vec![0; size].into() }
    }

    #[test]
    fn the_same_ends_again_do_not_inherit_the_age_of_those_before() {
        let (mut early, mut coverage) = (Early::default(), Coverage::default());
        early.push(tuple(1), piece(0, 10), &mut coverage);
        assert_eq!(early.take(&tuple(1)).len(), 1);
        early.push(tuple(1), piece(9 * SECOND, 10), &mut coverage);
        early.expire(11 * SECOND, &mut coverage);
        assert_eq!(early.take(&tuple(1)).len(), 1, "let go of after two seconds");
        assert_eq!(early.bytes, 0);
    }

    #[test]
    fn what_is_never_established_is_let_go() {
        let (mut early, mut coverage) = (Early::default(), Coverage::default());
        early.push(tuple(1), piece(0, 10), &mut coverage);
        early.push(tuple(1), piece(SECOND, 10), &mut coverage);
        early.expire(10 * SECOND - 1, &mut coverage);
        assert_eq!(early.pieces.len(), 1);
        early.expire(10 * SECOND, &mut coverage);
        assert!(early.pieces.is_empty() && early.arrivals.is_empty() && early.bytes == 0);
        assert_eq!(coverage.told(Loss::NeverEstablished), (1, 20));
    }

    #[test]
    fn bounded_in_number_bytes_and_names() {
        let (mut early, mut coverage) = (Early::default(), Coverage::default());
        for time in 0..200_000 {
            early.push(tuple(1), piece(time, 1), &mut coverage);
        }
        let kept: usize = early.pieces.values().map(Vec::len).sum();
        assert!(kept * size_of::<Piece>() <= MAX_BYTES, "{kept} pieces of a byte");
        let (_, lost) = coverage.told(Loss::NeverEstablished);
        assert_eq!(lost + kept as u64, 200_000);
        for port in 2..60_000 {
            early.push(tuple(port), piece(300_000, 1), &mut coverage);
            early.take(&tuple(port - 1));
        }
        assert!(early.pieces.len() <= MAX_CONNECTIONS && early.arrivals.len() <= 2 * MAX_CONNECTIONS);
    }
}
