//! The ladder of renditions: presets by the input's size, the user's settings, and what they become. Pure.
//!
//! The ladder follows the input: nothing is scaled up, pixels are square, sizes are even. A preset's width comes from
//! the input's shape, so a portrait input gives portrait renditions.

use millstream_encode_wire::message::{AudioRendition, Ladder, VideoCodec, VideoRendition};
use millstream_media::track::RenditionName;
use serde::{Deserialize, Serialize};

/// Most video renditions of a channel.
pub const MAX_RENDITIONS: usize = 12;
/// Smallest and largest side of a rendition in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 16..=8192;
/// Smallest and largest video bit rate in bit/s.
const VIDEO_BIT_RATES: std::ops::RangeInclusive<u32> = 10_000..=200_000_000;
/// Smallest and largest audio bit rate in bit/s that AAC-LC at 48 kHz can have.
const AUDIO_BIT_RATES: std::ops::RangeInclusive<u32> = 16_000..=512_000;
/// Audio bit rate if nothing is said, in bit/s.
const AUDIO_BIT_RATE: u32 = 128_000;

/// Lines and bit rate in bit/s of the presets, highest first.
const PRESETS: [(u32, u32); 7] = [
    (2160, 12_000_000),
    (1440, 8_000_000),
    (1080, 5_000_000),
    (720, 3_000_000),
    (480, 1_400_000),
    (360, 800_000),
    (240, 400_000),
];
/// The lowest preset that is made of larger inputs; smaller inputs have one rendition at their own size.
const LOWEST: u32 = 360;

/// A channel's ladder as the user sets it. Everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LadderConfig {
    /// The video renditions; empty for the presets that fit the input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub video: Vec<RenditionConfig>,
    /// The audio rendition.
    pub audio: AudioSettings,
}

/// One video rendition as the user sets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenditionConfig {
    /// Name in URLs; `720p` for 720 lines if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<RenditionName>,
    /// Height in pixels, even.
    pub height: u32,
    /// Width in pixels, even; from the input's shape if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Codec.
    #[serde(default = "h264")]
    pub codec: VideoCodec,
    /// FFmpeg encoder, such as `libx264` or `h264_nvenc`; the codec's software encoder if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// Target bit rate in bit/s; the nearest preset's, scaled to the height, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_rate: Option<u32>,
    /// The encoder's preset; one that is made for live if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
}

/// The audio rendition as the user sets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudioSettings {
    /// Target bit rate in bit/s.
    pub bit_rate: u32,
    /// Channels, 1 or 2.
    pub channels: u8,
}

impl Default for AudioSettings {
    fn default() -> Self {
        AudioSettings { bit_rate: AUDIO_BIT_RATE, channels: 2 }
    }
}

/// The shape of the contribution's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Shape of a pixel, width over height; (1, 1) where it is not known.
    pub pixel_aspect: (u32, u32),
}

/// Why a ladder cannot be made. Each says the cause and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many.
    #[error("{0} video renditions are too many; have at most {MAX_RENDITIONS}")]
    TooMany(usize),
    /// A name that two renditions have.
    #[error("rendition name {0:?} is there twice; name each rendition differently (\"audio\" is the sound's)")]
    Duplicate(String),
    /// A side out of bounds or odd.
    #[error("rendition {name}: a {side} of {value} is not possible; use an even number from 16 to 8192")]
    Side {
        /// Which rendition.
        name: String,
        /// `width` or `height`.
        side: &'static str,
        /// As given.
        value: u32,
    },
    /// A bit rate out of bounds.
    #[error("rendition {name}: a bit rate of {value} bit/s is not possible; use {low} to {high}")]
    BitRate {
        /// Which rendition.
        name: String,
        /// As given.
        value: u32,
        /// Least.
        low: u32,
        /// Most.
        high: u32,
    },
    /// An encoder that does not make the codec.
    #[error("rendition {name}: encoder {encoder:?} does not make {codec}; use one of {known}")]
    Encoder {
        /// Which rendition.
        name: String,
        /// As given.
        encoder: String,
        /// The codec.
        codec: &'static str,
        /// What there is.
        known: &'static str,
    },
    /// A preset that is no word.
    #[error("rendition {name}: preset {preset:?} is not possible; use a word such as veryfast")]
    Preset {
        /// Which rendition.
        name: String,
        /// As given.
        preset: String,
    },
    /// Not one or two channels.
    #[error("{0} audio channels are not possible; use 1 or 2")]
    Channels(u8),
    /// Every rendition is larger than the input.
    #[error(
        "all renditions have more lines than the input's {0}; add one of at most {0} lines, or leave the ladder out"
    )]
    AllLarger(u32),
}

