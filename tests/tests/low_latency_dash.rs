//! Low-latency DASH from end to end: a segment arrives while it is made, and is the same afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use millstream_tests::{Channel, Deadline, Publisher, Server, Source, wait_for};

const UP: Duration = Duration::from_secs(30);

/// STANDARDS 2.15: the bytes of a segment that is named before it begins come in bursts, chunk by chunk, without a
/// length, and together they are the segment; 1.44: under its other name nothing of it is sent before it is whole.
#[test]
fn a_segment_arrives_while_it_is_made() {
    let settings = |c: Channel| c.set("low_latency = true").set("part_seconds = 0.5").set("segment_seconds = 2");
    let server = Server::start(&[settings(Channel::new("demo"))]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    // The first segment was joined inside; the MPD begins with the first one that is where the clock has it.
    let mpd = wait_for("the MPD", UP, || viewer.bytes("manifest.mpd"));
    let mpd = String::from_utf8(mpd.to_vec()).unwrap();
    assert!(mpd.contains("availabilityTimeComplete=\"false\"") && mpd.contains("$Number$.ll.m4s"), "{mpd}");

    // The next one is being made; the one after it is not begun.
    let number = viewer.newest(&name).unwrap() + 2;
    assert_eq!(viewer.get(&format!("{name}/{number}.m4s")).unwrap().status, 404);
    let (head, bursts, body) = read_slowly(server.http(), &format!("/live/demo/{name}/{number}.ll.m4s"));
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");
    assert!(!head.contains("\ncontent-length:"), "{head}");
    assert!(bursts.len() >= 3, "{bursts:?}");
    let span = *bursts.last().unwrap() - bursts[0];
    assert!(span > Duration::from_millis(900) && span < Duration::from_secs(3), "{bursts:?}");
    println!("bursts after the request: {bursts:?}");

    viewer.wait_number(&name, number, UP);
    let whole = viewer.bytes(&format!("{name}/{number}.m4s")).expect("it is whole");
    assert_eq!(body, whole, "the same bytes, as they were made and afterwards");
    assert_eq!(viewer.bytes(&format!("{name}/{number}.ll.m4s")).unwrap(), whole);
}

/// Head (in lower case), the times at which new bytes came after a pause of 100 ms, and the body without its framing.
fn read_slowly(address: &str, path: &str) -> (String, Vec<Duration>, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let asked = Deadline::after(Duration::from_secs(20));
    let (mut bytes, mut bursts, mut buffer) = (Vec::new(), Vec::<Duration>::new(), [0; 65_536]);
    let mut last = None;
    loop {
        let read = stream.read(&mut buffer).unwrap();
        let now = asked.elapsed();
        assert!(!asked.passed(), "the body has no end");
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..read]);
        if last.is_none_or(|last| now - last > Duration::from_millis(100)) {
            bursts.push(now);
        }
        last = Some(now);
    }
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let (status, fields) = head.split_once("\r\n").unwrap();
    (format!("{status}\r\n{}", fields.to_lowercase()), bursts, unchunked(&bytes[split + 4..]))
}

/// RFC 9112 7.1.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n").expect("a chunk's length");
        let text = std::str::from_utf8(&rest[..line]).unwrap();
        let length = usize::from_str_radix(text.split(';').next().unwrap().trim(), 16).unwrap();
        if length == 0 {
            return body;
        }
        let from = line + 2;
        body.extend_from_slice(&rest[from..from + length]);
        rest = &rest[from + length + 2..];
    }
}
