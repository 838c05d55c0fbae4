//! The task of one channel: which session runs, when it begins and ends.
//!
//! - [`contribution`]: what the contribution's connection says, and to whom it goes.
//! - [`session`]: how a session begins and ends.
//! - [`uploads`]: what uploads of CMAF ingest bring.
//! - [`retry`]: when one is tried again that failed for want of a worker (pure).

mod contribution;
mod retry;
mod session;
mod uploads;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use millstream_control::channel::{ChannelConfig, ClockSource, Mode};
use millstream_control::registry::Channel;
use millstream_control::status::State;
use millstream_ingest::contribution::Mapper;
use millstream_ingest::source::SourceMessage;
use millstream_ingest::timeline;
use millstream_media::time::MonoTime;
use millstream_origin::channel::ChannelOrigin;
use millstream_telemetry::ChannelMetrics;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use self::retry::Retry;
use super::abr::Abr;
use super::contributed::{ContributedSession, Upload};
use super::headers::KnownHeaders;
use super::intake::Intake;
use super::passthrough::PassthroughSession;
use super::publish::Publisher;
use super::record::Recorder;
use super::report::{Input, Reporter};
use super::runtime::Surroundings;

/// How often the channel looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two reports.
const TICKS_PER_REPORT: u32 = 10;
/// Silence of the contribution after which the channel says so.
const LOSS_AFTER: Duration = Duration::from_millis(1500);

/// How far media may run ahead of the clock before its source is slowed down: senders flush a backlog, and files are
/// sent faster than real time.
const MAX_AHEAD: Duration = Duration::from_secs(5);

/// Time after which a contribution of which nothing can be shown is an error.
const INTAKE_PATIENCE: Duration = Duration::from_secs(10);
/// The same for one that is encoded or packaged already: a passthrough source may have one key frame in 20 s.
const FIRST_SEGMENT_PATIENCE: Duration = Duration::from_secs(30);

/// What the runtime asks of a channel's task.
#[derive(Debug)]
pub enum Command {
    /// The settings changed.
    Configure(Box<ChannelConfig>),
    /// Go off air for good: the list is final.
    End,
    /// The server stops: put out what is there; the list stays open, since the channel goes on with the next start.
    Shutdown,
}

enum Session {
    Off,
    Intake(Intake),
    Abr(Box<Abr>),
    Passthrough(Box<PassthroughSession>),
    Cmaf(Box<ContributedSession>),
}

/// A channel's task.
pub struct Task {
    surroundings: Surroundings,
    config: ChannelConfig,
    reporter: Reporter,
    metrics: ChannelMetrics,
    publisher: Publisher,
    mapper: Mapper,
    session: Session,
    input: Input,
    headers: KnownHeaders,
    headers_changed: bool,
    saving_headers: Option<JoinHandle<()>>,
    /// Address and key of who uploaded the newest media.
    uploader: Option<(IpAddr, String)>,
    last_media: MonoTime,
    loss_counted: MonoTime,
    /// Since when something is to be shown and is not.
    starting_since: MonoTime,
    /// Warnings of the contribution that publishes now.
    source_warnings: Vec<String>,
    /// Warnings of a ladder that could not be made.
    ladder_warnings: Vec<String>,
    /// The source is not read before this.
    paused_until: Option<MonoTime>,
    /// No worker can work: when it is tried again.
    retry: Option<Retry>,
    /// The server ended while the channel was on air: until when viewers are told to wait for it.
    awaited_until: Option<MonoTime>,
}

/// A recorder for a channel that is recorded.
fn recorder(surroundings: &Surroundings, config: &ChannelConfig) -> Option<Recorder> {
    config.record.then(|| Recorder::start(config.name.as_str(), surroundings.archive.clone()))
}

