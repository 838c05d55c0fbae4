//! Periods, sessions, gaps and refusals: what the window takes, and how it stays in order.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod feed;

use bytes::Bytes;
use feed::*;
use millstream_media::segment::SegmentEnd;
use millstream_window::{Config, Error, Window};

fn one() -> Feed {
    Feed::new(Config::default(), epoch_locked(), vec![video("v", 800_000)])
}

fn two() -> Feed {
    Feed::new(Config::default(), epoch_locked(), vec![video("v", 800_000), audio("a", 128_000)])
}

#[test]
fn nothing_is_taken_without_a_session_and_a_period() {
    let mut window = Window::new(Config::default());
    let init = || vec![(video("v", 1), Bytes::new())];
    assert_eq!(window.begin_period(1, init(), false), Err(Error::NoSession));
    assert_eq!(window.push_chunk(&name("v"), chunk(1, 0, 10), seconds(1)), Err(Error::NoSession));
    window.begin_session(epoch_locked(), seconds(1));
    assert_eq!(window.push_chunk(&name("v"), chunk(1, 0, 10), seconds(1)), Err(Error::NoPeriod { segment: 1 }));
    assert!(window.listing(&name("v")).is_none() && window.presentation().is_none() && window.newest().is_none());
    window.begin_period(5, init(), false).unwrap();
    assert_eq!(window.push_chunk(&name("v"), chunk(4, 0, 10), seconds(1)), Err(Error::NoPeriod { segment: 4 }));
}

#[test]
fn a_settled_segment_takes_nothing_more() {
    let mut feed = two();
    let v = name("v");
    let settled = |n| Err(Error::Settled { rendition: name("v"), segment: n });
    let now = feed.now;
    feed.segments(FIRST..FIRST + 2);
    assert_eq!(feed.window.push_chunk(&v, chunk(FIRST + 1, 2, 10), now), settled(FIRST + 1));
    assert_eq!(feed.window.end_segment(&v, end(FIRST), now), settled(FIRST));
    feed.window.push_chunk(&v, chunk(FIRST + 3, 0, 10), now).unwrap();
    assert_eq!(
        feed.window.push_chunk(&v, chunk(FIRST + 2, 0, 10), now),
        settled(FIRST + 2),
        "given up for a later one"
    );
    assert_eq!(feed.listed("v"), [0, 1, -2]);
}

#[test]
fn chunks_come_in_order_and_in_number() {
    let mut feed = Feed::new(Config { max_parts: 2, ..Config::default() }, epoch_locked(), vec![video("v", 1)]);
    let (v, now) = (name("v"), feed.now);
    let refused = feed.window.push_chunk(&v, chunk(FIRST + 1, 1, 10), now);
    assert!(matches!(refused, Err(Error::PartOutOfOrder { part: 1, expected: 0, .. })));
    assert!(matches!(feed.window.end_segment(&v, end(FIRST), now), Err(Error::Empty { .. })));
    feed.window.push_chunk(&v, chunk(FIRST, 0, 10), now).unwrap();
    assert_eq!(feed.window.open_segment(&v).map(|(n, chunks)| (n, chunks.len())), Some((FIRST, 1)));
    assert!(feed.window.part(&v, FIRST, 0).is_some() && feed.window.part(&v, FIRST, 1).is_none());
    assert!(feed.window.segment(&v, FIRST).is_none(), "an open segment is not served whole");
    feed.window.push_chunk(&v, chunk(FIRST, 1, 10), now).unwrap();
    assert!(matches!(feed.window.push_chunk(&v, chunk(FIRST, 2, 10), now), Err(Error::TooManyParts { .. })));
    feed.window.end_segment(&v, end(FIRST), now).unwrap();
    assert_eq!(feed.window.segment(&v, FIRST).map(|s| (s.bytes, s.chunks.len())), Some((20, 2)));
    assert!(feed.window.open_segment(&v).is_none());
}

