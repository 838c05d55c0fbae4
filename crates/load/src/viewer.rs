//! One viewer as a state machine: [`Viewer::next`] says what a lane does now, [`Viewer::answered`] takes the response.
//!
//! A lane is one connection: lane 0 fetches video (or muxed media), lane 1 a separate audio rendition. The buffer is
//! what the shorter lane holds.

use std::sync::Arc;
use std::time::Duration;

use crate::playlist::{Media, Multivariant, Playlist};
use crate::tally::Tally;

/// Media held ahead of the playhead at most.
const MAX_BUFFER: Duration = Duration::from_secs(30);

/// Bit rate assumed before anything was measured.
const FIRST_ESTIMATE: u64 = 1_000_000;

/// A request is never retried later than this.
const MAX_RETRY: Duration = Duration::from_secs(4);

/// Which variant is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abr {
    /// By measured throughput.
    On,
    /// Always the lowest.
    Lowest,
    /// Always the highest.
    Highest,
}

/// How viewers behave.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Which variant.
    pub abr: Abr,
    /// Uses parts and blocking reloads where the playlist has them.
    pub low_latency: bool,
}

/// Now, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since the run began.
    pub mono: Duration,
    /// Wall clock, ms since 1970.
    pub utc_ms: i64,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A playlist: its text is wanted.
    Playlist,
    /// A playlist asked for before it is there.
    BlockingPlaylist,
    /// A header.
    Init,
    /// A segment.
    Segment,
    /// A part.
    Part,
}

impl Kind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Playlist => "playlist",
            Kind::BlockingPlaylist => "blocking_playlist",
            Kind::Init => "init",
            Kind::Segment => "segment",
            Kind::Part => "part",
        }
    }
}

/// What a lane does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Fetch this, then call [`Viewer::answered`].
    Get(String, Kind),
    /// Ask again at this time since the run began.
    Wait(Duration),
    /// This lane has nothing more to do.
    Done,
}

/// A response; `playlist` is `None` where none was asked for or it could not be read.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status, 0 for a broken connection.
    pub status: u16,
    /// Body bytes.
    pub bytes: u64,
    /// From request to last byte.
    pub took: Duration,
    /// The body of a playlist.
    pub playlist: Option<Arc<Playlist>>,
}

#[derive(Debug, Default)]
struct Lane {
    url: Option<String>,
    list: Option<Arc<Playlist>>,
    fetched: Duration,
    unchanged: bool,
    retry: Duration,
    failures: u32,
    /// Number of the segment and index of the part that come next.
    at: Option<(u64, usize)>,
    init: Option<String>,
    asked: Option<(Kind, String, Duration, Option<i64>)>,
    appended: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Play {
    Starting,
    Playing,
    Stalled(Duration),
}

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    rules: Rules,
    joined: Duration,
    lists: Option<Arc<Playlist>>,
    lanes: [Lane; 2],
    variant: usize,
    estimate: u64,
    play: Play,
    played: Duration,
    clock: Duration,
    first_date: Option<i64>,
    has_stalled: bool,
    has_played: bool,
}

impl Viewer {
    /// A viewer that joins now at this URL.
    pub fn new(url: &str, rules: Rules, now: Now) -> Self {
        let lanes = [Lane { url: Some(url.to_owned()), ..Lane::default() }, Lane::default()];
        let (play, played) = (Play::Starting, Duration::ZERO);
        Viewer {
            rules,
            joined: now.mono,
            lists: None,
            lanes,
            variant: 0,
            estimate: FIRST_ESTIMATE,
            play,
            played,
            clock: now.mono,
            first_date: None,
            has_stalled: false,
            has_played: false,
        }
    }

