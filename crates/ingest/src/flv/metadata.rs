//! `onMetaData`: what the encoder says about its stream. For display; nothing depends on it.

use crate::rtmp::amf0::Value;
use crate::text::printable;

/// Longest encoder name kept, in characters.
const MAX_ENCODER_NAME: usize = 128;

/// The fields we show. Impossible numbers are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Video bit rate in bit/s.
    pub video_bit_rate: Option<u64>,
    /// Audio bit rate in bit/s.
    pub audio_bit_rate: Option<u64>,
    /// Audio samples per second.
    pub audio_sample_rate: Option<u32>,
    /// The encoder's name, printable.
    pub encoder: Option<String>,
}

impl Metadata {
    /// Reads the values of a data message: `@setDataFrame`, `onMetaData`, properties; or without the first. `None` for
    /// other data messages.
    pub fn from_data_message(values: &[Value]) -> Option<Metadata> {
        let values = match values.split_first() {
            Some((Value::String(name), rest)) if name == "@setDataFrame" => rest,
            _ => values,
        };
        let [Value::String(name), properties, ..] = values else { return None };
        if name != "onMetaData" {
            return None;
        }
        let number = |name: &str, max: f64| {
            let n = properties.get(name).and_then(Value::as_number)?;
            (n.is_finite() && n > 0.0 && n <= max).then_some(n)
        };
        let kilobits = |name| number(name, 1e9).map(|k| (k * 1000.0) as u64);
        let encoder = properties.get("encoder").and_then(Value::as_str).filter(|s| !s.is_empty());
        Some(Metadata {
            width: number("width", 65_535.0).map(|n| n as u32),
            height: number("height", 65_535.0).map(|n| n as u32),
            frame_rate: number("framerate", 1000.0),
            video_bit_rate: kilobits("videodatarate"),
            audio_bit_rate: kilobits("audiodatarate"),
            audio_sample_rate: number("audiosamplerate", 1e6).map(|n| n as u32),
            encoder: encoder.map(|s| printable(s, MAX_ENCODER_NAME)),
        })
    }
}
