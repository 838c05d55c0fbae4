//! FLV tags, legacy and enhanced, to configurations and access units (STANDARDS 6.11 to 6.17).
//!
//! - [`video`], [`audio`]: the tag headers.
//! - [`metadata`]: the `onMetaData` message.
//! - [`file`]: tags as a file or a pipe has them.
//! - [`Demuxer`]: tags in, items out.

pub mod audio;
mod enhanced;
pub mod file;
pub mod metadata;
mod problem;
pub mod video;

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};

use bytes::Bytes;
use millstream_media::codec::nal::{self, NalCodec, NalKind, Strip};
use millstream_media::codec::{
    self, AacConfig, AudioConfig, Av1Config, AvcConfig, HevcConfig, OpusConfig, VideoConfig, av1_is_random_access,
};

use crate::source::{MediaKind, RawUnit, SourceTime};
use audio::{AudioCodec, AudioPacket};
pub use metadata::Metadata;
pub use problem::{CodecName, Problem};
use video::{VideoCodec, VideoPacket};

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

/// One FLV tag, or the RTMP message that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Audio or video.
    pub kind: TagKind,
    /// Decode time in milliseconds of the contribution's clock, unrolled.
    pub time_ms: i64,
    /// The tag's body.
    pub body: Bytes,
}

/// What tags say.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The video configuration, first or changed.
    VideoConfig(VideoConfig),
    /// The audio configuration, first or changed.
    AudioConfig(AudioConfig),
    /// An access unit.
    Unit(RawUnit),
    /// A kind of trouble, told once.
    Problem(Problem),
}

/// Tags in, items out. It keeps the current configurations and nothing else; a bad tag is left out and counted.
#[derive(Debug, Default)]
pub struct Demuxer {
    video: Option<VideoConfig>,
    audio: Option<AudioConfig>,
    told: HashSet<Discriminant<Problem>>,
    dropped: u64,
}

impl Demuxer {
    /// A demuxer that knows no configuration yet.
    pub fn new() -> Self {
        Demuxer::default()
    }

    /// Tags left out because something was wrong with them.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Reads one tag. At most two items come of it.
    pub fn push(&mut self, tag: &Tag) -> impl Iterator<Item = Item> + use<> {
        let mut extra_tracks = false;
        let result = match tag.kind {
            TagKind::Video => video::parse(tag.body.clone(), &mut extra_tracks).and_then(|p| self.video(tag, p)),
            TagKind::Audio => audio::parse(tag.body.clone(), &mut extra_tracks).and_then(|p| self.audio(tag, p)),
        };
        let (item, problem) = match result {
            Ok(item) => (item, None),
            Err(problem) => {
                self.dropped += 1;
                (None, Some(problem))
            }
        };
        let problem = problem.or(extra_tracks.then_some(Problem::ExtraTracks));
        let problem = problem.filter(|p| self.told.insert(discriminant(p)));
        item.into_iter().chain(problem.map(Item::Problem))
    }

    fn video(&mut self, tag: &Tag, packet: VideoPacket) -> Result<Option<Item>, Problem> {
        let media = MediaKind::Video;
        match packet {
            VideoPacket::Nothing => Ok(None),
            VideoPacket::Config { codec, record } => {
                let config = match codec {
                    VideoCodec::Avc => AvcConfig::parse(record).map(VideoConfig::Avc),
                    VideoCodec::Hevc => HevcConfig::parse(record).map(VideoConfig::Hevc),
                    VideoCodec::Av1 => Av1Config::parse(record).map(VideoConfig::Av1),
                };
                let config = config.map_err(|reason| Problem::Config { media, reason })?;
                if self.video.as_ref() == Some(&config) {
                    return Ok(None);
                }
                self.video = Some(config.clone());
                Ok(Some(Item::VideoConfig(with_four_byte_lengths(config))))
            }
            VideoPacket::Frame { codec, key, offset, data } => {
                let config = self.video.as_ref().ok_or(Problem::BeforeConfig { media })?;
                let (data, key) = match (config, codec) {
                    (VideoConfig::Avc(c), VideoCodec::Avc) => nal_unit(&data, c.nal_length_size(), NalCodec::Avc, key)?,
                    (VideoConfig::Hevc(c), VideoCodec::Hevc) => {
                        nal_unit(&data, c.nal_length_size(), NalCodec::Hevc, key)?
                    }
                    (VideoConfig::Av1(_), VideoCodec::Av1) => {
                        let key = key && av1_is_random_access(&data);
                        (data, key)
                    }
                    _ => return Err(Problem::BeforeConfig { media }),
                };
                if data.is_empty() {
                    return Ok(None);
                }
                let dts = SourceTime::from_millis(tag.time_ms);
                let pts = SourceTime(dts.0.saturating_add(offset));
                Ok(Some(Item::Unit(RawUnit { media, dts, pts, key, data })))
            }
        }
    }

