//! What comes in: chunks, ends of segments, gaps.

use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::{MonoTime, NANOS_PER_SECOND, Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track};

use crate::config::SegmentLength;
use crate::error::Error;
use crate::segment::{Segment, State, nanos, rescale};
use crate::window::Window;

impl Window {
    /// Takes the next chunk of a segment: the one after the last, from 0 but for the session's first segment, which may
    /// be joined at any part. Look-ups count from its first chunk. A rendition's first chunk of a segment gives up whatever it left unfinished
    /// before: those numbers become gaps.
    pub fn push_chunk(&mut self, rendition: &RenditionName, chunk: Chunk, now: MonoTime) -> Result<(), Error> {
        let number = chunk.segment;
        let track = self.check_open(rendition, number)?;
        let held: &[Chunk] = self.slot(rendition, number).map_or(&[], |s| &s.chunks);
        let is_first = held.is_empty();
        let due = u32::try_from(held.len()).unwrap_or(u32::MAX);
        let expected = match held.first() {
            Some(first) => first.part.saturating_add(due),
            // Who joins in the middle of a segment begins with a later part (STANDARDS 5.7).
            None if self.session().is_some_and(|s| s.first == Some(number)) => chunk.part,
            None => 0,
        };
        if chunk.part != expected {
            return Err(Error::PartOutOfOrder {
                rendition: rendition.clone(),
                segment: number,
                part: chunk.part,
                expected,
            });
        }
        if due >= self.config.max_parts {
            return Err(Error::TooManyParts { rendition: rendition.clone(), segment: number });
        }
        let len = chunk.bytes.len() as u64;
        self.latest = self.latest.max(now);
        self.make_room(len)?;
        if is_first {
            self.fill_gaps(&track, number, Some(chunk.start), now);
        }
        let row = self.rows.entry(rendition.clone()).or_default();
        let segment = row.entry(number).or_insert_with(|| Segment::open(chunk.start));
        segment.duration = segment.duration.saturating_add(chunk.duration);
        segment.bytes += len;
        segment.chunks.push(chunk);
        self.held_bytes += len;
        if self.lists_parts() {
            self.part_changes += 1;
        }
        Ok(())
    }

    /// The source's timeline or parameters changed before this segment, of which no chunk was pushed yet: a
    /// discontinuity is listed there, before its first part (STANDARDS 1.37).
    pub fn discontinuity(&mut self, number: u64) {
        let begun = self.rows.values().any(|row| row.contains_key(&number));
        let Some(session) = self.session.as_mut() else { return };
        if session.first.is_none_or(|first| number <= first) || session.discontinuities.contains(&number) {
            return;
        }
        // Whoever begins a segment decides for all, since lists may already show it.
        if begun || number < session.next_unsettled {
            self.statistics.late_discontinuities += 1;
        } else {
            session.discontinuities.insert(number);
            self.version += 1;
        }
    }

    /// A segment is whole: it is listed from now on. Its start and duration are those the end says.
    pub fn end_segment(&mut self, rendition: &RenditionName, end: SegmentEnd, now: MonoTime) -> Result<(), Error> {
        let number = end.segment;
        let track = self.check_open(rendition, number)?;
        if self.slot(rendition, number).is_none_or(|s| s.chunks.is_empty()) {
            return Err(Error::Empty { rendition: rendition.clone(), segment: number });
        }
        let Some(session) = self.session.as_mut() else { return Err(Error::NoSession) };
        if !session.timing.admits(end.duration, track.timescale.get()) {
            return Err(Error::TooLong {
                rendition: rendition.clone(),
                segment: number,
                duration_ms: nanos(end.duration, track.timescale) / 1_000_000,
                target_duration: session.timing.target_duration(),
            });
        }
        if end.discontinuity && session.first.is_some_and(|f| f < number) && !session.discontinuities.contains(&number)
        {
            // The first rendition to settle a segment decides for all, since lists may already show it.
            if session.newest.is_some_and(|n| n >= number) {
                self.statistics.late_discontinuities += 1;
            } else {
                session.discontinuities.insert(number);
            }
        }
        if let Some(segment) = self.rows.get_mut(rendition).and_then(|row| row.get_mut(&number)) {
            segment.start = end.start;
            segment.duration = end.duration;
            segment.state = State::Whole;
            segment.chunks.shrink_to_fit();
        }
        self.settled(number);
        self.advance(now);
        self.prune_at(now);
        Ok(())
    }

    /// Gives a segment up in every rendition that does not have it whole: they list it with `EXT-X-GAP`
    /// (STANDARDS 1.18). Numbers before it that are missing become gaps too.
    pub fn mark_gap(&mut self, number: u64, now: MonoTime) -> Result<(), Error> {
        let period = self.period_of(number).ok_or(Error::NoPeriod { segment: number })?;
        let tracks: Vec<Track> = period.tracks().iter().map(|t| t.track.clone()).collect();
        for track in &tracks {
            match self.check_open(&track.name, number) {
                Ok(_) => {}
                Err(Error::Settled { .. }) => continue,
                Err(e) => return Err(e),
            }
            if self.gap_times(track, number).is_none() {
                return Err(Error::UnknownTime { segment: number });
            }
        }
        for track in &tracks {
            self.fill_gaps(track, number + 1, None, now);
        }
        self.prune_at(now);
        Ok(())
    }

