//! Rules between two versions of a media playlist: 1.7 (constant target), 1.8, 1.9, 1.10, 1.12, 1.14, 1.16, CHECK-1g.

use std::time::Duration;

use millstream_media::time::{NANOS_PER_SECOND, UtcTime};

use super::low_latency;
use super::playlist::{Media, Segment};
use crate::finding::Findings;
use crate::text::seconds;

/// Segments below which Apple's rule 8.11 is broken once a list slides.
const APPLE_LEAST_SEGMENTS: usize = 6;

/// Asks every rule about what `new` may change of `old`.
pub fn check(old: &Media, new: &Media, url: &str, findings: &mut Findings) {
    if old.ended {
        if !new.ended || old.segments != new.segments {
            findings.error("CHECK-1g", url, "the list changed after EXT-X-ENDLIST");
        }
        return;
    }
    header(old, new, url, findings);
    let (before, after) = (old.first_number(), new.first_number());
    if after < before {
        findings.error_at(
            "1.9",
            url,
            new.line_of("EXT-X-MEDIA-SEQUENCE"),
            format!("EXT-X-MEDIA-SEQUENCE fell from {before} to {after}"),
        );
        return;
    }
    let removed = after - before;
    let first_uri = |m: &Media| m.segments.first().map(|s| s.uri.clone());
    if new.media_sequence.is_none() && first_uri(old) != first_uri(new) {
        findings.error("1.9", url, "segments were removed, but EXT-X-MEDIA-SEQUENCE is not written");
    }
    if removed > old.segments.len() as u64 {
        let last = before.saturating_add(old.segments.len() as u64);
        findings.error("1.8", url, format!("the list jumped: it ended before {last} and now begins at {after}"));
        return;
    }
    common_segments(old, new, url, findings);
    low_latency::change(old, new, url, findings);
    if removed > 0 {
        length_after_removal(new, url, findings);
        if let Some(kind) = old.playlist_type.as_deref().or(new.playlist_type.as_deref()) {
            findings.error("1.14", url, format!("segments were removed from a list of type {kind}"));
        }
    }
}

/// Rule 1.12: without `EXT-X-ENDLIST` a new segment is listed within 1.5 target durations of the last one.
/// `slack` is how late the watcher itself can have been.
pub fn late(media: &Media, last_new: UtcTime, now: UtcTime, slack: Duration, url: &str, findings: &mut Findings) {
    let Some(target) = media.target_duration.filter(|_| !media.ended) else { return };
    let limit = Duration::from_millis(target.saturating_mul(1500)) + slack;
    let since = now.since(last_new);
    if since > limit {
        let message = format!("no new segment for {:.1} s; 1.5 target durations are {:.1} s", since.as_secs_f64(), {
            target as f64 * 1.5
        });
        findings.error("1.12", url, message);
    }
}

fn header(old: &Media, new: &Media, url: &str, findings: &mut Findings) {
    if old.target_duration != new.target_duration {
        let (a, b) = (old.target_duration.unwrap_or(0), new.target_duration.unwrap_or(0));
        findings.error_at(
            "1.7",
            url,
            new.line_of("EXT-X-TARGETDURATION"),
            format!("EXT-X-TARGETDURATION changed from {a} to {b}"),
        );
    }
    let changed = [
        ("EXT-X-VERSION", old.version != new.version),
        ("EXT-X-PLAYLIST-TYPE", old.playlist_type != new.playlist_type),
        ("EXT-X-INDEPENDENT-SEGMENTS", old.independent_segments != new.independent_segments),
        ("EXT-X-I-FRAMES-ONLY", old.i_frames_only != new.i_frames_only),
        ("EXT-X-PART-INF", old.part_target != new.part_target),
        (
            "EXT-X-SERVER-CONTROL",
            old.server_control.as_ref().map(|a| a.sorted()) != new.server_control.as_ref().map(|a| a.sorted()),
        ),
    ];
    for (tag, _) in changed.iter().filter(|(_, c)| *c) {
        findings.error_at("1.8", url, new.line_of(tag), format!("{tag} changed"));
    }
}

fn common_segments(old: &Media, new: &Media, url: &str, findings: &mut Findings) {
    let first = new.first_number();
    let kept: Vec<&Segment> = old.segments.iter().filter(|s| s.number >= first).collect();
    if kept.len() > new.segments.len() {
        findings.error("1.8", url, format!("{} segments vanished from the end", kept.len() - new.segments.len()));
    }
    for (index, (a, b)) in kept.iter().zip(&new.segments).enumerate() {
        let changed = [
            ("URI", a.uri != b.uri),
            ("EXTINF", a.duration_text != b.duration_text),
            ("EXT-X-MAP", a.map != b.map),
            ("EXT-X-BYTERANGE", a.byte_range != b.byte_range),
            ("EXT-X-GAP", a.gap != b.gap),
            // The tag of the first segment listed may go with the segment before it; its count is compared below.
            ("EXT-X-DISCONTINUITY", index > 0 && a.discontinuity != b.discontinuity),
            ("EXT-X-PROGRAM-DATE-TIME", a.date_time.zip(b.date_time).is_some_and(|(x, y)| x != y)),
        ];
        for (what, _) in changed.iter().filter(|(_, c)| *c) {
            findings.error_at("1.8", url, b.line, format!("{what} of segment {} changed", b.number));
        }
        if a.discontinuity_number != b.discontinuity_number {
            let (x, y) = (a.discontinuity_number, b.discontinuity_number);
            let message = format!("segment {}'s discontinuity sequence number changed from {x} to {y}", b.number);
            findings.error_at("1.16", url, b.line, message);
        }
    }
}

fn length_after_removal(new: &Media, url: &str, findings: &mut Findings) {
    if new.ended {
        return;
    }
    let target = i64::try_from(new.target_duration.unwrap_or(0)).unwrap_or(i64::MAX);
    let least = target.saturating_mul(3).saturating_mul(NANOS_PER_SECOND);
    let length = new.duration();
    if length < least {
        findings.error("1.10", url, format!("{} are left, less than three target durations", seconds(length)));
    }
    if new.segments.len() < APPLE_LEAST_SEGMENTS {
        let count = new.segments.len();
        findings.error("1.10", url, format!("{count} segments are left, Apple's rule 8.11 wants 6"));
    }
}
