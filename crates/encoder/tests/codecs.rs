//! Codecs other than H.264, in and out, where the libraries have them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod harness;

use bytes::{Buf, Bytes};
use harness::contribution::{Message, usual};
use harness::{T0, ffmpeg, ffmpeg_with, grid, ladder, run, start};
use millstream_encode_wire::message::{AudioCodec, Ladder, ToWorker, UnitTimes, VideoCodec, VideoRendition};
use millstream_media::codec::nal::{NalCodec, Strip, annexb_to_length_prefixed, annexb_units, is_random_access};
use millstream_media::codec::{Av1Config, HevcConfig, OpusConfig};
use millstream_media::time::UtcTime;

fn ladder_of(codec: VideoCodec, encoder: &str, preset: &str) -> Ladder {
    let mut ladder = ladder();
    let change = |r: VideoRendition| VideoRendition { codec, encoder: encoder.into(), preset: preset.into(), ..r };
    ladder.video = ladder.video.into_iter().map(change).collect();
    ladder
}

#[test]
fn hevc_out() {
    let grid = grid(30, 1);
    let mut messages = vec![(start(grid, ladder_of(VideoCodec::Hevc, "libx265", "ultrafast")), Bytes::new())];
    messages.extend(usual(3.0));
    let output = run(messages);
    assert!(output.failed.is_empty(), "{:?}", output.failed);
    let config = HevcConfig::parse(output.record("180p")).unwrap();
    assert_eq!((config.width, config.height), (320, 180));
    let mut stream = Vec::new();
    for set in config.parameter_sets() {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(set);
    }
    let units = &output.video["180p"];
    for (index, (frame, key, data)) in units.iter().enumerate() {
        assert_eq!(*key, index == 0 || grid.is_boundary(*frame), "frame {frame}");
        assert_eq!(is_random_access(data, 4, NalCodec::Hevc), *key, "frame {frame}");
        stream.extend_from_slice(&millstream_media::codec::nal::length_prefixed_to_annexb(data, 4).unwrap());
    }
    let raw = ffmpeg("-xerror -f hevc -i - -f rawvideo -pix_fmt yuv420p -fps_mode passthrough -", &stream);
    assert_eq!(raw.len(), units.len() * 320 * 180 * 3 / 2);
    assert_eq!(output.frames("180p"), output.frames("90p"));
}

#[test]
fn av1_out() {
    let grid = grid(30, 1);
    let mut messages = vec![(start(grid, ladder_of(VideoCodec::Av1, "libsvtav1", "12")), Bytes::new())];
    messages.extend(usual(3.0));
    let output = run(messages);
    assert!(output.failed.is_empty(), "{:?}", output.failed);
    let config = Av1Config::parse(output.record("180p")).unwrap();
    assert_eq!((config.width, config.height), (320, 180));
    let units = &output.video["180p"];
    assert!(units.windows(2).all(|w| w[1].0 == w[0].0 + 1));
    for (index, (frame, key, _)) in units.iter().enumerate() {
        assert_eq!(*key, index == 0 || grid.is_boundary(*frame), "frame {frame}");
    }
    assert_eq!(output.frames("180p"), output.frames("90p"));
}

/// HEVC in, as Enhanced RTMP brings it: here cut from an Annex B file, without reordering.
#[test]
fn hevc_in() {
    let source = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=2 -c:v libx265 -preset ultrafast -x265-params \
                  bframes=0:keyint=30:aud=1:repeat-headers=1:log-level=none -pix_fmt yuv420p -f hevc -";
    let file = ffmpeg_with(&source.split_whitespace().collect::<Vec<_>>(), &[]);
    let config = HevcConfig::from_annexb(&file).unwrap();
    // An access unit delimiter begins each access unit.
    let mut pictures: Vec<Vec<u8>> = Vec::new();
    for nal in annexb_units(&file) {
        if nal[0] >> 1 & 0x3f == 35 {
            pictures.push(Vec::new());
        }
        let picture = pictures.last_mut().unwrap();
        picture.extend_from_slice(&[0, 0, 0, 1]);
        picture.extend_from_slice(nal);
    }
    assert_eq!(pictures.len(), 60);
    let mut messages = vec![(start(grid(30, 1), ladder()), Bytes::new())];
    messages.push((ToWorker::VideoConfig { codec: VideoCodec::Hevc }, config.record.clone()));
    for (index, picture) in pictures.iter().enumerate() {
        let data = annexb_to_length_prefixed(picture, NalCodec::Hevc, Strip::ParameterSets).unwrap();
        let pts = UtcTime(T0.0 + index as i64 * 100_000_000 / 3);
        let key = is_random_access(&data, 4, NalCodec::Hevc);
        messages.push((ToWorker::Video(UnitTimes { pts, dts: pts, key }), data));
    }
    let output = run(messages);
    output.check(grid(30, 1));
    assert!((60..=61).contains(&output.frames("180p").len()));
    assert!(output.pictures("180p")[30].iter().any(|p| *p > 100));
}

/// Opus in, as WHIP brings it: here out of an Ogg file.
#[test]
fn opus_in() {
    let source = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=3 -ac 2 -c:a libopus -b:a 64k -f ogg -";
    let mut file = Bytes::from(ffmpeg_with(&source.split(' ').collect::<Vec<_>>(), &[]));
    let (mut packets, mut packet) = (Vec::new(), Vec::new());
    while file.remaining() > 27 {
        let head = file.split_to(27);
        let lacing = file.split_to(usize::from(head[26]));
        for length in lacing {
            packet.extend_from_slice(&file.split_to(usize::from(length)));
            if length < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
    }
    let config = OpusConfig::from_opus_head(&packets[0]).unwrap();
    let mut messages: Vec<Message> = vec![(start(grid(30, 1), ladder()), Bytes::new())];
    messages.push((ToWorker::AudioConfig { codec: AudioCodec::Opus }, config.record));
    for (index, packet) in packets.into_iter().skip(2).enumerate() {
        let pts = UtcTime(T0.0 + index as i64 * 20_000_000);
        messages.push((ToWorker::Audio(UnitTimes { pts, dts: pts, key: true }), packet.into()));
    }
    let output = run(messages);
    assert!((138..=142).contains(&output.audio.len()), "{}", output.audio.len());
    let samples = output.samples(2);
    let crossings = samples[48_000..240_000].iter().step_by(2).copied().collect::<Vec<_>>();
    let crossings = crossings.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
    assert!(crossings.abs_diff(880) <= 2, "{crossings} periods of 440 Hz in 2 s");
}
