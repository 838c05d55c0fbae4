//! Somebody logs in by an OpenID Connect issuer: a small one, in this file.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use millstream_access::operator::openid::RoleRules;
use millstream_control::api::PeerAddr;
use millstream_control::operators::openid::{Network, OpenId, OpenIdSettings};
use millstream_control::operators::{Operators, Settings};
use serde_json::{Value, json};
use support::{Answer, Api, Still};

const ISSUER: &str = "https://id.example/realm";

/// The issuer: it knows one code, gives it for one log-in, and checks what comes back.
struct Issuer {
    key: Mutex<EcdsaKeyPair>,
    groups: Mutex<Vec<&'static str>>,
    /// The nonce and the challenge of the log-in under way.
    asked: Mutex<HashMap<String, String>>,
    calls: Mutex<Vec<String>>,
}

impl Issuer {
    fn new() -> Arc<Self> {
        Arc::new(Issuer {
            key: Mutex::new(fresh_key()),
            groups: Mutex::new(vec!["staff", "studio"]),
            asked: Mutex::default(),
            calls: Mutex::default(),
        })
    }
}

fn fresh_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes()))
}

impl Network for Issuer {
    fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        self.calls.lock().unwrap().push(url.to_owned());
        let document = match url.strip_prefix(ISSUER) {
            Some("/.well-known/openid-configuration") => json!({
                "issuer": ISSUER, "authorization_endpoint": format!("{ISSUER}/auth"),
                "token_endpoint": format!("{ISSUER}/token"), "jwks_uri": format!("{ISSUER}/keys"),
            }),
            Some("/keys") => {
                let point = self.key.lock().unwrap().public_key().as_ref().to_vec();
                let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
                json!({"keys": [{"kty": "EC", "crv": "P-256", "x": part(1..33), "y": part(33..65)}]})
            }
            _ => return Err("it answers 404".to_owned()),
        };
        Ok(document.to_string().into_bytes())
    }

    fn post(&self, url: &str, authorization: &str, form: &str) -> Result<Vec<u8>, String> {
        assert_eq!(url, format!("{ISSUER}/token"));
        let secret = base64::engine::general_purpose::STANDARD.encode("millstream:the%20secret");
        assert_eq!(authorization, format!("Basic {secret}"), "RFC 6749 2.3.1");
        let fields = query(form);
        let asked = self.asked.lock().unwrap();
        let proves = asked.get("code_challenge") == Some(&challenge(&fields["code_verifier"]));
        if fields["code"] != "c-1" || !proves || asked["redirect_uri"] != fields["redirect_uri"] {
            return Err("it answers 400".to_owned());
        }
        let claims = json!({
            "iss": ISSUER, "aud": "millstream", "sub": "s", "email": "anna@example.com", "nonce": asked["nonce"],
            "exp": 1_721_482_957, "iat": 1_721_482_850, "groups": *self.groups.lock().unwrap(),
        });
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(json!({"alg": "ES256"})), part(claims));
        let signature = self.key.lock().unwrap().sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        Ok(json!({"access_token": "unused", "id_token": token}).to_string().into_bytes())
    }
}

/// The fields of a form; its values are plain in this test, but for what a URL has.
fn query(text: &str) -> HashMap<String, String> {
    let plain = |value: &str| value.replace("%3A", ":").replace("%2F", "/");
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), plain(v))).collect()
}

struct Bench {
    api: Api,
    issuer: Arc<Issuer>,
}

impl Bench {
    async fn new() -> Self {
        let issuer = Issuer::new();
        let rules = ["ops=admin", "studio=operator:news"].map(str::to_owned);
        let settings = OpenIdSettings {
            issuer: ISSUER.to_owned(),
            client: "millstream".to_owned(),
            secret: "the secret".to_owned(),
            url: "https://tv.example/".to_owned(),
            scopes: "openid email".to_owned(),
            claim: "groups".to_owned(),
            rules: RoleRules::parse(&rules).unwrap(),
        };
        let openid = OpenId::new(settings, Arc::<Issuer>::clone(&issuer), Arc::new(Still));
        let settings = Settings { require: true, ..Settings::default() };
        let operators = Operators::of_configuration(settings, Arc::new(Still));
        Bench { api: Api::with_issuer(operators, Some(Arc::new(openid))).await, issuer }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        let peer: SocketAddr = "192.0.2.7:1".parse().unwrap();
        let request = Request::builder().uri(path).header("host", "tv.example").header("cookie", cookie);
        self.api.send(request.extension(PeerAddr(peer)).body(Body::empty()).unwrap()).await
    }

