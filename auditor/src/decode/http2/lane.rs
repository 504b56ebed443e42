//! One direction of an HTTP/2 connection: where in its frames it stands, and what became of every byte.

use super::defect::Defect;
use super::frame::{Frame, HEADER_BYTES, Kind, flag};
use super::search::Search;
use super::settings::Settings;
use crate::assemble::Absence;
use crate::capture::record::Nanos;
use crate::decode::exchange::Reason;
use crate::decode::hpack;
use crate::decode::http1::connection::Counts;
use crate::decode::http1::lane::Hold;
use crate::decode::malformed::Malformed;

/// Where a direction stands.
#[derive(Debug)]
pub(super) enum State {
    /// In the preface, of which so much was read.
    Preface(usize),
    /// At a boundary, or in the header of a frame.
    Header,
    /// In a frame's payload.
    Payload(Payload),
    /// Boundaries are not known, and searched for.
    Lost(Box<Lost>),
    /// Nothing is read any more.
    Unread(Unread),
}

/// The payload of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    pub(super) frame: Frame,
    /// Bytes of it that have not come, and of those the padding at its end.
    pub(super) left: u32,
    pub(super) padding: u32,
    pub(super) part: Part,
    /// Some of it was not seen.
    pub(super) damaged: bool,
}

/// What the next byte of a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The length of the padding of `DATA`.
    PadLength,
    /// Of a body, or the padding behind it.
    Body,
    /// Of a frame with fields.
    Fields,
    /// Of `SETTINGS`.
    Settings,
    /// Of a frame whose first bytes matter.
    Small,
    /// Of no interest.
    Skip,
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

/// A stretch that is not understood, in which a boundary is searched for.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) unread: Unread,
    pub(super) search: Search,
}

/// Why a header block is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Bytes of it are missing.
    Hole,
    /// It is longer than the bound, or in more frames.
    TooLarge,
    /// Its direction ended.
    Unfinished,
}

/// A header block (RFC 9113, 4.3): what its first frame says, and the fragments as far as they have come.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    /// It is of `PUSH_PROMISE`.
    pub(super) push: bool,
    pub(super) end_stream: bool,
    /// Stream offset of the first frame, and when its first byte came.
    pub(super) offset: u64,
    pub(super) first: Nanos,
    /// Bytes of its frames.
    pub(super) wire: u64,
    pub(super) frames: u32,
    pub(super) cut: Option<Cut>,
    pub(super) bytes: Vec<u8>,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    /// Stream offset behind the last byte that was read or counted.
    pub(super) offset: u64,
    pub(super) counts: Counts,
    pub(super) state: State,
    /// The header of a frame, or a few bytes of a payload, as far as they have come.
    pub(super) buffer: [u8; HEADER_BYTES],
    pub(super) filled: usize,
    /// Stream offset of the current frame, and when its first byte came.
    pub(super) frame_offset: u64,
    pub(super) first: Nanos,
    /// The payload of a frame with fields, as far as it has come.
    pub(super) partial: Vec<u8>,
    /// A header block that goes on in the next frame.
    pub(super) block: Option<Box<Block>>,
    pub(super) hpack: hpack::Decoder,
    /// What this side announced: bounds the other.
    pub(super) settings: Settings,
    pub(super) hold: Option<Box<Hold>>,
    /// The first frame was seen.
    pub(super) begun: bool,
    /// The largest frame so far.
    pub(super) largest: u32,
    pub(super) fin: bool,
}

impl Lane {
    pub(super) fn new(state: State, settings: Settings) -> Self {
        let begun = matches!(state, State::Lost(_));
        Self {
            offset: 0,
            counts: Counts::default(),
            state,
            buffer: [0; HEADER_BYTES],
            filled: 0,
            frame_offset: 0,
            first: 0,
            partial: Vec::new(),
            block: None,
            hpack: hpack::Decoder::default(),
            settings,
            hold: None,
            begun,
            largest: 0,
            fin: false,
        }
    }

    /// Boundaries are known.
    pub(super) fn in_step(&self) -> bool {
        matches!(self.state, State::Preface(_) | State::Header | State::Payload(_))
    }

    pub(super) fn count_framing(&mut self, len: usize) {
        self.counts.framing += len as u64;
        self.offset += len as u64;
    }

    /// Counts bytes of a body that were read, or that are not there.
    pub(super) fn count_body(&mut self, len: u64, absent: Option<Absence>) {
        self.offset += len;
        match absent {
            Some(reason) => self.counts.absent(len, reason),
            None => self.counts.body += len,
        }
    }

    /// Counts bytes that are not understood.
    pub(super) fn count_unread(&mut self, len: u64, absent: Option<Absence>) {
        self.offset += len;
        match absent {
            Some(Absence::Lost) => self.counts.missing += len,
            Some(Absence::Unwanted) | None => self.counts.unparsed += len,
        }
        match &mut self.state {
            State::Lost(lost) => lost.unread.bytes += len,
            State::Unread(unread) => unread.bytes += len,
            State::Preface(_) | State::Header | State::Payload(_) => {}
        }
    }

