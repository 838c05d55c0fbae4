//! Lines to a playlist. What is unknown is passed over; what is malformed becomes a finding.

use millstream_media::time::UtcTime;

use super::attributes::Attributes;
use super::keys::{self, Keys};
use crate::finding::{Findings, Line};
use crate::text::{has_milliseconds, parse_decimal_nanos, parse_iso8601};

/// A playlist of either kind.
#[derive(Clone, Debug)]
pub enum Playlist {
    /// Lists renditions.
    Multivariant(Box<Multivariant>),
    /// Lists segments.
    Media(Box<Media>),
}

/// A multivariant playlist.
#[derive(Clone, Debug, Default)]
pub struct Multivariant {
    /// `EXT-X-VERSION`.
    pub version: Option<u64>,
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub independent_segments: bool,
    /// `EXT-X-STREAM-INF` with the URI that follows.
    pub variants: Vec<(Attributes, String)>,
    /// `EXT-X-MEDIA`.
    pub media: Vec<Attributes>,
    /// `EXT-X-I-FRAME-STREAM-INF`.
    pub i_frames: Vec<Attributes>,
    /// `EXT-X-SESSION-KEY`.
    pub session_keys: Vec<Attributes>,
}

/// A media playlist.
#[derive(Clone, Debug, Default)]
pub struct Media {
    /// `EXT-X-VERSION`.
    pub version: Option<u64>,
    /// `EXT-X-TARGETDURATION` in seconds.
    pub target_duration: Option<u64>,
    /// `EXT-X-MEDIA-SEQUENCE`, if written.
    pub media_sequence: Option<u64>,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`, if written.
    pub discontinuity_sequence: Option<u64>,
    /// `EXT-X-PLAYLIST-TYPE`.
    pub playlist_type: Option<String>,
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub independent_segments: bool,
    /// `EXT-X-I-FRAMES-ONLY`.
    pub i_frames_only: bool,
    /// `EXT-X-ENDLIST`.
    pub ended: bool,
    /// `EXT-X-SERVER-CONTROL`.
    pub server_control: Option<Attributes>,
    /// `EXT-X-PART-INF:PART-TARGET` in nanoseconds.
    pub part_target: Option<i64>,
    /// Segments, oldest first.
    pub segments: Vec<Segment>,
    /// `EXT-X-PART`, oldest first, of whole segments and of the one still being made.
    pub parts: Vec<Part>,
    /// `EXT-X-PRELOAD-HINT`.
    pub hints: Vec<Attributes>,
    /// `EXT-X-RENDITION-REPORT`.
    pub reports: Vec<Attributes>,
    /// `EXT-X-SKIP`: how many segments a delta update leaves out.
    pub skipped: Option<u64>,
    /// The tags that came up, for the version floor, and where.
    pub tags: Vec<(String, Line)>,
}

/// A media segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Its media sequence number.
    pub number: u64,
    /// URI as written.
    pub uri: String,
    /// `EXTINF` as written.
    pub duration_text: String,
    /// `EXTINF` in nanoseconds.
    pub duration: i64,
    /// `EXT-X-DISCONTINUITY` before it.
    pub discontinuity: bool,
    /// Its discontinuity sequence number.
    pub discontinuity_number: u64,
    /// `EXT-X-GAP`.
    pub gap: bool,
    /// `EXT-X-PROGRAM-DATE-TIME` on this very segment.
    pub date_time: Option<UtcTime>,
    /// Its `EXT-X-MAP`: URI and byte range.
    pub map: Option<(String, Option<ByteRange>)>,
    /// `EXT-X-KEY` in force.
    pub keys: Keys,
    /// `EXT-X-BYTERANGE`.
    pub byte_range: Option<ByteRange>,
    /// `EXT-X-BITRATE` in kbit/s.
    pub bitrate_kbps: Option<u64>,
    /// Where its URI stands.
    pub line: Line,
}

/// A partial segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Media sequence number of its segment.
    pub segment: u64,
    /// Its index in the segment, from 0.
    pub index: u64,
    /// URI as written.
    pub uri: String,
    /// `DURATION` in nanoseconds.
    pub duration: i64,
    /// `INDEPENDENT=YES`.
    pub independent: bool,
    /// `GAP=YES`.
    pub gap: bool,
    /// `BYTERANGE`.
    pub byte_range: Option<ByteRange>,
    /// Where it stands.
    pub line: Line,
}

/// A byte range of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Media {
    /// Number of the first segment listed.
    pub fn first_number(&self) -> u64 {
        self.media_sequence.unwrap_or(0)
    }

    /// Where a tag first stands.
    pub fn line_of(&self, tag: &str) -> Line {
        self.tags.iter().find(|(t, _)| t == tag).map_or(Line(0), |(_, line)| *line)
    }

    /// Number of the last whole segment listed.
    pub fn last_number(&self) -> Option<u64> {
        self.segments.last().map(|s| s.number)
    }

    /// Number of the segment that comes after the last whole one.
    pub fn next_number(&self) -> u64 {
        self.last_number().map_or(self.first_number(), |n| n.saturating_add(1))
    }

    /// Parts of one segment, in order.
    pub fn parts_of(&self, segment: u64) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |p| p.segment == segment)
    }

    /// Whether a part of that segment, or the whole segment, or something later is listed.
    pub fn contains(&self, segment: u64, part: Option<u64>) -> bool {
        let whole = self.last_number().is_some_and(|n| n >= segment);
        whole || part.is_some_and(|p| self.parts.iter().any(|x| (x.segment, x.index) >= (segment, p)))
    }

    /// Sum of all `EXTINF`, in nanoseconds.
    pub fn duration(&self) -> i64 {
        self.segments.iter().fold(0, |sum, s| sum.saturating_add(s.duration))
    }

    /// Date and time of each segment: written, or counted on from the last one written.
    pub fn date_times(&self) -> Vec<Option<UtcTime>> {
        let mut out = Vec::with_capacity(self.segments.len());
        let mut next = None;
        for segment in &self.segments {
            let at = segment.date_time.or(next);
            next = at.map(|t| UtcTime(t.0.saturating_add(segment.duration)));
            out.push(at);
        }
        out
    }
}

/// Reads a playlist and says what is malformed about it: rules 1.1, 1.3, 1.9 (place), 1.17 (form), attribute lists.
pub fn parse(body: &[u8], url: &str, findings: &mut Findings) -> Option<Playlist> {
    let Ok(text) = std::str::from_utf8(body) else {
        findings.error("1.1", url, "not UTF-8");
        return None;
    };
    if text.starts_with('\u{feff}') {
        findings.error("1.1", url, "begins with a byte order mark");
    }
    if let Some(c) = text.chars().find(|c| c.is_control() && !matches!(c, '\r' | '\n')) {
        findings.error("1.1", url, format!("has the control character {c:?}"));
    }
    let text = text.trim_start_matches('\u{feff}');
    let lines: Vec<&str> = text.lines().map(|l| l.trim_end_matches('\r')).collect();
    if lines.first() != Some(&"#EXTM3U") {
        findings.error("1.3", url, "the first line is not #EXTM3U");
        if !text.contains("#EXT") {
            return None;
        }
    }
    if lines.iter().filter(|l| l.starts_with("#EXT-X-VERSION")).count() > 1 {
        findings.error("1.3", url, "EXT-X-VERSION is there more than once");
    }
    let is_multivariant = lines.iter().any(|l| l.starts_with("#EXT-X-STREAM-INF") || l.starts_with("#EXT-X-MEDIA:"));
    let is_media = lines.iter().any(|l| l.starts_with("#EXTINF") || l.starts_with("#EXT-X-TARGETDURATION"));
    if is_multivariant && is_media {
        findings.error("1.3", url, "has tags of both a multivariant and a media playlist");
    }
    let mut reader = Reader { url, findings, tags: Vec::new(), line: Line(0) };
    Some(if is_multivariant {
        Playlist::Multivariant(Box::new(reader.multivariant(&lines)))
    } else {
        Playlist::Media(Box::new(reader.media(&lines)))
    })
}

struct Reader<'a> {
    url: &'a str,
    findings: &'a mut Findings,
    tags: Vec<(String, Line)>,
    /// The one being read.
    line: Line,
}

impl Reader<'_> {
    fn multivariant(&mut self, lines: &[&str]) -> Multivariant {
        let mut out = Multivariant::default();
        let mut stream_inf: Option<Attributes> = None;
        for line in lines {
            self.line.0 = self.line.0.saturating_add(1);
            let Some((tag, value)) = tag(line) else {
                if !line.is_empty() && !line.starts_with('#') {
                    match stream_inf.take() {
                        Some(a) => out.variants.push((a, (*line).to_owned())),
                        None => self.findings.error_at(
                            "1.3",
                            self.url,
                            self.line,
                            format!("URI '{line}' without EXT-X-STREAM-INF"),
                        ),
                    }
                }
                continue;
            };
            match tag {
                "EXT-X-VERSION" => out.version = self.integer("1.3", tag, value),
                "EXT-X-INDEPENDENT-SEGMENTS" => out.independent_segments = true,
                "EXT-X-STREAM-INF" => stream_inf = self.attributes(tag, value),
                "EXT-X-MEDIA" => out.media.extend(self.attributes(tag, value)),
                "EXT-X-SESSION-KEY" => out.session_keys.extend(self.key(tag, value)),
                "EXT-X-I-FRAME-STREAM-INF" => out.i_frames.extend(self.attributes(tag, value)),
                _ => {}
            }
        }
        if stream_inf.is_some() {
            self.findings.error_at("1.3", self.url, self.line, "EXT-X-STREAM-INF without a URI");
        }
        out
    }

    fn media(&mut self, lines: &[&str]) -> Media {
        let mut out = Media::default();
        let mut next = Segment::default();
        let mut has_extinf = false;
        let mut map = None;
        let mut bitrate = None;
        let mut keys = Keys::default();
        let mut discontinuities = 0_u64;
        let mut part_seen = false;
        for line in lines {
            self.line.0 = self.line.0.saturating_add(1);
            let Some((tag, value)) = tag(line) else {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                if !has_extinf {
                    self.findings.error_at("1.7", self.url, self.line, format!("segment '{line}' has no EXTINF"));
                }
                next.uri = (*line).to_owned();
                next.line = self.line;
                next.number = upcoming(&out);
                discontinuities += u64::from(next.discontinuity);
                next.discontinuity_number = out.discontinuity_sequence.unwrap_or(0).saturating_add(discontinuities);
                next.map.clone_from(&map);
                next.keys = keys.clone();
                next.bitrate_kbps = bitrate;
                if let (Some(range), Some(before)) = (&mut next.byte_range, out.segments.last())
                    && range.offset == u64::MAX
                {
                    range.offset = match before.byte_range {
                        Some(b) if before.uri == next.uri => b.offset.saturating_add(b.length),
                        _ => 0,
                    };
                }
                out.segments.push(std::mem::take(&mut next));
                has_extinf = false;
                part_seen = false;
                continue;
            };
            self.tags.push((tag.to_owned(), self.line));
            let headers_only = matches!(tag, "EXT-X-MEDIA-SEQUENCE" | "EXT-X-DISCONTINUITY-SEQUENCE");
            if headers_only && !out.segments.is_empty() {
                self.findings.error_at("1.9", self.url, self.line, format!("{tag} comes after a segment"));
            }
            let before_parts =
                matches!(tag, "EXT-X-DISCONTINUITY" | "EXT-X-MAP" | "EXT-X-KEY" | "EXT-X-PROGRAM-DATE-TIME");
            if before_parts && part_seen {
                self.findings.error_at("1.37", self.url, self.line, format!("{tag} comes after a part of its segment"));
            }
            match tag {
                "EXT-X-VERSION" => out.version = self.integer("1.3", tag, value),
                "EXT-X-TARGETDURATION" => out.target_duration = self.integer("1.7", tag, value),
                "EXT-X-MEDIA-SEQUENCE" => out.media_sequence = self.integer("1.9", tag, value),
                "EXT-X-DISCONTINUITY-SEQUENCE" => out.discontinuity_sequence = self.integer("1.16", tag, value),
                "EXT-X-PLAYLIST-TYPE" => out.playlist_type = Some(value.to_owned()),
                "EXT-X-INDEPENDENT-SEGMENTS" => out.independent_segments = true,
                "EXT-X-I-FRAMES-ONLY" => out.i_frames_only = true,
                "EXT-X-ENDLIST" => out.ended = true,
                "EXT-X-SERVER-CONTROL" => out.server_control = self.attributes(tag, value),
                "EXT-X-PART-INF" => {
                    let list = self.attributes(tag, value);
                    out.part_target = list.and_then(|a| parse_decimal_nanos(a.get("PART-TARGET")?));
                }
                "EXT-X-PART" => {
                    let part = self.attributes(tag, value).map(|a| self.part(&a, &out));
                    out.parts.extend(part);
                    part_seen = true;
                }
                "EXT-X-PRELOAD-HINT" => out.hints.extend(self.attributes(tag, value)),
                "EXT-X-RENDITION-REPORT" => out.reports.extend(self.attributes(tag, value)),
                "EXT-X-SKIP" => {
                    out.skipped = self.attributes(tag, value).and_then(|a| a.integer("SKIPPED-SEGMENTS"));
                    if out.skipped.is_none() || !out.segments.is_empty() {
                        self.findings.error_at(
                            "1.42",
                            self.url,
                            self.line,
                            "EXT-X-SKIP without SKIPPED-SEGMENTS or after a segment",
                        );
                    }
                }
                "EXT-X-DISCONTINUITY" => next.discontinuity = true,
                "EXT-X-GAP" => next.gap = true,
                "EXT-X-BITRATE" => bitrate = self.integer("1.23", tag, value),
                "EXT-X-PROGRAM-DATE-TIME" => next.date_time = self.date_time(value),
                "EXT-X-BYTERANGE" => next.byte_range = self.byte_range(value),
                "EXT-X-KEY" => {
                    if let Some(key) = self.key(tag, value) {
                        keys.push(key);
                    }
                }
                "EXT-X-MAP" => {
                    map = self.attributes(tag, value).and_then(|a| {
                        let range = a.get("BYTERANGE").and_then(|r| self.byte_range(r));
                        Some((a.get("URI")?.to_owned(), range))
                    });
                    if map.is_none() {
                        self.findings.error_at("1.19", self.url, self.line, "EXT-X-MAP without URI");
                    }
                }
                "EXTINF" => {
                    let text = value.split(',').next().unwrap_or_default();
                    has_extinf = true;
                    text.clone_into(&mut next.duration_text);
                    match parse_decimal_nanos(text) {
                        Some(n) => next.duration = n,
                        None => {
                            self.findings.error_at("1.7", self.url, self.line, format!("EXTINF:{value} is no duration"))
                        }
                    }
                }
                _ => {}
            }
        }
        out.tags = std::mem::take(&mut self.tags);
        out
    }

    /// A part of the segment that comes next; rule 1.37 (what it must say).
    fn part(&mut self, attributes: &Attributes, out: &Media) -> Part {
        let segment = upcoming(out);
        let index = out.parts.iter().rev().take_while(|p| p.segment == segment).count() as u64;
        let duration = attributes.get("DURATION").and_then(parse_decimal_nanos);
        if duration.is_none() || attributes.get("URI").is_none() {
            self.findings.error_at(
                "1.37",
                self.url,
                self.line,
                format!("part {index} of segment {segment} lacks URI or DURATION"),
            );
        }
        let yes = |name: &str| attributes.get(name) == Some("YES");
        let uri = attributes.get("URI").unwrap_or_default().to_owned();
        let mut byte_range = attributes.get("BYTERANGE").and_then(|r| self.byte_range(r));
        if let Some(range) = &mut byte_range
            && range.offset == u64::MAX
        {
            let before = out.parts.last().filter(|p| p.uri == uri).and_then(|p| p.byte_range);
            range.offset = before.map_or(0, |b| b.offset.saturating_add(b.length));
        }
        Part {
            segment,
            index,
            uri,
            duration: duration.unwrap_or(0),
            independent: yes("INDEPENDENT"),
            gap: yes("GAP"),
            byte_range,
            line: self.line,
        }
    }

    /// A key, and rule 1.51 on its form.
    fn key(&mut self, tag: &str, value: &str) -> Option<Attributes> {
        let key = self.attributes(tag, value)?;
        keys::form(&key, tag, self.url, self.findings);
        Some(key)
    }

    fn attributes(&mut self, tag: &str, value: &str) -> Option<Attributes> {
        match Attributes::parse(value) {
            Ok(mut list) => {
                list.line = self.line;
                Some(list)
            }
            Err(e) => {
                self.findings.error_at("1.3", self.url, self.line, format!("{tag}: {e}"));
                None
            }
        }
    }

    fn integer(&mut self, rule: &'static str, tag: &str, value: &str) -> Option<u64> {
        let number = value.parse().ok().filter(|_| value.bytes().all(|b| b.is_ascii_digit()));
        if number.is_none() {
            self.findings.error_at(rule, self.url, self.line, format!("{tag}:{value} is no decimal integer"));
        }
        number
    }

    fn date_time(&mut self, value: &str) -> Option<UtcTime> {
        let at = parse_iso8601(value);
        if at.is_none() {
            self.findings.error_at(
                "1.17",
                self.url,
                self.line,
                format!("'{value}' is no ISO 8601 instant with a zone"),
            );
        } else if !has_milliseconds(value) {
            self.findings.warn_at("1.17", self.url, self.line, format!("'{value}' has no milliseconds"));
        }
        at
    }

    /// `LENGTH[@OFFSET]`; an offset that is not written is marked by `u64::MAX` until the segment is known.
    fn byte_range(&mut self, value: &str) -> Option<ByteRange> {
        let (length, offset) = value.split_once('@').map_or((value, None), |(l, o)| (l, Some(o)));
        let parsed = match (length.parse(), offset.map(str::parse)) {
            (Ok(length), None) => Some(ByteRange { length, offset: u64::MAX }),
            (Ok(length), Some(Ok(offset))) => Some(ByteRange { length, offset }),
            _ => None,
        };
        if parsed.is_none() {
            self.findings.error_at("1.3", self.url, self.line, format!("'{value}' is no byte range"));
        }
        parsed
    }
}

/// Number of the segment that the next lines are about.
fn upcoming(out: &Media) -> u64 {
    out.first_number().saturating_add(out.skipped.unwrap_or(0)).saturating_add(out.segments.len() as u64)
}

fn tag(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix('#').filter(|r| r.starts_with("EXT"))?;
    Some(rest.split_once(':').unwrap_or((rest, "")))
}
