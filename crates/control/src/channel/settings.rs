//! The settings of a channel, their defaults and their limits.
//!
//! The doc comments of [`ChannelConfig`] are the reference page and the OpenAPI text; keep them for users.

use millstream_access::StreamKey;
use millstream_access::passphrase::Passphrase;
use millstream_access::publisher::Takeover;
use millstream_encode::ladder::LadderConfig;
use millstream_media::grid::{FrameRate, SegmentGrid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::error::{ConfigError, SettingError, nearest};
use super::frame_rate::FrameRateSetting;
use super::name::ChannelName;
use super::protection::ProtectionConfig;
use super::seconds::Seconds;

/// The settings of a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// Name in URLs: 1 to 64 of `a-z`, `0-9`, `-` and `_`, starting with a letter or digit. It never changes.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", example = "demo")]
    pub name: ChannelName,
    /// What viewers read on the watch page; the name where it is empty. At most 200 characters.
    #[serde(default)]
    pub title: String,
    /// Whether the channel may go on air. `start` and `stop` set it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub enabled: bool,
    /// `abr` encodes a ladder of renditions; `passthrough` packages the contribution as it comes.
    #[serde(default)]
    #[schema(inline)]
    pub mode: Mode,
    /// The secret that a publisher shows: at least 8 of letters, digits, `-`, `_`, `.` and `~`. Made at random where it
    /// is left out. It can be written but never read: only its hash is kept.
    #[serde(default, skip_serializing_if = "never_written", serialize_with = "hidden")]
    #[schema(value_type = Option<String>, write_only, min_length = 8, max_length = 128)]
    pub stream_key: Option<StreamKey>,
    /// Who publishes when a second publisher with a right key comes: `first` refuses it while the first one sends media
    /// (a silent one is replaced after 2 seconds); `newest` cuts the first one off.
    #[serde(default)]
    #[schema(value_type = String, default = "first")]
    pub takeover: Takeover,
    /// The passphrase of SRT contributions, 10 to 79 characters; none where it is left out. It can be written but never
    /// read. Accepted and kept: the SRT listener comes with a later version.
    #[serde(default, skip_serializing_if = "never_shown", serialize_with = "unshown")]
    #[schema(value_type = Option<String>, write_only, min_length = 10, max_length = 79)]
    pub srt_passphrase: Option<Passphrase>,
    /// Where the time of the media comes from: `arrival` is the server's clock when the contribution begins; `utc` says
    /// that the contribution's own timestamps are milliseconds of UTC.
    #[serde(default)]
    #[schema(inline)]
    pub clock: ClockSource,
    /// Length of a segment in seconds, 1 to 10; it becomes a whole number of frames.
    #[serde(default = "segment_seconds")]
    #[schema(value_type = f64, default = 2.0, minimum = 1, maximum = 10)]
    pub segment_seconds: Seconds,
    /// Low-latency HLS and DASH: parts are listed before their segment is whole.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub low_latency: bool,
    /// Length of a part in seconds, 0.2 to 1, at most half a segment.
    #[serde(default = "part_seconds")]
    #[schema(value_type = f64, default = 0.5, minimum = 0.2, maximum = 1)]
    pub part_seconds: Seconds,
    /// The part of the live stream that stays in memory and in the playlists, in seconds, 10 to 600, at least 5 segments.
    #[serde(default = "window_seconds")]
    #[schema(value_type = f64, default = 60.0, minimum = 10, maximum = 600)]
    pub window_seconds: Seconds,
    /// How far back viewers may go, in seconds, 0 to 1209600 (14 days). What has left the window comes from the recording:
    /// beyond `window_seconds` it needs `record`, and `archive.keep_days` not shorter than this.
    #[serde(default = "dvr_seconds")]
    #[schema(value_type = f64, default = 3600.0, minimum = 0, maximum = 1_209_600)]
    pub dvr_seconds: Seconds,
    /// Whether each broadcast is recorded in the archive (docs/vod.md).
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub record: bool,
    /// How long the channel stays on air without its contribution, in seconds, 0 to 3600.
    #[serde(default = "reconnect_seconds")]
    #[schema(value_type = f64, default = 30.0, minimum = 0, maximum = 3600)]
    pub reconnect_seconds: Seconds,
    /// How long the last frame is repeated before the slate is shown, in seconds, 0 to 3600.
    #[serde(default = "slate_after_seconds")]
    #[schema(value_type = f64, default = 3.0, minimum = 0, maximum = 3600)]
    pub slate_after_seconds: Seconds,
    /// Frames per second of the renditions: `auto` follows the contribution; else a number or a fraction such as
    /// `30000/1001`, 1 to 240. Not for `passthrough`.
    #[serde(default)]
    #[schema(value_type = String, default = "auto")]
    pub frame_rate: FrameRateSetting,
    /// The renditions to make, instead of those that fit the contribution's height: `video`, a list of renditions with
    /// `height` and, if you like, `name`, `width`, `codec` (`h264`, `hevc`, `av1`), `encoder`, `bit_rate` (bit/s) and
    /// `preset`; and `audio` with `bit_rate` and `channels`. Not for `passthrough`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ladder: Option<LadderConfig>,
    /// Encrypts the channel and its recordings (docs/protection.md): `scheme` (`cbcs` or `cenc`), `keys` (the name of a
    /// file in the folder `content-keys` of `data_dir`) or `speke` (a key server), `rotation_seconds` and `clear_key`. Takes
    /// effect when the channel next goes on air.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub protection: Option<ProtectionConfig>,
}

