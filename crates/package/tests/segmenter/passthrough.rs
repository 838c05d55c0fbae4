//! Passthrough: cuts at the source's own random access points, in all tracks at once.

use millstream_media::segment::Chunk;
use millstream_media::time::Timescale;
use millstream_media::track::Track;
use millstream_media::unit::Sample;
use millstream_package::segmenter::{ConfigError, Error, PassthroughConfig, PassthroughSegmenter, TrackKind, Warning};
use proptest::prelude::*;

use crate::fixtures::{Said, audio_track, sample, video_track};

/// Start of the stream, in ticks of 90 kHz and of 48 kHz.
const START: u64 = 1_795_365_013 * 90_000;
const AUDIO_START: u64 = 1_795_365_013 * 48_000;

const CONFIG: PassthroughConfig = PassthroughConfig {
    first_segment: 700,
    target_ms: 2000,
    part_ms: 500,
    max_segment_ms: 20_000,
    max_gap_ms: 3000,
    max_skew_ms: 1000,
    low_latency: false,
};

fn tracks() -> (Track, Track) {
    (video_track(Timescale::MPEG, None), audio_track(48_000))
}

fn segmenter() -> PassthroughSegmenter {
    let (v, a) = tracks();
    PassthroughSegmenter::new(CONFIG, Some(&v), Some(&a)).unwrap()
}

/// A segmenter under test and what it said.
struct Bench {
    of: PassthroughSegmenter,
    video: Said,
    audio: Said,
}

impl Bench {
    fn new(of: PassthroughSegmenter) -> Self {
        Bench { of, video: Said::default(), audio: Said::default() }
    }

    fn pull(&mut self) {
        while let Some((kind, output)) = self.of.pull() {
            match kind {
                TrackKind::Video => self.video.take(output),
                TrackKind::Audio => self.audio.take(output),
            }
        }
    }

    fn video(&mut self, samples: impl IntoIterator<Item = Sample>) -> &mut Self {
        for s in samples {
            self.of.push_video(s).unwrap();
            self.pull();
        }
        self
    }

    fn audio(&mut self, samples: impl IntoIterator<Item = Sample>) -> &mut Self {
        for s in samples {
            self.of.push_audio(s).unwrap();
            self.pull();
        }
        self
    }

    /// Both tracks, in order of time.
    fn both(&mut self, video: Vec<Sample>, audio: Vec<Sample>) -> &mut Self {
        let mut audio = audio.into_iter().peekable();
        for v in video {
            while let Some(a) = audio.next_if(|a| u128::from(a.dts) * 90_000 < u128::from(v.dts) * 48_000) {
                self.audio([a]);
            }
            self.video([v]);
        }
        self.audio(audio)
    }

    fn flush(&mut self) -> &mut Self {
        self.of.flush().unwrap();
        self.pull();
        self
    }
}

/// 30 frames a second with a random access point every `gop` frames.
fn frames(range: std::ops::Range<u64>, gop: u64) -> Vec<Sample> {
    range.map(|k| sample(START + k * 3000, 0, k.is_multiple_of(gop))).collect()
}

fn audio_frames(range: std::ops::Range<u64>) -> Vec<Sample> {
    range.map(|i| sample(AUDIO_START + i * 1024, 0, true)).collect()
}

#[test]
fn cuts_at_random_access_points_in_both_tracks() {
    let mut bench = Bench::new(segmenter());
    bench.both(frames(0..150, 30), audio_frames(0..235)).flush();
    assert_eq!(
        bench.video.boundaries(),
        [(700, START, 180_000), (701, START + 180_000, 180_000), (702, START + 360_000, 90_000)]
    );
    // The first audio frame at or after each cut, by the same rule as in epoch-locked channels.
    let at = |seconds: u64| AUDIO_START + (seconds * 48_000).div_ceil(1024) * 1024;
    let starts: Vec<u64> = bench.audio.segments.iter().map(|s| s.end.start).collect();
    assert_eq!(starts, [at(0), at(2), at(4)]);
    let numbers: Vec<u64> = bench.audio.segments.iter().map(|s| s.end.segment).collect();
    assert_eq!(numbers, [700, 701, 702]);
    bench.video.check_continuous();
    bench.audio.check_continuous();
    assert_eq!(bench.of.next_segment(), 703);
    assert!(bench.video.warnings.is_empty() && bench.audio.warnings.is_empty());
}

