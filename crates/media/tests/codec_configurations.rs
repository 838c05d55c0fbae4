//! Codec configuration records from real encoders are read right, and no bytes make a parser panic.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fixtures;

use bytes::Bytes;
use fixtures::{AVC_360P, HEVC_360P, hex};
use millstream_media::codec::nal::{self, NalCodec, NalKind, Strip};
use millstream_media::codec::{AacConfig, Av1Config, AvcConfig, Colour, Error, HevcConfig, OpusConfig, VideoConfig};
use proptest::prelude::*;

/// x264, 1920x1080 (cropped from 1088), 30000/1001 fps, High 4:2:2 10 bit, samples 4:3.
const AVC_1080P_422: &str =
    "017a0028ffe1001a677a0028b6cd940780227e270e1000003e90000ea600f183196001000668ebe3cb22c0fefafa00";
/// x264, 720x576 interlaced, 25 fps, samples 16:11.
const AVC_INTERLACED: &str =
    "0164001effe100186764001eacd940b424d8208000000300800000190f8a14cb01000668fba3cb22c0fdf8f800";
/// x265, 1280x720, 25 fps, Main 10, scaling lists, PQ in BT.2020, samples 12:11.
const HEVC_720P: &str = "0102200000009000000000005df000fcfdfafa00000f03200001001840010c01ffff02200000030090000003000003005d959809210001002f42010102200000030090000003000003005da00280802d1365959a49395e04d424402410000003001000000301908022000100074401c172b46240";
/// SVT-AV1, 640x360.
const AV1_360P: &str = "81010c000a0b0000000cc4ff6700be0010";

/// Width, height, sample aspect, frame rate, colour, interlaced, RFC 6381.
type Facts = (u32, u32, Option<(u16, u16)>, Option<(u32, u32)>, Option<Colour>, bool, String);

fn facts(config: &VideoConfig) -> Facts {
    let ((w, h), p) = (config.dimensions(), config.picture_info());
    let rate = p.frame_rate.map(|r| (r.num(), r.den()));
    (w, h, p.sample_aspect, rate, p.colour, p.interlaced, config.rfc6381())
}

const fn colour(primaries: u8, transfer: u8, matrix: u8) -> Option<Colour> {
    Some(Colour { primaries, transfer, matrix, full_range: false })
}

#[test]
fn records_of_real_encoders() {
    let avc = |t| VideoConfig::Avc(AvcConfig::parse(hex(t)).unwrap());
    let hevc = |t| VideoConfig::Hevc(HevcConfig::parse(hex(t)).unwrap());
    let av1 = |t| VideoConfig::Av1(Av1Config::parse(hex(t)).unwrap());
    let table: [(VideoConfig, Facts); 6] = [
        (avc(AVC_360P), (640, 360, Some((1, 1)), Some((30, 1)), colour(1, 1, 1), false, "avc1.64001e".into())),
        (avc(AVC_1080P_422), (1920, 1080, Some((4, 3)), Some((30_000, 1001)), None, false, "avc1.7a0028".into())),
        (avc(AVC_INTERLACED), (720, 576, Some((16, 11)), Some((25, 1)), None, true, "avc1.64001e".into())),
        (hevc(HEVC_360P), (640, 360, Some((1, 1)), Some((30, 1)), None, false, "hvc1.1.6.L63.90".into())),
        (
            hevc(HEVC_720P),
            (1280, 720, Some((12, 11)), Some((25, 1)), colour(9, 16, 9), false, "hvc1.2.4.L93.90".into()),
        ),
        (av1(AV1_360P), (640, 360, None, None, None, false, "av01.0.01M.08".into())),
    ];
    for (config, want) in table {
        assert_eq!(facts(&config), want);
    }
}

#[test]
fn avc_records_are_taken_apart_and_made_again() {
    for text in [AVC_360P, AVC_1080P_422, AVC_INTERLACED] {
        let config = AvcConfig::parse(hex(text)).unwrap();
        assert_eq!(config.nal_length_size(), 4);
        let (sps, pps): (Vec<_>, Vec<_>) = (config.sps().collect(), config.pps().collect());
        assert_eq!(AvcConfig::from_parameter_sets(&sps, &pps).unwrap(), config);
        let annexb: Vec<u8> = sps.iter().chain(&pps).flat_map(|n| [&[0, 0, 0, 1], *n].concat()).collect();
        assert_eq!(AvcConfig::from_annexb(&annexb).unwrap(), config);
    }
}

