//! Who may do what, held against a running server: each row of docs/reference/roles.md for each kind of caller, and no
//! route without a row.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

use millstream_tests::client::{get, send_as, send_json};
use millstream_tests::{Channel, Server};
use serde_json::{Value, json};

const ADMIN: &str = "an-admin-by-the-environment-0123456789";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A row of the reference.
#[derive(Debug)]
struct Row {
    method: String,
    path: String,
    /// `none`, `viewer`, `viewer, or none from this machine`, `operator`, `admin`.
    role: String,
    /// `the same`, `theirs`, `shows theirs`, `no`.
    scope: String,
}

fn rows() -> Vec<Row> {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/reference/roles.md")).unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("| `")?.split(" | ").collect();
        let (method, path) = cells.first()?.trim_end_matches('`').split_once(' ')?;
        let scope = cells.get(3)?.trim_end_matches(" |");
        Some(Row { method: method.into(), path: path.into(), role: (*cells.get(2)?).into(), scope: scope.into() })
    };
    page.lines().filter_map(row).collect()
}

/// Who asks, with the rank of the role: 0 for nobody, 3 for an admin.
struct Caller {
    who: &'static str,
    token: Option<String>,
    rank: u8,
    /// The one channel that it is for.
    only: Option<&'static str>,
}

fn callers(server: &Server) -> Vec<Caller> {
    let made = |name: &str, role: &str, channels: Value| {
        let body = json!({"name": name, "role": role, "channels": channels});
        let (status, answer) = send_as(Some(ADMIN), "POST", &server.url("/api/v1/tokens"), Some(&body));
        assert_eq!(status, 201, "{answer}");
        answer["token"].as_str().map(str::to_owned)
    };
    let caller = |who, role: &str, rank, only: Option<&'static str>| {
        let channels = only.map_or(Value::Null, |name| json!([name]));
        Caller { who, token: made(who, role, channels), rank, only }
    };
    vec![
        Caller { who: "nobody", token: None, rank: 0, only: None },
        Caller { who: "forged", token: Some("mst_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into()), rank: 0, only: None },
        caller("viewer", "viewer", 1, None),
        caller("viewer-in-scope", "viewer", 1, Some("news")),
        caller("viewer-elsewhere", "viewer", 1, Some("sport")),
        caller("operator", "operator", 2, None),
        caller("operator-in-scope", "operator", 2, Some("news")),
        caller("operator-elsewhere", "operator", 2, Some("sport")),
        caller("admin", "admin", 3, None),
    ]
}

/// Whether a caller is to be let through to a row, and by which refusal not. `None` where the server looks at what it
/// works on first.
fn wanted(row: &Row, caller: &Caller) -> Result<(), u16> {
    let needs = match row.role.as_str() {
        "none" => return Ok(()),
        // This test is a program on the server's machine.
        "viewer, or none from this machine" if caller.token.is_none() => return Ok(()),
        "viewer, or none from this machine" | "viewer" => 1,
        "operator" => 2,
        "admin" => 3,
        other => panic!("{other}"),
    };
    match (caller.rank, row.scope.as_str(), caller.only) {
        (0, ..) => Err(401),
        (rank, ..) if rank < needs => Err(403),
        (_, "no", Some(_)) => Err(403),
        (_, "theirs", Some(only)) if row.path.contains("/channels/{name}") && only != "news" => Err(403),
        _ => Ok(()),
    }
}

#[test]
fn each_row_of_the_reference_holds_for_each_caller() {
    let channels = [Channel::passthrough("news"), Channel::passthrough("sport")];
    let server = Server::start_in(&channels, "", &[("MILLSTREAM_OPERATORS_ADMIN_TOKEN", ADMIN)]);
    let callers = callers(&server);
    let rows = rows();
    assert!(rows.len() > 45, "{}", rows.len());
    let mut asked = 0;
    for row in rows.iter().filter(|row| row.path != "/api/v1/edge") {
        // What a row would delete or revoke is not there, so that the next caller finds the same.
        let path = row.path.replace("{name}", "news").replace("{id}", "nosuch").replace("{key}", "nosuch");
        let url = server.url(&path.replace("{token}", "nosuch").replace("{user}", "nosuch"));
        for caller in &callers {
            if row.method == "DELETE" && row.path == "/api/v1/channels/{name}" && wanted(row, caller).is_ok() {
                continue;
            }
            let body = matches!(row.method.as_str(), "POST" | "PATCH").then(|| json!({}));
            let (status, answer) = send_as(caller.token.as_deref(), &row.method, &url, body.as_ref());
            let shown = format!("{}: {} {}: {status} {answer}", caller.who, row.method, row.path);
            match wanted(row, caller) {
                Err(want) => assert_eq!(status, want, "{shown}"),
                Ok(()) => {
                    // A log-in without anything that proves who it is.
                    let log_in = row.path == "/api/v1/session" && row.method == "POST";
                    assert!(log_in || ![401, 403, 405, 500, 501].contains(&status), "{shown}");
                }
            }
            asked += 1;
        }
    }
    assert!(asked > 400, "{asked}");
}

#[test]
fn what_the_server_looks_at_first_is_held_by_channel_too() {
    let channels = [Channel::passthrough("news"), Channel::passthrough("sport")];
    let server = Server::start_in(&channels, "", &[("MILLSTREAM_OPERATORS_ADMIN_TOKEN", ADMIN)]);
    for caller in callers(&server) {
        let Some(only) = caller.only else { continue };
        let token = caller.token.as_deref();
        let listed = send_as(token, "GET", &server.url("/api/v1/channels"), None).1;
        let names: Vec<_> =
            listed["channels"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names, [only], "{}", caller.who);
        let body = json!({"name": "another", "mode": "passthrough"});
        let (status, answer) = send_as(token, "POST", &server.url("/api/v1/channels"), Some(&body));
        assert_eq!(status, 403, "{}: {answer}", caller.who);
    }
}

/// A route that is not in the reference, because it is a page, media or a publisher's, with what anybody is answered.
const OPEN: &[(&str, u16)] = &[
    ("/", 200),
    ("/watch/{channel}", 200),
    ("/watch/vod/{asset}", 200),
    ("/embed/{channel}", 200),
    ("/assets/{*path}", 404),
    // Taken and removed with a stream key (tests/cmaf_ingest.rs).
    ("/ingest/{channel}/{*object}", 405),
];

/// Every literal that a router of the server is given, and every row, are the same. A route that is forgotten in the table is
/// not answered by the guard; one that is put beside the guard is found here.
#[test]
fn no_route_is_without_a_row() {
    let mut routes = BTreeSet::new();
    for folder in ["crates/control/src", "crates/millstream/src/serve"] {
        sources(&Path::new(ROOT).join(folder), &mut |text| {
            for part in text.split(".route(").skip(1) {
                let Some(path) = part.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                    panic!("a route is no literal, so this test cannot see it: {}", &part[..part.len().min(80)]);
                };
                routes.insert(path.to_owned());
            }
        });
    }
    sources(&Path::new(ROOT).join("crates/millstream/src/assets.rs"), &mut |text| {
        for part in text.split(".route(\"").skip(1) {
            routes.insert(part.split('"').next().unwrap().to_owned());
        }
    });
    for (open, _) in OPEN {
        assert!(routes.remove(*open), "{open} is no route any more");
    }
    let below = |route: &String| {
        let known = ["/healthz", "/readyz", "/metrics"].contains(&route.as_str()) || route.starts_with("/api/v1/");
        if known { route.clone() } else { format!("/api/v1{route}") }
    };
    let routes: BTreeSet<_> = routes.iter().map(below).collect();
    let rows: BTreeSet<_> = rows().into_iter().map(|row| row.path).collect();
    assert_eq!(routes, rows);

    let server = Server::start_in(&[], "", &[("MILLSTREAM_OPERATORS_ADMIN_TOKEN", ADMIN)]);
    for (path, status) in OPEN {
        let path = path.replace("{channel}", "news").replace("{asset}", "a").replace("{*path}", "../../etc/passwd");
        let path = path.replace("{*object}", "Streams(video.cmfv)");
        assert_eq!(get(&server.url(&path)).unwrap().status, *status, "{path}");
    }
    for (path, status) in [("/api/v1/nothing", 401), ("/nothing", 404), ("/api", 404), ("/metrics/x", 404)] {
        assert_eq!(get(&server.url(path)).unwrap().status, status, "{path}");
    }
}

