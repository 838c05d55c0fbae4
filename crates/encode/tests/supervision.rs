//! The supervisor on a simulated clock with a simulated worker: deaths, hangs, poison, overload, new ladders.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod fake;

use std::time::Duration;

use fake::{Behaviour, Simulation, T, grid, ladder, name};
use millstream_encode::EncoderEvent;
use millstream_encode_wire::message::{FromWorker, ToWorker};
use millstream_media::time::UtcTime;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn restarts(simulation: &Simulation) -> usize {
    simulation.events.iter().filter(|e| matches!(e, EncoderEvent::Restarted { .. })).count()
}

#[test]
fn after_a_death_every_rendition_goes_on_with_its_next_frame() {
    let mut simulation = Simulation::new(ladder(&["720p", "480p", "360p"]));
    simulation.behaviour = Behaviour { lag: 4, ..Behaviour::default() };
    simulation.contribute(0, 4700);
    let died = simulation.now;
    simulation.die("signal: 9");
    simulation.contribute(4700, 9000);
    let (at, start) = simulation.starts.last().unwrap();
    assert!(*at - died < secs(1));
    let ToWorker::Start { first_frame, resume, .. } = start else { unreachable!() };
    // The first rendition was four frames further than the others.
    assert_eq!(*resume, [(name("720p"), first_frame + 4)]);
    simulation.supervisor.finish();
    simulation.run(secs(1));
    simulation.check();
    assert_eq!([simulation.count("720p"), simulation.count("480p"), simulation.count("360p")], [270, 270, 270]);
    assert_eq!((restarts(&simulation), simulation.starts.len()), (1, 2));
    let announced = simulation.events.iter().filter(|e| matches!(e, EncoderEvent::RenditionStarted { .. })).count();
    assert_eq!(announced, 4, "the same configuration is not announced again");
    assert_eq!(simulation.events.last(), Some(&EncoderEvent::Finished));
}

#[test]
fn a_silent_worker_is_killed_and_one_that_talks_is_not() {
    let mut simulation = Simulation::new(ladder(&["360p"]));
    simulation.contribute(0, 2000);
    // Nothing comes for minutes: the worker answers when it is asked.
    simulation.run(secs(300));
    assert_eq!(simulation.kills, 0);
    simulation.works = false;
    // It was heard up to a second ago.
    simulation.run(Duration::from_millis(1900));
    assert_eq!(simulation.kills, 0);
    simulation.run(Duration::from_millis(2000));
    assert_eq!(simulation.kills, 1);
    assert!(simulation.warnings()[0].contains("nothing was heard of it for 3 s"), "{:?}", simulation.warnings());
}

#[test]
fn a_pause_of_the_owner_is_no_hang() {
    let mut simulation = Simulation::new(ladder(&["360p"]));
    simulation.contribute(0, 1000);
    simulation.works = false;
    for _ in 0..100 {
        simulation.run(Duration::from_millis(500));
        let now = simulation.mono();
        simulation.supervisor.paused(now);
    }
    assert_eq!(simulation.kills, 0);
}

#[test]
fn a_gop_that_kills_workers_is_left_out() {
    for (poison, sound_poison) in [(Some(3500), None), (None, Some(3500)), (Some(0), None), (Some(9966), None)] {
        let mut simulation = Simulation::new(ladder(&["720p", "360p"]));
        simulation.behaviour = Behaviour { poison, sound_poison, lag: 3, ..Behaviour::default() };
        simulation.contribute(0, 10_000);
        simulation.run(secs(1));
        simulation.supervisor.finish();
        simulation.run(secs(3));
        assert_eq!(restarts(&simulation), 2, "{:?}", simulation.warnings());
        assert!(simulation.warnings().iter().any(|w| w.contains("without the pictures it died on")));
        simulation.check();
        assert!(simulation.count("720p").abs_diff(300) <= 40, "{}", simulation.count("720p"));
    }
}

#[test]
fn repeated_deaths_are_spaced_and_a_calm_worker_starts_at_once_again() {
    let mut simulation = Simulation::new(ladder(&["360p"]));
    let mut delays = Vec::new();
    for _ in 0..8 {
        simulation.run(Duration::from_millis(50));
        let died = simulation.now;
        let before = simulation.starts.len();
        simulation.die("exit status: 1");
        while simulation.starts.len() == before {
            simulation.run(Duration::from_millis(10));
        }
        delays.push((simulation.now - died).as_millis());
    }
    assert!(delays[0] <= 20 && delays[1] <= 300, "{delays:?}");
    assert!(delays.windows(2).all(|w| w[1] + 20 >= w[0]) && *delays.last().unwrap() <= 5300, "{delays:?}");
    assert!(*delays.last().unwrap() >= 4900, "{delays:?}");
    simulation.run(secs(40));
    let before = simulation.starts.len();
    simulation.die("exit status: 1");
    simulation.run(Duration::from_millis(20));
    assert_eq!(simulation.starts.len(), before + 1);
}

