//! What leaves the list, how long its bytes stay after that, and what goes when the window is full.

use std::time::Duration;

use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::track::{RenditionName, Track};

use crate::error::Error;
use crate::segment::{Abandoned, Segment, State, nanos};
use crate::session::Run;
use crate::window::Window;

impl Window {
    /// Drops what has outlived its time: removed segments, and the whole list of a session that ended long enough ago.
    pub fn prune_at(&mut self, now: MonoTime) {
        if self.session.as_ref().and_then(|s| s.ended).is_some_and(|at| at <= now) {
            self.close_session();
            self.version += 1;
        }
        self.latest = self.latest.max(now);
        while self.abandoned.front().is_some_and(|lost| lost.expires <= now) {
            self.forget_abandoned();
        }
        let named_from = self.named_from();
        for row in self.rows.values_mut() {
            // Oldest first, since that is the order in which they left the list.
            while let Some(first) = row.first_entry().filter(|e| *e.key() < named_from) {
                let done = first.get().expires.is_some_and(|at| at <= now);
                if !done {
                    break;
                }
                self.held_bytes -= first.remove().bytes;
            }
        }
        self.rows.retain(|_, row| !row.is_empty());
        self.drop_periods();
    }

    /// When [`Window::prune_at`] next has something to drop.
    pub fn next_change(&self) -> Option<MonoTime> {
        let named_from = self.named_from();
        let oldest = self.rows.values().filter_map(|row| row.first_key_value()).filter(|(n, _)| **n < named_from);
        let removed = oldest.filter_map(|(_, s)| s.expires).min();
        let ended = self.session.as_ref().and_then(|s| s.ended);
        let abandoned = self.abandoned.front().map(|lost| lost.expires);
        removed.into_iter().chain(ended).chain(abandoned).min()
    }

    /// First number that a manifest may name: the start of the timeline block of the first listed one.
    fn named_from(&self) -> u64 {
        self.session().map_or(u64::MAX, |s| {
            let block = self.config.timeline_block(&s.timing);
            (s.first_listed - s.first_listed % block).max(s.first.unwrap_or(0))
        })
    }

    /// Moves on over all numbers that every track of their period has settled, gives up what lags too far behind, and
    /// takes off the list what its length no longer needs.
    pub(crate) fn advance(&mut self, now: MonoTime) {
        while let Some(number) = self.session.as_ref().filter(|s| s.first.is_some()).map(|s| s.next_unsettled) {
            let newest = self.session.as_ref().and_then(|s| s.newest);
            let Some(newest) = newest.filter(|&n| n >= number) else { break };
            if !self.settle(number, newest - number >= u64::from(self.config.max_lag.max(1))) {
                break;
            }
            self.extend_run(number);
            if let Some(session) = self.session.as_mut() {
                session.next_unsettled = number + 1;
            }
        }
        self.note_list_length();
        self.trim(now);
    }

    /// Settles everything up to the newest number, for the end of a session.
    pub(crate) fn settle_all(&mut self, now: MonoTime) {
        let Some((next, newest)) = self.session.as_ref().and_then(|s| Some((s.next_unsettled, s.newest?))) else {
            return;
        };
        for number in next..=newest {
            self.settle(number, true);
        }
        self.advance(now);
    }

    /// Whether every track of the number's period has it settled; with `force`, gaps are put where it has not.
    fn settle(&mut self, number: u64, force: bool) -> bool {
        let Some(period) = self.period_of(number) else { return false };
        let settled = |name: &RenditionName| self.slot(name, number).is_some_and(|s| s.is_settled());
        let missing: Vec<Track> =
            period.tracks().iter().filter(|t| !settled(&t.track.name)).map(|t| t.track.clone()).collect();
        if !force {
            return missing.is_empty();
        }
        missing.iter().all(|track| {
            let times = self.gap_times(track, number);
            times.is_some_and(|(start, duration)| {
                self.settle_gap(track, number, start, duration);
                true
            })
        })
    }

    /// Adds a settled number to the last run, or begins one, if all tracks have it whole.
    fn extend_run(&mut self, number: u64) {
        let Some(period) = self.period_of(number) else { return };
        let whole = |name: &RenditionName| self.slot(name, number).is_some_and(|s| s.state == State::Whole);
        if !period.tracks().iter().all(|t| whole(&t.track.name)) {
            return;
        }
        let (first_of_period, Some(reference)) =
            (period.first_segment(), period.tracks().iter().find(|t| t.track.is_video()).or(period.tracks().first()))
        else {
            return;
        };
        let Some(segment) = self.slot(&reference.track.name, number) else { return };
        let scale = reference.track.timescale;
        let (start, end) = (UtcTime::from_ticks(segment.start, scale), UtcTime::from_ticks(segment.end(), scale));
        let Some(session) = self.session.as_mut() else { return };
        let breaks = number == first_of_period || session.discontinuities.contains(&number);
        match session.runs.back_mut() {
            Some(run) if run.last + 1 == number && !breaks => {
                run.last = number;
                run.end = end;
            }
            _ => session.runs.push_back(Run { first: number, last: number, start, end }),
        }
    }

