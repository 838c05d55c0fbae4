//! When a session is tried again that failed for want of a worker, and how often that is told (pure).

use std::time::Duration;

use millstream_media::time::MonoTime;

/// Longest wait before another session is tried for want of a worker that works; the first is 1 s.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(15);

/// Sessions that failed for want of a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    /// When the next one is tried.
    pub(super) at: MonoTime,
    /// How many failed one after the other.
    pub(super) failures: u32,
}

impl Retry {
    /// After one more failure.
    pub(super) fn after(before: Option<Retry>, now: MonoTime) -> Self {
        let failures = before.map_or(0, |retry| retry.failures).saturating_add(1);
        let delay = Duration::from_secs(1).saturating_mul(1 << (failures - 1).min(10)).min(MAX_RETRY_DELAY);
        Retry { at: now + delay, failures }
    }

    /// Whether this failure is told in the log: the first, the second, the fourth, the eighth…
    pub(super) const fn is_told(self) -> bool {
        self.failures.is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_without_a_worker_are_tried_ever_more_rarely_and_told_ever_more_rarely() {
        let mut now = MonoTime::default();
        let mut retry = None;
        let (mut delays, mut told) = (Vec::new(), 0);
        for _ in 0..100 {
            let next = Retry::after(retry, now);
            delays.push(next.at.since(now).as_secs());
            told += u32::from(next.is_told());
            (now, retry) = (next.at, Some(next));
        }
        assert_eq!(delays.get(..6), Some(&[1, 2, 4, 8, 15, 15][..]));
        assert!(delays.iter().all(|seconds| *seconds <= 15));
        assert_eq!(told, 7);
    }
}
