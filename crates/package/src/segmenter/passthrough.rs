//! Segmenting what is not encoded: cuts at the source's own random access points, durations as they come.

use std::collections::VecDeque;
use std::time::Duration;

use millstream_media::time::Timescale;
use millstream_media::track::Track;
use millstream_media::unit::Sample;

use super::cutter::{Cut, Cutter, ticks};
use super::parts::{PartEnds, even_part};
use super::{ConfigError, Error, SegmenterOutput, Warning};

/// Most audio samples held back until the video of their time is there.
const MAX_HELD_AUDIO: usize = 1024;

/// Which track of a passthrough channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// The video track.
    Video,
    /// The audio track.
    Audio,
}

/// How a passthrough channel is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassthroughConfig {
    /// Number of the first segment: one more than the last one ever used, which the caller keeps.
    pub first_segment: u64,
    /// A segment ends at the first random access point once it is seven eighths of this long. Default 2000 ms.
    pub target_ms: u32,
    /// How long parts are to be: a part is ended with the sample whose end is nearest. Default 500 ms.
    pub part_ms: u32,
    /// Chunks are listed as parts. Default false.
    pub low_latency: bool,
    /// A segment that has become so long without a random access point is cut off. Default 20,000 ms.
    pub max_segment_ms: u32,
    /// A sample lasts until the next one, if that comes within this time; else something is missing. Default 3000 ms.
    pub max_gap_ms: u32,
    /// How long audio waits for the video of its time, so that it is cut where the video is. Default 1000 ms.
    pub max_skew_ms: u32,
}

impl Default for PassthroughConfig {
    fn default() -> Self {
        PassthroughConfig {
            first_segment: 1,
            target_ms: 2000,
            part_ms: 500,
            low_latency: false,
            max_segment_ms: 20_000,
            max_gap_ms: 3000,
            max_skew_ms: 1000,
        }
    }
}

impl PassthroughConfig {
    fn check(&self) -> Result<(), ConfigError> {
        for (name, ms) in [
            ("target_ms", self.target_ms),
            ("part_ms", self.part_ms),
            ("max_segment_ms", self.max_segment_ms),
            ("max_gap_ms", self.max_gap_ms),
        ] {
            if ms == 0 || ms > 600_000 {
                return Err(ConfigError::Duration(name));
            }
        }
        if self.max_segment_ms < self.target_ms {
            return Err(ConfigError::Duration("max_segment_ms"));
        }
        Ok(())
    }
}

/// Cuts the one or two tracks of a passthrough channel at the same places.
///
/// Video leads: a segment begins with a random access point, its number is the next one. Audio follows with its first
/// frame at or after that time; without video it is cut at every target duration. A sample's duration is the way to
/// the next sample's decode time, so the last sample of each track waits for one more.
///
/// The constant part of the video's composition offsets is moved into its decode times, so that a segment's earliest
/// presentation time is its `tfdt` and no edit list is needed (STANDARDS 3.9).
pub struct PassthroughSegmenter {
    config: PassthroughConfig,
    next_segment: u64,
    discontinuity: bool,
    video: Option<Video>,
    audio: Option<Audio>,
}

struct Video {
    cutter: Cutter,
    /// A cut is due at the next random access point, and until then samples are dropped.
    waiting: bool,
    /// Of the present wait, [`Warning::WaitingForSync`] was said.
    warned: bool,
    /// What is added to decode times.
    shift: i32,
    segment_start: u64,
}

struct Audio {
    cutter: Cutter,
    /// Without video: a cut is due at the next sample.
    waiting: bool,
    segment_start: u64,
    /// The segment has become too long, because the video does not say where to cut; samples are dropped.
    overrun: bool,
    max_segment_ticks: u64,
    held: VecDeque<Sample>,
    /// Cuts of the video that the audio has not reached, each with its time in audio ticks.
    cuts: VecDeque<(u64, Cut)>,
    /// Where parts of the video have ended that the audio has not reached, in audio ticks.
    part_cuts: VecDeque<u64>,
    /// The cut that was reached last, if no sample came since.
    reached: Option<(u64, Cut)>,
    last_dts: Option<u64>,
}