    /// What this lane does now.
    pub fn next(&mut self, lane: usize, now: Now, tally: &mut Tally) -> Action {
        self.advance(now.mono, tally);
        if lane == 0 {
            self.choose();
        }
        let ahead = self.ahead(lane);
        let Some(l) = self.lanes.get_mut(lane) else { return Action::Done };
        let Some(url) = l.url.clone() else {
            let undecided = self.lists.is_none() && self.lanes[0].list.is_none();
            return if undecided { Action::Wait(now.mono + Duration::from_millis(50)) } else { Action::Done };
        };
        if now.mono < l.retry {
            return Action::Wait(l.retry);
        }
        let Some(Playlist::Media(media)) = l.list.as_deref() else {
            l.asked = Some((Kind::Playlist, url.clone(), Duration::ZERO, None));
            return Action::Get(url, Kind::Playlist);
        };
        let low = self.rules.low_latency && media.part_target.is_some();
        let oldest = media.segments.first().map_or(0, |s| s.number);
        let (number, part) = match l.at {
            Some(at) if at.0 >= oldest => at,
            before => {
                tally.jumps += u64::from(before.is_some());
                let Some(start) = start(media, low) else {
                    l.retry = now.mono + media.target / 2;
                    l.list = None;
                    return Action::Wait(l.retry);
                };
                *l.at.insert(start)
            }
        };
        if ahead > MAX_BUFFER {
            return Action::Wait(now.mono + (ahead - MAX_BUFFER).max(Duration::from_millis(100)));
        }
        let found = media.segments.iter().find(|s| s.number == number);
        let item = found.and_then(|s| {
            let done = s.parts.iter().take(part).map(|p| p.1).fold(Duration::ZERO, Duration::saturating_add);
            let date = s.date_ms.map(|d| d.saturating_add(i64::try_from(done.as_millis()).unwrap_or(0)));
            match (low, s.parts.get(part), &s.url) {
                (true, Some((url, duration)), _) if part > 0 || !s.parts.is_empty() => {
                    Some((Kind::Part, url.clone(), *duration, date, s))
                }
                (_, _, Some(url)) if part == 0 => Some((Kind::Segment, url.clone(), s.duration, date, s)),
                _ => None,
            }
        });
        if let Some((kind, url, duration, date, segment)) = item {
            if let Some(map) = segment.map.as_ref().filter(|m| l.init.as_ref() != Some(*m)) {
                l.asked = Some((Kind::Init, map.clone(), Duration::ZERO, None));
                return Action::Get(map.clone(), Kind::Init);
            }
            l.asked = Some((kind, url.clone(), duration, date));
            return Action::Get(url, kind);
        }
        if found.is_some_and(|s| s.url.is_some() && part > 0) {
            l.at = Some((number + 1, 0));
            return Action::Wait(now.mono);
        }
        if media.ended {
            return Action::Done;
        }
        if low && media.can_block {
            let mark = if url.contains('?') { '&' } else { '?' };
            let url = format!("{url}{mark}_HLS_msn={number}&_HLS_part={part}");
            l.asked = Some((Kind::BlockingPlaylist, url.clone(), Duration::ZERO, None));
            return Action::Get(url, Kind::BlockingPlaylist);
        }
        // RFC 8216bis 6.3.4: a target duration after a change, half of it otherwise.
        let due = l.fetched + if l.unchanged { media.target / 2 } else { media.target };
        if now.mono < due {
            return Action::Wait(due);
        }
        l.asked = Some((Kind::Playlist, url.clone(), Duration::ZERO, None));
        Action::Get(url, Kind::Playlist)
    }

    /// Takes the response to what this lane asked.
    pub fn answered(&mut self, lane: usize, now: Now, answer: Answer, tally: &mut Tally) {
        self.advance(now.mono, tally);
        let Some(l) = self.lanes.get_mut(lane) else { return };
        let Some((kind, url, duration, date)) = l.asked.take() else { return };
        tally.requests.entry(kind.name()).or_default().add(answer.took);
        *tally.statuses.entry(answer.status).or_default() += 1;
        tally.bytes += answer.bytes;
        let wants_list = matches!(kind, Kind::Playlist | Kind::BlockingPlaylist);
        if !(200..300).contains(&answer.status) || (wants_list && answer.playlist.is_none()) {
            tally.errors += 1;
            l.failures += 1;
            l.retry = now.mono + (Duration::from_millis(250) * 2u32.pow(l.failures.min(5))).min(MAX_RETRY);
            if !wants_list {
                // What is gone is not asked for again before the list said what there is.
                l.list = None;
            }
            return;
        }
        l.failures = 0;
        match kind {
            Kind::Init => l.init = Some(url),
            Kind::Playlist | Kind::BlockingPlaylist => match answer.playlist {
                Some(list) if matches!(*list, Playlist::Multivariant(_)) => {
                    l.url = None;
                    self.lists = Some(list);
                    self.choose();
                }
                list => {
                    l.unchanged = l.list.is_some() && l.list == list;
                    l.fetched = now.mono;
                    l.list = list;
                }
            },
            Kind::Segment | Kind::Part => {
                l.appended += duration;
                if let Some((number, part)) = l.at {
                    l.at = Some(if kind == Kind::Part { (number, part + 1) } else { (number + 1, 0) });
                }
                if lane == 0 {
                    self.first_date = self.first_date.or(date);
                    let micros = u64::try_from(answer.took.as_micros()).unwrap_or(u64::MAX).max(1);
                    let seen = answer.bytes.saturating_mul(8_000_000) / micros;
                    self.estimate = (self.estimate / 4 * 3).saturating_add(seen / 4);
                }
                self.appended(now, tally);
            }
        }
    }

