//! Thumbnails: one tile for each five seconds of the clock, all of one kind, so that they can be joined; and a poster.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod harness;

use bytes::Bytes;
use harness::contribution::{make, picture, tone};
use harness::{grid, ladder, run, start};
use millstream_encode_wire::message::PictureKind;
use millstream_media::storyboard::{TILE_HEIGHT, TILE_WIDTH, tile_at};
use millstream_media::{jpeg, time::UtcTime};

#[test]
fn each_five_seconds_have_a_tile() {
    let grid = grid(30, 1);
    let mut messages = vec![(start(grid, ladder()), Bytes::new())];
    messages.extend(make(&[&picture("320x180", "30", 12.0), &tone(48_000, 12.0)], "-g 30 -bf 0"));
    let output = run(messages);
    let of = |kind| output.thumbnails.iter().filter(move |t| t.0 == kind);
    let numbers: Vec<i64> = of(PictureKind::Tile).map(|t| tile_at(grid.frame_time(t.1))).collect();
    let frames = output.frames("180p");
    let shown = |frame: u64| tile_at(UtcTime(grid.frame_time(frame).0));
    let expected: Vec<i64> = (shown(frames[0])..=shown(*frames.last().unwrap())).collect();
    assert_eq!(numbers, expected);
    let tiles: Vec<Bytes> = of(PictureKind::Tile).map(|t| t.2.clone()).collect();
    for tile in &tiles {
        assert_eq!(jpeg::size(tile), Some((TILE_WIDTH as u16, TILE_HEIGHT as u16)));
        assert!(tile.len() < 40_000, "a tile of {} bytes", tile.len());
    }
    let sheet = jpeg::stack(&tiles).expect("they have the same tables");
    assert_eq!(jpeg_height(&sheet), tiles.len() as u32 * TILE_HEIGHT);
    // Decoded, the sheet is its tiles, one below the other.
    let whole = decoded(&sheet);
    let apart: Vec<u8> = tiles.iter().flat_map(decoded).collect();
    assert_eq!(whole.len(), apart.len());
    assert!(whole == apart, "the joined picture shows what its parts show");
    assert!(of(PictureKind::Poster).count() >= 1);
    assert!(output.warnings.is_empty(), "{:?}", output.warnings);
}

/// Height in the frame header.
fn jpeg_height(jpeg: &[u8]) -> u32 {
    let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    u32::from(u16::from_be_bytes([jpeg[at + 5], jpeg[at + 6]]))
}

/// Luma of a JPEG, by the `ffmpeg` command.
fn decoded(jpeg: &Bytes) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture.jpg");
    std::fs::write(&file, jpeg).unwrap();
    let out = std::process::Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i", file.to_str().unwrap(), "-vf", "extractplanes=y", "-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}
