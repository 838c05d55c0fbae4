//! Whatever a channel goes through, each manifest follows from the one before as the standards allow, and all it names
//! can be fetched.
//!
//! A random life of a channel is played; after every step all manifests are written, read by independent readers, and
//! compared with the step before.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod hls_channel;
#[path = "hls_channel/read.rs"]
mod read;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use hls_channel::*;
use millstream_media::segment::SegmentEnd;
use millstream_media::time::MonoTime;
use millstream_media::track::Track;
use millstream_package::hls;
use millstream_window::{Config, Timing};
use proptest::prelude::*;
use read::{List, Mpd, Set};

const LIST: Duration = Duration::from_secs(40);
const MIN_LISTED: u32 = 6;

#[derive(Clone, Debug)]
enum Op {
    /// The next segment of all tracks.
    Segment,
    /// The next segment of all tracks but one.
    Lag(usize),
    /// All tracks that are behind bring what they miss, as far as it is still wanted.
    CatchUp,
    /// Some tracks begin a segment that never ends; the channel goes on some numbers later, in the middle of one.
    Crash(u64),
    Gap,
    /// Another set of tracks, by bit mask, from now on.
    Ladder(u8),
    Discontinuity,
    Wait(u64),
    /// The channel ends and comes back.
    Restart(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => Just(Op::Segment),
        3 => (0..5usize).prop_map(Op::Lag),
        3 => Just(Op::CatchUp),
        1 => (0..4u64).prop_map(Op::Crash),
        1 => Just(Op::Gap),
        2 => any::<u8>().prop_map(Op::Ladder),
        1 => Just(Op::Discontinuity),
        1 => (0..70u64).prop_map(Op::Wait),
        1 => (0..40u64).prop_map(Op::Restart),
    ]
}

struct Life {
    channel: Channel,
    all: Vec<Track>,
    /// The next number, and what each track still owes.
    next: u64,
    owed: BTreeMap<String, Vec<u64>>,
    /// The first segment after a crash begins half a segment late.
    late: HashMap<u64, bool>,
    discontinuity: bool,
    sessions: u32,
}

impl Life {
    fn new(ntsc: bool) -> Self {
        let r = if ntsc { rate(30_000, 1001) } else { rate(30, 1) };
        let mut all = ladder(r);
        all.push(audio("audio-hi", 256_000));
        let config = Config { list_duration: LIST, min_listed: MIN_LISTED, ..Config::default() };
        let channel = Channel::live(config, r, all[..4].to_vec());
        Life {
            channel,
            all,
            next: FIRST,
            owed: BTreeMap::new(),
            late: HashMap::new(),
            discontinuity: false,
            sessions: 1,
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Segment | Op::Lag(_) | Op::Discontinuity => {
                self.discontinuity = matches!(op, Op::Discontinuity);
                self.channel.now = self.channel.now + Duration::from_secs(2);
                let tracks = self.channel.tracks.clone();
                for (i, track) in tracks.iter().enumerate() {
                    let owed = self.owed.entry(track.name.to_string()).or_default();
                    owed.push(self.next);
                    if !matches!(op, Op::Lag(lagging) if *lagging == i) {
                        self.pay(track);
                    }
                }
                self.next += 1;
            }
            Op::CatchUp => self.channel.tracks.clone().iter().for_each(|t| self.pay(t)),
            Op::Crash(lost) => {
                self.owed.clear();
                for track in self.channel.tracks.clone().iter().skip(1) {
                    let chunk = self.channel.chunk(track, self.next, 0);
                    // Refused where the crash before left a chunk of the same number.
                    let _ = self.channel.window.push_chunk(&track.name, chunk, self.channel.now);
                }
                self.next += lost;
                self.late.insert(self.next, true);
            }
            Op::Gap => {
                self.owed.clear();
                self.channel.window.mark_gap(self.next, self.channel.now).unwrap();
                self.next += 1;
            }
            Op::Ladder(mask) => {
                let chosen: Vec<Track> =
                    self.all.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, t)| t.clone()).collect();
                if !chosen.is_empty() {
                    self.owed.clear();
                    self.channel.begin_period(self.next, chosen, mask >> 7 == 1);
                }
            }
            Op::Wait(seconds) => {
                self.channel.now = self.channel.now + Duration::from_secs(seconds);
                self.channel.window.prune_at(self.channel.now);
            }
            Op::Restart(lost) => {
                self.owed.clear();
                if !self.channel.window.is_ended() {
                    self.channel.window.end(self.channel.now);
                    return;
                }
                self.next += lost;
                self.restart();
            }
        }
    }

    fn restart(&mut self) {
        self.sessions += 1;
        self.next = self.next.max(self.channel.window.highest().map_or(0, |h| h + 1));
        let timing = Timing::epoch_locked(self.channel.grid);
        self.channel.window.begin_session(timing, self.channel.now);
        self.channel.begin_period(self.next, self.channel.tracks.clone(), false);
    }

    fn pay(&mut self, track: &Track) {
        let (now, discontinuity) = (self.channel.now, self.discontinuity);
        for n in self.owed.remove(track.name.as_str()).into_iter().flatten() {
            let (mut start, mut duration) = self.channel.times(track, n);
            if self.late.contains_key(&n) {
                (start, duration) = (start + duration / 2, duration - duration / 2);
            }
            for part in 0..2 {
                let mut chunk = self.channel.chunk(track, n, part);
                (chunk.start, chunk.duration) = (start + duration / 2 * u64::from(part), duration / 2);
                // Refused if it was given up meanwhile; then the list must show a gap.
                if self.channel.window.push_chunk(&track.name, chunk, now).is_err() {
                    return;
                }
            }
            let end = SegmentEnd { segment: n, start, duration, discontinuity };
            self.channel.window.end_segment(&track.name, end, now).unwrap();
        }
    }
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    session: u32,
    lists: BTreeMap<String, List>,
    mpd: Option<Mpd>,
    /// For each media URL: the longest list that had it, in seconds, and its duration.
    listed: HashMap<String, (f64, f64)>,
    /// Until when a URL that left all lists must be served.
    removed: HashMap<String, MonoTime>,
    /// What a URL gave, for good.
    bytes: HashMap<String, (u64, u64)>,
    version: u64,
    last_sequences: (u64, u64),
}

