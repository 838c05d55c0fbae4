//! The audio of the channel: decoded, resampled, laid on the 48 kHz grid of the epoch, encoded.
//!
//! The counter is the position on the grid of the next sample to be laid down. A decoded block is laid where the counter
//! is and the drift between the two corrected ([`crate::drift`]); where there is no sound, silence is laid down.
//!
//! The AAC encoder's first packet is priming: a decoder's output for packet n is the input of packet n − 1. Packets are
//! therefore named by the time of the samples they bring out, and the first, which would lie before the start, is left
//! out. Sound and picture are then exactly in step without an edit list.

use std::sync::Arc;

use bytes::Bytes;
use millstream_encode_wire::message::{AudioCodec, AudioRendition, FromWorker, UnitTimes};
use millstream_media::codec::{AacConfig, OpusConfig};
use millstream_media::grid::{AAC_FRAME_SAMPLES, SegmentGrid};
use millstream_media::time::{NANOS_PER_SECOND, Timescale, UtcTime};

use crate::conform::MAX_GAP_SECONDS;
use crate::drift::{Drift, Step};
use crate::libav::{AudioEncoderSetup, Decoder, Encoder, Error, Frame, MediaCodec, Packet, Resampler};
use crate::link::{Outbox, Shared};

/// Samples in a frame, as a length.
const FRAME: usize = AAC_FRAME_SAMPLES as usize;
/// Samples per second.
const RATE: i64 = 48_000;
/// Most silence laid down at once before it is encoded.
const SILENCE_PIECE: u64 = 64 * AAC_FRAME_SAMPLES;

/// The audio stage.
pub struct AudioStage {
    grid: SegmentGrid,
    base: UtcTime,
    outbox: Outbox,
    shared: Arc<Shared>,
    decoder: Option<Decoder>,
    resampler: Option<Resampler>,
    drift: Drift,
    /// Samples not yet encoded, left and right.
    laid: [Vec<f32>; 2],
    /// Position of the first of them, in samples since the epoch.
    start: u64,
    /// Samples still to be cut off what comes.
    cut: u64,
    encoder: Option<AudioEncoder>,
    /// Most samples between the counter and what comes.
    longest_gap: i64,
    /// From this position (a frame's start) on, make this.
    switch: Option<(u64, Option<AudioRendition>)>,
}

struct AudioEncoder {
    rendition: AudioRendition,
    encoder: Encoder,
    /// Position of the first frame to be delivered.
    first: u64,
}

impl AudioStage {
    /// Begins at `first` samples since the epoch (a multiple of 1024). `base` is the zero of decoders' time stamps.
    pub fn new(
        grid: SegmentGrid,
        base: UtcTime,
        rendition: Option<AudioRendition>,
        first: u64,
        outbox: Outbox,
        shared: Arc<Shared>,
    ) -> Self {
        let mut stage = AudioStage {
            grid,
            base,
            outbox,
            shared,
            decoder: None,
            resampler: None,
            drift: Drift::default(),
            laid: [Vec::new(), Vec::new()],
            start: first,
            cut: 0,
            encoder: None,
            longest_gap: MAX_GAP_SECONDS * RATE,
            switch: None,
        };
        stage.open_encoder(rendition);
        stage
    }

    /// The counter as a time.
    pub fn position(&self) -> UtcTime {
        UtcTime::from_ticks(self.counter(), Timescale::AUDIO_48K)
    }

    /// A (new) configuration of the contribution's audio.
    pub fn configure(&mut self, codec: AudioCodec, record: &Bytes) {
        self.drain();
        let (kind, extradata) = match codec {
            AudioCodec::Aac => (MediaCodec::Aac, record.to_vec()),
            AudioCodec::Opus => (MediaCodec::Opus, opus_head(record)),
        };
        // A record that is none would only make the decoder fail on every unit.
        let readable = match codec {
            AudioCodec::Aac => AacConfig::parse(record.clone()).is_ok(),
            AudioCodec::Opus => OpusConfig::parse(record.clone()).is_ok(),
        };
        let opened = if readable { Decoder::open(kind, &extradata, 1).ok() } else { None };
        if opened.is_none() {
            self.outbox
                .warn(format!("the contribution's audio configuration ({codec:?}) cannot be used; sound is off"));
        }
        self.decoder = opened;
        self.resampler = None;
        self.drift.restart();
    }

    /// An access unit.
    pub fn unit(&mut self, times: UnitTimes, data: &[u8]) {
        let Some(decoder) = &mut self.decoder else { return };
        let relative = |t: UtcTime| t.nanos_since(self.base);
        if decoder.send(data, relative(times.pts), relative(times.dts), true).is_err() {
            Shared::count(&self.shared.decode_errors);
            self.drift.decode_error();
        }
        self.take_decoded();
    }

