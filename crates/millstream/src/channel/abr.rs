//! A session that encodes: the worker's output is assembled into periods and published.
//!
//! - [`plan`]: what it begins with (pure).

mod plan;

use std::time::Duration;

use millstream_control::channel::ChannelConfig;
use millstream_encode::ladder::{InputShape, LadderConfig};
use millstream_encode::loss::{self, Action, InputLoss};
use millstream_encode::{Encoder, EncoderConfig, EncoderEvent, EncoderHandle};
use millstream_encode_wire::message::Ladder;
use millstream_media::grid::SegmentGrid;
use millstream_media::time::{MonoTime, Timescale, UtcTime};
use millstream_media::track::RenditionName;
use millstream_media::unit::Contribution;
use millstream_package::assembly::Assembly;
use millstream_package::segmenter::TrackKind;
use millstream_telemetry::ChannelMetrics;
use millstream_telemetry::log::chain;
use millstream_window::Timing;
use tokio::sync::mpsc;

use self::plan::{
    audio_names, family_of, first_frame, numbered, output_rate, part_frames, shape_of, timing, video_names,
};
use super::intake::Begin;
use super::publish::Publisher;
use super::runtime::Surroundings;

/// What viewers read while the broadcaster is away.
const SLATE_TEXT: &str = "WE WILL BE RIGHT BACK";
/// Time the worker has to put out what it has when the session ends.
const FINISH_PATIENCE: Duration = Duration::from_secs(6);
/// Segments ahead of the newest encoded frame at which a new ladder takes effect: time for the encoders to open.
const CHANGE_AHEAD: u64 = 2;
/// Address space of the worker in MiB; a 2160p ladder needs about half.
const WORKER_MEMORY_MIB: u64 = 4096;

/// What the encoder says; `None` once it has ended.
pub type Event = Option<EncoderEvent>;

/// A session that encodes.
pub struct Abr {
    grid: SegmentGrid,
    shape: Option<InputShape>,
    /// The ladder that is asked for, and what it is for the present input.
    wanted: LadderConfig,
    ladder: Ladder,
    /// Another ladder is to be made as soon as the change before it is.
    is_outdated: bool,
    /// The encoder was asked for a ladder and has not said when it makes it.
    is_asked: bool,
    timing: Timing,
    /// The list has begun: something was made.
    has_begun: bool,
    /// Why the worker cannot work.
    unable: Option<String>,
    assembly: Assembly,
    handle: EncoderHandle,
    events: mpsc::Receiver<EncoderEvent>,
    loss: InputLoss,
    newest_segment: u64,
    encode_ms: Option<i64>,
    clock: std::sync::Arc<dyn millstream_media::time::Clock>,
    counted: millstream_encode_wire::message::WorkerStats,
    counted_units: u64,
    shed: u32,
}

