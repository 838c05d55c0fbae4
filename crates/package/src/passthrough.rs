//! A contribution that is not encoded: its configurations and access units to periods, chunks and segment ends.
//!
//! Nothing is shown before the first segment is whole: only then are the length of the source's groups of pictures,
//! and so the target duration, and its bit rates known.

use std::collections::VecDeque;
use std::time::Duration;

use millstream_media::codec::{AudioConfig, VideoConfig};
use millstream_media::grid::FrameRate;
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_media::unit::{AccessUnit, Contribution, Sample};
use millstream_window::Timing;

use crate::assembly::Output;
use crate::segmenter::{ConfigError, Error, PassthroughConfig, PassthroughSegmenter, SegmenterOutput, TrackKind};

/// How long a track waits for the other one's configuration before the channel begins without it.
pub const WAIT_FOR_OTHER_TRACK: Duration = Duration::from_millis(1000);
/// A track of which nothing comes while the other goes on for so long (or for three of its units, if they are long) is
/// taken for gone: a period without it begins, and another one when it comes back. Less than what a segment may be
/// longer than usual, since the other track is cut only then.
pub const TRACK_GONE: Duration = Duration::from_millis(1400);
/// The same for a track of which nothing has come yet.
const TRACK_ABSENT: Duration = Duration::from_millis(5000);
/// And at most.
const TRACK_GONE_AT_MOST: Duration = Duration::from_secs(10);
/// Most that one unit counts for in that.
const MAX_STEP: Duration = Duration::from_millis(500);
/// How long a changed track waits for the other one's new configuration.
const SETTLE: Duration = Duration::from_millis(300);
/// What a part may be longer than those of the first segment.
const PART_TOLERANCE: Duration = Duration::from_millis(4);
/// Units that may wait for the first segment's tracks to be known.
const MAX_WAITING_UNITS: usize = 2048;
/// An audio clock this far from its timestamps is set right step by step.
const AUDIO_DEAD_BAND: i64 = 10;
/// An audio clock this far from its timestamps (in milliseconds) is set right at once.
const AUDIO_MAX_ERROR: i64 = 100;
/// Samples in the usual Opus packet of 20 ms, at 48 kHz.
const OPUS_FRAME_SAMPLES: u32 = 960;
/// Bit rate written for a track until it has been measured, in bit/s.
const UNKNOWN_BIT_RATE: u32 = 1_000;

/// What happens, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A list begins with this timing.
    BeginSession(Timing),
    /// As an encoder's assembly says it; `discontinuity` belongs to a `BeginPeriod`.
    Output {
        /// What the window is to be told.
        output: Output,
        /// The timeline or the parameters changed.
        discontinuity: bool,
    },
}

/// What is known of a track's media that is held.
#[derive(Clone, Copy, Default)]
struct Measured {
    bytes: u64,
    longest_part: Duration,
}

struct Running {
    segmenter: PassthroughSegmenter,
    first_segment: u64,
    tracks: Vec<Track>,
    discontinuity: bool,
    shown: bool,
    held: Vec<Output>,
    /// Of video and audio.
    measured: [Measured; 2],
}

impl Running {
    /// Track and duration of those parts that are held and that others follow in their segment: whole ones, but for some
    /// that a hole in the contribution cut short.
    fn followed_parts(&self) -> impl Iterator<Item = (&Track, Duration)> {
        self.tracks.iter().flat_map(|track| {
            let chunks = || {
                self.held.iter().filter_map(|output| match output {
                    Output::Chunk(name, chunk) if *name == track.name => Some(chunk),
                    _ => None,
                })
            };
            let followed = chunks().zip(chunks().skip(1)).filter(|(this, next)| this.segment == next.segment);
            followed.map(move |(this, _)| (track, Duration::from_secs_f64(track.timescale.seconds(this.duration))))
        })
    }

