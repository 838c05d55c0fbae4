//! A made-up channel for the window's tests: one or more tracks, 2 s segments in two chunks, a clock.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::Duration;

use bytes::Bytes;
use millstream_media::codec::{AacConfig, AudioConfig, AvcConfig, VideoConfig};
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::{MonoTime, Timescale};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_window::{Config, Error, SegmentLength, Timing, Window};

/// Number of the first segment.
pub const FIRST: u64 = 885_000_001;
/// Ticks of a 2 s segment.
pub const TICKS: u64 = 60_000;

static MEDIA: [u8; 8 << 20] = [0; 8 << 20];

pub fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

pub fn video(text: &str, bit_rate: u32) -> Track {
    let config = VideoConfig::Avc(AvcConfig { record: Bytes::new(), width: 1280, height: 720 });
    let media = TrackMedia::Video { config, width: 1280, height: 720, frame_rate: FrameRate::new(30, 1) };
    Track { name: name(text), timescale: Timescale::new(30_000).unwrap(), bit_rate, media }
}

pub fn audio(text: &str, bit_rate: u32) -> Track {
    let config = AudioConfig::Aac(AacConfig::lc(48_000, 2).unwrap());
    // On the scale of the video, so that all segments have the same times.
    let timescale = Timescale::new(30_000).unwrap();
    Track { name: name(text), timescale, bit_rate, media: TrackMedia::Audio { config } }
}

pub fn grid() -> SegmentGrid {
    SegmentGrid::new(FrameRate::new(30, 1).unwrap(), 60).unwrap()
}

pub fn epoch_locked() -> Timing {
    Timing::epoch_locked(grid())
}

pub fn nominal() -> Timing {
    Timing::with_target(SegmentLength::Nominal(Duration::from_secs(2)), 2)
}

pub fn seconds(s: u64) -> MonoTime {
    MonoTime(Duration::from_secs(s))
}

pub fn chunk(number: u64, part: u32, len: usize) -> Chunk {
    Chunk {
        segment: number,
        part,
        independent: part == 0,
        start: (number - 1) * TICKS + u64::from(part) * TICKS / 2,
        duration: TICKS / 2,
        samples: 30,
        first_sample_end: (len / 2) as u32,
        bytes: Bytes::from_static(&MEDIA[..len]),
    }
}

pub fn end(number: u64) -> SegmentEnd {
    SegmentEnd { segment: number, start: (number - 1) * TICKS, duration: TICKS, discontinuity: false }
}

pub struct Feed {
    pub window: Window,
    pub now: MonoTime,
    pub tracks: Vec<Track>,
}

impl Feed {
    pub fn new(config: Config, timing: Timing, tracks: Vec<Track>) -> Self {
        let mut window = Window::new(config);
        window.begin_session(timing, MonoTime::default());
        let mut feed = Feed { window, now: seconds(1000), tracks: Vec::new() };
        feed.begin_period(FIRST, tracks).unwrap();
        feed
    }

    pub fn begin_period(&mut self, first: u64, tracks: Vec<Track>) -> Result<(), Error> {
        let init = |t: &Track| Bytes::from(format!("{:?}", t.media));
        self.window.begin_period(first, tracks.iter().map(|t| (t.clone(), init(t))).collect(), false)?;
        self.tracks = tracks;
        Ok(())
    }

    /// Two seconds pass, and bring segment `n` of all tracks at their bit rates.
    pub fn segment(&mut self, n: u64) {
        self.now = self.now + Duration::from_secs(2);
        for track in self.tracks.clone() {
            self.track_segment(&track, n).unwrap();
        }
    }

    pub fn segments(&mut self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|n| self.segment(n));
    }

    pub fn track_segment(&mut self, track: &Track, n: u64) -> Result<(), Error> {
        for part in 0..2 {
            self.window.push_chunk(&track.name, chunk(n, part, track.bit_rate as usize / 8), self.now)?;
        }
        self.window.end_segment(&track.name, end(n), self.now)
    }

    /// The numbers of a list, a gap as its negative.
    pub fn listed(&self, text: &str) -> Vec<i64> {
        let listing = self.window.listing(&name(text)).unwrap();
        listing.entries.iter().map(|e| (e.number - FIRST) as i64 * if e.gap { -1 } else { 1 }).collect()
    }
}
