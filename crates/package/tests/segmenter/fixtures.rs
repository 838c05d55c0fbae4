//! Tracks, samples, and outputs sorted into segments.

use bytes::Bytes;
use millstream_media::cmaf::read;
use millstream_media::cmaf::{MAX_PARTS_PER_SEGMENT, init_segment};
use millstream_media::codec::{AacConfig, AudioConfig, AvcConfig, VideoConfig};
use millstream_media::grid::FrameRate;
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::Timescale;
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_media::unit::Sample;
use millstream_package::segmenter::{SegmenterOutput, Warning};

const SPS: [u8; 30] = [
    0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x2f, 0xf9, 0x70, 0x16, 0xa0, 0x20, 0x20, 0x28, 0x00, 0x00, 0x03,
    0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x78, 0xb1, 0x6c, 0xb0,
];
const PPS: [u8; 4] = [0x68, 0xef, 0x8f, 0xcb];

pub fn video_track(timescale: Timescale, frame_rate: Option<FrameRate>) -> Track {
    let config = AvcConfig::from_parameter_sets(&[SPS], &[PPS]).unwrap();
    let media =
        TrackMedia::Video { width: config.width, height: config.height, config: VideoConfig::Avc(config), frame_rate };
    Track { name: RenditionName::new("v").unwrap(), timescale, bit_rate: 1_000_000, media }
}

pub fn audio_track(rate: u32) -> Track {
    let config = AudioConfig::Aac(AacConfig::lc(rate, 2).unwrap());
    let timescale = Timescale::new(rate).unwrap();
    Track { name: RenditionName::new("a").unwrap(), timescale, bit_rate: 128_000, media: TrackMedia::Audio { config } }
}

/// A sample whose bytes tell it apart from all others.
pub fn sample(dts: u64, duration: u32, key: bool) -> Sample {
    Sample { dts, composition_offset: 0, duration, key, data: Bytes::copy_from_slice(&dts.to_be_bytes()) }
}

/// A segment as it came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub end: SegmentEnd,
    pub chunks: Vec<Chunk>,
}

/// Everything a track's segmenter said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub segments: Vec<Segment>,
    /// Chunks of a segment that has not ended.
    pub open: Vec<Chunk>,
    pub warnings: Vec<Warning>,
    /// Segments said to be preceded by a discontinuity before their first chunk.
    pub announced: Vec<u64>,
}

impl Said {
    pub fn take(&mut self, output: SegmenterOutput) {
        match output {
            SegmenterOutput::Chunk(c) => self.open.push(c),
            SegmenterOutput::SegmentEnd(end) => {
                self.segments.push(Segment { end, chunks: std::mem::take(&mut self.open) })
            }
            SegmenterOutput::Discontinuity(segment) => {
                assert!(
                    self.open.is_empty(),
                    "a discontinuity is said before a segment's first chunk (STANDARDS 1.37)"
                );
                self.announced.push(segment);
            }
            SegmenterOutput::Warning(w) => self.warnings.push(w),
        }
    }

    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.segments.iter().flat_map(|s| &s.chunks).chain(&self.open)
    }

    /// Number, start and duration of each segment.
    pub fn boundaries(&self) -> Vec<(u64, u64, u64)> {
        self.segments.iter().map(|s| (s.end.segment, s.end.start, s.end.duration)).collect()
    }

    /// The samples in the chunks' bytes.
    pub fn samples(&self, track: &Track) -> Vec<Sample> {
        let init = read::init(&init_segment(track)).unwrap();
        self.chunks()
            .flat_map(|c| {
                let read: Vec<_> = read::chunks(&c.bytes, &init).map(Result::unwrap).collect();
                assert_eq!(read.len(), 1, "a chunk is one moof and mdat");
                assert_eq!(
                    (read[0].tfdt, read[0].duration(), read[0].samples.len()),
                    (c.start, c.duration, c.samples as usize)
                );
                read[0].media_samples(&c.bytes).unwrap()
            })
            .collect()
    }

    /// What holds of every stream without missing samples: segments are whole, chunks follow one another without gap or
    /// overlap (STANDARDS 1.21, 3.6), a segment opens with `styp` and `prft` and no other chunk does, names are unique.
    pub fn check_continuous(&self) {
        let mut next: Option<u64> = None;
        let mut last_number = 0;
        let marked = self.segments.iter().filter(|s| s.end.discontinuity).map(|s| s.end.segment);
        let ended = self.segments.last().map_or(0, |s| s.end.segment);
        assert!(marked.eq(self.announced.iter().copied().filter(|n| *n <= ended)), "{:?}", self.announced);
        for s in &self.segments {
            let first = s.chunks.first().expect("a segment has a chunk");
            assert!(s.end.segment > last_number);
            last_number = s.end.segment;
            assert_eq!(s.end.start, first.start);
            assert_eq!(s.end.duration, s.chunks.iter().map(|c| c.duration).sum::<u64>());
            for (i, c) in s.chunks.iter().enumerate() {
                assert_eq!(c.segment, s.end.segment);
                assert!(c.part < MAX_PARTS_PER_SEGMENT);
                assert!(i == 0 || c.part == s.chunks[i - 1].part + 1);
                assert_eq!(&c.bytes[4..8] == b"styp", i == 0);
                assert!(next.is_none_or(|n| n == c.start), "chunk at {} should start at {next:?}", c.start);
                next = Some(c.start + c.duration);
            }
        }
    }
}
