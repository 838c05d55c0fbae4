//! Uploads as an encoder sends them, and what it sends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use millstream_check::fetch::Fetch as _;
use millstream_check::http::Http;
use millstream_tests::{Channel, Publisher, Server};

pub const UP: Duration = Duration::from_secs(30);
pub const SOON: Duration = Duration::from_secs(15);
/// Seconds of a segment of the encoder's.
pub const SEGMENT: u64 = 2;

pub fn channel() -> Channel {
    Channel::new("news").set("mode = \"cmaf\"").set("segment_seconds = 2")
}

pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The credentials that the channel's key makes.
pub fn right() -> String {
    basic("default", "test-key-news")
}

/// A request whose body is sent piece by piece.
pub struct Upload(pub TcpStream);

impl Upload {
    pub fn begin(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Upload {
        let mut stream = TcpStream::connect(server.http()).unwrap();
        stream.set_read_timeout(Some(UP)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", server.http());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
        Upload(stream)
    }

    /// A chunk of the body. Whoever was refused may not take it any more.
    pub fn send(&mut self, data: &[u8]) -> bool {
        let whole = [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat();
        self.0.write_all(&whole).and_then(|()| self.0.flush()).is_ok()
    }

    /// Status and text of the answer.
    pub fn answer(mut self) -> (u16, String) {
        let mut bytes = Vec::new();
        let end = self.0.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no answer ({end:?}): {text}")), text)
    }

    pub fn end(mut self) -> (u16, String) {
        let _ = self.0.write_all(b"0\r\n\r\n");
        self.answer()
    }
}

/// One whole upload to a channel; gives status and answer.
pub fn put(server: &Server, credentials: &str, object: &str, body: &[u8]) -> (u16, String) {
    put_to(server, "news", credentials, &[], object, body)
}

pub fn put_to(
    server: &Server,
    channel: &str,
    credentials: &str,
    headers: &[(&str, &str)],
    object: &str,
    body: &[u8],
) -> (u16, String) {
    let mut headers = headers.to_vec();
    if !credentials.is_empty() {
        headers.push(("authorization", credentials));
    }
    let mut upload = Upload::begin(server, "PUT", &format!("/ingest/{channel}/{object}"), &headers);
    if !body.is_empty() {
        upload.send(body);
    }
    upload.end()
}

/// Segments of an encoder whose clock is UTC: from ffmpeg, with the decode times moved.
pub struct Encoded {
    pub headers: [Bytes; 2],
    /// Of each segment, video and audio.
    pub segments: Vec<[Bytes; 2]>,
    /// Number that the first segment has as a function of its time (STANDARDS 5.6).
    pub first_number: u64,
}

pub const TRACKS: [&str; 2] = ["Streams(video.cmfv)", "Streams(audio.cmfa)"];

impl Encoded {
    /// `count` segments, the last of which ends about now.
    pub fn new(folder: &Path, count: u64) -> Encoded {
        let out = folder.join("encoded");
        std::fs::create_dir_all(&out).unwrap();
        let seconds = (SEGMENT * count).to_string();
        let mut arguments = inputs("");
        arguments.extend(["-t", &seconds].map(str::to_owned));
        arguments.extend(codecs());
        arguments.extend(muxer());
        arguments.extend(["-window_size", "0"].map(str::to_owned));
        let status = Command::new("ffmpeg").args(arguments).arg(out.join("live.mpd")).status().unwrap();
        assert!(status.success());
        let now = u64::try_from(Http::new().now().as_millis() / 1000).unwrap();
        let from = (now / SEGMENT - count) * SEGMENT;
        let read = |name: String| std::fs::read(out.join(name)).unwrap();
        let header = |track: u32| Bytes::from(read(format!("init-stream{track}.m4s")));
        let segment = |track: u32, scale: u64, number: u64| {
            Bytes::from(moved(read(format!("chunk-stream{track}-{number:05}.m4s")), from * scale))
        };
        let segments = (1..=count).map(|n| [segment(0, 15_360, n), segment(1, 48_000, n)]).collect();
        Encoded { headers: [header(0), header(1)], segments, first_number: from / SEGMENT + 1 }
    }

    pub fn send_headers(&self, server: &Server) {
        for (track, header) in TRACKS.iter().zip(&self.headers) {
            assert_eq!(put(server, &right(), track, header).0, 200);
        }
    }

    pub fn send(&self, server: &Server, segment: usize) {
        for (track, body) in TRACKS.iter().zip(&self.segments[segment]) {
            let (status, answer) = put(server, &right(), track, body);
            assert_eq!(status, 200, "segment {segment} of {track}: {answer}");
        }
    }
}

/// The same segment with all decode times later by so many ticks.
pub fn moved(mut segment: Vec<u8>, ticks: u64) -> Vec<u8> {
    let boxes: Vec<usize> = segment.windows(4).enumerate().filter(|(_, w)| w == b"tfdt").map(|(at, _)| at).collect();
    for at in boxes {
        assert_eq!(segment[at + 4], 1, "a decode time of 64 bits");
        let place = at + 8..at + 16;
        let time = u64::from_be_bytes(segment[place.clone()].try_into().unwrap()).wrapping_add(ticks);
        segment[place].copy_from_slice(&time.to_be_bytes());
    }
    segment
}

/// The fragments of a segment; what is before the first belongs to it.
pub fn fragments(segment: &Bytes) -> Vec<Bytes> {
    let moof = segment.windows(4).enumerate().filter(|(_, w)| w == b"moof").map(|(at, _)| at - 4);
    let mut cuts: Vec<usize> = moof.collect();
    cuts[0] = 0;
    cuts.push(segment.len());
    cuts.windows(2).map(|cut| segment.slice(cut[0]..cut[1])).collect()
}

pub fn inputs(pace: &str) -> Vec<String> {
    let all = format!(
        "-y -nostdin -hide_banner -loglevel error {pace} -f lavfi -i testsrc2=size=320x180:rate=30 \
         {pace} -f lavfi -i sine=frequency=440:sample_rate=48000 -map 0 -map 1"
    );
    all.split_whitespace().map(str::to_owned).collect()
}

pub fn codecs() -> Vec<String> {
    let all = "-vf format=yuv420p -c:v libx264 -preset ultrafast -b:v 300k -g 60 -keyint_min 60 -sc_threshold 0 \
               -threads 2 -c:a aac -b:a 96k";
    all.split_whitespace().map(str::to_owned).collect()
}

pub fn muxer() -> Vec<String> {
    let all = "-f dash -seg_duration 2 -frag_type duration -frag_duration 0.5 -streaming 1 -use_template 1 \
               -use_timeline 0";
    all.split_whitespace().map(str::to_owned).collect()
}

/// ffmpeg as the documentation tells it.
pub fn ffmpeg(server: &Server) -> Publisher {
    let url = format!("http://default:test-key-news@{}/ingest/news/live.mpd", server.http());
    let upload = "-method PUT -http_persistent 1 -timeout 5".split_whitespace().map(str::to_owned);
    let arguments = [inputs("-re"), codecs(), muxer(), upload.collect(), vec![url]].concat();
    Publisher::run(server, &arguments)
}