impl PassthroughSegmenter {
    /// A segmenter of the tracks given; at least one, each of its kind.
    ///
    /// # Errors
    /// [`ConfigError`] if the tracks or the durations cannot be.
    pub fn new(config: PassthroughConfig, video: Option<&Track>, audio: Option<&Track>) -> Result<Self, ConfigError> {
        config.check()?;
        let kinds_fit = video.is_none_or(|t| t.is_video()) && audio.is_none_or(|t| !t.is_video());
        if !kinds_fit || (video.is_none() && audio.is_none()) {
            return Err(ConfigError::Tracks);
        }
        Ok(PassthroughSegmenter {
            next_segment: config.first_segment,
            discontinuity: false,
            video: video.map(|t| Video {
                cutter: Cutter::new(t, &config, Some(PartEnds::About(ticks(config.part_ms, t.timescale).max(1)))),
                waiting: true,
                warned: false,
                shift: 0,
                segment_start: 0,
            }),
            audio: audio.map(|t| Audio {
                cutter: Cutter::new(t, &config, video.is_none().then(|| alone(&config, t.timescale))),
                waiting: true,
                segment_start: 0,
                overrun: false,
                max_segment_ticks: ticks(config.max_segment_ms.saturating_add(config.max_skew_ms), t.timescale),
                held: VecDeque::new(),
                cuts: VecDeque::new(),
                part_cuts: VecDeque::new(),
                reached: None,
                last_dts: None,
            }),
            config,
        })
    }

    /// Number that the next segment will have; what the caller keeps for the next start.
    pub fn next_segment(&self) -> u64 {
        self.next_segment
    }

    /// From now on parts of the video have as many samples as fit into this, and none is longer but for a single sample
    /// that is: they are of one length then, but for the last of a segment (STANDARDS 1.37). Those of the audio are not
    /// longer than `longest_audio`.
    pub fn limit_parts(&mut self, longest_video: Duration, longest_audio: Duration) {
        self.video.iter_mut().for_each(|video| video.cutter.limit_parts(longest_video));
        self.audio.iter_mut().for_each(|audio| audio.cutter.limit_parts(longest_audio));
    }

    /// The configuration or the timeline changes with the next sample: it begins a new segment, marked as a
    /// discontinuity. Video samples before the next random access point are dropped.
    pub fn discontinuity(&mut self) {
        self.discontinuity = true;
        self.cut_at_next_chance();
    }

    fn cut_at_next_chance(&mut self) {
        if let Some(v) = &mut self.video {
            (v.waiting, v.warned) = (true, false);
        } else if let Some(a) = &mut self.audio {
            a.waiting = true;
        }
    }

    /// Takes a video sample. Its duration is only used if no other sample follows.
    ///
    /// # Errors
    /// [`Error`] if it is not taken.
    pub fn push_video(&mut self, mut sample: Sample) -> Result<(), Error> {
        let video = self.video.as_mut().ok_or(Error::NoTrack)?;
        video.cutter.accepts(&sample)?;
        let scale = video.cutter.assembler.scale();
        let shift = if video.waiting && sample.key { sample.composition_offset } else { video.shift };
        sample.dts = sample.dts.saturating_add_signed(shift.into());
        sample.composition_offset = sample.composition_offset.saturating_sub(shift);
        let earliest = video.cutter.earliest;
        if sample.dts < earliest {
            return Err(Error::Backwards { dts: sample.dts, expected: earliest });
        }
        if let Some(last) = video.cutter.newest
            && sample.dts - last > ticks(self.config.max_gap_ms, scale)
            && !video.waiting
        {
            video.cutter.assembler.warn(Warning::Gap { expected: last, got: sample.dts });
            (video.waiting, video.warned) = (true, false);
            self.discontinuity = true;
        }
        let elapsed = sample.dts.saturating_sub(video.segment_start);
        if !video.waiting && !sample.key && elapsed >= ticks(self.config.max_segment_ms, scale) {
            let segment = self.next_segment - 1;
            video.cutter.assembler.warn(Warning::NoSyncForTooLong { segment, duration: elapsed });
            (video.waiting, video.warned) = (true, true);
            self.discontinuity = true;
        }
        let mut cut = None;
        if video.waiting {
            if !sample.key {
                if !std::mem::replace(&mut video.warned, true) {
                    video.cutter.assembler.warn(Warning::WaitingForSync { from: sample.dts });
                }
                return Ok(());
            }
            video.waiting = false;
            video.shift = shift;
            cut = Some(std::mem::take(&mut self.discontinuity));
        } else if sample.key && elapsed * 8 >= ticks(self.config.target_ms, scale) * 7 {
            cut = Some(false);
        }
        let cut = cut.map(|discontinuity| Cut { number: self.next_segment, discontinuity });
        if let Some(cut) = cut {
            self.next_segment += 1;
            video.segment_start = sample.dts;
            if let Some(audio) = &mut self.audio {
                let at = rescale_up(sample.dts, scale, audio.cutter.assembler.scale());
                audio.cuts.push_back((at, cut));
            }
        }
        video.cutter.push(sample, cut, false)?;
        if let Some(audio) = &mut self.audio {
            let to = audio.cutter.assembler.scale();
            audio.part_cuts.extend(video.cutter.ended_at.iter().map(|at| rescale_up(*at, scale, to)));
        }
        self.release_audio()
    }

