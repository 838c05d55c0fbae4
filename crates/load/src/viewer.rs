//! One viewer as a state machine: [`Viewer::next`] says what a lane does now, [`Viewer::answered`] takes the response.
//!
//! A lane is one connection: lane 0 fetches video (or muxed media), lane 1 a separate audio rendition.
//!
//! - [`exchange`]: what it asks and what it is answered.
//! - `place`: where in a list it begins, and goes on.
//! - `variant`: which variant its lanes follow.

pub mod exchange;
mod place;
mod variant;

use std::sync::Arc;
use std::time::Duration;

use crate::abr::Estimate;
use crate::dash::Wanted;
use crate::playback::Playback;
use crate::playlist::{Media, Playlist, Resource, Segment};
use crate::tally::Tally;

pub use exchange::{Abr, Action, Answer, Kind, Mode, Now, Rules};
use place::{aligned, by_date, hold_back, millis, start};

/// Media held ahead of the playhead at most.
const MAX_BUFFER: Duration = Duration::from_secs(30);

/// A request is never retried later than this.
const MAX_RETRY: Duration = Duration::from_secs(4);

#[derive(Debug, Default)]
struct Lane {
    url: Option<String>,
    list: Option<Arc<Playlist>>,
    /// Which reading of the MPD the list was made from.
    version: u64,
    fetched: Duration,
    unchanged: bool,
    retry: Duration,
    failures: u32,
    /// Number of the segment and index of the part that come next.
    at: Option<(u64, usize)>,
    /// Media of that segment that is there already.
    within: Duration,
    /// The variant changed: the place is found again by date.
    align: bool,
    init: Option<Resource>,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    kind: Kind,
    at: Resource,
    date_ms: Option<i64>,
    /// Of what is new in it.
    duration: Duration,
    chunk: Duration,
}

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    rules: Rules,
    url: String,
    /// The multivariant playlist or the MPD.
    root: Option<Arc<Playlist>>,
    root_read: Duration,
    version: u64,
    lanes: [Lane; 2],
    variant: Option<usize>,
    estimate: Estimate,
    playback: Playback,
}

impl Viewer {
    /// A viewer that joins now at this URL.
    pub fn new(url: &str, rules: Rules, now: Now) -> Self {
        Viewer {
            rules,
            url: url.to_owned(),
            root: None,
            root_read: Duration::ZERO,
            version: 0,
            lanes: [Lane { url: Some(url.to_owned()), ..Lane::default() }, Lane::default()],
            variant: None,
            estimate: Estimate::default(),
            playback: Playback::new(now.mono),
        }
    }

    /// How many lanes it needs now.
    pub fn lanes(&self) -> usize {
        1 + usize::from(self.lanes[1].url.is_some())
    }

    /// Whether it plays, and whether it has stalled.
    pub fn is(&self) -> (bool, bool) {
        self.playback.is()
    }

    /// What this lane does now.
    pub fn next(&mut self, lane: usize, now: Now, tally: &mut Tally) -> Action {
        self.advance(now.mono, tally);
        if lane == 0 {
            self.choose(now.mono);
        }
        let ahead = self.playback.ahead(lane);
        let Some(l) = self.lanes.get(lane) else { return Action::Done };
        let Some(url) = l.url.clone() else { return Action::Done };
        if now.mono < l.retry {
            return Action::Wait(l.retry);
        }
        if let Some(Playlist::Dash(dash)) = self.root.as_deref() {
            let due = dash.update.filter(|_| dash.live).map(|u| self.root_read + u.max(Duration::from_millis(500)));
            if lane == 0 && due.is_some_and(|d| now.mono >= d) {
                return self.get(0, Resource::whole(url), Kind::Playlist);
            }
            self.list_dash(lane, now);
        }
        let Some(l) = self.lanes.get_mut(lane) else { return Action::Done };
        let Some(list) = l.list.clone() else {
            return self.get(lane, Resource::whole(url), Kind::Playlist);
        };
        let Playlist::Media(media) = &*list else { return Action::Done };
        let low = self.rules.mode != Mode::Hls && media.part_target.is_some();
        if l.align {
            l.align = false;
            l.at = l.at.map(|at| aligned(media, at, self.playback.end(lane)));
        }
        let oldest = media.segments.first().map_or(0, |s| s.number);
        if l.at.is_some_and(|at| at.0 < oldest && media.delay.is_none()) {
            tally.jumps += 1;
            l.at = None;
        }
        let Some((number, part)) = l.at else {
            return self.start(lane, media, low, now);
        };
        if ahead > MAX_BUFFER {
            return Action::Wait(now.mono + (ahead - MAX_BUFFER).max(Duration::from_millis(100)));
        }
        let Some(segment) = media.segments.iter().find(|s| s.number >= number) else {
            return self.not_yet(lane, media, low, now, url);
        };
        let part = if segment.number == number { part } else { 0 };
        self.fetch(lane, segment, part, low, now, tally).unwrap_or_else(|| self.not_yet(lane, media, low, now, url))
    }

