//! Clips of a channel that is on air: there within a second, clean, and they outlive their recording.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use millstream_check::http::Http;
use millstream_check::{Options, live};
use millstream_media::time::UtcTime;
use millstream_tests::client::{get, get_json, send_json};
use millstream_tests::{Channel, Deadline, Publisher, Server, Source, Viewer, wait_for};
use serde_json::{Value, json};

const UP: Duration = Duration::from_secs(30);

/// The server's time.
fn now(server: &Server) -> UtcTime {
    let answer = get(&server.url("/api/v1/time")).unwrap();
    UtcTime::from_iso8601(std::str::from_utf8(&answer.body).unwrap()).unwrap()
}

fn assets(server: &Server, query: &str) -> Vec<Value> {
    let list = get_json(&server.url(&format!("/api/v1/assets{query}"))).unwrap();
    list["assets"].as_array().unwrap().clone()
}

fn asset(server: &Server, id: &str) -> Value {
    get_json(&server.url(&format!("/api/v1/assets/{id}"))).unwrap_or(Value::Null)
}

fn instant(value: &Value) -> UtcTime {
    UtcTime::from_iso8601(value.as_str().unwrap()).unwrap()
}

/// Nothing breaks the standards, from the first to the last segment of HLS and DASH.
fn assert_clean(server: &Server, id: &str) {
    let mpd = Some(server.url(&format!("/vod/{id}/manifest.mpd")));
    let options = Options { mpd, backlog: usize::MAX, ..Options::default() };
    let report = live(&mut Http::new(), &server.url(&format!("/vod/{id}/index.m3u8")), options);
    assert!(report.segments > 0, "{id}: nothing was read");
    for finding in &report.findings {
        println!("{id}: {finding}");
    }
    assert_eq!(report.errors().count(), 0, "{id}: the checker found errors; they are listed above");
}

