//! One direction of a connection, put in order.
//!
//! Consumes segments as they come: again, overlapping, out of order, with bytes left out. Produces [`Piece`]s in order.
//! Data that comes in order passes through without a copy; what comes early is held within [`Limits`], and then the
//! missing range before it becomes a hole. Of two copies of a byte the first counts; if they differ while TCP had accepted
//! neither, that is counted. Times never decide anything but age.
//!
//! Where TCP says how far it has accepted the stream ([`Stream::accepted`]; for what the kernel's own socket receives), that
//! decides instead of age: a range that TCP has passed and nobody saw is lost at once, one that it waits for is waited
//! for, and an end or a reset counts when TCP has obeyed it.

use super::held::{Ranges, What};
use super::unconfirmed::Unconfirmed;
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
    /// How long a missing range is waited for since the stream last advanced, nanoseconds, where TCP does not say.
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
    /// Segments and ends that contradict what is held, or what was given out before TCP had accepted it.
    pub contradictions: u32,
    /// Ends that the receiving TCP did not take for one, or that contradict another.
    pub ends_refused: u32,
    /// Resets that the receiving TCP would not have obeyed (RFC 5961, 3.2), or did not.
    pub resets_refused: u32,
}

/// One direction of a connection. About a hundred bytes while nothing is missing.
#[derive(Debug, Default)]
pub struct Stream {
    next: u64,
    end: Option<u64>,
    over: bool,
    /// TCP says what it has accepted.
    judged: bool,
    /// A reset has come that TCP may obey.
    reset: bool,
    /// How far TCP has accepted the stream; one more with its end.
    accepted: u64,
    /// When the end or the reset came that TCP has not obeyed yet.
    ending: Nanos,
    counts: Counts,
    waiting: Option<Box<Waiting>>,
    unconfirmed: Option<Box<Unconfirmed>>,
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

    /// A stream that is told of from `offset` on.
    #[must_use]
    pub fn starting_at(offset: u64) -> Self {
        Self { next: offset, ..Self::default() }
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

    /// Bytes of memory that hold what waits, or what TCP has not accepted yet.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.ranges.weight())
            + self.unconfirmed.as_ref().map_or(0, |unconfirmed| unconfirmed.held_bytes())
    }

    /// The offset up to which TCP has said that it accepted the stream, if it says.
    #[must_use]
    pub fn known_accepted(&self) -> Option<u64> {
        self.judged.then_some(self.accepted)
    }

    /// When [`Self::expire`] will give up the missing range, if one is waited for and TCP does not decide.
    #[must_use]
    pub fn deadline(&self, limits: &Limits) -> Option<Nanos> {
        self.waiting.as_ref().filter(|_| !self.judged).map(|waiting| waiting.since.saturating_add(limits.age))
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
        // The connection goes on.
        self.refuse_reset();
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
        if self.judged && self.end.is_some_and(|known| known < end) {
            // More follows what said to be the end, and TCP has not taken it for one.
            self.refuse_end();
        }
        if segment.fin {
            self.note_end(end, time);
        }
        let copied = segment.bytes.get(..segment.len as usize).unwrap_or(segment.bytes);
        self.place(segment.offset, end, copied, time, out);
        if self.end.is_some_and(|end| end > self.next) {
            self.wait(time);
        }
        while let Some(waiting) = &mut self.waiting
            && (waiting.ranges.count() > limits.ranges || waiting.ranges.bytes() > limits.bytes)
        {
            if self.judged {
                // What TCP waits for comes, and may be all that is true: what lies furthest ahead has no room.
                waiting.ranges.drop_last();
            } else {
                self.give_up(time, out);
            }
        }
        self.pass(time, out);
    }

    /// Whether it is another copy of bytes that were given out and that TCP had not accepted, and differs from them.
    #[must_use]
    pub fn is_contradicted_by(&self, segment: &Segment<'_>) -> bool {
        let differs = |kept: &Unconfirmed| kept.differs(segment.offset, segment.bytes, segment.len.into());
        self.unconfirmed.as_deref().is_some_and(differs)
    }

    /// TCP has accepted everything before `offset`, in order; one more than the stream is long once it has its end.
    pub fn accepted(&mut self, offset: u64, time: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        self.judged = true;
        if offset > self.accepted {
            self.accepted = offset;
            if self.end.is_some_and(|end| offset > end.saturating_add(1)) {
                self.refuse_end();
            }
            if self.unconfirmed.as_mut().is_some_and(|unconfirmed| unconfirmed.confirm(offset)) {
                self.unconfirmed = None;
            }
            self.pass(time, out);
        }
    }

    /// TCP has not obeyed the reset that came last.
    pub fn refuse_reset(&mut self) {
        if std::mem::take(&mut self.reset) {
            self.counts.resets_refused = self.counts.resets_refused.saturating_add(1);
        }
    }

    /// The other side has acknowledged everything before `offset`, and nothing will follow: what was not seen of it is lost.
    pub fn reach(&mut self, offset: u64, now: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        while self.waiting.is_some() && self.missing_end() <= offset {
            self.give_up(now, out);
        }
        if let Some(lost) = offset.checked_sub(self.next)
            && lost > 0
            && self.waiting.is_none()
            && !self.over
        {
            self.lose(lost, now, out);
        }
    }

    /// Gives up the missing range if it has been waited for long enough at `now`.
    pub fn expire(&mut self, limits: &Limits, now: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        if self.deadline(limits).is_some_and(|deadline| deadline <= now) {
            self.give_up(now, out);
        }
    }

