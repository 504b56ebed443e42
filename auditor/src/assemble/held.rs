//! Ranges of a stream that came before their turn.
//!
//! Invariants: sorted by offset, not empty, not overlapping; a byte that has been copied is never replaced by another
//! copy (RFC 9293, 3.10.7.4 leaves the choice open; Linux keeps what it queued first), a byte seen but not copied is.

use crate::capture::record::Nanos;

/// A range and what is known of it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) offset: u64,
    pub(super) time: Nanos,
    pub(super) what: What,
}

/// The contents of a range.
#[derive(Debug)]
pub(super) enum What {
    Bytes(Box<[u8]>),
    Uncopied(u64),
}

impl Held {
    pub(super) fn len(&self) -> u64 {
        match &self.what {
            What::Bytes(bytes) => bytes.len() as u64,
            What::Uncopied(len) => *len,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + self.len()
    }
}

/// The ranges, in order.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    ranges: Vec<Held>,
    bytes: usize,
}

/// What an insertion found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overlap {
    /// Bytes that were known already.
    pub(super) duplicate: u64,
    /// Whether some of them differed.
    pub(super) contradictory: bool,
}

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ranges there are.
    pub(super) fn count(&self) -> usize {
        self.ranges.len()
    }

    /// How many copied bytes they hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory that they take, about.
    pub(super) fn weight(&self) -> usize {
        self.bytes + self.ranges.len() * size_of::<Held>()
    }

    /// Where the last one ends.
    pub(super) fn end(&self) -> Option<u64> {
        self.ranges.last().map(Held::end)
    }

    /// Lets the last one go; `None` if there is none.
    pub(super) fn drop_last(&mut self) -> Option<()> {
        let last = self.ranges.pop()?;
        if let What::Bytes(bytes) = last.what {
            self.bytes -= bytes.len();
        }
        Some(())
    }

    /// Where the first one starts.
    pub(super) fn first(&self) -> Option<u64> {
        self.ranges.first().map(|held| held.offset)
    }

    /// Takes the ranges that follow each other without a gap from `next`. Ranges never start before `next`.
    pub(super) fn take_contiguous(&mut self, next: u64) -> std::vec::Drain<'_, Held> {
        let mut reached = next;
        let count = self
            .ranges
            .iter()
            .take_while(|held| {
                let follows = held.offset == reached;
                reached = held.end();
                follows
            })
            .count();
        let taken = self.ranges.drain(..count);
        for held in taken.as_slice() {
            if let What::Bytes(bytes) = &held.what {
                self.bytes -= bytes.len();
            }
        }
        taken
    }

    /// Adds bytes at `offset`: into gaps, and over ranges that were not copied.
    pub(super) fn insert_bytes(&mut self, offset: u64, bytes: &[u8], time: Nanos) -> Overlap {
        let mut overlap = Overlap::default();
        if bytes.is_empty() {
            return overlap;
        }
        let end = offset + bytes.len() as u64;
        let slice = |from: u64, to: u64| -> &[u8] {
            let index = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
            bytes.get(index(from)..index(to)).unwrap_or_default()
        };
        let (from, old) = self.take_overlapping(offset, end);
        let mut new = Vec::with_capacity(old.len() * 2 + 1);
        let mut cursor = offset;
        for held in old {
            if held.offset > cursor {
                new.push(copied(cursor, slice(cursor, held.offset), time));
                cursor = held.offset;
            }
            let stop = held.end().min(end);
            match &held.what {
                What::Bytes(known) => {
                    let skip = usize::try_from(cursor - held.offset).unwrap_or(usize::MAX);
                    let fresh = slice(cursor, stop);
                    let same = known.get(skip..).is_some_and(|known| known.starts_with(fresh));
                    overlap.contradictory |= !same;
                    overlap.duplicate += stop - cursor;
                    new.push(held);
                }
                What::Uncopied(_) => {
                    if held.offset < cursor {
                        new.push(uncopied(held.offset, cursor, held.time));
                    }
                    new.push(copied(cursor, slice(cursor, stop), time));
                    if held.end() > stop {
                        new.push(uncopied(stop, held.end(), held.time));
                    }
                }
            }
            cursor = stop;
        }
        if cursor < end {
            new.push(copied(cursor, slice(cursor, end), time));
        }
        self.put_back(from, new);
        overlap
    }

    /// Notes that `offset..end` was seen and not copied: into gaps only. Gives the bytes that were known already.
    pub(super) fn insert_uncopied(&mut self, offset: u64, end: u64, time: Nanos) -> u64 {
        if offset >= end {
            return 0;
        }
        // Long bodies that nobody wants come as many segments: they grow one range.
        if let Some(last) = self.ranges.last_mut()
            && last.end() == offset
            && let What::Uncopied(len) = &mut last.what
        {
            *len += end - offset;
            return 0;
        }
        let (from, old) = self.take_overlapping(offset, end);
        let mut new = Vec::with_capacity(old.len() * 2 + 1);
        let mut duplicate = 0;
        let mut cursor = offset;
        for held in old {
            if held.offset > cursor {
                new.push(uncopied(cursor, held.offset, time));
                cursor = held.offset;
            }
            let stop = held.end().min(end);
            duplicate += stop - cursor;
            cursor = stop;
            new.push(held);
        }
        if cursor < end {
            new.push(uncopied(cursor, end, time));
        }
        self.put_back(from, new);
        duplicate
    }

    fn take_overlapping(&mut self, offset: u64, end: u64) -> (usize, Vec<Held>) {
        let from = self.ranges.partition_point(|held| held.end() <= offset);
        let to = self.ranges.partition_point(|held| held.offset < end);
        let old: Vec<Held> = self.ranges.drain(from..to).collect();
        self.bytes -= copied_len(&old);
        (from, old)
    }

    fn put_back(&mut self, from: usize, new: Vec<Held>) {
        self.bytes += copied_len(&new);
        self.ranges.splice(from..from, new);
    }
}

fn copied_len(ranges: &[Held]) -> usize {
    ranges.iter().map(|held| if let What::Bytes(bytes) = &held.what { bytes.len() } else { 0 }).sum()
}

fn copied(offset: u64, bytes: &[u8], time: Nanos) -> Held {
    Held { offset, time, what: What::Bytes(bytes.into()) }
}

fn uncopied(offset: u64, end: u64, time: Nanos) -> Held {
    Held { offset, time, what: What::Uncopied(end - offset) }
}