impl Seen {
    fn check(&mut self, life: &Life) {
        let new_session = self.session != life.sessions;
        self.session = life.sessions;
        let window = &life.channel.window;
        let lists: BTreeMap<String, List> = window
            .renditions()
            .filter_map(|t| Some((t.name.to_string(), read::hls_list(&hls::media(window, &t.name, hls::Form::Full)?))))
            .collect();
        for (name, list) in &lists {
            self.check_list(life, name, list);
            if let Some(before) = self.lists.get(name).filter(|_| !new_session) {
                check_follows(before, list);
            }
            if let Some(iframes) = hls::iframes(window, &hls_channel::name(name), hls::Form::Full) {
                check_iframes(list, &read::hls_list(&iframes));
            }
        }
        check_together(&lists);
        if !new_session && !lists.is_empty() {
            assert!(self.lists.keys().all(|name| lists.contains_key(name)), "a name viewers hold is gone");
        }
        if let Some(list) = lists.values().next() {
            let sequences = (list.media_sequence, list.discontinuity_sequence);
            assert!(
                sequences.0 >= self.last_sequences.0 && sequences.1 >= self.last_sequences.1,
                "STANDARDS 1.9, 1.16"
            );
            self.last_sequences = sequences;
        }
        if self.lists != lists {
            assert!(window.version() > self.version, "manifests changed, the version did not");
        }
        self.version = window.version();
        self.check_removed(life, &lists);
        self.lists = lists;
        self.check_mpd(life, new_session);
    }

