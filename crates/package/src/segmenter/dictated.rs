//! Segmenting what comes in segments already: cuts where it is told, durations as they are sent, parts as they fill.

use std::time::Duration;

use millstream_media::cmaf::{MAX_CHUNK_BYTES, MAX_PARTS_PER_SEGMENT};
use millstream_media::track::Track;
use millstream_media::unit::Sample;

use super::assembler::Assembler;
use super::{Error, MAX_DTS, MAX_QUEUED, SegmenterOutput};

/// One track of an encoder that cuts its segments itself.
pub struct DictatedSegmenter {
    assembler: Assembler,
    /// Longest part, in ticks; none if a part is as long as a segment.
    part_ticks: Option<u64>,
    next_part: u32,
    /// Where the next sample is due, once one has come.
    due: Option<u64>,
}

impl DictatedSegmenter {
    /// A segmenter whose parts are at most `part` long; without, a segment is one part, or as few as it fits into.
    pub fn new(track: &Track, part: Option<Duration>) -> Self {
        let ticks = |part: Duration| part.as_nanos() * u128::from(track.timescale.get()) / 1_000_000_000;
        DictatedSegmenter {
            assembler: Assembler::new(track.timescale),
            part_ticks: part.map(|part| u64::try_from(ticks(part)).unwrap_or(u64::MAX).max(1)),
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
        let is_full = self.part_ticks.is_some_and(|ticks| self.assembler.pending_duration() + duration > ticks);
        let too_large = self.assembler.is_full_for(sample.data.len());
        if !self.assembler.is_empty() && (is_hole || too_large || (is_full && self.may_cut_part())) {
            self.write_part()?;
        }
        self.due = Some(sample.dts.saturating_add(duration));
        self.assembler.add(sample);
        // The next sample will most likely last as long as this one.
        if self.part_ticks.is_some_and(|ticks| self.assembler.pending_duration() + duration > ticks)
            && self.may_cut_part()
        {
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