    /// Gives up what a rendition does not have whole up to `last`, because nothing of it will come: gaps
    /// (STANDARDS 1.18), where their time is known.
    pub fn give_up(&mut self, rendition: &RenditionName, last: u64, now: MonoTime) {
        if let Ok(track) = self.check_open(rendition, last) {
            self.fill_gaps(&track, last.saturating_add(1), None, now);
            self.prune_at(now);
        }
    }

    /// Whether a rendition may still bring media for a segment; its track in that segment's period.
    fn check_open(&self, rendition: &RenditionName, number: u64) -> Result<Track, Error> {
        let session = self.session.as_ref().filter(|s| s.ended.is_none()).ok_or(Error::NoSession)?;
        if session.first.is_none_or(|f| number < f) {
            return Err(Error::NoPeriod { segment: number });
        }
        let period = self.period_of(number).ok_or(Error::NoPeriod { segment: number })?;
        let Some(track) = period.track(rendition) else {
            return Err(Error::UnknownRendition { rendition: rendition.clone(), segment: number });
        };
        // In order: once a later number has begun, an earlier one is settled.
        let last = self.row(rendition).and_then(|row| row.last_key_value());
        let settled = last.is_some_and(|(&n, s)| n > number || (n == number && s.is_settled()));
        if settled || number < session.next_unsettled {
            return Err(Error::Settled { rendition: rendition.clone(), segment: number });
        }
        let skipped = number - session.next_unsettled;
        if skipped > u64::from(self.config.max_skip) {
            return Err(Error::SkipsTooFar { rendition: rendition.clone(), segment: number, skipped });
        }
        Ok(track.track.clone())
    }

    /// Makes a gap of every number below `before` that this rendition should have and has not settled. `next` is where
    /// its media goes on, in ticks, if that is known.
    fn fill_gaps(&mut self, track: &Track, before: u64, next: Option<u64>, now: MonoTime) {
        let Some(session) = self.session.as_ref() else { return };
        let missing: Vec<u64> = (session.next_unsettled..before)
            .filter(|&n| self.period_of(n).is_some_and(|p| p.track(&track.name).is_some()))
            .filter(|&n| self.slot(&track.name, n).is_none_or(|s| !s.is_settled()))
            .collect();
        let on_grid = matches!(session.timing.length(), SegmentLength::Grid(_));
        for (i, &number) in missing.iter().enumerate() {
            let left = (missing.len() - i) as u64;
            let Some((start, mut duration)) = self.gap_times(track, number).or_else(|| {
                let next = next?;
                let nominal = self.nominal_ticks(track.timescale);
                Some((next.saturating_sub(nominal.saturating_mul(left)), nominal))
            }) else {
                continue;
            };
            // Where the media goes on, the gaps share the hole, so that durations add up to real time (STANDARDS 1.20);
            // on the grid only the last one does, the others have their places.
            if (left == 1 || !on_grid)
                && let Some(share) = next.and_then(|n| n.checked_sub(start)).map(|hole| hole / left)
                && share * 2 >= duration
                && self.session.as_ref().is_some_and(|s| s.timing.admits(share, track.timescale.get()))
            {
                duration = share;
            }
            self.settle_gap(track, number, start, duration);
        }
        if !missing.is_empty() {
            self.advance(now);
        }
    }

    /// Puts a gap where a rendition has nothing whole.
    pub(crate) fn settle_gap(&mut self, track: &Track, number: u64, start: u64, duration: u64) {
        let row = self.rows.entry(track.name.clone()).or_default();
        if let Some(lost) = row.insert(number, Segment::gap(start, duration)) {
            self.abandon(&track.name, number, lost);
        }
        self.statistics.gaps += 1;
        self.settled(number);
    }

    fn settled(&mut self, number: u64) {
        if let Some(session) = self.session.as_mut() {
            session.newest = session.newest.max(Some(number));
        }
        self.highest = self.highest.max(Some(number));
        self.version += 1;
    }

    /// Start and duration that a gap has: on the grid those of its number; else it follows the segment before it, as
    /// long as the same segment of another track, or a nominal one.
    pub(crate) fn gap_times(&self, track: &Track, number: u64) -> Option<(u64, u64)> {
        let timing = self.session.as_ref()?.timing;
        if let SegmentLength::Grid(grid) = timing.length() {
            let start = |n: u64| {
                if track.is_video() {
                    let scale = grid.rate().timescale();
                    rescale(grid.video_start(n), scale, track.timescale)
                } else {
                    grid.audio_start(n, track.timescale)
                }
            };
            return Some((start(number), start(number + 1).saturating_sub(start(number))));
        }
        let other = self.period_of(number)?.tracks().iter().find_map(|t| {
            let s = self.slot(&t.track.name, number).filter(|s| s.is_settled())?;
            let to = |ticks| rescale(ticks, t.track.timescale, track.timescale);
            Some((to(s.start), to(s.duration)))
        });
        let before = number.checked_sub(1).and_then(|n| self.slot(&track.name, n)).map(Segment::end);
        let before = before.or_else(|| {
            let end = self.newest().filter(|n| n.number + 1 == number)?.end;
            Some(end.to_ticks(track.timescale))
        });
        let duration = other.map_or_else(|| self.nominal_ticks(track.timescale), |(_, d)| d);
        Some((before.or(other.map(|(s, _)| s))?, duration))
    }

    fn nominal_ticks(&self, scale: Timescale) -> u64 {
        let d = self.session.as_ref().map(|s| s.timing.segment_duration()).unwrap_or_default();
        let ns = i64::try_from(d.as_nanos()).unwrap_or(NANOS_PER_SECOND);
        UtcTime(ns).to_ticks(scale).max(1)
    }
}
