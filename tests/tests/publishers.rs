//! Who may publish: keys that are right, wrong, expired, revoked and rotated while live; a service that is asked; guesses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use millstream_tests::client::{get, send_json};
use millstream_tests::wait::holds_for;
use millstream_tests::{Channel, Publisher, Server, Source, wait_for};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

const UP: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(15);

fn api(server: &Server, path: &str) -> String {
    server.url(&format!("/api/v1/channels/{path}"))
}

/// How often publishers were refused for this reason.
fn refused(server: &Server, reason: &str) -> u64 {
    let metrics = get(&server.url("/metrics")).expect("metrics");
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let label = format!("reason=\"{reason}\"");
    let line = text.lines().find(|line| line.contains("ingest_refused_total{") && line.contains(&label));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// The publisher is turned away, is told nothing but that its key is not valid, and the metrics say why.
fn turned_away(server: &Server, key: &str, reason: &str) {
    let before = refused(server, reason);
    let mut publisher = Publisher::start(server, key, &Source::small());
    assert!(!publisher.wait(SOON), "a publisher got in that is to be refused: {reason}");
    assert_eq!(refused(server, reason), before + 1, "{reason}; log:\n{}", server.log());
    for word in ["expired", "revoked", "address", "webhook"] {
        assert!(!publisher.log().contains(word), "the publisher is told more than it is to know: {}", publisher.log());
    }
}

fn added(server: &Server, body: &Value) -> String {
    let (status, answer) = send_json("POST", &api(server, "news/keys"), Some(body));
    assert_eq!(status, 201, "{answer}");
    answer["stream_key"].as_str().unwrap().to_owned()
}

#[test]
fn keys_come_and_go_while_the_channel_is_live() {
    let server = Server::start(&[Channel::passthrough("news").set("reconnect_seconds = 2")]);
    let studio = added(&server, &json!({"name": "studio"}));
    let ended = added(&server, &json!({"name": "ended", "expires": "2020-01-01T00:00:00Z"}));
    let elsewhere = added(&server, &json!({"name": "elsewhere", "addresses": ["192.0.2.0/24"]}));
    turned_away(&server, "no-such-key-at-all", "key");
    turned_away(&server, &ended, "expired");
    turned_away(&server, &elsewhere, "address");

    let mut live = Publisher::start(&server, &studio, &Source::small());
    server.wait_state("news", "live", UP);
    let (status, rotated) = send_json("POST", &api(&server, "news/keys/studio/rotate"), None);
    assert_eq!(status, 200, "{rotated}");
    let rotated = rotated["stream_key"].as_str().unwrap().to_owned();
    holds_for("the stream after its key was rotated", Duration::from_secs(3), || {
        let state = server.state("news");
        if live.is_running() && state == "live" { Ok(()) } else { Err(state) }
    });
    turned_away(&server, &studio, "revoked");
    // The first publisher has the channel; the second one has a right key.
    let mut second = Publisher::start(&server, &rotated, &Source::small());
    assert!(!second.wait(SOON), "two publish at once");
    assert!(live.is_running());

    assert_eq!(send_json("DELETE", &api(&server, "news/keys/studio"), None).0, 204);
    wait_for("the stream of a revoked key to end", SOON, || (!live.is_running()).then_some(()));
    assert!(server.log().contains("the stream key was revoked"), "{}", server.log());
    turned_away(&server, &rotated, "revoked");
    // The file's own key is not touched by any of it.
    let again = Publisher::start(&server, "test-key-news", &Source::small());
    server.wait_state("news", "live", UP);
    again.stop();
}

#[test]
fn keys_on_the_command_line() {
    let server = Server::start(&[Channel::passthrough("news")]);
    let added = server.command(&["channel", "key", "add", "news", "two", "--address", "127.0.0.1", "--json"]).unwrap();
    let added: Value = serde_json::from_str(&added).unwrap();
    let listed = server.command(&["channel", "key", "list", "news"]).unwrap();
    assert!(listed.contains("default") && listed.contains("two") && listed.contains("127.0.0.1/32"), "{listed}");
    assert!(!listed.contains(added["stream_key"].as_str().unwrap()));
    let publisher = Publisher::start(&server, added["stream_key"].as_str().unwrap(), &Source::small());
    server.wait_state("news", "live", UP);
    server.command(&["channel", "key", "rotate", "news", "two"]).unwrap();
    assert_eq!(server.state("news"), "live");
    publisher.stop();
    server.command(&["channel", "key", "revoke", "news", "two"]).unwrap();
    let error = server.command(&["channel", "key", "revoke", "news", "two"]).unwrap_err();
    assert!(error.contains("has no key two") && error.trim().lines().count() == 1, "{error}");
}

#[test]
fn the_newest_publisher_has_the_channel_where_it_is_set_so() {
    let server = Server::start(&[Channel::passthrough("news").set("takeover = \"newest\"")]);
    let mut first = Publisher::start(&server, "test-key-news", &Source::small());
    server.wait_state("news", "live", UP);
    let mut second = Publisher::start(&server, "test-key-news", &Source::small());
    wait_for("the first one to be cut off", SOON, || (!first.is_running()).then_some(()));
    assert!(second.is_running());
    server.wait_state("news", "live", UP);
}

/// A service that is asked about publishers. It answers each question with the next status that it is given, or never.
struct Service {
    url: String,
    statuses: Sender<Option<u16>>,
    questions: Receiver<(String, String, String)>,
}

impl Service {
    fn start() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/may-publish", listener.local_addr().unwrap());
        let (statuses, next) = channel::<Option<u16>>();
        let (asked, questions) = channel();
        std::thread::spawn(move || {
            let mut unanswered = Vec::new();
            for connection in listener.incoming() {
                let mut reader = BufReader::new(connection.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                let field = |name: &str| {
                    let line = head
                        .lines()
                        .find_map(|l| l.to_lowercase().strip_prefix(&format!("{name}: ")).map(str::to_owned));
                    line.unwrap_or_default()
                };
                let mut body = vec![0; field("content-length").parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                let question = String::from_utf8(body).unwrap();
                let _ = asked.send((field("millstream-timestamp"), question, field("millstream-signature")));
                let Ok(status) = next.recv() else { return };
                match status {
                    Some(status) => {
                        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                        let _ = reader.get_mut().write_all(answer.as_bytes());
                    }
                    None => unanswered.push(reader),
                }
            }
        });
        Service { url, statuses, questions }
    }

    /// The last question, whose signature is what openssl makes of it.
    fn question(&self, secret: &str) -> Value {
        let (timestamp, body, signature) = self.questions.recv_timeout(SOON).expect("nobody asked");
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-hmac", secret])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        openssl.stdin.take().unwrap().write_all(format!("{timestamp}.{body}").as_bytes()).unwrap();
        let out = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(signature.strip_prefix("sha256="), out.trim().rsplit(' ').next(), "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

#[test]
fn a_service_is_asked_before_a_publisher_is_let_in() {
    const SECRET: &str = "a-secret-of-some-length";
    let service = Service::start();
    let set = |failure: &str| {
        format!(
            "authorize_url = \"{}\"\nauthorize_secret = \"{SECRET}\"\nauthorize_seconds = 1\nauthorize_on_failure = \"{failure}\"",
            service.url
        )
    };
    let server = Server::start_with(&[Channel::passthrough("news")], &set("deny"));
    turned_away(&server, "not-the-key-of-news", "key");
    assert!(service.questions.try_recv().is_err(), "nobody is asked about a wrong key");

    service.statuses.send(Some(403)).unwrap();
    turned_away(&server, "test-key-news", "webhook");
    let question = service.question(SECRET);
    let told = |key: &str| question[key].as_str().unwrap_or_default().to_owned();
    assert_eq!((told("event"), told("channel"), told("key")), ("publish".into(), "news".into(), "default".into()));
    assert_eq!((told("protocol"), told("address")), ("rtmp".into(), "127.0.0.1".into()));
    assert!(!question.to_string().contains("test-key-news"), "the key itself is sent");

    service.statuses.send(None).unwrap();
    turned_away(&server, "test-key-news", "webhook_failed");
    service.statuses.send(Some(500)).unwrap();
    turned_away(&server, "test-key-news", "webhook_failed");
    service.statuses.send(Some(204)).unwrap();
    let live = Publisher::start(&server, "test-key-news", &Source::small());
    server.wait_state("news", "live", UP);
    live.stop();
    drop(server);

    let server = Server::start_with(&[Channel::passthrough("news")], &set("allow"));
    service.statuses.send(None).unwrap();
    let live = Publisher::start(&server, "test-key-news", &Source::small());
    server.wait_state("news", "live", UP);
    live.stop();
    let printed = server.command(&["serve", "--print-config", "--config", "millstream.toml"]).unwrap();
    assert!(printed.contains("authorize_secret = \"(redacted)\"") && !printed.contains(SECRET), "{printed}");
}

#[test]
fn guesses_are_slowed_and_nobody_else_is() {
    let server = Server::start(&[Channel::passthrough("news")]);
    let guesses: Vec<_> =
        (0..12).map(|n| Publisher::start(&server, &format!("guess-number-{n}"), &Source::small())).collect();
    for mut guess in guesses {
        assert!(!guess.wait(UP), "a guess got in");
    }
    assert!(refused(&server, "key") >= 9 && refused(&server, "key") + refused(&server, "slowed") == 12);
    wait_for("the address to be shut out", SOON, || server.log().contains("are shut out").then_some(()));

    // Another address of this machine publishes at once, with a key that is right.
    let relay = from_address("127.0.0.2", server.rtmp());
    let live = Publisher::to(&server, &format!("rtmp://{relay}/live/test-key-news"), &Source::small());
    server.wait_state("news", "live", UP);
    assert!(server.channel("news")["input"]["remote"].as_str().unwrap_or_default().starts_with("127.0.0.2:"));
    live.stop();
}

/// A relay to the server whose connections come from another address of this machine. Gives where it listens.
fn from_address(address: &str, server: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = listener.local_addr().unwrap();
    let from: SocketAddr = format!("{address}:0").parse().unwrap();
    let server: SocketAddr = server.parse().unwrap();
    std::thread::spawn(move || {
        for publisher in listener.incoming() {
            let publisher = publisher.unwrap();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&from.into()).unwrap();
            socket.connect(&server.into()).unwrap();
            let ways = [(publisher.try_clone(), socket.try_clone()), (Ok(publisher), Ok(socket))];
            for (index, (publisher, socket)) in ways.into_iter().enumerate() {
                let (mut publisher, mut socket) = (publisher.unwrap(), TcpStream::from(socket.unwrap()));
                std::thread::spawn(move || match index {
                    0 => std::io::copy(&mut publisher, &mut socket),
                    _ => std::io::copy(&mut socket, &mut publisher),
                });
            }
        }
    });
    relay
}
