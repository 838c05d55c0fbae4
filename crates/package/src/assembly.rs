//! From an encoder's samples to chunks in the order a window wants them: period by period, each begun when all of its
//! tracks are known.
//!
//! An encoder opens and closes renditions at segment boundaries (a ladder change, shed renditions), each rendition on
//! its own thread. So a sample of a new period can come before every track of that period is known; it waits here.
//! What waits is bounded by [`MAX_WAITING_BYTES`].

use std::collections::{BTreeMap, VecDeque};

use millstream_media::grid::SegmentGrid;
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::track::{RenditionName, Track};
use millstream_media::unit::Sample;

use crate::segmenter::{self, Segmenter, SegmenterOutput};

/// Bytes of samples that may wait for the tracks of their period.
pub const MAX_WAITING_BYTES: usize = 64 << 20;

/// Periods that may be announced and not yet begun.
pub const MAX_WAITING_PERIODS: usize = 8;

/// What a window is to be told, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// From this segment on these are the tracks.
    BeginPeriod {
        /// Number of its first segment.
        first_segment: u64,
        /// Its tracks, in the order of the ladder.
        tracks: Vec<Track>,
    },
    /// A chunk of a rendition.
    Chunk(RenditionName, Chunk),
    /// A segment of a rendition is whole.
    End(RenditionName, SegmentEnd),
    /// The encoder's output was not as it should be; the assembly went on.
    Warning(RenditionName, segmenter::Warning),
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A sample of a rendition that no period has at its time.
    #[error("segment {segment} has no rendition {rendition}")]
    UnknownRendition {
        /// The rendition.
        rendition: RenditionName,
        /// The segment its time lies in.
        segment: u64,
    },
    /// Samples wait for a track that does not come.
    #[error("{0} bytes wait for the tracks of a period that do not come")]
    Waiting(usize),
    /// More periods are announced than may wait.
    #[error("{MAX_WAITING_PERIODS} ladder changes are already waiting")]
    TooManyPeriods,
    /// The encoder changed a rendition's parameters in the middle of a period.
    #[error("rendition {0} changed its parameters within a period")]
    Changed(RenditionName),
    /// The segmenter refused a sample.
    #[error("rendition {rendition}: a sample was refused")]
    Segmenter {
        /// The rendition.
        rendition: RenditionName,
        /// Why.
        source: segmenter::Error,
    },
    /// No segmenter can be made for a track: the configuration is at fault.
    #[error("rendition {rendition} cannot be segmented")]
    Config {
        /// The rendition.
        rendition: RenditionName,
        /// Why.
        source: segmenter::ConfigError,
    },
}

struct Period {
    first_segment: u64,
    expected: Vec<RenditionName>,
    tracks: BTreeMap<RenditionName, Track>,
    begun: bool,
    waiting: VecDeque<(RenditionName, Sample)>,
}

impl Period {
    fn complete(&self) -> bool {
        self.expected.iter().all(|name| self.tracks.contains_key(name))
    }
}

/// The assembly of one epoch-locked session.
pub struct Assembly {
    grid: SegmentGrid,
    part_frames: u32,
    periods: VecDeque<Period>,
    segmenters: BTreeMap<RenditionName, Segmenter>,
    outputs: VecDeque<Output>,
    waiting_bytes: usize,
}

impl Assembly {
    /// An assembly whose first period begins at `first_segment` with these renditions. Parts are `part_frames` video
    /// frames long.
    pub fn new(grid: SegmentGrid, part_frames: u32, first_segment: u64, renditions: Vec<RenditionName>) -> Self {
        let mut assembly = Assembly {
            grid,
            part_frames,
            periods: VecDeque::new(),
            segmenters: BTreeMap::new(),
            outputs: VecDeque::new(),
            waiting_bytes: 0,
        };
        assembly.announce(first_segment, renditions, BTreeMap::new());
        assembly
    }

    fn announce(&mut self, first_segment: u64, expected: Vec<RenditionName>, tracks: BTreeMap<RenditionName, Track>) {
        self.periods.push_back(Period { first_segment, expected, tracks, begun: false, waiting: VecDeque::new() });
    }

    /// From `first_segment` on the encoder makes `renditions`; those in `unchanged` go on with the tracks they have.
    ///
    /// # Errors
    /// [`Error::TooManyPeriods`] if too many changes wait already.
    pub fn change(
        &mut self,
        first_segment: u64,
        renditions: Vec<RenditionName>,
        unchanged: &[RenditionName],
    ) -> Result<(), Error> {
        self.periods.retain(|p| p.begun || p.first_segment < first_segment);
        if self.periods.iter().filter(|p| !p.begun).count() >= MAX_WAITING_PERIODS {
            return Err(Error::TooManyPeriods);
        }
        let carried = self.periods.back().map_or_else(BTreeMap::new, |last| {
            last.tracks.iter().filter(|(n, _)| unchanged.contains(n)).map(|(n, t)| (n.clone(), t.clone())).collect()
        });
        self.announce(first_segment, renditions, carried);
        Ok(())
    }