    /// Bytes that were read as frames, and that make no event for all that.
    pub(super) fn count_refused(&mut self, len: u64) {
        let len = len.min(self.counts.framing);
        self.counts.framing -= len;
        self.counts.unparsed += len;
    }

    /// Fills the buffer up to `want` bytes; gives how many it took.
    pub(super) fn fill(&mut self, bytes: &[u8], want: usize) -> usize {
        let room = self.buffer.get_mut(self.filled..want).unwrap_or_default();
        let taken = room.len().min(bytes.len());
        if let (Some(to), Some(from)) = (room.get_mut(..taken), bytes.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.filled += taken;
        taken
    }

    /// Takes fields of a frame's payload that are not all there yet. What passes the bound is not kept.
    pub(super) fn keep_fields(&mut self, bytes: &[u8], bound: usize) {
        let room = bound.saturating_sub(self.partial.len()).min(bytes.len());
        self.partial.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }

    /// The stretch that is not understood, if it is in one.
    pub(super) fn unread(&self) -> Option<Unread> {
        match &self.state {
            State::Lost(lost) => Some(lost.unread),
            State::Unread(unread) => Some(*unread),
            State::Preface(_) | State::Header | State::Payload(_) => None,
        }
    }
}

impl Payload {
    /// How the payload of a frame is read.
    pub(super) fn new(frame: Frame) -> Self {
        let part = match frame.kind {
            Kind::Data if frame.has(flag::PADDED) => Part::PadLength,
            Kind::Data => Part::Body,
            Kind::Headers | Kind::PushPromise | Kind::Continuation => Part::Fields,
            Kind::Settings => Part::Settings,
            Kind::RstStream | Kind::GoAway => Part::Small,
            Kind::Priority | Kind::Ping | Kind::WindowUpdate | Kind::Unknown => Part::Skip,
        };
        Self { frame, left: frame.length, padding: 0, part, damaged: false }
    }
}

impl Block {
    /// The block that a frame begins, and the fragment in its payload. `payload` may be cut at its end.
    pub(super) fn begin<'a>(
        frame: &Frame,
        payload: &'a [u8],
        offset: u64,
        first: Nanos,
    ) -> Result<(Self, &'a [u8]), Defect> {
        let (mut rest, mut padding) = (payload, 0);
        let mut length = frame.length as usize;
        if frame.has(flag::PADDED) {
            let (pad, behind) = rest.split_first().ok_or(Defect::FrameLength)?;
            (rest, padding, length) = (behind, usize::from(*pad), length.saturating_sub(1));
        }
        let push = frame.kind == Kind::PushPromise;
        // The promised stream, or a priority.
        let skip = if push {
            4
        } else if frame.has(flag::PRIORITY) {
            5
        } else {
            0
        };
        let (front, fragment) = rest.split_at_checked(skip).ok_or(Defect::FrameLength)?;
        if push && front.last().is_some_and(|last| last % 2 == 1) {
            return Err(Defect::Push);
        }
        // 6.2: padding that is as long as what is left, or longer, is an error; none of a fragment may be left.
        let length = length.saturating_sub(skip).checked_sub(padding).ok_or(Defect::Padding)?;
        let block = Self {
            stream: frame.stream,
            push,
            end_stream: !push && frame.has(flag::END_STREAM),
            offset,
            first,
            wire: (HEADER_BYTES as u64) + u64::from(frame.length),
            frames: 1,
            cut: None,
            bytes: Vec::new(),
        };
        Ok((block, fragment.get(..length).unwrap_or(fragment)))
    }

    /// A block of which only the first frame's header is known.
    pub(super) fn unseen(frame: &Frame, offset: u64, first: Nanos) -> Self {
        Self {
            stream: frame.stream,
            push: frame.kind == Kind::PushPromise,
            end_stream: frame.kind == Kind::Headers && frame.has(flag::END_STREAM),
            offset,
            first,
            wire: (HEADER_BYTES as u64) + u64::from(frame.length),
            frames: 1,
            cut: Some(Cut::Hole),
            bytes: Vec::new(),
        }
    }

    /// Adds a fragment, within the bound.
    pub(super) fn append(&mut self, fragment: &[u8], bound: usize) {
        let room = bound.saturating_sub(self.bytes.len());
        if fragment.len() > room {
            self.cut.get_or_insert(Cut::TooLarge);
        }
        if self.cut.is_none() || self.cut == Some(Cut::TooLarge) {
            self.bytes.extend_from_slice(fragment.get(..room.min(fragment.len())).unwrap_or_default());
        }
    }
}

impl Cut {
    pub(super) fn malformed(self) -> Option<Malformed> {
        match self {
            Self::Hole => None,
            Self::TooLarge => Some(Malformed::HeadTooLarge),
            Self::Unfinished => Some(Malformed::Unfinished),
        }
    }
}
