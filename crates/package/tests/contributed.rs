//! An encoder's CMAF becomes the same segments whoever takes it, whatever comes twice, late or not at all (STANDARDS 4.15,
//! CHECK-4c).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod into_window;

use std::time::Duration;

use bytes::Bytes;
use into_window::{Fed, audio_track, name, video_track};
use millstream_media::cmaf::{self, ChunkHead};
use millstream_media::grid::FrameRate;
use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::track::Track;
use millstream_media::unit::Sample;
use millstream_package::contributed::{Config, Contributed, MAX_TRACKS, MAX_WAITING_BYTES, Note, Refusal, Taken};
use millstream_package::passthrough::Step;
use millstream_window::Timing;
use proptest::prelude::*;

const CONFIG: Config = Config { segment_ms: 2000, part_ms: 500, low_latency: true, first_segment: 1, number_offset: 0 };
/// A segment of the year 2026, counted from 0: it begins at `BASE * 2` seconds.
const BASE: u64 = 890_000_000;

/// An encoder: 25 frames a second, segments of two seconds, four chunks in each.
struct Encoder {
    video: Track,
    audio: Track,
    /// Seconds of a segment.
    seconds: u64,
}

impl Encoder {
    fn new() -> Self {
        Encoder {
            video: video_track("v", FrameRate::new(25, 1).unwrap(), 0),
            audio: audio_track("a", 96_000),
            seconds: 2,
        }
    }

    /// A chunk, one of four, of the segment with this index.
    fn video(&self, segment: u64, part: u64) -> Bytes {
        let tick = u64::from(self.video.timescale.get()) / 25;
        let frames = 25 * self.seconds;
        let (from, to) = (frames * part / 4, frames * (part + 1) / 4);
        let sample = |frame: u64| Sample {
            dts: (segment * frames + frame) * tick,
            composition_offset: 0,
            duration: u32::try_from(tick).unwrap(),
            key: frame == 0,
            data: Bytes::copy_from_slice(&(segment * 1000 + frame).to_be_bytes()),
        };
        chunk(segment, part, &(from..to).map(sample).collect::<Vec<_>>())
    }

    fn audio(&self, segment: u64, part: u64) -> Bytes {
        let first = |index: u64, quarter: u64| ((index * 4 + quarter) * self.seconds * 12_000).div_ceil(1024);
        let sample = |frame: u64| Sample {
            dts: frame * 1024,
            composition_offset: 0,
            duration: 1024,
            key: true,
            data: Bytes::copy_from_slice(&frame.to_be_bytes()),
        };
        chunk(segment, part, &(first(segment, part)..first(segment, part + 1)).map(sample).collect::<Vec<_>>())
    }
}

fn chunk(segment: u64, part: u64, samples: &[Sample]) -> Bytes {
    let head = ChunkHead { segment, part: u32::try_from(part).unwrap(), opens_at: None };
    cmaf::chunk(head, samples).unwrap().bytes
}

/// A session and the window behind it.
struct Bench {
    session: Contributed,
    fed: Fed,
    timings: Vec<Timing>,
    discontinuities: usize,
}

impl Bench {
    fn new(config: Config) -> Self {
        Bench { session: Contributed::new(config), fed: Fed::new(), timings: Vec::new(), discontinuities: 0 }
    }

    fn headers(&mut self, encoder: &Encoder) {
        for track in [&encoder.video, &encoder.audio] {
            self.session.header(&track.name, &cmaf::init_segment(track)).unwrap();
        }
    }

    fn drain(&mut self) {
        while let Some(step) = self.session.poll() {
            match step {
                Step::BeginSession(timing) => {
                    self.timings.push(timing);
                    self.fed.begin_session(timing);
                }
                Step::Output { output, discontinuity } => {
                    self.discontinuities += usize::from(discontinuity);
                    self.fed.take(output, discontinuity);
                }
            }
        }
    }

