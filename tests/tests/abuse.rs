//! Everybody at once: thousands of half-open connections, slow heads, floods of 404s and of forged signatures, oversized
//! requests. A paying viewer plays meanwhile without a stall, and memory stays within a stated bound.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millstream_tests::client::get;
use millstream_tests::random::Random;
use millstream_tests::server::binary;
use millstream_tests::{Channel, Publisher, Server, Source, process, wait_for};
use serde_json::Value;

const UP: Duration = Duration::from_secs(30);
/// Connections that say part of a head and no more, if so many files may be open here.
const HALF_OPEN: usize = 10_000;
/// How long the viewer watches.
const WATCH: &str = "14s";
/// The bound: what the server may grow by, besides so much for each half-open connection.
const GROWTH: u64 = 48 << 20;
const GROWTH_EACH: u64 = 4 << 10;

/// Lets this process open as many files as it may, and gives how many that are.
fn open_files() -> usize {
    let pid = std::process::id().to_string();
    let limits = || std::fs::read_to_string("/proc/self/limits").unwrap();
    let row = |text: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
        line.split_whitespace().skip(3).map(str::to_owned).collect()
    };
    let hard = row(&limits())[1].clone();
    let _ = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={hard}:{hard}")]).status();
    row(&limits())[0].parse().unwrap_or(1_000_000)
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = String::from_utf8(get(&server.url("/metrics")).unwrap().body.to_vec()).unwrap();
    text.lines().filter(|l| l.starts_with(name)).filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Asks again and again on kept connections, 16 requests at once, until told to stop. Counts answers by status.
fn flood(address: &str, over: &AtomicBool, counts: &[(&str, &AtomicU64)], mut request: impl FnMut() -> String) {
    while !over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for _ in 0..200 {
            let batch: String = (0..16).map(|_| request()).collect();
            if over.load(Ordering::Relaxed) || stream.write_all(batch.as_bytes()).is_err() {
                break;
            }
            let (mut seen, mut buffer) = (0, vec![0; 64 << 10]);
            while seen < 16 {
                let Ok(read @ 1..) = stream.read(&mut buffer) else { break };
                let text = String::from_utf8_lossy(&buffer[..read]);
                for (status, count) in counts {
                    count.fetch_add(text.matches(&format!("HTTP/1.1 {status}")).count() as u64, Ordering::Relaxed);
                }
                let answers = text.matches("HTTP/1.1 ").count();
                seen += answers;
            }
        }
    }
}

