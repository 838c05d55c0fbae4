//! What a recording puts plays as it lies, at any moment, and breaks no standard at the end.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_archive::asset::State;
use millstream_archive::recording::{Options, Recording};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use support::fault::FaultStore;
use support::{Channel, FIRST, TestClock, asset, reader, store};

/// Each time a playlist is put, everything it names is there, and what it listed before it still lists (STANDARDS 1.8,
/// 1.13).
#[tokio::test(start_paused = true)]
async fn no_playlist_ever_names_what_is_not_there() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let faults = FaultStore::new(memory.clone());
    let wrong = Arc::new(Mutex::new((0, Vec::new())));
    let (seen, inner, report) =
        (Mutex::new(std::collections::BTreeMap::<String, String>::new()), memory.clone(), wrong.clone());
    faults.on_change(move |_, path| {
        let path = path.to_string();
        if !path.ends_with(".m3u8") {
            return;
        }
        let all = futures::executor::block_on(reader::everything(&inner));
        let text = String::from_utf8(all[&path].to_vec()).unwrap();
        let mut report = report.lock().unwrap();
        report.0 += 1;
        report.1.extend(reader::missing(&path, &text, |p| all.contains_key(p)));
        let body =
            |t: &str| t.lines().skip_while(|l| !l.starts_with("#EXT-X-MAP")).map(String::from).collect::<Vec<_>>();
        let before = seen.lock().unwrap().insert(path.clone(), text.clone()).unwrap_or_default();
        if path.matches('/').count() == 3 && !body(&text).starts_with(&body(&before)) {
            report.1.push(format!("{path} did not only grow"));
        }
    });
    let clock = TestClock::start();
    let channel = Channel::usual();
    let (handle, recording) = Recording::begin(store(faults, clock), Options::default(), asset());
    let task = tokio::spawn(recording.run());
    channel.line_up(&handle, FIRST, "0a0b");
    for n in FIRST..FIRST + 60 {
        channel.feed(&handle, n);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    drop(handle);
    let ended = task.await.unwrap();
    let (playlists, wrong) = std::mem::take(&mut *wrong.lock().unwrap());
    assert!(wrong.is_empty(), "{wrong:?}");
    // The first, one each ten seconds, the last: three media playlists and the multivariant one.
    assert!((4 * 11..=4 * 16).contains(&playlists), "{playlists}");
    assert_eq!((ended.state, ended.losses.len()), (State::Ended, 0));
    let all = reader::everything(&memory).await;
    let listed = reader::listed(&all, "demo-1");
    for rendition in ["720p", "360p", "audio"] {
        assert_eq!(listed[rendition], (FIRST..FIRST + 60).collect::<Vec<_>>());
        for n in FIRST..FIRST + 60 {
            assert_eq!(all[&format!("vod/demo-1/{rendition}/{n}.m4s")], channel.bytes(rendition, n));
        }
    }
    let findings = reader::check(&all, "demo-1");
    assert!(findings.is_empty(), "{findings:#?}");
}

/// STANDARDS 1.16, 1.18, 2.10: what one rendition lacks is a gap there; what all lack is a discontinuity; other tracks
/// are a discontinuity with a new map.
#[tokio::test(start_paused = true)]
async fn gaps_and_changes_are_marked() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let clock = TestClock::start();
    let channel = Channel::usual();
    let (handle, recording) = Recording::begin(store(memory.clone(), clock), Options::default(), asset());
    let task = tokio::spawn(recording.run());
    channel.line_up(&handle, FIRST, "0a0b");
    for n in FIRST..FIRST + 12 {
        match n - FIRST {
            3 => channel.feed_only(&handle, n, |r| r != "360p"),
            6 | 7 => {}
            9 => {
                let smaller = Channel::new(&[("720p", 40_000)]);
                smaller.line_up(&handle, n, "0c0d");
                smaller.feed(&handle, n);
            }
            10.. => Channel::new(&[("720p", 40_000)]).feed(&handle, n),
            _ => channel.feed(&handle, n),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    drop(handle);
    task.await.unwrap();
    let all = reader::everything(&memory).await;
    let text = String::from_utf8(all["vod/demo-1/360p/index.m3u8"].to_vec()).unwrap();
    let shape: Vec<String> = text
        .lines()
        .filter_map(|l| match l {
            "#EXT-X-GAP" => Some("gap".to_owned()),
            "#EXT-X-DISCONTINUITY" => Some("discontinuity".to_owned()),
            l if l.starts_with("#EXT-X-MAP") => Some(l.split('"').nth(1).unwrap().to_owned()),
            l if l.starts_with('#') => None,
            l => {
                let (folder, file) = l.rsplit_once('/').unwrap_or(("", l));
                let n: u64 = file.strip_suffix(".m4s").unwrap().parse().unwrap();
                Some(format!("{folder}+{}", n - FIRST))
            }
        })
        .collect();
    assert_eq!(
        shape,
        [
            "init-0a0b.mp4",
            "+0",
            "+1",
            "+2",
            "gap",
            "+3",
            "+4",
            "+5",
            "discontinuity",
            "init-0a0b.mp4",
            "+8",
            "discontinuity",
            "../720p/init-0c0d.mp4",
            "../720p+9",
            "../720p+10",
            "../720p+11"
        ]
    );
    let mpd = String::from_utf8(all["vod/demo-1/manifest.mpd"].to_vec()).unwrap();
    // Before the lost segment, the row without 360p, after it, after the hole, the new tracks.
    assert_eq!(mpd.matches("<Period ").count(), 5, "{mpd}");
    let errors: Vec<_> = reader::check(&all, "demo-1")
        .into_iter()
        // The lost segment itself is what CHECK-3b sees: the other rendition has it.
        .filter(|f| f.starts_with("Error") && !(f.contains("CHECK-3b") && f.contains(&(FIRST + 3).to_string())))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// A long recording does not spend more and more on its own playlists, but the index stays fresh.
#[tokio::test(start_paused = true)]
async fn playlists_cost_a_bounded_share() {
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let faults = FaultStore::new(memory.clone());
    let written = Arc::new(Mutex::new((0_u64, 0_u64, 0_u64)));
    let (inner, sums) = (memory.clone(), written.clone());
    faults.on_change(move |_, path| {
        let bytes = futures::executor::block_on(inner.head(path)).unwrap().size;
        let mut sums = sums.lock().unwrap();
        match path.filename().unwrap().rsplit('.').next() {
            Some("m4s") => sums.0 += bytes,
            Some("m3u8" | "mpd") => sums.1 += bytes,
            _ => sums.2 += bytes,
        }
    });
    let mut options = Options::default();
    options.settings.manifest_credit = 100_000;
    let channel = Channel::new(&[("180p", 500)]);
    let (handle, recording) = Recording::begin(store(faults, TestClock::start()), options, asset());
    let task = tokio::spawn(recording.run());
    channel.line_up(&handle, FIRST, "0a0b");
    for n in FIRST..FIRST + 3000 {
        channel.feed(&handle, n);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let stale = reader::listed(&reader::everything(&memory).await, "demo-1")["180p"].len();
    assert!(stale > 1000, "{stale}");
    drop(handle);
    task.await.unwrap();
    let (media, playlists, index) = *written.lock().unwrap();
    // Its share, the credit, and the last ones, which are written whatever they cost.
    let last = 600_000;
    assert!(playlists < media / 20 + 100_000 + last, "{playlists} of {media}");
    assert!(index < media, "{index} of {media}");
    assert_eq!(reader::listed(&reader::everything(&memory).await, "demo-1")["180p"].len(), 3000);
}