    fn send(&mut self, track: &str, bytes: &Bytes, starts: bool, at: f64) -> Result<Taken, Refusal> {
        let taken = self.session.fragment(
            &name(track),
            bytes,
            starts,
            MonoTime(Duration::from_secs_f64(at)),
            UtcTime((BASE as i64 * 2) * 1_000_000_000 + (at * 1e9) as i64),
        );
        self.drain();
        taken
    }

    /// A segment of both tracks, chunk by chunk as time passes; `epoch` is the index of the encoder's own clock that
    /// this server's second 0 is.
    fn segment(&mut self, encoder: &Encoder, epoch: u64, index: u64) {
        for part in 0..4 {
            let at = (index * encoder.seconds) as f64 + (part + 1) as f64 * encoder.seconds as f64 / 4.0;
            self.send("v", &encoder.video(epoch + index, part), part == 0, at).unwrap();
            self.send("a", &encoder.audio(epoch + index, part), part == 0, at).unwrap();
        }
        for track in ["v", "a"] {
            self.session.object_ended(&name(track));
        }
        self.drain();
    }

    fn notes(&mut self) -> Vec<Note> {
        std::iter::from_fn(|| self.session.poll_note()).collect()
    }
}

#[test]
fn numbers_and_boundaries_are_those_of_the_media_time() {
    let (encoder, mut bench) = (Encoder::new(), Bench::new(CONFIG));
    bench.headers(&encoder);
    for index in 0..6 {
        bench.segment(&encoder, BASE, index);
    }
    // STANDARDS 5.6: floor(t / D) + 1.
    let numbers: Vec<u64> = (BASE + 1..BASE + 7).collect();
    assert_eq!(bench.fed.numbers("v"), numbers);
    assert_eq!(bench.fed.numbers("a"), numbers);
    assert_eq!((bench.fed.gaps(), bench.fed.periods.len(), bench.timings.len()), (0, 1, 1));
    // Thirteen pictures, which a part of 0.5 s may have.
    assert_eq!(bench.timings.first().unwrap().part_target(), Some(Duration::from_millis(520)));
    // No short part of audio at the end of a segment.
    let audio: Vec<u64> = bench.fed.chunks.get(&name("a")).unwrap().iter().map(|chunk| chunk.duration).collect();
    assert!(audio.iter().all(|duration| (22..=24).contains(&(duration / 1024))), "{audio:?}");
    assert!(
        bench.fed.ends.get(&name("v")).unwrap().iter().all(|end| end.duration == 50 * 1000 || end.duration % 50 == 0)
    );
    assert_eq!(bench.notes(), []);
}

#[test]
fn segments_that_come_whole_are_not_listed_part_by_part() {
    let (encoder, mut bench) = (Encoder::new(), Bench::new(CONFIG));
    bench.headers(&encoder);
    for index in 0..4 {
        let at = (index * 2 + 2) as f64;
        for part in 0..4 {
            bench.send("v", &encoder.video(BASE + index, part), part == 0, at).unwrap();
            bench.send("a", &encoder.audio(BASE + index, part), part == 0, at).unwrap();
        }
    }
    assert_eq!(bench.timings.first().unwrap().part_target(), None, "parts in bursts would starve low-latency players");
    assert_eq!(bench.fed.gaps(), 0);
}

#[test]
fn the_second_copy_of_anything_changes_nothing() {
    let (encoder, mut once, mut twice) = (Encoder::new(), Bench::new(CONFIG), Bench::new(CONFIG));
    once.headers(&encoder);
    twice.headers(&encoder);
    for index in 0..5 {
        once.segment(&encoder, BASE, index);
        twice.segment(&encoder, BASE, index);
        twice.headers(&encoder);
        for late in [index, index.saturating_sub(1)] {
            let at = (index * 2 + 2) as f64;
            assert_eq!(twice.send("v", &encoder.video(BASE + late, 3), false, at), Ok(Taken::Known), "CHECK-4c");
            assert_eq!(twice.send("a", &encoder.audio(BASE + late, 0), true, at), Ok(Taken::Known));
        }
    }
    assert_eq!(once.fed.chunks, twice.fed.chunks);
    assert_eq!(once.fed.ends, twice.fed.ends);
    assert_eq!(twice.fed.periods.len(), 1);
}

