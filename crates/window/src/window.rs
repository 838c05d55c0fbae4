//! The window itself: its sessions, its periods, and the plain questions about them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use millstream_media::protection::Signalling;
use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::track::{RenditionName, Track};

use crate::config::{Config, Timing};
use crate::error::Error;
use crate::period::Period;
use crate::segment::{Abandoned, Row, Segment, State};
use crate::session::Session;
use crate::statistics::Statistics;

/// The live window of one channel.
///
/// A caller begins a session ([`Window::begin_session`]), a period ([`Window::begin_period`]), and then feeds chunks and
/// ends of segments, rendition by rendition, each rendition in the order of its numbers. It calls [`Window::prune_at`]
/// when [`Window::next_change`] says so. `now` is always the clock that never steps.
#[derive(Clone, Debug)]
pub struct Window {
    pub(crate) config: Config,
    pub(crate) session: Option<Session>,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` the next session begins with, if none is open.
    pub(crate) next_discontinuity_sequence: u64,
    pub(crate) rows: BTreeMap<RenditionName, Row>,
    /// Oldest first; each begins above the one before.
    pub(crate) periods: VecDeque<Period>,
    /// Highest number in use; a later session begins above it.
    pub(crate) highest: Option<u64>,
    /// Parts of segments that were given up, longest ago first. Their bytes count as held, and go first.
    pub(crate) abandoned: VecDeque<Abandoned>,
    /// The latest time it was told.
    pub(crate) latest: MonoTime,
    pub(crate) held_bytes: u64,
    pub(crate) version: u64,
    /// Changes that concern parts only.
    pub(crate) part_changes: u64,
    pub(crate) statistics: Statistics,
}

/// The newest segment that every rendition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its number.
    pub number: u64,
    /// Where it ends, as media time.
    pub end: UtcTime,
}

impl Window {
    /// An empty window.
    pub fn new(config: Config) -> Self {
        Window {
            next_discontinuity_sequence: config.discontinuity_sequence,
            config,
            session: None,
            rows: BTreeMap::new(),
            periods: VecDeque::new(),
            highest: None,
            abandoned: VecDeque::new(),
            latest: MonoTime::default(),
            held_bytes: 0,
            version: 0,
            part_changes: 0,
            statistics: Statistics::default(),
        }
    }

    /// Begins a session: an empty list that goes on above all numbers used so far, under the same URLs. A session that
    /// is open is left without an end (a longer target duration needs that, see [`Error::TooLong`]); its segments, and
    /// those of an ended one, stay fetchable as long as they would have (STANDARDS 1.11). Segments that are still open
    /// are kept, to be listed in this session.
    pub fn begin_session(&mut self, timing: Timing, now: MonoTime) {
        self.prune_at(now);
        self.retire_listing(now);
        self.session = Some(Session::new(timing, self.next_discontinuity_sequence));
        self.version += 1;
    }

    /// Begins a period: from segment `first_segment` on, the channel has these tracks with these init segments.
    ///
    /// Playlists of names that this period lacks go on with the segments of the track of their kind with the nearest bit
    /// rate that is not higher; playlists of names that earlier periods lack show those periods in the same way. A
    /// discontinuity is listed at `first_segment` in all of them if the caller says so or if any track or init segment
    /// differs (STANDARDS 1.16). A period that no segment was settled in yet is replaced by a later one that begins at
    /// or before its first segment.
    pub fn begin_period(
        &mut self,
        first_segment: u64,
        tracks: Vec<(Track, Bytes)>,
        discontinuity: bool,
    ) -> Result<(), Error> {
        self.begin_protected_period(first_segment, tracks, &BTreeMap::new(), discontinuity)
    }

    /// As [`Window::begin_period`], of tracks that are encrypted: `protection` is what manifests say of it.
    pub fn begin_protected_period(
        &mut self,
        first_segment: u64,
        tracks: Vec<(Track, Bytes)>,
        protection: &BTreeMap<RenditionName, Signalling>,
        discontinuity: bool,
    ) -> Result<(), Error> {
        let session = self.session.as_ref().filter(|s| s.ended.is_none()).ok_or(Error::NoSession)?;
        if let Some(highest) = self.highest.filter(|&h| first_segment <= h) {
            return Err(Error::NumberReused { segment: first_segment, highest });
        }
        self.check_tracks(session, &tracks)?;
        let mut period = Period::new(first_segment, tracks).with_protection(protection);
        // Before its first settled segment a session may still begin elsewhere.
        let starts = session.newest.is_none();
        let replaced = session.first.filter(|_| starts).map_or(first_segment, |f| f.min(first_segment));
        self.give_up_unless_kept(&period);
        let keep = self.periods.partition_point(|p| p.first_segment() < replaced);
        self.held_bytes -= self.periods.drain(keep..).map(|p| p.init_bytes()).sum::<u64>();
        self.held_bytes += period.init_bytes();
        let Some(session) = self.session.as_mut() else { return Err(Error::NoSession) };
        session.discontinuities.retain(|&n| n < replaced);
        if starts {
            session.first = Some(first_segment);
            session.first_listed = first_segment;
            session.next_unsettled = first_segment;
        } else if discontinuity || self.periods.back().is_some_and(|p| !p.continues_in(&period)) {
            session.discontinuities.insert(first_segment);
        }
        for t in period.tracks() {
            session.names.retain(|n| n.name != t.track.name);
            for old in &mut self.periods {
                old.decide_stand_in(&t.track);
            }
        }
        for name in &session.names {
            period.decide_stand_in(name);
        }
        session.names.extend(period.tracks().iter().map(|t| t.track.clone()));
        while session.names.len() > (self.config.max_names as usize).max(period.tracks().len()) {
            let forgotten = session.names.remove(0);
            self.periods.iter_mut().for_each(|p| p.forget(&forgotten.name));
            period.forget(&forgotten.name);
        }
        self.periods.push_back(period);
        self.version += 1;
        Ok(())
    }

    /// Gives up the open segments that a new period does not take over: those at or after its start whose track or init
    /// segment it changes, and, at the start of a session, those before it.
    fn give_up_unless_kept(&mut self, next: &Period) {
        let starts = self.session.as_ref().is_some_and(|s| s.newest.is_none());
        let lost = |name: &RenditionName, number: u64| {
            if number < next.first_segment() {
                return starts;
            }
            let old = self.period_of(number).and_then(|p| p.track(name));
            !old.zip(next.track(name)).is_some_and(|(o, n)| o.track == n.track && o.init == n.init)
        };
        let lost: Vec<RenditionName> = self
            .rows
            .iter()
            .filter_map(|(name, row)| row.last_key_value().map(|(&n, s)| (name, n, s)))
            .filter(|(name, number, s)| s.state == State::Open && lost(name, *number))
            .map(|(name, ..)| name.clone())
            .collect();
        for name in lost {
            self.give_up_open_segment(&name);
        }
    }

    fn check_tracks(&self, session: &Session, tracks: &[(Track, Bytes)]) -> Result<(), Error> {
        let max = self.config.max_tracks;
        let distinct =
            tracks.iter().enumerate().all(|(i, (t, _))| tracks.iter().skip(i + 1).all(|(u, _)| u.name != t.name));
        if tracks.is_empty() || tracks.len() > max as usize || !distinct {
            return Err(Error::BadTracks { max });
        }
        for (track, _) in tracks {
            if session.names.iter().any(|n| n.name == track.name && n.is_video() != track.is_video()) {
                return Err(Error::KindChanged { rendition: track.name.clone() });
            }
        }
        let wanted = tracks.iter().map(|(_, init)| init.len() as u64).sum();
        if self.held_bytes + wanted > self.config.max_bytes {
            return Err(Error::Full { held: self.held_bytes, max: self.config.max_bytes, wanted });
        }
        Ok(())
    }

    /// Ends the session: the list is final (`EXT-X-ENDLIST`). Segments still open are given up; a rendition that is
    /// behind gets gaps, so that all lists end at one number. What is listed stays for the longest list's duration and
    /// one segment more, then everything goes at once ([`Window::next_change`]). A session that listed nothing goes now.
    pub fn end(&mut self, now: MonoTime) {
        if self.session.as_ref().is_none_or(|s| s.ended.is_some()) {
            return;
        }
        let names: Vec<RenditionName> = self.rows.keys().cloned().collect();
        for name in &names {
            // Its number stays used: parts of it may have been fetched.
            self.highest = self.highest.max(self.open_segment(name).map(|(number, _)| number));
            self.give_up_open_segment(name);
        }
        self.settle_all(now);
        self.finish_session(now);
        self.version += 1;
    }

    /// Changes whenever a manifest of this window may have changed, with each listed part too, and never falls.
    pub const fn version(&self) -> u64 {
        self.version + self.part_changes
    }

    /// As [`Window::version`], for manifests of whole segments: parts do not change it.
    pub const fn segments_version(&self) -> u64 {
        self.version
    }

    /// The window's configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The session's timing; `None` without a session.
    pub fn timing(&self) -> Option<Timing> {
        self.session.as_ref().map(|s| s.timing)
    }

    /// Whether the session has ended (its list is final, and may still be shown).
    pub fn is_ended(&self) -> bool {
        self.session.as_ref().is_some_and(|s| s.ended.is_some())
    }

    /// The newest segment that all renditions have, or are known to lack. `None` while nothing is listed.
    pub fn newest(&self) -> Option<Newest> {
        let session = self.session()?;
        let number = session.next_unsettled.checked_sub(1).filter(|&n| n >= session.first_listed)?;
        let track = self.period_of(number)?.tracks().first()?;
        let end = self.slot(&track.track.name, number)?.end();
        Some(Newest { number, end: UtcTime::from_ticks(end, track.track.timescale) })
    }

    /// Number of the first listed segment, the media sequence number of all playlists; `None` without a list.
    pub fn first_listed(&self) -> Option<u64> {
        self.session().map(|s| s.first_listed)
    }

    /// Highest segment number in use, over all sessions; the next session or period begins above it.
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The least `EXT-X-DISCONTINUITY-SEQUENCE` for a window that takes over after a restart: above all that was shown,
    /// so that it never falls. It changes only with a new session, a discontinuity or the first segment.
    pub fn next_discontinuity_sequence(&self) -> u64 {
        self.session.as_ref().map_or(self.next_discontinuity_sequence, Session::next_discontinuity_sequence)
    }

    /// The period that a multivariant playlist describes: the newest one with a segment that every rendition has, or
    /// the first one before there is any. `None` without a session or before its first period.
    pub fn current_period(&self) -> Option<&Period> {
        let session = self.session()?;
        match session.next_unsettled.checked_sub(1).filter(|&n| n >= session.first_listed) {
            Some(newest) => self.period_of(newest),
            None => self.periods.back(),
        }
    }

    /// The period that began last, also before it has a segment that every rendition has.
    pub fn newest_period(&self) -> Option<&Period> {
        self.periods.back()
    }

    /// All rendition names whose playlists this session serves, with their tracks as they were last.
    pub fn renditions(&self) -> impl Iterator<Item = &Track> {
        self.session().into_iter().flat_map(|s| s.names.iter())
    }

    /// An init segment: of this version (a track's own, or the period's common one), or the newest one. Old ones stay
    /// while a segment needs them.
    pub fn init(&self, rendition: &RenditionName, version: Option<&str>) -> Option<Bytes> {
        self.periods
            .iter()
            .rev()
            .filter_map(|p| p.track(rendition).map(|t| (p, t)))
            .find(|(p, t)| version.is_none_or(|v| v == t.init_version || v == p.init_version()))
            .map(|(_, t)| t.init.clone())
    }

    /// Counters and sizes.
    pub fn statistics(&self) -> Statistics {
        let held = |row: &Row| row.values().filter(|s| s.state != State::Gap).count() as u64;
        Statistics { held_bytes: self.held_bytes, held_segments: self.rows.values().map(held).sum(), ..self.statistics }
    }

    /// The period that a segment number belongs to.
    pub fn period_at(&self, number: u64) -> Option<&Period> {
        self.period_of(number)
    }

    /// The session, if it has a first segment.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.session.as_ref().filter(|s| s.first.is_some())
    }

    pub(crate) fn period_of(&self, number: u64) -> Option<&Period> {
        let after = self.periods.partition_point(|p| p.first_segment() <= number);
        self.periods.get(after.checked_sub(1)?)
    }

    pub(crate) fn row(&self, rendition: &RenditionName) -> Option<&Row> {
        self.rows.get(rendition)
    }

    pub(crate) fn slot(&self, rendition: &RenditionName, number: u64) -> Option<&Segment> {
        self.rows.get(rendition)?.get(&number)
    }
}
