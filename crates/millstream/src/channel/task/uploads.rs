//! What uploads of CMAF ingest bring, and to which session it goes.

use std::sync::Arc;
use std::time::Duration;

use millstream_control::channel::Mode;
use millstream_control::status::State;
use millstream_ingest::source::{ByteCount, Protocol, SourceInfo};
use millstream_media::track::TrackMedia;
use millstream_package::contributed::{Refusal, Taken};

use super::super::contributed::{ContributedSession, Object, Upload};
use super::super::report::Input;
use super::{LOSS_AFTER, Session, Task};

impl Task {
    /// Silence after which a contribution is lost: whole segments come once in their length.
    pub(super) fn loss_after(&self) -> Duration {
        match self.session {
            Session::Cmaf(_) => LOSS_AFTER + 2 * Duration::from_millis(self.config.segment_seconds.millis().into()),
            _ => LOSS_AFTER,
        }
    }

    pub(super) async fn on_upload(&mut self, upload: Upload) {
        let clock = &self.surroundings.clock;
        let at = (clock.mono(), clock.utc());
        let Upload { remote, encoder, key, track, object, answer } = upload;
        if !matches!(self.session, Session::Cmaf(_)) {
            if self.config.mode != Mode::Cmaf || matches!(object, Object::End) {
                // The route looks at the mode; it changed meanwhile. An answer that is dropped is one of 503.
                return;
            }
            self.awaited_until = None;
            self.reporter.clear_warnings();
            self.reporter.enter(State::Starting, None);
            (self.starting_since, self.last_media, self.loss_counted) = (at.0, at.0, at.0);
            self.session =
                Session::Cmaf(Box::new(ContributedSession::begin(&self.config, &self.publisher, &self.headers)));
        }
        if self.input.info.is_none() {
            tracing::info!(channel = %self.config.name, %remote, encoder = encoder.as_deref().unwrap_or("unknown"), "contribution started");
            let bytes_in = ByteCount::default();
            let info = SourceInfo { protocol: Protocol::Cmaf, remote, encoder, started: at.1, bytes_in };
            self.input.begin(info, at.0);
        }
        if let Some(info) = &self.input.info {
            info.bytes_in.add(object.len() as u64);
        }
        let publisher = (remote.ip(), key);
        let loss_after = self.loss_after();
        let Session::Cmaf(session) = &mut self.session else { return };
        // Two encoders side by side share the one clock that all have: else what they send is not the same.
        let is_held = self.uploader.as_ref().is_some_and(|holder| *holder != publisher)
            && at.0.since(self.last_media) < loss_after;
        if is_held && session.is_utc(at.1) == Some(false) {
            tracing::debug!(channel = %self.config.name, %remote, "upload refused: another encoder is sending");
            let _ = answer.send(Err(Refusal::Busy));
            return;
        }
        let taken = session.push(&track, &object, at, &mut self.publisher).await;
        for note in session.notes() {
            tracing::warn!(channel = %self.config.name, note, "contribution");
            self.reporter.warn(note);
        }
        if let (Ok(_), Object::Header(header)) = (&taken, &object) {
            if self.headers.is_full() {
                self.headers_changed |= self.headers.keep(|track| session.uses(track));
            }
            self.headers_changed |= self.headers.note(&track, header);
        }
        if matches!((&taken, &object), (Ok(Taken::New), Object::Fragment { .. })) {
            self.last_media = at.0;
            self.uploader = Some(publisher);
            if self.reporter.state() == State::InputLoss {
                tracing::info!(channel = %self.config.name, "the contribution is back");
                self.metrics.ingest_reconnects.increment();
                self.starting_since = at.0;
                self.reporter.enter(if self.is_on_air() { State::Live } else { State::Starting }, None);
            }
        }
        if self.input.video.is_none() && self.input.audio.is_none() {
            for track in self.publisher.tracks() {
                match &track.media {
                    TrackMedia::Video { config, frame_rate, .. } => {
                        self.input.declared_frame_rate =
                            self.input.declared_frame_rate.or(frame_rate.map(|rate| rate.as_f64()));
                        self.input.video.get_or_insert_with(|| config.clone());
                    }
                    TrackMedia::Audio { config } => {
                        self.input.audio.get_or_insert_with(|| config.clone());
                    }
                }
            }
        }
        // Whoever asked may be gone.
        let _ = answer.send(taken);
    }

    /// Begins to write the headers if they have changed, unless that is under way; the next second asks again.
    pub(super) fn save_headers(&mut self) {
        if !self.headers_changed || self.saving_headers.as_ref().is_some_and(|saving| !saving.is_finished()) {
            return;
        }
        self.headers_changed = false;
        let (registry, name) = (Arc::clone(&self.surroundings.registry), self.config.name.clone());
        let headers = self.headers.clone();
        self.saving_headers = Some(tokio::spawn(async move { headers.save(registry.documents(), &name).await }));
    }

    /// Writes what has changed of the headers, and returns when it is written.
    pub(super) async fn finish_headers(&mut self) {
        for _ in 0..2 {
            if let Some(saving) = self.saving_headers.take() {
                let _ = saving.await;
            }
            self.save_headers();
        }
        if let Some(saving) = self.saving_headers.take() {
            let _ = saving.await;
        }
    }

    /// Nothing has come for so long that whoever sent is taken for gone.
    pub(super) fn forget_uploader(&mut self) {
        if matches!(self.session, Session::Cmaf(_)) && self.input.info.is_some() {
            tracing::info!(channel = %self.config.name, "no uploads come any more");
            self.input = Input::default();
        }
    }
}