impl Abr {
    /// Begins a session: frame rate, ladder and first frame from the beginning of the contribution.
    ///
    /// # Errors
    /// The cause and the mend, for the operator.
    pub async fn begin(
        config: &ChannelConfig,
        begin: Begin,
        publisher: &mut Publisher,
        surroundings: &Surroundings,
    ) -> Result<Self, String> {
        let rate = output_rate(config, begin.frame_rate, publisher.continuity().frame_family);
        publisher.remember_family(family_of(rate));
        let kept = publisher.continuity().number_offset;
        let grid = numbered(config.grid(rate), begin.first, publisher.first_free(), kept);
        let shape = begin.video.as_ref().map(shape_of);
        let wanted = config.ladder.clone().unwrap_or_default();
        let ladder = wanted.resolve(shape).map_err(|error| error.to_string())?;
        let first_frame = first_frame(grid, begin.first, publisher.first_free());
        let first_segment = grid.segment_of_frame(first_frame);
        let offset = grid.offset();
        if publisher.remember_offset(offset) {
            tracing::warn!(channel = %config.name, offset, first_segment, "segment numbers leave the clock's");
        }
        let part_frames = part_frames(config, grid);
        let settings = EncoderConfig {
            worker: surroundings.worker.clone(),
            memory_mib: WORKER_MEMORY_MIB,
            grid,
            ladder: ladder.clone(),
            first_frame,
            slate_text: SLATE_TEXT.to_owned(),
        };
        let (handle, events) = Encoder::spawn(settings, surroundings.clock.clone());
        let loss_config = loss::Config {
            slate_after: Duration::from_millis(config.slate_after_seconds.millis().into()),
            // The channel's task ends the session.
            lost_after: Duration::MAX,
            ..loss::Config::default()
        };
        let (video, audio) = (video_names(&ladder), audio_names(&ladder));
        tracing::debug!(channel = %config.name, frame_rate = rate.as_f64(), first_segment, "encoding begins");
        let mut abr = Abr {
            grid,
            shape,
            wanted,
            is_outdated: false,
            is_asked: false,
            timing: timing(config, grid),
            has_begun: false,
            unable: None,
            assembly: Assembly::new(grid, part_frames, first_segment, video, audio),
            ladder,
            handle,
            events,
            loss: InputLoss::new(loss_config, grid.frame_time(first_frame), surroundings.clock.mono()),
            newest_segment: first_segment,
            encode_ms: None,
            clock: surroundings.clock.clone(),
            counted: millstream_encode_wire::message::WorkerStats::default(),
            counted_units: 0,
            shed: 0,
        };
        for item in begin.held {
            abr.send(item).await;
        }
        Ok(abr)
    }

    /// Gives a part of the contribution to the encoder.
    pub async fn send(&mut self, item: Contribution) {
        let now = self.clock.mono();
        match &item {
            Contribution::Video(unit) => self.loss.unit(loss::Kind::Video, unit.pts, now),
            Contribution::Audio(unit) => self.loss.unit(loss::Kind::Audio, unit.pts, now),
            Contribution::VideoConfig(config) => {
                let shape = shape_of(config);
                // The ladder follows the input: never upscaled, and never left small when the input has grown.
                if self.shape.is_some_and(|before| before != shape) {
                    self.shape = Some(shape);
                    self.is_outdated = true;
                }
            }
            Contribution::AudioConfig(_) => {}
        }
        // An encoder that has ended says so in its events.
        let _ = self.handle.send(item).await;
    }

    /// Whether the session began without pictures, so that it can show none.
    pub const fn is_sound_only(&self) -> bool {
        self.shape.is_none()
    }

    /// What an operator should know of the session's numbers.
    pub fn note_on_numbers(&self) -> Option<String> {
        let offset = self.grid.offset();
        (offset > 0).then(|| {
            format!(
                "segment numbers are {offset} above those of the clock, so that none falls after the segment length, the \
                 frame rate or the mode was changed (or the clock was set back); a second server of this channel has other \
                 numbers, and a new channel has the clock's"
            )
        })
    }

    /// Whether anything was made.
    pub const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Why no worker can work, if none can: cause and mend.
    pub fn unable(&self) -> Option<&str> {
        self.unable.as_deref()
    }

    /// Whether no rendition of the picture can be made.
    pub fn has_lost_picture(&self) -> bool {
        self.shape.is_some() && self.ladder.video.is_empty()
    }

    /// The contributor's connection has ended.
    pub fn disconnected(&mut self) {
        self.loss.disconnected();
    }

    /// What the encoder says next.
    pub async fn next(&mut self) -> Event {
        self.events.recv().await
    }

