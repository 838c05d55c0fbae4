//! The tree to an MPD, and rules of form: 2.1, 2.2, 2.8 (presence), 2.14.

use millstream_media::time::{NANOS_PER_SECOND, UtcTime};

use super::tree::{self, Element};
use crate::finding::{Findings, Line};
use crate::text::{parse_decimal_nanos, parse_iso8601, parse_xs_duration, resolve};

/// Attributes that the schema knows on `MPD`, besides namespaces.
const MPD_ATTRIBUTES: [&str; 12] = [
    "id",
    "profiles",
    "type",
    "availabilityStartTime",
    "availabilityEndTime",
    "publishTime",
    "mediaPresentationDuration",
    "minimumUpdatePeriod",
    "minBufferTime",
    "timeShiftBufferDepth",
    "suggestedPresentationDelay",
    "maxSegmentDuration",
];

/// Most segments of one timeline that are spelled out.
const MAX_SEGMENTS: u64 = 200_000;

/// An MPD.
#[derive(Clone, Debug, Default)]
pub struct Mpd {
    /// `@type` is `dynamic`.
    pub dynamic: bool,
    /// `@availabilityStartTime`.
    pub availability_start: Option<UtcTime>,
    /// `@publishTime`.
    pub publish: Option<UtcTime>,
    /// `@minimumUpdatePeriod` in nanoseconds.
    pub minimum_update_period: Option<i64>,
    /// `@mediaPresentationDuration` in nanoseconds.
    pub duration: Option<i64>,
    /// `@timeShiftBufferDepth` in nanoseconds.
    pub time_shift_depth: Option<i64>,
    /// `@suggestedPresentationDelay` in nanoseconds.
    pub suggested_delay: Option<i64>,
    /// `@maxSegmentDuration` in nanoseconds.
    pub max_segment_duration: Option<i64>,
    /// `UTCTiming`: scheme and value.
    pub utc_timing: Vec<(String, String)>,
    /// Periods, in order.
    pub periods: Vec<Period>,
    /// The whole document.
    pub tree: Element,
}

/// A period.
#[derive(Clone, Debug, Default)]
pub struct Period {
    /// `@id`.
    pub id: Option<String>,
    /// `@start` in nanoseconds.
    pub start: Option<i64>,
    /// `@duration` in nanoseconds.
    pub duration: Option<i64>,
    /// Adaptation sets of media, in order. Those of thumbnails are JPEG files, for which the rules of media do not hold.
    pub sets: Vec<AdaptationSet>,
}

/// An adaptation set.
#[derive(Clone, Debug, Default)]
pub struct AdaptationSet {
    /// `@id`.
    pub id: Option<String>,
    /// The element, for its attributes.
    pub tree: Element,
    /// Representations, in order.
    pub representations: Vec<Representation>,
}

/// A representation, with what it inherits.
#[derive(Clone, Debug, Default)]
pub struct Representation {
    /// `@id`.
    pub id: String,
    /// `@bandwidth` in bit/s.
    pub bandwidth: Option<u64>,
    /// `@codecs`, its own or the set's.
    pub codecs: Option<String>,
    /// `@mimeType`, its own or the set's.
    pub mime_type: Option<String>,
    /// `@width` and `@height`, its own or the set's.
    pub size: Option<(u64, u64)>,
    /// Its segments.
    pub template: Option<Template>,
    /// How else its segments are named, if there is no template.
    pub other_addressing: Option<&'static str>,
    /// `BaseURL` of period, set and representation, outermost first.
    pub bases: Vec<String>,
    /// `ContentProtection`, its own and the set's.
    pub protection: Vec<Element>,
    /// The element, for its attributes.
    pub tree: Element,
}

