//! Channels are created, listed, changed, started, stopped and deleted over HTTP, and every mistake is explained.

mod support;

use axum::body::Body;
use serde_json::json;
use support::{Api, opens};

#[tokio::test]
async fn a_channel_from_creation_to_deletion() {
    let api = Api::new().await;
    let created = api.call_with("POST", "/api/v1/channels", json!({"name": "news", "title": "News"})).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.headers["location"], "/api/v1/channels/news");
    let key = created.json()["stream_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("ms_") && key.len() == 35, "{key}");

    let shown = api.call("GET", "/api/v1/channels/news").await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.headers["cache-control"], "no-store");
    assert!(!shown.text.contains(&key) && !shown.text.contains("hash"), "the key is shown once, its hash never");
    assert_eq!(shown.json()["state"], "offline");
    assert_eq!(shown.json()["since"], "2024-07-20T13:40:57.600Z");
    assert_eq!(opens(&api.registry, "live", &key).unwrap().as_str(), "news");

    let listed = api.call("GET", "/api/v1/channels").await.json();
    let names: Vec<_> = listed["channels"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["file", "news"]);

    let changed =
        api.call_with("PATCH", "/api/v1/channels/news", json!({"title": "Late news", "dvr_seconds": 60})).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["title"]), (200, &json!("Late news")));
    assert_eq!(changed.json()["config"]["dvr_seconds"], 60);

    let stopped = api.call("POST", "/api/v1/channels/news/stop").await;
    assert_eq!((stopped.status.as_u16(), &stopped.json()["enabled"]), (200, &json!(false)));
    assert!(opens(&api.registry, "live", &key).unwrap_err().to_string().contains("is stopped; start it"));
    assert_eq!(api.call("POST", "/api/v1/channels/news/start").await.json()["enabled"], true);

    let rotated = api.call("POST", "/api/v1/channels/news/rotate-key").await;
    let new_key = rotated.json()["stream_key"].as_str().unwrap().to_owned();
    assert!(opens(&api.registry, "live", &key).is_err());
    assert_eq!(opens(&api.registry, "live", &new_key).unwrap().as_str(), "news");
    let chosen = api.call_with("POST", "/api/v1/channels/news/rotate-key", json!({"stream_key": "chosen-key"})).await;
    assert_eq!(chosen.json()["stream_key"], "chosen-key");

    assert_eq!(api.call("DELETE", "/api/v1/channels/news").await.status, 204);
    assert!(api.call("GET", "/api/v1/channels/news").await.problem(404).contains("there is no channel news"));
    assert!(opens(&api.registry, "live", "chosen-key").is_err());
}

#[tokio::test]
async fn mistakes_are_problems_that_name_the_mend() {
    let api = Api::new().await;
    for (body, status, detail) in [
        (json!({"name": "file"}), 409, "channel file is there already"),
        (json!({"name": "a", "stream_key": "key-in-the-file"}), 422, "stream_key already opens another channel"),
        (json!({"name": "a", "stream_key": "short"}), 422, "use at least 8"),
        (json!({"name": "a", "titel": "A"}), 422, "did you mean title?"),
        (json!({"name": "../a"}), 422, "use 1 to 64 of a-z"),
        (json!("a"), 422, "are a JSON object"),
    ] {
        let answer = api.call_with("POST", "/api/v1/channels", body).await;
        assert!(answer.problem(status).contains(detail), "{detail}: {}", answer.text);
        assert!(!answer.text.contains("short\"") && !answer.text.contains("key-in-the-file"), "no key in an answer");
    }
    let two =
        api.call_with("POST", "/api/v1/channels", json!({"name": "a", "part_seconds": 9, "dvr_seconds": -1})).await;
    assert_eq!(two.json()["errors"][0]["field"], "dvr_seconds");

    for (method, path, status, detail) in [
        ("GET", "/api/v1/channels/nobody", 404, "`millstream channel list`"),
        ("GET", "/api/v1/channels/NO", 404, "is not allowed"),
        ("POST", "/api/v1/channels/%ff/stop", 404, "not readable text"),
        ("PATCH", "/api/v1/channels/file", 400, "send a JSON object"),
        ("DELETE", "/api/v1/channels/file", 409, "change it there and restart"),
        ("POST", "/api/v1/channels/file/rotate-key", 409, "set in the configuration file"),
        ("GET", "/api/v1/nothing", 404, "openapi.json lists"),
        ("PUT", "/api/v1/channels", 405, "Allow header"),
        ("GET", "/api/v1/channels/file/start", 405, "Allow header"),
        ("POST", "/api/v1/time", 405, "Allow header"),
    ] {
        let answer = api.call(method, path).await;
        assert!(answer.problem(status).contains(detail), "{method} {path}: {}", answer.text);
        if status == 405 {
            assert!(answer.headers.contains_key("allow"), "{method} {path}");
        }
    }
    let patched = api.call_with("PATCH", "/api/v1/channels/file", json!({"title": "x"})).await;
    assert!(patched.problem(409).contains("configuration file"));
}