    fn audio(&mut self, tag: &Tag, packet: AudioPacket) -> Result<Option<Item>, Problem> {
        let media = MediaKind::Audio;
        match packet {
            AudioPacket::Nothing => Ok(None),
            AudioPacket::Config { codec, record } => {
                let config = match codec {
                    AudioCodec::Aac => AacConfig::parse(record).map(AudioConfig::Aac),
                    AudioCodec::Opus => OpusConfig::from_opus_head(&record).map(AudioConfig::Opus),
                };
                let config = config.map_err(|reason| Problem::Config { media, reason })?;
                if self.audio.as_ref() == Some(&config) {
                    return Ok(None);
                }
                self.audio = Some(config.clone());
                Ok(Some(Item::AudioConfig(config)))
            }
            AudioPacket::Frame { codec, offset, data } => {
                match (&self.audio, codec) {
                    (Some(AudioConfig::Aac(_)), AudioCodec::Aac) | (Some(AudioConfig::Opus(_)), AudioCodec::Opus) => {}
                    _ => return Err(Problem::BeforeConfig { media }),
                }
                if data.is_empty() {
                    return Ok(None);
                }
                let dts = SourceTime(SourceTime::from_millis(tag.time_ms).0.saturating_add(offset));
                Ok(Some(Item::Unit(RawUnit { media, dts, pts: dts, key: true, data })))
            }
        }
    }
}

fn with_four_byte_lengths(config: VideoConfig) -> VideoConfig {
    match config {
        VideoConfig::Avc(c) => VideoConfig::Avc(c.with_four_byte_lengths()),
        VideoConfig::Hevc(c) => VideoConfig::Hevc(c.with_four_byte_lengths()),
        VideoConfig::Av1(c) => VideoConfig::Av1(c),
    }
}

/// Checks the lengths of an access unit, makes them 4 bytes long, and finds out whether decoding can start here: the
/// tag's word for it is believed only for pictures with a recovery point, never for plain slices.
fn nal_unit(data: &Bytes, length_size: u8, codec: NalCodec, tag_says_key: bool) -> Result<(Bytes, bool), Problem> {
    let bad = |reason: codec::Error| Problem::Unit { media: MediaKind::Video, reason };
    let unit = nal::to_four_byte_lengths(data, length_size, codec, Strip::Nothing).map_err(bad)?;
    let (mut picture, mut random_access, mut recovery_point) = (false, false, false);
    for nal in nal::units(&unit, 4) {
        let nal = nal.map_err(bad)?;
        match codec.kind(nal) {
            Some(NalKind::RandomAccess) => (picture, random_access) = (true, true),
            Some(NalKind::Slice) => picture = true,
            Some(NalKind::Sei) => recovery_point |= codec == NalCodec::Avc && begins_with_recovery_point(nal),
            _ => {}
        }
    }
    if !picture && !unit.is_empty() {
        return Err(Problem::NoPicture);
    }
    Ok((unit, random_access || (tag_says_key && recovery_point)))
}

/// Whether one of an AVC SEI NAL unit's messages is a recovery point (payload type 6, ISO/IEC 14496-10 D.1.8).
/// Types and sizes of 255 and more are walked; emulation prevention bytes inside payloads can hide a later message,
/// which costs a random access point, no more.
fn begins_with_recovery_point(nal: &[u8]) -> bool {
    const RECOVERY_POINT: usize = 6;
    let mut bytes = nal.get(1..).unwrap_or_default();
    loop {
        let Some((kind, rest)) = sei_number(bytes) else { return false };
        if kind == RECOVERY_POINT {
            return true;
        }
        let Some((size, rest)) = sei_number(rest) else { return false };
        let Some(rest) = rest.get(size..) else { return false };
        // What is left at the end are the trailing bits, one byte.
        if rest.len() < 2 {
            return false;
        }
        bytes = rest;
    }
}

/// A number in the SEI's way: bytes of 255, then one that is less.
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|&&b| b == 255).count();
    let last = *bytes.get(full)?;
    Some((full * 255 + usize::from(last), bytes.get(full + 1..)?))
}
