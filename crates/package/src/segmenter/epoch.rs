//! Epoch-locked segmenting: where a sample belongs is a pure function of its time (STANDARDS 5.6 to 5.11).

use millstream_media::cmaf::MAX_PARTS_PER_SEGMENT;
use millstream_media::grid::{AAC_FRAME_SAMPLES, SegmentGrid};
use millstream_media::track::Track;
use millstream_media::unit::Sample;

use super::assembler::Assembler;
use super::{ConfigError, Error, MAX_DTS, MAX_QUEUED, SegmenterOutput, Warning};

/// Cuts one encoded track on the grid of its channel.
///
/// Video segment N holds the frames `[(N−1)·F, N·F)`; its part p those from `p × part_frames` on. An audio segment, and
/// likewise an audio part, begins with the first audio frame at or after its video twin. Parts are counted from the
/// segment's start on the grid, not from where the input began: after a join in the middle the first chunk of a
/// segment may have an index above 0, and a name never stands for two different runs of frames.
///
/// A segment ends with its last frame; nothing waits for the next one. Missing frames are reported
/// ([`Warning::Gap`]) and shift nothing: what is there of a part is sent as a short chunk, except when the gap lies within
/// one part, where the frame before it lasts until the one behind it (two chunks would share a name).
pub struct Segmenter {
    grid: SegmentGrid,
    part_frames: u32,
    video: bool,
    /// Ticks of one frame.
    frame_ticks: u32,
    assembler: Assembler,
    /// Where the next sample is to start, and the place of the last one.
    last: Option<(u64, Place)>,
    /// Up to here everything is out, by [`Segmenter::flush`]: samples of it would reuse names.
    sealed_segment: u64,
    discontinuity: bool,
    waiting: bool,
}

/// Segment number and part index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    segment: u64,
    part: u32,
}

impl Segmenter {
    /// A segmenter of `track` with parts of `part_frames` video frames; the same for an audio track, whose parts follow
    /// those of the video. `part_frames` of a whole segment gives one chunk per segment.
    ///
    /// # Errors
    /// [`ConfigError`] if track, grid and part do not fit each other.
    pub fn epoch_locked(track: &Track, grid: SegmentGrid, part_frames: u32) -> Result<Self, ConfigError> {
        let rate = grid.rate();
        let video = track.is_video();
        if video && track.timescale != rate.timescale() {
            return Err(ConfigError::Timescale { track: track.timescale.get(), grid: rate.timescale().get() });
        }
        let fits = part_frames > 0
            && part_frames <= grid.frames_per_segment()
            && grid.frames_per_segment().div_ceil(part_frames) <= MAX_PARTS_PER_SEGMENT;
        // A part at least as long as an audio frame never lacks one.
        let part = u128::from(part_frames) * u128::from(rate.den()) * u128::from(track.timescale.get());
        let holds_audio = video || part >= u128::from(rate.num()) * u128::from(AAC_FRAME_SAMPLES);
        if !fits || !holds_audio {
            return Err(ConfigError::PartFrames(part_frames));
        }
        Ok(Segmenter {
            grid,
            part_frames,
            video,
            frame_ticks: if video { rate.frame_ticks() } else { AAC_FRAME_SAMPLES as u32 },
            assembler: Assembler::new(track.timescale),
            last: None,
            sealed_segment: 0,
            discontinuity: false,
            waiting: false,
        })
    }

    /// The longest duration a whole part can have, in ticks: what a part target must not be below.
    pub fn longest_part(&self) -> u64 {
        if self.video {
            return u64::from(self.part_frames) * u64::from(self.frame_ticks);
        }
        let part = u128::from(self.part_frames) * u128::from(self.grid.rate().den());
        let samples = part * u128::from(self.assembler.scale().get());
        let frame = u128::from(self.grid.rate().num()) * u128::from(AAC_FRAME_SAMPLES);
        samples.div_ceil(frame) as u64 * AAC_FRAME_SAMPLES
    }

    /// The next segment to begin is marked as a discontinuity.
    pub fn discontinuity(&mut self) {
        self.discontinuity = true;
    }

