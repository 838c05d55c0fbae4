//! Numbers and starts as functions of UTC: 5.6 to 5.11, for a presentation that promises epoch locking.
//!
//! The arithmetic is written out here once more, apart from `millstream_media::grid`, because a judge that borrows the
//! formula of the judged proves nothing.

use crate::boxes::header::{Header, Media};
use crate::boxes::segment::Segment;
use crate::finding::Findings;

/// The promised grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochLock {
    /// Frame rate: numerator.
    pub rate_num: u32,
    /// Frame rate: denominator.
    pub rate_den: u32,
    /// Whole frames in each segment.
    pub frames_per_segment: u32,
}

impl EpochLock {
    /// First tick of video segment `n` at `timescale`; `None` if it falls between two ticks.
    pub fn video_start(self, n: u64, timescale: u32) -> Option<u64> {
        let frames = u128::from(n.checked_sub(1)?) * u128::from(self.frames_per_segment);
        let scaled = frames * u128::from(self.rate_den) * u128::from(timescale);
        let num = u128::from(self.rate_num);
        scaled.is_multiple_of(num).then(|| u64::try_from(scaled / num).ok())?
    }

    /// First sample of audio segment `n`: `ceil(B × rate / 1024) × 1024` (5.9).
    pub fn audio_start(self, n: u64, sample_rate: u32) -> Option<u64> {
        let frames = u128::from(n.checked_sub(1)?) * u128::from(self.frames_per_segment);
        let num = frames * u128::from(self.rate_den) * u128::from(sample_rate);
        let den = u128::from(self.rate_num) * 1024;
        u64::try_from(num.div_ceil(den) * 1024).ok()
    }
}

/// Asks whether segment `number` lies where its number says. A `joined` segment (the first after a start, a restart or
/// a hole) may begin late, but not before its place nor past its end (5.7).
pub fn check(
    lock: EpochLock,
    number: u64,
    joined: bool,
    header: &Header,
    segment: &Segment,
    url: &str,
    findings: &mut Findings,
) {
    let (rule, start, next) = match header.media {
        Media::Video => {
            ("5.6", lock.video_start(number, header.timescale), lock.video_start(number + 1, header.timescale))
        }
        Media::Audio => {
            ("5.9", lock.audio_start(number, header.timescale), lock.audio_start(number + 1, header.timescale))
        }
        Media::Other => return,
    };
    let (Some(start), Some(next)) = (start, next) else {
        findings.error("5.11", url, format!("segment {number} does not start on a whole tick of {}", header.timescale));
        return;
    };
    let end = segment.start.saturating_add(segment.duration);
    if joined {
        if segment.start < start || segment.start >= next {
            let at = segment.start;
            findings.error(
                "5.7",
                url,
                format!("segment {number} starts at {at}, outside of its place {start}..{next}"),
            );
        }
    } else if segment.start != start {
        findings.error(rule, url, format!("segment {number} starts at {}, its place is {start}", segment.start));
    }
    if end > next {
        findings.error(rule, url, format!("segment {number} ends at {end}, after its place ends at {next}"));
    }
    let (grid, rule) = match header.media {
        Media::Audio => (1024, "5.9"),
        _ => (u64::from(header.timescale) * u64::from(lock.rate_den) / u64::from(lock.rate_num.max(1)), "5.11"),
    };
    if grid > 0 && !segment.start.is_multiple_of(grid) {
        findings.error(rule, url, format!("segment {number} starts at {}, off the grid of {grid}", segment.start));
    }
}
