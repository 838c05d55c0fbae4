//! Golden manifests: what viewers are told in each situation, to the byte.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod hls_channel;

use std::time::Duration;

use hls_channel::*;
use millstream_media::segment::SegmentEnd;
use millstream_media::time::MonoTime;
use millstream_package::hls;
use millstream_window::{Config, SegmentLength, Timing, Window};

#[test]
fn before_the_first_segment() {
    let channel = Channel::live(short_list(), rate(30, 1), ladder(rate(30, 1)));
    insta::assert_snapshot!(channel.manifests());
}

/// The list has slid: seven segments were made, five are listed; the MPD's audio keeps whole `S` elements
/// (STANDARDS 2.7).
#[test]
fn three_renditions_and_audio() {
    let mut channel = Channel::live(short_list(), rate(30, 1), ladder(rate(30, 1)));
    channel.segments(FIRST..FIRST + 7);
    insta::assert_snapshot!(channel.manifests());
}

/// With the default list of a minute, equal neighbours are merged in blocks (STANDARDS 2.7, 2.9).
#[test]
fn a_timeline_of_a_minute() {
    let mut channel = Channel::live(Config::default(), rate(30, 1), ladder(rate(30, 1))[2..].to_vec());
    channel.segments(FIRST..FIRST + 50);
    insta::assert_snapshot!(channel.mpd().unwrap());
}

/// 30000/1001: segments of 2.002 s, a Period that starts between milliseconds.
#[test]
fn ntsc() {
    let mut channel = Channel::live(short_list(), rate(30_000, 1001), ladder(rate(30_000, 1001)));
    channel.segments(FIRST..FIRST + 3);
    insta::assert_snapshot!(channel.manifests());
}

/// 1080p is shed and comes back: its playlist goes on with 720p's segments in between.
#[test]
fn a_shed_rendition_goes_on_by_standing_in() {
    let full = ladder(rate(30, 1));
    let mut channel = Channel::live(short_list(), rate(30, 1), full.clone());
    channel.segments(FIRST..FIRST + 2);
    channel.begin_period(FIRST + 2, full[1..].to_vec(), false);
    channel.segments(FIRST + 2..FIRST + 4);
    channel.begin_period(FIRST + 4, full, false);
    channel.segment(FIRST + 4);
    insta::assert_snapshot!(channel.manifests());
}

/// A new name shows the segments from before its time in the same way.
#[test]
fn a_new_ladder_takes_over() {
    let r = rate(30, 1);
    let mut channel = Channel::live(short_list(), r, ladder(r));
    channel.segments(FIRST..FIRST + 3);
    let tracks = vec![video("540p", (960, 540), 1_500_000, r), audio("audio", 128_000)];
    channel.begin_period(FIRST + 3, tracks, false);
    channel.segments(FIRST + 3..FIRST + 5);
    insta::assert_snapshot!(channel.manifests());
}

/// A segment that no rendition has, and one that only 720p lacks (STANDARDS 1.18, 2.10).
#[test]
fn lost_segments() {
    let mut channel = Channel::live(short_list(), rate(30, 1), ladder(rate(30, 1))[1..].to_vec());
    channel.segment(FIRST);
    channel.window.mark_gap(FIRST + 1, channel.now).unwrap();
    channel.segment(FIRST + 2);
    for track in channel.tracks.clone().iter().filter(|t| t.name.as_str() != "720p") {
        channel.track_segment(track, FIRST + 3, false).unwrap();
    }
    channel.segment(FIRST + 4);
    insta::assert_snapshot!(channel.manifests());
}

/// ENDLIST; an MPD without minimumUpdatePeriod whose last Period says its duration (STANDARDS 1.15, 2.5).
#[test]
fn the_end() {
    let mut channel = Channel::live(short_list(), rate(30, 1), ladder(rate(30, 1))[2..].to_vec());
    channel.segments(FIRST..FIRST + 4);
    channel.window.end(channel.now);
    insta::assert_snapshot!(channel.manifests());
}

/// The channel comes back under the same URLs: a fresh list, higher numbers, a higher discontinuity sequence.
#[test]
fn a_second_session() {
    let tracks = ladder(rate(30, 1))[2..].to_vec();
    let mut channel = Channel::live(short_list(), rate(30, 1), tracks.clone());
    channel.segments(FIRST..FIRST + 3);
    channel.window.end(channel.now);
    channel.window.begin_session(Timing::epoch_locked(channel.grid), channel.now);
    channel.begin_period(FIRST + 20, tracks, false);
    channel.segments(FIRST + 20..FIRST + 22);
    insta::assert_snapshot!(channel.manifests());
}

#[test]
fn audio_only() {
    let tracks = vec![audio("audio", 128_000)];
    let mut channel = Channel::live(short_list(), rate(30, 1), tracks);
    channel.segments(FIRST..FIRST + 5);
    insta::assert_snapshot!(channel.manifests());
}

#[test]
fn video_only() {
    let tracks = vec![video("720p", (1280, 720), 2_200_000, rate(25, 1))];
    let mut channel = Channel::live(short_list(), rate(25, 1), tracks);
    channel.segments(FIRST..FIRST + 2);
    insta::assert_snapshot!(channel.manifests());
}

/// Passthrough: real durations on the 90 kHz scale, a target with headroom.
#[test]
fn passthrough() {
    let gop = Duration::from_secs(2);
    let mut window = Window::new(short_list());
    window.begin_session(Timing::passthrough(gop, gop), MonoTime::default());
    let mut channel = Channel::live(short_list(), rate(30, 1), vec![]);
    let mut track = video("source", (1280, 720), 3_000_000, rate(30, 1));
    track.timescale = millstream_media::time::Timescale::MPEG;
    window.begin_period(41, vec![(track.clone(), init(&track))], false).unwrap();
    let mut start = 159_300_000_000_123;
    channel.tracks = vec![track.clone()];
    for (n, duration) in [(41, 180_000), (42, 180_090), (43, 270_000), (44, 93_000)] {
        let mut chunk = channel.chunk(&track, FIRST, 0);
        (chunk.segment, chunk.start, chunk.duration) = (n, start, duration);
        window.push_chunk(&track.name, chunk, channel.now).unwrap();
        let end = SegmentEnd { segment: n, start, duration, discontinuity: n == 43 };
        window.end_segment(&track.name, end, channel.now).unwrap();
        start += duration;
    }
    assert!(matches!(window.timing().unwrap().length(), SegmentLength::Nominal(_)));
    channel.window = window;
    insta::assert_snapshot!(channel.manifests());
}

/// Names nobody announced have no playlist, audio has no I-frame playlist.
#[test]
fn unknown_names_have_no_playlist() {
    let mut channel = Channel::live(short_list(), rate(30, 1), ladder(rate(30, 1)));
    channel.segment(FIRST);
    assert_eq!(hls::media(&channel.window, &name("4k"), hls::Form::Full), None);
    assert_eq!(hls::iframes(&channel.window, &name("audio"), hls::Form::Full), None);
    assert!(hls::iframes(&channel.window, &name("360p"), hls::Form::Full).is_some());
}