    /// Durations of a number in the tracks of its period, in nanoseconds.
    fn durations(&self, number: u64) -> impl Iterator<Item = u64> {
        let tracks = self.period_of(number).map(|p| p.tracks()).unwrap_or_default();
        tracks.iter().filter_map(move |t| Some(nanos(self.slot(&t.track.name, number)?.duration, t.track.timescale)))
    }

    /// Duration of a listed number in the track where it is shortest, so that no list falls short; but audio segments,
    /// which swing by a frame around the nominal length, count as nominal.
    fn listed_duration(&self, number: u64) -> Duration {
        let shortest = Duration::from_nanos(self.durations(number).min().unwrap_or(0));
        let nominal = self.session.as_ref().map(|s| s.timing.segment_duration()).unwrap_or_default();
        if shortest.abs_diff(nominal) <= Duration::from_millis(50) { nominal } else { shortest }
    }

    fn listed_total(&self) -> (u64, Duration) {
        let Some(s) = self.session() else { return (0, Duration::ZERO) };
        let total = (s.first_listed..s.next_unsettled).map(|n| self.listed_duration(n)).sum();
        (s.next_unsettled - s.first_listed, total)
    }

    /// Remembers the longest list that any rendition showed; at most what its numbers last in whichever track lasts
    /// longest.
    fn note_list_length(&mut self) {
        let Some(session) = self.session() else { return };
        let settled = session.first_listed..session.next_unsettled;
        let settled = settled.map(|n| Duration::from_nanos(self.durations(n).max().unwrap_or(0)));
        let ahead = session.newest.map_or(0, |n| (n + 1).saturating_sub(session.next_unsettled));
        let ahead = session.timing.longest_segment() * u32::try_from(ahead).unwrap_or(u32::MAX);
        let length = settled.sum::<Duration>() + ahead;
        if let Some(session) = self.session.as_mut() {
            session.longest_list = session.longest_list.max(length);
        }
    }

    /// Takes segments off the list while what remains is as long as it shall be (STANDARDS 1.10).
    fn trim(&mut self, now: MonoTime) {
        let Some(session) = self.session.as_ref().filter(|s| s.ended.is_none()) else { return };
        let length = self.config.list_length(&session.timing);
        let (mut count, mut total) = self.listed_total();
        while let Some(first) = self.session().map(|s| s.first_listed) {
            let duration = self.listed_duration(first);
            if count <= u64::from(self.config.min_listed.max(1)) || total - duration < length {
                break;
            }
            self.unlist(first, Some(now));
            (count, total) = (count - 1, total - duration);
        }
    }

    /// Takes the first segment off the list. Its bytes stay for its duration and that of the longest list it was in
    /// (STANDARDS 1.11), or, without `now`, go at once.
    fn unlist(&mut self, number: u64, now: Option<MonoTime>) {
        let keep = self.session.as_ref().map(|s| s.longest_list).unwrap_or_default();
        let tracks =
            self.period_of(number).map(|p| p.tracks().iter().map(|t| (t.track.name.clone(), t.track.timescale)));
        for (name, scale) in tracks.into_iter().flatten().collect::<Vec<_>>() {
            let Some(row) = self.rows.get_mut(&name) else { continue };
            if let Some(segment) = row.get_mut(&number) {
                match now {
                    Some(now) if segment.state == State::Whole => {
                        segment.expires = Some(now + keep + Duration::from_nanos(nanos(segment.duration, scale)));
                    }
                    _ => {
                        self.held_bytes -= segment.bytes;
                        row.remove(&number);
                    }
                }
            }
        }
        let Some(session) = self.session.as_mut() else { return };
        session.first_listed = number + 1;
        if session.discontinuities.remove(&number) {
            session.discontinuity_sequence += 1;
        }
        while session.runs.front().is_some_and(|r| r.last <= number) {
            session.runs.pop_front();
        }
        self.version += 1;
    }

    /// Makes room for `len` bytes more: the oldest removed segments go first, then the oldest of the list.
    pub(crate) fn make_room(&mut self, len: u64) -> Result<(), Error> {
        let max = self.config.max_bytes;
        while self.held_bytes.saturating_add(len) > max {
            if !self.forget_abandoned() && !self.evict_removed() && !self.shorten() {
                self.statistics.refused_chunks += 1;
                return Err(Error::Full { held: self.held_bytes, max, wanted: len });
            }
        }
        Ok(())
    }

