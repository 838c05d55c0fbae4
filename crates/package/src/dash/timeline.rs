//! SegmentTimeline: the segments of one adaptation set as `S` elements, edited between two manifests only as
//! STANDARDS 2.7 allows.
//!
//! A repeating `S` may only go when all its repeats have expired, so equal neighbours are merged in blocks that begin at
//! numbers divisible by [`Config::timeline_block`]: a manifest then lists at most a block of expired segments, and the window
//! keeps those as long.
//!
//! [`Config::timeline_block`]: millstream_window::Config::timeline_block

use millstream_media::track::RenditionName;
use millstream_window::{PresentationPeriod, Window};

/// One `S` element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct S {
    /// `@t`, in ticks: written on the first element, and where the one before does not lead here.
    pub start: u64,
    /// `@d`, in ticks.
    pub duration: u64,
    /// `@r`: how often it is repeated.
    pub repeats: u64,
}

impl S {
    pub fn end(&self) -> u64 {
        self.start + self.duration * (self.repeats + 1)
    }
}

/// The timeline of one adaptation set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    /// `@startNumber`: the number of its first segment.
    pub start_number: u64,
    pub segments: Vec<S>,
}

/// The timeline of `rendition` in a period, from the start of the `S` that holds the first listed segment.
pub(super) fn timeline(window: &Window, period: &PresentationPeriod<'_>, rendition: &RenditionName) -> Timeline {
    let block = window.timing().map_or(1, |timing| window.config().timeline_block(&timing));
    let times = |n: u64| window.times(rendition, n);
    let repeats = |n: u64| {
        !n.is_multiple_of(block)
            && matches!((times(n - 1), times(n)), (Some((t, d)), Some((u, e))) if d == e && t + d == u)
    };
    let mut start_number = period.first_listed;
    while start_number > period.first && repeats(start_number) {
        start_number -= 1;
    }
    let mut segments: Vec<S> = Vec::new();
    for n in start_number..=period.last {
        let Some((start, duration)) = times(n) else { break };
        match segments.last_mut() {
            Some(last) if repeats(n) => last.repeats += 1,
            _ => segments.push(S { start, duration, repeats: 0 }),
        }
    }
    Timeline { start_number, segments }
}