#[test]
fn hevc_records_are_taken_apart_and_made_again() {
    for text in [HEVC_360P, HEVC_720P] {
        let config = HevcConfig::parse(hex(text)).unwrap();
        let annexb: Vec<u8> = config.parameter_sets().flat_map(|n| [&[0, 0, 1], n].concat()).collect();
        let made = HevcConfig::from_annexb(&annexb).unwrap();
        assert_eq!(
            (made.width, made.height, made.rfc6381(), made.picture_info(), made.nal_length_size()),
            (config.width, config.height, config.rfc6381(), config.picture_info(), 4)
        );
        assert!(made.parameter_sets().eq(config.parameter_sets()));
    }
}

#[test]
fn av1_records_are_made_from_a_sequence_header() {
    let config = Av1Config::parse(hex(AV1_360P)).unwrap();
    let temporal_unit = [&[0x12, 0][..], &config.record[4..]].concat();
    assert_eq!(Av1Config::from_obus(&temporal_unit).unwrap(), config);
    assert!(millstream_media::codec::av1_is_random_access(&temporal_unit));
    assert!(matches!(Av1Config::from_obus(&[0x12, 0]), Err(Error::Missing { .. })));
}

#[test]
fn two_byte_lengths_are_seen_and_changed() {
    let mut record = hex(AVC_360P).to_vec();
    record[4] = 0xfd;
    let config = AvcConfig::parse(record.clone().into()).unwrap();
    assert_eq!(config.nal_length_size(), 2);
    assert_eq!(config.with_four_byte_lengths(), AvcConfig::parse(hex(AVC_360P)).unwrap());
    record[4] = 0xfe;
    assert_eq!(AvcConfig::parse(record.into()), Err(Error::Invalid { field: "NAL length size", value: 3 }));
}

/// Encoders declare levels that are too low for their pictures; such a stream plays, so it must not be refused.
#[test]
fn a_level_that_is_too_low_is_no_error() {
    let mut record = hex(AVC_1080P_422).to_vec();
    (record[3], record[11]) = (10, 10);
    let config = AvcConfig::parse(record.into()).unwrap();
    assert_eq!((config.width, config.height, config.rfc6381().as_str()), (1920, 1080, "avc1.7a000a"));
}

#[test]
fn what_is_no_record() {
    for (name, record) in [
        ("nothing", vec![]),
        ("zero bytes", vec![0; 64]),
        ("an empty SPS", vec![1, 100, 0, 31, 255, 0xe1, 0, 0, 1, 0, 1, 0x68]),
        ("no SPS", vec![1, 100, 0, 31, 255, 0xe0, 1, 0, 1, 0x68]),
        ("a PPS that is none", [&hex(AVC_360P)[..38], &[1, 0, 1, 0x67]].concat()),
    ] {
        assert!(AvcConfig::parse(record.into()).is_err(), "{name}");
    }
    let record = hex(AVC_360P);
    for length in 0..45 {
        assert!(AvcConfig::parse(record.slice(..length)).is_err(), "cut to {length} bytes");
    }
}

fn mutated(text: &'static str) -> impl Strategy<Value = Bytes> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (changes, any::<Option<prop::sample::Index>>()).prop_map(move |(changes, cut)| {
        let mut bytes = hex(text).to_vec();
        for (at, value) in changes {
            let i = at.index(bytes.len());
            bytes[i] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.into()
    })
}

fn any_record() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        mutated(AVC_360P),
        mutated(AVC_1080P_422),
        mutated(AVC_INTERLACED),
        mutated(HEVC_360P),
        mutated(HEVC_720P),
        mutated(AV1_360P),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from),
    ]
}

