//! The main job: a 720p contribution over RTMP becomes an aligned ladder that plays as HLS and DASH.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use millstream_check::epoch::EpochLock;
use millstream_check::http::Http;
use millstream_check::{Options, live};
use millstream_tests::{Channel, Publisher, Server, Source, decode};

const UP: Duration = Duration::from_secs(30);

#[test]
fn a_720p_contribution_becomes_an_aligned_ladder() {
    let server = Server::start(&[Channel::new("demo")]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::hd());
    let mut viewer = server.viewer("demo");
    viewer.wait_listed(3, UP);

    let renditions = viewer.renditions();
    let mut sizes: Vec<&str> =
        renditions.iter().filter_map(|r| r.attributes.get("RESOLUTION")).map(String::as_str).collect();
    // The first variant is the one that players begin with; the order says nothing else.
    sizes.sort_unstable();
    assert_eq!(sizes, ["1280x720", "640x360", "854x480"], "the ladder follows the input and never scales up");
    assert_eq!(renditions.iter().filter(|r| r.audio).count(), 1, "audio in a rendition of its own");

    // Ten target durations, as a player reads: playlists, MPD, boxes, the epoch grid. Before that the checker watches one
    // segment of each rendition while it is made.
    let options = Options {
        duration: Duration::from_secs(28),
        mpd: Some(viewer.url("manifest.mpd")),
        epoch: Some(EpochLock { rate_num: 30, rate_den: 1, frames_per_segment: 60 }),
        ..Options::default()
    };
    let report = live(&mut Http::new(), &viewer.url("index.m3u8"), options);
    for finding in &report.findings {
        println!("{finding}");
    }
    assert_eq!(report.errors().count(), 0, "the checker found errors; they are listed above");
    // The low-latency MPD names segments by the clock and changes only with the channel.
    assert!(report.playlist_versions >= 8 * 4 && report.mpd_versions >= 1, "the checker saw too little: {report:?}");
    assert!(report.segments >= 100, "the checker saw too little: {report:?}");

    for rendition in &renditions {
        decodes_without_a_gap(&mut viewer, &rendition.name, rendition.audio);
    }
    assert_eq!(server.state("demo"), "live");
}

/// The whole segments listed decode, each begins with a key frame, and no time is missing.
fn decodes_without_a_gap(viewer: &mut millstream_tests::Viewer, name: &str, audio: bool) {
    let media = viewer.media(name).unwrap();
    let init = viewer.bytes(&format!("{name}/{}", media.segments[0].map.as_ref().unwrap().0)).unwrap();
    let newest: Vec<_> = media.segments.iter().rev().take(5).rev().collect();
    let mut all = Vec::new();
    let mut counts = 0;
    for segment in &newest {
        let bytes = viewer.bytes(&format!("{name}/{}", segment.uri)).unwrap();
        let (packets, _) = decode::packets(&decode::concatenate(&init, &[&bytes]));
        assert!(packets.first().is_some_and(|p| p.key), "{name}: segment {} begins with no key frame", segment.number);
        if !audio {
            assert_eq!(packets.len(), 60, "{name}: segment {}", segment.number);
        }
        counts += packets.len();
        all.push(bytes);
    }
    let file = decode::concatenate(&init, &all);
    let (packets, stream) = decode::packets(&file);
    assert_eq!(packets.len(), counts, "{name}");
    for (a, b) in packets.iter().zip(packets.iter().skip(1)) {
        assert_eq!(a.pts + a.duration, b.pts, "{name}: a hole or an overlap at {}", a.pts);
    }
    let expected_base = if audio { "1/48000" } else { "1/30000" };
    assert_eq!(stream["time_base"].as_str(), Some(expected_base), "{name}");
    // An AAC decoder gives nothing for its first frame when it is fed from the middle.
    let decoded = decode::decoded_frames(&file);
    assert!(decoded == counts || (audio && decoded + 1 == counts), "{name}: {decoded} of {counts} frames decoded");
}
