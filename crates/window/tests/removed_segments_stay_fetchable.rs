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

/// STANDARDS 1.39: parts of a segment that was given up after they were listed stay for more than three target
/// durations, and not for ever; without low latency nothing of it was listed, and it goes at once.
#[test]
fn listed_parts_of_a_lost_segment_stay() {
    for (timing, stays) in [(epoch_locked().with_part_frames(30), true), (epoch_locked(), false)] {
        let mut feed = Feed::new(ten_seconds(), timing, vec![video("v", 800_000)]);
        feed.segments(FIRST..FIRST + 2);
        feed.window.push_chunk(&name("v"), chunk(FIRST + 2, 0, 1000), feed.now).unwrap();
        let held = feed.window.statistics().held_bytes;
        feed.window.mark_gap(FIRST + 2, feed.now).unwrap();
        assert_eq!(feed.window.part(&name("v"), FIRST + 2, 0).is_some(), stays);
        assert_eq!(feed.window.statistics().held_bytes, if stays { held } else { held - 1000 });
        assert!(feed.window.part(&name("v"), FIRST + 2, 1).is_none(), "the hint is abandoned");
        assert!(feed.window.segment(&name("v"), FIRST + 2).is_none());
        if !stays {
            assert_eq!(feed.window.next_change(), None);
            continue;
        }
        feed.window.prune_at(feed.now + Duration::from_secs(6));
        assert!(feed.window.part(&name("v"), FIRST + 2, 0).is_some());
        assert_eq!(feed.window.next_change(), Some(feed.now + Duration::from_secs(8)));
        feed.window.prune_at(feed.now + Duration::from_secs(8));
        assert!(feed.window.part(&name("v"), FIRST + 2, 0).is_none());
        assert_eq!((feed.window.statistics().held_bytes, feed.window.next_change()), (held - 1000, None));
    }
}

/// What is kept for latecomers never takes the room of new media.
#[test]
fn parts_of_a_lost_segment_go_first_when_the_window_is_full() {
    let config = Config { max_bytes: 10_000_000, ..ten_seconds() };
    let mut feed = Feed::new(config, epoch_locked().with_part_frames(30), vec![video("v", 800_000)]);
    feed.segment(FIRST);
    feed.window.push_chunk(&name("v"), chunk(FIRST + 1, 0, 6_000_000), feed.now).unwrap();
    feed.window.mark_gap(FIRST + 1, feed.now).unwrap();
    assert!(feed.window.part(&name("v"), FIRST + 1, 0).is_some());
    feed.window.push_chunk(&name("v"), chunk(FIRST + 2, 0, 6_000_000), feed.now).unwrap();
    assert!(feed.window.part(&name("v"), FIRST + 1, 0).is_none());
    assert_eq!((feed.window.statistics().shortened, feed.listed("v").len()), (0, 2));
}
