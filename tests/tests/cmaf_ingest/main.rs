//! CMAF ingest: ffmpeg's uploads play, refusals have their statuses, credentials hold, two encoders stand in for each
//! other (CHECK-4a to 4d of STANDARDS 4).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod encoder;

use std::time::Duration;

use bytes::Bytes;
use millstream_check::http::Http;
use millstream_check::{Options, live};
use millstream_tests::client::{get, get_json, send_json};
use millstream_tests::wait::holds_for;
use millstream_tests::{Channel, Publisher, Server, Viewer, decode, wait_for};
use serde_json::{Value, json};

use encoder::{Encoded, SOON, TRACKS, UP, Upload, basic, channel, ffmpeg, fragments, moved, put, put_to, right};

fn listed(viewer: &mut Viewer, rendition: &str) -> Vec<u64> {
    viewer.media(rendition).map(|m| m.segments.iter().map(|s| s.number).collect()).unwrap_or_default()
}

#[test]
fn what_ffmpeg_uploads_plays_and_is_recorded() {
    // CHECK-4a.
    let server = Server::start(&[channel().set("reconnect_seconds = 12")]);
    let publisher = ffmpeg(&server);
    server.wait_state("news", "live", UP);
    let input = wait_for("the input's properties", SOON, || {
        let input = server.channel("news")["input"].clone();
        (input["height"] == 180).then_some(input)
    });
    assert_eq!(input["protocol"], "cmaf", "{input}");
    assert!(input["remote"].as_str().unwrap().starts_with("127.0.0.1:"), "{input}");
    assert!(server.workers().is_empty(), "nothing is encoded");
    let mut viewer = server.viewer("news");
    viewer.wait_listed(3, UP);
    let options =
        Options { duration: Duration::from_secs(12), mpd: Some(viewer.url("manifest.mpd")), ..Options::default() };
    let report = live(&mut Http::new(), &viewer.url("index.m3u8"), options);
    for finding in &report.findings {
        println!("{finding}");
    }
    assert_eq!(report.errors().count(), 0, "the checker found errors; they are listed above");
    assert!(report.segments >= 10 && report.mpd_versions >= 1, "the checker saw too little: {report:?}");
    let media = viewer.media("stream0").unwrap();
    let init = viewer.bytes(&format!("stream0/{}", media.segments[0].map.as_ref().unwrap().0)).unwrap();
    let bytes: Vec<Bytes> =
        media.segments.iter().map(|s| viewer.bytes(&format!("stream0/{}", s.uri)).unwrap()).collect();
    assert_eq!(decode::decoded_frames(&decode::concatenate(&init, &bytes)), 60 * bytes.len());

    publisher.kill();
    server.wait_state("news", "input_loss", UP);
    server.wait_state("news", "offline", UP);
    let assets = wait_for("the recording", UP, || {
        let found = get_json(&server.url("/api/v1/assets"))?;
        found.to_string().contains("news-").then_some(found)
    });
    let name = assets.to_string().split('"').find(|word| word.starts_with("news-")).unwrap().to_owned();
    let mut recorded = Viewer::new(server.url(&format!("/vod/{name}/")));
    assert!(listed(&mut recorded, "stream0").len() >= media.segments.len(), "{assets}");
    assert!(!server.log().contains("test-key-news"), "the password is in the log");
}

#[test]
fn numbers_are_those_of_the_encoders_times_and_a_duplicate_changes_nothing() {
    // CHECK-4c and STANDARDS 5.6: a second server would make the same of it.
    let server = Server::start(&[channel()]);
    let encoded = Encoded::new(server.folder(), 6);
    encoded.send_headers(&server);
    (0..6).for_each(|n| encoded.send(&server, n));
    let mut viewer = server.viewer("news");
    viewer.wait_listed(5, SOON);
    let numbers = listed(&mut viewer, "video");
    let due: Vec<u64> = (encoded.first_number..).take(numbers.len()).collect();
    assert_eq!(numbers, due);
    assert_eq!(listed(&mut viewer, "audio")[..5], due[..5]);
    let second = format!("video/{}.m4s", encoded.first_number + 1);
    let before = viewer.bytes(&second).unwrap();
    (0..6).for_each(|n| encoded.send(&server, n));
    encoded.send_headers(&server);
    assert_eq!(viewer.bytes(&second).unwrap(), before);
    assert_eq!(listed(&mut viewer, "video")[..numbers.len()], numbers);
    assert!(viewer.media("video").unwrap().segments.iter().all(|s| !s.discontinuity && !s.gap));
}

