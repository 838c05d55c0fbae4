//! Every endpoint answers those whose role the table names, and nobody else; tokens, users and sessions end when they should.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use millstream_access::operator::{Grant, Role, TokenHash};
use millstream_control::api::PeerAddr;
use millstream_control::api::endpoints::{ENDPOINTS, Endpoint, For, Needs};
use millstream_control::operators::{Operators, Settings};
use millstream_media::time::{Clock, MonoTime, UtcTime};
use serde_json::{Value, json};
use support::{Answer, Api};

/// A clock that the test moves.
#[derive(Default)]
struct Moved(AtomicI64);

impl Moved {
    fn by(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Moved {
    fn utc(&self) -> UtcTime {
        UtcTime::from_millis(1_721_482_857_600 + self.0.load(Ordering::Relaxed) * 1000)
    }
    fn mono(&self) -> MonoTime {
        MonoTime(Duration::from_secs(90 + self.0.load(Ordering::Relaxed).unsigned_abs()))
    }
}

/// A server that is reached from elsewhere, and its first token.
struct Bench {
    api: Api,
    clock: Arc<Moved>,
    folder: tempfile::TempDir,
    first: String,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Moved::default());
        let (operators, first) = Self::open(&folder, &clock, Settings { beyond_loopback: true, ..Settings::default() });
        Bench { api: Api::with(operators).await, clock, folder, first: first.unwrap() }
    }

    fn open(folder: &tempfile::TempDir, clock: &Arc<Moved>, settings: Settings) -> (Arc<Operators>, Option<String>) {
        let path = folder.path().join("operators.json");
        let (operators, first) = Operators::open(path, settings, Arc::<Moved>::clone(clock)).unwrap();
        (operators, first.map(|token| token.expose().to_owned()))
    }

    /// From another machine, with a token or none.
    async fn ask(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let peer: SocketAddr = "192.0.2.7:50000".parse().unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "tv.example");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut request = request.extension(PeerAddr(peer));
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.api.send(request.body(body).unwrap()).await
    }

    async fn token(&self, body: Value) -> String {
        let answer = self.ask("POST", "/api/v1/tokens", Some(&self.first), Some(body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    async fn status(&self, path: &str, token: &str) -> u16 {
        self.ask("GET", path, Some(token), None).await.status.as_u16()
    }

    /// From a page of this server, with this cookie.
    async fn page(&self, method: &str, path: &str, cookie: &str, origin: Option<&str>, body: Option<Value>) -> Answer {
        let peer: SocketAddr = "192.0.2.7:50000".parse().unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "tv.example");
        request = request.header("cookie", cookie).header("content-type", "application/json");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.api.send(request.extension(PeerAddr(peer)).body(body).unwrap()).await
    }

    async fn log_in(&self, body: Value) -> Answer {
        self.page("POST", "/api/v1/session", "", Some("https://tv.example"), Some(body)).await
    }
}

/// The cookie that an answer sets, as a browser sends it.
fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let set = answer.headers["set-cookie"].to_str().unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Secure"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

const OWN: Option<&str> = Some("https://tv.example");

fn filled(row: &Endpoint) -> String {
    let path = row.path.replace("{name}", "news").replace("{key}", "nosuch").replace("{id}", "nosuch");
    path.replace("{token}", "nosuch").replace("{user}", "nosuch")
}

#[tokio::test]
async fn each_role_at_each_endpoint() {
    let bench = Bench::new().await;
    let mut callers = vec![("nobody", None, None)];
    for role in Role::ALL {
        let token = bench.token(json!({"name": role.as_str(), "role": role})).await;
        callers.push((role.as_str(), Some(role), Some(token)));
    }
    // The first token has made an admin: it opens nothing any more.
    assert_eq!(bench.status("/api/v1/channels", &bench.first).await, 401);
    let mut asked = 0;
    // What deletes the callers' own tokens is not there; `nosuch` is what all paths name.
    for row in ENDPOINTS.iter().filter(|row| row.path.starts_with("/api/v1/") && row.path != "/api/v1/edge") {
        // Imports have a router of their own; it has the same guard.
        if row.path.starts_with("/api/v1/imports") {
            continue;
        }
        for (who, role, token) in &callers {
            let body = matches!(row.method, "POST" | "PATCH").then(|| json!({}));
            let answer = bench.ask(row.method, &filled(row), token.as_deref(), body).await;
            let want = match (row.needs, role) {
                (Needs::Nothing, _) => None,
                (_, None) => Some(401),
                (Needs::ViewerOrMachine, Some(_)) => None,
                (Needs::Role(needs), Some(role)) => (*role < needs).then_some(403),
            };
            let status = answer.status.as_u16();
            match want {
                Some(want) => assert_eq!(status, want, "{who}: {} {}", row.method, row.path),
                None => assert!(status != 401 && status != 403, "{who}: {} {}: {status}", row.method, row.path),
            }
            asked += 1;
        }
    }
    assert!(asked > 120, "{asked}");
    let answer = bench.ask("GET", "/api/v1/channels", None, None).await;
    assert!(answer.problem(401).contains("MILLSTREAM_TOKEN"));
    assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"millstream\"");
    // What is not in the table is not answered, whoever asks.
    let admin = callers.last().unwrap().2.as_deref();
    assert_eq!(bench.ask("PUT", "/api/v1/channels", admin, None).await.headers["allow"], "GET,POST,HEAD");
    assert_eq!(bench.ask("GET", "/api/v1/nothing", None, None).await.status, 401);
    assert_eq!(bench.ask("GET", "/api/v1/nothing", admin, None).await.status, 404);
}

