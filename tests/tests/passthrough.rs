//! Passthrough packages the contribution as it comes: same pictures, standards kept, changes marked.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use bytes::Bytes;
use millstream_check::http::Http;
use millstream_check::{Options, live};
use millstream_tests::{Channel, Publisher, Server, Source, Viewer, decode, publisher, wait_for};

const UP: Duration = Duration::from_secs(20);

#[test]
fn a_contribution_with_b_frames_is_packaged_cleanly() {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::hd());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(3, UP);
    let options =
        Options { duration: Duration::from_secs(30), mpd: Some(viewer.url("manifest.mpd")), ..Options::default() };
    let report = live(&mut Http::new(), &viewer.url("index.m3u8"), options);
    for finding in &report.findings {
        println!("{finding}");
    }
    assert_eq!(report.errors().count(), 0, "the checker found errors; they are listed above");
    assert!(report.segments >= 40 && report.mpd_versions >= 8, "the checker saw too little: {report:?}");
    assert!(server.workers().is_empty(), "nothing is encoded");
    let decoded = decode_runs(&mut viewer, &name);
    assert_eq!(decoded.len(), 1, "one run, no discontinuity");
    assert!(decoded[0] >= 8 * 60, "{decoded:?}");
}

#[test]
fn a_change_in_the_middle_is_a_discontinuity() {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let flv = server.folder().join("change.flv");
    let other = Source { size: Some((640, 360)), ..Source::small() };
    publisher::record(server.folder(), &flv, &[Source::small(), other], 6.0);
    let mut publisher = Publisher::replay(&server, "test-key-demo", &flv);
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(1, UP);
    let media = wait_for("the list over the change", UP, || {
        viewer
            .media(&name)
            .filter(|m| m.segments.iter().filter(|s| s.discontinuity).count() == 1 && m.segments.len() >= 5)
    });
    assert!(publisher.wait(UP), "the publisher was thrown out: {}", publisher.log());
    let at = media.segments.iter().position(|s| s.discontinuity).unwrap();
    assert_ne!(media.segments[at].map, media.segments[at - 1].map, "a header of its own");
    let decoded = decode_runs(&mut viewer, &name);
    assert_eq!(decoded.len(), 2, "{decoded:?}");
    // 6 s before the change; after it what is listed by now.
    assert!(decoded[0] >= 179 && decoded[1] >= 60, "{decoded:?}");
}

#[test]
fn a_drop_and_return_goes_on_in_the_same_list() {
    let server = Server::start(&[Channel::passthrough("demo").set("reconnect_seconds = 20")]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(3, UP);
    publisher.kill();
    server.wait_state("demo", "input_loss", Duration::from_secs(8));
    let before = viewer.media(&name).unwrap();
    assert!(!before.ended, "the list ended though the contribution may come back");
    let last = before.segments.last().unwrap().number;
    let _again = Publisher::start(&server, "test-key-demo", &Source::small());
    let media = viewer.wait_number(&name, last + 3, UP);
    server.wait_state("demo", "live", Duration::from_secs(5));
    assert!(!media.ended);
    let numbers: Vec<u64> = media.segments.iter().map(|s| s.number).collect();
    assert!(numbers.windows(2).all(|p| p[0] + 1 == p[1]), "{numbers:?}");
    assert!(media.segments.iter().any(|s| s.discontinuity), "the hole is marked");
    decode_runs(&mut viewer, &name);
}

/// Decodes the listed segments, run by run (a run ends at a discontinuity). Gives the frames of each.
fn decode_runs(viewer: &mut Viewer, name: &str) -> Vec<usize> {
    let media = viewer.media(name).unwrap();
    let segments: Vec<_> = media.segments.iter().filter(|s| !s.gap).collect();
    let mut out = Vec::new();
    for run in segments.chunk_by(|_, b| !b.discontinuity) {
        let init = viewer.bytes(&format!("{name}/{}", run[0].map.as_ref().unwrap().0)).unwrap();
        let bytes: Vec<Bytes> = run.iter().map(|s| viewer.bytes(&format!("{name}/{}", s.uri)).unwrap()).collect();
        let file = decode::concatenate(&init, &bytes);
        let (packets, _) = decode::packets(&file);
        for (a, b) in packets.iter().zip(packets.iter().skip(1)) {
            assert!(b.dts > a.dts, "decode times do not rise at {}", a.dts);
        }
        assert_eq!(decode::decoded_frames(&file), packets.len());
        out.push(packets.len());
    }
    out
}