    /// Whether parts such as those that are held fit this target: none is longer, and the whole ones of each track reach
    /// 85 % of it.
    fn parts_fit(&self, target: Duration) -> bool {
        let reaches = |track: &Track| {
            let longest = self.followed_parts().filter(|(of, _)| of.name == track.name).map(|(_, part)| part).max();
            longest.is_none_or(|part| part.as_nanos() * 100 >= target.as_nanos() * 85)
        };
        self.measured.iter().all(|of| of.longest_part <= target) && self.tracks.iter().all(reaches)
    }
}

/// The packager of a passthrough channel.
pub struct Passthrough {
    config: PassthroughConfig,
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    frame_rate: Option<FrameRate>,
    running: Option<Running>,
    waiting: VecDeque<Contribution>,
    /// A configuration changed on the air; the other track's may follow.
    settling: bool,
    /// Of video and audio: its configuration was told since then.
    announced: [bool; 2],
    /// First media time of what waits.
    waiting_since: Option<UtcTime>,
    audio_next: Option<u64>,
    /// Of video and audio: when the newest unit was decoded.
    newest: [Option<UtcTime>; 2],
    /// Of video and audio: from the unit before the newest to it.
    step: [Duration; 2],
    /// Of video and audio: how long the other one has gone on without it.
    missing: [Duration; 2],
    /// Of video and audio: it is gone.
    gone: [bool; 2],
    session_begun: bool,
    /// What no part is longer than, once that is decided.
    part_target: Option<Duration>,
    steps: VecDeque<Step>,
    video_name: RenditionName,
    audio_name: RenditionName,
}

impl Passthrough {
    /// A packager whose first segment has the number in `config`. The names are those of the two renditions.
    pub fn new(config: PassthroughConfig, video_name: RenditionName, audio_name: RenditionName) -> Self {
        Passthrough {
            config,
            video: None,
            audio: None,
            frame_rate: None,
            running: None,
            waiting: VecDeque::new(),
            settling: false,
            announced: [false; 2],
            waiting_since: None,
            audio_next: None,
            newest: [None; 2],
            step: [Duration::ZERO; 2],
            missing: [Duration::ZERO; 2],
            gone: [false; 2],
            session_begun: false,
            part_target: None,
            steps: VecDeque::new(),
            video_name,
            audio_name,
        }
    }

    /// The frame rate that the contribution declares, for the manifests only.
    pub fn declare_frame_rate(&mut self, rate: Option<FrameRate>) {
        self.frame_rate = rate;
    }

    /// Number that the next segment will have.
    pub fn next_segment(&self) -> u64 {
        self.running.as_ref().map_or(self.config.first_segment, |r| r.segmenter.next_segment())
    }

    /// The contribution was interrupted: what is open ends, and what follows begins a new segment after a discontinuity.
    pub fn interrupted(&mut self) {
        self.audio_next = None;
        (self.newest, self.missing) = ([None; 2], [Duration::ZERO; 2]);
        if let Some(mut running) = self.running.take() {
            // What is open ends here: sound that comes before the next key frame is no part of it.
            let _ = running.segmenter.flush();
            running.segmenter.discontinuity();
            self.drain(&mut running);
            self.running = Some(running);
        }
    }

    /// Takes what the contribution says.
    ///
    /// # Errors
    /// A refusal of the segmenter; the unit is lost, the channel goes on. [`ConfigError`]s come as [`PushError::Config`].
    pub fn push(&mut self, item: Contribution) -> Result<(), PushError> {
        match item {
            Contribution::VideoConfig(config) => {
                if self.video.replace(config.clone()) != Some(config) {
                    self.changed();
                    self.waiting.retain(|unit| !matches!(unit, Contribution::Video(_)));
                }
                self.announced[0] = true;
                Ok(())
            }
            Contribution::AudioConfig(config) => {
                if self.audio.replace(config.clone()) != Some(config) {
                    self.changed();
                    self.waiting.retain(|unit| !matches!(unit, Contribution::Audio(_)));
                    self.audio_next = None;
                }
                self.announced[1] = true;
                Ok(())
            }
            unit @ (Contribution::Video(_) | Contribution::Audio(_)) => {
                if !self.note_presence(&unit) {
                    return Ok(());
                }
                if self.running.is_some() {
                    return self.unit(unit);
                }
                self.wait_with(unit)
            }
        }
    }