/// STANDARDS 5.7: who joins in the middle sends a short first segment under the right number.
#[test]
fn the_first_segment_of_a_session_may_be_joined_at_any_part() {
    let mut feed = Feed::new(Config::default(), epoch_locked(), vec![video("v", 1)]);
    let (v, now) = (name("v"), feed.now);
    feed.window.push_chunk(&v, chunk(FIRST, 2, 10), now).unwrap();
    let skipped = feed.window.push_chunk(&v, chunk(FIRST, 4, 10), now);
    assert!(matches!(skipped, Err(Error::PartOutOfOrder { part: 4, expected: 3, .. })));
    feed.window.push_chunk(&v, chunk(FIRST, 3, 10), now).unwrap();
    feed.window.end_segment(&v, end(FIRST), now).unwrap();
    assert_eq!(feed.window.segment(&v, FIRST).map(|s| s.chunks.len()), Some(2));
    assert!(feed.window.part(&v, FIRST, 1).is_some());
}

/// STANDARDS 1.7: the target never changes; a segment too long for it is not listed, and may be once a session with a
/// longer target has begun.
#[test]
fn a_segment_too_long_needs_another_session() {
    let mut feed = one();
    feed.segment(FIRST);
    let (v, now) = (name("v"), feed.now);
    feed.window.push_chunk(&v, chunk(FIRST + 1, 0, 10), now).unwrap();
    let long = SegmentEnd { duration: 75_000, ..end(FIRST + 1) };
    let refused = Error::TooLong { rendition: v.clone(), segment: FIRST + 1, duration_ms: 2500, target_duration: 2 };
    assert_eq!(feed.window.end_segment(&v, long, now), Err(refused));
    assert_eq!(feed.listed("v"), [0]);
    feed.window.begin_session(millstream_window::Timing::with_target(nominal().length(), 4), now);
    feed.begin_period(FIRST + 1, vec![video("v", 800_000)]).unwrap();
    feed.window.end_segment(&v, long, now).unwrap();
    assert_eq!(feed.listed("v"), [1]);
    let listing = feed.window.listing(&v).unwrap();
    assert_eq!((listing.target_duration, listing.discontinuity_sequence), (4, 1));
}

#[test]
fn numbers_are_never_used_twice() {
    let mut feed = two();
    feed.segments(FIRST..FIRST + 3);
    let reused = Err(Error::NumberReused { segment: FIRST + 2, highest: FIRST + 2 });
    assert_eq!(feed.begin_period(FIRST + 2, vec![video("w", 1)]), reused);
    feed.window.push_chunk(&name("v"), chunk(FIRST + 3, 0, 10), feed.now).unwrap();
    feed.window.end(feed.now);
    assert_eq!(feed.window.highest(), Some(FIRST + 3), "parts of an open segment may have been fetched");
    feed.window.begin_session(epoch_locked(), feed.now);
    assert!(matches!(feed.begin_period(FIRST + 3, vec![video("v", 1)]), Err(Error::NumberReused { .. })));
    feed.begin_period(FIRST + 4, vec![video("v", 1)]).unwrap();
}

#[test]
fn a_period_needs_sound_tracks() {
    let mut feed = one();
    feed.segment(FIRST);
    let bad = Err(Error::BadTracks { max: 32 });
    assert_eq!(feed.begin_period(FIRST + 1, vec![]), bad);
    assert_eq!(feed.begin_period(FIRST + 1, vec![video("x", 1), audio("x", 1)]), bad);
    assert_eq!(feed.begin_period(FIRST + 1, (0..33).map(|i| video(&format!("v{i}"), 1)).collect()), bad);
    let changed = Err(Error::KindChanged { rendition: name("v") });
    assert_eq!(feed.begin_period(FIRST + 1, vec![audio("v", 1)]), changed);
}

/// A long-lived session does not keep every name it ever had.
#[test]
fn names_are_bounded() {
    let mut feed = Feed::new(Config { max_names: 3, ..Config::default() }, epoch_locked(), vec![video("v0", 1)]);
    for i in 1..10 {
        feed.segment(FIRST + i - 1);
        feed.begin_period(FIRST + i, vec![video(&format!("v{i}"), 1)]).unwrap();
    }
    let names: Vec<_> = feed.window.renditions().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["v7", "v8", "v9"]);
}

