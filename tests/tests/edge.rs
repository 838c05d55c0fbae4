//! Viewers behind edges: the same stream through one and two levels, an edge killed in the middle, and an origin that
//! does not notice how many watch; an origin that is frozen.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use millstream_check::hls::playlist::Media;
use millstream_tests::client::{get, get_json};
use millstream_tests::server::binary;
use millstream_tests::wait::{Deadline, within};
use millstream_tests::{Channel, Publisher, Server, Source, Viewer, decode, process, wait_for};
use tempfile::TempDir;

const UP: Duration = Duration::from_secs(30);

/// A running edge; it ends with the test.
struct Edge {
    child: Child,
    folder: TempDir,
    http: String,
}

impl Edge {
    fn start(origins: &[String]) -> Edge {
        let folder = tempfile::Builder::new().prefix("millstream-edge-").tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(binary("millstream"));
        command
            .args(["serve", "--role", "edge", "--http", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"));
        for origin in origins {
            command.args(["--origin", origin]);
        }
        let child = command
            .env("MILLSTREAM_EDGE_DISK_BYTES", "100000000")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("target/release/millstream is not built");
        let mut edge = Edge { child, folder, http: String::new() };
        let listening: PathBuf = edge.folder.path().join("data/listening.json");
        let bound = within(UP, || {
            let bound: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&listening).ok()?).ok()?;
            Some(bound["http"].as_str()?.to_owned())
        });
        edge.http = bound.unwrap_or_else(|| panic!("the edge is not up; its log:\n{}", edge.log()));
        edge
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn viewer(&self, channel: &str) -> Viewer {
        Viewer::new(self.url(&format!("/live/{channel}/")))
    }

    fn metric(&self, start: &str) -> f64 {
        let text = String::from_utf8(get(&self.url("/metrics")).unwrap().body.to_vec()).unwrap();
        text.lines().filter(|l| l.starts_with(start)).filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn on_air() -> (Server, Publisher) {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    server.viewer("demo").wait_listed(3, UP);
    (server, publisher)
}

#[test]
fn ffmpeg_plays_through_two_levels_and_the_death_of_one_edge() {
    let (server, _publisher) = on_air();
    let mut first = Edge::start(&[server.url("")]);
    let second = Edge::start(&[server.url("")]);
    let top = Edge::start(&[first.url(""), second.url("")]);
    let mut viewer = top.viewer("demo");
    let rendition = viewer.wait_listed(3, UP);
    let newest = viewer.newest(&rendition).unwrap();

    // The bytes are the origin's.
    let path = format!("{rendition}/{newest}.m4s");
    assert_eq!(viewer.bytes(&path).unwrap(), server.viewer("demo").bytes(&path).unwrap());
    assert!(first.metric("millstream_edge_requests_total") > 0.0, "the preferred one was asked");

    let out = first.folder.path().join("played.mp4");
    let mut player = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-i",
            &top.url("/live/demo/index.m3u8"),
            "-t",
            "8",
            "-c",
            "copy",
            "-y",
            "-movflags",
            "+frag_keyframe+empty_moov",
        ])
        .arg(&out)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    viewer.wait_number(&rendition, newest + 1, UP);
    process::signal(first.child.id(), "KILL");
    first.child.wait().unwrap();
    let before = viewer.newest(&rendition).unwrap();
    viewer.wait_number(&rendition, before + 3, UP);
    let ended = wait_for("the player", UP, || player.try_wait().unwrap());
    assert!(ended.success(), "{}", top.log());
    let (packets, _) = decode::packets(&std::fs::read(&out).unwrap());
    assert!(packets.len() >= 7 * 30, "{} packets", packets.len());
    let origins = get_json(&top.url("/api/v1/edge")).unwrap();
    assert_eq!((&origins[0]["healthy"], &origins[1]["healthy"]), (&false.into(), &true.into()), "{origins}");
    assert_eq!(get(&top.url("/healthz")).unwrap().status, 200);
    assert_eq!(get(&top.url("/readyz")).unwrap().status, 200);
    assert_eq!(get(&top.url("/api/v1/time")).unwrap().status, 200, "the manifests name it");
    assert_eq!(get(&top.url("/api/v1/channels")).unwrap().status, 404, "an edge has no channels");
}

/// How far a list is: the first segment that is not whole, and how many of its parts are listed.
fn progress(list: &Media) -> (u64, usize) {
    let next = list.segments.last().map_or(0, |segment| segment.number) + 1;
    let name = format!("{next}.");
    (next, list.parts.iter().filter(|part| part.uri.starts_with(&name)).count())
}

/// STANDARDS 1.40: held until this part is listed. Gives the moment of the answer.
fn held(url: &str, (msn, part): (u64, usize)) -> Duration {
    let clock = Deadline::after(UP);
    let answer = get(&format!("{url}?_HLS_msn={msn}&_HLS_part={part}")).unwrap();
    assert_eq!(answer.status, 200, "{url} {msn} {part}");
    clock.elapsed()
}

/// An origin that takes requests and says nothing: frozen, or cut off without a word.
#[test]
fn a_frozen_origin_costs_viewers_a_fraction_of_a_part() {
    let (server, _publisher) = on_air();
    let first = Edge::start(&[server.url("")]);
    let second = Edge::start(&[server.url("")]);
    let top = Edge::start(&[first.url(""), second.url("")]);
    let mut viewer = top.viewer("demo");
    let rendition = viewer.wait_listed(3, UP);
    let list = viewer.media(&rendition).unwrap();
    let part = Duration::from_nanos(list.part_target.unwrap().try_into().unwrap());
    let path = format!("/live/demo/{rendition}/index.m3u8");
    let mut origin = server.viewer("demo");
    let mut late = Vec::new();
    for round in 0..8 {
        let (msn, listed) = progress(&origin.media(&rendition).unwrap());
        // What the channel itself says, and what comes through the edges, of one and the same part.
        let (theirs, ours) = std::thread::scope(|scope| {
            let straight = scope.spawn(|| held(&server.url(&path), (msn, listed + 1)));
            let through = scope.spawn(|| held(&top.url(&path), (msn, listed + 1)));
            if round == 2 {
                process::signal(first.child.id(), "STOP");
            }
            (straight.join().unwrap(), through.join().unwrap())
        });
        assert!(theirs > part / 4, "held for {theirs:?} only");
        late.push(ours.saturating_sub(theirs));
    }
    let worst = late.iter().max().unwrap();
    println!("parts of {part:?}; later than at the origin: {late:?}");
    assert!(*worst < part, "parts of {part:?}; later than at the origin: {late:?}\n{}", top.log());
    let origins = get_json(&top.url("/api/v1/edge")).unwrap();
    assert_eq!((&origins[0]["healthy"], &origins[1]["healthy"]), (&false.into(), &true.into()), "{origins}");
    process::signal(first.child.id(), "CONT");
    wait_for("the preferred origin to be asked again", UP, || {
        let origins = get_json(&top.url("/api/v1/edge"))?;
        (origins[0]["healthy"] == true).then_some(())
    });
}

/// Requests upstream that so many viewers cause who all fetch the same.
fn upstream_requests(server: &Server, paths: &[String], viewers: usize) -> f64 {
    let edge = Edge::start(&[server.url("")]);
    std::thread::scope(|scope| {
        for _ in 0..viewers {
            scope.spawn(|| {
                for path in paths {
                    assert_eq!(get(&edge.url(path)).unwrap().status, 200, "{path}");
                }
            });
        }
    });
    let answers = edge.metric("millstream_edge_requests_total");
    assert_eq!(
        answers,
        (viewers * paths.len()) as f64 + edge.metric("millstream_edge_requests_total{result=\"refused\"}")
    );
    edge.metric("millstream_edge_origin_requests_total")
}

#[test]
fn origin_requests_do_not_grow_with_viewers() {
    let (server, _publisher) = on_air();
    let mut viewer = server.viewer("demo");
    let rendition = viewer.wait_listed(3, UP);
    let newest = viewer.newest(&rendition).unwrap();
    let paths: Vec<String> = (newest - 2..=newest).map(|n| format!("/live/demo/{rendition}/{n}.m4s")).collect();
    let (few, many) = (upstream_requests(&server, &paths, 5), upstream_requests(&server, &paths, 200));
    assert_eq!((few, many), (3.0, 3.0));
}