    /// Notes that a unit came, and whether the other track has gone; `false` if nothing can be done with the unit.
    fn note_presence(&mut self, unit: &Contribution) -> bool {
        let (this, other, unit) = match unit {
            Contribution::Video(unit) => (0, 1, unit),
            Contribution::Audio(unit) => (1, 0, unit),
            Contribution::VideoConfig(_) | Contribution::AudioConfig(_) => return true,
        };
        if self.gone[this] {
            // A track comes back with a unit that can be decoded.
            if !unit.key {
                return false;
            }
            self.gone[this] = false;
            self.restart();
        }
        self.step[this] = self.newest[this].map_or(Duration::ZERO, |before| unit.dts.since(before));
        self.newest[this] = Some(unit.dts);
        self.missing[this] = Duration::ZERO;
        self.missing[other] += self.step[this].min(MAX_STEP);
        let patience = match self.newest[other] {
            Some(_) => (self.step[other] * 3).clamp(TRACK_GONE, TRACK_GONE_AT_MOST),
            None => TRACK_ABSENT,
        };
        let has_both = self.running.as_ref().is_some_and(|running| running.tracks.len() == 2);
        if has_both && self.missing[other] >= patience {
            self.gone[other] = true;
            self.restart();
        }
        true
    }

    /// What happened since; `None` when there is no more.
    pub fn poll(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// The contribution is over: what is open is closed.
    ///
    /// # Errors
    /// A fault of the segmenter.
    pub fn finish(&mut self) -> Result<(), PushError> {
        self.close_running()
    }

    /// A configuration changed. Encoders that change one track's mostly change the other's, too, a moment later: the
    /// next period waits for that, so that there is one change and not two.
    fn changed(&mut self) {
        if self.running.is_some() {
            self.restart();
            (self.settling, self.announced) = (true, [false; 2]);
        }
    }

    /// The tracks changed: the segmenter ends, another one begins with the next unit.
    fn restart(&mut self) {
        if self.running.is_some() {
            // A write error here would be a fault of ours; the new period begins all the same.
            let _ = self.close_running();
        }
    }

    fn close_running(&mut self) -> Result<(), PushError> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let flushed = running.segmenter.flush();
        self.config.first_segment = running.segmenter.next_segment();
        self.drain(&mut running);
        if !running.shown && !running.held.is_empty() {
            self.show(&mut running, None);
        }
        flushed.map_err(PushError::Segmenter)
    }

