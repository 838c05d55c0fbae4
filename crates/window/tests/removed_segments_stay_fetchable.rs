//! STANDARDS 1.11, 2.13: what left the list stays for its duration and that of the longest list it was in.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod feed;

use std::time::Duration;

use feed::*;
use millstream_media::time::MonoTime;
use millstream_window::Config;

fn ten_seconds() -> Config {
    Config { list_duration: Duration::from_secs(10), min_listed: 5, ..Config::default() }
}

#[test]
fn a_removed_segment_goes_when_its_time_is_over() {
    let mut feed = Feed::new(ten_seconds(), epoch_locked(), vec![video("v", 800_000)]);
    feed.segments(FIRST..FIRST + 5);
    assert_eq!((feed.listed("v"), feed.window.next_change()), (vec![0, 1, 2, 3, 4], None));
    feed.segment(FIRST + 5);
    let removed = feed.now;
    assert_eq!(feed.listed("v"), [1, 2, 3, 4, 5]);
    // Six segments were listed for a moment, before the oldest went: 12 s, and its own 2 s.
    let due = removed + Duration::from_secs(14);
    assert_eq!(feed.window.next_change(), Some(due));
    feed.window.prune_at(MonoTime(due.0 - Duration::from_millis(1)));
    assert!(feed.window.segment(&name("v"), FIRST).is_some());
    feed.window.prune_at(due);
    assert!(feed.window.segment(&name("v"), FIRST).is_none());
    assert!(feed.window.segment(&name("v"), FIRST + 1).is_some(), "listed ones never go by time");
    assert_eq!(feed.window.next_change(), None);
}

/// The list goes as one with its segments, and the numbers before it meanwhile.
#[test]
fn after_the_end_all_stays_for_the_longest_list_and_a_segment() {
    let mut feed = Feed::new(ten_seconds(), epoch_locked(), vec![video("v", 800_000)]);
    feed.segments(FIRST..FIRST + 8);
    feed.window.end(feed.now);
    let due = feed.window.next_change().unwrap();
    // 12 s were the longest list; 2.5 s is the longest segment there may be.
    assert_eq!(due, feed.now + Duration::from_millis(14_500));
    feed.window.prune_at(MonoTime(due.0 - Duration::from_millis(1)));
    assert_eq!(feed.listed("v"), [3, 4, 5, 6, 7]);
    feed.window.prune_at(due);
    assert!(feed.window.listing(&name("v")).is_none());
    assert_eq!((feed.window.statistics().held_segments, feed.window.next_change()), (0, None));
}

/// A channel that comes back lists its own segments only; those of the session before can still be fetched.
#[test]
fn a_new_session_leaves_the_old_segments_fetchable() {
    let mut feed = Feed::new(ten_seconds(), epoch_locked(), vec![video("v", 800_000)]);
    feed.segments(FIRST..FIRST + 5);
    feed.window.end(feed.now);
    let ended = feed.window.next_change().unwrap();
    feed.window.begin_session(epoch_locked(), feed.now);
    feed.begin_period(FIRST + 9, vec![video("w", 800_000)]).unwrap();
    feed.segment(FIRST + 9);
    assert_eq!(feed.listed("w"), [9]);
    assert!(feed.window.listing(&name("v")).is_none(), "names are those of the session");
    assert!(feed.window.segment(&name("v"), FIRST + 4).is_some());
    assert!(feed.window.init(&name("v"), None).is_some());
    feed.window.prune_at(ended);
    assert!(feed.window.segment(&name("v"), FIRST + 4).is_none());
    assert!(feed.window.init(&name("v"), None).is_none(), "init segments go with the last segment that needs them");
}