/// Everything that can be asked of a configuration.
fn ask(config: VideoConfig) {
    let _ = facts(&config);
    let _ = config.nal_length_size();
    match config {
        VideoConfig::Avc(c) => {
            assert!(c.sps().count() + c.pps().count() >= 2);
            assert_eq!(c.with_four_byte_lengths().nal_length_size(), 4);
        }
        VideoConfig::Hevc(c) => {
            assert!(c.parameter_sets().count() >= 1);
            assert_eq!(c.with_four_byte_lengths().nal_length_size(), 4);
        }
        VideoConfig::Av1(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_record_makes_a_parser_panic(record in any_record()) {
        if let Ok(c) = AvcConfig::parse(record.clone()) { ask(VideoConfig::Avc(c)); }
        if let Ok(c) = HevcConfig::parse(record.clone()) { ask(VideoConfig::Hevc(c)); }
        if let Ok(c) = Av1Config::parse(record.clone()) { ask(VideoConfig::Av1(c)); }
        if let Ok(c) = AacConfig::parse(record.clone()) { prop_assert!(c.frame_samples() >= 960 && c.channels >= 1); }
        if let Ok(c) = OpusConfig::parse(record.clone()) { prop_assert!(c.channels >= 1); }
        let _ = (AvcConfig::from_annexb(&record), HevcConfig::from_annexb(&record), Av1Config::from_obus(&record));
        let _ = OpusConfig::from_opus_head(&record);
    }

    /// An independent parser of the same parameter set agrees wherever it finds no fault.
    #[test]
    fn h264_reader_agrees(record in prop_oneof![mutated(AVC_360P), mutated(AVC_1080P_422), mutated(AVC_INTERLACED)]) {
        use h264_reader::nal::{Nal, RefNal, sps::SeqParameterSet};
        let Ok(config) = AvcConfig::parse(record) else { return Ok(()) };
        let nal = config.sps().next().unwrap();
        if let Ok(sps) = SeqParameterSet::from_bits(RefNal::new(nal, &[], true).rbsp_bits()) {
            if let Ok(dimensions) = sps.pixel_dimensions() {
                prop_assert_eq!((config.width, config.height), dimensions);
            }
            let vui = sps.vui_parameters.as_ref();
            let aspect = vui.and_then(|v| v.aspect_ratio_info.as_ref()).and_then(|a| a.get());
            prop_assert_eq!(config.picture_info().sample_aspect, aspect);
            if let Some(rate) = config.picture_info().frame_rate {
                prop_assert!((sps.fps().unwrap() - rate.as_f64()).abs() < 1e-6);
            }
        }
    }

    /// decode(encode(x)) = x for the two forms of an access unit.
    #[test]
    fn annex_b_round_trips(units in prop::collection::vec(prop::collection::vec(2u8.., 1..40), 1..8)) {
        // (Bytes of 2 and more: a NAL unit holds no start code and does not end with a zero byte.)
        let annexb: Vec<u8> = units.iter().flat_map(|n| [&[0, 0, 1], &n[..]].concat()).collect();
        let prefixed = nal::annexb_to_length_prefixed(&annexb, NalCodec::Avc, Strip::Nothing).unwrap();
        prop_assert!(nal::units(&prefixed, 4).map(|n| n.unwrap()).eq(units.iter().map(|n| &n[..])));
        let back = nal::length_prefixed_to_annexb(&prefixed, 4).unwrap();
        prop_assert!(nal::annexb_units(&back).eq(units.iter().map(|n| &n[..])));
        let bare = nal::annexb_to_length_prefixed(&annexb, NalCodec::Hevc, Strip::ParameterSets).unwrap();
        let kinds = nal::units(&bare, 4).map(|n| NalCodec::Hevc.kind(n.unwrap()).unwrap()).collect::<Vec<_>>();
        prop_assert!(kinds.iter().all(|k| !k.is_parameter_set() && *k != NalKind::Aud));
    }

    #[test]
    fn no_access_unit_makes_the_nal_iterator_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), size in 0u8..8) {
        let total: usize = nal::units(&bytes, size).map_while(Result::ok).map(<[u8]>::len).sum();
        prop_assert!(total <= bytes.len());
        let _ = nal::annexb_units(&bytes).count();
        let _ = nal::to_four_byte_lengths(&bytes.into(), size, NalCodec::Avc, Strip::ParameterSetsAndFiller);
    }
}
