//! Stores that are away, slow or lie; full disks; kills at random moments: nothing finished is lost while there is
//! room for it, and what is lost is named.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use millstream_archive::asset::State;
use millstream_archive::recording::{Options, Recording};
use millstream_archive::spool::{Entry, Spool};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::fault::{Fault, FaultStore};
use support::{Channel, FIRST, TestClock, asset, reader, store};

fn all_listed(all: &BTreeMap<String, Bytes>, channel: &Channel, numbers: std::ops::Range<u64>) {
    let listed = reader::listed(all, "demo-1");
    for track in &channel.tracks {
        let rendition = track.name.as_str();
        assert_eq!(listed[rendition], numbers.clone().collect::<Vec<_>>(), "{rendition}");
        for n in numbers.clone() {
            assert_eq!(all[&format!("vod/demo-1/{rendition}/{n}.m4s")], channel.bytes(rendition, n));
        }
    }
}

/// Minutes of each kind of failure while live: everything is there afterwards, each segment put once.
#[tokio::test(start_paused = true)]
async fn everything_finished_is_there_after_the_store_was_away() {
    let kinds: [(&str, Fault); 4] = [
        ("down", Fault { before: Some("tcp connect error: Connection refused"), ..Fault::default() }),
        ("403", Fault { before: Some("status 403 Forbidden: <Code>AccessDenied</Code>"), ..Fault::default() }),
        ("cut", Fault { after: Some("connection closed before message completed"), ..Fault::default() }),
        ("slow", Fault { delay: Duration::from_secs(25), ..Fault::default() }),
    ];
    for (kind, fault) in kinds {
        let folder = tempfile::tempdir().unwrap();
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let faults = FaultStore::new(memory.clone());
        let clock = TestClock::start();
        let puts = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
        let counted = puts.clone();
        faults.on_change(move |_, path| {
            if path.filename().unwrap().ends_with(".m4s") {
                *counted.lock().unwrap().entry(path.to_string()).or_default() += 1;
            }
        });
        let (began, away) = (tokio::time::Instant::now(), Duration::from_secs(20)..Duration::from_secs(200));
        faults.plan(move |_, _| if away.contains(&began.elapsed()) { fault } else { Fault::default() });
        let options = Options { spool: Some(folder.path().into()), memory_bytes: 30_000, ..Options::default() };
        let channel = Channel::usual();
        let store = store(faults, clock);
        let statistics = store.statistics().clone();
        let (handle, recording) = Recording::begin(store, options, asset());
        let task = tokio::spawn(recording.run());
        channel.line_up(&handle, FIRST, "0a0b");
        for n in FIRST..FIRST + 120 {
            channel.feed(&handle, n);
            tokio::time::sleep(Duration::from_secs(2)).await;
            if n == FIRST + 90 && kind == "down" {
                assert!(statistics.pending_segments.load(Relaxed) > 200);
                assert!(statistics.spooled_bytes.load(Relaxed) > 100_000);
            }
        }
        drop(handle);
        let ended = task.await.unwrap();
        assert!(ended.losses.is_empty(), "{kind}: {:?}", ended.losses);
        all_listed(&reader::everything(&memory).await, &channel, FIRST..FIRST + 120);
        assert!(puts.lock().unwrap().values().all(|n| *n == 1), "{kind}");
        assert_eq!(statistics.pending_segments.load(Relaxed), 0, "{kind}");
        assert_eq!(statistics.spooled_bytes.load(Relaxed), 0, "{kind}");
        assert!(!folder.path().join("demo-1").exists(), "{kind}: the spool is empty");
    }
}

/// The disk has room for some: the rest is named, exactly.
#[tokio::test(start_paused = true)]
async fn what_finds_no_room_is_reported_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let faults = FaultStore::new(memory.clone());
    let began = tokio::time::Instant::now();
    faults.plan(move |_, _| {
        let away = (20..160).contains(&began.elapsed().as_secs());
        Fault { before: away.then_some("503 Service Unavailable"), ..Fault::default() }
    });
    let options =
        Options { spool: Some(folder.path().into()), spool_bytes: 400_000, memory_bytes: 0, ..Options::default() };
    let channel = Channel::usual();
    let store = store(faults, TestClock::start());
    let statistics = store.statistics().clone();
    let (handle, recording) = Recording::begin(store, options, asset());
    let task = tokio::spawn(recording.run());
    channel.line_up(&handle, FIRST, "0a0b");
    for n in FIRST..FIRST + 100 {
        channel.feed(&handle, n);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    drop(handle);
    let ended = task.await.unwrap();
    let all = reader::everything(&memory).await;
    let listed = reader::listed(&all, "demo-1");
    let mut lost = 0;
    for track in &channel.tracks {
        let rendition = &track.name;
        let named: BTreeSet<u64> =
            ended.losses.iter().filter(|l| l.rendition == *rendition).flat_map(|l| l.first..=l.last).collect();
        lost += named.len() as u64;
        let there: BTreeSet<u64> = listed[rendition.as_str()].iter().copied().collect();
        assert!(named.is_disjoint(&there));
        assert_eq!(named.union(&there).copied().collect::<Vec<_>>(), (FIRST..FIRST + 100).collect::<Vec<_>>());
    }
    assert!(lost > 30, "{lost}");
    assert_eq!(statistics.lost_segments.load(Relaxed), lost);
    assert_eq!(ended.state, State::Ended);
}

