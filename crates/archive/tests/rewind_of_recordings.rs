//! Rewind where only the recording is left: a channel that has ended counts back from its end, and an encrypted one says
//! where its keys are.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use millstream_archive::asset::TrackInfo;
use millstream_archive::delivery::VodDelivery;
use millstream_archive::recording::{Options, Recording};
use millstream_archive::rewind::{Channel as Rewound, Failed, List, Rewind};
use millstream_archive::running::Running;
use millstream_archive::store::Store;
use millstream_archive::{catalog, layout};
use millstream_delivery::answer::{Delivery, Peer, Reply};
use millstream_delivery::shift::Shift;
use millstream_media::cmaf::init_segment;
use millstream_media::protection::{KeyId, Scheme, Signalling};
use object_store::memory::InMemory;
use support::{Channel, FIRST, TestClock, asset, name, store};

const KEY: &str = "METHOD=SAMPLE-AES,URI=\"/keys/demo\",KEYFORMAT=\"identity\"";

/// Five minutes of a channel that has ended, `pause` ago.
async fn ended(protected: bool, pause: Duration) -> (Store, Rewind, VodDelivery) {
    let store = store(Arc::new(InMemory::new()), TestClock::start());
    catalog::note(&store, "demo", &asset().id).await.unwrap();
    let (handle, recording) = Recording::begin(store.clone(), Options::default(), asset());
    let task = tokio::spawn(recording.run());
    let channel = Channel::usual();
    let signalling = Signalling {
        scheme: Scheme::Cbcs,
        key_id: KeyId([7; 16]),
        hls: vec![KEY.to_owned()],
        hls_session: Vec::new(),
        dash: Vec::new(),
    };
    let info = |t| TrackInfo { protection: protected.then(|| signalling.clone()), ..TrackInfo::of(t) };
    let tracks = channel.tracks.iter().map(|t| (info(t), init_segment(t))).collect();
    handle.line_up(FIRST, "0a", tracks).unwrap();
    for number in FIRST..FIRST + 150 {
        channel.feed(&handle, number);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    drop(handle);
    task.await.unwrap();
    tokio::time::sleep(pause).await;
    let vod = VodDelivery::new(store.clone());
    (store.clone(), Rewind::new(store, Running::default(), vod.clone()), vod)
}

fn demo() -> Rewound {
    let (dvr, list) = (Duration::from_secs(120), Duration::from_secs(20));
    Rewound { name: "demo".to_owned(), dvr, tail: None, list }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_has_ended_counts_back_from_its_end() {
    let (_, rewind, _) = ended(false, Duration::from_secs(6 * 3600)).await;
    let of = async |query| {
        let list = List::Media(name("720p"), false);
        rewind.list(&demo(), &list, &Shift::parse(Some(query)).unwrap(), "").await
    };
    let numbers = |list: &str| -> Vec<u64> {
        list.lines().filter_map(|l| Some(l.strip_suffix(".m4s")?.parse::<u64>().ok()? - FIRST)).collect()
    };
    let whole = of("dvr").await.unwrap();
    assert_eq!(numbers(&whole), (90..150).collect::<Vec<_>>());
    assert!(whole.ends_with("#EXT-X-ENDLIST\n"), "{whole}");
    assert_eq!(numbers(&of("dvr=60").await.unwrap()), (120..150).collect::<Vec<_>>());
    // What is listed is there; what is older than the grace is not.
    for (number, there) in [(149, true), (90, true), (10, false)] {
        let found = rewind.segment(&demo(), &name("720p"), FIRST + number).await;
        assert_eq!(found.is_ok(), there, "{number}");
    }
    assert!(rewind.init(&demo(), &name("720p"), "0a").await.is_ok());
    // After its end nothing was.
    assert_eq!(of("start=1795390000").await.unwrap_err(), Failed::NotThere("nothing was recorded then\n"));
}

#[tokio::test(start_paused = true)]
async fn sheets_of_minutes_that_memory_has_forgotten_come_from_the_recording() {
    let (store, rewind, _) = ended(false, Duration::ZERO).await;
    let minute = |number: u64| i64::try_from((FIRST + number - 1) * 2 / 60).unwrap();
    // Stored are the newest minute and one that is older than `dvr_seconds` and the grace.
    for number in [148, 0] {
        let bytes = bytes::Bytes::from_static(b"a sheet");
        store.put(&layout::sheet(&asset().id, minute(number)), bytes.into()).await.unwrap();
    }
    let demo = Rewound { dvr: Duration::from_secs(30), ..demo() };
    assert_eq!(rewind.sheet(&demo, minute(148)).await.unwrap(), "a sheet");
    for gone in [minute(0), minute(148) - 1, minute(148) + 5] {
        assert!(matches!(rewind.sheet(&demo, gone).await, Err(Failed::NotThere(_))), "{gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_encrypted_recording_says_where_its_keys_are_and_is_no_single_file() {
    let (store, rewind, vod) = ended(true, Duration::ZERO).await;
    let shift = Shift::parse(Some("dvr")).unwrap();
    // STANDARDS 1.51: the key stands before the init segment that needs it.
    for list in [List::Media(name("720p"), false), List::IFrames(name("720p"), false)] {
        let list = rewind.list(&demo(), &list, &shift, "").await.unwrap();
        let (key, map) = (list.find(&format!("#EXT-X-KEY:{KEY}\n")), list.find("#EXT-X-MAP"));
        assert!(key.is_some() && key < map, "{list}");
    }
    let mpd = rewind.list(&demo(), &List::Mpd, &shift, "").await.unwrap();
    assert!(mpd.contains("cenc:default_KID=\"07070707-0707-0707-0707-070707070707\""), "{mpd}");
    let (stored, _) = store.get(&layout::rendition_file(&asset().id, &name("720p"), layout::MEDIA)).await.unwrap();
    assert!(String::from_utf8(stored.to_vec()).unwrap().contains(KEY));
    let request = Request::get("/vod/demo-1/asset.mp4").body(()).unwrap();
    let Reply::Later(later) = vod.answer(&request, Peer::plain(SocketAddr::from(([127, 0, 0, 1], 1)))).reply else {
        panic!()
    };
    assert_eq!(later.await.status(), StatusCode::CONFLICT);
}
