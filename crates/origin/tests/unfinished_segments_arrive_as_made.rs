//! A segment in the making is sent chunk by chunk, waited for before it begins, and broken off when it is given up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use millstream_delivery::answer::Reply;
use millstream_delivery::body::{Body, BrokenOff};
use millstream_media::codec::{AacConfig, AudioConfig};
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::{MonoTime, Timescale};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_origin::channel::ChannelOrigin;
use millstream_origin::unfinished;
use millstream_window::{Config, Timing, Window};

const FIRST: u64 = 885_000_001;
const NOW: MonoTime = MonoTime(Duration::from_secs(9));

fn track() -> Track {
    let config = AudioConfig::Aac(AacConfig::lc(48_000, 2).unwrap());
    let media = TrackMedia::Audio { config };
    Track { name: name(), timescale: Timescale::AUDIO_48K, bit_rate: 128_000, media }
}

fn name() -> RenditionName {
    RenditionName::new("audio").unwrap()
}

/// A channel with one whole segment.
fn channel(low_latency: bool) -> Arc<ChannelOrigin> {
    let grid = SegmentGrid::with_segment_millis(FrameRate::new(30, 1).unwrap(), 2000);
    let channel = Arc::new(ChannelOrigin::new(Window::new(Config::default()), Duration::from_secs(10)));
    channel.with_window(|window| {
        let timing = Timing::epoch_locked(grid);
        window.begin_session(if low_latency { timing.with_part_frames(15) } else { timing }, NOW);
        window.begin_period(FIRST, vec![(track(), Bytes::from_static(b"init"))], false).unwrap();
    });
    push(&channel, FIRST, 0, "first;");
    end(&channel, FIRST);
    channel
}

fn start(number: u64) -> u64 {
    (number - 1) * 96_000
}

fn push(channel: &ChannelOrigin, segment: u64, part: u32, bytes: &'static str) {
    let chunk = Chunk {
        segment,
        part,
        independent: true,
        start: start(segment) + u64::from(part) * 24_000,
        duration: 24_000,
        samples: 24,
        first_sample_end: 1,
        bytes: Bytes::from_static(bytes.as_bytes()),
    };
    channel.with_window(|window| window.push_chunk(&name(), chunk, NOW)).unwrap();
}

fn end(channel: &ChannelOrigin, segment: u64) {
    let end = SegmentEnd { segment, start: start(segment), duration: 96_000, discontinuity: false };
    channel.with_window(|window| window.end_segment(&name(), end, NOW)).unwrap();
}

fn ask(channel: &Arc<ChannelOrigin>, method: Method, number: u64) -> Reply {
    let request = Request::builder().method(method).header("range", "bytes=2-").body(()).unwrap();
    unfinished::answer(Arc::clone(channel), &request, name(), number).reply
}

fn now(reply: Reply) -> Response<Body> {
    match reply {
        Reply::Ready(response) => response,
        Reply::Later(_) => panic!("it waits"),
    }
}

/// What can be read now, as text; whether there is more to come.
fn read(body: &mut Body) -> (String, bool) {
    let mut text = String::new();
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut *body).poll_frame(&mut cx) {
            Poll::Ready(Some(frame)) => {
                text += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
            }
            Poll::Ready(None) => return (text, false),
            Poll::Pending => return (text, true),
        }
    }
}

/// STANDARDS 2.15: what is there at once, then each chunk as it is made; no length, no tag, no ranges.
#[tokio::test(start_paused = true)]
async fn each_chunk_as_it_is_made() {
    let channel = channel(true);
    push(&channel, FIRST + 1, 0, "a");
    push(&channel, FIRST + 1, 1, "b");
    let (head, mut body) = now(ask(&channel, Method::GET, FIRST + 1)).into_parts();
    assert_eq!(head.status, StatusCode::OK);
    for absent in ["content-length", "etag", "accept-ranges", "content-range"] {
        assert!(!head.headers.contains_key(absent), "{absent}");
    }
    assert_eq!((&head.headers["content-type"], body.is_unfinished()), (&"audio/mp4".parse().unwrap(), true));
    assert_eq!(read(&mut body), ("ab".to_owned(), true));
    push(&channel, FIRST + 1, 2, "c");
    assert_eq!(read(&mut body), ("c".to_owned(), true));
    push(&channel, FIRST + 1, 3, "d");
    end(&channel, FIRST + 1);
    assert_eq!(read(&mut body), ("d".to_owned(), false));

    let whole = now(ask(&channel, Method::HEAD, FIRST + 1));
    assert_eq!((whole.status(), &whole.headers()["content-length"]), (StatusCode::OK, &"4".parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn it_is_waited_for_one_segment_ahead_but_not_for_ever() {
    let channel = channel(true);
    assert_eq!(now(ask(&channel, Method::GET, FIRST + 3)).status(), StatusCode::NOT_FOUND);
    assert_eq!(now(ask(&channel, Method::GET, FIRST - 1)).status(), StatusCode::NOT_FOUND);
    for (number, comes) in [(FIRST + 1, true), (FIRST + 2, false)] {
        let Reply::Later(mut held) = ask(&channel, Method::GET, number) else { panic!("{number} is not waited for") };
        let mut cx = Context::from_waker(Waker::noop());
        assert!(held.as_mut().poll(&mut cx).is_pending());
        if comes {
            push(&channel, number, 0, "x");
            let mut body = held.await.into_body();
            assert_eq!(read(&mut body), ("x".to_owned(), true));
        } else {
            let began = tokio::time::Instant::now();
            assert_eq!(held.await.status(), StatusCode::NOT_FOUND);
            assert_eq!(began.elapsed(), Duration::from_secs(3));
        }
    }
}

/// A segment that is given up, and one whose chunks stop coming, have no proper end.
#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_broken_off() {
    for given_up in [true, false] {
        let channel = channel(true);
        push(&channel, FIRST + 1, 0, "a");
        let mut body = now(ask(&channel, Method::GET, FIRST + 1)).into_body();
        assert_eq!(read(&mut body), ("a".to_owned(), true));
        if given_up {
            channel.with_window(|window| window.mark_gap(FIRST + 1, NOW)).unwrap();
        }
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert_eq!(frame.unwrap().unwrap_err(), BrokenOff::GivenUp);
    }
}

/// STANDARDS 1.44: without low latency nothing is sent of what is not whole, under either name.
#[tokio::test(start_paused = true)]
async fn plain_channels_send_only_what_is_whole() {
    let channel = channel(false);
    push(&channel, FIRST + 1, 0, "a");
    assert_eq!(now(ask(&channel, Method::GET, FIRST + 1)).status(), StatusCode::NOT_FOUND);
    assert!(channel.segment(&name(), FIRST + 1).is_none());
    end(&channel, FIRST + 1);
    assert_eq!(now(ask(&channel, Method::HEAD, FIRST + 1)).status(), StatusCode::OK);
}
