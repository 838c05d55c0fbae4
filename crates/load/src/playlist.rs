//! HLS playlists as a viewer reads them: tolerant of what it does not know, shared by all who got the same body.

use std::time::Duration;

/// A playlist of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Playlist {
    /// The list of variants.
    Multivariant(Multivariant),
    /// The list of segments.
    Media(Media),
}

/// Variants, lowest bandwidth first, and audio renditions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Multivariant {
    /// The variants.
    pub variants: Vec<Variant>,
    /// Group and absolute URL of each audio rendition that has one.
    pub audio: Vec<(String, String)>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Absolute URL of its playlist.
    pub url: String,
    /// BANDWIDTH in bit/s.
    pub bandwidth: u64,
    /// Its audio group.
    pub audio: Option<String>,
}

/// A media playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Media {
    /// EXT-X-TARGETDURATION.
    pub target: Duration,
    /// PART-TARGET, where there are parts.
    pub part_target: Option<Duration>,
    /// PART-HOLD-BACK.
    pub part_hold_back: Option<Duration>,
    /// HOLD-BACK.
    pub hold_back: Option<Duration>,
    /// CAN-BLOCK-RELOAD.
    pub can_block: bool,
    /// EXT-X-ENDLIST was there.
    pub ended: bool,
    /// The segments, and last the one in the making if it has parts.
    pub segments: Vec<Segment>,
}

/// A segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segment {
    /// Media sequence number.
    pub number: u64,
    /// Absolute URL; `None` while the segment is in the making.
    pub url: Option<String>,
    /// EXTINF, or the sum of the parts so far.
    pub duration: Duration,
    /// EXT-X-PROGRAM-DATE-TIME, given or carried on, in ms since 1970.
    pub date_ms: Option<i64>,
    /// EXT-X-GAP.
    pub gap: bool,
    /// Absolute URL of its header.
    pub map: Option<String>,
    /// Parts: absolute URL and duration.
    pub parts: Vec<(String, Duration)>,
}

/// Parses a playlist fetched from `base`; `None` if it is none.
pub fn parse(text: &str, base: &str) -> Option<Playlist> {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    if lines.next()? != "#EXTM3U" {
        return None;
    }
    let mut list = Multivariant::default();
    let mut media = Media::default();
    let mut variant: Option<(u64, Option<String>)> = None;
    let mut next = Segment::default();
    let mut map = None;
    let mut date: Option<i64> = None;
    for line in lines {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-STREAM-INF" => {
                let bandwidth = attribute(value, "BANDWIDTH").and_then(|v| v.parse().ok()).unwrap_or(0);
                variant = Some((bandwidth, attribute(value, "AUDIO")));
            }
            "#EXT-X-MEDIA" if attribute(value, "TYPE").as_deref() == Some("AUDIO") => {
                if let (Some(group), Some(uri)) = (attribute(value, "GROUP-ID"), attribute(value, "URI")) {
                    list.audio.push((group, join(base, &uri)));
                }
            }
            "#EXT-X-TARGETDURATION" => media.target = seconds(value)?,
            "#EXT-X-MEDIA-SEQUENCE" => next.number = value.parse().ok()?,
            "#EXT-X-PART-INF" => media.part_target = attribute(value, "PART-TARGET").and_then(|v| seconds(&v)),
            "#EXT-X-SERVER-CONTROL" => {
                media.can_block = attribute(value, "CAN-BLOCK-RELOAD").as_deref() == Some("YES");
                media.part_hold_back = attribute(value, "PART-HOLD-BACK").and_then(|v| seconds(&v));
                media.hold_back = attribute(value, "HOLD-BACK").and_then(|v| seconds(&v));
            }
            "#EXT-X-MAP" => map = attribute(value, "URI").map(|u| join(base, &u)),
            "#EXT-X-PROGRAM-DATE-TIME" => date = date_ms(value),
            "#EXT-X-GAP" => next.gap = true,
            "#EXT-X-PART" => {
                let part = attribute(value, "URI").zip(attribute(value, "DURATION").and_then(|v| seconds(&v)));
                if let Some((uri, duration)) = part {
                    next.parts.push((join(base, &uri), duration));
                }
            }
            "#EXTINF" => next.duration = seconds(value.split(',').next()?)?,
            "#EXT-X-ENDLIST" => media.ended = true,
            _ if line.starts_with('#') => {}
            _ => match variant.take() {
                Some((bandwidth, audio)) => {
                    list.variants.push(Variant { url: join(base, line), bandwidth, audio });
                }
                None => {
                    let number = next.number;
                    let made = Segment { url: Some(join(base, line)), date_ms: date, map: map.clone(), ..next };
                    date = date.map(|d| d.saturating_add(millis(made.duration)));
                    media.segments.push(made);
                    next = Segment { number: number.saturating_add(1), ..Segment::default() };
                }
            },
        }
    }
    if !list.variants.is_empty() {
        list.variants.sort_by_key(|v| v.bandwidth);
        return Some(Playlist::Multivariant(list));
    }
    if !next.parts.is_empty() {
        let duration = next.parts.iter().map(|p| p.1).fold(Duration::ZERO, Duration::saturating_add);
        media.segments.push(Segment { duration, date_ms: date, map, ..next });
    }
    (media.target > Duration::ZERO).then_some(Playlist::Media(media))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// The value of an attribute of a tag, quotes taken off.