/// A `SegmentTemplate`, with what the representation inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// `@timescale`, if written.
    pub timescale: Option<u64>,
    /// `@media`.
    pub media: Option<String>,
    /// `@initialization`.
    pub initialization: Option<String>,
    /// `@startNumber`.
    pub start_number: u64,
    /// `@presentationTimeOffset`.
    pub offset: u64,
    /// `@availabilityTimeOffset` in nanoseconds: how much before its end a segment may be asked for.
    pub availability_offset: Option<i64>,
    /// `@duration` in ticks, where there is no timeline.
    pub duration: Option<u64>,
    /// The timeline spelled out, if there is one.
    pub timeline: Option<Vec<Entry>>,
    /// Where it stands.
    pub line: Line,
}

/// One segment of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `$Number$`.
    pub number: u64,
    /// Earliest presentation time, in ticks.
    pub start: u64,
    /// Duration, in ticks.
    pub duration: u64,
    /// Where its `S` stands.
    pub line: Line,
}

/// Whether a set is one of thumbnails (DASH-IF IOP 6.2.6).
fn is_pictures(set: &Element) -> bool {
    let of = |e: &Element| {
        e.get("mimeType").is_some_and(|t| t.starts_with("image/")) || e.get("contentType") == Some("image")
    };
    of(set) || set.all("Representation").any(of)
}

impl Mpd {
    /// Length of a period in nanoseconds, as far as it is said.
    pub fn length_of(&self, index: usize) -> Option<i64> {
        let period = self.periods.get(index)?;
        let start = period.start.unwrap_or(0);
        let next = self.periods.get(index + 1).and_then(|p| p.start);
        period.duration.or_else(|| next.or(self.duration)?.checked_sub(start)).filter(|d| *d > 0)
    }

    /// Where the segments of a representation are resolved from.
    pub fn base(&self, url: &str, representation: &Representation) -> String {
        let own = self.tree.child("BaseURL").map(|b| b.text.as_str());
        let all = own.into_iter().chain(representation.bases.iter().map(String::as_str));
        all.fold(url.to_owned(), |base, reference| resolve(&base, reference))
    }
}

impl Template {
    fn ticks(&self, nanos: i64) -> u64 {
        let scale = i128::from(self.timescale.unwrap_or(1).max(1));
        u64::try_from(i128::from(nanos) * scale / i128::from(NANOS_PER_SECOND)).unwrap_or(0)
    }

    /// Whole segments of `@duration` in a span of nanoseconds.
    pub fn segments_in(&self, nanos: i64) -> u64 {
        self.ticks(nanos).checked_div(self.duration.unwrap_or(0)).unwrap_or(0)
    }

    /// Segments of a template that counts by `@duration`: all of a period of known `length` (nanoseconds), or those that
    /// are whole at `now`, counted from the `start` of the period on the wall clock, at most `most` of them.
    pub fn counted(&self, start: UtcTime, length: Option<i64>, now: UtcTime, most: u64) -> Vec<Entry> {
        let Some(duration) = self.duration else { return Vec::new() };
        let there = match length {
            Some(length) => self.ticks(length).div_ceil(duration),
            None => self.segments_in(now.nanos_since(start)),
        };
        (there.saturating_sub(most)..there)
            .map(|index| Entry {
                number: self.start_number.saturating_add(index),
                start: index.saturating_mul(duration).saturating_add(self.offset),
                duration,
                line: self.line,
            })
            .collect()
    }

    /// `@media` or `@initialization` with its identifiers put in.
    pub fn expand(pattern: &str, representation: &Representation, entry: Option<Entry>) -> String {
        let mut out = String::new();
        for (index, part) in pattern.split('$').enumerate() {
            if index.is_multiple_of(2) {
                out.push_str(part);
                continue;
            }
            let (name, width) = part
                .split_once("%0")
                .map_or((part, 1), |(n, w)| (n, w.trim_end_matches('d').parse::<usize>().unwrap_or(1).min(32)));
            let number = |n: u64| format!("{n:0width$}");
            match name {
                "" => out.push('$'),
                "RepresentationID" => out.push_str(&representation.id),
                "Bandwidth" => out.push_str(&number(representation.bandwidth.unwrap_or(0))),
                "Number" => out.push_str(&entry.map(|e| number(e.number)).unwrap_or_default()),
                "Time" => out.push_str(&entry.map(|e| number(e.start)).unwrap_or_default()),
                other => out.push_str(other),
            }
        }
        out
    }
}

