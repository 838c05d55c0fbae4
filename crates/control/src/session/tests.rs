//! Lives of a channel as tables, and a long random one held against what must never happen.

use super::*;

fn at(seconds: f64) -> MonoTime {
    MonoTime(Duration::from_secs_f64(seconds))
}

/// Plays events and returns everything that was to be done, with the time in seconds.
fn play(session: &mut Session, events: &[(f64, Event)]) -> Vec<String> {
    let mut log = Vec::new();
    let mut drain = |session: &mut Session, now: MonoTime| {
        while let Some(action) = session.poll_action() {
            let text = match action {
                Action::Accept(id) => format!("accept {id}"),
                Action::Refuse(id, reason) => format!("refuse {id} {reason:?}"),
                Action::Drop(id) => format!("drop {id}"),
                Action::Show(state, None) => state.as_str().to_owned(),
                Action::Show(state, Some(cause)) => format!("{} {cause}", state.as_str()),
                other => format!("{other:?}"),
            };
            log.push(format!("{} {text}", now.0.as_secs_f64()));
        }
    };
    for (time, event) in events {
        // Timeouts that are due before the event come first, each at its own time.
        while let Some(due) = session.next_change().filter(|due| *due < at(*time)) {
            session.handle_timeout(due);
            drain(session, due);
        }
        session.handle_event(event.clone(), at(*time));
        drain(session, at(*time));
    }
    log
}

use Event::{Drained, Media, OnAir, PublisherEnded, PublisherStarted, Start, Stop};

fn case(name: &str, events: &[(f64, Event)], expected: &[&str]) {
    let log = play(&mut Session::new(Timing::default(), true), events);
    assert_eq!(log, expected, "{name}");
}

const BEGUN: [(f64, Event); 3] = [(0.0, PublisherStarted(1)), (0.5, Media(1)), (1.0, OnAir)];
const BEGUN_LOG: [&str; 4] = ["0 accept 1", "0 Begin", "0 starting", "1 live"];

fn after_begin(name: &str, events: &[(f64, Event)], expected: &[&str]) {
    case(name, &[&BEGUN, events].concat(), &[&BEGUN_LOG, expected].concat());
}

#[test]
fn a_broadcaster_drops_and_returns() {
    after_begin(
        "back in time",
        &[(2.0, Media(1)), (2.0, PublisherEnded(1)), (20.0, PublisherStarted(2)), (20.5, Media(2)), (21.0, Media(1))],
        &["2 input_loss", "20 accept 2", "20 Resume", "20.5 live"],
    );
    after_begin(
        "not back in time: the channel ends cleanly and can start again",
        &[(2.0, PublisherEnded(1)), (32.5, Drained), (40.0, PublisherStarted(2))],
        &["2 input_loss", "32 Drain", "32 draining", "32.5 offline", "40 accept 2", "40 Begin", "40 starting"],
    );
    after_begin(
        "back without sending anything: it is dropped with the channel",
        &[(2.0, PublisherEnded(1)), (31.0, PublisherStarted(2)), (33.0, Drained)],
        &["2 input_loss", "31 accept 2", "31 Resume", "32 drop 2", "32 Drain", "32 draining", "33 offline"],
    );
}

#[test]
fn a_silent_publisher_is_a_loss_and_may_be_replaced() {
    after_begin(
        "stalls for a moment",
        &[(2.0, Media(1)), (4.0, Media(1)), (5.0, Media(1))],
        &["3.5 input_loss", "4 live"],
    );
    after_begin(
        "a second publisher is refused while the first sends, and takes over from a ghost",
        &[(2.0, Media(1)), (3.9, PublisherStarted(2)), (4.0, PublisherStarted(3)), (4.1, Media(3))],
        &["3.5 input_loss", "3.9 refuse 2 Busy", "4 drop 1", "4 accept 3", "4 Resume", "4.1 live"],
    );
    case(
        "a ghost that never sent anything",
        &[(0.0, PublisherStarted(1)), (1.0, PublisherStarted(2)), (2.0, PublisherStarted(3)), (3.0, PublisherEnded(1))],
        &["0 accept 1", "0 Begin", "0 starting", "1 refuse 2 Busy", "2 drop 1", "2 accept 3", "2 Resume"],
    );
}

