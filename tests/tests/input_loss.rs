//! The broadcaster drops and returns: viewers are never cut off; stays away: the channel ends cleanly.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use millstream_check::http::Http;
use millstream_check::{Options, live};
use millstream_tests::wait::holds_for;
use millstream_tests::{Channel, Publisher, Server, Source, Viewer, decode, wait_for};

const UP: Duration = Duration::from_secs(20);

#[test]
fn a_drop_and_return_leaves_no_hole() {
    let channel = Channel::new("demo").set("reconnect_seconds = 30").set("slate_after_seconds = 2");
    let server = Server::start(&[channel]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    let before = viewer.newest(&name).unwrap();

    // A player reads on all the while.
    let (url, mpd) = (viewer.url("index.m3u8"), viewer.url("manifest.mpd"));
    let watching = std::thread::spawn(move || {
        let options = Options { duration: Duration::from_secs(26), mpd: Some(mpd), ..Options::default() };
        live(&mut Http::new(), &url, options)
    });

    publisher.kill();
    server.wait_state("demo", "input_loss", Duration::from_secs(6));
    // Four segments without any input: the last frame, then the slate.
    let media = viewer.wait_number(&name, before + 5, Duration::from_secs(20));
    assert!(!media.ended);
    let lost = media.segments.last().unwrap().number;
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    server.wait_state("demo", "live", Duration::from_secs(6));
    let media = viewer.wait_number(&name, lost + 3, Duration::from_secs(15));
    let report = watching.join().unwrap();
    for finding in &report.findings {
        println!("{finding}");
    }
    assert_eq!(report.errors().count(), 0, "a player saw errors; they are listed above");
    assert!(!media.segments.iter().any(|s| s.discontinuity), "time went on on one grid");

    silence_in_the_gap(&mut viewer, lost);
    let input = &server.channel("demo")["input"];
    assert!(input["remote"].is_string(), "one broadcaster, no ghost: {input}");
    publisher.stop();
}

/// The last segment of the gap is silent; the pictures there are the slate, not the test picture.
fn silence_in_the_gap(viewer: &mut Viewer, number: u64) {
    let audio = viewer.renditions().into_iter().find(|r| r.audio).expect("an audio rendition").name;
    let file = one_segment(viewer, &audio, number);
    assert!(decode::mean_volume(&file) < -60.0, "segment {number} is not silent");
}

fn one_segment(viewer: &mut Viewer, rendition: &str, number: u64) -> Vec<u8> {
    let media = viewer.media(rendition).unwrap();
    let entry = media.segments.iter().find(|s| s.number == number).expect("the segment is listed");
    let init = viewer.bytes(&format!("{rendition}/{}", entry.map.as_ref().unwrap().0)).unwrap();
    let segment = viewer.bytes(&format!("{rendition}/{}", entry.uri)).unwrap();
    decode::concatenate(&init, &[segment])
}

#[test]
fn staying_away_ends_the_channel_and_it_starts_again_with_higher_numbers() {
    let server = Server::start(&[Channel::new("demo").set("reconnect_seconds = 3")]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(3, UP);
    let mut seen = Seen::default();
    seen.read(&mut viewer);
    publisher.kill();
    server.wait_state("demo", "offline", Duration::from_secs(12));

    let ended = wait_for("EXT-X-ENDLIST", Duration::from_secs(5), || viewer.media(&name).filter(|m| m.ended));
    seen.read(&mut viewer);
    let last = ended.segments.last().unwrap().number;
    let mpd = String::from_utf8(viewer.bytes("manifest.mpd").unwrap().to_vec()).unwrap();
    assert!(!mpd.contains("minimumUpdatePeriod"), "the MPD still promises updates: {mpd}");
    assert!(mpd.contains("mediaPresentationDuration") || mpd.contains("duration="), "no duration: {mpd}");
    holds_for("the ended list", Duration::from_secs(2), || match viewer.media(&name) {
        Some(m) if m.segments == ended.segments && m.ended => Ok(()),
        other => Err(format!("{other:?}")),
    });

    let _again = Publisher::start(&server, "test-key-demo", &Source::small());
    let again = wait_for("the channel under the same URL", UP, || {
        viewer.media(&name).filter(|m| !m.ended && m.segments.last().is_some_and(|s| s.number > last))
    });
    assert!(again.segments[0].number > last || again.segments.iter().any(|s| s.discontinuity || s.number <= last));
    viewer.wait_number(&name, again.segments.last().unwrap().number + 2, Duration::from_secs(10));
    seen.read(&mut viewer);
    assert!(seen.count() >= 6);
}

/// Every segment ever read: a name never means other bytes.
#[derive(Default)]
struct Seen(BTreeMap<String, Bytes>);

impl Seen {
    fn read(&mut self, viewer: &mut Viewer) {
        for rendition in viewer.renditions() {
            for segment in viewer.media(&rendition.name).into_iter().flat_map(|m| m.segments) {
                let path = format!("{}/{}", rendition.name, segment.uri);
                let Some(bytes) = viewer.bytes(&path) else { continue };
                let before = self.0.entry(path.clone()).or_insert_with(|| bytes.clone());
                assert_eq!(*before, bytes, "{path} means other bytes than before");
            }
        }
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}
