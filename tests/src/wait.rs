//! Waiting for a condition, within a limit, that an interrupt ends early.
//!
//! Consumes a condition that is asked again and again, produces its value or an error that names what was waited for.
//! Invariant: every wait of the harness ends, at the latest when its limit is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is asked.
const INTERVAL: Duration = Duration::from_millis(5);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes every wait, now and later, end with an error, so that guards unwind and clean up.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// An error once [`interrupt`] was called.
///
/// # Errors
/// The program was asked to stop.
pub fn check_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}

/// Asks `condition` until it gives a value.
///
/// # Errors
/// The condition's own error at once; or the limit is over (the message names `what`); or the program was interrupted.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    to_the_end(what, limit, || {
        let value = condition()?;
        if value.is_none() {
            check_interrupted()?;
        }
        Ok(value)
    })
}

/// Like [`until`], but goes on after an interrupt: for cleaning up.
///
/// # Errors
/// The condition's own error at once; or the limit is over.
pub fn to_the_end<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() >= end {
            bail!("waited {} s in vain for {what}", limit.as_secs_f32());
        }
        std::thread::sleep(INTERVAL);
    }
}