fn attribute(list: &str, name: &str) -> Option<String> {
    let mut rest = list;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if key.trim() == name {
            return Some(value.to_owned());
        }
        rest = tail.strip_prefix(',')?;
    }
}

/// `2026-02-02T02:40:04.000Z` or with an offset, in ms since 1970.
fn date_ms(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 719_469;
    let mut at = ((days * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60_000 + number(17, 19)? * 1000;
    let rest = text.get(19..)?;
    let zone = rest.find(['Z', '+', '-'])?;
    if let Some(fraction) = rest.get(1..zone) {
        at += (format!("0.{fraction}").parse::<f64>().ok()? * 1000.0).round() as i64;
    }
    let offset = rest.get(zone..)?;
    if !offset.starts_with('Z') {
        let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
        let minutes = digits.get(0..2)?.parse::<i64>().ok()? * 60 + digits.get(2..4)?.parse::<i64>().ok()?;
        at -= if offset.starts_with('-') { -minutes } else { minutes } * 60_000;
    }
    Some(at)
}

/// Resolves a reference of a playlist against the playlist's URL.
pub fn join(base: &str, reference: &str) -> String {
    if reference.contains("://") {
        return reference.to_owned();
    }
    let base = base.split(['?', '#']).next().unwrap_or(base);
    let host = base.find("://").map_or(0, |i| i + 3);
    let path = base.get(host..).and_then(|r| r.find('/')).map_or(base.len(), |i| host + i);
    if reference.starts_with('/') {
        return format!("{}{reference}", base.get(..path).unwrap_or(base));
    }
    let mut folder = base.get(..base.rfind('/').map_or(base.len(), |i| i.max(path))).unwrap_or(base);
    let mut rest = reference;
    while let Some(tail) = rest.strip_prefix("../") {
        rest = tail;
        folder = folder.rfind('/').filter(|i| *i >= path).and_then(|i| folder.get(..i)).unwrap_or(folder);
    }
    format!("{folder}/{}", rest.strip_prefix("./").unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_dates() {
        assert_eq!(join("http://h/a/b.m3u8?x=1", "../c/d.m4s"), "http://h/c/d.m4s");
        assert_eq!(join("http://h/a/b.m3u8", "/d"), "http://h/d");
        assert_eq!(join("http://h/a/b.m3u8", "d?v=2"), "http://h/a/d?v=2");
        assert_eq!(date_ms("1970-01-02T00:00:01.500Z"), Some(86_401_500));
        assert_eq!(date_ms("2026-02-02T02:40:04.000Z"), Some(1_770_000_004_000));
        assert_eq!(date_ms("1970-01-01T01:00:00+01:00"), Some(0));
    }
}