impl Task {
    /// Reads what the channel remembers.
    pub async fn open(surroundings: Surroundings, channel: &Channel, origin: Arc<ChannelOrigin>) -> Self {
        let config = channel.config.clone();
        let clock = Arc::clone(&surroundings.clock);
        let metrics = surroundings.metrics.channel(config.name.as_str());
        let mut reporter =
            Reporter::new(channel.status.clone(), Arc::clone(&origin), Arc::clone(&clock), metrics.clone(), &config);
        reporter.advise(config.rewind_advice(surroundings.archive.kept()));
        let registry = Arc::clone(&surroundings.registry);
        let mut publisher =
            Publisher::open(config.name.clone(), origin, registry, Arc::clone(&clock), surroundings.metrics.clone())
                .await;
        let headers = match config.mode {
            Mode::Cmaf => KnownHeaders::load(surroundings.registry.documents(), &config.name).await,
            _ => KnownHeaders::default(),
        };
        publisher.record(recorder(&surroundings, &config));
        publisher.protect(surroundings.shelf.stage(&config, &channel.status, &surroundings.metrics));
        // Viewers who came back to a server that was away wait for the broadcaster as they would have without.
        let awaited = publisher.continuity().on_air;
        reporter.enter(if awaited { State::InputLoss } else { State::Offline }, None);
        let patience = Duration::from_millis(config.reconnect_seconds.millis().into());
        Task {
            awaited_until: awaited.then(|| clock.mono() + patience),
            retry: None,
            mapper: new_mapper(&config),
            last_media: clock.mono(),
            loss_counted: clock.mono(),
            starting_since: clock.mono(),
            source_warnings: Vec::new(),
            ladder_warnings: Vec::new(),
            surroundings,
            config,
            reporter,
            metrics,
            publisher,
            session: Session::Off,
            input: Input::default(),
            uploader: None,
            headers,
            headers_changed: false,
            saving_headers: None,
            paused_until: None,
        }
    }

    /// Works until told to end.
    pub async fn run(
        mut self,
        mut source: mpsc::Receiver<SourceMessage>,
        mut uploads: mpsc::Receiver<Upload>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0_u32;
        let shutdown = loop {
            tokio::select! {
                message = source.recv(), if !self.is_paused() => match message {
                    Some(message) => self.on_source(message).await,
                    // The route is gone; the command that says why is on its way.
                    None => match commands.recv().await {
                        Some(Command::Configure(_)) => {}
                        Some(Command::Shutdown) => break true,
                        Some(Command::End) | None => break false,
                    },
                },
                Some(upload) = uploads.recv() => self.on_upload(upload).await,
                output = next_output(&mut self.session) => self.on_encoder(output).await,
                command = commands.recv() => match command {
                    Some(Command::Configure(config)) => self.configure(*config).await,
                    Some(Command::Shutdown) => break true,
                    Some(Command::End) | None => break false,
                },
                _ = ticker.tick() => {
                    ticks = ticks.wrapping_add(1);
                    self.on_tick(ticks.is_multiple_of(TICKS_PER_REPORT)).await;
                }
            }
        };
        drop(source);
        drop(uploads);
        self.end_session(!shutdown).await;
        if !shutdown && self.publisher.continuity().on_air {
            self.publisher.end_session().await;
        }
        self.input = Input::default();
        self.report();
    }

    /// Whether the source is to be slowed down; the ticker asks again.
    fn is_paused(&mut self) -> bool {
        let now = self.surroundings.clock.mono();
        self.paused_until = self.paused_until.filter(|until| *until > now);
        self.paused_until.is_some()
    }

