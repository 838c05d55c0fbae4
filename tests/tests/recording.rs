//! Recordings: what was served live is in the store, plays from any static server, and goes on after a kill.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use millstream_tests::{Channel, Publisher, Server, Source, Viewer, wait_for};
use serde_json::Value;

const UP: Duration = Duration::from_secs(30);

/// Python's server of static files, on a free port of the loopback address.
struct StaticServer {
    child: Child,
    url: String,
}

impl StaticServer {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // "Serving HTTP on 127.0.0.1 port 12345 (http://127.0.0.1:12345/) ..."
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split(['(', ')']).nth(1).unwrap().trim_end_matches('/').to_owned();
        StaticServer { child, url }
    }
}

impl Drop for StaticServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn vod(server: &Server) -> PathBuf {
    server.folder().join("data/store/vod")
}

fn assets(server: &Server) -> BTreeMap<String, Value> {
    let read = |entry: std::fs::DirEntry| {
        let text = std::fs::read(entry.path().join("asset.json")).ok()?;
        Some((entry.file_name().into_string().unwrap(), serde_json::from_slice(&text).unwrap()))
    };
    std::fs::read_dir(vod(server)).into_iter().flatten().flatten().filter_map(read).collect()
}

/// Notes the bytes of every segment that is listed now.
fn note_live(viewer: &mut Viewer, rendition: &str, live: &mut BTreeMap<u64, Bytes>) {
    let Some(media) = viewer.media(rendition) else { return };
    for segment in media.segments {
        if !live.contains_key(&segment.number)
            && let Some(bytes) = viewer.bytes(&format!("{rendition}/{}", segment.uri))
        {
            live.insert(segment.number, bytes);
        }
    }
}

/// Numbers of a recording's stored segments.
fn stored(server: &Server, asset: &str, rendition: &str) -> BTreeSet<u64> {
    let files = std::fs::read_dir(vod(server).join(asset).join(rendition)).into_iter().flatten().flatten();
    files.filter_map(|f| f.file_name().to_str()?.strip_suffix(".m4s")?.parse().ok()).collect()
}

/// Plays a URL to its end; the seconds that were decoded.
fn play(url: &str) -> f64 {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-xerror", "-progress", "-", "-i", url, "-map", "0:v:0", "-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{url} does not play: {said}");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let micros = text.lines().rev().find_map(|l| l.strip_prefix("out_time_us=")?.parse::<f64>().ok());
    micros.unwrap() / 1e6
}

/// Seconds that a media playlist lists.
fn listed_seconds(playlist: &Path) -> f64 {
    let text = std::fs::read_to_string(playlist).unwrap();
    text.lines().filter_map(|l| l.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn what_was_served_live_is_stored_and_plays_from_a_static_server() {
    let server = Server::start(&[Channel::new("demo").set("reconnect_seconds = 1")]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    viewer.wait_listed(1, UP);
    let names: Vec<String> = viewer.renditions().into_iter().map(|r| r.name).collect();
    let mut live: BTreeMap<String, BTreeMap<u64, Bytes>> = names.iter().map(|n| (n.clone(), BTreeMap::new())).collect();
    let mut note = |live: &mut BTreeMap<String, BTreeMap<u64, Bytes>>| {
        live.iter_mut().for_each(|(name, of)| note_live(&mut viewer, name, of));
    };
    wait_for("twelve seconds", UP, || {
        note(&mut live);
        live.values().all(|of| of.len() >= 6).then_some(())
    });
    publisher.stop();
    let (id, asset) = wait_for("the recording to end", UP, || {
        note(&mut live);
        assets(&server).into_iter().find(|(_, a)| a["state"] == "ended")
    });
    assert_eq!(assets(&server).len(), 1);
    assert_eq!((&asset["channel"], &asset["losses"]), (&"demo".into(), &Value::Null), "{asset}");

    let folder = vod(&server).join(&id);
    for (name, of) in &live {
        for (number, bytes) in of {
            let kept = std::fs::read(folder.join(name).join(format!("{number}.m4s"))).unwrap();
            assert!(kept == *bytes, "{name}: segment {number} is not what was served live");
        }
        let listed = listed_seconds(&folder.join(name).join("index.m3u8"));
        assert!(listed > 11.0, "{name}: {listed} s");
    }

    let expected = listed_seconds(&folder.join(&names[0]).join("index.m3u8"));
    let other = StaticServer::start(&vod(&server));
    for url in [format!("{}/{id}/index.m3u8", other.url), server.url(&format!("/vod/{id}/index.m3u8"))] {
        let played = play(&url);
        assert!((played - expected).abs() < 0.2, "{url}: {played} s of {expected} s");
    }
    let gone = millstream_tests::client::get(&server.url("/vod/no-such/index.m3u8"));
    assert!(gone.is_none_or(|response| response.status == 404));
}

#[test]
fn a_killed_recording_goes_on_in_the_same_asset() {
    let mut server = Server::start(&[Channel::passthrough("demo")]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(3, UP);
    let id = wait_for("the recording", UP, || assets(&server).into_keys().next());
    // Finished for a segment's time: in the store.
    let listed: BTreeSet<u64> = viewer.media(&name).unwrap().segments.iter().map(|s| s.number).collect();
    let newest = viewer.newest(&name).unwrap();
    viewer.wait_number(&name, newest + 1, UP);
    server.kill();
    drop(publisher);
    let before = stored(&server, &id, &name);
    assert!(listed.is_subset(&before), "{listed:?} {before:?}");

    server.start_again();
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    wait_for("more segments in the same asset", UP, || {
        (stored(&server, &id, &name).len() >= before.len() + 3).then_some(())
    });
    publisher.stop();
    let (code, _) = server.stop();
    assert_eq!(code, Some(0));
    assert_eq!(assets(&server).len(), 1);
    assert_eq!(assets(&server)[&id]["state"], "recording", "a channel that is stopped goes on with the next start");
}