    /// Nothing will follow: gives up every missing range and gives out all that is held. `received`: how many bytes of it
    /// TCP had accepted in the end; what lies behind was refused.
    pub fn finish(&mut self, received: Option<u64>, now: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        if let Some(received) = received {
            self.accepted(received, now, out);
        }
        while self.waiting.is_some() {
            if received.is_some_and(|received| self.missing_end() > received) {
                self.drop_beyond();
            } else {
                self.give_up(now, out);
            }
        }
        if let Some(lost) = received.and_then(|received| received.checked_sub(self.next))
            && lost > 0
            && !self.over
        {
            self.lose(lost, now, out);
        }
        let obeyed = received.is_none() || self.accepted > self.next;
        if self.reset {
            self.over = true;
            out(Piece::Reset, self.ending);
        } else if self.end == Some(self.next) && !self.over && obeyed {
            self.over = true;
            out(Piece::Fin, self.ending);
        }
    }

    /// Lets go of all that is held, because there is no room for it.
    pub fn release(&mut self, now: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        if let Some(unconfirmed) = &mut self.unconfirmed {
            unconfirmed.forget();
        }
        while let Some(waiting) = self.waiting.as_mut().filter(|waiting| !waiting.ranges.is_empty()) {
            if self.judged {
                // Lost once TCP passes it.
                waiting.ranges.drop_last();
            } else {
                self.give_up(now, out);
            }
        }
    }

    /// Bytes that were given out and that TCP, which accepted `received` bytes, has refused.
    #[must_use]
    pub fn refused(&self, received: u64) -> u64 {
        self.next.saturating_sub(received)
    }

    /// Gives up what TCP has passed.
    fn pass(&mut self, time: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        // Nothing is missing before an end that TCP has not obeyed, whatever is held behind it.
        let range = |stream: &Self| stream.next + 1..=stream.accepted;
        while self.judged && self.waiting.is_some() && range(self).contains(&self.missing_end()) {
            self.give_up(time, out);
        }
        self.settle(time, out);
    }

    /// Where the first missing range ends.
    fn missing_end(&self) -> u64 {
        let first = self.waiting.as_ref().and_then(|waiting| waiting.ranges.first()).unwrap_or(u64::MAX);
        self.end.map_or(first, |end| end.min(first))
    }

    fn note_end(&mut self, end: u64, time: Nanos) {
        let other = self.end.is_some_and(|known| known != end);
        if end < self.next && !(self.judged && end < self.accepted) {
            // Then what was given out behind it is not part of the stream.
            self.counts.contradictions = self.counts.contradictions.saturating_add(1);
        } else if end < self.next || other {
            self.counts.ends_refused = self.counts.ends_refused.saturating_add(1);
        }
        // Where TCP judges, it will tell which of two ends is true.
        if end >= self.next && (!other || self.judged) {
            self.end = Some(end);
            self.ending = time;
        }
    }

    /// What was taken for the end is none.
    fn refuse_end(&mut self) {
        self.end = None;
        self.counts.ends_refused = self.counts.ends_refused.saturating_add(1);
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
        let differs = |kept: &Unconfirmed| kept.differs(offset, bytes, end - offset);
        if self.unconfirmed.as_deref().is_some_and(differs) {
            self.counts.contradictions = self.counts.contradictions.saturating_add(1);
        }
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
                if self.judged {
                    self.confirm_later(start, bytes);
                }
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
                        let bytes = bytes.get(..keep).unwrap_or(bytes);
                        if self.judged && stop > self.accepted {
                            self.unconfirmed
                                .get_or_insert_with(|| Box::new(Unconfirmed::at(held.offset)))
                                .push(held.offset, bytes);
                        }
                        out(Piece::Data(bytes), held.time);
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
        let obeyed = !self.judged || self.accepted > self.next;
        if self.end == Some(self.next) && !self.over && obeyed {
            self.drop_beyond();
            self.over = true;
            out(Piece::Fin, if self.judged { self.ending } else { now });
        }
    }

    fn confirm_later(&mut self, offset: u64, bytes: &[u8]) {
        self.unconfirmed.get_or_insert_with(|| Box::new(Unconfirmed::at(offset))).push(offset, bytes);
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
        if self.waiting.is_none() {
            return;
        }
        let len = self.missing_end().saturating_sub(self.next);
        if len > 0 {
            self.lose(len, now, out);
        } else {
            // What is held lies behind the end.
            self.drop_beyond();
        }
        self.settle(now, out);
    }

    fn lose(&mut self, len: u64, now: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        out(Piece::Hole { len, reason: Absence::Lost }, now);
        self.counts.lost_bytes += len;
        self.next += len;
    }

    fn reset(&mut self, segment: &Segment<'_>, time: Nanos, out: &mut impl FnMut(Piece<'_>, Nanos)) {
        // Linux obeys a reset at exactly the next byte, where a FIN takes one number (RFC 9293, 3.4) that some senders do not
        // count, or at the end of what it holds (net/ipv4/tcp_input.c, `tcp_reset_check`, `tcp_validate_incoming`). Our
        // own side's is real.
        let next = if self.judged { self.accepted } else { self.next + u64::from(self.over) };
        let held = self.waiting.as_ref().and_then(|waiting| waiting.ranges.end());
        let obeyable = segment.offset == next
            || held == Some(segment.offset)
            || (self.over && segment.offset.checked_add(1) == Some(next));
        if segment.direction == Direction::Ingress && self.judged && obeyable {
            // If TCP obeys, the connection is closed next.
            self.reset = true;
            self.ending = time;
        } else if segment.direction == Direction::Egress || segment.offset == next {
            self.finish(None, time, out);
            self.over = true;
            out(Piece::Reset, time);
        } else {
            self.counts.resets_refused = self.counts.resets_refused.saturating_add(1);
        }
    }
}
