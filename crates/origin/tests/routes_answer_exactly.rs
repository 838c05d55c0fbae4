//! Every route under `/live/` answers with the exact status, headers and bytes: the window is real, the manifests are
//! rendered from it, the clock stands where the test puts it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Body as _;
use millstream_delivery::answer::Reply;
use millstream_media::codec::{AacConfig, AudioConfig, AvcConfig, VideoConfig};
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::{Clock, MonoTime, Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_origin::channel::{ChannelOrigin, PublicStatus};
use millstream_origin::origin::Origin;
use millstream_telemetry::RequestKind;
use millstream_window::{Config, Timing, Window};

/// Number of the first segment, which begins at 2026-02-02T02:40:00Z.
const FIRST: u64 = 885_000_001;
const STALE_AFTER: Duration = Duration::from_secs(10);
const FOREVER: &str = "public, max-age=1209600, immutable";
/// Half a target duration of 2 s (STANDARDS 1.48).
const BRIEF: &str = "public, max-age=1";

/// A clock that stands still until it is moved; it reads 0 when the first segment begins.
#[derive(Default)]
struct Hand(Mutex<Duration>);

impl Hand {
    fn read(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn forward(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Hand {
    fn utc(&self) -> UtcTime {
        let base = (FIRST - 1) * 2_000;
        UtcTime::from_ticks(base + self.read().as_millis() as u64, Timescale::new(1000).unwrap())
    }

    fn mono(&self) -> MonoTime {
        MonoTime(Duration::from_secs(50) + self.read())
    }
}

fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

fn grid() -> SegmentGrid {
    SegmentGrid::with_segment_millis(FrameRate::new(30, 1).unwrap(), 2000)
}

fn video(text: &str) -> Track {
    let record = Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff]);
    let config = VideoConfig::Avc(AvcConfig { record, width: 1280, height: 720 });
    let rate = FrameRate::new(30, 1).unwrap();
    let media = TrackMedia::Video { config, width: 1280, height: 720, frame_rate: Some(rate) };
    Track { name: name(text), timescale: rate.timescale(), bit_rate: 2_000_000, media }
}

fn audio(text: &str) -> Track {
    let config = AudioConfig::Aac(AacConfig::lc(48_000, 2).unwrap());
    Track { name: name(text), timescale: Timescale::AUDIO_48K, bit_rate: 128_000, media: TrackMedia::Audio { config } }
}

fn init_bytes(track: &Track) -> Bytes {
    Bytes::from(format!("init of {}", track.name.as_str()))
}

fn part_bytes(track: &Track, number: u64, part: u32) -> Bytes {
    Bytes::from(format!("{} {number} part {part}; ", track.name.as_str()))
}

/// An origin with the channel `demo`, whose time passes with its segments.
struct Stage {
    origin: Origin,
    channel: Arc<ChannelOrigin>,
    clock: Arc<Hand>,
    tracks: Vec<Track>,
}

/// What came back.
struct Answer {
    kind: RequestKind,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Stage {
    fn empty() -> Self {
        let clock = Arc::new(Hand::default());
        let config = Config { list_duration: Duration::from_secs(10), min_listed: 5, ..Config::default() };
        let channel = Arc::new(ChannelOrigin::new(Window::new(config), STALE_AFTER));
        let origin = Origin::new(clock.clone());
        origin.insert("demo", Arc::clone(&channel));
        Stage { origin, channel, clock, tracks: Vec::new() }
    }

    /// On air with `720p` and `audio`, five segments old.
    fn live() -> Self {
        let mut stage = Stage::empty();
        stage.begin(FIRST, vec![video("720p"), audio("audio")]);
        stage.segments(FIRST..FIRST + 5);
        stage
    }

    fn begin(&mut self, first: u64, tracks: Vec<Track>) {
        let now = self.clock.mono();
        self.channel.with_window(|window| {
            window.begin_session(Timing::epoch_locked(grid()), now);
            window.begin_period(first, tracks.iter().map(|t| (t.clone(), init_bytes(t))).collect(), false).unwrap();
        });
        self.tracks = tracks;
    }

    /// Each segment takes its 2 s, and is complete in all renditions when they are over.
    fn segments(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.clock.forward(Duration::from_secs(2));
            for track in &self.tracks {
                self.part(track, number, 0);
                self.part(track, number, 1);
                let (start, duration) = times(track, number);
                let end = SegmentEnd { segment: number, start, duration, discontinuity: false };
                let now = self.clock.mono();
                self.channel.with_window(|window| window.end_segment(&track.name, end, now)).unwrap();
            }
        }
    }

    fn part(&self, track: &Track, number: u64, part: u32) {
        let (start, duration) = times(track, number);
        let first_half = duration / 2;
        let bytes = part_bytes(track, number, part);
        let chunk = Chunk {
            segment: number,
            part,
            independent: part == 0,
            start: start + u64::from(part) * first_half,
            duration: if part == 0 { first_half } else { duration - first_half },
            samples: 30,
            first_sample_end: 4,
            bytes,
        };
        let now = self.clock.mono();
        self.channel.with_window(|window| window.push_chunk(&track.name, chunk, now)).unwrap();
    }

    fn whole(&self, track: &str, number: u64) -> Vec<u8> {
        let track = self.tracks.iter().find(|t| t.name.as_str() == track).unwrap();
        [part_bytes(track, number, 0), part_bytes(track, number, 1)].concat()
    }

    fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = SocketAddr::from(([127, 0, 0, 1], 5000));
        let answer = self.origin.respond(&request.body(()).unwrap(), peer);
        let (kind, Reply::Ready(response)) = (answer.kind, answer.reply) else { panic!("{path} waits") };
        let (head, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut cx) {
            bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        Answer { kind, status: head.status, headers: head.headers, body: bytes }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[])
    }

    /// The version under which the playlist names the init segment.
    fn init_url(&self, rendition: &str) -> String {
        let playlist = self.get(&format!("/live/demo/{rendition}/index.m3u8"));
        let map = playlist.text().split("#EXT-X-MAP:URI=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        format!("/live/demo/{rendition}/{map}")
    }
}

fn times(track: &Track, number: u64) -> (u64, u64) {
    let start = |n| match track.is_video() {
        true => grid().video_start(n),
        false => grid().audio_start(n, track.timescale),
    };
    (start(number), start(number + 1) - start(number))
}

/// STANDARDS 1.48, CHECK-1e: the type, cache life and kind of every resource, open to every page.
#[test]
fn each_route_has_its_type_and_cache_life() {
    let stage = Stage::live();
    stage.channel.set_status(PublicStatus { json: Bytes::from_static(b"{\"state\":\"live\"}") });
    let newest = FIRST + 4;
    let (hls, dash) = ("application/vnd.apple.mpegurl", "application/dash+xml");
    for (path, kind, content_type, cache) in [
        ("/live/demo/index.m3u8".to_owned(), RequestKind::Multivariant, hls, BRIEF),
        ("/live/demo/720p/index.m3u8".to_owned(), RequestKind::Playlist, hls, BRIEF),
        ("/live/demo/audio/index.m3u8".to_owned(), RequestKind::Playlist, hls, BRIEF),
        ("/live/demo/720p/iframes.m3u8".to_owned(), RequestKind::IframePlaylist, hls, BRIEF),
        ("/live/demo/manifest.mpd".to_owned(), RequestKind::Mpd, dash, BRIEF),
        ("/live/demo/status.json".to_owned(), RequestKind::Other, "application/json", BRIEF),
        (stage.init_url("720p"), RequestKind::Init, "video/mp4", FOREVER),
        (stage.init_url("audio"), RequestKind::Init, "audio/mp4", FOREVER),
        // Without its version the URL stands for whatever is newest.
        ("/live/demo/720p/init.mp4".to_owned(), RequestKind::Init, "video/mp4", BRIEF),
        (format!("/live/demo/720p/{newest}.m4s"), RequestKind::Segment, "video/mp4", FOREVER),
        (format!("/live/demo/audio/{newest}.m4s"), RequestKind::Segment, "audio/mp4", FOREVER),
        (format!("/live/demo/720p/{newest}.1.m4s"), RequestKind::Part, "video/mp4", FOREVER),
        (format!("/live/demo/audio/{newest}.0.m4s"), RequestKind::Part, "audio/mp4", FOREVER),
    ] {
        let got = stage.get(&path);
        assert_eq!((got.status, got.kind), (StatusCode::OK, kind), "{path}");
        assert_eq!((got.header("content-type"), got.header("cache-control")), (content_type, cache), "{path}");
        assert_eq!(got.header("access-control-allow-origin"), "*", "{path}");
        assert!(got.header("access-control-expose-headers").contains("Date"), "{path}");
        assert_eq!(got.header("content-length"), got.body.len().to_string(), "{path}");
        assert!(got.header("etag").starts_with('"') && got.header("etag").len() > 4, "{path}");
        assert!(!got.body.is_empty() && got.header("location").is_empty(), "STANDARDS 1.22: {path}");

        let head = stage.ask(Method::HEAD, &path, &[]);
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "HEAD {path}");
        assert_eq!(head.headers, got.headers, "HEAD has the headers of GET: {path}");
    }
}

#[test]
fn the_bytes_are_those_of_the_window() {
    let stage = Stage::live();
    let newest = FIRST + 4;
    let expect = |path: &str, bytes: &[u8]| assert_eq!(stage.get(path).body, bytes, "{path}");
    expect(&format!("/live/demo/720p/{newest}.m4s"), &stage.whole("720p", newest));
    expect(&format!("/live/demo/audio/{newest}.1.m4s"), &part_bytes(&stage.tracks[1], newest, 1));
    expect(&stage.init_url("720p"), b"init of 720p");
    expect("/live/demo/audio/init.mp4", b"init of audio");
}

/// CHECK-1b, STANDARDS 1.13: all a playlist names can be fetched at that moment.
#[test]
fn every_listed_uri_is_there() {
    let mut stage = Stage::live();
    for number in FIRST + 5..FIRST + 12 {
        stage.segments([number]);
        for playlist in ["720p/index.m3u8", "audio/index.m3u8", "720p/iframes.m3u8"] {
            let text = stage.get(&format!("/live/demo/{playlist}")).text().to_owned();
            let folder = playlist.split('/').next().unwrap();
            let segments: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert!(segments.len() >= 5, "{text}");
            for uri in segments {
                assert_eq!(stage.get(&format!("/live/demo/{folder}/{uri}")).status, StatusCode::OK, "{uri}");
            }
        }
        assert_eq!(stage.get(&stage.init_url("720p")).status, StatusCode::OK);
    }
    // The same after the end: the list is final, and stays for a while.
    let now = stage.clock.mono();
    stage.channel.with_window(|window| window.end(now));
    let ended = stage.get("/live/demo/720p/index.m3u8");
    assert!(ended.text().contains("#EXT-X-ENDLIST"), "{}", ended.text());
    stage.tracks.clear();
    stage.clock.forward(STALE_AFTER);
    assert_eq!(stage.get("/live/demo/720p/index.m3u8").status, StatusCode::OK, "what has ended is not stale");
}

#[test]
fn what_is_not_there_is_404_for_a_moment_only() {
    let stage = Stage::live();
    for path in [
        "/live/other/index.m3u8",
        "/live/demo",
        "/live/demo/",
        "/live/demo/480p/index.m3u8",
        "/live/demo/480p/iframes.m3u8",
        "/live/demo/480p/init.mp4",
        "/live/demo/480p/885000001.m4s",
        "/live/demo/audio/iframes.m3u8",
        "/live/demo/720p/init.mp4?v=00000000",
        "/live/demo/720p/1.m4s",
        "/live/demo/720p/885000006.m4s",
        "/live/demo/720p/885000001.2.m4s",
        "/live/demo/720p/0885000001.m4s",
        "/live/demo/..%2fdemo/index.m3u8",
        "/live/demo/7%20p/index.m3u8",
        "/live/demo/index.m3u8/x",
        "/live/d%65mo/index.m3u8",
    ] {
        let got = stage.get(path);
        assert_eq!((got.status, got.header("cache-control")), (StatusCode::NOT_FOUND, BRIEF), "{path}");
        assert_eq!(got.header("access-control-allow-origin"), "*", "{path}");
    }
}

#[test]
fn other_methods_are_405_and_a_preflight_is_answered() {
    let stage = Stage::live();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::from_bytes(b"FROB").unwrap()] {
        let got = stage.ask(method, "/live/demo/index.m3u8", &[]);
        assert_eq!((got.status, got.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS"));
    }
    let got = stage.ask(Method::OPTIONS, "/live/demo/720p/index.m3u8", &[("origin", "https://example.org")]);
    assert_eq!((got.status, got.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(got.header("access-control-allow-origin"), "*");
    assert_eq!(got.header("access-control-allow-methods"), "GET, HEAD, OPTIONS");
    assert!(got.header("access-control-allow-headers").contains("Range"));
}

#[test]
fn a_known_tag_is_304_until_the_bytes_change() {
    let stage = Stage::live();
    for path in ["/live/demo/720p/index.m3u8", "/live/demo/720p/885000005.m4s", "/live/demo/manifest.mpd"] {
        let tag = stage.get(path).header("etag").to_owned();
        let again = stage.ask(Method::GET, path, &[("if-none-match", &tag)]);
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        assert_eq!(again.header("etag"), tag, "{path}");
        assert!(!again.header("cache-control").is_empty() && again.header("content-type").is_empty(), "{path}");
    }
    let path = "/live/demo/720p/index.m3u8";
    let tag = stage.get(path).header("etag").to_owned();
    stage.segments([FIRST + 5]);
    let changed = stage.ask(Method::GET, path, &[("if-none-match", &tag)]);
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.header("etag"), tag);
    assert!(changed.text().contains("885000006.m4s"));
}

#[test]
fn a_range_is_206_or_416() {
    let stage = Stage::live();
    let (path, whole) = ("/live/demo/720p/885000005.m4s", stage.whole("720p", FIRST + 4));
    let len = whole.len();
    assert_eq!(stage.get(path).header("accept-ranges"), "bytes");
    // Across the border between the two parts.
    let border = len / 2;
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        (format!("bytes={}-{}", border - 2, border + 1), border - 2, border + 2),
        ("bytes=-3".to_owned(), len - 3, len),
        ("bytes=5-".to_owned(), 5, len),
    ] {
        let got = stage.ask(Method::GET, path, &[("range", &range)]);
        assert_eq!((got.status, &got.body[..]), (StatusCode::PARTIAL_CONTENT, &whole[from..to]), "{range}");
        assert_eq!(got.header("content-range"), format!("bytes {from}-{}/{len}", to - 1));
        assert_eq!(got.header("cache-control"), FOREVER);
    }
    let got = stage.ask(Method::GET, path, &[("range", "bytes=4096-")]);
    assert_eq!((got.status, got.body.len()), (StatusCode::RANGE_NOT_SATISFIABLE, 0));
    assert_eq!(got.header("content-range"), format!("bytes */{len}"));
    assert_eq!(got.header("cache-control"), BRIEF, "an error does not stay in caches for as long as the segment");
}

/// STANDARDS 1.5, CHECK-1e.
#[test]
fn manifests_are_compressed_and_media_is_not() {
    let stage = Stage::live();
    for path in ["index.m3u8", "720p/index.m3u8", "audio/index.m3u8", "720p/iframes.m3u8", "manifest.mpd"] {
        let path = format!("/live/demo/{path}");
        let plain = stage.get(&path);
        let packed = stage.ask(Method::GET, &path, &[("accept-encoding", "gzip, deflate, br")]);
        assert_eq!((plain.header("vary"), packed.header("vary")), ("Accept-Encoding", "Accept-Encoding"), "{path}");
        assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"), "{path}");
        assert_ne!(plain.header("etag"), packed.header("etag"), "{path}");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, plain.body, "{path}");
    }
    let segment = stage.ask(Method::GET, "/live/demo/720p/885000005.m4s", &[("accept-encoding", "gzip")]);
    assert_eq!((segment.header("content-encoding"), segment.header("vary")), ("", ""));
}

#[test]
fn manifests_are_503_before_the_first_segment_and_when_the_newest_is_too_old() {
    let mut stage = Stage::empty();
    let unavailable = |stage: &Stage| {
        for path in ["index.m3u8", "manifest.mpd", "720p/index.m3u8", "720p/iframes.m3u8"] {
            let got = stage.get(&format!("/live/demo/{path}"));
            assert_eq!((got.status, got.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"), "{path}");
            assert_eq!(got.header("cache-control"), BRIEF, "{path}");
        }
    };
    unavailable(&stage);
    stage.begin(FIRST, vec![video("720p"), audio("audio")]);
    unavailable(&stage);
    stage.segments(FIRST..FIRST + 5);

    stage.clock.forward(STALE_AFTER);
    assert_eq!(stage.get("/live/demo/index.m3u8").status, StatusCode::OK, "as old as may be");
    stage.clock.forward(Duration::from_millis(1));
    unavailable(&stage);
    let segment = stage.get("/live/demo/720p/885000005.m4s");
    assert_eq!(segment.status, StatusCode::OK, "what is known of can still be fetched");

    stage.segments([FIRST + 5]);
    stage.channel.set_stale_after(Duration::from_secs(3600));
    assert_eq!(stage.get("/live/demo/index.m3u8").status, StatusCode::OK);
}

/// STANDARDS 1.11, 2.13: after it left the list, a segment stays for its duration and that of the longest list.
#[test]
fn a_segment_stays_after_it_left_the_list() {
    let stage = Stage::live();
    let path = format!("/live/demo/720p/{FIRST}.m4s");
    let listed = |stage: &Stage| stage.get("/live/demo/720p/index.m3u8").text().contains(&format!("{FIRST}.m4s"));
    let tag = stage.get(&path).header("etag").to_owned();
    assert!(listed(&stage));
    stage.segments([FIRST + 5]);
    assert!(!listed(&stage));
    // Six segments of 2 s were listed for a moment (of audio, up to a frame more); with its own 2 s that makes a little
    // over 14 s, of which 12 pass.
    stage.segments(FIRST + 6..FIRST + 12);
    let kept = stage.get(&path);
    assert_eq!((kept.status, kept.body), (StatusCode::OK, stage.whole("720p", FIRST)));
    assert_eq!(kept.headers["etag"], tag.as_str());
    stage.segments(FIRST + 12..FIRST + 14);
    assert!(!listed(&stage));
    assert_eq!(stage.get(&path).status, StatusCode::NOT_FOUND, "and no longer, so that memory is bounded");
}

/// What an earlier session left fetchable keeps its media type, though the session that runs has no such rendition.
#[test]
fn audio_of_an_earlier_session_is_audio() {
    let mut stage = Stage::live();
    let old_init = stage.init_url("audio");
    let now = stage.clock.mono();
    stage.channel.with_window(|window| window.end(now));
    stage.begin(FIRST + 9, vec![video("720p")]);
    stage.segments([FIRST + 9]);
    assert_eq!(stage.get("/live/demo/audio/index.m3u8").status, StatusCode::NOT_FOUND);
    for (path, content_type) in [
        (format!("/live/demo/audio/{}.m4s", FIRST + 4), "audio/mp4"),
        (format!("/live/demo/audio/{}.0.m4s", FIRST + 4), "audio/mp4"),
        (old_init, "audio/mp4"),
        (format!("/live/demo/720p/{}.m4s", FIRST + 4), "video/mp4"),
        (format!("/live/demo/720p/{}.m4s", FIRST + 9), "video/mp4"),
    ] {
        let got = stage.get(&path);
        assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, content_type), "{path}");
    }
}

/// Two origins with the same segments answer with the same bytes and tags.
#[test]
fn two_origins_give_the_same_answers() {
    let (one, other) = (Stage::live(), Stage::live());
    for path in ["index.m3u8", "720p/index.m3u8", "manifest.mpd", "720p/885000003.m4s", "audio/885000003.1.m4s"] {
        let (a, b) = (one.get(&format!("/live/demo/{path}")), other.get(&format!("/live/demo/{path}")));
        assert_eq!((a.status, a.headers, a.body), (StatusCode::OK, b.headers, b.body), "{path}");
    }
}