    /// Takes an audio sample. Its duration is only used if no other sample follows.
    ///
    /// # Errors
    /// [`Error`] if it is not taken.
    pub fn push_audio(&mut self, sample: Sample) -> Result<(), Error> {
        let audio = self.audio.as_mut().ok_or(Error::NoTrack)?;
        audio.cutter.accepts(&sample)?;
        let earliest = audio.last_dts.map_or(0, |last| last + 1).max(audio.cutter.earliest);
        if sample.dts < earliest {
            return Err(Error::Backwards { dts: sample.dts, expected: earliest });
        }
        let gap = audio.last_dts.map_or(0, |last| sample.dts - last);
        let scale = audio.cutter.assembler.scale();
        let is_gap = gap > ticks(self.config.max_gap_ms, scale);
        if is_gap {
            audio.cutter.assembler.warn(Warning::Gap { expected: sample.dts - gap, got: sample.dts });
        }
        audio.last_dts = Some(sample.dts);
        if self.video.is_some() {
            audio.held.push_back(sample);
            return self.release_audio();
        }
        self.discontinuity |= is_gap;
        let with_this = sample.dts.saturating_sub(audio.segment_start) + u64::from(audio.cutter.last_duration);
        let cut = if std::mem::take(&mut audio.waiting) || is_gap || with_this > ticks(self.config.target_ms, scale) {
            let cut = Cut { number: self.next_segment, discontinuity: std::mem::take(&mut self.discontinuity) };
            self.next_segment += 1;
            audio.segment_start = sample.dts;
            Some(cut)
        } else {
            None
        };
        audio.cutter.push(sample, cut, false)
    }

    /// What has come out since, track by track in order; `None` when there is no more.
    pub fn pull(&mut self) -> Option<(TrackKind, SegmenterOutput)> {
        if let Some(out) = self.video.as_mut().and_then(|v| v.cutter.assembler.pull()) {
            return Some((TrackKind::Video, out));
        }
        let out = self.audio.as_mut().and_then(|a| a.cutter.assembler.pull())?;
        Some((TrackKind::Audio, out))
    }

