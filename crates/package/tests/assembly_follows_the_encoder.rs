//! Whatever order renditions come in, and wherever the encoder makes a change, periods begin where the tracks change,
//! before their chunks, and no rendition that goes on has a gap.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod into_window;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use into_window::{Fed, audio_track, name, video_track};
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::unit::Sample;
use millstream_package::assembly::{Assembly, Error};
use millstream_package::segmenter::TrackKind;
use millstream_window::Timing;
use proptest::prelude::*;

/// The session's first segment.
const FIRST: u64 = 1000;

fn grid() -> SegmentGrid {
    SegmentGrid::new(FrameRate::new(10, 1).unwrap(), 10).unwrap()
}

fn frame(index: u64) -> Sample {
    let grid = grid();
    Sample {
        dts: grid.frame_ticks(index),
        composition_offset: 0,
        duration: grid.rate().frame_ticks(),
        key: grid.is_boundary(index),
        data: Bytes::copy_from_slice(&index.to_be_bytes()),
    }
}

fn sound(start: u64) -> Sample {
    let data = Bytes::copy_from_slice(&start.to_be_bytes());
    Sample { dts: start, composition_offset: 0, duration: 1024, key: true, data }
}

/// An assembly and the window behind it.
struct Bench {
    assembly: Assembly,
    fed: Fed,
}

impl Bench {
    fn new(video: &[&str], audio: &[&str]) -> Self {
        let names = |list: &[&str]| list.iter().map(|n| name(n)).collect::<Vec<_>>();
        let mut fed = Fed::new();
        fed.begin_session(Timing::epoch_locked(grid()));
        Bench { assembly: Assembly::new(grid(), 5, FIRST, names(video), names(audio)), fed }
    }

    fn drain(&mut self) {
        while let Some(output) = self.assembly.poll() {
            self.fed.take(output, false);
        }
    }

    fn started(&mut self, rendition: &str, variant: u8, from: u64) {
        self.assembly.started(video_track(rendition, grid().rate(), variant), from).unwrap();
        self.drain();
    }

    fn change(&mut self, at: u64, names: &[&str], restarting: &[&str]) {
        let all = |list: &[&str]| list.iter().map(|n| name(n)).collect::<Vec<_>>();
        self.assembly.change(TrackKind::Video, at, all(names), &all(restarting)).unwrap();
        self.drain();
    }

    fn ended(&mut self, rendition: &str, at: u64) {
        self.assembly.ended(&name(rendition), at).unwrap();
        self.drain();
    }

    /// The whole of a segment of a video rendition.
    fn segment(&mut self, rendition: &str, segment: u64) {
        for k in grid().first_frame(segment)..grid().first_frame(segment + 1) {
            self.assembly.sample(&name(rendition), frame(k)).unwrap();
            self.drain();
        }
    }

    fn sounds(&mut self, rendition: &str, segment: u64) {
        let start = |n| grid().audio_start(n, Timescale::AUDIO_48K);
        for at in (start(segment)..start(segment + 1)).step_by(1024) {
            self.assembly.sample(&name(rendition), sound(at)).unwrap();
            self.drain();
        }
    }
}

#[test]
fn nothing_is_shown_before_all_tracks_are_known() {
    let mut bench = Bench::new(&["hi", "lo"], &["audio"]);
    bench.started("hi", 0, FIRST);
    bench.segment("hi", FIRST);
    bench.started("lo", 0, FIRST);
    assert!(bench.fed.periods.is_empty());
    bench.assembly.started(audio_track("audio", 128_000), FIRST).unwrap();
    bench.segment("lo", FIRST);
    bench.sounds("audio", FIRST);
    assert_eq!(bench.fed.periods, [(FIRST, vec!["hi".into(), "lo".into(), "audio".into()])]);
    assert_eq!(bench.fed.window.newest().unwrap().number, FIRST);
}

