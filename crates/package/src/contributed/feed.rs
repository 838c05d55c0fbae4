//! One track of a contribution: what its header says, and its media until the channel begins.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use millstream_media::cmaf::read::{Init, InitCodec, chunks};
use millstream_media::codec::VideoConfig;
use millstream_media::grid::FrameRate;
use millstream_media::time::{MonoTime, Timescale};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_media::unit::Sample;

use super::Refusal;
use crate::segmenter::DictatedSegmenter;

/// Bit rate of a track that says none and was not measured, in bit/s.
const UNKNOWN_BIT_RATE: u32 = 1000;

/// A fragment that waits.
pub(super) struct Held {
    pub(super) samples: Vec<Sample>,
    pub(super) starts: bool,
    pub(super) came: MonoTime,
}

impl Held {
    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        let of = |sample: &Sample| sample.data.len() + size_of::<Sample>();
        self.samples.iter().map(of).sum::<usize>() + size_of::<Held>()
    }

    /// How long its media lasts.
    pub(super) fn length(&self, scale: Timescale) -> Duration {
        let ticks: u64 = self.samples.iter().map(|sample| u64::from(sample.duration)).sum();
        Duration::from_millis(ticks.saturating_mul(1000) / u64::from(scale.get()))
    }
}

pub(super) struct Feed {
    pub(super) init: Init,
    pub(super) track: Track,
    pub(super) held: VecDeque<Held>,
    /// None while the track is not in the line-up.
    pub(super) segmenter: Option<DictatedSegmenter>,
    /// The newest segment it began.
    pub(super) last: Option<u64>,
    /// Its header is that of a session before.
    pub(super) remembered: bool,
    /// Bytes and ticks of what waited.
    measured: (u64, u64),
}

impl Feed {
    pub(super) fn new(name: &RenditionName, init: Init) -> Result<Self, Refusal> {
        let unsuitable = |cause: String| Refusal::Unsuitable { track: name.clone(), cause };
        let media = match &init.codec {
            InitCodec::Video(config) => {
                let size = match config {
                    VideoConfig::Avc(config) => config.nal_length_size(),
                    VideoConfig::Hevc(config) => config.nal_length_size(),
                    VideoConfig::Av1(_) => 4,
                };
                if size != 4 {
                    return Err(unsuitable(format!("its NAL units have lengths of {size} bytes; send lengths of 4")));
                }
                let (width, height) = config.dimensions();
                TrackMedia::Video { config: config.clone(), width, height, frame_rate: None }
            }
            InitCodec::Audio(config) => TrackMedia::Audio { config: config.clone() },
            InitCodec::Other(kind) => {
                return Err(unsuitable(format!(
                    "a sample entry {kind} is not known here; send H.264, H.265, AV1, AAC or Opus, not encrypted"
                )));
            }
        };
        let bit_rate = init.bit_rate.unwrap_or(0);
        let track = Track { name: name.clone(), timescale: init.timescale, bit_rate, media };
        Ok(Feed {
            init,
            track,
            held: VecDeque::new(),
            segmenter: None,
            last: None,
            remembered: false,
            measured: (0, 0),
        })
    }

    /// The samples of a fragment, at presentation-aligned decode times: an edit list's start is taken off.
    pub(super) fn read(&self, data: &Bytes) -> Result<Vec<Sample>, Refusal> {
        let broken = |cause| Refusal::Broken { what: "a fragment", track: self.track.name.clone(), cause };
        let begins = self.init.edit_list.map_or(0, |edit| edit.media_time.max(0)).cast_unsigned();
        let mut samples = Vec::new();
        for chunk in chunks(data, &self.init) {
            samples.extend(chunk.map_err(broken)?.media_samples(data).map_err(broken)?);
        }
        if samples.iter().any(|sample| sample.data.is_empty()) {
            let cause = "it has samples without bytes; send every sample whole".to_owned();
            return Err(Refusal::Unsuitable { track: self.track.name.clone(), cause });
        }
        for sample in &mut samples {
            // What lies before the start is not presented; it stays in order at 0.
            sample.dts = sample.dts.saturating_sub(begins);
        }
        Ok(samples)
    }

    /// Keeps a fragment until the channel begins; `false` if it is known.
    pub(super) fn hold(&mut self, fragment: Held) -> bool {
        let Some(first) = fragment.samples.first() else { return false };
        if self.newest().is_some_and(|newest| first.dts < newest) {
            return false;
        }
        self.held.push_back(fragment);
        true
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held.iter().map(Held::bytes).sum()
    }

