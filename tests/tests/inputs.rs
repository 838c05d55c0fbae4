//! Odd contributions come out right: variable frame rate, a missing track, B-frames, interlaced, odd sizes, 44.1 kHz
//! mono, changes in the middle.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::time::Duration;

use bytes::Bytes;
use millstream_tests::{Channel, Publisher, Server, Source, decode, publisher};

const UP: Duration = Duration::from_secs(25);

/// What came out of one rendition: init and whole segments in a file, the packets, the stream's properties.
struct Output {
    file: Vec<u8>,
    packets: Vec<decode::Packet>,
    stream: serde_json::Value,
}

/// Publishes a source and takes the first `segments` whole segments of every rendition (the very first, which may be
/// short, left out). Gives video renditions and audio.
fn publish(source: &Source, segments: usize) -> (Vec<Output>, Option<Output>) {
    let server = Server::start(&[Channel::new("demo")]);
    let _publisher = Publisher::start(&server, "test-key-demo", source);
    take(&server, segments)
}

fn take(server: &Server, segments: usize) -> (Vec<Output>, Option<Output>) {
    let mut viewer = server.viewer("demo");
    viewer.wait_listed(segments + 1, UP);
    let (mut video, mut audio) = (Vec::new(), None);
    for rendition in viewer.renditions() {
        let media = viewer.media(&rendition.name).unwrap();
        let init = media.segments[0].map.as_ref().unwrap().0.clone();
        let init = viewer.bytes(&format!("{}/{init}", rendition.name)).unwrap();
        let whole: Vec<Bytes> = media
            .segments
            .iter()
            .skip(1)
            .take(segments)
            .map(|s| viewer.bytes(&format!("{}/{}", rendition.name, s.uri)).unwrap())
            .collect();
        let file = decode::concatenate(&init, &whole);
        let (packets, stream) = decode::packets(&file);
        for (a, b) in packets.iter().zip(packets.iter().skip(1)) {
            assert_eq!(a.pts + a.duration, b.pts, "{}: a hole or an overlap at {}", rendition.name, a.pts);
        }
        let output = Output { file, packets, stream };
        let is_audio = output.stream["codec_type"] == "audio";
        if is_audio {
            assert_eq!(output.stream["sample_rate"], "48000");
            audio = Some(output);
        } else {
            assert_eq!(decode::decoded_frames(&output.file), output.packets.len(), "{}", rendition.name);
            video.push(output);
        }
    }
    (video, audio)
}

/// Video is on a constant grid of `per_segment` frames.
fn assert_constant(video: &[Output], per_segment: usize, segments: usize) {
    assert!(!video.is_empty(), "no video");
    for output in video {
        assert_eq!(output.packets.len(), per_segment * segments);
        let first = output.packets[0].duration;
        assert!(output.packets.iter().all(|p| p.duration == first), "frames of different lengths");
    }
}

#[test]
fn variable_frame_rate_becomes_constant() {
    // Of six frames the second and the fifth are missing, and now and then a whole third of a second.
    let filter = "select='not(eq(mod(n\\,6)\\,1)+eq(mod(n\\,6)\\,4)+lt(mod(n\\,90)\\,10))'";
    let encoder = ["-fps_mode", "vfr"].map(str::to_owned).to_vec();
    let (video, audio) = publish(&Source { filter: Some(filter.to_owned()), encoder, ..Source::small() }, 3);
    assert!(audio.is_some());
    let per_segment = video[0].packets.len() / 3;
    assert_constant(&video, per_segment, 3);
}

#[test]
fn missing_audio_becomes_silence() {
    let (video, audio) = publish(&Source { audio: None, ..Source::small() }, 2);
    assert_constant(&video, 60, 2);
    let audio = audio.expect("an audio rendition of silence");
    assert!(decode::mean_volume(&audio.file) < -80.0, "not silent");
}

#[test]
fn missing_video_is_an_audio_channel() {
    let (video, audio) = publish(&Source { size: None, ..Source::small() }, 2);
    assert!(video.is_empty(), "no video was published");
    let audio = audio.expect("audio");
    assert!(decode::mean_volume(&audio.file) > -40.0, "the tone is missing");
}

#[test]
fn b_frames_come_out_in_order() {
    let (video, audio) = publish(&Source { b_frames: 3, gop: 60, ..Source::small() }, 2);
    assert_constant(&video, 60, 2);
    assert!(audio.is_some());
}

#[test]
fn interlaced_becomes_progressive() {
    let source = Source {
        size: Some((720, 576)),
        rate: "50".to_owned(),
        filter: Some("tinterlace=interleave_top,setfield=tff".to_owned()),
        gop: 25,
        kbps: 1500,
        encoder: ["-flags", "+ilme+ildct", "-top", "1"].map(str::to_owned).to_vec(),
        ..Source::small()
    };
    let (video, _) = publish(&source, 2);
    assert!(!video.is_empty());
    for output in &video {
        let order = output.stream["field_order"].as_str().unwrap_or("progressive");
        assert_eq!(order, "progressive");
    }
}

#[test]
fn odd_sizes_become_even() {
    let encoder = ["-profile:v", "high444"].map(str::to_owned).to_vec();
    let source = Source { size: Some((333, 187)), pixels: "yuv444p", encoder, ..Source::small() };
    let (video, _) = publish(&source, 2);
    for output in &video {
        let (width, height) = (output.stream["width"].as_u64().unwrap(), output.stream["height"].as_u64().unwrap());
        assert!(width % 2 == 0 && height % 2 == 0 && width <= 334 && height <= 188, "{width}x{height}");
        assert_eq!(output.stream["pix_fmt"], "yuv420p", "what every player can show");
    }
}

