//! Encrypted channels: what comes out plays for whoever has the key and for nobody else, live and recorded, in both
//! schemes and modes, over a change of keys (STANDARDS 1.51, 3.17).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use millstream_check::http::Http;
use millstream_check::{Options, live};
use millstream_tests::client::{get, get_json};
use millstream_tests::decrypt::{self, Keys};
use millstream_tests::wait::holds_for;
use millstream_tests::{Channel, Publisher, Server, Source, Viewer, decode, wait_for};

const UP: Duration = Duration::from_secs(40);

const VIDEO: [&str; 2] = [
    "a0112233445566778899aabbccddeeff:0f0e0d0c0b0a09080706050403020100",
    "b0112233445566778899aabbccddeeff:1f0e0d0c0b0a09080706050403020100",
];
const AUDIO: &str = "c0112233445566778899aabbccddeeff:2f0e0d0c0b0a09080706050403020100";

fn hex(text: &str) -> [u8; 16] {
    u128::from_str_radix(text, 16).unwrap().to_be_bytes()
}

fn keys() -> Keys {
    let all = VIDEO.iter().chain([&AUDIO]).map(|line| line.split_once(':').unwrap());
    all.map(|(id, key)| (hex(id), hex(key))).collect()
}

/// A server with one channel under two keys for pictures in turn and one for sound.
fn server(channel: Channel, settings: &str) -> Server {
    let mut server = Server::start(&[]);
    server.stop();
    let folder = server.folder().join("data/content-keys");
    std::fs::create_dir_all(&folder).unwrap();
    let text = VIDEO.map(|line| format!("{line}\naudio {AUDIO}\n")).concat();
    std::fs::write(folder.join("demo.keys"), text).unwrap();
    let protection = format!("[channel.protection]\nkeys = \"demo.keys\"\n{settings}");
    server.set_channels(&[channel.set(&protection)]);
    server.start_again();
    server
}

/// What the checker finds, live for a time or of a recording.
fn assert_clean(url: &str, mpd: Option<String>, seconds: u64) {
    let options = Options { duration: Duration::from_secs(seconds), mpd, ..Options::default() };
    let report = live(&mut Http::new(), url, options);
    report.findings.iter().for_each(|finding| println!("{finding}"));
    assert_eq!(report.errors().count(), 0, "the checker found errors; they are listed above");
    assert!(report.segments > 8, "the checker saw too little: {report:?}");
}

/// The whole segments of a rendition by their init segments, in order.
fn by_init(viewer: &mut Viewer, name: &str) -> Vec<(Bytes, Vec<Bytes>)> {
    let list = viewer.media(name).unwrap();
    let mut out: Vec<(String, Bytes, Vec<Bytes>)> = Vec::new();
    for segment in &list.segments {
        let map = segment.map.as_ref().unwrap().0.clone();
        let bytes = viewer.bytes(&format!("{name}/{}", segment.uri)).unwrap();
        match out.last_mut() {
            Some((last, _, all)) if *last == map => all.push(bytes),
            _ => {
                let init = viewer.bytes(&format!("{name}/{map}")).unwrap();
                out.push((map, init, vec![bytes]));
            }
        }
    }
    out.into_iter().map(|(_, init, all)| (init, all)).collect()
}

/// Decrypts and decodes what a rendition lists. Gives the ids of the keys that it took.
fn decodes(viewer: &mut Viewer, name: &str, audio: bool) -> BTreeSet<[u8; 16]> {
    let mut used = BTreeSet::new();
    for (init, segments) in by_init(viewer, name) {
        let (track, clear_init) = decrypt::init(&init);
        let clear: Vec<Vec<u8>> = segments.iter().map(|s| decrypt::segment(s, &track, &keys())).collect();
        let file = decode::concatenate(&clear_init, &clear);
        let packets = decode::packets(&file).0.len();
        let frames = decode::decoded_frames(&file);
        // An AAC decoder gives nothing for its first frame when it is fed from the middle.
        assert!(frames == packets || (audio && frames + 1 == packets), "{name}: {frames} of {packets} frames decoded");
        if !audio {
            let shown = decode::thumbnails(&file);
            let sealed = decode::thumbnails(&decode::concatenate(&clear_init, &segments));
            assert_ne!(shown, sealed, "{name} shows the same without a key");
        }
        used.insert(track.key_id);
    }
    used
}

