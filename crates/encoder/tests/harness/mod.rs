//! Drives the real worker with real media: contributions made by the `ffmpeg` command, outputs decoded by it.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod contribution;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millstream_encode_wire::frame;
use millstream_encode_wire::message::{
    AudioRendition, FileFacts, FromWorker, Ladder, PictureKind, ToWorker, VideoCodec, VideoRendition, WorkerStats,
};
use millstream_media::codec::AvcConfig;
use millstream_media::grid::{FrameIndex, FrameRate, SegmentGrid};
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::RenditionName;

/// When all test contributions begin: off the frame grid and off the segment grid.
pub const T0: UtcTime = UtcTime(1_795_365_013_337_000_000);

/// Everything a worker said.
#[derive(Default)]
pub struct Output {
    pub video: BTreeMap<String, Vec<(FrameIndex, bool, Bytes)>>,
    pub audio: Vec<(u64, Bytes)>,
    /// In order: name, first segment, configuration, width, height.
    pub started: Vec<(String, u64, Bytes, u32, u32)>,
    pub ended: Vec<(String, u64)>,
    pub failed: Vec<(String, String)>,
    pub inputs: Vec<(u32, u32, bool)>,
    pub warnings: Vec<String>,
    pub pongs: Vec<u64>,
    pub stats: WorkerStats,
    pub facts: Option<FileFacts>,
    pub unreadable: Option<String>,
    pub losses: Vec<String>,
    pub finished: bool,
    /// Pictures by themselves.
    pub thumbnails: Vec<(PictureKind, FrameIndex, Bytes)>,
}

pub fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

pub fn grid(num: u32, den: u32) -> SegmentGrid {
    SegmentGrid::with_segment_millis(FrameRate::new(num, den).unwrap(), 2000)
}

pub fn rendition(text: &str, width: u32, height: u32, bit_rate: u32) -> VideoRendition {
    VideoRendition {
        name: name(text),
        codec: VideoCodec::H264,
        encoder: "libx264".into(),
        width,
        height,
        bit_rate,
        preset: "ultrafast".into(),
    }
}

/// Two small renditions and sound.
pub fn ladder() -> Ladder {
    Ladder {
        video: vec![rendition("180p", 320, 180, 300_000), rendition("90p", 160, 90, 100_000)],
        audio: Some(AudioRendition { name: name("audio"), bit_rate: 96_000, channels: 2 }),
    }
}

/// A start at the frame nearest to [`T0`].
pub fn start(grid: SegmentGrid, ladder: Ladder) -> ToWorker {
    start_at(grid, ladder, grid.nearest_frame(T0))
}

pub fn start_at(grid: SegmentGrid, ladder: Ladder, first_frame: FrameIndex) -> ToWorker {
    let samples = grid.frame_time(first_frame).to_ticks(Timescale::AUDIO_48K);
    ToWorker::Start {
        version: millstream_encode_wire::VERSION,
        grid,
        ladder,
        first_frame,
        first_audio: samples.div_ceil(1024) * 1024,
        resume: Vec::new(),
        slate_text: "Back in a moment".into(),
    }
}

/// A running worker.
pub struct Worker {
    pub child: Child,
    pub socket: UnixStream,
    buffer: BytesMut,
}

impl Worker {
    pub fn spawn() -> Worker {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_millstream-encoder"))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .env("SVT_LOG", "1")
            .spawn()
            .unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Worker { child, socket: ours, buffer: BytesMut::new() }
    }

    /// A worker that reads a file.
    pub fn spawn_on(file: &std::path::Path) -> Worker {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_millstream-encoder"))
            .args(["--file-fd", "1"])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(std::fs::File::open(file).unwrap())
            .spawn()
            .unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Worker { child, socket: ours, buffer: BytesMut::new() }
    }

    /// Sends in the background, so that a full socket holds nobody up.
    pub fn send(&self, messages: Vec<(ToWorker, Bytes)>) -> std::thread::JoinHandle<()> {
        let mut socket = self.socket.try_clone().unwrap();
        std::thread::spawn(move || {
            for (message, payload) in messages {
                let mut wire = BytesMut::new();
                frame::encode(&message, &payload, &mut wire).unwrap();
                if socket.write_all(&wire).is_err() {
                    return;
                }
            }
        })
    }

