//! One direction: where in its records it stands, its keys, what it holds back, and what became of its bytes.
//!
//! Invariant: the bytes fed are the sum of the [`Counts`] and of what is pending.

use std::collections::VecDeque;

use super::handshake::Messages;
use super::keys::Keys;
use super::record::{Held, Reader};
use super::search::Search;
use super::secrets::Secret;
use super::trouble::Reason;
use crate::assemble::{Absence, Piece};
use crate::capture::record::Nanos;

/// Whose bytes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// Which keys protect a direction of TLS 1.3. Before TLS 1.3 always clear; there `ChangeCipherSpec` turns protection on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Clear,
    Early,
    Handshake,
    Application,
}

/// What a record waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The version and the suite.
    ServerHello,
    /// Whether early data counts.
    EarlyData,
    /// A secret.
    Key,
    /// The same: those that are there under its name do not open the record.
    OtherKey,
}

/// Why a record was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It may be readable later.
    Wait(Wait),
    /// It is passed over; nothing that follows depends on it.
    Skip(Reason),
    /// Neither it nor what follows can be read.
    Unread(Reason),
}

/// What became of a direction's bytes, as they were on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In records that were read, or passed over because nobody needed them.
    pub read: u64,
    /// In records that could not be read, and those that were lost.
    pub unread: u64,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.read + self.unread
    }
}

/// A stretch that is not read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    pub(super) reason: Reason,
    /// Where it begins.
    pub(super) origin: u64,
    /// Where the part that no trouble has told of begins.
    pub(super) from: u64,
}

/// What is held back until a record can be read: that record, and all pieces after it.
#[derive(Debug)]
pub(super) struct Backlog {
    /// None: it has been read, and the pieces are next.
    pub(super) record: Option<Box<Held>>,
    pub(super) wait: Wait,
    /// When the record was complete.
    pub(super) since: Nanos,
    pub(super) pieces: VecDeque<(Kept, Nanos)>,
    weight: usize,
}

/// A piece with its own bytes.
#[derive(Debug)]
pub(super) enum Kept {
    Data(Box<[u8]>),
    Hole(u64, Absence),
    Fin,
    Reset,
}

impl Kept {
    pub(super) fn copy(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Data(bytes) => Self::Data(bytes.into()),
            Piece::Hole { len, reason } => Self::Hole(len, reason),
            Piece::Fin => Self::Fin,
            Piece::Reset => Self::Reset,
        }
    }

    pub(super) fn piece(&self) -> Piece<'_> {
        match self {
            Self::Data(bytes) => Piece::Data(bytes),
            Self::Hole(len, reason) => Piece::Hole { len: *len, reason: *reason },
            Self::Fin => Piece::Fin,
            Self::Reset => Piece::Reset,
        }
    }

    fn weight(&self) -> usize {
        size_of::<(Self, Nanos)>() + if let Self::Data(bytes) = self { bytes.len() } else { 0 }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Data(bytes) => bytes.len() as u64,
            Self::Hole(len, _) => *len,
            Self::Fin | Self::Reset => 0,
        }
    }
}

impl Backlog {
    pub(super) fn new(record: Box<Held>, wait: Wait, since: Nanos) -> Box<Self> {
        let weight = record.weight();
        Box::new(Self { record: Some(record), wait, since, pieces: VecDeque::new(), weight })
    }

    pub(super) fn push_back(&mut self, piece: Piece<'_>, time: Nanos) {
        // Long bodies that nobody wants come as many holes: they grow one.
        if let Piece::Hole { len, reason } = piece
            && let Some((Kept::Hole(last, same), _)) = self.pieces.back_mut()
            && *same == reason
        {
            *last = last.saturating_add(len);
            return;
        }
        let kept = Kept::copy(piece);
        self.weight += kept.weight();
        self.pieces.push_back((kept, time));
    }

    pub(super) fn push_front(&mut self, piece: Piece<'_>, time: Nanos) {
        let kept = Kept::copy(piece);
        self.weight += kept.weight();
        self.pieces.push_front((kept, time));
    }

