//! More viewers ask the origin for no more: each version of each object once, however they spell, skip, compress or cut.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use millstream_delivery::directives::Directives;
use millstream_edge::Edge;
use support::{Origin, PLAYLIST, Reply_, edge, get, get_with, reply};
use tokio::sync::watch;
use tokio::task::JoinSet;

const LIST: &str = "/live/a/720p/index.m3u8";
/// Parts of a segment.
const PARTS: u64 = 4;
/// Parts that are made in a run.
const RUN: u64 = 40;

/// A list with so many parts made, the first segments of it long gone.
fn list(made: u64) -> String {
    let (next, parts) = (100 + made / PARTS, made % PARTS);
    let first = next - 10;
    let mut text =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    (first..next).for_each(|number| text += &format!("#EXTINF:2,\n{number}.m4s\n"));
    (0..parts).for_each(|part| text += &format!("#EXT-X-PART:DURATION=0.5,URI=\"{next}.{part}.m4s\"\n"));
    text
}

async fn answer(request: Request<Incoming>, mut made: watch::Receiver<u64>) -> Reply_ {
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().map(str::to_owned));
    if path.ends_with(".m4s") {
        return reply(200, "video/mp4", "max-age=1000, immutable", path);
    }
    let asked = Directives::parse(query.as_deref()).unwrap();
    let Some(msn) = asked.msn else { return reply(200, PLAYLIST, "max-age=1", list(*made.borrow())) };
    let wanted = (msn - 100) * PARTS + u64::from(asked.part.unwrap_or(PARTS as u32 - 1)) + 1;
    let made = *made.wait_for(|made| *made >= wanted).await.unwrap();
    reply(200, PLAYLIST, "max-age=12", list(made))
}

/// A player in the manner of its index: with delta updates, compressed, in ranges, by HEAD first.
async fn watch(edge: Arc<Edge>, index: u64, done: Arc<watch::Sender<BTreeMap<u64, u64>>>) {
    get(&edge, LIST).await;
    for part in 1..=RUN {
        let (msn, at) = (100 + (part - 1) / PARTS, (part - 1) % PARTS);
        let skip = if index.is_multiple_of(2) { "&_HLS_skip=YES" } else { "" };
        let url = match index % 3 {
            0 => format!("{LIST}?_HLS_msn={msn}&_HLS_part={at}{skip}"),
            1 => format!("{LIST}?_HLS_part={at}&CMCD=sid%3D{index}{skip}&_HLS_msn={msn}"),
            _ => format!("{LIST}?Signature={index}{skip}&_HLS_msn=0{msn}&_HLS_part=0{at}&Policy=x"),
        };
        let encoding = if index.is_multiple_of(5) { "gzip" } else { "identity" };
        assert_eq!(get_with(&edge, &url, &[("accept-encoding", encoding)]).await.status, 200);
        let media = format!("/live/a/720p/{msn}.{at}.m4s?session={index}");
        let range = if index.is_multiple_of(7) { "bytes=0-3" } else { "bytes=0-" };
        assert_eq!(get_with(&edge, &media, &[("range", range)]).await.status, 206);
        if at + 1 == PARTS {
            assert_eq!(get(&edge, &format!("/live/a/720p/{msn}.m4s")).await.status, 200);
        }
        done.send_modify(|done| *done.entry(part).or_default() += 1);
    }
}

/// What the origin is asked for by so many viewers.
async fn run(viewers: u64) -> Vec<String> {
    let (maker, made) = watch::channel(0);
    let origin = Origin::start(move |request| answer(request, made.clone())).await;
    let edge = Arc::new(edge(&[origin.url()]).await);
    let done = Arc::new(watch::Sender::new(BTreeMap::new()));
    let mut all = JoinSet::new();
    (0..viewers).for_each(|index| drop(all.spawn(watch(Arc::clone(&edge), index, Arc::clone(&done)))));
    let mut seen = done.subscribe();
    for part in 1..=RUN {
        maker.send_replace(part);
        // The last one may be a part behind.
        seen.wait_for(|done| part < 2 || done.get(&(part - 1)) == Some(&viewers)).await.unwrap();
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
    origin.seen.lock().unwrap().clone()
}

#[tokio::test]
async fn fifty_viewers_ask_the_origin_for_what_two_do_and_for_each_version_once() {
    let (few, many) = (run(2).await, run(50).await);
    for seen in [&few, &many] {
        let (plain, versions): (Vec<_>, Vec<_>) = seen.iter().partition(|url| url.as_str() == LIST);
        let distinct: BTreeSet<_> = versions.iter().collect();
        assert_eq!(distinct.len(), versions.len(), "each version once");
        // It has no version in its name, and lives for a second.
        assert!(plain.len() <= 2, "{}", plain.len());
        // Whole lists and updates, parts, segments.
        assert_eq!(versions.len() as u64, 3 * RUN + RUN / PARTS);
    }
}

/// Players that slept ask for positions of long ago: one list answers all.
#[tokio::test]
async fn positions_of_long_ago_cost_one_request() {
    let (_maker, made) = watch::channel(80 * PARTS);
    let origin = Origin::start(move |request| answer(request, made.clone())).await;
    let edge = edge(&[origin.url()]).await;
    get(&edge, LIST).await;
    for position in 0..200 {
        let url = format!("{LIST}?_HLS_msn={}&_HLS_part={}", 100 + position / PARTS, position % PARTS);
        assert_eq!(get(&edge, &url).await.body, list(80 * PARTS));
    }
    assert!(origin.requests() <= 2, "{:?}", origin.seen.lock().unwrap());
}