    /// The viewer leaves: what is still open is counted.
    pub fn leave(&mut self, now: Now, tally: &mut Tally) {
        self.advance(now.mono, tally);
        if let Play::Stalled(since) = self.play {
            tally.stalls.add(now.mono.saturating_sub(since));
            tally.stalled += now.mono.saturating_sub(since);
        }
        tally.never_played += u64::from(!self.has_played);
    }

    fn ahead(&self, lane: usize) -> Duration {
        self.lanes.get(lane).map_or(Duration::ZERO, |l| l.appended.saturating_sub(self.played))
    }

    fn buffered(&self) -> Duration {
        let both = self.lanes[1].url.is_some();
        if both { self.ahead(0).min(self.ahead(1)) } else { self.ahead(0) }
    }

    fn ended(&self) -> bool {
        self.lanes.iter().filter(|l| l.url.is_some()).any(|l| {
            let Some(Playlist::Media(m)) = l.list.as_deref() else { return false };
            let last = m.segments.last().map_or(0, |s| s.number);
            m.ended && l.at.is_some_and(|at| at.0 > last)
        })
    }

    fn advance(&mut self, now: Duration, tally: &mut Tally) {
        let passed = now.saturating_sub(self.clock);
        self.clock = now;
        if self.play != Play::Playing {
            return;
        }
        let buffered = self.buffered();
        let plays = passed.min(buffered);
        self.played += plays;
        tally.played += plays;
        if passed > buffered && !self.ended() {
            self.play = Play::Stalled(now.saturating_sub(passed - buffered));
            tally.stalled_viewers += u64::from(!self.has_stalled);
            self.has_stalled = true;
        }
    }

    fn appended(&mut self, now: Now, tally: &mut Tally) {
        let list = self.lanes[0].list.as_deref();
        let enough = match list {
            Some(Playlist::Media(m)) => match m.part_target.filter(|_| self.rules.low_latency) {
                Some(part) => part * 2,
                None => Duration::from_millis(1),
            },
            _ => Duration::from_millis(1),
        };
        if self.buffered() >= enough || self.ended() {
            match self.play {
                Play::Starting => tally.startup.add(now.mono.saturating_sub(self.joined)),
                Play::Stalled(since) => {
                    tally.stalls.add(now.mono.saturating_sub(since));
                    tally.stalled += now.mono.saturating_sub(since);
                }
                Play::Playing => {}
            }
            self.play = Play::Playing;
            self.has_played = true;
        }
        let live = !matches!(list, Some(Playlist::Media(m)) if m.ended);
        if let (Play::Playing, Some(first), true) = (self.play, self.first_date, live) {
            let plays = first.saturating_add(i64::try_from(self.played.as_millis()).unwrap_or(0));
            tally.latency.add(Duration::from_millis(u64::try_from(now.utc_ms - plays).unwrap_or(0)));
        }
    }

