//! The MPD's XML: elements inherit what those around them say.

use std::time::Duration;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{Dash, Period, Representation, ms};
use crate::playlist::{date_ms, join};

/// Deepest nesting accepted.
const MAX_DEPTH: usize = 32;

/// What an element knows from those around it.
#[derive(Clone, Default)]
struct Scope {
    name: String,
    representation: Representation,
    content: String,
    has_base: bool,
}

/// Reads an MPD fetched from `url`; `None` if it is none, or has nothing that can be played.
pub fn parse(text: &str, url: &str) -> Option<Dash> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut dash = Dash::default();
    let mut open: Vec<Scope> = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if open.len() < MAX_DEPTH => {
                let scope = enter(&start, &mut open, url, &mut dash)?;
                open.push(scope);
            }
            Event::Start(_) => return None,
            Event::Empty(start) => {
                let scope = enter(&start, &mut open, url, &mut dash)?;
                leave(scope, &mut open, &mut dash);
            }
            Event::End(_) => {
                let scope = open.pop()?;
                leave(scope, &mut open, &mut dash);
            }
            Event::Text(text) => {
                let count = open.len();
                let is_base = open.last().is_some_and(|s| s.name == "BaseURL");
                let name = text.xml10_content();
                let parent = count.checked_sub(2).and_then(|at| open.get_mut(at));
                if let Some(parent) = parent.filter(|p| is_base && !p.has_base) {
                    parent.representation.base = join(&parent.representation.base, name.trim());
                    parent.has_base = true;
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    finish(dash)
}

fn enter(start: &BytesStart<'_>, open: &mut [Scope], url: &str, dash: &mut Dash) -> Option<Scope> {
    let name = start.local_name().as_ref().to_owned();
    if name == "S"
        && let Some(parent) = open.last_mut()
    {
        // Each may be one of ten thousands: it inherits nothing.
        run(start, &mut parent.representation.timeline)?;
        return Some(Scope { name, ..Scope::default() });
    }
    let parent = open.last();
    let mut scope = parent.cloned().unwrap_or_default();
    scope.name.clone_from(&name);
    scope.has_base = false;
    if parent.is_none() {
        if name != "MPD" {
            return None;
        }
        scope.representation = Representation {
            base: url.to_owned(),
            timescale: 1,
            number: 1,
            complete: true,
            ..Representation::default()
        };
    }
    let attributes = attributes_of(start)?;
    let get = |key: &str| attributes.iter().find(|a| a.0 == key).map(|a| a.1.as_str());
    let number = |key: &str| get(key).and_then(|v| v.parse::<i64>().ok());
    let span = |key: &str| get(key).and_then(duration);
    let r = &mut scope.representation;
    match name.as_str() {
        "MPD" => {
            dash.live = get("type") == Some("dynamic");
            dash.update = span("minimumUpdatePeriod");
            dash.start_ms = get("availabilityStartTime").and_then(date_ms).unwrap_or(0);
            dash.delay = span("suggestedPresentationDelay");
            dash.depth = span("timeShiftBufferDepth");
            dash.duration = span("mediaPresentationDuration");
        }
        "Latency" => dash.target = number("target").and_then(|t| u64::try_from(t).ok()).map(Duration::from_millis),
        "Period" => {
            let before = dash.periods.last().and_then(|p| p.end_ms).unwrap_or(0);
            let start_ms = span("start").map_or(before, ms);
            let end_ms = span("duration").map(|d| start_ms.saturating_add(ms(d)));
            dash.periods.push(Period { start_ms, end_ms, ..Period::default() });
        }
        "AdaptationSet" | "Representation" => {
            let kind = get("contentType").or_else(|| get("mimeType").and_then(|m| m.split('/').next()));
            if let Some(kind) = kind {
                kind.clone_into(&mut scope.content);
            }
            if name == "Representation" {
                get("id").unwrap_or_default().clone_into(&mut r.id);
                r.bandwidth = get("bandwidth").and_then(|b| b.parse().ok()).unwrap_or(0);
            }
        }
        "SegmentTemplate" => {
            r.timescale = number("timescale").unwrap_or(r.timescale).max(1);
            r.offset = number("presentationTimeOffset").unwrap_or(r.offset);
            r.number = number("startNumber").unwrap_or(r.number);
            r.duration = number("duration").or(r.duration);
            if let Some(media) = get("media") {
                media.clone_into(&mut r.media);
            }
            r.initialization = get("initialization").map(str::to_owned).or(r.initialization.take());
            if let Some(early) = get("availabilityTimeOffset").and_then(|v| v.parse::<f64>().ok()) {
                // "INF": everything is there at once.
                r.early_ms = if early.is_finite() { (early * 1000.0) as i64 } else { i64::MAX / 8 };
            }
            r.complete = get("availabilityTimeComplete").map_or(r.complete, |v| v == "true");
        }
        "SegmentTimeline" => r.timeline.clear(),
        _ => {}
    }
    Some(scope)
}

fn attributes_of(start: &BytesStart<'_>) -> Option<Vec<(String, String)>> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned();
        let key: &str = attribute.key.as_ref();
        attributes.push((key.to_owned(), value));
    }
    Some(attributes)
}