/// Dropped at random moments and opened again, a hundred times over: what was in the store or the spool is in the
/// recording, under its own bytes; gaps are discontinuities; what is listed is there at each moment.
#[tokio::test(start_paused = true)]
async fn a_recording_that_is_killed_goes_on_in_the_same_asset() {
    for seed in 0..10 {
        let mut random = StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().unwrap();
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let faults = FaultStore::new(memory.clone());
        let mut fate = StdRng::seed_from_u64(seed + 1000);
        faults.plan(move |_, _| Fault {
            delay: Duration::from_millis(fate.random_range(0..400)),
            before: fate.random_bool(0.05).then_some("500 Internal Server Error"),
            after: fate.random_bool(0.05).then_some("connection closed before message completed"),
        });
        let clock = TestClock::start();
        let channel = Channel::new(&[("360p", 4000)]);
        let options = Options { spool: Some(folder.path().into()), ..Options::default() };
        let mut kept: BTreeSet<(String, u64)> = BTreeSet::new();
        let mut number = FIRST;
        for life in 0..11 {
            let opened = loop {
                match Recording::open(store(faults.clone(), clock.clone()), options.clone(), asset()).await {
                    Ok(opened) => break opened,
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            };
            let (handle, recording) = opened;
            let last = life == 10;
            let dies = Duration::from_millis(if last { 1_000_000 } else { random.random_range(0..30_000) });
            let feeding = async {
                channel.line_up(&handle, number, "0a0b");
                let began = tokio::time::Instant::now();
                while if last { number < FIRST + 200 } else { began.elapsed() < dies } {
                    tokio::time::sleep(Duration::from_millis(2000)).await;
                    channel.feed(&handle, number);
                    number += 1;
                }
                drop(handle);
            };
            let run = recording.run();
            if last {
                let (ended, ()) = tokio::join!(run, feeding);
                assert_eq!(ended.state, State::Ended);
            } else {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(dies) => {}
                    _ = async { tokio::join!(run, feeding) } => panic!("it ended by itself"),
                }
                number += random.random_range(0..3);
                let all = reader::everything(&memory).await;
                for (path, text) in all.iter().filter(|(p, _)| p.ends_with(".m3u8")) {
                    let text = std::str::from_utf8(text).unwrap();
                    assert_eq!(reader::missing(path, text, |p| all.contains_key(p)), Vec::<String>::new());
                }
                for path in all.keys().filter(|p| p.ends_with(".m4s")) {
                    let parts: Vec<&str> = path.split('/').collect();
                    kept.insert((parts[2].to_owned(), parts[3].strip_suffix(".m4s").unwrap().parse().unwrap()));
                }
                let folder = PathBuf::from(folder.path());
                for entry in Spool::new(&folder, &asset().id).scan() {
                    if let Entry::Segment { rendition, number, .. } = entry {
                        kept.insert((rendition.to_string(), number));
                    }
                }
            }
        }
        let all = reader::everything(&memory).await;
        let listed = reader::listed(&all, "demo-1");
        for (rendition, n) in kept {
            assert!(listed[&rendition].contains(&n), "seed {seed}: {rendition} {n} is not in the recording");
        }
        for (rendition, numbers) in &listed {
            for n in numbers {
                assert_eq!(all[&format!("vod/demo-1/{rendition}/{n}.m4s")], channel.bytes(rendition, *n));
            }
        }
        let errors: Vec<_> = reader::check(&all, "demo-1").into_iter().filter(|f| f.starts_with("Error")).collect();
        assert!(errors.is_empty(), "seed {seed}: {errors:#?}");
    }
}
