//! What goes into a contribution of CMAF and what comes back of it, but for the media.

use millstream_media::cmaf::read;
use millstream_media::track::RenditionName;

use super::MAX_TRACKS;

/// How a session is made.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Nominal length of segments in milliseconds: the encoder's.
    pub segment_ms: u32,
    /// Longest part in milliseconds.
    pub part_ms: u32,
    /// Whether parts are listed, if the encoder sends chunk by chunk.
    pub low_latency: bool,
    /// The first number that was not used before.
    pub first_segment: u64,
    /// Added to all numbers, as an earlier session had it.
    pub number_offset: u64,
}

/// Why an object was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Media of a track whose header has not come (STANDARDS 4.7: 412).
    #[error("track {0} has no header yet; send its CMAF header first")]
    NoHeader(RenditionName),
    /// A header or fragment that cannot be read.
    #[error("{what} of track {track} cannot be read: {cause}")]
    Broken {
        /// What it is.
        what: &'static str,
        /// The track.
        track: RenditionName,
        /// What is wrong.
        cause: read::Error,
    },
    /// Media that cannot be packaged (STANDARDS 4.7: 415).
    #[error("track {track} cannot be packaged: {cause}")]
    Unsuitable {
        /// The track.
        track: RenditionName,
        /// What is wrong, and what to send.
        cause: String,
    },
    /// Media that would lie so far in the future that nothing true could follow.
    #[error("media of track {track} lies {seconds} s in the future; set the encoder's clock")]
    Ahead {
        /// The track.
        track: RenditionName,
        /// How far.
        seconds: u64,
    },
    /// Another encoder is sending, and the two cannot be in step.
    #[error("another encoder is sending to this channel; stop one of them, or lock the times of both to UTC")]
    Busy,
    /// Over [`MAX_TRACKS`].
    #[error("a channel has at most {MAX_TRACKS} tracks")]
    TooManyTracks,
}

/// What came of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is new.
    New,
    /// All of it was known: another copy came first, or it is late. Nothing changed (STANDARDS 4.15).
    Known,
}

/// What somebody should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The encoder's segments have another length than the channel's settings say.
    SegmentLength {
        /// The encoder's, in milliseconds.
        encoder_ms: u64,
        /// The settings', in milliseconds.
        settings_ms: u32,
    },
    /// The encoder's times are not UTC: they are mapped by their arrival, and no second server makes the same numbers.
    NotUtc,
    /// The encoder's times jumped.
    Jump,
    /// A track sends nothing any more; the channel goes on without.
    Gone(RenditionName),
}