fn pictures_and_sound(viewer: &mut Viewer) -> (Vec<String>, String) {
    let renditions = viewer.renditions();
    let (sound, pictures): (Vec<_>, Vec<_>) = renditions.into_iter().partition(|r| r.audio);
    (pictures.into_iter().map(|r| r.name).collect(), sound[0].name.clone())
}

#[test]
fn passthrough_in_cbcs_over_a_change_of_keys() {
    let server = server(Channel::passthrough("demo"), "rotation_seconds = 10");
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    viewer.wait_listed(2, UP);
    assert_clean(&viewer.url("index.m3u8"), Some(viewer.url("manifest.mpd")), 16);
    let (pictures, sound) = pictures_and_sound(&mut viewer);
    let name = &pictures[0];
    wait_for("segments under both keys", UP, || {
        let ids: BTreeSet<_> =
            by_init(&mut viewer, name).iter().map(|(init, _)| decrypt::init(init).0.key_id).collect();
        (ids.len() == 2).then_some(())
    });
    // The playlist names a key for each run of segments, and where it is; the key is the one that decrypts.
    let text = String::from_utf8(viewer.bytes(&format!("{name}/index.m3u8")).unwrap().to_vec()).unwrap();
    for line in VIDEO {
        let (id, key) = line.split_once(':').unwrap();
        let said = format!("URI=\"/live/demo/{id}.key\"");
        assert!(text.contains(&said), "no {said} in {text}");
        let got = get(&server.url(&format!("/live/demo/{id}.key"))).unwrap();
        assert_eq!((got.status, &got.body[..]), (200, &hex(key)[..]));
        assert_eq!(got.header("cache-control"), Some("no-store"));
    }
    assert_eq!(decodes(&mut viewer, name, false).len(), 2);
    assert_eq!(decodes(&mut viewer, &sound, true), BTreeSet::from([hex(&AUDIO[..32])]));
    // ffmpeg with the key of the last run.
    let (init, segments) = by_init(&mut viewer, name).pop().unwrap();
    let key = keys()[&decrypt::init(&init).0.key_id];
    let key: String = key.iter().map(|b| format!("{b:02x}")).collect();
    let (track, clear_init) = decrypt::init(&init);
    let clear: Vec<Vec<u8>> = segments.iter().map(|s| decrypt::segment(s, &track, &keys())).collect();
    let packets = decode::packets(&decode::concatenate(&clear_init, &clear)).0.len();
    assert_eq!(decode::decrypted_frames(&decode::concatenate(&init, &segments), &key), packets);
    publisher.stop();
}