fn yes() -> bool {
    true
}
/// Keeps the key out of everything that is written.
fn never_written(_: &Option<StreamKey>) -> bool {
    true
}
fn hidden<S: serde::Serializer>(_: &Option<StreamKey>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_none()
}
/// The same for the passphrase.
fn never_shown(_: &Option<Passphrase>) -> bool {
    true
}
fn unshown<S: serde::Serializer>(_: &Option<Passphrase>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_none()
}
fn segment_seconds() -> Seconds {
    Seconds::new(2)
}
fn part_seconds() -> Seconds {
    Seconds::from_millis(500)
}
fn window_seconds() -> Seconds {
    Seconds::new(60)
}
fn dvr_seconds() -> Seconds {
    Seconds::new(3600)
}
fn reconnect_seconds() -> Seconds {
    Seconds::new(30)
}
fn slate_after_seconds() -> Seconds {
    Seconds::new(3)
}

/// How a channel is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decoded once and encoded into a ladder.
    #[default]
    Abr,
    /// Packaged as it comes.
    Passthrough,
    /// Comes as CMAF, in the segments and renditions of an encoder elsewhere (DASH-IF Live Media Ingest, interface 1).
    Cmaf,
}

impl Mode {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Abr => "abr",
            Mode::Passthrough => "passthrough",
            Mode::Cmaf => "cmaf",
        }
    }
}

/// Where UTC media time comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClockSource {
    /// The wall clock at the first access unit, then the contribution's clock.
    #[default]
    Arrival,
    /// The contribution's timestamps are UTC already.
    Utc,
}

impl ChannelConfig {
    /// A channel with every setting at its default.
    pub fn new(name: ChannelName) -> Self {
        ChannelConfig {
            name,
            title: String::new(),
            enabled: true,
            mode: Mode::default(),
            stream_key: None,
            takeover: Takeover::default(),
            srt_passphrase: None,
            clock: ClockSource::default(),
            segment_seconds: segment_seconds(),
            low_latency: true,
            part_seconds: part_seconds(),
            window_seconds: window_seconds(),
            dvr_seconds: dvr_seconds(),
            record: true,
            reconnect_seconds: reconnect_seconds(),
            slate_after_seconds: slate_after_seconds(),
            frame_rate: FrameRateSetting::default(),
            ladder: None,
            protection: None,
        }
    }

    /// The settings' names, as they are written.
    pub const KEYS: &[&str] = &[
        "name",
        "title",
        "enabled",
        "mode",
        "stream_key",
        "takeover",
        "srt_passphrase",
        "clock",
        "segment_seconds",
        "low_latency",
        "part_seconds",
        "window_seconds",
        "dvr_seconds",
        "record",
        "reconnect_seconds",
        "slate_after_seconds",
        "frame_rate",
        "ladder",
        "protection",
    ];

    /// Reads settings from JSON and checks them.
    pub fn from_json(value: Value) -> Result<Self, ConfigError> {
        let Value::Object(object) = value else {
            return Err(ConfigError::one(
                "",
                "the settings of a channel are a JSON object, such as {\"name\": \"demo\"}",
            ));
        };
        let unknown: Vec<_> =
            object.keys().filter(|k| !Self::KEYS.contains(&k.as_str())).map(|k| unknown_setting(k)).collect();
        if !unknown.is_empty() {
            return Err(ConfigError { errors: unknown });
        }
        if !object.contains_key("name") {
            return Err(ConfigError::one("name", "is missing; give the channel a name, such as \"demo\""));
        }
        match serde_json::from_value::<ChannelConfig>(Value::Object(object.clone())) {
            Ok(config) => config.check().map(|()| config),
            Err(all) => Err(Self::blame(object, &all.to_string())),
        }
    }

    /// Applies an RFC 7396 JSON merge patch: what it names is replaced, `null` puts a setting back to its default.
    /// The stream key is not changed this way.
    pub fn patched(&self, patch: &Value) -> Result<Self, ConfigError> {
        let Value::Object(changes) = patch else {
            return Err(ConfigError::one("", "a change is a JSON object, such as {\"title\": \"News\"}"));
        };
        if changes.contains_key("stream_key") {
            return Err(ConfigError::one("stream_key", "is not changed here; use rotate-key, or the channel's keys"));
        }
        if changes.get("name").is_some_and(|name| name.as_str() != Some(self.name.as_str())) {
            return Err(ConfigError::one("name", "never changes; create another channel and delete this one"));
        }
        let mut merged = serde_json::to_value(self)
            .map_err(|error| ConfigError::one("", format!("could not be written as JSON ({error})")))?;
        merge(&mut merged, patch, 0);
        let mut patched = Self::from_json(merged)?;
        if !changes.contains_key("srt_passphrase") {
            patched.srt_passphrase.clone_from(&self.srt_passphrase);
        }
        Ok(patched)
    }