#[test]
fn a_clip_of_a_live_channel_plays_within_a_second_and_outlives_its_recording() {
    let server = Server::start(&[Channel::new("demo").set("reconnect_seconds = 1")]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    server.viewer("demo").wait_listed(1, UP);
    // More than the stored index has: it is ten seconds behind.
    let recording = wait_for("eight seconds of recording", UP, || {
        let newest = assets(&server, "?channel=demo&state=recording").into_iter().next()?;
        (newest["duration_seconds"].as_f64()? >= 8.0).then(|| newest["id"].as_str().unwrap().to_owned())
    });

    // Up to the newest second, again and again: by the time of the request to the first media.
    let mut slowest = Duration::ZERO;
    let mut clips: Vec<Value> = Vec::new();
    for n in 0..5 {
        let end = now(&server);
        let body = json!({
            "channel": "demo", "start": (end - Duration::from_secs(7)).to_iso8601(), "end": end.to_iso8601(),
            "title": format!("clip {n}"),
        });
        let asked = Deadline::after(Duration::from_secs(1));
        let (status, clip) = send_json("POST", &server.url("/api/v1/clips"), Some(&body));
        assert_eq!(status, 201, "{clip}");
        let id = clip["id"].as_str().unwrap();
        let mut viewer = Viewer::new(server.url(&format!("/vod/{id}/")));
        let name = viewer.renditions().swap_remove(0).name;
        let list = viewer.media(&name).expect("the clip's playlists are there at once");
        let segment = viewer.bytes(&format!("{name}/{}", list.segments[0].uri));
        let took = asked.elapsed();
        assert!(segment.is_some(), "{id}: its first segment is not there");
        assert!(took < Duration::from_secs(1), "{took:?}");
        slowest = slowest.max(took);
        assert!(list.ended, "a clip does not grow");
        // The segments that hold the start, and what was finished at the end: at most two segments and their way in.
        let (from, to) = (instant(&clip["start"]), instant(&clip["end"]));
        assert!(from <= end - Duration::from_secs(7), "{clip}");
        assert!(end.since(to) < Duration::from_secs(6), "{clip} at {end}");
        assert_eq!(clip["clip"]["of"], *recording);
        clips.push(clip);
    }
    println!("slowest clip: {slowest:?} from the request to its first segment");
    let first = clips[0]["id"].as_str().unwrap();
    assert_clean(&server, first);
    let names = |value: &Value| value["clips"].as_array().unwrap().len();
    assert_eq!(names(&asset(&server, &recording)), 5);
    let storage = get_json(&server.url("/api/v1/storage")).unwrap();
    assert!(storage["bytes"].as_u64() > Some(0) && storage["clips"] == 5, "{storage}");

    // Deleted while it is recorded: it plays no more, the clips do, and the channel goes on in another recording.
    let (status, deleted) = send_json("DELETE", &server.url(&format!("/api/v1/assets/{recording}")), None);
    assert_eq!((status, names(&deleted)), (200, 5), "{deleted}");
    assert_eq!(deleted["state"], "deleting");
    let gone = server.url(&format!("/vod/{recording}/index.m3u8"));
    let next = wait_for("another recording", UP, || {
        let newest = assets(&server, "?channel=demo&state=recording").into_iter().next()?;
        (newest["id"] != *recording && newest["duration_seconds"].as_f64()? > 2.0).then_some(newest)
    });
    wait_for("the deleted one to play no more", UP, || (get(&gone)?.status == 410).then_some(()));
    assert_clean(&server, first);
    publisher.stop();
    let next = next["id"].as_str().unwrap();
    wait_for("the end of the recording", UP, || (asset(&server, next)["state"] == "ended").then_some(()));
    assert_clean(&server, next);
    assert_eq!(get(&gone).unwrap().status, 410, "what is deleted does not come back");
}

#[test]
fn assets_live_their_life_on_the_command_line() {
    let server = Server::start(&[Channel::passthrough("demo").set("reconnect_seconds = 1")]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let recording = wait_for("four seconds of recording", UP, || {
        let newest = assets(&server, "").into_iter().next()?;
        (newest["duration_seconds"].as_f64()? >= 4.0).then(|| newest["id"].as_str().unwrap().to_owned())
    });
    let made =
        server.command(&["asset", "clip", "demo", "--start", "-4s", "--title", "By hand", "--id", "hand"]).unwrap();
    assert!(made.starts_with("clip hand made\n") && made.contains("/vod/hand/index.m3u8"), "{made}");
    publisher.stop();
    let listed = server.command(&["asset", "list", "--channel", "demo"]).unwrap();
    assert!(listed.contains(&recording) && listed.lines().any(|l| l.starts_with("hand") && l.ends_with("By hand")));
    let shown: Value = serde_json::from_str(&server.command(&["asset", "show", "hand", "--json"]).unwrap()).unwrap();
    assert_eq!((&shown["kind"], &shown["clip"]["of"]), (&json!("clip"), &json!(recording)));
    server.command(&["asset", "rename", "hand", "Renamed"]).unwrap();
    assert!(server.command(&["asset", "storage"]).unwrap().contains("(all)"));
    let deleted = server.command(&["asset", "delete", &recording]).unwrap();
    assert!(deleted.contains("until they are deleted: hand"), "{deleted}");
    assert_eq!(server.command(&["asset", "delete", "hand"]).unwrap(), "clip hand deleted\n");
    let error = server.command(&["asset", "show", "hand"]).unwrap_err();
    assert!(error.contains("`millstream asset list`") && error.trim().lines().count() == 1, "{error}");
    let metrics = get(&server.url("/metrics")).unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body);
    for name in [
        "archive_segments_total",
        "archive_recordings",
        "archive_requests_total{operation=\"put\",result=\"answered\"}",
    ] {
        let line = metrics.lines().find(|l| l.starts_with(&format!("millstream_{name}"))).unwrap();
        assert!(name == "archive_recordings" || !line.ends_with(" 0"), "{line}");
    }
}
