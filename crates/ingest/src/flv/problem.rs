//! What can be wrong with tags, each with its mend where the operator has one.

use std::fmt;

use millstream_media::codec;

use crate::source::MediaKind;

/// Why tags are left out. The connection goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A video codec that is not taken.
    #[error("video in {0} is not supported; set the encoder to H.264, HEVC or AV1")]
    VideoCodec(CodecName),
    /// An audio codec that is not taken.
    #[error("audio in {0} is not supported; set the encoder to AAC or Opus")]
    AudioCodec(CodecName),
    /// A tag that ends inside its header.
    #[error("a {0} tag is cut short")]
    Truncated(MediaKind),
    /// A packet type, multitrack type or modifier that Enhanced RTMP does not name.
    #[error("{media} tags with {what} {value} are not known")]
    Unknown {
        /// Picture or sound.
        media: MediaKind,
        /// What has the value.
        what: &'static str,
        /// The value.
        value: u8,
    },
    /// A codec configuration that cannot be read.
    #[error("the {media} configuration cannot be read: {reason}")]
    Config {
        /// Picture or sound.
        media: MediaKind,
        /// Why.
        reason: codec::Error,
    },
    /// An access unit that is not what its codec says.
    #[error("a {media} unit cannot be read: {reason}")]
    Unit {
        /// Picture or sound.
        media: MediaKind,
        /// Why.
        reason: codec::Error,
    },
    /// A video unit without a slice.
    #[error("a video unit holds no picture")]
    NoPicture,
    /// A unit before the configuration that it needs, or of another codec.
    #[error("{media} came before its sequence header and was left out")]
    BeforeConfig {
        /// Picture or sound.
        media: MediaKind,
    },
    /// More than one video or audio track.
    #[error("the contribution has several tracks; track 0 is used, the others are left out")]
    ExtraTracks,
}

/// The name of a codec: a legacy one's, or a FourCC as it came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CodecName {
    /// A codec of the legacy header.
    Legacy(&'static str),
    /// A FourCC.
    FourCc([u8; 4]),
}

impl fmt::Display for CodecName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecName::Legacy(name) => f.write_str(name),
            CodecName::FourCc(cc) => write!(f, "'{}'", cc.escape_ascii()),
        }
    }
}

impl fmt::Debug for CodecName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