fn sources(at: &Path, read: &mut impl FnMut(&str)) {
    if at.is_file() {
        return read(&std::fs::read_to_string(at).unwrap());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.iter().filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "rs")).for_each(|path| {
        sources(path, read);
    });
}

/// An address of this machine that is not loopback, if it has one: what leaves for elsewhere leaves from it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // (Nothing is sent: it only asks the table of routes.)
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn from_elsewhere_metrics_need_a_viewer() {
    let viewer = "a-viewer-by-the-environment-0123456789";
    let trusted = "[access]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let mut server = Server::start_in(&[], trusted, &[("MILLSTREAM_OPERATORS_VIEWER_TOKEN", viewer)]);
    let metrics = server.url("/metrics");
    assert_eq!(get(&metrics).unwrap().status, 200, "a program on this machine");
    // Through a proxy on this machine it is somebody elsewhere, trusted or not.
    for header in ["x-forwarded-for: 203.0.113.9", "forwarded: for=203.0.113.9", "x-real-ip: 203.0.113.9"] {
        let (name, value) = header.split_once(": ").unwrap();
        let response = ureq::get(&metrics).config().http_status_as_error(false).build().header(name, value).call();
        assert_eq!(response.unwrap().status(), 401, "{header}");
    }
    assert_eq!(send_as(Some(viewer), "GET", &metrics, None).0, 200);
    server.stop();

    // By another address of this machine: the peer is none of loopback.
    let Some(own) = own_address() else {
        println!("this machine has loopback only: the second half is left out");
        return;
    };
    server.set_http("0.0.0.0:0");
    server.start_again();
    let port = server.http().rsplit(':').next().unwrap().to_owned();
    let elsewhere = |path: &str| format!("http://{own}:{port}{path}");
    for (path, status) in [("/metrics", 401), ("/api/v1/channels", 401), ("/healthz", 200), ("/", 200)] {
        assert_eq!(get(&elsewhere(path)).unwrap().status, status, "{path}");
    }
    assert_eq!(send_as(Some(viewer), "GET", &elsewhere("/metrics"), None).0, 200);
    assert_eq!(get(&format!("http://127.0.0.1:{port}/metrics")).unwrap().status, 200);
    // What it prints to begin with works here, wherever it listens.
    assert!(server.log().contains(&format!("user add NAME --role admin --server http://127.0.0.1:{port}\n")));
    // Nor is this machine open by itself any more.
    assert_eq!(send_json("GET", &format!("http://127.0.0.1:{port}/api/v1/channels"), None).0, 401);
}
