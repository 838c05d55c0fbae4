//! URLs and cookies are signed over HTTP with a key of the server, within limits.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use millstream_access::signed::PrivateKey;
use millstream_access::signed::sign::KeyType;
use serde_json::json;
use support::Api;

/// The clock of these tests stands at this second.
const NOW: u64 = 1_721_482_857;
const URL: &str = "https://tv.example/live/news/index.m3u8";

fn put_key(api: &Api, id: &str) {
    let file = api.folder().join("signing").join(format!("{id}.private.pem"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, PrivateKey::generate(KeyType::Ecdsa).unwrap().1).unwrap();
}

#[tokio::test]
async fn a_url_and_cookies() {
    let api = Api::new().await;
    let body = json!({"url": URL, "expires": NOW + 60});
    assert!(api.call_with("POST", "/api/v1/sign", body.clone()).await.problem(409).contains("key create --for-api"));
    put_key(&api, "K1");
    let signed = api.call_with("POST", "/api/v1/sign", body.clone()).await.json();
    let url = signed["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{URL}?Expires={}&Signature=", NOW + 60)), "{url}");
    assert!(url.ends_with("&Key-Pair-Id=K1&Hash-Algorithm=SHA256"), "{url}");
    assert_eq!((&signed["expires"], &signed["key_pair_id"]), (&json!(NOW + 60), &json!("K1")));
    let wildcard = json!({
        "url": URL, "resource": "https://tv.example/live/news/*", "expires": "2024-07-20T14:00:00Z", "ip": "192.0.2.0/24",
        "form": "cookies",
    });
    let cookies = api.call_with("POST", "/api/v1/sign", wildcard).await.json();
    let names: Vec<_> = cookies["cookies"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["CloudFront-Hash-Algorithm", "CloudFront-Key-Pair-Id", "CloudFront-Policy", "CloudFront-Signature"]
    );
    put_key(&api, "K2");
    assert!(api.call_with("POST", "/api/v1/sign", body).await.problem(409).contains("name one by key_pair_id"));
    let named = json!({"url": URL, "expires": NOW + 60, "key_pair_id": "K2"});
    assert_eq!(api.call_with("POST", "/api/v1/sign", named).await.json()["key_pair_id"], "K2");
    put_key(&api, "apps/K3");
    let grouped = json!({"url": URL, "expires": NOW + 60, "key_group": "apps"});
    assert_eq!(api.call_with("POST", "/api/v1/sign", grouped).await.json()["key_pair_id"], "K3");
}

#[tokio::test]
async fn limits_and_mistakes() {
    let api = Api::new().await;
    put_key(&api, "K1");
    for (body, status, detail) in [
        (json!({"url": URL, "expires": NOW}), 422, "to lie ahead"),
        (json!({"url": URL, "expires": NOW + 7 * 86_400 + 1}), 422, "7 days at most"),
        (json!({"url": URL, "expires": "soon"}), 422, "a second of the epoch or RFC 3339"),
        (json!({"url": URL}), 422, "missing field `expires`"),
        (json!({"url": "ftp://x/", "expires": NOW + 60}), 422, "must begin with http"),
        (json!({"url": format!("https://x/{}", "a".repeat(2048)), "expires": NOW + 60}), 422, "longer than 2048"),
        (json!({"url": URL, "expires": NOW + 60, "ip": "not an address"}), 422, "malformed"),
        (json!({"url": URL, "expires": NOW + 60, "key_pair_id": "../../etc/passwd"}), 422, "a key-pair id is"),
        (json!({"url": URL, "expires": NOW + 60, "key_group": "../.."}), 422, "the name of a group"),
        (json!({"url": URL, "expires": NOW + 60, "key_group": "nobody"}), 409, "no private key in this group"),
        (json!({"url": URL, "expires": NOW + 60, "key_pair_id": "K9"}), 409, "no private key of this id"),
        (json!({"url": URL, "expires": NOW + 60, "colour": "red"}), 422, "unknown field `colour`"),
    ] {
        let problem = api.call_with("POST", "/api/v1/sign", body.clone()).await.problem(status);
        assert!(problem.contains(detail), "{body}: {problem}");
    }
    assert_eq!(
        api.call_with("POST", "/api/v1/sign", json!({"url": URL, "expires": NOW + 7 * 86_400})).await.status,
        200
    );
}