    /// A rendition's encoder is open: its track, and the first segment made with it.
    ///
    /// # Errors
    /// [`Error::Changed`] if a period that has begun has another track of this name.
    pub fn started(&mut self, track: Track, from_segment: u64) -> Result<(), Error> {
        let Some(at) = self.period_of(from_segment) else { return Ok(()) };
        let name = track.name.clone();
        for period in self.periods.iter_mut().skip(at) {
            if !period.expected.contains(&name) {
                continue;
            }
            match period.tracks.get(&name) {
                Some(known) if *known == track => {}
                Some(_) if period.begun => return Err(Error::Changed(name)),
                _ => {
                    period.tracks.insert(name.clone(), track.clone());
                }
            }
        }
        self.begin_what_is_complete()
    }

    /// A rendition cannot be made: periods that have not begun do without it.
    ///
    /// # Errors
    /// Those of what waited for it.
    pub fn failed(&mut self, rendition: &RenditionName) -> Result<(), Error> {
        for period in self.periods.iter_mut().filter(|p| !p.begun) {
            period.expected.retain(|name| name != rendition);
        }
        self.begin_what_is_complete()
    }

    /// An encoded sample.
    ///
    /// # Errors
    /// [`Error`]; the sample is then lost, the assembly goes on.
    pub fn sample(&mut self, rendition: &RenditionName, sample: Sample) -> Result<(), Error> {
        let audio = self.is_audio(rendition);
        let segment = if audio {
            self.grid.segment_of_audio(sample.dts, millstream_media::time::Timescale::AUDIO_48K)
        } else {
            self.grid.segment_of_frame(sample.dts / u64::from(self.grid.rate().frame_ticks()))
        };
        let unknown = || Error::UnknownRendition { rendition: rendition.clone(), segment };
        let at = self.period_of(segment).ok_or_else(unknown)?;
        let period = self.periods.get_mut(at).ok_or_else(unknown)?;
        if !period.expected.contains(rendition) {
            return Err(unknown());
        }
        if period.begun {
            return self.segment(rendition, sample);
        }
        self.waiting_bytes += sample.data.len();
        if self.waiting_bytes > MAX_WAITING_BYTES {
            self.waiting_bytes -= sample.data.len();
            return Err(Error::Waiting(self.waiting_bytes));
        }
        period.waiting.push_back((rendition.clone(), sample));
        Ok(())
    }

    /// The encoder is done: what is open is closed.
    ///
    /// # Errors
    /// [`Error::Segmenter`], which would be a fault of ours; all renditions are closed all the same.
    pub fn finish(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        let names: Vec<RenditionName> = self.segmenters.keys().cloned().collect();
        for name in names {
            let flushed = self.segmenters.get_mut(&name).map_or(Ok(()), Segmenter::flush);
            self.drain(&name);
            result = result.and(flushed.map_err(|source| Error::Segmenter { rendition: name, source }));
        }
        result
    }

    /// The next thing to tell the window.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn is_audio(&self, rendition: &RenditionName) -> bool {
        self.periods.iter().find_map(|p| p.tracks.get(rendition)).is_some_and(|t| !t.is_video())
    }

    fn period_of(&self, segment: u64) -> Option<usize> {
        self.periods.iter().rposition(|p| p.first_segment <= segment)
    }

    fn begin_what_is_complete(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        for at in 0..self.periods.len() {
            let Some(period) = self.periods.get_mut(at) else { break };
            if period.begun {
                continue;
            }
            if !period.complete() {
                break;
            }
            period.begun = true;
            let tracks: Vec<Track> = period.expected.iter().filter_map(|n| period.tracks.get(n)).cloned().collect();
            let waiting = std::mem::take(&mut period.waiting);
            let first_segment = period.first_segment;
            // A rendition that goes on with the same track keeps its segmenter: its boundaries are the grid's anyway.
            for track in &tracks {
                if !self.segmenters.contains_key(&track.name) {
                    let made = Segmenter::epoch_locked(track, self.grid, self.part_frames);
                    let rendition = track.name.clone();
                    let segmenter = made.map_err(|source| Error::Config { rendition, source })?;
                    self.segmenters.insert(track.name.clone(), segmenter);
                }
            }
            self.outputs.push_back(Output::BeginPeriod { first_segment, tracks });
            for (rendition, sample) in waiting {
                self.waiting_bytes -= sample.data.len();
                result = result.and(self.segment(&rendition, sample));
            }
        }
        // A begun period is needed only while samples of it may come: the newest begun one and its forerunner.
        while self.periods.iter().filter(|p| p.begun).count() > 2 {
            self.periods.pop_front();
        }
        result
    }

    fn segment(&mut self, rendition: &RenditionName, sample: Sample) -> Result<(), Error> {
        let Some(segmenter) = self.segmenters.get_mut(rendition) else { return Ok(()) };
        let pushed = segmenter.push(sample);
        self.drain(rendition);
        pushed.map_err(|source| Error::Segmenter { rendition: rendition.clone(), source })
    }

    fn drain(&mut self, rendition: &RenditionName) {
        let Some(segmenter) = self.segmenters.get_mut(rendition) else { return };
        while let Some(output) = segmenter.pull() {
            self.outputs.push_back(match output {
                SegmenterOutput::Chunk(chunk) => Output::Chunk(rendition.clone(), chunk),
                SegmenterOutput::SegmentEnd(end) => Output::End(rendition.clone(), end),
                SegmenterOutput::Warning(warning) => Output::Warning(rendition.clone(), warning),
            });
        }
    }
}