    /// Takes the packets of a file's stream from now on; gaps may be of any length that its times have.
    pub fn open_stream(&mut self, decoder: Decoder, longest_gap_seconds: i64) {
        self.decoder = Some(decoder);
        self.longest_gap = longest_gap_seconds * RATE;
    }

    /// A packet of the file's stream, its times in nanoseconds from the base on.
    pub fn packet(&mut self, packet: &Packet) {
        let Some(decoder) = &mut self.decoder else { return };
        if decoder.send_packet(packet).is_err() {
            Shared::count(&self.shared.decode_errors);
            self.drift.decode_error();
        }
        self.take_decoded();
    }

    /// Gets what the decoder holds back; nothing more comes.
    pub fn end_of_stream(&mut self) {
        self.drain();
    }

    /// Lays silence down up to `until`, if the counter is not there yet.
    pub fn fill_until(&mut self, until: UtcTime) {
        let until = until.to_ticks(Timescale::AUDIO_48K);
        let missing = until.saturating_sub(self.counter());
        if missing > 0 {
            // What comes after a hole is placed by its time stamp.
            self.drift.restart();
            self.silence(missing);
        }
    }

    /// From the first frame of `segment` on make `rendition`; or from the next segment that is not begun.
    pub fn switch(&mut self, rendition: Option<AudioRendition>, segment: u64) {
        let current = self.encoder.as_ref().map(|e| &e.rendition);
        if current == rendition.as_ref() {
            self.switch = None;
            return;
        }
        let here = self.grid.segment_of_audio(self.start, Timescale::AUDIO_48K);
        let mut at = segment.max(here);
        while self.grid.audio_start(at, Timescale::AUDIO_48K) < self.start {
            at += 1;
        }
        self.switch = Some((self.grid.audio_start(at, Timescale::AUDIO_48K), rendition));
        self.encode();
    }

    /// Encodes what is there, the last frame filled with silence.
    pub fn finish(&mut self) {
        self.drain();
        let rest = self.laid[0].len() % FRAME;
        if rest > 0 {
            self.silence((FRAME - rest) as u64);
        }
        self.close_encoder(None);
    }

    fn counter(&self) -> u64 {
        self.start + self.laid[0].len() as u64
    }

    /// Gets what a decoder holds back.
    fn drain(&mut self) {
        if let Some(decoder) = &mut self.decoder {
            decoder.finish();
            self.take_decoded();
        }
        self.decoder = None;
    }

