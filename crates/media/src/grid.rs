//! The frame grid and the epoch-locked segment grid: every number is a pure function of UTC media time.
//!
//! Frame `k` lies at `k × (frame duration)` from the epoch; segment `N` holds the frames
//! `[(N−1)·F, N·F)`, so `N = floor(t/D) + 1`, the numbering of AWS MediaLive (STANDARDS 5.6).
//! All in integers of frames (5.11). Audio segment `N` begins with the first frame of 1024 samples
//! at or after the video boundary (5.9).

use serde::{Deserialize, Serialize};

use crate::time::{NANOS_PER_SECOND, Timescale, UtcTime};

/// Samples in an AAC access unit.
pub const AAC_FRAME_SAMPLES: u64 = 1024;

/// A frame rate as a reduced fraction of frames per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRate {
    num: u32,
    den: u32,
}

impl FrameRate {
    /// `num/den` frames per second, reduced; `None` unless it lies in 1 to 240 and its denominator is at most 1001.
    pub fn new(num: u32, den: u32) -> Option<Self> {
        if num == 0 || den == 0 {
            return None;
        }
        let g = gcd(num, den);
        let (num, den) = (num / g, den / g);
        let fits = den <= 1001 && num >= den && u64::from(num) <= 240 * u64::from(den);
        fits.then_some(FrameRate { num, den })
    }

    /// Numerator of the reduced fraction.
    pub const fn num(self) -> u32 {
        self.num
    }

    /// Denominator of the reduced fraction.
    pub const fn den(self) -> u32 {
        self.den
    }

    /// Frames per second, for display and for comparing with measurements only.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// The track timescale: the numerator, times 1000 where that is small
    /// (30 → 30000; 30000/1001 → 30000).
    pub fn timescale(self) -> Timescale {
        let scale = if self.num < 1000 { self.num * 1000 } else { self.num };
        Timescale::new(scale).unwrap_or(Timescale::MPEG)
    }

    /// Ticks of one frame in [`FrameRate::timescale`]: 1000 for 30, 1001 for 30000/1001.
    pub const fn frame_ticks(self) -> u32 {
        if self.num < 1000 { self.den * 1000 } else { self.den }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Index of a frame on the grid that starts at the epoch.
pub type FrameIndex = u64;

/// The grid of one channel: a constant frame rate and a whole number of frames per segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentGrid {
    rate: FrameRate,
    frames_per_segment: u32,
    /// Added to every number; 0 unless numbers of another length had run ahead.
    offset: u64,
}

impl SegmentGrid {
    /// A grid of `frames_per_segment` frames at `rate`; `None` for zero frames.
    pub fn new(rate: FrameRate, frames_per_segment: u32) -> Option<Self> {
        (frames_per_segment > 0).then_some(SegmentGrid { rate, frames_per_segment, offset: 0 })
    }

    /// The grid whose segments last `millis` at the nominal (integer) rate: 2000 ms is 60 frames at 30 and at
    /// 30000/1001, where they then last 2.002 s. At least one frame.
    pub fn with_segment_millis(rate: FrameRate, millis: u32) -> Self {
        let nominal = (u64::from(rate.num) + u64::from(rate.den) / 2) / u64::from(rate.den);
        let frames = ((nominal * u64::from(millis) + 500) / 1000).clamp(1, u64::from(u32::MAX));
        SegmentGrid { rate, frames_per_segment: frames as u32, offset: 0 }
    }

    /// The same grid with `offset` added to every number. A channel whose segment length was raised counts on above the
    /// numbers that it used before; boundaries stay where the clock has them.
    #[must_use]
    pub const fn with_offset(self, offset: u64) -> Self {
        SegmentGrid { offset, ..self }
    }

    /// What is added to every number.
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// The frame rate.
    pub const fn rate(self) -> FrameRate {
        self.rate
    }

    /// Frames in each whole segment.
    pub const fn frames_per_segment(self) -> u32 {
        self.frames_per_segment
    }

    /// Length of a whole video segment in ticks of the rate's timescale.
    pub const fn segment_ticks(self) -> u64 {
        self.frames_per_segment as u64 * self.rate.frame_ticks() as u64
    }

    /// The frame whose slot is nearest to `t`.
    pub fn nearest_frame(self, t: UtcTime) -> FrameIndex {
        self.frame_at(t, true)
    }

    /// The last frame that starts at or before `t`.
    pub fn frame_at_or_before(self, t: UtcTime) -> FrameIndex {
        self.frame_at(t, false)
    }

    fn frame_at(self, t: UtcTime, nearest: bool) -> FrameIndex {
        let per = i128::from(NANOS_PER_SECOND) * i128::from(self.rate.den);
        let n = i128::from(t.0.max(0)) * i128::from(self.rate.num);
        ((n + if nearest { per / 2 } else { 0 }) / per) as u64
    }

    /// Start of frame `k` in ticks of the rate's timescale.
    pub const fn frame_ticks(self, k: FrameIndex) -> u64 {
        k * self.rate.frame_ticks() as u64
    }

    /// Start of frame `k` as an instant, rounded up to a nanosecond, so that
    /// `frame_at_or_before(frame_time(k)) == k`.
    pub fn frame_time(self, k: FrameIndex) -> UtcTime {
        let n = i128::from(k) * i128::from(self.rate.den) * i128::from(NANOS_PER_SECOND);
        let d = i128::from(self.rate.num);
        UtcTime(((n + d - 1) / d) as i64)
    }

