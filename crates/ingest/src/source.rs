//! What a contribution protocol hands to the owner of a channel: units on the contribution's own clock.
//!
//! A protocol's adapter knows nothing of UTC media time; the channel's owner keeps the
//! [`Timeline`](crate::timeline::Timeline), because it outlives connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use millstream_media::codec::{AudioConfig, VideoConfig};
use millstream_media::time::UtcTime;

use crate::flv;
use crate::rtmp::{CloseReason, amf0};

/// An instant of the contribution's own clock: nanoseconds from an origin only the contributor knows, already freed of
/// its protocol's wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceTime(pub i64);

impl SourceTime {
    /// From milliseconds, saturating.
    pub const fn from_millis(ms: i64) -> Self {
        SourceTime(ms.saturating_mul(1_000_000))
    }

    /// Signed nanoseconds from `earlier` to `self`, saturating.
    pub const fn nanos_since(self, earlier: SourceTime) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// Video.
    Video,
    /// Audio.
    Audio,
}

impl std::fmt::Display for MediaKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            MediaKind::Video => "video",
            MediaKind::Audio => "audio",
        })
    }
}

/// An access unit on the contribution's clock. Its bytes are as in [`millstream_media::unit::AccessUnit`], NAL unit
/// lengths always of 4 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawUnit {
    /// Picture or sound.
    pub media: MediaKind,
    /// Decode time.
    pub dts: SourceTime,
    /// Presentation time; a hostile or odd encoder may put it before `dts`.
    pub pts: SourceTime,
    /// A random access point (always true for audio).
    pub key: bool,
    /// The coded bytes.
    pub data: Bytes,
}

/// The identity of one connection, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Bytes received on one connection, counted as they come; clones share the counter.
#[derive(Clone, Debug, Default)]
pub struct ByteCount(Arc<AtomicU64>);

impl ByteCount {
    /// Adds `n` bytes.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Bytes so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Contribution protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RTMP, Enhanced or not.
    Rtmp,
    /// CMAF ingest.
    Cmaf,
}

impl Protocol {
    /// The name in lower case, as in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Rtmp => "rtmp",
            Protocol::Cmaf => "cmaf",
        }
    }
}

/// Who contributes.
#[derive(Clone, Debug)]
pub struct SourceInfo {
    /// The protocol.
    pub protocol: Protocol,
    /// The peer's address.
    pub remote: SocketAddr,
    /// What the encoder calls itself: printable, at most 64 characters.
    pub encoder: Option<String>,
    /// When publishing began, by the wall clock.
    pub started: UtcTime,
    /// Bytes received on the connection, live.
    pub bytes_in: ByteCount,
}

/// What a contribution says, in order: `Started`, anything, `Ended`. A configuration comes before its units.
#[derive(Clone, Debug)]
pub enum SourceEvent {
    /// Publishing began.
    Started(SourceInfo),
    /// The video configuration, first or changed.
    VideoConfig(VideoConfig),
    /// The audio configuration, first or changed.
    AudioConfig(AudioConfig),
    /// An access unit.
    Unit {
        /// The unit.
        unit: RawUnit,
        /// When its last byte was read, by the wall clock.
        arrived: UtcTime,
    },
    /// What the encoder says about itself; again when it changes.
    Metadata(flv::Metadata),
    /// Something is wrong with the contribution; it goes on. Each kind is told once per connection.
    Warning(SourceWarning),
    /// The contribution is over. Nothing follows, unless the same connection publishes again.
    Ended(EndReason),
}

/// What is wrong with a contribution that goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceWarning {
    /// Tags that are left out.
    #[error(transparent)]
    Media(#[from] flv::Problem),
    /// Metadata that cannot be read.
    #[error("the encoder's metadata cannot be read: {0}")]
    Metadata(amf0::Error),
}

/// An event of one connection.
#[derive(Clone, Debug)]
pub struct SourceMessage {
    /// The connection. Events of a connection that is no longer the channel's publisher are to be ignored; the
    /// `Started` of another connection ends the one before.
    pub connection: ConnectionId,
    /// The event.
    pub event: SourceEvent,
}

/// Why a contribution ended, in the operator's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndReason {
    /// The encoder ended its stream in the proper way.
    #[error("the encoder stopped")]
    Unpublished,
    /// The connection went away.
    #[error("the encoder's connection was lost")]
    Disconnected,
    /// The session ended it.
    #[error("{0}")]
    Closed(CloseReason),
    /// Another encoder took the channel over, after this one had been silent or because the newest has it.
    #[error("another encoder took over")]
    TakenOver,
    /// The key that let it in was revoked.
    #[error("the stream key was revoked")]
    Revoked,
    /// The operator or the server ended it.
    #[error("ended by the server")]
    Stopped,
}

impl EndReason {
    /// Whether the contributor meant to end (so that no reconnect is to be expected).
    pub fn is_deliberate(&self) -> bool {
        matches!(self, EndReason::Unpublished)
    }
}