/// A run of segments of one length.
fn run(start: &BytesStart<'_>, timeline: &mut Vec<(i64, i64, i64)>) -> Option<()> {
    let attributes = attributes_of(start)?;
    let number = |key: &str| attributes.iter().find(|a| a.0 == key).and_then(|a| a.1.parse::<i64>().ok());
    let behind = |s: &(i64, i64, i64)| s.0.saturating_add(s.1.saturating_mul(s.2.max(0).saturating_add(1)));
    let follows = timeline.last().map_or(0, behind);
    timeline.push((number("t").unwrap_or(follows), number("d").unwrap_or(0), number("r").unwrap_or(0)));
    Some(())
}

fn leave(scope: Scope, open: &mut [Scope], dash: &mut Dash) {
    match scope.name.as_str() {
        "SegmentTimeline" | "SegmentTemplate" => {
            if let Some(parent) = open.last_mut() {
                parent.representation = scope.representation;
            }
        }
        "Representation" if !scope.representation.media.is_empty() => {
            let Some(period) = dash.periods.last_mut() else { return };
            match scope.content.as_str() {
                "video" => period.main.push(scope.representation),
                "audio" => period.audio.push(scope.representation),
                _ => {}
            }
        }
        _ => {}
    }
}

fn finish(mut dash: Dash) -> Option<Dash> {
    let total = dash.duration.map(ms);
    if let Some(last) = dash.periods.last_mut() {
        last.end_ms = last.end_ms.or(total);
    }
    let has_video = dash.periods.iter().any(|p| !p.main.is_empty());
    for period in &mut dash.periods {
        if !has_video {
            period.main = std::mem::take(&mut period.audio);
        }
        period.main.sort_by_key(|r| r.bandwidth);
        // One language is heard; the best of it.
        period.audio.sort_by_key(|r| std::cmp::Reverse(r.bandwidth));
        period.audio.truncate(1);
    }
    dash.periods.retain(|p| !p.main.is_empty() || !p.audio.is_empty());
    dash.periods.iter().any(|p| !p.main.is_empty()).then_some(dash)
}

/// `P1DT2H3M4.5S`; years and months are not used by live MPDs and count as 365 and 30 days.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('P')?;
    let (mut seconds, mut of_day) = (0.0, false);
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('T') {
            (rest, of_day) = (tail, true);
            continue;
        }
        let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let value: f64 = rest.get(..at)?.parse().ok()?;
        seconds += value
            * match (rest.get(at..=at)?, of_day) {
                ("Y", false) => 365.0 * 86_400.0,
                ("M", false) => 30.0 * 86_400.0,
                ("W", false) => 7.0 * 86_400.0,
                ("D", false) => 86_400.0,
                ("H", true) => 3600.0,
                ("M", true) => 60.0,
                ("S", true) => 1.0,
                _ => return None,
            };
        rest = rest.get(at + 1..)?;
    }
    Duration::try_from_secs_f64(seconds).ok()
}
