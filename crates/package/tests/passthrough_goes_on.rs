//! Passthrough: whatever the contribution does, numbers go on, all tracks are cut where the video is, and the window
//! refuses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod into_window;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use into_window::{Fed, aac, avc, name};
use millstream_media::time::UtcTime;
use millstream_media::unit::{AccessUnit, Contribution};
use millstream_package::assembly::Output;
use millstream_package::passthrough::{Passthrough, Step};
use millstream_package::segmenter::PassthroughConfig;
use proptest::prelude::*;

const FIRST: u64 = 700;
const START: i64 = 1_795_365_013_000_000_000;

/// A contribution and what becomes of it.
struct Source {
    packager: Passthrough,
    fed: Fed,
    /// Media time of the next picture and of the next sound, in nanoseconds.
    video: i64,
    audio: i64,
    pictures: u64,
    gop: u64,
    audio_rate: i64,
    /// Distance of presentation and decoding, in pictures, as with B-frames.
    reorder: i64,
    discontinuities: u64,
}

const FRAME: i64 = 40_000_000;

impl Source {
    fn new(gop: u64, reorder: i64) -> Self {
        let config = PassthroughConfig { first_segment: FIRST, ..PassthroughConfig::default() };
        let packager = Passthrough::new(config, name("source"), name("audio"));
        let (video, audio) = (START, START);
        let (fed, audio_rate) = (Fed::new(), 48_000);
        Source { packager, fed, video, audio, pictures: 0, gop, audio_rate, reorder, discontinuities: 0 }
    }

    fn push(&mut self, item: Contribution) {
        self.packager.push(item).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(step) = self.packager.poll() {
            match step {
                Step::BeginSession(timing) => self.fed.begin_session(timing),
                Step::Output { output, discontinuity } => {
                    self.discontinuities += u64::from(discontinuity);
                    self.fed.take(output, discontinuity);
                }
            }
        }
    }

    fn configure(&mut self, variant: u8) {
        self.push(Contribution::VideoConfig(avc(variant)));
        self.push(Contribution::AudioConfig(aac(self.audio_rate as u32)));
        self.pictures = 0;
    }

    /// Plays until `ms` later, with or without pictures and sound.
    fn play(&mut self, ms: i64, with_video: bool, with_audio: bool) {
        let end = self.video.max(self.audio) + ms * 1_000_000;
        while self.video.min(self.audio) < end {
            if self.video <= self.audio {
                if with_video {
                    let at_group = self.pictures % self.gop;
                    // I P B P B …: offsets of 1, 2, 0, 2, 0 pictures.
                    let offset = match at_group {
                        0 => self.reorder,
                        n if n % 2 == 1 => 2 * self.reorder,
                        _ => 0,
                    };
                    let dts = UtcTime(self.video);
                    let pts = UtcTime(self.video + offset * FRAME);
                    let data = Bytes::from_static(b"picture");
                    self.push(Contribution::Video(AccessUnit { pts, dts, key: at_group == 0, data }));
                }
                self.pictures += 1;
                self.video += FRAME;
            } else {
                if with_audio {
                    // Stamped in milliseconds, as RTMP does.
                    let at = UtcTime(self.audio / 1_000_000 * 1_000_000);
                    let data = Bytes::from_static(b"sound");
                    self.push(Contribution::Audio(AccessUnit { pts: at, dts: at, key: true, data }));
                }
                self.audio += 1024 * 1_000_000_000 / self.audio_rate;
            }
        }
    }

    /// The connection goes and another one comes, `ms` later.
    fn reconnect(&mut self, ms: i64) {
        let at = self.video.max(self.audio) + ms * 1_000_000;
        (self.video, self.audio, self.pictures) = (at, at, 0);
        self.packager.interrupted();
        self.drain();
    }

    fn finish(mut self) -> Self {
        self.packager.finish().unwrap();
        self.drain();
        self
    }

    /// What holds whatever happened.
    fn check(&self) -> Result<(), TestCaseError> {
        let fed = &self.fed;
        let numbers = |of: &str| fed.numbers(of);
        for of in ["source", "audio"] {
            prop_assert!(numbers(of).windows(2).all(|w| w[0] < w[1]), "{}: {:?}", of, numbers(of));
        }
        let all: BTreeSet<u64> = numbers("source").into_iter().chain(numbers("audio")).collect();
        prop_assert!(all.first().is_none_or(|first| *first >= FIRST));
        prop_assert!(all.iter().zip(all.iter().skip(1)).all(|(a, b)| a + 1 == *b), "holes in {:?}", all);
        prop_assert!(all.last().is_none_or(|last| last + 1 == self.packager.next_segment()));
        // A period of which no segment came is replaced by the next.
        prop_assert!(fed.periods.windows(2).all(|w| w[0].0 <= w[1].0), "{:?}", fed.periods);
        // A number never names two different things.
        for chunks in fed.chunks.values() {
            let names: BTreeSet<(u64, u32)> = chunks.iter().map(|c| (c.segment, c.part)).collect();
            prop_assert_eq!(names.len(), chunks.len());
            prop_assert!(chunks.windows(2).all(|w| w[0].start < w[1].start));
        }
        let rate = self.audio_rate as u64;
        let Some(sounds) = fed.ends.get(&name("audio")) else { return Ok(()) };
        for sound in sounds {
            let pictures = fed.ends.get(&name("source")).into_iter().flatten();
            let Some(picture) = pictures.clone().find(|p| p.segment == sound.segment) else { continue };
            // The first frame at or after the video's cut, or later if sound was missing.
            let behind = sound.start as i64 - (picture.start * rate).div_ceil(90_000) as i64;
            prop_assert!(behind >= 0, "segment {}: sound begins {behind} before the picture", sound.segment);
        }
        Ok(())
    }
}

