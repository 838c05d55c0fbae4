//! OpenID Connect end to end: the real server and a small provider on real sockets; a browser's steps one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_tests::openid_provider::{CLIENT, Fault, Provider, SECRET};
use millstream_tests::{Channel, Server, wait_for};
use serde_json::{Value, json};

/// A browser as far as a log-in needs one: cookies of the server, and no redirect that it was not told to follow.
struct Browser {
    agent: ureq::Agent,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new() -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .new_agent();
        Browser { agent, cookies: BTreeMap::new() }
    }

    /// Gives the status, where it leads, and the body.
    fn send(&mut self, method: &str, url: &str, origin: Option<&str>) -> (u16, String, Value) {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if url.contains("/api/v1/") && !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", cookies.join("; "));
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let mut response = self.agent.run(request.body(()).unwrap()).unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let (pair, rest) = cookie.to_str().unwrap().split_once(';').unwrap();
            assert!(rest.contains("HttpOnly") && rest.contains("SameSite="), "{rest}");
            let (name, value) = pair.split_once('=').unwrap();
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        let to = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
        let status = response.status().as_u16();
        let body = response.body_mut().read_to_string().unwrap_or_default();
        (status, to, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    fn get(&mut self, url: &str) -> String {
        let (status, to, body) = self.send("GET", url, None);
        assert!([302, 303].contains(&status), "{url}: {status} {body}");
        to
    }

    /// From the button to where the log-in ends.
    fn log_in(&mut self, server: &Server) -> String {
        let to = self.get(&server.url("/api/v1/session/openid"));
        if to.starts_with('/') {
            return to;
        }
        let back = self.get(&to);
        assert!(back.starts_with(&server.url("/api/v1/session/openid/callback?code=")), "{back}");
        self.get(&back)
    }

    fn caller(&mut self, server: &Server) -> Value {
        self.send("GET", &server.url("/api/v1/session"), None).2["caller"].take()
    }
}

/// A server that knows the provider. Its own address is known when it has started once.
fn server(provider: &Provider) -> Server {
    let mut server = Server::start_in(
        &[Channel::passthrough("news"), Channel::passthrough("sport")],
        "",
        &[("MILLSTREAM_OPERATORS_OPENID_SECRET", SECRET)],
    );
    server.stop();
    let (issuer, url) = (provider.issuer(), server.url(""));
    server.set_extra(&format!(
        "[operators]\nrequire = true\nopenid_issuer = {issuer:?}\nopenid_client = {CLIENT:?}\nopenid_url = {url:?}\n\
         openid_roles = [\"ops=admin\", \"studio=operator:news\"]\n"
    ));
    server.start_again();
    server
}

#[test]
fn somebody_logs_in_by_the_provider_and_out_again() {
    let provider = Provider::start();
    let server = server(&provider);
    let mut browser = Browser::new();
    assert_eq!(browser.send("GET", &server.url("/api/v1/session"), None).2["openid"], "/api/v1/session/openid");

    // By ES256, with the role of the group and its channels.
    provider.set_groups(json!(["staff", "studio"]));
    assert_eq!(browser.log_in(&server), "/");
    let caller = json!({"name": "anna@id.example", "kind": "openid", "role": "operator", "channels": ["news"]});
    assert_eq!(browser.caller(&server), caller);
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["millstream"], "the log-in under way is over");
    for (method, path, want) in [
        ("GET", "/api/v1/channels/news", 200),
        ("GET", "/api/v1/channels/sport", 403),
        ("POST", "/api/v1/channels/news/stop", 200),
        ("GET", "/api/v1/users", 403),
        ("POST", "/api/v1/session/password", 409),
    ] {
        let origin = server.url("");
        let (status, _, answer) = browser.send(method, &server.url(path), Some(&origin));
        // (A body that is none is 4xx before who it is.)
        assert!(status == want || (want == 409 && (400..500).contains(&status)), "{method} {path}: {status} {answer}");
    }
    assert_eq!(browser.send("DELETE", &server.url("/api/v1/session"), Some(&server.url(""))).0, 204);
    assert!(browser.cookies.is_empty());
    assert_eq!(browser.caller(&server), Value::Null);

    // The provider rotates its key while somebody logs in: by RS256 from now on.
    provider.set_groups(json!("ops"));
    let to = browser.get(&server.url("/api/v1/session/openid"));
    let back = browser.get(&to);
    provider.rotate();
    assert_eq!(browser.get(&back), "/");
    assert_eq!(browser.caller(&server)["role"], "admin");
    // A code is good once, and only in the browser that asked for it.
    assert_eq!(browser.get(&back), "/#log-in=ended", "its log-in is over");
    let to = browser.get(&server.url("/api/v1/session/openid"));
    let back = browser.get(&to);
    let mut other = Browser::new();
    assert_eq!(other.get(&back), "/#log-in=ended");
    assert!(other.cookies.is_empty());
    let session = browser.cookies["millstream"].clone();
    let log = server.log();
    for secret in [SECRET, session.as_str()] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
    assert!(log.contains("logged in by OpenID Connect") && log.contains("anna@id.example"), "{log}");
}

