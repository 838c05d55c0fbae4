//! HLS playlists as a viewer reads them: tolerant of what it does not know, shared by all who got the same body.

use std::time::Duration;

use crate::dash::Dash;

/// What a URL of a presentation leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Playlist {
    /// The list of variants.
    Multivariant(Multivariant),
    /// The list of segments.
    Media(Media),
    /// An MPD, from which lists of segments are made.
    Dash(Dash),
}

/// Something to fetch: an absolute URL, and the first and last byte if only a part of it is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// The URL.
    pub url: String,
    /// First and last byte.
    pub range: Option<(u64, u64)>,
}

impl Resource {
    /// The whole of what is at this URL.
    pub fn whole(url: impl Into<String>) -> Self {
        Resource { url: url.into(), range: None }
    }
}

/// A part of a segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// Where it is.
    pub at: Resource,
    /// DURATION.
    pub duration: Duration,
    /// GAP: there is nothing to fetch.
    pub gap: bool,
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
    /// How far behind the wall clock a viewer plays (DASH).
    pub delay: Option<Duration>,
    /// When the next segment can be asked for, in ms since 1970 (DASH with numbers by the clock).
    pub next_ms: Option<i64>,
}

/// A segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segment {
    /// Media sequence number; in DASH the presentation time in ms, which grows across periods, too.
    pub number: u64,
    /// Where it is; `None` while a segment of an HLS playlist is in the making.
    pub at: Option<Resource>,
    /// EXTINF, or the sum of the parts so far.
    pub duration: Duration,
    /// EXT-X-PROGRAM-DATE-TIME, given or carried on, in ms since 1970.
    pub date_ms: Option<i64>,
    /// EXT-X-GAP.
    pub gap: bool,
    /// Its header.
    pub map: Option<Resource>,
    /// Its parts.
    pub parts: Vec<Part>,
    /// Length of its chunks, if it is sent while it is made (DASH).
    pub chunk: Option<Duration>,
}

/// Parses a playlist or an MPD fetched from `base`; `None` if it is neither.
pub fn parse(text: &str, base: &str) -> Option<Playlist> {
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        return crate::dash::parse(text, base).map(Playlist::Dash);
    }
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
    let mut range: Option<(u64, u64)> = None;
    // RFC 8216bis 4.4.4.2: a range without an offset follows the one before.
    let mut after = 0;
    let mut part_after = 0;
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
            "#EXT-X-MAP" => {
                let range = attribute(value, "BYTERANGE").and_then(|r| byte_range(&r, 0));
                map = attribute(value, "URI").map(|u| Resource { url: join(base, &u), range });
            }
            "#EXT-X-BYTERANGE" => range = byte_range(value, after),
            "#EXT-X-PROGRAM-DATE-TIME" => date = date_ms(value),
            "#EXT-X-GAP" => next.gap = true,
            "#EXT-X-PART" => {
                let found = attribute(value, "URI").zip(attribute(value, "DURATION").and_then(|v| seconds(&v)));
                if let Some((uri, duration)) = found {
                    let range = attribute(value, "BYTERANGE").and_then(|r| byte_range(&r, part_after));
                    part_after = range.map_or(0, |r| r.1.saturating_add(1));
                    let gap = attribute(value, "GAP").as_deref() == Some("YES");
                    next.parts.push(Part { at: Resource { url: join(base, &uri), range }, duration, gap });
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
                    let range = range.take();
                    after = range.map_or(0, |r| r.1.saturating_add(1));
                    part_after = 0;
                    let at = Some(Resource { url: join(base, line), range });
                    let made = Segment { at, date_ms: date, map: map.clone(), ..next };
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
        let duration = next.parts.iter().map(|p| p.duration).fold(Duration::ZERO, Duration::saturating_add);
        media.segments.push(Segment { duration, date_ms: date, map, ..next });
    }
    (media.target > Duration::ZERO).then_some(Playlist::Media(media))
}

/// `LENGTH` or `LENGTH@OFFSET` as first and last byte.
fn byte_range(text: &str, after: u64) -> Option<(u64, u64)> {
    let (length, offset) = text.split_once('@').unwrap_or((text, ""));
    let first = if offset.is_empty() { after } else { offset.trim().parse().ok()? };
    let length: u64 = length.trim().parse().ok()?;
    Some((first, first.checked_add(length.checked_sub(1)?)?))
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
pub(crate) fn date_ms(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 719_469;
    let mut at = ((days * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60_000 + number(17, 19)? * 1000;
    let rest = text.get(19..)?;
    let zone = rest.find(['Z', '+', '-'])?;
    if let Some(fraction) = rest.get(1..zone) {
        fraction.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
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
    if reference.starts_with("http://") || reference.starts_with("https://") {
        return reference.to_owned();
    }
    let base = base.split(['?', '#']).next().unwrap_or(base);
    let host = base.find("://").map_or(0, |i| i + 3);
    let path = base.get(host..).and_then(|r| r.find('/')).map_or(base.len(), |i| host + i);
    if reference.starts_with("//") {
        return format!("{}:{reference}", base.split_once(':').map_or("http", |b| b.0));
    }
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
        assert_eq!(join("https://h/a/b.m3u8", "//k/d"), "https://k/d");
        assert_eq!(join("http://h/a/b.m3u8", "d?to=http://k/"), "http://h/a/d?to=http://k/");
        assert_eq!(date_ms("1970-01-02T00:00:01.500Z"), Some(86_401_500));
        assert_eq!(date_ms("2026-02-02T02:40:04.000Z"), Some(1_770_000_004_000));
        assert_eq!(date_ms("1970-01-01T01:00:00+01:00"), Some(0));
    }

    #[test]
    fn ranges_and_gaps() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"a\",BYTERANGE=\"10@0\"\n#EXTINF:2,\n\
            #EXT-X-BYTERANGE:100@10\na\n#EXTINF:2,\n#EXT-X-BYTERANGE:50\na\n#EXT-X-GAP\n#EXTINF:2,\nb\n";
        let Some(Playlist::Media(media)) = parse(text, "http://h/m") else { unreachable!() };
        let ranges: Vec<_> = media.segments.iter().map(|s| s.at.as_ref().unwrap().range).collect();
        assert_eq!(ranges, [Some((10, 109)), Some((110, 159)), None]);
        assert_eq!(media.segments[0].map.as_ref().unwrap().range, Some((0, 9)));
        assert_eq!(media.segments.iter().map(|s| s.gap).collect::<Vec<_>>(), [false, false, true]);
    }
}
