//! Everything is killed, at random moments, and the channel is on the air again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use millstream_tests::process;
use millstream_tests::random::Random;
use millstream_tests::server::wait_gone;
use millstream_tests::wait::holds_for;
use millstream_tests::{Channel, Publisher, Server, Source, wait_for};

const UP: Duration = Duration::from_secs(20);

/// 3 s is the promise, counted from the contribution's return; ffmpeg itself needs up to a second to come up.
const BACK_WITHIN: Duration = Duration::from_secs(4);

#[test]
fn a_publisher_killed_twenty_times_leaves_no_trace() {
    let mut random = Random::seeded(20_261_122);
    let server = Server::start(&[Channel::new("demo")]);
    let mut publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    let first = viewer.newest(&name).unwrap();
    let files = process::open_files(server.pid());
    let mut last = first;
    for round in 0..20 {
        let span = Duration::from_millis(random.between(50, 2000));
        holds_for("the channel", span, || {
            let media = viewer.media(&name).ok_or("no playlist")?;
            let newest = media.segments.last().ok_or("an empty list")?.number;
            if media.ended || newest < last {
                return Err(format!("ended {} newest {newest} before {last} in round {round}", media.ended));
            }
            last = newest;
            Ok(())
        });
        publisher.kill();
        publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    }
    server.wait_state("demo", "live", BACK_WITHIN);
    let media = viewer.wait_number(&name, last + 2, Duration::from_secs(10));
    let numbers: Vec<u64> = media.segments.iter().map(|s| s.number).collect();
    assert!(numbers.windows(2).all(|p| p[0] + 1 == p[1]), "{numbers:?}");
    assert!(server.workers().len() <= 1, "a worker was left behind");
    wait_for("the connections to be closed", Duration::from_secs(10), || {
        (process::open_files(server.pid()) <= files + 4).then_some(())
    });
}

#[test]
fn a_killed_worker_is_replaced() {
    let server = Server::start(&[Channel::new("demo")]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    for _ in 0..3 {
        let before = viewer.newest(&name).unwrap();
        let workers = server.workers();
        assert_eq!(workers.len(), 1, "one worker for one channel");
        process::signal(workers[0], "KILL");
        // A segment that began after the kill is whole at most one segment later.
        let media = viewer.wait_number(&name, before + 2, Duration::from_secs(3) + Duration::from_secs(4));
        assert!(!media.ended);
        assert_ne!(server.workers(), workers);
        server.wait_state("demo", "live", BACK_WITHIN);
    }
}

#[test]
fn a_hanging_worker_is_replaced() {
    let server = Server::start(&[Channel::new("demo")]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    let before = viewer.newest(&name).unwrap();
    let worker = server.workers()[0];
    process::signal(worker, "STOP");
    viewer.wait_number(&name, before + 4, Duration::from_secs(16));
    assert!(!process::is_running(worker), "the hanging worker is still there");
}

#[test]
fn a_server_killed_and_started_again_is_back_at_once() {
    back_after_a_kill(Channel::new("demo").set("low_latency = false"), BACK_WITHIN);
}

/// Viewers may have parts of the segment that was open, so its number is not used again (docs/decisions/0009): the next
/// one begins up to a segment later.
#[test]
fn a_low_latency_server_killed_and_started_again_is_back_a_segment_later() {
    back_after_a_kill(Channel::new("demo"), BACK_WITHIN + Duration::from_secs(2));
}

fn back_after_a_kill(channel: Channel, within: Duration) {
    let mut server = Server::start(&[channel]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(3, UP);
    let mut before: BTreeMap<String, Bytes> = BTreeMap::new();
    let listed = viewer.media(&name).unwrap();
    for segment in listed.segments.iter().filter(|s| !s.gap) {
        before.insert(segment.uri.clone(), viewer.bytes(&format!("{name}/{}", segment.uri)).unwrap());
    }
    let last = listed.segments.last().unwrap().number;

    let orphans = server.kill();
    wait_gone("the workers of the killed server", &orphans, Duration::from_secs(3));
    publisher.kill();
    server.start_again();
    let _again = Publisher::start(&server, "test-key-demo", &Source::small());
    let media = wait_for("new media after the restart", within, || {
        viewer.media(&name).filter(|m| m.segments.last().is_some_and(|s| s.number > last))
    });
    assert!(media.segments.iter().all(|s| s.number > last || before.contains_key(&s.uri)), "a number was used again");
    // What was served before is either the same bytes or gone.
    for (uri, bytes) in &before {
        if let Some(now) = viewer.bytes(&format!("{name}/{uri}")) {
            assert_eq!(now, *bytes, "{uri} means other bytes than before the restart");
        }
    }
    assert!(server.workers().len() <= 1);
}
