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
    arrivals: VecDeque<(Nanos, Tuple)>,
    bytes: usize,
}

impl Early {
    /// Keeps a piece.
    pub(super) fn push(&mut self, tuple: Tuple, piece: Piece, coverage: &mut Coverage) {
        let (time, size) = (piece.time, piece.bytes.len());
        while self.pieces.len() >= MAX_CONNECTIONS || self.bytes + size > MAX_BYTES {
            let Some((_, oldest)) = self.arrivals.pop_front() else { break };
            self.forget(&oldest, coverage, time);
        }
        self.arrivals.push_back((time, tuple));
        self.bytes += size;
        self.pieces.entry(tuple).or_default().push(piece);
    }

    /// Gives out what came for a connection that is established now.
    pub(super) fn take(&mut self, tuple: &Tuple) -> Vec<Piece> {
        if self.pieces.is_empty() {
            return Vec::new();
        }
        let pieces = self.pieces.remove(tuple).unwrap_or_default();
        self.bytes -= pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        pieces
    }

    /// Lets go of what came long before `now`: its handshake never ended.
    pub(super) fn expire(&mut self, now: Nanos, coverage: &mut Coverage) {
        while let Some(&(time, tuple)) = self.arrivals.front() {
            if time.saturating_add(MAX_AGE) > now {
                break;
            }
            self.arrivals.pop_front();
            self.forget(&tuple, coverage, now.min(time.saturating_add(MAX_AGE)));
        }
    }

    fn forget(&mut self, tuple: &Tuple, coverage: &mut Coverage, now: Nanos) {
        let pieces = self.take(tuple);
        let bytes = pieces.iter().map(|piece| u64::from(piece.len)).sum();
        if !pieces.is_empty() {
            coverage.count(Loss::NeverEstablished, 1, bytes, now);
        }
    }
}