    pub(super) fn append(&mut self, mut later: Self) {
        self.pieces.append(&mut later.pieces);
        self.weight += later.weight;
    }

    pub(super) fn pop(&mut self) -> Option<(Kept, Nanos)> {
        let popped = self.pieces.pop_front()?;
        self.weight = self.weight.saturating_sub(popped.0.weight());
        Some(popped)
    }

    pub(super) fn take_record(&mut self) -> Option<Box<Held>> {
        let record = self.record.take()?;
        self.weight = self.weight.saturating_sub(record.weight());
        Some(record)
    }

    pub(super) fn put_record(&mut self, record: Box<Held>, wait: Wait, since: Nanos) {
        self.weight += record.weight();
        (self.record, self.wait, self.since) = (Some(record), wait, since);
    }

    /// Bytes of memory.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Bytes of the stream.
    pub(super) fn len(&self) -> u64 {
        let record = self.record.as_ref().map_or(0, |record| record.wire_len() as u64);
        record.saturating_add(self.pieces.iter().fold(0u64, |sum, (kept, _)| sum.saturating_add(kept.len())))
    }
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) reader: Reader,
    pub(super) messages: Messages,
    /// Stream offset behind the last record that is counted.
    pub(super) offset: u64,
    /// Bytes of plaintext given out.
    pub(super) plain: u64,
    pub(super) counts: Counts,
    pub(super) stage: Stage,
    pub(super) keys: Option<Keys>,
    /// What a key update derives the next secret from.
    pub(super) secret: Option<Secret>,
    /// Number of the next protected record under these keys.
    pub(super) sequence: u64,
    /// The tag of the record that is being read is right; of a record that is there in part nobody knows.
    pub(super) verified: bool,
    /// Records under these keys were passed over: where the others stand is not known, should the secret come yet.
    pub(super) leapt: bool,
    /// The last secret that was tried.
    pub(super) tried: u64,
    /// The last secret that had come when none of the connection's name opened the record that waits.
    pub(super) vain: Option<u64>,
    /// `ChangeCipherSpec` was seen: before TLS 1.3 everything after it is protected.
    pub(super) changed: bool,
    /// A key update may have been in a record that could not be read.
    pub(super) unsure: bool,
    /// Plaintext is missing before the next byte of it, and the sink has been told.
    pub(super) gap: bool,
    /// The same, and the sink has not been told.
    pub(super) gap_pending: bool,
    /// The end of the plaintext has been given out.
    pub(super) closed: bool,
    pub(super) unread: Option<Unread>,
    /// Only while it is not read.
    pub(super) search: Option<Box<Search>>,
    /// Bytes that searches have tried.
    pub(super) searched: u64,
    pub(super) backlog: Option<Box<Backlog>>,
}

impl Lane {
    /// From now on the keys are others, if any.
    pub(super) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.rekey();
    }

    /// The keys are to be found anew.
    pub(super) fn rekey(&mut self) {
        (self.keys, self.secret, self.sequence, self.leapt) = (None, None, 0, false);
        (self.tried, self.vain) = (0, None);
    }

    pub(super) fn count_read(&mut self, len: u64) {
        self.counts.read += len;
        self.offset += len;
    }

    pub(super) fn count_unread(&mut self, len: u64) {
        self.counts.unread += len;
        self.offset += len;
    }

    /// Bytes of the stream that are held and not counted.
    pub(super) fn pending(&self) -> u64 {
        let backlog = self.backlog.as_ref().map_or(0, |backlog| backlog.len());
        let search = self.search.as_ref().map_or(0, |search| search.pending());
        backlog.saturating_add((self.reader.pending() + search) as u64)
    }

    /// Bytes of memory that are held.
    pub(super) fn weight(&self) -> usize {
        let backlog = self.backlog.as_ref().map_or(0, |backlog| backlog.weight());
        let search = self.search.as_ref().map_or(0, |search| search.weight());
        backlog + search + self.reader.weight() + self.messages.weight()
    }
}
