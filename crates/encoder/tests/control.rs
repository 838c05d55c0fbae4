//! What the server asks for: advance, slate, reconfigure, resume, ping, finish; and the end of the server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod harness;

use bytes::Bytes;
use harness::contribution::{Message, shift, usual};
use harness::{T0, Worker, grid, ladder, name, rendition, run, start, start_at};
use millstream_encode_wire::message::{AudioRendition, FromWorker, Ladder, ToWorker};
use millstream_media::time::UtcTime;

fn plain(message: ToWorker) -> Message {
    (message, Bytes::new())
}

fn after(ms: i64) -> UtcTime {
    UtcTime(T0.0 + ms * 1_000_000)
}

#[test]
fn lost_input_is_bridged_by_the_last_picture_then_the_slate_then_the_picture_again() {
    let grid = grid(30, 1);
    let mut messages = vec![plain(start(grid, ladder()))];
    messages.extend(usual(2.0));
    messages.push(plain(ToWorker::Advance { until: after(4000), slate: false }));
    messages.push(plain(ToWorker::Advance { until: after(6000), slate: true }));
    messages.extend(shift(usual(2.0), 6000));
    let output = run(messages);
    output.check(grid);
    assert!(output.frames("180p").len().abs_diff(240) <= 2);
    let pictures = output.pictures("180p");
    let near = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(x, y)| u64::from(x.abs_diff(*y))).sum::<u64>() < 250_000;
    assert!(near(&pictures[100], &pictures[62]), "the last picture stays");
    assert!(pictures[170][..320].iter().all(|p| (25..45).contains(p)), "the slate is dark");
    assert!(near(&pictures[170], &pictures[150]));
    assert!(!near(&pictures[200], &pictures[170]), "the picture is back");
    assert_eq!(output.pictures("90p").len(), pictures.len());
    // Nothing is heard between.
    let samples = output.samples(2);
    let loud = |from: usize, to: usize| samples[from * 96..to * 96].iter().any(|s| s.abs() > 0.05);
    assert!(loud(1000, 1500) && !loud(2200, 5800) && loud(6500, 7500));
}

#[test]
fn a_new_ladder_begins_at_a_boundary_and_leaves_the_unchanged_alone() {
    let grid = grid(30, 1);
    let first_segment = grid.segment_of_frame(grid.nearest_frame(T0));
    let old = ladder();
    let new = Ladder {
        video: vec![rendition("180p", 320, 180, 500_000), old.video[1].clone(), rendition("45p", 80, 44, 50_000)],
        audio: Some(AudioRendition { bit_rate: 64_000, ..old.audio.clone().unwrap() }),
    };
    let media = usual(8.0);
    let mut messages = vec![plain(start(grid, old.clone()))];
    messages.extend(media.iter().take(200).cloned());
    messages.push(plain(ToWorker::Reconfigure { ladder: new, at_segment: first_segment + 2 }));
    messages.extend(media.iter().skip(200).cloned());
    let output = run(messages);
    let at = first_segment + 2;
    let mut ended: Vec<_> = output.ended.iter().filter(|e| e.1 == at).map(|e| e.0.as_str()).collect();
    ended.sort_unstable();
    assert_eq!(ended, ["180p", "audio"]);
    let started: Vec<_> = output.started.iter().map(|s| (s.0.as_str(), s.1)).collect();
    for expected in [("180p", at), ("45p", at), ("audio", at), ("90p", first_segment)] {
        assert!(started.contains(&expected), "{expected:?} in {started:?}");
    }
    assert_eq!(started.iter().filter(|s| s.0 == "90p").count(), 1, "the unchanged one is not started again");
    for (name, units) in &output.video {
        assert!(units.windows(2).all(|w| w[1].0 == w[0].0 + 1), "{name} has a gap");
        assert!(units.iter().skip(1).all(|u| u.1 == grid.is_boundary(u.0)), "{name}");
    }
    assert_eq!(output.frames("45p")[0], grid.first_frame(at));
    assert_eq!(output.frames("180p"), output.frames("90p"));
    assert!(output.audio.windows(2).all(|w| w[1].0 == w[0].0 + 1024));
    // The unchanged rendition has the bytes it would have had.
    let mut messages = vec![plain(start(grid, old))];
    messages.extend(media);
    assert!(run(messages).video["90p"] == output.video["90p"]);
}

