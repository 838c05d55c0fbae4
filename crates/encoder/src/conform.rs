//! Which slot of the constant frame grid a decoded picture takes (DESIGN 2). Pure.
//!
//! The first picture takes the slot nearest to it (so that encoders which start at different moments agree). From then
//! on the next picture takes the next slot as long as it lies within three quarters of a frame of it. Only beyond that is
//! a picture left out or the one before repeated, and then the nearest slot is taken again. The half frame between
//! these two keeps time stamps that jitter around the middle between two slots (RTMP rounds to milliseconds) from
//! repeating and dropping in turn; sound and picture stay within three quarters of a frame of each other.

use millstream_media::grid::{FrameIndex, SegmentGrid};
use millstream_media::time::{NANOS_PER_SECOND, UtcTime};

/// A picture that would need more repeats than this many seconds is refused: time stamps do not jump (DESIGN 2, ingest
/// maps them), and lost input is bridged by the server, which knows the time of day.
pub const MAX_GAP_SECONDS: i64 = 60;

/// What becomes of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All its slots are out already.
    Late,
    /// It takes the slot after `repeats` slots that repeat the picture before it.
    Next {
        /// Slots to fill first.
        repeats: u64,
    },
    /// Its time is further ahead than [`MAX_GAP_SECONDS`].
    TooFar,
}

/// The grid and the slot that is due next.
#[derive(Clone, Copy, Debug)]
pub struct Conform {
    grid: SegmentGrid,
    next: FrameIndex,
    /// A picture has found its slot; the next ones follow it.
    locked: bool,
    /// Most seconds of repeats before a picture.
    longest_gap: i64,
}

impl Conform {
    /// Begins with slot `first`.
    pub fn new(grid: SegmentGrid, first: FrameIndex) -> Self {
        Conform { grid, next: first, locked: false, longest_gap: MAX_GAP_SECONDS }
    }

    /// The same, with as many seconds of repeats before a picture: files may show one for long.
    pub fn with_longest_gap(self, seconds: i64) -> Self {
        Conform { longest_gap: seconds, ..self }
    }

    /// The slot that is due next.
    pub fn next(&self) -> FrameIndex {
        self.next
    }

    /// When the slot that is due next begins.
    pub fn next_time(&self) -> UtcTime {
        self.grid.frame_time(self.next)
    }

    /// Takes the slot that is due next.
    pub fn take(&mut self) -> FrameIndex {
        let k = self.next;
        self.next += 1;
        k
    }

    /// Where a picture with time `pts` goes. The caller then takes that many slots.
    pub fn place(&mut self, pts: UtcTime) -> Placement {
        let rate = self.grid.rate();
        let quarters = if self.locked { 3 } else { 2 };
        let bound = quarters * NANOS_PER_SECOND * i64::from(rate.den()) / (4 * i64::from(rate.num()));
        let ahead = pts.nanos_since(self.next_time());
        if ahead < -bound {
            return Placement::Late;
        } else if ahead > self.longest_gap * NANOS_PER_SECOND {
            return Placement::TooFar;
        }
        self.locked = true;
        let repeats = if ahead <= bound { 0 } else { self.grid.nearest_frame(pts).saturating_sub(self.next) };
        Placement::Next { repeats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_media::grid::FrameRate;

    /// Runs pictures with these times (ms) through a grid at `num/den` that starts at 0: for each slot the index of the
    /// picture that is shown in it.
    fn shown(num: u32, den: u32, times_ms: impl IntoIterator<Item = f64>) -> Vec<usize> {
        let grid = SegmentGrid::with_segment_millis(FrameRate::new(num, den).unwrap(), 2000);
        let mut conform = Conform::new(grid, 0);
        let mut slots = Vec::new();
        let mut last = usize::MAX;
        for (index, ms) in times_ms.into_iter().enumerate() {
            if let Placement::Next { repeats } = conform.place(UtcTime((ms * 1e6) as i64)) {
                for _ in 0..repeats {
                    conform.take();
                    slots.push(last);
                }
                conform.take();
                slots.push(index);
            }
            last = index;
        }
        slots
    }

    #[test]
    fn the_same_rate_passes_one_to_one_at_any_phase_and_jitter() {
        for phase in [0.0, 5.0, 16.6, 16.7, 20.0] {
            // Rounded to milliseconds, as RTMP does, and with 4 ms of jitter on top.
            let times = (0..300).map(|i| (phase + f64::from(i) * 1000.0 / 30.0).round() + f64::from(i % 3) * 2.0 - 2.0);
            let got = shown(30, 1, times);
            // The first picture may lie nearer to slot 1.
            let first = usize::from(got[0] == usize::MAX);
            assert_eq!(got[first..], (0..300).collect::<Vec<_>>(), "phase {phase}");
        }
    }

    #[test]
    fn half_the_rate_shows_each_picture_twice() {
        let got = shown(30, 1, (0..60).map(|i| (f64::from(i) * 1000.0 / 15.0).round()));
        for i in 1..58 {
            assert_eq!(got.iter().filter(|s| **s == i).count(), 2, "picture {i}");
        }
    }

    #[test]
    fn twice_the_rate_shows_every_other_picture() {
        let got = shown(30, 1, (0..120).map(|i| (f64::from(i) * 1000.0 / 60.0).round()));
        let steps: Vec<_> = got.windows(2).skip(2).map(|w| w[1] - w[0]).collect();
        assert!(steps.iter().all(|s| *s == 2), "{steps:?}");
    }

    #[test]
    fn film_rate_repeats_one_picture_in_five() {
        let got = shown(30, 1, (0..240).map(|i| f64::from(i) * 1000.0 / 24.0));
        assert!((298..=300).contains(&got.len()));
        assert!(got.windows(2).all(|w| w[1] - w[0] <= 1), "no picture is left out");
    }

    #[test]
    fn a_pause_is_filled_and_a_late_picture_is_left_out() {
        assert_eq!(shown(25, 1, [0.0, 40.0, 200.0, 80.0, 240.0]), [0, 1, 1, 1, 1, 2, 4]);
    }

    #[test]
    fn a_jump_of_hours_is_refused() {
        let grid = SegmentGrid::with_segment_millis(FrameRate::new(30, 1).unwrap(), 2000);
        let mut conform = Conform::new(grid, 54_000_000_000);
        assert_eq!(conform.place(UtcTime(conform.next_time().0 + 7200 * NANOS_PER_SECOND)), Placement::TooFar);
        assert_eq!(conform.place(UtcTime(0)), Placement::Late);
    }
}