    /// The next message; `None` at the end of the conversation.
    pub fn next(&mut self) -> Option<(FromWorker, Bytes)> {
        loop {
            if let Some(message) = frame::decode::<FromWorker>(&mut self.buffer).unwrap() {
                return Some(message);
            }
            let mut piece = [0; 65536];
            match self.socket.read(&mut piece) {
                Ok(0) => return None,
                Ok(n) => self.buffer.extend_from_slice(&piece[..n]),
                // A worker that ended before it had read all that was sent to it: its own words came first.
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("the worker says something within a minute: {e}"),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    pub fn take(&mut self, message: FromWorker, payload: Bytes) {
        match message {
            FromWorker::Hello { .. } => {}
            FromWorker::RenditionStarted { name, from_segment, width, height, .. } => {
                self.started.push((name.to_string(), from_segment, payload, width, height));
            }
            FromWorker::RenditionEnded { name, at_segment } => self.ended.push((name.to_string(), at_segment)),
            FromWorker::RenditionFailed { name, reason } => self.failed.push((name.to_string(), reason)),
            FromWorker::Video { name, frame, key } => {
                assert!(
                    self.started.iter().any(|s| s.0 == name.as_str()),
                    "{name} has a unit before it has a configuration"
                );
                self.video.entry(name.to_string()).or_default().push((frame, key, payload));
            }
            FromWorker::Audio { start, .. } => self.audio.push((start, payload)),
            FromWorker::Picture { kind, frame } => self.thumbnails.push((kind, frame, payload)),
            FromWorker::Input { width, height, interlaced } => self.inputs.push((width, height, interlaced)),
            FromWorker::Stats(stats) => self.stats = stats,
            FromWorker::Warning(text) => self.warnings.push(text),
            FromWorker::Pong { token } => self.pongs.push(token),
            FromWorker::Finished => self.finished = true,
            FromWorker::Probed(facts) => self.facts = Some(facts),
            FromWorker::Unreadable(reason) => self.unreadable = Some(reason),
            FromWorker::FileRead { losses } => self.losses = losses,
        }
    }

    /// The record of a rendition's last start.
    pub fn record(&self, rendition: &str) -> Bytes {
        self.started.iter().rev().find(|s| s.0 == rendition).unwrap().2.clone()
    }

    pub fn frames(&self, rendition: &str) -> Vec<FrameIndex> {
        self.video[rendition].iter().map(|v| v.0).collect()
    }

    /// What every output must be: frames and samples without gap, the same frames in all renditions, an IDR on every
    /// boundary and nowhere else but at the start.
    pub fn check(&self, grid: SegmentGrid) {
        assert!(self.finished && self.failed.is_empty(), "{:?} {:?}", self.failed, self.warnings);
        let first = self.video.values().next().map(|v| v.iter().map(|u| u.0).collect::<Vec<_>>()).unwrap_or_default();
        for (name, units) in &self.video {
            let frames: Vec<_> = units.iter().map(|u| u.0).collect();
            assert!(frames.windows(2).all(|w| w[1] == w[0] + 1), "{name} has a gap");
            assert_eq!(frames, first, "{name} has the frames of the others");
            for (index, (frame, key, data)) in units.iter().enumerate() {
                assert_eq!(*key, index == 0 || grid.is_boundary(*frame), "{name} frame {frame}");
                let kinds: Vec<_> = nal_types(data);
                assert_eq!(kinds.contains(&5), *key, "{name} frame {frame}: {kinds:?}");
                assert!(!kinds.iter().any(|k| matches!(k, 7..=9)), "{name} frame {frame}: {kinds:?}");
            }
        }
        assert!(self.audio.windows(2).all(|w| w[1].0 == w[0].0 + 1024), "the sound has a gap");
    }

    /// The pictures of a rendition, decoded by the `ffmpeg` command, luma only.
    pub fn pictures(&self, rendition: &str) -> Vec<Vec<u8>> {
        let config = AvcConfig::parse(self.record(rendition)).unwrap();
        let mut stream = Vec::new();
        for set in config.sps().chain(config.pps()) {
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(set);
        }
        for (_, _, data) in &self.video[rendition] {
            stream.extend_from_slice(&millstream_media::codec::nal::length_prefixed_to_annexb(data, 4).unwrap());
        }
        let arguments = "-xerror -f h264 -i - -f rawvideo -pix_fmt yuv420p -fps_mode passthrough -";
        let raw = ffmpeg(arguments, &stream);
        let luma = (config.width * config.height) as usize;
        let chroma = (config.width.div_ceil(2) * config.height.div_ceil(2)) as usize;
        raw.chunks(luma + 2 * chroma).map(|picture| picture[..luma].to_vec()).collect()
    }

    /// The sound, decoded by the `ffmpeg` command: left and right in turn. The first sample lies at the first frame.
    pub fn samples(&self, channels: u8) -> Vec<f32> {
        let mut stream = Vec::new();
        for (_, data) in &self.audio {
            let length = data.len() + 7;
            // ADTS: AAC-LC, 48 kHz.
            stream.extend_from_slice(&[
                0xff,
                0xf1,
                1 << 6 | 3 << 2 | channels >> 2,
                channels << 6 | (length >> 11) as u8,
                (length >> 3) as u8,
                (length << 5) as u8 | 0x1f,
                0xfc,
            ]);
            stream.extend_from_slice(data);
        }
        let raw = ffmpeg(&format!("-xerror -f aac -i - -f f32le -ac {channels} -"), &stream);
        raw.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

/// NAL unit types of a length-prefixed access unit.
pub fn nal_types(data: &[u8]) -> Vec<u8> {
    millstream_media::codec::nal::units(data, 4).map(|n| n.unwrap()[0] & 0x1f).collect()
}

/// Runs a worker from these messages to its end.
pub fn run(mut messages: Vec<(ToWorker, Bytes)>) -> Output {
    let mut worker = Worker::spawn();
    messages.push((ToWorker::Finish, Bytes::new()));
    let sender = worker.send(messages);
    let mut output = Output::default();
    while let Some((message, payload)) = worker.next() {
        output.take(message, payload);
    }
    sender.join().unwrap();
    assert!(worker.child.wait().unwrap().success());
    output
}

/// Runs a worker on a file, from a frame on; the file's own beginning is frame 0.
pub fn run_file(file: &std::path::Path, grid: SegmentGrid, ladder: Ladder, first: FrameIndex) -> Output {
    let mut worker = Worker::spawn_on(file);
    let sender = worker.send(vec![(start_at(grid, ladder, first), Bytes::new())]);
    let mut output = Output::default();
    while let Some((message, payload)) = worker.next() {
        output.take(message, payload);
    }
    sender.join().unwrap();
    assert!(worker.child.wait().unwrap().success());
    output
}

/// The `ffmpeg` command: input on its standard input, output from its standard output.
pub fn ffmpeg(arguments: &str, input: &[u8]) -> Vec<u8> {
    ffmpeg_with(&arguments.split(' ').collect::<Vec<_>>(), input)
}

pub fn ffmpeg_with(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-threads", "1"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tests need the ffmpeg command");
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let feeder = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success(), "ffmpeg {arguments:?}");
    output.stdout
}
