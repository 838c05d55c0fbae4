//! What a clip and a title are asked for, checked: everything that is wrong is named at once.

use std::time::Duration;

use http::StatusCode;
use millstream_archive::AssetId;
use millstream_archive::library::{ClipOf, NewClip};
use millstream_media::time::UtcTime;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::problem::Problem;
use super::text;
use crate::channel::{ChannelName, SettingError, nearest};

/// Longest title, in characters.
const MAX_TITLE: usize = 200;
/// How far the caller's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_secs(10);
/// What a clip is asked for by.
const CLIP_FIELDS: [&str; 7] = ["asset", "channel", "end", "id", "precise", "start", "title"];

/// A clip that is wanted: of `channel` or of `asset`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body in the OpenAPI document")]
pub(crate) struct NewClipBody {
    /// The channel: its recording that holds the time, also one in progress.
    channel: Option<String>,
    /// The asset, instead of a channel.
    asset: Option<String>,
    /// From the segment that holds this time on (RFC 3339).
    #[schema(format = DateTime)]
    start: String,
    /// To the segment that ends at this time or holds it (RFC 3339); at most now.
    #[schema(format = DateTime)]
    end: String,
    /// From the frame nearest to `start` to the one nearest to `end`, not whole segments. The parts of segments at both ends
    /// are made anew, so it takes a few seconds.
    #[schema(default = false)]
    precise: Option<bool>,
    /// For people.
    #[schema(max_length = 200)]
    title: Option<String>,
    /// Its name in URLs; the same request under the same name again gives the same clip. Made up if it is left out.
    #[schema(max_length = 128, pattern = "^[a-z0-9][a-z0-9_-]*$")]
    id: Option<String>,
}

/// A new title.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body in the OpenAPI document")]
pub(crate) struct TitleBody {
    /// For people.
    #[schema(max_length = 200)]
    title: String,
}

/// What is wrong so far.
#[derive(Default)]
struct Errors(Vec<SettingError>);

impl Errors {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(SettingError { field: field.to_owned(), message: message.into() });
    }

    /// The value, or `None` with its mistake noted.
    fn note<T>(&mut self, field: &str, result: Result<T, impl Into<String>>) -> Option<T> {
        result.map_err(|message| self.add(field, message)).ok()
    }

    fn unknown(&mut self, object: &Map<String, Value>, known: &[&str]) {
        for key in object.keys().filter(|k| !known.contains(&k.as_str())) {
            let shown: String = key.chars().take(80).collect();
            let hint = nearest(key, known)
                .map_or_else(|| format!("known are {}", known.join(", ")), |near| format!("did you mean {near}?"));
            self.add(&shown, format!("is not known; {hint}"));
        }
    }

    fn problem(self) -> Problem {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, words.join("; ")).with_errors(self.0)
    }
}

/// The title in `{"title": "…"}`.
pub(super) fn title(body: &Value) -> Result<String, Problem> {
    let mut errors = Errors::default();
    let Value::Object(object) = body else {
        errors.add("", "the body is no JSON object; send {\"title\": \"…\"}");
        return Err(errors.problem());
    };
    errors.unknown(object, &["title"]);
    let title = match errors.note("title", text(object, "title")) {
        Some(Some(title)) => errors.note("title", checked_title(title)),
        Some(None) => {
            errors.add("title", "is missing; an empty one takes the title away");
            None
        }
        None => None,
    };
    title.filter(|_| errors.0.is_empty()).ok_or_else(|| errors.problem())
}

/// The clip that is wanted, at `now`.
pub(super) fn clip(body: &Value, now: UtcTime) -> Result<NewClip, Problem> {
    let mut errors = Errors::default();
    let Value::Object(object) = body else {
        errors.add("", "the body is no JSON object; send {\"channel\": \"…\", \"start\": \"…\", \"end\": \"…\"}");
        return Err(errors.problem());
    };
    errors.unknown(object, &CLIP_FIELDS);
    let of = source(object, &mut errors);
    let start = time(object, "start", &mut errors);
    let end = time(object, "end", &mut errors);
    if let (Some(start), Some(end)) = (start, end) {
        if end <= start {
            errors.add("end", "is not after start; give a later one");
        } else if end > now + AHEAD {
            errors
                .add("end", format!("lies in the future; it is {now} now, and only what was recorded can be clipped"));
        }
    }
    let title = errors.note("title", text(object, "title")).flatten();
    let title = title.and_then(|title| errors.note("title", checked_title(title)));
    let id = errors.note("id", text(object, "id")).flatten();
    let id = id.and_then(|id| errors.note("id", AssetId::try_from(id.to_owned())));
    let precise = match object.get("precise") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(precise)) => *precise,
        Some(_) => {
            errors.add("precise", "is not true or false; give it without quotes");
            false
        }
    };
    match (of, start, end) {
        (Some(of), Some(start), Some(end)) if errors.0.is_empty() => {
            Ok(NewClip { of, start, end, title: title.unwrap_or_default(), precise, id })
        }
        _ => Err(errors.problem()),
    }
}

