//! A channel has several keys, each with a name, an end and addresses of its own; they are rotated and revoked one by one.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::net::IpAddr;

use millstream_access::publisher::{KeyName, KeyRefusal};
use millstream_control::channel::ChannelName;
use millstream_control::registry::{Refusal, Registry, Streams};
use serde_json::{Value, json};
use support::{Api, config, name, open, opens};

const HERE: &str = "127.0.0.1";

/// Why a key of the channel `news` does not open it.
fn refused(registry: &Registry, key: &str, address: &str) -> Option<KeyRefusal> {
    let address: IpAddr = address.parse().unwrap();
    match registry.authorize("live", key, address) {
        Err(Refusal::Key { channel, cause, .. }) if channel.as_str() == "news" => Some(cause),
        Ok(_) => None,
        other => panic!("{other:?}"),
    }
}

async fn added(api: &Api, body: Value) -> String {
    let answer = api.call_with("POST", "/api/v1/channels/news/keys", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["stream_key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn keys_are_added_listed_rotated_and_revoked() {
    let api = Api::new().await;
    let first = api.call_with("POST", "/api/v1/channels", json!({"name": "news"})).await.json();
    let first = first["stream_key"].as_str().unwrap().to_owned();
    let studio = added(&api, json!({"name": "studio", "addresses": ["192.0.2.0/24"]})).await;
    // The clock of these tests stands at 2024-07-20T13:40:57.600Z.
    let ended = added(&api, json!({"name": "ended", "expires": "2024-07-20T15:40:57.600+02:00"})).await;
    let later =
        added(&api, json!({"name": "later", "expires": "2024-07-20T13:40:57.601Z", "stream_key": "chosen-1"})).await;
    assert_eq!(later, "chosen-1");
    assert_eq!(refused(&api.registry, &first, HERE), None, "the others change nothing for the first");
    assert_eq!(refused(&api.registry, &later, HERE), None);
    assert_eq!(refused(&api.registry, &ended, HERE), Some(KeyRefusal::Expired));
    assert_eq!(refused(&api.registry, &studio, HERE), Some(KeyRefusal::Address));
    assert_eq!(refused(&api.registry, &studio, "192.0.2.9"), None);

    let listed = api.call("GET", "/api/v1/channels/news/keys").await;
    for secret in [&first, &studio, &ended, &later] {
        assert!(!listed.text.contains(secret.as_str()), "a key is shown again");
    }
    let names: Vec<_> = listed.json()["keys"].as_array().unwrap().iter().map(|k| k["name"].clone()).collect();
    assert_eq!(names, ["default", "studio", "ended", "later"]);
    assert_eq!(listed.json()["keys"][1]["addresses"], json!(["192.0.2.0/24"]));

    let rotated = api.call("POST", "/api/v1/channels/news/keys/studio/rotate").await.json();
    assert_eq!((&rotated["name"], &rotated["addresses"]), (&json!("studio"), &json!(["192.0.2.0/24"])));
    let rotated = rotated["stream_key"].as_str().unwrap().to_owned();
    assert_eq!(refused(&api.registry, &studio, "192.0.2.9"), Some(KeyRefusal::Revoked));
    assert_eq!(refused(&api.registry, &rotated, "192.0.2.9"), None);

    assert_eq!(api.call("DELETE", "/api/v1/channels/news/keys/default").await.status, 204);
    assert_eq!(refused(&api.registry, &first, HERE), Some(KeyRefusal::Revoked));
    assert!(api.call("DELETE", "/api/v1/channels/news/keys/default").await.problem(404).contains("no key default"));
    // The key that the channel began with can be made again by the command of old.
    let again = api.call("POST", "/api/v1/channels/news/rotate-key").await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(opens(&api.registry, "live", "never-a-key"), Err(Refusal::UnknownKey));
}

#[tokio::test]
async fn mistakes_with_keys_name_the_mend() {
    let api = Api::new().await;
    api.call_with("POST", "/api/v1/channels", json!({"name": "news", "stream_key": "key-of-news"})).await;
    let keys = "/api/v1/channels/news/keys";
    for (body, status, detail) in [
        (json!({}), 422, "give the key a name"),
        (json!({"name": "Studio"}), 422, "1 to 64 of a-z"),
        (json!({"name": "default"}), 409, "has a key default already"),
        (json!({"name": "a", "stream_key": "key-of-news"}), 422, "already opens"),
        (json!({"name": "a", "stream_key": "key-in-the-file"}), 422, "already opens"),
        (json!({"name": "a", "expires": "tomorrow"}), 422, "2026-11-22T20:15:00Z"),
        (json!({"name": "a", "addresses": ["10.0.0.0/33"]}), 422, "is no network"),
        (json!({"name": "a", "addresses": "10.0.0.0/8"}), 422, "is no list"),
        (json!({"name": "a", "expire": "x"}), 422, "nothing but name, stream_key, expires, addresses"),
    ] {
        let problem = api.call_with("POST", keys, body.clone()).await.problem(status);
        assert!(problem.contains(detail), "{body}: {problem}");
        assert!(!problem.contains("key-of-news"), "a problem repeats a key: {problem}");
    }
    let in_file = "/api/v1/channels/file/keys/default";
    assert!(api.call("DELETE", in_file).await.problem(409).contains("configuration file"));
    assert!(api.call("POST", &format!("{in_file}/rotate")).await.problem(409).contains("configuration file"));
    assert!(api.call("DELETE", &format!("{keys}/default?streams=both")).await.problem(400).contains("streams=keep"));
    for n in 1..32 {
        assert_eq!(api.call_with("POST", keys, json!({"name": format!("k{n}")})).await.status, 201);
    }
    assert!(api.call_with("POST", keys, json!({"name": "k32"})).await.problem(409).contains("32 keys"));
}

/// Who listens to the streams' end: as a connection does.
fn connected(registry: &Registry, key: &str) -> tokio::sync::watch::Receiver<bool> {
    registry.authorize("live", key, HERE.parse().unwrap()).unwrap().ended
}

#[tokio::test]
async fn a_revoked_keys_stream_ends_and_a_rotated_ones_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(&folder, Vec::new()).await;
    let (_, key) = registry.create(config(json!({"name": "news"}))).await.unwrap();
    let (news, default): (ChannelName, _) = (name("news"), KeyName::default_key());
    let first = connected(&registry, key.expose());
    let publishing = |registry: &Registry| registry.channels().find("news").unwrap().keys[0].view().publishing;
    assert!(publishing(&registry));
    let (_, second_key) = registry.rotate_key(&news, &default, None, None, Streams::Keep).await.unwrap();
    assert!(!*first.borrow(), "a rotation ended the stream");
    let second = connected(&registry, second_key.expose());
    let (_, third_key) = registry.rotate_key(&news, &default, None, None, Streams::End).await.unwrap();
    assert!(*first.borrow() && *second.borrow(), "streams of both former keys end");
    assert!(!publishing(&registry), "nobody is live with the new one");
    let third = connected(&registry, third_key.expose());
    registry.revoke_key(&news, &default, Streams::End).await.unwrap();
    assert!(*third.borrow());
    let (_, fourth_key) = registry.rotate_key(&news, &default, None, None, Streams::Keep).await.unwrap();
    let fourth = connected(&registry, fourth_key.expose());
    registry.revoke_key(&news, &default, Streams::Keep).await.unwrap();
    assert!(!*fourth.borrow());
}

/// A key has a passphrase of its own for SRT, if it is asked for: shown once, kept for the listener, rotated with the key.
#[tokio::test]
async fn passphrases_of_keys() {
    let api = Api::new().await;
    api.call_with("POST", "/api/v1/channels", json!({"name": "news"})).await;
    let keys = "/api/v1/channels/news/keys";
    let made = api.call_with("POST", keys, json!({"name": "studio", "srt_key_bytes": 32})).await.json();
    let passphrase = made["srt_passphrase"].as_str().unwrap().to_owned();
    assert!((30..=79).contains(&passphrase.len()) && made["srt_key_bytes"] == 32, "{made}");
    assert_ne!(made["stream_key"], made["srt_passphrase"]);
    let own = json!({"name": "own", "srt_passphrase": "ten-letters"});
    let own = api.call_with("POST", keys, own).await.json();
    assert_eq!((&own["srt_passphrase"], &own["srt_key_bytes"]), (&json!("ten-letters"), &json!(16)));
    let kept = |registry: &Registry, key: &str| {
        let channels = registry.channels();
        let key = channels.find("news").unwrap().key(&KeyName::new(key).unwrap()).unwrap().key.srt.clone();
        key.map(|srt| (srt.passphrase.expose().to_owned(), srt.key_bytes.bytes()))
    };
    assert_eq!(kept(&api.registry, "studio"), Some((passphrase.clone(), 32)));
    assert_eq!(kept(&api.registry, "default"), None);
    for path in [keys, "/api/v1/channels/news", "/api/v1/channels"] {
        let shown = api.call("GET", path).await.text;
        assert!(!shown.contains(&passphrase) && !shown.contains("ten-letters"), "{path} shows a passphrase");
    }
    let listed = api.call("GET", keys).await.json();
    assert_eq!((&listed["keys"][0]["srt_key_bytes"], &listed["keys"][1]["srt_key_bytes"]), (&Value::Null, &json!(32)));

    let rotated = api.call("POST", &format!("{keys}/studio/rotate")).await.json();
    assert_eq!(rotated["srt_key_bytes"], 32, "as it was");
    assert!(rotated["srt_passphrase"].is_string() && rotated["srt_passphrase"] != json!(passphrase), "{rotated}");
    let rotated = api.call_with("POST", "/api/v1/channels/news/rotate-key", json!({})).await.json();
    assert!(rotated.get("srt_passphrase").is_none(), "a key without one gets none: {rotated}");
    let given = api.call_with("POST", &format!("{keys}/default/rotate"), json!({"srt_key_bytes": 24})).await.json();
    assert!(given["srt_passphrase"].is_string());

    for wrong in [
        json!({"name": "a", "srt_passphrase": "too-short"}),
        json!({"name": "a", "srt_passphrase": "x".repeat(80)}),
        json!({"name": "a", "srt_passphrase": 1_234_567_890}),
        json!({"name": "a", "srt_key_bytes": 20}),
        json!({"name": "a", "srt_key_bytes": "16"}),
    ] {
        let problem = api.call_with("POST", keys, wrong.clone()).await.problem(422);
        assert!(problem.contains("srt_") && !problem.contains("too-short"), "{wrong}: {problem}");
    }
}

#[tokio::test]
async fn keys_outlive_the_process_also_those_beside_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = || vec![config(json!({"name": "news", "stream_key": "key-of-the-file"}))];
    let registry = open(&folder, file()).await;
    let body = |name: &str| millstream_control::registry::NewKey {
        name: KeyName::new(name).unwrap(),
        stream_key: None,
        expires: None,
        addresses: Vec::new(),
        srt: Some(millstream_control::registry::NewSrt::default()),
    };
    let (_, kept) = registry.add_key(&name("news"), body("kept")).await.unwrap();
    let (_, gone) = registry.add_key(&name("news"), body("gone")).await.unwrap();
    registry.revoke_key(&name("news"), &KeyName::new("gone").unwrap(), Streams::End).await.unwrap();
    let stored = std::fs::read_to_string(folder.path().join("channels/news.json")).unwrap();
    assert!(!stored.contains(kept.expose()) && !stored.contains("key-of-the-file"), "{stored}");
    drop(registry);

    let registry = open(&folder, file()).await;
    let key = |channel: &millstream_control::registry::Channel| channel.key(&KeyName::new("kept").unwrap()).cloned();
    assert!(key(registry.channels().find("news").unwrap()).unwrap().key.srt.is_some(), "its passphrase, too");
    assert_eq!(opens(&registry, "live", "key-of-the-file"), Ok(name("news")));
    assert_eq!(opens(&registry, "live", kept.expose()), Ok(name("news")));
    assert_eq!(
        refused(&registry, gone.expose(), HERE),
        Some(KeyRefusal::Revoked),
        "told from a wrong one after a restart"
    );
    registry.add_key(&name("news"), body("third")).await.unwrap();
}

#[tokio::test]
async fn a_document_of_before_keys_had_names_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("channels")).unwrap();
    let hash = millstream_access::StreamKeyHash::of("key-of-old").to_hex();
    let document = json!({"format": 1, "config": {"name": "news"}, "stream_key_hashes": [hash]});
    std::fs::write(folder.path().join("channels/news.json"), document.to_string()).unwrap();
    let registry = open(&folder, Vec::new()).await;
    assert_eq!(opens(&registry, "live", "key-of-old"), Ok(name("news")));
    assert_eq!(registry.channels().find("news").unwrap().keys[0].view().name, "default");
}