    /// Takes a sample. Its decode time must be a multiple of the frame duration (1024 for audio), its duration that.
    ///
    /// # Errors
    /// [`Error`] if it is not taken.
    pub fn push(&mut self, sample: Sample) -> Result<(), Error> {
        if self.assembler.queued() >= MAX_QUEUED {
            return Err(Error::PullFirst);
        }
        let dts = sample.dts;
        if dts > MAX_DTS {
            return Err(Error::TimeRange { dts });
        }
        if !dts.is_multiple_of(self.frame_ticks.into()) || sample.duration != self.frame_ticks {
            return Err(Error::OffGrid { dts, duration: sample.duration });
        }
        let next_dts = dts + u64::from(self.frame_ticks);
        if let Some((expected, _)) = self.last.filter(|(expected, _)| dts < *expected) {
            return Err(Error::Backwards { dts, expected });
        }
        let place = self.place(dts);
        if self.is_dropped(&sample, place) {
            return Ok(());
        }
        self.bridge_gap(dts, place)?;
        if self.assembler.is_full_for(sample.data.len()) {
            return Err(Error::TooLarge { bytes: sample.data.len() });
        }
        if self.assembler.segment() != Some(place.segment) {
            self.assembler.begin(place.segment, dts, std::mem::take(&mut self.discontinuity));
            if !sample.key {
                self.assembler.warn(Warning::NoSyncAtStart { segment: place.segment });
            }
        }
        self.assembler.add(sample);
        self.last = Some((next_dts, place));
        let next = self.place(next_dts);
        if next != place {
            self.assembler.write_part(place.part)?;
        }
        if next.segment != place.segment {
            self.assembler.close();
        }
        Ok(())
    }

    /// What has come out since; `None` when there is no more.
    pub fn pull(&mut self) -> Option<SegmenterOutput> {
        self.assembler.pull()
    }

    /// The stream has ended: what is there goes out, and the segment ends short. If it goes on later, samples of that
    /// segment are dropped, so that no name is used twice.
    ///
    /// # Errors
    /// [`Error::Write`], which would be a fault of ours.
    pub fn flush(&mut self) -> Result<(), Error> {
        if let Some((_, place)) = self.last {
            self.assembler.write_part(place.part)?;
            self.sealed_segment = place.segment;
        }
        self.assembler.close();
        self.waiting = false;
        Ok(())
    }

    /// Segment and part of the sample that starts at `dts`.
    fn place(&self, dts: u64) -> Place {
        let rate = self.grid.rate();
        let frame = if self.video {
            dts / u64::from(self.frame_ticks)
        } else {
            // The last video frame that starts at or before it lies in the same segment and part (5.9).
            let scale = u128::from(self.assembler.scale().get());
            (u128::from(dts) * u128::from(rate.num()) / (scale * u128::from(rate.den()))) as u64
        };
        let in_segment = frame % u64::from(self.grid.frames_per_segment());
        Place { segment: self.grid.segment_of_frame(frame), part: (in_segment / u64::from(self.part_frames)) as u32 }
    }

    fn is_dropped(&mut self, sample: &Sample, place: Place) -> bool {
        if place.segment <= self.sealed_segment {
            return true;
        }
        let joins =
            self.assembler.segment().is_none() && self.last.is_none_or(|(_, p)| p.segment <= self.sealed_segment);
        if joins && !sample.key {
            if !std::mem::replace(&mut self.waiting, true) {
                self.assembler.warn(Warning::WaitingForSync { from: sample.dts });
            }
            return true;
        }
        false
    }

    /// If samples are missing before `dts`, says so and finishes what they leave unfinished.
    fn bridge_gap(&mut self, dts: u64, place: Place) -> Result<(), Error> {
        let Some((expected, before)) = self.last.filter(|(expected, _)| *expected < dts) else { return Ok(()) };
        self.assembler.warn(Warning::Gap { expected, got: dts });
        if !self.assembler.is_empty() && before == place {
            self.assembler.extend_last(dts - expected);
            return Ok(());
        }
        self.assembler.write_part(before.part)?;
        if before.segment != place.segment {
            self.assembler.close();
        }
        Ok(())
    }
}