    /// Publishes what the encoder made; returns a warning for the operator.
    pub async fn on_event(
        &mut self,
        event: EncoderEvent,
        publisher: &mut Publisher,
        metrics: &ChannelMetrics,
    ) -> Option<String> {
        let mut warning = None;
        let assembled = match event {
            EncoderEvent::Sample { rendition, sample } => {
                self.note_progress(&rendition, sample.dts);
                self.assembly.sample(&rendition, sample)
            }
            EncoderEvent::RenditionStarted { track, from_segment } => self.assembly.started(track, from_segment),
            EncoderEvent::RenditionEnded { name, at_segment } => {
                tracing::info!(rendition = %name, at_segment, "rendition ended");
                self.assembly.ended(&name, at_segment)
            }
            EncoderEvent::RenditionFailed { name, reason } => {
                self.ladder.video.retain(|rendition| rendition.name != name);
                self.ladder.audio.take_if(|rendition| rendition.name == name);
                warning = Some(format!("rendition {name} cannot be made: {reason}"));
                self.assembly.failed(&name)
            }
            EncoderEvent::Picture { kind, time, data } => {
                publisher.picture(kind, time, data);
                return None;
            }
            EncoderEvent::Input { width, height, interlaced } => {
                tracing::info!(width, height, interlaced, "contribution's pictures");
                Ok(())
            }
            EncoderEvent::Stats(stats) => {
                self.count(&stats, metrics);
                Ok(())
            }
            EncoderEvent::Warning(text) => {
                warning = Some(text);
                Ok(())
            }
            EncoderEvent::Restarted { reason } => {
                metrics.worker_restarts.increment();
                self.counted = millstream_encode_wire::message::WorkerStats::default();
                // That it ended was said.
                tracing::debug!(reason, "the encode worker was restarted");
                Ok(())
            }
            EncoderEvent::Unable { reason, starts } => {
                self.unable = Some(format!(
                    "the encode worker cannot work ({starts} starts in a row made nothing): {reason}; install \
                     millstream-encoder beside millstream, or set encode.worker; the channel goes on air by itself once \
                     it works"
                ));
                Ok(())
            }
            EncoderEvent::LadderPlanned { ladder, at_segment } => {
                (self.is_asked, self.shed) = (false, 0);
                metrics.shed_renditions.set(0.0);
                self.expect(ladder, at_segment)
            }
            EncoderEvent::Overloaded { shed, backlog, at_segment } => {
                self.shed += 1;
                metrics.shed_renditions.set(self.shed.into());
                let mut ladder = self.ladder.clone();
                ladder.video.retain(|rendition| rendition.name != shed);
                warning = Some(format!(
                    "this machine cannot keep up ({:.1} s are waiting): rendition {shed} is given up; use a smaller ladder or a larger machine",
                    backlog.as_secs_f64()
                ));
                self.expect(ladder, at_segment)
            }
            EncoderEvent::Finished => Ok(()),
        };
        if let Err(error) = assembled {
            tracing::warn!(error = %chain(&error), "the encoder's output could not be packaged");
        }
        self.publish(publisher).await;
        warning
    }

    async fn publish(&mut self, publisher: &mut Publisher) {
        while let Some(output) = self.assembly.poll() {
            // Not before: a list that is still shown is not taken away by a worker that makes nothing.
            if !std::mem::replace(&mut self.has_begun, true) {
                publisher.begin_session(self.timing, false);
            }
            publisher.apply(output, false).await;
        }
        publisher.flush();
    }

    fn note_progress(&mut self, rendition: &RenditionName, dts: u64) {
        let at = match (self.ladder.video.first(), &self.ladder.audio) {
            (Some(highest), _) if highest.name == *rendition => {
                self.grid.frame_time(dts / u64::from(self.grid.rate().frame_ticks()))
            }
            (None, Some(audio)) if audio.name == *rendition => UtcTime::from_ticks(dts, Timescale::AUDIO_48K),
            _ => return,
        };
        self.newest_segment = self.grid.segment_of_frame(self.grid.frame_at_or_before(at));
        self.encode_ms = Some(self.clock.utc().nanos_since(at) / 1_000_000);
    }

    /// Bridges a contribution that is late or lost. Returns the media time up to which output has been asked for, before
    /// which units come too late.
    pub async fn on_tick(&mut self, mono: MonoTime) -> Option<UtcTime> {
        match self.loss.action_at(mono) {
            Action::Wait | Action::Lost => None,
            Action::Advance { until, slate } => {
                let _ = self.handle.advance(until, slate).await;
                Some(until)
            }
        }
    }

    /// The channel's ladder is another one; see [`Abr::follow_ladder`].
    pub fn set_ladder(&mut self, wanted: LadderConfig) {
        self.wanted = wanted;
        self.is_outdated = true;
    }

