//! One direction of an HTTP/1 connection: where in its messages it stands, and what became of every byte.
//!
//! Invariant: the bytes fed are the sum of the [`Counts`] and of what is held; a held byte is counted when it is read.

use super::Limits;
use super::chunked::Chunked;
use super::exchange::{Message, Reason};
use super::malformed::Malformed;
use crate::assemble::{Absence, Piece};
use crate::capture::record::Nanos;

/// What became of the bytes of one direction. Every byte is in exactly one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Read: heads, chunk framing, trailers, empty lines before requests; what came before HTTP.
    pub framing: u64,
    /// Bodies and tunnels.
    pub body: u64,
    /// Bodies and tunnels, not copied because not needed.
    pub skipped: u64,
    /// Never seen.
    pub missing: u64,
    /// Seen, copied or not, and not understood.
    pub unparsed: u64,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.framing + self.body + self.skipped + self.missing + self.unparsed
    }

    pub(in crate::decode) fn absent(&mut self, len: u64, reason: Absence) {
        match reason {
            Absence::Unwanted => self.skipped += len,
            Absence::Lost => self.missing += len,
        }
    }
}

/// Where a direction stands.
#[derive(Debug)]
pub(super) enum State {
    /// At the start of a message, or in its head.
    Head,
    /// In a body.
    Body(Body),
    /// In another protocol, after 101 or CONNECT.
    Tunnel,
    /// Behind a request that may turn the connection into a tunnel: what follows is held until that is known.
    Wait,
    /// Boundaries are not known.
    Unread(Unread),
}

/// A body that has not ended.
#[derive(Debug)]
pub(super) enum Body {
    Exact(u64),
    Chunked(Chunked),
    Close,
}

/// A stretch that is not understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    pub(super) reason: Reason,
    /// Where the part that no trouble has told of begins.
    pub(super) from: u64,
    /// How much of it there is.
    pub(super) bytes: u64,
}

/// The beginning of a head whose end has not come.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) bytes: Vec<u8>,
    /// Where to go on searching for its end.
    pub(super) searched: usize,
    pub(super) since: Nanos,
}

/// Pieces that wait until it is known what they are.
#[derive(Debug, Default)]
pub(in crate::decode) struct Hold {
    pub(in crate::decode) pieces: Vec<(Kept, Nanos)>,
    /// Bytes they stand for.
    pub(in crate::decode) len: u64,
    /// Bytes they take in memory, about.
    pub(in crate::decode) weight: usize,
}

/// A piece with its own bytes.
#[derive(Debug)]
pub(in crate::decode) enum Kept {
    Data(Box<[u8]>),
    Hole(u64, Absence),
    Fin,
}

impl Hold {
    pub(in crate::decode) fn push(&mut self, piece: Piece<'_>, time: Nanos) {
        let kept = match piece {
            Piece::Data(bytes) => {
                self.len += bytes.len() as u64;
                self.weight += bytes.len();
                Kept::Data(bytes.into())
            }
            Piece::Hole { len, reason } => {
                self.len += len;
                Kept::Hole(len, reason)
            }
            Piece::Fin | Piece::Reset => Kept::Fin,
        };
        self.weight += size_of::<(Kept, Nanos)>();
        self.pieces.push((kept, time));
    }
}

impl Kept {
    pub(in crate::decode) fn piece(&self) -> Piece<'_> {
        match self {
            Self::Data(bytes) => Piece::Data(bytes),
            Self::Hole(len, reason) => Piece::Hole { len: *len, reason: *reason },
            Self::Fin => Piece::Fin,
        }
    }
}

/// A reading that may prove wrong: what to return to.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) unread: Unread,
    pub(super) counts: Counts,
    /// Where the turn of requests began that the reading supposes.
    pub(super) turn: u64,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    /// Stream offset behind the last byte that is counted.
    pub(super) offset: u64,
    pub(super) counts: Counts,
    pub(super) state: State,
    pub(super) partial: Option<Box<Partial>>,
    pub(super) hold: Option<Box<Hold>>,
    pub(super) probe: Option<Box<Probe>>,
    pub(super) fin: bool,
}

/// What a step through a body did.
pub(super) struct Progress {
    pub(super) taken: u64,
    pub(super) complete: bool,
}

