//! An origin that takes requests and says nothing, or no more, costs viewers less than one part.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "measures")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use support::{Origin, PLAYLIST, Reply_, ask, edge, get, reply, until};
use tokio::sync::Notify;

const PART: Duration = Duration::from_millis(500);
const LIST: &str = "/live/a/720p/index.m3u8";
const TEXT: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:11\n#EXTINF:2,\n\
                    11.m4s\n#EXT-X-PART:DURATION=0.5,URI=\"12.0.m4s\"\n";

fn list() -> Reply_ {
    reply(200, PLAYLIST, "max-age=1", TEXT)
}

/// Answers the plain list; holds all else for ever.
async fn freezes() -> Origin {
    Origin::start(|request| async move {
        if request.uri().query().is_some() || request.uri().path() != LIST {
            std::future::pending::<()>().await;
        }
        list()
    })
    .await
}

/// STANDARDS 1.41 and 1.45: what is held is due with its part; a quarter of a part later another origin is asked.
#[tokio::test]
async fn a_frozen_origin_is_noticed_when_the_part_that_it_holds_is_overdue() {
    for held in ["/live/a/720p/index.m3u8?_HLS_msn=12&_HLS_part=1", "/live/a/720p/12.1.m4s"] {
        let frozen = freezes().await;
        let second = Origin::start(|_| async { list() }).await;
        let edge = edge(&[frozen.url(), second.url()]).await;
        let began = Instant::now();
        get(&edge, LIST).await;
        let learnt = Instant::now();
        let viewer = tokio::spawn(ask(&edge, held, &[]));
        until(|| second.requests() > 0).await;
        assert!(began.elapsed() + Duration::from_millis(5) >= PART, "not before it is due: {:?}", began.elapsed());
        assert_eq!(viewer.await.unwrap().status(), 200, "{held}");
        let late = learnt.elapsed().saturating_sub(PART);
        assert!(late < PART / 2, "{held}: {late:?} after it was due");
        until(|| !edge.origins()[0].healthy).await;
    }
}

/// Once one request has shown that an origin is silent, those that it holds for others do not wait until they are due.
#[tokio::test]
async fn one_silence_found_frees_all_who_are_held() {
    let frozen = Arc::new(AtomicBool::new(false));
    let is_frozen = Arc::clone(&frozen);
    let first = Origin::start(move |request| {
        let is_held = is_frozen.load(Ordering::SeqCst) || request.uri().query().is_some();
        async move {
            if is_held {
                std::future::pending::<()>().await;
            }
            list()
        }
    })
    .await;
    let second = Origin::start(|_| async { list() }).await;
    let edge = edge(&[first.url(), second.url()]).await;
    get(&edge, LIST).await;
    // Due in two seconds.
    let held = tokio::spawn(ask(&edge, "/live/a/720p/index.m3u8?_HLS_msn=12&_HLS_part=4", &[]));
    until(|| first.requests() == 2).await;
    frozen.store(true, Ordering::SeqCst);
    let started = Instant::now();
    assert_eq!(get(&edge, "/live/a/manifest.mpd").await.status, 200);
    assert_eq!(held.await.unwrap().status(), 200);
    assert!(started.elapsed() < PART, "{:?}", started.elapsed());
}

/// Encoders are late now and then: then both origins are, and neither is held for dead.
#[tokio::test]
async fn a_part_that_is_late_everywhere_is_no_fault_of_an_origin() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let origin = async || {
        let gate = Arc::clone(&gate);
        Origin::start(move |request| {
            let gate = Arc::clone(&gate);
            async move {
                if request.uri().query().is_some() {
                    let _open = gate.acquire().await;
                }
                list()
            }
        })
        .await
    };
    let (first, second) = (origin().await, origin().await);
    let edge = edge(&[first.url(), second.url()]).await;
    get(&edge, LIST).await;
    let viewer = tokio::spawn(ask(&edge, "/live/a/720p/index.m3u8?_HLS_msn=12&_HLS_part=1", &[]));
    until(|| second.requests() == 1).await;
    gate.add_permits(8);
    assert_eq!(viewer.await.unwrap().status(), 200);
    let answered = Instant::now();
    until(|| answered.elapsed() > Duration::from_millis(400)).await;
    assert!(edge.origins().iter().all(|origin| origin.healthy), "{:?}", edge.origins());
}

