//! What the worker says: samples passed on in order, renditions that start, end and fail, the ladder in force.

use bytes::Bytes;
use millstream_encode_wire::VERSION;
use millstream_encode_wire::message::{FromWorker, Ladder, VideoCodec, WorkerStats};
use millstream_media::codec::{AacConfig, AudioConfig, Av1Config, AvcConfig, HevcConfig, VideoConfig};
use millstream_media::grid::{AAC_FRAME_SAMPLES, FrameIndex, SegmentGrid};
use millstream_media::time::{MonoTime, Timescale};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_media::unit::Sample;

use super::{Action, State, Supervisor};
use crate::event::{EncoderEvent, EncoderStats};

impl Supervisor {
    /// A message of the worker that runs.
    pub fn message(&mut self, message: FromWorker, payload: Bytes, now: MonoTime) {
        let State::Up { heard, spoke, .. } = &mut self.state else { return };
        (*heard, *spoke) = (now, true);
        match message {
            FromWorker::Hello { version, library } => {
                if version != VERSION {
                    self.events.push_back(EncoderEvent::Warning(format!(
                        "the encode worker speaks version {version} of the protocol, the server {VERSION}; install \
                         millstream and millstream-encoder together"
                    )));
                }
                tracing::debug!(library, "encode worker is up");
            }
            FromWorker::RenditionStarted { name, audio, from_segment, width, height } => {
                self.rendition_started(name, audio, from_segment, (width, height), payload);
            }
            FromWorker::RenditionEnded { name, at_segment } => self.rendition_ended(name, at_segment),
            FromWorker::RenditionFailed { name, reason } => self.rendition_failed(name, reason),
            FromWorker::Video { name, frame, key } => self.video(name, frame, key, payload),
            FromWorker::Audio { name, start } => self.audio(name, start, payload),
            FromWorker::Picture { kind, frame } => {
                let time = self.config.grid.frame_time(frame);
                self.events.push_back(EncoderEvent::Picture { kind, time, data: payload });
            }
            FromWorker::Input { width, height, interlaced } => {
                self.events.push_back(EncoderEvent::Input { width, height, interlaced });
            }
            FromWorker::Stats(stats) => self.stats(stats, now),
            FromWorker::Warning(text) => self.events.push_back(EncoderEvent::Warning(text)),
            // The last three are of files.
            FromWorker::Pong { .. }
            | FromWorker::Probed(_)
            | FromWorker::Unreadable(_)
            | FromWorker::FileRead { .. } => {}
            FromWorker::Finished => {
                if self.finish_sent {
                    self.state = State::Over;
                    self.actions.push_back(Action::Kill);
                    self.events.push_back(EncoderEvent::Finished);
                }
                // A worker that finishes unasked ends, and is replaced.
            }
        }
    }

    fn video(&mut self, name: RenditionName, frame: FrameIndex, key: bool, data: Bytes) {
        let Some(next) = self.next_frame.get_mut(&name) else { return };
        if frame < *next {
            return;
        }
        if frame > *next && !key {
            // Without what lies between it cannot be decoded.
            return;
        }
        *next = frame + 1;
        self.fruitless = 0;
        let grid = self.config.grid;
        let sample = Sample {
            dts: grid.frame_ticks(frame),
            composition_offset: 0,
            duration: grid.rate().frame_ticks(),
            key,
            data,
        };
        self.events.push_back(EncoderEvent::Sample { rendition: name, sample });
        self.forget();
    }

    fn audio(&mut self, name: RenditionName, start: u64, data: Bytes) {
        if start < self.next_audio || !start.is_multiple_of(AAC_FRAME_SAMPLES) {
            return;
        }
        self.next_audio = start + AAC_FRAME_SAMPLES;
        self.fruitless = 0;
        let duration = AAC_FRAME_SAMPLES as u32;
        let sample = Sample { dts: start, composition_offset: 0, duration, key: true, data };
        self.events.push_back(EncoderEvent::Sample { rendition: name, sample });
        if self.ladder.video.is_empty() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let audio = if self.ladder.audio.is_some() { self.audio_done() } else { self.video_done() };
        // One frame before: the picture that is shown in the next slot may lie there.
        let frame = self.resume_frame().saturating_sub(1);
        self.history.forget(self.config.grid.frame_time(frame), audio);
    }

    fn rendition_started(
        &mut self,
        name: RenditionName,
        audio: bool,
        from_segment: u64,
        size: (u32, u32),
        record: Bytes,
    ) {
        // The worker starts new renditions once the old ones have ended: from here on the new ladder is in force.
        let is_new = self.pending.as_ref().is_some_and(|p| {
            from_segment >= p.at_segment
                && p.ladder.video.iter().any(|r| r.name == name && !self.ladder.video.contains(r))
        });
        if is_new && !audio {
            self.promote(from_segment);
        }
        if audio && let Some(pending) = &self.pending {
            self.ladder.audio.clone_from(&pending.ladder.audio);
            self.settle_pending();
        }
        let track = match self.track(&name, audio, size, record) {
            Ok(track) => track,
            Err(reason) => return self.rendition_failed(name, reason),
        };
        if self.announced.get(&name) != Some(&track) {
            self.announced.insert(name, track.clone());
            self.events.push_back(EncoderEvent::RenditionStarted { track, from_segment });
        }
    }

