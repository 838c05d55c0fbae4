//! What is assembled, fed into a window that may refuse nothing, and what came out of it for each rendition.
#![allow(dead_code, reason = "shared by several tests, each of which uses a part")]

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_media::cmaf;
use millstream_media::codec::{AacConfig, AudioConfig, AvcConfig, VideoConfig};
use millstream_media::grid::FrameRate;
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::{MonoTime, Timescale};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_package::assembly::Output;
use millstream_package::segmenter::Warning;
use millstream_window::{Config, Error, Timing, Window};

const SPS: [u8; 30] = [
    0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x2f, 0xf9, 0x70, 0x16, 0xa0, 0x20, 0x20, 0x28, 0x00, 0x00, 0x03,
    0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x78, 0xb1, 0x6c, 0xb0,
];

/// A video configuration; `variant` makes different ones.
pub fn avc(variant: u8) -> VideoConfig {
    VideoConfig::Avc(AvcConfig::from_parameter_sets(&[SPS], &[[0x68, 0xef, 0x8f, 0xc0 | variant]]).unwrap())
}

pub fn aac(rate: u32) -> AudioConfig {
    AudioConfig::Aac(AacConfig::lc(rate, 2).unwrap())
}

pub fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

pub fn video_track(rendition: &str, rate: FrameRate, variant: u8) -> Track {
    let media = TrackMedia::Video { config: avc(variant), width: 720, height: 480, frame_rate: Some(rate) };
    Track { name: name(rendition), timescale: rate.timescale(), bit_rate: 1_000_000, media }
}

pub fn audio_track(rendition: &str, bit_rate: u32) -> Track {
    let media = TrackMedia::Audio { config: aac(48_000) };
    Track { name: name(rendition), timescale: Timescale::AUDIO_48K, bit_rate, media }
}

/// A window and the record of what went into it.
pub struct Fed {
    pub window: Window,
    /// First segment and track names of each period.
    pub periods: Vec<(u64, Vec<String>)>,
    /// Ends of segments, by rendition.
    pub ends: BTreeMap<RenditionName, Vec<SegmentEnd>>,
    /// Chunks by rendition.
    pub chunks: BTreeMap<RenditionName, Vec<Chunk>>,
    pub warnings: Vec<Warning>,
    /// How often a segment was too long for the list.
    pub lengthened: u32,
    tracks: Vec<(Track, Bytes)>,
}

impl Fed {
    pub fn new() -> Self {
        Fed {
            window: Window::new(Config::default()),
            periods: Vec::new(),
            ends: BTreeMap::new(),
            chunks: BTreeMap::new(),
            warnings: Vec::new(),
            lengthened: 0,
            tracks: Vec::new(),
        }
    }

    pub fn begin_session(&mut self, timing: Timing) {
        self.window.begin_session(timing, NOW);
    }

    /// Panics if the window refuses it.
    pub fn take(&mut self, output: Output, discontinuity: bool) {
        match output {
            Output::BeginPeriod { first_segment, tracks } => {
                self.periods.push((first_segment, tracks.iter().map(|t| t.name.to_string()).collect()));
                self.tracks = tracks.into_iter().map(|t| (cmaf::init_segment(&t), t)).map(|(i, t)| (t, i)).collect();
                self.window.begin_period(first_segment, self.tracks.clone(), discontinuity).unwrap();
            }
            Output::Chunk(rendition, chunk) => {
                match self.window.push_chunk(&rendition, chunk.clone(), NOW) {
                    Err(Error::NoPeriod { .. }) if self.lengthened > 0 => return,
                    pushed => pushed.unwrap(),
                }
                self.chunks.entry(rendition).or_default().push(chunk);
            }
            Output::End(rendition, end) => {
                let mut ended = self.window.end_segment(&rendition, end, NOW);
                if let Err(Error::TooLong { duration_ms, .. }) = ended {
                    self.lengthen(end.segment, duration_ms);
                    ended = self.window.end_segment(&rendition, end, NOW);
                }
                if matches!(ended, Err(Error::NoPeriod { .. })) && self.lengthened > 0 {
                    // The longer list begins behind it, since another rendition had it whole already.
                    return;
                }
                ended.unwrap();
                self.ends.entry(rendition).or_default().push(end);
            }
            Output::Discontinuity(segment) => self.window.discontinuity(segment),
            Output::Lost(rendition, last) => self.window.give_up(&rendition, last, NOW),
            Output::Warning(_, warning) => self.warnings.push(warning),
        }
    }

    /// Another list with a longer target begins, as the window wants it.
    fn lengthen(&mut self, segment: u64, duration_ms: u64) {
        let length = self.window.timing().unwrap().length();
        let target = u32::try_from(duration_ms.div_ceil(1000) + 1).unwrap();
        self.window.begin_session(Timing::with_target(length, target), NOW);
        let first = segment.max(self.window.highest().map_or(0, |highest| highest + 1));
        self.window.begin_period(first, self.tracks.clone(), true).unwrap();
        self.lengthened += 1;
    }

    /// Numbers of a rendition's whole segments.
    pub fn numbers(&self, rendition: &str) -> Vec<u64> {
        self.ends.get(&name(rendition)).map_or(Vec::new(), |ends| ends.iter().map(|e| e.segment).collect())
    }

    pub fn gaps(&self) -> u64 {
        self.window.statistics().gaps
    }
}

pub const NOW: MonoTime = MonoTime(std::time::Duration::ZERO);
