//! Access units as they come in, and samples as they go out.

use bytes::Bytes;

use crate::codec::{AudioConfig, VideoConfig};
use crate::time::UtcTime;

/// One coded picture or audio frame of a contribution, its timestamps already mapped to UTC media time.
///
/// Video data is length-prefixed NAL units (4-byte lengths unless the configuration says otherwise) for AVC and
/// HEVC, a temporal unit of OBUs for AV1; audio data is one raw frame (no ADTS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// Presentation time.
    pub pts: UtcTime,
    /// Decode time; at most `pts`. Equal to `pts` for audio.
    pub dts: UtcTime,
    /// A random access point (always true for audio).
    pub key: bool,
    /// The coded bytes.
    pub data: Bytes,
}

/// What a contribution says, in order: a configuration always comes before the units that need it.
#[derive(Clone, Debug, PartialEq)]
pub enum Contribution {
    /// The video codec configuration; again whenever it changes.
    VideoConfig(VideoConfig),
    /// The audio codec configuration; again whenever it changes.
    AudioConfig(AudioConfig),
    /// A video access unit.
    Video(AccessUnit),
    /// An audio access unit.
    Audio(AccessUnit),
}

/// An encoded access unit of a rendition on its track's timescale, ready to be packaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Decode time in ticks of the track's timescale since the epoch.
    pub dts: u64,
    /// Presentation time minus decode time, in ticks; may be negative (`trun` version 1).
    pub composition_offset: i32,
    /// Duration in ticks.
    pub duration: u32,
    /// A sync sample (IDR; always true for audio).
    pub key: bool,
    /// The coded bytes: length-prefixed NAL units with 4-byte lengths, OBUs, or one raw audio frame.
    pub data: Bytes,
}
