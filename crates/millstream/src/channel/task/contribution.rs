//! What the contribution's connection says, and to which session it goes.

use millstream_control::channel::Mode;
use millstream_control::status::{MAX_WARNINGS, State};
use millstream_ingest::contribution::ContributionEvent;
use millstream_ingest::source::{EndReason, SourceEvent, SourceInfo, SourceMessage};
use millstream_ingest::timeline::TimelineEvent;
use millstream_media::time::UtcTime;
use millstream_media::unit::Contribution;

use super::super::report::Input;
use super::{MAX_AHEAD, Session, Task, new_mapper};

impl Task {
    pub(super) async fn on_source(&mut self, message: SourceMessage) {
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
                    Session::Off | Session::Abr(_) | Session::Cmaf(_) => {}
                }
            }
            ContributionEvent::Warning(warning) => {
                tracing::warn!(channel = %self.config.name, %warning, "contribution");
                self.warn_of_source(warning.to_string());
            }
            ContributionEvent::Ended(reason) => self.on_ended(&reason).await,
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
            // Connections are not let in to a channel of uploads.
            Session::Cmaf(_) => {}
            Session::Off | Session::Intake(_) => {
                self.reporter.clear_warnings();
                self.last_media = now;
                self.take_in();
            }
        }
    }

    /// Only what is on air can lose its input.
    fn lose_input(&self) {
        if self.is_on_air() {
            self.reporter.enter(State::InputLoss, None);
        }
    }

    async fn on_ended(&mut self, reason: &EndReason) {
        let bytes = self.input.info.as_ref().map_or(0, |info| info.bytes_in.get());
        tracing::info!(channel = %self.config.name, %reason, bytes, "contribution ended");
        self.input = Input::default();
        match &mut self.session {
            Session::Off | Session::Intake(_) => {
                self.session = Session::Off;
                // Whoever lacked a worker is gone: the list that stood still ends. Another fault is told on.
                if self.retry.take().is_some() {
                    self.publisher.end_session().await;
                    self.reporter.enter(State::Offline, None);
                } else if self.reporter.state() == State::Starting {
                    self.reporter.enter(State::Offline, None);
                }
            }
            Session::Abr(abr) => {
                abr.disconnected();
                self.lose_input();
            }
            Session::Passthrough(_) | Session::Cmaf(_) => self.lose_input(),
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
                self.input.picture(unit.dts);
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
            (Session::Off, _) if is_unit && self.input.info.is_some() && self.may_try() => {
                if self.retry.is_none() {
                    tracing::info!(channel = %self.config.name, "the contribution goes on");
                }
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
            Session::Off | Session::Cmaf(_) => {}
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
}
