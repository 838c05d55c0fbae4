//! HTTPS as clients that are not ours see it: ALPN, HTTP/2, a certificate that changes, HTTP/2 in cleartext; and an edge
//! whose origin speaks TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use millstream_tests::node::Node;
use millstream_tests::process;
use millstream_tests::server::binary;
use millstream_tests::wait::{wait_for, within};
use serde_json::Value;
use tempfile::TempDir;

const UP: Duration = Duration::from_secs(30);
/// A path of media, answered without a channel: 404 with a text.
const MEDIA: &str = "/live/nobody/index.m3u8";

/// A certificate for `localhost` that signs itself, in the files `cert.pem` and `key.pem` of a folder.
fn certify(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    // Key and certificate change one after the other, as certbot does it.
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
}

struct Server {
    child: Child,
    folder: TempDir,
    bound: Value,
}

impl Server {
    fn start(arguments: &[&str], variables: &[(&str, &str)], https: bool) -> Server {
        let folder = tempfile::Builder::new().prefix("millstream-tls-").tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(binary("millstream"));
        command.args(["serve", "--http", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data"));
        command.args(arguments).envs(variables.iter().copied()).env_remove("RUST_LOG");
        if https {
            certify(folder.path());
            command
                .env("MILLSTREAM_SERVER_HTTPS", "127.0.0.1:0")
                .env("MILLSTREAM_SERVER_TLS_CERTIFICATE", folder.path().join("cert.pem"))
                .env("MILLSTREAM_SERVER_TLS_KEY", folder.path().join("key.pem"));
        }
        let child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("target/release/millstream is not built");
        let mut server = Server { child, folder, bound: Value::Null };
        let listening = server.folder.path().join("data/listening.json");
        let bound = within(UP, || serde_json::from_str(&std::fs::read_to_string(&listening).ok()?).ok());
        server.bound = bound.unwrap_or_else(|| panic!("the server is not up; its log:\n{}", server.log()));
        server
    }

    fn origin() -> Server {
        Server::start(&["--rtmp", "127.0.0.1:0"], &[("MILLSTREAM_INGEST_SRT", "off")], true)
    }

    fn port(&self, door: &str) -> &str {
        self.bound[door].as_str().unwrap().rsplit_once(':').unwrap().1
    }

    fn url(&self, door: &str, path: &str) -> String {
        format!("{door}://localhost:{}{path}", self.port(door))
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// HTTP version and status as curl has them, or its exit code. `trusted` is the one certificate that it trusts.
fn curl(url: &str, trusted: &Path, arguments: &[&str]) -> Result<(String, String), i32> {
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_version} %{http_code}"])
        .args(["--ipv4", "--noproxy", "*", "--cacert"])
        .arg(trusted)
        .args(arguments)
        .arg(url)
        .output()
        .expect("curl is not installed");
    let text = String::from_utf8(output.stdout).unwrap();
    let (version, status) = text.split_once(' ').unwrap();
    if output.status.success() {
        Ok((version.to_owned(), status.to_owned()))
    } else {
        Err(output.status.code().unwrap_or(-1))
    }
}

fn answer(version: &str, status: &str) -> Result<(String, String), i32> {
    Ok((version.to_owned(), status.to_owned()))
}

#[test]
fn alpn_says_which_http_is_spoken() {
    let server = Server::origin();
    let trusted = server.certificate();
    for (path, status) in [("/healthz", "200"), (MEDIA, "404")] {
        let url = server.url("https", path);
        assert_eq!(curl(&url, &trusted, &["--http2"]), answer("2", status), "{path}");
        assert_eq!(curl(&url, &trusted, &["--http1.1"]), answer("1.1", status), "{path}");
        assert_eq!(curl(&url, &trusted, &["--http1.1", "--tls-max", "1.2"]), answer("1.1", status), "{path}");
        // Load balancers speak it to us in cleartext, and know that we do.
        let url = server.url("http", path);
        assert_eq!(curl(&url, &trusted, &["--http2-prior-knowledge"]), answer("2", status), "{path}");
        assert_eq!(curl(&url, &trusted, &["--http1.1"]), answer("1.1", status), "{path}");
    }
}

#[test]
fn a_certificate_that_changed_is_used_and_a_broken_one_is_not() {
    const NOT_TRUSTED: i32 = 60;
    let server = Server::origin();
    let url = server.url("https", "/healthz");
    let former = server.folder.path().join("former.pem");
    std::fs::copy(server.certificate(), &former).unwrap();
    assert_eq!(curl(&url, &former, &[]), answer("2", "200"));

    std::fs::write(server.certificate(), "no certificate").unwrap();
    wait_for("the complaint", UP, || server.log().contains("the former one stays").then_some(()));
    assert_eq!(curl(&url, &former, &[]), answer("2", "200"));

    certify(server.folder.path());
    process::signal(server.child.id(), "HUP");
    wait_for("the new certificate", UP, || curl(&url, &server.certificate(), &[]).ok());
    assert_eq!(curl(&url, &former, &[]), Err(NOT_TRUSTED), "{}", server.log());
}

#[test]
fn a_certificate_that_is_not_there_is_said_once_and_how_to_mend_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(binary("millstream"))
        .args(["serve", "--http", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .env("MILLSTREAM_SERVER_HTTPS", "127.0.0.1:0")
        .env("MILLSTREAM_SERVER_TLS_CERTIFICATE", folder.path().join("none.pem"))
        .env("MILLSTREAM_SERVER_TLS_KEY", folder.path().join("none.pem"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
    assert!(text.contains("server.tls_certificate") && text.contains("check the path"), "{text}");
}

#[test]
fn an_edge_asks_an_origin_over_tls_if_it_trusts_it() {
    let origin = Server::origin();
    let edge = |trusted: Option<&Path>| {
        let url = origin.url("https", "");
        let trusted = trusted.map(|path| ("MILLSTREAM_EDGE_ORIGIN_CA", path.to_str().unwrap()));
        // A busy machine's handshake may take longer than the default.
        let variables: Vec<_> = trusted.into_iter().chain([("MILLSTREAM_EDGE_FAILOVER_MS", "3000")]).collect();
        Server::start(&["--role", "edge", "--origin", &url], &variables, false)
    };
    let none = Path::new("/dev/null");
    let trusting = edge(Some(&origin.certificate()));
    // The origin's own answer: the edge has none such of its own.
    assert_eq!(curl(&trusting.url("http", MEDIA), none, &[]), answer("1.1", "404"), "{}", trusting.log());
    let wary = edge(None);
    let (_, status) = curl(&wary.url("http", MEDIA), none, &[]).unwrap();
    assert!(status.starts_with("50"), "{status}: {}", wary.log());
}

/// STANDARDS 7.6: the scheme of `Resource` is that of the URL which the viewer used.
#[test]
fn what_is_signed_for_one_scheme_opens_nothing_over_the_other() {
    let server = Server::start(
        &["--rtmp", "127.0.0.1:0"],
        &[("MILLSTREAM_INGEST_SRT", "off"), ("MILLSTREAM_ACCESS_REQUIRE", "true")],
        true,
    );
    let command = |arguments: &[&str]| {
        let mut command = Command::new(binary("millstream"));
        command.args(arguments).env("MILLSTREAM_SERVER_DATA_DIR", server.folder.path().join("data"));
        let output = command.current_dir(server.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let made: Value = serde_json::from_str(&command(&["key", "create", "--out", "private.pem", "--json"])).unwrap();
    let id = made["key_pair_id"].as_str().unwrap().to_owned();
    let trusted = server.certificate();
    let sign = |resource: &str, url: &str| {
        let key = ["--key-file", "private.pem", "--key-pair-id", &id, "--expires", "1h"];
        let signed = command(&[&["sign", url, "--resource", resource][..], &key].concat());
        signed.split_once('?').unwrap().1.to_owned()
    };
    let url = |door: &str, query: &str| format!("{}?{query}", server.url(door, MEDIA));
    let for_https = sign(&server.url("https", "/live/nobody/*"), &server.url("https", MEDIA));
    // The key is trusted within seconds.
    wait_for("the key", UP, || {
        (curl(&url("https", &for_https), &trusted, &["--http1.1"]) == answer("1.1", "404")).then_some(())
    });
    assert_eq!(curl(&url("https", &for_https), &trusted, &["--http2"]), answer("2", "404"));
    // The same words, whose port is the other door's.
    let for_cleartext_port =
        sign(&server.url("http", "/live/nobody/*").replacen("http", "https", 1), &server.url("http", MEDIA));
    let said = "X-Forwarded-Proto: https";
    for arguments in [&["--http1.1"][..], &["--http2-prior-knowledge"], &["--http1.1", "--header", said]] {
        let version = if arguments.contains(&"--http1.1") { "1.1" } else { "2" };
        assert_eq!(
            curl(&url("http", &for_cleartext_port), &trusted, arguments),
            answer(version, "403"),
            "{arguments:?}"
        );
    }
    let for_http = sign(&server.url("http", "/live/nobody/*"), &server.url("http", MEDIA));
    assert_eq!(curl(&url("http", &for_http), &trusted, &["--http1.1"]), answer("1.1", "404"));
    let for_either = sign("*", &server.url("http", MEDIA));
    for door in ["http", "https"] {
        assert_eq!(curl(&url(door, &for_either), &trusted, &["--http1.1"]), answer("1.1", "404"), "{door}");
    }
}

#[test]
fn browsers_are_told_what_they_may_do() {
    let server = Node::start(&[], |folder| {
        let mut variables = Node::https(folder);
        variables.push(("MILLSTREAM_SERVER_HSTS_SECONDS", "86400".to_owned()));
        variables
    });
    for path in ["/healthz", "/nothing", "/api/v1/time", "/metrics"] {
        let got = server.curl("https", path, &[]).unwrap();
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(got.header("referrer-policy"), Some("same-origin"), "{path}");
        let policy = got.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(got.header("strict-transport-security"), Some("max-age=86400"), "{path}");
        let clear = server.curl("http", path, &[]).unwrap();
        assert_eq!(clear.header("strict-transport-security"), None, "{path}: it means nothing in cleartext");
    }
    // Media may be played by pages anywhere, and is nothing but media.
    for path in [MEDIA, "/vod/nothing/asset.mp4", "/live/nobody/../x.m3u8"] {
        let got = server.curl("https", path, &["--path-as-is"]).unwrap();
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"), "{path}: {got:?}");
    }
    let page = server.curl("https", "/", &[]).unwrap();
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'"), "{page:?}");
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(server.file(path)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("data/store/channels"), 0o700, "documents hold passphrases in the clear");
}

/// Nothing older than TLS 1.2, and no cipher without forward secrecy and authentication.
#[test]
fn old_versions_and_weak_ciphers_get_no_connection() {
    let server = Server::origin();
    let offer = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{}", server.port("https"))])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("openssl is not installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let cipher = text.lines().find_map(|line| line.strip_prefix("New, ")?.split_once("Cipher is ")).map(|(_, c)| c);
        cipher.filter(|cipher| *cipher != "(NONE)").map(str::to_owned)
    };
    let any = "ALL:COMPLEMENTOFALL:@SECLEVEL=0";
    for old in ["-tls1", "-tls1_1"] {
        assert_eq!(offer(&[old, "-cipher", any]), None, "{old}");
    }
    for weak in
        ["AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "NULL-SHA256"]
    {
        assert_eq!(offer(&["-tls1_2", "-cipher", &format!("{weak}:@SECLEVEL=0")]), None, "{weak}");
    }
    let best = offer(&["-tls1_2", "-cipher", any]).expect("TLS 1.2");
    assert!(best.starts_with("ECDHE-") && (best.contains("GCM") || best.contains("POLY1305")), "{best}");
    assert!(offer(&["-tls1_3"]).is_some_and(|cipher| cipher.starts_with("TLS_")));
}

/// One client's haste is not another's: behind a proxy each address has its own rate.
#[test]
fn pages_and_the_api_have_a_rate_for_each_client() {
    let server = Node::start(&[], |_| {
        vec![
            ("MILLSTREAM_LIMITS_PAGE_REQUESTS_PER_SECOND_PER_ADDRESS", "1".to_owned()),
            ("MILLSTREAM_ACCESS_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
        ]
    });
    let ask = |address: &str| server.curl("http", "/healthz", &["--header", &format!("X-Forwarded-For: {address}")]);
    let answers: Vec<_> = (0..8).map(|_| ask("192.0.2.7").unwrap()).collect();
    let refused = answers.iter().find(|got| got.status == 429).expect("eight requests at once");
    assert_eq!((refused.header("retry-after"), refused.header("cache-control")), (Some("1"), Some("no-store")));
    assert_eq!(ask("192.0.2.8").unwrap().status, 200);
    assert_eq!(server.status("http", "/healthz", &["--interface", "127.0.0.2"]), 200, "loopback has none");
}

/// `systemctl reload` as docs/security.md has it: a server without a certificate of its own, behind a proxy, goes on.
#[test]
fn a_hangup_ends_no_server() {
    for role in [&[][..], &["--role", "edge", "--origin", "http://127.0.0.1:9"]] {
        let open = [("MILLSTREAM_ACCESS_REQUIRE", "false")];
        let mut server = Server::start(role, &open, false);
        process::signal(server.child.id(), "HUP");
        wait_for("a word of it", UP, || server.log().contains("SIGHUP").then_some(()));
        assert!(server.child.try_wait().unwrap().is_none(), "{}", server.log());
    }
}
