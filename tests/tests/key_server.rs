//! Keys from a key server (SPEKE 2.0): asked for ahead, carried into playlists, MPD and init segments; a server that is away
//! stops nothing that has a key, and without any key nothing goes out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use millstream_check::http::Http;
use millstream_check::{Options, live};
use millstream_tests::client::get;
use millstream_tests::key_server::KeyServer;
use millstream_tests::wait::holds_for;
use millstream_tests::{Channel, Publisher, Server, Source, Viewer, decode, decrypt, wait_for};

const UP: Duration = Duration::from_secs(60);

fn server(keys: &KeyServer, settings: &str) -> Server {
    server_in(keys, settings, "headers = \"news.headers\"", &[])
}

fn server_in(keys: &KeyServer, settings: &str, access: &str, variables: &[(&str, &str)]) -> Server {
    let mut server = Server::start_in(&[], "", variables);
    server.stop();
    let folder = server.folder().join("data/content-keys");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("news.headers"), "# of the test\nAuthorization: Bearer of-the-test\n").unwrap();
    let protection = format!(
        "[channel.protection]\n{settings}\n[channel.protection.speke]\nurl = \"{}\"\ncontent_id = \"news-2026\"\n\
         systems = [\"widevine\", \"playready\", \"fairplay\"]\naudio_key = true\n{access}",
        keys.url()
    );
    server.set_channels(&[Channel::passthrough("demo").set(&protection)]);
    server.start_again();
    server
}

fn warned(server: &Server) -> bool {
    server.channel("demo")["warnings"].to_string().contains("has not given the key")
}

fn metric(server: &Server, line: &str) -> f64 {
    let text = get(&server.url("/metrics")).map(|r| String::from_utf8_lossy(&r.body).into_owned()).unwrap_or_default();
    let found = text.lines().find(|l| l.starts_with(line)).and_then(|l| l.rsplit(' ').next()?.parse().ok());
    found.unwrap_or(-1.0)
}

/// Ids of the keys of the listed video segments, oldest first; each decrypts and decodes.
fn played(viewer: &mut Viewer, name: &str, keys: &KeyServer) -> Vec<[u8; 16]> {
    let mut ids: Vec<[u8; 16]> = Vec::new();
    let list = viewer.media(name).unwrap();
    let mut runs: Vec<(String, Vec<Bytes>)> = Vec::new();
    for segment in &list.segments {
        let map = segment.map.as_ref().unwrap().0.clone();
        let bytes = viewer.bytes(&format!("{name}/{}", segment.uri)).unwrap();
        match runs.last_mut().filter(|(last, _)| *last == map) {
            Some((_, all)) => all.push(bytes),
            None => runs.push((map, vec![bytes])),
        }
    }
    for (map, segments) in runs {
        let (track, init) = decrypt::init(&viewer.bytes(&format!("{name}/{map}")).unwrap());
        let clear: Vec<Vec<u8>> = segments.iter().map(|s| decrypt::segment(s, &track, &keys.keys())).collect();
        let file = decode::concatenate(&init, &clear);
        assert_eq!(decode::decoded_frames(&file), decode::packets(&file).0.len());
        ids.push(track.key_id);
    }
    ids
}

#[test]
fn keys_are_fetched_ahead_and_signalled_and_an_absence_is_survived() {
    let keys = KeyServer::start();
    let server = server(&keys, "rotation_seconds = 10");
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    // The period at hand and the next.
    wait_for("the next key", UP, || (keys.asked().len() >= 2).then_some(()));
    let first = keys.asked().swap_remove(0);
    for wanted in ["x-speke-version: 2.0", "authorization: bearer of-the-test", "content-type: application/xml"] {
        assert!(first.headers.contains(wanted), "no {wanted} in {}", first.headers);
    }
    for wanted in ["contentId=\"news-2026\"", "version=\"2.3\"", "commonEncryptionScheme=\"cbcs\"", "index=\"0\""] {
        assert!(first.body.contains(wanted), "no {wanted} in {}", first.body);
    }
    assert!(!server.log().contains("of-the-test"));

    let text = |viewer: &mut Viewer, path: &str| String::from_utf8(viewer.bytes(path).unwrap().to_vec()).unwrap();
    let (list, index) = (text(&mut viewer, &format!("{name}/index.m3u8")), text(&mut viewer, "index.m3u8"));
    let mpd = text(&mut viewer, "manifest.mpd");
    assert!(list.contains("KEYFORMAT=\"com.apple.streamingkeydelivery\"") && list.contains("URI=\"skd://"), "{list}");
    assert!(index.contains("#EXT-X-SESSION-KEY:") && index.contains("URI=\"skd://"), "{index}");
    for system in ["edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", "9a04f079-9840-4286-ab92-e65be0885f95"] {
        assert!(mpd.contains(&format!("urn:uuid:{system}")) && list.contains(system), "{mpd}");
    }
    assert!(!mpd.contains("94ce86fb"), "FairPlay is for HLS alone");
    let options =
        Options { duration: Duration::from_secs(12), mpd: Some(viewer.url("manifest.mpd")), ..Options::default() };
    let report = live(&mut Http::new(), &viewer.url("index.m3u8"), options);
    report.findings.iter().for_each(|finding| println!("{finding}"));
    assert_eq!(report.errors().count(), 0, "the checker found errors; they are listed above");

    // The server goes away: the keys that are there are used up, then the last one stays.
    keys.set_away(true);
    wait_for("the key to be overdue", UP, || warned(&server).then_some(()));
    assert_eq!(metric(&server, "millstream_key_overdue{"), 1.0);
    wait_for("failures to be counted", UP, || {
        let text = get(&server.url("/metrics"))?;
        let text = String::from_utf8_lossy(&text.body).into_owned();
        let line = text.lines().find(|l| l.contains("key_server_requests_total{") && l.contains("failed"))?.to_owned();
        (line.rsplit(' ').next()?.parse::<f64>().ok()? > 0.0).then_some(())
    });
    let newest = viewer.newest(&name).unwrap();
    viewer.wait_number(&name, newest + 2, UP);
    let before = *played(&mut viewer, &name, &keys).last().unwrap();
    keys.set_away(false);
    wait_for("the key that was due", UP, || (!warned(&server)).then_some(()));
    let after = wait_for("segments under another key", UP, || {
        let newest = viewer.newest(&name)?;
        viewer.wait_number(&name, newest + 1, UP);
        played(&mut viewer, &name, &keys).last().copied().filter(|id| *id != before)
    });
    assert_ne!(before, after);
    assert_eq!(metric(&server, "millstream_key_overdue{"), 0.0);
    let all: BTreeSet<_> = played(&mut viewer, &name, &keys).into_iter().collect();
    assert!(all.len() >= 2, "{all:?}");
    for (_, key) in keys.keys() {
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        assert!(!server.log().contains(&hex), "a key in the log");
        assert_ne!(get(&server.url(&format!("/live/demo/{hex}.key"))).map(|r| r.status), Some(200));
    }
}