#[test]
fn of_two_encoders_one_may_die_in_the_middle_of_a_segment() {
    let (encoder, mut alone, mut both) = (Encoder::new(), Bench::new(CONFIG), Bench::new(CONFIG));
    alone.headers(&encoder);
    both.headers(&encoder);
    for index in 0..6 {
        alone.segment(&encoder, BASE, index);
        if index == 3 {
            // The first one's upload breaks off after two chunks; the other, which was behind, sends all of it.
            for part in 0..2 {
                both.send("v", &encoder.video(BASE + index, part), part == 0, 6.5).unwrap();
            }
        }
        both.segment(&encoder, BASE, index);
    }
    assert_eq!(alone.fed.numbers("v"), both.fed.numbers("v"));
    let bytes = |bench: &Bench| bench.fed.chunks.get(&name("v")).unwrap().clone();
    assert_eq!(bytes(&alone), bytes(&both), "no gap, no duplicate, no discontinuity (CHECK-4c)");
    assert_eq!((both.fed.gaps(), both.fed.periods.len()), (0, 1));
}

#[test]
fn a_server_that_joins_later_makes_the_same_bytes() {
    let (encoder, mut first, mut second) = (Encoder::new(), Bench::new(CONFIG), Bench::new(CONFIG));
    first.headers(&encoder);
    second.headers(&encoder);
    for index in 0..8 {
        first.segment(&encoder, BASE, index);
        if index >= 3 {
            second.segment(&encoder, BASE, index);
        }
    }
    for rendition in ["v", "a"] {
        let late = second.fed.chunks.get(&name(rendition)).unwrap();
        let chunks = first.fed.chunks.get(&name(rendition)).unwrap();
        assert!(late.iter().all(|chunk| chunks.contains(chunk)), "{rendition}");
    }
}

#[test]
fn a_clock_that_is_no_utc_is_mapped_and_may_be_set_anew() {
    let (encoder, mut bench) = (Encoder::new(), Bench::new(CONFIG));
    bench.headers(&encoder);
    for index in 0..20 {
        bench.segment(&encoder, 0, index);
    }
    assert_eq!(bench.notes(), [Note::NotUtc]);
    assert_eq!(bench.fed.numbers("v").first(), Some(&(BASE + 1)), "it was shown when it came");
    // It was restarted: its clock begins at 0 again, 4 s later by ours.
    bench.headers(&encoder);
    for index in 0..4 {
        for part in 0..4 {
            let at = 44.0 + (index * 2) as f64 + (part + 1) as f64 / 2.0;
            bench.send("v", &encoder.video(index, part), part == 0, at).unwrap();
            bench.send("a", &encoder.audio(index, part), part == 0, at).unwrap();
        }
    }
    assert_eq!(bench.notes(), [Note::Jump]);
    assert_eq!(bench.discontinuities, 1);
    let numbers = bench.fed.numbers("v");
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert_eq!(bench.fed.numbers("v").len(), 23);
}

#[test]
fn the_encoders_own_segment_length_counts() {
    let mut encoder = Encoder::new();
    encoder.seconds = 4;
    let mut bench = Bench::new(CONFIG);
    bench.headers(&encoder);
    for index in 0..4 {
        bench.segment(&encoder, BASE / 2, index);
    }
    assert_eq!(bench.notes(), [Note::SegmentLength { encoder_ms: 4000, settings_ms: 2000 }]);
    assert_eq!(bench.fed.numbers("v"), (BASE / 2 + 1..BASE / 2 + 5).collect::<Vec<_>>());
    assert_eq!((bench.fed.gaps(), bench.fed.lengthened), (0, 0));
}

