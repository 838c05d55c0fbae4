//! FLV tags, legacy and enhanced, become configurations and access units; what is odd is said once and left out.

mod support;

use bytes::{BufMut, Bytes, BytesMut};
use millstream_ingest::flv::{CodecName, Demuxer, Item, Problem, Tag, TagKind};
use millstream_ingest::source::{MediaKind, RawUnit};
use millstream_media::codec::{AacConfig, AudioConfig, OpusConfig, VideoConfig};
use proptest::prelude::*;
use support::*;

const IDR: &[u8] = &[0x65, 1, 2, 3];
const SLICE: &[u8] = &[0x41, 1, 2, 3];

fn push(demuxer: &mut Demuxer, kind: TagKind, time_ms: i64, body: impl Into<Bytes>) -> Vec<Item> {
    demuxer.push(&Tag { kind, time_ms, body: body.into() }).collect()
}

fn video(demuxer: &mut Demuxer, time_ms: i64, body: impl Into<Bytes>) -> Vec<Item> {
    push(demuxer, TagKind::Video, time_ms, body)
}

fn audio(demuxer: &mut Demuxer, time_ms: i64, body: impl Into<Bytes>) -> Vec<Item> {
    push(demuxer, TagKind::Audio, time_ms, body)
}

/// A demuxer that knows AVC and AAC.
fn configured() -> Demuxer {
    let mut d = Demuxer::new();
    assert!(matches!(video(&mut d, 0, avc(true, 0, 0, AVCC))[..], [Item::VideoConfig(VideoConfig::Avc(_))]));
    assert!(matches!(audio(&mut d, 0, aac(0, ASC))[..], [Item::AudioConfig(AudioConfig::Aac(_))]));
    d
}

fn unit(items: &[Item]) -> &RawUnit {
    match items {
        [Item::Unit(unit)] => unit,
        other => panic!("{other:?}"),
    }
}

/// STANDARDS 6.11: the composition time is signed.
#[test]
fn composition_offsets_are_signed() {
    let mut d = configured();
    for offset in [0, 80, -40, 8_388_607, -8_388_608] {
        let items = video(&mut d, 1000, avc(true, 1, offset, &nals(&[IDR])));
        let u = unit(&items);
        assert_eq!((u.dts.0, u.pts.0), (1_000_000_000, 1_000_000_000 + i64::from(offset) * 1_000_000));
        assert!(u.key);
    }
}

#[test]
fn a_configuration_is_told_when_it_changes() {
    let mut d = configured();
    assert_eq!(video(&mut d, 40, avc(true, 0, 0, AVCC)), []);
    assert_eq!(audio(&mut d, 40, aac(0, ASC)), []);
    let other = AacConfig::lc(44_100, 2).expect("LC");
    assert_eq!(audio(&mut d, 80, aac(0, &other.asc)), [Item::AudioConfig(AudioConfig::Aac(other))]);
    assert_eq!(d.dropped(), 0);
}

/// A key frame is what can be decoded by itself, whatever the tag says.
#[test]
fn key_frames_are_found_in_the_bits() {
    let recovery: &[u8] = &[0x06, 6, 1, 0x84, 0x80];
    let other_first: &[u8] = &[0x06, 5, 3, 1, 2, 3, 6, 1, 0x84, 0x80];
    let other_sei: &[u8] = &[0x06, 5, 3, 1, 2, 3, 0x80];
    let mut d = configured();
    for (name, tag_key, units, key) in [
        ("IDR", true, vec![IDR], true),
        ("IDR that the tag hides", false, vec![IDR], true),
        ("a slice that claims to be a key", true, vec![SLICE], false),
        ("a recovery point", true, vec![recovery, SLICE], true),
        ("a recovery point behind another message", true, vec![other_first, SLICE], true),
        ("a recovery point the tag says nothing of", false, vec![recovery, SLICE], false),
        ("another SEI", true, vec![other_sei, SLICE], false),
        ("a cut SEI", true, vec![&[0x06, 255], SLICE], false),
    ] {
        let items = video(&mut d, 0, avc(tag_key, 1, 0, &nals(&units)));
        assert_eq!(unit(&items).key, key, "{name}");
    }
}

#[test]
fn length_fields_become_four_bytes() {
    let mut record = AVCC.to_vec();
    record[4] = 0xfd; // two-byte lengths
    let mut d = Demuxer::new();
    let items = video(&mut d, 0, avc(true, 0, 0, &record));
    let [Item::VideoConfig(config)] = &items[..] else { panic!("{items:?}") };
    assert_eq!(config.nal_length_size(), Some(4));
    let items = video(&mut d, 0, avc(true, 1, 0, &[0, 4, 0x65, 1, 2, 3]));
    assert_eq!(unit(&items).data, nals(&[IDR]));
}