#[tokio::test]
async fn an_operator_of_some_channels_has_no_others() {
    let bench = Bench::new().await;
    let all = bench.token(json!({"name": "all", "role": "operator"})).await;
    let own = bench.token(json!({"name": "own", "role": "operator", "channels": ["news", "acme-*"]})).await;
    for channel in ["news", "sport"] {
        let made = bench.ask("POST", "/api/v1/channels", Some(&all), Some(json!({"name": channel}))).await;
        assert_eq!(made.status, 201);
    }
    let list = bench.ask("GET", "/api/v1/channels", Some(&own), None).await.json();
    let names: Vec<&Value> = list["channels"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["news"], "the list has only the caller's");
    for (method, path, body, want) in [
        ("GET", "/api/v1/channels/news", None, 200),
        ("GET", "/api/v1/channels/sport", None, 403),
        ("GET", "/api/v1/channels/no-such", None, 403),
        ("GET", "/api/v1/channels/%73port", None, 403),
        ("GET", "/api/v1/channels/news%2f..%2fsport", None, 403),
        ("POST", "/api/v1/channels/sport/stop", None, 403),
        ("POST", "/api/v1/channels/sport/keys", Some(json!({"name": "mine"})), 403),
        ("DELETE", "/api/v1/channels/sport", None, 403),
        ("PATCH", "/api/v1/channels/sport", Some(json!({"title": "taken"})), 403),
        ("POST", "/api/v1/channels", Some(json!({"name": "other"})), 403),
        ("POST", "/api/v1/channels", Some(json!({"name": "acme-1"})), 201),
        (
            "POST",
            "/api/v1/clips",
            Some(json!({"channel": "sport", "start": "2024-07-20T13:00:00Z", "end": "2024-07-20T13:01:00Z"})),
            403,
        ),
        ("POST", "/api/v1/sign", Some(json!({})), 403),
        ("GET", "/api/v1/server", None, 200),
        ("GET", "/api/v1/storage", None, 200),
    ] {
        let answer = bench.ask(method, path, Some(&own), body).await;
        assert_eq!(answer.status, want, "{method} {path}: {}", answer.text);
    }
    for row in ENDPOINTS.iter().filter(|row| row.scope == For::Nobody && row.path.starts_with("/api/v1/")) {
        if row.path != "/api/v1/edge" && !row.path.starts_with("/api/v1/imports") {
            let answer = bench.ask(row.method, &filled(row), Some(&own), None).await;
            assert_eq!(answer.status, 403, "{} {}", row.method, row.path);
        }
    }
}