/// The nearest bit rate that is not higher stands in, else the nearest; the decision holds.
#[test]
fn stand_ins_are_the_nearest_below() {
    let ladder = |rates: &[u32]| rates.iter().map(|r| video(&format!("v{r}"), *r)).collect::<Vec<_>>();
    let mut feed = Feed::new(Config::default(), epoch_locked(), ladder(&[500, 100]));
    feed.segment(FIRST);
    feed.begin_period(FIRST + 1, ladder(&[400, 200])).unwrap();
    feed.segment(FIRST + 1);
    let sources = |feed: &Feed, of: &str| -> Vec<String> {
        let listing = feed.window.listing(&name(of)).unwrap();
        listing.entries.iter().map(|e| e.source.unwrap().track.name.to_string()).collect()
    };
    assert_eq!(sources(&feed, "v500"), ["v500", "v400"]);
    assert_eq!(sources(&feed, "v100"), ["v100", "v200"]);
    assert_eq!(sources(&feed, "v400"), ["v100", "v400"]);
    // v500 comes back with another bit rate: what was listed stays.
    feed.begin_period(FIRST + 2, vec![video("v500", 300)]).unwrap();
    feed.segment(FIRST + 2);
    assert_eq!(sources(&feed, "v500"), ["v500", "v400", "v500"]);
    assert_eq!(sources(&feed, "v200"), ["v100", "v200", "v500"]);
}

/// A period with the same tracks and init segments needs no discontinuity; any other does, in all lists (1.16).
#[test]
fn discontinuities_come_with_changed_tracks_only() {
    let mut feed = two();
    feed.segment(FIRST);
    feed.begin_period(FIRST + 1, vec![video("v", 800_000), audio("a", 128_000)]).unwrap();
    feed.segment(FIRST + 1);
    feed.begin_period(FIRST + 2, vec![video("v", 800_000)]).unwrap();
    feed.segment(FIRST + 2);
    let tags = |of: &str| -> Vec<bool> {
        feed.window.listing(&name(of)).unwrap().entries.iter().map(|e| e.discontinuity).collect()
    };
    assert_eq!(tags("v"), [false, false, true]);
    assert_eq!(tags("a"), [false, false, true]);
    assert_eq!(feed.listed("a"), [0, 1, -2], "a kind that is gone is a gap");
}

/// The first rendition to settle a segment decides; a contradiction later is counted, not shown (1.8, 1.16).
#[test]
fn a_late_discontinuity_is_counted() {
    let mut feed = two();
    feed.segment(FIRST);
    let tracks = feed.tracks.clone();
    feed.track_segment(&tracks[0], FIRST + 1).unwrap();
    feed.window.push_chunk(&name("a"), chunk(FIRST + 1, 0, 10), feed.now).unwrap();
    feed.window.end_segment(&name("a"), SegmentEnd { discontinuity: true, ..end(FIRST + 1) }, feed.now).unwrap();
    assert!(!feed.window.listing(&name("a")).unwrap().entries[1].discontinuity);
    assert_eq!(feed.window.statistics().late_discontinuities, 1);
}

#[test]
fn a_rendition_that_lags_too_far_gets_gaps() {
    let mut feed = two();
    feed.segment(FIRST);
    let tracks = feed.tracks.clone();
    for n in 1..4 {
        feed.track_segment(&tracks[0], FIRST + n).unwrap();
        assert_eq!(feed.window.newest().unwrap().number, FIRST);
    }
    feed.track_segment(&tracks[0], FIRST + 4).unwrap();
    assert_eq!((feed.listed("v"), feed.listed("a")), (vec![0, 1, 2, 3, 4], vec![0, -1]));
    // It comes back where it is still wanted.
    assert!(matches!(feed.track_segment(&tracks[1], FIRST + 1), Err(Error::Settled { .. })));
    for n in 2..5 {
        feed.track_segment(&tracks[1], FIRST + n).unwrap();
    }
    assert_eq!(feed.listed("a"), [0, -1, 2, 3, 4]);
    assert_eq!((feed.window.newest().unwrap().number, feed.window.statistics().gaps), (FIRST + 4, 1));
}

#[test]
fn a_jump_too_far_needs_another_session() {
    let mut feed = one();
    feed.segment(FIRST);
    let refused = feed.track_segment(&feed.tracks[0].clone(), FIRST + 100);
    assert_eq!(refused, Err(Error::SkipsTooFar { rendition: name("v"), segment: FIRST + 100, skipped: 99 }));
    feed.segment(FIRST + 31);
    assert_eq!(feed.window.statistics().gaps, 30);
}