/// STANDARDS 6.12, and other tags that say nothing.
#[test]
fn tags_that_say_nothing_are_passed_over() {
    let mut d = configured();
    assert_eq!(audio(&mut d, 0, Bytes::new()), []);
    assert_eq!(audio(&mut d, 0, aac(1, &[])), []);
    assert_eq!(video(&mut d, 0, Bytes::new()), []);
    assert_eq!(video(&mut d, 0, avc(true, 1, 0, &[])), []);
    assert_eq!(video(&mut d, 0, avc(true, 2, 0, &[])), [], "end of sequence");
    assert_eq!(video(&mut d, 0, vec![0x57, 0]), [], "a command frame");
    assert_eq!(d.dropped(), 0);
}

#[test]
fn trouble_is_told_once_and_counted() {
    let mut d = Demuxer::new();
    for (count, problem) in [(1, true), (2, false), (3, false)] {
        let items = video(&mut d, 0, avc(true, 1, 0, &nals(&[IDR])));
        let expected = Item::Problem(Problem::BeforeConfig { media: MediaKind::Video });
        assert_eq!(items, if problem { vec![expected] } else { vec![] });
        assert_eq!(d.dropped(), count);
    }
}

#[test]
fn unsupported_codecs_are_named_with_their_mend() {
    for (kind, first, text) in [
        (TagKind::Video, 0x22, "video in Sorenson H.263 is not supported; set the encoder to H.264, HEVC or AV1"),
        (TagKind::Video, 0x1c, "HEVC without Enhanced RTMP"),
        (TagKind::Audio, 0x2f, "audio in MP3 is not supported; set the encoder to AAC or Opus"),
        (TagKind::Audio, 0xbf, "Speex"),
        (TagKind::Audio, 0x8f, "mu-law"),
    ] {
        let items = push(&mut Demuxer::new(), kind, 0, vec![first, 0, 0, 0, 0]);
        let [Item::Problem(problem)] = &items[..] else { panic!("{items:?}") };
        assert!(problem.to_string().contains(text), "{problem}");
    }
    let items = video(&mut Demuxer::new(), 0, b"\x90vp09\x01".to_vec());
    assert_eq!(items, [Item::Problem(Problem::VideoCodec(CodecName::FourCc(*b"vp09")))]);
    let items = audio(&mut Demuxer::new(), 0, b"\x90ac-3\x01".to_vec());
    assert_eq!(items, [Item::Problem(Problem::AudioCodec(CodecName::FourCc(*b"ac-3")))]);
}

#[test]
fn lies_inside_units_leave_the_unit_out() {
    let mut d = configured();
    let items = video(&mut d, 0, avc(true, 1, 0, &[0, 0, 0, 200, 0x65]));
    assert!(matches!(items[..], [Item::Problem(Problem::Unit { .. })]), "{items:?}");
    let items = video(&mut d, 0, avc(true, 1, 0, &nals(&[&[0x67, 1, 2], &[0x68, 1]])));
    assert_eq!(items, [Item::Problem(Problem::NoPicture)]);
    let items = video(&mut d, 0, avc(true, 0, 0, &[1, 2, 3]));
    assert!(matches!(items[..], [Item::Problem(Problem::Config { .. })]), "{items:?}");
    // The configuration before stays in force.
    assert!(unit(&video(&mut d, 0, avc(true, 1, 0, &nals(&[IDR])))).key);
    assert_eq!(d.dropped(), 3);
}

fn ex_video(frame_type: u8, packet_type: u8, rest: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0x80 | frame_type << 4 | packet_type);
    rest.iter().for_each(|part| out.put_slice(part));
    out.freeze()
}

/// STANDARDS 6.13, 6.14.
#[test]
fn enhanced_avc_with_and_without_offset() {
    let mut d = Demuxer::new();
    let items = video(&mut d, 0, ex_video(1, 0, &[b"avc1", AVCC]));
    assert!(matches!(items[..], [Item::VideoConfig(VideoConfig::Avc(_))]), "{items:?}");
    let items = video(&mut d, 40, ex_video(1, 1, &[b"avc1", &[0xff, 0xff, 0xd8], &nals(&[IDR])]));
    assert_eq!(unit(&items).pts.0, 0);
    let items = video(&mut d, 40, ex_video(2, 3, &[b"avc1", &nals(&[SLICE])]));
    assert_eq!((unit(&items).pts, unit(&items).key), (unit(&items).dts, false));
    assert_eq!(video(&mut d, 40, ex_video(1, 2, &[b"avc1"])), [], "sequence end");
    assert_eq!(video(&mut d, 40, ex_video(5, 4, &[b"avc1", &[2, 0, 1, b'x']])), [], "metadata");
    assert_eq!(video(&mut d, 40, ex_video(5, 1, &[&[0]])), [], "command");
    assert_eq!(d.dropped(), 0);
}

