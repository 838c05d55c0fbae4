//! Places in a list of segments and parts: where a viewer begins, and where it goes on in another variant's list.

use std::time::Duration;

use crate::playlist::{Media, Segment};

/// Where a viewer begins: the hold-back from the end when live, the first segment otherwise.
pub(super) fn start(media: &Media, low: bool, utc_ms: i64) -> Option<(u64, usize)> {
    let first = media.segments.first()?;
    if media.ended {
        return Some((first.number, 0));
    }
    if let Some(delay) = media.delay {
        return Some(by_date(media, low, utc_ms.saturating_sub(millis(delay))));
    }
    let back = hold_back(media, low);
    let mut behind = Duration::ZERO;
    for segment in media.segments.iter().rev() {
        if low && !segment.parts.is_empty() {
            for (at, part) in segment.parts.iter().enumerate().rev() {
                behind += part.duration;
                if behind >= back {
                    return Some((segment.number, at));
                }
            }
        } else if segment.at.is_some() {
            behind += segment.duration;
            if behind >= back {
                return Some((segment.number, 0));
            }
        }
    }
    Some((first.number, 0))
}

/// How far from the end of a live playlist a viewer plays (RFC 8216bis 4.4.3.8).
pub(super) fn hold_back(media: &Media, low: bool) -> Duration {
    let plain = media.hold_back.unwrap_or(media.target * 3);
    if low { media.part_hold_back.or(media.part_target.map(|p| p * 3)).unwrap_or(plain) } else { plain }
}

/// The segment, and the part of it, that holds this date; the first if all are later.
pub(super) fn by_date(media: &Media, low: bool, date_ms: i64) -> (u64, usize) {
    let holds = |s: &&Segment| s.date_ms.is_some_and(|d| d <= date_ms.saturating_add(20));
    let segment = media.segments.iter().rev().find(holds).or(media.segments.first());
    let Some(segment) = segment else { return (0, 0) };
    let mut at = 0;
    let mut date = segment.date_ms.unwrap_or(date_ms);
    if low {
        for part in &segment.parts {
            date = date.saturating_add(millis(part.duration));
            if date > date_ms.saturating_add(20) {
                break;
            }
            at += 1;
        }
        at = at.min(segment.parts.len().saturating_sub(1));
    }
    (segment.number, at)
}

/// The place in another variant's list: the same number if its date agrees with what is there, by date otherwise.
pub(super) fn aligned(media: &Media, at: (u64, usize), end_us: Option<i64>) -> (u64, usize) {
    let (Some(end), true) = (end_us, media.delay.is_none()) else { return at };
    let end = end / 1000;
    let near = |s: &&Segment| s.date_ms.is_some_and(|d| d.abs_diff(end) <= millis(s.duration).unsigned_abs() / 2);
    let last = media.segments.iter().rev().find(|s| s.date_ms.is_some_and(|d| d <= end));
    let same = media.segments.iter().find(|s| s.number == at.0).filter(near);
    match (same, media.segments.iter().find(near), last) {
        (Some(_), _, _) | (None, None, None) => at,
        (None, Some(found), _) => (found.number, 0),
        // It comes after the newest there is.
        (None, None, Some(last)) => (last.number.saturating_add(1), 0),
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
