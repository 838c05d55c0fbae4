//! How long to wait before a retry: longer each time, with jitter, so that many nodes do not come back at once.

use std::time::Duration;

/// Waits that double, from the first to the longest, each drawn from its upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait. Default 200 ms.
    pub first: Duration,
    /// The longest wait. Default 10 s.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// The wait before retry number `attempt` (from 0); `random` is any number, evenly drawn.
    pub fn wait(&self, attempt: u32, random: u64) -> Duration {
        let full = self.first.saturating_mul(1_u32.checked_shl(attempt.min(31)).unwrap_or(u32::MAX)).min(self.longest);
        let half = full / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(random % nanos.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::default();
        for (attempt, full_ms) in [(0, 200), (1, 400), (5, 6400), (6, 10_000), (1000, 10_000)] {
            for random in [0, 1, u64::MAX / 3, u64::MAX] {
                let wait = backoff.wait(attempt, random);
                assert!(wait >= Duration::from_millis(full_ms / 2) && wait <= Duration::from_millis(full_ms));
            }
        }
    }
}
