//! MPDs as a viewer reads them: which segments there are at a time, as the same [`Media`] that HLS playlists give.
//!
//! `SegmentTemplate` with `SegmentTimeline` or `@duration`, several periods, `availabilityTimeOffset`. Representations
//! with `SegmentList` or `SegmentBase` are left out.

use std::time::Duration;

use crate::playlist::{Media, Resource, Segment};

#[path = "dash/mpd.rs"]
mod mpd;

pub use mpd::parse;

/// Most segments of one list: a viewer reads it again when it is through.
const MAX_LISTED: usize = 64;
/// Most segments of one run that are looked at: enough for a list and for what is not wanted before it.
const MAX_LOOKED_AT: i64 = 4096;

/// A presentation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dash {
    /// `type="dynamic"`.
    pub live: bool,
    /// minimumUpdatePeriod; never read again without.
    pub update: Option<Duration>,
    /// availabilityStartTime, in ms since 1970.
    pub start_ms: i64,
    /// suggestedPresentationDelay.
    pub delay: Option<Duration>,
    /// Latency@target of the ServiceDescription.
    pub target: Option<Duration>,
    /// timeShiftBufferDepth.
    pub depth: Option<Duration>,
    /// mediaPresentationDuration.
    pub duration: Option<Duration>,
    /// The periods, in order; never empty.
    pub periods: Vec<Period>,
}

/// A period.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Period {
    /// Start, in ms of the presentation.
    pub start_ms: i64,
    /// End, if it is known.
    pub end_ms: Option<i64>,
    /// Video, or audio where there is no video; lowest bandwidth first.
    pub main: Vec<Representation>,
    /// Separate audio.
    pub audio: Vec<Representation>,
}

/// A representation with a template.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Representation {
    /// `@id`.
    pub id: String,
    /// `@bandwidth` in bit/s.
    pub bandwidth: u64,
    /// What names are resolved against.
    pub base: String,
    /// `@media`.
    pub media: String,
    /// `@initialization`.
    pub initialization: Option<String>,
    /// `@timescale`, at least 1.
    pub timescale: i64,
    /// `@presentationTimeOffset`.
    pub offset: i64,
    /// `@startNumber`.
    pub number: i64,
    /// `@duration`.
    pub duration: Option<i64>,
    /// `@availabilityTimeOffset` in ms.
    pub early_ms: i64,
    /// `@availabilityTimeComplete`.
    pub complete: bool,
    /// Time, duration and number of repetitions of each `S`; a negative number goes on to the next.
    pub timeline: Vec<(i64, i64, i64)>,
}

/// Which list is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Index into [`Dash::bandwidths`].
    pub variant: usize,
    /// Separate audio rather than the variant.
    pub audio: bool,
    /// Segments may be read while they are made.
    pub low_latency: bool,
    /// Presentation time in ms of the first segment wanted; `None` to begin.
    pub from: Option<u64>,
    /// Wall clock, in ms since 1970.
    pub now_ms: i64,
}

impl Dash {
    /// Bandwidth of each variant of the newest period, lowest first.
    pub fn bandwidths(&self) -> Vec<u64> {
        self.periods.last().map(|p| p.main.iter().map(|r| r.bandwidth).collect()).unwrap_or_default()
    }

    /// Whether audio is fetched for itself.
    pub fn has_audio(&self) -> bool {
        self.periods.iter().any(|p| !p.audio.is_empty())
    }

