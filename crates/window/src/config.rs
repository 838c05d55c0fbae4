//! What a window is told: how long its list is, what bounds it, and the timing of one session.

use std::time::Duration;

use millstream_media::grid::{AAC_FRAME_SAMPLES, SegmentGrid};

/// Bounds and lengths of a [`Window`](crate::Window). Every field has a documented default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Media listed in a playlist, at least (default 60 s). Apple asks for 15 minutes or more; that is the archive's.
    pub list_duration: Duration,
    /// Segments listed, at least (default 6, STANDARDS 1.10).
    pub min_listed: u32,
    /// Bytes of media and init segments held, at most (default 512 MiB). At the bound the oldest media that has left
    /// the list goes first, then the list grows shorter (never below three target durations), then chunks are
    /// refused. All three are counted in [`Statistics`](crate::Statistics).
    pub max_bytes: u64,
    /// A rendition that is this many segments behind the fastest one gets gaps for what it misses (default 3).
    pub max_lag: u32,
    /// Numbers a rendition may skip at once before the chunk is refused (default 30); a longer hole is a new session.
    pub max_skip: u32,
    /// Chunks in one segment, at most (default 1024).
    pub max_parts: u32,
    /// Tracks in one period, at most (default 32).
    pub max_tracks: u32,
    /// Rendition names kept alive in one session, at most (default 64); the name longest out of use is forgotten.
    pub max_names: u32,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` of the first session (default 0). A caller that restarts gives what
    /// [`Window::next_discontinuity_sequence`](crate::Window::next_discontinuity_sequence) said last, so that it never falls.
    pub discontinuity_sequence: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            list_duration: Duration::from_secs(60),
            min_listed: 6,
            max_bytes: 512 << 20,
            max_lag: 3,
            max_skip: 30,
            max_parts: 1024,
            max_tracks: 32,
            max_names: 64,
            discontinuity_sequence: 0,
        }
    }
}

impl Config {
    /// The length the list is held at: [`Config::list_duration`], but at least [`Config::min_listed`] nominal segments
    /// and three target durations (STANDARDS 1.10).
    pub fn list_length(&self, timing: &Timing) -> Duration {
        let segments = timing.segment_duration() * self.min_listed.max(1);
        let targets = Duration::from_secs(3 * u64::from(timing.target_duration()));
        self.list_duration.max(segments).max(targets)
    }

    /// Numbers in a block of a DASH timeline: equal durations are merged into one `S` element within a block only, since
    /// a repeating `S` may go only as a whole (STANDARDS 2.7). A quarter of the list, rounded down to a power of two,
    /// from 1 to 64. What a manifest still names because of that is shorter than what the window keeps anyway.
    pub fn timeline_block(&self, timing: &Timing) -> u64 {
        let listed = self.list_length(timing).as_nanos() / timing.segment_duration().as_nanos().max(1);
        let quarter = u64::try_from(listed / 4).unwrap_or(64).clamp(1, 64);
        1 << quarter.ilog2()
    }

    /// Bytes a window holds at most while its channel sends `bits_per_second` over all renditions, in real time:
    /// `rate × (2·L + (5 + 2·max_lag)·T) + init segments`, with L the [`Config::list_length`] and T the longest segment
    /// (target duration + 0.5 s), and never more than [`Config::max_bytes`].
    ///
    /// L + T is the list, T the open segment, and what left the list stays for L + 2·T more (STANDARDS 1.11) and one
    /// T until the next prune; a lagging rendition lengthens both by `max_lag` segments.
    pub fn bytes_bound(&self, timing: &Timing, bits_per_second: u64, init_bytes: u64) -> u64 {
        let longest = timing.longest_segment();
        let span = 2 * self.list_length(timing) + longest * (5 + 2 * self.max_lag);
        let media = u128::from(bits_per_second) * span.as_nanos() / 8_000_000_000;
        u64::try_from(media).unwrap_or(u64::MAX).saturating_add(init_bytes).min(self.max_bytes)
    }
}

/// How long segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentLength {
    /// Epoch-locked: number and boundaries are functions of the time (encoded channels).
    Grid(SegmentGrid),
    /// About this long, cut at the source's random access points (passthrough).
    Nominal(Duration),
}

/// The timing of one session: what its `EXT-X-TARGETDURATION` is, which never changes in it (STANDARDS 1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    length: SegmentLength,
    target_duration: u32,
    part_target: Option<Duration>,
}

impl Timing {
    /// Of an epoch-locked channel. The target is the segment length with one audio frame more, since audio segments
    /// begin on their own frame grid, rounded to the nearest second.
    pub fn epoch_locked(grid: SegmentGrid) -> Self {
        let length = SegmentLength::Grid(grid);
        let longest = nominal(length) + audio_frame();
        Timing { length, target_duration: rounded_seconds(longest).max(1), part_target: None }
    }

    /// Of a passthrough channel whose first group of pictures lasted `first_gop` and whose segmenter cuts at the first
    /// random access point at or after `wanted`: a segment is a whole number of groups, and the target is that rounded
    /// up, with one second of headroom for groups that grow. A segment that is longer still is refused with
    /// [`Error::TooLong`](crate::Error::TooLong); the caller then begins a new session with a longer target.
    pub fn passthrough(first_gop: Duration, wanted: Duration) -> Self {
        let gop = first_gop.max(Duration::from_millis(1)).as_nanos();
        let groups = wanted.as_nanos().div_ceil(gop).max(1);
        let segment = u64::try_from(gop * groups).map_or(Duration::from_secs(3600), Duration::from_nanos);
        let whole = u32::try_from(segment.as_secs()).unwrap_or(3600) + u32::from(segment.subsec_millis() >= 10);
        Timing { length: SegmentLength::Nominal(segment), target_duration: whole.saturating_add(1), part_target: None }
    }

    /// With a target given by configuration, in seconds; at least the segment length rounded, and 1.
    pub fn with_target(length: SegmentLength, target_duration: u32) -> Self {
        Timing {
            length,
            target_duration: target_duration.max(rounded_seconds(nominal(length))).max(1),
            part_target: None,
        }
    }

    /// Chunks are listed as parts, none longer than `longest`: `EXT-X-PART-INF:PART-TARGET` is that, rounded up to a
    /// millisecond (STANDARDS 1.36). Without this the lists are those of plain HLS.
    #[must_use]
    pub fn with_parts(self, longest: Duration) -> Self {
        let whole_ms = u64::try_from(longest.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Timing { part_target: Some(Duration::from_millis(whole_ms.max(1))), ..self }
    }

    /// As [`Timing::with_parts`], for an epoch-locked channel whose parts have `frames` video frames: audio parts, which
    /// have one audio frame more or less, fit as well (STANDARDS 1.37).
    #[must_use]
    pub fn with_part_frames(self, frames: u32) -> Self {
        let SegmentLength::Grid(grid) = self.length else { return self };
        let (num, den) = (u64::from(grid.rate().num()), u64::from(grid.rate().den()));
        let video = Duration::from_nanos((u64::from(frames) * den * 1_000_000_000).div_ceil(num));
        let audio_frames = (u64::from(frames) * den * 48_000).div_ceil(num * AAC_FRAME_SAMPLES);
        let audio = Duration::from_nanos((audio_frames * AAC_FRAME_SAMPLES * 1_000_000_000).div_ceil(48_000));
        self.with_parts(video.max(audio))
    }

    /// `PART-TARGET`; `None` if parts are not listed.
    pub const fn part_target(&self) -> Option<Duration> {
        self.part_target
    }

    /// `EXT-X-TARGETDURATION`, in seconds.
    pub const fn target_duration(&self) -> u32 {
        self.target_duration
    }

    /// The nominal length of a segment.
    pub fn segment_duration(&self) -> Duration {
        nominal(self.length)
    }

    /// The longest segment that may be listed: just under target + 0.5 s (STANDARDS 1.7).
    pub fn longest_segment(&self) -> Duration {
        Duration::from_secs(u64::from(self.target_duration)) + Duration::from_millis(500)
    }

    /// What a DASH manifest may promise as its longest segment: on the grid a segment with one audio frame more,
    /// otherwise [`Timing::longest_segment`].
    pub fn max_segment_duration(&self) -> Duration {
        match self.length {
            SegmentLength::Grid(_) => nominal(self.length) + audio_frame(),
            SegmentLength::Nominal(_) => self.longest_segment(),
        }
    }

    /// How long segments are.
    pub const fn length(&self) -> SegmentLength {
        self.length
    }

    /// Whether a duration of `ticks` at `per_second` may be listed: rounded to the nearest second it is at most the
    /// target (STANDARDS 1.7).
    pub const fn admits(&self, ticks: u64, per_second: u32) -> bool {
        (2 * ticks as u128 + per_second as u128) / (2 * per_second as u128) <= self.target_duration as u128
    }
}

/// One AAC frame at 44.1 kHz or more, rounded up to a millisecond.
const fn audio_frame() -> Duration {
    Duration::from_millis((AAC_FRAME_SAMPLES * 1000).div_ceil(44_100))
}

fn nominal(length: SegmentLength) -> Duration {
    match length {
        SegmentLength::Grid(grid) => {
            let ns = u128::from(grid.segment_ticks()) * 1_000_000_000 / u128::from(grid.rate().timescale().get());
            u64::try_from(ns).map_or(Duration::MAX, Duration::from_nanos)
        }
        SegmentLength::Nominal(d) => d,
    }
}

fn rounded_seconds(d: Duration) -> u32 {
    u32::try_from(d.as_secs()).unwrap_or(u32::MAX - 1) + u32::from(d.subsec_nanos() >= 500_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_media::grid::FrameRate;

    #[test]
    fn target_of_a_grid_is_the_rounded_segment() {
        for (num, den, ms, target) in
            [(30, 1, 2000, 2), (30_000, 1001, 2000, 2), (25, 1, 1920, 2), (25, 1, 2480, 3), (50, 1, 400, 1)]
        {
            let grid = SegmentGrid::with_segment_millis(FrameRate::new(num, den).unwrap(), ms);
            assert_eq!(Timing::epoch_locked(grid).target_duration(), target, "{num}/{den} {ms} ms");
        }
    }

    #[test]
    fn target_of_passthrough_has_headroom() {
        for (gop_ms, wanted_ms, segment_ms, target) in [
            (2000, 2000, 2000, 3),
            (1000, 2000, 2000, 3),
            (4000, 2000, 4000, 5),
            (1500, 2000, 3000, 4),
            (833, 2000, 2499, 4),
        ] {
            let t = Timing::passthrough(Duration::from_millis(gop_ms), Duration::from_millis(wanted_ms));
            assert_eq!(
                (t.segment_duration().as_millis(), t.target_duration()),
                (segment_ms, target),
                "GOP {gop_ms} ms"
            );
        }
    }

    /// STANDARDS 1.7: rounded to the nearest integer, a half goes up.
    #[test]
    fn a_segment_is_admitted_when_it_rounds_to_the_target_or_less() {
        let t = Timing::with_target(SegmentLength::Nominal(Duration::from_secs(2)), 2);
        assert!(t.admits(224_999, 90_000));
        assert!(!t.admits(225_000, 90_000));
    }
}
