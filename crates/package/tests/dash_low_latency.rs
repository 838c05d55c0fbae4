//! The low-latency MPD, to the byte, and when it changes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod hls_channel;

use hls_channel::*;
use millstream_window::Timing;

/// On air at 30/s with parts of half a second; segments of 2 s, a list of 10 s.
fn live(tracks: Vec<millstream_media::track::Track>) -> Channel {
    let mut channel = Channel::live(short_list(), rate(30, 1), vec![]);
    channel.window.begin_session(Timing::epoch_locked(channel.grid).with_part_frames(15), channel.now);
    channel.begin_period(FIRST, tracks, false);
    channel
}

/// STANDARDS 2.15 to 2.20.
#[test]
fn everything_a_low_latency_player_needs() {
    let mut channel = live(ladder(rate(30, 1))[1..].to_vec());
    channel.segments(FIRST..FIRST + 2);
    insta::assert_snapshot!(channel.mpd().unwrap());
}

/// STANDARDS CHECK-2b: `publishTime` moves when the content does; segments come by number and change nothing.
#[test]
fn a_new_segment_changes_nothing() {
    let mut channel = live(ladder(rate(30, 1))[2..].to_vec());
    channel.segment(FIRST);
    let first = channel.mpd().unwrap();
    for n in FIRST + 1..FIRST + 20 {
        channel.segment(n);
        assert_eq!(channel.mpd().unwrap(), first, "after segment {n}");
    }
}

/// A new ladder's Period is in the manifest before its first segment is begun, and does not change when it is whole; the
/// Period after a lost segment as well, and the one before says its duration (STANDARDS 2.6, 2.10).
#[test]
fn a_period_is_announced() {
    let full = ladder(rate(30, 1));
    let mut channel = live(full.clone());
    channel.segments(FIRST..FIRST + 2);
    channel.begin_period(FIRST + 2, full[1..].to_vec(), false);
    let announced = channel.mpd().unwrap();
    assert!(announced.contains(&format!("<Period id=\"p{}\" start=\"PT1770000004S\">", FIRST + 2)), "{announced}");
    assert_eq!(announced.matches("<Period ").count(), 2);
    channel.segment(FIRST + 2);
    assert_eq!(channel.mpd().unwrap(), announced);

    channel.window.mark_gap(FIRST + 3, channel.now).unwrap();
    let after_gap = channel.mpd().unwrap();
    let before = format!("<Period id=\"p{}\" start=\"PT1770000004S\" duration=\"PT2S\">", FIRST + 2);
    assert!(after_gap.contains(&before), "{after_gap}");
    assert!(after_gap.contains(&format!("<Period id=\"p{}\" start=\"PT1770000008S\">", FIRST + 4)), "{after_gap}");
    channel.segment(FIRST + 4);
    assert_eq!(channel.mpd().unwrap(), after_gap);
}

/// STANDARDS 2.5: the end says a duration and takes `minimumUpdatePeriod` away.
#[test]
fn the_end_is_final() {
    let mut channel = live(ladder(rate(30, 1))[2..].to_vec());
    channel.segments(FIRST..FIRST + 3);
    channel.window.end(channel.now);
    let last = channel.mpd().unwrap();
    assert!(!last.contains("minimumUpdatePeriod"), "{last}");
    assert!(last.contains("duration=\"PT6S\""), "{last}");
}

/// STANDARDS 2.9: where a segment is no whole number of a track's ticks, numbers would drift from the clock; the plain
/// manifest is written.
#[test]
fn a_scale_that_does_not_divide_keeps_its_timeline() {
    let ntsc = rate(30_000, 1001);
    let mut odd = audio("audio", 128_000);
    odd.timescale = millstream_media::time::Timescale::new(44_100).unwrap();
    for (tracks, by_number) in [(ladder(ntsc), true), (vec![ladder(ntsc).remove(2), odd], false)] {
        let mut channel = Channel::live(short_list(), ntsc, vec![]);
        channel.window.begin_session(Timing::epoch_locked(channel.grid).with_part_frames(15), channel.now);
        channel.begin_period(FIRST, tracks, false);
        channel.segments(FIRST..FIRST + 2);
        let mpd = channel.mpd().unwrap();
        assert_eq!(mpd.contains("availabilityTimeOffset"), by_number, "{mpd}");
        assert_eq!(mpd.contains("SegmentTimeline"), !by_number, "{mpd}");
    }
}