#[test]
fn shorter_segments_are_joined() {
    let (encoder, mut bench) = (Encoder::new(), Bench::new(Config { segment_ms: 4000, ..CONFIG }));
    bench.headers(&encoder);
    for index in 0..8 {
        bench.segment(&encoder, BASE, index);
    }
    bench.session.finish();
    bench.drain();
    assert_eq!(bench.fed.numbers("v"), (BASE / 2 + 1..BASE / 2 + 5).collect::<Vec<_>>());
    assert_eq!(bench.fed.gaps(), 0);
}

#[test]
fn a_track_that_stops_is_left_out_and_taken_in_again() {
    let (encoder, mut bench) = (Encoder::new(), Bench::new(CONFIG));
    bench.headers(&encoder);
    for index in 0..20 {
        let silent = (4..12).contains(&index);
        for part in 0..4 {
            let at = (index * 2) as f64 + (part + 1) as f64 / 2.0;
            bench.send("v", &encoder.video(BASE + index, part), part == 0, at).unwrap();
            if !silent {
                bench.send("a", &encoder.audio(BASE + index, part), part == 0, at).unwrap();
            }
        }
    }
    let tracks: Vec<Vec<String>> = bench.fed.periods.iter().map(|(_, tracks)| tracks.clone()).collect();
    let both = vec!["v".to_owned(), "a".to_owned()];
    assert_eq!(tracks, [both.clone(), vec!["v".to_owned()], both]);
    assert_eq!(bench.notes(), [Note::Gone(name("a"))]);
    assert_eq!(bench.fed.numbers("v").len(), 19, "pictures go on all the while");
}

#[test]
fn a_restarted_server_counts_on_above_what_it_used() {
    let encoder = Encoder::new();
    // It used the segment that is under way already: that one is left out.
    let mut bench = Bench::new(Config { first_segment: BASE + 2, ..CONFIG });
    bench.headers(&encoder);
    for index in 0..4 {
        bench.segment(&encoder, BASE, index);
    }
    assert_eq!(bench.fed.numbers("v"), (BASE + 2..BASE + 5).collect::<Vec<_>>());
    // Numbers of another length had run ahead by far.
    let mut bench = Bench::new(Config { first_segment: BASE * 2, ..CONFIG });
    bench.headers(&encoder);
    for index in 0..4 {
        bench.segment(&encoder, BASE, index);
    }
    assert_eq!(bench.fed.numbers("v"), (BASE * 2..BASE * 2 + 4).collect::<Vec<_>>());
    assert_eq!(bench.session.number_offset(), BASE - 1);
}

#[test]
fn what_cannot_be_taken_says_why() {
    let (encoder, mut bench) = (Encoder::new(), Bench::new(CONFIG));
    let unknown = bench.send("v", &encoder.video(BASE, 0), true, 0.0);
    assert_eq!(unknown, Err(Refusal::NoHeader(name("v"))), "STANDARDS 4.7: 412");
    assert!(matches!(bench.session.header(&name("v"), b"no header at all"), Err(Refusal::Broken { .. })));
    bench.headers(&encoder);
    assert!(matches!(bench.send("v", &Bytes::from_static(&[0, 0, 0, 9, 109]), true, 0.0), Err(Refusal::Broken { .. })));
    assert_eq!(bench.send("v", &encoder.video(BASE, 0), true, 0.0), Ok(Taken::New), "and goes on");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost or comes again, the window refuses nothing and no number falls.
    #[test]
    fn losses_and_repeats_make_gaps_at_most(faults in prop::collection::vec((0u64..12, 0u64..4, any::<bool>(), 0u8..3), 0..30)) {
        let (encoder, mut bench) = (Encoder::new(), Bench::new(CONFIG));
        bench.headers(&encoder);
        for index in 0..12 {
            for part in 0..4 {
                let at = (index * 2) as f64 + (part + 1) as f64 / 2.0;
                for video in [true, false] {
                    let fault = faults.iter().find(|f| (f.0, f.1, f.2) == (index, part, video)).map(|f| f.3);
                    let (track, bytes) =
                        if video { ("v", encoder.video(BASE + index, part)) } else { ("a", encoder.audio(BASE + index, part)) };
                    let times = match fault { Some(0) => 0, Some(1) => 2, _ => 1 };
                    for _ in 0..times {
                        bench.send(track, &bytes, part == 0, at).unwrap();
                    }
                    if fault == Some(2) {
                        bench.session.object_ended(&name(track));
                        bench.drain();
                    }
                }
            }
        }
        bench.session.finish();
        bench.drain();
        for rendition in ["v", "a"] {
            let numbers = bench.fed.numbers(rendition);
            prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", numbers);
        }
        prop_assert_eq!(bench.fed.periods.len(), 1);
    }
}

