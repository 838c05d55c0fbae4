//! Which asset a session records into; two nodes that record the same one; one that is deleted while it is recorded.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_archive::asset::State;
use millstream_archive::catalog::{Continuation, begin, load};
use millstream_archive::recording::{Options, Recording};
use millstream_archive::{documents, retention};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use support::fault::FaultStore;
use support::{Channel, FIRST, TestClock, asset, reader, store};

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_in_the_asset_that_was_left_unless_it_is_old() {
    let clock = TestClock::start();
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = store(memory, clock);
    let rule = Continuation::default();
    let start = store.clock().utc();
    let first = begin(&store, "demo", start, 2, &rule).await.unwrap();
    assert_eq!(first.asset.id.as_str(), "demo-20261122-223000");
    let (handle, recording) = Recording::open(store.clone(), Options::default(), first.asset.clone()).await.unwrap();
    let channel = Channel::usual();
    channel.line_up(&handle, FIRST, "0a0b");
    let feeding = async {
        for n in FIRST..FIRST + 10 {
            channel.feed(&handle, n);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    // Killed while it records.
    tokio::select! { _ = recording.run() => panic!("it ended by itself"), () = feeding => {} }

    let later = start + Duration::from_secs(3600);
    let again = begin(&store, "demo", later, 2, &rule).await.unwrap();
    assert_eq!((again.asset.id.clone(), again.abandoned), (first.asset.id.clone(), None));
    // Another target duration, too long a pause, too long an asset: a new one, and the old one is to be ended.
    let day = Duration::from_secs(24 * 3600);
    let short = Continuation { longest: Duration::from_secs(60), ..rule };
    for (at, target, rule) in [(later, 6, rule), (start + day / 2, 2, rule), (later, 2, short)] {
        let new = begin(&store, "demo", at, target, &rule).await.unwrap();
        assert_ne!(new.asset.id, first.asset.id);
        assert_eq!(new.abandoned.unwrap().id, first.asset.id);
        let mut catalog = load(&store, "demo").await.unwrap();
        assert_eq!(catalog.assets.pop(), Some(new.asset.id.clone()));
        // Noted again as the newest for the next case.
        let path = millstream_archive::layout::channel("demo");
        store.delete(&path).await.unwrap();
        millstream_archive::catalog::note(&store, "demo", &first.asset.id).await.unwrap();
    }
    let (handle, recording) = Recording::open(store.clone(), Options::default(), again.asset).await.unwrap();
    drop(handle);
    let ended = recording.run().await;
    assert_eq!((ended.state, ended.end), (State::Ended, Some(start + Duration::from_secs(20))));
    assert!(Recording::open(store, Options::default(), ended).await.is_err());
}

/// Epoch locking makes two nodes' segments the same: each is put once, and the index has what either brought.
#[tokio::test(start_paused = true)]
async fn two_nodes_record_one_asset() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let faults = FaultStore::new(memory.clone());
    let puts = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
    let counted = puts.clone();
    faults.on_change(move |_, path| *counted.lock().unwrap().entry(path.to_string()).or_default() += 1);
    let clock = TestClock::start();
    let channel = Channel::usual();
    let mut nodes = Vec::new();
    for _ in 0..2 {
        // Two processes share no lock.
        let store = store(faults.clone(), clock.clone());
        let (handle, recording) = Recording::begin(store, Options::default(), asset());
        channel.line_up(&handle, FIRST, "0a0b");
        nodes.push((handle, tokio::spawn(recording.run())));
    }
    for n in FIRST..FIRST + 40 {
        for (i, (handle, _)) in nodes.iter().enumerate() {
            // Each is down for a time.
            if !(10 * (i as u64 + 1)..10 * (i as u64 + 1) + 8).contains(&(n - FIRST)) {
                channel.feed(handle, n);
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    for (handle, task) in nodes {
        drop(handle);
        task.await.unwrap();
    }
    let segments = |(path, n): (&String, &u32)| path.ends_with(".m4s").then_some(*n);
    assert!(puts.lock().unwrap().iter().filter_map(segments).all(|n| n == 1));
    let store = store(memory.clone(), clock);
    let mut numbers = Vec::new();
    for page in documents::pages(&store, &asset().id).await.unwrap() {
        numbers.extend(documents::page(&store, &asset().id, page).await.unwrap().0.rows.iter().map(|r| r.number));
    }
    assert_eq!(numbers, (FIRST..FIRST + 40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_is_deleted_ends() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = store(memory.clone(), TestClock::start());
    let channel = Channel::usual();
    let (handle, recording) = Recording::begin(store.clone(), Options::default(), asset());
    let task = tokio::spawn(recording.run());
    channel.line_up(&handle, FIRST, "0a0b");
    for n in FIRST..FIRST + 20 {
        channel.feed(&handle, n);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    retention::mark(&store, &asset().id).await.unwrap();
    drop(handle);
    task.await.unwrap();
    assert_eq!(documents::asset(&store, &asset().id).await.unwrap().0.state, State::Deleting);
    retention::sweep(&store, &asset().id).await.unwrap();
    assert!(reader::everything(&memory).await.is_empty());
}
