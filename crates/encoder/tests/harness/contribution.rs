//! Contributions: made by the `ffmpeg` command as FLV, as RTMP carries them, and read here.

use bytes::Bytes;
use millstream_encode_wire::message::{AudioCodec, ToWorker, UnitTimes, VideoCodec};
use millstream_media::time::UtcTime;

use super::{T0, ffmpeg_with};

/// What a worker is told, and what it is given with it.
pub type Message = (ToWorker, Bytes);

/// A moving test picture.
pub fn picture(size: &str, rate: &str, seconds: f64) -> String {
    format!("testsrc2=size={size}:rate={rate}:duration={seconds}")
}

/// A tone.
pub fn tone(rate: u32, seconds: f64) -> String {
    format!("sine=frequency=440:sample_rate={rate}:duration={seconds}")
}

/// The usual contribution: picture and sound, a key frame each second.
pub fn usual(seconds: f64) -> Vec<Message> {
    make(&[&picture("320x180", "30", seconds), &tone(48_000, seconds)], "-g 30 -bf 0")
}

/// Encodes lavfi sources with x264 and AAC; `options` are the `ffmpeg` command's, separated by spaces.
pub fn make(sources: &[&str], options: &str) -> Vec<Message> {
    let mut arguments = Vec::new();
    for source in sources {
        arguments.extend(["-f", "lavfi", "-i", source]);
    }
    arguments.extend("-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -b:a 96k".split(' '));
    arguments.extend(options.split(' '));
    arguments.extend(["-f", "flv", "-flvflags", "no_duration_filesize", "-"]);
    read_flv(&ffmpeg_with(&arguments, &[]))
}

/// The units of an FLV file, their time 0 mapped to [`T0`].
pub fn read_flv(file: &[u8]) -> Vec<Message> {
    let at = |ms: i64| UtcTime(T0.0 + ms * 1_000_000);
    let mut messages = Vec::new();
    let mut rest = &file[13..];
    while rest.len() >= 11 {
        let kind = rest[0];
        let size = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        let ms = i64::from(u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]));
        let body = &rest[11..11 + size];
        rest = &rest[11 + size + 4..];
        match (kind, body.get(1)) {
            (9, Some(0)) => messages.push((ToWorker::VideoConfig { codec: VideoCodec::H264 }, copy(&body[5..]))),
            (9, Some(1)) => {
                let offset = i32::from_be_bytes([0, body[2], body[3], body[4]]) << 8 >> 8;
                let key = body[0] >> 4 == 1;
                let times = UnitTimes { pts: at(ms + i64::from(offset)), dts: at(ms), key };
                messages.push((ToWorker::Video(times), copy(&body[5..])));
            }
            (8, Some(0)) => messages.push((ToWorker::AudioConfig { codec: AudioCodec::Aac }, copy(&body[2..]))),
            (8, Some(1)) => {
                let times = UnitTimes { pts: at(ms), dts: at(ms), key: true };
                messages.push((ToWorker::Audio(times), copy(&body[2..])));
            }
            _ => {}
        }
    }
    messages
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Moves all times by `ms`.
pub fn shift(messages: Vec<Message>, ms: i64) -> Vec<Message> {
    let moved = |t: UnitTimes| UnitTimes {
        pts: UtcTime(t.pts.0 + ms * 1_000_000),
        dts: UtcTime(t.dts.0 + ms * 1_000_000),
        ..t
    };
    let shifted = messages.into_iter().map(|(message, payload)| {
        let message = match message {
            ToWorker::Video(times) => ToWorker::Video(moved(times)),
            ToWorker::Audio(times) => ToWorker::Audio(moved(times)),
            other => other,
        };
        (message, payload)
    });
    shifted.collect()
}

/// Only the video.
pub fn silent(messages: Vec<Message>) -> Vec<Message> {
    let video = |m: &Message| matches!(m.0, ToWorker::VideoConfig { .. } | ToWorker::Video(_));
    messages.into_iter().filter(video).collect()
}

/// Only the audio.
pub fn blind(messages: Vec<Message>) -> Vec<Message> {
    let audio = |m: &Message| matches!(m.0, ToWorker::AudioConfig { .. } | ToWorker::Audio(_));
    messages.into_iter().filter(audio).collect()
}
