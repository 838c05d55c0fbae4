//! Low-Latency HLS at the routes (STANDARDS CHECK-1b, CHECK-1c): each reload and each hinted part is released by the
//! very part it waits for, refused when it asks for too much, and given up in time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use millstream_delivery::answer::{Later, Reply};
use millstream_delivery::body::Body;
use millstream_media::codec::{AacConfig, AudioConfig, AvcConfig, VideoConfig};
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::{Clock, MonoTime, Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_origin::channel::ChannelOrigin;
use millstream_origin::origin::Origin;
use millstream_origin::waits::MAX_WAITING;
use millstream_window::{Config, Timing, Window};

/// Number of the first segment.
const FIRST: u64 = 885_000_001;
/// The segment in the making: two are whole.
const OPEN: u64 = FIRST + 2;
const NOW: MonoTime = MonoTime(Duration::from_secs(9));
/// Parts of a segment.
const PARTS: u32 = 4;

/// It stands at the end of the second segment.
struct Still;

impl Clock for Still {
    fn utc(&self) -> UtcTime {
        UtcTime::from_millis(i64::try_from((OPEN - 1) * 2_000).unwrap())
    }

    fn mono(&self) -> MonoTime {
        NOW
    }
}

fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

fn tracks() -> [Track; 2] {
    let record = Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff]);
    let config = VideoConfig::Avc(AvcConfig { record, width: 1280, height: 720 });
    let rate = FrameRate::new(30, 1).unwrap();
    let video = TrackMedia::Video { config, width: 1280, height: 720, frame_rate: Some(rate) };
    let audio = TrackMedia::Audio { config: AudioConfig::Aac(AacConfig::lc(48_000, 2).unwrap()) };
    [
        Track { name: name("720p"), timescale: rate.timescale(), bit_rate: 2_000_000, media: video },
        Track { name: name("audio"), timescale: Timescale::AUDIO_48K, bit_rate: 128_000, media: audio },
    ]
}

/// A channel `demo` with `720p` and `audio`: two whole segments of four parts, the third not begun.
struct Stage {
    origin: Origin,
    channel: Arc<ChannelOrigin>,
}

impl Stage {
    fn live() -> Self {
        let grid = SegmentGrid::with_segment_millis(FrameRate::new(30, 1).unwrap(), 2000);
        let channel = Arc::new(ChannelOrigin::new(Window::new(Config::default()), Duration::from_secs(60)));
        channel.with_window(|window| {
            window.begin_session(Timing::epoch_locked(grid).with_part_frames(15), NOW);
            let init = |t: Track| (t, Bytes::from_static(b"init"));
            window.begin_period(FIRST, tracks().map(init).to_vec(), false).unwrap();
        });
        let origin = Origin::new(Arc::new(Still));
        origin.insert("demo", Arc::clone(&channel));
        let stage = Stage { origin, channel };
        for number in FIRST..OPEN {
            for rendition in ["720p", "audio"] {
                (0..PARTS).for_each(|part| stage.part(rendition, number, part));
                stage.end(rendition, number);
            }
        }
        stage
    }

    fn part(&self, rendition: &str, segment: u64, part: u32) {
        let quarter = if rendition == "audio" { 24_000 } else { 15_000 };
        let chunk = Chunk {
            segment,
            part,
            independent: part == 0,
            start: ((segment - 1) * u64::from(PARTS) + u64::from(part)) * quarter,
            duration: quarter,
            samples: 15,
            first_sample_end: 4,
            bytes: Bytes::from(format!("{rendition} {segment}.{part};")),
        };
        self.channel.with_window(|window| window.push_chunk(&name(rendition), chunk, NOW)).unwrap();
    }

    fn end(&self, rendition: &str, segment: u64) {
        let duration = if rendition == "audio" { 96_000 } else { 60_000 };
        let end = SegmentEnd { segment, start: (segment - 1) * duration, duration, discontinuity: false };
        self.channel.with_window(|window| window.end_segment(&name(rendition), end, NOW)).unwrap();
    }

    fn ask(&self, path: &str) -> Reply {
        let request = Request::builder().method(Method::GET).uri(format!("/live/demo/{path}")).body(()).unwrap();
        self.origin.respond(&request, SocketAddr::from(([127, 0, 0, 1], 5000))).reply
    }

    /// What must be answered at once.
    fn now(&self, path: &str) -> Got {
        match self.ask(path) {
            Reply::Ready(response) => Got::of(response),
            Reply::Later(_) => panic!("{path} waits"),
        }
    }