    /// Chunks of the segment being read, and the bytes and time of the newest of them.
    pub fn chunks(&mut self, lane: usize, now: Now, whole: u32, bytes: u64, took: Duration, tally: &mut Tally) {
        self.advance(now.mono, tally);
        let Some(l) = self.lanes.get_mut(lane) else { return };
        let Some(asked) = &l.asked else { return };
        let there = (asked.chunk * whole).min(asked.duration);
        let new = there.saturating_sub(l.within);
        let (date, chunk) = (asked.date_ms.map(|d| d.saturating_add(millis(l.within))), asked.chunk);
        if new.is_zero() {
            return;
        }
        l.within = there;
        if lane == 0 {
            self.estimate.add(bytes, took, chunk);
        }
        self.appended(lane, date, new, now, tally);
    }

    /// Takes the response to what this lane asked.
    pub fn answered(&mut self, lane: usize, now: Now, answer: Answer, tally: &mut Tally) {
        self.advance(now.mono, tally);
        let Some(l) = self.lanes.get_mut(lane) else { return };
        let Some(asked) = l.asked.take() else { return };
        let kind = asked.kind;
        tally.requests.entry(kind.name()).or_default().add(answer.took);
        *tally.statuses.entry(answer.status).or_default() += 1;
        tally.bytes += answer.bytes;
        let unwanted = |list: &Playlist| match (list, self.rules.mode) {
            (_, Mode::Auto) => false,
            (Playlist::Dash(_), mode) => mode != Mode::Dash,
            (Playlist::Media(m), Mode::LowLatencyHls) => m.part_target.is_none() && !m.ended,
            (_, mode) => mode == Mode::Dash,
        };
        let no_list = kind.is_text() && answer.playlist.as_deref().is_none_or(unwanted);
        if !(200..300).contains(&answer.status) || no_list {
            tally.errors += 1;
            l.failures += 1;
            l.retry = now.mono + (Duration::from_millis(250) * 2u32.pow(l.failures.min(5))).min(MAX_RETRY);
            if !kind.is_text() {
                // What is gone is not asked for again before the list said what there is.
                l.list = None;
                if l.failures > 1 || !l.within.is_zero() {
                    l.at = l.at.map(|at| (at.0 + 1, 0));
                    l.within = Duration::ZERO;
                }
            }
            return;
        }
        l.failures = 0;
        match kind {
            Kind::Init => l.init = Some(asked.at),
            Kind::Playlist | Kind::BlockingPlaylist => match answer.playlist {
                Some(list) if !matches!(*list, Playlist::Media(_)) => {
                    self.root = Some(list);
                    self.root_read = now.mono;
                    self.version += 1;
                    self.choose(now.mono);
                }
                list => {
                    l.unchanged = l.list.is_some() && l.list == list;
                    l.fetched = now.mono;
                    l.list = list;
                }
            },
            Kind::Segment | Kind::Part | Kind::ChunkedSegment => {
                let Some((number, part)) = l.at else { return };
                let (mut date, mut new) = (asked.date_ms, asked.duration);
                if kind == Kind::ChunkedSegment {
                    date = date.map(|d| d.saturating_add(millis(l.within)));
                    new = new.saturating_sub(l.within);
                }
                if kind == Kind::Part {
                    (l.at, l.within) = (Some((number, part + 1)), l.within + new);
                } else {
                    (l.at, l.within) = (Some((number + 1, 0)), Duration::ZERO);
                }
                if lane == 0 && kind != Kind::ChunkedSegment {
                    self.estimate.add(answer.bytes, answer.took.saturating_sub(answer.waited), new);
                }
                self.appended(lane, date, new, now, tally);
            }
        }
    }