    /// Goes to the issuer, as a browser does. Gives the cookie of the log-in under way and the state.
    async fn begin(&self) -> (String, String) {
        let answer = self.get("/api/v1/session/openid", "").await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let to = answer.headers["location"].to_str().unwrap();
        let (endpoint, asked) = to.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{ISSUER}/auth"));
        let asked = query(asked);
        assert_eq!(asked["redirect_uri"], "https://tv.example/api/v1/session/openid/callback");
        let state = asked["state"].clone();
        *self.issuer.asked.lock().unwrap() = asked;
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Lax; Secure") && cookie.contains("Path=/api/v1/session/openid"));
        (cookie.split(';').next().unwrap().to_owned(), state)
    }

    /// Comes back with a code. Gives where the browser goes on to, and the session's cookie.
    async fn end(&self, cookie: &str, state: &str, code: &str) -> (String, Option<String>) {
        let answer = self.get(&format!("/api/v1/session/openid/callback?code={code}&state={state}"), cookie).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let mut set = answer.headers.get_all("set-cookie").iter().map(|c| c.to_str().unwrap().to_owned());
        let session = set.rfind(|cookie| cookie.starts_with("__Host-millstream=mst_"));
        (answer.headers["location"].to_str().unwrap().to_owned(), session)
    }
}

#[tokio::test]
async fn somebody_with_a_role_is_logged_in() {
    let bench = Bench::new().await;
    let who = bench.get("/api/v1/session", "").await.json();
    assert_eq!(who["openid"], "/api/v1/session/openid");
    let (cookie, state) = bench.begin().await;
    let (to, session) = bench.end(&cookie, &state, "c-1").await;
    assert_eq!(to, "/");
    let session = session.unwrap();
    assert!(session.contains("SameSite=Strict; Secure"), "{session}");
    let session = session.split(';').next().unwrap();
    let who = bench.get("/api/v1/session", session).await.json();
    let want = json!({"name": "anna@example.com", "kind": "openid", "role": "operator", "channels": ["news"]});
    assert_eq!(who["caller"], want);
    assert_eq!(bench.get("/api/v1/channels", session).await.status, 200);
    assert_eq!(bench.get("/api/v1/tokens", session).await.status, 403);
    // What the issuer says about itself is kept.
    assert_eq!(bench.issuer.calls.lock().unwrap().len(), 2);
    // Keys that it has rotated are asked for again.
    *bench.issuer.key.lock().unwrap() = fresh_key();
    let (cookie, state) = bench.begin().await;
    assert_eq!(bench.end(&cookie, &state, "c-1").await.0, "/");
    assert_eq!(bench.issuer.calls.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn whoever_has_no_role_or_no_right_answer_is_not() {
    let bench = Bench::new().await;
    let (cookie, state) = bench.begin().await;
    for (cookie, state, code, to) in [
        ("", state.as_str(), "c-1", "/#log-in=ended"),
        (cookie.as_str(), "another", "c-1", "/#log-in=ended"),
        (cookie.as_str(), state.as_str(), "c-2", "/#log-in=failed"),
        ("millstream-openid=a.b.c", "a", "c-1", "/#log-in=ended"),
    ] {
        assert_eq!(bench.end(cookie, state, code).await, (to.to_owned(), None), "{cookie} {state} {code}");
    }
    // The code of one log-in with the secrets of another: the challenge does not fit.
    let (other, other_state) = bench.begin().await;
    bench.begin().await;
    assert_eq!(bench.end(&other, &other_state, "c-1").await.0, "/#log-in=failed");
    *bench.issuer.groups.lock().unwrap() = vec!["staff"];
    let (cookie, state) = bench.begin().await;
    assert_eq!(bench.end(&cookie, &state, "c-1").await, ("/#log-in=no-role".to_owned(), None));
    // Signed by a key that the issuer does not show; it is asked only now and then.
    *bench.issuer.groups.lock().unwrap() = vec!["ops"];
    for (to, calls) in [("/", 4), ("/#log-in=failed", 4)] {
        *bench.issuer.key.lock().unwrap() = fresh_key();
        let (cookie, state) = bench.begin().await;
        assert_eq!(bench.end(&cookie, &state, "c-1").await.0, to);
        assert_eq!(bench.issuer.calls.lock().unwrap().len(), calls);
    }
    // Twice the same field, as an attack would have it.
    let (cookie, state) = bench.begin().await;
    assert_eq!(bench.end(&cookie, &format!("{state}&state={state}"), "c-1").await.0, "/#log-in=ended");
    // Without an issuer there is nothing there.
    let none = Api::new().await;
    assert_eq!(none.call("GET", "/api/v1/session/openid").await.status, 404);
}