/// Reads an MPD and says what is malformed about it.
pub fn parse(body: &[u8], url: &str, findings: &mut Findings) -> Option<Mpd> {
    let root = match tree::parse(body) {
        Ok(r) => r,
        Err(e) => {
            findings.error("2.1", url, format!("no XML: {e}"));
            return None;
        }
    };
    if root.name != "MPD" {
        findings.error("2.1", url, format!("the root is {}, not MPD", root.name));
        return None;
    }
    let mut form = Form { url, findings };
    form.attributes(&root);
    let kind = root.get("type").unwrap_or("static");
    if !["static", "dynamic"].contains(&kind) {
        form.findings.error_at("2.1", url, root.line, format!("type is '{kind}'"));
    }
    Some(Mpd {
        dynamic: kind == "dynamic",
        availability_start: form.instant(&root, "availabilityStartTime"),
        publish: form.instant(&root, "publishTime"),
        minimum_update_period: form.duration(&root, "minimumUpdatePeriod"),
        duration: form.duration(&root, "mediaPresentationDuration"),
        time_shift_depth: form.duration(&root, "timeShiftBufferDepth"),
        suggested_delay: form.duration(&root, "suggestedPresentationDelay"),
        max_segment_duration: form.duration(&root, "maxSegmentDuration"),
        utc_timing: root
            .all("UTCTiming")
            .map(|t| {
                (t.get("schemeIdUri").unwrap_or_default().to_owned(), t.get("value").unwrap_or_default().to_owned())
            })
            .collect(),
        periods: root.all("Period").map(|p| form.period(p)).collect(),
        tree: root,
    })
}

struct Form<'a> {
    url: &'a str,
    findings: &'a mut Findings,
}