/// A slow origin is not asked twice, and its answer counts while no other is there.
#[tokio::test]
async fn an_origin_that_is_slow_still_answers() {
    let slow = async || {
        Origin::start(|_| async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            list()
        })
        .await
    };
    let (first, second) = (slow().await, slow().await);
    let edge = edge(&[first.url(), second.url()]).await;
    assert_eq!(get(&edge, LIST).await.status, 200);
    assert_eq!((first.requests(), second.requests()), (1, 1));
    assert!(edge.origins().iter().all(|origin| origin.healthy), "{:?}", edge.origins());
}

/// An answer whose body stops after `sent` bytes of `of`, and breaks off when it is told to.
fn stops(of: &Bytes, sent: usize, breaks: &Arc<Notify>) -> Reply_ {
    let head = of.slice(..sent);
    let breaks = Arc::clone(breaks);
    let stream = futures::stream::unfold(Some(head), move |head| {
        let breaks = Arc::clone(&breaks);
        async move {
            if let Some(head) = head {
                return Some((Ok(Frame::data(head)), None));
            }
            breaks.notified().await;
            Some((Err(std::io::Error::other("broken")), None))
        }
    });
    let mut answer = reply(200, "video/mp4", "max-age=1000", "").map(|_| BodyExt::boxed(StreamBody::new(stream)));
    answer.headers_mut().insert("content-length", of.len().into());
    answer
}

