//! The task of one channel: who publishes, which session runs, when it begins and ends.

use std::sync::Arc;
use std::time::Duration;

use millstream_control::channel::{ChannelConfig, ClockSource, Mode};
use millstream_control::registry::Channel;
use millstream_control::status::{MAX_WARNINGS, State};
use millstream_ingest::contribution::{ContributionEvent, Mapper};
use millstream_ingest::source::{EndReason, SourceEvent, SourceInfo, SourceMessage};
use millstream_ingest::timeline::{self, TimelineEvent};
use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::unit::Contribution;
use millstream_origin::channel::ChannelOrigin;
use millstream_telemetry::ChannelMetrics;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::abr::Abr;
use super::intake::{Begin, Intake};
use super::passthrough::PassthroughSession;
use super::publish::Publisher;
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
}

impl Task {
    /// Reads what the channel remembers.
    pub async fn open(surroundings: Surroundings, channel: &Channel, origin: Arc<ChannelOrigin>) -> Self {
        let config = channel.config.clone();
        let clock = Arc::clone(&surroundings.clock);
        let metrics = surroundings.metrics.channel(config.name.as_str());
        let reporter =
            Reporter::new(channel.status.clone(), Arc::clone(&origin), Arc::clone(&clock), metrics.clone(), &config);
        let registry = Arc::clone(&surroundings.registry);
        let publisher =
            Publisher::open(config.name.clone(), origin, registry, Arc::clone(&clock), surroundings.metrics.clone())
                .await;
        reporter.enter(State::Offline, None);
        Task {
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
            paused_until: None,
        }
    }