    /// Checks the limits of every setting and reports all that are broken.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut errors = Vec::new();
        let mut fail = |field: &str, message: String| errors.push(SettingError { field: field.to_owned(), message });
        if self.title.chars().count() > 200 || self.title.chars().any(char::is_control) {
            fail("title", "is longer than 200 characters or has control characters; shorten it to one line".into());
        }
        for (field, value, least, most) in [
            ("segment_seconds", self.segment_seconds, 1000, 10_000),
            ("part_seconds", self.part_seconds, 200, 1000),
            ("window_seconds", self.window_seconds, 10_000, 600_000),
            ("dvr_seconds", self.dvr_seconds, 0, 1_209_600_000),
            ("reconnect_seconds", self.reconnect_seconds, 0, 3_600_000),
            ("slate_after_seconds", self.slate_after_seconds, 0, 3_600_000),
        ] {
            if !(least..=most).contains(&value.millis()) {
                let (least, most) = (Seconds::from_millis(least), Seconds::from_millis(most));
                fail(field, format!("is {value}; use {least} to {most}"));
            }
        }
        if self.part_seconds.millis().saturating_mul(2) > self.segment_seconds.millis() {
            fail("part_seconds", "is more than half of segment_seconds; use a shorter part or a longer segment".into());
        }
        if self.window_seconds.millis() < self.segment_seconds.millis().saturating_mul(5) {
            let least = Seconds::from_millis(self.segment_seconds.millis().saturating_mul(5));
            fail("window_seconds", format!("is shorter than 5 segments; use at least {least}"));
        }
        if self.mode != Mode::Abr {
            let mode = self.mode.as_str();
            if self.ladder.is_some() {
                fail("ladder", format!("does not go with mode \"{mode}\"; leave it out, or use mode \"abr\""));
            }
            if self.frame_rate != FrameRateSetting::Auto {
                fail("frame_rate", format!("does not go with mode \"{mode}\"; leave it out, or use mode \"abr\""));
            }
        }
        if let Some(Err(error)) = self.ladder.as_ref().map(LadderConfig::check) {
            fail("ladder", format!("is not valid: {error}"));
        }
        if let Some(Err(error)) = self.protection.as_ref().map(ProtectionConfig::check) {
            fail("protection", format!("is not valid: {error}"));
        }
        if errors.is_empty() { Ok(()) } else { Err(ConfigError { errors }) }
    }

    /// What viewers read: the title, or the name where there is none.
    pub fn display_title(&self) -> &str {
        if self.title.is_empty() { self.name.as_str() } else { &self.title }
    }

    /// The segment grid at a frame rate.
    pub fn grid(&self, rate: FrameRate) -> SegmentGrid {
        SegmentGrid::with_segment_millis(rate, self.segment_seconds.millis())
    }

    /// Finds which setting serde's complaint is about by reading each alone.
    fn blame(object: Map<String, Value>, all: &str) -> ConfigError {
        let alone = |key: &String, value: Value| {
            let mut one = Map::new();
            one.insert("name".into(), Value::String("x".into()));
            one.insert(key.clone(), value);
            serde_json::from_value::<ChannelConfig>(Value::Object(one)).err()
        };
        let errors: Vec<_> = object
            .into_iter()
            .filter_map(|(key, value)| {
                // A type's complaint repeats the value, which is a secret here.
                let hidden = ["stream_key", "srt_passphrase"].contains(&key.as_str()) && !value.is_string();
                let complaint = alone(&key, value)?;
                let message = if hidden {
                    "is no text; write it in quotes".to_owned()
                } else {
                    format!("is not valid: {complaint}")
                };
                Some(SettingError { field: key, message })
            })
            .collect();
        if errors.is_empty() { ConfigError::one("", all.to_owned()) } else { ConfigError { errors } }
    }
}

/// RFC 7396, with a bound on the depth (bodies are small; serde_json itself stops at 128).
fn merge(target: &mut Value, patch: &Value, depth: u32) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else if depth < 16 {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change, depth + 1);
        }
    }
}

fn unknown_setting(key: &str) -> SettingError {
    let message = match nearest(key, ChannelConfig::KEYS) {
        Some(known) => format!("is not a setting of a channel; did you mean {known}?"),
        None => "is not a setting of a channel; see docs/reference/config.md".to_owned(),
    };
    SettingError { field: key.chars().take(80).collect(), message }
}

#[cfg(test)]
mod tests;
