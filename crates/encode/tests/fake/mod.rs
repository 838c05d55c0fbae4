//! A worker on a simulated clock: it decodes nothing, but keeps the conversation's promises.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use millstream_encode::EncoderEvent;
use millstream_encode::supervisor::{Action, Config, Supervisor};
use millstream_encode_wire::message::{AudioRendition, FromWorker, Ladder, ToWorker, VideoCodec, VideoRendition};
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::time::{MonoTime, Timescale, UtcTime};
use millstream_media::track::RenditionName;
use millstream_media::unit::{AccessUnit, Contribution, Sample};

/// When the contribution begins, in milliseconds; a segment boundary.
pub const T: i64 = 1_795_365_014_000;

/// A record of a real libx264: 320 × 180, baseline.
const AVCC: &[u8] = &[
    0x01, 0x42, 0xc0, 0x0d, 0xff, 0xe1, 0x00, 0x17, 0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x06, 0x7e, 0x7c, 0x04, 0x40,
    0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0f, 0x03, 0xc5, 0x0a, 0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x0f, 0xc8,
];

pub fn grid() -> SegmentGrid {
    SegmentGrid::with_segment_millis(FrameRate::new(30, 1).unwrap(), 2000)
}

pub fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

pub fn rendition(text: &str, height: u32) -> VideoRendition {
    VideoRendition {
        name: name(text),
        codec: VideoCodec::H264,
        encoder: "libx264".into(),
        width: height * 8 / 9 * 2,
        height,
        bit_rate: height * 4000,
        preset: "veryfast".into(),
    }
}

pub fn ladder(names: &[&str]) -> Ladder {
    Ladder {
        video: names.iter().map(|n| rendition(n, n.trim_end_matches('p').parse().unwrap())).collect(),
        audio: Some(AudioRendition { name: name("audio"), bit_rate: 128_000, channels: 2 }),
    }
}

/// What a worker does besides its duty.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// Dies when it is given the picture with this time (milliseconds after the start).
    pub poison: Option<i64>,
    /// The same for a unit of sound.
    pub sound_poison: Option<i64>,
    /// Pictures per second that it can encode, all renditions together; 0 for no limit.
    pub pictures_per_second: u32,
    /// Renditions that lag so many frames behind the first.
    pub lag: u64,
}

/// The simulation: one supervisor and at most one worker.
pub struct Simulation {
    pub supervisor: Supervisor,
    pub now: Duration,
    worker: Option<Worker>,
    /// Pictures the worker has time for, in thousandths.
    credit: i64,
    pub behaviour: Behaviour,
    /// The worker takes messages and makes frames.
    pub works: bool,
    pub starts: Vec<(Duration, ToWorker)>,
    pub kills: usize,
    pub samples: BTreeMap<String, Vec<Sample>>,
    pub events: Vec<EncoderEvent>,
}

struct Worker {
    grid: SegmentGrid,
    ladder: Ladder,
    next: u64,
    out: BTreeMap<RenditionName, u64>,
    audio: u64,
    pending: Option<(Ladder, u64)>,
    lag: u64,
    first: bool,
}

