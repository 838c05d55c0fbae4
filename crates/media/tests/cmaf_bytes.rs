//! Init segments and chunks are, byte for byte, what CMAF asks (STANDARDS 3.1 to 3.9, 3.12, 3.13, 3.15, 3.16), and an
//! independent parser reads the same from them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod fixtures;

use bytes::Bytes;
use fixtures::{audio_track, hevc_track, opus_track, samples, video_track};
use millstream_media::cmaf::read::{self, InitCodec, boxes};
use millstream_media::cmaf::{ChunkHead, WriteError, chunk, dump, init_segment, sequence_number};
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::{Track, TrackMedia};
use millstream_media::unit::Sample;
use mp4_atom::{Codec, Decode, Header, ReadAtom, ReadFrom};

/// Start of segment 896,605,656 of 2 s at 30 fps: a usual place for live media.
const START: u64 = 896_605_655 * 60_000;

fn video_samples() -> Vec<Sample> {
    samples(
        START,
        1000,
        &[(true, 0, b"\0\0\0\x03\x65ab"), (false, 0, b"\0\0\0\x02\x41c"), (false, 0, b"\0\0\0\x01\x41")],
    )
}

fn opening(segment: u64, samples: &[Sample], scale: Timescale) -> ChunkHead {
    ChunkHead { segment, part: 0, opens_at: Some(UtcTime::from_ticks(samples[0].dts, scale)) }
}

#[test]
fn golden_init_segments() {
    for (name, track) in
        [("avc", video_track()), ("hevc", hevc_track()), ("aac", audio_track()), ("opus", opus_track())]
    {
        insta::assert_snapshot!(format!("init_{name}"), dump::dump(&init_segment(&track)));
    }
}

#[test]
fn golden_chunks() {
    let samples = video_samples();
    let first = chunk(opening(896_605_656, &samples, video_track().timescale), &samples).unwrap();
    insta::assert_snapshot!("chunk_opening_a_segment", dump::dump(&first.bytes));
    let later = ChunkHead { segment: 896_605_656, part: 1, opens_at: None };
    let reordered = fixtures::samples(
        START + 3000,
        1000,
        &[(false, 2000, b"\0\0\0\x01\x41"), (false, -1000, b"\0\0\0\x01\x01"), (true, -1000, b"\0\0\0\x02\x65a")],
    );
    insta::assert_snapshot!("chunk_with_reordering", dump::dump(&chunk(later, &reordered).unwrap().bytes));
}

/// The types of the boxes in `data`, depth first.
fn order(data: &[u8]) -> Vec<String> {
    fn walk(b: read::BoxRef<'_>, out: &mut Vec<String>) {
        out.push(b.kind.to_string());
        if matches!(&b.kind.0, b"moov" | b"trak" | b"mdia" | b"minf" | b"dinf" | b"stbl" | b"mvex" | b"moof" | b"traf")
        {
            b.children().for_each(|c| walk(c.unwrap(), out));
        }
    }
    let mut out = Vec::new();
    boxes(data).for_each(|b| walk(b.unwrap(), &mut out));
    out
}

/// STANDARDS 3.1, 3.2, 3.9: order of boxes, no edit list.
#[test]
fn boxes_stand_in_the_order_of_cmaf() {
    let head = "ftyp moov mvhd trak tkhd mdia mdhd hdlr minf";
    let tail = "dinf dref stbl stsd stts stsc stsz stco mvex trex";
    assert_eq!(order(&init_segment(&video_track())).join(" "), format!("{head} vmhd {tail}"));
    assert_eq!(order(&init_segment(&audio_track())).join(" "), format!("{head} smhd {tail}"));
    let samples = video_samples();
    let first = chunk(opening(1, &samples, video_track().timescale), &samples).unwrap();
    assert_eq!(order(&first.bytes).join(" "), "styp prft moof mfhd traf tfhd tfdt trun mdat");
    let later = chunk(ChunkHead { segment: 1, part: 1, opens_at: None }, &samples).unwrap();
    assert_eq!(order(&later.bytes).join(" "), "moof mfhd traf tfhd tfdt trun mdat");
}