    fn wait_with(&mut self, unit: Contribution) -> Result<(), PushError> {
        let (at, needs_key) = match &unit {
            Contribution::Video(unit) => (unit.dts, !unit.key && self.waiting.is_empty()),
            Contribution::Audio(unit) => (unit.dts, false),
            Contribution::VideoConfig(_) | Contribution::AudioConfig(_) => return Ok(()),
        };
        if needs_key || self.waiting.len() >= MAX_WAITING_UNITS {
            return Ok(());
        }
        let since = *self.waiting_since.get_or_insert(at);
        self.waiting.push_back(unit);
        let waited = at.since(since);
        let settled = !self.settling || self.announced == [true; 2] || waited >= SETTLE;
        let both = self.video.is_some() && self.audio.is_some();
        if (both && settled) || waited >= WAIT_FOR_OTHER_TRACK {
            return self.begin();
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), PushError> {
        let mut tracks = Vec::new();
        let video = self.video.clone().filter(|_| !self.gone[0]).map(|config| {
            let (width, height) = config.dimensions();
            let media = TrackMedia::Video { config, width, height, frame_rate: self.frame_rate };
            Track { name: self.video_name.clone(), timescale: Timescale::MPEG, bit_rate: UNKNOWN_BIT_RATE, media }
        });
        let audio = self.audio.clone().filter(|_| !self.gone[1]).map(|config| {
            let timescale = Timescale::new(config.sample_rate()).unwrap_or(Timescale::AUDIO_48K);
            let media = TrackMedia::Audio { config };
            Track { name: self.audio_name.clone(), timescale, bit_rate: UNKNOWN_BIT_RATE, media }
        });
        let segmenter =
            PassthroughSegmenter::new(self.config, video.as_ref(), audio.as_ref()).map_err(PushError::Config)?;
        tracks.extend(video);
        tracks.extend(audio);
        self.running = Some(Running {
            segmenter,
            first_segment: self.config.first_segment,
            tracks,
            discontinuity: self.session_begun,
            shown: false,
            held: Vec::new(),
            measured: [Measured::default(); 2],
        });
        (self.waiting_since, self.settling) = (None, false);
        let mut result = Ok(());
        for unit in std::mem::take(&mut self.waiting) {
            result = result.and(self.unit(unit));
        }
        result
    }

    fn unit(&mut self, unit: Contribution) -> Result<(), PushError> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let pushed = match unit {
            Contribution::Video(unit) if self.video.is_some() => running.segmenter.push_video(video_sample(unit)),
            Contribution::Audio(unit) if self.audio.is_some() => match self.audio_sample(unit) {
                Some(sample) => running.segmenter.push_audio(sample),
                None => Ok(()),
            },
            _ => Ok(()),
        };
        self.drain(&mut running);
        self.running = Some(running);
        pushed.map_err(PushError::Segmenter)
    }

    /// The audio clock counts samples; timestamps of millisecond precision only keep it from drifting.
    fn audio_sample(&mut self, unit: AccessUnit) -> Option<Sample> {
        let config = self.audio.as_ref()?;
        let scale = Timescale::new(config.sample_rate())?;
        let stamped = unit.pts.to_ticks(scale);
        let frame = frame_samples(config);
        let dts = match self.audio_next {
            None => stamped,
            Some(next) => {
                let error = stamped as i64 - next as i64;
                let error_ms = error * 1000 / i64::from(scale.get());
                if error_ms.abs() > AUDIO_MAX_ERROR {
                    if error < 0 {
                        return None;
                    }
                    stamped
                } else if error_ms.abs() > AUDIO_DEAD_BAND {
                    next.saturating_add_signed(error / 64)
                } else {
                    next
                }
            }
        };
        self.audio_next = Some(dts + u64::from(frame));
        Some(Sample { dts, composition_offset: 0, duration: frame, key: true, data: unit.data })
    }

    /// Rounded up to whole frames of the audio, if there is any.
    fn whole_frames(&self, time: Duration) -> Duration {
        let Some(config) = &self.audio else { return time };
        let rate = u128::from(config.sample_rate().max(1));
        let frame = u128::from(frame_samples(config).max(1)) * 1_000_000_000;
        let frames = (time.as_nanos() * rate).div_ceil(frame);
        Duration::from_nanos(u64::try_from((frames * frame).div_ceil(rate)).unwrap_or(u64::MAX))
    }

    fn drain(&mut self, running: &mut Running) {
        let (video, audio) = (self.video_name.clone(), self.audio_name.clone());
        while let Some((kind, output)) = running.segmenter.pull() {
            let name = if kind == TrackKind::Video { video.clone() } else { audio.clone() };
            let leads = kind == TrackKind::Video || !running.tracks.iter().any(Track::is_video);
            let first_end = match &output {
                SegmenterOutput::SegmentEnd(end) if leads && !running.shown => Some(*end),
                _ => None,
            };
            if let (SegmenterOutput::Chunk(chunk), false) = (&output, running.shown) {
                let scale = running.tracks.iter().find(|t| t.name == name).map_or(Timescale::MPEG, |t| t.timescale);
                let part = Duration::from_secs_f64(scale.seconds(chunk.duration));
                let [video, audio] = &mut running.measured;
                let of = if kind == TrackKind::Video { video } else { audio };
                of.bytes += chunk.bytes.len() as u64;
                of.longest_part = of.longest_part.max(part);
            }
            let output = match output {
                SegmenterOutput::Chunk(chunk) => Output::Chunk(name, chunk),
                SegmenterOutput::Discontinuity(segment) => Output::Discontinuity(segment),
                SegmenterOutput::SegmentEnd(end) => Output::End(name, end),
                SegmenterOutput::Warning(warning) => Output::Warning(name, warning),
            };
            if running.shown {
                self.steps.push_back(Step::Output { output, discontinuity: false });
                continue;
            }
            running.held.push(output);
            if let Some(end) = first_end {
                let scale = running.tracks.first().map_or(Timescale::MPEG, |t| t.timescale);
                let length = Duration::from_secs_f64(scale.seconds(end.duration));
                self.show(running, Some(length));
            }
        }
    }

