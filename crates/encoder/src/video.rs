//! The contribution's video: decoded, and deinterlaced where it is flagged interlaced.

use std::sync::Arc;

use bytes::Bytes;
use millstream_encode_wire::message::{FromWorker, UnitTimes, VideoCodec};
use millstream_media::codec::{Av1Config, AvcConfig, HevcConfig};
use millstream_media::time::UtcTime;

use crate::libav::{Decoder, Deinterlacer, Frame, MediaCodec, Packet};
use crate::link::{Outbox, Shared};

/// The deinterlacer is taken away after this many pictures in a row that are not interlaced.
const PROGRESSIVE_RUN: u32 = 250;

/// The video input.
pub struct VideoInput {
    base: UtcTime,
    outbox: Outbox,
    shared: Arc<Shared>,
    decoder: Option<Decoder>,
    deinterlacer: Option<Deinterlacer>,
    progressive: u32,
    /// What was said last: width, height, interlaced.
    said: Option<(u32, u32, bool)>,
    /// For pictures of a file that have no time: when the next one would come, and its length, in nanoseconds.
    untimed: Option<(i64, i64)>,
    turning: Option<Turning>,
}

/// Pictures are turned by so many quarters clockwise.
struct Turning {
    quarter_turns: u8,
    filter: Option<Deinterlacer>,
}

/// A decoded picture and its time.
pub type Decoded = (UtcTime, Frame);

impl VideoInput {
    /// An input whose decoder counts its time from `base`.
    pub fn new(base: UtcTime, outbox: Outbox, shared: Arc<Shared>) -> Self {
        VideoInput {
            base,
            outbox,
            shared,
            decoder: None,
            deinterlacer: None,
            progressive: 0,
            said: None,
            untimed: None,
            turning: None,
        }
    }

    /// Takes the packets of a file's stream from now on. `picture_nanos` is the length of a picture without times of its
    /// own; pictures are turned clockwise by `quarter_turns`.
    pub fn open_stream(&mut self, decoder: Decoder, picture_nanos: i64, quarter_turns: u8) {
        self.decoder = Some(decoder);
        self.untimed = Some((0, picture_nanos));
        self.turning = (quarter_turns > 0).then_some(Turning { quarter_turns, filter: None });
    }

    /// A packet of the file's stream, its times in nanoseconds from the base on.
    pub fn packet(&mut self, packet: &Packet) -> Vec<Decoded> {
        let Some(decoder) = &mut self.decoder else { return Vec::new() };
        if decoder.send_packet(packet).is_err() {
            Shared::count(&self.shared.decode_errors);
        }
        let pictures = self.take_decoded();
        self.turned(pictures)
    }

    /// A (new) configuration. Gives the pictures that the decoder before held back.
    pub fn configure(&mut self, codec: VideoCodec, record: &Bytes) -> Vec<Decoded> {
        let held = self.finish();
        let (kind, size) = match codec {
            VideoCodec::H264 => (
                MediaCodec::H264,
                AvcConfig::parse(record.clone()).map(|c| (c.width, c.height)).map_err(|e| e.to_string()),
            ),
            VideoCodec::Hevc => (
                MediaCodec::Hevc,
                HevcConfig::parse(record.clone()).map(|c| (c.width, c.height)).map_err(|e| e.to_string()),
            ),
            VideoCodec::Av1 => (
                MediaCodec::Av1,
                Av1Config::parse(record.clone()).map(|c| (c.width, c.height)).map_err(|e| e.to_string()),
            ),
        };
        let opened = size.and_then(|(width, height)| {
            // One core decodes 1080p60; beyond that threads are worth the pictures they hold back.
            let threads = if u64::from(width) * u64::from(height) > 1920 * 1088 { 4 } else { 1 };
            Decoder::open(kind, record, threads).map_err(|e| e.to_string())
        });
        self.decoder = match opened {
            Ok(decoder) => Some(decoder),
            Err(error) => {
                self.outbox.warn(format!("the contribution's video ({codec:?}) cannot be decoded: {error}"));
                None
            }
        };
        held
    }

    /// An access unit. Gives the pictures that are ready, in the order in which they are shown.
    pub fn unit(&mut self, times: UnitTimes, data: &[u8]) -> Vec<Decoded> {
        let Some(decoder) = &mut self.decoder else { return Vec::new() };
        let relative = |t: UtcTime| t.nanos_since(self.base);
        if decoder.send(data, relative(times.pts), relative(times.dts), times.key).is_err() {
            Shared::count(&self.shared.decode_errors);
        }
        self.take_decoded()
    }

