//! What a client may do on a connection, and what it gets: against the front on a real socket.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod site;

use std::time::Duration;

use site::{LARGE, LIST, Server, read_answer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const GET: &str = "GET /live/a/list HTTP/1.1\r\nHost: a\r\n\r\n";

async fn say(server: &Server, text: &str) -> Vec<u8> {
    let mut stream = server.connect().await;
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    got
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let server = Server::start().await;
    let mut text = GET.repeat(100);
    text.push_str("HEAD /live/a/list HTTP/1.1\r\nHost: a\r\n\r\nGET /live/a/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let got = say(&server, &text).await;
    let heads = got.windows(15).filter(|w| w == b"HTTP/1.1 200 OK").count();
    assert_eq!(heads, 102);
    let lists = got.windows(LIST.len()).filter(|w| w == &LIST.as_bytes()).count();
    assert_eq!(lists, 100, "the HEAD has no body");
    assert!(got.ends_with(&[b'x'; LARGE]));
}

#[tokio::test]
async fn a_head_may_come_in_any_pieces() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        for byte in GET.bytes() {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let (head, body) = read_answer(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, LIST.as_bytes());
    }
}

/// RFC 9112 6.1, 9.3; the connection ends, so that nothing after it can be taken for a request.
#[tokio::test]
async fn bad_heads_are_refused_and_the_connection_ends() {
    let server = Server::start().await;
    let long = format!("GET /live/a/list?{} HTTP/1.1\r\n\r\n", "a".repeat(17 << 10));
    for (text, status) in [
        ("GET /live/a/list HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("\x16\x03\x01\x02\r\n\r\n", "400"),
        (&long, "431"),
    ] {
        let got = say(&server, &format!("{text}{GET}")).await;
        let text = String::from_utf8_lossy(&got);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
    }
}

#[tokio::test]
async fn other_requests_are_the_full_servers_with_all_that_was_said() {
    let server = Server::start().await;
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let last = "GET /live/a/list HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let text = String::from_utf8(say(&server, &format!("{GET}{post}{last}")).await).unwrap();
    assert_eq!(text.matches("200 OK").count(), 3, "{text}");
    assert!(text.contains("hello") && text.matches(LIST).count() == 2, "{text}");
}

#[tokio::test]
async fn http_1_0_gets_its_answer_and_the_end() {
    let server = Server::start().await;
    let text = String::from_utf8(say(&server, "GET /live/a/list HTTP/1.0\r\n\r\n").await).unwrap();
    assert!(text.contains("connection: close\r\n") && text.ends_with(LIST), "{text}");
    // No chunks for 1.0: the body ends with the connection.
    let text = String::from_utf8(say(&server, "GET /live/a/chunks HTTP/1.0\r\n\r\n").await).unwrap();
    assert!(!text.contains("transfer-encoding") && text.ends_with("\r\n\r\nonetwo"), "{text}");
}

/// STANDARDS 2.15: chunks as they are made; one that breaks off has no end, so nobody takes it for the whole.
#[tokio::test]
async fn what_is_being_made_is_sent_in_chunks() {
    let server = Server::start().await;
    for (path, end) in [("chunks", "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), ("broken", "3\r\none\r\n")] {
        let close = format!("GET /live/a/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut stream = server.connect().await;
        stream.write_all(close.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        // A broken one may also end in a reset.
        let _ = stream.read_to_end(&mut got).await;
        let text = String::from_utf8(got).unwrap();
        assert!(text.contains("transfer-encoding: chunked\r\n") && text.ends_with(end), "{text}");
    }
}

#[tokio::test]
async fn blocked_requests_are_all_woken_and_those_who_left_are_forgotten() {
    let server = Server::start().await;
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /live/a/wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        waiting.push(stream);
    }
    server.until_waiting(200).await;
    waiting.truncate(150);
    server.until_waiting(150).await;
    server.publish();
    for stream in &mut waiting {
        assert_eq!(read_answer(stream).await.1, LIST.as_bytes());
    }
    server.until_waiting(0).await;
}

#[tokio::test]
async fn who_says_nothing_or_takes_nothing_is_let_go() {
    let server = Server::start().await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    let many = "GET /live/a/large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(64);
    slow.write_all(many.as_bytes()).await.unwrap();
    let mut partial = server.connect().await;
    partial.write_all(b"GET /live/a/li").await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(partial.read(&mut [0]).await.unwrap_or(0), 0);
    // The slow one reads nothing; its place is free all the same.
    server.until_open(0).await;
    drop(slow);
}

#[tokio::test]
async fn a_stop_lets_a_blocked_request_finish_and_idle_connections_go() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    idle.write_all(GET.as_bytes()).await.unwrap();
    read_answer(&mut idle).await;
    let mut waiting = server.connect().await;
    waiting.write_all(b"GET /live/a/wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    server.until_waiting(1).await;
    server.stop.send_replace(true);
    server.publish();
    let (head, body) = read_answer(&mut waiting).await;
    assert_eq!(body, LIST.as_bytes(), "{head}");
    tokio::time::timeout(Duration::from_secs(5), server.ended).await.unwrap().unwrap();
}

/// Cleartext HTTP/2 with prior knowledge, and STANDARDS 1.47: urgencies.
#[tokio::test]
async fn cleartext_http_2_with_prior_knowledge() {
    let server = Server::start().await;
    let stream = server.connect().await;
    let answer = site::get_http_2(stream, "http://a/live/a/list").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["priority"]), (200, &"u=1".parse().unwrap()));
    assert_eq!(answer.body(), LIST.as_bytes());
}

/// A client that answers pings and asks nothing keeps no place; one that waits for an answer does.
#[tokio::test]
async fn a_quiet_connection_of_http_2_is_let_go() {
    let server = Server::start().await;
    let mut waiting = site::http_2(server.connect().await).await;
    let waited = tokio::spawn(async move { site::ask_http_2(&mut waiting, "http://a/live/a/wait").await });
    server.until_waiting(1).await;
    let mut quiet = site::http_2(server.connect().await).await;
    assert_eq!(site::ask_http_2(&mut quiet, "http://a/live/a/list").await.status(), 200);
    site::until(|| quiet.is_closed()).await;
    server.until_open(1).await;
    assert!(!waited.is_finished());
    server.publish();
    assert_eq!(waited.await.unwrap().body(), LIST.as_bytes());
}

/// A body must go on coming, and heads have one bound whatever they ask for.
#[tokio::test]
async fn bodies_that_stop_and_heads_that_do_not_end_are_refused() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    let mut got = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut got)).await;
    ended.expect("a client that sends no more keeps its connection").unwrap();
    assert!(got.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&got));

    let fields = "X-A: b\r\n".repeat(150);
    let value = "b".repeat(40_000);
    for (what, text) in [
        ("many fields of media", format!("GET /live/a/list HTTP/1.1\r\nHost: a\r\n{fields}\r\n")),
        ("many fields of a page", format!("GET /echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n")),
        ("a large field of media", format!("GET /live/a/list HTTP/1.1\r\nHost: a\r\nX-A: {value}\r\n\r\n")),
        ("a large field of a page", format!("POST /echo HTTP/1.1\r\nHost: a\r\nX-A: {value}\r\n\r\n")),
    ] {
        let mut stream = server.connect().await;
        // The server may hang up while we still write.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut got = vec![0; 12];
        stream.read_exact(&mut got).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(String::from_utf8_lossy(&got), "HTTP/1.1 431", "{what}");
    }
}
