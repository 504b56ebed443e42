//! How fast the API server is asked.

use std::time::Duration;

/// Bounds in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The pause after the first failure; each further one doubles it.
    pub least: Duration,
    /// The longest pause; also before asking again for what is forbidden, or not served.
    pub most: Duration,
    /// How long an answer may take to begin, and a page of a list to come.
    pub answer: Duration,
    /// How long a watch lasts before it is begun anew: it may be dead without anyone having said so.
    pub watch: Duration,
    /// Between the beginnings of two watches: a server may close each at once.
    pub between: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            least: Duration::from_millis(250),
            most: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            watch: Duration::from_secs(240),
            between: Duration::from_secs(1),
        }
    }
}

/// Growing pauses.
#[derive(Debug)]
pub(super) struct Backoff {
    pace: Pace,
    failures: u32,
    /// For the part that is left to chance: servers that come back are not met by all clients at once.
    chance: u64,
}

impl Backoff {
    pub(super) fn new(pace: Pace, seed: u64) -> Self {
        Self { pace, failures: 0, chance: seed | 1 }
    }

    /// Failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn succeed(&mut self) {
        self.failures = 0;
    }

    /// The pause after another failure, not shorter than the server asks for.
    pub(super) fn fail(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = self.pace.least.saturating_mul(1 << self.failures.min(16)).min(self.pace.most);
        self.failures = self.failures.saturating_add(1);
        // Between half and all of it (Marsaglia, "Xorshift RNGs").
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let part = doubled.mul_f64(0.5 + (self.chance % 1024) as f64 / 2048.0);
        part.max(asked.unwrap_or_default().min(self.pace.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds_and_begin_anew() {
        let pace = Pace::default();
        for seed in 0..100 {
            let mut backoff = Backoff::new(pace, seed);
            for expected in [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
                let (pause, expected) = (backoff.fail(None), Duration::from_millis(expected));
                assert!(pause >= expected / 2 && pause <= expected, "{pause:?} {expected:?}");
            }
            assert_eq!(backoff.fail(Some(Duration::from_secs(3600))), pace.most);
            backoff.succeed();
            assert_eq!(backoff.fail(Some(Duration::from_secs(7))), Duration::from_secs(7));
            backoff.succeed();
            assert!(backoff.fail(None) <= pace.least);
        }
    }
}