    /// What must wait.
    fn held(&self, path: &str) -> Held {
        match self.ask(path) {
            Reply::Later(later) => {
                let mut held = Held(later);
                held.still_waits();
                held
            }
            Reply::Ready(response) => panic!("{path} is answered {} at once", response.status()),
        }
    }
}

struct Got {
    status: StatusCode,
    cache: String,
    text: String,
}

impl Got {
    fn of(response: Response<Body>) -> Self {
        let (head, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut cx) {
            bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        let cache = head.headers.get("cache-control").map_or("", |v| v.to_str().unwrap()).to_owned();
        Got { status: head.status, cache, text: String::from_utf8(bytes).unwrap() }
    }
}

struct Held(Later);

impl Held {
    fn still_waits(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(self.0.as_mut().poll(&mut cx).is_pending(), "it is answered too early");
    }

    /// Its answer, which must be there.
    fn released(mut self) -> Got {
        let mut cx = Context::from_waker(Waker::noop());
        match self.0.as_mut().poll(&mut cx) {
            Poll::Ready(response) => Got::of(response),
            Poll::Pending => panic!("it still waits"),
        }
    }
}

/// STANDARDS 1.41: what is malformed or lies too far ahead is refused at once, by every list.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_answered_is_refused_at_once() {
    let stage = Stage::live();
    stage.part("720p", OPEN, 0);
    // The last whole segment is OPEN - 1; with a part target of 0.512 s six parts ahead are allowed.
    for query in [
        "_HLS_part=1".to_owned(),
        "_HLS_msn=".to_owned(),
        "_HLS_msn=-1".to_owned(),
        format!("_HLS_msn={OPEN}&_HLS_msn={}", OPEN + 1),
        format!("_HLS_msn={}", OPEN + 2),
        format!("_HLS_msn={}&_HLS_part=0", OPEN + 2),
        format!("_HLS_msn={}", u64::MAX),
        format!("_HLS_msn={}&_HLS_part=0", u64::MAX),
        format!("_HLS_msn={}&_HLS_part={}", u64::MAX, u32::MAX),
        format!("_HLS_msn={OPEN}&_HLS_part=7"),
        format!("_HLS_msn={OPEN}&_HLS_part={}", u32::MAX),
        format!("_HLS_msn={}&_HLS_part=6", OPEN + 1),
    ] {
        assert_eq!(stage.now(&format!("720p/index.m3u8?{query}")).status, StatusCode::BAD_REQUEST, "{query}");
    }
    for query in [
        format!("_HLS_msn={OPEN}"),
        format!("_HLS_msn={}", OPEN + 1),
        format!("_HLS_msn={OPEN}&_HLS_part=1"),
        format!("_HLS_msn={OPEN}&_HLS_part=6"),
        format!("_HLS_msn={}&_HLS_part=5", OPEN + 1),
    ] {
        stage.held(&format!("720p/index.m3u8?{query}"));
    }
    assert_eq!(stage.now(&format!("480p/index.m3u8?_HLS_msn={OPEN}")).status, StatusCode::NOT_FOUND);
}

/// STANDARDS 1.40: a segment alone is waited for until it is whole, in this rendition.
#[tokio::test(start_paused = true)]
async fn a_reload_for_a_segment_is_released_by_its_end() {
    let stage = Stage::live();
    let mut held = stage.held(&format!("720p/index.m3u8?_HLS_msn={OPEN}"));
    for part in 0..PARTS {
        stage.part("720p", OPEN, part);
        held.still_waits();
    }
    (0..PARTS).for_each(|part| stage.part("audio", OPEN, part));
    stage.end("audio", OPEN);
    held.still_waits();
    stage.end("720p", OPEN);
    let got = held.released();
    // It stays right under its own URL: 6 target durations (STANDARDS 1.48).
    assert_eq!((got.status, got.cache.as_str()), (StatusCode::OK, "public, max-age=12"));
    assert!(got.text.contains(&format!("\n{OPEN}.m4s\n")), "{}", got.text);
    assert_eq!(stage.now(&format!("720p/index.m3u8?_HLS_msn={OPEN}")).status, StatusCode::OK);
}

