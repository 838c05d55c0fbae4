//! A day of rewind costs no more memory than an hour; clips and retention agree on what stays.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use millstream_archive::asset::{AssetId, LineUp, State, TrackInfo};
use millstream_archive::clip::{self, ClipError, Request};
use millstream_archive::index::{Cell, Page, Row};
use millstream_archive::retention::{Swept, mark, sweep};
use millstream_archive::store::StoreError;
use millstream_archive::time_shift::{Config, TimeShift};
use millstream_archive::{Store, documents, layout};
use millstream_media::time::UtcTime;
use object_store::memory::InMemory;
use support::{Channel, FIRST, TestClock, asset, store};

const START: UtcTime = UtcTime::from_millis(1_795_386_600_000);

/// The stored index of `hours` hours of two-second rows.
async fn indexed(store: &Store, hours: u64, state: State) {
    let tracks: Vec<TrackInfo> = Channel::usual().tracks.iter().map(TrackInfo::of).collect();
    let scales: Vec<_> = tracks.iter().map(|t| t.timescale).collect();
    let mut document = asset();
    document.line_ups.push(LineUp { first: FIRST, init: "0a0b".to_owned(), tracks });
    (document.start, document.end) = (Some(START), Some(START + Duration::from_secs(3600 * hours)));
    document.state = state;
    for page in 0..hours * 6 {
        let rows = (0..300).map(|i| {
            let n = page * 300 + i;
            let at = START + Duration::from_secs(2 * n);
            let cell = |s: &millstream_media::time::Timescale| {
                Some(Cell { start: at.to_ticks(*s), duration: 2 * s.get(), bytes: 1000, head: 100 })
            };
            Row { number: FIRST + n, discontinuity: false, cells: scales.iter().map(cell).collect() }
        });
        let number = layout::page_of(START) + i64::try_from(page).unwrap() * layout::PAGE_SECONDS;
        documents::save_page(store, &document.id, number, Page::new(rows.collect()), None).await.unwrap();
    }
    documents::create_asset(store, &document).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_day_of_rewind_holds_a_bounded_number_of_pages() {
    let store = store(Arc::new(InMemory::new()), TestClock::start());
    indexed(&store, 24, State::Recording).await;
    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    let shift = TimeShift::new(store.clone(), Config { pages: 8, ..Config::default() });
    let id = asset().id;
    let (mut numbers, mut next) = (Vec::new(), Some(layout::page_of(START)));
    let end = START + Duration::from_secs(24 * 3600);
    while let Some(page) = next {
        let (part, following) = shift.part(&id, page, START, end).await.unwrap();
        numbers.extend(part.unwrap().rows().iter().map(|r| r.number));
        assert!(shift.cached_pages() <= 8);
        next = following;
    }
    assert_eq!(numbers, (FIRST..FIRST + 43_200).collect::<Vec<_>>());
    assert_eq!(store.statistics().page_misses.load(Relaxed), 144);
    // The same ten minutes again come from memory, and only what lies in the range.
    let late = START + Duration::from_secs(24 * 3600 - 61);
    for _ in 0..5 {
        let rows = shift.rows(&id, late, late + Duration::from_secs(4)).await.unwrap();
        assert_eq!(rows.iter().map(|r| r.number - FIRST).collect::<Vec<_>>(), [43_169, 43_170, 43_171]);
    }
    assert_eq!(store.statistics().page_misses.load(Relaxed), 144);
}

fn request(id: &str, from: u64, to: u64) -> Request {
    let at = |s| START + Duration::from_secs(s);
    Request {
        id: AssetId::new(id).unwrap(),
        of: asset().id,
        start: at(from),
        end: at(to),
        title: String::new(),
        precise: None,
        newer: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_clip_outlives_its_recording() {
    let store = store(Arc::new(InMemory::new()), TestClock::start());
    indexed(&store, 1, State::Ended).await;
    let id = asset().id;
    let name = support::name("720p");
    for n in FIRST..FIRST + 60 {
        store.create(&layout::segment(&id, &name, n), "media".into()).await.unwrap();
    }
    store.create(&layout::init(&id, &name, "0a0b"), "init".into()).await.unwrap();
    store.create(&layout::file(&id, layout::MULTIVARIANT), "list".into()).await.unwrap();
    let shift = TimeShift::new(store.clone(), Config::default());
    let made = clip::create(&shift, &store, request("clip-a", 20, 40)).await.unwrap();
    assert_eq!((made.start, made.end), (Some(START + Duration::from_secs(20)), Some(START + Duration::from_secs(40))));
    let error = clip::create(&shift, &store, request("clip-b", 4000, 4010)).await.unwrap_err();
    assert!(matches!(error, ClipError::Nothing { .. }), "{error}");
    let error = clip::create(&shift, &store, request("clip-a", 0, 40)).await.unwrap_err();
    assert!(matches!(error, ClipError::Exists(_)), "{error}");

    mark(&store, &id).await.unwrap();
    assert!(matches!(store.get(&layout::file(&id, layout::MULTIVARIANT)).await, Err(StoreError::NotFound { .. })));
    let error = clip::create(&shift, &store, request("clip-c", 50, 60)).await.unwrap_err();
    assert!(matches!(error, ClipError::Deleting(_)), "{error}");
    assert!(matches!(sweep(&store, &id).await.unwrap(), Swept::Referenced { .. }));
    let left: Vec<u64> = store
        .list(&layout::folder(&id))
        .await
        .unwrap()
        .iter()
        .filter_map(|l| layout::segment_number(l.path.filename()?))
        .map(|n| n - FIRST)
        .collect();
    assert_eq!(left.len(), 10, "{left:?}");
    assert!(left.iter().all(|n| (10..20).contains(n)), "{left:?}");

    mark(&store, &made.id).await.unwrap();
    assert_eq!(sweep(&store, &id).await.unwrap(), Swept::Gone);
    assert_eq!(store.list(&object_store::path::Path::from("vod")).await.unwrap(), []);
}
