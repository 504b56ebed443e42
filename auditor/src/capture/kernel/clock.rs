//! From the kernel's monotonic clock, in which records are stamped, to time since the Unix epoch.
//!
//! The offset is read once: within one run, times never go back and durations are exact, whatever happens to the wall
//! clock. How far that has moved since, set or slewed, is [`Clock::drift`], and is added where events are stamped.

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

use crate::capture::record::Nanos;

/// The difference between the two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset: i64,
}

impl Clock {
    /// Reads both clocks.
    ///
    /// # Errors
    /// When a clock cannot be read.
    pub fn now() -> Result<Self, Errno> {
        // The wall clock between two readings of the other: half of what passed is the error, some tens of nanoseconds.
        let before = read(ClockId::CLOCK_MONOTONIC)?;
        let wall = read(ClockId::CLOCK_REALTIME)?;
        let after = read(ClockId::CLOCK_MONOTONIC)?;
        Ok(Self { offset: wall - before - (after - before) / 2 })
    }

    /// A time of the monotonic clock, in nanoseconds since the epoch.
    #[must_use]
    pub fn unix(&self, monotonic: u64) -> Nanos {
        monotonic.saturating_add_signed(self.offset)
    }

    /// How far the wall clock has moved since, nanoseconds.
    ///
    /// # Errors
    /// When a clock cannot be read.
    pub fn drift(&self) -> Result<i64, Errno> {
        Ok(Self::now()?.offset - self.offset)
    }
}

/// The present, in the terms of `clock`.
///
/// # Errors
/// When a clock cannot be read.
pub fn present(clock: &Clock) -> Result<Nanos, Errno> {
    Ok(clock.unix(u64::try_from(read(ClockId::CLOCK_MONOTONIC)?).unwrap_or(0)))
}

fn read(clock: ClockId) -> Result<i64, Errno> {
    let time = clock_gettime(clock)?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}
