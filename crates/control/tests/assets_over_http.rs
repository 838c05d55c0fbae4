//! Recordings and clips over HTTP: listed page by page, shown, renamed, clipped, deleted; every mistake is explained.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use millstream_archive::asset::{Asset, AssetId, Kind, LineUp, Loss, Media, State, TrackInfo};
use millstream_archive::index::{Cell, Page, Row};
use millstream_archive::{documents, layout};
use millstream_media::time::{Clock, Timescale, UtcTime};
use millstream_media::track::RenditionName;
use serde_json::{Value, json};
use support::{Api, Still};

const SCALE: u32 = 1000;

fn now() -> UtcTime {
    Still.utc()
}

/// A recording of 2 s segments that began so long before now, with its index and init segment.
async fn record(api: &Api, channel: &str, ago: u64, rows: u64, state: State) -> String {
    let start = UtcTime::from_millis((now() - Duration::from_secs(ago)).as_millis());
    let id = AssetId::of_recording(channel, start).unwrap();
    let mut asset = Asset::recording(id.clone(), channel, start, 2);
    let track = TrackInfo {
        name: RenditionName::new("720p").unwrap(),
        timescale: Timescale::new(SCALE).unwrap(),
        bit_rate: 3_000_000,
        codec: "avc1.64001f".to_owned(),
        media: Media::Audio { sample_rate: 48_000, channels: 2 },
        pictures: false,
        protection: None,
        clear_version: None,
    };
    asset.line_ups = vec![LineUp { first: 100, init: "0a0b".to_owned(), tracks: vec![track] }];
    asset.state = state;
    asset.start = Some(start);
    asset.end = Some(start + Duration::from_secs(2 * rows));
    asset.bytes = 1000 * rows;
    let ticks = start.as_millis().unsigned_abs();
    let cell = |n: u64| Cell { start: ticks + n * 2000, duration: 2000, bytes: 1000, head: 100 };
    let rows = (0..rows).map(|n| Row { number: 100 + n, discontinuity: false, cells: vec![Some(cell(n))] });
    let mut pages: std::collections::BTreeMap<i64, Vec<Row>> = Default::default();
    for row in rows {
        let at = layout::page_of(row.start(&asset.line_ups[0]).unwrap());
        pages.entry(at).or_default().push(row);
    }
    for (number, rows) in pages {
        documents::save_page(&api.store, &id, number, Page::new(rows), None).await.unwrap();
    }
    documents::create_asset(&api.store, &asset).await.unwrap();
    millstream_archive::catalog::note(&api.store, channel, &id).await.unwrap();
    id.to_string()
}

