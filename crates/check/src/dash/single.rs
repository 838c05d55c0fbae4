//! Rules of one version of an MPD: 2.2 to 2.4, 2.6 to 2.12, 2.21.

use std::collections::BTreeSet;

use millstream_media::time::{NANOS_PER_SECOND, UtcTime};

use super::low_latency;
use super::mpd::{AdaptationSet, Mpd, Representation, Template};
use super::protection;
use crate::finding::Findings;
use crate::text::seconds;

/// Clock schemes that the timing model allows (2.3).
const CLOCK_SCHEMES: [&str; 4] = [
    "urn:mpeg:dash:utc:http-xsdate:2014",
    "urn:mpeg:dash:utc:http-iso:2014",
    "urn:mpeg:dash:utc:http-head:2014",
    "urn:mpeg:dash:utc:direct:2014",
];

/// Asks every rule that one version of an MPD can break by itself; `now` is when it was read.
pub fn check(mpd: &Mpd, now: UtcTime, url: &str, findings: &mut Findings) {
    if mpd.dynamic {
        dynamic(mpd, url, findings);
    } else if mpd.minimum_update_period.is_some() {
        findings.error_at("2.5", url, mpd.tree.line, "a static MPD with @minimumUpdatePeriod");
    }
    low_latency::presentation(mpd, url, findings);
    if mpd.periods.is_empty() {
        findings.error_at("2.1", url, mpd.tree.line, "no Period");
    }
    let mut ids = BTreeSet::new();
    for period in &mpd.periods {
        for set in &period.sets {
            match &set.id {
                None => findings.error_at("2.6", url, set.tree.line, "an AdaptationSet without @id"),
                Some(id) if !ids.insert((period.id.clone(), id.clone())) => {
                    findings.error_at("2.6", url, set.tree.line, format!("AdaptationSet@id {id} is there twice"));
                }
                Some(_) => {}
            }
            adaptation_set(set, url, findings);
            low_latency::adaptation_set(mpd, set, url, findings);
            for representation in &set.representations {
                protection::check(representation, url, findings);
                segments(mpd, period.start.unwrap_or(0), representation, now, url, findings);
            }
        }
    }
}

fn dynamic(mpd: &Mpd, url: &str, findings: &mut Findings) {
    for (name, missing) in
        [("availabilityStartTime", mpd.availability_start.is_none()), ("publishTime", mpd.publish.is_none())]
    {
        if missing {
            findings.error_at("2.2", url, mpd.tree.line, format!("a dynamic MPD without @{name}"));
        }
    }
    if mpd.utc_timing.is_empty() {
        findings.error_at("2.3", url, mpd.tree.line, "a dynamic MPD without UTCTiming");
    }
    for (scheme, _) in &mpd.utc_timing {
        if !CLOCK_SCHEMES.contains(&scheme.as_str()) {
            findings.error("2.3", url, format!("UTCTiming scheme {scheme} is not allowed"));
        }
    }
    if mpd.tree.child("LeapSecondInformation").is_none() {
        findings.warn("2.4", url, "no LeapSecondInformation");
    }
    for period in mpd.periods.iter().filter(|p| p.start.is_none()) {
        let id = period.id.as_deref().unwrap_or("?");
        findings.error("2.6", url, format!("Period {id} without @start"));
    }
    if let (Some(delay), Some(depth)) = (mpd.suggested_delay, mpd.time_shift_depth)
        && delay >= depth
    {
        let (delay, depth) = (seconds(delay), seconds(depth));
        findings.error_at(
            "2.12",
            url,
            mpd.tree.line,
            format!("@suggestedPresentationDelay {delay} leaves nothing of {depth}"),
        );
    }
}

fn adaptation_set(set: &AdaptationSet, url: &str, findings: &mut Findings) {
    let id = set.id.as_deref().unwrap_or("?");
    let aligned = ["segmentAlignment", "subsegmentAlignment"];
    if !aligned.iter().any(|a| set.tree.get(a).is_some_and(|v| v != "false")) {
        findings.error_at("2.21", url, set.tree.line, format!("AdaptationSet {id} without @segmentAlignment"));
    }
    let modes: BTreeSet<_> = set
        .representations
        .iter()
        .map(|r| r.template.as_ref().map(|t| (t.timeline.is_some(), t.media.as_ref().map(|m| m.contains("$Time")))))
        .collect();
    if modes.len() > 1 {
        findings.error_at("2.8", url, set.tree.line, format!("AdaptationSet {id} mixes addressing modes"));
    }
    for representation in &set.representations {
        let name = format!("Representation {}", representation.id);
        if representation.id.is_empty() || representation.bandwidth.is_none() {
            findings.error_at("2.1", url, representation.tree.line, format!("{name} without @id or @bandwidth"));
        }
        match representation.mime_type.as_deref() {
            Some(m) if m.ends_with("/mp4") => {}
            other => findings.error_at(
                "2.21",
                url,
                representation.tree.line,
                format!("{name} has @mimeType {}", other.unwrap_or("missing")),
            ),
        }
        if representation.codecs.is_none() {
            findings.error_at("2.21", url, representation.tree.line, format!("{name} without @codecs"));
        }
        for name in ["availabilityTimeOffset", "availabilityTimeComplete"] {
            let own = representation.tree.child("SegmentTemplate").and_then(|t| t.get(name));
            if own.or(representation.tree.get(name)).is_some() {
                findings.error_at(
                    "2.11",
                    url,
                    representation.tree.line,
                    format!("@{name} on Representation {}", representation.id),
                );
            }
        }
        match &representation.template {
            None if representation.other_addressing.is_some() => {}
            None => {
                let message = format!("{name} without SegmentTemplate, SegmentList, SegmentBase or BaseURL");
                findings.error_at("2.8", url, representation.tree.line, message);
            }
            Some(template) => addressing(template, &name, url, findings),
        }
    }
}