/// Without a grid, gaps share the hole they stand for (1.20).
#[test]
fn gaps_add_up_to_real_time() {
    let mut feed = Feed::new(Config::default(), nominal(), vec![video("v", 800_000)]);
    assert_eq!(feed.window.mark_gap(FIRST, feed.now), Err(Error::UnknownTime { segment: FIRST }));
    feed.segment(FIRST);
    // Two numbers are lost, and 4.5 s.
    let mut late = chunk(FIRST + 3, 0, 10);
    late.start = FIRST * TICKS + 135_000;
    feed.window.push_chunk(&name("v"), late.clone(), feed.now).unwrap();
    let after = SegmentEnd { start: late.start, ..end(FIRST + 3) };
    feed.window.end_segment(&name("v"), after, feed.now).unwrap();
    let listing = feed.window.listing(&name("v")).unwrap();
    let times: Vec<_> = listing.entries.iter().map(|e| (e.gap, e.start + TICKS - FIRST * TICKS, e.duration)).collect();
    assert_eq!(times[1..], [(true, 60_000, 67_500), (true, 127_500, 67_500), (false, 195_000, 60_000)]);
}

/// Before its first segment a session may begin elsewhere; a period nothing came for is replaced.
#[test]
fn a_period_without_media_is_replaced() {
    let mut feed = one();
    feed.window.push_chunk(&name("v"), chunk(FIRST, 0, 10), feed.now).unwrap();
    feed.begin_period(FIRST + 5, vec![video("w", 800_000)]).unwrap();
    assert!(feed.window.open_segment(&name("v")).is_none());
    feed.segment(FIRST + 5);
    assert_eq!((feed.window.first_listed(), feed.listed("w")), (Some(FIRST + 5), vec![5]));
    feed.begin_period(FIRST + 8, vec![video("x", 800_000)]).unwrap();
    feed.begin_period(FIRST + 6, vec![video("w", 800_000)]).unwrap();
    feed.segment(FIRST + 6);
    let listing = feed.window.listing(&name("w")).unwrap();
    assert!(listing.entries.iter().all(|e| !e.discontinuity), "the replaced period left no trace");
}

/// The sequence that a window after a restart of the process begins with is above all that was shown (1.16).
#[test]
fn discontinuity_sequences_never_fall() {
    let mut feed = one();
    assert_eq!(feed.window.next_discontinuity_sequence(), 0);
    feed.segment(FIRST);
    assert_eq!(feed.window.next_discontinuity_sequence(), 1);
    feed.begin_period(FIRST + 1, vec![video("w", 1_000_000)]).unwrap();
    assert_eq!(feed.window.next_discontinuity_sequence(), 2);
    feed.segments(FIRST + 1..FIRST + 60);
    assert_eq!(feed.window.listing(&name("w")).unwrap().discontinuity_sequence, 1, "the tag has left the list");
    let base = feed.window.next_discontinuity_sequence();
    assert_eq!(base, 2);
    let mut next =
        Feed::new(Config { discontinuity_sequence: base, ..Config::default() }, epoch_locked(), vec![video("w", 1)]);
    next.segment(FIRST);
    assert_eq!(next.window.listing(&name("w")).unwrap().discontinuity_sequence, 2);
}

/// STANDARDS 1.27: the peak is that of runs between half a target and one and a half.
#[test]
fn rates_are_measured_over_the_list() {
    let mut feed = one();
    assert_eq!(feed.window.rates(&name("v")), None);
    for (n, len) in [(0, 100_000), (1, 200_000), (2, 300_000)] {
        feed.window.push_chunk(&name("v"), chunk(FIRST + n, 0, len), feed.now).unwrap();
        feed.window.end_segment(&name("v"), end(FIRST + n), feed.now).unwrap();
    }
    let rates = feed.window.rates(&name("v")).unwrap();
    assert_eq!((rates.peak, rates.average), (1_200_000, 800_000));
    assert_eq!((rates.iframe_peak, rates.iframe_average), (600_000, 400_000));
}