    /// If another ladder is wanted, or the input has another shape, makes the ladder from a coming segment boundary on;
    /// returns that segment. One change is made after the other.
    ///
    /// # Errors
    /// Why the ladder cannot be made; the present one goes on.
    pub async fn follow_ladder(&mut self) -> Result<Option<u64>, String> {
        if !self.is_outdated || self.is_asked || self.assembly.is_changing() {
            return Ok(None);
        }
        self.is_outdated = false;
        let ladder = self.wanted.resolve(self.shape).map_err(|error| error.to_string())?;
        if ladder == self.ladder {
            return Ok(None);
        }
        let at_segment = self.newest_segment + CHANGE_AHEAD;
        // The encoder says in its events from when on, after whatever it changes by itself.
        self.handle.reconfigure(ladder, at_segment).await.map_err(|error| error.to_string())?;
        self.is_asked = true;
        Ok(Some(at_segment))
    }

    /// Tells the assembly what the encoder was asked for.
    fn expect(&mut self, ladder: Ladder, at_segment: u64) -> Result<(), millstream_package::assembly::Error> {
        let before = std::mem::replace(&mut self.ladder, ladder);
        let mut result = Ok(());
        if self.ladder.video != before.video {
            let changed = self.ladder.video.iter().filter(|r| !before.video.contains(r));
            let changed: Vec<RenditionName> = changed.map(|r| r.name.clone()).collect();
            result = self.assembly.change(TrackKind::Video, at_segment, video_names(&self.ladder), &changed);
        }
        if self.ladder.audio != before.audio {
            let names = audio_names(&self.ladder);
            result = result.and(self.assembly.change(TrackKind::Audio, at_segment, names.clone(), &names));
        }
        result
    }

    /// From media time to the encoded frame, in milliseconds.
    pub const fn encode_ms(&self) -> Option<i64> {
        self.encode_ms
    }

    /// Encodes and publishes what is there.
    pub async fn finish(mut self, publisher: &mut Publisher, metrics: &ChannelMetrics) {
        let _ = self.handle.finish().await;
        let drain = async {
            while let Some(event) = self.events.recv().await {
                let over = event == EncoderEvent::Finished;
                if let Some(warning) = self.on_event(event, publisher, metrics).await {
                    tracing::warn!(warning, "encoding");
                }
                if over {
                    break;
                }
            }
        };
        if tokio::time::timeout(FINISH_PATIENCE, drain).await.is_err() {
            tracing::warn!("the encode worker did not put out its last frames in time");
        }
        if let Err(error) = self.assembly.finish() {
            tracing::error!(error = %chain(&error), "the last segments could not be closed");
        }
        self.publish(publisher).await;
        metrics.shed_renditions.set(0.0);
    }

    /// Ends without waiting for a worker that cannot work: what is made is published.
    pub async fn abandon(self, publisher: &mut Publisher) {
        let Abr { handle, events, mut assembly, has_begun, .. } = self;
        drop((handle, events));
        if !has_begun {
            return;
        }
        if let Err(error) = assembly.finish() {
            tracing::debug!(error = %chain(&error), "the last segments could not be closed");
        }
        while let Some(output) = assembly.poll() {
            publisher.apply(output, false).await;
        }
        publisher.flush();
    }

    fn count(&mut self, stats: &millstream_encode::event::EncoderStats, metrics: &ChannelMetrics) {
        let (now, before) = (stats.worker, self.counted);
        metrics.decoded_frames.add(now.decoded.saturating_sub(before.decoded));
        metrics.decode_errors.add(now.decode_errors.saturating_sub(before.decode_errors));
        metrics.encoded_frames.add(now.frames_out.saturating_sub(before.frames_out));
        metrics.repeated_frames.add(now.repeated.saturating_sub(before.repeated));
        let dropped =
            now.dropped.saturating_sub(before.dropped) + stats.dropped_units.saturating_sub(self.counted_units);
        metrics.dropped_frames.add(dropped);
        metrics.encode_cpu.add(Duration::from_millis(now.cpu_ms.saturating_sub(before.cpu_ms)));
        metrics.encode_speed.set(stats.speed);
        metrics.encode_backlog_seconds.set(stats.backlog.as_secs_f64());
        self.counted = now;
        self.counted_units = stats.dropped_units;
    }
}
