//! One direction of a connection, put in order.
//!
//! Consumes segments as they come: again, overlapping, out of order, with bytes left out. Produces [`Piece`]s in order.
//! Data that comes in order passes through without a copy; what comes early is held within [`Limits`], and then the
//! missing range before it becomes a hole. Of two copies of a byte the first counts. Times never decide anything but age.

use super::held::{Ranges, What};
use super::{Absence, Piece};
use crate::capture::record::{Direction, Nanos, Segment};

#[cfg(test)]
mod tests;

/// How much a stream may hold while it waits for a missing range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Copied bytes.
    pub bytes: usize,
    /// Separate ranges.
    pub ranges: usize,
    /// How long a missing range is waited for since the stream last advanced, nanoseconds.
    pub age: Nanos,
}

impl Default for Limits {
    /// 256 KiB in 512 ranges; three seconds, which outlasts the first retransmissions of Linux (RFC 6298: 0.2, 0.4, 0.8 s).
    fn default() -> Self {
        Self { bytes: 256 * 1024, ranges: 512, age: 3_000_000_000 }
    }
}

/// What a stream has met, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Payload bytes that came again, or after they had been given up.
    pub duplicate_bytes: u64,
    /// Payload bytes beyond the end of the stream.
    pub beyond_bytes: u64,
    /// Bytes that were given up: the holes of [`Absence::Lost`].
    pub lost_bytes: u64,
    /// Segments that contradict what was held, or ends that contradict what is known of the stream's length.
    pub contradictions: u32,
    /// Resets that the receiving TCP would not have obeyed (RFC 5961, 3.2).
    pub resets_refused: u32,
}

/// One direction of a connection. About a hundred bytes while nothing is missing.
#[derive(Debug, Default)]
pub struct Stream {
    next: u64,
    end: Option<u64>,
    over: bool,
    counts: Counts,
    waiting: Option<Box<Waiting>>,
}

/// Kept only while a range is missing.
#[derive(Debug)]
struct Waiting {
    ranges: Ranges,
    /// When the stream last advanced, or began to wait.
    since: Nanos,
}