    /// Lets out what waited for the first segment, whose length says how long segments are.
    fn show(&mut self, running: &mut Running, length: Option<Duration>) {
        let wanted = Duration::from_millis(self.config.target_ms.into());
        let length = length.unwrap_or(wanted);
        // Another frame rate may need other parts; the part target stays what it is in a session (STANDARDS 1.37).
        let fits = self.part_target.is_none_or(|target| running.parts_fit(target));
        if !std::mem::replace(&mut self.session_begun, true) || !fits {
            let mut timing = Timing::passthrough(length, wanted);
            if self.config.low_latency {
                // Timestamps are often rounded to milliseconds: the next part may be a little longer than these. With few
                // pictures a second parts are much shorter than is wanted, and the target has to be so, too.
                let known = running.followed_parts().next().is_some();
                let wanted = if known { 0 } else { self.config.part_ms };
                let [video, audio] = running.measured.map(|of| of.longest_part);
                // A part of audio begins with the first frame at or after a part of the video.
                let followed = self.whole_frames(video.max(Duration::from_millis(wanted.into())));
                timing = timing.with_parts(followed.max(audio) + PART_TOLERANCE);
                self.part_target = timing.part_target();
            }
            self.steps.push_back(Step::BeginSession(timing));
        }
        if let Some(target) = self.part_target {
            let mut video = running.followed_parts().filter(|(of, _)| of.is_video()).map(|(_, part)| part);
            let longest_video = video.next().map_or(target, |first| video.fold(first, Duration::max) + PART_TOLERANCE);
            running.segmenter.limit_parts(longest_video.min(target), target);
        }
        let seconds = length.as_secs_f64().max(0.1);
        for track in &mut running.tracks {
            let [video, audio] = running.measured.map(|of| of.bytes);
            let bytes = if track.is_video() { video } else { audio };
            track.bit_rate = ((bytes as f64 * 8.0 / seconds) as u32).max(UNKNOWN_BIT_RATE);
        }
        running.shown = true;
        let begin = Output::BeginPeriod { first_segment: running.first_segment, tracks: running.tracks.clone() };
        self.steps.push_back(Step::Output { output: begin, discontinuity: running.discontinuity });
        for output in std::mem::take(&mut running.held) {
            self.steps.push_back(Step::Output { output, discontinuity: false });
        }
    }
}

/// Samples in one frame.
fn frame_samples(config: &AudioConfig) -> u32 {
    match config {
        AudioConfig::Aac(config) => config.frame_samples(),
        AudioConfig::Opus(_) => OPUS_FRAME_SAMPLES,
    }
}

fn video_sample(unit: AccessUnit) -> Sample {
    let dts = unit.dts.to_ticks(Timescale::MPEG);
    let pts = unit.pts.to_ticks(Timescale::MPEG);
    let composition_offset = i32::try_from(pts as i64 - dts as i64).unwrap_or(0);
    Sample { dts, composition_offset, duration: 3000, key: unit.key, data: unit.data }
}

/// Why a unit was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The segmenter refused it.
    #[error("a unit was refused")]
    Segmenter(#[source] Error),
    /// The tracks cannot be segmented.
    #[error("the contribution cannot be packaged")]
    Config(#[source] ConfigError),
}
