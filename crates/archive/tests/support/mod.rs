//! A channel made of tiny real CMAF segments, a store that can fail, and a checker that reads what the store holds.
#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

pub mod fault;
pub mod reader;

use std::sync::Arc;

use bytes::Bytes;
use millstream_archive::asset::{Asset, AssetId, TrackInfo};
use millstream_archive::recording::Handle;
use millstream_archive::store::Store;
use millstream_media::cmaf::{ChunkHead, chunk, init_segment};
use millstream_media::codec::{AacConfig, AudioConfig, AvcConfig, VideoConfig};
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::segment::Chunk;
use millstream_media::time::{Clock, MonoTime, Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_media::unit::Sample;
use object_store::ObjectStore;
use object_store::path::Path;

const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x2f, 0xf9, 0x70, 0x16, 0xa0, 0x20, 0x20, 0x28, 0x00, 0x00, 0x03,
    0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x78, 0xb1, 0x6c, 0xb0,
];
const PPS: &[u8] = &[0x68, 0xef, 0x8f, 0xc0];

/// Segment that begins at 2026-11-22T22:30:00Z.
pub const FIRST: u64 = 897_693_301;

/// The wall clock that goes with tokio's, which tests stop.
pub struct TestClock(tokio::time::Instant);

impl TestClock {
    #[allow(clippy::disallowed_methods, reason = "tokio's clock, which tests stop")]
    pub fn start() -> Arc<Self> {
        Arc::new(TestClock(tokio::time::Instant::now()))
    }
}

impl Clock for TestClock {
    fn utc(&self) -> UtcTime {
        UtcTime::from_millis(1_795_386_600_000) + self.mono().0
    }
    fn mono(&self) -> MonoTime {
        MonoTime(self.0.elapsed())
    }
}

pub fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

pub fn store(inner: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Store {
    Store::new(inner, Path::default(), "test", false, clock)
}

pub fn asset() -> Asset {
    Asset::recording(AssetId::new("demo-1").unwrap(), "demo", UtcTime::from_millis(1_795_386_600_000), 2)
}

/// Video renditions and audio on the epoch's grid, 30 frames per second, 2 s.
#[derive(Clone)]
pub struct Channel {
    pub tracks: Vec<Track>,
    grid: SegmentGrid,
}

impl Channel {
    pub fn new(videos: &[(&str, u32)]) -> Self {
        let rate = FrameRate::new(30, 1).unwrap();
        let mut tracks: Vec<Track> = videos
            .iter()
            .map(|(n, bit_rate)| {
                let config = AvcConfig::from_parameter_sets(&[SPS], &[PPS]).unwrap();
                let (width, height) = (config.width, config.height);
                let config = VideoConfig::Avc(config);
                let media = TrackMedia::Video { config, width, height, frame_rate: Some(rate) };
                Track { name: name(n), timescale: rate.timescale(), bit_rate: *bit_rate, media }
            })
            .collect();
        let config = AudioConfig::Aac(AacConfig::lc(48_000, 2).unwrap());
        let media = TrackMedia::Audio { config };
        tracks.push(Track { name: name("audio"), timescale: Timescale::AUDIO_48K, bit_rate: 4000, media });
        Channel { tracks, grid: SegmentGrid::with_segment_millis(rate, 2000) }
    }

    pub fn usual() -> Self {
        Self::new(&[("720p", 40_000), ("360p", 20_000)])
    }

    /// Begins a set of tracks at a segment.
    pub fn line_up(&self, handle: &Handle, first: u64, version: &str) {
        let tracks = self.tracks.iter().map(|t| (TrackInfo::of(t), init_segment(t))).collect();
        handle.line_up(first, version, tracks).unwrap();
    }

    /// The chunks of a segment: two for video, one for audio.
    pub fn segment(&self, track: &Track, number: u64) -> Vec<Chunk> {
        let (start, frame, count) = if track.is_video() {
            (self.grid.video_start(number), 1000, 60)
        } else {
            let start = self.grid.audio_start(number, track.timescale);
            let end = self.grid.audio_start(number + 1, track.timescale);
            (start, 1024, u32::try_from((end - start) / 1024).unwrap())
        };
        let byte = u8::try_from(number % 251).unwrap();
        let length = 16 + track.bit_rate / 500;
        let data = |key: bool| {
            let mut data = vec![byte; usize::try_from(length).unwrap()];
            if track.is_video() {
                // One NAL unit: an IDR slice, or another one.
                let header = if key { 0x65 } else { 0x41 };
                data.splice(0..5, (length - 4).to_be_bytes().into_iter().chain([header]));
            }
            Bytes::from(data)
        };
        let samples: Vec<Sample> = (0..count)
            .map(|i| Sample {
                dts: start + u64::from(i * frame),
                composition_offset: 0,
                duration: frame,
                key: i == 0 || !track.is_video(),
                data: data(i == 0),
            })
            .collect();
        let halves = if track.is_video() { 30 } else { samples.len() };
        let opens = UtcTime::from_ticks(start, track.timescale);
        samples
            .chunks(halves)
            .enumerate()
            .map(|(part, samples)| {
                let part = u32::try_from(part).unwrap();
                let head = ChunkHead { segment: number, part, opens_at: (part == 0).then_some(opens) };
                chunk(head, samples).unwrap()
            })
            .collect()
    }

    pub fn bytes(&self, rendition: &str, number: u64) -> Bytes {
        let track = self.tracks.iter().find(|t| t.name.as_str() == rendition).unwrap();
        self.segment(track, number).iter().flat_map(|c| c.bytes.clone()).collect()
    }

    /// Hands a segment of every rendition over.
    pub fn feed(&self, handle: &Handle, number: u64) {
        self.feed_only(handle, number, |_| true);
    }

    pub fn feed_only(&self, handle: &Handle, number: u64, wanted: impl Fn(&str) -> bool) {
        for track in self.tracks.iter().filter(|t| wanted(t.name.as_str())) {
            // A full queue is counted as a loss, which tests look for.
            let _ = handle.segment(&track.name, number, false, &self.segment(track, number));
        }
    }
}