    fn take_decoded(&mut self) {
        while let Some(decoder) = &mut self.decoder {
            match decoder.receive() {
                Ok(Some(block)) => {
                    if self.lay(&block).is_err() {
                        Shared::count(&self.shared.decode_errors);
                        self.resampler = None;
                        self.drift.restart();
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    Shared::count(&self.shared.decode_errors);
                    self.drift.decode_error();
                    return;
                }
            }
        }
    }

    /// Lays a decoded block down.
    fn lay(&mut self, block: &Frame) -> Result<(), Error> {
        let (_, rate, _, inputs) = block.audio_shape();
        if rate <= 0 || inputs <= 0 {
            return Ok(());
        }
        let channels = if inputs == 1 { 1 } else { 2 };
        if !self.resampler.as_ref().is_some_and(|r| r.fits(block, channels)) {
            self.resampler = Some(Resampler::new(block, channels)?);
            self.drift.restart();
        }
        let counter = self.counter();
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        let mut converted = vec![Vec::new(); channels];
        if let Some(pts) = block.pts() {
            let expected = counter as i64 + resampler.delay() - self.cut as i64;
            let ahead = samples_at(UtcTime(self.base.0.saturating_add(pts))).saturating_sub(expected);
            if ahead.abs() > self.longest_gap {
                // Time stamps that jump are no hole to be filled; the server bridges real losses.
                return Ok(());
            }
            match self.drift.step(ahead, AAC_FRAME_SAMPLES) {
                Step::Append => {}
                Step::Stretch(samples) => resampler.compensate(samples),
                Step::Fill(samples) => self.silence(samples),
                Step::Cut(samples) => self.cut += samples,
            }
        }
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        resampler.convert(block, &mut converted)?;
        let made = converted.first().map_or(0, Vec::len);
        let skip = usize::try_from(self.cut).unwrap_or(usize::MAX).min(made);
        self.cut -= skip as u64;
        for (side, out) in self.laid.iter_mut().enumerate() {
            // Mono sounds on both sides.
            let source = converted.get(side).or_else(|| converted.first());
            out.extend_from_slice(source.and_then(|s| s.get(skip..)).unwrap_or_default());
        }
        self.encode();
        Ok(())
    }

    fn silence(&mut self, mut samples: u64) {
        while samples > 0 {
            let piece = samples.min(SILENCE_PIECE);
            for side in &mut self.laid {
                side.resize(side.len() + piece as usize, 0.0);
            }
            samples -= piece;
            self.shared.busy();
            self.encode();
        }
    }

    /// Encodes the whole frames that are laid down.
    fn encode(&mut self) {
        while self.laid[0].len() >= FRAME {
            if let Some((at, rendition)) = self.switch.take_if(|(at, _)| *at <= self.start) {
                let segment = self.grid.segment_of_audio(at, Timescale::AUDIO_48K);
                self.close_encoder(Some(segment));
                self.open_encoder(rendition);
            }
            if let Some(encoder) = &mut self.encoder
                && let Err(error) = encoder.frame(&self.laid, self.start, &self.outbox)
            {
                let (name, reason) = (encoder.rendition.name.clone(), format!("the audio encoder failed ({error})"));
                self.encoder = None;
                self.outbox.send(FromWorker::RenditionFailed { name, reason }, Bytes::new());
            }
            for side in &mut self.laid {
                side.drain(..FRAME);
            }
            self.start += AAC_FRAME_SAMPLES;
        }
    }

    fn open_encoder(&mut self, rendition: Option<AudioRendition>) {
        let Some(rendition) = rendition else { return };
        let channels = usize::from(rendition.channels.clamp(1, 2));
        match Encoder::open_audio(AudioEncoderSetup { bit_rate: rendition.bit_rate, channels }) {
            Ok(encoder) => {
                let message = FromWorker::RenditionStarted {
                    name: rendition.name.clone(),
                    audio: true,
                    from_segment: self.grid.segment_of_audio(self.start, Timescale::AUDIO_48K),
                    width: 0,
                    height: 0,
                };
                self.outbox.send(message, Bytes::from(encoder.extradata()));
                self.encoder = Some(AudioEncoder { rendition, encoder, first: self.start });
            }
            Err(error) => {
                let reason = format!(
                    "rendition {}: the AAC encoder does not open ({error}); check its bit rate of {} bit/s",
                    rendition.name, rendition.bit_rate
                );
                self.outbox.send(FromWorker::RenditionFailed { name: rendition.name, reason }, Bytes::new());
            }
        }
    }

    fn close_encoder(&mut self, ended_at: Option<u64>) {
        let Some(mut encoder) = self.encoder.take() else { return };
        if encoder.encoder.send(None).is_ok() {
            // An error here costs the last frame only.
            let _ = encoder.deliver(&self.outbox);
        }
        if let Some(at_segment) = ended_at {
            self.outbox.send(FromWorker::RenditionEnded { name: encoder.rendition.name, at_segment }, Bytes::new());
        }
    }
}

impl AudioEncoder {
    /// Encodes the first frame of `laid`, which starts at `start`.
    fn frame(&mut self, laid: &[Vec<f32>; 2], start: u64, outbox: &Outbox) -> Result<(), Error> {
        let channels = usize::from(self.rendition.channels.clamp(1, 2));
        let mut block = if channels == 1 {
            let [left, right] = laid;
            let mono = left.iter().zip(right).take(FRAME).map(|(l, r)| (l + r) / 2.0).collect();
            Frame::audio(1, &[mono], 0, FRAME)?
        } else {
            Frame::audio(2, laid, 0, FRAME)?
        };
        block.set_pts(start as i64);
        self.encoder.send(Some(&block))?;
        self.deliver(outbox)
    }

    fn deliver(&mut self, outbox: &Outbox) -> Result<(), Error> {
        while let Some(coded) = self.encoder.receive()? {
            // The time stamp already counts the priming: the first packet lies one frame before the start.
            if let Ok(start) = u64::try_from(coded.pts)
                && start >= self.first
                && start.is_multiple_of(AAC_FRAME_SAMPLES)
            {
                outbox.send(FromWorker::Audio { name: self.rendition.name.clone(), start }, Bytes::from(coded.data));
            }
        }
        Ok(())
    }
}

/// A time in samples at 48 kHz since the epoch; may be negative.
fn samples_at(t: UtcTime) -> i64 {
    (i128::from(t.0) * i128::from(RATE) / i128::from(NANOS_PER_SECOND)) as i64
}

/// What libavcodec wants in place of a `dOps` body: the same fields in little endian behind a signature (RFC 7845 5.1).
fn opus_head(record: &[u8]) -> Vec<u8> {
    let mut out = b"OpusHead\x01".to_vec();
    if let Some((&[_, channels, s0, s1, r0, r1, r2, r3, g0, g1, family], table)) = record.split_first_chunk::<11>() {
        out.extend_from_slice(&[channels, s1, s0, r3, r2, r1, r0, g1, g0, family]);
        out.extend_from_slice(table);
    }
    out
}
