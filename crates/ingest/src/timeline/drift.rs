//! Slow drift between the contribution's clock and the wall clock: measured by the fastest units, followed by slewing.

use std::collections::VecDeque;

/// Length of one measurement in nanoseconds of arrival.
const BUCKET: i64 = 5_000_000_000;

/// Measurements in the window.
const BUCKETS: usize = 6;

/// Longest stretch of source time that one step of slewing covers.
const MAX_STEP: i64 = 1_000_000_000;

/// Follows `arrival − source time` by its windowed minimum: delay in the network only ever adds to it.
#[derive(Debug)]
pub(super) struct Drift {
    dead_band: i64,
    max_ppm: i64,
    /// The minimum of each finished bucket, oldest first; at most [`BUCKETS`].
    buckets: VecDeque<i64>,
    bucket: Option<Bucket>,
    /// What `arrival − mapped time` of the fastest units should come to.
    aim: i64,
    /// The furthest source time yet.
    source: Option<i64>,
    slewing: bool,
}

#[derive(Debug)]
struct Bucket {
    began: i64,
    least: i64,
}

impl Drift {
    pub(super) fn new(dead_band: i64, max_ppm: i64) -> Self {
        Drift { dead_band, max_ppm, buckets: VecDeque::new(), bucket: None, aim: 0, source: None, slewing: false }
    }

    /// The mapping has a new anchor: measure afresh, aim at no delay.
    pub(super) fn reset(&mut self) {
        *self = Drift::new(self.dead_band, self.max_ppm);
    }

    /// Sets what the fastest units' delay should be.
    pub(super) fn aim_at(&mut self, aim: i64) {
        self.aim = aim;
    }

    /// Takes a unit in and answers by how much to move `offset` now.
    pub(super) fn slew(&mut self, offset: i64, source: i64, at: i64) -> i64 {
        self.measure(at, at.saturating_sub(source));
        let passed = self.source.map_or(0, |before| source.saturating_sub(before)).clamp(0, MAX_STEP);
        self.source = Some(self.source.map_or(source, |before| before.max(source)));
        let Some(error) = self.error(offset) else { return 0 };
        if error.saturating_abs() > self.dead_band {
            self.slewing = true;
        } else if error.saturating_abs() < self.dead_band / 4 {
            self.slewing = false;
        }
        if !self.slewing {
            return 0;
        }
        let most = passed * self.max_ppm / 1_000_000;
        error.clamp(-most, most)
    }

    /// The error, if the window is full: what even the fastest units have shown for its whole length.
    pub(super) fn lasting_error(&self, offset: i64) -> Option<i64> {
        if self.buckets.len() < BUCKETS { None } else { self.error(offset) }
    }

    fn error(&self, offset: i64) -> Option<i64> {
        let least = self.buckets.iter().copied().min()?;
        Some(least.saturating_sub(offset).saturating_sub(self.aim))
    }

    fn measure(&mut self, at: i64, delay: i64) {
        if let Some(bucket) = &mut self.bucket {
            let age = at.saturating_sub(bucket.began);
            if (0..BUCKET).contains(&age) {
                bucket.least = bucket.least.min(delay);
                return;
            }
            if (BUCKET..2 * BUCKET).contains(&age) {
                self.buckets.push_back(bucket.least);
                if self.buckets.len() > BUCKETS {
                    self.buckets.pop_front();
                }
            } else {
                // A long silence, or the wall clock has been set: what was measured says nothing about now.
                self.buckets.clear();
            }
        }
        self.bucket = Some(Bucket { began: at, least: delay });
    }
}