#[test]
fn what_the_provider_must_not_say_lets_nobody_in() {
    let provider = Provider::start();
    let server = server(&provider);
    provider.set_groups(json!(["ops"]));
    // Nothing is known of the provider yet: what is wrong is found when a log-in begins.
    for (fault, why) in [(Fault::Away, "503"), (Fault::Description, "calls itself \"https://id.example\"")] {
        provider.set_fault(Some(fault));
        assert_eq!(Browser::new().log_in(&server), "/#log-in=away", "{fault:?}");
        logged(&server, why);
    }
    for (fault, why) in [
        (Fault::Nonce, "of another log-in"),
        (Fault::Audience, "for another client"),
        (Fault::Expired, "has ended"),
        (Fault::Issuer, "of another issuer"),
        (Fault::Signature, "not signed by the issuer"),
        (Fault::Unsigned, "signed in a way that is not accepted"),
        (Fault::Missing, "gave no ID token"),
    ] {
        provider.set_fault(Some(fault));
        let mut browser = Browser::new();
        assert_eq!(browser.log_in(&server), "/#log-in=failed", "{fault:?}");
        assert!(browser.cookies.is_empty() && browser.caller(&server).is_null(), "{fault:?}");
        logged(&server, why);
    }
    // It goes away while somebody logs in.
    provider.set_fault(None);
    let mut browser = Browser::new();
    let to = browser.get(&server.url("/api/v1/session/openid"));
    let back = browser.get(&to);
    provider.set_fault(Some(Fault::Away));
    assert_eq!(browser.get(&back), "/#log-in=failed");
    // Whoever is known, but has no role.
    provider.set_fault(None);
    for groups in [json!(["staff"]), json!([]), json!({"ops": true}), json!("ops,studio")] {
        provider.set_groups(groups.clone());
        assert_eq!(Browser::new().log_in(&server), "/#log-in=no-role", "{groups}");
    }
    logged(&server, "has no role here by the claim groups");
    provider.set_groups(json!(["ops"]));
    assert_eq!(Browser::new().log_in(&server), "/", "none of this lasts");
    assert!(provider.log().iter().filter(|line| line.ends_with("/keys")).count() < 5, "{:?}", provider.log());
}

fn logged(server: &Server, why: &str) {
    wait_for(why, Duration::from_secs(5), || server.log().contains(why).then_some(()));
}

#[test]
fn the_configuration_takes_http_on_loopback_only() {
    let mut server = Server::start(&[]);
    server.stop();
    let start = |issuer: &str, url: &str| {
        let file = server.folder().join("openid.toml");
        let lines = format!(
            "[operators]\nopenid_issuer = {issuer:?}\nopenid_client = \"a\"\nopenid_url = {url:?}\nopenid_roles = [\"*=viewer\"]\n"
        );
        std::fs::write(&file, lines).unwrap();
        server.command(&["serve", "--config", file.to_str().unwrap(), "--print-config"])
    };
    start("https://id.example", "https://tv.example").unwrap();
    start("http://127.0.0.1:9000/realm", "http://localhost:8080").unwrap();
    for (issuer, url, key) in [
        ("http://id.example", "https://tv.example", "openid_issuer"),
        ("http://127.0.0.1.id.example", "https://tv.example", "openid_issuer"),
        ("http://127.0.0.1:x@id.example", "https://tv.example", "openid_issuer"),
        ("https://id.example", "http://tv.example", "openid_url"),
        ("https://id.example", "", "openid_url"),
    ] {
        let error = start(issuer, url).unwrap_err();
        assert!(error.contains(key) && error.contains("https"), "{issuer} {url}: {error}");
    }
}
