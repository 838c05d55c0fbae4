//! One media playlist over time, and the segments it lists.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use bytes::Bytes;
use millstream_media::time::UtcTime;

use super::Watch;
use super::probe::Probe;
use crate::boxes::header::{self, Header, Media as HeaderMedia};
use crate::boxes::segment;
use crate::epoch;
use crate::hls::change;
use crate::hls::keys;
use crate::hls::low_latency;
use crate::hls::playlist::{self, Media, Playlist};
use crate::hls::single;
use crate::text::resolve;

/// Most segments of one rendition whose facts are kept; a watch of a day at 2 s has 43,200.
const MAX_FACTS: usize = 50_000;

/// Content types of CMAF media.
const MEDIA_TYPES: [&str; 5] = ["video/mp4", "audio/mp4", "application/mp4", "video/iso.segment", "audio/iso.segment"];

/// What is known of a segment that was read.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub url: String,
    /// Length in bytes.
    pub size: u64,
    /// Hash of its bytes, to compare with what the MPD names.
    pub hash: u64,
    /// `EXTINF` in nanoseconds.
    pub listed_duration: i64,
    /// Date as written or counted.
    pub date_time: Option<UtcTime>,
    /// A discontinuity stands before it.
    pub discontinuity: bool,
    /// URL of its header.
    pub header: String,
    pub segment: segment::Segment,
}

/// A segment that left the list and must stay fetchable for a while (1.11).
struct Removed {
    number: u64,
    url: String,
    until: UtcTime,
    since: UtcTime,
}

/// One media playlist over time.
pub(super) struct Rendition {
    pub url: String,
    /// Where redirects led: what it names is relative to this.
    pub base: String,
    pub i_frames: bool,
    body: Bytes,
    media: Option<Media>,
    last_new: UtcTime,
    last_read: UtcTime,
    headers: BTreeMap<String, Option<Header>>,
    pub facts: BTreeMap<u64, Fact>,
    /// Numbers that were read or passed over.
    seen_to: Option<u64>,
    /// The active questions of Low-Latency HLS were asked.
    probed: bool,
    removed: Vec<Removed>,
}

impl Rendition {
    pub fn new(url: String, i_frames: bool) -> Self {
        Rendition {
            base: url.clone(),
            url,
            i_frames,
            body: Bytes::new(),
            media: None,
            last_new: UtcTime::EPOCH,
            last_read: UtcTime::EPOCH,
            headers: BTreeMap::new(),
            facts: BTreeMap::new(),
            seen_to: None,
            probed: false,
            removed: Vec::new(),
        }
    }

    pub fn media(&self) -> Option<&Media> {
        self.media.as_ref()
    }

    pub fn ended(&self) -> bool {
        self.media.as_ref().is_some_and(|m| m.ended)
    }

    pub fn is_audio(&self) -> bool {
        self.headers.values().flatten().any(|h| h.media == HeaderMedia::Audio)
    }

    pub fn is_video(&self) -> bool {
        self.headers.values().flatten().any(|h| h.media == HeaderMedia::Video)
    }

    /// The newest header.
    pub fn header(&self) -> Option<&Header> {
        let newest = self.facts.values().next_back()?;
        self.headers.get(&newest.header)?.as_ref()
    }

    pub fn header_of(&self, fact: &Fact) -> Option<&Header> {
        self.headers.get(&fact.header)?.as_ref()
    }