/// STANDARDS 6.15.
#[test]
fn enhanced_audio() {
    let mut d = Demuxer::new();
    let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
    let config = OpusConfig::new(2, 312, 48_000).expect("Opus");
    let items = audio(&mut d, 0, [b"\x90Opus", &head[..]].concat());
    assert_eq!(items, [Item::AudioConfig(AudioConfig::Opus(config))]);
    assert_eq!(audio(&mut d, 0, b"\x94Opus\x00\x02".to_vec()), [], "multichannel config");
    assert_eq!(unit(&audio(&mut d, 20, b"\x91Opusxyz".to_vec())).data, "xyz");
    let items = audio(&mut d, 0, [b"\x90mp4a", ASC].concat());
    assert!(matches!(items[..], [Item::AudioConfig(AudioConfig::Aac(_))]));
    let items = audio(&mut d, 20, b"\x91Opusxyz".to_vec());
    assert_eq!(items, [Item::Problem(Problem::BeforeConfig { media: MediaKind::Audio })]);
}

/// STANDARDS 6.16: track 0 is used, the message is read whole, the others are told of once.
#[test]
fn multitrack_gives_track_0() {
    let sized = |id: u8, body: &[u8]| [&[id][..], &(body.len() as u32).to_be_bytes()[1..], body].concat();
    let mut d = Demuxer::new();
    // One track, id 0.
    let items = video(&mut d, 0, ex_video(1, 6, &[&[0x00], b"avc1", &[0], AVCC]));
    assert!(matches!(items[..], [Item::VideoConfig(_)]), "{items:?}");
    // Many tracks of one codec; 0 is not the first.
    let frame = nals(&[IDR]);
    let two = [sized(1, b"other"), sized(0, &frame)].concat();
    let items = video(&mut d, 40, ex_video(1, 6, &[&[0x13], b"avc1", &two]));
    assert!(matches!(&items[..], [Item::Unit(u), Item::Problem(Problem::ExtraTracks)] if u.data == frame), "{items:?}");
    // Many tracks, many codecs.
    let two = [b"vp09".to_vec(), sized(3, b"other"), b"avc1".to_vec(), sized(0, &frame)].concat();
    assert_eq!(unit(&video(&mut d, 80, ex_video(1, 6, &[&[0x23], &two]))).data, frame);
    // One track that is not 0.
    assert_eq!(video(&mut d, 80, ex_video(1, 6, &[&[0x03], b"avc1", &[2], b"other"])), []);
    // A size that lies.
    let items = video(&mut d, 80, ex_video(1, 6, &[&[0x13], b"avc1", &[0, 0, 1, 0, 1]]));
    assert_eq!(items, [Item::Problem(Problem::Truncated(MediaKind::Video))]);
}

/// STANDARDS 6.17.
#[test]
fn modifiers_move_the_presentation_time_or_fail() {
    let mut d = Demuxer::new();
    video(&mut d, 0, ex_video(1, 0, &[b"avc1", AVCC]));
    let nanos = [2, 0x07, 0xa1, 0x20, 0x03]; // 3 bytes: 500,000 ns; then type 0, packet type 3
    let items = video(&mut d, 40, ex_video(1, 7, &[&nanos, b"avc1", &nals(&[IDR])]));
    assert_eq!(unit(&items).pts.0 - unit(&items).dts.0, 500_000);
    // A modifier of 256 bytes and more.
    let long = [&[255, 1, 0][..], &[0; 257], &[0x03]].concat();
    let items = video(&mut d, 40, ex_video(1, 7, &[&long, b"avc1", &nals(&[IDR])]));
    assert_eq!(unit(&items).pts, unit(&items).dts);
    let items = video(&mut d, 40, ex_video(1, 7, &[&[0, 0, 0x13], b"avc1", &nals(&[IDR])]));
    assert!(matches!(items[..], [Item::Problem(Problem::Unknown { what: "modifier type", value: 1, .. })]));
    // Modifiers without end.
    let many = [2_u8, 0, 0, 0, 0x07].repeat(100);
    assert_eq!(video(&mut d, 40, ex_video(1, 7, &[&many])), [], "told once already");
    assert_eq!(d.dropped(), 2);
}

proptest! {
    #[test]
    fn no_body_panics(bodies in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 1..20)) {
        let mut d = configured();
        for (is_video, body) in bodies {
            let items = push(&mut d, if is_video { TagKind::Video } else { TagKind::Audio }, 0, body);
            prop_assert!(items.len() <= 2);
        }
    }

    #[test]
    fn no_enhanced_body_panics(
        first in 0x80..=0xff_u8,
        rest in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..80),
        four_cc in prop::sample::select(vec![b"avc1", b"hvc1", b"av01", b"Opus", b"mp4a"]),
    ) {
        for body in [[&[first][..], four_cc, &rest].concat(), [&[first][..], &rest].concat()] {
            let mut d = configured();
            push(&mut d, TagKind::Video, i64::MAX, body.clone());
            push(&mut d, TagKind::Audio, i64::MIN, [&[0x90 | first & 0xf][..], &body[1..]].concat());
        }
    }
}
