//! Clips that begin and end at frames: the pictures and the length that were asked for, clean over their joints; as one file
//! on disk; and what a channel's live URLs say once it is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeSet;
use std::time::Duration;

use millstream_check::http::Http;
use millstream_check::text::resolve;
use millstream_check::{Options, live};
use millstream_media::time::UtcTime;
use millstream_tests::client::{get, get_json, send_json};
use millstream_tests::decode::{decoded_frames, packets, thumbnails};
use millstream_tests::{Channel, Publisher, Server, Source, Viewer, wait_for};
use serde_json::{Value, json};

const UP: Duration = Duration::from_secs(60);
const FRAME: Duration = Duration::from_nanos(33_333_333);

fn instant(value: &Value) -> UtcTime {
    UtcTime::from_iso8601(value.as_str().unwrap()).unwrap()
}

fn assert_clean(server: &Server, id: &str) {
    let mpd = Some(server.url(&format!("/vod/{id}/manifest.mpd")));
    let options = Options { mpd, backlog: usize::MAX, ..Options::default() };
    let report = live(&mut Http::new(), &server.url(&format!("/vod/{id}/index.m3u8")), options);
    assert!(report.segments > 0, "{id}: nothing was read");
    for finding in &report.findings {
        println!("{id}: {finding}");
    }
    assert_eq!(report.errors().count(), 0, "{id}: the checker found errors; they are listed above");
}

/// Init and segments of a rendition, in the order of its playlist, and the folders they lie in.
fn whole(server: &Server, asset: &str, rendition: &str) -> (Vec<u8>, Vec<String>) {
    let url = server.url(&format!("/vod/{asset}/{rendition}/index.m3u8"));
    let text = String::from_utf8(get(&url).unwrap().body.to_vec()).unwrap();
    let (mut out, mut uris, mut inits) = (Vec::new(), Vec::new(), BTreeSet::new());
    for line in text.lines() {
        let map = line.strip_prefix("#EXT-X-MAP:URI=\"").and_then(|l| l.strip_suffix('"'));
        let Some(uri) = map.or_else(|| (!line.starts_with('#')).then_some(line)) else { continue };
        let bytes = get(&resolve(&url, uri)).unwrap();
        assert_eq!(bytes.status, 200, "{uri}");
        if map.is_none() {
            uris.push(uri.to_owned());
        } else if !inits.insert(bytes.body.clone()) {
            // The same again: nothing that a decoder must be told.
            continue;
        }
        out.extend_from_slice(&bytes.body);
    }
    (out, uris)
}

/// How different two pictures are: the mean of the differences of their pixels.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len().max(1) as f64
}

/// The frames of `all` that `part` shows, found by its pictures: the place of its first one.
fn place(part: &[Vec<u8>], all: &[Vec<u8>], frame: usize) -> usize {
    let wanted = &part[frame];
    let nearest = (0..all.len()).min_by(|a, b| difference(wanted, &all[*a]).total_cmp(&difference(wanted, &all[*b])));
    nearest.unwrap()
}

fn clip(server: &Server, asset: &str, start: UtcTime, end: UtcTime, id: &str) -> (u16, Value) {
    let body = json!({
        "asset": asset, "start": start.to_iso8601(), "end": end.to_iso8601(), "precise": true, "id": id,
    });
    send_json("POST", &server.url("/api/v1/clips"), Some(&body))
}