#[test]
fn a_change_made_a_segment_later_than_asked_leaves_no_gap() {
    let mut bench = Bench::new(&["hi", "lo"], &[]);
    bench.started("hi", 0, FIRST);
    bench.started("lo", 0, FIRST);
    bench.change(FIRST + 1, &["mid"], &["mid"]);
    for n in [FIRST, FIRST + 1] {
        bench.segment("hi", n);
        bench.segment("lo", n);
    }
    bench.ended("hi", FIRST + 2);
    bench.ended("lo", FIRST + 2);
    bench.started("mid", 0, FIRST + 2);
    bench.segment("mid", FIRST + 2);
    assert_eq!(bench.fed.periods.iter().map(|p| p.0).collect::<Vec<_>>(), [FIRST, FIRST + 2]);
    assert_eq!(bench.fed.numbers("lo"), [FIRST, FIRST + 1]);
    assert_eq!(bench.fed.gaps(), 0);
}

#[test]
fn an_addition_made_later_than_asked_leaves_no_gap_in_what_goes_on() {
    let mut bench = Bench::new(&["lo"], &[]);
    bench.started("lo", 0, FIRST);
    bench.change(FIRST + 1, &["hi", "lo"], &["hi"]);
    bench.segment("lo", FIRST);
    // Whether this segment is the change's is not known yet.
    bench.segment("lo", FIRST + 1);
    assert_eq!(bench.fed.numbers("lo"), [FIRST]);
    bench.started("hi", 0, FIRST + 2);
    assert_eq!(bench.fed.numbers("lo"), [FIRST, FIRST + 1]);
    bench.segment("hi", FIRST + 2);
    bench.segment("lo", FIRST + 2);
    assert_eq!(bench.fed.periods.iter().map(|p| p.0).collect::<Vec<_>>(), [FIRST, FIRST + 2]);
    assert_eq!(bench.fed.gaps(), 0);
}

#[test]
fn a_rendition_with_new_parameters_begins_a_period_under_its_name() {
    let mut bench = Bench::new(&["hi"], &[]);
    bench.started("hi", 0, FIRST);
    bench.change(FIRST + 1, &["hi"], &["hi"]);
    bench.segment("hi", FIRST);
    bench.ended("hi", FIRST + 1);
    bench.started("hi", 1, FIRST + 1);
    bench.segment("hi", FIRST + 1);
    assert_eq!(bench.fed.periods.len(), 2);
    assert_eq!(bench.fed.numbers("hi"), [FIRST, FIRST + 1]);
    assert_eq!(bench.fed.gaps(), 0);
}

#[test]
fn the_others_go_on_without_a_rendition_that_fails_on_the_air() {
    let mut bench = Bench::new(&["hi", "lo"], &[]);
    bench.started("hi", 0, FIRST);
    bench.started("lo", 0, FIRST);
    bench.segment("hi", FIRST);
    bench.segment("lo", FIRST);
    bench.segment("lo", FIRST + 1);
    bench.assembly.failed(&name("hi")).unwrap();
    for n in FIRST + 2..FIRST + 6 {
        bench.segment("lo", n);
    }
    assert_eq!(bench.fed.periods.last().unwrap(), &(FIRST + 2, vec!["lo".to_owned()]));
    assert_eq!(bench.fed.window.newest().unwrap().number, FIRST + 5);
    assert_eq!(bench.fed.gaps(), 1, "only the segment that another rendition had whole");
}

#[test]
fn a_rendition_that_does_not_come_is_not_waited_for_and_may_come_later() {
    let mut bench = Bench::new(&["hi", "lo"], &[]);
    bench.started("lo", 0, FIRST);
    for n in FIRST..FIRST + 5 {
        bench.segment("lo", n);
    }
    assert_eq!(bench.fed.numbers("lo"), (FIRST..FIRST + 5).collect::<Vec<_>>());
    bench.started("hi", 0, FIRST + 3);
    bench.segment("hi", FIRST + 3);
    bench.segment("hi", FIRST + 4);
    for n in [FIRST + 5, FIRST + 6] {
        bench.segment("hi", n);
        bench.segment("lo", n);
    }
    assert_eq!(bench.fed.numbers("hi"), [FIRST + 5, FIRST + 6]);
    assert_eq!(bench.fed.gaps(), 0);
}