fn bytes(length: u32) -> Bytes {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[tokio::test]
async fn a_small_body_that_stalls_comes_from_the_other() {
    let media = bytes(10_000);
    let whole = media.clone();
    let first = Origin::start(move |_| std::future::ready(stops(&media, 3000, &Arc::new(Notify::new())))).await;
    let want = whole.clone();
    let second = Origin::start(move |_| std::future::ready(reply(200, "video/mp4", "max-age=9", want.clone()))).await;
    let edge = edge(&[first.url(), second.url()]).await;
    let started = Instant::now();
    assert_eq!(get(&edge, "/live/a/720p/7.m4s").await.body, whole);
    assert!(started.elapsed() < PART, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_large_body_that_stalls_or_breaks_goes_on_from_the_other() {
    for stalls in [true, false] {
        let media = bytes(400_000);
        let (whole, tail) = (media.clone(), media.slice(150_000..));
        let breaks = Arc::new(Notify::new());
        let told = Arc::clone(&breaks);
        let first = Origin::start(move |_| std::future::ready(stops(&media, 150_000, &told))).await;
        let second = Origin::start(move |request| {
            let asked = (request.headers()["range"].clone(), request.headers()["if-range"].clone());
            assert_eq!((asked.0.as_bytes(), asked.1.as_bytes()), (&b"bytes=150000-"[..], &b"\"t1\""[..]));
            let mut rest = reply(206, "video/mp4", "max-age=9", tail.clone());
            rest.headers_mut().insert("content-range", "bytes 150000-399999/400000".parse().unwrap());
            std::future::ready(rest)
        })
        .await;
        let edge = edge(&[first.url(), second.url()]).await;
        let started = Instant::now();
        let mut body = ask(&edge, "/live/a/720p/7.m4s", &[]).await.into_body();
        let begin = body.frame().await.unwrap().unwrap().into_data().unwrap();
        if !stalls {
            breaks.notify_one();
        }
        let rest = body.collect().await.unwrap().to_bytes();
        assert!([begin, rest].concat() == whole, "stalls: {stalls}");
        assert!(started.elapsed() < PART, "{:?}", started.elapsed());
        assert!(!edge.origins()[0].healthy);
    }
}

/// Another encoder's bytes are not put behind the first ones.
#[tokio::test]
async fn bytes_of_another_tag_are_not_mixed_in() {
    let media = bytes(400_000);
    let breaks = Arc::new(Notify::new());
    let told = Arc::clone(&breaks);
    let first = Origin::start(move |_| std::future::ready(stops(&media, 150_000, &told))).await;
    let other = Origin::start(|_| async { reply(200, "video/mp4", "max-age=9", bytes(400_000)) }).await;
    let edge = edge(&[first.url(), other.url()]).await;
    let mut body = ask(&edge, "/live/a/720p/7.m4s", &[]).await.into_body();
    body.frame().await.unwrap().unwrap();
    breaks.notify_one();
    assert!(body.collect().await.is_err());
    assert_eq!(other.requests(), 1);
}

/// Tells when the request that holds it is given up.
struct GivenUp(Arc<Notify>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_held_on_to() {
    let given_up = Arc::new(Notify::new());
    let told = Arc::clone(&given_up);
    let origin = Origin::start(move |_| {
        let guard = GivenUp(Arc::clone(&told));
        async move {
            let _guard = guard;
            std::future::pending::<Reply_>().await
        }
    })
    .await;
    let edge = edge(&[origin.url()]).await;
    let url = "/live/a/720p/index.m3u8?_HLS_msn=12&_HLS_part=1";
    let viewers: Vec<_> = (0..2).map(|_| tokio::spawn(ask(&edge, url, &[]))).collect();
    until(|| origin.requests() == 1).await;
    for viewer in viewers {
        viewer.abort();
        let _ = viewer.await;
    }
    tokio::time::timeout(PART, given_up.notified()).await.expect("the origin still holds it");
    let again = tokio::spawn(ask(&edge, url, &[]));
    until(|| origin.requests() == 2).await;
    again.abort();
}

/// A body of this length of which one piece comes each time that the gate is opened.
fn in_pieces(length: usize, gate: Arc<tokio::sync::Semaphore>) -> Reply_ {
    let stream = futures::stream::unfold((length, gate), |(left, gate)| async move {
        let size = left.min(1 << 20);
        (size > 0).then_some(())?;
        gate.acquire().await.ok()?.forget();
        Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![7; size]))), (left - size, gate)))
    });
    let mut answer = reply(200, "video/mp4", "max-age=1000", "").map(|_| BodyExt::boxed(StreamBody::new(stream)));
    answer.headers_mut().insert("content-length", length.into());
    answer
}

/// The end of a segment is worth fetching for those to come; a large file is not.
#[tokio::test]
async fn what_is_nearly_here_is_kept_and_what_is_not_is_stopped() {
    for (length, is_kept) in [(3 << 20, true), (20 << 20, false)] {
        let gate = Arc::new(tokio::sync::Semaphore::new(1));
        let given_up = Arc::new(Notify::new());
        let (opened, told) = (Arc::clone(&gate), Arc::clone(&given_up));
        let origin = Origin::start(move |_| {
            let (gate, guard) = (Arc::clone(&gate), GivenUp(Arc::clone(&told)));
            let body = in_pieces(length, gate);
            std::future::ready(body.map(|body| {
                body.map_frame(move |frame| {
                    let _kept_with_the_body = &guard;
                    frame
                })
                .boxed()
            }))
        })
        .await;
        let edge = edge(&[origin.url()]).await;
        let url = "/live/a/720p/7.m4s";
        let mut body = ask(&edge, url, &[]).await.into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        if is_kept {
            opened.add_permits(64);
            until(|| opened.available_permits() == 62).await;
            assert_eq!(get(&edge, url).await.body.len(), length);
            assert_eq!(origin.requests(), 1);
        } else {
            tokio::time::timeout(PART, given_up.notified()).await.expect("it still comes");
        }
    }
}
