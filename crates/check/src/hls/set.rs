//! Rules of a multivariant playlist and between its media playlists: 1.25 to 1.32, CHECK-1d.

use std::collections::BTreeMap;

use millstream_media::time::UtcTime;

use super::attributes::Attributes;
use super::playlist::{Media, Multivariant};
use crate::finding::{Findings, Line};

/// Largest difference between the dates of the same moment in two video playlists.
const VIDEO_DATE_NANOS: i64 = 1_000_000;

/// The same for audio: one AAC frame at 44.1 kHz, and the rounding of two dates.
const AUDIO_DATE_NANOS: i64 = 25_000_000;

/// Rules of the multivariant playlist alone: 1.27 to 1.32.
pub fn multivariant(list: &Multivariant, url: &str, findings: &mut Findings) {
    if list.variants.is_empty() {
        findings.error("1.27", url, "no variant");
    }
    let has_video = list.variants.iter().any(|(a, _)| has_video(a));
    for (attributes, uri) in &list.variants {
        variant(attributes, uri, url, findings);
    }
    for attributes in &list.i_frames {
        bandwidth(attributes, "EXT-X-I-FRAME-STREAM-INF", url, findings);
        if attributes.get("URI").is_none() {
            findings.error_at("1.28", url, attributes.line, "EXT-X-I-FRAME-STREAM-INF without URI");
        }
        if attributes.get("CODECS").is_none() {
            findings.error_at("1.28", url, attributes.line, "EXT-X-I-FRAME-STREAM-INF without CODECS");
        }
    }
    if has_video && list.i_frames.is_empty() {
        findings.error("1.28", url, "no I-frame playlist (Apple 6.1)");
    }
    if !list.independent_segments {
        findings.warn("1.28", url, "no EXT-X-INDEPENDENT-SEGMENTS (Apple 9.11)");
    }
    all_or_none(list, url, findings);
    groups(list, url, findings);
}

/// Whether a variant has video, by its attributes.
pub fn has_video(attributes: &Attributes) -> bool {
    let video = ["avc1", "avc3", "hvc1", "hev1", "av01", "vp09"];
    attributes.get("RESOLUTION").is_some()
        || attributes.get("CODECS").is_some_and(|c| c.split(',').any(|c| video.iter().any(|v| c.trim().starts_with(v))))
}

fn bandwidth(attributes: &Attributes, tag: &str, url: &str, findings: &mut Findings) {
    if attributes.integer("BANDWIDTH").is_none_or(|b| b == 0) {
        findings.error_at("1.27", url, attributes.line, format!("{tag} without BANDWIDTH"));
    }
}

fn variant(attributes: &Attributes, uri: &str, url: &str, findings: &mut Findings) {
    bandwidth(attributes, "EXT-X-STREAM-INF", url, findings);
    let mut lacks = |name: &str| {
        if attributes.get(name).is_none() {
            findings.error_at("1.28", url, attributes.line, format!("variant {uri} without {name}"));
        }
    };
    lacks("CODECS");
    lacks("AVERAGE-BANDWIDTH");
    if has_video(attributes) {
        lacks("RESOLUTION");
        lacks("FRAME-RATE");
        if let Some(rate) = attributes.get("FRAME-RATE")
            && rate.split_once('.').is_none_or(|(_, f)| f.len() != 3)
        {
            findings.error_at("1.28", url, attributes.line, format!("FRAME-RATE={rate} has not three decimals"));
        }
    }
    let (average, peak) = (attributes.integer("AVERAGE-BANDWIDTH"), attributes.integer("BANDWIDTH"));
    if average > peak && peak.is_some() {
        findings.error_at("1.27", url, attributes.line, format!("variant {uri}: AVERAGE-BANDWIDTH is above BANDWIDTH"));
    }
    if let Some(score) = attributes.get("SCORE")
        && score.parse::<f64>().map_or(true, |s| s.is_nan() || s < 0.0)
    {
        findings.error_at("1.30", url, attributes.line, format!("SCORE={score} is no positive number"));
    }
    if let Some(id) = attributes.get("STABLE-VARIANT-ID")
        && !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=._-".contains(&b))
    {
        findings.error_at(
            "1.31",
            url,
            attributes.line,
            format!("STABLE-VARIANT-ID \"{id}\" has a forbidden character"),
        );
    }
}

fn all_or_none(list: &Multivariant, url: &str, findings: &mut Findings) {
    let with_score = list.variants.iter().filter(|(a, _)| a.get("SCORE").is_some()).count();
    if with_score > 0 && with_score < list.variants.len() {
        findings.warn("1.30", url, "SCORE is on some variants only");
    }
    let none = |a: &Attributes| a.value("CLOSED-CAPTIONS").is_some_and(|v| !v.quoted && v.text == "NONE");
    let without = list.variants.iter().filter(|(a, _)| none(a)).count();
    if without > 0 && without < list.variants.len() {
        findings.error("1.32", url, "CLOSED-CAPTIONS=NONE is on some variants only");
    }
}