#[test]
fn a_change_announced_before_the_session_has_begun_takes_effect_after() {
    let mut bench = Bench::new(&["hi", "lo"], &[]);
    bench.started("hi", 0, FIRST);
    bench.change(FIRST + 1, &["lo"], &[]);
    bench.started("lo", 0, FIRST);
    bench.segment("hi", FIRST);
    bench.segment("lo", FIRST);
    bench.ended("hi", FIRST + 1);
    bench.segment("lo", FIRST + 1);
    assert_eq!(bench.fed.periods.last().unwrap(), &(FIRST + 1, vec!["lo".to_owned()]));
    assert_eq!(bench.fed.gaps(), 0);
}

#[test]
fn a_sample_nobody_announced_is_refused() {
    let mut bench = Bench::new(&["hi"], &[]);
    let refused = bench.assembly.sample(&name("other"), frame(grid().first_frame(FIRST)));
    assert_eq!(refused, Err(Error::UnknownRendition { rendition: name("other"), segment: FIRST }));
}

/// A rendition of the model's encoder.
struct Running {
    variant: u8,
    started: bool,
    /// Pictures that wait for it.
    queue: VecDeque<u64>,
}

/// An encoder as the worker is: one stage hands each picture to every rendition, which encode at their own pace; the
/// ladder changes between two pictures, the leaving renditions first putting out what they hold.
struct Model {
    bench: Bench,
    next: u64,
    running: BTreeMap<&'static str, Running>,
    asked: Option<(u64, Vec<(&'static str, u8)>)>,
    sound: u64,
}

const NAMES: [&str; 3] = ["hi", "mid", "lo"];
/// Pictures that wait for one rendition.
const QUEUE: usize = 6;

impl Model {
    fn new(ladder: &[(&'static str, u8)], first_frame: u64) -> Self {
        let names: Vec<&str> = ladder.iter().map(|r| r.0).collect();
        let mut bench = Bench::new(&names, &["audio"]);
        bench.assembly.started(audio_track("audio", 128_000), FIRST).unwrap();
        let next = grid().first_frame(FIRST) + first_frame;
        let at = grid().frame_time(next).to_ticks(Timescale::AUDIO_48K);
        let mut model = Model { bench, next, running: BTreeMap::new(), asked: None, sound: at.div_ceil(1024) * 1024 };
        model.start(ladder);
        model
    }

    fn start(&mut self, ladder: &[(&'static str, u8)]) {
        for (name, variant) in ladder {
            let made = Running { variant: *variant, started: false, queue: VecDeque::new() };
            self.running.entry(name).or_insert(made);
        }
    }

    /// Asks for a ladder `ahead` segments ahead; the model makes it `late` segments later than that.
    fn ask(&mut self, ladder: Vec<(&'static str, u8)>, ahead: u64, late: u64) {
        if self.asked.is_some() || self.bench.assembly.is_changing() {
            return;
        }
        let at = grid().segment_of_frame(self.next) + ahead;
        let names: Vec<&str> = ladder.iter().map(|r| r.0).collect();
        let same = |r: &(&str, u8)| self.running.get(r.0).is_some_and(|now| now.variant == r.1);
        let restarting: Vec<&str> = ladder.iter().filter(|r| !same(r)).map(|r| r.0).collect();
        self.bench.change(at, &names, &restarting);
        let open = grid().segment_of_frame(self.next) + u64::from(!grid().is_boundary(self.next));
        self.asked = Some((at.max(open) + late, ladder));
    }

    fn picture(&mut self) {
        // The worker fills missing sound with silence, so it is never far behind.
        if self.running.values().any(|r| r.queue.len() >= QUEUE) || self.next > self.sounding() + 12 {
            return;
        }
        let segment = grid().segment_of_frame(self.next);
        if let Some((_, ladder)) = self.asked.take_if(|(at, _)| grid().is_boundary(self.next) && *at <= segment) {
            let leaves = |name: &str, r: &Running| !ladder.iter().any(|l| l.0 == name && l.1 == r.variant);
            let leaving: Vec<&'static str> =
                self.running.iter().filter(|(n, r)| leaves(n, r)).map(|(n, _)| *n).collect();
            for name in leaving {
                while self.running[name].queue.front().is_some() {
                    self.encode(name);
                }
                self.running.remove(name);
                self.bench.ended(name, segment);
            }
            self.start(&ladder);
        }
        for running in self.running.values_mut() {
            running.queue.push_back(self.next);
        }
        self.next += 1;
    }

    fn encode(&mut self, rendition: &'static str) {
        let Some(running) = self.running.get_mut(rendition) else { return };
        let Some(index) = running.queue.pop_front() else { return };
        let opens = !std::mem::replace(&mut running.started, true);
        if opens {
            let variant = running.variant;
            self.bench.started(rendition, variant, grid().segment_of_frame(index));
        }
        let mut sample = frame(index);
        sample.key |= opens;
        self.bench.assembly.sample(&name(rendition), sample).unwrap();
        self.bench.drain();
    }

    /// The frame during which the next sound begins.
    fn sounding(&self) -> u64 {
        grid().frame_at_or_before(UtcTime::from_ticks(self.sound, Timescale::AUDIO_48K))
    }

    fn sound(&mut self) {
        let done = self.running.values().filter_map(|r| r.queue.front()).min().copied().unwrap_or(self.next);
        if self.sounding() > done + 5 {
            return;
        }
        self.bench.assembly.sample(&name("audio"), sound(self.sound)).unwrap();
        self.bench.drain();
        self.sound += 1024;
    }

    /// Plays the rest so that every rendition stands at a segment's end.
    fn finish(&mut self) {
        loop {
            while self.asked.is_some() || !grid().is_boundary(self.next) {
                self.encode_all();
                self.sound();
                self.picture();
            }
            self.encode_all();
            let end = grid().audio_start(grid().segment_of_frame(self.next), Timescale::AUDIO_48K);
            while self.sound < end {
                self.sound();
            }
            if self.sound == end {
                break;
            }
            // The sound is ahead: the pictures follow it to the next boundary.
            self.picture();
        }
        self.bench.assembly.finish().unwrap();
        self.bench.drain();
    }

    fn encode_all(&mut self) {
        for name in NAMES {
            while self.running.get(name).is_some_and(|r| !r.queue.is_empty()) {
                self.encode(name);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Picture,
    Encode(usize),
    Sound,
    Ask { mask: u8, variants: u8, ahead: u64, late: u64 },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => Just(Act::Picture),
        18 => (0..3_usize).prop_map(Act::Encode),
        30 => Just(Act::Sound),
        1 => (1..8_u8, 0..8_u8, 1..4_u64, 0..2_u64)
            .prop_map(|(mask, variants, ahead, late)| Act::Ask { mask, variants, ahead, late }),
    ];
    proptest::collection::vec(act, 1..1200)
}

fn ladder(mask: u8, variants: u8) -> Vec<(&'static str, u8)> {
    let chosen = NAMES.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1);
    chosen.map(|(i, name)| (*name, variants >> i & 1)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// STANDARDS 1.8, 1.16, 5.6: contiguous numbers, no gap, no overlap, periods before their chunks (or the window
    /// would refuse them).
    #[test]
    fn any_interleaving_and_any_changes_give_every_rendition_whole_segments(
        mask in 1..8_u8, first_frame in 0..10_u64, acts in acts(),
    ) {
        let mut model = Model::new(&ladder(mask, 0), first_frame);
        for act in acts {
            match act {
                Act::Picture => model.picture(),
                Act::Encode(i) => model.encode(NAMES[i]),
                Act::Sound => model.sound(),
                Act::Ask { mask, variants, ahead, late } => model.ask(ladder(mask, variants), ahead, late),
            }
        }
        model.finish();
        let fed = &model.bench.fed;
        prop_assert_eq!(fed.gaps(), 0);
        prop_assert!(fed.warnings.is_empty(), "{:?}", fed.warnings);
        prop_assert!(fed.periods.windows(2).all(|w| w[0].0 < w[1].0), "{:?}", fed.periods);
        let last = grid().segment_of_frame(model.next) - 1;
        for n in FIRST..=last {
            let (_, names) = fed.periods.iter().rfind(|p| p.0 <= n).expect("a period");
            for rendition in names {
                prop_assert!(fed.numbers(rendition).contains(&n), "{} lacks {}", rendition, n);
            }
        }
        for (rendition, ends) in &fed.ends {
            for pair in ends.windows(2) {
                prop_assert!(pair[0].segment < pair[1].segment, "{}", rendition);
                if pair[0].segment + 1 == pair[1].segment {
                    prop_assert_eq!(pair[0].start + pair[0].duration, pair[1].start);
                }
            }
        }
    }
}

/// STANDARDS 1.37: a rendition fails in the middle of a segment whose parts are listed. The discontinuity comes before a
/// segment that nobody has begun, and what is missing of the failed rendition is a gap at once, so that the others are
/// not held up by it.
#[test]
fn a_failure_in_mid_segment_marks_the_next_one() {
    let mut bench = Bench::new(&["hi", "lo"], &[]);
    bench.started("hi", 0, FIRST);
    bench.started("lo", 0, FIRST);
    bench.segment("hi", FIRST);
    bench.segment("lo", FIRST);
    let frames: Vec<u64> = (grid().first_frame(FIRST + 1)..grid().first_frame(FIRST + 2)).collect();
    let (before, after) = frames.split_at(5);
    for name_of in ["hi", "lo"] {
        for k in before {
            bench.assembly.sample(&name(name_of), frame(*k)).unwrap();
            bench.drain();
        }
    }
    bench.assembly.failed(&name("hi")).unwrap();
    bench.drain();
    assert_eq!(bench.fed.periods.last().map(|p| p.0), Some(FIRST + 2), "FIRST + 1 has parts on the lists");
    assert_eq!(bench.fed.gaps(), 1);
    for k in after {
        bench.assembly.sample(&name("lo"), frame(*k)).unwrap();
        bench.drain();
    }
    assert_eq!(bench.fed.window.newest().map(|n| n.number), Some(FIRST + 1));
    bench.segment("lo", FIRST + 2);
    let listing = bench.fed.window.listing(&name("lo")).unwrap();
    let marked: Vec<u64> = listing.entries.iter().filter(|e| e.discontinuity).map(|e| e.number).collect();
    assert_eq!(marked, [FIRST + 2]);
    assert_eq!(bench.fed.numbers("lo"), [FIRST, FIRST + 1, FIRST + 2]);
}

/// STANDARDS 1.18: an encoder that is cut off has not brought all renditions to the same segment. What is missing is a gap
/// at once, not when the next session begins: until then the lists would stand still one segment early.
#[test]
fn an_end_in_mid_segment_lists_what_is_there_and_a_gap_for_what_is_not() {
    let mut bench = Bench::new(&["hi", "lo"], &["audio"]);
    bench.started("hi", 0, FIRST);
    bench.started("lo", 0, FIRST);
    bench.assembly.started(audio_track("audio", 128_000), FIRST).unwrap();
    for rendition in ["hi", "lo"] {
        bench.segment(rendition, FIRST);
    }
    bench.sounds("audio", FIRST);
    for k in (grid().first_frame(FIRST + 1)..).take(7) {
        bench.assembly.sample(&name("hi"), frame(k)).unwrap();
        bench.drain();
    }
    assert_eq!(bench.fed.window.newest().map(|n| n.number), Some(FIRST));
    bench.assembly.finish().unwrap();
    bench.drain();
    assert_eq!(bench.fed.window.newest().map(|n| n.number), Some(FIRST + 1), "the lists go on at once");
    assert_eq!(bench.fed.gaps(), 2, "of lo and audio");
    assert_eq!(bench.fed.numbers("hi"), [FIRST, FIRST + 1]);
    assert!(bench.fed.warnings.is_empty());
}