/// A clip of `asset` from `start` to `end` is what was asked for, on all renditions.
fn assert_precise(server: &Server, asset: &str, start: UtcTime, end: UtcTime, id: &str) {
    let (status, made) = clip(server, asset, start, end, id);
    assert_eq!(status, 201, "{made}");
    let off = |a: UtcTime, b: UtcTime| Duration::from_nanos(a.nanos_since(b).unsigned_abs());
    assert!(off(instant(&made["start"]), start) <= FRAME / 2 + Duration::from_millis(1), "{made} for {start}");
    assert!(off(instant(&made["end"]), end) <= FRAME / 2 + Duration::from_millis(1), "{made} for {end}");
    assert_clean(server, id);
    let wanted = end.since(start).as_secs_f64();
    let recording_start = instant(&get_json(&server.url(&format!("/api/v1/assets/{asset}"))).unwrap()["start"]);
    let mut viewer = Viewer::new(server.url(&format!("/vod/{id}/")));
    for rendition in viewer.renditions() {
        let (file, uris) = whole(server, id, &rendition.name);
        let own = uris.iter().filter(|u| !u.contains("..")).count();
        println!("{id} {}: {} segments, {own} of them its own", rendition.name, uris.len());
        assert!((1..=2).contains(&own), "{uris:?}");
        let (list, stream) = packets(&file);
        let (_, scale) = stream["time_base"].as_str().unwrap().split_once('/').unwrap();
        let scale: f64 = scale.parse().unwrap();
        // No gap and no overlap in any joint.
        for pair in list.windows(2) {
            assert_eq!(pair[0].dts + pair[0].duration, pair[1].dts, "{id} {}: {pair:?}", rendition.name);
        }
        let ticks: i64 = list.iter().map(|p| p.duration).sum();
        let length = ticks as f64 / scale;
        assert!((length - wanted).abs() <= 0.034, "{id} {}: {length} s for {wanted} s", rendition.name);
        // Not a word of the decoder.
        let frames = decoded_frames(&file);
        if rendition.audio {
            continue;
        }
        assert_eq!(frames, list.len(), "{id} {}", rendition.name);
        let (original, _) = whole(server, asset, &rendition.name);
        let (all, part) = (thumbnails(&original), thumbnails(&file));
        let expected = (start.since(recording_start).as_secs_f64() * 30.0).round() as usize;
        assert_eq!(place(&part, &all, 0), expected, "{id} {}: the first picture", rendition.name);
        let last = part.len() - 1;
        assert_eq!(place(&part, &all, last), expected + last, "{id} {}: the last picture", rendition.name);
        // Behind the joint are the recording's own pictures; before it those that look like them.
        for (i, picture) in part.iter().enumerate() {
            let apart = difference(picture, &all[expected + i]);
            assert!(apart < 6.0, "{id} {}: picture {i} differs by {apart}", rendition.name);
        }
    }
}

#[test]
fn a_precise_clip_has_the_frames_that_were_asked_for() {
    let channels = [Channel::new("demo").set("reconnect_seconds = 1"), Channel::new("other")];
    let mut server = Server::start(&channels);
    let source = Source { seconds: Some(14.0), ..Source::hd() };
    let mut publisher = Publisher::start(&server, "test-key-demo", &source);
    assert!(publisher.wait(UP));
    let recording = wait_for("the end of the recording", UP, || {
        let list = get_json(&server.url("/api/v1/assets?channel=demo&state=ended"))?;
        list["assets"].get(0)?["id"].as_str().map(str::to_owned)
    });
    let asset = get_json(&server.url(&format!("/api/v1/assets/{recording}"))).unwrap();
    let start = instant(&asset["start"]);
    let at = |frames: u32| start + Duration::from_nanos(1_000_000_000) * frames / 30;
    // Over several segments; within one; from and to the border of segments (which need nothing made).
    assert_precise(&server, &recording, at(73), at(251), "across");
    assert_precise(&server, &recording, at(70), at(95), "within");
    assert_precise(&server, &recording, at(119), at(181), "neighbours");
    // Of a clip: from the recording, within the first one's bounds.
    let (status, nested) = clip(&server, "across", at(0), at(130), "nested");
    assert_eq!((status, &nested["clip"]["of"]), (201, &json!(recording)), "{nested}");
    assert!(instant(&nested["start"]).nanos_since(at(73)).abs() < 2_000_000, "{nested}");
    assert_clean(&server, "nested");
    // The same again is the same; another under its name is refused; nothing is said to be nothing.
    assert_eq!(clip(&server, &recording, at(73), at(251), "across").0, 201);
    assert_eq!(clip(&server, &recording, at(74), at(251), "across").0, 409);
    let (status, problem) = clip(&server, &recording, at(74), at(74) + FRAME / 5, "nothing");
    assert_eq!(status, 422, "{problem}");
    let shown = get_json(&server.url(&format!("/api/v1/assets/{recording}"))).unwrap();
    assert!(!shown["clips"].as_array().unwrap().contains(&json!("nothing")), "{shown}");

    // As one file, in two goes.
    let download = get_json(&server.url("/api/v1/assets/across")).unwrap()["playback"]["download"].clone();
    assert_eq!(download, "/vod/across/asset.mp4");
    let file = server.folder().join("across.mp4");
    let said = server.command(&["asset", "download", "across", file.to_str().unwrap()]).unwrap();
    assert!(said.contains("across.mp4 written"), "{said}");
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes, get(&server.url("/vod/across/asset.mp4")).unwrap().body);
    let out = std::process::Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=nb_read_frames,duration",
        ])
        .args(["-of", "csv=p=0"])
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let (seconds, frames) = text.trim().split_once(',').unwrap();
    assert_eq!((frames, (seconds.parse::<f64>().unwrap() * 30.0).round()), ("178", 178.0), "{text}");

    // The clip outlives the recording; the channel's live URLs name what it left.
    assert_ne!(get(&server.url("/live/demo/index.m3u8")).unwrap().status, 410, "it is there still");
    server.stop();
    server.set_channels(&[Channel::new("other")]);
    server.start_again();
    let gone = get(&server.url("/live/demo/index.m3u8")).unwrap();
    assert_eq!(gone.status, 410);
    assert!(String::from_utf8_lossy(&gone.body).contains(&format!("/vod/{recording}/index.m3u8")));
    assert_eq!(get(&server.url("/live/unknown/index.m3u8")).unwrap().status, 404);
    assert_eq!(send_json("DELETE", &server.url(&format!("/api/v1/assets/{recording}")), None).0, 200);
    assert_clean(&server, "across");
    server.stop();
}