impl Form<'_> {
    fn attributes(&mut self, root: &Element) {
        for required in ["profiles", "minBufferTime"] {
            if root.get(required).is_none() {
                self.findings.error_at("2.1", self.url, root.line, format!("MPD without @{required}"));
            }
        }
        for (name, _) in &root.attributes {
            if !MPD_ATTRIBUTES.contains(&name.as_str()) && !name.contains(':') && name != "xmlns" {
                self.findings.error_at("2.1", self.url, root.line, format!("the schema knows no MPD@{name}"));
            }
        }
        if root.get("xmlns") != Some("urn:mpeg:dash:schema:mpd:2011") {
            self.findings.error_at("2.1", self.url, root.line, "the namespace is not urn:mpeg:dash:schema:mpd:2011");
        }
        self.duration(root, "minBufferTime");
    }

    fn instant(&mut self, element: &Element, name: &str) -> Option<UtcTime> {
        let text = element.get(name)?;
        let at = parse_iso8601(text);
        if at.is_none() {
            self.findings.error_at(
                "2.2",
                self.url,
                element.line,
                format!("@{name} '{text}' is no instant with a zone"),
            );
        }
        at
    }

    fn duration(&mut self, element: &Element, name: &str) -> Option<i64> {
        let text = element.get(name)?;
        match parse_xs_duration(text) {
            Ok(nanos) => Some(nanos),
            Err(true) => {
                self.findings.error_at(
                    "2.14",
                    self.url,
                    element.line,
                    format!("@{name} '{text}' counts years or months"),
                );
                None
            }
            Err(false) => {
                self.findings.error_at("2.1", self.url, element.line, format!("@{name} '{text}' is no duration"));
                None
            }
        }
    }

    fn period(&mut self, element: &Element) -> Period {
        Period {
            id: element.get("id").map(str::to_owned),
            start: self.duration(element, "start"),
            duration: self.duration(element, "duration"),
            sets: element.all("AdaptationSet").filter(|s| !is_pictures(s)).map(|s| self.set(s, element)).collect(),
        }
    }

    fn set(&mut self, element: &Element, period: &Element) -> AdaptationSet {
        AdaptationSet {
            id: element.get("id").map(str::to_owned),
            tree: Element { children: Vec::new(), ..element.clone() },
            representations: element
                .all("Representation")
                .map(|r| self.representation(r, &[r, element, period]))
                .collect(),
        }
    }

    fn representation(&mut self, element: &Element, levels: &[&Element]) -> Representation {
        let inherited = |name: &str| levels.iter().find_map(|l| l.get(name)).map(str::to_owned);
        let number = |name: &str| inherited(name).and_then(|n| n.parse::<u64>().ok());
        Representation {
            id: element.get("id").unwrap_or_default().to_owned(),
            bandwidth: element.integer("bandwidth"),
            codecs: inherited("codecs"),
            mime_type: inherited("mimeType"),
            size: number("width").zip(number("height")),
            template: self.template(levels),
            other_addressing: ["SegmentList", "SegmentBase", "BaseURL"]
                .into_iter()
                .find(|name| levels.iter().any(|l| l.child(name).is_some())),
            bases: levels.iter().rev().filter_map(|l| l.child("BaseURL")).map(|b| b.text.clone()).collect(),
            protection: levels.iter().flat_map(|l| l.all("ContentProtection")).cloned().collect(),
            tree: element.clone(),
        }
    }

    fn template(&mut self, levels: &[&Element]) -> Option<Template> {
        let found: Vec<&Element> = levels.iter().filter_map(|l| l.child("SegmentTemplate")).collect();
        if found.is_empty() {
            return None;
        }
        let get = |name: &str| found.iter().find_map(|t| t.get(name)).map(str::to_owned);
        let number = |name: &str| get(name).and_then(|n| n.parse().ok());
        let start_number = number("startNumber").unwrap_or(1);
        let timeline = found.iter().find_map(|t| t.child("SegmentTimeline"));
        Some(Template {
            timescale: number("timescale"),
            media: get("media"),
            initialization: get("initialization"),
            start_number,
            offset: number("presentationTimeOffset").unwrap_or(0),
            availability_offset: get("availabilityTimeOffset").and_then(|t| parse_decimal_nanos(&t)),
            duration: number("duration").filter(|d| *d > 0),
            line: found.first().map_or(Line(0), |t| t.line),
            timeline: timeline.map(|t| self.timeline(t, start_number)),
        })
    }

    fn timeline(&mut self, timeline: &Element, start_number: u64) -> Vec<Entry> {
        let mut out: Vec<Entry> = Vec::new();
        for s in timeline.all("S") {
            let end = out.last().map(|e| e.start.saturating_add(e.duration));
            let Some(duration) = s.integer("d").filter(|d| *d > 0) else {
                self.findings.error_at("2.9", self.url, s.line, "an S without @d");
                continue;
            };
            let Some(mut start) = s.integer("t").or(end).or(Some(0)) else { continue };
            let repeats: i64 = s.get("r").and_then(|r| r.parse().ok()).unwrap_or(0);
            let Ok(repeats) = u64::try_from(repeats) else {
                self.findings.warn_at("2.9", self.url, s.line, "an open @r (-1) is not followed by this checker");
                continue;
            };
            if repeats.saturating_add(out.len() as u64) > MAX_SEGMENTS {
                self.findings.error_at(
                    "2.9",
                    self.url,
                    s.line,
                    format!("a timeline of more than {MAX_SEGMENTS} segments"),
                );
                break;
            }
            for _ in 0..=repeats {
                let number = start_number.saturating_add(out.len() as u64);
                out.push(Entry { number, start, duration, line: s.line });
                start = start.saturating_add(duration);
            }
        }
        out
    }
}
