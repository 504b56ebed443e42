//! Bytes that were given out before TCP was known to have accepted them.
//!
//! A packet is seen before TCP judges it: one with a wrong checksum or an old timestamp is dropped (RFC 9293, 3.1; RFC
//! 7323, 5.3), and its sender may then send other bytes in the same place. Whoever reads the first copy reads something
//! that the server never did. So what was given out is kept until TCP has passed it, and another copy is held against it.
//!
//! Invariants: at most [`MAX_KEPT`] bytes in [`MAX_RUNS`] runs, the newest; they end where the last copied byte was given
//! out. What was given out and is not kept is remembered as a range: another copy of it cannot be compared, and counts as
//! different. What lies between runs was not copied: nobody has read it.

use std::collections::VecDeque;

/// Bytes kept for one direction. A sender may have more in flight, of which the oldest are then not compared.
const MAX_KEPT: usize = 64 * 1024;
/// Runs of bytes kept: of records of TLS that are not needed, what stands around a boundary is one or two.
const MAX_RUNS: usize = 256;

/// The bytes from `start` on.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed {
    /// Where the first byte lies that was given out and that TCP had not accepted.
    from: u64,
    /// What was given out before it is not kept.
    start: u64,
    /// Where the last run ends.
    end: u64,
    /// Where runs of bytes begin, and how long they are: in order, none empty.
    runs: VecDeque<(u64, usize)>,
    /// What is in them, end to end.
    bytes: VecDeque<u8>,
}

impl Unconfirmed {
    /// Nothing yet; the first byte will be at `offset`.
    pub(super) fn at(offset: u64) -> Self {
        Self { from: offset, start: offset, end: offset, ..Self::default() }
    }

    /// Adds bytes that were given out at `offset`. What lies between, if anything, was not copied.
    pub(super) fn push(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let follows = offset == self.end;
        self.end = offset + bytes.len() as u64;
        let surplus = bytes.len().saturating_sub(MAX_KEPT);
        if surplus > 0 {
            self.drop_before(offset + surplus as u64);
        }
        let bytes = bytes.get(surplus..).unwrap_or_default();
        self.make_room(bytes.len());
        self.bytes.extend(bytes);
        match self.runs.back_mut().filter(|_| follows) {
            Some((_, len)) => *len += bytes.len(),
            None => self.runs.push_back((offset + surplus as u64, bytes.len())),
        }
    }

    /// TCP has accepted everything before `offset`. True if nothing is left.
    pub(super) fn confirm(&mut self, offset: u64) -> bool {
        if offset >= self.end {
            return true;
        }
        self.from = self.from.max(offset);
        self.drop_before(offset);
        false
    }

    /// There is no room for the bytes: only where they lay is remembered.
    pub(super) fn forget(&mut self) {
        self.start = self.end;
        (self.runs, self.bytes) = Default::default();
    }

