//! Asks one origin, and the next while the first is silent for longer than it should be: whoever answers first.
//!
//! An origin that answers nothing costs viewers a fraction of a part. Nothing is taken from one that is only slow: its
//! answer counts for as long as no other is there.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use crate::attempt::{self, Pulse, Question, Trouble, Won};
use crate::cadence::Wanted;
use crate::clock::{self, Moment};
use crate::edge::Shared;
use crate::key::Hold;
use crate::upstream::Fault;

/// An origin that was asked.
struct Lane {
    index: usize,
    pulse: Arc<Pulse>,
    is_over: bool,
}

/// The attempts that are under way, in the order in which they began.
struct Race {
    shared: Arc<Shared>,
    question: Question,
    lanes: Vec<Lane>,
    running: FuturesUnordered<Attempt>,
}

type Attempt = futures::future::BoxFuture<'static, (usize, Result<Won, Trouble>)>;

/// The first answer to go by, or why there is none.
pub async fn first(shared: &Arc<Shared>, question: &Question) -> Result<Won, Option<Trouble>> {
    let mut health = shared.upstream.watch();
    let mut order = shared.upstream.order().into_iter();
    let mut next = order.next();
    let mut trouble = None;
    let running = FuturesUnordered::new();
    let mut race = Race { shared: Arc::clone(shared), question: question.clone(), lanes: Vec::new(), running };
    let mut overdue = Moment::default();
    loop {
        if race.running.is_empty() || (next.is_some() && race.is_silent_at(overdue)) {
            let Some(index) = next else { return Err(trouble) };
            race.start(index);
            next = order.next();
            overdue = race.overdue();
        }
        let wait = overdue.since(clock::now());
        tokio::select! {
            biased;
            Some((turn, result)) = race.running.next() => {
                let is_first = race.end(turn);
                match result {
                    Ok(Won::Whole(object)) if !object.status().is_success() && !is_first => {
                        // It does not have what one that was asked before it may have.
                        trouble = Some(worse(trouble, Trouble::Answer(object)));
                    }
                    Ok(won) => {
                        race.judge(turn);
                        return Ok(won);
                    }
                    Err(new) => {
                        trouble = Some(worse(trouble, new));
                        overdue = Moment::default();
                    }
                }
            }
            () = tokio::time::sleep(wait), if next.is_some() => overdue = race.overdue_after_a_sign(overdue),
            Ok(()) = health.changed(), if next.is_some() => {
                if race.is_given_up() {
                    overdue = Moment::default();
                }
            }
        }
    }
}

impl Race {
    fn start(&mut self, index: usize) {
        if !self.lanes.is_empty() {
            self.shared.metrics.failovers.increment();
        }
        let turn = self.lanes.len();
        let pulse = Arc::new(Pulse::new(clock::now()));
        let attempt = attempt::attempt(Arc::clone(&self.shared), index, self.question.clone(), Arc::clone(&pulse));
        self.lanes.push(Lane { index, pulse, is_over: false });
        self.running.push(Box::pin(async move { (turn, attempt.await) }));
    }

    /// An attempt has ended. Whether all that began before it have, too.
    fn end(&mut self, turn: usize) -> bool {
        if let Some(lane) = self.lanes.get_mut(turn) {
            lane.is_over = true;
        }
        self.lanes.iter().take(turn).all(|lane| lane.is_over)
    }

    /// From when on the newest attempt is silent for longer than it should be.
    fn overdue(&self) -> Moment {
        let (config, now) = (&self.shared.config, clock::now());
        let soon = now.plus(config.answer_timeout);
        if self.question.asked.hold == Hold::No {
            return soon;
        }
        let mut room = String::new();
        let due = Wanted::of(&self.question.target, &mut room).and_then(|wanted| self.shared.cadence.due(&wanted));
        match due {
            Some(due) if self.lanes.len() == 1 => due.at.plus(late(due.part)).max(soon),
            Some(due) => now.plus(late(due.part)).max(soon),
            None => now.plus(config.part_hold),
        }
    }

    /// The time has come; but an origin that has just been heard of is not silent.
    fn overdue_after_a_sign(&self, overdue: Moment) -> Moment {
        let last = self.lanes.last().map_or(Moment::default(), |lane| lane.pulse.last());
        overdue.max(last.plus(self.shared.config.answer_timeout))
    }

    fn is_silent_at(&self, overdue: Moment) -> bool {
        clock::now() >= overdue
    }

    /// Whether other requests have shown meanwhile that nobody who was asked answers.
    fn is_given_up(&self) -> bool {
        self.lanes.iter().filter(|lane| !lane.is_over).all(|lane| !self.shared.upstream.is_healthy(lane.index))
    }

    /// One has answered. Those that were asked before it should have, too.
    fn judge(self, winner: usize) {
        let timeout = self.shared.config.answer_timeout;
        let silent = move |lane: &Lane| clock::now().since(lane.pulse.last()) >= timeout;
        let Race { shared, question, lanes, mut running } = self;
        let before = || lanes.iter().take(winner).filter(|lane| !lane.is_over);
        if before().next().is_none() {
            return;
        }
        let fail = |shared: &Shared, lane: &Lane| shared.upstream.failed(lane.index, &Fault::TimeOut.to_string());
        if question.asked.hold == Hold::No {
            before().filter(|lane| silent(lane)).for_each(|lane| fail(&shared, lane));
            return;
        }
        // Held at both, the answers may come one shortly after the other.
        let mut late: Vec<(usize, Lane)> =
            lanes.into_iter().enumerate().take(winner).filter(|(_, l)| !l.is_over).collect();
        tokio::spawn(async move {
            let over = async {
                while !late.is_empty()
                    && let Some((turn, _)) = running.next().await
                {
                    late.retain(|(other, _)| *other != turn);
                }
            };
            if tokio::time::timeout(timeout, over).await.is_err() {
                late.iter().for_each(|(_, lane)| fail(&shared, lane));
            }
        });
    }
}

/// How much later than due something may come before another origin is asked.
fn late(part: Duration) -> Duration {
    part / 4
}

/// Of two troubles the one that tells viewers more: an answer before none, "not there" before "out of order".
fn worse(old: Option<Trouble>, new: Trouble) -> Trouble {
    match (old, new) {
        (Some(Trouble::Answer(old)), Trouble::Answer(new)) => {
            let rank = |o: &crate::object::Object| {
                (o.status().is_server_error(), o.status() != http::StatusCode::SERVICE_UNAVAILABLE)
            };
            Trouble::Answer(if rank(&new) < rank(&old) { new } else { old })
        }
        (Some(old @ Trouble::Answer(_)), _) => old,
        (_, new) => new,
    }
}