#[test]
fn overload_sheds_the_highest_first_and_never_the_last() {
    // 90 pictures per second are due with all three.
    for (able, expected) in [(100, vec![]), (70, vec!["720p"]), (40, vec!["720p", "480p"]), (20, vec!["720p", "480p"])]
    {
        let mut simulation = Simulation::new(ladder(&["720p", "480p", "360p"]));
        simulation.behaviour.pictures_per_second = able;
        simulation.contribute(0, 60_000);
        let shed: Vec<_> = simulation
            .events
            .iter()
            .filter_map(|e| if let EncoderEvent::Overloaded { shed, .. } = e { Some(shed.as_str()) } else { None })
            .collect();
        assert_eq!(shed, expected, "{able} pictures per second");
        let behind = simulation.supervisor.backlog();
        assert!(behind < Duration::from_millis(if able == 20 { 12_000 } else { 1500 }), "{able}: {behind:?}");
        // A machine that is far too slow drops a GOP before the second boundary comes.
        assert!(
            simulation.kills == 0 && (able < 50 || simulation.warnings().is_empty()),
            "{:?}",
            simulation.warnings()
        );
        for name in ["720p", "480p", "360p"] {
            let dts: Vec<_> = simulation.samples[name].iter().map(|s| s.dts).collect();
            assert!(dts.windows(2).all(|w| w[1] == w[0] + 1000), "{name}");
        }
    }
}

#[test]
fn a_new_ladder_survives_a_death_on_either_side_of_its_boundary() {
    for die_at in [2500, 3900, 4000, 4033, 4100, 5000] {
        let mut simulation = Simulation::new(ladder(&["720p", "360p"]));
        simulation.behaviour.lag = 2;
        simulation.contribute(0, 2200);
        let at = grid().segment_of_frame(grid().nearest_frame(UtcTime::from_millis(T + 4000)));
        simulation.supervisor.reconfigure(ladder(&["480p", "360p"]), at);
        simulation.contribute(2200, die_at);
        simulation.die("signal: 6");
        simulation.contribute(die_at, 8000);
        simulation.supervisor.finish();
        simulation.run(secs(1));
        simulation.check();
        let counts = ["720p", "480p", "360p"].map(|n| simulation.count(n));
        assert_eq!(counts, [120, 120, 240], "died at {die_at}");
        let ended: Vec<_> =
            simulation.events.iter().filter(|e| matches!(e, EncoderEvent::RenditionEnded { .. })).collect();
        assert_eq!(ended.len(), 1, "died at {die_at}");
        assert_eq!(simulation.supervisor.ladder().video[0].name, name("480p"));
    }
}

#[test]
fn a_rendition_that_fails_holds_nobody_up() {
    let mut simulation = Simulation::new(ladder(&["720p", "360p"]));
    simulation.contribute(0, 500);
    let now = simulation.mono();
    let failed = FromWorker::RenditionFailed { name: name("720p"), reason: "no such encoder".into() };
    simulation.supervisor.message(failed, bytes::Bytes::new(), now);
    simulation.contribute(500, 1000);
    simulation.die("signal: 9");
    simulation.contribute(1000, 4000);
    let (_, ToWorker::Start { ladder, .. }) = simulation.starts.last().unwrap() else { unreachable!() };
    assert_eq!(ladder.video.len(), 1);
    simulation.check();
    assert_eq!(simulation.count("360p"), 120);
}

#[test]
fn a_dead_worker_at_the_end_does_not_keep_the_channel() {
    let mut simulation = Simulation::new(ladder(&["360p"]));
    simulation.contribute(0, 1000);
    simulation.works = false;
    simulation.supervisor.finish();
    for _ in 0..3 {
        simulation.run(secs(6));
    }
    assert_eq!(simulation.events.last(), Some(&EncoderEvent::Finished));
    assert!(simulation.supervisor.is_over());
}