impl LadderConfig {
    /// Checks everything that can be checked without an input.
    ///
    /// # Errors
    /// [`Error`], with the cause and the mend.
    pub fn check(&self) -> Result<(), Error> {
        if self.video.len() > MAX_RENDITIONS {
            return Err(Error::TooMany(self.video.len()));
        }
        let mut names = vec!["audio".to_owned()];
        for rendition in &self.video {
            rendition.check()?;
            let name = rendition.name();
            if names.contains(&name) {
                return Err(Error::Duplicate(name));
            }
            names.push(name);
        }
        if !AUDIO_BIT_RATES.contains(&self.audio.bit_rate) {
            let (low, high) = (*AUDIO_BIT_RATES.start(), *AUDIO_BIT_RATES.end());
            return Err(Error::BitRate { name: "audio".into(), value: self.audio.bit_rate, low, high });
        }
        if !(1..=2).contains(&self.audio.channels) {
            return Err(Error::Channels(self.audio.channels));
        }
        Ok(())
    }

    /// The ladder for an input; without pictures (`None`) only the sound. Renditions that would be scaled up are left
    /// out.
    ///
    /// # Errors
    /// As [`LadderConfig::check`], and [`Error::AllLarger`].
    pub fn resolve(&self, input: Option<InputShape>) -> Result<Ladder, Error> {
        self.check()?;
        let audio = name("audio").map(|name| AudioRendition {
            name,
            bit_rate: self.audio.bit_rate,
            channels: self.audio.channels,
        });
        let Some(shape) = input.map(InputShape::square) else { return Ok(Ladder { video: Vec::new(), audio }) };
        let mut video: Vec<VideoRendition> = if self.video.is_empty() {
            presets(shape)
        } else {
            let fitting = self.video.iter().filter(|r| r.height <= shape.1 & !1);
            fitting.filter_map(|r| r.resolve(shape)).collect()
        };
        if video.is_empty() {
            return Err(Error::AllLarger(shape.1));
        }
        video.sort_by_key(|r| std::cmp::Reverse((r.height, r.bit_rate)));
        Ok(Ladder { video, audio })
    }
}

impl RenditionConfig {
    fn name(&self) -> String {
        self.name.as_ref().map_or_else(|| format!("{}p", self.height), ToString::to_string)
    }

    fn check(&self) -> Result<(), Error> {
        let name = self.name();
        for (side, value) in [("height", Some(self.height)), ("width", self.width)] {
            if let Some(value) = value
                && (!SIDES.contains(&value) || value % 2 != 0)
            {
                return Err(Error::Side { name, side, value });
            }
        }
        if let Some(value) = self.bit_rate
            && !VIDEO_BIT_RATES.contains(&value)
        {
            let (low, high) = (*VIDEO_BIT_RATES.start(), *VIDEO_BIT_RATES.end());
            return Err(Error::BitRate { name, value, low, high });
        }
        let (codec, known) = encoders(self.codec);
        if let Some(encoder) = &self.encoder
            && !known.split(", ").any(|k| k == encoder)
        {
            return Err(Error::Encoder { name, encoder: encoder.clone(), codec, known });
        }
        if let Some(preset) = &self.preset
            && !((1..=32).contains(&preset.len()) && preset.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            return Err(Error::Preset { name, preset: preset.clone() });
        }
        Ok(())
    }