/// The files of `content-keys` are the whole server's: who names one gets its keys by ClearKey, or has its headers sent.
#[tokio::test]
async fn content_protection_is_for_admins() {
    let bench = Bench::new().await;
    let all = bench.token(json!({"name": "all", "role": "operator"})).await;
    let own = bench.token(json!({"name": "own", "role": "operator", "channels": ["sport"]})).await;
    let admin = bench.token(json!({"name": "root", "role": "admin"})).await;
    let keys = json!({"keys": "news.keys"});
    let speke =
        json!({"speke": {"url": "https://elsewhere.example/", "systems": ["widevine"], "headers": "news.headers"}});
    let made = bench.ask("POST", "/api/v1/channels", Some(&all), Some(json!({"name": "sport"}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    for token in [&all, &own] {
        for protection in [&keys, &speke, &Value::Null] {
            let patch = json!({"title": "x", "protection": protection});
            let refused = bench.ask("PATCH", "/api/v1/channels/sport", Some(token), Some(patch)).await;
            assert_eq!(refused.status, 403, "{protection}: {}", refused.text);
        }
        let title = bench.ask("PATCH", "/api/v1/channels/sport", Some(token), Some(json!({"title": "y"}))).await;
        assert_eq!(title.status, 200, "{}", title.text);
    }
    let new = json!({"name": "film", "protection": keys});
    assert_eq!(bench.ask("POST", "/api/v1/channels", Some(&all), Some(new.clone())).await.status, 403);
    assert_eq!(bench.ask("POST", "/api/v1/channels", Some(&admin), Some(new)).await.status, 201);
    let patch = json!({"protection": keys});
    assert_eq!(bench.ask("PATCH", "/api/v1/channels/sport", Some(&admin), Some(patch)).await.status, 200);
}

#[tokio::test]
async fn tokens_end_and_are_taken_back_at_once() {
    let bench = Bench::new().await;
    let root = bench.token(json!({"name": "root", "role": "admin"})).await;
    let make = |body: Value| bench.ask("POST", "/api/v1/tokens", Some(&root), Some(body));
    let brief = make(json!({"name": "brief", "role": "viewer", "expires": "2024-07-20T13:41:57.600Z"})).await.json();
    let brief = brief["token"].as_str().unwrap().to_owned();
    assert_eq!(bench.status("/api/v1/channels", &brief).await, 200);
    bench.clock.by(59);
    assert_eq!(bench.status("/api/v1/channels", &brief).await, 200);
    bench.clock.by(1);
    let ended = bench.ask("GET", "/api/v1/channels", Some(&brief), None).await;
    assert!(ended.problem(401).contains("expired"));
    let listed = bench.ask("GET", "/api/v1/tokens", Some(&root), None).await;
    assert!(!listed.text.contains("mst_"), "a token is shown again: {}", listed.text);
    let listed = listed.json();
    assert_eq!(
        (&listed["tokens"][1]["expired"], &listed["tokens"][1]["last_used"]),
        (&json!(true), &json!("2024-07-20T13:41:56.600Z"))
    );
    for (body, want) in [
        (json!({"name": "brief", "role": "viewer"}), 409),
        (json!({"name": "x", "role": "root"}), 422),
        (json!({"name": "x"}), 422),
        (json!({"name": "X", "role": "viewer"}), 422),
        (json!({"name": "x", "role": "viewer", "channels": []}), 422),
        (json!({"name": "x", "role": "viewer", "channels": "news"}), 422),
        (json!({"name": "x", "role": "admin", "channels": ["news"]}), 422),
        (json!({"name": "x", "role": "viewer", "expires": "2020-01-01T00:00:00Z"}), 422),
        (json!({"name": "x", "role": "viewer", "chanels": ["news"]}), 422),
    ] {
        let answer = make(body.clone()).await;
        assert_eq!(answer.status, want, "{body}: {}", answer.text);
    }
    let ci = make(json!({"name": "ci", "role": "operator"})).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(bench.status("/api/v1/channels", &ci).await, 200);
    assert_eq!(bench.ask("DELETE", "/api/v1/tokens/ci", Some(&root), None).await.status, 204);
    assert_eq!(bench.status("/api/v1/channels", &ci).await, 401);
    let last = bench.ask("DELETE", "/api/v1/tokens/root", Some(&root), None).await;
    assert!(last.problem(409).contains("last admin"));

    // After a start the same hold, and no first token is made while there is an admin.
    let kept = std::fs::read_to_string(bench.folder.path().join("operators.json")).unwrap();
    assert!(!kept.contains("mst_") && kept.contains("\"root\""), "{kept}");
    let settings = || Settings { beyond_loopback: true, ..Settings::default() };
    let (again, first) = Bench::open(&bench.folder, &bench.clock, settings());
    assert!(first.is_none() && again.of_token(&root).is_ok() && again.of_token(&ci).is_err());
    let loopback = Bench::open(&bench.folder, &bench.clock, Settings::default()).0;
    assert!(!loopback.is_open(), "a token closes the API of this machine, too");
}

#[tokio::test]
async fn the_first_token_lasts_a_day_or_until_there_is_an_admin() {
    let bench = Bench::new().await;
    assert_eq!(bench.status("/api/v1/tokens", &bench.first).await, 200);
    bench.token(json!({"name": "ci", "role": "operator"})).await;
    assert_eq!(bench.status("/api/v1/tokens", &bench.first).await, 200, "an operator is no admin");
    bench.clock.by(24 * 3600);
    assert_eq!(bench.status("/api/v1/tokens", &bench.first).await, 401);
    let settings = || Settings { beyond_loopback: true, ..Settings::default() };
    let (again, first) = Bench::open(&bench.folder, &bench.clock, settings());
    assert!(again.of_token(&first.unwrap()).is_ok(), "the next start makes another");
    assert!(again.of_token(&bench.first).is_err());
    // One of the configuration takes its place.
    let own = "a-token-of-the-configuration-0123";
    let configured = Settings { admin_token: TokenHash::of(own), ..settings() };
    let (configured, first) = Bench::open(&bench.folder, &bench.clock, configured);
    assert!(first.is_none());
    assert_eq!(configured.of_token(own).unwrap().grant, Grant::all(Role::Admin));
    // On loopback with nothing configured nobody needs one, unless it is asked for.
    let empty = tempfile::tempdir().unwrap();
    let (open, first) = Bench::open(&empty, &bench.clock, Settings::default());
    assert!(open.is_open() && first.is_none());
    let (closed, first) = Bench::open(&empty, &bench.clock, Settings { require: true, ..Settings::default() });
    assert!(!closed.is_open() && first.is_some());
}

#[tokio::test]
async fn a_user_logs_in_works_and_logs_out() {
    let bench = Bench::new().await;
    let password = "correct horse battery";
    let body = |name: &str, role: &str| Some(json!({"name": name, "role": role, "password": password}));
    let added = bench.ask("POST", "/api/v1/users", Some(&bench.first), body("anna", "admin")).await;
    assert_eq!(added.status, 201, "{}", added.text);
    assert!(!added.text.contains("argon2") && !added.text.contains(password), "{}", added.text);
    let anna = cookie(&bench.log_in(json!({"user": "anna", "password": password})).await);
    assert_eq!(bench.page("POST", "/api/v1/users", &anna, OWN, body("vera", "viewer")).await.status, 201);
    let kept = std::fs::read_to_string(bench.folder.path().join("operators.json")).unwrap();
    assert!(kept.contains("$argon2id$") && !kept.contains(password), "{kept}");
    let who = bench.page("GET", "/api/v1/session", "", None, None).await.json();
    assert_eq!((&who["required"], &who["caller"]), (&json!(true), &Value::Null));
    let vera = cookie(&bench.log_in(json!({"user": "vera", "password": password})).await);
    let who = bench.page("GET", "/api/v1/session", &vera, None, None).await.json();
    assert_eq!((&who["caller"]["name"], &who["caller"]["role"]), (&json!("vera"), &json!("viewer")));
    assert_eq!(bench.page("GET", "/api/v1/channels", &vera, None, None).await.status, 200);
    let body = || Some(json!({"name": "news"}));
    assert_eq!(bench.page("POST", "/api/v1/channels", &vera, OWN, body()).await.status, 403);

    // A write with a cookie comes from a page of this server.
    for origin in [None, Some("https://evil.example"), Some("null"), Some("https://tv.example:444")] {
        let answer = bench.page("POST", "/api/v1/channels", &anna, origin, body()).await;
        assert_eq!(answer.status, 403, "{origin:?}");
    }
    assert_eq!(bench.page("GET", "/api/v1/channels", &anna, Some("https://evil.example"), None).await.status, 403);
    assert_eq!(bench.page("POST", "/api/v1/channels", &anna, OWN, body()).await.status, 201);
    // Log-in CSRF: nobody is logged in by another site's page.
    let foreign = bench
        .page(
            "POST",
            "/api/v1/session",
            "",
            Some("https://evil.example"),
            Some(json!({"user": "vera", "password": password})),
        )
        .await;
    assert_eq!(foreign.status, 403);

    // Another role counts at once; another password ends the sessions.
    let change = |body: Value| bench.page("PATCH", "/api/v1/users/vera", &anna, OWN, Some(body));
    assert_eq!(change(json!({"role": "operator", "channels": ["news"]})).await.status, 200);
    assert_eq!(bench.page("POST", "/api/v1/channels/news/stop", &vera, OWN, None).await.status, 200);
    assert_eq!(change(json!({"role": "viewer"})).await.json()["channels"], json!(["news"]), "channels stay");
    assert_eq!(change(json!({"channels": null})).await.json()["channels"], Value::Null);
    assert_eq!(change(json!({"password": "another one entirely"})).await.status, 200);
    assert_eq!(bench.page("GET", "/api/v1/channels", &vera, None, None).await.status, 401);
    for (body, want) in [(json!({}), 422), (json!({"password": "short"}), 422), (json!({"channels": []}), 422)] {
        assert_eq!(change(body.clone()).await.status, want, "{body}");
    }
    let last = bench.page("DELETE", "/api/v1/users/anna", &anna, OWN, None).await;
    assert!(last.problem(409).contains("last admin"));
    let down = bench.page("PATCH", "/api/v1/users/anna", &anna, OWN, Some(json!({"role": "viewer"}))).await;
    assert_eq!(down.status, 409, "{}", down.text);

    let out = bench.page("DELETE", "/api/v1/session", &anna, OWN, None).await;
    assert_eq!(out.status, 204);
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(bench.page("GET", "/api/v1/channels", &anna, None, None).await.status, 401, "the secret opens nothing");
}

#[tokio::test]
async fn wrong_log_ins_are_slowed_by_address_and_say_nothing() {
    let bench = Bench::new().await;
    let body = json!({"name": "anna", "role": "admin", "password": "correct horse battery"});
    assert_eq!(bench.ask("POST", "/api/v1/users", Some(&bench.first), Some(body)).await.status, 201);
    let mut details = Vec::new();
    for (user, password) in [("anna", "wrong"), ("nobody", "wrong"), ("Not A Name", ""), ("anna", "wrong")] {
        let answer = bench.log_in(json!({"user": user, "password": password})).await;
        details.push(answer.problem(401));
    }
    details.dedup();
    assert_eq!(details.len(), 1, "which of the two was wrong is not said: {details:?}");
    for wrong in [json!({}), json!({"user": "anna"}), json!({"token": "a", "user": "b"}), json!([])] {
        assert_eq!(bench.log_in(wrong.clone()).await.status, 422, "{wrong}");
    }
    for _ in 0..5 {
        bench.log_in(json!({"token": "mst_wrong"})).await;
    }
    let right = json!({"user": "anna", "password": "correct horse battery"});
    let slowed = bench.log_in(right.clone()).await;
    assert_eq!((slowed.status.as_u16(), slowed.headers["retry-after"].to_str().unwrap()), (429, "3"));
    // Another address is not touched.
    let elsewhere = Request::builder().method("POST").uri("/api/v1/session").header("host", "tv.example");
    let elsewhere = elsewhere.header("content-type", "application/json").header("origin", "https://tv.example");
    let peer: SocketAddr = "192.0.2.8:1".parse().unwrap();
    let elsewhere = elsewhere.extension(PeerAddr(peer)).body(Body::from(right.to_string())).unwrap();
    assert_eq!(bench.api.send(elsewhere).await.status, 200);
    bench.clock.by(3);
    assert_eq!(bench.log_in(right).await.status, 200);
}

#[tokio::test]
async fn a_session_by_a_token_ends_with_it_and_sessions_end_by_themselves() {
    let bench = Bench::new().await;
    let root = bench.token(json!({"name": "root", "role": "admin"})).await;
    let ci = bench.ask("POST", "/api/v1/tokens", Some(&root), Some(json!({"name": "ci", "role": "viewer"}))).await;
    let ci = ci.json()["token"].as_str().unwrap().to_owned();
    let session = cookie(&bench.log_in(json!({"token": ci})).await);
    assert!(!session.contains(&ci), "the cookie has a secret of its own");
    assert_eq!(bench.page("GET", "/api/v1/channels", &session, None, None).await.status, 200);
    bench.clock.by(3599);
    assert_eq!(bench.page("GET", "/api/v1/channels", &session, None, None).await.status, 200);
    assert_eq!(bench.ask("DELETE", "/api/v1/tokens/ci", Some(&root), None).await.status, 204);
    assert_eq!(bench.page("GET", "/api/v1/channels", &session, None, None).await.status, 401);
    let session = cookie(&bench.log_in(json!({"token": root})).await);
    bench.clock.by(3600);
    let ended = bench.page("GET", "/api/v1/channels", &session, None, None).await;
    assert!(ended.problem(401).contains("log in again"));
    // A wrong token beside a right cookie is wrong.
    let session = cookie(&bench.log_in(json!({"token": root})).await);
    let peer: SocketAddr = "192.0.2.7:1".parse().unwrap();
    let both = Request::builder().uri("/api/v1/channels").header("host", "tv.example").header("cookie", &session);
    let both = both.header("authorization", "Basic YTpi").extension(PeerAddr(peer)).body(Body::empty()).unwrap();
    assert_eq!(bench.api.send(both).await.status, 401);
}

#[tokio::test]
async fn whoever_is_logged_in_changes_the_own_password() {
    let bench = Bench::new().await;
    let (old, new) = ("correct horse battery", "another one entirely");
    let vera = json!({"name": "vera", "role": "viewer", "password": old, "channels": ["news"]});
    assert_eq!(bench.ask("POST", "/api/v1/users", Some(&bench.first), Some(vera)).await.status, 201);
    let here = cookie(&bench.log_in(json!({"user": "vera", "password": old})).await);
    let elsewhere = cookie(&bench.log_in(json!({"user": "vera", "password": old})).await);
    let path = "/api/v1/session/password";
    let change = |present: &str, password: &str| Some(json!({"present": present, "password": password}));
    let wrong = bench.page("POST", path, &here, OWN, change("not it at all", new)).await;
    assert_eq!(wrong.json()["errors"][0]["field"], "present", "{}", wrong.text);
    wrong.problem(422);
    let weak = bench.page("POST", path, &here, OWN, change(old, "short")).await;
    assert!(weak.problem(422).contains("10 characters"));
    let foreign = bench.page("POST", path, &here, Some("https://evil.example"), change(old, new)).await;
    foreign.problem(403);
    assert_eq!(bench.page("POST", path, &here, OWN, change(old, new)).await.status, 204);
    assert_eq!(bench.page("GET", "/api/v1/channels", &here, OWN, None).await.status, 200, "this log-in goes on");
    assert_eq!(bench.page("GET", "/api/v1/channels", &elsewhere, OWN, None).await.status, 401, "the others end");
    bench.log_in(json!({"user": "vera", "password": old})).await.problem(401);
    assert_eq!(bench.log_in(json!({"user": "vera", "password": new})).await.status, 200);
    // Guesses of the present password count as those of a log-in.
    for _ in 0..7 {
        bench.page("POST", path, &here, OWN, change("not it at all", new)).await;
    }
    assert_eq!(bench.page("POST", path, &here, OWN, change(new, old)).await.status, 429);
    // A token has no password.
    assert!(bench.ask("POST", path, Some(&bench.first), change(old, new)).await.problem(409).contains("only users"));
}

#[tokio::test]
async fn one_user_is_guessed_from_everywhere_in_vain() {
    let bench = Bench::new().await;
    let password = "correct horse battery";
    let body = json!({"name": "anna", "role": "admin", "password": password});
    assert_eq!(bench.ask("POST", "/api/v1/users", Some(&bench.first), Some(body)).await.status, 201);
    assert_eq!(bench.log_in(json!({"user": "anna", "password": password})).await.status, 200);
    let from = async |address: u8, password: &str| {
        let body = json!({"user": "anna", "password": password}).to_string();
        let peer: SocketAddr = format!("198.51.100.{address}:1").parse().unwrap();
        let request = Request::builder().method("POST").uri("/api/v1/session").header("host", "tv.example");
        let request = request.header("content-type", "application/json").extension(PeerAddr(peer));
        bench.api.send(request.body(Body::from(body)).unwrap()).await
    };
    for address in 0..21 {
        assert_eq!(from(address, "wrong").await.status, 401, "{address}");
    }
    let slowed = from(99, password).await;
    assert_eq!(slowed.headers["retry-after"], "3");
    assert!(slowed.problem(429).contains("for this user"), "{}", slowed.text);
    assert_eq!(bench.log_in(json!({"user": "anna", "password": password})).await.status, 200, "where anna was before");
    bench.clock.by(3);
    assert_eq!(from(99, password).await.status, 200);
}

#[tokio::test]
async fn a_refusal_takes_the_body_first() {
    let bench = Bench::new().await;
    for (origin, path, want) in
        [("https://evil.example", "/api/v1/session", 403), ("https://tv.example", "/api/v1/channels", 401)]
    {
        let read = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&read);
        let body = http_body_util::Full::new(axum::body::Bytes::from_static(b"{}")).map_frame(move |frame| {
            seen.store(true, Ordering::Relaxed);
            frame
        });
        let request = Request::builder().method("POST").uri(path).header("host", "tv.example").header("origin", origin);
        let peer: SocketAddr = "192.0.2.8:1".parse().unwrap();
        let answer = bench.api.send(request.extension(PeerAddr(peer)).body(Body::new(body)).unwrap()).await;
        assert_eq!((answer.status.as_u16(), read.load(Ordering::Relaxed)), (want, true), "{path}");
    }
}

#[tokio::test]
async fn who_hangs_up_leaves_the_queue_of_log_ins() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        // Polled once, then dropped: the clients are gone while one password is compared and the others wait.
        let ask = || bench.log_in(json!({"user": "nobody", "password": "wrong"}));
        let all = async { tokio::join!(ask(), ask(), ask(), ask(), ask()) };
        assert!(tokio::time::timeout(std::time::Duration::ZERO, all).await.is_err());
    }
    assert_eq!(bench.log_in(json!({"user": "nobody", "password": "wrong"})).await.status, 401);
}
