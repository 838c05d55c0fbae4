//! Operators end to end: the first token, tokens and users by the command line, roles and channels over HTTP, the log.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use millstream_tests::client::{get, send_as, send_json};
use millstream_tests::{Channel, Server, wait_for};
use serde_json::{Value, json};

const REQUIRED: &str = "[operators]\nrequire = true\n";

/// The newest token that the server printed at a start.
fn first_token(server: &Server) -> String {
    let found = || server.log().lines().rev().find_map(|line| line.trim().strip_prefix("mst_").map(str::to_owned));
    format!("mst_{}", wait_for("a first token", Duration::from_secs(5), found))
}

fn made(server: &Server, by: &str, arguments: &[&str]) -> String {
    let arguments = [&["token", "create", "--json"], arguments].concat();
    let answer = server.command_as(Some(by), &arguments, "").unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

#[test]
fn the_first_token_makes_an_admin_and_ends() {
    let mut server = Server::start_with(&[Channel::passthrough("news")], REQUIRED);
    let first = first_token(&server);
    let channels = server.url("/api/v1/channels");
    let (status, problem) = send_json("GET", &channels, None);
    assert_eq!(status, 401, "{problem}");
    let error = server.command(&["channel", "list"]).unwrap_err();
    assert!(error.contains("MILLSTREAM_TOKEN") && error.trim().lines().count() == 1, "{error}");
    assert_eq!(send_as(Some(&first), "GET", &channels, None).0, 200);
    // Another start prints another, and the one before opens nothing.
    server.stop();
    server.start_again();
    let second = first_token(&server);
    assert_ne!(first, second);
    assert_eq!(send_as(Some(&first), "GET", &channels, None).0, 401);

    let weak = server.command_as(Some(&second), &["user", "add", "anna", "--role", "admin"], "short\n").unwrap_err();
    assert!(weak.contains("fewer than 10 characters"), "{weak}");
    let password = "correct horse battery";
    server.command_as(Some(&second), &["user", "add", "anna", "--role", "admin"], &format!("{password}\n")).unwrap();
    assert_eq!(send_as(Some(&second), "GET", &channels, None).0, 401, "there is an admin: the first token has ended");
    let body = json!({"user": "anna", "password": password});
    let (status, session) = send_json("POST", &server.url("/api/v1/session"), Some(&body));
    assert_eq!((status, &session["caller"]["role"]), (200, &json!("admin")));

    // What viewers need is open, what programs on this machine ask for, too.
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/time", "/", "/watch/news"] {
        assert_eq!(get(&server.url(path)).unwrap().status, 200, "{path}");
    }
    let file = server.folder().join("data/operators.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&file).unwrap() + &server.log().replace(&second, "").replace(&first, "");
    for secret in [password, &first, &second] {
        assert!(!kept.contains(secret), "a secret is in the file or in the log");
    }
    // There is an admin: no token is printed any more.
    let printed = server.log().matches("    mst_").count();
    server.stop();
    server.start_again();
    assert_eq!(server.log().matches("    mst_").count(), printed);
    assert_eq!(send_json("GET", &channels, None).0, 401);
    // A file that cannot be read is no server without operators.
    server.stop();
    std::fs::write(&file, "{}").unwrap();
    let error = server.command(&["serve", "--rtmp", "off", "--http", "127.0.0.1:0"]).unwrap_err();
    assert!(error.contains("operators.json") && error.contains("move it away"), "{error}");
}

#[test]
fn roles_channels_ends_and_revocation_hold() {
    let server = Server::start(&[Channel::passthrough("news"), Channel::passthrough("sport")]);
    // On loopback with nothing configured the demo needs no token; the first one closes the API.
    server.command(&["channel", "list"]).unwrap();
    server.command(&["token", "create", "root", "--role", "admin", "--out", "data/token"]).unwrap();
    assert_eq!(send_json("GET", &server.url("/api/v1/channels"), None).0, 401);
    // The command line finds the token in the data folder.
    server.command(&["channel", "list"]).unwrap();
    let again = server.command(&["token", "create", "more", "--role", "viewer", "--out", "data/token"]).unwrap_err();
    assert!(again.contains("--out"), "{again}");
    let root = std::fs::read_to_string(server.folder().join("data/token")).unwrap();
    let root = root.trim();

    let viewer = made(&server, root, &["seer", "--role", "viewer"]);
    let scoped = made(&server, root, &["studio", "--role", "operator", "--channel", "news"]);
    let brief = made(&server, root, &["brief", "--role", "viewer", "--expires", "1s"]);
    for (token, method, path, want) in [
        (&viewer, "GET", "/api/v1/channels/news", 200),
        (&viewer, "POST", "/api/v1/channels/news/stop", 403),
        (&viewer, "POST", "/api/v1/channels/news/keys", 403),
        (&viewer, "GET", "/api/v1/imports", 200),
        (&viewer, "POST", "/api/v1/imports", 403),
        (&viewer, "GET", "/api/v1/tokens", 403),
        (&scoped, "POST", "/api/v1/channels/news/stop", 200),
        (&scoped, "POST", "/api/v1/channels/news/start", 200),
        (&scoped, "POST", "/api/v1/channels/sport/stop", 403),
        (&scoped, "GET", "/api/v1/imports", 403),
        (&scoped, "POST", "/api/v1/tokens", 403),
    ] {
        let (status, answer) = send_as(Some(token), method, &server.url(path), None);
        assert_eq!(status, want, "{method} {path}: {answer}");
    }
    let listed = server.command_as(Some(root), &["token", "list"], "").unwrap();
    assert!(listed.contains("studio") && !listed.contains("mst_"), "{listed}");
    let channels = server.url("/api/v1/channels");
    wait_for("the token to end", Duration::from_secs(5), || {
        (send_as(Some(&brief), "GET", &channels, None).0 == 401).then_some(())
    });
    assert_eq!(send_as(Some(&viewer), "GET", &channels, None).0, 200);
    server.command_as(Some(root), &["token", "revoke", "seer"], "").unwrap();
    assert_eq!(send_as(Some(&viewer), "GET", &channels, None).0, 401, "at once");
    let last = server.command_as(Some(root), &["token", "revoke", "root"], "").unwrap_err();
    assert!(last.contains("last admin"), "{last}");

    // Who did what is in the log, and no secret.
    let log = server.log();
    let line = log.lines().find(|line| line.contains("operator's request") && line.contains("/channels/news/stop"));
    assert!(line.is_some_and(|line| line.contains("seer") && line.contains("403")), "{log}");
    assert!(
        log.lines().any(|line| line.contains("operator's request") && line.contains("studio") && line.contains("200"))
    );
    assert!(!log.contains("mst_"), "{log}");
}

#[test]
fn tokens_of_the_configuration_need_no_first_token() {
    let admin = "an-admin-by-the-environment-0123456789";
    let server = Server::start_in(&[], REQUIRED, &[("MILLSTREAM_OPERATORS_ADMIN_TOKEN", admin)]);
    assert_eq!(send_as(Some(admin), "GET", &server.url("/api/v1/tokens"), None).0, 200);
    assert_eq!(send_json("GET", &server.url("/api/v1/tokens"), None).0, 401);
    assert!(!server.log().contains("mst_") && !server.log().contains(admin), "{}", server.log());
    let printed = server.command_as(None, &["serve", "--print-config"], "").unwrap();
    assert!(printed.contains("[operators]") && !printed.contains(admin), "{printed}");
}
