//! The MPD over time, and that it names the same media as the playlists: CHECK-2b, CHECK-2c, CHECK-2e, 2.9, 2.21.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use millstream_media::time::UtcTime;

use super::Watch;
use super::rendition::{Rendition, hash};
use crate::boxes::{header, segment};
use crate::dash::mpd::{self, Entry, Mpd, Representation, Template};
use crate::dash::{change, protection, single};
use crate::fetch::Request;
use crate::text::{parse_iso8601, resolve};

/// How far a clock that the MPD names may be off (CHECK-2e).
const CLOCK_TOLERANCE: Duration = Duration::from_millis(50);

/// Most segments by `@duration` that are looked at in one reading, counted from the newest.
const MAX_COUNTED: u64 = 1000;

/// How many segments past the last one are asked for, to see that they are not there yet (CHECK-2b).
const NOT_YET: u64 = 3;

/// The MPD over time.
pub(super) struct Manifest {
    url: String,
    body: Bytes,
    mpd: Option<Mpd>,
    headers: BTreeMap<String, Option<header::Header>>,
    /// Newest number read of each representation.
    seen_to: BTreeMap<String, u64>,
    asked_clock: bool,
}

impl Manifest {
    pub fn new(url: String) -> Self {
        Manifest {
            url,
            body: Bytes::new(),
            mpd: None,
            headers: BTreeMap::new(),
            seen_to: BTreeMap::new(),
            asked_clock: false,
        }
    }

    /// The newest version read says that it goes on.
    pub fn dynamic(&self) -> bool {
        self.mpd.as_ref().is_some_and(|m| m.dynamic)
    }

    /// Reads the MPD once, and everything that is new in it.
    pub fn read(&mut self, watch: &mut Watch<'_>, renditions: &[Rendition]) {
        let Some(response) = watch.get(&self.url, None, "2.2") else { return };
        let now = watch.fetch.now();
        if !response.header("content-type").is_some_and(|t| t.starts_with("application/dash+xml")) {
            watch.findings.error("CHECK-1e", &self.url, "Content-Type is not application/dash+xml");
        }
        watch.manifest_headers(&self.url, &response, "CHECK-1e");
        if response.body == self.body {
            return;
        }
        self.body = response.body;
        let Some(new) = mpd::parse(&self.body, &self.url, &mut watch.findings) else { return };
        watch.report.mpd_versions += 1;
        single::check(&new, now, &self.url, &mut watch.findings);
        if let Some(old) = &self.mpd {
            change::check(old, &new, &self.url, &mut watch.findings);
        }
        if !self.asked_clock {
            self.asked_clock = true;
            clock(watch, &self.url, &new);
        }
        let base = response.landed.unwrap_or_else(|| self.url.clone());
        let first_read = self.mpd.is_none();
        for (index, period) in new.periods.iter().enumerate() {
            for representation in period.sets.iter().flat_map(|s| &s.representations) {
                // The clock is read again: what was read before may have taken long.
                let timeline = timeline(&new, index, representation, watch.fetch.now());
                let reading =
                    Reading { base: new.base(&base, representation), timeline, first_read, dynamic: new.dynamic };
                self.representation(watch, &reading, representation, renditions);
            }
        }
        self.mpd = Some(new);
    }

