//! Memory is bounded by the window: flat over a long run, and no more than the formula of docs/performance.md.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "MILLSTREAM_SOAK_SECONDS makes the soak as long as one likes")]

use std::time::Duration;

use millstream_tests::process::resident_bytes;
use millstream_tests::wait::holds_for;
use millstream_tests::{Channel, Publisher, Server, Source};

const UP: Duration = Duration::from_secs(20);

/// Resident memory that a channel may take beyond the bytes of its window.
const PER_CHANNEL: u64 = 1024 * 1024;

/// What an allocator keeps back, and the noise of a measurement.
const SLACK: u64 = 6 * 1024 * 1024;

#[test]
fn memory_is_flat_while_a_channel_runs() {
    let seconds = std::env::var("MILLSTREAM_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    // The smallest window, so that it is full (and segments go) soon.
    let channel = Channel::passthrough("demo").set("window_seconds = 10");
    let server = Server::start(&[channel]);
    let source = Source { kbps: 2000, ..Source::small() };
    let _publisher = Publisher::start(&server, "test-key-demo", &source);
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(5, UP);
    let first = viewer.newest(&name).unwrap();
    // Two windows more, and what is kept of them is steady.
    viewer.wait_number(&name, first + 12, Duration::from_secs(40));
    let steady = resident_bytes(server.pid()).unwrap();
    let mut most = steady;
    holds_for("flat memory", Duration::from_secs(seconds), || {
        // A viewer that reads on: playlists and the newest segment.
        let media = viewer.media(&name).ok_or("no playlist")?;
        let newest = media.segments.last().ok_or("an empty list")?;
        viewer.bytes(&format!("{name}/{}", newest.uri)).ok_or("no segment")?;
        let now = resident_bytes(server.pid()).ok_or("no server")?;
        most = most.max(now);
        if now > steady + SLACK { Err(format!("{now} bytes after {steady}")) } else { Ok(()) }
    });
    println!("resident: {steady} bytes when steady, at most {most}");
}

#[test]
fn a_passthrough_channel_takes_its_window_and_one_megabyte() {
    const CHANNELS: usize = 8;
    let channels: Vec<Channel> =
        (0..CHANNELS).map(|n| Channel::passthrough(&format!("c{n}")).set("window_seconds = 10")).collect();
    let server = Server::start(&channels);
    let idle = resident_bytes(server.pid()).unwrap();
    let source = Source { size: Some((160, 90)), kbps: 1500, ..Source::small() };
    let publishers: Vec<Publisher> = channels.iter().map(|c| Publisher::start(&server, &c.key, &source)).collect();
    // Until every window is full and segments have begun to go.
    let listed: Vec<(String, String, u64)> = channels
        .iter()
        .map(|channel| {
            let mut viewer = server.viewer(&channel.name);
            let rendition = viewer.wait_listed(3, Duration::from_secs(40));
            let newest = viewer.newest(&rendition).unwrap();
            (channel.name.clone(), rendition, newest)
        })
        .collect();
    for (channel, rendition, first) in listed {
        server.viewer(&channel).wait_number(&rendition, first + 14, Duration::from_secs(60));
    }
    let (now, windows) = (resident_bytes(server.pid()).unwrap(), window_bytes(&server));
    let allowed = idle + windows + CHANNELS as u64 * PER_CHANNEL + SLACK;
    println!("idle {idle}, windows {windows}, now {now}, allowed {allowed}");
    assert!(now <= allowed, "{now} bytes, {allowed} are allowed");
    // docs/performance.md: rate × (2·L + 11·T), L = 12 s of list, T = 3.5 s, the longest segment; 1.6 Mb/s and a tenth.
    let formula = 1_760_000 / 8 * (2 * 12 + 11 * 7 / 2) * CHANNELS as u64;
    assert!(windows <= formula, "{windows} bytes in windows, the formula says {formula}");
    assert!(windows >= formula / 8, "{windows} bytes in windows: the measurement measured nothing");
    drop(publishers);
}

/// Bytes in all windows, as the server says.
fn window_bytes(server: &Server) -> u64 {
    let metrics = millstream_tests::client::get(&server.url("/metrics")).unwrap();
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let values = text.lines().filter(|l| l.starts_with("millstream_window_bytes{"));
    values.map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}
