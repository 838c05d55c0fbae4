//! The part that is being filled, and the segment it belongs to.

use std::collections::VecDeque;

use millstream_media::cmaf::read::MAX_SAMPLES_PER_CHUNK;
use millstream_media::cmaf::{self, ChunkHead, MAX_CHUNK_BYTES};
use millstream_media::segment::SegmentEnd;
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::unit::Sample;

use super::{Error, SegmenterOutput, Warning};

/// A segment of which no end has been said yet.
struct Open {
    number: u64,
    start: u64,
    duration: u64,
    discontinuity: bool,
    /// Its first chunk is out.
    begun: bool,
}

/// Gathers samples into chunks. Where to cut is decided by its owner.
pub(super) struct Assembler {
    scale: Timescale,
    open: Option<Open>,
    pending: Vec<Sample>,
    pending_bytes: usize,
    pending_duration: u64,
    out: VecDeque<SegmenterOutput>,
}

impl Assembler {
    pub(super) fn new(scale: Timescale) -> Self {
        Assembler {
            scale,
            open: None,
            pending: Vec::new(),
            pending_bytes: 0,
            pending_duration: 0,
            out: VecDeque::new(),
        }
    }

    pub(super) fn scale(&self) -> Timescale {
        self.scale
    }

    pub(super) fn queued(&self) -> usize {
        self.out.len()
    }

    pub(super) fn pull(&mut self) -> Option<SegmenterOutput> {
        self.out.pop_front()
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        self.out.push_back(SegmenterOutput::Warning(warning));
    }

    /// Number of the open segment.
    pub(super) fn segment(&self) -> Option<u64> {
        self.open.as_ref().map(|o| o.number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn pending_duration(&self) -> u64 {
        self.pending_duration
    }

    /// Whether a sample of `bytes` more would pass the limits of a part.
    pub(super) fn is_full_for(&self, bytes: usize) -> bool {
        self.pending_bytes.saturating_add(bytes) > MAX_CHUNK_BYTES || self.pending.len() >= MAX_SAMPLES_PER_CHUNK
    }

    /// Begins a segment. The one before must be closed.
    pub(super) fn begin(&mut self, number: u64, start: u64, discontinuity: bool) {
        debug_assert!(self.open.is_none() && self.pending.is_empty());
        self.open = Some(Open { number, start, duration: 0, discontinuity, begun: false });
    }

    pub(super) fn add(&mut self, sample: Sample) {
        self.pending_bytes += sample.data.len();
        self.pending_duration += u64::from(sample.duration);
        self.pending.push(sample);
    }

    /// Makes the last sample added last longer by `ticks`.
    pub(super) fn extend_last(&mut self, ticks: u64) {
        if let Some(last) = self.pending.last_mut() {
            let longer = u64::from(last.duration).saturating_add(ticks);
            let longer = u32::try_from(longer).unwrap_or(u32::MAX);
            self.pending_duration += u64::from(longer - last.duration);
            last.duration = longer;
        }
    }

    /// Writes the pending samples as part `part`. Nothing happens if there are none.
    pub(super) fn write_part(&mut self, part: u32) -> Result<(), Error> {
        let samples = std::mem::take(&mut self.pending);
        (self.pending_bytes, self.pending_duration) = (0, 0);
        let (Some(first), Some(open)) = (samples.first(), self.open.as_mut()) else { return Ok(()) };
        let presented = first.dts.saturating_add_signed(first.composition_offset.into());
        if open.discontinuity && !open.begun {
            self.out.push_back(SegmenterOutput::Discontinuity(open.number));
        }
        let opens_at = (!open.begun).then(|| UtcTime::from_ticks(presented, self.scale));
        let chunk = cmaf::chunk(ChunkHead { segment: open.number, part, opens_at }, &samples)?;
        open.begun = true;
        open.duration += chunk.duration;
        self.out.push_back(SegmenterOutput::Chunk(chunk));
        // Keep the allocation for the next part.
        self.pending = samples;
        self.pending.clear();
        Ok(())
    }

    /// Ends the open segment, if any of it is out.
    pub(super) fn close(&mut self) {
        debug_assert!(self.pending.is_empty());
        if let Some(open) = self.open.take().filter(|o| o.begun) {
            self.out.push_back(SegmenterOutput::SegmentEnd(SegmentEnd {
                segment: open.number,
                start: open.start,
                duration: open.duration,
                discontinuity: open.discontinuity,
            }));
        }
    }
}