    /// The stream has ended: everything goes out and the segments end. If it goes on later it does so with a new segment.
    ///
    /// # Errors
    /// [`Error::Write`], which would be a fault of ours.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.video.is_some()
            && let Some(audio) = &mut self.audio
        {
            while let Some(sample) = audio.held.pop_front() {
                audio.take(sample)?;
            }
            (audio.cuts, audio.part_cuts, audio.reached) = (VecDeque::new(), VecDeque::new(), None);
        }
        if let Some(v) = &mut self.video {
            v.cutter.finish()?;
        }
        if let Some(a) = &mut self.audio {
            a.cutter.finish()?;
        }
        self.cut_at_next_chance();
        Ok(())
    }

    /// Lets those audio samples go whose segment is known, because the video has come as far; and those that have waited
    /// for too long.
    fn release_audio(&mut self) -> Result<(), Error> {
        let (Some(video), Some(audio)) = (&self.video, &mut self.audio) else { return Ok(()) };
        let scale = audio.cutter.assembler.scale();
        let reached = video.cutter.newest.map(|t| rescale_down(t, video.cutter.assembler.scale(), scale));
        let skew = ticks(self.config.max_skew_ms, scale);
        while let (Some(first), Some(last)) = (audio.held.front(), audio.held.back()) {
            let known = reached.is_some_and(|t| first.dts <= t);
            let waited = last.dts - first.dts > skew || audio.held.len() > MAX_HELD_AUDIO;
            if !(known || waited) {
                break;
            }
            if let Some(sample) = audio.held.pop_front() {
                audio.take(sample)?;
            }
        }
        while let (Some(t), Some(at)) = (reached, audio.part_cuts.front())
            && at.saturating_add(skew) < t
        {
            audio.part_cuts.pop_front();
        }
        // Audio that has fallen silent does not hold its segments open.
        while let (Some(t), Some(&(at, cut))) = (reached, audio.cuts.front())
            && at.saturating_add(skew) < t
        {
            audio.cuts.pop_front();
            audio.reach(at, cut)?;
        }
        Ok(())
    }
}

impl Audio {
    /// Ends the segment before `cut`; the one behind it begins with the next sample.
    fn reach(&mut self, at: u64, cut: Cut) -> Result<(), Error> {
        if let Some((_, passed)) = self.reached.replace((at, cut)) {
            self.cutter.assembler.warn(Warning::EmptySegment { segment: passed.number });
        }
        self.cutter.finish_before(at)
    }

    /// Takes the next sample; all cuts before it are known.
    fn take(&mut self, sample: Sample) -> Result<(), Error> {
        // The sample that begins a segment also tells how long the one before it lasts, so that cut is left to `push`.
        while let Some(&(at, cut)) = self.cuts.front().filter(|(at, _)| *at <= sample.dts) {
            self.cuts.pop_front();
            if let Some((_, passed)) = self.reached.replace((at, cut)) {
                self.cutter.assembler.warn(Warning::EmptySegment { segment: passed.number });
            }
        }
        let passed = self.part_cuts.partition_point(|at| *at <= sample.dts);
        let ends_part = self.part_cuts.drain(..passed).next().is_some();
        if self.reached.is_some_and(|(at, _)| sample.dts < at) || sample.dts < self.cutter.earliest {
            self.cutter.assembler.warn(Warning::Late { dts: sample.dts });
            return Ok(());
        }
        let cut = self.reached.take().map(|(_, cut)| cut);
        if cut.is_none() && self.cutter.look_ahead.is_none() {
            return Ok(()); // before the first video
        }
        if cut.is_some() {
            (self.segment_start, self.overrun) = (sample.dts, false);
        }
        let duration = sample.dts.saturating_sub(self.segment_start);
        if duration > self.max_segment_ticks {
            let segment = self.cutter.assembler.segment();
            if let Some(segment) = segment.filter(|_| !std::mem::replace(&mut self.overrun, true)) {
                self.cutter.assembler.warn(Warning::NoSyncForTooLong { segment, duration });
            }
            return Ok(());
        }
        self.cutter.push(sample, cut, ends_part)
    }
}

/// Parts of audio without video: equal ones.
fn alone(config: &PassthroughConfig, scale: Timescale) -> PartEnds {
    let every = even_part(ticks(config.target_ms, scale), ticks(config.part_ms, scale));
    PartEnds::Every { every, at_most: u64::MAX }
}

/// `t` in another scale, rounded up.
fn rescale_up(t: u64, from: Timescale, to: Timescale) -> u64 {
    let n = u128::from(t) * u128::from(to.get());
    u64::try_from(n.div_ceil(from.get().into())).unwrap_or(u64::MAX)
}

/// `t` in another scale, rounded down.
fn rescale_down(t: u64, from: Timescale, to: Timescale) -> u64 {
    let n = u128::from(t) * u128::from(to.get());
    u64::try_from(n / u128::from(from.get())).unwrap_or(u64::MAX)
}
