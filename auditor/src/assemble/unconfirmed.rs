//! Bytes that were given out before TCP was known to have accepted them.
//!
//! A packet is seen before TCP judges it: one with a wrong checksum or an old timestamp is dropped (RFC 9293, 3.1; RFC
//! 7323, 5.3), and its sender may then send other bytes in the same place. Whoever reads the first copy reads something
//! that the server never did. So what was given out is kept until TCP has passed it, and another copy is held against it.
//!
//! Invariants: at most [`MAX_KEPT`] bytes, the newest; they end where the last copied byte was given out. What was given
//! out and is not kept is remembered as a range: another copy of it cannot be compared, and counts as different.

/// Bytes kept for one direction. A sender may have more in flight, of which the oldest are then not compared.
const MAX_KEPT: usize = 64 * 1024;

/// The bytes from `start` on.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed {
    /// Where the first byte lies that was given out and that TCP had not accepted.
    from: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Unconfirmed {
    /// Nothing yet; the first byte will be at `offset`.
    pub(super) fn at(offset: u64) -> Self {
        Self { from: offset, start: offset, bytes: Vec::new() }
    }

    /// Adds bytes that were given out at `offset`. What lies between, if anything, was not copied.
    pub(super) fn push(&mut self, offset: u64, bytes: &[u8]) {
        if self.end() != offset {
            self.bytes.clear();
        }
        let end = offset + bytes.len() as u64;
        let newest = bytes.get(bytes.len().saturating_sub(MAX_KEPT)..).unwrap_or(bytes);
        let surplus = (self.bytes.len() + newest.len()).saturating_sub(MAX_KEPT);
        self.bytes.drain(..surplus);
        self.bytes.extend_from_slice(newest);
        self.start = end - self.bytes.len() as u64;
    }

    /// TCP has accepted everything before `offset`. True if nothing is left.
    pub(super) fn confirm(&mut self, offset: u64) -> bool {
        if offset >= self.end() {
            return true;
        }
        self.from = self.from.max(offset);
        let done = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.bytes.drain(..done.min(self.bytes.len()));
        self.start = self.start.max(offset);
        false
    }

    /// There is no room for the bytes: only where they lay is remembered.
    pub(super) fn forget(&mut self) {
        self.start = self.end();
        self.bytes = Vec::new();
    }

    /// Bytes of memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether another copy, of `len` bytes at `offset` of which the first are in `copy`, differs from what was given out,
    /// or may: where one of the two is not known. That needs no packet of an honest sender: one that TCP drops is rare,
    /// and comes again with the same bytes at once.
    pub(super) fn differs(&self, offset: u64, copy: &[u8], len: u64) -> bool {
        let (from, to) = (offset.max(self.from), (offset + len).min(self.end()));
        if from >= to {
            return false;
        }
        let part = |at: u64, of: &[u8]| -> Option<Vec<u8>> {
            let index = |offset: u64| usize::try_from(offset.checked_sub(at)?).ok();
            of.get(index(from)?..index(to)?).map(<[u8]>::to_vec)
        };
        let kept = part(self.start, &self.bytes);
        kept.is_none() || kept != part(offset, copy)
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
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
        check(&kept, 10, b"abcd", true);
        check(&kept, 100, b"k", false);
        assert!(!kept.confirm(50));
        check(&kept, 10, b"abcd", false);
        kept.forget();
        assert_eq!(kept.held_bytes(), 0);
        check(&kept, 100, b"k", true);
        assert!(kept.confirm(101));
    }

    #[test]
    fn bounded_to_the_newest() {
        let mut kept = Unconfirmed::at(0);
        for n in 0..100 {
            kept.push(n * 4096, &[1; 4096]);
        }
        assert_eq!(kept.bytes.len(), MAX_KEPT);
        assert_eq!(kept.end(), 100 * 4096);
        check(&kept, 0, &[1], true);
        check(&kept, 99 * 4096, &[1; 4096], false);
        check(&kept, 99 * 4096, b"2", true);
        kept.push(1 << 30, &vec![3; 2 * MAX_KEPT]);
        assert_eq!((kept.bytes.len(), kept.end()), (MAX_KEPT, (1 << 30) + 2 * MAX_KEPT as u64));
    }
}
