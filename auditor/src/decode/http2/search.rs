//! Finds the boundary of a frame in a direction where boundaries were lost, by elimination.
//!
//! Whatever stands in a frame, its end is near: no further than the largest frame. So the true boundary is among the
//! offsets of a window of that size. From each of them a chain is followed: a header that is plausible there, and at the
//! place that its length says the next one. The chain of the true boundaries never ends, as the sender obeys the rules; a
//! false one ends where a header is not plausible, or runs into the true one. When the window has passed and one chain is
//! left, that one is true. No byte of a body can become a frame by what it looks like: a body that holds frames leaves two
//! chains, and nothing is decided while there are two.
//!
//! The largest frame is what the settings allow, but not more than the larger of 16 KiB and the largest frame that this
//! side has sent: nginx allows 16 MiB, and hardly anything sends that. So a sender that hides its first larger frame in
//! what was missed, and in it a chain of frames, could mislead it.

use std::collections::BTreeMap;

use super::frame::{DEFAULT_FRAME, Frame, HEADER_BYTES, Kind, Role, flag};

/// Chains followed at once; past it the search begins anew. Small frames in a row look like one every few bytes to which
/// a large one belongs, for the 16 KiB that this takes: a thousand.
const MAX_CHAINS: usize = 2048;
/// Frames of a known type that a chain must have.
const MIN_FRAMES: u32 = 3;
/// Bytes kept from one call to the next.
const TAIL: usize = HEADER_BYTES - 1;

/// What bounds a plausible frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) role: Role,
    /// The largest frame.
    pub(super) frame: u32,
    /// The highest stream.
    pub(super) stream: u32,
}

/// A boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// Its stream offset; it may lie beyond the bytes that were given.
    pub(super) offset: u64,
    /// The stream whose header block goes on there.
    pub(super) continues: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Search {
    rules: Rules,
    /// Offset behind the last byte that was given.
    end: u64,
    /// The last bytes that were given.
    tail: [u8; TAIL],
    tail_len: usize,
    /// The next offset from which to follow a chain.
    scanned: u64,
    /// Behind the last one.
    window_end: u64,
    /// By where their next header is: how many frames of a known type they have. Chains that meet are one.
    chains: BTreeMap<Found, u32>,
}

impl Search {
    /// Searches from a stream offset on.
    pub(super) fn new(rules: Rules, offset: u64) -> Self {
        let mut search = Self {
            rules,
            end: offset,
            tail: [0; TAIL],
            tail_len: 0,
            scanned: 0,
            window_end: 0,
            chains: BTreeMap::new(),
        };
        search.restart();
        search
    }

    /// Bytes are missing here as well.
    pub(super) fn hole(&mut self, len: u64) {
        self.end = self.end.saturating_add(len);
        self.restart();
    }

    fn restart(&mut self) {
        self.tail_len = 0;
        self.scanned = self.end;
        // A boundary lies at most behind the rest of a frame, which may be all of one.
        self.window_end = self.end.saturating_add(u64::from(self.rules.frame)).saturating_add(9);
        self.chains.clear();
    }

    /// Takes bytes. A boundary that is found lies in them or behind them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Found> {
        let begin = self.end;
        self.end += bytes.len() as u64;
        let tail = self.tail;
        let view = View { tail: tail.get(TAIL - self.tail_len..).unwrap_or_default(), bytes, begin };
        self.follow(&view);
        while self.scanned < self.window_end
            && let Some(frame) = view.frame(self.scanned)
        {
            let here = Found { offset: self.scanned, continues: None };
            self.scanned += 1;
            // What a chain begins with may continue a block that began before.
            if let Some((next, known)) = self.step(here, &frame, true) {
                self.add(next, known);
            }
            if self.chains.len() > MAX_CHAINS {
                self.follow(&view);
            }
            if self.chains.len() > MAX_CHAINS {
                self.keep(bytes);
                self.restart();
                return None;
            }
        }
        self.follow(&view);
        self.keep(bytes);
        if self.scanned < self.window_end {
            return None;
        }
        let (only, frames) = match (self.chains.first_key_value(), self.chains.len()) {
            (Some((next, frames)), 1) => (*next, *frames),
            (None, _) => {
                self.restart();
                return None;
            }
            _ => return None,
        };
        (frames >= MIN_FRAMES && only.offset >= begin).then_some(only)
    }

    /// Follows each chain as far as the bytes go.
    fn follow(&mut self, view: &View<'_>) {
        while let Some(entry) = self.chains.first_entry()
            && let Some(frame) = view.frame(entry.key().offset)
        {
            let (here, frames) = entry.remove_entry();
            if let Some((next, known)) = self.step(here, &frame, false) {
                self.add(next, frames + known);
            }
        }
    }

    fn add(&mut self, next: Found, frames: u32) {
        let known = self.chains.entry(next).or_default();
        *known = frames.max(*known);
    }

    /// Where the next header is, if this frame is plausible, and whether it counts.
    fn step(&self, here: Found, frame: &Frame, first: bool) -> Option<(Found, u32)> {
        let rules = self.rules;
        let fits = match here.continues {
            Some(stream) => frame.kind == Kind::Continuation && frame.stream == stream,
            None => first || frame.kind != Kind::Continuation,
        };
        if !fits || !frame.is_plausible(rules.role, rules.frame, rules.stream) {
            return None;
        }
        let fields = matches!(frame.kind, Kind::Headers | Kind::PushPromise | Kind::Continuation);
        let next = Found {
            offset: here.offset + HEADER_BYTES as u64 + u64::from(frame.length),
            continues: (fields && !frame.has(flag::END_HEADERS)).then_some(frame.stream),
        };
        Some((next, u32::from(frame.kind != Kind::Unknown)))
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk::<TAIL>() {
            (self.tail, self.tail_len) = (*last, TAIL);
            return;
        }
        self.tail.rotate_left(bytes.len());
        if let Some(room) = self.tail.get_mut(TAIL - bytes.len()..) {
            room.copy_from_slice(bytes);
        }
        self.tail_len = (self.tail_len + bytes.len()).min(TAIL);
    }
}

/// The bytes at hand, and the last of those before.
struct View<'a> {
    tail: &'a [u8],
    bytes: &'a [u8],
    /// Offset of the first of `bytes`.
    begin: u64,
}

impl View<'_> {
    /// The header at an offset, if all of it is there.
    fn frame(&self, offset: u64) -> Option<Frame> {
        if let Some(at) = offset.checked_sub(self.begin) {
            let header = self.bytes.get(usize::try_from(at).ok()?..)?.first_chunk()?;
            return Some(Frame::parse(header));
        }
        let back = usize::try_from(self.begin - offset).ok()?;
        let before = self.tail.get(self.tail.len().checked_sub(back)?..)?;
        let mut header = [0; HEADER_BYTES];
        let (front, rest) = header.split_at_mut_checked(before.len())?;
        front.copy_from_slice(before);
        rest.copy_from_slice(self.bytes.get(..rest.len())?);
        Some(Frame::parse(&header))
    }
}

/// The window for a side that may send frames of `allowed`, and has sent one of `largest`.
pub(super) fn largest_frame(allowed: u32, largest: u32) -> u32 {
    allowed.min(largest.max(DEFAULT_FRAME))
}
