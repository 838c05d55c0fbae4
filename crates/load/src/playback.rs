//! What a viewer has of the media, what it plays of it, when it stalls. Pure.
//!
//! Positions are in microseconds since 1970 where the stream says dates, and since the first segment where it does not.
//! The playhead jumps where the dates jump, so latency stays right after a gap.

use std::collections::VecDeque;
use std::time::Duration;

use crate::tally::Tally;

/// Dates that differ by less from where the segment before ended are rounding.
const SAME: i64 = 250_000;

/// Pieces of media apart from each other that are held; the oldest is forgotten.
const MAX_RANGES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Starting,
    Playing,
    Stalled(Duration),
}

/// Buffer and playhead.
#[derive(Debug)]
pub struct Playback {
    state: State,
    joined: Duration,
    clock: Duration,
    head: Option<i64>,
    /// Where to begin, if that is inside a segment.
    pub begin: Option<i64>,
    buffers: [VecDeque<(i64, i64)>; 2],
    dated: bool,
    first_media: Option<Duration>,
    has_stalled: bool,
    /// Whether it ever played.
    pub has_played: bool,
}

impl Playback {
    /// Of a viewer that joins now.
    pub fn new(now: Duration) -> Self {
        Playback {
            state: State::Starting,
            joined: now,
            clock: now,
            head: None,
            begin: None,
            buffers: [VecDeque::new(), VecDeque::new()],
            dated: false,
            first_media: None,
            has_stalled: false,
            has_played: false,
        }
    }

    /// Whether it plays, and whether it has stalled, now.
    pub fn is(&self) -> (bool, bool) {
        (self.state == State::Playing, matches!(self.state, State::Stalled(_)))
    }

    /// Where the oldest media of a lane that is held begins.
    pub fn start(&self, lane: usize) -> Option<i64> {
        self.buffers.get(lane)?.front().map(|r| r.0)
    }

    /// Where the newest media of a lane ends.
    pub fn end(&self, lane: usize) -> Option<i64> {
        self.buffers.get(lane)?.back().map(|r| r.1)
    }

    /// Media of a lane came; `date_ms` is where it begins.
    pub fn append(&mut self, lane: usize, date_ms: Option<i64>, duration: Duration) {
        let end = self.end(lane);
        self.dated |= date_ms.is_some();
        let start = date_ms.map_or(end.unwrap_or(0), |d| d.saturating_mul(1000));
        let until = start.saturating_add(micros(duration));
        let Some(buffer) = self.buffers.get_mut(lane) else { return };
        match buffer.back_mut() {
            Some(last) if last.1.abs_diff(start) < SAME.unsigned_abs() => last.1 = until.max(last.1),
            _ => buffer.push_back((start, until)),
        }
        if buffer.len() > MAX_RANGES {
            buffer.pop_front();
        }
    }

    /// Media ahead of the playhead in one lane.
    pub fn ahead(&self, lane: usize) -> Duration {
        let Some(buffer) = self.buffers.get(lane) else { return Duration::ZERO };
        let head = self.head.or_else(|| buffer.front().map(|r| r.0)).unwrap_or(0);
        let all: i64 = buffer.iter().map(|r| r.1.saturating_sub(r.0.max(head)).max(0)).sum();
        Duration::from_micros(u64::try_from(all).unwrap_or(0))
    }

    /// Media ahead in the lane that has less.
    pub fn buffered(&self, lanes: usize) -> Duration {
        (0..lanes).map(|l| self.ahead(l)).min().unwrap_or_default()
    }

    /// Time passes: what is there is played; a stall begins where nothing is.
    pub fn advance(&mut self, now: Duration, lanes: usize, ended: bool, tally: &mut Tally) {
        let passed = now.saturating_sub(self.clock);
        self.clock = now;
        let (State::Playing, Some(mut head)) = (self.state, self.head) else { return };
        let mut left = micros(passed);
        while left > 0 {
            // The end of what can be played from here in every lane, or where all can go on.
            let mut until = i64::MAX;
            let mut resume = i64::MIN;
            for buffer in self.buffers.iter().take(lanes) {
                let here = buffer.iter().find(|r| r.0 <= head.saturating_add(SAME) && r.1 > head);
                let later = buffer.iter().find(|r| r.0 > head);
                until = until.min(here.map_or(head, |r| r.1));
                resume = resume.max(here.map(|_| head).or(later.map(|r| r.0)).unwrap_or(i64::MAX));
            }
            if until > head {
                let step = left.min(until - head);
                head += step;
                left -= step;
            } else if resume > head && resume < i64::MAX {
                head = resume;
                tally.skips += 1;
            } else {
                break;
            }
        }
        self.head = Some(head);
        tally.played += passed.saturating_sub(duration(left));
        if left > 0 && !ended {
            self.state = State::Stalled(now.saturating_sub(duration(left)));
            tally.stalled_viewers += u64::from(!self.has_stalled);
            self.has_stalled = true;
        }
        for buffer in &mut self.buffers {
            while buffer.len() > 1 && buffer.front().is_some_and(|r| r.1 < head) {
                buffer.pop_front();
            }
        }
    }

