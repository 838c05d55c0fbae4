//! Epoch-locked: numbers, boundaries and bytes are a pure function of media time (STANDARDS 5.6 to 5.11).

use millstream_media::grid::{AAC_FRAME_SAMPLES, FrameRate, SegmentGrid};
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::Track;
use millstream_media::unit::Sample;
use millstream_package::segmenter::{ConfigError, Error, Segmenter, Warning};
use millstream_window::Timing;
use proptest::prelude::*;

use crate::fixtures::{Said, audio_track, sample, video_track};

/// 2026-11-23T00:00:00Z, in seconds.
const MIDNIGHT: i64 = 1_795_392_000;

fn rate(num: u32, den: u32) -> FrameRate {
    FrameRate::new(num, den).unwrap()
}

fn video_of(grid: SegmentGrid) -> Track {
    video_track(grid.rate().timescale(), Some(grid.rate()))
}

/// Frame `k`, an IDR where a segment begins and where `key` says so.
fn frame(grid: SegmentGrid, k: u64, key: bool) -> Sample {
    sample(grid.frame_ticks(k), grid.rate().frame_ticks(), key || grid.is_boundary(k))
}

fn run(mut segmenter: Segmenter, samples: impl IntoIterator<Item = Sample>) -> Said {
    let mut said = Said::default();
    for s in samples {
        segmenter.push(s).unwrap();
        std::iter::from_fn(|| segmenter.pull()).for_each(|o| said.take(o));
    }
    said
}

fn video(grid: SegmentGrid, part_frames: u32, frames: std::ops::Range<u64>) -> Said {
    let first = frames.start;
    let segmenter = Segmenter::epoch_locked(&video_of(grid), grid, part_frames).unwrap();
    run(segmenter, frames.map(|k| frame(grid, k, k == first)))
}

/// The audio frames that start in the time of `frames`.
fn audio(grid: SegmentGrid, part_frames: u32, frames: std::ops::Range<u64>) -> Said {
    let at = |k: u64| {
        let n = u128::from(k) * u128::from(grid.rate().den()) * 48_000;
        n.div_ceil(u128::from(grid.rate().num()) * u128::from(AAC_FRAME_SAMPLES)) as u64
    };
    let segmenter = Segmenter::epoch_locked(&audio_track(48_000), grid, part_frames).unwrap();
    run(segmenter, (at(frames.start)..at(frames.end)).map(|i| sample(i * AAC_FRAME_SAMPLES, 1024, true)))
}

/// STANDARDS 5.6, 5.7, 5.9: the numbers and times of real AWS MediaLive segments, 25 fps and 1.92 s.
#[test]
fn segments_are_those_of_aws_medialive() {
    let grid = SegmentGrid::new(rate(25, 1), 48).unwrap();
    let first = grid.first_frame(896_605_656);
    // The encoder joined 37 frames before this segment.
    let start = 1_721_482_857_600 * 25;
    let said = video(grid, 12, first - 37..first + 48);
    assert_eq!(said.boundaries(), [(896_605_655, start - 37_000, 37_000), (896_605_656, start, 48_000)]);
    let said = audio(grid, 12, first - 37..first + 48);
    let want = [(896_605_655, 82_631_177_094_144, 70_656), (896_605_656, 82_631_177_164_800, 92_160)];
    assert_eq!(said.boundaries(), want);
}

/// Nothing waits for a frame that comes later.
#[test]
fn a_segment_ends_with_its_last_frame() {
    let grid = SegmentGrid::with_segment_millis(rate(30, 1), 2000);
    let said = video(grid, 15, 600..660);
    assert_eq!(said.boundaries(), [(11, 600_000, 60_000)]);
    assert_eq!(
        said.segments[0].chunks.iter().map(|c| (c.part, c.duration)).collect::<Vec<_>>(),
        [(0, 15_000), (1, 15_000), (2, 15_000), (3, 15_000)]
    );
    assert!(said.segments[0].chunks[0].independent && !said.segments[0].chunks[1].independent);
}

/// STANDARDS 5.7: whoever joins in the middle makes a short first segment under the right number.
#[test]
fn a_join_in_the_middle_does_not_shift_the_grid() {
    let grid = SegmentGrid::new(rate(25, 1), 48).unwrap();
    let said = video(grid, 12, 48 * 10 + 11..48 * 12);
    assert_eq!(said.boundaries(), [(11, 491_000, 37_000), (12, 528_000, 48_000)]);
    // Part 0 has one frame left; the other parts are where they always are.
    assert_eq!(
        said.segments[0].chunks.iter().map(|c| (c.part, c.samples)).collect::<Vec<_>>(),
        [(0, 1), (1, 12), (2, 12), (3, 12)]
    );
    let later = video(grid, 12, 48 * 10 + 24..48 * 12);
    assert_eq!(later.segments[0].chunks[0].part, 2);
    said.check_continuous();
    later.check_continuous();
}