fn addressing(template: &Template, name: &str, url: &str, findings: &mut Findings) {
    if template.timescale.is_none_or(|t| t == 0) {
        findings.error_at("2.8", url, template.line, format!("{name}: SegmentTemplate without @timescale"));
    }
    if template.initialization.is_none() {
        findings.error_at("2.8", url, template.line, format!("{name}: SegmentTemplate without @initialization"));
    }
    let media = template.media.as_deref().unwrap_or_default();
    match (media.contains("$Number"), media.contains("$Time")) {
        (true, true) => {
            findings.error_at("2.8", url, template.line, format!("{name}: both $Number$ and $Time$ in @media"))
        }
        (false, false) => {
            findings.error_at("2.8", url, template.line, format!("{name}: neither $Number$ nor $Time$ in @media"))
        }
        _ => {}
    }
}

/// The timeline of one representation: 2.7, 2.9, 2.10, 2.11.
fn segments(
    mpd: &Mpd,
    period_start: i64,
    representation: &Representation,
    now: UtcTime,
    url: &str,
    findings: &mut Findings,
) {
    let Some(template) = &representation.template else { return };
    let Some(timeline) = &template.timeline else { return };
    let id = &representation.id;
    written_form(representation, mpd, url, findings);
    for pair in timeline.windows(2) {
        let [a, b] = pair else { continue };
        let end = a.start.saturating_add(a.duration);
        if b.start != end {
            let what = if b.start > end { "gap" } else { "overlap" };
            let ticks = b.start.abs_diff(end);
            findings.error_at(
                "2.10",
                url,
                b.line,
                format!("{id}: a {what} of {ticks} ticks before segment {}", b.number),
            );
        }
    }
    let scale = i128::from(template.timescale.unwrap_or(1).max(1));
    let nanos = |ticks: u64| {
        let relative = i128::from(ticks) - i128::from(template.offset);
        i64::try_from(relative * i128::from(NANOS_PER_SECOND) / scale).unwrap_or(i64::MAX)
    };
    if let Some(limit) = mpd.max_segment_duration {
        for entry in timeline.iter().filter(|e| nanos(e.duration.saturating_add(template.offset)) > limit) {
            let length = seconds(nanos(entry.duration.saturating_add(template.offset)));
            findings.error_at(
                "2.1",
                url,
                entry.line,
                format!("{id}: segment {} lasts {length}, over @maxSegmentDuration", entry.number),
            );
        }
    }
    let Some(start) = mpd.availability_start.filter(|_| mpd.dynamic) else { return };
    let wall = |ticks: u64| UtcTime(start.0.saturating_add(period_start).saturating_add(nanos(ticks)));
    if let (Some(depth), Some(first)) = (mpd.time_shift_depth, timeline.first()) {
        // A segment has expired when its end is before the window; one segment and the update are allowed for.
        let end = wall(first.start.saturating_add(first.duration));
        let slack = nanos(first.duration.saturating_add(template.offset))
            .saturating_add(mpd.minimum_update_period.unwrap_or(0))
            .saturating_add(NANOS_PER_SECOND);
        let age = now.nanos_since(end);
        if age > depth.saturating_add(slack) {
            let message = format!("{id}: segment {} ended {} ago, outside of the window", first.number, seconds(age));
            findings.error_at("2.7", url, first.line, message);
        }
    }
    if let Some(last) = timeline.last() {
        let ahead = wall(last.start.saturating_add(last.duration)).nanos_since(now);
        if ahead > NANOS_PER_SECOND.saturating_add(template.availability_offset.unwrap_or(0)) {
            let message = format!("{id}: segment {} ends {} from now, yet it is listed", last.number, seconds(ahead));
            findings.error_at("2.11", url, last.line, message);
        }
    }
}

/// What must not be written in a timeline, and what should be merged.
fn written_form(representation: &Representation, mpd: &Mpd, url: &str, findings: &mut Findings) {
    let id = &representation.id;
    let set_template = mpd
        .tree
        .all("Period")
        .flat_map(|p| p.all("AdaptationSet"))
        .find(|s| s.all("Representation").any(|r| r.get("id") == Some(id)));
    let template = representation.tree.child("SegmentTemplate").or_else(|| set_template?.child("SegmentTemplate"));
    let Some(template) = template else { return };
    if template.get("eptDelta").is_some() {
        findings.error_at("2.7", url, template.line, format!("{id}: @eptDelta with a timeline"));
    }
    let Some(timeline) = template.child("SegmentTimeline") else { return };
    let entries: Vec<_> = timeline.all("S").collect();
    if entries.iter().any(|s| s.get("n").is_some()) {
        findings.error_at("2.7", url, template.line, format!("{id}: S@n"));
    }
    if entries.first().is_some_and(|s| s.get("t").is_none()) {
        findings.error_at("2.9", url, template.line, format!("{id}: the first S has no @t"));
    }
    let unmerged = entries.windows(2).any(|p| match p {
        // A long run may be cut in pieces, so that each can go when its segments have expired (STANDARDS 2.7).
        [a, b] => a.get("d") == b.get("d") && b.get("t").is_none() && a.get("r").or(b.get("r")).is_none(),
        _ => false,
    });
    if unmerged {
        findings.warn_at("2.9", url, template.line, format!("{id}: equal neighbours are not merged with @r"));
    }
}
