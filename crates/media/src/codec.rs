//! Codec configurations: what a decoder must know before the first access unit, and the RFC 6381 string of it.
//!
//! Each configuration keeps the record's bytes as they are written into the sample entry, with the
//! few parsed facts that the rest of the system asks for. Every parser takes hostile bytes: it gives an
//! [`Error`], never a panic, and allocates no more than the record is long.
//!
//! - [`nal`]: NAL units of access units, Annex B.
//! - `avc`, `hevc`, `av1`, `aac`, `opus`: one file per codec.

use crate::grid::FrameRate;

mod aac;
mod av1;
mod av1_frame;
mod av1_quantizer;
mod av1_references;
mod av1_sequence;
mod av1_tail;
mod av1_tiles;
mod avc;
mod avc_slice;
mod avc_sps;
mod bits;
mod hevc;
mod hevc_pps;
mod hevc_references;
mod hevc_slice;
mod hevc_sps;
pub mod nal;
mod opus;
mod slice;

pub use aac::AacConfig;
pub use av1::Av1Config;
pub use av1_tiles::Av1Tiles;
pub use avc::AvcConfig;
pub use hevc::HevcConfig;
pub use opus::OpusConfig;
pub use slice::SliceHeaders;

/// Longest configuration record accepted, in bytes. Real ones have less than 1 KiB.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// Largest picture width or height accepted, in pixels.
pub const MAX_DIMENSION: u32 = 16_384;

/// Why a configuration record or an access unit could not be read. The bytes' sender is at fault; the same bytes
/// will fail again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end inside `what`.
    #[error("the bytes end inside {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// A field has a value that the standard does not allow, or a limit of ours is passed.
    #[error("{field} has the value {value}, which is not allowed")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// Something necessary is not there.
    #[error("there is no {what}")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// Allowed by the standard, but nothing we handle.
    #[error("{what} {value} is not supported")]
    Unsupported {
        /// The kind of thing.
        what: &'static str,
        /// Its value.
        value: u64,
    },
}

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

/// What a bitstream says about its pictures beside their size. Everything is a hint: encoders lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureInfo {
    /// Sample aspect ratio, width to height, both at least 1.
    pub sample_aspect: Option<(u16, u16)>,
    /// Colour description; `None` if every field is unspecified.
    pub colour: Option<Colour>,
    /// Frame rate by the bitstream's own timing fields.
    pub frame_rate: Option<FrameRate>,
    /// Fields or frames may be interlaced.
    pub interlaced: bool,
}

/// Code points of ISO/IEC 23091-2, as `colr`/`nclx` carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// Colour primaries.
    pub primaries: u8,
    /// Transfer characteristics.
    pub transfer: u8,
    /// Matrix coefficients.
    pub matrix: u8,
    /// Full range.
    pub full_range: bool,
}

impl Colour {
    /// Everything unspecified (code point 2), limited range.
    const UNSPECIFIED: Colour = Colour { primaries: 2, transfer: 2, matrix: 2, full_range: false };

    /// `None` if nothing is said.
    fn if_specified(self) -> Option<Colour> {
        (self != Colour::UNSPECIFIED).then_some(self)
    }
}

impl VideoConfig {
    /// RFC 6381 codec string, such as `avc1.64001f`.
    pub fn rfc6381(&self) -> String {
        match self {
            VideoConfig::Avc(c) => c.rfc6381(),
            VideoConfig::Hevc(c) => c.rfc6381(),
            VideoConfig::Av1(c) => c.rfc6381(),
        }
    }

    /// Width and height in pixels, after cropping.
    pub fn dimensions(&self) -> (u32, u32) {
        match self {
            VideoConfig::Avc(c) => (c.width, c.height),
            VideoConfig::Hevc(c) => (c.width, c.height),
            VideoConfig::Av1(c) => (c.width, c.height),
        }
    }

    /// Aspect ratio, colour and frame rate as the bitstream says them.
    pub fn picture_info(&self) -> PictureInfo {
        match self {
            VideoConfig::Avc(c) => c.picture_info(),
            VideoConfig::Hevc(c) => c.picture_info(),
            VideoConfig::Av1(c) => c.picture_info(),
        }
    }

    /// Bytes of the length field before each NAL unit; `None` for AV1, which has none.
    pub fn nal_length_size(&self) -> Option<u8> {
        match self {
            VideoConfig::Avc(c) => Some(c.nal_length_size()),
            VideoConfig::Hevc(c) => Some(c.nal_length_size()),
            VideoConfig::Av1(_) => None,
        }
    }
}

impl AudioConfig {
    /// RFC 6381 codec string, such as `mp4a.40.2`.
    pub fn rfc6381(&self) -> String {
        match self {
            AudioConfig::Aac(c) => c.rfc6381(),
            AudioConfig::Opus(_) => "opus".to_owned(),
        }
    }

    /// Samples per second of the decoded sound.
    pub fn sample_rate(&self) -> u32 {
        match self {
            AudioConfig::Aac(c) => c.sample_rate,
            AudioConfig::Opus(_) => 48_000,
        }
    }

    /// Channels of the decoded sound.
    pub fn channels(&self) -> u8 {
        match self {
            AudioConfig::Aac(c) => c.channels,
            AudioConfig::Opus(c) => c.channels,
        }
    }
}

/// Checks a width or a height against [`MAX_DIMENSION`].
fn dimension(field: &'static str, value: u64) -> Result<u32, Error> {
    match u32::try_from(value) {
        Ok(v) if (1..=MAX_DIMENSION).contains(&v) => Ok(v),
        _ => Err(Error::Invalid { field, value }),
    }
}

/// Refuses a record over [`MAX_RECORD_BYTES`].
fn bounded(record: &[u8]) -> Result<(), Error> {
    if record.len() > MAX_RECORD_BYTES {
        return Err(Error::Invalid { field: "record length", value: record.len() as u64 });
    }
    Ok(())
}

/// Whether an AV1 temporal unit holds a sequence header, as every random access point does.
pub fn av1_is_random_access(obus: &[u8]) -> bool {
    av1::has_sequence_header(obus)
}
