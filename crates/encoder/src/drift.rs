//! Keeping the sample counter and the contribution's audio time stamps together (DESIGN 2). Pure.
//!
//! Time stamps jitter (RTMP rounds to milliseconds), so only their smoothed distance from the counter is acted on: by
//! stretching or shrinking the sound by at most 0.2 %, which nobody hears. A distance beyond [`HARD_SAMPLES`] is a hole
//! or an overlap: it is filled with silence or cut.

/// 60 ms at 48 kHz: beyond this silence is put in or samples are cut.
pub const HARD_SAMPLES: i64 = 2880;
/// 10 ms: the same bound right after a unit that could not be decoded, which surely left a hole.
const HARD_AFTER_ERROR_SAMPLES: i64 = 480;
/// 5 ms: beyond this, smoothed, the sound is stretched or shrunk.
const SOFT_SAMPLES: i64 = 240;
/// 1 ms: within this the stretching ends.
const DONE_SAMPLES: i64 = 48;
/// Most samples of stretching in each 48,000.
const MAX_STRETCH: i64 = 96;
/// The smoothing's weight: one part in this many.
const SMOOTHING: i64 = 32;

/// What to do before a block of samples is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Append,
    /// Stretch (positive) or shrink the coming 48,000 samples by so many; 0 ends it.
    Stretch(i32),
    /// Put so many samples of silence in first.
    Fill(u64),
    /// Cut so many samples off the front.
    Cut(u64),
}

/// The state of the comparison.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drift {
    /// The smoothed distance times [`SMOOTHING`].
    smoothed: i64,
    stretching: bool,
    /// The first block is placed exactly.
    started: bool,
    after_error: bool,
    /// Samples since the last change of the stretching.
    since: u64,
}

impl Drift {
    /// The next block comes after a hole, or from another source: it is placed by its time stamp.
    pub fn restart(&mut self) {
        *self = Drift::default();
    }

    /// A unit could not be decoded.
    pub fn decode_error(&mut self) {
        self.after_error = true;
    }

    /// A block of `samples` comes whose time stamp is `ahead` samples after the counter (negative: before).
    pub fn step(&mut self, ahead: i64, samples: u64) -> Step {
        let hard = match (self.started, self.after_error) {
            (false, _) => 0,
            (true, true) => HARD_AFTER_ERROR_SAMPLES,
            (true, false) => HARD_SAMPLES,
        };
        self.started = true;
        self.after_error = false;
        if ahead.abs() > hard {
            self.smoothed = 0;
            return if ahead > 0 { Step::Fill(ahead.unsigned_abs()) } else { Step::Cut(ahead.unsigned_abs()) };
        }
        self.smoothed += ahead - self.smoothed / SMOOTHING;
        let mean = self.smoothed / SMOOTHING;
        self.since += samples;
        if self.stretching {
            if mean.abs() <= DONE_SAMPLES {
                self.stretching = false;
                return Step::Stretch(0);
            }
            // The resampler stretches 48,000 samples at a time.
            if self.since >= 48_000 {
                return self.stretch(mean);
            }
        } else if mean.abs() > SOFT_SAMPLES {
            self.stretching = true;
            return self.stretch(mean);
        }
        Step::Append
    }

    fn stretch(&mut self, mean: i64) -> Step {
        self.since = 0;
        Step::Stretch(mean.clamp(-MAX_STRETCH, MAX_STRETCH) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source whose clock is off by `ppm` runs for `seconds`: the largest distance seen after the first 10 s, and the
    /// samples filled or cut.
    fn simulate(ppm: f64, jitter: i64, seconds: u64) -> (i64, u64) {
        let mut drift = Drift::default();
        let (mut counter, mut source, mut rate) = (0.0_f64, 0.0_f64, 1.0_f64);
        let (mut worst, mut hard) = (0, 0);
        let blocks = seconds * 48_000 / 1024;
        for block in 0..blocks {
            let ahead = (source - counter).round() as i64 + [jitter, -jitter, 0][(block % 3) as usize];
            match drift.step(ahead, 1024) {
                Step::Append => {}
                Step::Stretch(samples) => rate = 1.0 + f64::from(samples) / 48_000.0,
                Step::Fill(n) | Step::Cut(n) => {
                    // The first block is placed as it says.
                    hard += if block == 0 { 0 } else { n };
                    counter = source;
                }
            }
            if block > 10 * 47 {
                worst = worst.max(((source - counter) as i64).abs());
            }
            source += 1024.0 * (1.0 + ppm / 1e6);
            counter += 1024.0 * rate;
        }
        (worst, hard)
    }

    #[test]
    fn jitter_alone_changes_nothing() {
        let mut drift = Drift::default();
        assert_eq!(drift.step(0, 1024), Step::Append);
        for block in 0..5000 {
            assert_eq!(drift.step([48, -48, 20, -20, 400, -400][block % 6], 1024), Step::Append);
        }
    }

    #[test]
    fn a_clock_that_is_off_is_followed_without_a_cut() {
        for ppm in [-300.0, -50.0, 20.0, 100.0, 1000.0] {
            let (worst, hard) = simulate(ppm, 48, 600);
            assert!(worst < 1000, "{ppm} ppm: {worst} samples off");
            assert_eq!(hard, 0, "{ppm} ppm");
        }
    }

    #[test]
    fn a_hole_is_filled_and_an_overlap_cut() {
        let mut drift = Drift::default();
        assert_eq!(drift.step(5, 1024), Step::Fill(5));
        assert_eq!(drift.step(4800, 1024), Step::Fill(4800));
        assert_eq!(drift.step(-4800, 1024), Step::Cut(4800));
        assert_eq!(drift.step(1024, 1024), Step::Append);
        drift.decode_error();
        assert_eq!(drift.step(1024, 1024), Step::Fill(1024));
    }
}