    fn resolve(&self, (width, height): (u32, u32)) -> Option<VideoRendition> {
        let (_, known) = encoders(self.codec);
        let encoder = self.encoder.clone().unwrap_or_else(|| known.split(", ").next().unwrap_or_default().to_owned());
        let preset = self.preset.clone().unwrap_or_else(|| live_preset(&encoder).to_owned());
        Some(VideoRendition {
            name: name(&self.name())?,
            codec: self.codec,
            encoder,
            width: self.width.unwrap_or_else(|| width_for(self.height, width, height)),
            height: self.height,
            bit_rate: self.bit_rate.unwrap_or_else(|| bit_rate_for(self.height)),
            preset,
        })
    }
}

impl InputShape {
    /// Width and height with square pixels: the height stays, at least 2 each.
    fn square(self) -> (u32, u32) {
        let (num, den) = self.pixel_aspect;
        let height = self.height.max(2);
        let width = if num == 0 || den == 0 {
            u64::from(self.width)
        } else {
            (u64::from(self.width) * u64::from(num) + u64::from(den) / 2) / u64::from(den)
        };
        (u32::try_from(width).unwrap_or(*SIDES.end()).clamp(2, *SIDES.end()), height)
    }
}

/// The presets of at most the input's lines; an input of fewer than [`LOWEST`] lines has one rendition of its own size.
fn presets((width, height): (u32, u32)) -> Vec<VideoRendition> {
    let mut lines: Vec<u32> = PRESETS.iter().map(|p| p.0).filter(|l| (LOWEST..=height).contains(l)).collect();
    if lines.is_empty() {
        lines.push((height & !1).max(*SIDES.start()));
    }
    let make = |lines: u32| RenditionConfig {
        name: None,
        height: lines,
        width: None,
        codec: VideoCodec::H264,
        encoder: None,
        bit_rate: None,
        preset: None,
    };
    lines.into_iter().filter_map(|l| make(l).resolve((width, height))).collect()
}

/// The even width that keeps the input's shape at `lines` lines.
fn width_for(lines: u32, width: u32, height: u32) -> u32 {
    let (lines, width, height) = (u64::from(lines), u64::from(width), u64::from(height.max(1)));
    // To the nearest even number.
    let even = (lines * width + height) / (2 * height) * 2;
    u32::try_from(even).unwrap_or(*SIDES.end()).clamp(*SIDES.start(), *SIDES.end())
}

/// The nearest preset's bit rate, in proportion to the pixels.
fn bit_rate_for(lines: u32) -> u32 {
    let nearest = PRESETS.iter().min_by_key(|p| p.0.abs_diff(lines)).copied().unwrap_or((720, 3_000_000));
    let scaled = u64::from(nearest.1) * u64::from(lines).pow(2) / u64::from(nearest.0).pow(2);
    u32::try_from(scaled).unwrap_or(u32::MAX).clamp(100_000, *VIDEO_BIT_RATES.end())
}

/// A codec's name and its encoders, the software one first.
fn encoders(codec: VideoCodec) -> (&'static str, &'static str) {
    match codec {
        VideoCodec::H264 => ("H.264", "libx264, h264_nvenc, h264_qsv"),
        VideoCodec::Hevc => ("HEVC", "libx265, hevc_nvenc, hevc_qsv"),
        VideoCodec::Av1 => ("AV1", "libsvtav1, av1_nvenc, av1_qsv"),
    }
}

/// A preset that keeps up on ordinary machines.
fn live_preset(encoder: &str) -> &'static str {
    match encoder {
        "libsvtav1" => "10",
        e if e.ends_with("_nvenc") => "p4",
        _ => "veryfast",
    }
}

fn h264() -> VideoCodec {
    VideoCodec::H264
}

