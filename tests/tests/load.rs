//! `millstream load` against the real server: viewers of each kind play without a stall, and a dead channel fails.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::{Command, Output};
use std::time::Duration;

use millstream_check::http::{Http, Trust};
use millstream_check::{Options, live};
use millstream_tests::server::binary;
use millstream_tests::{Channel, Publisher, Server, Source, wait_for};
use serde_json::Value;

const UP: Duration = Duration::from_secs(30);

fn load(url: &str, mode: &str) -> Output {
    load_with(url, mode, &[])
}

fn load_with(url: &str, mode: &str, more: &[&str]) -> Output {
    let mut command = Command::new(binary("millstream"));
    command.args(["load", url, "--viewers", "30", "--duration", "6s", "--ramp", "1s", "--mode", mode]);
    command.args(["--max-stalls", "0", "--max-errors", "0", "--json"]).args(more).output().unwrap()
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

/// Over TLS, from several addresses, at a limited rate, segments that are read while they are made; then the checker with
/// the server's certificate as its authority, and without.
#[test]
fn https_low_latency_dash_bandwidth_and_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let tls = [
        ("MILLSTREAM_SERVER_HTTPS", "127.0.0.1:0"),
        ("MILLSTREAM_SERVER_TLS_CERTIFICATE", certificate),
        ("MILLSTREAM_SERVER_TLS_KEY", key),
    ];
    let channel = Channel::new("demo").set("low_latency = true").set("part_seconds = 0.5").set("segment_seconds = 2");
    let server = Server::start_in(&[channel], "", &tls);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    viewer.wait_listed(3, UP);
    wait_for("the MPD", UP, || viewer.bytes("manifest.mpd"));
    let bound = std::fs::read_to_string(server.folder().join("data/listening.json")).unwrap();
    let bound: Value = serde_json::from_str(&bound).unwrap();
    let port = bound["https"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let url = |file: &str| format!("https://localhost:{port}/live/demo/{file}");
    let mpd = url("manifest.mpd");

    let more = ["--insecure", "--bandwidth", "3M", "--connect-from", "127.0.0.2-127.0.0.4"];
    let output = load_with(&mpd, "dash", &more);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}\n{report:#}");
    assert_eq!((&report["startup"]["count"], &report["errors"]), (&30.into(), &0.into()), "{report:#}");
    assert!(report["requests"]["chunked_segment"]["count"].as_u64() > Some(0), "{report:#}");
    // Not a terminal: a line each five seconds, none of them written over.
    assert!(text.contains("5 s: ") && !text.contains('\r') && !text.contains("\x1b["), "{text:?}");

    let distrusted = load_with(&mpd, "dash", &[]);
    assert_eq!(distrusted.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&distrusted.stdout).contains("certificate"), "the cause is told");

    let pem = std::fs::read(certificate).unwrap();
    let mut http = Http::trusting(&Trust::Pem(pem)).unwrap();
    let options = Options { duration: Duration::from_secs(6), mpd: Some(mpd), ..Options::default() };
    let report = live(&mut http, &url("index.m3u8"), options);
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings, Vec::<String>::new());
    assert!(report.segments > 6 && report.mpd_versions > 0, "{report:?}");
    let output = Command::new(binary("millstream")).args(["check", &url("index.m3u8")]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("certificate"), "the cause is told");
}
