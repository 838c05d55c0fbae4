//! Why a window refuses something. Nothing is changed when an error is returned, except where a variant says so.

use millstream_media::track::RenditionName;

/// A refusal of the window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No session has begun, or the last one has ended: begin one first.
    #[error("no session is open; begin one before its periods and media")]
    NoSession,
    /// The session has no period that holds this segment.
    #[error("no period of the session holds segment {segment}")]
    NoPeriod {
        /// The segment.
        segment: u64,
    },
    /// The period that holds this segment has no such rendition.
    #[error("the period of segment {segment} has no rendition {rendition}")]
    UnknownRendition {
        /// The rendition.
        rendition: RenditionName,
        /// The segment.
        segment: u64,
    },
    /// The segment is already whole, or given up as a gap, or lies before the list. A published line never changes
    /// (STANDARDS 1.8).
    #[error("segment {segment} of {rendition} is already settled")]
    Settled {
        /// The rendition.
        rendition: RenditionName,
        /// The segment.
        segment: u64,
    },
    /// The number is too far ahead of the last one; the hole is too long for gaps, begin a new session.
    #[error("segment {segment} of {rendition} skips {skipped} numbers; begin a new session")]
    SkipsTooFar {
        /// The rendition.
        rendition: RenditionName,
        /// The segment.
        segment: u64,
        /// Numbers skipped.
        skipped: u64,
    },
    /// The chunk is not the next one of its segment.
    #[error("chunk {part} of segment {segment} of {rendition} came where chunk {expected} was due")]
    PartOutOfOrder {
        /// The rendition.
        rendition: RenditionName,
        /// The segment.
        segment: u64,
        /// The chunk's index.
        part: u32,
        /// The index due.
        expected: u32,
    },
    /// The segment has as many chunks as [`Config::max_parts`](crate::Config::max_parts) allows.
    #[error("segment {segment} of {rendition} has too many chunks")]
    TooManyParts {
        /// The rendition.
        rendition: RenditionName,
        /// The segment.
        segment: u64,
    },
    /// A segment ended of which no chunk came.
    #[error("segment {segment} of {rendition} ended without a chunk")]
    Empty {
        /// The rendition.
        rendition: RenditionName,
        /// The segment.
        segment: u64,
    },
    /// The segment is longer than the session's target duration allows (STANDARDS 1.7). It stays open: begin a new
    /// session at this segment with a longer target and end it again, or mark it as a gap.
    #[error("segment {segment} of {rendition} lasts {duration_ms} ms, too long for a target of {target_duration} s")]
    TooLong {
        /// The rendition.
        rendition: RenditionName,
        /// The segment.
        segment: u64,
        /// Its duration in milliseconds.
        duration_ms: u64,
        /// The session's target in seconds.
        target_duration: u32,
    },
    /// [`Config::max_bytes`](crate::Config::max_bytes) is reached and nothing more may be dropped.
    #[error("the window holds {held} bytes of at most {max}; {wanted} more do not fit")]
    Full {
        /// Bytes held.
        held: u64,
        /// The bound.
        max: u64,
        /// Bytes that did not fit.
        wanted: u64,
    },
    /// A period or session would begin at a number that was already used; a name never gets other bytes.
    #[error("segment {segment} is not after {highest}, the highest number in use")]
    NumberReused {
        /// The number asked for.
        segment: u64,
        /// The highest number in use.
        highest: u64,
    },
    /// A period has no tracks, too many, or two of one name.
    #[error("a period needs between 1 and {max} tracks of distinct names")]
    BadTracks {
        /// The bound.
        max: u32,
    },
    /// A rendition would turn from video into audio, or back, within a session.
    #[error("rendition {rendition} cannot change between video and audio within a session")]
    KindChanged {
        /// The rendition.
        rendition: RenditionName,
    },
    /// A gap is asked for before anything is known of the session's time.
    #[error("segment {segment} cannot be a gap: nothing is known of its time yet")]
    UnknownTime {
        /// The segment.
        segment: u64,
    },
}