/// What openssl says of a text: `-sha256`, with more arguments an HMAC; in hexadecimal.
fn digest(arguments: &[&str], text: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is not installed");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    out.trim().rsplit(' ').next().unwrap().to_owned()
}

fn hmac(key: &str, text: &str) -> String {
    digest(&["-mac", "HMAC", "-macopt", &format!("hexkey:{key}")], text)
}

/// As Amazon's API Gateway verifies it: the signature follows from what came and the secret.
#[test]
fn requests_are_signed_for_amazons_gateway() {
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let keys = KeyServer::start();
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", "of+the/test=="),
    ];
    let server = server_in(&keys, "", "aws_region = \"eu-west-1\"", &variables);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    assert_eq!(played(&mut viewer, &name, &keys).len(), 1);

    let asked = keys.asked().swap_remove(0);
    let header = |name: &str| -> String {
        let mut lines = asked.raw.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).unwrap_or_else(|| panic!("no {name}")).1.trim().to_owned()
    };
    let authorization = header("authorization");
    let field = |name: &str| authorization.split(&format!("{name}=")).nth(1).unwrap().split(',').next().unwrap();
    let (date, signed) = (header("x-amz-date"), field("SignedHeaders"));
    let scope = format!("{}/eu-west-1/execute-api/aws4_request", &date[..8]);
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 "), "{authorization}");
    assert_eq!(field("Credential"), format!("AKIDEXAMPLE/{scope}"));
    for name in ["host", "content-type", "x-amz-date", "x-amz-security-token"] {
        assert!(signed.split(';').any(|n| n == name), "{name} is not signed: {signed}");
    }
    let path = asked.raw.split(' ').nth(1).unwrap();
    let headers: String = signed.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let request = format!("POST\n{path}\n\n{headers}\n{signed}\n{}", digest(&[], &asked.body));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", digest(&[], &request));
    let first: String = format!("AWS4{SECRET}").bytes().map(|b| format!("{b:02x}")).collect();
    let key = scope.split('/').fold(first, |key, part| hmac(&key, part));
    assert_eq!(field("Signature"), hmac(&key, &text));
    assert!(!server.log().contains(SECRET) && !server.log().contains("of+the/test"));
}

/// "Content key encryption" of SPEKE: what goes over the wire has no key in it that could be read.
#[test]
fn keys_come_encrypted_for_a_certificate() {
    let keys = KeyServer::start();
    let mut server = server_in(&keys, "", "headers = \"news.headers\"\ncertificate = \"news.pem\"", &[]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    wait_for("the file to be missed", UP, || server.log().contains("news.pem cannot be read").then_some(()));
    assert!(keys.asked().is_empty(), "asked without the certificate");
    server.stop();
    let folder = server.folder().join("data/content-keys");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=millstream", "-days", "30"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(&folder)
        .output()
        .expect("openssl is not installed");
    assert!(made.status.success(), "{made:?}");
    let parts = ["certificate.pem", "key.pem"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
    std::fs::write(folder.join("news.pem"), parts.concat()).unwrap();
    server.start_again();
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    assert_eq!(played(&mut viewer, &name, &keys).len(), 1);
    let asked = keys.asked().swap_remove(0);
    assert!(asked.body.contains("<cpix:DeliveryData id="), "{}", asked.body);
    assert!(!asked.body.contains("PRIVATE") && !server.log().contains("PRIVATE"));
}

#[test]
fn without_a_first_key_nothing_goes_out_until_there_is_one() {
    let keys = KeyServer::start();
    keys.set_away(true);
    let server = server(&keys, "");
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    wait_for("the channel to wait", UP, || warned(&server).then_some(()));
    holds_for("nothing", Duration::from_secs(5), || {
        let answers = ["index.m3u8", "manifest.mpd"].map(|f| get(&server.viewer("demo").url(f)).map(|r| r.status));
        if answers.contains(&Some(200)) { Err(format!("{answers:?}")) } else { Ok(()) }
    });
    keys.set_away(false);
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    assert_eq!(played(&mut viewer, &name, &keys).len(), 1);
    let told = |word: &str| server.log().matches(word).count();
    assert_eq!(told("there is no key yet"), 1, "{}", server.log());
}