impl Lane {
    pub(super) fn new(state: State) -> Self {
        Self {
            offset: 0,
            counts: Counts::default(),
            state,
            partial: None,
            hold: None,
            probe: None,
            fin: false,
        }
    }

    /// Stream offset behind the last byte that was delivered to this lane's state.
    pub(super) fn reached(&self) -> u64 {
        self.offset + self.partial.as_ref().map_or(0, |partial| partial.bytes.len() as u64)
    }

    /// Bytes that are held and not counted.
    pub(super) fn pending(&self) -> u64 {
        self.reached() - self.offset + self.hold.as_ref().map_or(0, |hold| hold.len)
    }

    /// Bytes of memory that hold what is not read yet.
    pub(super) fn held_bytes(&self) -> usize {
        let partial = self.partial.as_ref().map_or(0, |partial| partial.bytes.capacity());
        partial + self.hold.as_ref().map_or(0, |hold| hold.weight)
    }

    /// Whether a message may start with the next byte.
    pub(super) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Head) && self.partial.is_none()
    }

    pub(super) fn count_framing(&mut self, len: usize) {
        self.counts.framing += len as u64;
        self.offset += len as u64;
    }

    /// Counts bytes that are not understood; `absent` if they are not there.
    pub(super) fn count_unread(&mut self, len: u64, absent: Option<Absence>) {
        self.offset += len;
        match absent {
            Some(Absence::Lost) => self.counts.missing += len,
            Some(Absence::Unwanted) | None => self.counts.unparsed += len,
        }
        if let State::Unread(unread) = &mut self.state {
            unread.bytes += len;
        }
    }

    /// Counts bytes of a tunnel.
    pub(super) fn count_tunnel(&mut self, len: u64, absent: Option<Absence>) {
        self.offset += len;
        match absent {
            Some(reason) => self.counts.absent(len, reason),
            None => self.counts.body += len,
        }
    }

    /// Gives up what is held of a head: its bytes are counted as not understood.
    pub(super) fn drop_partial(&mut self) -> u64 {
        let len = self.partial.take().map_or(0, |partial| partial.bytes.len() as u64);
        self.count_unread(len, None);
        len
    }

    /// Reads some of a body from `bytes`, which are not empty.
    pub(super) fn read_body(
        &mut self,
        message: &mut Message,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Progress, Malformed> {
        let State::Body(body) = &mut self.state else { return Ok(Progress { taken: 0, complete: true }) };
        let (taken, data, complete) = match body {
            Body::Exact(left) => {
                let taken = (*left).min(bytes.len() as u64);
                *left -= taken;
                (taken, true, *left == 0)
            }
            Body::Close => (bytes.len() as u64, true, false),
            Body::Chunked(chunked) => {
                let step = chunked.step(bytes, limits)?;
                if step.trailers.is_some() {
                    message.trailers = step.trailers;
                }
                (step.taken as u64, step.data, matches!(chunked, Chunked::Done))
            }
        };
        self.offset += taken;
        message.wire_bytes += taken;
        if data {
            self.counts.body += taken;
            message.body_bytes += taken;
        } else {
            self.counts.framing += taken;
        }
        Ok(Progress { taken, complete })
    }

    /// Skips some of a body that is not there. Takes nothing where framing would be skipped.
    pub(super) fn skip_body(&mut self, message: &mut Message, len: u64, reason: Absence) -> Progress {
        let State::Body(body) = &mut self.state else { return Progress { taken: 0, complete: false } };
        let (taken, complete) = match body {
            Body::Exact(left) => {
                let taken = (*left).min(len);
                *left -= taken;
                (taken, *left == 0)
            }
            Body::Close => (len, false),
            Body::Chunked(chunked) => {
                let taken = chunked.data_left().min(len);
                chunked.skip(taken);
                (taken, false)
            }
        };
        self.offset += taken;
        self.counts.absent(taken, reason);
        message.absent(taken, reason);
        message.wire_bytes += taken;
        message.body_bytes += taken;
        Progress { taken, complete }
    }
}

impl Message {
    pub(in crate::decode) fn absent(&mut self, len: u64, reason: Absence) {
        match reason {
            Absence::Unwanted => self.unwanted_bytes += len,
            Absence::Lost => self.missing_bytes += len,
        }
    }
}
