//! What the segmenter makes and the window keeps: CMAF chunks, and the ends of segments.

use bytes::Bytes;

/// One CMAF chunk (`moof` + `mdat`, the first of a segment preceded by `styp` and `prft`), which is one LL-HLS part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Number of the segment it belongs to.
    pub segment: u64,
    /// Index within the segment, from 0.
    pub part: u32,
    /// Begins with a sync sample.
    pub independent: bool,
    /// Decode time of its first sample, in ticks of the track's timescale since the epoch.
    pub start: u64,
    /// Sum of its samples' durations, in ticks.
    pub duration: u64,
    /// Number of samples.
    pub samples: u32,
    /// Where the first sample's bytes end, counted from the start of `bytes`: what an I-frame playlist's byte range
    /// of the segment's first chunk covers.
    pub first_sample_end: u32,
    /// The bytes, made once.
    pub bytes: Bytes,
}

/// A segment is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    /// Its number.
    pub segment: u64,
    /// Decode time of its first sample, in ticks.
    pub start: u64,
    /// Sum of its chunks' durations, in ticks.
    pub duration: u64,
    /// The source's timeline or parameters changed before this segment (HLS: `EXT-X-DISCONTINUITY`).
    pub discontinuity: bool,
}
