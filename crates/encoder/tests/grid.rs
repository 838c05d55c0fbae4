//! Whatever comes in, the output lies on the grid: IDR on every boundary, the same frames in every rendition, no gap.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod harness;

use harness::contribution::{make, picture, tone, usual};
use harness::{Output, T0, grid, ladder, run, start, start_at};
use millstream_media::time::Timescale;

fn encode(grid: millstream_media::grid::SegmentGrid, media: Vec<harness::contribution::Message>) -> Output {
    let mut messages = vec![(start(grid, ladder()), bytes::Bytes::new())];
    messages.extend(media);
    run(messages)
}

/// STANDARDS 5.6, 5.9, 5.11.
#[test]
fn every_boundary_has_an_idr_in_every_rendition() {
    for (num, den, rate) in [(30, 1, "30"), (30_000, 1001, "30000/1001"), (25, 1, "25")] {
        let grid = grid(num, den);
        let output = encode(grid, make(&[&picture("320x180", rate, 5.0), &tone(48_000, 5.0)], "-g 30 -bf 0"));
        output.check(grid);
        let frames = output.frames("180p");
        assert_eq!(frames[0], grid.nearest_frame(T0));
        let expected = (5.0 * f64::from(num) / f64::from(den)) as usize;
        assert!(frames.len().abs_diff(expected) <= 2, "{} frames", frames.len());
        assert!(output.video["180p"].iter().filter(|u| u.1).count() >= 3);
        let first = grid.frame_time(frames[0]).to_ticks(Timescale::AUDIO_48K).div_ceil(1024) * 1024;
        assert_eq!(output.audio[0].0, first);
        assert!((230..=238).contains(&output.audio.len()), "{} frames of sound", output.audio.len());
        assert_eq!(output.pictures("180p").len(), frames.len());
        assert_eq!(output.pictures("90p").len(), frames.len());
    }
}

/// DESIGN 2: two encoders that are fed the same contribution from different moments on make segments that can stand in
/// for each other.
#[test]
fn a_later_start_has_the_same_frames_and_boundaries() {
    let grid = grid(30, 1);
    let media = usual(6.0);
    let early = encode(grid, media.clone());
    let mut messages = vec![(start_at(grid, ladder(), grid.nearest_frame(T0) + 100), bytes::Bytes::new())];
    messages.extend(media);
    let late = run(messages);
    late.check(grid);
    let (early_frames, late_frames) = (early.frames("90p"), late.frames("90p"));
    assert_eq!(early_frames[100..], late_frames);
    // The same source picture in the same slot: the decoded pictures are nearly equal.
    let (a, b) = (early.pictures("180p"), late.pictures("180p"));
    for (index, picture) in b.iter().enumerate() {
        let other = &a[index + 100];
        let difference: u64 = picture.iter().zip(other).map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
        assert!(difference / (picture.len() as u64) < 6, "picture {index}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let grid = grid(30, 1);
    let media = usual(3.0);
    let (a, b) = (encode(grid, media.clone()), encode(grid, media));
    assert!(a.video == b.video && a.audio == b.audio && a.started.len() == 3);
    assert_eq!(a.record("180p"), b.record("180p"));
}
