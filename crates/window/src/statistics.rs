//! What the window counts, and the bit rates it measures over what is listed.

use std::time::Duration;

use millstream_media::track::RenditionName;

use crate::listing::Entry;
use crate::window::Window;

/// Counters and sizes of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes of media and init segments held now.
    pub held_bytes: u64,
    /// Segments held now, over all renditions, gaps not counted.
    pub held_segments: u64,
    /// Segments dropped before their time because of [`Config::max_bytes`](crate::Config::max_bytes).
    pub evicted_segments: u64,
    /// Bytes of those.
    pub evicted_bytes: u64,
    /// Times the list was cut shorter than its length for the same reason.
    pub shortened: u64,
    /// Chunks refused for the same reason.
    pub refused_chunks: u64,
    /// Segments of a rendition that became gaps.
    pub gaps: u64,
    /// Discontinuities that came after another rendition had already listed the segment without one; they are not shown.
    pub late_discontinuities: u64,
}

/// Measured bit rates of a rendition over the listed segments, in bit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Highest rate of any contiguous run that lasts between 0.5 and 1.5 target durations (+ 0.5 s) (STANDARDS 1.27).
    pub peak: u64,
    /// Bits over time.
    pub average: u64,
    /// Highest rate of the segments' first samples alone, as an I-frame playlist names them.
    pub iframe_peak: u64,
    /// Their average.
    pub iframe_average: u64,
}

impl Window {
    /// Measured rates of a rendition over its listed segments; `None` before its first whole segment.
    pub fn rates(&self, rendition: &RenditionName) -> Option<Rates> {
        let listing = self.listing(rendition)?;
        let own: Vec<&Entry<'_>> = listing.entries.iter().filter(|e| e.is_own(rendition)).collect();
        if own.is_empty() {
            return None;
        }
        let target = Duration::from_secs(u64::from(listing.target_duration));
        let (low, high) = (target / 2, target * 3 / 2 + Duration::from_millis(500));
        let time = own.iter().map(|e| e.nanos()).sum();
        let average = rate(own.iter().map(|e| e.bytes).sum(), time);
        let iframe_average = rate(own.iter().map(|e| u64::from(e.first_sample_end)).sum(), time);
        let mut peak = 0;
        for (i, first) in own.iter().enumerate() {
            let (mut bytes, mut time) = (0, 0);
            for (e, number) in own.iter().skip(i).zip(first.number..) {
                (bytes, time) = (bytes + e.bytes, time + e.nanos());
                if e.number != number || Duration::from_nanos(time) > high {
                    break;
                }
                if Duration::from_nanos(time) >= low {
                    peak = peak.max(rate(bytes, time));
                }
            }
        }
        let iframe_peak = own.iter().map(|e| rate(u64::from(e.first_sample_end), e.nanos())).max().unwrap_or(0);
        Some(Rates { peak: peak.max(average), average, iframe_peak, iframe_average })
    }
}

fn rate(bytes: u64, nanos: u64) -> u64 {
    let bits = u128::from(bytes) * 8_000_000_000;
    u64::try_from(bits.div_ceil(u128::from(nanos.max(1)))).unwrap_or(u64::MAX)
}