fn groups(list: &Multivariant, url: &str, findings: &mut Findings) {
    let mut groups: BTreeMap<(&str, &str), Vec<&Attributes>> = BTreeMap::new();
    for media in &list.media {
        let (Some(kind), Some(group), Some(_)) = (media.get("TYPE"), media.get("GROUP-ID"), media.get("NAME")) else {
            findings.error_at("1.32", url, media.line, "EXT-X-MEDIA without TYPE, GROUP-ID or NAME");
            continue;
        };
        if kind != "VIDEO" && media.get("LANGUAGE").is_none() {
            findings.error_at(
                "1.28",
                url,
                media.line,
                format!("EXT-X-MEDIA of type {kind} without LANGUAGE (Apple 8.10)"),
            );
        }
        groups.entry((kind, group)).or_default().push(media);
    }
    let mut members: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for ((kind, group), media) in &groups {
        let mut names: Vec<&str> = media.iter().filter_map(|m| m.get("NAME")).collect();
        names.sort_unstable();
        if names.windows(2).any(|p| p.first() == p.last()) {
            findings.error("1.32", url, format!("a NAME is twice in group \"{group}\" of type {kind}"));
        }
        if media.iter().filter(|m| m.get("DEFAULT") == Some("YES")).count() > 1 {
            findings.error("1.32", url, format!("group \"{group}\" of type {kind} has two defaults"));
        }
        match members.get(kind) {
            Some(first) if *first != names => {
                findings.error("1.32", url, format!("groups of type {kind} have different members"));
            }
            Some(_) => {}
            None => drop(members.insert(kind, names)),
        }
    }
    for (attributes, uri) in &list.variants {
        for kind in ["AUDIO", "VIDEO", "SUBTITLES"] {
            if let Some(group) = attributes.get(kind)
                && !groups.contains_key(&(kind, group))
            {
                findings.error_at(
                    "1.32",
                    url,
                    attributes.line,
                    format!("variant {uri} names the {kind} group \"{group}\", there is none"),
                );
            }
        }
    }
}

/// One media playlist of a set.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its URL.
    pub url: &'a str,
    /// The playlist.
    pub media: &'a Media,
    /// It is not video, so its segments may start up to one audio frame later.
    pub audio: bool,
}

/// Rules between the media playlists of one presentation, read at about the same time: 1.25, 1.26, CHECK-1d.
pub fn together(members: &[Member<'_>], findings: &mut Findings) {
    let Some((first, others)) = members.split_first() else { return };
    for other in others {
        if first.media.target_duration != other.media.target_duration {
            let (a, b) = (first.media.target_duration.unwrap_or(0), other.media.target_duration.unwrap_or(0));
            findings.error_at(
                "1.25",
                other.url,
                other.media.line_of("EXT-X-TARGETDURATION"),
                format!("the target duration is {b}, that of {} is {a}", first.url),
            );
        }
        let control = |m: &Media| m.server_control.clone();
        let (a, b) = (control(first.media), control(other.media));
        if a.as_ref().map(|a| a.sorted()) != b.as_ref().map(|a| a.sorted()) {
            findings.error_at(
                "1.26",
                other.url,
                other.media.line_of("EXT-X-SERVER-CONTROL"),
                format!("EXT-X-SERVER-CONTROL differs from that of {}", first.url),
            );
        }
        let dated = |m: &Media| m.segments.iter().any(|s| s.date_time.is_some());
        if !first.media.segments.is_empty()
            && !other.media.segments.is_empty()
            && dated(first.media) != dated(other.media)
        {
            findings.error("1.25", other.url, "some playlists have EXT-X-PROGRAM-DATE-TIME, some have not");
        }
        same_times(first, other, findings);
    }
}

fn same_times(first: &Member<'_>, other: &Member<'_>, findings: &mut Findings) {
    let tolerance = if first.audio || other.audio { AUDIO_DATE_NANOS } else { VIDEO_DATE_NANOS };
    let starts = |m: &Media| -> Vec<(UtcTime, u64, u64, Line)> {
        let dates = m.date_times();
        m.segments.iter().zip(dates).filter_map(|(s, d)| Some((d?, s.number, s.discontinuity_number, s.line))).collect()
    };
    let (a, b) = (starts(first.media), starts(other.media));
    let (Some(begin), Some(end)) = (a.first().map(|x| x.0), a.last().map(|x| x.0)) else { return };
    for (at, number, discontinuity, line) in b.into_iter().filter(|(at, ..)| *at >= begin && *at <= end) {
        let Some((near, _, near_discontinuity, _)) =
            a.iter().min_by_key(|(t, ..)| t.0.saturating_sub(at.0).saturating_abs())
        else {
            continue;
        };
        let off = near.0.saturating_sub(at.0).saturating_abs();
        if off > tolerance {
            let off_ms = off as f64 / 1e6;
            findings.error_at(
                "CHECK-1d",
                other.url,
                line,
                format!("segment {number} is dated {off_ms:.3} ms off the nearest start in {}", first.url),
            );
        } else if *near_discontinuity != discontinuity {
            findings.error_at(
                "1.25",
                other.url,
                line,
                format!(
                    "segment {number} has discontinuity sequence number {discontinuity}, {} has {near_discontinuity}",
                    first.url
                ),
            );
        }
    }
}