    fn representation(
        &mut self,
        watch: &mut Watch<'_>,
        reading: &Reading,
        representation: &Representation,
        renditions: &[Rendition],
    ) {
        let Reading { base, timeline, first_read, dynamic } = reading;
        let Some(template) = &representation.template else {
            if let Some(how) = representation.other_addressing {
                watch.not_read(format!("media of representation {}: named by {how}", representation.id));
            }
            return;
        };
        let (Some(media), Some(initialization)) = (&template.media, &template.initialization) else {
            watch.not_read(format!("media of representation {}: no @media or @initialization", representation.id));
            return;
        };
        let header_url = resolve(base, &Template::expand(initialization, representation, None));
        if !self.headers.contains_key(&header_url) {
            let read = watch
                .get_media(&header_url, None, "CHECK-2b")
                .and_then(|r| header::read(&r.body, &header_url, &mut watch.findings));
            if let Some(header) = &read {
                self.compare_header(watch, representation, template, header);
                protection::against_header(representation, header, &self.url, &mut watch.findings);
            }
            self.headers.insert(header_url.clone(), read);
        }
        let Some(Some(header)) = self.headers.get(&header_url) else { return };
        let skip_to = timeline.len().saturating_sub(watch.options.backlog);
        for (index, entry) in timeline.iter().enumerate() {
            let seen = self.seen_to.get(&representation.id).is_some_and(|n| entry.number <= *n);
            if seen || (*first_read && index > 0 && index < skip_to) {
                continue;
            }
            let url = resolve(base, &Template::expand(media, representation, Some(*entry)));
            let Some(response) = watch.get_media(&url, None, "CHECK-2b") else { continue };
            watch.report.segments += 1;
            watch.report.media_bytes += response.body.len() as u64;
            let Some(read) = segment::read(&response.body, header, &url, &mut watch.findings) else { continue };
            compare_entry(watch, &url, (template, header), *entry, &read);
            same_bytes(watch, &url, &response.body, &read, header, renditions);
        }
        let Some(last) = timeline.last() else { return };
        self.seen_to.insert(representation.id.clone(), last.number);
        if *dynamic && *first_read {
            let ahead = Entry {
                number: last.number.saturating_add(NOT_YET),
                start: last.start.saturating_add(last.duration.saturating_mul(NOT_YET)),
                ..*last
            };
            let url = resolve(base, &Template::expand(media, representation, Some(ahead)));
            let asked = watch.fetch.get(Request { url: &url, range: None, gzip: false });
            if let Ok(response) = asked
                && response.status != 404
                // It may be held until it has begun; what came at once was there.
                && response.first_byte < length_of(last, template)
            {
                let message =
                    format!("status {} for a segment that cannot be there yet, expected 404", response.status);
                watch.findings.error("CHECK-2b", &url, message);
            }
            // Last, because it takes as long as the segment does.
            if let (Some(offset), Some(scale)) = (template.availability_offset, template.timescale) {
                // The timeline ends with the last whole segment or with the one being made; the next but one is not
                // begun in either case, so what is asked for is what comes after the last one that has come whole.
                let url = resolve(base, &Template::expand(media, representation, Some(next_entry(last))));
                chunked(watch, &url, last, offset, scale);
            }
        }
    }

    /// Rule 2.21: what the MPD says of a representation is what its header says.
    fn compare_header(
        &self,
        watch: &mut Watch<'_>,
        representation: &Representation,
        template: &Template,
        header: &header::Header,
    ) {
        let id = &representation.id;
        let mut differs = |what: &str, said: String, found: String| {
            if !said.eq_ignore_ascii_case(&found) {
                watch.findings.error("2.21", &self.url, format!("{id}: {what} is {said}, the header has {found}"));
            }
        };
        differs("@codecs", representation.codecs.clone().unwrap_or_default(), header.codec.clone());
        differs("@timescale", template.timescale.unwrap_or(1).to_string(), header.timescale.to_string());
        if let Some((width, height)) = representation.size {
            differs("@width x @height", format!("{width}x{height}"), format!("{}x{}", header.size.0, header.size.1));
        }
    }
}

/// What is read of one representation.
struct Reading {
    base: String,
    timeline: Vec<Entry>,
    first_read: bool,
    dynamic: bool,
}

/// Segments of a representation: as written, or as many as there are by `@duration`.
fn timeline(mpd: &Mpd, index: usize, representation: &Representation, now: UtcTime) -> Vec<Entry> {
    let Some(template) = &representation.template else { return Vec::new() };
    if let Some(written) = &template.timeline {
        return written.clone();
    }
    let start = mpd.periods.get(index).and_then(|p| p.start).unwrap_or(0);
    let start = UtcTime(mpd.availability_start.unwrap_or(UtcTime::EPOCH).0.saturating_add(start));
    let length = mpd.length_of(index).filter(|_| !mpd.dynamic);
    let depth = mpd.time_shift_depth.filter(|_| mpd.dynamic);
    template.counted(start, length, now, depth.map_or(MAX_COUNTED, |d| template.segments_in(d).min(MAX_COUNTED)))
}

