//! Segmenting what comes in segments already: cuts where it is told, durations as they are sent, parts as they fill.

use std::time::Duration;

use millstream_media::cmaf::{MAX_CHUNK_BYTES, MAX_PARTS_PER_SEGMENT};
use millstream_media::track::Track;
use millstream_media::unit::Sample;

use super::assembler::Assembler;
use super::parts::{EvenParts, PartEnds};
use super::{Error, MAX_DTS, MAX_QUEUED, SegmenterOutput};

/// One track of an encoder that cuts its segments itself.
pub struct DictatedSegmenter {
    assembler: Assembler,
    /// None if a part is as long as a segment.
    part_ends: Option<PartEnds>,
    segment_start: u64,
    next_part: u32,
    /// Where the next sample is due, once one has come.
    due: Option<u64>,
}

impl DictatedSegmenter {
    /// A segmenter of these parts; without, a segment is one part, or as few as it fits into.
    pub fn new(track: &Track, parts: Option<EvenParts>) -> Self {
        // Rounded up: a sample that begins where a part does, to the nanosecond, is its first.
        let ticks = |length: Duration| {
            let ticks = (length.as_nanos() * u128::from(track.timescale.get())).div_ceil(1_000_000_000);
            u64::try_from(ticks).unwrap_or(u64::MAX).max(1)
        };
        DictatedSegmenter {
            assembler: Assembler::new(track.timescale),
            part_ends: parts.map(|parts| PartEnds::Every { every: ticks(parts.every), at_most: ticks(parts.longest) }),
            segment_start: 0,
            next_part: 0,
            due: None,
        }
    }

    /// Where the next sample is due, in ticks: where the newest one ends. `None` before the first.
    pub const fn due(&self) -> Option<u64> {
        self.due
    }

    /// The segment that is open.
    pub fn segment(&self) -> Option<u64> {
        self.assembler.segment()
    }

    /// The next sample begins this segment; the one before it is whole.
    ///
    /// # Errors
    /// [`Error`].
    pub fn cut(&mut self, segment: u64, start: u64) -> Result<(), Error> {
        self.close()?;
        self.assembler.begin(segment, start, false);
        self.segment_start = start;
        Ok(())
    }

    /// Takes a sample of the open segment. One that begins before the newest ends is known already and left out:
    /// `false` then.
    ///
    /// # Errors
    /// [`Error`]; the sample is lost then. [`Error::NoTrack`] without an open segment.
    pub fn push(&mut self, sample: Sample) -> Result<bool, Error> {
        if self.assembler.queued() >= MAX_QUEUED {
            return Err(Error::PullFirst);
        }
        if sample.data.len() > MAX_CHUNK_BYTES {
            return Err(Error::TooLarge { bytes: sample.data.len() });
        }
        if sample.dts > MAX_DTS {
            return Err(Error::TimeRange { dts: sample.dts });
        }
        if self.assembler.segment().is_none() {
            return Err(Error::NoTrack);
        }
        if self.due.is_some_and(|due| sample.dts < due) {
            return Ok(false);
        }
        let duration = u64::from(sample.duration);
        let is_hole = self.due.is_some_and(|due| sample.dts > due);
        let is_full = self.is_full_before(sample.dts, duration);
        let too_large = self.assembler.is_full_for(sample.data.len());
        if !self.assembler.is_empty() && (is_hole || too_large || (is_full && self.may_cut_part())) {
            self.write_part()?;
        }
        let due = sample.dts.saturating_add(duration);
        self.due = Some(due);
        self.assembler.add(sample);
        // The next sample will most likely last as long as this one.
        if self.is_full_before(due, duration) && self.may_cut_part() {
            self.write_part()?;
        }
        Ok(true)
    }

    /// The open segment is whole.
    ///
    /// # Errors
    /// [`Error`].
    pub fn close(&mut self) -> Result<(), Error> {
        self.write_part()?;
        self.assembler.close();
        self.next_part = 0;
        Ok(())
    }

    /// What is ready next.
    pub fn pull(&mut self) -> Option<SegmenterOutput> {
        self.assembler.pull()
    }

    /// Whether a sample that begins at `dts` and lasts so long belongs to another part than what is pending.
    fn is_full_before(&self, dts: u64, duration: u64) -> bool {
        let (pending, offset) = (self.assembler.pending_duration(), dts.saturating_sub(self.segment_start));
        self.part_ends.is_some_and(|ends| ends.are_before(pending, offset, duration))
    }

    const fn may_cut_part(&self) -> bool {
        self.next_part + 1 < MAX_PARTS_PER_SEGMENT
    }

    fn write_part(&mut self) -> Result<(), Error> {
        if !self.assembler.is_empty() {
            self.assembler.write_part(self.next_part)?;
            self.next_part += 1;
        }
        Ok(())
    }
}
