//! Posters and sheets of an asset: what a source that can wait gives is all there, a restart in the middle of a minute
//! loses no tile that was put, and a clip has a poster.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_archive::asset::TrackInfo;
use millstream_archive::pictures::Pictures;
use millstream_archive::recording::{Options, Recording};
use millstream_archive::store::Store;
use millstream_archive::time_shift::{Config, TimeShift};
use millstream_archive::{AssetId, clip, layout};
use millstream_media::cmaf::init_segment;
use millstream_media::storyboard::{Storyboard, sheet_at, tile_at, tile_time, tiles_of};
use millstream_media::time::UtcTime;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use support::{Channel, FIRST, TestClock, asset, store};

/// A picture of a tile's size that can be joined with others, and tells which it is.
fn tile(mark: u8) -> Bytes {
    let mut out = vec![0xff, 0xd8];
    out.extend([0xff, 0xc0, 0, 17, 8, 0, 144, 1, 0, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
    out.extend([0xff, 0xda, 0, 3, 9, mark, 0xff, 0xd9]);
    Bytes::from(out)
}

/// Of each tile of a stored sheet the mark.
async fn marks(store: &Store, id: &AssetId, sheet: i64) -> Vec<u8> {
    let (picture, _) = store.get(&layout::sheet(id, sheet)).await.unwrap();
    tiles_of(&picture).unwrap().iter().map(|t| t[t.len() - 3]).collect()
}

#[tokio::test(start_paused = true)]
async fn who_can_wait_loses_nothing_on_a_slow_store() {
    let slow = ThrottleConfig { wait_put_per_call: Duration::from_secs(3), ..ThrottleConfig::default() };
    let store = store(Arc::new(ThrottledStore::new(InMemory::new(), slow)), TestClock::start());
    let id = asset().id;
    let (pictures, task) = Pictures::begin_patient(store.clone(), id.clone());
    let task = tokio::spawn(task);
    // Two hours, as fast as they are taken.
    for k in 0..1440 {
        pictures.put_tile(tile_time(k), tile((k % 12) as u8)).await;
    }
    pictures.put_poster(tile(99)).await;
    drop(pictures);
    task.await.unwrap();
    for sheet in 0..120 {
        assert_eq!(marks(&store, &id, sheet).await, (0..12).collect::<Vec<u8>>(), "sheet {sheet}");
    }
    store.get(&layout::file(&id, layout::POSTER)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_a_minute_keeps_its_tiles() {
    let store = store(Arc::new(InMemory::new()), TestClock::start());
    let id = asset().id;
    for tiles in [12..17, 17..24] {
        let (pictures, task) = Pictures::begin(store.clone(), id.clone());
        let task = tokio::spawn(task);
        for k in tiles {
            pictures.tile(tile_time(k), tile(k as u8));
        }
        drop(pictures);
        task.await.unwrap();
    }
    assert_eq!(marks(&store, &id, 1).await, (12..24).collect::<Vec<u8>>());
}

#[tokio::test(start_paused = true)]
async fn a_clip_has_the_tile_nearest_to_its_start_as_its_poster() {
    let clock = TestClock::start();
    let store = store(Arc::new(InMemory::new()), clock);
    let id = asset().id;
    let (handle, recording) = Recording::begin(store.clone(), Options::default(), asset());
    let task = tokio::spawn(recording.run());
    let channel = Channel::usual();
    let pictured = |t: &millstream_media::track::Track| TrackInfo { pictures: t.is_video(), ..TrackInfo::of(t) };
    let tracks = channel.tracks.iter().map(|t| (pictured(t), init_segment(t))).collect();
    handle.line_up(FIRST, "0a", tracks).unwrap();
    for number in FIRST..FIRST + 60 {
        channel.feed(&handle, number);
        tokio::task::yield_now().await;
    }
    drop(handle);
    task.await.unwrap();
    let begin = UtcTime::from_millis(1_795_386_600_000);
    // Its first minute is there, the second one not yet.
    let mut board = Storyboard::new(100);
    for k in 0..12 {
        board.push(tile_time(tile_at(begin) + k), tile(k as u8));
    }
    store.put(&layout::sheet(&id, sheet_at(begin)), board.sheet(sheet_at(begin)).unwrap().into()).await.unwrap();
    let shift = TimeShift::new(store.clone(), Config::default());
    for (name, from, shown) in [("in-it", 22, 4), ("behind-it", 80, 11)] {
        let request = clip::Request {
            id: AssetId::new(name).unwrap(),
            of: id.clone(),
            start: begin + Duration::from_secs(from),
            end: begin + Duration::from_secs(from + 10),
            title: String::new(),
            precise: None,
            newer: None,
        };
        let made = clip::create(&shift, &store, request).await.unwrap();
        let (poster, _) = store.get(&layout::file(&made.id, layout::POSTER)).await.unwrap();
        assert_eq!(poster, tile(shown), "{name}");
        clip::delete(&store, &made).await.unwrap();
        assert!(store.get(&layout::file(&made.id, layout::POSTER)).await.is_err());
    }
}