    /// Reads the playlist once, and everything that is new in it.
    pub fn read(&mut self, watch: &mut Watch<'_>) {
        let Some((response, asked)) = watch.playlist_body(&self.url) else { return };
        let body = response.body;
        self.base = response.landed.unwrap_or_else(|| self.url.clone());
        let before = std::mem::replace(&mut self.last_read, asked);
        let gap = asked.since(before);
        if body == self.body {
            self.late(watch, asked, gap);
            return;
        }
        let Some(Playlist::Media(media)) = playlist::parse(&body, &self.url, &mut watch.findings) else {
            watch.findings.error("1.3", &self.url, "no media playlist");
            return;
        };
        self.body = body;
        watch.report.playlist_versions += 1;
        single::check(&media, &self.url, &mut watch.findings);
        if self.i_frames && !media.i_frames_only {
            watch.findings.error("1.28", &self.url, "an I-frame playlist without EXT-X-I-FRAMES-ONLY (Apple 6.8)");
        }
        let newest = |m: &Media| m.segments.last().map(|s| s.number);
        if let Some(old) = self.media.take() {
            change::check(&old, &media, &self.url, &mut watch.findings);
            self.note_removed(&old, &media, before);
            if newest(&media) > newest(&old) {
                // `late` looks at the time before this version too: the new segment may have come after the limit.
                self.late_before(watch, &old, asked, gap);
                self.last_new = asked;
            }
        } else {
            self.last_new = asked;
        }
        let first_read = self.seen_to.is_none();
        let skip_to = media.segments.len().saturating_sub(watch.options.backlog);
        let dates = media.date_times();
        for (index, entry) in media.segments.iter().enumerate() {
            if self.seen_to.is_some_and(|n| entry.number <= n) || (first_read && index > 0 && index < skip_to) {
                continue;
            }
            let joined = entry.discontinuity || (index == 0 && !self.facts.contains_key(&entry.number.wrapping_sub(1)));
            self.read_segment(watch, entry, dates.get(index).copied().flatten(), joined);
        }
        self.seen_to = newest(&media).max(self.seen_to);
        self.media = Some(*media);
        self.ask_removed(watch, asked, false);
    }

    /// The questions of Low-Latency HLS, once, if the list has parts or says that it answers directives.
    pub fn probe(&mut self, watch: &mut Watch<'_>, others: &[String]) {
        let Some(media) = self.media.as_ref().filter(|_| !self.i_frames) else { return };
        low_latency::reports(media, &self.base, others, &mut watch.findings);
        let says = |name: &str| media.server_control.as_ref().is_some_and(|a| a.get(name).is_some());
        let asks = media.part_target.is_some() || says("CAN-BLOCK-RELOAD") || says("CAN-SKIP-UNTIL");
        if !asks || media.ended || std::mem::replace(&mut self.probed, true) {
            return;
        }
        let header = self.header().cloned();
        Probe { url: &self.base, header: header.as_ref() }.run(watch, media);
    }

    /// The last look at segments that left the list while they must still be there.
    pub fn finish(&mut self, watch: &mut Watch<'_>) {
        let now = watch.fetch.now();
        self.ask_removed(watch, now, true);
    }

    fn late(&self, watch: &mut Watch<'_>, now: UtcTime, gap: Duration) {
        if let Some(media) = &self.media {
            change::late(media, self.last_new, now, gap, &self.url, &mut watch.findings);
        }
    }

    fn late_before(&self, watch: &mut Watch<'_>, old: &Media, now: UtcTime, gap: Duration) {
        change::late(old, self.last_new, now, gap, &self.url, &mut watch.findings);
    }

    fn note_removed(&mut self, old: &Media, new: &Media, before: UtcTime) {
        let first = new.first_number();
        for gone in old.segments.iter().filter(|s| s.number < first && !s.gap && s.byte_range.is_none()) {
            // It must stay for its own length and that of the longest list from its first appearance on, so for its
            // own length after it left the list, which was at the earliest when we had last looked.
            let until = before + Duration::from_nanos(u64::try_from(gone.duration).unwrap_or(0));
            let url = resolve(&self.base, &gone.uri);
            self.removed.push(Removed { number: gone.number, url, until, since: before });
        }
    }

    fn ask_removed(&mut self, watch: &mut Watch<'_>, now: UtcTime, last: bool) {
        let poll = self.media.as_ref().and_then(|m| m.target_duration).unwrap_or(1).min(3600) * 1000 / 3;
        let margin = Duration::from_millis(poll * 3 / 2);
        let mut kept = Vec::new();
        for gone in std::mem::take(&mut self.removed) {
            // Asked as late as its stay lasts, but never after it.
            if now > gone.until {
                continue;
            }
            if !last && now + margin < gone.until {
                kept.push(gone);
                continue;
            }
            let asked = watch.fetch.get(crate::fetch::Request { url: &gone.url, range: None, gzip: false });
            if !asked.is_ok_and(|r| r.status == 200) {
                let after = now.since(gone.since).as_secs_f64();
                let message = format!("segment {} is gone {after:.1} s after it left the list", gone.number);
                watch.findings.error("1.11", &gone.url, message);
            }
        }
        self.removed = kept;
    }

