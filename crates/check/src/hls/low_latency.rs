//! Rules of Low-Latency HLS that playlists alone can break: 1.35 to 1.37, 1.39, 1.42, 1.43, 1.46.

use millstream_media::time::NANOS_PER_SECOND;

use super::playlist::Media;
use crate::finding::Findings;
use crate::text::{parse_decimal_nanos, resolve, seconds};

/// Asks every rule that one version of a media playlist can break by itself.
pub fn check(media: &Media, url: &str, findings: &mut Findings) {
    server_control(media, url, findings);
    parts(media, url, findings);
    hints(media, url, findings);
    for report in &media.reports {
        let lacks_part = !media.parts.is_empty() && report.integer("LAST-PART").is_none();
        if report.get("URI").is_none() || report.integer("LAST-MSN").is_none() || lacks_part {
            findings.error_at("1.46", url, report.line, "EXT-X-RENDITION-REPORT without URI, LAST-MSN or LAST-PART");
        }
        if report.get("URI").is_some_and(|u| u.contains("://")) {
            findings.error_at(
                "1.46",
                url,
                report.line,
                "the URI of EXT-X-RENDITION-REPORT is not relative to this playlist",
            );
        }
    }
}

fn target_nanos(media: &Media) -> i64 {
    i64::try_from(media.target_duration.unwrap_or(0)).unwrap_or(i64::MAX).saturating_mul(NANOS_PER_SECOND)
}

/// Rule 1.35: the numbers of `EXT-X-SERVER-CONTROL`.
fn server_control(media: &Media, url: &str, findings: &mut Findings) {
    let get = |name: &str| media.server_control.as_ref().and_then(|a| a.get(name)).map(parse_decimal_nanos);
    let target = target_nanos(media);
    let at = media.line_of("EXT-X-SERVER-CONTROL");
    let mut at_least = |name: &str, limit: i64, what: &str| match get(name) {
        Some(None) => findings.error_at("1.35", url, at, format!("{name} is no number")),
        Some(Some(v)) if v < limit => {
            findings.error_at(
                "1.35",
                url,
                at,
                format!("{name} is {}, less than {what}, {}", seconds(v), seconds(limit)),
            );
        }
        _ => {}
    };
    at_least("CAN-SKIP-UNTIL", target.saturating_mul(6), "six target durations");
    at_least("HOLD-BACK", target.saturating_mul(3), "three target durations");
    let Some(part) = media.part_target else { return };
    at_least("PART-HOLD-BACK", part.saturating_mul(2), "two part targets");
    match get("PART-HOLD-BACK") {
        None => findings.error_at("1.35", url, at, "EXT-X-PART-INF without PART-HOLD-BACK in EXT-X-SERVER-CONTROL"),
        Some(Some(v)) if v >= part.saturating_mul(2) && v < part.saturating_mul(3) => {
            findings.warn_at(
                "1.35",
                url,
                at,
                format!("PART-HOLD-BACK is {}, less than three part targets", seconds(v)),
            );
        }
        Some(_) => {}
    }
}

