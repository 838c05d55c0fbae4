//! What was stored is there again after a restart, a broken document harms only its own channel, and subscribers see
//! every change.

mod support;

use millstream_access::publisher::KeyName;
use millstream_control::documents::{ChannelDocument, Continuity, DocumentError, Documents};
use millstream_control::registry::{Change, Refusal, RegistryError, Streams};
use serde_json::json;
use support::{config, name, open, opens};

#[tokio::test]
async fn channels_and_keys_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(&folder, Vec::new()).await;
    let (_, key) = registry.create(config(json!({"name": "a", "title": "A", "segment_seconds": 1.92}))).await.unwrap();
    registry.patch(&name("a"), &json!({"title": "B"}), None).await.unwrap();
    let stored = std::fs::read_to_string(folder.path().join("channels/a.json")).unwrap();
    assert!(!stored.contains(key.expose()), "only the hash is stored: {stored}");
    drop(registry);

    let registry = open(&folder, Vec::new()).await;
    let channels = registry.channels();
    assert_eq!(channels.find("a").unwrap().config.title, "B");
    assert_eq!(opens(&registry, "live", key.expose()), Ok(name("a")));
    // The version that was read at the start allows the next update.
    registry.patch(&name("a"), &json!({"title": "C"}), None).await.unwrap();
    registry.delete(&name("a"), None).await.unwrap();
    assert!(open(&folder, Vec::new()).await.channels().is_empty());
}

#[tokio::test]
async fn a_broken_document_harms_only_its_own_channel() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(&folder, Vec::new()).await;
    for n in ["a", "b", "c"] {
        registry.create(config(json!({"name": n}))).await.unwrap();
    }
    std::fs::write(folder.path().join("channels/b.json"), "{\"format\": 1, \"config\"").unwrap();
    std::fs::copy(folder.path().join("channels/a.json"), folder.path().join("channels/c.json")).unwrap();
    std::fs::write(folder.path().join("channels/.hidden.json"), "{").unwrap();

    let registry = open(&folder, Vec::new()).await;
    let channels = registry.channels();
    assert_eq!(channels.len(), 3);
    assert!(channels.find("a").unwrap().fault.is_none());
    let fault = channels.find("b").unwrap().fault.clone().unwrap();
    assert!(fault.contains("channels/b.json cannot be used: EOF") && fault.contains("repair the file"), "{fault}");
    assert!(channels.find("c").unwrap().fault.clone().unwrap().contains("it describes channel a"));
    let view = serde_json::to_value(channels.find("b").unwrap().view()).unwrap();
    assert_eq!((&view["state"], &view["enabled"], &view["error"]), (&json!("error"), &json!(false), &json!(fault)));
    for refused in [
        registry.set_enabled(&name("b"), true).await.err(),
        registry.patch(&name("b"), &json!({"title": "x"}), None).await.err(),
    ] {
        assert!(matches!(refused, Some(RegistryError::Broken { .. })));
    }
    registry.delete(&name("b"), None).await.unwrap();
    registry.create(config(json!({"name": "b"}))).await.unwrap();
}

#[tokio::test]
async fn the_file_wins_over_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(&folder, Vec::new()).await;
    registry.create(config(json!({"name": "a", "title": "stored", "stream_key": "stored-key-a"}))).await.unwrap();
    registry.create(config(json!({"name": "b", "stream_key": "stored-key-b"}))).await.unwrap();

    let file =
        vec![config(json!({"name": "a", "title": "file"})), config(json!({"name": "c", "stream_key": "stored-key-b"}))];
    let registry = open(&folder, file).await;
    let channels = registry.channels();
    assert_eq!(channels.find("a").unwrap().config.title, "file");
    assert_eq!(opens(&registry, "live", "stored-key-a"), Ok(name("a")), "the file sets no key: the stored one holds");
    assert_eq!(opens(&registry, "live", "stored-key-b"), Ok(name("c")), "the file's key goes first");
    assert!(channels.find("b").unwrap().status.get().warnings[0].contains("rotate it"));
    let (_, key) = registry.rotate_key(&name("a"), &KeyName::default_key(), None, None, Streams::Keep).await.unwrap();
    assert_eq!(opens(&registry, "live", key.expose()), Ok(name("a")));

    let twice = vec![config(json!({"name": "a"})), config(json!({"name": "a"}))];
    let documents = Documents::local(folder.path()).unwrap();
    let error =
        millstream_control::registry::Registry::open(documents, twice, std::sync::Arc::new(support::Still)).await;
    assert!(matches!(error.err(), Some(RegistryError::Exists { .. })));
}