    fn check_list(&mut self, life: &Life, name: &str, list: &List) {
        assert_eq!((list.version, list.target), (6, 2), "STANDARDS 1.4, 1.7");
        let window = &life.channel.window;
        for (number, s) in (list.media_sequence..).zip(&list.segments) {
            assert!(s.duration.round() as u64 <= list.target, "STANDARDS 1.7: {}", s.duration);
            assert!(s.duration > 0.5, "{name} {number} lasts {} s", s.duration);
            let (rendition, file) = resolve(name, &s.uri);
            assert_eq!(file, format!("{number}.m4s"), "numbering is contiguous");
            if s.gap {
                continue;
            }
            let (of_map, init) = resolve(name, &s.map);
            assert_eq!(of_map, rendition, "a segment's map is its own");
            let version = init.strip_prefix("init.mp4?v=").expect("a versioned init segment");
            let rendition = hls_channel::name(&rendition);
            assert!(window.init(&rendition, Some(version)).is_some(), "STANDARDS 1.13: {} of {name}", s.map);
            let media = window.segment(&rendition, number).expect("STANDARDS 1.13");
            let url = format!("{rendition}/{file}");
            let before = *self.bytes.entry(url.clone()).or_insert((media.start, media.bytes));
            assert_eq!(before, (media.start, media.bytes), "a name never gets other bytes");
            let listed = self.listed.entry(url).or_default();
            *listed = (listed.0.max(list.duration()), s.duration);
        }
        for pair in list.segments.windows(2) {
            let (end, next) = (pair[0].time + pair[0].duration, pair[1].time);
            assert!(next > end - 0.05, "STANDARDS 1.17: {name}: {end} then {next}");
            if !pair.iter().any(|s| s.gap) && next - end > 0.034 {
                // Only a segment that begins late leaves a hole.
                let number = pair[1].uri.rsplit('/').next().unwrap().trim_end_matches(".m4s").parse().unwrap();
                assert!(life.late.contains_key(&number), "STANDARDS 1.20, 1.21: {name}: {end} then {next}");
            }
        }
    }

    /// STANDARDS 1.11: what left the lists stays for its duration and that of the longest list that had it.
    fn check_removed(&mut self, life: &Life, lists: &BTreeMap<String, List>) {
        let now = life.channel.now;
        let live: Vec<String> = lists
            .iter()
            .filter(|(_, l)| !l.ended)
            .flat_map(|(name, l)| l.segments.iter().filter(|s| !s.gap).map(move |s| (name, s)))
            .map(|(name, s)| resolve(name, &s.uri))
            .map(|(rendition, file)| format!("{rendition}/{file}"))
            .collect();
        for (url, (longest, duration)) in &self.listed {
            if !live.contains(url) {
                let until = now + Duration::from_secs_f64(longest + duration - 0.001);
                self.removed.entry(url.clone()).or_insert(until);
            }
        }
        self.listed.retain(|url, _| live.contains(url));
        for (url, until) in &self.removed {
            let (rendition, file) = url.split_once('/').unwrap();
            let number = file.trim_end_matches(".m4s").parse().unwrap();
            let there = life.channel.window.segment(&hls_channel::name(rendition), number).is_some();
            assert!(there || now >= *until, "STANDARDS 1.11: {url} is gone");
        }
        self.removed.retain(|_, until| now < *until);
    }

    fn check_mpd(&mut self, life: &Life, new_session: bool) {
        let mpd = life.channel.mpd().map(|text| read::dash(&text));
        if let Some(mpd) = &mpd {
            let window = &life.channel.window;
            assert_eq!(mpd.update_period.is_none(), window.is_ended(), "STANDARDS 2.5");
            assert_eq!(mpd.periods.last().unwrap().duration.is_some(), window.is_ended(), "STANDARDS 2.5");
            for period in &mpd.periods {
                for set in &period.sets {
                    check_set(life, period, set);
                }
            }
            for pair in mpd.periods.windows(2) {
                let end = pair[0].start + pair[0].duration.unwrap_or_default();
                assert!(pair[1].start >= end, "periods do not overlap");
            }
            if let Some(before) = self.mpd.as_ref().filter(|_| !new_session) {
                // A gap moves the newest segment's end, but is nothing a timeline can show.
                let newest = window.newest().unwrap().number;
                let gap = self.lists.values().any(|l| l.get(newest).is_some_and(|s| s.gap));
                check_mpd_follows(before, mpd, gap);
            }
        }
        self.mpd = mpd;
    }
}

/// The rendition and the file that a URI in a rendition's playlist names.
fn resolve(name: &str, uri: &str) -> (String, String) {
    match uri.strip_prefix("../").and_then(|rest| rest.split_once('/')) {
        Some((rendition, file)) => (rendition.to_owned(), file.to_owned()),
        None => (name.to_owned(), uri.to_owned()),
    }
}

