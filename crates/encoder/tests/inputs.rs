//! Contributions as they are: B-frames, interlaced, odd sizes, changing, variable, broken.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod harness;

use bytes::Bytes;
use harness::contribution::{Message, make, picture, shift, silent, tone, usual};
use harness::{Output, grid, ladder, run, start};
use millstream_encode_wire::message::ToWorker;

fn encode(media: Vec<Message>) -> Output {
    let mut messages = vec![(start(grid(30, 1), ladder()), Bytes::new())];
    messages.extend(media);
    let output = run(messages);
    output.check(grid(30, 1));
    output
}

/// Mean luma of a part of a 320 × 180 picture.
fn luma(picture: &[u8], x: std::ops::Range<usize>, y: std::ops::Range<usize>) -> u64 {
    let count = (x.len() * y.len()) as u64;
    y.map(|row| picture[row * 320..][x.clone()].iter().map(|p| u64::from(*p)).sum::<u64>()).sum::<u64>() / count
}

#[test]
fn b_frames_come_out_in_order() {
    // A white bar walks from left to right over a black picture.
    let bar = "color=black:s=320x180:r=30:d=3[b];color=white:s=10x180:r=30:d=3[w];[b][w]overlay=x=n*3";
    let media = make(&[bar, &tone(48_000, 3.0)], "-g 30 -bf 3 -b_strategy 0");
    assert!(media.iter().any(|(m, _)| matches!(m, ToWorker::Video(t) if t.pts > t.dts)));
    let output = encode(media);
    let place = |p: &Vec<u8>| p[..320].iter().position(|v| *v > 128).unwrap_or(0);
    let places: Vec<_> = output.pictures("180p").iter().map(place).collect();
    let moving: Vec<_> = places[5..85].to_vec();
    assert!(moving.windows(2).all(|w| w[1].abs_diff(w[0] + 3) <= 1), "{moving:?}");
}

#[test]
fn interlaced_pictures_are_deinterlaced() {
    let source = "testsrc2=size=320x180:rate=60:duration=3,interlace=scan=tff,setfield=tff,setsar=1";
    let media = make(&[source, &tone(48_000, 3.0)], "-g 30 -bf 0 -flags +ilme+ildct -x264-params tff=1");
    let output = encode(media);
    assert_eq!(output.inputs, [(320, 180, true)]);
    let count = output.frames("180p").len();
    assert!((88..=91).contains(&count), "{count} frames");
    // Comb: neighbouring lines differ more than lines two apart.
    let pictures = output.pictures("180p");
    let combed = |p: &[u8], step: usize| -> u64 {
        (20..150)
            .map(|y| (0..320).map(|x| u64::from(p[y * 320 + x].abs_diff(p[(y + step) * 320 + x]))).sum::<u64>())
            .sum()
    };
    for p in &pictures[30..60] {
        assert!(combed(p, 1) < combed(p, 2), "a comb");
    }
}

#[test]
fn resolution_and_rate_may_change_in_the_middle() {
    let mut media = usual(2.0);
    media.extend(shift(
        make(&[&picture("426x240", "25", 2.0), &tone(44_100, 2.0)], "-g 25 -bf 2 -profile:v main"),
        2000,
    ));
    media.extend(shift(make(&[&picture("200x200", "15", 2.0), &tone(48_000, 2.0)], "-g 15"), 4000));
    let output = encode(media);
    assert_eq!(output.inputs, [(320, 180, false), (426, 240, false), (200, 200, false)]);
    assert!(output.frames("180p").len().abs_diff(180) <= 3);
    let pictures = output.pictures("180p");
    let square = &pictures[170];
    // A square picture in a wide rendition: bars left and right, the picture between them.
    assert!(luma(square, 0..60, 20..160) <= 18 && luma(square, 260..320, 20..160) <= 18);
    assert!(luma(square, 75..245, 20..160) > 40);
    assert_eq!(output.stats.decode_errors, 0);
}

#[test]
fn odd_sizes_and_pixel_shapes_and_formats() {
    for (name, source, options) in [
        ("odd", "testsrc2=size=333x187:rate=30:duration=2,format=yuv444p", "-pix_fmt yuv444p"),
        ("tall pixels", "testsrc2=size=160x180:rate=30:duration=2,setsar=2/1", ""),
        ("full range", "testsrc2=size=320x180:rate=30:duration=2,format=yuvj420p", "-pix_fmt yuvj420p"),
        ("ten bits", "testsrc2=size=320x180:rate=30:duration=2,format=yuv420p10le", "-pix_fmt yuv420p10le"),
    ] {
        let options = format!("-g 30 -bf 0 {options}");
        let output = encode(make(&[source, &tone(48_000, 2.0)], options.trim()));
        let pictures = output.pictures("180p");
        assert!((59..=61).contains(&pictures.len()), "{name}: {} pictures", pictures.len());
        assert!(luma(&pictures[40], 0..30, 60..120) > 30, "{name}: no bars");
    }
}

#[test]
fn a_variable_rate_is_filled_by_repeats() {
    // Pictures 0 to 29 at 30 fps, then one picture each half second, then 30 fps again.
    let mut media = Vec::new();
    let mut index = 0;
    for (message, payload) in make(&[&picture("320x180", "30", 4.0)], "-g 1 -bf 0") {
        if matches!(message, ToWorker::Video(_)) {
            index += 1;
            if (30..90).contains(&index) && index % 15 != 0 {
                continue;
            }
        }
        media.push((message, payload));
    }
    let output = encode(media);
    assert!(output.frames("180p").len().abs_diff(120) <= 1);
    assert_eq!(output.stats.decode_errors, 0);
    let pictures = output.pictures("180p");
    let same = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(x, y)| u64::from(x.abs_diff(*y))).sum::<u64>() < 40_000;
    assert!(same(&pictures[50], &pictures[54]) && !same(&pictures[20], &pictures[28]));
}

#[test]
fn garbage_costs_pictures_not_the_worker() {
    let mut media = usual(4.0);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for (index, (message, payload)) in media.iter_mut().enumerate() {
        let hit = index > 60 && index < 250 && random() % 3 == 0;
        if hit && matches!(message, ToWorker::Video(_) | ToWorker::Audio(_)) {
            let mut bytes = payload.to_vec();
            for _ in 0..20 {
                let at = random() as usize % bytes.len().max(1);
                bytes[at] = random() as u8;
            }
            bytes.truncate(1 + random() as usize % bytes.len());
            *payload = bytes.into();
        }
    }
    media.insert(
        120,
        (ToWorker::VideoConfig { codec: millstream_encode_wire::message::VideoCodec::H264 }, Bytes::new()),
    );
    media.insert(130, media[0].clone());
    let codec = millstream_encode_wire::message::AudioCodec::Opus;
    media.insert(140, (ToWorker::AudioConfig { codec }, Bytes::from_static(b"nothing")));
    let output = encode(media);
    assert!(output.frames("180p").len() > 110 && !output.warnings.is_empty());
}

#[test]
fn times_that_jump_do_not_run_away() {
    let mut media = silent(usual(2.0));
    media.extend(shift(silent(usual(1.0)), 3_600_000));
    media.extend(shift(silent(usual(1.0)), 2000));
    let output = encode(media);
    assert!(output.frames("180p").len().abs_diff(90) <= 2, "{}", output.frames("180p").len());
}
