//! A ladder is changed while the channel is live: it takes effect at a segment boundary, and nobody is cut off.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use bytes::Bytes;
use millstream_tests::client::send_json;
use millstream_tests::{Publisher, Server, Source, decode, wait_for};
use serde_json::json;

const UP: Duration = Duration::from_secs(20);

#[test]
fn a_live_channel_gets_another_ladder_at_a_boundary() {
    let server = Server::start(&[]);
    let channels = server.url("/api/v1/channels");
    let (status, created) = send_json("POST", &channels, Some(&json!({"name": "demo"})));
    assert_eq!(status, 201, "{created}");
    let key = created["stream_key"].as_str().unwrap().to_owned();
    let mut publisher = Publisher::start(&server, &key, &Source::small());
    let mut viewer = server.viewer("demo");
    assert_eq!(viewer.wait_listed(2, UP), "180p");
    assert_eq!(heights(&mut viewer), ["320x180"]);
    let before = viewer.newest("180p").unwrap();

    let ladder = json!({"ladder": {"video": [{"height": 180, "bit_rate": 400_000}, {"height": 90}]}});
    let (status, answer) = send_json("PATCH", &format!("{channels}/demo"), Some(&ladder));
    assert_eq!(status, 200, "{answer}");
    wait_for("the new rendition", UP, || (heights(&mut viewer) == ["320x180", "160x90"]).then_some(()));
    let media = viewer.wait_number("180p", before + 5, UP);
    assert!(publisher.is_running(), "the broadcaster was cut off: {}", publisher.log());
    assert!(!media.ended);
    let numbers: Vec<u64> = media.segments.iter().map(|s| s.number).collect();
    assert!(numbers.windows(2).all(|p| p[0] + 1 == p[1]), "{numbers:?}");
    assert!(numbers.contains(&before), "a viewer of the rendition that stayed was cut off: {numbers:?}");
    no_time_is_missing(&mut viewer, "180p");

    // The new rendition is one switching set with the old one: same boundaries from its first whole segment on.
    let small = viewer.wait_number("90p", before + 5, UP);
    for segment in small.segments.iter().skip(1) {
        let twin = media.segments.iter().find(|s| s.number == segment.number);
        if let Some(twin) = twin {
            assert_eq!(twin.duration, segment.duration, "segment {}", segment.number);
        }
    }

    // A ladder that cannot be is refused, and what runs goes on.
    let wrong = json!({"ladder": {"video": [{"height": 181}]}});
    assert_eq!(send_json("PATCH", &format!("{channels}/demo"), Some(&wrong)).0, 422);
    let newest = viewer.newest("180p").unwrap();
    viewer.wait_number("180p", newest + 2, UP);
}

fn heights(viewer: &mut millstream_tests::Viewer) -> Vec<String> {
    viewer.renditions().into_iter().filter_map(|r| r.attributes.get("RESOLUTION").cloned()).collect()
}

/// Every run of segments under one header decodes without a hole, and the runs follow each other without one.
fn no_time_is_missing(viewer: &mut millstream_tests::Viewer, name: &str) {
    let media = viewer.media(name).unwrap();
    let mut end = None;
    for run in media.segments.chunk_by(|a, b| a.map == b.map) {
        let init = viewer.bytes(&format!("{name}/{}", run[0].map.as_ref().unwrap().0)).unwrap();
        let bytes: Vec<Bytes> = run.iter().map(|s| viewer.bytes(&format!("{name}/{}", s.uri)).unwrap()).collect();
        let file = decode::concatenate(&init, &bytes);
        let (packets, _) = decode::packets(&file);
        assert_eq!(decode::decoded_frames(&file), packets.len());
        for packet in packets {
            assert!(end.is_none_or(|e| e == packet.pts), "a hole or an overlap at {}", packet.pts);
            end = Some(packet.pts + packet.duration);
        }
    }
}
