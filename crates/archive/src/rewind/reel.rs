//! What a list shows: rows of several recordings and of the live window, joined as if they were one.

use std::time::Duration;

use millstream_media::time::UtcTime;
use millstream_window::{PeriodTrack, Window};

use crate::asset::{LineUp, TrackInfo};
use crate::index::{Cell, Row, line_up};

/// Most segment numbers that nothing has and that a moving list still names, as gaps. Where more are missing the list
/// begins behind them.
pub const MAX_MISSING: u64 = 300;

/// The newest segments of a channel, as the window lists them.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// Rows that every rendition has, oldest first.
    pub rows: Vec<Row>,
    /// Sets of tracks, oldest first.
    pub line_ups: Vec<LineUp>,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` of the live list, with the discontinuity before its first segment.
    pub discontinuity_sequence: u64,
    /// In seconds.
    pub target_duration: u32,
    /// End of the newest row.
    pub end: UtcTime,
    /// How long the live list is.
    pub length: Duration,
    /// The channel has ended.
    pub ended: bool,
}

impl Tail {
    /// Of a window; `None` while it lists nothing.
    pub fn of(window: &Window) -> Option<Self> {
        let timing = window.timing()?;
        let listings: Vec<_> = window.renditions().filter_map(|t| Some((t, window.listing(&t.name)?))).collect();
        let (_, first) = listings.first()?;
        let (sequence, least) = (first.media_sequence, listings.iter().map(|(_, l)| l.entries.len()).min()?);
        let mut line_ups: Vec<LineUp> = Vec::new();
        let mut rows: Vec<Row> = Vec::new();
        for (place, number) in (sequence..).enumerate().take(least) {
            let Some(period) = window.period_at(number) else { continue };
            if line_ups.last().is_none_or(|l| l.first != period.first_segment()) {
                let info = |t: &PeriodTrack| TrackInfo::protected(&t.track, t.protection.clone());
                let tracks = period.tracks().iter().map(info).collect();
                line_ups.push(LineUp { first: period.first_segment(), init: period.init_version().to_owned(), tracks });
            }
            let mut discontinuity = false;
            let cells = period.tracks().iter().map(|track| {
                let (_, listing) = listings.iter().find(|(t, _)| t.name == track.track.name)?;
                let entry = listing.entries.get(place)?;
                discontinuity |= entry.discontinuity;
                let small = |n: u64| u32::try_from(n).ok();
                let there = entry.is_own(&track.track.name);
                let (duration, bytes) = (small(entry.duration)?, small(entry.bytes)?);
                there.then_some(Cell { start: entry.start, duration, bytes, head: entry.first_sample_end })
            });
            let cells: Vec<Option<Cell>> = cells.collect();
            // A row that everybody lacks tells nothing.
            if cells.iter().any(Option::is_some) {
                rows.push(Row { number, discontinuity, cells });
            }
        }
        let first_row = rows.first()?;
        let last = rows.last()?;
        Some(Tail {
            discontinuity_sequence: first.discontinuity_sequence + u64::from(first_row.discontinuity),
            target_duration: timing.target_duration(),
            end: last.end(line_up(last.number, &line_ups)?)?,
            length: window.config().list_length(&timing),
            ended: window.is_ended(),
            rows,
            line_ups,
        })
    }
}

/// Rows in order, each with its set of tracks.
#[derive(Clone, Debug, Default)]
pub struct Reel {
    rows: Vec<Row>,
    line_ups: Vec<LineUp>,
    /// Numbers of all rows that a discontinuity precedes, those that were cut away included.
    breaks: Vec<u64>,
}

impl Reel {
    /// Adds rows behind those that are there; older ones are passed over. Discontinuities at the joint are decided here.
    pub fn append(&mut self, rows: impl IntoIterator<Item = Row>, line_ups: &[LineUp]) {
        let mut is_joint = true;
        for mut row in rows {
            if self.rows.last().is_some_and(|last| last.number >= row.number) {
                continue;
            }
            let Some(of_row) = line_up(row.number, line_ups) else { continue };
            if line_up(row.number, &self.line_ups).is_none_or(|known| !known.is_as(of_row)) {
                self.line_ups.push(LineUp { first: row.number, ..of_row.clone() });
            }
            if is_joint {
                is_joint = false;
                let joins = self.rows.last().zip(line_up(row.number, &self.line_ups)).is_some_and(|(last, own)| {
                    line_up(last.number, &self.line_ups).is_some_and(|before| row.continues(last, before, own))
                });
                row.discontinuity = !self.rows.is_empty() && (!joins || row.discontinuity);
            }
            if row.discontinuity {
                self.breaks.push(row.number);
            }
            self.rows.push(row);
        }
    }

    /// The rows, oldest first.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Sets of tracks, oldest first.
    pub fn line_ups(&self) -> &[LineUp] {
        &self.line_ups
    }

    /// Start and end of a row.
    pub fn times(&self, row: &Row) -> Option<(UtcTime, UtcTime)> {
        let line_up = line_up(row.number, &self.line_ups)?;
        Some((row.start(line_up)?, row.end(line_up)?))
    }

    /// Keeps the rows that hold media of [`from`, `until`) and end by `complete`.
    pub fn cut(&mut self, from: UtcTime, until: UtcTime, complete: UtcTime) {
        let line_ups = std::mem::take(&mut self.line_ups);
        let lies = |row: &Row| {
            let times = line_up(row.number, &line_ups).and_then(|l| Some((row.start(l)?, row.end(l)?)));
            times.is_some_and(|(start, end)| end > from && start < until && end <= complete)
        };
        self.rows.retain(lies);
        self.line_ups = line_ups;
    }

    /// Lets go what a list that moves cannot show: what lies before numbers that cannot be filled by gaps.
    pub fn cut_holes(&mut self, target_duration: u32) {
        let pairs = self.rows.iter().zip(self.rows.iter().skip(1));
        let holes = pairs.enumerate().filter(|(_, (a, b))| self.missing(a, b, target_duration).is_none());
        let first = holes.map(|(at, _)| at + 1).next_back().unwrap_or(0);
        self.rows.drain(..first);
    }

    /// The numbers between two rows that nothing has, each with its time, if they can stand as gaps.
    pub fn missing(&self, before: &Row, after: &Row, target_duration: u32) -> Option<Vec<(u64, UtcTime, u64)>> {
        let count = after.number.checked_sub(before.number)?.checked_sub(1)?;
        if count == 0 {
            return Some(Vec::new());
        }
        let (_, from) = self.times(before)?;
        let (until, _) = self.times(after)?;
        let span = u64::try_from(until.nanos_since(from)).ok()?;
        let each = span / count;
        let longest = u64::from(target_duration) * 1_000_000_000 + 499_000_000;
        let fits = count <= MAX_MISSING && each > 0 && each <= longest;
        let at = |i: u64| from + Duration::from_nanos(i * each);
        fits.then(|| (0..count).map(|i| (before.number + 1 + i, at(i), each)).collect())
    }

    /// Discontinuities before the first row, if there are `live` of them before the row `at`, its own included.
    pub fn discontinuity_sequence(&self, live: u64, at: u64) -> u64 {
        let first = self.rows.first().map_or(0, |r| r.number);
        let within = self.breaks.iter().filter(|n| **n > first && **n <= at).count() as u64;
        live.saturating_sub(within)
    }

    /// Every rendition name with its track as it was last: those of the newest line-up first.
    pub fn track(&self, name: &millstream_media::track::RenditionName) -> Option<&TrackInfo> {
        self.line_ups.iter().rev().find_map(|l| l.track(name)).map(|(_, t)| t)
    }
}
