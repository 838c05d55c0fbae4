//! No URL and no upload reaches a file that it should not: every way to write `..`, from every route that has a name in it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_tests::client::send_json;
use millstream_tests::node::Node;
use millstream_tests::{Channel, Server};
use serde_json::json;

const CANARY: &str = "canary-that-no-answer-holds";
const PASSPHRASE: &str = "passphrase-of-the-channel";

/// The answer to a GET whose target is sent as it is.
fn get(address: &str, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got);
    let text = String::from_utf8_lossy(&got).into_owned();
    (text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0), text)
}

/// Ways to go up a folder, with what stands between names.
const UP: [(&str, &str); 12] = [
    ("..", "/"),
    ("%2e%2e", "/"),
    ("%2E.", "/"),
    ("..", "%2f"),
    ("%2e%2e", "%2F"),
    ("..", "\\"),
    ("..", "%5c"),
    ("%252e%252e", "%252f"),
    ("..;", "/"),
    ("....", "//"),
    ("%c0%ae%c0%ae", "/"),
    ("..%00", "/"),
];
const ROUTES: [&str; 13] = [
    "/",
    "/live/",
    "/live/demo/",
    "/live/demo/720p/",
    "/vod/",
    "/vod/demo/",
    "/vod/demo/720p/",
    "/watch/",
    "/watch/vod/",
    "/embed/",
    "/assets/",
    "/api/v1/channels/",
    "/api/v1/assets/",
];

/// Everything that is tried, with these files at the end of it.
fn targets(files: &[&str]) -> Vec<String> {
    let mut targets = Vec::new();
    for route in ROUTES {
        for file in files {
            for (up, slash) in UP {
                for depth in [1, 3, 6] {
                    targets.push(format!("{route}{}{file}", format!("{up}{slash}").repeat(depth)));
                }
            }
            // Absolute, with a drive, with a byte that ends names for some.
            for start in ["/", "//", "%2f", "C:\\", "file:///", "/proc/self/cwd/"] {
                targets.push(format!("{route}{start}{file}"));
            }
            targets.push(format!("{route}{file}%00.m4s"));
            targets.push(format!("{route}{file}"));
        }
    }
    targets
}

fn search(address: &str, files: &[&str]) {
    let all = targets(files);
    assert!(all.len() > 1000);
    for target in all {
        let (status, text) = get(address, &target);
        assert!(!text.contains(CANARY) && !text.contains(PASSPHRASE) && !text.contains("root:"), "{target}: {text}");
        assert!((200..600).contains(&status), "{target}: {text}");
        let is_page = ["/watch/", "/embed/"].iter().any(|page| target.starts_with(page));
        assert!(is_page || status >= 300, "{target} is answered: {text}");
    }
}

#[test]
fn no_url_reaches_a_file_that_is_not_meant() {
    let settings = format!("srt_passphrase = \"{PASSPHRASE}\"");
    let server = Server::start(&[Channel::passthrough("demo").set(&settings)]);
    // A channel of the API has a document, which holds its passphrase in the clear.
    let (status, _) = send_json(
        "POST",
        &server.url("/api/v1/channels"),
        Some(&json!({ "name": "news", "mode": "passthrough", "srt_passphrase": PASSPHRASE })),
    );
    assert_eq!(status, 201);
    let data = server.folder().join("data");
    for folder in [server.folder(), &data, &data.join("store"), &data.join("keys")] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("canary.txt"), CANARY).unwrap();
    }
    let files = ["canary.txt", "channels/news.json", "etc/passwd"];
    search(server.http(), &files);
    let edge = Node::start(&["--role", "edge", "--origin", &server.url("")], |folder| {
        std::fs::write(folder.join("canary.txt"), CANARY).unwrap();
        vec![]
    });
    search(&edge.address("http"), &files);
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn no_upload_and_no_name_writes_outside_of_the_data_folder() {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let outside = || {
        let data = server.folder().join("data");
        let mut all: Vec<PathBuf> =
            files(server.folder()).into_iter().filter(|path| !path.starts_with(&data)).collect();
        all.sort();
        all
    };
    let before = outside();
    for name in
        ["../evil", "../../evil", "/tmp/evil", "a/../../evil", "..\\evil", "evil\0", "%2e%2e/evil", ".", "..", ""]
    {
        for (method, path, body) in [
            ("POST", "/api/v1/channels", json!({ "name": name, "mode": "passthrough" })),
            ("POST", "/api/v1/imports", json!({ "size": 5, "file": "a.mp4", "id": name })),
            ("POST", "/api/v1/clips", json!({ "source": name, "start": 0, "end": 1, "id": name })),
            ("POST", "/api/v1/channels/demo/keys", json!({ "name": name })),
            ("POST", "/api/v1/sign", json!({ "url": "https://a.example/x", "key_pair_id": name, "expires": "1h" })),
        ] {
            let (status, answer) = send_json(method, &server.url(path), Some(&body));
            assert!((400..500).contains(&status), "{path} {name:?}: {status} {answer}");
        }
        // A file's name is shown, and is no path of ours.
        let body = json!({ "size": 5, "file": name });
        let (status, answer) = send_json("POST", &server.url("/api/v1/imports"), Some(&body));
        if status == 201 {
            let asset = answer["asset"].as_str().unwrap();
            assert!(asset.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')), "{name:?}: {asset}");
        }
    }
    assert_eq!(outside(), before);
    assert!(
        !files(server.folder())
            .iter()
            .any(|path| path.ends_with("evil") && !path.to_string_lossy().contains("imports"))
    );
}