/// STANDARDS 3.3, 3.16: a structural brand as the major brand, minor version 0. 3.10: the renditions of a ladder share
/// a media profile.
#[test]
fn brands_are_strict() {
    let init = read::init(&init_segment(&video_track())).unwrap();
    assert_eq!((init.brands.major.to_string().as_str(), init.brands.minor), ("cmfc", 0));
    let brands: Vec<String> = init.brands.compatible.iter().map(ToString::to_string).collect();
    assert_eq!(brands, ["cmfc", "iso6", "dash", "cfsd", "cfhd", "chdf"]);
}

/// STANDARDS 3.1: all durations 0, one track, the shape of the picture only on visual tracks.
#[test]
fn the_init_segment_says_what_the_track_is() {
    for track in [video_track(), hevc_track(), audio_track(), opus_track()] {
        let init = read::init(&init_segment(&track)).unwrap();
        assert_eq!(
            (init.track_id, init.timescale, init.durations, &init.language),
            (1, track.timescale, [0; 3], b"und")
        );
        assert_eq!((init.edit_list, init.bit_rate), (None, Some(track.bit_rate)));
        match &track.media {
            TrackMedia::Video { config, width, height, .. } => {
                assert_eq!(init.codec, InitCodec::Video(config.clone()));
                assert_eq!(init.coded_size, Some((*width as u16, *height as u16)));
                assert_eq!(init.presentation_size.1, height << 16);
            }
            TrackMedia::Audio { config } => {
                assert_eq!(init.codec, InitCodec::Audio(config.clone()));
                assert_eq!((init.coded_size, init.presentation_size), (None, (0, 0)));
            }
        }
    }
}

/// STANDARDS 3.5, 3.8, 3.15: addressing, 64-bit times, nothing left to trex.
#[test]
fn fragments_stand_for_themselves() {
    let init = read::init(&init_segment(&video_track())).unwrap();
    assert_eq!(init.defaults, read::SampleDefaults::default());
    let samples = video_samples();
    let written = chunk(opening(896_605_656, &samples, init.timescale), &samples).unwrap();
    let got = read::chunks(&written.bytes, &init).next().unwrap().unwrap();
    assert_eq!(got.tfhd_flags & 0x02_0003, 0x02_0002, "default-base-is-moof, no base data offset, description index");
    assert_eq!((got.tfdt_version, got.tfdt, got.trun.0, got.trun.1 & 1), (1, START, 1, 1));
    assert_eq!(got.sequence_number, sequence_number(896_605_656, 0));
    assert_eq!(got.media_samples(&written.bytes).unwrap(), samples);
    // What the playlists need of it.
    assert_eq!((written.start, written.duration, written.samples, written.independent), (START, 3000, 3, true));
    let end = written.first_sample_end as usize;
    assert_eq!(&written.bytes[end - 7..end], &samples[0].data[..], "an I-frame's byte range ends with the frame");
}

/// STANDARDS 3.13: `prft` pairs the UTC time with the first sample's presentation.
#[test]
fn prft_is_media_time() {
    let samples = video_samples();
    let utc = UtcTime::from_ticks(START, video_track().timescale) + std::time::Duration::from_millis(250);
    let written = chunk(ChunkHead { segment: 1, part: 0, opens_at: Some(utc) }, &samples).unwrap();
    let init = read::init(&init_segment(&video_track())).unwrap();
    let prft = read::chunks(&written.bytes, &init).next().unwrap().unwrap().prft.unwrap();
    // 1900 to 1970, the epoch of the segment, a quarter of a second.
    assert_eq!((prft.ntp >> 32, prft.ntp as u32, prft.media_time), (2_208_988_800 + START / 30_000, 1 << 30, START));
}

#[test]
fn sequence_numbers_grow_from_part_to_part() {
    assert!(sequence_number(5, 255) < sequence_number(6, 0));
    assert_eq!(sequence_number(1 << 24, 3), 3, "they wrap at 32 bits");
}

