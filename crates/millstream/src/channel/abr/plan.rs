//! What a session that encodes begins with: frame rate, numbers, first frame, parts (pure).

use std::time::Duration;

use millstream_control::channel::{ChannelConfig, FrameRateSetting};
use millstream_control::documents::FrameFamily;
use millstream_encode::ladder::InputShape;
use millstream_encode::rate::{self, Family};
use millstream_encode_wire::message::Ladder;
use millstream_media::codec::VideoConfig;
use millstream_media::grid::{FrameIndex, FrameRate, SegmentGrid};
use millstream_media::time::UtcTime;
use millstream_media::track::RenditionName;
use millstream_window::Timing;

/// Media time by which a session may begin later than its contribution, so that no number is used twice.
const MAX_WAIT_FOR_NUMBER: Duration = Duration::from_secs(10);

/// The grid with the offset that its numbers need, so that none falls: none if the clock's own numbers were never used,
/// else the one that the channel has, else a new one (decision 0011).
pub(super) fn numbered(grid: SegmentGrid, first: UtcTime, first_free: u64, kept: u64) -> SegmentGrid {
    let natural = grid.nearest_frame(first);
    let fits = |grid: &SegmentGrid| {
        let wait = grid.frame_time(grid.first_frame(first_free)).since(grid.frame_time(natural));
        wait <= MAX_WAIT_FOR_NUMBER
    };
    let new = first_free.saturating_sub(grid.segment_of_frame(natural));
    [grid, grid.with_offset(kept)].into_iter().find(fits).unwrap_or_else(|| grid.with_offset(new))
}

/// The session's first frame: that of the contribution, but not of a segment that was published before.
pub(super) fn first_frame(grid: SegmentGrid, first: UtcTime, first_free: u64) -> FrameIndex {
    grid.nearest_frame(first).max(grid.first_frame(first_free))
}

pub(super) fn video_names(ladder: &Ladder) -> Vec<RenditionName> {
    ladder.video.iter().map(|rendition| rendition.name.clone()).collect()
}

pub(super) fn audio_names(ladder: &Ladder) -> Vec<RenditionName> {
    ladder.audio.iter().map(|rendition| rendition.name.clone()).collect()
}

pub(super) fn shape_of(config: &VideoConfig) -> InputShape {
    let (width, height) = config.dimensions();
    let pixel_aspect = config.picture_info().sample_aspect.map_or((1, 1), |(num, den)| (num.into(), den.into()));
    InputShape { width, height, pixel_aspect }
}

/// The output's frame rate. Within a family all rates have the same segment numbers, so a channel keeps the family it
/// began with; another one has to be configured.
pub(super) fn output_rate(config: &ChannelConfig, measured: Option<f64>, family: Option<FrameFamily>) -> FrameRate {
    match config.frame_rate {
        FrameRateSetting::Fixed(rate) => rate,
        FrameRateSetting::Auto => {
            let family = match family {
                None => Family::Any,
                Some(FrameFamily::Whole) => Family::Integer,
                Some(FrameFamily::Ntsc) => Family::Ntsc,
            };
            let pictures = measured.map_or(0, |rate| (rate * 1000.0).round() as u64);
            rate::snap(pictures, 1_000_000_000_000, family)
        }
    }
}

pub(super) const fn family_of(rate: FrameRate) -> FrameFamily {
    if rate.den() == 1 { FrameFamily::Whole } else { FrameFamily::Ntsc }
}

/// Parts are listed if low latency is wanted.
pub(super) fn timing(config: &ChannelConfig, grid: SegmentGrid) -> Timing {
    let timing = Timing::epoch_locked(grid);
    if config.low_latency { timing.with_part_frames(part_frames(config, grid)) } else { timing }
}

/// Video frames in a part; a whole segment without low latency.
pub(super) fn part_frames(config: &ChannelConfig, grid: SegmentGrid) -> u32 {
    if !config.low_latency {
        return grid.frames_per_segment();
    }
    let frames = config.part_seconds.duration().as_secs_f64() * grid.rate().as_f64();
    (frames.round() as u32).clamp(1, grid.frames_per_segment())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// STANDARDS 5.6; a number is never used twice, and a session never waits for long to keep that.
    #[test]
    fn a_session_begins_above_what_was_published() {
        let rate = FrameRate::new(25, 1).unwrap();
        let grid = SegmentGrid::with_segment_millis(rate, 2000);
        let now = UtcTime::from_millis(1_795_365_013_480);
        let here = grid.segment_of_frame(grid.nearest_frame(now));
        // Never published, or the segment that was being made when the server was killed: in its middle.
        for free in [1, here] {
            assert_eq!(numbered(grid, now, free, 0), grid);
            assert_eq!(first_frame(grid, now, free), grid.nearest_frame(now), "{free}");
        }
        assert_eq!(first_frame(numbered(grid, now, here + 1, 0), now, here + 1), grid.first_frame(here + 1));
    }

    /// Decision 0011: whatever is changed, numbers rise, boundaries stay on the clock, and nobody waits.
    #[test]
    fn numbers_rise_through_any_change_of_the_segment_length() {
        let rate = FrameRate::new(25, 1).unwrap();
        let (mut free, mut kept) = (1, 0);
        let mut now = UtcTime::from_millis(1_795_365_013_480);
        for (millis, ahead) in [(2000, 0), (4000, 0), (4000, 0), (6000, 50), (1000, 0), (10_000, 0), (2000, 7_000)] {
            let plain = SegmentGrid::with_segment_millis(rate, millis);
            let grid = numbered(plain, now, free, kept);
            let first = first_frame(grid, now, free);
            let segment = grid.segment_of_frame(first);
            assert!(segment >= free, "{millis} ms: {segment} is below {free}");
            assert!(grid.frame_time(first).since(now) <= MAX_WAIT_FOR_NUMBER, "{millis} ms");
            assert_eq!(grid.is_boundary(plain.first_frame(9)), plain.is_boundary(plain.first_frame(9)));
            if plain.segment_of_frame(plain.nearest_frame(now)) >= free {
                assert_eq!(grid.offset(), 0, "{millis} ms: the clock's numbers are free");
            }
            // A minute on air; a passthrough counter may run ahead of the clock.
            kept = grid.offset();
            now = now + Duration::from_secs(60);
            free = grid.segment_of_frame(grid.nearest_frame(now)) + 1 + ahead;
        }
    }
}