#[test]
fn a_ladder_in_cbcs_and_its_recording() {
    let channel = Channel::new("demo").set("reconnect_seconds = 1");
    let server = server(channel, "rotation_seconds = 12");
    let publisher = Publisher::start(&server, "test-key-demo", &Source { size: Some((640, 360)), ..Source::small() });
    let mut viewer = server.viewer("demo");
    viewer.wait_listed(2, UP);
    assert_clean(&viewer.url("index.m3u8"), Some(viewer.url("manifest.mpd")), 14);
    let (pictures, sound) = pictures_and_sound(&mut viewer);
    for name in &pictures {
        assert!(!decodes(&mut viewer, name, false).is_empty());
    }
    decodes(&mut viewer, &sound, true);
    let mut seen: BTreeMap<String, Bytes> = BTreeMap::new();
    for name in pictures.iter().chain([&sound]) {
        for segment in viewer.media(name).unwrap().segments {
            let path = format!("{name}/{}", segment.uri);
            seen.insert(path.clone(), viewer.bytes(&path).unwrap());
        }
    }
    let asset = |state: &str| {
        wait_for("the recording", UP, || {
            let list = get_json(&server.url(&format!("/api/v1/assets?channel=demo&state={state}")))?;
            Some(list["assets"].as_array()?.first()?["id"].as_str()?.to_owned())
        })
    };
    let mut recorded = Viewer::new(server.url(&format!("/vod/{}/", asset("recording"))));
    // STANDARDS 1.16: it grows over a change of keys, which is none of tracks.
    wait_for("a growing list with both keys", UP, || {
        let list = recorded.media(&pictures[0]).filter(|list| !list.ended)?;
        let maps: BTreeSet<_> = list.segments.iter().filter_map(|s| Some(s.map.as_ref()?.0.clone())).collect();
        (maps.len() >= 2 && list.segments.len() > 8).then_some(())
    });
    let options = Options { duration: Duration::from_secs(1), ..Options::default() };
    let report = live(&mut Http::new(), &recorded.url("index.m3u8"), options);
    // It is written every ten seconds, which is late for a live list.
    let faults: Vec<_> = report.findings.iter().filter(|f| matches!(f.rule, "1.16" | "1.51" | "3.17")).collect();
    assert!(faults.is_empty() && report.segments > 8, "{faults:?} {report:?}");
    publisher.stop();
    asset("ended");
    for name in pictures.iter().chain([&sound]) {
        wait_for("the last lists", UP, || recorded.media(name).filter(|list| list.ended));
    }
    wait_for("the last list of lists", UP, || recorded.multivariant().filter(|list| !list.i_frames.is_empty()));
    assert_clean(&recorded.url("index.m3u8"), Some(recorded.url("manifest.mpd")), 0);
    let text = recorded.bytes(&format!("{}/index.m3u8", pictures[0])).unwrap();
    assert!(!String::from_utf8_lossy(&text).contains("#EXT-X-DISCONTINUITY\n"), "a change of keys is no discontinuity");
    for (path, bytes) in &seen {
        assert_eq!(recorded.bytes(path).as_ref(), Some(bytes), "{path} is not what was live");
    }
    for name in &pictures {
        assert_eq!(decodes(&mut recorded, name, false).len(), 2, "the recording has both keys");
    }
    decodes(&mut recorded, &sound, true);
    // What is written is what was sent: nothing of the store is clear.
    for file in ["poster.jpg", "storyboard.vtt"] {
        assert_ne!(recorded.get(file).map(|r| r.status), Some(200), "{file} of an encrypted recording");
    }
    assert_eq!(recorded.get("asset.mp4").map(|r| r.status), Some(409));
}

/// A ladder of one rendition.
fn ladder_of(codec: &str, low_latency: bool) -> Channel {
    let video = format!("name = \"v\"\nheight = 180\ncodec = \"{codec}\"\npreset = \"ultrafast\"");
    let preset = if codec == "av1" { video.replace("ultrafast", "12") } else { video };
    Channel::new("demo").set(&format!("low_latency = {low_latency}\n[[channel.ladder.video]]\n{preset}"))
}

#[test]
fn hevc_and_av1_in_cbcs() {
    for codec in ["hevc", "av1"] {
        let server = server(ladder_of(codec, true), "");
        let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
        let mut viewer = server.viewer("demo");
        viewer.wait_listed(4, UP);
        assert_clean(&viewer.url("index.m3u8"), Some(viewer.url("manifest.mpd")), 10);
        let (pictures, sound) = pictures_and_sound(&mut viewer);
        let init = viewer.bytes(&format!("{}/init.mp4", pictures[0])).unwrap();
        let entry = if codec == "hevc" { b"frmahvc1" } else { b"frmaav01" };
        assert!(init.windows(8).any(|w| w == entry), "{codec}");
        assert_eq!(decodes(&mut viewer, &pictures[0], false), BTreeSet::from([hex(&VIDEO[0][..32])]), "{codec}");
        decodes(&mut viewer, &sound, true);
        publisher.stop();
    }
}

