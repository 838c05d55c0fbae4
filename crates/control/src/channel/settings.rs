//! The settings of a channel, their defaults and their limits.
//!
//! The doc comments of [`ChannelConfig`] are the reference page and the OpenAPI text; keep them for users.

use millstream_access::StreamKey;
use millstream_media::grid::{FrameRate, SegmentGrid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::name::ChannelName;
use super::seconds::Seconds;

/// The encoding ladder of a channel.
pub type LadderSetting = Value;

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
    /// How far back viewers may go, in seconds, 0 to 1209600 (14 days). Kept for the archive, which comes later.
    #[serde(default = "dvr_seconds")]
    #[schema(value_type = f64, default = 3600.0, minimum = 0, maximum = 1_209_600)]
    pub dvr_seconds: Seconds,
    /// Whether each broadcast is recorded. Kept for the archive, which comes later.
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
    /// The renditions to make, instead of those that fit the contribution's height. Not for `passthrough`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ladder: Option<LadderSetting>,
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
}

impl Mode {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Abr => "abr",
            Mode::Passthrough => "passthrough",
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

/// The frame rate of the renditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameRateSetting {
    /// As the contribution's.
    #[default]
    Auto,
    /// This one.
    Fixed(FrameRate),
}

impl FrameRateSetting {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "auto" {
            return Some(FrameRateSetting::Auto);
        }
        let rate = match (text, text.split_once('/')) {
            ("23.976" | "23.98", _) => FrameRate::new(24_000, 1001),
            ("29.97", _) => FrameRate::new(30_000, 1001),
            ("59.94", _) => FrameRate::new(60_000, 1001),
            (_, Some((num, den))) => FrameRate::new(num.trim().parse().ok()?, den.trim().parse().ok()?),
            (_, None) => FrameRate::new(text.parse().ok()?, 1),
        };
        rate.map(FrameRateSetting::Fixed)
    }
}

impl std::fmt::Display for FrameRateSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameRateSetting::Auto => f.write_str("auto"),
            FrameRateSetting::Fixed(rate) if rate.den() == 1 => write!(f, "{}", rate.num()),
            FrameRateSetting::Fixed(rate) => write!(f, "{}/{}", rate.num(), rate.den()),
        }
    }
}

impl Serialize for FrameRateSetting {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FrameRateSetting {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Whole(u32),
            Decimal(f64),
            Text(String),
        }
        let expected = "a frame rate is \"auto\", a whole number from 1 to 240, or a fraction such as \"30000/1001\"";
        let written = Written::deserialize(d).map_err(|_| serde::de::Error::custom(expected))?;
        let text = match written {
            Written::Whole(n) => n.to_string(),
            Written::Decimal(f) => f.to_string(),
            Written::Text(text) => text,
        };
        FrameRateSetting::parse(&text).ok_or_else(|| serde::de::Error::custom(expected))
    }
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
        }
    }

    /// The settings' names, as they are written.
    pub const KEYS: &[&str] = &[
        "name",
        "title",
        "enabled",
        "mode",
        "stream_key",
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
            object.keys().filter(|k| !Self::KEYS.contains(&k.as_str())).map(unknown_setting).collect();
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
            return Err(ConfigError::one("stream_key", "is not changed here; use rotate-key"));
        }
        if changes.get("name").is_some_and(|name| name.as_str() != Some(self.name.as_str())) {
            return Err(ConfigError::one("name", "never changes; create another channel and delete this one"));
        }
        let mut merged = serde_json::to_value(self)
            .map_err(|error| ConfigError::one("", format!("could not be written as JSON ({error})")))?;
        merge(&mut merged, patch, 0);
        Self::from_json(merged)
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
        if self.mode == Mode::Passthrough {
            if self.ladder.is_some() {
                fail("ladder", "does not go with mode \"passthrough\"; leave it out, or use mode \"abr\"".into());
            }
            if self.frame_rate != FrameRateSetting::Auto {
                fail("frame_rate", "does not go with mode \"passthrough\"; leave it out, or use mode \"abr\"".into());
            }
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
                let message = format!("is not valid: {}", alone(&key, value)?);
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

fn unknown_setting(key: &String) -> SettingError {
    let message = match nearest(key, ChannelConfig::KEYS) {
        Some(known) => format!("is not a setting of a channel; did you mean {known}?"),
        None => "is not a setting of a channel; see docs/reference/config.md".to_owned(),
    };
    SettingError { field: key.chars().take(80).collect(), message }
}

/// The known key that `key` was most likely meant to be, if any is near.
pub fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    if key.len() > 100 {
        return None;
    }
    let score = |k: &str| strsim::jaro_winkler(key, k).max(strsim::normalized_damerau_levenshtein(key, k));
    known
        .iter()
        .map(|k| (score(k), *k))
        .filter(|(score, _)| *score >= 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// One setting that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SettingError {
    /// The setting, or empty where it is about the whole.
    pub field: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl std::fmt::Display for SettingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "{} {}", self.field, self.message) }
    }
}

/// Settings that cannot be accepted: everything that is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub errors: Vec<SettingError>,
}