#[tokio::test]
async fn bodies_are_checked_before_they_are_read() {
    let api = Api::new().await;
    let post = |content_type: &str, body: Vec<u8>| {
        let request = Api::request("POST", "/api/v1/channels").header("content-type", content_type);
        api.send(request.body(Body::from(body)).unwrap())
    };
    assert!(post("text/plain", b"{}".to_vec()).await.problem(415).contains("Content-Type: application/json"));
    assert!(post("application/x-www-form-urlencoded", b"name=a".to_vec()).await.problem(415).contains("JSON"));
    assert!(post("application/json", b"{\"name\": }".to_vec()).await.problem(400).contains("line 1 column 10"));
    assert!(post("application/json", vec![b' '; 65 * 1024]).await.problem(413).contains("64 kB"));
    assert!(post("application/json", vec![b'['; 60_000]).await.problem(400).contains("recursion limit"));
    assert_eq!(post("application/json; charset=utf-8", b"{\"name\": \"a\"}".to_vec()).await.status, 201);
}

#[tokio::test]
async fn a_change_can_be_tied_to_the_revision_that_was_read() {
    let api = Api::new().await;
    let created = api.call_with("POST", "/api/v1/channels", json!({"name": "a"})).await.json();
    let revision = created["revision"].as_str().unwrap();
    let patch = |tag: String, title: &str| {
        let request =
            Api::request("PATCH", "/api/v1/channels/a").header("content-type", "application/merge-patch+json");
        let body = Body::from(json!({"title": title}).to_string());
        api.send(request.header("if-match", tag).body(body).unwrap())
    };
    assert_eq!(patch(format!("\"{revision}\""), "one").await.status, 200);
    assert!(patch(format!("\"{revision}\""), "two").await.problem(412).contains("read it again"));
    assert_eq!(patch("*".into(), "three").await.status, 200);
}

#[tokio::test]
async fn only_this_machine_is_answered_but_anybody_may_ask_the_time() {
    let api = Api::new().await;
    let far = millstream_control::api::PeerAddr("192.0.2.7:4000".parse().unwrap());
    for path in ["/api/v1/channels", "/api/v1/server", "/api/v1/openapi.json", "/api/v1/nothing"] {
        let request = Api::request("GET", path).extension(far).body(Body::empty()).unwrap();
        assert!(api.send(request).await.problem(403).contains("answers only this machine"), "{path}");
    }
    for method in ["GET", "HEAD"] {
        let request = Api::request(method, "/api/v1/time").extension(far).header("host", "any.example");
        let time = api.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(time.status, 200);
        assert_eq!(time.headers["access-control-allow-origin"], "*");
        assert_eq!(time.headers["cache-control"], "no-store");
        assert_eq!(time.text, if method == "GET" { "2024-07-20T13:40:57.600Z" } else { "" });
    }
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let api = Api::new().await;
    let info = api.call("GET", "/api/v1/server").await.json();
    assert_eq!(info["uptime_seconds"], 60);
    assert_eq!(info["listening"]["http"], "127.0.0.1:8080");
}

#[tokio::test]
async fn a_channel_of_the_file_can_be_stopped_until_the_restart() {
    let api = Api::new().await;
    assert_eq!(api.call("POST", "/api/v1/channels/file/stop").await.json()["enabled"], false);
    assert!(opens(&api.registry, "live", "key-in-the-file").is_err());
    assert_eq!(api.call("GET", "/api/v1/channels/file").await.json()["managed_by"], "config");
}
