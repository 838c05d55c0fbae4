//! What must be known of a contribution before its session can begin: tracks, picture size, frame rate.
//!
//! Pure: units are held, in bounded number, until the decision can be made.

use std::time::Duration;

use millstream_media::codec::{AudioConfig, VideoConfig};
use millstream_media::time::UtcTime;
use millstream_media::unit::Contribution;

/// Media time after which a contribution that has sent no video so far is taken for one without.
pub const WAIT_FOR_VIDEO: Duration = Duration::from_millis(1500);
/// The same if its video configuration has come: a source that is joined in the middle has its first key frame a group
/// of pictures later.
pub const WAIT_FOR_KEY: Duration = Duration::from_secs(6);
/// Pictures after which the frame rate is measured, if nobody declared it.
const PICTURES_TO_MEASURE: usize = 16;
/// Units held at most; when reached, the decision is made with what is known.
const MAX_HELD: usize = 1024;

/// What a session begins with.
#[derive(Debug, Default)]
pub struct Begin {
    /// The video configuration, if there is video.
    pub video: Option<VideoConfig>,
    /// Frames per second: declared, in the bitstream, or measured.
    pub frame_rate: Option<f64>,
    /// Everything that came so far, in order, configurations first.
    pub held: Vec<Contribution>,
    /// Presentation time of the first unit that is to be shown.
    pub first: UtcTime,
}

/// Collects the beginning of a contribution.
#[derive(Debug, Default)]
pub struct Intake {
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    declared: Option<f64>,
    first: Option<UtcTime>,
    pictures: Vec<UtcTime>,
    held: Vec<Contribution>,
}

impl Intake {
    /// The encoder's metadata name this frame rate.
    pub fn declare_frame_rate(&mut self, rate: Option<f64>) {
        self.declared = rate.or(self.declared);
    }

    /// Takes what the contribution says; the beginning of the session once it is known.
    pub fn push(&mut self, item: Contribution) -> Option<Begin> {
        let at = match &item {
            Contribution::VideoConfig(config) => {
                self.video = Some(config.clone());
                return None;
            }
            Contribution::AudioConfig(config) => {
                self.audio = Some(config.clone());
                return None;
            }
            Contribution::Video(unit) => {
                if self.pictures.is_empty() && !unit.key {
                    return None;
                }
                self.pictures.push(unit.pts);
                unit.pts
            }
            Contribution::Audio(unit) => unit.pts,
        };
        let first = *self.first.get_or_insert(at);
        self.held.push(item);
        let patience = match &self.video {
            Some(_) if self.pictures.is_empty() => WAIT_FOR_KEY,
            _ => WAIT_FOR_VIDEO,
        };
        let waited = at.since(first) >= patience || self.held.len() >= MAX_HELD;
        let rate = self.frame_rate();
        let known = self.video.is_some() && !self.pictures.is_empty() && rate.is_some();
        (known || waited).then(|| self.begin(rate))
    }

    fn frame_rate(&self) -> Option<f64> {
        let sane = |rate: &f64| (1.0..=240.0).contains(rate);
        let in_bitstream = self.video.as_ref().and_then(|v| v.picture_info().frame_rate).map(|r| r.as_f64());
        self.declared.filter(sane).or(in_bitstream.filter(sane)).or_else(|| self.measured())
    }

    /// The median distance of pictures in presentation order.
    fn measured(&self) -> Option<f64> {
        if self.pictures.len() < PICTURES_TO_MEASURE {
            return None;
        }
        let mut times = self.pictures.clone();
        times.sort_unstable();
        let mut steps: Vec<i64> = times.windows(2).filter_map(|w| Some(w.get(1)?.nanos_since(*w.first()?))).collect();
        steps.retain(|step| *step > 0);
        steps.sort_unstable();
        steps.get(steps.len() / 2).map(|step| 1e9 / *step as f64)
    }

    fn begin(&mut self, frame_rate: Option<f64>) -> Begin {
        let video = self.video.clone().filter(|_| !self.pictures.is_empty());
        let configs = video
            .clone()
            .map(Contribution::VideoConfig)
            .into_iter()
            .chain(self.audio.clone().map(Contribution::AudioConfig));
        let held = configs.chain(std::mem::take(&mut self.held)).collect();
        let first = self.pictures.iter().min().copied().or(self.first).unwrap_or_default();
        Begin { video, frame_rate, held, first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use millstream_media::codec::{AacConfig, AvcConfig};
    use millstream_media::unit::AccessUnit;

    const SPS: [u8; 30] = [
        0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x2f, 0xf9, 0x70, 0x16, 0xa0, 0x20, 0x20, 0x28, 0x00, 0x00,
        0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x78, 0xb1, 0x6c, 0xb0,
    ];

    fn unit(ms: i64, key: bool) -> AccessUnit {
        let at = UtcTime::from_millis(ms);
        AccessUnit { pts: at, dts: at, key, data: Bytes::from_static(b"x") }
    }

    fn audio_config() -> Contribution {
        Contribution::AudioConfig(AudioConfig::Aac(AacConfig::lc(48_000, 2).unwrap()))
    }

    #[test]
    fn a_contribution_without_video_begins_after_a_while() {
        let mut intake = Intake::default();
        assert!(intake.push(audio_config()).is_none());
        let begin = (0..100).find_map(|i| intake.push(Contribution::Audio(unit(i * 21, true)))).unwrap();
        assert!(begin.video.is_none());
        assert!(begin.held.len() < 80, "{}", begin.held.len());
        assert_eq!(begin.first, UtcTime::EPOCH);
    }

    #[test]
    fn a_contribution_joined_in_the_middle_of_a_group_waits_for_its_key_frame() {
        let config = AvcConfig::from_parameter_sets(&[SPS], &[[0x68, 0xef, 0x8f, 0xcb]]).unwrap();
        let mut intake = Intake::default();
        assert!(intake.push(Contribution::VideoConfig(VideoConfig::Avc(config))).is_none());
        assert!(intake.push(audio_config()).is_none());
        for ms in (0..4000).step_by(40) {
            assert!(intake.push(Contribution::Video(unit(ms, false))).is_none());
            assert!(intake.push(Contribution::Audio(unit(ms, true))).is_none(), "{ms} ms");
        }
        let begin =
            (4000..8000).step_by(40).find_map(|ms| intake.push(Contribution::Video(unit(ms, ms == 4000)))).unwrap();
        assert!(begin.video.is_some());
        assert_eq!(begin.first, UtcTime::from_millis(4000));
    }

    #[test]
    fn pictures_before_the_first_key_frame_are_left_out() {
        let mut intake = Intake::default();
        assert!(intake.push(Contribution::Video(unit(0, false))).is_none());
        assert!(intake.held.is_empty());
    }

    #[test]
    fn an_undeclared_frame_rate_is_measured() {
        let mut intake = Intake::default();
        let times: Vec<i64> = (0..PICTURES_TO_MEASURE as i64).map(|i| i * 40).collect();
        for (i, ms) in times.iter().enumerate() {
            intake.push(Contribution::Video(unit(*ms, i == 0)));
        }
        assert_eq!(intake.frame_rate().map(|r| r.round()), Some(25.0));
    }
}
