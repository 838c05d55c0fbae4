//! The segmenter: encoded samples in, CMAF chunks and the ends of segments out.
//!
//! Three ways of cutting, one for each kind of channel:
//!
//! - [`Segmenter`]: epoch-locked, for encoded channels. Numbers and boundaries are a pure function of media time.
//! - [`PassthroughSegmenter`]: at the source's own random access points, for channels that are not encoded.
//! - [`DictatedSegmenter`]: where the encoder cut, for channels that come as CMAF.
//!
//! All are transforms: `push` a sample, `pull` until there is nothing more. They hold one part at most
//! ([`millstream_media::cmaf::MAX_CHUNK_BYTES`]), and refuse a push while [`MAX_QUEUED`] outputs wait to be pulled.

mod assembler;
mod cutter;
mod dictated;
mod epoch;
mod parts;
mod passthrough;

pub use dictated::DictatedSegmenter;
pub use epoch::Segmenter;
pub use parts::EvenParts;
pub use passthrough::{PassthroughConfig, PassthroughSegmenter, TrackKind};

use millstream_media::cmaf::WriteError;
use millstream_media::segment::{Chunk, SegmentEnd};

/// Outputs of a track that may wait to be pulled before a push is refused. One push makes at most a dozen; in
/// passthrough also those of the audio that was held back.
pub const MAX_QUEUED: usize = 64;

/// Latest decode time taken, in ticks; far beyond any date, and far enough from overflow.
pub const MAX_DTS: u64 = 1 << 60;

/// What comes out, in order: the chunks of a segment, then its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmenterOutput {
    /// A chunk, which is a part.
    Chunk(Chunk),
    /// The source's timeline or parameters changed before this segment, whose first chunk comes next.
    Discontinuity(u64),
    /// The segment whose chunks came before is whole.
    SegmentEnd(SegmentEnd),
    /// The input was not as it should be; the segmenter went on.
    Warning(Warning),
}

/// What was wrong with the input. Times are in ticks of the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Samples are missing.
    #[error("samples are missing from {expected} to {got}")]
    Gap {
        /// Where the next sample should have started.
        expected: u64,
        /// Where it started.
        got: u64,
    },
    /// Samples before the first sync sample were dropped.
    #[error("samples from {from} on are dropped until there is a sync sample")]
    WaitingForSync {
        /// The first one dropped.
        from: u64,
    },
    /// A segment does not begin with a sync sample.
    #[error("segment {segment} does not begin with a sync sample")]
    NoSyncAtStart {
        /// Its number.
        segment: u64,
    },
    /// No sync sample came for longer than a segment may last: it was ended, and what follows is dropped until there
    /// is one.
    #[error("segment {segment} was cut off after {duration} ticks without a sync sample")]
    NoSyncForTooLong {
        /// Its number.
        segment: u64,
        /// How long it had become.
        duration: u64,
    },
    /// No sample of this track falls into a segment that the other track has.
    #[error("segment {segment} has no samples in this track")]
    EmptySegment {
        /// Its number.
        segment: u64,
    },
    /// An audio sample came after the segment it belongs to was ended; it was dropped.
    #[error("a sample at {dts} came too late and was dropped")]
    Late {
        /// Its decode time.
        dts: u64,
    },
}

/// Why a sample was not taken. It is dropped; the segmenter goes on with the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its time is no multiple of the frame duration, or its duration is not that.
    #[error("a sample at {dts} lasting {duration} is not on the frame grid")]
    OffGrid {
        /// Its decode time.
        dts: u64,
        /// Its duration.
        duration: u32,
    },
    /// It starts before the last one ends, or together with it.
    #[error("a sample at {dts} comes after one that is due up to {expected}")]
    Backwards {
        /// Its decode time.
        dts: u64,
        /// The earliest time allowed.
        expected: u64,
    },
    /// Its time is beyond [`MAX_DTS`].
    #[error("{dts} is no possible time")]
    TimeRange {
        /// Its decode time.
        dts: u64,
    },
    /// The part would become too large.
    #[error("a sample of {bytes} bytes does not fit into a part")]
    TooLarge {
        /// Bytes of the sample.
        bytes: usize,
    },
    /// There is no track of this kind.
    #[error("the segmenter has no track of this kind")]
    NoTrack,
    /// [`MAX_QUEUED`] outputs wait to be pulled.
    #[error("pull before pushing more")]
    PullFirst,
    /// The chunk could not be written: a fault of ours.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a segmenter could not be made. The configuration is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A video track's timescale is not that of the grid.
    #[error("the track's timescale is {track}, the grid's {grid}")]
    Timescale {
        /// The track's.
        track: u32,
        /// The grid's.
        grid: u32,
    },
    /// A part has no frame, is longer than a segment, or is so short that a segment has more than
    /// [`millstream_media::cmaf::MAX_PARTS_PER_SEGMENT`] of them or an audio part may be empty.
    #[error("{0} frames are no length for a part")]
    PartFrames(u32),
    /// Neither video nor audio, or the wrong kind of track.
    #[error("the tracks given cannot be segmented together")]
    Tracks,
    /// A duration is 0 or out of all proportion.
    #[error("{0} is no possible duration")]
    Duration(&'static str),
}