#[test]
fn audio_begins_with_the_first_frame_after_the_videos_cut() {
    let mut source = Source::new(50, 0);
    source.configure(0);
    source.play(12_000, true, true);
    let source = source.finish();
    source.check().unwrap();
    assert_eq!(source.fed.numbers("source"), source.fed.numbers("audio"));
    assert_eq!(source.fed.gaps(), 0);
    let of = |of: &str| source.fed.ends[&name(of)].clone();
    for (picture, sound) in of("source").iter().zip(of("audio")) {
        let cut = (picture.start * 48_000).div_ceil(90_000);
        assert!((cut..cut + 1024 + 48).contains(&sound.start), "segment {}", picture.segment);
    }
}

#[test]
fn reordered_pictures_begin_each_segment_at_its_time() {
    let mut source = Source::new(25, 1);
    source.configure(0);
    source.play(8_000, true, true);
    let source = source.finish();
    source.check().unwrap();
    // STANDARDS 3.9: the first picture is shown at the segment's start.
    let starts: Vec<u64> = source.fed.ends[&name("source")].iter().map(|e| e.start).collect();
    let shown = (START / 100_000 * 9 + FRAME / 100_000 * 9) as u64;
    assert_eq!(starts[0], shown);
    assert!(starts.windows(2).all(|w| w[1] - w[0] == 180_000), "{starts:?}");
}

#[test]
fn a_reconnect_is_a_discontinuity_in_the_same_list() {
    let mut source = Source::new(50, 0);
    source.configure(0);
    source.play(6_000, true, true);
    source.reconnect(7_000);
    source.configure(0);
    source.play(6_000, true, true);
    let source = source.finish();
    source.check().unwrap();
    assert_eq!(source.fed.periods.len(), 1, "the same tracks: the same period");
    let ends = &source.fed.ends[&name("source")];
    assert_eq!(ends.iter().filter(|e| e.discontinuity).count(), 1, "{ends:?}");
    assert_eq!(source.fed.lengthened, 0, "the gap is not part of a segment");
}

#[test]
fn other_parameters_begin_a_period() {
    let mut source = Source::new(50, 0);
    source.configure(0);
    source.play(6_000, true, true);
    source.configure(1);
    source.play(6_000, true, true);
    let source = source.finish();
    source.check().unwrap();
    assert_eq!((source.fed.periods.len(), source.discontinuities), (2, 1));
    assert_eq!(source.fed.numbers("source"), source.fed.numbers("audio"));
}

/// The picture's change comes first, the sound's 120 ms later: one new period, and no picture of it is lost.
#[test]
fn changes_of_both_tracks_are_one_change() {
    let mut source = Source::new(50, 0);
    source.configure(0);
    source.play(6_000, true, true);
    source.push(Contribution::VideoConfig(avc(1)));
    source.pictures = 0;
    source.play(120, true, true);
    source.audio_rate = 44_100;
    source.push(Contribution::AudioConfig(aac(44_100)));
    source.play(6_000, true, true);
    let source = source.finish();
    assert_eq!((source.fed.periods.len(), source.discontinuities), (2, 1));
    let pictures: u32 = source.fed.chunks[&name("source")].iter().map(|c| c.samples).sum();
    assert_eq!(u64::from(pictures), (source.video - START) as u64 / FRAME as u64);
}

#[test]
fn a_contribution_of_one_kind_is_packaged_without_the_other() {
    for (video, audio, of) in [(true, false, "source"), (false, true, "audio")] {
        let mut source = Source::new(50, 0);
        if video {
            source.push(Contribution::VideoConfig(avc(0)));
        } else {
            source.push(Contribution::AudioConfig(aac(48_000)));
        }
        source.play(9_000, video, audio);
        let source = source.finish();
        source.check().unwrap();
        assert!(source.fed.numbers(of).len() >= 4, "{of}");
        assert_eq!(source.fed.periods, [(FIRST, vec![of.to_owned()])]);
    }
}

#[test]
fn a_track_that_goes_leaves_the_other_on_the_air_and_may_come_back() {
    let mut source = Source::new(50, 0);
    source.configure(0);
    source.play(6_000, true, true);
    source.play(15_000, false, true);
    source.play(6_000, true, true);
    source.play(15_000, true, false);
    source.play(6_000, true, true);
    let source = source.finish();
    source.check().unwrap();
    let of: Vec<Vec<&str>> = source.fed.periods.iter().map(|p| p.1.iter().map(String::as_str).collect()).collect();
    let both = vec!["source", "audio"];
    assert_eq!(of, [both.clone(), vec!["audio"], both.clone(), vec!["source"], both]);
}

