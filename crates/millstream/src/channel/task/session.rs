//! How a session of the channel begins and ends.

use millstream_control::status::State;
use millstream_media::unit::Contribution;

use super::super::abr::Abr;
use super::super::intake::{Begin, Intake};
use super::super::passthrough::PassthroughSession;
use super::retry::Retry;
use super::{Session, Task};

impl Task {
    /// Begins to look at the contribution, with what is known of it.
    pub(super) fn take_in(&mut self) {
        self.awaited_until = None;
        // A fault of ours is told until it is mended.
        if self.retry.is_none() {
            self.reporter.enter(State::Starting, None);
        }
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

    pub(super) async fn begin_passthrough(&mut self) {
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

    pub(super) async fn begin_abr(&mut self, begin: Begin) {
        match Abr::begin(&self.config, begin, &mut self.publisher, &self.surroundings).await {
            Ok(abr) => {
                if let Some(note) = abr.note_on_numbers() {
                    self.reporter.warn(note);
                }
                self.session = Session::Abr(Box::new(abr));
                self.leave_error();
            }
            Err(error) => {
                tracing::error!(channel = %self.config.name, error, "the channel cannot be encoded");
                self.session = Session::Off;
                self.reporter.enter(State::Error, Some(error));
                self.retry = None;
            }
        }
    }

    /// Something that can be shown has come after all.
    pub(super) fn leave_error(&mut self) {
        if self.retry.is_none() && self.reporter.state() == State::Error {
            self.starting_since = self.surroundings.clock.mono();
            self.reporter.enter(State::Starting, None);
        }
    }

    /// Takes back the session whose worker cannot work; the contribution's next units begin another after a while.
    pub(super) async fn suspend(&mut self, cause: String) {
        if let Session::Abr(abr) = std::mem::replace(&mut self.session, Session::Off) {
            abr.abandon(&mut self.publisher).await;
        }
        let retry = Retry::after(self.retry, self.surroundings.clock.mono());
        if retry.is_told() {
            tracing::error!(channel = %self.config.name, tries = retry.failures, cause, "the channel cannot be encoded");
        }
        self.retry = Some(retry);
        self.reporter.enter(State::Error, Some(cause));
    }

    /// Goes off air. `is_final` says whether the list ends with it.
    pub(super) async fn end_session(&mut self, is_final: bool) {
        // A fault is told as long as the contributor that it is about is there.
        let fault = self.reporter.error().filter(|_| self.input.info.is_some());
        self.close_session(is_final).await;
        match fault {
            Some(fault) => self.reporter.enter(State::Error, Some(fault)),
            None => self.reporter.enter(State::Offline, None),
        }
    }

    /// Puts out what is there.
    pub(super) async fn close_session(&mut self, is_final: bool) {
        let session = std::mem::replace(&mut self.session, Session::Off);
        if matches!(session, Session::Off | Session::Intake(_)) {
            return;
        }
        self.reporter.enter(State::Draining, None);
        match session {
            Session::Off | Session::Intake(_) => {}
            Session::Abr(abr) => abr.finish(&mut self.publisher, &self.metrics).await,
            Session::Cmaf(mut session) => {
                session.finish(&mut self.publisher).await;
                if session.has_begun() && session.has_own_headers() {
                    self.headers_changed |= self.headers.keep(|track| session.uses(track));
                }
                self.finish_headers().await;
            }
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
