//! From an encoder's samples to chunks in the order a window wants them: period by period, each begun when all of its
//! tracks are known, and before its first chunk.
//!
//! An encoder opens and closes renditions at segment boundaries (a ladder change, shed renditions, failures), each
//! rendition on its own thread, and perhaps a segment later than it was asked to. So where a period begins is decided by
//! what the encoder says and does ([`lineup`]); samples of segments that are not decided wait here. What waits is
//! bounded by [`MAX_WAITING_BYTES`] and by a few segments; at the bound the assembly goes on without the tracks that
//! have not come, and takes them in with a period of their own if they come later.

mod lineup;

use std::collections::{BTreeMap, VecDeque};

use millstream_media::grid::SegmentGrid;
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::Timescale;
use millstream_media::track::{RenditionName, Track};
use millstream_media::unit::Sample;

use crate::segmenter::{self, Segmenter, SegmenterOutput, TrackKind};
use lineup::Lineup;

/// Bytes of samples that may wait for the tracks of their period.
pub const MAX_WAITING_BYTES: usize = 64 << 20;

/// What a window is to be told, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// From this segment on these are the tracks.
    BeginPeriod {
        /// Number of its first segment.
        first_segment: u64,
        /// Its tracks, in the order of the ladder, video first.
        tracks: Vec<Track>,
    },
    /// A chunk of a rendition.
    Chunk(RenditionName, Chunk),
    /// The source's timeline or parameters changed before this segment, which begins next.
    Discontinuity(u64),
    /// A segment of a rendition is whole.
    End(RenditionName, SegmentEnd),
    /// Segments of a rendition up to this one that are not whole will not be: it has failed, or the encoder has ended.
    Lost(RenditionName, u64),
    /// The encoder's output was not as it should be; the assembly went on.
    Warning(RenditionName, segmenter::Warning),
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A sample of a rendition that nobody announced.
    #[error("segment {segment} has no rendition {rendition}")]
    UnknownRendition {
        /// The rendition.
        rendition: RenditionName,
        /// The segment its time lies in.
        segment: u64,
    },
    /// The segmenter refused a sample.
    #[error("rendition {rendition}: a sample was refused")]
    Segmenter {
        /// The rendition.
        rendition: RenditionName,
        /// Why.
        source: segmenter::Error,
    },
    /// No segmenter can be made for a track: the configuration is at fault. The assembly does without it.
    #[error("rendition {rendition} cannot be segmented")]
    Config {
        /// The rendition.
        rendition: RenditionName,
        /// Why.
        source: segmenter::ConfigError,
    },
}

/// A rendition at work.
struct Making {
    track: Track,
    segmenter: Segmenter,
    /// Its encoder ended with the segment before; what comes from there on is another run.
    ended_at: Option<u64>,
}

struct Waiting {
    rendition: RenditionName,
    kind: TrackKind,
    segment: u64,
    sample: Sample,
}

/// The assembly of one epoch-locked session.
pub struct Assembly {
    grid: SegmentGrid,
    part_frames: u32,
    video: Lineup,
    audio: Lineup,
    making: BTreeMap<RenditionName, Making>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// First segment and tracks of the newest period.
    begun: Option<(u64, Vec<Track>)>,
    /// Highest segment that any rendition has begun.
    opened: u64,
    /// Highest segment that is whole in any rendition.
    ended: u64,
    /// Highest segment that is whole, of each rendition of the newest period.
    whole: BTreeMap<RenditionName, u64>,
    outputs: VecDeque<Output>,
}