    /// The list of segments at this time.
    pub fn list(&self, wanted: Wanted) -> Media {
        let bandwidth = self.bandwidths().get(wanted.variant).copied().unwrap_or(0);
        let mut media = Media { ended: !self.live, ..Media::default() };
        let longest = self.periods.iter().flat_map(|p| &p.main).map(Representation::longest_ms).max().unwrap_or(0);
        media.target = from_ms(longest.max(100));
        let plain = self.delay.unwrap_or(media.target * 3);
        let delay = if wanted.low_latency { self.target.unwrap_or(plain) } else { plain };
        media.delay = self.live.then_some(delay);
        let anchor = if self.live { self.start_ms } else { 0 };
        let begin = if self.live { wanted.now_ms.saturating_sub(ms(delay)) } else { i64::MIN };
        let oldest = self.depth.filter(|_| self.live).map_or(i64::MIN, |d| wanted.now_ms.saturating_sub(ms(d)));
        for (at, period) in self.periods.iter().enumerate() {
            let representations = if wanted.audio { &period.audio } else { &period.main };
            let Some(r) = representations.iter().min_by_key(|r| r.bandwidth.abs_diff(bandwidth)) else { continue };
            let end = period.end_ms.or_else(|| self.periods.get(at + 1).map(|p| p.start_ms));
            let period_ms = anchor.saturating_add(period.start_ms);
            r.segments(Scan {
                anchor: period_ms,
                end: end.map(|e| anchor.saturating_add(e)),
                now: if self.live { wanted.now_ms } else { i64::MAX },
                from: wanted.from.map_or(begin, |f| i64::try_from(f).unwrap_or(i64::MAX)),
                exact: wanted.from.is_some(),
                is_last: at + 1 == self.periods.len(),
                oldest,
                low: wanted.low_latency,
                dated: self.live,
                out: &mut media,
            });
        }
        media
    }
}

/// What is looked for in one period, all in ms since 1970 (or since the start of what is not live).
struct Scan<'a> {
    anchor: i64,
    end: Option<i64>,
    now: i64,
    from: i64,
    /// Segments that begin at `from` or later; otherwise the one that holds `from`, too.
    exact: bool,
    is_last: bool,
    oldest: i64,
    low: bool,
    dated: bool,
    out: &'a mut Media,
}

impl Representation {
    fn longest_ms(&self) -> i64 {
        let longest = self.timeline.iter().map(|s| s.1).max().or(self.duration).unwrap_or(0);
        self.to_ms(longest)
    }

    fn to_ms(&self, ticks: i64) -> i64 {
        let ms = i128::from(ticks) * 1000 / i128::from(self.timescale.max(1));
        i64::try_from(ms).unwrap_or(i64::MAX)
    }

    fn segments(&self, mut scan: Scan<'_>) {
        match self.duration {
            Some(duration) if self.timeline.is_empty() && duration > 0 => self.by_clock(duration, &mut scan),
            _ => self.by_timeline(&mut scan),
        }
    }

    fn by_clock(&self, duration: i64, scan: &mut Scan<'_>) {
        let before = i128::from(scan.from.max(scan.oldest).saturating_sub(scan.anchor).max(0));
        let step = i128::from(duration) * 1000;
        let mut index = i64::try_from(before * i128::from(self.timescale) / step).unwrap_or(i64::MAX);
        if scan.exact && self.to_ms(index.saturating_mul(duration)) < scan.from.saturating_sub(scan.anchor) {
            index = index.saturating_add(1);
        }
        loop {
            let time = index.saturating_mul(duration);
            let start = scan.anchor.saturating_add(self.to_ms(time));
            let end = scan.anchor.saturating_add(self.to_ms(time.saturating_add(duration)));
            if scan.end.is_some_and(|e| start >= e) || scan.out.segments.len() >= MAX_LISTED {
                return;
            }
            let early = if scan.low || self.complete { self.early_ms } else { 0 };
            let available = end.saturating_sub(early);
            if available > scan.now {
                scan.out.next_ms = Some(available);
                return;
            }
            self.push(scan, time.saturating_add(self.offset), index, start, end);
            index = index.saturating_add(1);
        }
    }