#[test]
fn an_encoder_that_dies_in_mid_segment_is_made_good_by_the_other() {
    // CHECK-4c, 4d.
    let server = Server::start(&[channel()]);
    let encoded = Encoded::new(server.folder(), 8);
    encoded.send_headers(&server);
    let credentials = right();
    let begin = |track: &str| {
        Upload::begin(&server, "POST", &format!("/ingest/news/{track}"), &[("authorization", credentials.as_str())])
    };
    // The first segment comes chunk by chunk, as fast as it is encoded: the channel offers parts then.
    let (mut video, mut audio) = (begin(TRACKS[0]), begin(TRACKS[1]));
    for (picture, sound) in fragments(&encoded.segments[0][0]).iter().zip(fragments(&encoded.segments[0][1])) {
        assert!(video.send(picture) && audio.send(&sound));
        holds_for("the pace of an encoder", Duration::from_millis(450), || Ok(()));
    }
    assert_eq!((video.end().0, audio.end().0), (200, 200));
    (1..4).for_each(|n| encoded.send(&server, n));
    let torn = fragments(&encoded.segments[4][0]);
    let mut dying = begin(TRACKS[0]);
    assert!(dying.send(&torn[0]) && dying.send(&torn[1]) && dying.send(&torn[2][..500]));
    // What is whole is served before the request ends.
    let part = server.url(&format!("/live/news/video/{}.0.m4s", encoded.first_number + 4));
    wait_for("a part of the segment that is under way", SOON, || get(&part).filter(|r| r.status == 200));
    drop(dying);
    (4..8).for_each(|n| encoded.send(&server, n));
    let mut viewer = server.viewer("news");
    viewer.wait_number("video", encoded.first_number + 6, SOON);
    let media = viewer.media("video").unwrap();
    let numbers: Vec<u64> = media.segments.iter().map(|s| s.number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    assert!(media.segments.iter().all(|s| !s.discontinuity && !s.gap), "{media:?}");
    let init = viewer.bytes(&format!("video/{}", media.segments[0].map.as_ref().unwrap().0)).unwrap();
    let bytes: Vec<Bytes> = media.segments.iter().map(|s| viewer.bytes(&format!("video/{}", s.uri)).unwrap()).collect();
    let file = decode::concatenate(&init, &bytes);
    let (packets, _) = decode::packets(&file);
    assert!(packets.windows(2).all(|pair| pair[0].dts + pair[0].duration == pair[1].dts), "a hole or a duplicate");
    assert_eq!(decode::decoded_frames(&file), 60 * bytes.len());
}

#[test]
fn refusals_have_the_statuses_of_the_standard() {
    // CHECK-4b.
    let server = Server::start(&[channel(), Channel::passthrough("other")]);
    let encoded = Encoded::new(server.folder(), 2);
    let segment = &encoded.segments[0][0];
    let status = |credentials: &str, object: &str, body: &[u8]| put(&server, credentials, object, body).0;
    assert_eq!(status(&right(), TRACKS[0], segment), 412, "no header yet");
    assert_eq!(status(&right(), TRACKS[0], b""), 200, "an empty request asks whether we are there (4.2)");
    assert_eq!(status(&right(), TRACKS[0], &encoded.headers[0]), 200);
    assert_eq!(status(&right(), TRACKS[0], segment), 200);
    assert_eq!(status(&right(), "live.mpd", b"<MPD/>"), 200);
    assert_eq!(status(&right(), "Streams(scte.cmfm)", segment), 200, "taken, not used");
    let warnings = server.channel("news")["warnings"].to_string();
    assert!(warnings.contains("SCTE-35 do not come through"), "{warnings}");
    assert_eq!(status(&right(), TRACKS[0], b"this is no media at all, and long enough to say so"), 400);
    assert_eq!(status(&right(), TRACKS[0], &segment[..segment.len() - 9]), 400, "cut off");
    assert_eq!(status(&right(), "Streams(video.exe)", segment), 400);
    assert_eq!(put_to(&server, "news", &right(), &[("content-type", "text/html")], TRACKS[0], segment).0, 415);
    // A box of 33 MiB is refused by its header.
    let large = [&[2, 0x10, 0, 0], &b"mdat"[..], &[0; 100]].concat();
    let large = [&segment[..segment.windows(4).position(|w| w == b"mdat").unwrap() - 4], &large].concat();
    assert_eq!(status(&right(), TRACKS[0], &large), 413);
    for name in ["nobody", "other"] {
        assert_eq!(put_to(&server, name, &right(), &[], TRACKS[0], segment).0, 404, "{name} takes no uploads");
    }
    let (missing, answer) = put(&server, "", TRACKS[0], segment);
    assert!(missing == 401 && answer.to_lowercase().contains("www-authenticate: basic"), "{answer}");
    assert_eq!(status(&basic("default", "wrong"), TRACKS[0], segment), 403);
    assert_eq!(status(&basic("somebody", "test-key-news"), TRACKS[0], segment), 403, "the key has another name");
    assert_eq!(status(&basic("default", "test-key-other"), TRACKS[0], segment), 403, "another channel's key");
    assert_eq!(status("Bearer test-key-news", TRACKS[0], b""), 200);
    assert_eq!(status("Bearer wrong", TRACKS[0], b""), 403);
    assert_eq!(status("Digest username=\"x\"", TRACKS[0], b""), 403);
    // A key that opens CMAF ingest opens nothing for a publisher of RTMP on such a channel.
    let mut rtmp = Publisher::start(&server, "test-key-news", &millstream_tests::Source::small());
    assert!(!rtmp.wait(SOON), "RTMP got into a channel of CMAF");
    let metrics = String::from_utf8_lossy(&get(&server.url("/metrics")).unwrap().body).into_owned();
    let count =
        |reason: &str| metrics.contains(&format!("ingest_refused_total{{protocol=\"cmaf\",reason=\"{reason}\"}}"));
    assert!(count("channel") && count("key"), "{metrics}");
}

#[test]
fn who_asks_for_leave_to_send_is_refused_before_it_sends() {
    // What ffmpeg does with a password that it was given, until it knows that one is asked for (RFC 9110 10.1.1).
    let server = Server::start(&[channel()]);
    let ask = |credentials: &[(&str, &str)]| {
        let headers = [&[("expect", "100-continue")], credentials].concat();
        Upload::begin(&server, "PUT", &format!("/ingest/news/{}", TRACKS[0]), &headers)
    };
    for (credentials, due) in [(vec![], 401), (vec![("authorization", "Bearer wrong")], 403)] {
        let (status, answer) = ask(&credentials).answer();
        assert!(status == due && !answer.contains("100 Continue"), "leave to send is given, not {due}: {answer}");
    }
    let right = right();
    let (status, answer) = ask(&[("authorization", &right)]).end();
    assert!(status == 100 && answer.contains("HTTP/1.1 200"), "{answer}");
}

fn key(server: &Server, body: &Value) -> String {
    let (status, answer) = send_json("POST", &server.url("/api/v1/channels/news/keys"), Some(body));
    assert_eq!(status, 201, "{answer}");
    answer["stream_key"].as_str().unwrap().to_owned()
}

#[test]
fn credentials_end_are_rotated_and_revoked_while_an_upload_is_under_way() {
    let server = Server::start(&[channel()]);
    let encoded = Encoded::new(server.folder(), 4);
    let studio = key(&server, &json!({"name": "studio"}));
    let expired = key(&server, &json!({"name": "ended", "expires": "2020-01-01T00:00:00Z"}));
    let elsewhere = key(&server, &json!({"name": "elsewhere", "addresses": ["192.0.2.0/24"]}));
    let status = |user: &str, password: &str| put(&server, &basic(user, password), TRACKS[0], &encoded.headers[0]).0;
    assert_eq!(status("ended", &expired), 403);
    assert_eq!(status("elsewhere", &elsewhere), 403);
    assert_eq!(status("studio", &studio), 200);
    encoded.send_headers(&server);
    // One POST for the whole track, as DESIGN's seam has it (STANDARDS 4.1).
    let credentials = basic("studio", &studio);
    let long =
        || Upload::begin(&server, "POST", "/ingest/news/Streams(video.cmfv)", &[("authorization", &credentials)]);
    let mut under_way = long();
    assert!(under_way.send(&encoded.segments[0][0]));
    let (code, rotated) = send_json("POST", &server.url("/api/v1/channels/news/keys/studio/rotate"), None);
    assert_eq!(code, 200, "{rotated}");
    let rotated = rotated["stream_key"].as_str().unwrap().to_owned();
    assert!(under_way.send(&encoded.segments[1][0]));
    assert_eq!(under_way.end().0, 200, "an upload under way goes on over a rotation");
    assert_eq!(status("studio", &studio), 200, "so does an encoder that sends a request for each segment");
    assert_eq!(status("studio", &rotated), 200);

    let credentials = basic("studio", &rotated);
    let mut under_way =
        Upload::begin(&server, "POST", "/ingest/news/Streams(video.cmfv)", &[("authorization", &credentials)]);
    assert!(under_way.send(&encoded.segments[2][0]));
    assert_eq!(send_json("DELETE", &server.url("/api/v1/channels/news/keys/studio"), None).0, 204);
    assert_eq!(under_way.answer().0, 403, "an upload of a revoked key ends at once");
    assert_eq!((status("studio", &rotated), status("studio", &studio)), (403, 403));
    assert_eq!(status("default", "test-key-news"), 200, "the other key is not touched");
    for secret in [&studio, &rotated, &expired, &elsewhere] {
        assert!(!server.log().contains(secret.as_str()), "a secret is in the log");
    }
}

#[test]
fn an_encoder_out_of_step_is_held_off_while_another_sends() {
    let server = Server::start(&[channel()]);
    let encoded = Encoded::new(server.folder(), 4);
    let backup = key(&server, &json!({"name": "backup"}));
    encoded.send_headers(&server);
    // Their clocks begin two days ago, so nobody knows what of the one is what of the other.
    let segment = |index: usize| moved(encoded.segments[index][0].to_vec(), (2 * 86_400 * 15_360_u64).wrapping_neg());
    assert_eq!(put(&server, &right(), TRACKS[0], &segment(0)).0, 200);
    let (status, why) = put(&server, &basic("backup", &backup), TRACKS[0], &segment(1));
    assert_eq!(status, 503, "{why}");
    assert!(why.contains("another encoder is sending"), "{why}");
    assert_eq!(put(&server, &right(), TRACKS[0], &segment(1)).0, 200);
    wait_for("the other to take over from a silent one", SOON, || {
        (put(&server, &basic("backup", &backup), TRACKS[0], &segment(2)).0 == 200).then_some(())
    });
}

#[test]
fn guesses_of_a_password_are_slowed() {
    let server = Server::start(&[channel()]);
    for guess in 0..9 {
        assert_eq!(put(&server, &basic("default", &format!("guess-{guess}")), TRACKS[0], b"").0, 403);
    }
    assert_eq!(put(&server, &right(), TRACKS[0], b"").0, 403, "its address is shut out");
    wait_for("the address to be let in again", SOON, || {
        (put(&server, &right(), TRACKS[0], b"").0 == 200).then_some(())
    });
}

#[test]
fn an_encoder_goes_on_without_its_headers_after_a_break_and_after_a_restart() {
    let mut server = Server::start(&[channel().set("reconnect_seconds = 6")]);
    let encoded = Encoded::new(server.folder(), 14);
    encoded.send_headers(&server);
    (0..3).for_each(|n| encoded.send(&server, n));
    server.wait_state("news", "live", SOON);
    // It is away for so long that the session ends.
    server.wait_state("news", "offline", UP);
    (3..6).for_each(|n| encoded.send(&server, n));
    server.wait_state("news", "live", SOON);

    server.stop();
    server.start_again();
    (6..9).for_each(|n| encoded.send(&server, n));
    server.wait_state("news", "live", SOON);
    server.kill();
    server.start_again();
    (9..12).for_each(|n| encoded.send(&server, n));
    let mut viewer = server.viewer("news");
    viewer.wait_number("video", encoded.first_number + 10, SOON);
    assert!(listed(&mut viewer, "audio").len() >= 2);

    // A file that is damaged costs the headers and nothing else.
    server.kill();
    let file = server.folder().join("data/store/channels/news.headers.json");
    std::fs::write(&file, &std::fs::read(&file).unwrap()[..40]).unwrap();
    server.start_again();
    assert_eq!(put(&server, &right(), TRACKS[0], &encoded.segments[12][0]).0, 412, "the encoder is asked for them");
    encoded.send_headers(&server);
    (12..14).for_each(|n| encoded.send(&server, n));
    let mut viewer = server.viewer("news");
    viewer.wait_number("video", encoded.first_number + 12, SOON);
}