/// CHECK-2c, 2.9: `S@t` and `S@d` are those of the bytes.
fn compare_entry(
    watch: &mut Watch<'_>,
    url: &str,
    (template, header): (&Template, &header::Header),
    entry: Entry,
    read: &segment::Segment,
) {
    if template.timeline.is_none() {
        let nanos = |ticks: i64, scale: u64| i128::from(ticks) * 1_000_000_000 / i128::from(scale.max(1));
        let scale = template.timescale.unwrap_or(1);
        let due = nanos(i64::try_from(entry.start).unwrap_or(i64::MAX), scale);
        let off = nanos(read.earliest, u64::from(header.timescale)).abs_diff(due);
        let length = nanos(i64::try_from(entry.duration).unwrap_or(i64::MAX), scale).unsigned_abs();
        if off > length / 2 {
            let (off, length) = (off as f64 / 1e9, length as f64 / 1e9);
            let message = format!("it is {off:.3} s off its place by @duration, over half of {length:.3} s");
            watch.findings.error("2.9", url, message);
        }
        return;
    }
    if i64::try_from(entry.start) != Ok(read.earliest) {
        let message = format!("S@t is {}, the segment's earliest presentation time {}", entry.start, read.earliest);
        watch.findings.error("CHECK-2c", url, message);
    }
    if entry.duration != read.duration {
        let message = format!("S@d is {}, the samples last {}", entry.duration, read.duration);
        watch.findings.error("CHECK-2c", url, message);
    }
}

/// CHECK-2c: the same bytes as the HLS segment of that time, if there is one of the same track.
fn same_bytes(
    watch: &mut Watch<'_>,
    url: &str,
    body: &[u8],
    read: &segment::Segment,
    header: &header::Header,
    renditions: &[Rendition],
) {
    let twins = renditions.iter().filter(|r| r.header() == Some(header));
    let mut facts = twins.flat_map(|r| r.facts.values()).filter(|f| f.segment.start == read.start).peekable();
    if facts.peek().is_some() && !facts.any(|f| f.hash == hash(body)) {
        watch.findings.error("CHECK-2c", url, "not the bytes of the HLS segment of that time");
    }
}

/// CHECK-2e: the clock that the MPD names is right.
fn clock(watch: &mut Watch<'_>, url: &str, mpd: &Mpd) {
    for (scheme, value) in &mpd.utc_timing {
        let before = watch.fetch.now();
        let (text, clock_url) = if scheme.ends_with(":direct:2014") {
            (value.clone(), url.to_owned())
        } else if scheme.contains(":http-iso:") || scheme.contains(":http-xsdate:") {
            let clock_url = resolve(url, value);
            let Some(response) = watch.get(&clock_url, None, "CHECK-2e") else { continue };
            (String::from_utf8_lossy(&response.body).trim().to_owned(), clock_url)
        } else {
            continue;
        };
        let after = watch.fetch.now();
        match parse_iso8601(&text) {
            None => watch.findings.error("CHECK-2e", &clock_url, format!("'{text}' is no instant with a zone")),
            Some(said) if off(said, before, after) > CLOCK_TOLERANCE => {
                let message = format!("it says {said} between {before} and {after}");
                watch.findings.error("CHECK-2e", &clock_url, message);
            }
            Some(_) => {}
        }
    }
}

/// How far an instant lies outside of a span.
fn off(said: UtcTime, before: UtcTime, after: UtcTime) -> Duration {
    before.since(said).max(said.since(after))
}

/// How long a segment lasts.
fn length_of(entry: &Entry, template: &Template) -> Duration {
    let nanos = u128::from(entry.duration) * 1_000_000_000 / u128::from(template.timescale.unwrap_or(1).max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The segment after the last one listed.
fn next_entry(last: &Entry) -> Entry {
    Entry {
        number: last.number.saturating_add(1),
        start: last.start.saturating_add(last.duration),
        duration: last.duration,
        line: last.line,
    }
}

/// CHECK-2d: the segment being made comes as it is made, not in one burst at its end. Rule 2.15.
fn chunked(watch: &mut Watch<'_>, url: &str, last: &Entry, offset: i64, scale: u64) {
    let asked = watch.fetch.get(Request { url, range: None, gzip: false });
    // It may not be listed nor begun yet; a 404 says so and is no fault.
    let Ok(response) = asked else { return };
    if response.status != 200 {
        return;
    }
    let nanos = i128::from(last.duration) * 1_000_000_000 / i128::from(scale.max(1));
    let chunk = Duration::from_nanos(u64::try_from(nanos - i128::from(offset)).unwrap_or(0));
    let limit = chunk + Duration::from_millis(300);
    if response.first_byte > limit {
        let (seen, limit) = (response.first_byte.as_secs_f64(), limit.as_secs_f64());
        let message =
            format!("the first byte of the segment being made came after {seen:.2} s, a chunk is {limit:.2} s");
        watch.findings.error("CHECK-2d", url, message);
    }
}