/// The status of a request that is too much of something.
fn oversized(address: &str, text: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The server may hang up while we still write.
    let _ = stream.write_all(text);
    let mut got = vec![0; 16];
    let _ = stream.read(&mut got);
    String::from_utf8_lossy(&got).split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[test]
fn a_paying_viewer_plays_on_while_everybody_attacks() {
    let half_open = HALF_OPEN.min(open_files().saturating_sub(1000));
    let server = Server::start_with(&[Channel::passthrough("demo")], "[access]\npaths = [\"/live/demo/\"]\n");
    let made = server.command(&["key", "create", "--out", "private.pem", "--json"]).unwrap();
    let id = serde_json::from_str::<Value>(&made).unwrap()["key_pair_id"].as_str().unwrap().to_owned();
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let index = server.url("/live/demo/index.m3u8");
    let every = server.url("/live/demo/*");
    let sign = ["sign", &index, "--resource", &every, "--expires", "1h", "--key-file", "private.pem"];
    let signed = server.command(&[&sign[..], &["--key-pair-id", &id]].concat()).unwrap().trim().to_owned();
    wait_for("the stream", UP, || (get(&signed)?.status == 200).then_some(()));
    let (_, query) = signed.split_once('?').unwrap();
    let address = server.http().to_owned();
    let before = process::resident_bytes(server.pid()).unwrap();

    // Half-open: part of a head each, and nothing more.
    let silent: Vec<TcpStream> = (0..half_open)
        .map(|n| {
            let mut stream = TcpStream::connect(&address).unwrap();
            let head = if n % 2 == 0 {
                "GET /live/demo/index.m3u8 HTTP/1.1\r\nX-"
            } else {
                "POST /api/v1/sign HTTP/1.1\r\nHo"
            };
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    wait_for("the half-open connections", UP, || {
        (metric(&server, "millstream_http_connections") >= half_open as f64).then_some(())
    });

    let viewer = Command::new(binary("millstream"))
        .args(["load", &signed, "--viewers", "1", "--ramp", "0s", "--duration", WATCH, "--max-stalls", "0"])
        .args(["--max-errors", "0", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let over = AtomicBool::new(false);
    let [missing, forged, wrong] = [const { AtomicU64::new(0) }; 3];
    let (peak, watched) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            flood(&address, &over, &[("404", &missing), ("200", &wrong)], || {
                n += 1;
                let path = ["/live/nobody/1.m4s", "/vod/nobody/index.m3u8", "/nothing", "/assets/nothing.js"][n % 4];
                format!("GET {path}?{n} HTTP/1.1\r\nHost: localhost\r\n\r\n")
            });
        });
        scope.spawn(|| {
            // A policy and a key that are known, and signatures of the right length.
            let mut random = Random::seeded(5_008);
            let (start, rest) = query.split_once("Signature=").unwrap();
            let end = rest.find('&').unwrap_or(rest.len());
            let letters: Vec<char> = rest[..end].chars().collect();
            flood(&address, &over, &[("403", &forged), ("200", &wrong)], || {
                let mut changed = letters.clone();
                let at = random.between(0, letters.len() as u64 - 8) as usize;
                changed[at] = if changed[at] == 'A' { 'B' } else { 'A' };
                changed.swap(at, at + 1);
                let signature: String = changed.into_iter().collect();
                let signature = if signature == rest[..end] { "A".repeat(end) } else { signature };
                let query = format!("{start}Signature={signature}{}", &rest[end..]);
                format!("GET /live/demo/index.m3u8?{query} HTTP/1.1\r\nHost: {address}\r\n\r\n")
            });
        });
        scope.spawn(|| {
            let large = "x".repeat(64 << 10);
            let fields = "X-A: b\r\n".repeat(2000);
            let mut turn = 0;
            while !over.load(Ordering::Relaxed) {
                turn += 1;
                let (what, want): (String, &[u16]) = match turn % 5 {
                    0 => (format!("GET /live/demo/{large} HTTP/1.1\r\nHost: a\r\n\r\n"), &[414, 431]),
                    1 => (format!("GET /live/demo/index.m3u8 HTTP/1.1\r\nHost: a\r\nX-A: {large}\r\n\r\n"), &[431]),
                    2 => (format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), &[431]),
                    3 => (
                        format!(
                            "POST /api/v1/sign HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n{large}"
                        ),
                        &[413, 400],
                    ),
                    _ => (
                        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                            .to_owned(),
                        &[400],
                    ),
                };
                let status = oversized(&address, what.as_bytes());
                // A server that hangs up while we write may be heard of as nothing.
                assert!(want.contains(&status) || status == 0, "kind {}: {status}", turn % 5);
            }
        });
        let memory = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                peak = peak.max(process::resident_bytes(server.pid()).unwrap_or(0));
                std::thread::park_timeout(Duration::from_millis(100));
            }
            peak
        });
        let watched = viewer.wait_with_output().unwrap();
        over.store(true, Ordering::Relaxed);
        (memory.join().unwrap(), watched)
    });
    let report: Value = serde_json::from_slice(&watched.stdout).unwrap();
    let said = String::from_utf8_lossy(&watched.stderr);
    assert!(watched.status.success(), "{said}\n{report:#}");
    assert_eq!((&report["stalls"]["count"], &report["never_played"]), (&0.into(), &0.into()), "{report:#}");

    let (missing, forged) = (missing.load(Ordering::Relaxed), forged.load(Ordering::Relaxed));
    let bound = GROWTH + GROWTH_EACH * half_open as u64;
    let grown = peak.saturating_sub(before);
    println!("{half_open} half-open, {missing} times 404, {forged} forged, {} kB more memory", grown >> 10);
    assert!(missing > 1000 && forged > 1000, "the floods were none: {missing} and {forged}");
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "a forged signature was accepted");
    assert!(grown <= bound, "{} kB more memory, {} kB are allowed", grown >> 10, bound >> 10);
    // Whoever does not end his head is let go, though he holds on.
    wait_for("the slow ones to be let go", Duration::from_secs(30), || {
        (metric(&server, "millstream_http_connections") < 100.0).then_some(())
    });
    drop(silent);
    assert_eq!(server.state("demo"), "live");
}