impl ConfigError {
    /// About one setting.
    pub fn one(field: &str, message: impl Into<String>) -> Self {
        ConfigError { errors: vec![SettingError { field: field.to_owned(), message: message.into() }] }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            write!(f, "{}{error}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(value: Value) -> String {
        ChannelConfig::from_json(value).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn defaults_are_the_contracts() {
        let config = ChannelConfig::from_json(json!({"name": "demo"})).unwrap();
        assert_eq!(config, ChannelConfig::new(ChannelName::new("demo").unwrap()));
        assert_eq!(
            serde_json::to_value(&config).unwrap(),
            json!({
                "name": "demo", "title": "", "enabled": true, "mode": "abr", "clock": "arrival",
                "segment_seconds": 2, "low_latency": true, "part_seconds": 0.5, "window_seconds": 60,
                "dvr_seconds": 3600, "record": true, "reconnect_seconds": 30, "slate_after_seconds": 3,
                "frame_rate": "auto",
            })
        );
    }

    #[test]
    fn keys_are_those_of_the_struct() {
        let schema = serde_json::to_value(<ChannelConfig as utoipa::PartialSchema>::schema()).unwrap();
        let mut documented: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut keys = ChannelConfig::KEYS.to_vec();
        documented.sort_unstable();
        keys.sort_unstable();
        assert_eq!(keys, documented);
    }

    #[test]
    fn each_mistake_is_named_with_its_mend() {
        for (value, message) in [
            (json!([]), "the settings of a channel are a JSON object, such as {\"name\": \"demo\"}"),
            (json!({}), "name is missing; give the channel a name, such as \"demo\""),
            (
                json!({"name": "a", "segment_second": 2}),
                "segment_second is not a setting of a channel; did you mean segment_seconds?",
            ),
            (json!({"name": "a", "zzz": 2}), "zzz is not a setting of a channel; see docs/reference/config.md"),
            (
                json!({"name": "a", "segment_seconds": 0.5}),
                "segment_seconds is 0.5; use 1 to 10; part_seconds is more than half of segment_seconds; use a shorter part or a longer segment",
            ),
            (json!({"name": "a", "part_seconds": 0.1}), "part_seconds is 0.1; use 0.2 to 1"),
            (
                json!({"name": "a", "window_seconds": 30, "segment_seconds": 8}),
                "window_seconds is shorter than 5 segments; use at least 40",
            ),
            (
                json!({"name": "a", "title": "a\nb"}),
                "title is longer than 200 characters or has control characters; shorten it to one line",
            ),
            (
                json!({"name": "a", "mode": "passthrough", "frame_rate": 25}),
                "frame_rate does not go with mode \"passthrough\"; leave it out, or use mode \"abr\"",
            ),
            (
                json!({"name": "a", "mode": "fast"}),
                "mode is not valid: unknown variant `fast`, expected `abr` or `passthrough`",
            ),
            (
                json!({"name": "a", "record": 1, "dvr_seconds": "1h"}),
                "dvr_seconds is not valid: invalid type: string \"1h\", expected a number of seconds between 0 and 4294967; record is not valid: invalid type: integer `1`, expected a boolean",
            ),
            (
                json!({"name": "A B"}),
                "name is not valid: channel name \"A B\" is not allowed; use 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit",
            ),
            (
                json!({"name": "a", "stream_key": "hunter2"}),
                "stream_key is not valid: the stream key has 7 characters; use at least 8, or leave it out and one is made for you",
            ),
        ] {
            assert_eq!(problems(value), message);
        }
    }

    #[test]
    fn frame_rates() {
        for (value, written) in [
            (json!("auto"), "auto"),
            (json!(25), "25"),
            (json!("30000/1001"), "30000/1001"),
            (json!("60/2"), "30"),
            (json!(29.97), "30000/1001"),
            (json!("23.976"), "24000/1001"),
        ] {
            let config = ChannelConfig::from_json(json!({"name": "a", "frame_rate": value})).unwrap();
            assert_eq!(config.frame_rate.to_string(), written);
        }
        for bad in [json!(0), json!(500), json!("fast"), json!(29.5), json!("1/0"), json!(-25)] {
            assert!(
                problems(json!({"name": "a", "frame_rate": bad}))
                    .starts_with("frame_rate is not valid: a frame rate is")
            );
        }
    }

    #[test]
    fn a_patch_merges_and_null_restores_the_default() {
        let config = ChannelConfig::from_json(json!({"name": "a", "title": "T", "dvr_seconds": 60})).unwrap();
        let patched = config.patched(&json!({"dvr_seconds": null, "enabled": false})).unwrap();
        assert_eq!((patched.title.as_str(), patched.dvr_seconds, patched.enabled), ("T", Seconds::new(3600), false));
        assert_eq!(config.patched(&json!({"name": "a"})).unwrap(), config, "naming it again changes nothing");
        for (patch, message) in [
            (json!({"name": "b"}), "name never changes; create another channel and delete this one"),
            (json!({"name": null}), "name never changes; create another channel and delete this one"),
            (json!({"stream_key": "12345678"}), "stream_key is not changed here; use rotate-key"),
            (json!({"titel": "T"}), "titel is not a setting of a channel; did you mean title?"),
            (json!(3), "a change is a JSON object, such as {\"title\": \"News\"}"),
        ] {
            assert_eq!(config.patched(&patch).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn the_stream_key_is_never_written() {
        let config = ChannelConfig::from_json(json!({"name": "a", "stream_key": "very-secret"})).unwrap();
        assert!(config.stream_key.is_some());
        assert!(!serde_json::to_string(&config).unwrap().contains("secret"));
        assert!(!format!("{config:?}").contains("very-secret"));
    }
}