#[test]
fn a_loss_is_bridged_across_a_death() {
    let mut simulation = Simulation::new(ladder(&["360p"]));
    simulation.contribute(0, 2000);
    for tick in 20..60 {
        simulation.supervisor.advance(UtcTime::from_millis(T + tick * 100), tick > 40);
        simulation.run(Duration::from_millis(100));
        if tick == 40 {
            simulation.die("signal: 9");
        }
    }
    simulation.contribute(6000, 8000);
    simulation.check();
    assert_eq!(simulation.count("360p"), 240);
}

#[test]
fn deaths_in_a_row_are_told_once_then_counted_and_no_backlog_is_blamed_on_speed() {
    let mut simulation = Simulation::new(ladder(&["360p"]));
    simulation.works = false;
    for tick in 0..40 {
        // Half a second of contribution each, and each worker dies before it makes anything.
        simulation.contribute(tick * 500, (tick + 1) * 500);
        simulation.die("exit status: 1");
    }
    let unable: Vec<u32> = simulation
        .events
        .iter()
        .filter_map(|e| if let EncoderEvent::Unable { starts, .. } = e { Some(*starts) } else { None })
        .collect();
    assert!(unable.len() >= 2 && unable.iter().enumerate().all(|(i, n)| *n == 3 * (i as u32 + 1)), "{unable:?}");
    let told =
        simulation.warnings().iter().filter(|w| w.contains("starting it again") && !w.contains("without")).count();
    assert_eq!(told, 1, "{:?}", simulation.warnings());
    assert!(simulation.warnings().iter().all(|w| !w.contains("behind")), "{:?}", simulation.warnings());
    let before = simulation.events.len();
    simulation.works = true;
    simulation.run(secs(6));
    simulation.contribute(20_000, 24_000);
    assert!(simulation.count("360p") > 0, "it mends by itself");
    simulation.die("exit status: 1");
    simulation.run(Duration::from_millis(20));
    let told = simulation.events[before..].iter();
    assert_eq!(told.filter(|e| matches!(e, EncoderEvent::Warning(w) if w.contains("starting it again"))).count(), 1);
}

#[test]
fn a_ladder_asked_for_while_a_rendition_is_shed_comes_after_it_and_costs_nothing() {
    for asked_at in [0, 100, 500, 900, 1400] {
        let mut simulation = Simulation::new(ladder(&["720p", "480p", "360p"]));
        simulation.behaviour.pictures_per_second = 70;
        let shed = |simulation: &Simulation| {
            simulation.events.iter().find_map(|e| match e {
                EncoderEvent::Overloaded { at_segment, .. } => Some(*at_segment),
                _ => None,
            })
        };
        let mut ms = 0;
        while shed(&simulation).is_none() {
            simulation.contribute(ms, ms + 100);
            ms += 100;
            assert!(ms < 60_000, "nothing was shed");
        }
        simulation.contribute(ms, ms + asked_at);
        ms += asked_at;
        let shed = shed(&simulation).unwrap();
        simulation.behaviour.pictures_per_second = 1000;
        // The owner does not know of the shed rendition yet, and names a segment of its own.
        simulation.supervisor.reconfigure(ladder(&["720p", "360p"]), shed);
        simulation.contribute(ms, ms + 12_000);
        simulation.supervisor.finish();
        simulation.run(secs(1));
        let failed = simulation.events.iter().find(|e| matches!(e, EncoderEvent::RenditionFailed { .. }));
        assert_eq!(failed, None, "{asked_at} ms after");
        let planned = simulation.events.iter().find_map(|e| match e {
            EncoderEvent::LadderPlanned { ladder, at_segment } => Some((ladder.video.len(), *at_segment)),
            _ => None,
        });
        assert!(planned.is_some_and(|(n, at)| n == 2 && at > shed), "{planned:?} after {shed}");
        let changes: Vec<(String, u64)> = simulation
            .events
            .iter()
            .filter_map(|e| match e {
                EncoderEvent::RenditionEnded { name, at_segment } => Some((format!("-{name}"), *at_segment)),
                EncoderEvent::RenditionStarted { track, from_segment } if *from_segment >= shed => {
                    Some((format!("+{}", track.name), *from_segment))
                }
                _ => None,
            })
            .collect();
        let at = planned.unwrap().1;
        assert_eq!(
            changes,
            [("-720p".into(), shed), ("-480p".into(), at), ("+720p".into(), at)],
            "{asked_at} ms after"
        );
        let gap = simulation.samples["360p"].windows(2).find(|p| p[1].dts != p[0].dts + 1000);
        assert!(gap.is_none());
        assert_eq!(simulation.supervisor.ladder().video.len(), 2);
    }
}