impl Simulation {
    pub fn new(ladder: Ladder) -> Self {
        let first = grid().nearest_frame(UtcTime::from_millis(T));
        let config = Config::new(grid(), ladder, first, "slate".into());
        Simulation {
            supervisor: Supervisor::new(config, MonoTime::default()),
            now: Duration::ZERO,
            worker: None,
            credit: 0,
            behaviour: Behaviour::default(),
            works: true,
            starts: Vec::new(),
            kills: 0,
            samples: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    pub fn mono(&self) -> MonoTime {
        MonoTime(self.now)
    }

    /// Lets the contribution run from `from` to `to` milliseconds in real time: 30 fps, a key frame each second, sound.
    pub fn contribute(&mut self, from: i64, to: i64) {
        for frame in (from * 30 + 999) / 1000..(to * 30 + 999) / 1000 {
            let at = frame * 1000 / 30;
            let pts = UtcTime::from_millis(T + at);
            let unit = |key| AccessUnit { pts, dts: pts, key, data: Bytes::from_static(&[0; 64]) };
            self.supervisor.contribution(Contribution::Video(unit(frame % 30 == 0)), self.mono());
            self.supervisor.contribution(Contribution::Audio(unit(true)), self.mono());
            let due = Duration::from_millis(at as u64);
            self.run(due.saturating_sub(self.now).max(Duration::from_millis(1)));
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.turn();
            if self.now >= end {
                return;
            }
            let step = (end - self.now).min(Duration::from_millis(10));
            self.now += step;
            self.credit =
                (self.credit + step.as_millis() as i64 * i64::from(self.behaviour.pictures_per_second)).min(1000);
            self.supervisor.tick(self.mono());
        }
    }

    /// The worker dies.
    pub fn die(&mut self, reason: &str) {
        self.worker = None;
        self.supervisor.died(reason.into(), self.mono());
    }

    fn turn(&mut self) {
        for _ in 0..10_000 {
            match self.supervisor.poll_action() {
                Some(Action::Start) => {
                    self.worker = Some(Worker::new(self.behaviour.lag));
                    self.supervisor.started(self.mono());
                }
                Some(Action::Kill) => {
                    self.kills += 1;
                    self.worker = None;
                }
                None => {}
            }
            while let Some(event) = self.supervisor.poll_event() {
                match event {
                    EncoderEvent::Sample { rendition, sample } => {
                        self.samples.entry(rendition.to_string()).or_default().push(sample);
                    }
                    event => self.events.push(event),
                }
            }
            let Some(worker) = self.worker.as_mut().filter(|_| self.works) else { return };
            if self.credit < 0 {
                return;
            }
            let Some((message, _)) = self.supervisor.poll_message() else { return };
            if matches!(message, ToWorker::Video(_)) && self.behaviour.pictures_per_second > 0 {
                self.credit -= 1000 * worker.ladder.video.len() as i64;
            }
            if let ToWorker::Start { .. } = message {
                self.starts.push((self.now, message.clone()));
            }
            let (poison, time) = match message {
                ToWorker::Video(times) => (self.behaviour.poison, times.pts),
                ToWorker::Audio(times) => (self.behaviour.sound_poison, times.pts),
                _ => (None, UtcTime::EPOCH),
            };
            if poison.is_some_and(|ms| UtcTime::from_millis(T + ms) == time) {
                self.die("signal: 11");
                continue;
            }
            for (message, payload) in worker.take(message) {
                self.supervisor.message(message, payload, MonoTime(self.now));
            }
        }
    }

    /// Every rendition: no gap, no repetition, an IDR on each boundary.
    pub fn check(&self) {
        for (name, samples) in &self.samples {
            for pair in samples.windows(2) {
                assert_eq!(pair[1].dts, pair[0].dts + u64::from(pair[0].duration), "{name}");
            }
            if name != "audio" {
                assert!(samples.iter().all(|s| s.key || !grid().is_boundary(s.dts / 1000)), "{name}");
            }
        }
    }

    pub fn count(&self, name: &str) -> usize {
        self.samples.get(name).map_or(0, Vec::len)
    }

    pub fn warnings(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|e| if let EncoderEvent::Warning(t) = e { Some(t.as_str()) } else { None })
            .collect()
    }
}

impl Worker {
    fn new(lag: u64) -> Self {
        let ladder = Ladder { video: Vec::new(), audio: None };
        Worker { grid: grid(), ladder, next: 0, out: BTreeMap::new(), audio: 0, pending: None, lag, first: false }
    }