    /// The highest variant that 80 % of the estimate carries; changes come between segments.
    fn choose(&mut self) {
        let Some(Playlist::Multivariant(Multivariant { variants, audio })) = self.lists.as_deref() else { return };
        let lane = &self.lanes[0];
        if lane.at.is_some_and(|at| at.1 > 0) {
            return;
        }
        let carried = self.estimate / 5 * 4;
        let wanted = match self.rules.abr {
            Abr::Lowest => 0,
            Abr::Highest => variants.len().saturating_sub(1),
            Abr::On => variants.iter().rposition(|v| v.bandwidth <= carried).unwrap_or(0),
        };
        if lane.url.is_some() && wanted == self.variant {
            return;
        }
        let Some(variant) = variants.get(wanted) else { return };
        self.variant = wanted;
        let group = variant.audio.as_ref();
        let sound = audio.iter().find(|(g, url)| Some(g) == group && *url != variant.url).map(|a| a.1.clone());
        self.lanes[0].url = Some(variant.url.clone());
        self.lanes[0].list = None;
        if self.lanes[1].url.is_none() {
            self.lanes[1].url = sound;
        }
    }
}

/// Where a viewer begins: the hold-back from the end when live, the first segment otherwise.
fn start(media: &Media, low: bool) -> Option<(u64, usize)> {
    let first = media.segments.first()?;
    if media.ended {
        return Some((first.number, 0));
    }
    let plain = media.hold_back.unwrap_or(media.target * 3);
    let back = if low { media.part_hold_back.unwrap_or(media.target * 3) } else { plain };
    let mut behind = Duration::ZERO;
    for segment in media.segments.iter().rev() {
        if low && !segment.parts.is_empty() {
            for (at, part) in segment.parts.iter().enumerate().rev() {
                behind += part.1;
                if behind >= back {
                    return Some((segment.number, at));
                }
            }
        } else if segment.url.is_some() {
            behind += segment.duration;
            if behind >= back {
                return Some((segment.number, 0));
            }
        }
    }
    Some((first.number, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::parse;

    const LIVE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-MEDIA-SEQUENCE:7\n\
        #EXTINF:2,\n7.m4s\n#EXT-X-PART:DURATION=0.5,URI=\"8.1\"\n#EXT-X-PART:DURATION=0.5,URI=\"8.2\"\n\
        #EXT-X-PART:DURATION=0.5,URI=\"8.3\"\n";

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), utc_ms: ms as i64 }
    }

    fn ok(text: Option<&str>) -> Answer {
        let playlist = text.and_then(|t| parse(t, "http://h/m.m3u8")).map(Arc::new);
        Answer { status: 200, bytes: 1000, took: Duration::from_millis(5), playlist }
    }

    #[test]
    fn a_blocking_reload_asks_for_the_next_part_and_a_late_one_is_a_stall() {
        let (mut tally, rules) = (Tally::default(), Rules { abr: Abr::On, low_latency: true });
        let mut viewer = Viewer::new("http://h/m.m3u8", rules, at(0));
        assert_eq!(viewer.next(0, at(0), &mut tally), Action::Get("http://h/m.m3u8".into(), Kind::Playlist));
        viewer.answered(0, at(10), ok(Some(LIVE)), &mut tally);
        for part in 1..=3 {
            assert_eq!(viewer.next(0, at(10), &mut tally), Action::Get(format!("http://h/8.{part}"), Kind::Part));
            viewer.answered(0, at(10), ok(None), &mut tally);
        }
        let reload = Action::Get("http://h/m.m3u8?_HLS_msn=8&_HLS_part=3".into(), Kind::BlockingPlaylist);
        assert_eq!(viewer.next(0, at(10), &mut tally), reload);
        assert_eq!((tally.startup.count(), tally.stalled_viewers), (1, 0));
        viewer.leave(at(2510), &mut tally);
        assert_eq!((tally.stalled_viewers, tally.stalled), (1, Duration::from_secs(1)));
    }

    #[test]
    fn a_refusal_is_an_error_and_waits() {
        let (mut tally, rules) = (Tally::default(), Rules { abr: Abr::On, low_latency: false });
        let mut viewer = Viewer::new("http://h/m.m3u8", rules, at(0));
        viewer.next(0, at(0), &mut tally);
        viewer.answered(0, at(10), Answer { status: 404, ..ok(None) }, &mut tally);
        assert!(matches!(viewer.next(0, at(10), &mut tally), Action::Wait(_)));
        viewer.leave(at(20), &mut tally);
        assert_eq!((tally.errors, tally.never_played), (1, 1));
    }
}