/// Frames that ffmpeg decodes of a URL without a word of the decoder. Its parser, which goes by a file's first parameters
/// alone, may say something.
fn frames_of(url: &str) -> usize {
    let out = std::process::Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "warning",
            "-i",
            url,
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-f",
            "framecrc",
            "-",
        ])
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&out.stderr).into_owned();
    let decoder = |l: &&str| l.starts_with("[h264") || l.starts_with("Error");
    let wrong: Vec<&str> = complaints.lines().filter(decoder).collect();
    assert!(out.status.success() && wrong.is_empty(), "{url}: {wrong:?}");
    String::from_utf8_lossy(&out.stdout).lines().filter(|l| !l.starts_with('#')).count()
}

#[test]
fn a_precise_clip_of_what_was_not_encoded_here_has_parameters_of_its_own_behind_a_discontinuity() {
    let server = Server::start(&[Channel::passthrough("demo").set("reconnect_seconds = 1")]);
    // With B-frames: at the end, too, pictures must be encoded again.
    let source = Source { seconds: Some(9.0), ..Source::hd() };
    let mut publisher = Publisher::start(&server, "test-key-demo", &source);
    assert!(publisher.wait(UP));
    let recording = wait_for("the end of the recording", UP, || {
        let list = get_json(&server.url("/api/v1/assets?channel=demo&state=ended"))?;
        list["assets"].get(0)?["id"].as_str().map(str::to_owned)
    });
    let start = instant(&get_json(&server.url(&format!("/api/v1/assets/{recording}"))).unwrap()["start"]);
    let at = |frames: u32| start + Duration::from_nanos(1_000_000_000) * frames / 30;
    let (status, made) = clip(&server, &recording, at(41), at(191), "cut");
    assert_eq!(status, 201, "{made}");
    let name = made["tracks"][0]["name"].as_str().unwrap().to_owned();
    let list = get(&server.url(&format!("/vod/cut/{name}/index.m3u8"))).unwrap();
    let text = String::from_utf8_lossy(&list.body).into_owned();
    println!("{text}");
    assert!(text.contains("URI=\"init-y") && text.contains("#EXT-X-DISCONTINUITY"), "{text}");
    let seconds: f64 =
        text.lines().filter_map(|l| l.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse::<f64>().ok()).sum();
    assert!((seconds - 5.0).abs() < 0.034, "{seconds}");
    // The parts of one init segment each, as a player decodes them (the HLS demuxer of ffmpeg keeps to the first one).
    let url = server.url(&format!("/vod/cut/{name}/index.m3u8"));
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for line in text.lines() {
        let map = line.strip_prefix("#EXT-X-MAP:URI=\"").and_then(|l| l.strip_suffix('"'));
        let Some(uri) = map.or_else(|| (!line.starts_with('#')).then_some(line)) else { continue };
        if map.is_some() {
            parts.push(Vec::new());
        }
        let bytes = get(&resolve(&url, uri)).unwrap();
        parts.last_mut().unwrap().extend_from_slice(&bytes.body);
    }
    let frames: Vec<usize> = parts.iter().map(|part| decoded_frames(part)).collect();
    println!("{frames:?} frames");
    assert_eq!((frames.len(), frames.iter().sum::<usize>()), (3, 150), "{frames:?}");
    assert_eq!(frames_of(&server.url("/vod/cut/asset.mp4")), 150);
    assert_clean(&server, "cut");
}