    fn rendition_ended(&mut self, name: RenditionName, at_segment: u64) {
        let Some(pending) = &mut self.pending else { return };
        if self.ladder.audio.as_ref().is_some_and(|a| a.name == name) {
            self.ladder.audio.clone_from(&pending.ladder.audio);
            self.announced.remove(&name);
            self.events.push_back(EncoderEvent::RenditionEnded { name, at_segment });
            self.settle_pending();
            return;
        }
        if pending.ended.contains(&name) {
            return;
        }
        pending.ended.push(name.clone());
        self.announced.remove(&name);
        self.events.push_back(EncoderEvent::RenditionEnded { name, at_segment });
        let mut going = self.ladder.video.iter().filter(|r| !pending.ladder.video.contains(r));
        if going.all(|r| pending.ended.contains(&r.name)) {
            self.promote(at_segment);
        }
    }

    /// It is not tried again before the ladder is set anew.
    fn rendition_failed(&mut self, name: RenditionName, reason: String) {
        self.next_frame.remove(&name);
        for ladder in std::iter::once(&mut self.ladder).chain(self.pending.as_mut().map(|p| &mut p.ladder)) {
            ladder.video.retain(|r| r.name != name);
            ladder.audio.take_if(|r| r.name == name);
        }
        self.announced.remove(&name);
        self.events.push_back(EncoderEvent::RenditionFailed { name, reason });
        self.settle_pending();
    }

    /// The pending ladder's video is in force from `segment` on.
    fn promote(&mut self, segment: u64) {
        let Some(pending) = &mut self.pending else { return };
        let first = self.config.grid.first_frame(segment);
        let kept = &self.ladder.video;
        let frames = pending.ladder.video.iter().map(|r| {
            let next = if kept.contains(r) { self.next_frame.get(&r.name).copied() } else { None };
            (r.name.clone(), next.unwrap_or(first))
        });
        self.next_frame = frames.collect();
        self.ladder.video.clone_from(&pending.ladder.video);
        self.settle_pending();
    }

    /// Forgets the pending ladder once all of it is in force, and turns to the next.
    fn settle_pending(&mut self) {
        self.pending.take_if(|p| p.ladder == self.ladder);
        self.plan_deferred();
    }

    fn track(&self, name: &RenditionName, audio: bool, size: (u32, u32), record: Bytes) -> Result<Track, String> {
        let mut ladder = self.ladder.clone();
        if let Some(newest) = self.pending.as_ref().and_then(|p| p.ladder.audio.clone()) {
            ladder.audio = Some(newest);
        }
        track_of(&ladder, self.config.grid, name, audio, size, record)
    }

    fn stats(&mut self, worker: WorkerStats, now: MonoTime) {
        let done = self.video_done();
        let speed = match self.last_stats {
            Some((then, before)) if now > then => done.since(before).as_secs_f64() / now.since(then).as_secs_f64(),
            _ => 1.0,
        };
        self.last_stats = Some((now, done));
        self.events.push_back(EncoderEvent::Stats(EncoderStats {
            worker,
            backlog: self.backlog(),
            speed,
            dropped_units: self.history.dropped(),
            restarts: self.restarts,
        }));
    }
}

/// The track that a worker announced, by its rendition in the ladder and the encoder's configuration.
pub(crate) fn track_of(
    ladder: &Ladder,
    grid: SegmentGrid,
    name: &RenditionName,
    audio: bool,
    size: (u32, u32),
    record: Bytes,
) -> Result<Track, String> {
    let unusable = |e: millstream_media::codec::Error| {
        format!("rendition {name}: the encoder's configuration cannot be used: {e}")
    };
    if audio {
        return Ok(Track {
            name: name.clone(),
            timescale: Timescale::AUDIO_48K,
            bit_rate: ladder.audio.as_ref().map_or(0, |s| s.bit_rate),
            media: TrackMedia::Audio { config: AudioConfig::Aac(AacConfig::parse(record).map_err(unusable)?) },
        });
    }
    let Some(spec) = ladder.video.iter().find(|r| r.name == *name) else {
        return Err(format!("rendition {name} was started unasked"));
    };
    let config = match spec.codec {
        VideoCodec::H264 => VideoConfig::Avc(AvcConfig::parse(record).map_err(unusable)?),
        VideoCodec::Hevc => VideoConfig::Hevc(HevcConfig::parse(record).map_err(unusable)?),
        VideoCodec::Av1 => VideoConfig::Av1(Av1Config::parse(record).map_err(unusable)?),
    };
    let rate = grid.rate();
    Ok(Track {
        name: name.clone(),
        timescale: rate.timescale(),
        bit_rate: spec.bit_rate,
        media: TrackMedia::Video { config, width: size.0, height: size.1, frame_rate: Some(rate) },
    })
}