    fn read_segment(
        &mut self,
        watch: &mut Watch<'_>,
        entry: &playlist::Segment,
        date_time: Option<UtcTime>,
        joined: bool,
    ) {
        if entry.gap {
            return;
        }
        let url = resolve(&self.base, &entry.uri);
        let header_url = entry.map.as_ref().map(|(uri, _)| resolve(&self.base, uri)).unwrap_or_default();
        if !header_url.is_empty() && !self.headers.contains_key(&header_url) {
            let range = entry.map.as_ref().and_then(|(_, r)| *r);
            let read = watch.get_media(&header_url, range, "CHECK-1b").and_then(|r| {
                watch.report.segments += 1;
                watch.report.media_bytes += r.body.len() as u64;
                header::read(&r.body, &header_url, &mut watch.findings)
            });
            self.headers.insert(header_url.clone(), read);
        }
        let Some(response) = watch.get_media(&url, entry.byte_range, "CHECK-1b") else { return };
        watch.report.segments += 1;
        watch.report.media_bytes += response.body.len() as u64;
        if response.header("cache-control").is_none() {
            watch.findings.error("CHECK-1e", &url, "a segment without Cache-Control");
        }
        let kind = response.header("content-type").unwrap_or("none");
        if !header_url.is_empty() && !MEDIA_TYPES.iter().any(|t| kind.starts_with(t)) {
            watch.findings.error("CHECK-1e", &url, format!("Content-Type of a segment is {kind}"));
        }
        // An I-frame is a part of a segment; its boxes are cut.
        if self.i_frames {
            return;
        }
        if entry.keys.whole_segments() {
            watch.not_read(format!("media of {} under METHOD=AES-128", self.url));
            return;
        }
        if header_url.is_empty() {
            if looks_like_boxes(&response.body) {
                let message = format!("segment {} has no EXT-X-MAP", entry.number);
                watch.findings.error_at("1.19", &self.url, entry.line, message);
            } else {
                watch.not_read(format!("media of {} that is not fragmented MP4", self.url));
            }
            return;
        }
        let Some(Some(header)) = self.headers.get(&header_url) else { return };
        let what = format!("segment {}", entry.number);
        keys::against_header(&entry.keys, header, &what, &self.url, &mut watch.findings);
        let Some(segment) = segment::read(&response.body, header, &url, &mut watch.findings) else { return };
        if let Some(lock) = watch.options.epoch {
            epoch::check(lock, entry.number, joined, header, &segment, &url, &mut watch.findings);
            if file_number(&entry.uri).is_some_and(|n| n != entry.number) {
                let message = format!("the name says another number than the playlist, {}", entry.number);
                watch.findings.error("5.6", &url, message);
            }
        }
        let fact = Fact {
            url,
            size: response.body.len() as u64,
            hash: hash(&response.body),
            listed_duration: entry.duration,
            date_time,
            discontinuity: entry.discontinuity,
            header: header_url,
            segment,
        };
        self.facts.insert(entry.number, fact);
        if self.facts.len() > MAX_FACTS {
            self.facts.pop_first();
        }
    }
}

/// Whether bytes begin with a box of a segment, rather than with MPEG-2 TS, packed audio or text.
fn looks_like_boxes(bytes: &[u8]) -> bool {
    let kinds: [&[u8]; 7] = [b"styp", b"moof", b"sidx", b"ftyp", b"emsg", b"prft", b"free"];
    bytes.get(4..8).is_some_and(|kind| kinds.contains(&kind))
}

/// A hash for comparing bytes within one run.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The number that a file name consists of.
fn file_number(uri: &str) -> Option<u64> {
    let file = uri.split('?').next()?.rsplit('/').next()?;
    file.split('.').next()?.parse().ok()
}
