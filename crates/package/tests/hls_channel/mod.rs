//! A made-up channel for the manifest tests: tracks, a clock, and segments fed into a window.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::Duration;

use bytes::Bytes;
use millstream_media::codec::{AacConfig, AudioConfig, AvcConfig, VideoConfig};
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::{MonoTime, Timescale};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_package::dash::{MpdOptions, mpd};
use millstream_package::hls;
use millstream_window::{Config, Error, Timing, Window};

/// Number of the segment that begins at 2026-02-02T02:40:00Z, at 2 s.
pub const FIRST: u64 = 885_000_001;

/// Media bytes nobody looks at; slices of them cost no memory.
static MEDIA: [u8; 4 << 20] = [0; 4 << 20];

pub fn rate(num: u32, den: u32) -> FrameRate {
    FrameRate::new(num, den).unwrap()
}

pub fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

pub fn video(text: &str, size: (u32, u32), bit_rate: u32, rate: FrameRate) -> Track {
    let (width, height) = size;
    let level = if height > 720 { 0x28 } else { 0x1f };
    let record = Bytes::copy_from_slice(&[1, 0x64, 0, level, 0xff]);
    let config = VideoConfig::Avc(AvcConfig { record, width, height });
    let media = TrackMedia::Video { config, width, height, frame_rate: Some(rate) };
    Track { name: name(text), timescale: rate.timescale(), bit_rate, media }
}

pub fn audio(text: &str, bit_rate: u32) -> Track {
    let config = AudioConfig::Aac(AacConfig::lc(48_000, 2).unwrap());
    Track { name: name(text), timescale: Timescale::AUDIO_48K, bit_rate, media: TrackMedia::Audio { config } }
}

/// 1080p, 720p, 360p and audio.
pub fn ladder(rate: FrameRate) -> Vec<Track> {
    vec![
        video("1080p", (1920, 1080), 5_000_000, rate),
        video("720p", (1280, 720), 2_200_000, rate),
        video("360p", (640, 360), 700_000, rate),
        audio("audio", 128_000),
    ]
}

pub struct Channel {
    pub window: Window,
    pub now: MonoTime,
    pub grid: SegmentGrid,
    pub tracks: Vec<Track>,
}

/// A list of 10 s, so that golden files stay short.
pub fn short_list() -> Config {
    Config { list_duration: Duration::from_secs(10), min_listed: 5, discontinuity_sequence: 7, ..Config::default() }
}

impl Channel {
    /// On air with these tracks from segment [`FIRST`] on, 2 s nominally.
    pub fn live(config: Config, rate: FrameRate, tracks: Vec<Track>) -> Self {
        let grid = SegmentGrid::with_segment_millis(rate, 2000);
        let mut window = Window::new(config);
        window.begin_session(Timing::epoch_locked(grid), MonoTime::default());
        let mut channel = Channel { window, now: MonoTime(Duration::from_secs(100)), grid, tracks: Vec::new() };
        if !tracks.is_empty() {
            channel.begin_period(FIRST, tracks, false);
        }
        channel
    }

    pub fn begin_period(&mut self, first: u64, tracks: Vec<Track>, discontinuity: bool) {
        let with_init = tracks.iter().map(|t| (t.clone(), init(t))).collect();
        self.window.begin_period(first, with_init, discontinuity).unwrap();
        self.tracks = tracks;
    }

    /// Segment `n` of every track, and the time it takes.
    pub fn segment(&mut self, n: u64) {
        self.now = self.now + Duration::from_secs(2);
        for track in self.tracks.clone() {
            self.track_segment(&track, n, false).unwrap();
        }
    }

    pub fn segments(&mut self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|n| self.segment(n));
    }

    /// Segment `n` of one track, in two chunks.
    pub fn track_segment(&mut self, track: &Track, n: u64, discontinuity: bool) -> Result<(), Error> {
        let (start, duration) = self.times(track, n);
        for part in 0..2 {
            self.window.push_chunk(&track.name, self.chunk(track, n, part), self.now)?;
        }
        self.window.end_segment(&track.name, SegmentEnd { segment: n, start, duration, discontinuity }, self.now)
    }

    pub fn chunk(&self, track: &Track, segment: u64, part: u32) -> Chunk {
        let (start, duration) = self.times(track, segment);
        // A rate that swings by a fifth, so that peak and average differ.
        let swing = 9 + segment % 3;
        let len = u64::from(track.bit_rate) * duration * swing / (80 * 2 * u64::from(track.timescale.get()));
        Chunk {
            segment,
            part,
            independent: part == 0,
            start: start + u64::from(part) * (duration / 2),
            duration: duration / 2,
            samples: 30,
            first_sample_end: (len / 4) as u32,
            bytes: Bytes::from_static(&MEDIA[..len as usize]),
        }
    }

    pub fn times(&self, track: &Track, n: u64) -> (u64, u64) {
        let start = |n| match track.is_video() {
            true => self.grid.video_start(n),
            false => self.grid.audio_start(n, track.timescale),
        };
        (start(n), start(n + 1) - start(n))
    }

    pub fn mpd(&self) -> Option<String> {
        mpd(&self.window, &MpdOptions { time_url: "/api/v1/time" })
    }

    /// Every manifest, one after the other.
    pub fn manifests(&self) -> String {
        let mut out = String::new();
        let mut show = |path: &str, text: Option<String>| {
            out += &format!("=== {path}\n{}\n", text.unwrap_or("(none)\n".to_owned()));
        };
        show("index.m3u8", hls::multivariant(&self.window));
        for track in self.window.renditions() {
            show(&format!("{}/index.m3u8", track.name), hls::media(&self.window, &track.name, hls::Form::Full));
        }
        let first_video = self.window.renditions().find(|t| t.is_video());
        if let Some(t) = first_video {
            show(&format!("{}/iframes.m3u8", t.name), hls::iframes(&self.window, &t.name, hls::Form::Full));
        }
        show("manifest.mpd", self.mpd());
        out
    }
}

/// An init segment that differs from track to track.
pub fn init(track: &Track) -> Bytes {
    Bytes::from(format!("{:?}", track.media))
}
