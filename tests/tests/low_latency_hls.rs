//! Low-latency HLS from end to end: parts are listed as soon as they can be, reloads come in order, nothing breaks the
//! rules, encoded or not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use millstream_check::fetch::Fetch as _;
use millstream_check::finding::Findings;
use millstream_check::hls::playlist::{self, Media, Playlist};
use millstream_check::http::Http;
use millstream_check::{Options, live};
use millstream_tests::{Channel, Publisher, Server, Source, Viewer};

const UP: Duration = Duration::from_secs(30);

/// Parts of half a second.
fn low_latency(channel: Channel) -> Channel {
    channel.set("low_latency = true").set("part_seconds = 0.5").set("segment_seconds = 2")
}

#[test]
fn an_encoded_channel_breaks_no_rule() {
    let server = Server::start(&[low_latency(Channel::new("demo"))]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    breaks_no_rule(&server);
}

#[test]
fn a_passthrough_channel_breaks_no_rule() {
    let server = Server::start(&[low_latency(Channel::passthrough("demo"))]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    breaks_no_rule(&server);
}

/// The checker asks as a player does, and asks the questions of STANDARDS CHECK-1b and CHECK-1c besides.
fn breaks_no_rule(server: &Server) {
    let mut viewer = server.viewer("demo");
    viewer.wait_listed(3, UP);
    let options =
        Options { duration: Duration::from_secs(24), mpd: Some(viewer.url("manifest.mpd")), ..Options::default() };
    let report = live(&mut Http::new(), &viewer.url("index.m3u8"), options);
    for finding in &report.findings {
        println!("{finding}");
    }
    assert_eq!(report.errors().count(), 0, "the checker found errors; they are listed above");
    assert!(report.segments >= 10, "the checker saw too little: {report:?}");
}

/// STANDARDS 1.40: each reload brings the part it asks for, one after the other without a hole, and soon after the end of
/// its media. A part of passthrough waits for the frame after it; one that is encoded for the encoder besides.
#[test]
fn parts_are_listed_soon_after_their_media() {
    for (channel, within) in [(Channel::passthrough("demo"), 250), (Channel::new("demo"), 400)] {
        let server = Server::start(&[low_latency(channel)]);
        let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
        let mut viewer = server.viewer("demo");
        let name = viewer.wait_listed(2, UP);
        let mut clock = Http::new();
        let mut media = viewer.media(&name).expect("a playlist");
        let mut latencies = Vec::new();
        while latencies.len() < 20 {
            let (msn, part) = newest_part(&media).expect("parts are listed");
            media = reload(&mut viewer, &name, msn, part + 1);
            let now = clock.now();
            let (new_msn, new_part) = newest_part(&media).expect("parts are listed");
            // More than one may have come if this test was held up; less never.
            let follows = (new_msn == msn && new_part > part) || new_msn > msn;
            assert!(follows, "asked for {msn}.{}, got {new_msn}.{new_part}", part + 1);
            assert!(new_msn <= msn + 1, "a segment was jumped over: {msn} to {new_msn}");
            let end = end_of_newest(&media);
            latencies.push((now.0 - end) / 1_000_000);
        }
        latencies.sort_unstable();
        println!("listed after the end of their media, ms: {latencies:?}");
        let median = latencies[latencies.len() / 2];
        // The contribution's clock is set by its first unit; if that came late, all others seem to come early.
        assert!(
            (-100..within).contains(&median),
            "half of the parts came {median} ms after their media's end, or later"
        );
    }
}

fn reload(viewer: &mut Viewer, name: &str, msn: u64, part: u64) -> Media {
    let path = format!("{name}/index.m3u8?_HLS_msn={msn}&_HLS_part={part}");
    let response = viewer.get(&path).expect("an answer");
    assert_eq!(response.status, 200, "{path}");
    match playlist::parse(&response.body, &path, &mut Findings::default()) {
        Some(Playlist::Media(media)) => *media,
        _ => panic!("no media playlist: {path}"),
    }
}

fn newest_part(media: &Media) -> Option<(u64, u64)> {
    media.parts.last().map(|part| (part.segment, part.index))
}

/// When the newest part's media ends, in nanoseconds since the epoch.
fn end_of_newest(media: &Media) -> i64 {
    let last = media.segments.last().expect("a whole segment");
    let start = last.date_time.expect("a date on each segment").0 + last.duration;
    let open: i64 = media.parts.iter().filter(|p| p.segment > last.number).map(|p| p.duration).sum();
    start + open
}