/// STANDARDS 5.11: the grid of 29.97 does not know midnight; its day is not a whole number of segments.
#[test]
fn ntsc_over_midnight() {
    let grid = SegmentGrid::with_segment_millis(rate(30_000, 1001), 2000);
    let midnight = grid.frame_at_or_before(UtcTime(MIDNIGHT * 1_000_000_000));
    let from = midnight - midnight % 60 - 120;
    let said = video(grid, 15, from..from + 300);
    said.check_continuous();
    let numbers: Vec<u64> = said.segments.iter().map(|s| s.end.segment).collect();
    assert_eq!(numbers, (from / 60 + 1..from / 60 + 6).collect::<Vec<_>>());
    assert!(said.segments.iter().all(|s| s.end.duration == 60_060 && s.end.start % 60_060 == 0));
    assert!(said.segments.iter().any(|s| {
        let start = UtcTime::from_ticks(s.end.start, grid.rate().timescale());
        start.0 < MIDNIGHT * 1_000_000_000 && start.0 + 2_002_000_000 > MIDNIGHT * 1_000_000_000
    }));
}

#[test]
fn a_gap_is_reported_and_shifts_nothing() {
    let grid = SegmentGrid::with_segment_millis(rate(30, 1), 2000);
    let with_gap = |lost: std::ops::Range<u64>| {
        let segmenter = Segmenter::epoch_locked(&video_of(grid), grid, 15).unwrap();
        run(segmenter, (600..780).filter(|k| !lost.contains(k)).map(|k| frame(grid, k, false)))
    };
    let names = |said: &Said| said.chunks().map(|c| (c.segment, c.part, c.start, c.duration)).collect::<Vec<_>>();
    let whole = names(&with_gap(0..0));

    let within_a_part = with_gap(605..607);
    assert_eq!(within_a_part.warnings, [Warning::Gap { expected: 605_000, got: 607_000 }]);
    assert_eq!(names(&within_a_part), whole, "the frame before the gap lasts longer");

    let across_parts = with_gap(610..620);
    assert_eq!(across_parts.warnings, [Warning::Gap { expected: 610_000, got: 620_000 }]);
    assert_eq!(
        names(&across_parts)[..3],
        [(11, 0, 600_000, 10_000), (11, 1, 620_000, 10_000), (11, 2, 630_000, 15_000)]
    );
    assert_eq!(names(&across_parts)[3..], whole[3..]);

    let across_segments = with_gap(650..670);
    assert_eq!(
        across_segments.warnings,
        [Warning::Gap { expected: 650_000, got: 670_000 }, Warning::NoSyncAtStart { segment: 12 }]
    );
    assert_eq!(across_segments.boundaries(), [(11, 600_000, 50_000), (12, 670_000, 50_000), (13, 720_000, 60_000)]);
}

