//! Without a worker a channel says so, once, and goes on air by itself when there is one; after a restart it is awaited.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::os::unix::fs::symlink;
use std::time::Duration;

use millstream_tests::wait::holds_for;
use millstream_tests::{Channel, Publisher, Server, Source, server, wait_for};

const UP: Duration = Duration::from_secs(20);

#[test]
fn a_missing_worker_is_an_error_that_mends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let worker = folder.path().join("worker");
    let extra = format!("[encode]\nworker = \"{}\"", worker.display());
    let server = Server::start_with(&[Channel::new("demo")], &extra);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    server.wait_state("demo", "error", UP);
    let cause = server.channel("demo")["error"].as_str().unwrap_or_default().to_owned();
    assert!(cause.contains("install millstream-encoder"), "{cause}");
    holds_for("the error", Duration::from_secs(8), || {
        let status = server.channel("demo");
        if status["state"] == "error" { Ok(()) } else { Err(format!("{status}")) }
    });
    let log = server.log();
    assert!(!log.contains("behind"), "a missing worker is not a slow one:\n{log}");
    for line in ["starting it again", "the channel cannot be encoded"] {
        assert!((1..=4).contains(&log.matches(line).count()), "{line}:\n{log}");
    }
    publisher.kill();
    server.wait_state("demo", "offline", UP);

    let _again = Publisher::start(&server, "test-key-demo", &Source::small());
    server.wait_state("demo", "error", UP);
    symlink(server::binary("millstream-encoder"), &worker).unwrap();
    server.wait_state("demo", "live", Duration::from_secs(30));
    assert!(server.channel("demo")["error"].is_null());
}

#[test]
fn after_a_kill_a_channel_that_was_on_air_is_awaited() {
    let mut server = Server::start(&[Channel::passthrough("demo").set("reconnect_seconds = 6")]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    server.viewer("demo").wait_listed(2, UP);
    server.kill();
    publisher.kill();
    server.start_again();
    server.wait_state("demo", "input_loss", Duration::from_secs(2));
    server.wait_state("demo", "offline", Duration::from_secs(10));
    // That is known now, too.
    server.kill();
    server.start_again();
    wait_for("the channel", UP, || (server.channel("demo")["state"] == "offline").then_some(()));
}

#[test]
fn longer_segments_count_on_above_the_shorter_ones() {
    let mut server = Server::start(&[Channel::new("demo")]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    let last = viewer.newest(&name).unwrap();
    server.kill();
    publisher.kill();
    server.set_channels(&[Channel::new("demo").set("segment_seconds = 4")]);
    server.start_again();
    let _again = Publisher::start(&server, "test-key-demo", &Source::small());
    viewer.wait_number(&name, last + 1, UP);
    server.wait_state("demo", "live", UP);
    assert!(server.channel("demo")["warnings"].to_string().contains("above those of the clock"));
}