    fn take(&mut self, message: ToWorker) -> Vec<(FromWorker, Bytes)> {
        let mut said = Vec::new();
        match message {
            ToWorker::Start { ladder, first_frame, first_audio, resume, .. } => {
                self.next = first_frame;
                self.audio = first_audio;
                self.out = ladder.video.iter().map(|r| (r.name.clone(), first_frame)).collect();
                self.out.extend(resume);
                self.first = true;
                for rendition in &ladder.video {
                    said.push(started(rendition, self.grid.segment_of_frame(first_frame)));
                }
                if let Some(audio) = &ladder.audio {
                    said.push(audio_started(audio, self.grid.segment_of_frame(first_frame)));
                }
                self.ladder = ladder;
            }
            ToWorker::Video(times) => self.until(times.pts, false, &mut said),
            ToWorker::Advance { until, .. } => {
                self.until(until, true, &mut said);
                self.sound(until, &mut said);
            }
            ToWorker::Audio(times) => self.sound(times.pts, &mut said),
            ToWorker::Reconfigure { ladder, at_segment } => self.pending = Some((ladder, at_segment)),
            ToWorker::Ping { token } => said.push((FromWorker::Pong { token }, Bytes::new())),
            ToWorker::Finish => {
                self.lag = 0;
                self.flush(&mut said);
                said.push((FromWorker::Finished, Bytes::new()));
            }
            _ => {}
        }
        said
    }

    fn sound(&mut self, until: UtcTime, said: &mut Vec<(FromWorker, Bytes)>) {
        let Some(audio) = &self.ladder.audio else { return };
        while self.audio + 1024 <= until.to_ticks(Timescale::AUDIO_48K) {
            said.push((FromWorker::Audio { name: audio.name.clone(), start: self.audio }, Bytes::from_static(b"a")));
            self.audio += 1024;
        }
    }

    fn until(&mut self, until: UtcTime, exclusive: bool, said: &mut Vec<(FromWorker, Bytes)>) {
        while self.grid.frame_time(self.next) < until || (!exclusive && self.grid.nearest_frame(until) == self.next) {
            let segment = self.grid.segment_of_frame(self.next);
            let due = self.pending.as_ref().is_some_and(|(_, at)| *at <= segment) && self.grid.is_boundary(self.next);
            if due && let Some((ladder, _)) = self.pending.take() {
                let lag = std::mem::take(&mut self.lag);
                self.flush(said);
                self.lag = lag;
                for old in self.ladder.video.iter().filter(|r| !ladder.video.contains(r)) {
                    self.out.remove(&old.name);
                    said.push((
                        FromWorker::RenditionEnded { name: old.name.clone(), at_segment: segment },
                        Bytes::new(),
                    ));
                }
                for new in ladder.video.iter().filter(|r| !self.ladder.video.contains(r)) {
                    self.out.insert(new.name.clone(), self.next);
                    said.push(started(new, segment));
                }
                self.ladder.video = ladder.video;
            }
            self.next += 1;
            self.flush(said);
        }
    }

    /// Says the frames that are due: all renditions but the first lag.
    fn flush(&mut self, said: &mut Vec<(FromWorker, Bytes)>) {
        for (index, rendition) in self.ladder.video.iter().enumerate() {
            let lag = if index == 0 { 0 } else { self.lag };
            let Some(out) = self.out.get_mut(&rendition.name) else { continue };
            while *out + lag < self.next {
                let key = self.first || self.grid.is_boundary(*out) || said.is_empty();
                let message = FromWorker::Video { name: rendition.name.clone(), frame: *out, key };
                said.push((message, Bytes::from_static(b"v")));
                *out += 1;
            }
        }
        self.first = false;
    }
}

fn started(rendition: &VideoRendition, from_segment: u64) -> (FromWorker, Bytes) {
    let VideoRendition { name, width, height, .. } = rendition.clone();
    (FromWorker::RenditionStarted { name, audio: false, from_segment, width, height }, Bytes::from_static(AVCC))
}

fn audio_started(audio: &AudioRendition, from_segment: u64) -> (FromWorker, Bytes) {
    let name = audio.name.clone();
    (
        FromWorker::RenditionStarted { name, audio: true, from_segment, width: 0, height: 0 },
        Bytes::from_static(&[0x11, 0x90]),
    )
}