    /// Number of the segment that holds frame `k`: `floor(k/F) + 1` (STANDARDS 5.6, 5.11).
    pub const fn segment_of_frame(self, k: FrameIndex) -> u64 {
        (k / self.frames_per_segment as u64 + 1).saturating_add(self.offset)
    }

    /// First frame of segment `n` (numbers start at 1 above the offset).
    pub const fn first_frame(self, n: u64) -> FrameIndex {
        n.saturating_sub(self.offset.saturating_add(1)) * self.frames_per_segment as u64
    }

    /// Whether frame `k` begins a segment.
    pub const fn is_boundary(self, k: FrameIndex) -> bool {
        k.is_multiple_of(self.frames_per_segment as u64)
    }

    /// Start of video segment `n` in ticks of the rate's timescale.
    pub const fn video_start(self, n: u64) -> u64 {
        self.frame_ticks(self.first_frame(n))
    }

    /// Start of audio segment `n` in samples of `sample_rate` since the epoch: the first frame of 1024 samples
    /// at or after the video boundary, `ceil(B × rate / 1024) × 1024` (STANDARDS 5.9).
    pub fn audio_start(self, n: u64, sample_rate: Timescale) -> u64 {
        self.audio_at_or_after_frame(self.first_frame(n), sample_rate)
    }

    /// Start of the first audio frame at or after the start of video frame `k`, in samples of `sample_rate` since the
    /// epoch.
    pub fn audio_at_or_after_frame(self, k: FrameIndex, sample_rate: Timescale) -> u64 {
        let den = u128::from(self.rate.num) * u128::from(AAC_FRAME_SAMPLES);
        let num = u128::from(k) * u128::from(self.rate.den) * u128::from(sample_rate.get());
        (num.div_ceil(den) as u64) * AAC_FRAME_SAMPLES
    }

    /// Number of the segment that holds the audio frame which starts at `start` samples since the epoch.
    pub fn segment_of_audio(self, start: u64, sample_rate: Timescale) -> u64 {
        // The last video frame that starts at or before the audio frame lies in the same segment, because
        // audio_start(n) is the first audio frame not before the boundary.
        let k =
            u128::from(start) * u128::from(self.rate.num) / (u128::from(sample_rate.get()) * u128::from(self.rate.den));
        self.segment_of_frame(k as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(num: u32, den: u32) -> FrameRate {
        FrameRate::new(num, den).unwrap()
    }

    #[test]
    fn an_offset_moves_numbers_and_no_boundary() {
        let plain = SegmentGrid::with_segment_millis(rate(30_000, 1001), 4000);
        let moved = plain.with_offset(123_456);
        for k in (0..100_000).step_by(37) {
            let n = plain.segment_of_frame(k);
            assert_eq!(moved.segment_of_frame(k), n + 123_456);
            assert_eq!(moved.first_frame(n + 123_456), plain.first_frame(n));
            assert_eq!(moved.video_start(n + 123_456), plain.video_start(n));
            let scale = Timescale::AUDIO_48K;
            assert_eq!(moved.audio_start(n + 123_456, scale), plain.audio_start(n, scale));
        }
    }

    #[test]
    fn timescales_of_the_usual_rates() {
        for (num, den, scale, frame) in [
            (30, 1, 30_000, 1000),
            (25, 1, 25_000, 1000),
            (60, 1, 60_000, 1000),
            (30_000, 1001, 30_000, 1001),
            (24_000, 1001, 24_000, 1001),
        ] {
            assert_eq!(rate(num, den).timescale().get(), scale);
            assert_eq!(rate(num, den).frame_ticks(), frame);
        }
    }

    /// STANDARDS 5.6: a real MediaLive segment, 25 fps, 1.92 s.
    #[test]
    fn numbers_are_those_of_aws_medialive() {
        let grid = SegmentGrid::new(rate(25, 1), 48).unwrap();
        let t = UtcTime::from_ticks(154_933_457_184_000, Timescale::MPEG);
        assert_eq!(grid.segment_of_frame(grid.nearest_frame(t)), 896_605_656);
        assert_eq!(grid.frame_time(grid.first_frame(896_605_656)), t);
    }

    /// STANDARDS 5.9: the audio of real MediaLive segments starts exactly here.
    #[test]
    fn audio_starts_are_those_of_aws_medialive() {
        let grid = SegmentGrid::new(rate(25, 1), 48).unwrap();
        let a = grid.audio_start(896_605_656, Timescale::AUDIO_48K);
        assert_eq!(a, 82_631_177_164_800);
        assert_eq!(grid.audio_start(896_605_657, Timescale::AUDIO_48K) - a, 92_160);
    }

    /// STANDARDS 5.10: 2 s at 30 fps is 93.75 audio frames.
    #[test]
    fn audio_pattern_of_two_second_segments() {
        let grid = SegmentGrid::with_segment_millis(rate(30, 1), 2000);
        let len = |n| grid.audio_start(n + 1, Timescale::AUDIO_48K) - grid.audio_start(n, Timescale::AUDIO_48K);
        assert_eq!([len(1), len(2), len(3), len(4)], [96_256, 96_256, 96_256, 95_232]);
    }

    #[test]
    fn ntsc_segments_stay_whole_frames() {
        let grid = SegmentGrid::with_segment_millis(rate(30_000, 1001), 2000);
        assert_eq!((grid.frames_per_segment(), grid.segment_ticks()), (60, 60_060));
    }
}
