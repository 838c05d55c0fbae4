//! Codec configurations: what a decoder must know before the first access unit, and the RFC 6381 string of it.
//!
//! Each configuration keeps the record's bytes as they are written into the sample entry, with the
//! few parsed facts that the rest of the system asks for.

use bytes::Bytes;

/// A video codec configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoConfig {
    /// H.264 / AVC.
    Avc(AvcConfig),
    /// H.265 / HEVC.
    Hevc(HevcConfig),
    /// AV1.
    Av1(Av1Config),
}

/// An audio codec configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioConfig {
    /// AAC (MPEG-4 audio).
    Aac(AacConfig),
    /// Opus.
    Opus(OpusConfig),
}

/// H.264: an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvcConfig {
    /// The record, the body of `avcC`.
    pub record: Bytes,
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping.
    pub height: u32,
}

/// H.265: an HEVCDecoderConfigurationRecord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HevcConfig {
    /// The record, the body of `hvcC`.
    pub record: Bytes,
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping.
    pub height: u32,
}

/// AV1: an AV1CodecConfigurationRecord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Av1Config {
    /// The record, the body of `av1C`.
    pub record: Bytes,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// AAC: an AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The AudioSpecificConfig bytes.
    pub asc: Bytes,
    /// Audio object type (2 = AAC-LC).
    pub object_type: u8,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u8,
}

/// Opus: the body of `dOps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusConfig {
    /// The `dOps` body.
    pub record: Bytes,
    /// Channels.
    pub channels: u8,
}

impl VideoConfig {
    /// RFC 6381 codec string.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}

impl AudioConfig {
    /// RFC 6381 codec string.
    pub fn rfc6381(&self) -> String {
        String::new()
    }
}
