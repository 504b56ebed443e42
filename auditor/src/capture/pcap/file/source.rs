//! A window over a file that is read once, from front to back.
//!
//! Consumes any `Read`, lends whole blocks. Invariants: the buffer grows with what was read, not with what was asked for; it
//! is wiped when it is given back, for a capture can hold secrets.

use std::io::{ErrorKind, Read};

use zeroize::Zeroize as _;

use super::PcapError;

/// Bytes asked for at once.
pub(super) const CHUNK: usize = 64 * 1024;

pub(super) struct Source<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the unread part of the buffer starts.
    start: usize,
    /// Bytes consumed.
    offset: u64,
}

impl<R> Drop for Source<R> {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), start: 0, offset: 0 }
    }

    /// Bytes consumed: where the next block starts in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `len` bytes, or as many as the file still has.
    pub(super) fn up_to(&mut self, len: usize) -> Result<&[u8], PcapError> {
        while self.buffer.len() - self.start < len {
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            let held = self.buffer.len();
            self.grow(held + CHUNK);
            let room = self.buffer.get_mut(held..).unwrap_or_default();
            let read = match self.reader.read(room) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    self.buffer.truncate(held);
                    continue;
                }
                Err(source) => {
                    self.buffer.truncate(held);
                    return Err(PcapError::Io { offset: self.offset + held as u64, source });
                }
            };
            self.buffer.truncate(held + read);
            if read == 0 {
                break;
            }
        }
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest))
    }

    /// Makes the buffer this long. What is moved leaves nothing behind.
    fn grow(&mut self, len: usize) {
        if len > self.buffer.capacity() {
            let mut larger = Vec::with_capacity(len.next_power_of_two());
            larger.extend_from_slice(&self.buffer);
            self.buffer.zeroize();
            self.buffer = larger;
        }
        self.buffer.resize(len, 0);
    }

    /// The next `len` bytes; none at the end of the file, an error if it ends within them.
    pub(super) fn block(&mut self, len: usize) -> Result<Option<&[u8]>, PcapError> {
        let offset = self.offset;
        let block = self.up_to(len)?;
        match block.len() {
            0 => Ok(None),
            there if there < len => Err(PcapError::Truncated { offset }),
            _ => Ok(Some(block)),
        }
    }

    /// Steps over `len` bytes that were lent.
    pub(super) fn consume(&mut self, len: usize) {
        self.start += len;
        self.offset += len as u64;
    }

    /// Steps over `len` bytes that need not fit in the buffer.
    pub(super) fn skip(&mut self, len: usize) -> Result<(), PcapError> {
        self.skip_of(len, self.offset)
    }

    /// The same, of a block that starts at `block`.
    pub(super) fn skip_of(&mut self, len: usize, block: u64) -> Result<(), PcapError> {
        let mut left = len;
        while left > 0 {
            let there = self.up_to(left.min(CHUNK))?.len();
            if there == 0 {
                return Err(PcapError::Truncated { offset: block });
            }
            self.consume(there);
            left -= there;
        }
        Ok(())
    }
}
