//! `millstream load` against the real server: viewers of each kind play without a stall, and a dead channel fails.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::{Command, Output};
use std::time::Duration;

use millstream_tests::server::binary;
use millstream_tests::{Channel, Publisher, Server, Source};
use serde_json::Value;

const UP: Duration = Duration::from_secs(30);

fn load(url: &str, mode: &str) -> Output {
    let mut command = Command::new(binary("millstream"));
    command.args(["load", url, "--viewers", "30", "--duration", "6s", "--ramp", "1s", "--mode", mode]);
    command.args(["--max-stalls", "0", "--max-errors", "0", "--json"]).output().unwrap()
}

#[test]
fn thirty_viewers_of_each_kind_and_a_dead_channel() {
    let server = Server::start(&[Channel::passthrough("demo"), Channel::passthrough("dead")]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    server.viewer("demo").wait_listed(3, UP);
    for (mode, path) in [("hls", "index.m3u8"), ("ll-hls", "index.m3u8"), ("dash", "manifest.mpd")] {
        let output = load(&server.url(&format!("/live/demo/{path}")), mode);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{mode}: {text}\n{report:#}");
        assert_eq!((&report["stalls"]["count"], &report["errors"]), (&0.into(), &0.into()), "{mode}: {report:#}");
        assert_eq!((&report["startup"]["count"], &report["never_played"]), (&30.into(), &0.into()), "{mode}");
        assert!(report["latency"]["p50_ms"].as_f64().unwrap() < if mode == "ll-hls" { 3500.0 } else { 15_000.0 });
        let parts = report["requests"]["part"]["count"].as_u64().unwrap_or(0);
        assert_eq!(parts > 0, mode == "ll-hls", "{mode}: {report:#}");
        assert!(report["client"]["cpu_seconds"].as_f64().unwrap() > 0.0);
    }
    let dead = load(&server.url("/live/dead/index.m3u8"), "auto");
    assert_eq!(dead.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&dead.stderr).contains("nobody played"));
    let wrong = load("rtmp://127.0.0.1/", "auto");
    assert_eq!(wrong.status.code(), Some(2));
}
