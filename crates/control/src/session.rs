//! A channel's life, from off air to live and back: who may publish, when a loss is a loss, when the channel ends.
//!
//! Pure: `handle_event` with the time, then `poll_action` until it is empty; `next_change` says when `handle_timeout`
//! is due. The caller does what the actions say and reports back what came of it.
//!
//! ```text
//! offline ──publisher──► starting ──on air──► live ◄──media── input_loss
//!    ▲                      │ gone              └──silence──────► │
//!    ├──────────────────────┘                                     │ reconnect time over, or stopped
//!    └───────────────────────────drained────────── draining ◄─────┘
//! ```
//! A failure leads to `error` from everywhere; the next publisher leads out of it.

use std::collections::VecDeque;
use std::time::Duration;

use millstream_media::time::MonoTime;

use crate::status::State;

/// The times that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Silence of a connected publisher after which the input counts as lost.
    pub loss_after: Duration,
    /// Silence of a publisher after which another may take its place (no ghost publishers).
    pub take_over_after: Duration,
    /// Time on air without media (the channel's `reconnect_seconds`).
    pub reconnect: Duration,
    /// Longest wait for a drain; then what is there is cut.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            loss_after: Duration::from_millis(1500),
            take_over_after: Duration::from_secs(2),
            reconnect: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// Names a publisher's connection; never used twice.
pub type PublisherId = u64;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A publisher with the right key asks to publish.
    PublisherStarted(PublisherId),
    /// A publisher is gone, in whatever way.
    PublisherEnded(PublisherId),
    /// An access unit arrived.
    Media(PublisherId),
    /// The first media is listed.
    OnAir,
    /// What was to be drained is out.
    Drained,
    /// The channel cannot be made: why, and the mend.
    Failed(String),
    /// The channel is enabled.
    Start,
    /// The channel is disabled or deleted, or the server stops.
    Stop,
    /// Other times, from a change of the settings.
    Retime(Timing),
}

/// Why a publisher is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// Another one is publishing.
    Busy,
    /// The channel is stopped.
    Stopped,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let this publisher publish.
    Accept(PublisherId),
    /// Do not.
    Refuse(PublisherId, RefuseReason),
    /// Close this publisher's connection.
    Drop(PublisherId),
    /// Open the encoder and the packager.
    Begin,
    /// The contribution goes on with another publisher: map its clock anew.
    Resume,
    /// Throw away what was begun; nothing of it is listed.
    Abandon,
    /// Put out what is there and end the playlists; then say [`Event::Drained`].
    Drain,
    /// The drain took too long: end the playlists as they are.
    Cut,
    /// Show this state; the cause goes with [`State::Error`].
    Show(State, Option<String>),
}

/// The life of one channel.
#[derive(Clone, Debug)]
pub struct Session {
    timing: Timing,
    state: State,
    enabled: bool,
    publisher: Option<PublisherId>,
    /// Asks to publish while the channel drains. At most one; later ones are refused.
    waiting: Option<PublisherId>,
    last_media: MonoTime,
    draining_since: MonoTime,
    /// At most a handful: every event adds fewer than eight, and the caller takes them all.
    actions: VecDeque<Action>,
}

impl Session {
    /// A channel that is off air.
    pub fn new(timing: Timing, enabled: bool) -> Self {
        Session {
            timing,
            state: State::Offline,
            enabled,
            publisher: None,
            waiting: None,
            last_media: MonoTime::default(),
            draining_since: MonoTime::default(),
            actions: VecDeque::new(),
        }
    }

    /// The state now.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Who publishes.
    pub const fn publisher(&self) -> Option<PublisherId> {
        self.publisher
    }