    async fn configure(&mut self, config: ChannelConfig) {
        self.reporter.set_title(config.display_title());
        self.reporter.advise(config.rewind_advice(self.surroundings.archive.kept()));
        let ladder_changed = config.ladder != self.config.ladder;
        if let Session::Abr(abr) = &mut self.session
            && ladder_changed
        {
            abr.set_ladder(config.ladder.clone().unwrap_or_default());
        }
        let waits = self.session_runs()
            && (
                config.mode,
                config.clock,
                config.segment_seconds,
                config.low_latency,
                config.part_seconds,
                config.frame_rate,
            ) != (
                self.config.mode,
                self.config.clock,
                self.config.segment_seconds,
                self.config.low_latency,
                self.config.part_seconds,
                self.config.frame_rate,
            );
        if waits {
            self.reporter.warn(
                "changed settings of mode, clock, segments, parts, low latency or frame rate take effect when the channel next goes on air",
            );
        }
        if config.record != self.config.record {
            self.publisher.record(recorder(&self.surroundings, &config));
        }
        let may_be_mended = config.mode != self.config.mode || ladder_changed;
        self.config = config;
        if let Session::Abr(_) = &self.session {
            self.follow_ladder().await;
        } else if may_be_mended && matches!(self.session, Session::Off) && self.reporter.state() == State::Error {
            self.retry = None;
            self.reporter.clear_warnings();
            self.reporter.enter(State::Offline, None);
        }
    }

    /// Lets the ladder follow the settings and the input.
    async fn follow_ladder(&mut self) {
        let Session::Abr(abr) = &mut self.session else { return };
        match abr.follow_ladder().await {
            Ok(None) => {}
            Ok(Some(at_segment)) => {
                tracing::info!(channel = %self.config.name, at_segment, "the ladder changes");
                self.reporter.withdraw(&std::mem::take(&mut self.ladder_warnings));
            }
            Err(error) => {
                tracing::warn!(channel = %self.config.name, error, "the ladder could not be changed");
                let warning = format!("the new ladder is not in force: {error}");
                self.ladder_warnings.push(warning.clone());
                self.reporter.warn(warning);
            }
        }
    }

    const fn session_runs(&self) -> bool {
        matches!(self.session, Session::Abr(_) | Session::Passthrough(_) | Session::Cmaf(_))
    }

    /// Whether the session has listed anything.
    fn is_on_air(&self) -> bool {
        let has_begun = match &self.session {
            Session::Off | Session::Intake(_) => false,
            Session::Abr(abr) => abr.has_begun(),
            Session::Passthrough(_) => true,
            Session::Cmaf(session) => session.has_begun(),
        };
        has_begun && self.publisher.origin().with_window(|w| !w.is_ended() && w.newest().is_some())
    }

    async fn on_encoder(&mut self, output: super::abr::Event) {
        let Session::Abr(abr) = &mut self.session else { return };
        let Some(output) = output else {
            // The contribution's next unit begins another session.
            tracing::error!(channel = %self.config.name, "the encoder has ended");
            self.end_session(false).await;
            return;
        };
        let warning = abr.on_event(output, &mut self.publisher, &self.metrics).await;
        if let Some(warning) = &warning {
            // What one try after the other says has been said.
            if self.retry.is_none() {
                tracing::warn!(channel = %self.config.name, warning, "encoding");
                self.reporter.warn(warning.as_str());
            } else {
                tracing::debug!(channel = %self.config.name, warning, "encoding");
            }
        }
        if let Some(cause) = abr.unable() {
            let cause = cause.to_owned();
            return self.suspend(cause).await;
        }
        if abr.has_lost_picture() {
            let cause = warning.unwrap_or_else(|| "no rendition can be made".to_owned());
            tracing::error!(channel = %self.config.name, cause, "the channel cannot be encoded");
            self.end_session(true).await;
            self.reporter.enter(State::Error, Some(cause));
            return;
        }
        self.follow_ladder().await;
    }

    /// Whether a session may be tried: not while the time after a failed one runs.
    fn may_try(&self) -> bool {
        match self.retry {
            Some(retry) => self.surroundings.clock.mono() >= retry.at,
            None => self.reporter.state() != State::Error,
        }
    }

