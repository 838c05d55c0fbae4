//! Rules of low-latency DASH on one version of an MPD: 2.3 (clock), 2.15, 2.18 to 2.20.

use millstream_media::time::NANOS_PER_SECOND;

use super::mpd::{AdaptationSet, Mpd};
use crate::finding::Findings;
use crate::text::seconds;

/// The profile of DASH-IF's low-latency live guidelines.
const PROFILE: &str = "http://www.dashif.org/guidelines/low-latency-live-v5";

fn is_low_latency(set: &AdaptationSet) -> bool {
    set.representations.iter().any(|r| r.template.as_ref().is_some_and(|t| t.availability_offset.is_some()))
}

/// What the whole presentation must say once one of its sets is of low latency.
pub fn presentation(mpd: &Mpd, url: &str, findings: &mut Findings) {
    if !mpd.dynamic || !mpd.periods.iter().flat_map(|p| &p.sets).any(is_low_latency) {
        return;
    }
    let fetched = ["http-xsdate", "http-iso", "http-ntp"];
    if !mpd.utc_timing.iter().any(|(scheme, _)| fetched.iter().any(|f| scheme.contains(f))) {
        findings.error_at(
            "2.3",
            url,
            mpd.tree.line,
            "low latency without a UTCTiming of http-xsdate, http-iso or http-ntp",
        );
    }
    let latency = mpd.tree.child("ServiceDescription").and_then(|s| s.child("Latency"));
    if latency.and_then(|l| l.integer("target")).is_none() {
        findings.error_at("2.18", url, mpd.tree.line, "low latency without ServiceDescription/Latency@target in ms");
    }
    if !mpd.tree.get("profiles").is_some_and(|p| p.split(',').any(|p| p.trim() == PROFILE)) {
        findings.warn_at("2.20", url, mpd.tree.line, format!("@profiles lacks {PROFILE}"));
    }
}

/// What a set of low latency must say.
pub fn adaptation_set(mpd: &Mpd, set: &AdaptationSet, url: &str, findings: &mut Findings) {
    if !mpd.dynamic || !is_low_latency(set) {
        return;
    }
    let id = set.id.as_deref().unwrap_or("?");
    let element =
        mpd.tree.all("Period").flat_map(|p| p.all("AdaptationSet")).find(|s| s.get("id") == set.id.as_deref());
    for representation in &set.representations {
        let Some(template) = &representation.template else { continue };
        let (Some(offset), Some(scale)) = (template.availability_offset, template.timescale) else { continue };
        let longest = template.timeline.iter().flatten().map(|e| e.duration).max().unwrap_or(0);
        let nanos = i128::from(longest) * i128::from(NANOS_PER_SECOND) / i128::from(scale.max(1));
        if offset <= 0 || (longest > 0 && i128::from(offset) >= nanos) {
            let message = format!("{}: @availabilityTimeOffset {} fits no segment", representation.id, seconds(offset));
            findings.error_at("2.15", url, template.line, message);
        }
    }
    let complete = element.and_then(|e| {
        let own = e.child("SegmentTemplate").and_then(|t| t.get("availabilityTimeComplete"));
        own.or_else(|| {
            e.all("Representation").find_map(|r| r.child("SegmentTemplate")?.get("availabilityTimeComplete"))
        })
    });
    if complete != Some("false") {
        findings.error_at(
            "2.15",
            url,
            set.tree.line,
            format!("AdaptationSet {id}: @availabilityTimeComplete is not false"),
        );
    }
    let Some(element) = element else { return };
    let resync =
        element.child("Resync").is_some() || element.all("Representation").any(|r| r.child("Resync").is_some());
    if !resync {
        findings.warn_at("2.15", url, set.tree.line, format!("AdaptationSet {id} without Resync"));
    }
    let reference = element
        .child("ProducerReferenceTime")
        .or_else(|| element.all("Representation").find_map(|r| r.child("ProducerReferenceTime")));
    let Some(reference) = reference else {
        findings.error_at("2.19", url, element.line, format!("AdaptationSet {id} without ProducerReferenceTime"));
        return;
    };
    for name in ["id", "wallClockTime", "presentationTime"] {
        if reference.get(name).is_none() {
            findings.error_at(
                "2.19",
                url,
                reference.line,
                format!("AdaptationSet {id}: ProducerReferenceTime without @{name}"),
            );
        }
    }
    let clock = reference.child("UTCTiming").and_then(|t| t.get("schemeIdUri"));
    if !mpd.utc_timing.iter().any(|(scheme, _)| Some(scheme.as_str()) == clock) {
        findings.error_at(
            "2.19",
            url,
            reference.line,
            format!("AdaptationSet {id}: UTCTiming of ProducerReferenceTime is not the MPD's"),
        );
    }
}