/// "At or after" to the tick: audio that starts a fraction of a tick before the video's cut stays in the segment before.
#[test]
fn audio_just_before_a_cut_stays_before_it() {
    let mut bench = Bench::new(segmenter());
    bench.video([sample(START, 0, true), sample(START + 180_001, 0, true), sample(START + 190_000, 0, false)]);
    bench.audio([AUDIO_START, AUDIO_START + 96_000, AUDIO_START + 96_001].map(|dts| sample(dts, 0, true))).flush();
    assert_eq!(bench.audio.boundaries()[1], (701, AUDIO_START + 96_001, 1));
}

/// Timestamps rounded to milliseconds, as RTMP has them, do not double the segments' length.
#[test]
fn a_random_access_point_just_before_the_target_is_taken() {
    let mut bench = Bench::new(segmenter());
    let early = |k: u64| if k >= 60 { 90 } else { 0 };
    bench.video(frames(0..150, 60).into_iter().enumerate().map(|(k, s)| Sample { dts: s.dts - early(k as u64), ..s }));
    assert_eq!(bench.video.boundaries(), [(700, START, 179_910), (701, START + 179_910, 180_000)]);
}

/// STANDARDS 3.9: B-frames need no edit list; the earliest presentation of a segment is its decode time.
#[test]
fn reordering_leaves_no_offset_at_the_start() {
    let mut bench = Bench::new(segmenter());
    // I P B B: composition offsets of 1, 3, 0 and 0 frames.
    let reordered = |s: Sample, k: usize| Sample { composition_offset: [3000, 9000, 0, 0][k % 4], ..s };
    bench.video(frames(0..130, 60).into_iter().enumerate().map(|(k, s)| reordered(s, k))).flush();
    let out = bench.video.samples(&tracks().0);
    assert_eq!(out[..4].iter().map(|s| s.composition_offset).collect::<Vec<_>>(), [0, 6000, -3000, -3000]);
    for segment in &bench.video.segments {
        let of = |s: &&Sample| s.dts >= segment.end.start && s.dts < segment.end.start + segment.end.duration;
        let earliest = out.iter().filter(of).map(|s| s.dts.saturating_add_signed(s.composition_offset.into())).min();
        assert_eq!(earliest, Some(segment.end.start));
    }
    // Presentation times are those of the source.
    assert_eq!(bench.video.segments[0].end.start, START + 3000);
}

/// STANDARDS 1.37: no part over the part target; none below 85% of it but a segment's last. Parts of audio end where those
/// of the video do, to the frame, so that no segment of it ends with a part of a frame or two.
#[test]
fn parts_fit_the_part_target() {
    // Ticks of a picture, pictures of a group of about 2 s.
    for (picture, gop) in [(3000, 60), (3003, 60), (3600, 50), (1500, 120), (3750, 48), (3754, 48), (18_000, 10)] {
        let mut bench = Bench::new(segmenter());
        let video = (0..5 * gop).map(|k| sample(START + k * picture, 0, k.is_multiple_of(gop))).collect();
        bench.both(video, audio_frames(0..468)).flush();
        let longest = |said: &Said| said.segments.iter().flat_map(|s| &s.chunks).map(|c| c.duration).max().unwrap();
        let (of_video, of_audio) = (longest(&bench.video), longest(&bench.audio));
        assert!(of_video <= 45_000 + picture / 2, "{picture}: {of_video}");
        assert!(of_audio <= (of_video * 48 / 90).div_ceil(1024) * 1024, "{picture}: {of_audio} behind {of_video}");
        assert!(bench.video.segments.len() >= 4 && bench.audio.segments.len() >= 4);
        for (pictures, sound) in bench.video.segments.iter().zip(&bench.audio.segments).take(4) {
            assert_eq!(pictures.chunks.len(), sound.chunks.len(), "{picture}");
            let (_, others) = pictures.chunks.split_last().unwrap();
            assert!(others.iter().all(|c| c.duration * 100 >= of_video * 85), "{picture}");
            for (p, s) in pictures.chunks.iter().zip(&sound.chunks) {
                let off = i128::from(s.duration) * 90 - i128::from(p.duration) * 48;
                assert!(off.abs() < 1024 * 90, "{picture}: {} of video, {} of audio", p.duration, s.duration);
            }
        }
    }
}