    /// The viewer leaves: what is still open is counted.
    pub fn leave(&mut self, now: Now, tally: &mut Tally) {
        self.advance(now.mono, tally);
        self.playback.leave(now.mono, tally);
    }

    /// Chooses where to begin.
    fn start(&mut self, lane: usize, media: &Media, low: bool, now: Now) -> Action {
        if lane == 1 && self.playback.start(0).is_none() {
            // Sound begins where the picture begins.
            return Action::Wait(now.mono + Duration::from_millis(20));
        }
        let place = match (lane, self.playback.start(0), media.segments.iter().any(|s| s.date_ms.is_some())) {
            (1, Some(date), true) => Some(by_date(media, low, date / 1000)),
            _ => start(media, low, now.utc_ms),
        };
        let Some(l) = self.lanes.get_mut(lane) else { return Action::Done };
        let Some(place) = place else {
            l.retry = now.mono + (media.target / 2).max(Duration::from_millis(100));
            l.list = None;
            return Action::Wait(l.retry);
        };
        let parts = media.segments.iter().find(|s| s.number == place.0).map_or(&[][..], |s| &s.parts);
        let before = parts.iter().take(place.1).map(|p| p.duration).fold(Duration::ZERO, Duration::saturating_add);
        (l.at, l.within) = (Some(place), before);
        if lane == 0 && !media.ended {
            // The edge is now in DASH, the end of the list in HLS.
            let edge = media.segments.last().and_then(|s| Some(s.date_ms?.saturating_add(millis(s.duration))));
            let begin = match media.delay {
                Some(delay) => Some(now.utc_ms.saturating_sub(millis(delay))),
                None => edge.map(|e| e.saturating_sub(millis(hold_back(media, low)))),
            };
            self.playback.begin = begin.map(|b| b.saturating_mul(1000));
        }
        Action::Wait(now.mono)
    }

    /// What to ask for of this segment; `None` if the rest of it is not there yet.
    fn fetch(
        &mut self,
        lane: usize,
        segment: &Segment,
        part: usize,
        low: bool,
        now: Now,
        tally: &mut Tally,
    ) -> Option<Action> {
        let l = self.lanes.get_mut(lane)?;
        let following = (segment.number + 1, 0);
        if l.at.is_none_or(|at| at.0 != segment.number) {
            (l.at, l.within) = (Some((segment.number, 0)), Duration::ZERO);
        }
        if segment.gap {
            tally.gaps += u64::from(lane == 0);
            (l.at, l.within) = (Some(following), Duration::ZERO);
            return Some(Action::Wait(now.mono));
        }
        let (kind, at, duration, chunk) = match (low, segment.parts.get(part), &segment.at) {
            (true, Some(p), _) if p.gap => {
                tally.gaps += u64::from(lane == 0);
                (l.at, l.within) = (Some((segment.number, part + 1)), l.within + p.duration);
                return Some(Action::Wait(now.mono));
            }
            (true, Some(p), _) => (Kind::Part, &p.at, p.duration, Duration::ZERO),
            (_, _, Some(_)) if part > 0 && l.within + Duration::from_millis(20) >= segment.duration => {
                (l.at, l.within) = (Some(following), Duration::ZERO);
                return Some(Action::Wait(now.mono));
            }
            // Its parts left the list before this viewer had them all: the whole segment gives what is missing.
            (_, _, Some(whole)) => match segment.chunk.filter(|_| self.rules.mode != Mode::Hls) {
                Some(chunk) => (Kind::ChunkedSegment, whole, segment.duration, chunk),
                None => (Kind::Segment, whole, segment.duration.saturating_sub(l.within), Duration::ZERO),
            },
            _ => return None,
        };
        let date_ms = segment.date_ms.map(|d| d.saturating_add(millis(l.within)));
        if let Some(map) = segment.map.clone().filter(|m| l.init.as_ref() != Some(m)) {
            return Some(self.get(lane, map, Kind::Init));
        }
        let at = at.clone();
        l.asked = Some(Asked { kind, at: at.clone(), date_ms, duration, chunk });
        Some(Action::Get(at, kind))
    }

