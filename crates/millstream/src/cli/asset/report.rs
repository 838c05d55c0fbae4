//! Assets as text for people.

use std::time::Duration;

use millstream_media::time::UtcTime;
use serde_json::Value;

use super::super::table::{columns, text_of};

/// A clip that starts or ends so far from what was asked for is worth a word, in target durations.
const FAR: u32 = 2;

/// The table of a list.
pub fn list(answer: &Value) -> String {
    let assets = items(&answer["assets"]);
    if assets.is_empty() {
        return "no assets; channels with record = true record while they are on air\n".to_owned();
    }
    let head = ["ID", "KIND", "STATE", "START", "DURATION", "SIZE", "TITLE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for a in assets {
        rows.push(vec![
            text_of(&a["id"]),
            text_of(&a["kind"]),
            text_of(&a["state"]),
            text_of(&a["start"]).split('.').next().map(|t| t.replace('T', " ")).unwrap_or_default(),
            a["duration_seconds"].as_f64().map(duration).unwrap_or_default(),
            if a["kind"] == "clip" { String::new() } else { size(a["bytes"].as_u64().unwrap_or(0)) },
            text_of(&a["title"]),
        ]);
    }
    let mut text = columns(&rows);
    if !answer["next"].is_null() {
        text.push_str(&format!("there are more; --limit {} lists them\n", assets.len() * 10));
    }
    text
}

/// What was made of a request for [`start`, `end`).
pub fn clip(answer: &Value, base: &str, start: UtcTime, end: UtcTime) -> String {
    let id = text_of(&answer["id"]);
    let time = |key: &str| answer[key].as_str().and_then(UtcTime::from_iso8601);
    let seconds = answer["duration_seconds"].as_f64().unwrap_or(0.0);
    let mut rows = vec![
        vec!["  from".to_owned(), text_of(&answer["start"])],
        vec!["  to".to_owned(), format!("{}  ({})", text_of(&answer["end"]), duration(seconds))],
        vec!["  watch".to_owned(), format!("{base}{}", text_of(&answer["playback"]["watch"]))],
        vec!["  HLS".to_owned(), format!("{base}{}", text_of(&answer["playback"]["hls"]))],
    ];
    let target = answer["target_duration"].as_u64().unwrap_or(0);
    let far = Duration::from_secs(target) * FAR;
    if time("start").is_some_and(|t| t.since(start) > far) {
        rows.push(vec!["  note".to_owned(), format!("nothing of this recording is from {start} to its start")]);
    }
    if time("end").is_some_and(|t| end.since(t) > far) {
        rows.push(vec!["  note".to_owned(), format!("nothing of this recording is there from its end to {end} yet")]);
    }
    format!("clip {id} made\n{}", columns(&rows))
}

/// What a deletion did.
pub fn deleted(answer: &Value) -> String {
    let id = text_of(&answer["id"]);
    if answer["state"] == "deleted" {
        return format!("clip {id} deleted\n");
    }
    let mut text = format!("asset {id} plays no more; its media goes after {}\n", text_of(&answer["media_until"]));
    let clips: Vec<String> = items(&answer["clips"]).iter().map(text_of).collect();
    if !clips.is_empty() {
        text.push_str(&format!("what these clips show stays until they are deleted: {}\n", clips.join(", ")));
    }
    text
}

/// What the assets fill.
pub fn storage(answer: &Value) -> String {
    let row = |name: String, share: &Value| {
        let number = |key: &str| share[key].as_u64().unwrap_or(0);
        let deleting = number("deleting_bytes");
        vec![
            name,
            size(number("bytes")),
            number("assets").to_string(),
            number("clips").to_string(),
            if deleting > 0 { size(deleting) } else { String::new() },
        ]
    };
    let mut rows = vec![["CHANNEL", "SIZE", "ASSETS", "CLIPS", "DELETING"].map(str::to_owned).to_vec()];
    for share in items(&answer["channels"]) {
        let name = share["channel"].as_str().unwrap_or("(none)").to_owned();
        rows.push(row(name, share));
    }
    rows.push(row("(all)".to_owned(), answer));
    let days = answer["keep_seconds"].as_u64().map(|s| format!("{} days", s / 86_400));
    let bytes = answer["keep_bytes"].as_u64().map(size);
    let kept = match (days, bytes) {
        (Some(days), Some(bytes)) => {
            format!("for {days} after their end, the oldest shorter while all fill more than {bytes}")
        }
        (Some(days), None) => format!("for {days} after their end"),
        (None, Some(bytes)) => format!("until all fill more than {bytes}"),
        (None, None) => "for ever".to_owned(),
    };
    format!("{}recordings are kept {kept}\n", columns(&rows))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `1:02:03`, `2:03`, `0:04`.
fn duration(seconds: f64) -> String {
    let all = seconds.round().max(0.0) as u64;
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// In the decimal units of disks.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            return if unit == "B" || value >= 99.95 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        let sizes = [0, 999, 1000, 99_940, 1_234_567, 999_600_000, 5_000_000_000_000].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "99.9 kB", "1.2 MB", "1.0 GB", "5.0 TB"]);
        assert_eq!([3.6, 123.0, 3723.0].map(duration), ["0:04", "2:03", "1:02:03"]);
    }
}