#[tokio::test]
async fn publishers_are_let_in_by_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = vec![config(json!({"name": "a", "stream_key": "key-of-a"})), config(json!({"name": "b"}))];
    let registry = open(&folder, file).await;
    assert_eq!(opens(&registry, "live", "key-of-a"), Ok(name("a")));
    assert_eq!(opens(&registry, "live/", "key-of-a"), Ok(name("a")));
    assert_eq!(opens(&registry, "app", "key-of-a"), Err(Refusal::UnknownApp));
    for wrong in ["a", "b", "", "KEY-OF-A", "key-of-a "] {
        assert_eq!(opens(&registry, "live", wrong), Err(Refusal::UnknownKey), "{wrong}");
    }
}

#[tokio::test]
async fn a_slow_subscriber_misses_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(&folder, Vec::new()).await;
    let mut subscription = registry.subscribe();
    registry.create(config(json!({"name": "a"}))).await.unwrap();
    registry.create(config(json!({"name": "b"}))).await.unwrap();
    let known = subscription.borrow_and_update().clone();
    assert_eq!(known.len(), 2);

    registry.delete(&name("a"), None).await.unwrap();
    registry.create(config(json!({"name": "a"}))).await.unwrap();
    registry.patch(&name("b"), &json!({"title": "B"}), None).await.unwrap();
    registry.create(config(json!({"name": "c"}))).await.unwrap();
    assert!(subscription.has_changed().unwrap());
    let now = subscription.borrow_and_update().clone();
    let seen: Vec<_> = now
        .changes_since(&known)
        .into_iter()
        .map(|change| match change {
            Change::Added(c) => format!("+{}", c.config.name),
            Change::Removed(c) => format!("-{}", c.config.name),
            Change::Updated { now, .. } => format!("~{}", now.config.name),
        })
        .collect();
    assert_eq!(seen, ["-a", "+a", "~b", "+c"]);
    assert!(now.changes_since(&now).is_empty());
}

#[tokio::test]
async fn two_writers_never_overwrite_each_other_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let documents = Documents::local(folder.path()).unwrap();
    let document =
        |title: &str| ChannelDocument::new(config(json!({"name": "a", "title": title})), Vec::new(), Vec::new());
    let first = documents.create(&document("1")).await.unwrap();
    assert!(matches!(documents.create(&document("2")).await, Err(DocumentError::Exists { .. })));
    let second = documents.update(&document("22"), &first).await.unwrap();
    assert!(matches!(documents.update(&document("333"), &first).await, Err(DocumentError::Conflict { .. })));
    let (stored, version) = documents.load(&name("a")).await.unwrap();
    assert_eq!((stored.config.title.as_str(), version), ("22", second));
    documents.delete(&name("a")).await.unwrap();
    documents.delete(&name("a")).await.unwrap();
    assert!(matches!(documents.load(&name("a")).await, Err(DocumentError::Missing { .. })));
}

#[tokio::test]
async fn continuity_is_kept_and_a_broken_one_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let documents = Documents::local(folder.path()).unwrap();
    assert_eq!(documents.load_continuity(&name("a")).await.unwrap(), None);
    let continuity = Continuity { last_segment: 896_605_656, ..Continuity::default() };
    documents.save_continuity(&name("a"), &continuity).await.unwrap();
    documents.delete(&name("a")).await.unwrap();
    assert_eq!(documents.load_continuity(&name("a")).await.unwrap(), Some(continuity), "it outlives the definition");
    assert!(documents.load_all().await.unwrap().is_empty(), "a state document is no channel");
    std::fs::write(folder.path().join("channels/a.state.json"), "").unwrap();
    let error = documents.load_continuity(&name("a")).await.unwrap_err();
    assert!(error.to_string().contains("channels/a.state.json cannot be used"), "{error}");
}