/// STANDARDS 1.40: exactly by its part, not by the one before, nor by that of another rendition.
#[tokio::test(start_paused = true)]
async fn a_reload_for_a_part_is_released_by_that_part() {
    let stage = Stage::live();
    for part in 0..PARTS {
        let mut held = stage.held(&format!("720p/index.m3u8?_HLS_msn={OPEN}&_HLS_part={part}"));
        let mut next = stage.held(&format!("720p/index.m3u8?_HLS_msn={OPEN}&_HLS_part={}", part + 1));
        stage.part("audio", OPEN, part);
        held.still_waits();
        stage.part("720p", OPEN, part);
        next.still_waits();
        let got = held.released();
        assert_eq!(got.status, StatusCode::OK);
        assert!(got.text.contains(&format!("URI=\"{OPEN}.{part}.m4s\"")), "{}", got.text);
        assert!(!got.text.contains(&format!("URI=\"{OPEN}.{}.m4s\"\n#EXT-X-PART:", part + 1)), "{}", got.text);
    }
}

/// STANDARDS 1.40: a part beyond a segment's last one is the first one of the next.
#[tokio::test(start_paused = true)]
async fn a_part_beyond_the_last_is_the_first_of_the_next_segment() {
    let stage = Stage::live();
    let mut of_whole = stage.held(&format!("720p/index.m3u8?_HLS_msn={}&_HLS_part={PARTS}", OPEN - 1));
    stage.part("audio", OPEN, 0);
    of_whole.still_waits();
    stage.part("720p", OPEN, 0);
    assert!(of_whole.released().text.contains(&format!("URI=\"{OPEN}.0.m4s\"")));

    let mut of_open = stage.held(&format!("720p/index.m3u8?_HLS_msn={OPEN}&_HLS_part={}", PARTS + 1));
    (1..PARTS).for_each(|part| stage.part("720p", OPEN, part));
    stage.end("720p", OPEN);
    of_open.still_waits();
    stage.part("720p", OPEN + 1, 0);
    assert!(of_open.released().text.contains(&format!("URI=\"{}.0.m4s\"", OPEN + 1)));
}

/// STANDARDS 1.41: with a stalled encoder, 503 after three target durations.
#[tokio::test(start_paused = true)]
async fn a_stall_is_told_after_three_target_durations() {
    let stage = Stage::live();
    for path in [
        format!("720p/index.m3u8?_HLS_msn={OPEN}"),
        format!("720p/index.m3u8?_HLS_msn={OPEN}&_HLS_part=0"),
        format!("720p/{OPEN}.0.m4s"),
    ] {
        let began = tokio::time::Instant::now();
        let response = stage.held(&path).0.await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(response.headers().contains_key("retry-after"), "{path}");
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(6) && waited < Duration::from_millis(6100), "{path}: {waited:?}");
    }
}

/// STANDARDS 1.40, CHECK-1g: who waits when the channel ends is told so; afterwards directives mean nothing.
#[tokio::test(start_paused = true)]
async fn an_ended_list_holds_nobody() {
    let stage = Stage::live();
    stage.part("720p", OPEN, 0);
    let reload = stage.held(&format!("720p/index.m3u8?_HLS_msn={OPEN}&_HLS_part=3"));
    let hinted = stage.held(&format!("720p/{OPEN}.1.m4s"));
    stage.channel.with_window(|window| window.end(NOW));
    let got = reload.released();
    assert!(got.text.ends_with("#EXT-X-ENDLIST\n") && !got.text.contains("PRELOAD-HINT"), "{}", got.text);
    assert_eq!(hinted.released().status, StatusCode::NOT_FOUND, "an abandoned hint (STANDARDS 1.45)");
    let plain = stage.now("720p/index.m3u8").text;
    for query in [format!("_HLS_msn={}", OPEN + 100), format!("_HLS_msn={OPEN}&_HLS_part=50"), "_HLS_skip=YES".into()] {
        assert_eq!(stage.now(&format!("720p/index.m3u8?{query}")).text, plain, "{query}");
    }
    // STANDARDS 1.39: what was listed is still there.
    assert_eq!(stage.now(&format!("720p/{OPEN}.0.m4s")).status, StatusCode::OK);
}

/// STANDARDS 1.43 to 1.45: the hinted part is held and then comes whole; others that are not there are 404.
#[tokio::test(start_paused = true)]
async fn a_hinted_part_is_held_until_it_is_whole() {
    let stage = Stage::live();
    for part in 0..2 {
        let list = stage.now("720p/index.m3u8").text;
        assert!(list.contains(&format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{OPEN}.{part}.m4s\"")), "{list}");
        let mut held = stage.held(&format!("720p/{OPEN}.{part}.m4s"));
        for unknown in [format!("{OPEN}.{}.m4s", part + 1), format!("{}.0.m4s", OPEN + 1), format!("{OPEN}.m4s")] {
            assert_eq!(stage.now(&format!("720p/{unknown}")).status, StatusCode::NOT_FOUND, "{unknown}");
        }
        stage.part("audio", OPEN, part);
        held.still_waits();
        stage.part("720p", OPEN, part);
        let got = held.released();
        assert_eq!((got.status, got.text), (StatusCode::OK, format!("720p {OPEN}.{part};")));
        assert_eq!(got.cache, "public, max-age=1209600, immutable");
    }
    assert_eq!(stage.now(&format!("720p/{}.{PARTS}.m4s", OPEN - 1)).status, StatusCode::NOT_FOUND);
}