    async fn on_tick(&mut self, report: bool) {
        let mono = self.surroundings.clock.mono();
        if self.awaited_until.is_some_and(|until| until <= mono) {
            self.awaited_until = None;
            if matches!(self.session, Session::Off) && self.reporter.state() == State::InputLoss {
                self.reporter.enter(State::Offline, None);
                self.publisher.end_session().await;
            }
        }
        self.publisher.origin().with_window(|window| {
            if window.next_change().is_some_and(|due| due <= mono) {
                window.prune_at(mono);
            }
        });
        if self.session_runs() {
            let silent = mono.since(self.last_media);
            if let Session::Abr(abr) = &mut self.session
                && let Some(floor) = abr.on_tick(mono).await
            {
                self.mapper.raise_floor(floor);
            }
            if let Session::Cmaf(session) = &mut self.session {
                session.tick((mono, self.surroundings.clock.utc()), &mut self.publisher).await;
            }
            let loss_after = self.loss_after();
            if silent >= loss_after {
                self.forget_uploader();
                self.metrics.input_loss.add(mono.since(self.loss_counted.max(self.last_media)));
                if self.reporter.state() == State::Live {
                    tracing::warn!(channel = %self.config.name, "the contribution is lost");
                    self.reporter.enter(State::InputLoss, None);
                }
            }
            self.loss_counted = mono;
            if matches!(self.reporter.state(), State::Starting | State::Error) && self.is_on_air() {
                let tries = self.retry.take().map_or(0, |retry| retry.failures);
                tracing::info!(channel = %self.config.name, tries, "on air");
                self.reporter.enter(State::Live, None);
            }
            let patience = Duration::from_millis(self.config.reconnect_seconds.millis().into()).max(loss_after);
            if silent >= patience {
                self.end_session(true).await;
            }
        }
        self.note_stall(mono);
        if report {
            self.save_headers();
            self.report();
        }
    }

    /// Says so when a contribution comes and nothing of it can be shown. It is shown all the same once it can be.
    fn note_stall(&mut self, mono: MonoTime) {
        let patience = match self.session {
            Session::Off => return,
            Session::Intake(_) => INTAKE_PATIENCE,
            Session::Abr(_) | Session::Passthrough(_) | Session::Cmaf(_) => FIRST_SEGMENT_PATIENCE,
        };
        // Without a contribution there is nothing to mend in it.
        if self.input.info.is_none()
            || self.reporter.state() != State::Starting
            || mono.since(self.starting_since) < patience
        {
            return;
        }
        let seconds = patience.as_secs();
        let cause = match (&self.input.video, &self.input.audio) {
            (None, None) => format!("no picture or sound of a known codec came for {seconds} s; send H.264 and AAC"),
            (Some(_), _) if self.input.pictures_ever == 0 => {
                format!("no picture came for {seconds} s; check the encoder's source and its key frame interval (2 s)")
            }
            _ => format!("nothing could be shown for {seconds} s; check the encoder's key frame interval (2 s)"),
        };
        tracing::error!(channel = %self.config.name, cause, "the contribution cannot be shown");
        self.reporter.enter(State::Error, Some(cause));
    }

    fn report(&mut self) {
        let encode_ms = match &self.session {
            Session::Abr(abr) => abr.encode_ms(),
            _ => None,
        };
        let tracks = if self.session_runs() { self.publisher.tracks().collect() } else { Vec::new() };
        self.reporter.report(&mut self.input, tracks.into_iter(), encode_ms);
    }
}

fn new_mapper(config: &ChannelConfig) -> Mapper {
    let mode = match config.clock {
        ClockSource::Arrival => timeline::Mode::Arrival,
        ClockSource::Utc => timeline::Mode::Utc { modulus: timeline::RTMP_STAMP_MODULUS },
    };
    Mapper::new(timeline::Config { mode, ..timeline::Config::default() })
}

/// The next thing the encoder says; never, while nothing is encoded.
async fn next_output(session: &mut Session) -> super::abr::Event {
    match session {
        Session::Abr(abr) => abr.next().await,
        _ => std::future::pending().await,
    }
}