/// Without video, segments of audio are divided into equal parts, to the frame.
#[test]
fn parts_of_audio_alone_are_equal() {
    for (target_ms, part_ms, parts) in [(2000, 500, 4), (2000, 300, 7), (6000, 1000, 6), (1000, 2000, 1)] {
        let config = PassthroughConfig { target_ms, part_ms, ..CONFIG };
        let mut bench = Bench::new(PassthroughSegmenter::new(config, None, Some(&tracks().1)).unwrap());
        bench.audio(audio_frames(0..2000)).flush();
        let (_, whole) = bench.audio.segments.split_last().unwrap();
        assert!(whole.len() >= 6);
        let of = u64::from(target_ms) * 48 / parts;
        for segment in whole {
            assert_eq!(segment.chunks.len() as u64, parts);
            let near = |c: &Chunk| c.duration + 1024 * 2 > of && c.duration < of + 1024;
            assert!(segment.chunks.iter().all(near), "{target_ms}/{part_ms}");
        }
    }
}

/// A part goes out as soon as the next frame would make it too long.
#[test]
fn parts_do_not_wait() {
    let mut bench = Bench::new(segmenter());
    bench.video(frames(0..16, 60));
    assert_eq!(bench.video.open.len(), 1, "15 frames of known duration are a part");
}

#[test]
fn a_sample_lasts_until_the_next_one() {
    let mut bench = Bench::new(segmenter());
    let times = [0u64, 2000, 9000, 9001, 60_000];
    bench.video(times.iter().map(|t| sample(START + t, 0, *t == 0))).flush();
    let durations: Vec<u32> = bench.video.samples(&tracks().0).iter().map(|s| s.duration).collect();
    assert_eq!(durations, [2000, 7000, 1, 50_999, 50_999]);
}

#[test]
fn samples_before_the_first_random_access_point_are_dropped() {
    let mut bench = Bench::new(segmenter());
    bench.both(frames(10..130, 30), audio_frames(0..200)).flush();
    assert_eq!(bench.video.warnings, [Warning::WaitingForSync { from: START + 30_000 }]);
    assert_eq!(bench.video.boundaries()[0], (700, START + 90_000, 180_000));
    assert_eq!(bench.audio.boundaries()[0].1, AUDIO_START + 48_000_u64.div_ceil(1024) * 1024);
}

/// A segment must begin with a random access point (APL 7.4), so one that becomes too long is cut off.
#[test]
fn no_random_access_point_for_too_long() {
    let mut bench = Bench::new(segmenter());
    bench.both(frames(0..1230, 1200), audio_frames(0..1920)).flush();
    let warning = Warning::NoSyncForTooLong { segment: 700, duration: 20 * 90_000 };
    assert_eq!(bench.video.warnings, [warning]);
    let video = &bench.video.segments;
    assert_eq!(
        video.iter().map(|s| (s.end.segment, s.end.discontinuity)).collect::<Vec<_>>(),
        [(700, false), (701, true)]
    );
    assert!(video[0].end.duration <= 20 * 90_000);
    assert_eq!(video[1].end.start, START + 1200 * 3000);
    let audio = &bench.audio.segments;
    assert_eq!(
        audio.iter().map(|s| (s.end.segment, s.end.discontinuity)).collect::<Vec<_>>(),
        [(700, false), (701, true)]
    );
    assert!(audio[0].end.duration <= 22 * 48_000, "the audio does not grow for ever either");
}

