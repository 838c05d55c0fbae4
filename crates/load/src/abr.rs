//! Which variant a viewer watches: measured throughput, with a say for the buffer, and slow to go up. Pure.

use std::time::Duration;

/// Bit rate assumed before anything was measured.
const FIRST_ESTIMATE: f64 = 1_000_000.0;

/// Shortest transfer time counted: below it a measure says nothing but "fast".
const SHORTEST: f64 = 0.001;

/// Shortest time between two changes upwards.
const BETWEEN: Duration = Duration::from_secs(4);

/// Throughput as seen lately and over a longer time; the lower one counts.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    fast: f64,
    slow: f64,
    weight: f64,
    changed: Option<Duration>,
}

impl Default for Estimate {
    fn default() -> Self {
        Estimate { fast: 0.0, slow: 0.0, weight: 0.0, changed: None }
    }
}

impl Estimate {
    /// A body of so many bytes came in this time, that to its first byte left out, and holds so much media.
    pub fn add(&mut self, bytes: u64, took: Duration, media: Duration) {
        if bytes == 0 {
            return;
        }
        let rate = bytes as f64 * 8.0 / took.as_secs_f64().max(SHORTEST);
        let weight = media.as_secs_f64().clamp(0.05, 10.0);
        let mix = |old: f64, half: f64| {
            let keep = 0.5f64.powf(weight / half);
            if self.weight == 0.0 { rate } else { old * keep + rate * (1.0 - keep) }
        };
        (self.fast, self.slow) = (mix(self.fast, 3.0), mix(self.slow, 9.0));
        self.weight += weight;
    }

    /// In bit/s.
    pub fn rate(&self) -> f64 {
        if self.weight == 0.0 { FIRST_ESTIMATE } else { self.fast.min(self.slow) }
    }

    /// Which of these bandwidths (lowest first) to watch.
    ///
    /// Up only where 70 % of the estimate carries it, the buffer holds `wanted`, and the last change is 4 s ago.
    /// Down as soon as 90 % of the estimate do not carry the present one, or 75 % while the buffer is under half.
    pub fn choose(
        &mut self,
        now: Duration,
        bandwidths: &[u64],
        current: Option<usize>,
        buffered: Duration,
        wanted: Duration,
    ) -> usize {
        let fits = |share: f64| bandwidths.iter().rposition(|b| *b as f64 <= self.rate() * share).unwrap_or(0);
        let Some(current) = current else { return fits(0.8) };
        let holds = if buffered < wanted / 2 { 0.75 } else { 0.9 };
        let down = fits(holds);
        let up = fits(0.7);
        let rested = self.changed.is_none_or(|c| now.saturating_sub(c) >= BETWEEN);
        let chosen = if down < current {
            down
        } else if up > current && rested && buffered >= wanted / 2 {
            up
        } else {
            current
        };
        if chosen != current {
            self.changed = Some(now);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_slowly_down_at_once() {
        let (ladder, s) = ([500_000, 1_000_000, 2_000_000], Duration::from_secs);
        let mut estimate = Estimate::default();
        assert_eq!(estimate.choose(s(0), &ladder, None, s(0), s(4)), 0);
        estimate.add(1_000_000, s(1), s(4));
        assert_eq!(estimate.choose(s(1), &ladder, Some(0), s(1), s(4)), 0, "the buffer is low");
        assert_eq!(estimate.choose(s(1), &ladder, Some(0), s(4), s(4)), 2);
        for _ in 0..12 {
            estimate.add(137_500, s(1), s(4));
        }
        assert_eq!(estimate.choose(s(2), &ladder, Some(2), s(4), s(4)), 0);
        for _ in 0..9 {
            estimate.add(250_000, s(1), s(4));
        }
        assert_eq!(estimate.choose(s(3), &ladder, Some(0), s(4), s(4)), 0, "too soon after the last change");
        assert_eq!(estimate.choose(s(9), &ladder, Some(0), s(4), s(4)), 1);
    }

    #[test]
    fn a_rate_between_two_thresholds_changes_nothing() {
        let (ladder, s) = ([500_000, 1_000_000], Duration::from_secs);
        let mut estimate = Estimate::default();
        estimate.add(150_000, s(1), s(4));
        for current in [0, 1] {
            assert_eq!(estimate.choose(s(9), &ladder, Some(current), s(4), s(4)), current);
        }
    }
}
