//! Any number of viewers cost the origin one request, and none of them is older than it may be.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use millstream_edge::Config;
use support::{Origin, PLAYLIST, ask, edge, edge_with, get, get_with, reply, until};
use tokio::sync::{Notify, mpsc};

const RELOAD: &str = "/live/a/720p/index.m3u8?_HLS_msn=5&_HLS_part=1";

#[tokio::test]
async fn a_hundred_blocked_viewers_share_one_held_request_even_if_the_first_goes() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let origin = Origin::start(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            reply(200, PLAYLIST, "public, max-age=6", "#EXTM3U\n")
        }
    })
    .await;
    let edge = edge(&[origin.url()]).await;
    let first = tokio::spawn(ask(&edge, RELOAD, &[]));
    until(|| origin.requests() == 1).await;
    let spellings = [RELOAD, "/live/a/720p/index.m3u8?CMCD=x&_HLS_part=1&_HLS_msn=05&Signature=abc"];
    let others: Vec<_> = (0..100).map(|i| tokio::spawn(ask(&edge, spellings[i % 2], &[]))).collect();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    opened.notify_one();
    for other in others {
        let response = other.await.unwrap();
        assert_eq!((response.status().as_u16(), response.body().len()), (200, 8));
    }
    assert_eq!(origin.requests(), 1);
    assert_eq!(*origin.seen.lock().unwrap(), [RELOAD], "asked in its one spelling");
    get(&edge, RELOAD).await;
    assert_eq!(origin.requests(), 1, "and it is kept");
}

#[tokio::test]
async fn media_is_asked_for_once_and_cut_from_what_is_kept() {
    let origin = Origin::start(|_| async { reply(200, "video/mp4", "max-age=1000, immutable", "0123456789") }).await;
    let edge = edge(&[origin.url()]).await;
    let url = "/live/a/720p/7.m4s";
    assert_eq!(get_with(&edge, url, &[("range", "bytes=2-3")]).await.body, "23");
    assert_eq!(get_with(&edge, url, &[("if-none-match", "\"t1\"")]).await.status, 304);
    let whole = get(&edge, url).await;
    assert_eq!((whole.status.as_u16(), whole.body), (200, Bytes::from("0123456789")));
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn a_segment_in_the_making_goes_through_as_it_comes() {
    let (chunks, source) = mpsc::unbounded_channel::<Bytes>();
    let source = std::sync::Mutex::new(Some(source));
    let origin = Origin::start(move |_| {
        let source = source.lock().unwrap().take().unwrap();
        async move {
            let stream = futures::stream::unfold(source, |mut source| async {
                source.recv().await.map(|bytes| (Ok::<_, std::io::Error>(Frame::data(bytes)), source))
            });
            reply(200, "video/mp4", "max-age=1000", "").map(|_| BodyExt::boxed(StreamBody::new(stream)))
        }
    })
    .await;
    let edge = edge(&[origin.url()]).await;
    let url = "/live/a/720p/7.ll.m4s";
    chunks.send(Bytes::from("one")).unwrap();
    let mut early = ask(&edge, url, &[]).await.into_body();
    assert!(early.size_hint().exact().is_none());
    let next =
        async |body: &mut millstream_delivery::body::Body| body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(next(&mut early).await, "one", "before the second is made");
    chunks.send(Bytes::from("two")).unwrap();
    assert_eq!(next(&mut early).await, "two");
    let mut late = ask(&edge, url, &[]).await.into_body();
    assert_eq!(next(&mut late).await, "one", "who comes later gets all from the start");
    drop(chunks);
    assert!(early.frame().await.is_none());
    assert_eq!(late.collect().await.unwrap().to_bytes(), "two");
    until(|| ask(&edge, url, &[]).now_or_never().is_some_and(|r| r.body().len() == 6)).await;
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn ages_add_up_over_levels_and_no_stale_manifest_is_served() {
    let origin = Origin::start(|_| async {
        let mut reply = reply(200, PLAYLIST, "max-age=3", "#EXTM3U\n");
        reply.headers_mut().insert("age", http::HeaderValue::from_static("2"));
        reply
    })
    .await;
    let edge = edge(&[origin.url()]).await;
    let url = "/live/a/index.m3u8";
    assert_eq!(get(&edge, url).await.age(), 2);
    assert_eq!(get(&edge, url).await.age(), 2);
    assert_eq!(origin.requests(), 1);
    // One second is left of its life.
    let mut asked = 0;
    while origin.requests() == 1 {
        assert!(get(&edge, url).await.age() < 3);
        asked += 1;
        tokio::task::yield_now().await;
    }
    assert!(asked > 2);
}

#[tokio::test]
async fn refusals_are_kept_and_errors_for_a_second_at_most() {
    for (status, want) in [(404, 404), (410, 410), (503, 503), (500, 502)] {
        let origin = Origin::start(move |_| async move { reply(status, "text/plain", "max-age=600", "no") }).await;
        let edge = edge(&[origin.url()]).await;
        for _ in 0..50 {
            assert_eq!(get(&edge, "/live/a/720p/9.m4s").await.status, want);
        }
        assert_eq!(origin.requests(), 1, "{status}");
    }
}

#[tokio::test]
async fn what_must_not_be_kept_is_not() {
    let origin = Origin::start(|_| async { reply(200, PLAYLIST, "no-store", "#EXTM3U\n") }).await;
    let edge = edge(&[origin.url()]).await;
    get(&edge, "/live/a/index.m3u8").await;
    get(&edge, "/live/a/index.m3u8").await;
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn media_outlives_the_process_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start(|_| async { reply(200, "video/mp4", "max-age=1000", vec![7u8; 50_000]) }).await;
    let config = Config { disk_bytes: 64 << 20, disk_path: folder.path().into(), ..Config::new(vec![origin.url()]) };
    let first = edge_with(config.clone()).await;
    assert_eq!(get(&first, "/live/a/720p/7.m4s").await.body.len(), 50_000);
    first.close().await;
    drop(first);
    let second = edge_with(config).await;
    let got = get(&second, "/live/a/720p/7.m4s").await;
    assert_eq!((got.body.len(), got.headers["etag"].to_str().unwrap()), (50_000, "\"t1\""));
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn bounds_end_in_an_answer() {
    let origin = Origin::start(|_| async { reply(200, "video/mp4", "max-age=9", vec![0u8; 3000]) }).await;
    let config = Config { object_bytes: 2000, ..Config::new(vec![origin.url()]) };
    assert_eq!(get(&edge_with(config).await, "/live/a/720p/7.m4s").await.status, 503);
    let config = Config { waiters: 0, ..Config::new(vec![origin.url()]) };
    assert_eq!(get(&edge_with(config).await, "/live/a/720p/7.m4s").await.status, 503);
    let config = Config { fetches: 0, ..Config::new(vec![origin.url()]) };
    assert_eq!(get(&edge_with(config).await, "/live/a/720p/7.m4s").await.status, 503);
    let large = edge(&[origin.url()]).await;
    let got = get_with(&large, "/vod/a/asset.mp4", &[]).await;
    assert_eq!((got.status.as_u16(), got.body.len()), (200, 3000), "handed through");
    assert_eq!(got.headers["content-length"], "3000");
    let response = ask(&large, "/vod/a/asset.mp4", &[]).await;
    assert_eq!(response.body().exact_len(), Some(3000), "a viewer's progress bar knows the length");
}