fn ids(list: &Value) -> Vec<String> {
    list["assets"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect()
}

fn ago(seconds: u64) -> String {
    (now() - Duration::from_secs(seconds)).to_iso8601()
}

#[tokio::test]
async fn a_clip_over_two_recordings_names_both_and_the_mend() {
    let api = Api::new().await;
    let first = record(&api, "news", 1000, 100, State::Ended).await;
    let second = record(&api, "news", 790, 100, State::Ended).await;
    let clip = async |from: u64, to: u64| {
        let body = json!({"channel": "news", "start": ago(from), "end": ago(to)});
        api.call_with("POST", "/api/v1/clips", body).await
    };
    let over = clip(850, 750).await;
    let detail = over.problem(422);
    assert!(detail.contains(&first) && detail.contains(&second) && detail.contains("make one of each"), "{detail}");
    // Where only one of them has something, it is that one; the pause between them is in neither.
    for (from, to, of) in [(850, 801, &first), (850, 795, &first), (799, 750, &second), (700, 600, &second)] {
        let made = clip(from, to).await;
        assert_eq!(made.status, 201, "{}", made.json());
        assert_eq!(made.json()["clip"]["of"], json!(of), "{from} to {to}");
    }
}

#[tokio::test]
async fn assets_are_listed_newest_first_page_by_page() {
    let api = Api::new().await;
    assert_eq!(api.call("GET", "/api/v1/assets").await.json(), json!({"assets": [], "next": null}));
    let mut made = Vec::new();
    for n in 0..5 {
        let (channel, state) = if n == 4 { ("sport", State::Recording) } else { ("news", State::Ended) };
        made.push(record(&api, channel, 5000 - 1000 * n, 10, state).await);
    }
    made.reverse();
    let all = api.call("GET", "/api/v1/assets").await;
    assert_eq!(all.headers["cache-control"], "no-store");
    assert_eq!(ids(&all.json()), made);
    let first = api.call("GET", "/api/v1/assets?limit=2").await.json();
    let second =
        api.call("GET", &format!("/api/v1/assets?limit=2&cursor={}", first["next"].as_str().unwrap())).await.json();
    let third =
        api.call("GET", &format!("/api/v1/assets?limit=2&cursor={}", second["next"].as_str().unwrap())).await.json();
    assert_eq!([ids(&first), ids(&second), ids(&third)].concat(), made);
    assert_eq!(third["next"], Value::Null, "the last page says so");
    assert_eq!(ids(&api.call("GET", "/api/v1/assets?channel=news").await.json()), made[1..]);
    assert_eq!(ids(&api.call("GET", "/api/v1/assets?state=recording").await.json()), made[..1]);
    assert_eq!(ids(&api.call("GET", "/api/v1/assets?kind=clip").await.json()), Vec::<String>::new());

    let storage = api.call("GET", "/api/v1/storage").await.json();
    assert_eq!((&storage["bytes"], &storage["assets"], &storage["clips"]), (&json!(50_000), &json!(5), &json!(0)));
    assert_eq!(storage["channels"][0]["channel"], "news");
    assert_eq!(storage["channels"][0]["bytes"], 40_000);
}

#[tokio::test]
async fn an_asset_says_what_is_in_it() {
    let api = Api::new().await;
    let id = record(&api, "news", 100, 10, State::Ended).await;
    let name = AssetId::new(&id).unwrap();
    let loss = Loss { rendition: RenditionName::new("720p").unwrap(), first: 103, last: 104 };
    documents::change_asset(&api.store, &name, |a| {
        a.losses = vec![loss.clone()];
        true
    })
    .await
    .unwrap();
    let shown = api.call("GET", &format!("/api/v1/assets/{id}")).await.json();
    assert_eq!(
        (&shown["kind"], &shown["state"], &shown["channel"]),
        (&json!("recording"), &json!("ended"), &json!("news"))
    );
    assert_eq!((&shown["duration_seconds"], &shown["bytes"]), (&json!(20.0), &json!(10_000)));
    assert_eq!(shown["start"], ago(100));
    assert_eq!(shown["playback"]["hls"], format!("/vod/{id}/index.m3u8"));
    assert_eq!(shown["playback"]["dash"], format!("/vod/{id}/manifest.mpd"));
    assert_eq!(shown["tracks"][0]["name"], "720p");
    assert_eq!(shown["lost_segments"], 2);
    assert_eq!(shown["losses"], json!([{"rendition": "720p", "first": 103, "last": 104}]));

    let path = format!("/api/v1/assets/{id}");
    let renamed = api.call_with("PATCH", &path, json!({"title": "Ten o'clock"})).await;
    assert_eq!((renamed.status.as_u16(), &renamed.json()["title"]), (200, &json!("Ten o'clock")));
    assert_eq!(api.call("GET", "/api/v1/assets").await.json()["assets"][0]["title"], "Ten o'clock");
}

#[tokio::test]
async fn a_clip_by_channel_and_time_plays_and_outlives_its_recording() {
    let api = Api::new().await;
    record(&api, "news", 9000, 50, State::Ended).await;
    let id = record(&api, "news", 1000, 400, State::Ended).await;
    let body = json!({"channel": "news", "start": ago(899), "end": ago(880), "title": "A goal"});
    let made = api.call_with("POST", "/api/v1/clips", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let clip = made.json();
    let name = clip["id"].as_str().unwrap().to_owned();
    assert_eq!(made.headers["location"], format!("/api/v1/assets/{name}"));
    assert!(name.starts_with("news-clip-2024"), "{name}");
    assert_eq!((&clip["kind"], &clip["title"], &clip["bytes"]), (&json!("clip"), &json!("A goal"), &json!(0)));
    // Cut at segments: the one that holds the start is the first.
    assert_eq!((clip["start"].as_str(), clip["end"].as_str()), (Some(&*ago(900)), Some(&*ago(880))));
    assert_eq!(clip["clip"]["of"], *id);
    let name_id = AssetId::new(&name).unwrap();
    let media = layout::rendition_file(&name_id, &RenditionName::new("720p").unwrap(), layout::MEDIA);
    let (playlist, _) = api.store.get(&media).await.unwrap();
    assert_eq!(std::str::from_utf8(&playlist).unwrap().matches("#EXTINF").count(), 10);
    assert_eq!(api.call("GET", &format!("/api/v1/assets/{id}")).await.json()["clips"], json!([name]));

    let deleted = api.call("DELETE", &format!("/api/v1/assets/{id}")).await;
    assert_eq!(deleted.status, 200);
    let hour = (now() + Duration::from_secs(3600)).to_iso8601();
    assert_eq!(deleted.json(), json!({"id": id, "state": "deleting", "media_until": hour, "clips": [name]}));
    assert_eq!(api.call("DELETE", &format!("/api/v1/assets/{id}")).await.json(), deleted.json(), "again is no error");
    let shown = api.call("GET", &format!("/api/v1/assets/{id}")).await.json();
    assert_eq!((&shown["state"], &shown["playback"]), (&json!("deleting"), &Value::Null));
    let storage = api.call("GET", "/api/v1/storage").await.json();
    assert_eq!((&storage["deleting_bytes"], &storage["clips"]), (&json!(400_000), &json!(1)));
    assert!(matches!(documents::asset(&api.store, &name_id).await.unwrap().0.kind, Kind::Clip { .. }));

    // No other clip of what is being deleted, and no other title.
    let body = json!({"asset": id, "start": ago(899), "end": ago(880)});
    assert!(api.call_with("POST", "/api/v1/clips", body).await.problem(410).contains("is being deleted"));
    let patched = api.call_with("PATCH", &format!("/api/v1/assets/{id}"), json!({"title": "x"})).await;
    assert!(patched.problem(410).contains("is being deleted"));
    let body = json!({"channel": "news", "start": ago(899), "end": ago(880)});
    assert!(api.call_with("POST", "/api/v1/clips", body).await.problem(404).contains("no recording between"));

    let gone = api.call("DELETE", &format!("/api/v1/assets/{name}")).await.json();
    assert_eq!((&gone["state"], &gone["media_until"]), (&json!("deleted"), &Value::Null));
    assert_eq!(api.call("GET", &format!("/api/v1/assets/{name}")).await.status, 404);
}

#[tokio::test]
async fn a_clip_of_a_name_is_made_once() {
    let api = Api::new().await;
    let id = record(&api, "news", 1000, 100, State::Ended).await;
    let ask = |end: u64| json!({"asset": id, "start": ago(990), "end": ago(end), "id": "goal"});
    assert_eq!(api.call_with("POST", "/api/v1/clips", ask(980)).await.status, 201);
    let again = api.call_with("POST", "/api/v1/clips", ask(980)).await;
    assert_eq!((again.status.as_u16(), &again.json()["id"]), (201, &json!("goal")));
    let other = api.call_with("POST", "/api/v1/clips", ask(970)).await;
    assert!(other.problem(409).contains("choose another name"));
    // A clip of a clip is within its bounds.
    let of_clip = json!({"asset": "goal", "start": ago(999), "end": ago(900), "id": "goal-2"});
    let of_clip = api.call_with("POST", "/api/v1/clips", of_clip).await.json();
    assert_eq!(of_clip["duration_seconds"], 10.0);
    assert_eq!(of_clip["clip"]["of"], *id);
}

#[tokio::test]
async fn mistakes_are_problems_that_name_the_mend() {
    let api = Api::new().await;
    let id = record(&api, "news", 1000, 100, State::Ended).await;
    for (body, status, detail) in [
        (json!({"channel": "sport", "start": ago(10), "end": ago(5)}), 404, "channel sport has no recording"),
        (json!({"channel": "news", "start": ago(10), "end": ago(5)}), 404, id.as_str()),
        (json!({"asset": "none", "start": ago(10), "end": ago(5)}), 404, "there is no asset none"),
        (json!({"asset": id, "start": ago(10), "end": ago(5)}), 422, "has nothing between"),
        (json!({"asset": id, "start": ago(5), "end": ago(10)}), 422, "is not after start"),
        (json!({"asset": id, "start": ago(990), "end": ago(980), "id": id}), 409, "choose another name"),
    ] {
        let answer = api.call_with("POST", "/api/v1/clips", body).await;
        assert!(answer.problem(status).contains(detail), "{detail}: {}", answer.text);
    }
    for (method, path, status, detail) in [
        ("GET", "/api/v1/assets/none", 404, "`millstream asset list`"),
        ("GET", "/api/v1/assets/NO", 404, "is not allowed"),
        ("DELETE", "/api/v1/assets/none", 404, "there is no asset none"),
        ("GET", "/api/v1/assets?limit=0", 400, "1 to 500"),
        ("GET", "/api/v1/assets?stat=ended", 400, "did you mean state?"),
        ("PUT", "/api/v1/assets", 405, "Allow header"),
        ("GET", "/api/v1/clips", 405, "Allow header"),
    ] {
        let answer = api.call(method, path).await;
        assert!(answer.problem(status).contains(detail), "{method} {path}: {}", answer.text);
    }
    let far = millstream_control::api::PeerAddr("192.0.2.7:4000".parse().unwrap());
    for path in ["/api/v1/assets", "/api/v1/storage"] {
        let request = Api::request("GET", path).extension(far).body(axum::body::Body::empty()).unwrap();
        assert!(api.send(request).await.problem(403).contains("answers only this machine"), "{path}");
    }
}
