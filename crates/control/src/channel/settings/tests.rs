//! Defaults, limits, changes, and the message of each mistake.

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
            "name": "demo", "title": "", "enabled": true, "mode": "abr", "takeover": "first", "clock": "arrival",
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
            "mode is not valid: unknown variant `fast`, expected one of `abr`, `passthrough`, `cmaf`",
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
            json!({"name": "a", "ladder": {"video": [{"height": 721}]}}),
            "ladder is not valid: rendition 721p: a height of 721 is not possible; use an even number from 16 to 8192",
        ),
        (
            json!({"name": "a", "ladder": {"video": [{"heigth": 720}]}}),
            "ladder is not valid: unknown field `heigth`, expected one of `name`, `height`, `width`, `codec`, `encoder`, \
             `bit_rate`, `preset`",
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
            problems(json!({"name": "a", "frame_rate": bad})).starts_with("frame_rate is not valid: a frame rate is")
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
        (json!({"stream_key": "12345678"}), "stream_key is not changed here; use rotate-key, or the channel's keys"),
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

#[test]
fn a_passphrase_is_kept_and_not_shown() {
    let config = ChannelConfig::from_json(json!({"name": "a", "srt_passphrase": "ten-letters"})).unwrap();
    assert!(!serde_json::to_string(&config).unwrap().contains("passphrase"));
    let patched = config.patched(&json!({"title": "A"})).unwrap();
    assert_eq!(patched.srt_passphrase, config.srt_passphrase, "a change of something else keeps it");
    assert_eq!(config.patched(&json!({"srt_passphrase": null})).unwrap().srt_passphrase, None);
    let number = problems(json!({"name": "a", "srt_passphrase": 1234567890, "stream_key": 1234567890}));
    assert!(!format!("{number:?}").contains("12345"), "{number:?}");
    let mistake = problems(json!({"name": "a", "srt_passphrase": "short"}));
    assert!(mistake.contains("10 to 79") && !mistake.contains("\"short\""), "{mistake}");
}