/// An encoder that goes on after a break of its own or of ours sends media alone.
#[test]
fn remembered_headers_do_for_media_and_are_otherwise_nothing() {
    let (encoder, mut bench) = (Encoder::new(), Bench::new(CONFIG));
    let header = |track: &Track| cmaf::init_segment(track);
    for track in [&encoder.video, &encoder.audio] {
        bench.session.remember(&track.name, &header(track)).unwrap();
    }
    // Of an encoder before it: other names, and one that is of another kind now.
    for n in 0..MAX_TRACKS - 2 {
        bench.session.remember(&name(&format!("old{n}")), &header(&encoder.video)).unwrap();
    }
    bench.segment(&encoder, BASE, 0);
    bench.segment(&encoder, BASE, 1);
    bench.session.header(&name("new"), &header(&encoder.audio)).unwrap();
    bench.session.header(&name("old1"), &header(&encoder.audio)).unwrap();
    bench.segment(&encoder, BASE, 2);
    assert_eq!(bench.fed.periods, [(BASE + 1, vec!["v".to_owned(), "a".to_owned()])], "others are no tracks");
    assert_eq!(bench.fed.gaps(), 0);
    let used = |track: &str| bench.session.uses(&name(track));
    assert!(used("v") && used("a") && used("new") && !used("old20"));
}

/// One fragment with a wrong time must not lock the true ones out, which begin below it then.
#[test]
fn media_of_the_far_future_is_refused_and_the_stream_goes_on() {
    let (encoder, mut bench) = (Encoder::new(), Bench::new(CONFIG));
    bench.headers(&encoder);
    for index in 0..4 {
        bench.segment(&encoder, BASE, index);
    }
    let refused = bench.send("v", &encoder.video(BASE + 100_000_000, 0), true, 8.0).unwrap_err();
    assert!(matches!(refused, Refusal::Ahead { seconds, .. } if seconds > 199_000_000), "{refused}");
    for index in 4..8 {
        bench.segment(&encoder, BASE, index);
    }
    assert_eq!(bench.fed.numbers("v"), (BASE + 1..BASE + 9).collect::<Vec<_>>());
    assert_eq!((bench.fed.gaps(), bench.timings.len()), (0, 1));
}

/// What waits for the first segment is bounded by what it takes of memory, not by what was sent.
#[test]
fn samples_of_no_or_few_bytes_do_not_fill_the_memory() {
    let (encoder, mut bench) = (Encoder::new(), Bench::new(CONFIG));
    bench.headers(&encoder);
    let fragment = |index: u64, bytes: &'static [u8]| {
        let sample = |n: u64| Sample {
            dts: (BASE * 2 * 25) * 1000 + index * 10_000 + n,
            composition_offset: 0,
            duration: 1,
            key: index == 0 && n == 0,
            data: Bytes::from_static(bytes),
        };
        chunk(1, 0, &(0..10_000).map(sample).collect::<Vec<_>>())
    };
    let refused = bench.send("v", &fragment(0, b""), true, 0.0).unwrap_err();
    assert!(refused.to_string().contains("without bytes"), "{refused}");
    let waiting = (0..1000).take_while(|index| {
        bench.send("v", &fragment(*index, b"."), *index == 0, 0.1).unwrap();
        !bench.session.has_begun()
    });
    let waiting = waiting.count() * 10_000 * size_of::<Sample>();
    assert!(waiting <= MAX_WAITING_BYTES, "{waiting} bytes waited");
}