    /// Bytes of memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.runs.capacity() * size_of::<(u64, usize)>()
    }

    /// Whether another copy, of `len` bytes at `offset` of which the first are in `copy`, differs from what was given out,
    /// or may: where bytes were given out and one of the two is not known. That needs no packet of an honest sender: one that
    /// TCP drops is rare, and comes again with the same bytes at once.
    pub(super) fn differs(&self, offset: u64, copy: &[u8], len: u64) -> bool {
        let (from, to) = (offset.max(self.from), offset.saturating_add(len).min(self.end));
        if from >= to {
            return false;
        }
        if from < self.start {
            return true;
        }
        let mut before = 0;
        self.runs.iter().any(|(at, len)| {
            let kept = before;
            before += len;
            let (first, last) = (from.max(*at), to.min(at + *len as u64));
            if first >= last {
                return false;
            }
            let index = |offset: u64, start: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
            let other = copy.get(index(first, offset)..index(last, offset));
            let kept = self.bytes.range(kept + index(first, *at)..kept + index(last, *at));
            other.is_none_or(|other| !kept.eq(other))
        })
    }

    /// Lets the oldest go until there is room for another run of `len` bytes.
    fn make_room(&mut self, len: usize) {
        while let Some((at, first)) = self.runs.front().copied() {
            let surplus = (self.bytes.len() + len).saturating_sub(MAX_KEPT);
            if surplus == 0 && self.runs.len() < MAX_RUNS {
                return;
            }
            let surplus = if self.runs.len() < MAX_RUNS { surplus.min(first) } else { first };
            self.drop_before(at + surplus as u64);
        }
    }

    /// Lets go of what lies before `offset`.
    fn drop_before(&mut self, offset: u64) {
        self.start = self.start.max(offset);
        while let Some((at, len)) = self.runs.front_mut() {
            let done = usize::try_from(offset.saturating_sub(*at)).unwrap_or(usize::MAX).min(*len);
            self.bytes.drain(..done);
            (*at, *len) = (*at + done as u64, *len - done);
            if *len > 0 {
                return;
            }
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(offset: u64, bytes: &[u8]) -> Unconfirmed {
        let mut kept = Unconfirmed::at(offset);
        kept.push(offset, bytes);
        kept
    }

    #[track_caller]
    fn check(kept: &Unconfirmed, offset: u64, copy: &[u8], expected: bool) {
        assert_eq!(kept.differs(offset, copy, copy.len() as u64), expected, "{offset} {copy:?}");
    }

    #[test]
    fn only_another_copy_of_what_is_not_confirmed_differs() {
        let mut kept = kept(10, b"abcd");
        kept.push(14, b"ef");
        for (offset, copy, expected) in [
            (10, &b"abcdef"[..], false),
            (8, b"xxab", false),
            (14, b"efgh", false),
            (16, b"xxxx", false),
            (0, b"xxxxxxxxxx", false),
            (13, b"dE", true),
            (8, b"xxxx", true),
        ] {
            check(&kept, offset, copy, expected);
        }
        assert!(!kept.confirm(14));
        check(&kept, 10, b"XXXXef", false);
        check(&kept, 10, b"abcdXf", true);
        assert!(kept.confirm(16));
    }

    #[test]
    fn a_copy_that_cannot_be_compared_counts_as_different() {
        let mut kept = kept(10, b"abcd");
        assert!(kept.differs(10, b"ab", 4) && kept.differs(10, b"", 1), "the other copy was not copied");
        assert!(!kept.differs(10, b"abcd", 100) && !kept.differs(14, b"", 100));
        // Bytes that were not copied, and then others.
        kept.push(100, b"k");
        check(&kept, 10, b"abcd", false);
        check(&kept, 10, b"abcX", true);
        check(&kept, 100, b"k", false);
        assert!(!kept.confirm(50));
        check(&kept, 10, b"abcd", false);
        kept.forget();
        assert_eq!(kept.held_bytes(), 0);
        check(&kept, 100, b"k", true);
        assert!(kept.confirm(101));
    }

    /// What lies between was read by nobody: it may come in full the next time.
    #[test]
    fn the_same_bytes_told_in_pieces_and_whole_do_not_differ() {
        let mut kept = kept(10, b"head");
        kept.push(30, b"tail");
        let whole = |head: &[u8; 4], tail: &[u8; 4]| [&head[..], &[b'x'; 16], tail].concat();
        check(&kept, 10, &whole(b"head", b"tail"), false);
        check(&kept, 10, &whole(b"heaD", b"tail"), true);
        check(&kept, 10, &whole(b"head", b"tAil"), true);
        check(&kept, 14, &[b'y'; 16], false);
        assert!(kept.differs(10, b"head", 24), "bytes were given out that the other copy does not show");
    }

    #[test]
    fn bounded_runs() {
        let mut kept = Unconfirmed::at(0);
        for n in 0..1000 {
            kept.push(n * 10, b"a");
        }
        assert_eq!((kept.runs.len(), kept.bytes.len()), (MAX_RUNS, MAX_RUNS));
        check(&kept, 0, b"a", true);
        check(&kept, 999 * 10, b"a", false);
        assert!(!kept.confirm(999 * 10));
        assert_eq!((kept.runs.len(), kept.bytes.len()), (1, 1));
    }

    #[test]
    fn bounded_to_the_newest() {
        let mut kept = Unconfirmed::at(0);
        for n in 0..100 {
            kept.push(n * 4096, &[1; 4096]);
        }
        assert_eq!(kept.bytes.len(), MAX_KEPT);
        assert_eq!(kept.end, 100 * 4096);
        check(&kept, 0, &[1], true);
        check(&kept, 99 * 4096, &[1; 4096], false);
        check(&kept, 99 * 4096, b"2", true);
        kept.push(1 << 30, &vec![3; 2 * MAX_KEPT]);
        assert_eq!((kept.bytes.len(), kept.end), (MAX_KEPT, (1 << 30) + 2 * MAX_KEPT as u64));
    }
}
