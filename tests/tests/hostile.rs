//! Peers that lie, babble or stay silent do no harm to the server or to another channel.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use millstream_tests::process;
use millstream_tests::random::Random;
use millstream_tests::wait::holds_for;
use millstream_tests::{Channel, Publisher, Server, Source, wait_for};

const UP: Duration = Duration::from_secs(20);

#[test]
fn garbage_on_the_rtmp_port_touches_nothing() {
    let mut random = Random::seeded(6_001);
    let server = Server::start(&[Channel::passthrough("demo")]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    let before = viewer.newest(&name).unwrap();
    let files = process::open_files(server.pid());
    let mut open = Vec::new();
    for round in 0..100 {
        let mut peer = TcpStream::connect(server.rtmp()).unwrap();
        peer.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let length = random.between(1, 20_000) as usize;
        let mut bytes = random.bytes(length);
        match round % 4 {
            // Noise from the first byte on.
            0 => {}
            // A handshake, then noise.
            1 => {
                bytes.resize(bytes.len().max(3200), 7);
                bytes[0] = 3;
            }
            // A handshake, then a chunk that claims 16 MB.
            2 => {
                bytes = vec![0; 1 + 1536 + 1536];
                bytes[0] = 3;
                bytes.extend_from_slice(&[0x03, 0, 0, 0, 0xff, 0xff, 0xff, 0x14, 0, 0, 0, 0]);
                bytes.extend_from_slice(&random.bytes(128));
            }
            // HTTP on the wrong port.
            _ => bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        }
        // The server may hang up while we still write.
        let _ = peer.write_all(&bytes);
        // Every other peer stays and says nothing more.
        if round % 2 == 0 {
            open.push(peer);
        }
    }
    let media = viewer.wait_number(&name, before + 3, Duration::from_secs(12));
    assert!(!media.ended);
    assert_eq!(server.state("demo"), "live");
    drop(open);
    wait_for("the peers' connections to be closed", Duration::from_secs(20), || {
        (process::open_files(server.pid()) <= files + 4).then_some(())
    });
}

#[test]
fn a_wrong_key_is_refused_and_never_logged() {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let wrong = "a-wrong-key-that-nobody-has";
    let mut publisher = Publisher::start(&server, wrong, &Source::small());
    assert!(!publisher.wait(Duration::from_secs(10)), "ffmpeg published with a wrong key");
    assert_eq!(server.state("demo"), "offline");
    assert_eq!(server.viewer("demo").get("index.m3u8").map(|r| r.status), Some(503), "not yet live");
    let right = Publisher::start(&server, "test-key-demo", &Source::small());
    server.viewer("demo").wait_listed(1, UP);
    right.stop();
    let log = server.log();
    assert!(!log.contains(wrong) && !log.contains("test-key-demo"), "a key is in the log");
    for key in [wrong, "test-key-demo"] {
        assert!(!stored_anywhere(&server, key), "{key} is stored in the clear");
    }
}

/// Whether a text stands in any file of the data folder.
fn stored_anywhere(server: &Server, text: &str) -> bool {
    let mut folders = vec![server.folder().join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).is_ok_and(|b| b.windows(text.len()).any(|w| w == text.as_bytes())) {
                return true;
            }
        }
    }
    false
}

#[test]
fn a_second_publisher_is_refused_while_the_first_is_live() {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let mut first = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(1, UP);
    let remote = server.channel("demo")["input"]["remote"].clone();
    let mut second = Publisher::start(&server, "test-key-demo", &Source::small());
    assert!(!second.wait(Duration::from_secs(10)), "two publishers on one channel");
    assert!(first.is_running(), "the first was thrown out: {}", first.log());
    assert_eq!(server.channel("demo")["input"]["remote"], remote);
    let number = viewer.newest(&name).unwrap();
    viewer.wait_number(&name, number + 1, Duration::from_secs(8));
}

#[test]
fn a_silent_publisher_is_taken_over() {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let first = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    viewer.wait_listed(1, UP);
    let ghost = server.channel("demo")["input"]["remote"].clone();
    // Its connection stays open, but it says nothing any more: a ghost.
    process::signal(first.pid(), "STOP");
    let remote = wait_for("the takeover", Duration::from_secs(15), || {
        let mut second = Publisher::start(&server, "test-key-demo", &Source::small());
        let taken = millstream_tests::wait::within(Duration::from_secs(3), || {
            let remote = server.channel("demo")["input"]["remote"].clone();
            (remote.is_string() && remote != ghost).then_some(remote)
        });
        if taken.is_some() && second.is_running() {
            return Some((taken, second));
        }
        None
    });
    assert_ne!(remote.0, Some(ghost));
    process::signal(first.pid(), "CONT");
}

#[test]
fn slow_and_silent_http_clients_hold_up_nobody() {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    let mut idle = Vec::new();
    for n in 0..200 {
        let mut client = TcpStream::connect(server.http()).unwrap();
        client.set_nonblocking(true).unwrap();
        match n % 4 {
            0 => {}
            1 => drop(client.write_all(b"GET /live/demo/index.m3u8 HTTP/1.1\r\nHost:")),
            2 => drop(client.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")),
            _ => {
                let segment = viewer.media(&name).and_then(|m| m.segments.first().map(|s| s.uri.clone())).unwrap();
                let request = format!("GET /live/demo/{name}/{segment} HTTP/1.1\r\nHost: a\r\n\r\n");
                let _ = client.write_all(request.repeat(4).as_bytes());
            }
        }
        idle.push(client);
    }
    holds_for("the playlist", Duration::from_secs(4), || {
        viewer.media(&name).map(|_| ()).ok_or_else(|| "no playlist".to_owned())
    });
    let mut some = [0; 16];
    let _ = idle[3].read(&mut some);
}
