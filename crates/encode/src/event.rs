//! What an encoder says to its owner.

use std::time::Duration;

use bytes::Bytes;
use millstream_encode_wire::message::{Ladder, PictureKind, WorkerStats};
use millstream_media::time::UtcTime;
use millstream_media::track::{RenditionName, Track};
use millstream_media::unit::Sample;

/// In order: a rendition's [`EncoderEvent::RenditionStarted`] comes before its samples.
#[derive(Clone, Debug, PartialEq)]
pub enum EncoderEvent {
    /// A rendition starts, or starts anew with another configuration. Not repeated when a restarted worker goes on with
    /// the same configuration.
    RenditionStarted {
        /// Its track, the codec configuration parsed.
        track: Track,
        /// First segment made of it.
        from_segment: u64,
    },
    /// A rendition left the ladder; its last sample came before.
    RenditionEnded {
        /// Which one.
        name: RenditionName,
        /// First segment without it.
        at_segment: u64,
    },
    /// A rendition cannot be made; the others go on.
    RenditionFailed {
        /// Which one.
        name: RenditionName,
        /// Cause and mend.
        reason: String,
    },
    /// An encoded sample. In each rendition samples follow each other without gap and without repetition.
    Sample {
        /// Which rendition.
        rendition: RenditionName,
        /// The sample, on its track's timescale.
        sample: Sample,
    },
    /// A picture by itself: a tile of the storyboard, or a poster.
    Picture {
        /// Which of the two.
        kind: PictureKind,
        /// When it is shown.
        time: UtcTime,
        /// A JPEG.
        data: Bytes,
    },
    /// What the contribution's pictures look like now.
    Input {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Interlaced (and deinterlaced by the worker).
        interlaced: bool,
    },
    /// About once a second.
    Stats(EncoderStats),
    /// Something an operator should know; it goes on.
    Warning(String),
    /// The worker was started anew; the output goes on where it was.
    Restarted {
        /// Why.
        reason: String,
    },
    /// No worker can work: so many starts in a row made nothing. It is tried on, and this is said again after as many
    /// fruitless starts more.
    Unable {
        /// Why the last one ended.
        reason: String,
        /// Starts in a row that made nothing.
        starts: u32,
    },
    /// The ladder that was asked for last follows the one before it. Said in the order in which changes are made, also
    /// with [`EncoderEvent::Overloaded`].
    LadderPlanned {
        /// The ladder.
        ladder: Ladder,
        /// First segment that is to be made with it.
        at_segment: u64,
    },
    /// The machine does not keep up: a rendition is given up.
    Overloaded {
        /// Which one.
        shed: RenditionName,
        /// The contribution that was waiting.
        backlog: Duration,
        /// First segment that is to be without it; [`EncoderEvent::RenditionEnded`] says which one it was.
        at_segment: u64,
    },
    /// Everything is out; nothing follows.
    Finished,
}

/// How the encoder is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EncoderStats {
    /// The worker's own counters, since its last start.
    pub worker: WorkerStats,
    /// The contribution that is in but not out, in media time.
    pub backlog: Duration,
    /// Media seconds made in each second since the last report; 1 for a machine that keeps up.
    pub speed: f64,
    /// Access units dropped because too much was waiting, since the encoder's start.
    pub dropped_units: u64,
    /// Starts of the worker beyond the first.
    pub restarts: u32,
}
