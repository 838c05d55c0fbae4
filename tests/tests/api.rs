//! Channels by API, by command line and by file; the operator's routes; a clean stop.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use millstream_tests::client::{get, get_json, send_json};
use millstream_tests::{Channel, Publisher, Server, Source, wait_for};
use serde_json::json;

const UP: Duration = Duration::from_secs(20);

#[test]
fn a_channel_lives_its_life_over_the_api() {
    let mut server = Server::start(&[]);
    let api = |server: &Server, path: &str| server.url(&format!("/api/v1/channels{path}"));
    let (status, created) =
        send_json("POST", &api(&server, ""), Some(&json!({"name": "news", "mode": "passthrough", "title": "News"})));
    assert_eq!(status, 201, "{created}");
    let key = created["stream_key"].as_str().expect("the key is shown once").to_owned();
    assert_eq!(send_json("POST", &api(&server, ""), Some(&json!({"name": "news"}))).0, 409);
    assert_eq!(send_json("POST", &api(&server, ""), Some(&json!({"name": "Not A Name"}))).0, 422);
    let (status, problem) = send_json("POST", &api(&server, ""), Some(&json!({"name": "x", "segment_second": 2})));
    assert_eq!(status, 422);
    assert!(problem.to_string().contains("segment_seconds"), "the nearest known name: {problem}");
    let shown = get(&api(&server, "/news")).unwrap();
    assert!(!String::from_utf8_lossy(&shown.body).contains(&key), "the key is shown again");

    let publisher = Publisher::start(&server, &key, &Source::small());
    server.wait_state("news", "live", UP);
    server.viewer("news").wait_listed(1, UP);
    // The status is written once a second.
    let shown = wait_for("a newest segment in the status", Duration::from_secs(3), || {
        Some(server.channel("news")).filter(|c| !c["newest_segment"].is_null())
    });
    for field in
        ["name", "mode", "state", "since", "input", "renditions", "newest_segment", "viewers", "latency", "warnings"]
    {
        assert!(!shown[field].is_null(), "{field} is missing: {shown}");
    }
    assert_eq!((shown["input"]["width"].as_u64(), shown["input"]["height"].as_u64()), (Some(320), Some(180)));

    // Stopped: off air, and the publisher is out. It stays so over a restart.
    assert_eq!(send_json("POST", &api(&server, "/news/stop"), None).0, 200);
    server.wait_state("news", "offline", Duration::from_secs(10));
    drop(publisher);
    server.stop();
    server.start_again();
    let mut refused = Publisher::start(&server, &key, &Source::small());
    assert!(!refused.wait(Duration::from_secs(10)), "a stopped channel took a publisher");
    assert_eq!(send_json("POST", &api(&server, "/news/start"), None).0, 200);
    let publisher = Publisher::start(&server, &key, &Source::small());
    server.wait_state("news", "live", UP);
    publisher.stop();

    let (status, rotated) = send_json("POST", &api(&server, "/news/rotate-key"), None);
    assert_eq!(status, 200, "{rotated}");
    assert_ne!(rotated["stream_key"].as_str(), Some(key.as_str()));
    let mut old = Publisher::start(&server, &key, &Source::small());
    assert!(!old.wait(Duration::from_secs(10)), "the old key still opens the channel");

    assert_eq!(send_json("DELETE", &api(&server, "/news"), None).0, 204);
    assert_eq!(get(&api(&server, "/news")).unwrap().status, 404);
    wait_for("the live URL to be gone", Duration::from_secs(5), || {
        // 410 once the recording of its short broadcast is known.
        matches!(get(&server.url("/live/news/index.m3u8"))?.status, 404 | 410).then_some(())
    });
}

#[test]
fn a_channel_lives_its_life_on_the_command_line() {
    let server = Server::start(&[Channel::passthrough("file")]);
    let created = server.command(&["channel", "create", "cli", "--json"]).unwrap();
    let created: serde_json::Value = serde_json::from_str(&created).unwrap();
    assert!(created["stream_key"].is_string(), "{created}");
    let listed = server.command(&["channel", "list", "--json"]).unwrap();
    assert!(listed.contains("\"cli\"") && listed.contains("\"file\""), "{listed}");
    server.command(&["channel", "show", "cli"]).unwrap();
    server.command(&["channel", "delete", "cli"]).unwrap();
    let error = server.command(&["channel", "show", "cli"]).unwrap_err();
    assert_eq!(error.trim().lines().count(), 1, "one line with the cause and the mend: {error}");
    // What the file defines is changed in the file only.
    assert!(server.command(&["channel", "delete", "file"]).is_err());
}

#[test]
fn operators_have_health_readiness_and_metrics() {
    let mut server = Server::start(&[Channel::passthrough("demo")]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    server.viewer("demo").wait_listed(2, UP);
    assert_eq!(get(&server.url("/healthz")).unwrap().status, 200);
    assert_eq!(get(&server.url("/readyz")).unwrap().status, 200);
    let document = get_json(&server.url("/api/v1/openapi.json")).expect("the OpenAPI document");
    assert!(document["paths"]["/api/v1/channels"].is_object());
    let metrics = get(&server.url("/metrics")).unwrap();
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    for word in ["bit", "frame", "gap", "reconnect", "segment", "request", "bytes", "viewers"] {
        assert!(text.contains(word), "nothing about {word} in /metrics:\n{text}");
    }
    let (code, took) = server.stop();
    assert_eq!(code, Some(0), "SIGTERM is a clean stop");
    assert!(took < Duration::from_secs(12), "draining took {took:?}");
}

#[test]
fn a_wrong_setting_names_the_nearest_known_one() {
    let server = Server::start(&[]);
    let path = server.folder().join("wrong.toml");
    std::fs::write(&path, "[server]\nhtpp = \"127.0.0.1:0\"\n").unwrap();
    let error = server.command(&["serve", "--config", path.to_str().unwrap()]).unwrap_err();
    assert!(error.contains("http") && error.contains("wrong.toml:2"), "{error}");
}

#[test]
fn viewers_get_exact_answers() {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let status = |path: &str| get(&server.url(path)).unwrap().status;
    assert_eq!(status("/live/nosuch/index.m3u8"), 404);
    assert_eq!(status("/live/demo/index.m3u8"), 503, "not yet live");
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    let segment = viewer.media(&name).unwrap().segments[0].uri.clone();
    let path = format!("/live/demo/{name}/{segment}");
    let response = get(&server.url(&path)).unwrap();
    assert_eq!(response.status, 200);
    assert!(response.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert!(response.header("access-control-expose-headers").unwrap_or_default().to_ascii_lowercase().contains("date"));
    assert_eq!(status(&format!("/live/demo/{name}/999999999999.m4s")), 404);
    assert_eq!(status(&format!("/live/demo/{name}/x.m4s")), 404);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let url = server.url(&path);
    let part = agent.get(&url).header("range", "bytes=4-7").call().unwrap();
    assert_eq!(part.status(), 206);
    let head = agent.head(&url).call().unwrap();
    let length = head.headers().get("content-length").and_then(|v| v.to_str().ok()).unwrap_or_default();
    assert_eq!((head.status().as_u16(), length), (200, response.body.len().to_string().as_str()));
    let tag = response.header("etag").unwrap();
    assert_eq!(agent.get(&url).header("if-none-match", tag).call().unwrap().status(), 304);
    assert_eq!(agent.post(&url).send("x").unwrap().status(), 405);
    // A segment that has left the list is there for a while (1.11).
    wait_for("a newer segment", UP, || viewer.media(&name).filter(|m| m.segments.len() >= 3).map(|_| ()));
}