#[test]
fn mono_at_44_1_khz_becomes_48_khz_without_drift() {
    let (video, audio) = publish(&Source { audio: Some((44_100, 1)), ..Source::small() }, 4);
    let audio = audio.expect("audio");
    assert!(decode::mean_volume(&audio.file) > -40.0, "the tone is missing");
    // Both tracks cover the same time, to one audio frame.
    let span = |o: &Output, scale: f64| {
        let (first, last) = (o.packets.first().unwrap(), o.packets.last().unwrap());
        (first.pts as f64 / scale, (last.pts + last.duration) as f64 / scale)
    };
    let ((v0, v1), (a0, a1)) = (span(&video[0], 30_000.0), span(&audio, 48_000.0));
    assert!((v0 - a0).abs() < 0.022 && (v1 - a1).abs() < 0.022, "video {v0}..{v1}, audio {a0}..{a1}");
}

#[test]
fn ntsc_rate_keeps_whole_frames() {
    let (video, _) = publish(&Source { rate: "30000/1001".to_owned(), ..Source::small() }, 3);
    assert_constant(&video, 60, 3);
    for output in &video {
        assert_eq!(output.stream["time_base"], "1/30000");
        assert_eq!(output.packets[0].duration, 1001);
        assert_eq!(output.packets[0].pts % 60_060, 0, "a boundary of 60 frames from the epoch");
    }
}

/// 4 s each of 320x180 at 30, 640x360 at 25 and 320x240 at 60 frames a second, the last with B-frames.
fn three_parts(server: &Server) -> std::path::PathBuf {
    let flv = server.folder().join("change.flv");
    let parts = [
        Source::small(),
        Source { size: Some((640, 360)), rate: "25".to_owned(), ..Source::small() },
        Source { size: Some((320, 240)), rate: "60".to_owned(), b_frames: 2, ..Source::small() },
    ];
    publisher::record(server.folder(), &flv, &parts, 4.0);
    flv
}

#[test]
fn changes_in_the_middle_leave_a_set_ladder_untouched() {
    let server = Server::start(&[Channel::new("demo").set("ladder = { video = [{ height = 180 }] }")]);
    let flv = three_parts(&server);
    let mut publisher = Publisher::replay(&server, "test-key-demo", &flv);
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(1, UP);
    let first = viewer.media(&name).unwrap().segments[0].number;
    let workers = server.workers();
    // 12 s of contribution: six segments, over both changes.
    let media = viewer.wait_number(&name, first + 5, Duration::from_secs(25));
    assert!(publisher.wait(Duration::from_secs(20)), "the publisher was thrown out: {}", publisher.log());
    assert!(!media.segments.iter().any(|s| s.discontinuity), "the output's parameters did not change");
    assert_eq!(server.workers(), workers, "the worker was restarted");
    assert_eq!(decoded_in_runs(&mut viewer, &name).len(), 1);
}

#[test]
fn a_ladder_that_follows_the_input_changes_at_boundaries() {
    let server = Server::start(&[Channel::new("demo")]);
    let flv = three_parts(&server);
    let mut publisher = Publisher::replay(&server, "test-key-demo", &flv);
    let mut viewer = server.viewer("demo");
    let name = viewer.wait_listed(1, UP);
    let first = viewer.media(&name).unwrap().segments[0].number;
    let workers = server.workers();
    // The list that a viewer began with goes on, whatever the renditions are called now.
    let media = viewer.wait_number(&name, first + 6, Duration::from_secs(25));
    assert!(publisher.wait(Duration::from_secs(20)), "the publisher was thrown out: {}", publisher.log());
    let numbers: Vec<u64> = media.segments.iter().map(|s| s.number).collect();
    assert!(numbers.windows(2).all(|p| p[0] + 1 == p[1]), "{numbers:?}");
    assert_eq!(server.workers(), workers, "the worker was restarted");
    assert_eq!(decoded_in_runs(&mut viewer, &name).len(), 3, "a run for each size");
}

/// Decodes a rendition's list, run by run (a run ends at a discontinuity). Gives the frames of each.
///
/// # Panics
/// If time is missing or there twice anywhere, over discontinuities, too.
fn decoded_in_runs(viewer: &mut millstream_tests::Viewer, name: &str) -> Vec<usize> {
    let media = viewer.media(name).unwrap();
    let mut end = None;
    let mut out = Vec::new();
    for run in media.segments.chunk_by(|_, b| !b.discontinuity) {
        let init = viewer.bytes(&format!("{name}/{}", run[0].map.as_ref().unwrap().0)).unwrap();
        let bytes: Vec<Bytes> = run.iter().map(|s| viewer.bytes(&format!("{name}/{}", s.uri)).unwrap()).collect();
        let file = decode::concatenate(&init, &bytes);
        let (packets, _) = decode::packets(&file);
        for packet in &packets {
            assert!(end.is_none_or(|e| e == packet.pts), "a hole or an overlap at {}", packet.pts);
            end = Some(packet.pts + packet.duration);
        }
        assert_eq!(decode::decoded_frames(&file), packets.len());
        out.push(packets.len());
    }
    out
}