impl Assembly {
    /// An assembly of a session that is to begin at `first_segment` with these renditions. Parts are `part_frames`
    /// video frames long.
    pub fn new(
        grid: SegmentGrid,
        part_frames: u32,
        first_segment: u64,
        video: Vec<RenditionName>,
        audio: Vec<RenditionName>,
    ) -> Self {
        Assembly {
            grid,
            part_frames,
            video: Lineup::new(first_segment, video),
            audio: Lineup::new(first_segment, audio),
            making: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            begun: None,
            opened: 0,
            ended: 0,
            whole: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// From `first_segment` on, or a little later, the encoder is to make `renditions` of this kind; those in
    /// `restarting` with other parameters than before. A change that was announced before and that the encoder has not
    /// begun to make is replaced.
    ///
    /// # Errors
    /// Those of samples that waited.
    pub fn change(
        &mut self,
        kind: TrackKind,
        first_segment: u64,
        renditions: Vec<RenditionName>,
        restarting: &[RenditionName],
    ) -> Result<(), Error> {
        let start = first_segment.max(self.free());
        self.lineup_mut(kind).change(start, renditions, restarting);
        self.settle()
    }

    /// A rendition's encoder is open: its track, and the first segment made with it.
    ///
    /// # Errors
    /// [`Error::Config`], and those of samples that waited.
    pub fn started(&mut self, track: Track, from_segment: u64) -> Result<(), Error> {
        let kind = if track.is_video() { TrackKind::Video } else { TrackKind::Audio };
        let free = self.free();
        if let Err(source) = Segmenter::epoch_locked(&track, self.grid, self.part_frames) {
            self.lineup_mut(kind).failed(&track.name, free);
            return self.settle().and(Err(Error::Config { rendition: track.name, source }));
        }
        self.lineup_mut(kind).started(track, from_segment, free);
        self.settle()
    }

    /// A rendition has ended; its last sample came before. `at_segment` is the first one without it.
    ///
    /// # Errors
    /// Those of samples that waited.
    pub fn ended(&mut self, rendition: &RenditionName, at_segment: u64) -> Result<(), Error> {
        let free = self.free();
        if let Some(making) = self.making.get_mut(rendition) {
            making.ended_at = Some(at_segment);
        }
        for lineup in [&mut self.video, &mut self.audio] {
            lineup.ended(rendition, at_segment, free);
        }
        self.settle()
    }

    /// A rendition cannot be made any more: the next period does without it.
    ///
    /// # Errors
    /// Those of samples that waited.
    pub fn failed(&mut self, rendition: &RenditionName) -> Result<(), Error> {
        let free = self.free();
        for lineup in [&mut self.video, &mut self.audio] {
            lineup.failed(rendition, free);
        }
        if self.making.remove(rendition).is_some() {
            // Others have begun it, so it is in the period all the same.
            self.outputs.push_back(Output::Lost(rendition.clone(), self.opened));
        }
        self.settle()
    }

    /// An encoded sample.
    ///
    /// # Errors
    /// [`Error`]; the sample is then lost, the assembly goes on.
    pub fn sample(&mut self, rendition: &RenditionName, sample: Sample) -> Result<(), Error> {
        let kind = if self.audio.knows(rendition) { TrackKind::Audio } else { TrackKind::Video };
        let segment = match kind {
            TrackKind::Audio => self.grid.segment_of_audio(sample.dts, Timescale::AUDIO_48K),
            TrackKind::Video => self.grid.segment_of_frame(sample.dts / u64::from(self.grid.rate().frame_ticks())),
        };
        if !self.lineup(kind).knows(rendition) {
            return Err(Error::UnknownRendition { rendition: rendition.clone(), segment });
        }
        self.lineup_mut(kind).sample(rendition, segment);
        self.waiting_bytes += sample.data.len();
        self.waiting.push_back(Waiting { rendition: rendition.clone(), kind, segment, sample });
        for lineup in [&mut self.video, &mut self.audio] {
            lineup.waits(segment);
            if self.waiting_bytes > MAX_WAITING_BYTES {
                lineup.give_up();
            }
        }
        self.settle()
    }

    /// The encoder is done: what is open is closed, and what a rendition lacks of the last segment is lost.
    ///
    /// # Errors
    /// [`Error::Segmenter`], which would be a fault of ours; all renditions are closed all the same.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.video.give_up();
        self.audio.give_up();
        let mut result = self.settle();
        for (name, mut making) in std::mem::take(&mut self.making) {
            let flushed = making.segmenter.flush();
            self.drain(&name, &mut making.segmenter);
            result = result.and(flushed.map_err(|source| Error::Segmenter { rendition: name, source }));
        }
        // The encoder was cut off: what a rendition lacks of the last segment does not come any more.
        let tracks = self.begun.iter().flat_map(|(_, tracks)| tracks);
        let lacking = tracks.filter(|track| self.whole.get(&track.name).is_none_or(|last| *last < self.opened));
        self.outputs.extend(lacking.map(|track| Output::Lost(track.name.clone(), self.opened)));
        result
    }

    /// Whether the encoder is still to make a change that was announced, or to begin. A change announced meanwhile
    /// replaces it; if the encoder has made both, renditions may have gaps, so it is better to wait.
    pub fn is_changing(&self) -> bool {
        self.video.is_changing() || self.audio.is_changing()
    }

    /// The next thing to tell the window.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    const fn lineup(&self, kind: TrackKind) -> &Lineup {
        match kind {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        }
    }

    const fn lineup_mut(&mut self, kind: TrackKind) -> &mut Lineup {
        match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }

    /// The first segment that another period can begin with: one that no rendition has begun, since its parts may be
    /// listed, and a discontinuity comes before a segment's first part (STANDARDS 1.37).
    fn free(&self) -> u64 {
        self.begun.as_ref().map_or(0, |(first, _)| (*first).max(self.opened + 1))
    }