    /// The list has nothing more: when it is read again.
    fn not_yet(&mut self, lane: usize, media: &Media, low: bool, now: Now, url: String) -> Action {
        let Some(l) = self.lanes.get_mut(lane) else { return Action::Done };
        if matches!(self.root.as_deref(), Some(Playlist::Dash(_))) {
            if media.ended {
                return Action::Done;
            }
            let soon = media.next_ms.map(|n| u64::try_from(n - now.utc_ms).unwrap_or(0));
            l.list = None;
            l.retry = now.mono + Duration::from_millis(soon.unwrap_or(100).clamp(5, 2000));
            return Action::Wait(l.retry);
        }
        if media.ended {
            return Action::Done;
        }
        if let (true, true, Some((number, part))) = (low, media.can_block, l.at) {
            // A server that answered at once with what was known is not asked without a pause.
            let pause = media.part_target.unwrap_or(media.target) / 2;
            if l.unchanged && now.mono < l.fetched + pause {
                return Action::Wait(l.fetched + pause);
            }
            let mark = if url.contains('?') { '&' } else { '?' };
            let url = format!("{url}{mark}_HLS_msn={number}&_HLS_part={part}");
            return self.get(lane, Resource::whole(url), Kind::BlockingPlaylist);
        }
        // RFC 8216bis 6.3.4: a target duration after a change, half of it otherwise.
        let span = if low { media.part_target.unwrap_or(media.target) } else { media.target };
        let due = l.fetched + if l.unchanged { span / 2 } else { span };
        if now.mono < due {
            return Action::Wait(due);
        }
        self.get(lane, Resource::whole(url), Kind::Playlist)
    }

    fn get(&mut self, lane: usize, at: Resource, kind: Kind) -> Action {
        if let Some(l) = self.lanes.get_mut(lane) {
            let (duration, chunk) = (Duration::ZERO, Duration::ZERO);
            l.asked = Some(Asked { kind, at: at.clone(), date_ms: None, duration, chunk });
        }
        Action::Get(at, kind)
    }

    /// Makes the lane's list from the MPD, if there is a newer one or it has come to its end.
    fn list_dash(&mut self, lane: usize, now: Now) {
        let Some(Playlist::Dash(dash)) = self.root.as_deref() else { return };
        let Some(l) = self.lanes.get_mut(lane) else { return };
        if l.list.is_some() && l.version == self.version {
            return;
        }
        let low_latency = self.rules.mode != Mode::Hls;
        let from = match (l.at, lane) {
            (Some(at), _) => Some(at.0),
            // Sound begins where the picture begins; its segments may begin a little earlier.
            (None, 1) => self.playback.start(0).map(|s| u64::try_from(s / 1000 - 100).unwrap_or(0)),
            (None, _) => None,
        };
        let variant = self.variant.unwrap_or(0);
        let media = dash.list(Wanted { variant, audio: lane == 1, low_latency, from, now_ms: now.utc_ms });
        l.version = self.version;
        l.list = Some(Arc::new(Playlist::Media(media)));
    }

    fn ended(&self) -> bool {
        self.lanes.iter().filter(|l| l.url.is_some()).any(|l| {
            let Some(Playlist::Media(m)) = l.list.as_deref() else { return false };
            m.ended && l.at.is_some_and(|at| m.segments.iter().all(|s| s.number < at.0))
        })
    }

    fn advance(&mut self, now: Duration, tally: &mut Tally) {
        let ended = self.ended();
        self.playback.advance(now, self.lanes(), ended, tally);
    }

    fn appended(&mut self, lane: usize, date_ms: Option<i64>, duration: Duration, now: Now, tally: &mut Tally) {
        self.playback.append(lane, date_ms, duration);
        let mut live = false;
        let (mut enough, mut patience) = (Duration::from_millis(1), Duration::from_secs(2));
        if let Some(Playlist::Media(m)) = self.lanes[0].list.as_deref() {
            live = !m.ended;
            patience = m.target;
            let chunk = m.segments.last().and_then(|s| s.chunk);
            if let Some(piece) = m.part_target.or(chunk).filter(|_| self.rules.mode != Mode::Hls && live) {
                enough = (piece * 2).min(m.part_hold_back.or(m.delay).unwrap_or(piece * 2));
            }
        }
        self.playback.resume(now.mono, self.lanes(), enough, patience, tally);
        if let Some(ms) = self.playback.latency_ms(now.utc_ms).filter(|_| live && lane == 0) {
            tally.latency.add_ms(ms as f64);
        }
    }
}

#[cfg(test)]
#[path = "viewer/tests.rs"]
mod tests;