    /// Gives the pictures that are held back, and closes the decoder.
    pub fn finish(&mut self) -> Vec<Decoded> {
        let Some(decoder) = &mut self.decoder else { return Vec::new() };
        decoder.finish();
        let mut out = self.take_decoded();
        self.decoder = None;
        self.drain_deinterlacer(&mut out);
        self.turned(out)
    }

    fn take_decoded(&mut self) -> Vec<Decoded> {
        let mut out = Vec::new();
        while let Some(decoder) = &mut self.decoder {
            match decoder.receive() {
                Ok(Some(frame)) => {
                    Shared::count(&self.shared.decoded);
                    self.picture(frame, &mut out);
                }
                Ok(None) => break,
                Err(_) => {
                    Shared::count(&self.shared.decode_errors);
                    break;
                }
            }
        }
        out
    }

    /// Turns pictures that are to be turned. One that cannot be is shown as it is.
    fn turned(&mut self, pictures: Vec<Decoded>) -> Vec<Decoded> {
        let Some(turning) = &mut self.turning else { return pictures };
        pictures.into_iter().map(|(time, frame)| (time, turning.turn(&frame).unwrap_or(frame))).collect()
    }

    fn picture(&mut self, mut frame: Frame, out: &mut Vec<Decoded>) {
        let picture = frame.picture();
        let Some(pts) = frame.pts().or(self.untimed.map(|(next, _)| next)) else { return };
        if let Some((next, length)) = &mut self.untimed {
            *next = pts.saturating_add(*length);
        }
        if picture.width == 0 || picture.height == 0 {
            return;
        }
        self.progressive = if picture.interlaced { 0 } else { self.progressive.saturating_add(1) };
        let interlaced = picture.interlaced || (self.deinterlacer.is_some() && self.progressive < PROGRESSIVE_RUN);
        let said = (picture.width, picture.height, interlaced);
        if self.said != Some(said) {
            self.said = Some(said);
            let (width, height) = (picture.width, picture.height);
            self.outbox.send(FromWorker::Input { width, height, interlaced }, Bytes::new());
        }
        if self.deinterlacer.as_ref().is_some_and(|d| !d.fits(&picture)) || !interlaced {
            self.drain_deinterlacer(out);
        }
        if !interlaced {
            out.push((self.time(pts), frame));
            return;
        }
        frame.set_pts(pts);
        if self.deinterlacer.is_none() {
            match Deinterlacer::new(&picture) {
                Ok(made) => self.deinterlacer = Some(made),
                Err(error) => {
                    self.outbox.warn(format!("interlaced pictures are shown as they are: {error}"));
                    out.push((self.time(pts), frame));
                    return;
                }
            }
        }
        if let Some(deinterlacer) = &mut self.deinterlacer
            && deinterlacer.send(Some(frame)).is_err()
        {
            self.deinterlacer = None;
        }
        self.take_deinterlaced(out);
    }

    fn take_deinterlaced(&mut self, out: &mut Vec<Decoded>) {
        while let Some(deinterlacer) = &mut self.deinterlacer {
            match deinterlacer.receive() {
                Ok(Some(frame)) => {
                    if let Some(pts) = frame.pts() {
                        out.push((self.time(pts), frame));
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn drain_deinterlacer(&mut self, out: &mut Vec<Decoded>) {
        if let Some(deinterlacer) = &mut self.deinterlacer
            && deinterlacer.send(None).is_ok()
        {
            self.take_deinterlaced(out);
        }
        self.deinterlacer = None;
    }

    fn time(&self, pts: i64) -> UtcTime {
        UtcTime(self.base.0.saturating_add(pts))
    }
}

impl Turning {
    fn turn(&mut self, frame: &Frame) -> Option<Frame> {
        let picture = frame.picture();
        if !self.filter.as_ref().is_some_and(|f| f.fits(&picture)) {
            self.filter = Deinterlacer::turning(&picture, self.quarter_turns).ok();
        }
        let filter = self.filter.as_mut()?;
        filter.send(Some(frame.share().ok()?)).ok()?;
        filter.receive().ok()?
    }
}
