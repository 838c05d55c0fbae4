//! What a viewer asks and what it is answered, and the rules it follows.

use std::sync::Arc;
use std::time::Duration;

use crate::playlist::{Playlist, Resource};

/// Which variant is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abr {
    /// By measured throughput and buffer.
    On,
    /// Always the lowest.
    Lowest,
    /// Always the highest.
    Highest,
}

/// Which kind of presentation is accepted, and how it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As the URL's content allows, with low latency where it is offered.
    Auto,
    /// HLS, whole segments only.
    Hls,
    /// HLS with parts.
    LowLatencyHls,
    /// DASH, with low latency where it is offered.
    Dash,
}

/// How viewers behave.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Which variant.
    pub abr: Abr,
    /// Which kind.
    pub mode: Mode,
}

/// Now, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since the run began.
    pub mono: Duration,
    /// Wall clock, ms since 1970.
    pub utc_ms: i64,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A playlist or MPD: its text is wanted.
    Playlist,
    /// A playlist asked for before it is there.
    BlockingPlaylist,
    /// A header.
    Init,
    /// A segment.
    Segment,
    /// A segment that is read while it is made: [`Viewer::chunks`] is told of its chunks.
    ChunkedSegment,
    /// A part.
    Part,
}

impl Kind {
    /// As the report names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Playlist => "playlist",
            Kind::BlockingPlaylist => "blocking_playlist",
            Kind::Init => "init",
            Kind::Segment => "segment",
            Kind::ChunkedSegment => "chunked_segment",
            Kind::Part => "part",
        }
    }

    /// Whether the body is read rather than dropped.
    pub fn is_text(self) -> bool {
        matches!(self, Kind::Playlist | Kind::BlockingPlaylist)
    }
}

/// What a lane does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Asks for this.
    Get(Resource, Kind),
    /// Nothing until then.
    Wait(Duration),
    /// Nothing any more.
    Done,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 0 if the connection broke.
    pub status: u16,
    /// Body bytes.
    pub bytes: u64,
    /// From the request to the end of the body.
    pub took: Duration,
    /// From the request to the first byte of the response.
    pub waited: Duration,
    /// What the body says, if it is text.
    pub playlist: Option<Arc<Playlist>>,
}
