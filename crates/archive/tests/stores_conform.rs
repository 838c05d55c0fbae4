//! One suite for every store: the local folder, memory, and an S3 server over HTTP where there is one
//! (`MILLSTREAM_TEST_S3=http://127.0.0.1:PORT`, started by scripts/s3-for-tests).
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests; reads where the S3 server is")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_archive::asset::State;
use millstream_archive::recording::{Options, Recording};
use millstream_archive::store::{Cause, Environment, Store, StoreError};
use millstream_archive::{clip, documents, layout};
use object_store::path::Path;
use support::{Channel, FIRST, TestClock, asset};

async fn conforms(store: Store) {
    store.probe().await.unwrap();
    let path = Path::from("suite/a.json");
    store.delete(&path).await.unwrap();
    assert!(matches!(store.get(&path).await, Err(StoreError::NotFound { .. })));
    let first = store.create(&path, "one".into()).await.unwrap();
    assert!(matches!(store.create(&path, "two".into()).await, Err(StoreError::Exists { .. })));
    let (read, version) = store.get(&path).await.unwrap();
    assert_eq!(read, "one");
    let second = store.update(&path, "second".into(), &version).await.unwrap();
    assert!(matches!(store.update(&path, "third".into(), &first).await, Err(StoreError::Conflict { .. })));
    store.update(&path, "0123456789".into(), &second).await.unwrap();
    assert_eq!(store.get_range(&path, 2..5).await.unwrap(), "234");
    // Of many who create the same name, one wins.
    let race = Path::from("suite/race.json");
    store.delete(&race).await.unwrap();
    let tries = (0..20).map(|i| store.create(&race, format!("{i}").into()));
    let won = futures::future::join_all(tries).await.iter().filter(|r| r.is_ok()).count();
    assert_eq!(won, 1);
    let names: Vec<String> =
        store.list(&Path::from("suite")).await.unwrap().iter().map(|l| l.path.to_string()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(store.folders(&Path::default()).await.unwrap(), ["suite"]);
    store.delete(&path).await.unwrap();
    store.delete(&path).await.unwrap();
    store.delete(&race).await.unwrap();
    records(store).await;
}

/// A short recording, resumed once, and a clip of it.
async fn records(store: Store) {
    let channel = Channel::usual();
    for life in 0..2 {
        let (handle, recording) = Recording::open(store.clone(), Options::default(), asset()).await.unwrap();
        let first = FIRST + 6 * life;
        channel.line_up(&handle, first, "0a0b");
        for n in first..first + 5 {
            channel.feed(&handle, n);
        }
        if life == 0 {
            // Killed once the segments are there.
            let there = async {
                loop {
                    let listed = store.list(&layout::folder(&asset().id)).await.unwrap();
                    if listed.iter().filter(|l| l.path.as_ref().ends_with(".m4s")).count() == 15 {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! { _ = recording.run() => {}, () = there => {} }
        } else {
            drop(handle);
            assert_eq!(recording.run().await.state, State::Ended);
        }
    }
    let shift = millstream_archive::time_shift::TimeShift::new(store.clone(), Default::default());
    let (ended, _) = documents::asset(&store, &asset().id).await.unwrap();
    let request = clip::Request {
        id: millstream_archive::AssetId::new("clip-1").unwrap(),
        of: ended.id.clone(),
        start: ended.start.unwrap() + Duration::from_secs(3),
        end: ended.end.unwrap() - Duration::from_secs(3),
        title: "A clip".to_owned(),
        precise: None,
        newer: None,
    };
    clip::create(&shift, &store, request.clone()).await.unwrap();
    clip::create(&shift, &store, request).await.unwrap();
    let mut all = BTreeMap::new();
    for object in store.list(&Path::from(layout::ROOT)).await.unwrap() {
        all.insert(object.path.to_string(), store.get(&object.path).await.unwrap().0);
    }
    for (id, rows) in [("demo-1", 10), ("clip-1", 8)] {
        let listed = support::reader::listed(&all, id);
        assert_eq!(listed["720p"].len(), rows, "{id}");
        let found = support::reader::check(&all, id);
        assert!(found.iter().all(|f| !f.starts_with("Error")), "{id}: {found:#?}");
    }
}

#[tokio::test]
async fn memory() {
    conforms(Store::open("memory://", &Environment::default(), TestClock::start()).unwrap()).await;
}

#[tokio::test]
async fn local_folder() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", folder.path().display());
    conforms(Store::open(&url, &Environment::default(), TestClock::start()).unwrap()).await;
}

fn s3(bucket: &str, key: &str, secret: &str) -> Option<Store> {
    let endpoint = std::env::var("MILLSTREAM_TEST_S3").ok()?;
    let variables = [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)];
    let environment = Environment {
        variables: variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        endpoint: Some(endpoint),
        region: Some("us-east-1".to_owned()),
        ..Environment::default()
    };
    let url = format!("s3://{bucket}/some/prefix-{}", std::process::id());
    Some(Store::open(&url, &environment, TestClock::start()).unwrap())
}

fn credentials() -> (String, String) {
    let of = |name: &str| std::env::var(name).unwrap();
    (of("MILLSTREAM_TEST_S3_KEY"), of("MILLSTREAM_TEST_S3_SECRET"))
}

#[tokio::test]
async fn s3_over_http() {
    if std::env::var("MILLSTREAM_TEST_S3").is_err() {
        eprintln!("skipped: MILLSTREAM_TEST_S3 names no S3 server; see scripts/s3-for-tests");
        return;
    }
    let (key, secret) = credentials();
    conforms(s3("millstream", &key, &secret).unwrap()).await;
}

/// Who configured it wrong is told what is wrong.
#[tokio::test]
async fn s3_failures_have_their_cause() {
    if std::env::var("MILLSTREAM_TEST_S3").is_err() {
        return;
    }
    let (key, secret) = credentials();
    for (bucket, key, secret, expected) in [
        ("no-such-bucket", key.as_str(), secret.as_str(), &[Cause::NoBucket, Cause::Denied][..]),
        ("millstream", key.as_str(), "wrong", &[Cause::Secret][..]),
        ("millstream", "AKIAUNKNOWNUNKNOWN00", "wrong", &[Cause::KeyId][..]),
        ("not-ours", key.as_str(), secret.as_str(), &[Cause::Denied][..]),
    ] {
        let error = s3(bucket, key, secret).unwrap().probe().await.unwrap_err();
        let StoreError::Failed { cause, source, .. } = &error else { panic!("{error}") };
        assert!(expected.contains(cause), "{bucket} {key}: {error} ({source})");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_says_so() {
    let environment = Environment {
        variables: [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        ..Environment::default()
    };
    let store = Store::open("s3://bucket", &environment, TestClock::start()).unwrap();
    let error = store.probe().await.unwrap_err();
    assert!(matches!(&error, StoreError::Failed { cause: Cause::Unreachable, .. }), "{error:?}");
    let _ = Arc::new(store);
}