fn name(text: &str) -> Option<RenditionName> {
    RenditionName::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(width: u32, height: u32) -> InputShape {
        InputShape { width, height, pixel_aspect: (1, 1) }
    }

    /// Name, width, height, kbit/s.
    type Row<'a> = (&'a str, u32, u32, u32);

    fn sizes(config: &LadderConfig, input: InputShape) -> Vec<(String, u32, u32, u32)> {
        let ladder = config.resolve(Some(input)).unwrap();
        ladder.video.iter().map(|r| (r.name.to_string(), r.width, r.height, r.bit_rate / 1000)).collect()
    }

    #[test]
    fn the_default_ladder_follows_the_input() {
        let cases: [(InputShape, &[Row]); 7] = [
            (input(1280, 720), &[("720p", 1280, 720, 3000), ("480p", 854, 480, 1400), ("360p", 640, 360, 800)]),
            (input(854, 480), &[("480p", 854, 480, 1400), ("360p", 640, 360, 800)]),
            (input(640, 360), &[("360p", 640, 360, 800)]),
            (input(320, 241), &[("240p", 318, 240, 400)]),
            (
                input(1080, 1920),
                &[
                    ("1440p", 810, 1440, 8000),
                    ("1080p", 608, 1080, 5000),
                    ("720p", 406, 720, 3000),
                    ("480p", 270, 480, 1400),
                    ("360p", 202, 360, 800),
                ],
            ),
            (
                InputShape { width: 720, height: 576, pixel_aspect: (64, 45) },
                &[("480p", 854, 480, 1400), ("360p", 640, 360, 800)],
            ),
            (input(2, 2), &[("16p", 16, 16, 100)]),
        ];
        for (shape, expected) in cases {
            let got = sizes(&LadderConfig::default(), shape);
            let expected: Vec<_> = expected.iter().map(|(n, w, h, b)| ((*n).to_owned(), *w, *h, *b)).collect();
            assert_eq!(got, expected, "{shape:?}");
        }
    }

    #[test]
    fn nothing_is_scaled_up() {
        for height in (16..2300).step_by(7) {
            let ladder = LadderConfig::default().resolve(Some(input(height * 16 / 9, height))).unwrap();
            assert!(ladder.video.iter().all(|r| r.height <= height && r.width % 2 == 0 && r.height % 2 == 0));
        }
    }

    #[test]
    fn the_users_ladder_is_kept_to_the_letter() {
        let config: LadderConfig = toml::from_str(
            r#"
            video = [
                { height = 360, bit_rate = 500000 },
                { name = "hd", height = 720, width = 1280, codec = "h264", encoder = "h264_nvenc", preset = "p5" },
                { height = 1080 },
            ]
            audio = { bit_rate = 96000, channels = 1 }
            "#,
        )
        .unwrap();
        let ladder = config.resolve(Some(input(1280, 720))).unwrap();
        let video: Vec<_> =
            ladder.video.iter().map(|r| (r.name.as_str(), r.encoder.as_str(), r.preset.as_str())).collect();
        assert_eq!(video, [("hd", "h264_nvenc", "p5"), ("360p", "libx264", "veryfast")]);
        assert_eq!(ladder.video[1].bit_rate, 500_000);
        let audio = ladder.audio.unwrap();
        assert_eq!((audio.bit_rate, audio.channels), (96_000, 1));
        let round: LadderConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(round, config);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_mend() {
        for (text, cause, mend) in [
            ("video = [{ height = 361 }]", "height of 361", "even"),
            ("video = [{ height = 360, width = 0 }]", "width of 0", "16 to 8192"),
            ("video = [{ height = 360 }, { height = 360 }]", "\"360p\" is there twice", "differently"),
            ("video = [{ name = \"audio\", height = 360 }]", "\"audio\"", "differently"),
            ("video = [{ height = 360, bit_rate = 1 }]", "bit rate of 1", "10000"),
            ("video = [{ height = 360, encoder = \"libx265\" }]", "does not make H.264", "libx264"),
            ("video = [{ height = 360, preset = \"a b\" }]", "preset", "veryfast"),
            ("audio = { bit_rate = 9 }", "audio", "16000"),
            ("audio = { channels = 6 }", "6 audio channels", "1 or 2"),
        ] {
            let config: LadderConfig = toml::from_str(text).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(cause) && error.contains(mend), "{text}: {error}");
        }
        let tall: LadderConfig = toml::from_str("video = [{ height = 1080 }]").unwrap();
        assert_eq!(tall.resolve(Some(input(640, 360))), Err(Error::AllLarger(360)));
    }

    #[test]
    fn without_pictures_there_is_sound() {
        let ladder = LadderConfig::default().resolve(None).unwrap();
        assert!(ladder.video.is_empty() && ladder.audio.is_some());
    }
}