    /// Takes what happened at `now`.
    pub fn handle_event(&mut self, event: Event, now: MonoTime) {
        match event {
            Event::PublisherStarted(id) => self.on_started(id, now),
            Event::PublisherEnded(id) => self.on_ended(id, now),
            Event::Media(id) => self.on_media(id, now),
            Event::OnAir if self.state == State::Starting => self.enter(State::Live),
            Event::Drained if self.state == State::Draining => self.finish(now),
            Event::OnAir | Event::Drained => {}
            Event::Failed(cause) => self.fail(cause),
            Event::Start => self.enabled = true,
            Event::Stop => self.stop(now),
            Event::Retime(timing) => self.timing = timing,
        }
        self.handle_timeout(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: MonoTime) {
        while self.next_change().is_some_and(|due| due <= now) {
            match self.state {
                State::Live => self.enter(State::InputLoss),
                State::InputLoss => self.drain(now),
                State::Draining => {
                    self.act(Action::Cut);
                    self.finish(now);
                }
                State::Offline | State::Starting | State::Error => return,
            }
        }
    }

    /// When the state changes by itself, if nothing happens before.
    pub fn next_change(&self) -> Option<MonoTime> {
        match self.state {
            State::Live => Some(self.last_media + self.timing.loss_after),
            State::InputLoss => Some(self.last_media + self.timing.reconnect),
            State::Draining => Some(self.draining_since + self.timing.drain),
            State::Offline | State::Starting | State::Error => None,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn on_started(&mut self, id: PublisherId, now: MonoTime) {
        if !self.enabled {
            return self.act(Action::Refuse(id, RefuseReason::Stopped));
        }
        match (self.state, self.publisher) {
            (State::Draining, _) if self.waiting.is_some() => self.act(Action::Refuse(id, RefuseReason::Busy)),
            (State::Draining, _) => self.waiting = Some(id),
            (_, Some(_)) if now.since(self.last_media) < self.timing.take_over_after => {
                self.act(Action::Refuse(id, RefuseReason::Busy));
            }
            (State::Offline | State::Error, _) => self.begin(id, now),
            (_, ghost) => {
                if let Some(ghost) = ghost {
                    self.act(Action::Drop(ghost));
                }
                self.publisher = Some(id);
                self.act(Action::Accept(id));
                self.act(Action::Resume);
                // A newcomer has the same time to send something as one that was there.
                if self.state == State::Starting {
                    self.last_media = now;
                }
            }
        }
    }

    fn on_ended(&mut self, id: PublisherId, now: MonoTime) {
        if self.waiting == Some(id) {
            self.waiting = None;
        }
        if self.publisher != Some(id) {
            return;
        }
        self.publisher = None;
        match self.state {
            State::Starting => {
                self.act(Action::Abandon);
                self.enter(State::Offline);
            }
            State::Live => {
                // The time to reconnect counts from the end, which may come after a silence.
                self.last_media = now;
                self.enter(State::InputLoss);
            }
            State::Offline | State::InputLoss | State::Draining | State::Error => {}
        }
    }

    fn on_media(&mut self, id: PublisherId, now: MonoTime) {
        if self.publisher == Some(id) {
            self.last_media = self.last_media.max(now);
            if self.state == State::InputLoss {
                self.enter(State::Live);
            }
        }
    }

    fn begin(&mut self, id: PublisherId, now: MonoTime) {
        self.publisher = Some(id);
        self.last_media = now;
        self.act(Action::Accept(id));
        self.act(Action::Begin);
        self.enter(State::Starting);
    }

    fn drain(&mut self, now: MonoTime) {
        if let Some(publisher) = self.publisher.take() {
            self.act(Action::Drop(publisher));
        }
        self.draining_since = now;
        self.act(Action::Drain);
        self.enter(State::Draining);
    }

    /// Off air; whoever waited begins anew.
    fn finish(&mut self, now: MonoTime) {
        self.enter(State::Offline);
        if let Some(id) = self.waiting.take() {
            self.begin(id, now);
        }
    }

    fn stop(&mut self, now: MonoTime) {
        self.enabled = false;
        if let Some(waiting) = self.waiting.take() {
            self.act(Action::Refuse(waiting, RefuseReason::Stopped));
        }
        match self.state {
            State::Live | State::InputLoss => self.drain(now),
            State::Starting => {
                if let Some(publisher) = self.publisher.take() {
                    self.act(Action::Drop(publisher));
                }
                self.act(Action::Abandon);
                self.enter(State::Offline);
            }
            State::Error => self.enter(State::Offline),
            State::Offline | State::Draining => {}
        }
    }

    fn fail(&mut self, cause: String) {
        let held = [self.publisher.take(), self.waiting.take()];
        held.into_iter().flatten().for_each(|id| self.act(Action::Drop(id)));
        match self.state {
            State::Starting => self.act(Action::Abandon),
            State::Live | State::InputLoss | State::Draining => self.act(Action::Cut),
            State::Offline | State::Error => {}
        }
        self.state = State::Error;
        self.act(Action::Show(State::Error, Some(cause)));
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.act(Action::Show(state, None));
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }
}

#[cfg(test)]
mod tests;
