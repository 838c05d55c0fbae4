//! Secrets stand nowhere but where they were put: not in logs of the finest level, not in answers, errors or metrics, not in
//! what a configuration prints, not in command lines, not in the environment of the encode worker.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use millstream_tests::client::send_as;
use millstream_tests::node::Node;
use millstream_tests::server::binary;
use millstream_tests::{Channel, Publisher, Server, Source, process, wait_for};
use serde_json::{Value, json};

const UP: Duration = Duration::from_secs(60);

/// Every secret that somebody gives the server has these letters in it.
const MARK: &str = "zq7xk9";
const ADMIN: &str = "mst_zq7xk9-the-admins-own-token-of-forty-letters";
const FENCE: &str = "zq7xk9-secret-of-the-edges";

/// Nothing listens here: whatever is asked fails.
const AWAY: &str = "127.0.0.1:9";

fn secret_settings() -> String {
    format!(
        "[log]\nlevel = \"trace\"\n[origin]\nsecrets = [\"{FENCE}\"]\n\
         [operators]\nopenid_issuer = \"http://{AWAY}/realm\"\nopenid_client = \"millstream\"\n\
         openid_url = \"http://localhost:1\"\nopenid_roles = [\"*=viewer\"]\nopenid_secret = \"zq7xk9-secret-of-the-issuer\"\n\
         [archive]\nurl = \"s3://bucket/prefix\"\nendpoint = \"http://{AWAY}\"\nregion = \"us-east-1\"\naddressing = \"path\"\n"
    )
}

fn ingest_settings() -> String {
    format!(
        "authorize_url = \"http://{AWAY}/may-publish?token=zq7xk9-in-the-url\"\n\
         authorize_secret = \"zq7xk9-secret-of-the-webhook\"\nauthorize_seconds = 1\nauthorize_on_failure = \"allow\"\n"
    )
}

/// What stands in `/proc/PID/NAME`.
fn proc(pid: u32, name: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default()).into_owned()
}

/// The line of a text that holds a secret.
fn found<'a>(text: &'a str, secrets: &[String]) -> Option<&'a str> {
    let lower = |line: &str| line.to_lowercase();
    text.lines().find(|line| lower(line).contains(MARK) || secrets.iter().any(|secret| line.contains(secret)))
}

#[track_caller]
fn none_in(what: &str, text: &str, secrets: &[String]) {
    assert!(found(text, secrets).is_none(), "a secret in {what}: {}", found(text, secrets).unwrap_or_default());
}