    /// Begins the periods that are decided, and lets the samples of decided segments go.
    fn settle(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        loop {
            let (ended, decided) = (self.ended, self.begin_periods());
            if !self.waiting.iter().any(|w| w.segment < decided) {
                return result;
            }
            let (ready, later): (VecDeque<Waiting>, VecDeque<Waiting>) =
                std::mem::take(&mut self.waiting).into_iter().partition(|w| w.segment < decided);
            self.waiting = later;
            for waiting in ready {
                self.waiting_bytes -= waiting.sample.data.len();
                result = result.and(self.segment(waiting));
            }
            if self.ended == ended {
                return result;
            }
        }
    }

    /// Begins all periods that can begin. Samples of segments below the number returned can go.
    fn begin_periods(&mut self) -> u64 {
        let decided = self.video.decided_before().min(self.audio.decided_before());
        if self.begun.is_none() {
            if !self.video.has_begun() || !self.audio.has_begun() {
                return 0;
            }
            let Some(first) = self.video.first().into_iter().chain(self.audio.first()).min() else { return 0 };
            // Whoever begins later has a gap there; a period of its own would be a discontinuity for all.
            self.video.begin_at(first);
            self.audio.begin_at(first);
            self.begin_period(first);
        }
        let mut changes: Vec<u64> = self.video.changes().chain(self.audio.changes()).collect();
        changes.sort_unstable();
        for first in changes {
            let Some((newest, _)) = self.begun.as_ref().filter(|(newest, _)| *newest <= first && first < decided)
            else {
                continue;
            };
            // The window lets a session begin elsewhere until a segment of it is whole, so that has to come first.
            let patience = first.saturating_add(lineup::MAX_WAITING_SEGMENTS);
            if *newest < first && self.ended < *newest && self.waiting.iter().all(|w| w.segment < patience) {
                return first;
            }
            self.begin_period(first);
        }
        decided
    }

    fn begin_period(&mut self, first_segment: u64) {
        let tracks: Vec<Track> =
            self.video.tracks_at(first_segment).iter().chain(self.audio.tracks_at(first_segment)).cloned().collect();
        if tracks.is_empty() || self.begun.as_ref().is_some_and(|(_, known)| *known == tracks) {
            return;
        }
        self.whole.retain(|name, _| tracks.iter().any(|track| track.name == *name));
        self.begun = Some((first_segment, tracks.clone()));
        self.outputs.push_back(Output::BeginPeriod { first_segment, tracks });
        // What ended some segments ago has no samples left.
        self.making.retain(|_, making| making.ended_at.is_none_or(|at| at + 8 > first_segment));
    }

    /// Gives a sample to its segmenter. One before its rendition's first segment is left out.
    fn segment(&mut self, waiting: Waiting) -> Result<(), Error> {
        let Waiting { rendition, kind, segment, sample } = waiting;
        let Some(track) = self.lineup(kind).tracks_at(segment).iter().find(|t| t.name == rendition) else {
            return Ok(());
        };
        let goes_on = self
            .making
            .get(&rendition)
            .is_some_and(|m| m.track == *track && m.ended_at.is_none_or(|ended| segment < ended));
        if !goes_on {
            let segmenter = Segmenter::epoch_locked(track, self.grid, self.part_frames)
                .map_err(|source| Error::Config { rendition: rendition.clone(), source })?;
            let made = Making { track: track.clone(), segmenter, ended_at: None };
            self.making.insert(rendition.clone(), made);
        }
        let Some(mut making) = self.making.remove(&rendition) else { return Ok(()) };
        let pushed = making.segmenter.push(sample);
        self.drain(&rendition, &mut making.segmenter);
        self.making.insert(rendition.clone(), making);
        pushed.map_err(|source| Error::Segmenter { rendition, source })
    }

    fn drain(&mut self, rendition: &RenditionName, segmenter: &mut Segmenter) {
        while let Some(output) = segmenter.pull() {
            self.outputs.push_back(match output {
                SegmenterOutput::Chunk(chunk) => {
                    self.opened = self.opened.max(chunk.segment);
                    Output::Chunk(rendition.clone(), chunk)
                }
                SegmenterOutput::Discontinuity(segment) => Output::Discontinuity(segment),
                SegmenterOutput::SegmentEnd(end) => {
                    self.ended = self.ended.max(end.segment);
                    self.whole.insert(rendition.clone(), end.segment);
                    Output::End(rendition.clone(), end)
                }
                SegmenterOutput::Warning(warning) => Output::Warning(rendition.clone(), warning),
            });
        }
    }
}