    /// Works until told to end.
    pub async fn run(mut self, mut source: mpsc::Receiver<SourceMessage>, mut commands: mpsc::Receiver<Command>) {
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
        self.end_session(!shutdown).await;
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
        let ladder_changed = config.ladder != self.config.ladder;
        if let Session::Abr(abr) = &mut self.session
            && ladder_changed
        {
            abr.set_ladder(config.ladder.clone().unwrap_or_default());
        }
        let waits = self.session_runs()
            && (config.mode, config.clock, config.segment_seconds, config.part_seconds, config.frame_rate)
                != (
                    self.config.mode,
                    self.config.clock,
                    self.config.segment_seconds,
                    self.config.part_seconds,
                    self.config.frame_rate,
                );
        if waits {
            self.reporter.warn(
                "changed settings of mode, clock, segments or frame rate take effect when the channel next goes on air",
            );
        }
        let may_be_mended = config.mode != self.config.mode || ladder_changed;
        self.config = config;
        if let Session::Abr(_) = &self.session {
            self.follow_ladder().await;
        } else if may_be_mended && matches!(self.session, Session::Off) && self.reporter.state() == State::Error {
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
        matches!(self.session, Session::Abr(_) | Session::Passthrough(_))
    }

    async fn on_source(&mut self, message: SourceMessage) {
        if matches!(message.event, SourceEvent::Started(_)) && matches!(self.session, Session::Off) {
            self.mapper = new_mapper(&self.config);
        }
        let mut events = Vec::new();
        self.mapper.push(message, &mut events);
        for event in events {
            self.on_contribution(event).await;
        }
    }

    async fn on_contribution(&mut self, event: ContributionEvent) {
        match event {
            ContributionEvent::Started(info) => self.on_started(info),
            ContributionEvent::Item { item, arrived, late } => self.on_item(item, arrived, late).await,
            ContributionEvent::Timeline(event) => self.on_timeline(event),
            ContributionEvent::Metadata(metadata) => {
                self.input.declared_frame_rate = metadata.frame_rate;
                match &mut self.session {
                    Session::Intake(intake) => intake.declare_frame_rate(metadata.frame_rate),
                    Session::Passthrough(session) => session.declare_frame_rate(metadata.frame_rate),
                    Session::Off | Session::Abr(_) => {}
                }
            }
            ContributionEvent::Warning(warning) => {
                tracing::warn!(channel = %self.config.name, %warning, "contribution");
                self.warn_of_source(warning.to_string());
            }
            ContributionEvent::Ended(reason) => self.on_ended(&reason),
        }
    }

    /// A warning that ends with the contribution's connection.
    fn warn_of_source(&mut self, warning: String) {
        if !self.source_warnings.contains(&warning) && self.source_warnings.len() < MAX_WARNINGS {
            self.source_warnings.push(warning.clone());
        }
        self.reporter.warn(warning);
    }

    fn on_started(&mut self, info: SourceInfo) {
        let now = self.surroundings.clock.mono();
        tracing::info!(channel = %self.config.name, remote = %info.remote, encoder = info.encoder.as_deref().unwrap_or("unknown"), "contribution started");
        self.input.begin(info, now);
        self.reporter.withdraw(&std::mem::take(&mut self.source_warnings));
        match &mut self.session {
            Session::Abr(_) => self.metrics.ingest_reconnects.increment(),
            Session::Passthrough(session) => {
                self.metrics.ingest_reconnects.increment();
                session.interrupted();
            }
            Session::Off | Session::Intake(_) => {
                self.reporter.clear_warnings();
                self.last_media = now;
                self.take_in();
            }
        }
    }

    /// Begins to look at the contribution, with what is known of it.
    fn take_in(&mut self) {
        self.reporter.enter(State::Starting, None);
        self.starting_since = self.surroundings.clock.mono();
        let mut intake = Intake::default();
        intake.declare_frame_rate(self.input.declared_frame_rate);
        let configs = self.input.video.clone().map(Contribution::VideoConfig).into_iter();
        for config in configs.chain(self.input.audio.clone().map(Contribution::AudioConfig)) {
            // A configuration alone never begins a session.
            intake.push(config);
        }
        self.session = Session::Intake(intake);
    }

    fn on_ended(&mut self, reason: &EndReason) {
        tracing::info!(channel = %self.config.name, %reason, "contribution ended");
        self.input = Input::default();
        match &mut self.session {
            Session::Off => {}
            Session::Intake(_) => {
                self.session = Session::Off;
                self.reporter.enter(State::Offline, None);
            }
            Session::Abr(abr) => {
                abr.disconnected();
                self.reporter.enter(State::InputLoss, None);
            }
            Session::Passthrough(_) => self.reporter.enter(State::InputLoss, None),
        }
    }

    async fn on_item(&mut self, item: Contribution, arrived: UtcTime, late: bool) {
        let dts = match &item {
            Contribution::VideoConfig(config) => {
                self.input.video = Some(config.clone());
                return self.deliver(item).await;
            }
            Contribution::AudioConfig(config) => {
                self.input.audio = Some(config.clone());
                return self.deliver(item).await;
            }
            Contribution::Video(unit) => {
                self.input.pictures += 1;
                self.input.pictures_ever += 1;
                unit.dts
            }
            Contribution::Audio(unit) => unit.dts,
        };
        self.last_media = self.surroundings.clock.mono();
        self.input.behind = Some(arrived.nanos_since(dts));
        // Against the clock, not against the arrival: what waited in the queue arrived before the last pause.
        let ahead = dts.since(self.surroundings.clock.utc());
        if ahead > MAX_AHEAD {
            self.paused_until = Some(self.last_media + (ahead - MAX_AHEAD));
        }
        if late {
            self.metrics.dropped_frames.increment();
            // A decoder needs what comes too late to be shown; a packager does not.
            if !matches!(self.session, Session::Abr(_)) {
                return;
            }
        }
        self.deliver(item).await;
        if self.reporter.state() == State::InputLoss {
            tracing::info!(channel = %self.config.name, "the contribution is back");
            self.starting_since = self.last_media;
            self.reporter.enter(if self.is_on_air() { State::Live } else { State::Starting }, None);
        }
    }

    /// Whether the session has listed anything.
    fn is_on_air(&self) -> bool {
        self.session_runs() && self.publisher.origin().with_window(|w| !w.is_ended() && w.newest().is_some())
    }

    fn on_timeline(&mut self, event: TimelineEvent) {
        match &event {
            TimelineEvent::Anchored { at, stamped } => {
                tracing::info!(channel = %self.config.name, %at, stamped, "contribution clock mapped to UTC");
                return;
            }
            TimelineEvent::Jump { .. } | TimelineEvent::Reanchored { .. } => {
                self.metrics.ingest_gaps.increment();
                if let Session::Passthrough(session) = &mut self.session {
                    session.interrupted();
                }
            }
            TimelineEvent::Late { .. } | TimelineEvent::Ahead { .. } => {}
            TimelineEvent::StampsRefused { .. } => {
                self.warn_of_source(
                    "the contribution's timestamps are not UTC; the server's clock is used instead".to_owned(),
                );
            }
        }
        tracing::warn!(channel = %self.config.name, ?event, "contribution clock");
    }

    /// Hands a part of the contribution to the session.
    async fn deliver(&mut self, item: Contribution) {
        let is_unit = matches!(item, Contribution::Video(_) | Contribution::Audio(_));
        match (&self.session, &item) {
            // The session ended while its contributor was silent, or the fault was mended.
            (Session::Off, _) if is_unit && self.input.info.is_some() && self.reporter.state() != State::Error => {
                tracing::info!(channel = %self.config.name, "the contribution goes on");
                self.take_in();
            }
            // Another frame rate and other renditions: another session, whose list goes on above this one's numbers.
            (Session::Abr(abr), Contribution::Video(unit)) if abr.is_sound_only() && unit.key => {
                tracing::info!(channel = %self.config.name, "pictures have come to a contribution of sound; a new list begins");
                self.close_session(false).await;
                self.take_in();
            }
            _ => {}
        }
        match &mut self.session {
            Session::Off => {}
            Session::Intake(intake) => {
                if self.config.mode == Mode::Passthrough {
                    self.begin_passthrough().await;
                    if let Session::Passthrough(session) = &mut self.session
                        && let Err(error) = session.push(item, &mut self.publisher).await
                    {
                        tracing::warn!(channel = %self.config.name, error, "packaging");
                    }
                } else if let Some(begin) = intake.push(item) {
                    self.begin_abr(begin).await;
                }
            }
            Session::Abr(abr) => abr.send(item).await,
            Session::Passthrough(session) => {
                if let Err(error) = session.push(item, &mut self.publisher).await {
                    tracing::warn!(channel = %self.config.name, error, "packaging");
                }
            }
        }
    }

    async fn begin_passthrough(&mut self) {
        let Some(mut session) = PassthroughSession::begin(&self.config, &self.publisher) else { return };
        session.declare_frame_rate(self.input.declared_frame_rate);
        self.session = Session::Passthrough(Box::new(session));
        self.leave_error();
        // Configurations that came before are told again.
        let configs = self.input.video.clone().map(Contribution::VideoConfig).into_iter();
        let configs = configs.chain(self.input.audio.clone().map(Contribution::AudioConfig));
        if let Session::Passthrough(session) = &mut self.session {
            for config in configs {
                if let Err(error) = session.push(config, &mut self.publisher).await {
                    tracing::warn!(channel = %self.config.name, error, "packaging");
                }
            }
        }
    }

    async fn begin_abr(&mut self, begin: Begin) {
        match Abr::begin(&self.config, begin, &mut self.publisher, &self.surroundings).await {
            Ok(abr) => {
                self.session = Session::Abr(Box::new(abr));
                self.leave_error();
            }
            Err(error) => {
                tracing::error!(channel = %self.config.name, error, "the channel cannot be encoded");
                self.session = Session::Off;
                self.reporter.enter(State::Error, Some(error));
            }
        }
    }

    /// Something that can be shown has come after all.
    fn leave_error(&mut self) {
        if self.reporter.state() == State::Error {
            self.starting_since = self.surroundings.clock.mono();
            self.reporter.enter(State::Starting, None);
        }
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
            tracing::warn!(channel = %self.config.name, warning, "encoding");
            self.reporter.warn(warning.as_str());
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

    async fn on_tick(&mut self, report: bool) {
        let mono = self.surroundings.clock.mono();
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
            if silent >= LOSS_AFTER {
                self.metrics.input_loss.add(mono.since(self.loss_counted.max(self.last_media)));
                if self.reporter.state() == State::Live {
                    tracing::warn!(channel = %self.config.name, "the contribution is lost");
                    self.reporter.enter(State::InputLoss, None);
                }
            }
            self.loss_counted = mono;
            if matches!(self.reporter.state(), State::Starting | State::Error) && self.is_on_air() {
                tracing::info!(channel = %self.config.name, "on air");
                self.reporter.enter(State::Live, None);
            }
            let patience = Duration::from_millis(self.config.reconnect_seconds.millis().into()).max(LOSS_AFTER);
            if silent >= patience {
                self.end_session(true).await;
            }
        }
        self.note_stall(mono);
        if report {
            self.report();
        }
    }

    /// Says so when a contribution comes and nothing of it can be shown. It is shown all the same once it can be.
    fn note_stall(&mut self, mono: MonoTime) {
        let patience = match self.session {
            Session::Off => return,
            Session::Intake(_) => INTAKE_PATIENCE,
            Session::Abr(_) | Session::Passthrough(_) => FIRST_SEGMENT_PATIENCE,
        };
        if self.reporter.state() != State::Starting || mono.since(self.starting_since) < patience {
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

    /// Goes off air. `is_final` says whether the list ends with it.
    async fn end_session(&mut self, is_final: bool) {
        // A fault is told as long as the contributor that it is about is there.
        let fault = self.reporter.error().filter(|_| self.input.info.is_some());
        self.close_session(is_final).await;
        match fault {
            Some(fault) => self.reporter.enter(State::Error, Some(fault)),
            None => self.reporter.enter(State::Offline, None),
        }
    }

    /// Puts out what is there.
    async fn close_session(&mut self, is_final: bool) {
        let session = std::mem::replace(&mut self.session, Session::Off);
        if matches!(session, Session::Off | Session::Intake(_)) {
            return;
        }
        self.reporter.enter(State::Draining, None);
        match session {
            Session::Off | Session::Intake(_) => {}
            Session::Abr(abr) => abr.finish(&mut self.publisher, &self.metrics).await,
            Session::Passthrough(mut session) => session.finish(&mut self.publisher).await,
        }
        if is_final {
            self.publisher.end_session().await;
        } else {
            self.publisher.save().await;
        }
        tracing::info!(channel = %self.config.name, is_final, "off air");
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