#[test]
fn a_reconfiguration_that_comes_too_late_takes_the_next_boundary() {
    let grid = grid(30, 1);
    let media = usual(6.0);
    let mut messages = vec![plain(start(grid, ladder()))];
    messages.extend(media.iter().take(300).cloned());
    let new = Ladder { video: vec![ladder().video[1].clone()], audio: ladder().audio };
    messages.push(plain(ToWorker::Reconfigure { ladder: new, at_segment: 1 }));
    messages.extend(media.iter().skip(300).cloned());
    let output = run(messages);
    assert_eq!(output.ended.len(), 1);
    let last = *output.frames("180p").last().unwrap();
    assert!(grid.is_boundary(last + 1) && output.ended[0] == ("180p".into(), grid.segment_of_frame(last + 1)));
    assert!(output.frames("90p").len() > output.frames("180p").len());
}

#[test]
fn each_rendition_resumes_where_it_was() {
    let grid = grid(30, 1);
    let first = grid.nearest_frame(T0) + 31;
    let ToWorker::Start { version, ladder, first_audio, slate_text, .. } = start_at(grid, ladder(), first) else {
        unreachable!()
    };
    let resume = vec![(name("180p"), first + 7)];
    let start = ToWorker::Start { version, grid, ladder, first_frame: first, first_audio, resume, slate_text };
    let mut messages = vec![plain(start)];
    messages.extend(usual(4.0));
    let output = run(messages);
    let (high, low) = (&output.video["180p"], &output.video["90p"]);
    assert_eq!((high[0].0, high[0].1, low[0].0, low[0].1), (first + 7, true, first, true));
    assert_eq!(high.last().unwrap().0, low.last().unwrap().0);
    assert!(output.pictures("90p")[0].iter().any(|p| *p > 100), "the replayed pictures are shown, not black");
}

#[test]
fn an_encoder_that_is_not_there_is_named_and_the_others_go_on() {
    let grid = grid(30, 1);
    let mut ladder = ladder();
    ladder.video[0].encoder = "h264_nvenc".into();
    ladder.video[0].preset = "p4".into();
    let mut messages = vec![plain(start(grid, ladder))];
    messages.extend(usual(2.0));
    let output = run(messages);
    assert_eq!(output.failed.len(), 1);
    assert!(output.failed[0].0 == "180p" && output.failed[0].1.contains("h264_nvenc"), "{:?}", output.failed);
    assert!(output.frames("90p").len() >= 60);
}

#[test]
fn a_ping_is_answered_while_the_worker_is_busy() {
    let grid = grid(30, 1);
    let mut worker = Worker::spawn();
    let mut messages = vec![plain(start(grid, ladder()))];
    // Ten seconds of frames to make at once.
    messages.push(plain(ToWorker::Advance { until: after(10_000), slate: true }));
    messages.push(plain(ToWorker::Ping { token: 7 }));
    let sender = worker.send(messages);
    let mut frames = 0;
    loop {
        match worker.next().expect("a pong comes first").0 {
            FromWorker::Pong { token } => break assert_eq!(token, 7),
            FromWorker::Video { .. } => frames += 1,
            _ => {}
        }
    }
    sender.join().unwrap();
    assert!(frames < 600, "all {frames} frames came before the answer");
}

#[test]
fn the_worker_ends_with_the_server() {
    let mut worker = Worker::spawn();
    let mut messages = vec![plain(start(grid(30, 1), ladder()))];
    messages.extend(usual(1.0));
    worker.send(messages).join().unwrap();
    worker.next().unwrap();
    worker.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(worker.child.wait().unwrap().code().is_some());
}
