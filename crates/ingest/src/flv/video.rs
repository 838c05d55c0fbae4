//! Video tag headers: the legacy one (STANDARDS 6.11) and Enhanced RTMP's (6.13 to 6.17).

use bytes::Bytes;

use super::enhanced::{self, TrackBody};
use super::{CodecName, Problem};
use crate::cursor::Cursor;
use crate::source::MediaKind;

/// Video codecs that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264.
    Avc,
    /// H.265.
    Hevc,
    /// AV1.
    Av1,
}

/// What a video tag says about track 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoPacket {
    /// Nothing that concerns us: a command, metadata, the end of the sequence, another track.
    Nothing,
    /// A sequence header.
    Config {
        /// Codec.
        codec: VideoCodec,
        /// The configuration record.
        record: Bytes,
    },
    /// A coded picture.
    Frame {
        /// Codec.
        codec: VideoCodec,
        /// The tag calls it a key frame.
        key: bool,
        /// Presentation minus decode time in nanoseconds; signed.
        offset: i64,
        /// The picture: length-prefixed NAL units or OBUs.
        data: Bytes,
    },
}

const MEDIA: MediaKind = MediaKind::Video;

/// Frame types (the upper bits of the first byte).
const FRAME_KEY: u8 = 1;
const FRAME_COMMAND: u8 = 5;

/// Enhanced packet types.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MPEG2TS_SEQUENCE_START: u8 = 5;
const MULTITRACK: u8 = 6;
const MOD_EX: u8 = 7;

/// Reads the body of a video tag. `extra` is set if it holds tracks other than track 0.
pub fn parse(body: Bytes, extra: &mut bool) -> Result<VideoPacket, Problem> {
    let mut cursor = Cursor::new(body);
    let Some(first) = cursor.u8() else { return Ok(VideoPacket::Nothing) };
    if first & 0x80 != 0 { enhanced(first, cursor, extra) } else { legacy(first, cursor) }
}

fn legacy(first: u8, mut cursor: Cursor) -> Result<VideoPacket, Problem> {
    const AVC: u8 = 7;
    let (frame_type, codec) = (first >> 4, first & 0x0f);
    if frame_type == FRAME_COMMAND {
        return Ok(VideoPacket::Nothing);
    }
    if codec != AVC {
        return Err(Problem::VideoCodec(CodecName::Legacy(match codec {
            2 => "Sorenson H.263",
            3 => "Screen Video",
            4 => "VP6",
            5 => "VP6 with alpha",
            6 => "Screen Video 2",
            12 => "HEVC without Enhanced RTMP",
            13 => "AV1 without Enhanced RTMP",
            _ => "an unknown FLV codec",
        })));
    }
    let short = || Problem::Truncated(MEDIA);
    let packet_type = cursor.u8().ok_or_else(short)?;
    let offset_ms = cursor.i24().ok_or_else(short)?;
    match packet_type {
        0 => Ok(VideoPacket::Config { codec: VideoCodec::Avc, record: cursor.rest() }),
        1 => Ok(VideoPacket::Frame {
            codec: VideoCodec::Avc,
            key: frame_type == FRAME_KEY,
            offset: i64::from(offset_ms) * 1_000_000,
            data: cursor.rest(),
        }),
        2 => Ok(VideoPacket::Nothing),
        value => Err(Problem::Unknown { media: MEDIA, what: "AVC packet type", value }),
    }
}

fn enhanced(first: u8, mut cursor: Cursor, extra: &mut bool) -> Result<VideoPacket, Problem> {
    let frame_type = first >> 4 & 0x07;
    let (packet_type, nanos) = enhanced::modifiers(&mut cursor, first & 0x0f, MOD_EX, MEDIA)?;
    if frame_type == FRAME_COMMAND && packet_type != METADATA {
        return Ok(VideoPacket::Nothing);
    }
    let track = if packet_type == MULTITRACK {
        match enhanced::multitrack(cursor, MEDIA, extra)? {
            Some(track) => track,
            None => return Ok(VideoPacket::Nothing),
        }
    } else {
        let four_cc = cursor.four_cc().ok_or(Problem::Truncated(MEDIA))?;
        TrackBody { four_cc, packet_type, body: cursor }
    };
    let TrackBody { four_cc, packet_type, mut body } = track;
    if packet_type == METADATA || packet_type == SEQUENCE_END {
        return Ok(VideoPacket::Nothing);
    }
    let codec = match &four_cc {
        b"avc1" => VideoCodec::Avc,
        b"hvc1" => VideoCodec::Hevc,
        b"av01" => VideoCodec::Av1,
        _ => return Err(Problem::VideoCodec(CodecName::FourCc(four_cc))),
    };
    let key = frame_type == FRAME_KEY;
    match packet_type {
        SEQUENCE_START => Ok(VideoPacket::Config { codec, record: body.rest() }),
        CODED_FRAMES => {
            let offset_ms = match codec {
                VideoCodec::Avc | VideoCodec::Hevc => body.i24().ok_or(Problem::Truncated(MEDIA))?,
                VideoCodec::Av1 => 0,
            };
            let offset = i64::from(offset_ms) * 1_000_000 + nanos;
            Ok(VideoPacket::Frame { codec, key, offset, data: body.rest() })
        }
        CODED_FRAMES_X => Ok(VideoPacket::Frame { codec, key, offset: nanos, data: body.rest() }),
        MPEG2TS_SEQUENCE_START | MULTITRACK | MOD_EX => {
            Err(Problem::Unknown { media: MEDIA, what: "inner packet type", value: packet_type })
        }
        value => Err(Problem::Unknown { media: MEDIA, what: "packet type", value }),
    }
}