/// STANDARDS 1.8 to 1.10, 1.15, 1.16.
fn check_follows(before: &List, after: &List) {
    assert_eq!(before.target, after.target, "STANDARDS 1.7");
    assert!(after.media_sequence >= before.media_sequence && after.end() >= before.end(), "STANDARDS 1.8, 1.9");
    if before.ended {
        assert_eq!(before, after, "STANDARDS 1.15: a final list never changes");
    }
    let removed = (after.media_sequence - before.media_sequence) as usize;
    let left = before.segments.iter().take(removed).filter(|s| s.discontinuity).count() as u64;
    assert_eq!(after.discontinuity_sequence, before.discontinuity_sequence + left, "STANDARDS 1.16");
    for number in after.media_sequence..before.end() {
        // The map of a gap is of no use, and a gap whose kind is missing has none of its own.
        let line = |l: &List| {
            l.get(number).map(|s| read::Segment { map: if s.gap { String::new() } else { s.map.clone() }, ..s.clone() })
        };
        assert_eq!(line(before), line(after), "STANDARDS 1.8");
    }
    if removed > 0 && !before.segments.is_empty() {
        assert!(after.duration() >= 3.0 * after.target as f64, "STANDARDS 1.10");
        assert!(after.segments.len() >= MIN_LISTED as usize, "STANDARDS 1.10");
        assert!(after.duration() >= LIST.as_secs_f64() - 0.1);
    }
}

/// STANDARDS 1.16, 1.25: the same range, the same discontinuities, the same target, matching times.
fn check_together(lists: &BTreeMap<String, List>) {
    let Some(one) = lists.values().next() else { return };
    let end = lists.values().map(List::end).min().unwrap();
    for (name, other) in lists {
        let head = |l: &List| (l.media_sequence, l.discontinuity_sequence, l.target, l.ended);
        assert_eq!(head(one), head(other), "STANDARDS 1.25");
        assert!(other.end() - end <= 3, "{name} runs ahead");
        for number in one.media_sequence..end {
            let (a, b) = (one.get(number).unwrap(), other.get(number).unwrap());
            assert_eq!(a.discontinuity, b.discontinuity, "STANDARDS 1.16");
            if !a.gap && !b.gap {
                assert!((a.time - b.time).abs() < 0.0233, "STANDARDS 1.25: {} and {}", a.time, b.time);
            }
        }
        if other.ended {
            assert_eq!(other.end(), end, "final lists end at one number");
        }
    }
}

fn check_iframes(list: &List, iframes: &List) {
    assert_eq!(iframes.version, 5, "STANDARDS 1.4");
    let plain = |s: &read::Segment| read::Segment { iframe_bytes: None, ..s.clone() };
    assert_eq!(iframes.segments.iter().map(plain).collect::<Vec<_>>(), list.segments);
    assert!(iframes.segments.iter().all(|s| s.iframe_bytes.is_some() != s.gap));
}

/// The times of a set are those of the segments of all its representations, which can be fetched.
fn check_set(life: &Life, period: &read::Period, set: &Set) {
    let start = period.start.as_secs_f64();
    let zero = set.offset as f64 / set.timescale as f64;
    assert!((start - zero).abs() < 0.001, "presentationTimeOffset is the Period's start");
    let mut due = None;
    for (number, t, d) in set.segments() {
        for rendition in &set.representations {
            let times = life.channel.window.times(&hls_channel::name(rendition), number);
            assert_eq!(times, Some((t, d)), "STANDARDS 2.9: {rendition} {number}");
        }
        assert!(due.is_none_or(|due| due == t) || life.late.contains_key(&number), "STANDARDS 2.10");
        due = Some(t + d);
    }
}

/// STANDARDS 2.2, 2.6, 2.7 and CHECK-2b.
fn check_mpd_follows(before: &Mpd, after: &Mpd, gap: bool) {
    match before.content == after.content {
        true => assert!(gap || before.published == after.published, "publishTime moved alone"),
        false => assert!(before.published < after.published, "content moved without publishTime"),
    }
    let first = &after.periods[0].id;
    let removed = before.periods.iter().position(|p| p.id == *first);
    let kept = &before.periods[removed.unwrap_or(before.periods.len())..];
    assert!(kept.iter().map(|p| &p.id).eq(after.periods.iter().take(kept.len()).map(|p| &p.id)), "STANDARDS 2.6");
    for (i, (old, new)) in kept.iter().zip(&after.periods).enumerate() {
        assert_eq!(old.start, new.start, "STANDARDS 2.6");
        assert_eq!(old.sets.len(), new.sets.len(), "STANDARDS 2.6");
        for (old, new) in old.sets.iter().zip(&new.sets) {
            assert_eq!(old.fixed, new.fixed, "STANDARDS 2.6");
            check_timeline(old, new, i + 1 == kept.len());
        }
    }
}