#[test]
fn a_discontinuity_begins_a_segment() {
    let mut bench = Bench::new(segmenter());
    bench.both(frames(0..40, 30), audio_frames(0..62));
    bench.of.discontinuity();
    bench.both(frames(40..130, 30), audio_frames(62..200)).flush();
    let of = |said: &Said| said.segments.iter().map(|s| (s.end.segment, s.end.discontinuity)).collect::<Vec<_>>();
    assert_eq!(of(&bench.video), [(700, false), (701, true), (702, false)]);
    assert_eq!(of(&bench.audio), of(&bench.video), "all renditions at the same times (APL 8.15)");
    assert_eq!(bench.video.boundaries()[1].1, START + 60 * 3000);
}

#[test]
fn missing_video_is_a_discontinuity() {
    let mut bench = Bench::new(segmenter());
    bench.video(frames(0..20, 30)).video(frames(300..340, 30)).flush();
    assert_eq!(bench.video.warnings, [Warning::Gap { expected: START + 19 * 3000, got: START + 300 * 3000 }]);
    assert_eq!(bench.video.boundaries(), [(700, START, 60_000), (701, START + 900_000, 120_000)]);
    assert!(bench.video.segments[1].end.discontinuity);
}

/// Audio that falls silent does not hold its segments open; those without any are said.
#[test]
fn audio_may_fall_silent_and_return() {
    let mut bench = Bench::new(segmenter());
    let audio = audio_frames(0..50).into_iter().chain(audio_frames(330..400)).collect();
    bench.both(frames(0..270, 30), audio).flush();
    let numbers: Vec<u64> = bench.audio.segments.iter().map(|s| s.end.segment).collect();
    assert_eq!(numbers, [700, 703, 704]);
    let empty = |segment| Warning::EmptySegment { segment };
    let warned: Vec<_> = bench.audio.warnings.iter().filter(|w| !matches!(w, Warning::Gap { .. })).collect();
    assert_eq!(warned, [&empty(701), &empty(702)]);
    assert!(bench.audio.segments[0].end.duration <= 51 * 1024, "not stretched over the silence");
}

#[test]
fn audio_alone_is_cut_by_time() {
    let (_, a) = tracks();
    let of = PassthroughSegmenter::new(CONFIG, None, Some(&a)).unwrap();
    let mut bench = Bench::new(of);
    bench.audio(audio_frames(0..400)).flush();
    bench.audio.check_continuous();
    let (last, others) = bench.audio.segments.split_last().unwrap();
    assert!(others.len() == 4 && others.iter().all(|s| s.end.duration == 93 * 1024), "as near to 2 s as frames allow");
    assert_eq!((last.end.segment, last.end.duration), (704, 28 * 1024));
    assert_eq!(bench.of.push_video(sample(0, 0, true)), Err(Error::NoTrack));
}

#[test]
fn video_alone_needs_no_audio() {
    let (v, _) = tracks();
    let mut bench = Bench::new(PassthroughSegmenter::new(CONFIG, Some(&v), None).unwrap());
    bench.video(frames(0..100, 30)).flush();
    assert_eq!(bench.video.boundaries(), [(700, START, 180_000), (701, START + 180_000, 120_000)]);
}

#[test]
fn what_is_refused() {
    let mut s = segmenter();
    s.push_video(sample(START, 0, true)).unwrap();
    assert_eq!(s.push_video(sample(START, 0, true)), Err(Error::Backwards { dts: START, expected: START + 1 }));
    s.push_audio(sample(AUDIO_START, 0, true)).unwrap();
    let error = Error::Backwards { dts: AUDIO_START - 5, expected: AUDIO_START + 1 };
    assert_eq!(s.push_audio(sample(AUDIO_START - 5, 0, true)), Err(error));
    let (v, a) = tracks();
    let new = |config, v, a| PassthroughSegmenter::new(config, v, a).err();
    assert_eq!(new(CONFIG, None, None), Some(ConfigError::Tracks));
    assert_eq!(new(CONFIG, Some(&a), Some(&v)), Some(ConfigError::Tracks));
    let zero = PassthroughConfig { part_ms: 0, ..CONFIG };
    assert_eq!(new(zero, Some(&v), None), Some(ConfigError::Duration("part_ms")));
}

