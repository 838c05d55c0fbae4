//! The active questions of Low-Latency HLS, asked once of each list: 1.38, 1.40 to 1.45, 1.48, CHECK-1c.

use std::time::Duration;

use millstream_media::time::UtcTime;

use super::Watch;
use crate::boxes::header::Header;
use crate::boxes::segment;
use crate::fetch::{Request, Response};
use crate::finding::Findings;
use crate::hls::low_latency;
use crate::hls::playlist::{self, Media, Part, Playlist};
use crate::text::resolve;
use crate::url::query;

/// Within this a refusal came at once (1.41).
const AT_ONCE: Duration = Duration::from_secs(1);

/// What a hinted part may take from its first byte to its last besides its share of the part (1.44).
const BURST_SLACK: Duration = Duration::from_millis(150);

/// Numbers past the end that no server waits for, whatever comes meanwhile.
const FAR: u64 = 20;

/// One list, and what is known of its media.
pub(super) struct Probe<'a> {
    pub url: &'a str,
    pub header: Option<&'a Header>,
}

impl Probe<'_> {
    /// Asks everything. Takes about two target durations of a good server, each wait bounded by the fetcher's own.
    pub fn run(&self, watch: &mut Watch<'_>, media: &Media) {
        let yes = |name: &str| media.server_control.as_ref().and_then(|a| a.get(name)) == Some("YES");
        let has = |name: &str| media.server_control.as_ref().is_some_and(|a| a.get(name).is_some());
        self.delta(watch, has("CAN-SKIP-UNTIL"));
        if yes("CAN-BLOCK-RELOAD") {
            self.refusals(watch, media);
            self.blocking(watch, media.target_duration.unwrap_or(1));
        } else if media.part_target.is_some() {
            watch.findings.error("1.40", self.url, "a list with parts without CAN-BLOCK-RELOAD=YES");
        }
        if media.part_target.is_some() {
            self.hint(watch);
            self.parent(watch);
        }
    }

    fn with(&self, query: &str) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}{query}", self.url)
    }

    fn ask(watch: &mut Watch<'_>, url: &str) -> Option<Response> {
        let now = watch.fetch.now();
        watch.findings.at(now);
        watch.fetch.get(Request { url, range: None, gzip: true }).ok()
    }

    fn list(&self, watch: &mut Watch<'_>, response: &Response) -> Option<Media> {
        // Form and content of lists are asked of each version elsewhere; here only what the answer holds.
        let mut passed_over = Findings::default();
        let _ = watch;
        match playlist::parse(&response.body, self.url, &mut passed_over)? {
            Playlist::Media(media) => Some(*media),
            Playlist::Multivariant(_) => None,
        }
    }

    fn fresh(&self, watch: &mut Watch<'_>) -> Option<Media> {
        let response = Self::ask(watch, self.url).filter(|r| r.status == 200)?;
        self.list(watch, &response)
    }

    /// Rule 1.41: what is refused, and at once.
    fn refusals(&self, watch: &mut Watch<'_>, media: &Media) {
        let url = self.with("_HLS_part=1");
        let status = Self::ask(watch, &url).map(|r| r.status);
        if status != Some(400) {
            let message = format!("_HLS_part without _HLS_msn: status {}, expected 400", status.unwrap_or(0));
            watch.findings.error("1.41", self.url, message);
        }
        let far = media.next_number().saturating_add(FAR);
        let url = self.with(&format!("_HLS_msn={far}"));
        let asked = watch.fetch.now();
        let status = Self::ask(watch, &url).map(|r| r.status);
        let took = watch.fetch.now().since(asked);
        if status != Some(400) {
            let message = format!("_HLS_msn {FAR} past the end: status {}, expected 400", status.unwrap_or(0));
            watch.findings.warn("1.41", self.url, message);
        } else if took > AT_ONCE {
            let message = format!("the refusal of _HLS_msn past the end took {:.1} s", took.as_secs_f64());
            watch.findings.warn("1.41", self.url, message);
        }
    }

    /// Rule 1.40: the answer is held until it has what was asked for, and is the whole list.
    fn blocking(&self, watch: &mut Watch<'_>, target: u64) {
        let Some(now) = self.fresh(watch) else { return };
        let segment = now.next_number();
        let part = now.part_target.map(|_| now.parts_of(segment).count() as u64);
        let query = part.map_or(format!("_HLS_msn={segment}"), |p| format!("_HLS_msn={segment}&_HLS_part={p}"));
        self.holds(watch, &query, segment, part, target);
        if part.is_some() {
            let Some(now) = self.fresh(watch) else { return };
            let segment = now.next_number();
            self.holds(watch, &format!("_HLS_msn={segment}"), segment, None, target);
            // Past the last part of a whole segment is the first part of the next one.
            let Some(now) = self.fresh(watch) else { return };
            if let Some(last) = now.last_number()
                && now.parts_of(last).next().is_some()
            {
                let beyond = now.parts_of(last).count();
                let query = format!("_HLS_msn={last}&_HLS_part={beyond}");
                self.holds(watch, &query, last.saturating_add(1), Some(0), target);
            }
        }
    }

    fn holds(&self, watch: &mut Watch<'_>, query: &str, segment: u64, part: Option<u64>, target: u64) {
        let Some(response) = Self::ask(watch, &self.with(query)) else {
            watch.findings.error("1.40", self.url, format!("no answer to {query}"));
            return;
        };
        if response.status == 503 {
            watch.findings.error("1.12", self.url, format!("{query}: status 503, nothing new came"));
            return;
        }
        if response.status != 200 {
            watch.findings.error("1.40", self.url, format!("{query}: status {}, expected 200", response.status));
            return;
        }
        let Some(list) = self.list(watch, &response) else { return };
        if !list.contains(segment, part) && !list.ended {
            watch.findings.error("1.40", self.url, format!("the answer to {query} does not have it"));
        }
        if list.skipped.is_some() {
            watch.findings.error("1.40", self.url, format!("the answer to {query} is not the whole list"));
        }
        let age = response.header("cache-control").and_then(max_age);
        let longest = target.saturating_mul(6);
        if age.is_some_and(|a| a > longest) {
            watch.findings.warn(
                "1.48",
                self.url,
                format!("a blocking answer may be kept over 6 target durations, {longest} s"),
            );
        }
    }

    /// Rule 1.42: a delta update where it is promised, and only there.
    fn delta(&self, watch: &mut Watch<'_>, promised: bool) {
        // A full list before and after: one of them may be of another moment, the later one has all that is left.
        let Some(before) = self.fresh(watch) else { return };
        let Some(response) = Self::ask(watch, &self.with("_HLS_skip=YES")) else { return };
        if response.status != 200 {
            watch.findings.error("1.42", self.url, format!("_HLS_skip=YES: status {}", response.status));
            return;
        }
        let Some(delta) = self.list(watch, &response) else { return };
        if !promised {
            if delta.skipped.is_some() {
                watch.findings.error("1.42", self.url, "a delta update though CAN-SKIP-UNTIL is not there");
            }
            return;
        }
        let until = before.server_control.as_ref().and_then(|a| a.get("CAN-SKIP-UNTIL"));
        let until = until.and_then(crate::text::parse_decimal_nanos).unwrap_or(i64::MAX);
        let oldest = before.segments.first().map_or(0, |s| s.duration);
        if delta.skipped.is_none() {
            if before.duration().saturating_sub(oldest) > until {
                watch.findings.error("1.42", self.url, "_HLS_skip=YES is not answered with a delta update");
            }
            return;
        }
        let Some(after) = self.fresh(watch) else { return };
        if delta.version.unwrap_or(1) < 9 {
            watch.findings.error("1.4", self.url, "a delta update of an EXT-X-VERSION below 9");
        }
        low_latency::delta(&after, &delta, self.url, &mut watch.findings);
    }

    /// Rules 1.43 to 1.45: the hinted part can be asked for, comes in one burst and is listed; another name is not there.
    fn hint(&self, watch: &mut Watch<'_>) {
        let Some(now) = self.fresh(watch).filter(|m| !m.ended) else { return };
        let hint = now.hints.iter().find(|h| h.get("TYPE") == Some("PART") && h.get("BYTERANGE-START").is_none());
        let Some(uri) = hint.and_then(|h| h.get("URI")) else { return };
        let url = resolve(self.url, uri);
        let Ok(response) = watch.fetch.get(Request { url: &url, range: None, gzip: false }) else {
            watch.findings.error("1.43", &url, "no answer to the hinted part");
            return;
        };
        if response.status != 200 || response.body.is_empty() {
            let message = format!("the hinted part: status {} with {} bytes", response.status, response.body.len());
            watch.findings.error("1.43", &url, message);
            return;
        }
        watch.report.segments += 1;
        watch.report.media_bytes += response.body.len() as u64;
        let part = Duration::from_nanos(u64::try_from(now.part_target.unwrap_or(0)).unwrap_or(0));
        let took = response.last_byte.saturating_sub(response.first_byte);
        if took > part / 5 + BURST_SLACK {
            let message = format!("the hinted part came drop by drop over {:.2} s", took.as_secs_f64());
            watch.findings.error("1.44", &url, message);
        }
        let wait: UtcTime = watch.fetch.now() + part / 4;
        watch.fetch.wait_until(wait);
        if let Some(later) = self.fresh(watch) {
            let listed = later.parts.iter().any(|p| resolve(self.url, &p.uri) == url);
            if !listed && later.next_number() <= now.next_number().saturating_add(1) && !later.ended {
                watch.findings.error("1.43", &url, "the hinted part came, but no list has it");
            }
        }
        // With the hint's query: a server of signed URLs answers 403 without.
        let unknown = format!("millstream-check-asks-for-what-is-not-there.m4s{}", query(uri));
        let unknown = resolve(self.url, &unknown);
        let asked = watch.fetch.get(Request { url: &unknown, range: None, gzip: false });
        if let Ok(answer) = asked
            && answer.status != 404
        {
            let message = format!("status {} for a name that no list has, expected 404", answer.status);
            watch.findings.warn("1.45", &unknown, message);
        }
    }

    /// Rule 1.38: the parts of the newest whole segment hold its samples.
    fn parent(&self, watch: &mut Watch<'_>) {
        let Some(now) = self.fresh(watch) else { return };
        let Some(parent) = now.segments.iter().rev().find(|s| now.parts_of(s.number).next().is_some()) else { return };
        let parts: Vec<&Part> = now.parts_of(parent.number).collect();
        if parts.iter().any(|p| p.gap) || parent.gap {
            return;
        }
        let url = resolve(self.url, &parent.uri);
        let Some(whole) = watch.get_media(&url, parent.byte_range, "CHECK-1b") else { return };
        let mut joined = Vec::with_capacity(whole.body.len());
        for part in parts {
            let Some(response) = watch.get_media(&resolve(self.url, &part.uri), part.byte_range, "CHECK-1b") else {
                return;
            };
            joined.extend_from_slice(&response.body);
            if joined.len() > whole.body.len().saturating_mul(4) {
                break;
            }
        }
        if joined == whole.body {
            return;
        }
        // Other bytes may carry the same samples: each part may have boxes of its own before its chunk.
        let Some(header) = self.header else { return };
        let mut passed_over = Findings::default();
        let a = segment::read(&whole.body, header, &url, &mut passed_over);
        let b = segment::read(&joined, header, &url, &mut passed_over);
        let same = a.zip(b).is_some_and(|(a, b)| {
            (a.start, a.duration, a.earliest) == (b.start, b.duration, b.earliest)
                && a.sample_durations == b.sample_durations
        });
        if !same {
            let message = format!("the parts of segment {} do not hold its samples", parent.number);
            watch.findings.error("1.38", &url, message);
        }
    }
}

/// `max-age` or `s-maxage` of a Cache-Control, the greater one.
fn max_age(value: &str) -> Option<u64> {
    let number =
        |part: &str| part.trim().split_once('=').filter(|(n, _)| matches!(*n, "max-age" | "s-maxage"))?.1.parse().ok();
    value.split(',').filter_map(number).max()
}
