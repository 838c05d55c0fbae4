//! The bytes a window holds stay within the published formula, and within its hard bound whatever comes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod feed;

use std::time::Duration;

use feed::*;
use millstream_window::{Config, Error};

fn ladder() -> Vec<millstream_media::track::Track> {
    vec![video("1080p", 5_000_000), video("720p", 2_200_000), audio("audio", 128_000)]
}

/// Ten windows' worth of media.
#[test]
fn the_formula_holds_for_a_channel_that_runs_on() {
    for (list, min_listed) in [(60, 6), (10, 3), (10, 12)] {
        let config = Config { list_duration: Duration::from_secs(list), min_listed, ..Config::default() };
        let mut feed = Feed::new(config.clone(), epoch_locked(), ladder());
        let rate: u64 = ladder().iter().map(|t| u64::from(t.bit_rate)).sum();
        let inits = feed.window.statistics().held_bytes;
        let bound = config.bytes_bound(&epoch_locked(), rate, inits);
        let mut most = 0;
        for n in 0..10 * list {
            feed.segment(FIRST + n);
            most = most.max(feed.window.statistics().held_bytes);
            assert!(most <= bound, "list of {list} s: {most} bytes held, {bound} promised");
        }
        // The formula says something: it is not a multiple of the truth.
        assert!(most * 2 > bound, "list of {list} s: {most} bytes held, {bound} promised");
        assert_eq!(feed.window.statistics().evicted_segments, 0);
    }
}

/// A rendition that stops for good does not make the others pile up.
#[test]
fn the_formula_holds_when_a_rendition_stops() {
    let config = Config::default();
    let mut feed = Feed::new(config.clone(), epoch_locked(), ladder());
    let bound = config.bytes_bound(&epoch_locked(), 7_328_000, feed.window.statistics().held_bytes);
    for n in 0..300 {
        feed.now = feed.now + Duration::from_secs(2);
        for track in &ladder()[..2] {
            feed.track_segment(track, FIRST + n).unwrap();
        }
        assert!(feed.window.statistics().held_bytes <= bound);
    }
    assert_eq!(feed.window.newest().unwrap().number, FIRST + 299 - 3, "the lag is bounded");
}

#[test]
fn the_hard_bound_drops_the_oldest_first_and_says_so() {
    let max_bytes = 30_000_000;
    let mut feed = Feed::new(Config { max_bytes, ..Config::default() }, epoch_locked(), ladder());
    let of = |list: &[i64]| list.len();
    for n in 0..200 {
        feed.segment(FIRST + n);
        let s = feed.window.statistics();
        assert!(s.held_bytes <= max_bytes, "{s:?}");
        if n > 20 {
            assert!(feed.window.segment(&name("720p"), FIRST + n - 8).is_some());
            assert!(s.evicted_segments > 0 && s.shortened > 0 && s.refused_chunks == 0, "{s:?}");
            // 1.8 MB a segment: more than six seconds are listed, less than a minute.
            assert!((3..30).contains(&of(&feed.listed("720p"))));
        }
    }
    let s = feed.window.statistics();
    let made: u64 = 200 * ladder().iter().map(|t| u64::from(t.bit_rate / 4)).sum::<u64>();
    let inits = made - s.evicted_bytes;
    assert!(s.held_bytes >= inits && s.held_bytes - inits < 2000, "every byte is held or counted as dropped");
}

/// Three target durations stay listed (STANDARDS 1.10); what does not fit beside them is refused.
#[test]
fn a_chunk_that_cannot_fit_is_refused() {
    let mut feed =
        Feed::new(Config { max_bytes: 5_000_000, ..Config::default() }, epoch_locked(), vec![video("v", 800_000)]);
    feed.segments(FIRST..FIRST + 4);
    let refused = feed.window.push_chunk(&name("v"), chunk(FIRST + 4, 0, 4_500_000), feed.now);
    assert!(matches!(refused, Err(Error::Full { wanted: 4_500_000, .. })), "{refused:?}");
    assert_eq!(feed.listed("v"), [1, 2, 3]);
    assert_eq!(feed.window.statistics().refused_chunks, 1);
    // The channel goes on when it is reasonable again.
    feed.segment(FIRST + 4);
    assert_eq!(feed.listed("v"), [1, 2, 3, 4]);
}
