//! One origin that fails costs viewers less than a part's duration, and nothing once it is known.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "measures")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{Origin, PLAYLIST, Reply_, ask, edge, get, get_with, reply, until};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const URL: &str = "/live/a/index.m3u8";
/// The shortest part that the server makes lasts 200 ms, the default 500 ms.
const BOUND: Duration = Duration::from_millis(400);

async fn good() -> Origin {
    Origin::start(|_| async { well() }).await
}

fn well() -> Reply_ {
    reply(200, PLAYLIST, "max-age=1", "#EXTM3U\n")
}

async fn taken(first: String) -> (Duration, Duration) {
    let second = good().await;
    let edge = edge(&[first, second.url()]).await;
    let started = Instant::now();
    assert_eq!(get(&edge, URL).await.body, "#EXTM3U\n");
    let once = started.elapsed();
    let started = Instant::now();
    assert_eq!(get(&edge, "/live/b/index.m3u8").await.status, 200);
    (once, started.elapsed())
}

#[tokio::test]
async fn connections_refused() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (once, _) = taken(format!("http://{gone}")).await;
    assert!(once < BOUND, "{once:?}");
}

#[tokio::test]
async fn no_answer_in_time_and_then_no_cost() {
    let mute = Origin::start(|_| std::future::pending()).await;
    let (once, again) = taken(mute.url()).await;
    assert!(once < BOUND, "{once:?}");
    assert!(again < Duration::from_millis(140), "not asked again: {again:?}");
}

#[tokio::test]
async fn server_errors_and_stale_manifests() {
    for status in [500, 502, 503, 504] {
        let bad = Origin::start(move |_| async move { reply(status, "text/plain", "max-age=1", "stale") }).await;
        let (once, _) = taken(bad.url()).await;
        assert!(once < BOUND, "{status}: {once:?}");
        assert!(bad.requests() >= 1);
    }
}

#[tokio::test]
async fn a_death_while_a_reload_is_held() {
    let held = Arc::new(Notify::new());
    let told = Arc::clone(&held);
    let dying = Origin::start(move |_| {
        held.notify_one();
        std::future::pending()
    })
    .await;
    let second = good().await;
    let edge = edge(&[dying.url(), second.url()]).await;
    let viewer = tokio::spawn(ask(&edge, "/live/a/720p/index.m3u8?_HLS_msn=3", &[]));
    told.notified().await;
    let started = Instant::now();
    dying.kill();
    assert_eq!(viewer.await.unwrap().status(), 200);
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    assert_eq!(second.requests(), 1);
}

/// A held reload outlasts the limits for answers that are not held.
#[tokio::test]
async fn a_held_reload_is_no_time_out() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let first = Origin::start(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            well()
        }
    })
    .await;
    let second = good().await;
    let edge = edge(&[first.url(), second.url()]).await;
    let viewer = tokio::spawn(ask(&edge, "/live/a/720p/index.m3u8?_HLS_msn=3", &[]));
    let started = Instant::now();
    until(|| started.elapsed() > Duration::from_millis(600)).await;
    opened.notify_one();
    assert_eq!(viewer.await.unwrap().status(), 200);
    assert_eq!((first.requests(), second.requests()), (1, 0));
}

#[tokio::test]
async fn back_to_the_preferred_one_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let second = good().await;
    let edge = edge(&[format!("http://{address}"), second.url()]).await;
    get(&edge, URL).await;
    assert!(!edge.origins()[0].healthy && edge.origins()[1].healthy);
    let first = Origin::on(TcpListener::bind(address).await.unwrap(), |_| async { well() });
    until(|| edge.origins()[0].healthy).await;
    let before = second.requests();
    get(&edge, "/live/c/index.m3u8").await;
    assert_eq!(second.requests(), before);
    assert!(first.requests() >= 2, "a probe and the request");
}

#[tokio::test]
async fn media_that_one_origin_lost_comes_from_the_other() {
    let empty = Origin::start(|_| async { reply(404, "text/plain", "max-age=1", "gone") }).await;
    let full = Origin::start(|_| async { reply(200, "video/mp4", "max-age=100", "media") }).await;
    let edge = edge(&[empty.url(), full.url()]).await;
    assert_eq!(get(&edge, "/live/a/720p/3.m4s").await.body, "media");
    assert!(edge.origins()[0].healthy);
}

#[tokio::test]
async fn with_nobody_there_the_cause_is_said() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let edge = edge(&[format!("http://{gone}")]).await;
    let got = get(&edge, URL).await;
    assert_eq!((got.status.as_u16(), got.body.as_ref()), (502, &b"no origin can be reached\n"[..]));
}

/// RFC 8586: an edge that finds itself on the way does not go round again.
#[tokio::test]
async fn a_loop_ends() {
    let way = Arc::new(std::sync::Mutex::new(String::new()));
    let noted = Arc::clone(&way);
    let origin = Origin::start(move |request| {
        *noted.lock().unwrap() = request.headers()["cdn-loop"].to_str().unwrap().to_owned();
        async { well() }
    })
    .await;
    let edge = edge(&[origin.url()]).await;
    get_with(&edge, URL, &[("cdn-loop", "other")]).await;
    let way = way.lock().unwrap().clone();
    assert!(way.starts_with("other, millstream-"), "{way}");
    assert_eq!(get_with(&edge, "/live/b/index.m3u8", &[("cdn-loop", &way)]).await.status, 508);
    assert_eq!(origin.requests(), 1);
}