/// A request as it stands, and what comes back.
fn raw(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn secrets_are_in_no_log_answer_or_process_list() {
    let channels = [
        Channel { key: "zq7xk9-key-of-one".to_owned(), ..Channel::new("one") }
            .set("srt_passphrase = \"zq7xk9-passphrase\"\nladder = { video = [{ height = 180 }] }"),
        Channel { key: "zq7xk9-key-of-two".to_owned(), ..Channel::passthrough("two") }.set(&format!(
            "[channel.protection.speke]\nurl = \"http://{AWAY}/speke/v2\"\nsystems = [\"widevine\"]\nheaders = \"two.headers\""
        )),
    ];
    let variables = [
        ("MILLSTREAM_OPERATORS_ADMIN_TOKEN", ADMIN),
        ("MILLSTREAM_OPERATORS_VIEWER_TOKEN", "mst_zq7xk9-the-viewers-own-token-of-forty-let"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "zq7xk9-secret-of-the-bucket"),
    ];
    let extra = format!("{}{}", ingest_settings(), secret_settings());
    let prepare = |folder: &std::path::Path| {
        let keys = folder.join("data/content-keys");
        std::fs::create_dir_all(&keys).unwrap();
        std::fs::write(keys.join("two.headers"), "Authorization: Bearer zq7xk9-of-the-provider\n").unwrap();
    };
    let mut server = Server::start_in(&[], "", &variables);
    server.stop();
    prepare(server.folder());
    server.set_channels(&channels);
    server.set_extra(&extra);
    server.start_again();
    let api = |path: &str| server.url(&format!("/api/v1{path}"));
    let ask = |method: &str, path: &str, body: Value| send_as(Some(ADMIN), method, &api(path), Some(&body)).1;

    // Secrets that the server makes, or that people give it over the API. What makes one shows it, this once.
    let made = |answer: &Value, field: &str| answer[field].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    let mut secrets = vec![
        made(&ask("POST", "/channels/one/keys", json!({"name": "studio"})), "stream_key"),
        made(&ask("POST", "/channels/one/keys/studio/rotate", json!({})), "stream_key"),
        made(&ask("POST", "/tokens", json!({"name": "ci", "role": "viewer"})), "token"),
    ];
    ask("POST", "/channels/one/keys", json!({"name": "own", "stream_key": "zq7xk9-key-of-ones-own"}));
    ask("POST", "/channels/one/keys", json!({"name": "bad", "stream_key": "zq7xk9 with spaces"}));
    ask("POST", "/users", json!({"name": "anna", "role": "admin", "password": "zq7xk9-of-anna"}));
    let in_as = |password: &str| {
        let body = json!({"user": "anna", "password": password}).to_string();
        let head = format!("POST /api/v1/session HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\n", server.http());
        let rest =
            format!("Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        raw(server.http(), &format!("{head}{rest}{body}"))
    };
    let session = in_as("zq7xk9-of-anna");
    let cookie = session.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split_once(';')).unwrap().0;
    secrets.push(cookie.split_once('=').unwrap().1.to_owned());

    // Everything that can fail, fails, over both versions of HTTP.
    let mut answers = in_as("zq7xk9-not-annas");
    answers += &raw(
        server.http(),
        "GET /live/one/index.m3u8 HTTP/1.1\r\nHost: a\r\nX-MediaPackage-CDNIdentifier: zq7xk9-wrong\r\nConnection: close\r\n\r\n",
    );
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for path in ["/api/v1/channels", "/api/v1/tokens", "/api/v1/session", "/live/one/index.m3u8", "/nothing"] {
            for header in [
                "Authorization: Bearer mst_zq7xk9-wrong".to_owned(),
                format!("Authorization: Bearer {ADMIN}"),
                format!("Cookie: {cookie}; CloudFront-Signature=zq7xk9"),
                format!("X-MediaPackage-CDNIdentifier: {FENCE}"),
            ] {
                let url = format!("{}?Policy=zq7xk9&Signature=zq7xk9&Key-Pair-Id=K", server.url(path));
                let out = Command::new("curl").args(["-sS", "-i", version, "-H", &header, &url]).output().unwrap();
                answers += &String::from_utf8_lossy(&out.stdout);
            }
        }
    }
    let mut wrong = Publisher::start(&server, "zq7xk9-nobodys-key", &Source::small());
    assert!(!wrong.wait(UP), "a wrong key got in");
    let _one = Publisher::start(&server, "zq7xk9-key-of-one", &Source::small());
    let _two = Publisher::start(&server, "zq7xk9-key-of-two", &Source::small());
    let state = |name: &str| ask("GET", &format!("/channels/{name}"), Value::Null)["state"].clone();
    wait_for("the encoded channel", UP, || (state("one") == "live").then_some(()));
    wait_for("the failing services", UP, || {
        let log = server.log();
        let said = ["ingest.authorize_url cannot be asked", "key server", AWAY];
        said.iter().all(|words| log.contains(words)).then_some(())
    });

    // The log is as fine as it can be.
    let log = server.log();
    assert!(log.contains("TRACE") && log.contains("DEBUG"), "the log is not that of every level");
    none_in("the log", &log, &secrets);
    none_in("answers to failures", &answers, &secrets);
    for path in [
        "/server",
        "/channels",
        "/channels/one",
        "/channels/two",
        "/channels/one/keys",
        "/assets",
        "/storage",
        "/imports",
        "/tokens",
        "/users",
        "/openapi.json",
    ] {
        let (status, answer) = send_as(Some(ADMIN), "GET", &api(path), None);
        assert!(matches!(status, 200 | 503), "{path}: {answer}");
        none_in(path, &answer.to_string(), &secrets);
    }
    let metrics = Command::new("curl").args(["-sS", &server.url("/metrics")]).output().unwrap();
    none_in("metrics", &String::from_utf8_lossy(&metrics.stdout), &secrets);

    // Processes: the server's own arguments, and all that its children have.
    let workers = server.workers();
    assert!(!workers.is_empty(), "an encoded channel without a worker");
    none_in("the server's arguments", &proc(server.pid(), "cmdline"), &secrets);
    for pid in workers {
        none_in("a worker's arguments", &proc(pid, "cmdline"), &secrets);
        none_in("a worker's environment", &proc(pid, "environ").replace('\0', "\n"), &secrets);
    }

    // What the configuration prints, and what is said of one that is wrong.
    let print = |text: &str, more: &[(&str, &str)]| {
        let file = server.folder().join("printed.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(binary("millstream"));
        command.args(["serve", "--print-config", "--config"]).arg(&file).envs(variables).envs(more.iter().copied());
        let out = command.output().unwrap();
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let whole = std::fs::read_to_string(server.folder().join("millstream.toml")).unwrap();
    let (good, printed) = print(&whole, &[]);
    assert!(good && printed.contains("(redacted)"), "{printed}");
    none_in("--print-config", &printed, &secrets);
    for (section, key) in [
        ("ingest", "authorize_secret"),
        ("origin", "secrets"),
        ("edge", "origin_secret"),
        ("operators", "admin_token"),
        ("operators", "viewer_token"),
        ("operators", "openid_secret"),
        ("channel", "stream_key"),
        ("channel", "srt_passphrase"),
    ] {
        let head =
            if section == "channel" { "[[channel]]\nname = \"a\"\n".to_owned() } else { format!("[{section}]\n") };
        for value in ["\"zq7\txk9\"", "{ a = \"zq7xk9\" }", "[[\"zq7xk9\"]]", "\"zq7xk9", "zq7xk9", "\"zq7xk9 é\""] {
            let (_, said) = print(&format!("{head}{key} = {value}\n"), &[]);
            none_in(&format!("the complaint about {section}.{key} = {value}"), &said, &[]);
        }
    }
    let (_, said) =
        print("", &[("MILLSTREAM_ORIGIN_SECRETS", "zq7xk9"), ("MILLSTREAM_OPERATORS_ADMIN_TOKEN", "zq7xk9")]);
    none_in("the complaint about variables", &said, &[]);
}

/// The same for an edge and what it shows to origins.
#[test]
fn an_edges_secrets_are_in_no_log() {
    let edge = Node::start(&["--role", "edge", "--origin", "http://127.0.0.1:9"], |_| {
        vec![
            ("MILLSTREAM_EDGE_ORIGIN_SECRET", FENCE.to_owned()),
            ("MILLSTREAM_OPERATORS_VIEWER_TOKEN", ADMIN.to_owned()),
            ("MILLSTREAM_ACCESS_REQUIRE", "false".to_owned()),
            ("MILLSTREAM_LOG_LEVEL", "trace".to_owned()),
        ]
    });
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let signed = "/live/one/index.m3u8?Policy=zq7xk9&Signature=zq7xk9&Key-Pair-Id=K";
        assert!(edge.status("http", signed, &[version, "-H", "Cookie: CloudFront-Signature=zq7xk9"]) >= 400);
        edge.status("http", "/api/v1/edge", &[version, "-H", &format!("Authorization: Bearer {ADMIN}")]);
    }
    wait_for("a word of the origin", UP, || edge.log().contains("127.0.0.1:9").then_some(()));
    none_in("an edge's log", &edge.log(), &[]);
    assert!(process::is_running(edge.pid()));
}

/// `millstream demo` until the test ends.
struct Demo(std::process::Child);

impl Drop for Demo {
    fn drop(&mut self) {
        process::signal(self.0.id(), "TERM");
        let _ = self.0.wait();
    }
}

/// Whether there is a stream key in a text, as servers make them.
fn has_stream_key(text: &str) -> bool {
    let is_base32 = |b: &u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(b);
    text.match_indices("ms_").any(|(at, _)| text.as_bytes()[at + 3..].iter().take_while(|b| is_base32(b)).count() >= 32)
}

/// The demo publishes to its own server: neither its arguments nor those of its programs are of use to anybody else.
#[test]
fn the_demos_stream_key_is_in_no_process_list() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = File::create(folder.path().join("demo.log")).unwrap();
    let demo = Command::new(binary("millstream"))
        .args(["demo", "--http", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--log-level", "trace", "--data-dir"])
        .arg(&data)
        .current_dir(folder.path())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let demo = Demo(demo.unwrap());
    let bound: Value = wait_for("the demo's addresses", UP, || {
        serde_json::from_str(&std::fs::read_to_string(data.join("listening.json")).ok()?).ok()
    });
    let (http, rtmp) = (bound["http"].as_str().unwrap(), bound["rtmp"].as_str().unwrap());
    wait_for("the demo's channel", UP, || {
        let (_, channel) = send_as(None, "GET", &format!("http://{http}/api/v1/channels/demo"), None);
        (channel["state"] == "live").then_some(())
    });
    let children = process::children(demo.0.id());
    let source = children.iter().find(|pid| proc(**pid, "cmdline").starts_with("ffmpeg"));
    assert!(source.is_some(), "the picture comes from somewhere else: {children:?}");
    let port = rtmp.rsplit_once(':').unwrap().1;
    for pid in children.into_iter().chain([demo.0.id()]) {
        let words = proc(pid, "cmdline");
        for telling in ["rtmp://", port, "demo-stream-key"] {
            assert!(!words.contains(telling), "{telling} in {}", words.replace('\0', " "));
        }
        assert!(!has_stream_key(&words) && !has_stream_key(&proc(pid, "environ")), "{}", words.replace('\0', " "));
    }
    let said = std::fs::read_to_string(folder.path().join("demo.log")).unwrap();
    assert!(said.contains("DEBUG") && !has_stream_key(&said), "the key is in the log");
    // Nor is it one that everybody knows.
    let known = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10", "-t", "1", "-f", "flv"])
        .arg(format!("rtmp://{rtmp}/live/demo-stream-key"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&known.stderr).into_owned();
    assert!(!known.status.success() && said.contains("the stream key is not valid"), "{said}");
}
