//! What other programs take of the machine: with two cores and four busy programs of our own, a stranger's compiler
//! changes every number by more than the auditor does.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long to look. Nothing of ours is busy meanwhile, so all that is seen is others'.
const LOOK: Duration = Duration::from_millis(500);
/// Share of all processors above which the numbers are not to be trusted.
pub(super) const LIMIT: f64 = 0.05;

/// The share of all processors that is in use, between 0 and 1, while we do nothing.
pub(super) fn share() -> Result<f64> {
    let (busy_before, all_before) = times()?;
    // Not a wait for something: the length of the measurement.
    std::thread::sleep(LOOK);
    let (busy, all) = times()?;
    let (busy, all) = (busy.saturating_sub(busy_before), all.saturating_sub(all_before));
    #[expect(clippy::cast_precision_loss, reason = "ticks within a second")]
    Ok(busy as f64 / all.max(1) as f64)
}

fn times() -> Result<(u64, u64)> {
    parse(&fs::read_to_string("/proc/stat")?).context("read the first line of /proc/stat")
}

/// Busy and all ticks. Fields of `proc_stat(5)`: user nice system idle iowait irq softirq steal; guests are in user already.
fn parse(text: &str) -> Option<(u64, u64)> {
    let fields = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let all: u64 = ticks.iter().sum();
    Some((all - ticks.get(3)? - ticks.get(4)?, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_busy() {
        assert_eq!(parse("cpu  10 1 5 100 7 0 2 3 9 9\ncpu0 1 1 1 1\n"), Some((21, 128)));
        assert_eq!(parse("cpu  1 2\n"), None);
        assert_eq!(parse(""), None);
    }
}