/// A source: steps between frames, which frames are random access points, and how far audio runs before or behind.
fn any_source() -> impl Strategy<Value = (Vec<(u64, bool)>, Vec<u64>, i64)> {
    let video = prop::collection::vec((1u64..9000, prop::bool::weighted(0.1)), 1..400);
    (video, prop::collection::vec(900u64..1200, 1..700), -400i64..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// Whatever the source's rhythm: no gap, no overlap, nothing lost, both tracks cut at the same places.
    #[test]
    fn any_source_is_cut_without_gap((video, audio, skew_ms) in any_source()) {
        let mut dts = START;
        let video: Vec<Sample> = video.into_iter().enumerate().map(|(i, (step, key))| {
            dts += step;
            sample(dts, 0, key || i == 0)
        }).collect();
        let mut dts = AUDIO_START;
        let audio: Vec<Sample> = audio.into_iter().map(|step| { dts += step; sample(dts, 0, true) }).collect();
        let first_video = video[0].dts;
        let mut bench = Bench::new(segmenter());
        // Audio arrives earlier or later than the video of its time.
        let mut arrivals: Vec<(i64, bool, Sample)> = video.iter().map(|s| (s.dts as i64 / 90, true, s.clone())).collect();
        arrivals.extend(audio.iter().map(|s| (s.dts as i64 / 48 + skew_ms, false, s.clone())));
        arrivals.sort_by_key(|(at, is_video, _)| (*at, *is_video));
        for (_, is_video, s) in arrivals {
            if is_video { bench.video([s]); } else { bench.audio([s]); }
        }
        bench.flush();
        bench.video.check_continuous();
        bench.audio.check_continuous();
        prop_assert!(bench.video.warnings.is_empty(), "{:?}", bench.video.warnings);
        let (v, a) = tracks();
        let data = |samples: Vec<Sample>| samples.into_iter().map(|s| s.data).collect::<Vec<_>>();
        prop_assert_eq!(data(bench.video.samples(&v)), data(video));
        let behind_first = |s: &Sample| u128::from(s.dts) * 90_000 >= u128::from(first_video) * 48_000;
        prop_assert_eq!(data(bench.audio.samples(&a)), data(audio.into_iter().filter(behind_first).collect()));
        for s in &bench.video.segments {
            prop_assert!(s.chunks[0].independent);
        }
        for s in &bench.audio.segments {
            let v = bench.video.segments.iter().find(|v| v.end.segment == s.end.segment).unwrap();
            let (before, at) = (u128::from(s.end.start) * 90_000, u128::from(v.end.start) * 48_000);
            prop_assert!(before >= at, "audio begins before the video's cut");
            prop_assert!(before - at < 1200 * 90_000 || s.end.segment == 700, "audio begins late");
        }
    }

    /// Hostile times and orders make errors and warnings, never a panic, and never go back.
    #[test]
    fn nothing_makes_it_panic(
        pushes in prop::collection::vec((any::<bool>(), -3000i64..9000, prop::bool::weighted(0.3), any_offset(), 0u8..40), 1..300),
    ) {
        let mut bench = Bench::new(segmenter());
        let mut dts = 100_000i64;
        for (is_video, step, key, offset, action) in pushes {
            dts += step;
            let time = if action == 2 { u64::MAX } else { dts.max(0) as u64 };
            let s = Sample { composition_offset: offset, ..sample(time, 0, key) };
            let _ = match action {
                0 => bench.of.flush(),
                1 => { bench.of.discontinuity(); Ok(()) }
                _ if is_video => bench.of.push_video(s),
                _ => bench.of.push_audio(s),
            };
            bench.pull();
        }
        for said in [&bench.video, &bench.audio] {
            let mut next = (0, 0, 0);
            for c in said.chunks() {
                prop_assert!((c.segment, c.part) >= (next.0, next.1), "a name comes twice");
                prop_assert!(c.start >= next.2, "times go back");
                next = (c.segment, c.part + 1, c.start + c.duration);
            }
        }
    }
}

fn any_offset() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(0), 4 => -3000i32..9000, 1 => any::<i32>()]
}