    /// Plays, or goes on, once `enough` is there; after `patience` anything is.
    pub fn resume(&mut self, now: Duration, lanes: usize, enough: Duration, patience: Duration, tally: &mut Tally) {
        if self.state == State::Playing || (0..lanes).any(|l| self.end(l).is_none()) {
            return;
        }
        let first = *self.first_media.get_or_insert(now);
        let start = self.buffers.iter().take(lanes).filter_map(|b| b.front()).map(|r| r.0).max().unwrap_or(0);
        let newest = (0..lanes).filter_map(|l| self.end(l)).min().unwrap_or(start);
        let short = self.begin.is_some_and(|b| b >= newest);
        if self.head.is_none() && short && now.saturating_sub(first) < patience {
            return;
        }
        let head = match (self.head, self.begin) {
            (Some(head), _) => head,
            (None, Some(begin)) => begin.clamp(start, newest.saturating_sub(micros(enough)).max(start)),
            (None, None) => start,
        };
        // After a stall the next media may begin later than the playhead stands.
        let ahead = self
            .buffers
            .iter()
            .take(lanes)
            .map(|b| b.iter().map(|r| r.1.saturating_sub(r.0.max(head)).max(0)).fold(0, i64::saturating_add));
        let ahead = duration(ahead.min().unwrap_or(0));
        if ahead.is_zero() || (ahead < enough && now.saturating_sub(first) < patience) {
            return;
        }
        match self.state {
            State::Starting => tally.startup.add(now.saturating_sub(self.joined)),
            State::Stalled(since) => {
                tally.stalls.add(now.saturating_sub(since));
                tally.stalled += now.saturating_sub(since);
            }
            State::Playing => {}
        }
        self.head = Some(head);
        self.state = State::Playing;
        self.has_played = true;
    }

    /// How far what plays is behind the wall clock, in ms; negative if its date is in the future.
    pub fn latency_ms(&self, utc_ms: i64) -> Option<i64> {
        let head = self.head.filter(|_| self.dated && self.state == State::Playing)?;
        Some(utc_ms.saturating_sub(head / 1000))
    }

    /// The viewer leaves: what is still open is counted.
    pub fn leave(&mut self, now: Duration, tally: &mut Tally) {
        if let State::Stalled(since) = self.state {
            tally.stalls.add(now.saturating_sub(since));
            tally.stalled += now.saturating_sub(since);
        }
        tally.never_played += u64::from(!self.has_played);
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn latency_follows_the_dates_over_a_gap_and_may_be_negative() {
        let (mut play, mut tally) = (Playback::new(S(0)), Tally::default());
        play.append(0, Some(100_000), S(2));
        play.resume(S(0), 1, S(1), S(4), &mut tally);
        assert_eq!(play.latency_ms(103_000), Some(3000));
        assert_eq!(play.latency_ms(99_000), Some(-1000));
        play.append(0, Some(110_000), S(2));
        play.advance(S(3), 1, false, &mut tally);
        assert_eq!((play.latency_ms(113_000), tally.skips, tally.stalled_viewers), (Some(2000), 1, 0));
        play.advance(S(6), 1, false, &mut tally);
        assert_eq!((tally.stalled_viewers, play.is()), (1, (false, true)));
    }

    #[test]
    fn the_lane_that_has_less_decides_and_a_start_inside_a_segment_is_kept() {
        let (mut play, mut tally) = (Playback::new(S(0)), Tally::default());
        play.begin = Some(101_500_000);
        play.append(0, Some(100_000), S(4));
        play.resume(S(0), 2, S(1), S(4), &mut tally);
        assert!(!play.has_played);
        play.append(1, Some(100_010), S(2));
        play.resume(S(1), 2, S(1), S(4), &mut tally);
        assert!(play.has_played && play.buffered(2) < S(2));
        play.advance(S(5), 2, false, &mut tally);
        assert_eq!(tally.stalled_viewers, 1);
    }
}