    fn evict_removed(&mut self) -> bool {
        let ended = self.is_ended();
        let listed_from = self.session().map_or(u64::MAX, |s| s.first_listed);
        let oldest = self
            .rows
            .iter()
            .filter_map(|(name, row)| row.first_key_value().map(|(&n, s)| (n, name, s)))
            .filter(|(n, _, s)| s.expires.is_some() && (*n < listed_from || !ended))
            .min_by_key(|(n, ..)| *n)
            .map(|(n, name, _)| (n, name.clone()));
        let Some((number, name)) = oldest else { return false };
        if let Some(lost) = self.rows.get_mut(&name).and_then(|row| row.remove(&number)) {
            self.held_bytes -= lost.bytes;
            self.statistics.evicted_segments += 1;
            self.statistics.evicted_bytes += lost.bytes;
        }
        self.drop_periods();
        true
    }

    /// Cuts the list by one segment, unless less than three target durations would remain (STANDARDS 1.10).
    fn shorten(&mut self) -> bool {
        let Some(session) = self.session().filter(|s| s.ended.is_none()) else { return false };
        let first = session.first_listed;
        let floor = Duration::from_secs(3 * u64::from(session.timing.target_duration()));
        let (count, total) = self.listed_total();
        if count <= 1 || total.saturating_sub(self.listed_duration(first)) < floor {
            return false;
        }
        let before = (self.held_bytes, self.statistics().held_segments);
        self.unlist(first, None);
        self.statistics.evicted_bytes += before.0 - self.held_bytes;
        self.statistics.evicted_segments += before.1 - self.statistics().held_segments;
        self.statistics.shortened += 1;
        self.drop_periods();
        true
    }

    /// Gives up a rendition's open segment.
    pub(crate) fn give_up_open_segment(&mut self, rendition: &RenditionName) {
        let Some(row) = self.rows.get_mut(rendition) else { return };
        let last = row.last_entry().filter(|e| e.get().state == State::Open).map(|e| e.remove_entry());
        if row.is_empty() {
            self.rows.remove(rendition);
        }
        if let Some((number, lost)) = last {
            self.abandon(rendition, number, lost);
            self.part_changes += 1;
        }
    }

    /// Lets go of an open segment. If its parts were listed, they stay for four target durations (STANDARDS 1.39 asks
    /// for three; the time is that of the newest chunk).
    pub(crate) fn abandon(&mut self, rendition: &RenditionName, number: u64, lost: Segment) {
        let timing = self.session.as_ref().map(|s| s.timing).filter(|t| t.part_target().is_some());
        let Some(timing) = timing.filter(|_| !lost.chunks.is_empty()) else {
            self.held_bytes -= lost.bytes;
            return;
        };
        let keep = Duration::from_secs(4 * u64::from(timing.target_duration()));
        let Segment { chunks, bytes, .. } = lost;
        let expires = self.abandoned.back().map_or(self.latest + keep, |last| last.expires.max(self.latest + keep));
        self.abandoned.push_back(Abandoned { rendition: rendition.clone(), number, chunks, bytes, expires });
    }

    /// Drops the parts of the segment given up longest ago; `false` if there is none.
    fn forget_abandoned(&mut self) -> bool {
        let lost = self.abandoned.pop_front();
        self.held_bytes -= lost.as_ref().map_or(0, |lost| lost.bytes);
        lost.is_some()
    }

    /// Sets when the final list and its segments go.
    pub(crate) fn finish_session(&mut self, now: MonoTime) {
        let Some(session) = self.session.as_mut() else { return };
        if session.newest.is_none() {
            return self.close_session();
        }
        let expires = now + session.longest_list + session.timing.longest_segment();
        let Some(first) = session.first else { return };
        session.ended = Some(expires);
        // Also what had left the list: a DASH timeline may still name a few of those, and it changes no more.
        for row in self.rows.values_mut() {
            row.range_mut(first..).for_each(|(_, s)| s.expires = s.expires.max(Some(expires)));
        }
    }

    /// Takes everything off the list for a new session; segments that are open stay.
    pub(crate) fn retire_listing(&mut self, now: MonoTime) {
        let Some(session) = self.session.as_ref() else { return };
        if session.ended.is_none() {
            let newest = session.newest.map_or(session.first_listed, |n| n + 1);
            for number in session.first_listed..newest {
                self.unlist(number, Some(now));
            }
        }
        self.close_session();
    }

    fn close_session(&mut self) {
        let Some(session) = self.session.take() else { return };
        self.next_discontinuity_sequence = self.next_discontinuity_sequence.max(session.next_discontinuity_sequence());
    }

    /// Forgets periods that no segment, listed or kept, belongs to any more.
    fn drop_periods(&mut self) {
        let held = self.rows.values().filter_map(|row| row.first_key_value().map(|(&n, _)| n)).min();
        let listed = self.session().map(|s| s.first_listed);
        let needed = held.into_iter().chain(listed).min();
        while self.periods.get(1).is_some_and(|next| needed.is_none_or(|n| next.first_segment() <= n)) {
            self.held_bytes -= self.periods.pop_front().map_or(0, |p| p.init_bytes());
        }
    }
}