fn source(object: &Map<String, Value>, errors: &mut Errors) -> Option<ClipOf> {
    let channel = errors.note("channel", text(object, "channel"))?;
    let asset = errors.note("asset", text(object, "asset"))?;
    match (channel, asset) {
        (Some(name), None) => {
            let name = errors.note("channel", ChannelName::new(name).map_err(|e| e.to_string()))?;
            Some(ClipOf::Channel(name.as_str().to_owned()))
        }
        (None, Some(id)) => Some(ClipOf::Asset(errors.note("asset", AssetId::try_from(id.to_owned()))?)),
        (Some(_), Some(_)) => {
            errors.add("asset", "stands beside channel; name one of the two");
            None
        }
        (None, None) => {
            errors.add("channel", "is missing; name the channel, or an asset");
            None
        }
    }
}

fn time(object: &Map<String, Value>, field: &str, errors: &mut Errors) -> Option<UtcTime> {
    let Some(text) = errors.note(field, text(object, field))? else {
        errors.add(field, "is missing; give a time such as 2026-11-22T20:15:00Z");
        return None;
    };
    let parsed = UtcTime::from_iso8601(text);
    errors.note(field, parsed.ok_or("is no RFC 3339 time; write it as 2026-11-22T20:15:00Z, or with an offset"))
}

fn checked_title(title: &str) -> Result<String, String> {
    let title = title.trim();
    if title.chars().count() > MAX_TITLE {
        return Err("is longer than 200 characters; shorten it".into());
    }
    if title.chars().any(char::is_control) {
        return Err("holds control characters; leave them out".into());
    }
    Ok(title.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: UtcTime = UtcTime::from_millis(1_795_386_300_000);

    #[test]
    fn a_clip_of_a_channel_or_of_an_asset() {
        let wanted = clip(
            &json!({"channel": "news", "start": "2026-11-22T22:20:00Z", "end": "2026-11-22T23:21:00.5+01:00"}),
            NOW,
        )
        .unwrap();
        assert_eq!(wanted.of, ClipOf::Channel("news".into()));
        assert_eq!(wanted.end.since(wanted.start), Duration::from_millis(60_500));
        let wanted = clip(
            &json!({"asset": "a-1", "id": "b", "title": " T ", "start": "2026-11-22T22:20:00Z", "end": "2026-11-22T22:20:01Z"}),
            NOW,
        )
        .unwrap();
        assert_eq!((wanted.of, wanted.title.as_str()), (ClipOf::Asset(AssetId::new("a-1").unwrap()), "T"));
        assert_eq!(wanted.id.unwrap().as_str(), "b");
    }

    #[test]
    fn mistakes_are_all_named_with_their_mend() {
        let (start, end) = ("2026-11-22T22:20:00Z", "2026-11-22T22:21:00Z");
        for (body, mends) in [
            (json!([]), &["no JSON object"][..]),
            (json!({"channel": "a"}), &["start is missing", "end is missing"]),
            (json!({"start": start, "end": end}), &["name the channel, or an asset"]),
            (json!({"channel": "a", "asset": "b", "start": start, "end": end}), &["name one of the two"]),
            (json!({"channel": "A", "start": start, "end": end}), &["is not allowed"]),
            (json!({"asset": "../x", "start": start, "end": end}), &["is not allowed"]),
            (json!({"channel": "a", "start": end, "end": start}), &["not after start"]),
            (json!({"channel": "a", "start": start, "end": "2026-11-22T22:26:00Z"}), &["lies in the future"]),
            (json!({"channel": "a", "start": "yesterday", "end": 5}), &["start is no RFC 3339", "end is not text"]),
            (json!({"channel": "a", "start": start, "end": end, "id": "A B"}), &["is not allowed"]),
            (json!({"channel": "a", "start": start, "end": end, "titel": "x"}), &["did you mean title?"]),
            (json!({"channel": "a", "start": start, "end": end, "title": "x".repeat(201)}), &["longer than 200"]),
        ] {
            let problem = serde_json::to_value(clip(&body, NOW).unwrap_err()).unwrap();
            assert_eq!(problem["status"], 422, "{body}");
            for mend in mends {
                assert!(problem["detail"].as_str().unwrap().contains(mend), "{body}: {problem}");
            }
        }
        assert!(title(&json!({"title": "a\nb"})).is_err() && title(&json!({})).is_err());
        assert_eq!(title(&json!({"title": ""})).unwrap(), "");
    }
}
