//! Bytes that were given out before TCP was known to have accepted them.
//!
//! A packet is seen before TCP judges it: one with a wrong checksum or an old timestamp is dropped (RFC 9293, 3.1; RFC
//! 7323, 5.3), and its sender may then send other bytes in the same place. Whoever reads the first copy reads something
//! that the server never did. So what was given out is kept until TCP has passed it, and another copy is held against it.
//!
//! Invariants: at most [`MAX_KEPT`] bytes, the newest; they end where the stream has been given out.

/// Bytes kept for one direction. A sender may have more in flight, of which the oldest are then not compared.
const MAX_KEPT: usize = 64 * 1024;

/// The bytes from `start` on.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed {
    start: u64,
    bytes: Vec<u8>,
}

impl Unconfirmed {
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
        let done = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        if done >= self.bytes.len() {
            return true;
        }
        self.bytes.drain(..done);
        self.start += done as u64;
        false
    }

    /// Whether another copy of the bytes at `offset` differs, where both are known.
    pub(super) fn differs(&self, offset: u64, copy: &[u8]) -> bool {
        let (from, to) = (offset.max(self.start), (offset + copy.len() as u64).min(self.end()));
        if from >= to {
            return false;
        }
        let part = |at: u64, of: &[u8]| -> Option<Vec<u8>> {
            let index = |offset: u64| usize::try_from(offset - at).ok();
            of.get(index(from)?..index(to)?).map(<[u8]>::to_vec)
        };
        part(self.start, &self.bytes) != part(offset, copy)
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_copy_of_what_is_not_confirmed_differs() {
        let mut kept = Unconfirmed::default();
        kept.push(10, b"abcd");
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
            assert_eq!(kept.differs(offset, copy), expected, "{offset} {copy:?}");
        }
        assert!(!kept.confirm(14));
        assert!(!kept.differs(10, b"XXXXef"), "what TCP has accepted cannot be replaced");
        assert!(kept.differs(10, b"abcdXf"));
        assert!(kept.confirm(16));
    }

    #[test]
    fn bounded_to_the_newest() {
        let mut kept = Unconfirmed::default();
        for n in 0..100 {
            kept.push(n * 4096, &[1; 4096]);
        }
        assert_eq!(kept.bytes.len(), MAX_KEPT);
        assert_eq!(kept.end(), 100 * 4096);
        assert!(!kept.differs(0, b"2") && kept.differs(99 * 4096, b"2"));
        kept.push(1 << 30, &vec![3; 2 * MAX_KEPT]);
        assert_eq!((kept.bytes.len(), kept.end()), (MAX_KEPT, (1 << 30) + 2 * MAX_KEPT as u64));
    }

    #[test]
    fn bytes_that_were_not_copied_leave_a_gap() {
        let mut kept = Unconfirmed::default();
        kept.push(0, b"abc");
        kept.push(10, b"k");
        assert!(!kept.differs(0, b"xyz") && kept.differs(10, b"x"));
    }
}