/// Rules 1.36, 1.37 and 1.39: parts, their lengths and where they stand.
fn parts(media: &Media, url: &str, findings: &mut Findings) {
    let Some(target) = media.part_target else {
        if !media.parts.is_empty() {
            findings.error_at(
                "1.36",
                url,
                media.line_of("EXT-X-PART"),
                "EXT-X-PART without EXT-X-PART-INF:PART-TARGET",
            );
        }
        return;
    };
    let least = target.saturating_mul(85) / 100;
    let last_whole = media.last_number();
    for (index, part) in media.parts.iter().enumerate() {
        let next = media.parts.get(index + 1);
        let last_of_segment =
            last_whole.is_some_and(|n| part.segment <= n) && next.is_none_or(|n| n.segment != part.segment);
        let name = || format!("part {} of segment {}", part.index, part.segment);
        if part.duration > target {
            let message =
                format!("{} lasts {}, the part target is {}", name(), seconds(part.duration), seconds(target));
            findings.error_at("1.37", url, part.line, message);
        }
        let short_is_fine = part.independent || part.gap || last_of_segment || next.is_some_and(|n| n.gap);
        // The newest part of a segment that is not whole yet may turn out to be its last one.
        if part.duration < least && !short_is_fine && next.is_some() {
            let message = format!("{} lasts {}, less than 85 % of {}", name(), seconds(part.duration), seconds(target));
            findings.error_at("1.37", url, part.line, message);
        }
    }
    for segment in &media.segments {
        let listed: i64 = media.parts_of(segment.number).fold(0, |sum, p| sum.saturating_add(p.duration));
        let tolerance = NANOS_PER_SECOND / 20;
        if media.parts_of(segment.number).next().is_some()
            && listed.saturating_sub(segment.duration).saturating_abs() > tolerance
        {
            let (a, b) = (seconds(listed), seconds(segment.duration));
            findings.error_at(
                "1.38",
                url,
                segment.line,
                format!("the parts of segment {} last {a}, EXTINF is {b}", segment.number),
            );
        }
    }
    let limit = target_nanos(media).saturating_mul(3);
    let pending: i64 = media.parts_of(media.next_number()).fold(0, |sum, p| sum.saturating_add(p.duration));
    let mut behind = pending;
    for segment in media.segments.iter().rev() {
        if behind > limit && media.parts_of(segment.number).next().is_some() {
            let message = format!("parts of segment {} are {} from the end", segment.number, seconds(behind));
            findings.warn_at("1.39", url, segment.line, message);
            break;
        }
        behind = behind.saturating_add(segment.duration);
    }
}

/// Rule 1.43: hints.
fn hints(media: &Media, url: &str, findings: &mut Findings) {
    if media.ended {
        if !media.hints.is_empty() {
            findings.error_at(
                "1.43",
                url,
                media.line_of("EXT-X-PRELOAD-HINT"),
                "EXT-X-PRELOAD-HINT in a list with EXT-X-ENDLIST",
            );
        }
        return;
    }
    let of = |kind: &str| media.hints.iter().filter(|h| h.get("TYPE") == Some(kind)).count();
    if media.part_target.is_some() && !media.parts.is_empty() && of("PART") == 0 {
        findings.error("1.43", url, "a live list with parts without EXT-X-PRELOAD-HINT:TYPE=PART");
    }
    for kind in ["PART", "MAP"] {
        if of(kind) > 1 {
            findings.warn_at(
                "1.43",
                url,
                media.line_of("EXT-X-PRELOAD-HINT"),
                format!("{} hints of type {kind}", of(kind)),
            );
        }
    }
    for hint in &media.hints {
        if hint.get("URI").is_none() || !matches!(hint.get("TYPE"), Some("PART" | "MAP")) {
            findings.error_at("1.43", url, hint.line, "EXT-X-PRELOAD-HINT without URI or TYPE");
        }
    }
}

