//! Audio tag headers: the legacy one (STANDARDS 6.11, 6.12) and Enhanced RTMP's (6.15 to 6.17).

use bytes::Bytes;

use super::enhanced::{self, TrackBody};
use super::{CodecName, Problem};
use crate::cursor::Cursor;
use crate::source::MediaKind;

/// Audio codecs that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC.
    Aac,
    /// Opus.
    Opus,
}

/// What an audio tag says about track 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioPacket {
    /// Nothing that concerns us: silence (6.12), a channel layout, the end of the sequence, another track.
    Nothing,
    /// A sequence header.
    Config {
        /// Codec.
        codec: AudioCodec,
        /// AudioSpecificConfig, or OpusHead.
        record: Bytes,
    },
    /// A coded frame.
    Frame {
        /// Codec.
        codec: AudioCodec,
        /// Nanoseconds to be added to the tag's time.
        offset: i64,
        /// The frame.
        data: Bytes,
    },
}

const MEDIA: MediaKind = MediaKind::Audio;

/// Enhanced packet types.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const MULTICHANNEL_CONFIG: u8 = 4;
const MULTITRACK: u8 = 5;
const MOD_EX: u8 = 7;

/// Reads the body of an audio tag; an empty one means silence. `extra` is set if it holds tracks other than track 0.
pub fn parse(body: Bytes, extra: &mut bool) -> Result<AudioPacket, Problem> {
    const EX_HEADER: u8 = 9;
    const AAC: u8 = 10;
    let mut cursor = Cursor::new(body);
    let Some(first) = cursor.u8() else { return Ok(AudioPacket::Nothing) };
    match first >> 4 {
        EX_HEADER => enhanced(first, cursor, extra),
        AAC => match cursor.u8().ok_or(Problem::Truncated(MEDIA))? {
            0 => Ok(AudioPacket::Config { codec: AudioCodec::Aac, record: cursor.rest() }),
            1 => Ok(AudioPacket::Frame { codec: AudioCodec::Aac, offset: 0, data: cursor.rest() }),
            value => Err(Problem::Unknown { media: MEDIA, what: "AAC packet type", value }),
        },
        format => Err(Problem::AudioCodec(CodecName::Legacy(match format {
            0 | 3 => "PCM",
            1 => "ADPCM",
            2 | 14 => "MP3",
            4..=6 => "Nellymoser",
            7 => "G.711 A-law",
            8 => "G.711 mu-law",
            11 => "Speex",
            _ => "an unknown FLV codec",
        }))),
    }
}

fn enhanced(first: u8, mut cursor: Cursor, extra: &mut bool) -> Result<AudioPacket, Problem> {
    let (packet_type, offset) = enhanced::modifiers(&mut cursor, first & 0x0f, MOD_EX, MEDIA)?;
    let track = if packet_type == MULTITRACK {
        match enhanced::multitrack(cursor, MEDIA, extra)? {
            Some(track) => track,
            None => return Ok(AudioPacket::Nothing),
        }
    } else {
        let four_cc = cursor.four_cc().ok_or(Problem::Truncated(MEDIA))?;
        TrackBody { four_cc, packet_type, body: cursor }
    };
    let TrackBody { four_cc, packet_type, body } = track;
    if packet_type == MULTICHANNEL_CONFIG || packet_type == SEQUENCE_END {
        return Ok(AudioPacket::Nothing);
    }
    let codec = match &four_cc {
        b"mp4a" => AudioCodec::Aac,
        b"Opus" => AudioCodec::Opus,
        _ => return Err(Problem::AudioCodec(CodecName::FourCc(four_cc))),
    };
    match packet_type {
        SEQUENCE_START => Ok(AudioPacket::Config { codec, record: body.rest() }),
        CODED_FRAMES => Ok(AudioPacket::Frame { codec, offset, data: body.rest() }),
        value => Err(Problem::Unknown { media: MEDIA, what: "packet type", value }),
    }
}
