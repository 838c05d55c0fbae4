//! Live rewind: what left the window comes from the recording, under the same URLs and with the same bytes; and a recording
//! as one file.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use millstream_check::fetch::{Fetch as _, Request};
use millstream_check::hls::playlist::ByteRange;
use millstream_check::http::Http;
use millstream_tests::client::{get, get_json};
use millstream_tests::{Channel, Publisher, Server, Source, wait_for};

const UP: Duration = Duration::from_secs(30);

fn text(server: &Server, path: &str) -> String {
    let response = get(&server.url(path)).expect("an answer");
    assert_eq!(response.status, 200, "{path}: {}", String::from_utf8_lossy(&response.body));
    String::from_utf8(response.body.to_vec()).unwrap()
}

/// Numbers of the segments that a list names.
fn listed(list: &str) -> Vec<u64> {
    list.lines().filter_map(|l| l.split('?').next()?.strip_suffix(".m4s")?.parse().ok()).collect()
}

/// Pictures that ffmpeg decodes, without a word of complaint.
fn pictures(input: &str) -> u64 {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames"])
        .args(["-of", "csv=p=0", input])
        .output()
        .unwrap();
    assert!(out.stderr.is_empty(), "{input}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().find_map(|l| l.trim().trim_end_matches(',').parse().ok()).unwrap()
}

#[test]
fn what_left_the_window_comes_from_the_recording_and_all_of_it_as_one_file() {
    let channel = Channel::passthrough("demo")
        .set("segment_seconds = 1")
        .set("window_seconds = 10")
        .set("dvr_seconds = 600")
        .set("reconnect_seconds = 1");
    let server = Server::start(&[channel]);
    let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(2, UP);
    let mut seen: BTreeMap<u64, Bytes> = BTreeMap::new();
    // Three windows and more: segments stay fetchable for two.
    wait_for("forty segments", Duration::from_secs(60), || {
        for segment in viewer.media(&name)?.segments {
            if let Entry::Vacant(place) = seen.entry(segment.number) {
                place.insert(viewer.bytes(&format!("{name}/{}", segment.uri))?);
            }
        }
        (seen.len() >= 40).then_some(())
    });
    let list = format!("/live/demo/{name}/index.m3u8");
    let short = listed(&text(&server, &list));
    assert!(short.len() <= 14, "the live list stays short: {short:?}");

    // The deep list reaches back to the first segment; its numbers are those of the live list.
    let whole = text(&server, &format!("{list}?dvr"));
    let deep = listed(&whole);
    let first = *seen.keys().next().unwrap();
    assert!(deep[0] <= first && deep.len() >= 38, "{deep:?}");
    assert!(deep.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{deep:?}");
    for (number, bytes) in &seen {
        let again = get(&server.url(&format!("/live/demo/{name}/{number}.m4s"))).expect("an answer");
        assert!(again.status == 200 && again.body == *bytes, "segment {number} is not what was served live");
    }
    // A page that shows how far back one may go need not read that list.
    let reach = get_json(&server.url("/live/demo/rewind.json")).expect("JSON");
    let from = whole.lines().find_map(|l| l.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:"));
    assert_eq!((reach["from"].as_str(), reach["seconds"].as_u64()), (from, Some(600)), "{reach}");
    // What the multivariant playlist is asked for goes on to its lists (MediaPackage's time shift).
    assert!(text(&server, "/live/demo/index.m3u8?dvr").contains("/index.m3u8?dvr"));
    assert!(text(&server, "/live/demo/manifest.mpd?dvr").contains(&format!("startNumber=\"{}\"", deep[0])));

    // Catch-up: from the fifth segment to the fifteenth, with an end.
    let media = viewer.media(&name).unwrap();
    let (anchor, at) = media.segments.iter().find_map(|s| Some((s.number, s.date_time?))).expect("a date");
    let date = |number: u64| at - Duration::from_secs(anchor - number);
    let iso = |number: u64| date(number).to_string();
    let range = format!("start={}&end={}", iso(first + 5), iso(first + 15));
    let past = text(&server, &format!("{list}?{range}"));
    assert!(past.contains("#EXT-X-ENDLIST"), "{past}");
    let numbers = listed(&past);
    assert!(numbers.len() >= 10 && numbers.len() <= 12 && numbers[0] <= first + 5, "{numbers:?}");
    assert_eq!(pictures(&server.url(&format!("/live/demo/index.m3u8?{range}"))), numbers.len() as u64 * 30);
    assert_eq!(get(&server.url(&format!("{list}?start=yesterday"))).unwrap().status, 400);
    // Later by ten seconds.
    let late = listed(&text(&server, &format!("{list}?time_delay=10")));
    let newest = viewer.newest(&name).unwrap();
    assert!((8..=14).contains(&(newest - late.last().unwrap())), "{newest} {late:?}");

    publisher.stop();
    let id = wait_for("the recording to end", Duration::from_secs(20), || {
        let all = get_json(&server.url("/api/v1/assets"))?;
        let one = all["assets"].as_array()?.first()?.clone();
        (one["state"] == "ended").then(|| one["id"].as_str().unwrap().to_owned())
    });
    let url = server.url(&format!("/vod/{id}/asset.mp4"));
    let whole = wait_for("the file", Duration::from_secs(10), || get(&url).filter(|r| r.status == 200)).body;
    let file = server.folder().join("asset.mp4");
    std::fs::write(&file, &whole).unwrap();
    let count = pictures(file.to_str().unwrap());
    assert!(count >= 40 * 30, "{count} pictures");
    // Gone on with where it was broken off: the same bytes.
    let middle = whole.len() as u64 / 2;
    let part = ByteRange { offset: middle, length: whole.len() as u64 - middle };
    let rest = Http::new().get(Request { url: &url, range: Some(part), gzip: false }).unwrap();
    assert!(rest.status == 206 && rest.body[..] == whole[middle as usize..], "status {}", rest.status);
}