#[test]
fn cenc_is_offered_in_dash_alone_and_ffmpeg_decrypts_it() {
    cenc(Channel::passthrough("demo"));
}

#[test]
fn hevc_and_av1_in_cenc() {
    // Without low latency the MPD lists its segments.
    cenc(ladder_of("hevc", false));
    cenc(ladder_of("av1", false));
}

fn cenc(channel: Channel) {
    let server = server(channel, "scheme = \"cenc\"");
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    server.wait_state("demo", "live", UP);
    let viewer = server.viewer("demo");
    let (hls, mpd) = (viewer.url("index.m3u8"), viewer.url("manifest.mpd"));
    let text = wait_for("an MPD of eight segments", UP, || {
        let text = String::from_utf8(get(&mpd).filter(|r| r.status == 200)?.body.to_vec()).ok()?;
        (listed(&text).len() >= 8).then_some(text)
    });
    assert_ne!(get(&hls).map(|r| r.status), Some(200), "STANDARDS 1.51: no HLS with cenc");
    assert!(text.contains("value=\"cenc\"") && text.contains("default_KID=\"a0112233-4455-6677-8899-aabbccddeeff\""));
    assert_clean(&mpd, None, 6);
    let (init, segments) = (attribute(&text, "initialization"), listed(&text));
    let name = attribute(&text[text.find("<Representation").unwrap()..], "id");
    let bytes = |path: &str| get(&viewer.url(path)).filter(|r| r.status == 200).expect("media").body;
    let init = bytes(&init.replace("$RepresentationID$", &name));
    let media = attribute(&text, "media").replace("$RepresentationID$", &name);
    let all: Vec<Bytes> = segments.iter().map(|n| bytes(&media.replace("$Number$", &n.to_string()))).collect();
    let (track, clear_init) = decrypt::init(&init);
    let clear: Vec<Vec<u8>> = all.iter().map(|s| decrypt::segment(s, &track, &keys())).collect();
    let clear = decode::concatenate(&clear_init, &clear);
    let packets = decode::packets(&clear).0.len();
    assert!(packets >= 200, "{packets}");
    assert_eq!(decode::decoded_frames(&clear), packets);
    let key = VIDEO[0].split_once(':').unwrap().1;
    assert_eq!(decode::decrypted_frames(&decode::concatenate(&init, &all), key), packets);
}

/// The value of the first attribute of a name.
fn attribute(text: &str, name: &str) -> String {
    let at = text.find(&format!(" {name}=\"")).unwrap_or_else(|| panic!("no {name} in {text}")) + name.len() + 3;
    text[at..].split('"').next().unwrap().to_owned()
}

/// Numbers of the segments of the first timeline.
fn listed(text: &str) -> Vec<u64> {
    let Some((_, timeline)) = text.split_once("<SegmentTimeline>") else { return Vec::new() };
    let timeline = timeline.split("</SegmentTimeline>").next().unwrap();
    let repeats = |s: &str| if s.contains(" r=\"") { attribute(s, "r").parse::<u64>().unwrap() } else { 0 };
    let count: u64 = timeline.split("<S").skip(1).map(|s| 1 + repeats(s)).sum();
    let first: u64 = attribute(text, "startNumber").parse().unwrap();
    (first..first + count).collect()
}

#[test]
fn without_a_key_nothing_goes_out() {
    let channel = Channel::passthrough("demo").set("[channel.protection]\nkeys = \"missing.keys\"");
    let server = Server::start(&[channel]);
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    wait_for("the log to say why", UP, || server.log().contains("nothing of it is published").then_some(()));
    holds_for("nothing", Duration::from_secs(6), || {
        let answers = ["index.m3u8", "manifest.mpd"].map(|f| get(&server.viewer("demo").url(f)).map(|r| r.status));
        if answers.contains(&Some(200)) { Err(format!("{answers:?}")) } else { Ok(()) }
    });
    assert!(std::fs::read_dir(server.folder().join("data/store/vod")).into_iter().flatten().next().is_none());
}