/// STANDARDS 1.45: a segment that ends without the hinted part, or is given up, answers 404 then.
#[tokio::test(start_paused = true)]
async fn an_abandoned_hint_is_404() {
    for given_up in [false, true] {
        let stage = Stage::live();
        stage.part("720p", OPEN, 0);
        let mut held = stage.held(&format!("720p/{OPEN}.1.m4s"));
        stage.part("audio", OPEN, 0);
        held.still_waits();
        if given_up {
            stage.channel.with_window(|window| window.mark_gap(OPEN, NOW)).unwrap();
        } else {
            stage.end("720p", OPEN);
        }
        assert_eq!(held.released().status, StatusCode::NOT_FOUND, "given up: {given_up}");
    }
}

/// STANDARDS 1.42 at the routes: a delta update is shorter, and may be waited for as well.
#[tokio::test(start_paused = true)]
async fn a_delta_update_may_be_waited_for() {
    let stage = Stage::live();
    for number in OPEN..OPEN + 10 {
        for rendition in ["720p", "audio"] {
            (0..PARTS).for_each(|part| stage.part(rendition, number, part));
            stage.end(rendition, number);
        }
    }
    let held = stage.held(&format!("720p/index.m3u8?_HLS_msn={}&_HLS_part=0&_HLS_skip=YES", OPEN + 10));
    stage.part("720p", OPEN + 10, 0);
    let (delta, full) = (held.released().text, stage.now("720p/index.m3u8").text);
    // 24.5 s are listed; what ends more than 12 s before the end is skipped.
    assert!(delta.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=6\n") && delta.len() < full.len(), "{delta}");
    assert!(delta.contains(&format!("URI=\"{}.0.m4s\"", OPEN + 10)), "{delta}");
}

/// A viewer who leaves frees the place; until then there are only so many, and neither kind crowds out the other.
#[tokio::test(start_paused = true)]
async fn places_are_bounded_and_freed() {
    let stage = Stage::live();
    let (reload, body) = (format!("720p/index.m3u8?_HLS_msn={OPEN}"), format!("720p/{OPEN}.ll.m4s"));
    for (mine, other) in [(&reload, &body), (&body, &reload)] {
        let waiting: Vec<Reply> = (0..MAX_WAITING).map(|_| stage.ask(mine)).collect();
        assert!(waiting.iter().all(|reply| matches!(reply, Reply::Later(_))));
        assert_eq!(stage.now(mine).status, StatusCode::SERVICE_UNAVAILABLE);
        stage.held(other);
        drop(waiting);
        stage.held(mine);
    }
}

/// Ten thousand reloads are released by one part: all share one rendering, and it costs little.
#[tokio::test(start_paused = true)]
async fn ten_thousand_reloads_are_released_at_once() {
    const VIEWERS: usize = 10_000;
    let stage = Stage::live();
    let path = format!("720p/index.m3u8?_HLS_msn={OPEN}&_HLS_part=0");
    let tasks: Vec<_> = (0..VIEWERS)
        .map(|_| match stage.ask(&path) {
            Reply::Later(later) => tokio::spawn(later),
            Reply::Ready(_) => panic!("it does not wait"),
        })
        .collect();
    // All have been polled, and wait.
    tokio::task::yield_now().await;
    assert!(tasks.iter().all(|task| !task.is_finished()));
    let before = cpu_time();
    stage.part("audio", OPEN, 0);
    tokio::task::yield_now().await;
    assert!(tasks.iter().all(|task| !task.is_finished()));
    stage.part("720p", OPEN, 0);
    let mut bodies = Vec::with_capacity(VIEWERS);
    for task in tasks {
        let mut body = task.await.unwrap().into_body();
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) else { panic!("no body") };
        bodies.push(frame.into_data().unwrap());
    }
    let spent = cpu_time() - before;
    assert!(bodies.iter().all(|b| b.as_ptr() == bodies[0].as_ptr()), "the list was made more than once");
    // About 70 ms in a build without optimization.
    assert!(spent < Duration::from_secs(1), "{spent:?}");
}

/// Time that this thread has run.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}