impl Stream {
    /// A stream of which nothing has been seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The offset up to which the stream has been given out.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.next
    }

    /// What it has met.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether something is held back because a range before it is missing.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Copied bytes that are held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.ranges.bytes())
    }

    /// When [`Self::expire`] will give up the missing range, if one is waited for.
    #[must_use]
    pub fn deadline(&self, limits: &Limits) -> Option<Nanos> {
        self.waiting.as_ref().map(|waiting| waiting.since.saturating_add(limits.age))
    }

    /// Takes a segment of this direction and gives out what has become contiguous, each piece with the time it was seen.
    pub fn push(
        &mut self,
        limits: &Limits,
        segment: &Segment<'_>,
        time: Nanos,
        out: &mut impl FnMut(Piece<'_>, Nanos),
    ) {
        if segment.rst {
            return self.reset(segment, time, out);
        }
        let Some(end) = segment.offset.checked_add(u64::from(segment.len)) else {
            self.counts.beyond_bytes += u64::from(segment.len);
            return;
        };
        if self.over {
            let fresh = end.saturating_sub(self.next.max(segment.offset));
            self.counts.beyond_bytes += fresh;
            self.counts.duplicate_bytes += u64::from(segment.len) - fresh;
            return;
        }
        if segment.fin {
            self.note_end(end);
        }
        let copied = segment.bytes.get(..segment.len as usize).unwrap_or(segment.bytes);
        self.place(segment.offset, end, copied, time, out);
        if self.end.is_some_and(|end| end > self.next) {
            self.wait(time);
        }
        while self.waiting.as_ref().is_some_and(|waiting| {
            waiting.ranges.count() > limits.ranges || waiting.ranges.bytes() > limits.bytes
        }) {
            self.give_up(time, out);
        }
    }

    /// Gives up the missing range if it has been waited for long enough at `now`.
    pub fn expire(&mut self, limits: &Limits, now: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        if self.deadline(limits).is_some_and(|deadline| deadline <= now) {
            self.give_up(now, out);
        }
    }

    /// Nothing will follow: gives up every missing range and gives out all that is held.
    pub fn finish(&mut self, now: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        while self.waiting.is_some() {
            self.give_up(now, out);
        }
    }

    fn note_end(&mut self, end: u64) {
        if end < self.next || self.end.is_some_and(|known| known != end) {
            self.counts.contradictions = self.counts.contradictions.saturating_add(1);
            return;
        }
        self.end = Some(end);
    }

    fn wait(&mut self, time: Nanos) -> &mut Waiting {
        self.waiting.get_or_insert_with(|| Box::new(Waiting { ranges: Ranges::default(), since: time }))
    }

    fn place(
        &mut self,
        offset: u64,
        end: u64,
        bytes: &[u8],
        time: Nanos,
        out: &mut impl FnMut(Piece<'_>, Nanos),
    ) {
        let stop = self.end.map_or(end, |limit| limit.min(end));
        if end > stop {
            self.counts.beyond_bytes += end - stop.max(offset);
        }
        let start = offset.max(self.next);
        self.counts.duplicate_bytes += start.min(stop).saturating_sub(offset);
        if start >= stop {
            return self.settle(time, out);
        }
        let skip = usize::try_from(start - offset).unwrap_or(usize::MAX);
        let room = usize::try_from(stop - start).unwrap_or(usize::MAX);
        let bytes = bytes.get(skip..).unwrap_or_default();
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let held = self.waiting.as_ref().and_then(|waiting| waiting.ranges.first());
        if start == self.next && held.is_none_or(|held| held >= stop) {
            if !bytes.is_empty() {
                out(Piece::Data(bytes), time);
            }
            let unwanted = stop - start - bytes.len() as u64;
            if unwanted > 0 {
                out(Piece::Hole { len: unwanted, reason: Absence::Unwanted }, time);
            }
            self.next = stop;
            if let Some(waiting) = &mut self.waiting {
                waiting.since = time;
            }
        } else {
            let copied_end = start + bytes.len() as u64;
            let ranges = &mut self.wait(time).ranges;
            let overlap = ranges.insert_bytes(start, bytes, time);
            let duplicate = overlap.duplicate + ranges.insert_uncopied(copied_end, stop, time);
            self.counts.duplicate_bytes += duplicate;
            self.counts.contradictions =
                self.counts.contradictions.saturating_add(u32::from(overlap.contradictory));
        }
        self.settle(time, out);
    }

    /// Gives out what follows without a gap, and the end if it is reached.
    fn settle(&mut self, now: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        if let Some(waiting) = &mut self.waiting {
            let before = self.next;
            for held in waiting.ranges.take_contiguous(self.next) {
                // What lies beyond the end came before the end was known.
                let stop = self.end.map_or(held.end(), |limit| limit.min(held.end()));
                self.counts.beyond_bytes += held.end() - stop.max(held.offset);
                let len = stop.saturating_sub(held.offset);
                if len == 0 {
                    continue;
                }
                match &held.what {
                    What::Bytes(bytes) => {
                        let keep = usize::try_from(len).unwrap_or(usize::MAX);
                        out(Piece::Data(bytes.get(..keep).unwrap_or(bytes)), held.time);
                    }
                    What::Uncopied(_) => out(Piece::Hole { len, reason: Absence::Unwanted }, held.time),
                }
                self.next = stop;
            }
            if self.next > before {
                waiting.since = now;
            }
            if waiting.ranges.is_empty() && self.end.is_none_or(|end| end == self.next) {
                self.waiting = None;
            }
        }
        if self.end == Some(self.next) && !self.over {
            self.drop_beyond();
            self.over = true;
            out(Piece::Fin, now);
        }
    }

    fn drop_beyond(&mut self) {
        if let Some(mut waiting) = self.waiting.take() {
            while let Some(first) = waiting.ranges.first() {
                let len: u64 = waiting.ranges.take_contiguous(first).map(|held| held.len()).sum();
                self.counts.beyond_bytes += len;
            }
        }
    }

    /// The range before the first held one, or before the end, becomes a hole.
    fn give_up(&mut self, now: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        let Some(waiting) = &self.waiting else { return };
        let first = waiting.ranges.first().unwrap_or(u64::MAX);
        let to = self.end.map_or(first, |end| end.min(first));
        let len = to - self.next;
        if len > 0 {
            out(Piece::Hole { len, reason: Absence::Lost }, now);
            self.counts.lost_bytes += len;
            self.next = to;
        }
        self.settle(now, out);
    }

    fn reset(&mut self, segment: &Segment<'_>, time: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        // Linux obeys a reset only at exactly the next byte; a FIN takes one number (RFC 9293, 3.4). Our own side's is real.
        let next = self.next + u64::from(self.over);
        if segment.direction == Direction::Egress || segment.offset == next {
            self.finish(time, out);
            self.over = true;
            out(Piece::Reset, time);
        } else {
            self.counts.resets_refused = self.counts.resets_refused.saturating_add(1);
        }
    }
}