/// STANDARDS 2.7: whole `S` go at the front, the last one is repeated more often, new ones come, nothing else.
fn check_timeline(old: &Set, new: &Set, last_period: bool) {
    let gone = old.timeline.iter().position(|s| s.0 == new.timeline[0].0).expect("STANDARDS 2.7: an S that was there");
    let numbers: u64 = old.timeline[..gone].iter().map(|s| s.2 + 1).sum();
    assert_eq!(new.start_number, old.start_number + numbers, "STANDARDS 2.7");
    let kept = &old.timeline[gone..];
    for (i, (a, b)) in kept.iter().zip(&new.timeline).enumerate() {
        let may_grow = i + 1 == kept.len() && last_period;
        assert!(a == b || (may_grow && (a.0, a.1) == (b.0, b.1) && a.2 < b.2), "STANDARDS 2.7: {a:?} then {b:?}");
    }
    assert!(new.timeline.len() >= kept.len());
    assert!(last_period || new.timeline.len() == kept.len(), "STANDARDS 2.6: new segments in the last Period only");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_manifest_follows_from_the_one_before(ntsc in any::<bool>(), ops in prop::collection::vec(op(), 1..120)) {
        let mut life = Life::new(ntsc);
        let mut seen = Seen::default();
        seen.check(&life);
        for op in &ops {
            if life.channel.window.timing().is_none() || (life.channel.window.is_ended() && !matches!(op, Op::Wait(_) | Op::Restart(_))) {
                // Off air: nothing but a new session.
                life.owed.clear();
                life.restart();
                seen.check(&life);
            }
            life.step(op);
            seen.check(&life);
        }
        // When all is over, nothing is left but the last period's init segments.
        life.channel.window.end(life.channel.now);
        life.channel.now = life.channel.now + Duration::from_secs(1000);
        life.channel.window.prune_at(life.channel.now);
        let inits: u64 = life.channel.tracks.iter().map(|t| init(t).len() as u64).sum();
        prop_assert_eq!(life.channel.window.statistics().held_segments, 0);
        prop_assert_eq!(life.channel.window.statistics().held_bytes, inits);
        prop_assert_eq!(life.channel.window.next_change(), None);
    }
}

/// Twelve minutes of a quiet channel: the timeline is merged (STANDARDS 2.9) and stays short.
#[test]
fn a_long_quiet_channel_keeps_its_manifests_short() {
    let mut life = Life::new(false);
    let mut seen = Seen::default();
    for _ in 0..360 {
        life.step(&Op::Segment);
        seen.check(&life);
    }
    let mpd = seen.mpd.unwrap();
    assert_eq!(mpd.periods.len(), 1);
    assert!(mpd.periods[0].sets[0].timeline.len() <= 7, "{:?}", mpd.periods[0].sets[0].timeline);
    assert_eq!(seen.lists["720p"].segments.len(), 20);
}

/// A new version of an init segment has its own URL, and the old one stays while a segment needs it.
#[test]
fn a_changed_init_segment_has_another_url() {
    let mut channel = Channel::live(short_list(), rate(30, 1), ladder(rate(30, 1))[1..2].to_vec());
    channel.segment(FIRST);
    let track = channel.tracks[0].clone();
    let old = channel.window.current_period().unwrap().track(&track.name).unwrap().init_version.clone();
    channel.window.begin_period(FIRST + 1, vec![(track.clone(), Bytes::from_static(b"other"))], false).unwrap();
    channel.segments(FIRST + 1..FIRST + 3);
    let list = read::hls_list(&hls::media(&channel.window, &track.name, hls::Form::Full).unwrap());
    assert!(list.segments[1].discontinuity && list.segments[0].map != list.segments[1].map);
    assert_eq!(channel.window.init(&track.name, Some(&old)), Some(init(&track)));
    assert_eq!(channel.window.init(&track.name, None), Some(Bytes::from_static(b"other")));
    channel.segments(FIRST + 3..FIRST + 40);
    assert_eq!(channel.window.init(&track.name, Some(&old)), None);
}