/// After a flush the same segment is not begun again: its names stand for other bytes.
#[test]
fn no_name_is_used_twice() {
    let grid = SegmentGrid::with_segment_millis(rate(30, 1), 2000);
    let mut segmenter = Segmenter::epoch_locked(&video_of(grid), grid, 15).unwrap();
    let mut said = Said::default();
    (600..610).for_each(|k| segmenter.push(frame(grid, k, false)).unwrap());
    segmenter.flush().unwrap();
    segmenter.discontinuity();
    (615..720).for_each(|k| segmenter.push(frame(grid, k, k == 615)).unwrap());
    std::iter::from_fn(|| segmenter.pull()).for_each(|o| said.take(o));
    assert_eq!(said.boundaries(), [(11, 600_000, 10_000), (12, 660_000, 60_000)]);
    assert_eq!(said.segments.iter().map(|s| s.end.discontinuity).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn what_is_refused() {
    let grid = SegmentGrid::with_segment_millis(rate(30, 1), 2000);
    let mut segmenter = Segmenter::epoch_locked(&video_of(grid), grid, 15).unwrap();
    assert_eq!(segmenter.push(sample(600_001, 1000, true)), Err(Error::OffGrid { dts: 600_001, duration: 1000 }));
    assert_eq!(segmenter.push(sample(600_000, 999, true)), Err(Error::OffGrid { dts: 600_000, duration: 999 }));
    segmenter.push(sample(600_000, 1000, false)).unwrap();
    assert_eq!(
        segmenter.pull(),
        Some(millstream_package::segmenter::SegmenterOutput::Warning(Warning::WaitingForSync { from: 600_000 }))
    );
    segmenter.push(sample(601_000, 1000, true)).unwrap();
    assert_eq!(segmenter.push(sample(601_000, 1000, true)), Err(Error::Backwards { dts: 601_000, expected: 602_000 }));
    let huge = bytes::Bytes::from(vec![0; 65 * 1024 * 1024]);
    let huge = Sample { data: huge, ..sample(602_000, 1000, true) };
    assert_eq!(segmenter.push(huge), Err(Error::TooLarge { bytes: 65 * 1024 * 1024 }));
    let never_pulled = (603..100_000).find_map(|k| segmenter.push(frame(grid, k, false)).err());
    assert_eq!(never_pulled, Some(Error::PullFirst));
}

#[test]
fn what_cannot_be_configured() {
    let grid = SegmentGrid::with_segment_millis(rate(30, 1), 2000);
    let of = |track: &Track, part| Segmenter::epoch_locked(track, grid, part).err();
    let other = video_track(Timescale::MPEG, None);
    assert_eq!(of(&other, 15), Some(ConfigError::Timescale { track: 90_000, grid: 30_000 }));
    for part in [0, 61] {
        assert_eq!(of(&video_of(grid), part), Some(ConfigError::PartFrames(part)));
    }
    let fast = SegmentGrid::with_segment_millis(rate(60, 1), 2000);
    let shorter_than_audio_frame = Segmenter::epoch_locked(&audio_track(48_000), fast, 1).err();
    assert_eq!(shorter_than_audio_frame, Some(ConfigError::PartFrames(1)));
}

fn any_grid() -> impl Strategy<Value = SegmentGrid> {
    let rates = [(24, 1), (25, 1), (30, 1), (50, 1), (60, 1), (24_000, 1001), (30_000, 1001), (60_000, 1001)];
    (prop::sample::select(rates.to_vec()), 1000u32..6000)
        .prop_map(|((n, d), ms)| SegmentGrid::with_segment_millis(rate(n, d), ms))
}

/// A grid, a part of 0.2 to 1 s, and a place in time.
fn any_case() -> impl Strategy<Value = (SegmentGrid, u32, u64)> {
    (any_grid(), 200u32..1000, 0i64..4_000_000_000).prop_map(|(grid, part_ms, seconds)| {
        let nominal = grid.rate().as_f64().round() as u32;
        let part = (nominal * part_ms).div_ceil(1000).min(grid.frames_per_segment());
        (grid, part, grid.nearest_frame(UtcTime(seconds * 1_000_000_000)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Every frame comes out once, in the segment and part of the plain formula.
    #[test]
    fn every_frame_lies_where_the_formula_says((grid, part, from) in any_case(), count in 1u64..400) {
        let said = video(grid, part, from..from + count);
        said.check_continuous();
        prop_assert!(said.warnings.is_empty());
        let frames = u64::from(grid.frames_per_segment());
        let mut k = from;
        for c in said.chunks() {
            prop_assert_eq!(c.start, grid.frame_ticks(k));
            prop_assert_eq!((c.segment, u64::from(c.part)), (k / frames + 1, k % frames / u64::from(part)));
            k += u64::from(c.samples);
            prop_assert!(k % frames == 0 || (k % frames).is_multiple_of(part.into()), "a part ends early");
        }
        let out = said.samples(&video_of(grid));
        prop_assert!(out.iter().enumerate().all(|(i, s)| *s == frame(grid, from + i as u64, i == 0)));
    }

    /// STANDARDS 3.10, CHECK-3b, 5.9: video boundaries are the same in all renditions, audio follows by the ceil rule.
    #[test]
    fn audio_follows_video((grid, part, from) in any_case(), segments in 1u64..4) {
        let from = from - from % u64::from(grid.frames_per_segment());
        let frames = from..from + segments * u64::from(grid.frames_per_segment());
        let (v, a) = (video(grid, part, frames.clone()), audio(grid, part, frames));
        a.check_continuous();
        prop_assert_eq!(v.segments.len() as u64, segments);
        prop_assert_eq!(a.segments.len() as u64, segments);
        for (v, a) in v.segments.iter().zip(&a.segments) {
            let n = v.end.segment;
            prop_assert_eq!(a.end.segment, n);
            prop_assert_eq!(v.end.start, grid.video_start(n));
            prop_assert_eq!(a.end.start, grid.audio_start(n, Timescale::AUDIO_48K));
            prop_assert_eq!(a.end.start + a.end.duration, grid.audio_start(n + 1, Timescale::AUDIO_48K));
            // Parts too: the first audio frame at or after the video part's start.
            for (v, a) in v.chunks.iter().zip(&a.chunks) {
                prop_assert_eq!(v.part, a.part);
                let b = u128::from(v.start) * 48_000;
                let frame = u128::from(grid.rate().timescale().get()) * 1024;
                prop_assert_eq!(u128::from(a.start), b.div_ceil(frame) * 1024);
            }
        }
    }

    /// STANDARDS 1.37: no part is longer than the part target, none but a segment's last shorter than 85% of it.
    #[test]
    fn audio_parts_fit_one_part_target((grid, part, from) in any_case()) {
        let from = from - from % u64::from(grid.frames_per_segment());
        let said = audio(grid, part, from..from + 8 * u64::from(grid.frames_per_segment()));
        let target = Segmenter::epoch_locked(&audio_track(48_000), grid, part).unwrap().longest_part();
        for s in &said.segments {
            let (last, others) = s.chunks.split_last().unwrap();
            prop_assert!(last.duration <= target);
            for c in others {
                prop_assert!(c.duration <= target && c.duration * 100 >= target * 85, "{} of {target}", c.duration);
            }
        }
    }

    /// STANDARDS 1.37 for a whole channel: the parts of video and of audio at 48 kHz fit the one part target that its
    /// lists say, none but a segment's last shorter than 85 % of it.
    #[test]
    fn all_parts_fit_the_part_target(
        rate in prop::sample::select(vec![(24, 1), (25, 1), (30, 1), (30_000, 1001), (50, 1), (60_000, 1001), (60, 1)]),
        part_ms in 200u32..=1000,
        segment_ms in 1000u32..6000,
        seconds in 0i64..4_000_000_000,
    ) {
        let grid = SegmentGrid::with_segment_millis(FrameRate::new(rate.0, rate.1).unwrap(), segment_ms);
        // As a channel takes it from `part_seconds`.
        let frames = (f64::from(part_ms) / 1000.0 * grid.rate().as_f64()).round() as u32;
        let part = frames.clamp(1, grid.frames_per_segment());
        let target = Timing::epoch_locked(grid).with_part_frames(part).part_target().unwrap().as_nanos();
        let from = grid.first_frame(grid.segment_of_frame(grid.nearest_frame(UtcTime(seconds * 1_000_000_000))));
        let of = from..from + 4 * u64::from(grid.frames_per_segment());
        let scale = u128::from(grid.rate().timescale().get());
        for (said, scale) in [(video(grid, part, of.clone()), scale), (audio(grid, part, of.clone()), 48_000)] {
            prop_assert_eq!(said.segments.len(), 4);
            for s in &said.segments {
                for (i, c) in s.chunks.iter().enumerate() {
                    let nanos = u128::from(c.duration) * 1_000_000_000 / scale;
                    prop_assert!(nanos <= target, "{nanos} > {target}");
                    let last = i + 1 == s.chunks.len();
                    prop_assert!(last || nanos * 100 >= target * 85, "part {i}: {nanos} of {target}");
                }
            }
        }
    }

    /// Two encoders that started at different moments make the same bytes from the first whole segment on.
    #[test]
    fn two_origins_hold_the_same_bytes((grid, part, from) in any_case(), later in 1u64..100) {
        let end = from + later + 3 * u64::from(grid.frames_per_segment());
        for (one, two) in [
            (video(grid, part, from..end), video(grid, part, from + later..end)),
            (audio(grid, part, from..end), audio(grid, part, from + later..end)),
        ] {
            let whole = two.segments[1].end.segment;
            let of = |said: &Said| said.chunks().filter(|c| c.segment >= whole).cloned().collect::<Vec<_>>();
            prop_assert!(of(&one).len() > 1);
            prop_assert_eq!(of(&one), of(&two));
        }
    }

    /// Whatever is missing, what is there lies on the grid, no name comes twice and nothing goes back.
    #[test]
    fn gaps_shift_nothing((grid, part, from) in any_case(), kept in prop::collection::vec(any::<bool>(), 1..300)) {
        let segmenter = Segmenter::epoch_locked(&video_of(grid), grid, part).unwrap();
        let frames = kept.iter().enumerate().filter(|(_, k)| **k).map(|(i, _)| frame(grid, from + i as u64, false));
        let said = run(segmenter, frames);
        let frames = u64::from(grid.frames_per_segment());
        let mut before = (0, 0, 0);
        for c in said.chunks() {
            let k = c.start / u64::from(grid.rate().frame_ticks());
            prop_assert_eq!((c.segment, u64::from(c.part)), (k / frames + 1, k % frames / u64::from(part)));
            prop_assert!((c.segment, c.part) > (before.0, before.1) && c.start >= before.2);
            before = (c.segment, c.part, c.start + c.duration);
        }
    }
}
