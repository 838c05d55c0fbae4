//! What a rendition is: one track of one channel, as the packager and the playlists see it.

use serde::{Deserialize, Serialize};

use crate::codec::{AudioConfig, VideoConfig};
use crate::grid::FrameRate;
use crate::time::Timescale;

/// Name of a rendition in URLs, such as `720p` or `audio`: 1 to 32 of `[a-z0-9_-]`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RenditionName(String);

impl RenditionName {
    /// Checks and wraps a name.
    pub fn new(name: &str) -> Option<Self> {
        let ok = (1..=32).contains(&name.len())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
            && !name.starts_with(['-', '_']);
        ok.then(|| RenditionName(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RenditionName {
    type Error = String;
    fn try_from(s: String) -> Result<Self, String> {
        RenditionName::new(&s).ok_or_else(|| {
            format!(
                "rendition name {s:?} is not allowed; use 1 to 32 of a-z, 0-9, - and _, starting with a letter or digit"
            )
        })
    }
}

impl From<RenditionName> for String {
    fn from(n: RenditionName) -> String {
        n.0
    }
}

impl std::fmt::Display for RenditionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The media of a track.
#[derive(Clone, Debug, PartialEq)]
pub enum TrackMedia {
    /// A video track.
    Video {
        /// Codec configuration.
        config: VideoConfig,
        /// Coded width in pixels, after cropping.
        width: u32,
        /// Coded height in pixels, after cropping.
        height: u32,
        /// The constant frame rate, or the nominal one of a passthrough track if it is known.
        frame_rate: Option<FrameRate>,
    },
    /// An audio track.
    Audio {
        /// Codec configuration.
        config: AudioConfig,
    },
}

/// One track: what its init segment and its line in a multivariant playlist are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Name in URLs.
    pub name: RenditionName,
    /// Ticks per second of its media.
    pub timescale: Timescale,
    /// Nominal bit rate in bit/s (the ladder's target, or measured for passthrough).
    pub bit_rate: u32,
    /// Codec and shape.
    pub media: TrackMedia,
}

impl Track {
    /// Whether it is a video track.
    pub fn is_video(&self) -> bool {
        matches!(self.media, TrackMedia::Video { .. })
    }

    /// RFC 6381 codec string.
    pub fn codec_string(&self) -> String {
        match &self.media {
            TrackMedia::Video { config, .. } => config.rfc6381(),
            TrackMedia::Audio { config } => config.rfc6381(),
        }
    }
}
