//! What a DASH manifest shows now: the view that an MPD is written from.
//!
//! `$Number$` counts on from the start of a Period, so a Period here is a run of segments without a hole: a new one
//! begins with a new set of tracks, at a discontinuity, and after a segment that any rendition lacks (STANDARDS 2.10).

use millstream_media::time::UtcTime;

use crate::config::Timing;
use crate::period::Period;
use crate::segment::State;
use crate::window::Window;

/// All periods that the window shows, oldest first.
#[derive(Clone, Debug)]
pub struct Presentation<'a> {
    /// The session's timing.
    pub timing: Timing,
    /// The presentation is final.
    pub ended: bool,
    /// End of the newest segment that every track has, gaps included.
    pub newest_end: UtcTime,
    /// Number of the session's first segment.
    pub first: u64,
    /// The periods; never empty.
    pub periods: Vec<PresentationPeriod<'a>>,
    /// The run that comes after the last one, if it is known to end: the number of its first segment, and its tracks.
    pub next: Option<(u64, &'a Period)>,
    /// Segments between the last run and the one that comes are in the making, so that the last one lasts until that
    /// begins.
    pub goes_on: bool,
}

/// A run of segments that every track of one period has whole.
#[derive(Clone, Copy, Debug)]
pub struct PresentationPeriod<'a> {
    /// Its tracks.
    pub period: &'a Period,
    /// Number of its first segment ever: it names the period and does not move with the window (STANDARDS 2.6).
    pub first: u64,
    /// Start of that segment.
    pub start: UtcTime,
    /// Number of its first segment in the list.
    pub first_listed: u64,
    /// Number of its last segment.
    pub last: u64,
    /// End of its last segment.
    pub end: UtcTime,
}

impl Window {
    /// What a DASH manifest shows. `None` while there is nothing to show: no session, no segment that every track has,
    /// or an ended session that has expired.
    pub fn presentation(&self) -> Option<Presentation<'_>> {
        let session = self.session()?;
        let periods: Vec<_> = session
            .runs
            .iter()
            .filter_map(|run| {
                Some(PresentationPeriod {
                    period: self.period_of(run.first)?,
                    first: run.first,
                    start: run.start,
                    first_listed: run.first.max(session.first_listed),
                    last: run.last,
                    end: run.end,
                })
            })
            .collect();
        let newest_end = self.newest()?.end;
        (!periods.is_empty()).then_some(Presentation {
            timing: session.timing,
            ended: session.ended.is_some(),
            newest_end,
            first: session.first?,
            periods,
            next: self.next_run().map(|(first, period, _)| (first, period)),
            goes_on: self.next_run().is_some_and(|(.., goes_on)| goes_on),
        })
    }

    /// Where a run begins that has no whole segment yet: after a segment that was given up, with a new period, at a
    /// discontinuity; and whether the run before it goes on until then.
    fn next_run(&self) -> Option<(u64, &Period, bool)> {
        let session = self.session().filter(|s| s.ended.is_none())?;
        let last = session.runs.back()?.last;
        let hole = Some(session.next_unsettled).filter(|&n| n > last + 1);
        let period = self.periods.iter().map(Period::first_segment).find(|&n| n > last);
        let discontinuity = session.discontinuities.range(last + 1..).next().copied();
        let first = [hole, period, discontinuity].into_iter().flatten().min()?;
        Some((first, self.period_of(first)?, first > last + 1 && hole != Some(first)))
    }

    /// Start and duration of a whole segment in ticks, whether it is listed or only kept.
    pub fn times(&self, rendition: &millstream_media::track::RenditionName, number: u64) -> Option<(u64, u64)> {
        self.slot(rendition, number).filter(|s| s.state == State::Whole).map(|s| (s.start, s.duration))
    }
}
