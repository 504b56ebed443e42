//! Reads the ring of records (`BPF_MAP_TYPE_RINGBUF`) through memory, without a call of `bpf()` and without copying.
//!
//! Layout (kernel/bpf/ringbuf.c, 5.8 and later): a page with the consumer's position, a page with the producer's, then
//! the data, mapped twice in a row so that a record that wraps is contiguous. A record has a header of eight bytes whose
//! first word holds the length and two flags.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::ProtFlags;
use nix::unistd::{SysconfVar, sysconf};

use super::memory::Mapping;

/// `BPF_RINGBUF_BUSY_BIT` and `BPF_RINGBUF_DISCARD_BIT` (include/uapi/linux/bpf.h).
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`.
const HEADER: usize = 8;

/// The consuming end of the ring. There must be one at a time.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    producer: Mapping,
    page: usize,
    mask: u64,
}

impl Ring {
    /// Maps the ring of `bytes` bytes of data. Reading goes on where the last reader stopped.
    ///
    /// # Errors
    /// When the descriptor is no such ring.
    pub fn new(fd: OwnedFd, bytes: u32) -> Result<Self, Errno> {
        let page = sysconf(SysconfVar::PAGE_SIZE)?
            .and_then(|size| usize::try_from(size).ok())
            .ok_or(Errno::EINVAL)?;
        let consumer = Mapping::new(&fd, page, 0, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        let producer = Mapping::new(&fd, page + 2 * bytes as usize, page, ProtFlags::PROT_READ)?;
        Ok(Self { fd, consumer, producer, page, mask: u64::from(bytes) - 1 })
    }

    /// Waits until the kernel asks to be read, or for `timeout` at most.
    ///
    /// # Errors
    /// When polling is not possible.
    pub fn wait(&self, timeout: Duration) -> Result<(), Errno> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Passes on what is in the ring, at most `limit` records, oldest first, and then frees their room. Returns how many.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        let mut position = self.consumer.word(0).load(Ordering::Relaxed);
        let produced = self.producer.word(0).load(Ordering::Acquire);
        let mut records = 0;
        while position < produced && records < limit {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "masked by the size of the ring, which fits in memory"
            )]
            let at = self.page + (position & self.mask) as usize;
            // SAFETY: the word is in the mapping, aligned to eight bytes, and written atomically by the kernel.
            let header = unsafe { &*std::ptr::from_ref(self.producer.word(at)).cast::<AtomicU32>() };
            let word = header.load(Ordering::Acquire);
            if word & BUSY != 0 {
                break;
            }
            let len = (word & !(BUSY | DISCARDED)) as usize;
            if word & DISCARDED == 0 {
                // SAFETY: committed (not busy) and not yet consumed: the kernel does not write here until the
                // consumer's position has passed.
                each(unsafe { self.producer.bytes(at + HEADER, len) });
                records += 1;
            }
            position += (len + HEADER).next_multiple_of(8) as u64;
            // Freed in steps: a producer that fills the ring while a long batch is read finds room.
            if records.is_multiple_of(64) {
                self.consumer.word(0).store(position, Ordering::Release);
            }
        }
        self.consumer.word(0).store(position, Ordering::Release);
        records
    }

    /// Bytes waiting.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let consumed = self.consumer.word(0).load(Ordering::Relaxed);
        self.producer.word(0).load(Ordering::Acquire).saturating_sub(consumed)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
