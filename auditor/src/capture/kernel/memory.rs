//! Memory shared with the kernel programs: what userspace wants next, and what was counted.
//!
//! Both are arrays of 64-bit words, mapped once; each access is one whole word.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use auditor_ebpf::abi::{COUNTER_NAMES, COUNTERS, DATAGRAM_CELLS};
use auditor_ebpf::window::{WANT_CELLS, Want, pack_want, want_cell};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::capture::record::{ConnectionId, Direction};

/// A mapping that is undone when dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    address: NonNull<std::ffi::c_void>,
    len: NonZeroUsize,
}

impl Mapping {
    /// Maps `len` bytes of `fd` from `offset`, shared with the kernel.
    pub(super) fn new(
        fd: impl AsFd,
        len: usize,
        offset: usize,
        protection: ProtFlags,
    ) -> Result<Self, Errno> {
        let len = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let offset = offset.try_into().map_err(|_| Errno::EINVAL)?;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing of ours.
        let address = unsafe { mmap(None, len, protection, MapFlags::MAP_SHARED, fd, offset)? };
        Ok(Self { address, len })
    }

    /// The word at byte `offset`.
    ///
    /// # Panics
    /// When it lies outside the mapping: the callers check what comes from elsewhere.
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len.get());
        // SAFETY: inside the mapping, aligned (mappings begin on a page), alive as long as `self`; the kernel writes
        // whole words.
        unsafe { self.address.byte_add(offset).cast::<AtomicU64>().as_ref() }
    }

    /// `len` bytes from `offset`, while no one else writes there.
    ///
    /// # Safety
    /// The kernel must not write to the range as long as the slice lives.
    pub(super) unsafe fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        assert!(offset + len <= self.len.get());
        // SAFETY: inside the mapping; that nobody writes is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.address.byte_add(offset).cast::<u8>().as_ptr(), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` and no reference outlives `self`. Failure leaves it mapped: harmless.
        let _ = unsafe { munmap(self.address, self.len.get()) };
    }
}

// SAFETY: the mapping is memory shared with the kernel; through `&self` it is only accessed as atomics, or under the
// promise of `bytes`.
unsafe impl Send for Mapping {}

/// Where userspace says which byte of a stream it needs next.
#[derive(Debug)]
pub struct Wants(Mapping);

impl Wants {
    /// Maps the array.
    ///
    /// # Errors
    /// When the descriptor is no such array.
    pub fn new(fd: &OwnedFd) -> Result<Self, Errno> {
        Mapping::new(fd, WANT_CELLS as usize * 8, 0, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).map(Self)
    }

    /// Bytes of this direction before the want are not needed.
    pub fn set(&self, id: ConnectionId, direction: Direction, want: Want) {
        let cell = want_cell(id.0, direction as u8) as usize;
        self.0.word(cell * 8).store(pack_want(id.0, want), Ordering::Relaxed);
    }
}

/// What the programs counted.
#[derive(Debug)]
pub struct Counters {
    memory: Mapping,
    cpus: usize,
}

impl Counters {
    /// Maps the array for `cpus` CPUs.
    ///
    /// # Errors
    /// When the descriptor is no such array.
    pub fn new(fd: &OwnedFd, cpus: u32) -> Result<Self, Errno> {
        let cpus = cpus as usize;
        let cells = DATAGRAM_CELLS as usize + cpus * COUNTERS as usize;
        let memory = Mapping::new(fd, cells * 8, 0, ProtFlags::PROT_READ)?;
        Ok(Self { memory, cpus })
    }

    /// The sums over all CPUs, in the order of [`COUNTER_NAMES`]. They only grow.
    #[must_use]
    pub fn read(&self) -> [u64; COUNTER_NAMES.len()] {
        std::array::from_fn(|reason| {
            let cells = (0..self.cpus).map(|cpu| DATAGRAM_CELLS as usize + cpu * COUNTERS as usize + reason);
            cells.map(|cell| self.cell(cell)).sum()
        })
    }

    /// Packets and bytes of UDP by the controller's port, of those ports that had any. They only grow.
    pub fn datagrams(&self) -> impl Iterator<Item = (u16, [u64; 2])> {
        let of = |port| {
            let cell = 2 * usize::from(port);
            (port, [self.cell(cell), self.cell(cell + 1)])
        };
        (0..=u16::MAX).map(of).filter(|(_, counted)| *counted != [0; 2])
    }

    fn cell(&self, cell: usize) -> u64 {
        self.memory.word(cell * 8).load(Ordering::Relaxed)
    }
}
