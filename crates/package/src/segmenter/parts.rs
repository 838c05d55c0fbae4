//! Where parts end (STANDARDS 1.37).
//!
//! A part that is much shorter than the others, which the last one of a segment may be, is listed almost together with the
//! one before it. That is a request for a few bytes, and hls.js, which is still appending the one before, may pass it over
//! and stand still at the hole. Audio frames fit into no round length, so that their segments would end with such a part:
//! the parts of audio end where the video's do, or are a fraction of the segment.

use std::time::Duration;

/// Equal parts may be longer than is wanted by about this share of one, so that a segment a little longer has none more.
const SLACK: f64 = 0.1;

/// Parts that divide a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvenParts {
    /// A part begins with the first sample at or after each multiple of this from the segment's start.
    pub every: Duration,
    /// No part is longer, whatever its samples.
    pub longest: Duration,
}

impl EvenParts {
    /// Equal parts of a segment, about as long as is wanted, whose samples last one of these times.
    pub fn of(segment: Duration, wanted: Duration, samples: impl Iterator<Item = Duration>) -> Self {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let every = even_part(nanos(segment), nanos(wanted));
        let longest = samples.map(|sample| longest_part(every, nanos(sample))).fold(every, u64::max);
        EvenParts { every: Duration::from_nanos(every), longest: Duration::from_nanos(longest) }
    }
}

/// The rule by which a track's parts end. Lengths are in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartEnds {
    /// Where this length is nearest.
    About(u64),
    /// With the last sample that fits into this.
    AtMost(u64),
    /// With the last sample that begins before a multiple of `every` from the segment's start, or that fits into `at_most`.
    Every { every: u64, at_most: u64 },
}

impl PartEnds {
    /// Whether a sample that begins `offset` after its segment and lasts `duration` belongs to another part than the
    /// `pending` ticks before it.
    pub(super) const fn are_before(self, pending: u64, offset: u64, duration: u64) -> bool {
        match self {
            PartEnds::About(length) => pending.saturating_add(duration / 2) > length,
            PartEnds::AtMost(length) => pending.saturating_add(duration) > length,
            PartEnds::Every { every, at_most } => {
                pending.saturating_add(duration) > at_most || offset / every != offset.saturating_sub(pending) / every
            }
        }
    }

    /// The same with no part longer than this.
    pub(super) const fn limited(self, longest: u64) -> Self {
        match self {
            PartEnds::About(_) | PartEnds::AtMost(_) => PartEnds::AtMost(longest),
            PartEnds::Every { every, .. } => PartEnds::Every { every, at_most: longest },
        }
    }
}

/// The length of equal parts of a segment, each about as long as is wanted or shorter; both in the same unit.
pub(super) fn even_part(segment: u64, wanted: u64) -> u64 {
    let count = (segment as f64 / wanted.max(1) as f64 - SLACK).ceil().max(1.0);
    (segment as f64 / count).round().max(1.0) as u64
}

/// The longest part of samples that last `sample`, when parts begin with the first sample at or after a multiple of `part`.
const fn longest_part(part: u64, sample: u64) -> u64 {
    if sample == 0 { part } else { part.div_ceil(sample).saturating_mul(sample) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_divided_without_a_rest() {
        assert_eq!(even_part(2_000_000, 500_000), 500_000);
        // 60 frames of 29.97 Hz.
        assert_eq!(even_part(2_002_000, 500_000), 500_500);
        assert_eq!(even_part(2_000_000, 600_000), 500_000);
        assert_eq!(even_part(400_000, 500_000), 400_000);
        assert_eq!(even_part(0, 0), 1);
    }

    #[test]
    fn parts_of_audio_have_no_short_one_behind_them() {
        // Segments of 2 s of frames of 1024 samples at 48 kHz: 94, 94, 94 and 93 of them.
        let rule = PartEnds::Every { every: 24_000, at_most: u64::MAX };
        for frames in [94_u64, 93] {
            let mut parts = vec![0_u64];
            for frame in 0..frames {
                let pending = parts.last().map_or(0, |part| part * 1024);
                if pending > 0 && rule.are_before(pending, frame * 1024, 1024) {
                    parts.push(0);
                }
                *parts.last_mut().unwrap() += 1;
            }
            assert_eq!(parts[..3], [24, 23, 24], "{parts:?}");
            assert_eq!(parts.len(), 4, "{parts:?}");
            assert!(parts.iter().all(|part| part * 1024 <= longest_part(24_000, 1024)));
        }
        assert_eq!(longest_part(24_000, 1024), 24 * 1024);
        assert_eq!(longest_part(24_000, 960), 24_000);
        assert_eq!(longest_part(24_000, 0), 24_000);
    }
}
