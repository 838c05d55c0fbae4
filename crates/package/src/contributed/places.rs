//! Where an encoder's media lies: its times as UTC media time, and the numbers of its segments.

use millstream_media::grid::SegmentGrid;
use millstream_media::time::{NANOS_PER_SECOND, Timescale, UtcTime};

/// How far an encoder's clock may be from ours for its times to be UTC, in seconds: a day.
const UTC_WITHIN: i64 = 86_400;
/// A mapped clock that is this far from where it should be has been set anew, in seconds.
const JUMP: i64 = 10;
/// How far mapped media may lie in the future, in seconds.
const AHEAD: i64 = 120;

/// The mapping of one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    grid: SegmentGrid,
    /// Added to the encoder's times, in nanoseconds; none if they are UTC.
    shift: Option<i64>,
}

impl Places {
    /// Of an encoder whose first media has this decode time and came at `utc`.
    pub(super) fn new(grid: SegmentGrid, first: u64, scale: Timescale, utc: UtcTime) -> Self {
        let mut places = Places { grid, shift: None };
        if !is_utc(first, scale, utc) {
            places.shift = Some(places.shift_to(first, scale, utc, 0));
        }
        places
    }

    /// Whether the encoder's times are UTC.
    pub(super) const fn is_utc(&self) -> bool {
        self.shift.is_none()
    }

    pub(super) const fn grid(&self) -> SegmentGrid {
        self.grid
    }

    pub(super) const fn offset(&self) -> u64 {
        self.grid.offset()
    }

    /// Counts on above the numbers that were used before, if the media's own (`lowest` with `offset`) are below them by
    /// more than `known`; by so few a restarted server is behind what it has sent already.
    pub(super) fn count_on(&mut self, offset: u64, lowest: u64, first_free: u64, known: u64) {
        let behind = first_free.saturating_sub(lowest);
        let more = if behind > known { behind } else { 0 };
        self.grid = self.grid.with_offset(offset.saturating_add(more));
    }

    /// The shift that puts `first` on the last boundary before `utc`, above segment `after`.
    fn shift_to(&self, first: u64, scale: Timescale, utc: UtcTime, after: u64) -> i64 {
        let segment = self.segment_nanos();
        let due = i128::from(utc.0.max(0)) / segment;
        let free = i128::from(after.saturating_sub(self.grid.offset()));
        let start = due.max(free) * segment;
        // On a boundary of its own clock, so that boundaries stay boundaries.
        let own = nanos(first, scale);
        i64::try_from(start - own).unwrap_or(i64::MAX)
    }

    fn segment_nanos(&self) -> i128 {
        let scale = i128::from(self.grid.rate().timescale().get());
        (i128::from(self.grid.segment_ticks()) * i128::from(NANOS_PER_SECOND) / scale).max(1)
    }

    /// A decode time in UTC media time.
    pub(super) fn at(&self, dts: u64, scale: Timescale) -> u64 {
        let Some(shift) = self.shift else { return dts };
        let second = i128::from(NANOS_PER_SECOND);
        let ticks = (i128::from(shift) * i128::from(scale.get()) + second / 2).div_euclid(second);
        u64::try_from((i128::from(dts) + ticks).max(0)).unwrap_or(u64::MAX)
    }

    /// As [`Places::number_at`], of a time of the encoder's own, without the offset.
    pub(super) fn number(&self, dts: u64, scale: Timescale, starts: bool) -> u64 {
        self.number_at(self.at(dts, scale), scale, starts)
    }

    /// Number of the segment that a time lies in. What begins a segment of the encoder may begin a quarter before the
    /// boundary: audio frames lie on a grid of their own, and not every encoder rounds up (STANDARDS 5.9).
    pub(super) fn number_at(&self, at: u64, scale: Timescale, starts: bool) -> u64 {
        let (rate, per) = (u128::from(self.grid.rate().timescale().get()), u128::from(scale.get()));
        let segment = u128::from(self.grid.segment_ticks().max(1)) * per;
        let slack = if starts { segment / 4 } else { segment / 1000 };
        let index = (u128::from(at) * rate + slack) / segment;
        u64::try_from(index).unwrap_or(u64::MAX / 2).saturating_add(1).saturating_add(self.grid.offset())
    }

    /// Whether a clock that is no UTC has been set anew: an encoder that was restarted begins at 0 again.
    pub(super) fn has_jumped(&self, dts: u64, scale: Timescale, newest: Option<u64>, utc: UtcTime) -> bool {
        let (Some(_), Some(newest)) = (self.shift, newest) else { return false };
        let (here, before) = (nanos(self.at(dts, scale), scale), nanos(newest, scale));
        let far = |a: i128, b: i128| (a - b).abs() > i128::from(JUMP * NANOS_PER_SECOND);
        far(here, before) && far(here, utc.0.into())
    }

    /// Whether mapped media lies in the future by far.
    pub(super) fn is_ahead(&self, dts: u64, scale: Timescale, utc: UtcTime) -> bool {
        let ahead = nanos(self.at(dts, scale), scale) - i128::from(utc.0);
        self.shift.is_some() && ahead > i128::from(AHEAD * NANOS_PER_SECOND)
    }

    /// How many seconds UTC media lies ahead both of now and of what has begun, if that is too far for it to be true.
    pub(super) fn seconds_ahead(&self, dts: u64, scale: Timescale, utc: UtcTime, opened: u64) -> Option<u64> {
        let begun = i128::from(opened.saturating_sub(self.grid.offset())).saturating_mul(self.segment_nanos());
        let ahead = nanos(dts, scale) - begun.max(utc.0.into());
        let second = i128::from(NANOS_PER_SECOND);
        (self.is_utc() && ahead > i128::from(AHEAD) * second).then(|| u64::try_from(ahead / second).unwrap_or(u64::MAX))
    }

    /// Maps a clock that was set anew, to above segment `after`.
    pub(super) fn map_anew(&mut self, dts: u64, scale: Timescale, utc: UtcTime, after: u64) {
        self.shift = Some(self.shift_to(dts, scale, utc, after));
    }
}

/// Whether a decode time is near the time of day.
pub(super) fn is_utc(first: u64, scale: Timescale, utc: UtcTime) -> bool {
    (nanos(first, scale) - i128::from(utc.0)).abs() <= i128::from(UTC_WITHIN * NANOS_PER_SECOND)
}

fn nanos(ticks: u64, scale: Timescale) -> i128 {
    i128::from(ticks) * i128::from(NANOS_PER_SECOND) / i128::from(scale.get())
}
