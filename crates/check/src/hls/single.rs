//! Rules of one version of a media playlist: 1.4, 1.7, 1.14, 1.16, 1.17.

use millstream_media::time::NANOS_PER_SECOND;

use super::playlist::Media;
use super::{keys, low_latency};
use crate::finding::Findings;
use crate::text::seconds;

/// Overlap or hole between two written dates from which a position in time is ambiguous (rule 1.17).
const AMBIGUOUS_NANOS: i64 = NANOS_PER_SECOND;

/// Deviation of a written date from the counted one that we report as drift.
const DRIFT_NANOS: i64 = 50_000_000;

/// Asks every rule that one version of a media playlist can break by itself.
pub fn check(media: &Media, url: &str, findings: &mut Findings) {
    version(media, url, findings);
    durations(media, url, findings);
    kind(media, url, findings);
    discontinuities(media, url, findings);
    date_times(media, url, findings);
    low_latency::check(media, url, findings);
}

/// The version that the tags of a playlist need (rule 1.4).
fn floor(media: &Media) -> (u64, &'static str) {
    let has = |tag: &str| media.tags.iter().any(|(t, _)| t == tag);
    let float = media.segments.iter().any(|s| s.duration_text.contains('.'));
    let map = media.segments.iter().any(|s| s.map.is_some());
    let skipped = has("EXT-X-SKIP");
    [
        (float, 3, "a fractional EXTINF"),
        (has("EXT-X-BYTERANGE") || media.i_frames_only, 4, "byte ranges or I-frames only"),
        (map && media.i_frames_only, 5, "EXT-X-MAP in an I-frame playlist"),
        (map && !media.i_frames_only, 6, "EXT-X-MAP"),
        (has("EXT-X-DEFINE"), 8, "EXT-X-DEFINE"),
        (skipped, 9, "EXT-X-SKIP"),
        (true, keys::floor(media).0, keys::floor(media).1),
    ]
    .into_iter()
    .filter(|(used, ..)| *used)
    .map(|(_, v, why)| (v, why))
    .max()
    .unwrap_or((1, "nothing special"))
}

fn version(media: &Media, url: &str, findings: &mut Findings) {
    let (floor, why) = floor(media);
    let version = media.version.unwrap_or(1);
    if version < floor {
        findings.error_at(
            "1.4",
            url,
            media.line_of("EXT-X-VERSION"),
            format!("EXT-X-VERSION is {version}, {why} needs {floor}"),
        );
    } else if version > floor {
        findings.warn_at(
            "1.4",
            url,
            media.line_of("EXT-X-VERSION"),
            format!("EXT-X-VERSION is {version}, {floor} is enough"),
        );
    }
}

fn durations(media: &Media, url: &str, findings: &mut Findings) {
    let Some(target) = media.target_duration.filter(|t| *t >= 1) else {
        findings.error("1.7", url, "no EXT-X-TARGETDURATION of 1 or more");
        return;
    };
    for segment in &media.segments {
        let rounded = segment.duration.saturating_add(NANOS_PER_SECOND / 2) / NANOS_PER_SECOND;
        if u64::try_from(rounded).unwrap_or(0) > target {
            let length = seconds(segment.duration);
            findings.error_at(
                "1.7",
                url,
                segment.line,
                format!("segment {} lasts {length}, the target is {target} s", segment.number),
            );
        }
    }
}

fn kind(media: &Media, url: &str, findings: &mut Findings) {
    match media.playlist_type.as_deref() {
        None => {}
        Some("VOD") if !media.ended => {
            findings.error_at("1.14", url, media.line_of("EXT-X-PLAYLIST-TYPE"), "type VOD without EXT-X-ENDLIST")
        }
        Some("EVENT" | "VOD") if media.first_number() > 0 && media.media_sequence.is_some() && !media.ended => {
            findings.error_at(
                "1.14",
                url,
                media.line_of("EXT-X-PLAYLIST-TYPE"),
                "EXT-X-PLAYLIST-TYPE on a playlist that slides",
            );
        }
        Some("EVENT" | "VOD") => {}
        Some(other) => findings.error_at(
            "1.14",
            url,
            media.line_of("EXT-X-PLAYLIST-TYPE"),
            format!("EXT-X-PLAYLIST-TYPE:{other} is none"),
        ),
    }
}

fn discontinuities(media: &Media, url: &str, findings: &mut Findings) {
    let first = media.segments.iter().find(|s| s.discontinuity);
    if let Some(segment) = first
        && !media.ended
        && media.discontinuity_sequence.is_none()
    {
        findings.error_at(
            "1.16",
            url,
            segment.line,
            format!("EXT-X-DISCONTINUITY before segment {} without EXT-X-DISCONTINUITY-SEQUENCE", segment.number),
        );
    }
    for pair in media.segments.windows(2) {
        let [a, b] = pair else { continue };
        // Another key needs another header of the same track, which is no discontinuity.
        let rekeyed = a.keys != b.keys && !a.keys.list().is_empty() && !b.keys.list().is_empty();
        if a.map.is_some() && b.map.is_some() && a.map != b.map && !b.discontinuity && !rekeyed {
            let message = format!("EXT-X-MAP changes before segment {} without EXT-X-DISCONTINUITY", b.number);
            findings.error_at("1.16", url, b.line, message);
        }
    }
}

fn date_times(media: &Media, url: &str, findings: &mut Findings) {
    if media.segments.is_empty() || media.i_frames_only {
        return;
    }
    if !media.ended && media.segments.iter().all(|s| s.date_time.is_none()) {
        findings.error("1.17", url, "no EXT-X-PROGRAM-DATE-TIME in a live playlist");
        return;
    }
    for segment in media.segments.iter().filter(|s| s.discontinuity && s.date_time.is_none()) {
        findings.warn_at(
            "1.17",
            url,
            segment.line,
            format!("segment {} has a discontinuity but no date", segment.number),
        );
    }
    let counted = media.date_times();
    for (i, pair) in media.segments.windows(2).enumerate() {
        let [a, b] = pair else { continue };
        let (Some(at), Some(written)) = (counted.get(i).copied().flatten(), b.date_time) else { continue };
        let off = written.0.saturating_sub(at.0.saturating_add(a.duration));
        if off <= -AMBIGUOUS_NANOS || (off >= AMBIGUOUS_NANOS && !b.discontinuity) {
            findings.error_at(
                "1.17",
                url,
                b.line,
                format!("segment {} is dated {} off the one before", b.number, seconds(off)),
            );
        } else if off.saturating_abs() > DRIFT_NANOS && !b.discontinuity {
            findings.warn_at(
                "1.17",
                url,
                b.line,
                format!("segment {} is dated {} off the one before", b.number, seconds(off)),
            );
        }
    }
}
