//! Files: every picture arrives once and in its place, an import goes on anywhere, and what cannot be read is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod harness;

use std::path::{Path, PathBuf};

use harness::{ffmpeg_with, grid, ladder, run_file};

fn make(folder: &Path, name: &str, options: &str) -> PathBuf {
    let path = folder.join(name);
    let mut arguments: Vec<&str> = options.split(' ').collect();
    arguments.push(path.to_str().unwrap());
    ffmpeg_with(&arguments, &[]);
    path
}

const PICTURE: &str = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=5";
const SOUND: &str = "-f lavfi -i sine=sample_rate=48000:duration=5";
const X264: &str = "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -c:a aac";

#[test]
fn every_picture_of_a_file_arrives_once_and_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [
        ("a.mp4", format!("{PICTURE} {SOUND} {X264}")),
        ("a.mkv", format!("{PICTURE} {SOUND} {X264}")),
        ("a.ts", format!("{PICTURE} {SOUND} {X264}")),
        ("late.mp4", format!("{PICTURE} {SOUND} {X264} -output_ts_offset 3")),
    ] {
        let got = run_file(&make(folder.path(), name, &options), grid(30, 1), ladder(), 0);
        got.check(grid(30, 1));
        assert_eq!(got.frames("180p"), (0..150).collect::<Vec<_>>(), "{name} {:?}", got.losses);
        assert_eq!(got.losses, Vec::<String>::new(), "{name}");
        // Five seconds of sound, less than a frame more or less at either end.
        assert_eq!(got.audio[0].0, 0, "{name}");
        assert!((233..=238).contains(&got.audio.len()), "{name}: {}", got.audio.len());
        let video = got.facts.unwrap().video.unwrap();
        assert_eq!((video.width, video.height, video.mean_rate), (320, 180, Some((30, 1))), "{name}");
    }
}

#[test]
fn an_import_goes_on_at_any_segment() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "a.ts"] {
        let file = make(folder.path(), name, &format!("{PICTURE} {SOUND} {X264} -g 250"));
        let whole = run_file(&file, grid(30, 1), ladder(), 0);
        let rest = run_file(&file, grid(30, 1), ladder(), 60);
        rest.check(grid(30, 1));
        assert_eq!(rest.frames("180p"), (60..150).collect::<Vec<_>>(), "{name}");
        assert_eq!(rest.audio[0].0, 96_256, "{name}: the first frame at or after 2 s");
        // The same pictures, whatever was decoded before them.
        let (a, b) = (whole.pictures("180p"), rest.pictures("180p"));
        for (index, (a, b)) in a[60..].iter().zip(&b).enumerate() {
            let apart: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            assert!(apart < 6 * a.len() as u64, "{name}, picture {index}: {} apart", apart / a.len() as u64);
        }
    }
}

#[test]
fn a_turned_picture_stands_upright() {
    let folder = tempfile::tempdir().unwrap();
    let flat = make(folder.path(), "flat.mp4", &format!("{PICTURE} {X264} -t 1"));
    let mut bytes = std::fs::read(&flat).unwrap();
    // The matrix of the track header: a quarter turn clockwise (ISO/IEC 14496-12 8.3.2).
    let at = bytes.windows(4).position(|w| w == b"tkhd").unwrap() + 44;
    for (index, value) in [0_u32, 1 << 16, 0, 0xffff_0000, 0, 0, 180 << 16, 0, 1 << 30].into_iter().enumerate() {
        bytes[at + 4 * index..at + 4 * index + 4].copy_from_slice(&value.to_be_bytes());
    }
    let turned = folder.path().join("turned.mp4");
    std::fs::write(&turned, bytes).unwrap();
    let got = run_file(&turned, grid(30, 1), ladder(), 0);
    let video = got.facts.clone().unwrap().video.unwrap();
    assert_eq!((video.width, video.height), (180, 320));
    got.check(grid(30, 1));
    assert_eq!(got.frames("180p").len(), 30);
}

#[test]
fn time_stamps_that_jump_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let one = make(folder.path(), "one.ts", &format!("{PICTURE} {SOUND} {X264}"));
    let two = make(folder.path(), "two.ts", &format!("{PICTURE} {SOUND} {X264} -output_ts_offset 7000"));
    let both = folder.path().join("both.ts");
    std::fs::write(&both, [std::fs::read(one).unwrap(), std::fs::read(two).unwrap()].concat()).unwrap();
    let got = run_file(&both, grid(30, 1), ladder(), 0);
    got.check(grid(30, 1));
    assert!((296..=304).contains(&got.frames("180p").len()), "{}", got.frames("180p").len());
    assert!(got.losses.iter().any(|l| l.contains("jump")), "{:?}", got.losses);
}

#[test]
fn what_cannot_be_read_is_told_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(make(folder.path(), "a.mp4", &format!("{PICTURE} {SOUND} {X264}"))).unwrap();
    let cut = whole[..whole.len() / 2].to_vec();
    for (name, bytes, cause) in [
        ("empty", Vec::new(), "empty"),
        ("text", b"nothing here\n".repeat(10_000), "no media"),
        ("cut", cut, "truncated"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:2,\n/etc/passwd\n#EXT-X-ENDLIST\n".to_vec(), ""),
        ("noise", (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect(), ""),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let got = run_file(&path, grid(30, 1), ladder(), 0);
        let reason = got.unreadable.unwrap_or_default();
        assert!(!reason.is_empty() && reason.contains(cause) && got.video.is_empty(), "{name}: {reason:?}");
    }
}