#[test]
fn a_reconnect_without_pictures_goes_on_as_sound() {
    let mut source = Source::new(50, 0);
    source.configure(0);
    source.play(6_000, true, true);
    source.reconnect(1_000);
    source.push(Contribution::AudioConfig(aac(48_000)));
    source.play(15_000, false, true);
    let source = source.finish();
    source.check().unwrap();
    assert_eq!(source.fed.periods.last().unwrap().1, ["audio"]);
    assert!(source.fed.numbers("audio").len() > source.fed.numbers("source").len() + 3);
}

#[test]
fn longer_groups_of_pictures_lose_no_segment() {
    let mut source = Source::new(50, 0);
    source.configure(0);
    source.play(6_000, true, true);
    source.gop = 250;
    source.pictures = 0;
    source.play(30_000, true, true);
    let source = source.finish();
    source.check().unwrap();
    assert_eq!(source.fed.lengthened, 1);
    assert_eq!(source.fed.numbers("source"), source.fed.numbers("audio"));
    assert_eq!(source.fed.gaps(), 0);
}

#[derive(Clone, Debug)]
enum Act {
    Play { ms: i64, video: bool, audio: bool },
    Configure(u8),
    Reconnect(i64),
    Gop(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (1..9_000_i64).prop_map(|ms| Act::Play { ms, video: true, audio: true }),
        1 => (1..9_000_i64, any::<bool>()).prop_map(|(ms, video)| Act::Play { ms, video, audio: !video }),
        2 => (0..4_u8).prop_map(Act::Configure),
        2 => (0..40_000_i64).prop_map(Act::Reconnect),
        1 => (1..300_u64).prop_map(Act::Gop),
    ];
    proptest::collection::vec(act, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_contribution_gives_contiguous_numbers(
        gop in 1..120_u64, reorder in 0..2_i64, kinds in 0..3_u8, acts in acts(),
    ) {
        let mut source = Source::new(gop, reorder);
        if kinds != 1 {
            source.push(Contribution::VideoConfig(avc(0)));
        }
        if kinds != 2 {
            source.push(Contribution::AudioConfig(aac(48_000)));
        }
        for act in acts {
            match act {
                Act::Play { ms, video, audio } => source.play(ms, video, audio),
                Act::Configure(variant) => source.configure(variant),
                Act::Reconnect(ms) => source.reconnect(ms),
                Act::Gop(gop) => (source.gop, source.pictures) = (gop, 0),
            }
        }
        source.finish().check()?;
    }
}

/// STANDARDS 1.37: a contribution that comes back with another frame rate gets parts that fit. If those of the session do
/// not, another session begins, in which the part target is another one; otherwise it goes on.
#[test]
fn another_frame_rate_gets_parts_that_fit() {
    // Pictures a second, first and then; sessions that are begun.
    for (first, then, sessions) in [(25, 25, 1), (25, 50, 1), (25, 12, 2), (10, 50, 1), (50, 6, 2)] {
        let part_ms = 200;
        let config = PassthroughConfig { low_latency: true, part_ms, ..PassthroughConfig::default() };
        let mut packager = Passthrough::new(config, name("source"), name("audio"));
        let (mut begun, mut target) = (0, Duration::ZERO);
        let mut parts: Vec<(u64, Duration, Duration)> = Vec::new();
        let mut now = START;
        for (variant, rate) in [(0, first), (1, then)] {
            packager.push(Contribution::VideoConfig(avc(variant))).unwrap();
            for picture in 0..rate * 9 {
                let at = UtcTime(now + picture * 1_000_000_000 / rate);
                let data = Bytes::from_static(b"picture");
                let unit = AccessUnit { pts: at, dts: at, key: picture % rate == 0, data };
                packager.push(Contribution::Video(unit)).unwrap();
                while let Some(step) = packager.poll() {
                    match step {
                        Step::BeginSession(timing) => {
                            begun += 1;
                            target = timing.part_target().unwrap();
                        }
                        Step::Output { output: Output::Chunk(_, chunk), .. } => {
                            let duration = Duration::from_secs_f64(chunk.duration as f64 / 90_000.0);
                            parts.push((chunk.segment, duration, target));
                        }
                        Step::Output { .. } => {}
                    }
                }
            }
            now += 9_000_000_000;
        }
        assert_eq!(begun, sessions, "{first} to {then}");
        assert!(parts.len() > 40);
        for (i, (segment, duration, target)) in parts.iter().enumerate() {
            assert!(duration <= target, "{first} to {then}: {duration:?} > {target:?}");
            let last = parts.get(i + 1).is_none_or(|next| next.0 != *segment);
            assert!(last || duration.as_secs_f64() >= 0.85 * target.as_secs_f64(), "{first} to {then}: {duration:?}");
        }
    }
}