    fn by_timeline(&self, scan: &mut Scan<'_>) {
        let mut index = 0i64;
        let mut last = None;
        for (at, (time, duration, repeat)) in self.timeline.iter().copied().enumerate() {
            if duration <= 0 {
                continue;
            }
            let until = match (self.timeline.get(at + 1), scan.end) {
                (Some(next), _) => next.0,
                (None, Some(end)) => self.ticks(end.saturating_sub(scan.anchor)),
                (None, None) => self.ticks(scan.now.min(i64::MAX / 2).saturating_sub(scan.anchor)),
            };
            let count =
                if repeat < 0 { (until.saturating_sub(time) / duration).max(0) } else { repeat.saturating_add(1) };
            // The first of the run that may be wanted, by arithmetic: a run can be very long.
            let wanted = scan.from.max(scan.oldest).saturating_sub(scan.anchor);
            // (Ticks may be much shorter than the milliseconds that times are compared in.)
            let after = if scan.exact { wanted } else { wanted.saturating_add(1) };
            let runs = self.ticks(after).saturating_sub(time) / duration;
            // (An open run whose first segment is not whole yet has none.)
            let skip = runs.saturating_sub(2).min(count.saturating_sub(1)).max(0);
            for k in skip..count.min(skip.saturating_add(MAX_LOOKED_AT)) {
                let begin = time.saturating_add(k.saturating_mul(duration));
                let start = scan.anchor.saturating_add(self.to_ms(begin.saturating_sub(self.offset)));
                let behind = begin.saturating_add(duration).saturating_sub(self.offset);
                let end = scan.anchor.saturating_add(self.to_ms(behind));
                let wanted = if scan.exact { start >= scan.from } else { end > scan.from };
                if !wanted {
                    last = Some((begin, index.saturating_add(k), start, end));
                } else if scan.out.segments.len() < MAX_LISTED {
                    self.push(scan, begin, index.saturating_add(k), start, end);
                } else {
                    return;
                }
            }
            index = index.saturating_add(count);
        }
        // The delay is shorter than what the list ends before now: begin with its newest segment.
        let none = scan.is_last && !scan.exact && scan.out.segments.is_empty();
        if let Some((begin, index, start, end)) = last.filter(|_| none) {
            self.push(scan, begin, index, start, end);
        }
    }

    fn ticks(&self, ms: i64) -> i64 {
        let ticks = i128::from(ms) * i128::from(self.timescale) / 1000;
        i64::try_from(ticks).unwrap_or(i64::MAX).saturating_add(self.offset)
    }

    fn push(&self, scan: &mut Scan<'_>, time: i64, index: i64, start: i64, end: i64) {
        let name = |template: &str| {
            let made = fill(template, &self.id, self.bandwidth, self.number.saturating_add(index), time);
            Resource::whole(crate::playlist::join(&self.base, &made))
        };
        let duration = from_ms(end.saturating_sub(start));
        let chunked = scan.low && !self.complete && self.early_ms > 0;
        let chunk = chunked.then(|| duration.saturating_sub(from_ms(self.early_ms)).max(Duration::from_millis(10)));
        scan.out.segments.push(Segment {
            number: u64::try_from(start).unwrap_or(0),
            at: Some(name(&self.media)),
            duration,
            date_ms: scan.dated.then_some(start),
            map: self.initialization.as_deref().map(name),
            chunk,
            ..Segment::default()
        });
    }
}

/// A template with its identifiers replaced (STANDARDS 2; ISO/IEC 23009-1 5.3.9.4.4).
fn fill(template: &str, id: &str, bandwidth: u64, number: i64, time: i64) -> String {
    let mut out = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let Some((word, tail)) = after.split_once('$') else {
            out.push('$');
            out.push_str(after);
            return out;
        };
        let (name, format) = word.split_once('%').unwrap_or((word, ""));
        let width = format.trim_end_matches('d').parse::<usize>().unwrap_or(1).min(32);
        match name {
            "" => out.push('$'),
            "RepresentationID" => out.push_str(id),
            "Bandwidth" => out.push_str(&format!("{bandwidth:0width$}")),
            "Number" => out.push_str(&format!("{number:0width$}")),
            "Time" => out.push_str(&format!("{time:0width$}")),
            _ => out.push_str(&format!("${word}$")),
        }
        rest = tail;
    }
    out + rest
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn from_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
#[path = "dash/tests.rs"]
mod tests;
