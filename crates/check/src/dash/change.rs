//! Rules between two versions of an MPD: 2.2, 2.5, 2.6, 2.7, CHECK-2b.

use super::mpd::{Mpd, Period, Template};
use crate::finding::Findings;

/// Asks every rule about what `new` may change of `old`.
pub fn check(old: &Mpd, new: &Mpd, url: &str, findings: &mut Findings) {
    let final_before = !old.dynamic || old.minimum_update_period.is_none();
    if final_before && old.tree != new.tree {
        findings.error("2.5", url, "it changed although it had no @minimumUpdatePeriod");
    }
    // The kind of presentation changes once, at its end.
    if !old.dynamic && new.dynamic {
        findings.error("2.5", url, "a static MPD became dynamic");
    }
    if new.dynamic && old.availability_start != new.availability_start {
        findings.error_at("2.2", url, new.tree.line, "@availabilityStartTime changed");
    }
    publish_time(old, new, url, findings);
    let ends = old.minimum_update_period.is_some() && new.minimum_update_period.is_none();
    if ends && new.duration.is_none() && new.periods.last().is_none_or(|p| p.duration.is_none()) {
        findings.error("2.5", url, "the live presentation ended without a duration of MPD or last Period");
    }
    for period in &new.periods {
        if let Some(before) = old.periods.iter().find(|p| p.id == period.id) {
            same_period(before, period, url, findings);
        }
    }
    let last = old.periods.last().and_then(|p| p.id.as_ref());
    if let Some(last) = last
        && !new.periods.iter().any(|p| p.id.as_ref() == Some(last))
        && old.dynamic
    {
        findings.error("2.6", url, format!("the last Period {last} vanished"));
    }
}

fn publish_time(old: &Mpd, new: &Mpd, url: &str, findings: &mut Findings) {
    let strip = |mpd: &Mpd| {
        let mut tree = mpd.tree.clone();
        tree.attributes.retain(|(n, _)| n != "publishTime");
        // A clock given directly changes with every read and says nothing about the content.
        tree.children.retain(|c| c.name != "UTCTiming");
        tree
    };
    let (same_content, same_time) = (strip(old) == strip(new), old.publish == new.publish);
    if same_content && !same_time {
        findings.error_at("CHECK-2b", url, new.tree.line, "@publishTime moved though nothing else did");
    } else if !same_content && same_time && new.dynamic {
        findings.error_at("CHECK-2b", url, new.tree.line, "the content changed though @publishTime did not");
    } else if new.publish < old.publish && new.publish.is_some() {
        findings.error_at("CHECK-2b", url, new.tree.line, "@publishTime went back");
    }
}

fn same_period(old: &Period, new: &Period, url: &str, findings: &mut Findings) {
    if old.start != new.start {
        findings.error("2.6", url, "Period@start changed");
    }
    let shape = |p: &Period| -> Vec<(Option<String>, Vec<String>)> {
        p.sets.iter().map(|s| (s.id.clone(), s.representations.iter().map(|r| r.id.clone()).collect())).collect()
    };
    let (before, after) = (shape(old), shape(new));
    if before != after {
        findings.error("2.6", url, format!("sets or representations changed from {before:?} to {after:?}"));
        return;
    }
    let pairs = old.sets.iter().zip(&new.sets).flat_map(|(a, b)| a.representations.iter().zip(&b.representations));
    for (a, b) in pairs {
        if let (Some(x), Some(y)) = (&a.template, &b.template) {
            same_template(&a.id, x, y, url, findings);
        }
    }
}

fn same_template(id: &str, old: &Template, new: &Template, url: &str, findings: &mut Findings) {
    let form = |t: &Template| (t.timescale, t.media.clone(), t.initialization.clone(), t.offset);
    if form(old) != form(new) {
        findings.error_at("2.7", url, new.line, format!("{id}: SegmentTemplate changed"));
    }
    let (Some(before), Some(after)) = (&old.timeline, &new.timeline) else { return };
    if new.start_number < old.start_number {
        findings.error(
            "2.7",
            url,
            format!("{id}: @startNumber fell from {} to {}", old.start_number, new.start_number),
        );
    }
    let by_number = |n: u64| after.iter().find(|e| e.number == n);
    for entry in before {
        match by_number(entry.number) {
            Some(same) if same == entry => {}
            Some(edited) => {
                let message = format!(
                    "{id}: segment {} was t={} d={}, now t={} d={}",
                    entry.number, entry.start, entry.duration, edited.start, edited.duration
                );
                findings.error_at("2.7", url, edited.line, message);
            }
            None if entry.number >= new.start_number => {
                findings.error("2.7", url, format!("{id}: segment {} vanished from the end", entry.number));
            }
            None => {}
        }
    }
}
