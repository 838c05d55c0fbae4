//! What is written is read back the same, and no bytes make the reader panic.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fixtures;

use bytes::Bytes;
use fixtures::{audio_track, hevc_track, opus_track, video_track};
use millstream_media::cmaf::read::{self, BoxHeader, ErrorKind, boxes};
use millstream_media::cmaf::{ChunkHead, FourCc, chunk, dump, init_segment};
use millstream_media::time::UtcTime;
use millstream_media::unit::Sample;
use proptest::prelude::*;

/// Contiguous samples; the fields are alike, differ, or are alike but for the first, as the writer's forms want it.
fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let sample = (0u32..3, -2i32..3, any::<bool>(), prop::collection::vec(any::<u8>(), 0..3));
    (0u64..1 << 50, any::<[bool; 4]>(), prop::collection::vec(sample, 1..20)).prop_map(|(start, alike, drawn)| {
        let mut dts = start;
        let (d0, o0, k0, b0) = drawn[0].clone();
        let mut samples = Vec::new();
        for (i, (duration, offset, key, data)) in drawn.into_iter().enumerate() {
            let sample = Sample {
                dts,
                composition_offset: 500 * if alike[1] { o0 } else { offset },
                duration: 1000 + if alike[0] { d0 } else { duration },
                key: if alike[2] { k0 && i == 0 } else { key },
                data: Bytes::from(if alike[3] { b0.clone() } else { data }),
            };
            dts += u64::from(sample.duration);
            samples.push(sample);
        }
        samples
    })
}

fn any_file() -> impl Strategy<Value = Vec<u8>> {
    let track = prop_oneof![Just(video_track()), Just(hevc_track()), Just(audio_track()), Just(opus_track())];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5);
    (track, any_samples(), changes, any::<Option<prop::sample::Index>>()).prop_map(|(track, samples, changes, cut)| {
        let head = ChunkHead { segment: 9, part: 0, opens_at: Some(UtcTime(0)) };
        let mut file = [&init_segment(&track)[..], &chunk(head, &samples).unwrap().bytes].concat();
        for (at, value) in changes {
            let i = at.index(file.len());
            file[i] = value;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// decode(encode(x)) = x, whichever fields are said once and whichever for each sample.
    #[test]
    fn chunks_round_trip(samples in any_samples(), segment in 1u64..1 << 40, part in 0u32..256, opens in any::<bool>()) {
        let opens_at = opens.then_some(UtcTime(1_795_365_013_250_000_000));
        let written = chunk(ChunkHead { segment, part, opens_at }, &samples).unwrap();
        let init = read::init(&init_segment(&video_track())).unwrap();
        // Twice, one behind the other, as in a segment of several chunks.
        let twice = Bytes::from([&written.bytes[..], &written.bytes].concat());
        let got = read::chunks(&twice, &init).collect::<Result<Vec<_>, _>>().unwrap();
        prop_assert_eq!(got.len(), 2);
        for c in &got {
            prop_assert_eq!(c.media_samples(&twice).unwrap(), samples.clone());
            prop_assert_eq!(c.duration(), written.duration);
            prop_assert_eq!((c.styp.is_some(), c.prft.is_some()), (opens, opens));
        }
        prop_assert_eq!((got[0].offset, got[0].end, got[1].end), (0, written.bytes.len(), twice.len()));
        prop_assert_eq!(written.first_sample_end as usize, got[0].samples[0].offset + samples[0].data.len());
    }

    #[test]
    fn no_file_makes_the_reader_panic(file in any_file()) {
        let _ = dump::dump(&file);
        if let Ok(init) = read::init(&file) {
            let bytes = Bytes::from(file.clone());
            for c in read::chunks(&file, &init).map_while(Result::ok) {
                let _ = c.media_samples(&bytes);
                let _ = c.duration();
            }
        }
        for b in boxes(&file).map_while(Result::ok) {
            prop_assert!(b.end() <= file.len());
        }
    }

    /// An error points into the input, or at its end.
    #[test]
    fn errors_say_where(file in any_file()) {
        if let Err(e) = read::init(&file) {
            prop_assert!(e.offset <= file.len(), "{e}");
        }
    }
}

#[test]
fn a_truncated_chunk_names_the_place() {
    let samples = fixtures::samples(0, 1000, &[(true, 0, b"abcd")]);
    let written = chunk(ChunkHead { segment: 1, part: 0, opens_at: None }, &samples).unwrap().bytes;
    let init = read::init(&init_segment(&video_track())).unwrap();
    let mdat = written.len() - 12;
    let error = read::chunks(&written[..written.len() - 1], &init).next().unwrap().unwrap_err();
    assert_eq!((error.offset, error.kind), (mdat, ErrorKind::BoxSize(FourCc(*b"mdat"))));
    let error = read::chunks(&written[..mdat], &init).next().unwrap().unwrap_err();
    assert_eq!((error.offset, error.kind), (mdat, ErrorKind::Missing(FourCc(*b"mdat"))));
}

/// A few bytes may not claim millions of samples.
#[test]
fn sample_counts_are_bounded() {
    let samples = fixtures::samples(0, 1000, &[(true, 0, b"")]);
    let mut bytes = chunk(ChunkHead { segment: 1, part: 0, opens_at: None }, &samples).unwrap().bytes.to_vec();
    let trun = bytes.windows(4).position(|w| w == b"trun").unwrap();
    bytes[trun + 8..trun + 12].copy_from_slice(&u32::MAX.to_be_bytes());
    let init = read::init(&init_segment(&video_track())).unwrap();
    let error = read::chunks(&bytes, &init).next().unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooMany("samples"));
}

#[test]
fn headers_are_read_from_a_stream() {
    let header = |b: &[u8]| BoxHeader::parse(b);
    assert_eq!(header(b"\0\0\0\x08mda"), Ok(None));
    assert_eq!(header(b"\0\0\0\x07mdat"), Err(ErrorKind::BoxSize(FourCc(*b"mdat"))));
    assert_eq!(header(b"\0\0\0\x01mdat\0\0\0\0\0\0\0"), Ok(None));
    let large = header(b"\0\0\0\x01mdat\0\0\0\x01\0\0\0\0").unwrap().unwrap();
    assert_eq!((large.header_len, large.size), (16, Some(1 << 32)));
    assert_eq!(header(b"\0\0\0\0mdat").unwrap().unwrap().size, None);
}