#[test]
fn a_start_that_comes_to_nothing_leaves_nothing() {
    case(
        "gone before anything was listed",
        &[(0.0, PublisherStarted(1)), (1.0, Media(1)), (2.0, PublisherEnded(1)), (2.5, OnAir)],
        &["0 accept 1", "0 Begin", "0 starting", "2 Abandon", "2 offline"],
    );
}

#[test]
fn stop_and_start() {
    after_begin(
        "stopped while live",
        &[(2.0, Stop), (2.1, PublisherStarted(2)), (2.5, Drained), (3.0, Start), (4.0, PublisherStarted(3))],
        &[
            "2 drop 1",
            "2 Drain",
            "2 draining",
            "2.1 refuse 2 Stopped",
            "2.5 offline",
            "4 accept 3",
            "4 Begin",
            "4 starting",
        ],
    );
    case(
        "stopped while starting",
        &[(0.0, PublisherStarted(1)), (1.0, Stop)],
        &["0 accept 1", "0 Begin", "0 starting", "1 drop 1", "1 Abandon", "1 offline"],
    );
}

#[test]
fn who_returns_during_the_drain_waits_for_it() {
    after_begin(
        "one waits, the next is refused",
        &[(2.0, PublisherEnded(1)), (32.1, PublisherStarted(2)), (32.2, PublisherStarted(3)), (32.5, Drained)],
        &[
            "2 input_loss",
            "32 Drain",
            "32 draining",
            "32.2 refuse 3 Busy",
            "32.5 offline",
            "32.5 accept 2",
            "32.5 Begin",
            "32.5 starting",
        ],
    );
    after_begin(
        "a drain that hangs is cut",
        &[(2.0, PublisherEnded(1)), (50.0, Start)],
        &["2 input_loss", "32 Drain", "32 draining", "42 Cut", "42 offline"],
    );
}

#[test]
fn a_failure_is_shown_and_the_next_publisher_leads_out() {
    after_begin(
        "the encoder cannot be kept alive",
        &[(2.0, Event::Failed("no encoder".into())), (3.0, PublisherStarted(2))],
        &["2 drop 1", "2 Cut", "2 error no encoder", "3 accept 2", "3 Begin", "3 starting"],
    );
}

#[test]
fn a_shorter_reconnect_time_holds_at_once() {
    let timing = Timing { reconnect: Duration::ZERO, ..Timing::default() };
    after_begin(
        "no waiting at all",
        &[(1.2, Event::Retime(timing)), (1.4, PublisherEnded(1))],
        &["1.4 input_loss", "1.4 Drain", "1.4 draining"],
    );
}

/// Whatever happens: one publisher at a time, nothing begun twice, every beginning ended, and no endless work.
#[test]
fn random_lives_keep_the_rules() {
    for seed in 0..200_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let mut session = Session::new(Timing::default(), true);
        let (mut now, mut publisher, mut begun, mut asked) = (0_u64, None, false, 0);
        for _ in 0..400 {
            now += next(4000);
            let known = publisher.unwrap_or(asked);
            let event = match next(10) {
                0..=2 => {
                    asked += 1;
                    PublisherStarted(asked)
                }
                3 => PublisherEnded(known),
                4 | 5 => Media(known),
                6 => OnAir,
                7 => Drained,
                8 if next(4) == 0 => Event::Failed("x".into()),
                _ if next(3) == 0 => Stop,
                _ => Start,
            };
            if event == PublisherEnded(known) && publisher == Some(known) {
                publisher = None;
            }
            session.handle_event(event, MonoTime(Duration::from_millis(now)));
            let mut count = 0;
            while let Some(action) = session.poll_action() {
                count += 1;
                match action {
                    Action::Accept(id) => assert!(publisher.replace(id).is_none(), "seed {seed}: two publishers"),
                    Action::Drop(id) if publisher == Some(id) => publisher = None,
                    Action::Begin => assert!(!std::mem::replace(&mut begun, true), "seed {seed}: begun twice"),
                    Action::Abandon | Action::Cut => assert!(std::mem::take(&mut begun), "seed {seed}: nothing to end"),
                    Action::Show(State::Offline, _) => begun = false,
                    Action::Show(State::Starting | State::Live | State::InputLoss | State::Draining, _)
                    | Action::Drain
                    | Action::Resume => assert!(begun, "seed {seed}: {action:?} without a beginning"),
                    _ => {}
                }
            }
            assert!(count <= 8, "seed {seed}: {count} actions for one event");
            assert_eq!(session.publisher(), publisher, "seed {seed}");
        }
    }
}