    pub(super) fn has_media(&self) -> bool {
        !self.held.is_empty() || self.segmenter.is_some()
    }

    /// Nothing of it has come in this session.
    pub(super) fn is_unused(&self) -> bool {
        self.remembered && !self.has_media() && self.last.is_none()
    }

    pub(super) fn first_dts(&self) -> Option<u64> {
        self.held.front().and_then(|held| held.samples.first()).map(|sample| sample.dts)
    }

    /// Where the newest sample ends, in ticks.
    pub(super) fn newest(&self) -> Option<u64> {
        let due = self.segmenter.as_ref().and_then(DictatedSegmenter::due);
        due.or_else(|| {
            let last = self.held.back().and_then(|held| held.samples.last())?;
            Some(last.dts.saturating_add(last.duration.into()))
        })
    }

    /// Where the second segment begins among what waits: where the encoder says so, or, if it never does, at a sync
    /// sample `least` ticks or more after the first.
    pub(super) fn second_segment(&self, least: u64) -> Option<u64> {
        let first = self.first_dts()?;
        let said = self.held.iter().skip(1).find(|held| held.starts);
        let begins = |held: &Held| held.samples.first().map(|sample| (sample.dts, sample.key));
        let after = |held: &&Held| begins(held).is_some_and(|(dts, key)| key && dts.saturating_sub(first) >= least);
        said.or_else(|| self.held.iter().skip(1).find(after)).and_then(begins).map(|(dts, _)| dts)
    }

    /// Whether the fragments before `end` came one by one and not all at once.
    pub(super) fn comes_in_chunks(&self, end: u64) -> bool {
        let before = |held: &&Held| held.samples.first().is_some_and(|sample| sample.dts < end);
        let came: Vec<MonoTime> = self.held.iter().filter(before).map(|held| held.came).collect();
        let (Some(from), Some(to), Some(first)) = (came.first(), came.last(), self.first_dts()) else { return false };
        let length = end.saturating_sub(first) as f64 / f64::from(self.track.timescale.get());
        to.since(*from).as_secs_f64() >= length / 2.0
    }

    /// How many ticks most of the samples that wait last.
    fn usual_ticks(&self) -> Option<u32> {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for sample in self.held.iter().flat_map(|held| &held.samples) {
            *counts.entry(sample.duration).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(ticks, _)| ticks)
    }

    /// How long that is.
    pub(super) fn sample_length(&self) -> Option<Duration> {
        let nanos = u64::from(self.usual_ticks()?) * 1_000_000_000 / u64::from(self.track.timescale.get());
        Some(Duration::from_nanos(nanos))
    }

    /// The constant frame rate, if there is one.
    pub(super) fn frame_rate(&self) -> Option<FrameRate> {
        if !self.track.is_video() {
            return None;
        }
        let duration = self.usual_ticks()?;
        let scale = self.track.timescale.get();
        let rate = FrameRate::new(scale, duration).filter(|rate| (1.0..=240.0).contains(&rate.as_f64()))?;
        // A rounded duration, such as 3003 ticks of 90000, or 33 of 1000.
        let usual = [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1)];
        let usual = usual.into_iter().filter_map(|(num, den)| FrameRate::new(num, den));
        usual
            .into_iter()
            .find(|known| (known.as_f64() - rate.as_f64()).abs() < 0.004 * rate.as_f64() / 24.0)
            .or(Some(rate))
    }

    /// Takes bit rate and frame rate from what waits, where the header does not say them.
    pub(super) fn measure(&mut self) {
        for sample in self.held.iter().flat_map(|held| &held.samples) {
            self.measured.0 += sample.data.len() as u64;
            self.measured.1 += u64::from(sample.duration);
        }
        if self.track.bit_rate == 0 && self.measured.1 > 0 {
            let bits = self.measured.0.saturating_mul(8).saturating_mul(self.track.timescale.get().into());
            self.track.bit_rate = u32::try_from(bits / self.measured.1).unwrap_or(u32::MAX);
        }
        self.track.bit_rate = self.track.bit_rate.max(UNKNOWN_BIT_RATE);
        let rate = self.frame_rate();
        if let TrackMedia::Video { frame_rate, .. } = &mut self.track.media {
            *frame_rate = frame_rate.or(rate);
        }
    }
}
