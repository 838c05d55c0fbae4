//! What a channel is doing: written by the runtime, read by the API.

use std::sync::{Arc, PoisonError, RwLock};

use millstream_media::time::UtcTime;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Most warnings kept for one channel; the oldest go first.
pub const MAX_WARNINGS: usize = 16;

/// State of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Off air.
    #[default]
    Offline,
    /// A contribution has begun; nothing is listed yet.
    Starting,
    /// On air.
    Live,
    /// On air without its contribution: the last frame, then the slate.
    InputLoss,
    /// Going off air: the last segments are being made.
    Draining,
    /// Off air because of a fault; `error` names it.
    Error,
}

impl State {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Offline => "offline",
            State::Starting => "starting",
            State::Live => "live",
            State::InputLoss => "input_loss",
            State::Draining => "draining",
            State::Error => "error",
        }
    }
}

/// The contribution as it is received now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct InputStatus {
    /// `rtmp`, `srt`, `whip`.
    pub protocol: String,
    /// RFC 6381 string of the video codec.
    pub codec: Option<String>,
    /// RFC 6381 string of the audio codec.
    pub audio_codec: Option<String>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Measured frames per second.
    pub frame_rate: Option<f64>,
    /// Measured bit/s.
    pub bit_rate: Option<u64>,
    /// Address and port of the publisher.
    pub remote: Option<String>,
}

/// A rendition as it is made now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct RenditionStatus {
    /// Name in URLs.
    pub name: String,
    /// RFC 6381 codec string.
    pub codec: String,
    /// Width in pixels; none for audio.
    pub width: Option<u32>,
    /// Height in pixels; none for audio.
    pub height: Option<u32>,
    /// Frames per second; none for audio.
    pub frame_rate: Option<f64>,
    /// bit/s asked of the encoder.
    pub target_bit_rate: Option<u32>,
    /// bit/s over the listed window.
    pub measured_bit_rate: Option<u32>,
}

/// The newest whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NewestSegment {
    /// Its number.
    pub number: u64,
    /// Media time of its first frame.
    #[serde(serialize_with = "iso8601")]
    #[schema(value_type = String, format = DateTime)]
    pub time: UtcTime,
}

/// Where the time goes between the contribution's arrival and the playlist, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct LatencyStatus {
    /// From an access unit's media time to its arrival.
    pub ingest_ms: Option<i64>,
    /// From arrival to the encoded frame.
    pub encode_ms: Option<i64>,
    /// From the encoded frame to the part being listed.
    pub publish_ms: Option<i64>,
    /// From media time to the part being listed: the whole way through this server.
    pub total_ms: Option<i64>,
}

/// What the runtime says about a channel.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LiveStatus {
    /// What it is doing.
    #[schema(inline)]
    pub state: State,
    /// Why it is in `error`, with the mend.
    pub error: Option<String>,
    /// Since when it is in this state.
    #[serde(serialize_with = "iso8601")]
    #[schema(value_type = String, format = DateTime)]
    pub since: UtcTime,
    /// The contribution; none while there is none.
    pub input: Option<InputStatus>,
    /// The renditions, highest first, audio last.
    pub renditions: Vec<RenditionStatus>,
    /// The newest whole segment.
    pub newest_segment: Option<NewestSegment>,
    /// Viewers counted lately.
    pub viewers: u64,
    /// Latency figures.
    pub latency: LatencyStatus,
    /// What an operator should know; at most 16.
    pub warnings: Vec<String>,
}

impl LiveStatus {
    /// Off air since `now`.
    pub fn offline(now: UtcTime) -> Self {
        LiveStatus {
            state: State::Offline,
            error: None,
            since: now,
            input: None,
            renditions: Vec::new(),
            newest_segment: None,
            viewers: 0,
            latency: LatencyStatus::default(),
            warnings: Vec::new(),
        }
    }
}

/// The place where a channel's status is kept. Clones share it; neither side waits for the other longer than a copy.
#[derive(Clone, Debug)]
pub struct StatusHandle {
    shared: Arc<RwLock<LiveStatus>>,
}

impl StatusHandle {
    /// A channel that is off air since `now`.
    pub fn new(now: UtcTime) -> Self {
        StatusHandle { shared: Arc::new(RwLock::new(LiveStatus::offline(now))) }
    }

    /// Whether both are the same place.
    pub fn is_same(&self, other: &StatusHandle) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The status now.
    pub fn get(&self) -> LiveStatus {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the status. Warnings beyond [`MAX_WARNINGS`] are dropped, oldest first.
    pub fn update(&self, change: impl FnOnce(&mut LiveStatus)) {
        let mut status = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut status);
        let excess = status.warnings.len().saturating_sub(MAX_WARNINGS);
        status.warnings.drain(..excess);
    }

    /// Enters a state; `since` moves only when the state changes. `error` is kept only in [`State::Error`].
    pub fn enter(&self, state: State, error: Option<String>, now: UtcTime) {
        self.update(|status| {
            if status.state != state {
                status.state = state;
                status.since = now;
            }
            status.error = if state == State::Error { error } else { None };
        });
    }

    /// Adds a warning unless it is there.
    pub fn warn(&self, warning: impl Into<String>) {
        let warning = warning.into();
        self.update(|status| {
            if !status.warnings.contains(&warning) {
                status.warnings.push(warning);
            }
        });
    }
}

/// UTC as ISO 8601 text with milliseconds.
pub(crate) fn iso8601<S: Serializer>(time: &UtcTime, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(time)
}

/// The same, or `null`.
pub(crate) fn iso8601_option<S: Serializer>(time: &Option<UtcTime>, s: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => s.collect_str(time),
        None => s.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_moves_only_with_the_state() {
        let handle = StatusHandle::new(UtcTime(1));
        handle.enter(State::Offline, None, UtcTime(2));
        assert_eq!(handle.get().since, UtcTime(1));
        handle.enter(State::Error, Some("no encoder".into()), UtcTime(3));
        assert_eq!((handle.get().since, handle.get().error.as_deref()), (UtcTime(3), Some("no encoder")));
        handle.enter(State::Live, Some("old".into()), UtcTime(4));
        assert_eq!(handle.get().error, None);
    }

    #[test]
    fn warnings_are_bounded_and_not_repeated() {
        let handle = StatusHandle::new(UtcTime::EPOCH);
        for i in 0..40 {
            handle.warn(format!("warning {i}"));
            handle.warn(format!("warning {i}"));
        }
        let warnings = handle.get().warnings;
        assert_eq!(warnings.len(), MAX_WARNINGS);
        assert_eq!(warnings.last().map(String::as_str), Some("warning 39"));
    }
}