/// Rules between two versions: a part does not change (1.8), a hint comes true (1.43), parts stay near the edge (1.39).
pub fn change(old: &Media, new: &Media, url: &str, findings: &mut Findings) {
    for part in &old.parts {
        if let Some(now) = new.parts.iter().find(|p| (p.segment, p.index) == (part.segment, part.index))
            && now != part
        {
            findings.error_at("1.8", url, now.line, format!("part {} of segment {} changed", part.index, part.segment));
        }
    }
    let pending = old.parts_of(old.next_number()).count() as u64;
    let hinted = old.hints.iter().find(|h| h.get("TYPE") == Some("PART")).and_then(|h| h.get("URI"));
    // The hint is of the next part of the segment being made, or of the first one of the segment after it.
    let place = |segment: u64, index: u64| new.parts.iter().find(move |p| (p.segment, p.index) == (segment, index));
    let ended_there = new.contains(old.next_number(), None)
        && pending > 0
        && new.parts_of(old.next_number()).count() as u64 == pending;
    let came = place(old.next_number(), pending)
        .or_else(|| place(old.next_number().saturating_add(1), 0).filter(|_| ended_there));
    if let (Some(hinted), Some(came)) = (hinted, came)
        && resolve(url, hinted) != resolve(url, &came.uri)
    {
        let message =
            format!("the hint was '{hinted}', part {} of segment {} is '{}'", came.index, came.segment, came.uri);
        findings.error_at("1.43", url, came.line, message);
    }
    // What is still within three target durations of the end keeps its parts.
    let Some(first) = new.parts.first().map(|p| p.segment) else {
        if !old.parts.is_empty() && !new.ended {
            findings.error("1.39", url, "all parts vanished from a live list");
        }
        return;
    };
    if let Some(gone) = new.parts.windows(2).find(|w| matches!(w, [a, b] if b.segment > a.segment.saturating_add(1))) {
        let at = gone.first().map_or(first, |p| p.segment.saturating_add(1));
        findings.error("1.39", url, format!("segment {at} has no parts though an older one has"));
    }
}

/// Rule 1.46: one report for every other media playlist of the presentation, and none of the wrong place.
pub fn reports(media: &Media, url: &str, others: &[String], findings: &mut Findings) {
    if media.parts.is_empty() || media.ended {
        return;
    }
    for other in others.iter().filter(|o| o.as_str() != url) {
        let of = |u: &str| resolve(url, u).split('?').next() == other.split('?').next();
        let Some(report) = media.reports.iter().find(|r| r.get("URI").is_some_and(of)) else {
            findings.error("1.46", url, format!("no EXT-X-RENDITION-REPORT for {other}"));
            continue;
        };
        let Some(said) = report.integer("LAST-MSN") else { continue };
        let own = media.parts.last().map_or(media.next_number(), |p| p.segment);
        if said.abs_diff(own) > 2 {
            findings.error_at(
                "1.46",
                url,
                report.line,
                format!("it reports LAST-MSN={said} of {other}, this list is at {own}"),
            );
        }
    }
}

/// Rule 1.42: a delta update put on a full list of the same time gives that list again.
pub fn delta(full: &Media, delta: &Media, url: &str, findings: &mut Findings) {
    let Some(skipped) = delta.skipped else { return };
    let until = full.server_control.as_ref().and_then(|a| parse_decimal_nanos(a.get("CAN-SKIP-UNTIL")?));
    let left = delta.duration().saturating_add(delta.parts_of(delta.next_number()).map(|p| p.duration).sum::<i64>());
    if until.is_some_and(|u| left < u) {
        let message = format!("only {} are left, the skip boundary is {}", seconds(left), seconds(until.unwrap_or(0)));
        findings.error("1.42", url, message);
    }
    let first = delta.first_number().saturating_add(skipped);
    if skipped == 0 || full.last_number().is_some_and(|n| first > n) {
        findings.error_at(
            "1.42",
            url,
            delta.line_of("EXT-X-SKIP"),
            format!("SKIPPED-SEGMENTS={skipped} does not fit the list"),
        );
        return;
    }
    for segment in &delta.segments {
        let Some(same) = full.segments.iter().find(|s| s.number == segment.number) else { continue };
        if same.uri != segment.uri || same.duration_text != segment.duration_text {
            findings.error_at(
                "1.42",
                url,
                segment.line,
                format!("segment {} is '{}' in the delta update, '{}' in full", segment.number, segment.uri, same.uri),
            );
            return;
        }
    }
    if full.discontinuity_sequence != delta.discontinuity_sequence && full.first_number() == delta.first_number() {
        findings.error("1.42", url, "EXT-X-DISCONTINUITY-SEQUENCE differs in the delta update");
    }
}