#[test]
fn what_cannot_be_a_chunk() {
    let head = ChunkHead { segment: 1, part: 0, opens_at: None };
    assert_eq!(chunk(head, &[]), Err(WriteError::Empty));
    let mut broken = video_samples();
    broken[1].dts += 1;
    let error = WriteError::NotContiguous { index: 1, dts: START + 1001, expected: START + 1000 };
    assert_eq!(chunk(head, &broken), Err(error));
    let big = Bytes::from(vec![0; 40 * 1024 * 1024]);
    let two = [0, 1000].map(|dts| Sample { dts, composition_offset: 0, duration: 1000, key: true, data: big.clone() });
    assert!(matches!(chunk(head, &two), Err(WriteError::TooLarge(_))));
}

/// An independent parser takes the init segment apart the same way.
#[test]
fn mp4_atom_reads_our_init_segments() {
    for track in [video_track(), hevc_track(), audio_track(), opus_track()] {
        let bytes = init_segment(&track);
        let mut rest = &bytes[..];
        let ftyp = mp4_atom::Ftyp::read_from(&mut rest).unwrap();
        assert_eq!(ftyp.major_brand, b"cmfc".into());
        let moov = mp4_atom::Moov::read_from(&mut rest).unwrap();
        assert!(rest.is_empty());
        assert_eq!((moov.mvhd.timescale, moov.mvhd.duration, moov.trak.len()), (track.timescale.get(), 0, 1));
        let trak = &moov.trak[0];
        assert_eq!((trak.tkhd.track_id, trak.mdia.mdhd.timescale), (1, track.timescale.get()));
        check_codec(&trak.mdia.minf.stbl.stsd.codecs[0], &track);
    }
}

fn check_codec(codec: &Codec, track: &Track) {
    match codec {
        Codec::Avc1(c) => {
            assert_eq!((c.visual.width, c.visual.height, c.avcc.avc_level_indication), (640, 360, 30));
            assert_eq!(c.btrt.as_ref().unwrap().avg_bitrate, track.bit_rate);
            assert!(c.colr.is_some() && c.pasp.is_some());
        }
        Codec::Hvc1(c) => assert_eq!((c.visual.width, c.hvcc.general_level_idc), (640, 63)),
        Codec::Mp4a(c) => {
            assert_eq!((c.audio.channel_count, c.audio.sample_rate.integer()), (2, 48_000));
            let specific = &c.esds.es_desc.dec_config.dec_specific.as_ref().unwrap();
            assert_eq!((specific.profile, specific.freq_index, specific.chan_conf), (2, 3, 2));
        }
        Codec::Opus(c) => assert_eq!((c.dops.output_channel_count, c.dops.pre_skip), (2, 312)),
        other => panic!("unexpected {other:?}"),
    }
}

/// An independent parser takes the chunk apart the same way.
#[test]
fn mp4_atom_reads_our_chunks() {
    let samples = video_samples();
    let written = chunk(opening(77, &samples, video_track().timescale), &samples).unwrap();
    let mut rest = &written.bytes[..];
    let styp = mp4_atom::Styp::read_from(&mut rest).unwrap();
    assert_eq!(styp.major_brand, b"cmfs".into());
    let prft = mp4_atom::Prft::read_from(&mut rest).unwrap();
    assert_eq!((prft.reference_track_id, prft.media_time), (1, START));
    let header = Header::decode(&mut rest).unwrap();
    let moof = mp4_atom::Moof::read_atom(&header, &mut rest).unwrap();
    assert_eq!(moof.mfhd.sequence_number, 77 << 8);
    let traf = &moof.traf[0];
    assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, START);
    assert_eq!((traf.tfhd.default_sample_duration, traf.tfhd.default_base_is_moof), (Some(1000), true));
    let sizes: Vec<_> = traf.trun[0].samples.iter().map(|e| e.size.unwrap()).collect();
    assert_eq!(sizes, [7, 6, 5]);
    let mdat = mp4_atom::Mdat::read_from(&mut rest).unwrap();
    let media: Vec<u8> = samples.iter().flat_map(|s| s.data.to_vec()).collect();
    assert_eq!(mdat.data, media);
    assert!(rest.is_empty());
}
