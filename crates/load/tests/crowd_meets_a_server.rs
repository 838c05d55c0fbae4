//! The shell against a real socket: a finished presentation, chunked and counted bodies, and a dead channel.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use millstream_load::crowd::{Options, run};
use millstream_load::viewer::{Abr, Mode, Rules};

const LIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.m4s\n#EXTINF:2,\nb.m4s\n#EXT-X-ENDLIST\n";

fn serve(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        let request = String::from_utf8_lossy(&buffer[..n]).into_owned();
        let reply = if n == 0 {
            return;
        } else if request.starts_with("GET /m.m3u8 ") {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{LIST}", LIST.len())
        } else if request.starts_with("GET /a.m4s ") {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_owned()
        } else if request.starts_with("GET /b.m4s ") {
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n1234567".to_owned()
        } else {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()
        };
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn crowd(path: &str) -> millstream_load::tally::Tally {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}{path}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || serve(stream));
        }
    });
    let rules = Rules { abr: Abr::On, mode: Mode::Auto };
    let options = Options {
        url,
        viewers: 20,
        duration: Duration::from_secs(1),
        ramp: Duration::from_millis(100),
        rules,
        bandwidth: None,
        from: Vec::new(),
        insecure: false,
    };
    run(&options, |_| {}).unwrap().tally
}

#[test]
fn all_bytes_are_counted() {
    let tally = crowd("/m.m3u8");
    assert_eq!((tally.joined, tally.errors, tally.never_played, tally.stalled_viewers), (20, 0, 0, 0));
    assert_eq!(tally.bytes, 20 * (LIST.len() as u64 + 5 + 7));
    assert_eq!(tally.startup.count(), 20);
}

#[test]
fn a_dead_channel_never_plays() {
    let tally = crowd("/none.m3u8");
    assert_eq!(tally.never_played, 20);
    assert!(tally.errors >= 20 && tally.statuses.get(&404) >= Some(&20));
}
