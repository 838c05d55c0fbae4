//! One session of a channel: from its first segment to the end of the list. A channel that ends and starts again has
//! another session, with higher numbers and a fresh list.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::track::Track;

use crate::config::Timing;

/// Contiguous segments which every track of one period has whole: what one DASH Period can name by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub first: u64,
    pub last: u64,
    pub start: UtcTime,
    pub end: UtcTime,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub timing: Timing,
    /// Number of the first segment; none until the first period begins.
    pub first: Option<u64>,
    /// First number in the list: `EXT-X-MEDIA-SEQUENCE`.
    pub first_listed: u64,
    /// All numbers below are whole or a gap in every track of their period.
    pub next_unsettled: u64,
    /// Highest number that is whole or a gap in any rendition.
    pub newest: Option<u64>,
    /// Discontinuities before `first_listed`, counted over all sessions.
    pub discontinuity_sequence: u64,
    /// Segments that a discontinuity precedes, none below `first_listed`.
    pub discontinuities: BTreeSet<u64>,
    /// The rendition names that viewers of the session may hold, each with its track as it was last; the longest out
    /// of use first.
    pub names: Vec<Track>,
    pub runs: VecDeque<Run>,
    /// The longest list that was ever shown.
    pub longest_list: Duration,
    /// When what is listed goes, once the session has ended.
    pub ended: Option<MonoTime>,
}

impl Session {
    pub fn new(timing: Timing, discontinuity_sequence: u64) -> Self {
        Session {
            timing,
            first: None,
            first_listed: 0,
            next_unsettled: 0,
            newest: None,
            discontinuity_sequence,
            discontinuities: BTreeSet::new(),
            names: Vec::new(),
            runs: VecDeque::new(),
            longest_list: Duration::ZERO,
            ended: None,
        }
    }

    /// The lowest `EXT-X-DISCONTINUITY-SEQUENCE` that a later session may begin with.
    pub fn next_discontinuity_sequence(&self) -> u64 {
        let shown = u64::from(self.newest.is_some());
        self.discontinuity_sequence + self.discontinuities.len() as u64 + shown
    }
}
