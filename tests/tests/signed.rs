//! CHECK-7b and CHECK-7c: a low-latency stream behind signed URLs and cookies, through an edge whose cache is warm.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use millstream_tests::client::get;
use millstream_tests::server::binary;
use millstream_tests::wait::within;
use millstream_tests::{Channel, Publisher, Server, Source, decode};
use serde_json::Value;

const UP: Duration = Duration::from_secs(30);

/// An edge that asks every viewer for a signature and trusts the keys of the origin's folder.
struct Edge {
    child: Child,
    http: String,
}

impl Edge {
    fn start(server: &Server) -> Edge {
        let data = server.folder().join("edge");
        let child = Command::new(binary("millstream"))
            .args(["serve", "--role", "edge", "--http", "127.0.0.1:0", "--origin", &server.url(""), "--data-dir"])
            .arg(&data)
            .env("MILLSTREAM_ACCESS_REQUIRE", "true")
            .env("MILLSTREAM_ACCESS_KEYS", server.folder().join("data/keys"))
            .current_dir(server.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let http = within(UP, || {
            let text = std::fs::read_to_string(data.join("listening.json")).ok()?;
            Some(serde_json::from_str::<Value>(&text).ok()?["http"].as_str()?.to_owned())
        });
        Edge { child, http: http.expect("the edge is not up") }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays four seconds with ffmpeg; gives the packets.
fn play(server: &Server, url: &str, cookies: &str) -> usize {
    let out = server.folder().join("played.mp4");
    let mut player = Command::new("ffmpeg");
    player.args(["-nostdin", "-v", "error"]);
    if !cookies.is_empty() {
        player.args(["-headers", &format!("Cookie: {cookies}\r\n")]);
    }
    player.args(["-i", url, "-t", "4", "-c", "copy", "-y", "-movflags", "+frag_keyframe+empty_moov"]).arg(&out);
    assert!(player.stdin(Stdio::null()).status().unwrap().success(), "{url}");
    decode::packets(&std::fs::read(&out).unwrap()).0.len()
}

#[test]
fn a_low_latency_session_with_cookies_and_with_a_wildcard_url() {
    let server = Server::start(&[Channel::passthrough("demo").set("low_latency = true")]);
    let made = server.command(&["key", "create", "--out", "private.pem", "--json"]).unwrap();
    let id = serde_json::from_str::<Value>(&made).unwrap()["key_pair_id"].as_str().unwrap().to_owned();
    let edge = Edge::start(&server);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let rendition = server.viewer("demo").wait_listed(3, UP);

    let index = format!("http://{}/live/demo/index.m3u8", edge.http);
    let every = format!("http://{}/live/demo/*", edge.http);
    let sign = |arguments: &[&str]| {
        let key = ["--key-file", "private.pem", "--key-pair-id", &id];
        server.command(&[&["sign"][..], arguments, &key].concat()).unwrap().trim().to_owned()
    };
    let wide = sign(&[&index, "--resource", &every, "--expires", "1h"]);
    let cookies = sign(&[&every, "--cookies", "--expires", "1h"]).replace('\n', "; ");
    let status = |url: &str| get(url).unwrap().status;

    // Warm: what follows could be answered from the cache.
    assert_eq!(status(&wide), 200);
    assert!(play(&server, &wide, "") >= 3 * 30);
    assert!(play(&server, &index, &cookies) >= 3 * 30);
    let list = wide.replace("/index", &format!("/{rendition}/index"));
    let newest = server.viewer("demo").newest(&rendition).unwrap();
    assert_eq!(status(&format!("{list}&_HLS_msn={}&_HLS_part=0", newest + 1)), 200);

    for (what, url) in [
        ("nothing", index.clone()),
        ("over", sign(&[&index, "--resource", &every, "--expires", "1000"])),
        ("not yet", sign(&[&index, "--resource", &every, "--expires", "2h", "--not-before", "1h"])),
        ("elsewhere", sign(&[&index, "--resource", &every, "--expires", "1h", "--ip", "192.0.2.1"])),
        ("another channel's", sign(&[&index, "--resource", &every.replace("demo", "news"), "--expires", "1h"])),
        ("a byte changed", wide.replace("Signature=", "Signature=A")),
    ] {
        let refused = get(&url).unwrap();
        assert_eq!((refused.status, refused.header("cache-control")), (403, Some("no-store")), "{what}");
    }
}
