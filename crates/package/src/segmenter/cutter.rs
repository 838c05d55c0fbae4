//! One passthrough track: durations by looking one sample ahead, cuts where it is told, parts as they fill.

use std::time::Duration;

use millstream_media::cmaf::{MAX_CHUNK_BYTES, MAX_PARTS_PER_SEGMENT};
use millstream_media::time::Timescale;
use millstream_media::track::Track;
use millstream_media::unit::Sample;

use super::assembler::Assembler;
use super::parts::PartEnds;
use super::{Error, MAX_DTS, MAX_QUEUED, PassthroughConfig};

/// Milliseconds in ticks, rounded down.
pub(super) fn ticks(ms: u32, scale: Timescale) -> u64 {
    u64::from(ms) * u64::from(scale.get()) / 1000
}

/// Where a track is to be cut.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub(super) number: u64,
    pub(super) discontinuity: bool,
}

/// Cuts one track where it is told to, and into parts.
pub(super) struct Cutter {
    pub(super) assembler: Assembler,
    /// The newest sample, whose duration is not yet known.
    pub(super) look_ahead: Option<Sample>,
    /// Decode time of the newest sample ever.
    pub(super) newest: Option<u64>,
    /// Decode time before which no sample may follow.
    pub(super) earliest: u64,
    /// Duration of the sample before it, or a plausible one.
    pub(super) last_duration: u32,
    next_part: u32,
    part_ends: PartEnds,
    segment_start: u64,
    /// Where parts have ended within a segment, until the caller takes it.
    pub(super) ended_at: Vec<u64>,
    max_gap_ticks: u64,
}

impl Cutter {
    /// A cutter whose parts end by a rule of its own or, without one, where it is told.
    pub(super) fn new(track: &Track, config: &PassthroughConfig, part_ends: Option<PartEnds>) -> Self {
        let scale = track.timescale;
        Cutter {
            assembler: Assembler::new(scale),
            look_ahead: None,
            newest: None,
            earliest: 0,
            last_duration: if track.is_video() { (scale.get() / 30).max(1) } else { 1024 },
            next_part: 0,
            part_ends: part_ends.unwrap_or(PartEnds::AtMost(u64::MAX)),
            segment_start: 0,
            ended_at: Vec::new(),
            max_gap_ticks: ticks(config.max_gap_ms, scale),
        }
    }

    pub(super) fn accepts(&self, sample: &Sample) -> Result<(), Error> {
        if self.assembler.queued() >= MAX_QUEUED {
            return Err(Error::PullFirst);
        }
        if sample.data.len() > MAX_CHUNK_BYTES {
            return Err(Error::TooLarge { bytes: sample.data.len() });
        }
        if sample.dts > MAX_DTS {
            return Err(Error::TimeRange { dts: sample.dts });
        }
        Ok(())
    }

    /// Takes a sample later than all before it. With a cut it begins a segment; with `ends_part` a part.
    pub(super) fn push(&mut self, sample: Sample, cut: Option<Cut>, ends_part: bool) -> Result<(), Error> {
        self.ended_at.clear();
        if let Some(mut before) = self.look_ahead.take() {
            let until = sample.dts.saturating_sub(before.dts);
            if until <= self.max_gap_ticks {
                self.last_duration = u32::try_from(until).unwrap_or(u32::MAX).max(1);
            }
            before.duration = self.last_duration;
            self.add(before)?;
            // The samples of a chunk follow each other.
            if until > self.max_gap_ticks || (ends_part && self.may_cut_part()) {
                self.write_part()?;
            }
        }
        self.newest = Some(sample.dts);
        self.earliest = sample.dts.saturating_add(1);
        if let Some(cut) = cut {
            self.end_segment()?;
            self.assembler.begin(cut.number, sample.dts, cut.discontinuity);
            self.segment_start = sample.dts;
        }
        self.look_ahead = Some(sample);
        Ok(())
    }

    /// No sample of this segment will follow: the newest one lasts as long as the one before it, or as it says.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.finish_before(u64::MAX)
    }

    /// As [`Cutter::finish`], not later than `end`.
    pub(super) fn finish_before(&mut self, end: u64) -> Result<(), Error> {
        if let Some(mut last) = self.look_ahead.take() {
            let said = u64::from(last.duration);
            let known = if said > 0 && said <= self.max_gap_ticks { last.duration } else { self.last_duration };
            let room = u32::try_from(end.saturating_sub(last.dts)).unwrap_or(u32::MAX).max(1);
            last.duration = known.min(room);
            self.earliest = last.dts.saturating_add(last.duration.into());
            self.add(last)?;
        }
        self.end_segment()
    }

    fn end_segment(&mut self) -> Result<(), Error> {
        self.write_part()?;
        self.assembler.close();
        self.next_part = 0;
        Ok(())
    }

    /// Adds a sample of known duration; writes the part when the next sample would make it too long.
    fn add(&mut self, sample: Sample) -> Result<(), Error> {
        let duration = u64::from(sample.duration);
        let (from, until) = (sample.dts, sample.dts.saturating_add(duration));
        let too_long = self.is_full_before(from, duration);
        let too_large = self.assembler.is_full_for(sample.data.len());
        if !self.assembler.is_empty() && (too_large || (too_long && self.may_cut_part())) {
            self.write_part()?;
            self.ended_at.push(from);
        }
        self.assembler.add(sample);
        // The next sample will most likely last as long as this one.
        if self.is_full_before(until, duration) && self.may_cut_part() {
            self.write_part()?;
            self.ended_at.push(until);
        }
        Ok(())
    }

    /// Whether a sample that begins at `dts` and lasts so long belongs to another part than what is pending.
    fn is_full_before(&self, dts: u64, duration: u64) -> bool {
        let offset = dts.saturating_sub(self.segment_start);
        self.part_ends.are_before(self.assembler.pending_duration(), offset, duration)
    }

    /// No part is longer from now on.
    pub(super) fn limit_parts(&mut self, longest: Duration) {
        let ticks = longest.as_nanos() * u128::from(self.assembler.scale().get()) / 1_000_000_000;
        self.part_ends = self.part_ends.limited(u64::try_from(ticks).unwrap_or(u64::MAX).max(1));
    }

    /// The last part that a segment may have takes all that is left of it.
    fn may_cut_part(&self) -> bool {
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
