//! What must go on across restarts, so that no segment name is ever used for other bytes.

use serde::{Deserialize, Serialize};

/// What a channel must remember beyond its process: `channels/NAME.state.json`.
///
/// Durability: `last_segment` is a high-water mark. It is on disk *before* the first byte of a segment with that
/// number can be fetched, so a channel that was killed begins above it. See [`SegmentReservation`] for writing it ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Continuity {
    /// No segment up to this number may be made again; 0 for none yet.
    pub last_segment: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE` of the next playlist (RFC 8216bis 4.4.3.3).
    pub discontinuity_sequence: u64,
    /// First free number of the passthrough counter, whose segments are not numbered by time.
    pub passthrough_next_sequence: u64,
    /// Added to the numbers of the clock, since others had run ahead (decision 0011); 0 in the usual case.
    pub number_offset: u64,
    /// The list was open when this was written: after a start the contribution is awaited for a while.
    pub on_air: bool,
    /// The family of the last frame rate: numbers of one family lie on one grid.
    pub frame_family: Option<FrameFamily>,
}

/// Frame rates whose segments last equally long, and so share their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameFamily {
    /// Whole frames per second (25, 30, 60).
    Whole,
    /// Rates over 1001 (29.97, 59.94), whose segments are a thousandth longer.
    Ntsc,
}

/// Writes the high-water mark ahead, so that the disk is not waited for at every segment.
///
/// A mark `ahead` of the segment being made costs at most `ahead` unused numbers after a crash. Numbers that follow the
/// clock can only be reached by waiting, so there `ahead` is 1 (one small write for each segment); a counter may skip,
/// so passthrough takes 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentReservation {
    durable: u64,
    ahead: u64,
}

impl SegmentReservation {
    /// `durable` is the mark that was read at the start; `ahead` is at least 1.
    pub fn new(durable: u64, ahead: u64) -> Self {
        SegmentReservation { durable, ahead: ahead.max(1) }
    }

    /// The lowest number that was never reserved.
    pub const fn first_free(&self) -> u64 {
        self.durable.saturating_add(1)
    }

    /// Whether `segment` may be published now.
    pub const fn covers(&self, segment: u64) -> bool {
        segment <= self.durable
    }

    /// The mark to write before `segment` is published; `None` if it is covered.
    pub fn mark_for(&self, segment: u64) -> Option<u64> {
        (!self.covers(segment)).then(|| segment.saturating_add(self.ahead - 1))
    }

    /// The mark is on disk.
    pub fn written(&mut self, mark: u64) {
        self.durable = self.durable.max(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_channel_begins_above_everything_it_published() {
        for ahead in [1, 8] {
            let mut reservation = SegmentReservation::new(100, ahead);
            let mut writes = 0;
            for segment in 101..=140 {
                if let Some(mark) = reservation.mark_for(segment) {
                    reservation.written(mark);
                    writes += 1;
                }
                let after_crash = SegmentReservation::new(reservation.durable, ahead).first_free();
                assert!(reservation.covers(segment) && after_crash > segment && after_crash <= segment + ahead);
            }
            assert_eq!(writes, 40 / ahead);
        }
    }

    #[test]
    fn fields_that_are_missing_are_new_channels() {
        let read: Continuity = serde_json::from_str("{\"last_segment\": 7}").unwrap();
        assert_eq!(read, Continuity { last_segment: 7, ..Continuity::default() });
    }
}
