//! What comes out of the encryption stage: headers clear, slice data not, and decryption gives back what went in.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use bytes::Bytes;
use millstream_media::cmaf::read::{self, boxes};
use millstream_media::cmaf::{self, ChunkHead};
use millstream_media::codec::nal::{NalCodec, NalKind, annexb_units};
use millstream_media::codec::{
    AacConfig, AudioConfig, Av1Config, Av1Tiles, AvcConfig, HevcConfig, OpusConfig, SliceHeaders, VideoConfig,
};
use millstream_media::protection::{KeyId, Scheme, Signalling};
use millstream_media::segment::Chunk;
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track, TrackMedia};
use millstream_media::unit::Sample;
use millstream_package::protection::keys::{ContentKey, KeyPair};
use millstream_package::protection::systems::clear_key;
use millstream_package::protection::{Encryptor, Error, KeySource, Stage};
use proptest::prelude::*;

const CABAC: &[u8] = include_bytes!("fixtures/cabac.h264");
const CAVLC: &[u8] = include_bytes!("fixtures/cavlc.h264");
const FIELD: &[u8] = include_bytes!("fixtures/field.h264");
const HEVC: &[u8] = include_bytes!("../../media/tests/fixtures/wpp.h265");
const AV1: &[u8] = include_bytes!("../../media/tests/fixtures/aom.obu");
const AV1_TILES: &[u8] = include_bytes!("../../media/tests/fixtures/tiles.obu");

fn key(n: u8) -> ContentKey {
    ContentKey::new(KeyId([n; 16]), [n ^ 0x5a; 16], None)
}

fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

/// Annex B begins with a start code, OBUs with a temporal delimiter.
fn video_track(stream: &[u8]) -> Track {
    let config = match stream {
        [0x12, ..] => VideoConfig::Av1(Av1Config::from_obus(stream).unwrap()),
        _ if stream == HEVC => VideoConfig::Hevc(HevcConfig::from_annexb(stream).unwrap()),
        _ => VideoConfig::Avc(AvcConfig::from_annexb(stream).unwrap()),
    };
    let (width, height) = config.dimensions();
    let media = TrackMedia::Video { config, width, height, frame_rate: None };
    Track { name: name("v"), timescale: Timescale::MPEG, bit_rate: 100_000, media }
}

fn audio_track() -> Track {
    let media = TrackMedia::Audio { config: AudioConfig::Aac(AacConfig::lc(48_000, 2).unwrap()) };
    Track { name: name("a"), timescale: Timescale::AUDIO_48K, bit_rate: 64_000, media }
}

fn opus_track() -> Track {
    let media = TrackMedia::Audio { config: AudioConfig::Opus(OpusConfig::new(2, 312, 48_000).unwrap()) };
    Track { media, ..audio_track() }
}

/// One sample for each slice, which is all that matters here, or for each temporal unit.
fn samples(stream: &'static [u8]) -> Vec<Sample> {
    if stream.first() == Some(&0x12) {
        return temporal_units(stream).into_iter().enumerate().map(|(i, unit)| sample(i, i == 0, unit)).collect();
    }
    let codec = if stream == HEVC { NalCodec::Hevc } else { NalCodec::Avc };
    let mut out: Vec<Sample> = Vec::new();
    for unit in annexb_units(stream) {
        let kind = codec.kind(unit).unwrap();
        if !matches!(kind, NalKind::Slice | NalKind::RandomAccess) {
            continue;
        }
        let mut data = (unit.len() as u32).to_be_bytes().to_vec();
        data.extend_from_slice(unit);
        out.push(sample(out.len(), kind == NalKind::RandomAccess, data));
    }
    out
}

/// Temporal units without their delimiters, whose size fields have one or two bytes here.
fn temporal_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut out, mut rest) = (Vec::new(), stream);
    while let [header, size @ ..] = rest {
        let (length, head) = if size[0] < 0x80 {
            (usize::from(size[0]), 2)
        } else {
            (usize::from(size[0] & 0x7f) | usize::from(size[1]) << 7, 3)
        };
        let (obu, after) = rest.split_at(head + length);
        rest = after;
        match header >> 3 {
            2 => out.push(Vec::new()),
            _ => out.last_mut().unwrap().extend_from_slice(obu),
        }
    }
    out
}

fn sample(index: usize, key: bool, data: Vec<u8>) -> Sample {
    Sample { dts: 900_000 + 3000 * index as u64, composition_offset: 0, duration: 3000, key, data: data.into() }
}

fn chunk(segment: u64, samples: &[Sample]) -> Chunk {
    cmaf::chunk(ChunkHead { segment, part: 0, opens_at: Some(UtcTime::from_ticks(900_000, Timescale::MPEG)) }, samples)
        .unwrap()
}

/// The encryption that `senc` says: an IV of its own, and runs of clear and protected bytes.
type Told = (Option<[u8; 8]>, Vec<(usize, usize)>);

/// Reads `senc`, found by walking the boxes.
fn told(chunk: &Chunk, iv_size: usize) -> Vec<Told> {
    let moof = boxes(&chunk.bytes).map(Result::unwrap).find(|b| b.kind.0 == *b"moof").unwrap();
    let traf = moof.children().map(Result::unwrap).find(|b| b.kind.0 == *b"traf").unwrap();
    let find = |kind: &[u8; 4]| traf.children().map(Result::unwrap).find(|b| b.kind.0 == *kind);
    let senc = find(b"senc").unwrap();
    let has_map = senc.body[3] & 2 != 0;
    let number = |at: usize, len: usize| senc.body[at..at + len].iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
    let mut at = 8;
    let mut sizes = Vec::new();
    let out: Vec<Told> = (0..number(4, 4))
        .map(|_| {
            let from = at;
            let iv = (iv_size == 8).then(|| senc.body[at..at + 8].try_into().unwrap());
            at += iv_size;
            let mut runs = Vec::new();
            if has_map {
                let count = number(at, 2);
                at += 2;
                for _ in 0..count {
                    runs.push((number(at, 2), number(at + 2, 4)));
                    at += 6;
                }
            }
            sizes.push(at - from);
            (iv, runs)
        })
        .collect();
    assert_eq!(at, senc.body.len());
    // What saio points at is the first sample's part of senc, and saiz has the sizes (STANDARDS 3.17).
    if sizes.iter().any(|size| *size > 0) {
        let saio = find(b"saio").unwrap();
        let offset = u32::from_be_bytes(saio.body[8..12].try_into().unwrap()) as usize;
        assert_eq!(moof.offset + offset, senc.body_offset() + 8);
        let saiz = find(b"saiz").unwrap();
        let common = usize::from(saiz.body[4]);
        assert_eq!(saiz.body[5..9], (sizes.len() as u32).to_be_bytes());
        let said: Vec<usize> = match common {
            0 => saiz.body[9..].iter().map(|b| usize::from(*b)).collect(),
            n => vec![n; sizes.len()],
        };
        assert_eq!(said, sizes);
    }
    out
}

/// Decrypts as a player does, by what the boxes say, in code of its own.
fn decrypt(scheme: Scheme, key: &ContentKey, video: bool, told: &Told, data: &[u8]) -> Vec<u8> {
    let aes = Aes128::new(GenericArray::from_slice(key.expose()));
    let mut out = data.to_vec();
    let runs = if told.1.is_empty() { vec![(0, data.len())] } else { told.1.clone() };
    let (mut at, mut counter) = (0, 0u64);
    for (clear, protected) in runs {
        at += clear;
        let run = &mut out[at..at + protected];
        at += protected;
        match scheme {
            Scheme::Cbcs => {
                let mut chain = key.iv();
                for block in run.chunks_exact_mut(16).step_by(if video { 10 } else { 1 }) {
                    let sealed: [u8; 16] = (&*block).try_into().unwrap();
                    let mut plain = GenericArray::from(sealed);
                    aes.decrypt_block(&mut plain);
                    for (i, byte) in block.iter_mut().enumerate() {
                        *byte = plain[i] ^ chain[i];
                    }
                    chain = sealed;
                }
            }
            Scheme::Cenc => {
                for block in run.chunks_mut(16) {
                    let mut pad = [0; 16];
                    pad[..8].copy_from_slice(&told.0.unwrap());
                    pad[8..].copy_from_slice(&counter.to_be_bytes());
                    let mut pad = GenericArray::from(pad);
                    aes.encrypt_block(&mut pad);
                    block.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
                    counter += 1;
                }
            }
        }
    }
    assert!(told.1.is_empty() || at == data.len(), "subsamples cover the sample");
    out
}

/// What ffmpeg's `trace_headers` says of these streams: B-frames, weights, two slices a picture; the baseline profile;
/// interlaced.
#[test]
fn slice_headers_end_where_another_parser_says() {
    let of = |stream: &'static [u8]| -> Vec<usize> {
        let TrackMedia::Video { config, .. } = video_track(stream).media else { unreachable!() };
        let headers = SliceHeaders::of(&config).unwrap();
        samples(stream).iter().map(|s| headers.clear_bytes(&s.data[4..]).unwrap()).collect()
    };
    assert_eq!(of(CABAC), CABAC_HEADERS);
    assert_eq!(of(CAVLC), CAVLC_HEADERS);
    assert_eq!(of(FIELD), FIELD_HEADERS);
}

const CABAC_HEADERS: [usize; 18] = [6, 7, 5, 6, 22, 23, 7, 7, 6, 6, 24, 25, 6, 7, 27, 27, 6, 7];
const CAVLC_HEADERS: [usize; 9] = [5, 5, 4, 4, 4, 4, 5, 5, 4];
const FIELD_HEADERS: [usize; 12] = [5, 6, 6, 6, 6, 7, 6, 7, 6, 7, 6, 7];

#[test]
fn decryption_gives_back_every_sample() {
    for scheme in [Scheme::Cbcs, Scheme::Cenc] {
        for (track, samples) in [
            (video_track(CABAC), samples(CABAC)),
            (video_track(CAVLC), samples(CAVLC)),
            (video_track(HEVC), samples(HEVC)),
            (video_track(AV1), samples(AV1)),
            (video_track(AV1_TILES), samples(AV1_TILES)),
            (opus_track(), (0..9).map(|i| sample(i, true, vec![i as u8 ^ 0x55; 7 + 40 * i])).collect()),
            (audio_track(), (0..9).map(|i| sample(i, true, vec![i as u8 ^ 0x33; 7 + 40 * i])).collect()),
        ] {
            let clear = chunk(7, &samples);
            let mut encryptor = Encryptor::new(&track, scheme, &key(1), Vec::new()).unwrap();
            let sealed = encryptor.chunk(&clear).unwrap();
            assert_eq!(
                (sealed.segment, sealed.part, sealed.start, sealed.duration, sealed.samples, sealed.independent),
                (clear.segment, clear.part, clear.start, clear.duration, clear.samples, clear.independent)
            );
            let init = read::init(&cmaf::init_segment(&track)).unwrap();
            let media = |chunk: &Chunk| {
                let read = read::chunks(&chunk.bytes, &init).next().unwrap().unwrap();
                (
                    read.styp.clone(),
                    read.prft.map(|prft| prft.media_time),
                    read.tfdt,
                    read.media_samples(&chunk.bytes).unwrap(),
                )
            };
            let (before, after) = (media(&clear), media(&sealed));
            assert_eq!((&before.0, &before.1, before.2), (&after.0, &after.1, after.2));
            let told = told(&sealed, if scheme == Scheme::Cenc { 8 } else { 0 });
            let ivs: BTreeSet<_> = told.iter().map(|t| t.0).collect();
            assert_eq!(ivs.len(), if scheme == Scheme::Cenc { samples.len() } else { 1 }, "IVs repeat");
            for ((told, sealed), clear) in told.iter().zip(&after.3).zip(&before.3) {
                assert_eq!((sealed.dts, sealed.duration, sealed.key), (clear.dts, clear.duration, clear.key));
                // A slice with less than a block of data stays as it is in CBC mode.
                assert!(clear.data.len() < 64 || sealed.data != clear.data, "a sample stayed clear");
                assert_eq!(decrypt(scheme, &key(1), track.is_video(), told, &sealed.data), clear.data);
            }
            assert_eq!(encryptor.chunk(&clear).unwrap(), sealed, "the same again");
        }
    }
}

proptest! {
    /// Whatever the slice data is: in counter mode all of it is protected but for less than a block behind the header,
    /// in CBC mode protection begins at its first byte.
    #[test]
    fn no_slice_data_is_left_out(tails in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 1..6)) {
        let track = video_track(CABAC);
        let TrackMedia::Video { config, .. } = &track.media else { unreachable!() };
        let headers = SliceHeaders::of(config).unwrap();
        let real = samples(CABAC);
        let mut data = vec![0, 0, 0, 3, 6, 5, 0x80];
        let mut expected = Vec::new();
        for (tail, slice) in tails.iter().zip(real.iter().cycle()) {
            let nal = &slice.data[4..];
            let clear = headers.clear_bytes(nal).unwrap();
            let mut nal = nal[..clear].to_vec();
            // A header is followed by slice data.
            nal.push(0xaa);
            nal.extend_from_slice(tail);
            let start = data.len() + 4 + clear;
            data.extend_from_slice(&(nal.len() as u32).to_be_bytes());
            data.extend_from_slice(&nal);
            expected.push(start..data.len());
        }
        for scheme in [Scheme::Cbcs, Scheme::Cenc] {
            let sealed = Encryptor::new(&track, scheme, &key(1), Vec::new())
                .unwrap()
                .chunk(&chunk(1, &[sample(0, true, data.clone())]))
                .unwrap();
            let told = told(&sealed, if scheme == Scheme::Cenc { 8 } else { 0 });
            let mut at = 0;
            let mut protected: Vec<std::ops::Range<usize>> = Vec::new();
            for (clear, run) in &told[0].1 {
                at += clear;
                if *run > 0 {
                    protected.push(at..at + run);
                }
                at += run;
            }
            prop_assert_eq!(at, data.len());
            let whole = expected.iter().filter(|slice| slice.len() >= 16);
            let wanted: Vec<_> = match scheme {
                Scheme::Cbcs => whole.cloned().collect(),
                Scheme::Cenc => whole.map(|slice| slice.start + slice.len() % 16..slice.end).collect(),
            };
            prop_assert_eq!(protected, wanted);
        }
    }

    /// Anything may come as a slice: it is an error or it is encrypted, never a panic.
    #[test]
    fn hostile_slices_are_errors(nal in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..32) {
        let track = video_track(FIELD);
        let mut nal = nal;
        if let Some(first) = nal.first_mut() {
            *first = *first & 0x60 | kind;
        }
        let mut data = (nal.len() as u32).to_be_bytes().to_vec();
        data.extend_from_slice(&nal);
        let mut encryptor = Encryptor::new(&track, Scheme::Cbcs, &key(1), Vec::new()).unwrap();
        let _ = encryptor.chunk(&chunk(1, &[sample(0, true, data)]));
    }
}

/// "AV1 Codec ISO Media File Format Binding" 6.1: with `cbcs` a subsample is a tile, however small; with `cenc` it is the
/// whole blocks at the tile's end. All else is clear.
#[test]
fn of_av1_tiles_are_encrypted_and_nothing_else() {
    for (stream, key_tiles) in [(AV1, 1), (AV1_TILES, 4)] {
        let track = video_track(stream);
        let TrackMedia::Video { config: VideoConfig::Av1(config), .. } = &track.media else { unreachable!() };
        let mut tiles = Av1Tiles::of(config).unwrap();
        let samples = samples(stream);
        let expected: Vec<_> = samples.iter().map(|s| tiles.next(&s.data).unwrap()).collect();
        assert_eq!(expected[0].len(), key_tiles);
        for scheme in [Scheme::Cbcs, Scheme::Cenc] {
            let mut encryptor = Encryptor::new(&track, scheme, &key(1), Vec::new()).unwrap();
            let sealed = encryptor.chunk(&chunk(7, &samples)).unwrap();
            for ((_, runs), tiles) in told(&sealed, if scheme == Scheme::Cenc { 8 } else { 0 }).iter().zip(&expected) {
                let mut at = 0;
                let mut protected = Vec::new();
                for (clear, run) in runs {
                    at += clear;
                    protected.extend((*run > 0).then_some(at..at + run));
                    at += run;
                }
                let wanted: Vec<_> = match scheme {
                    Scheme::Cbcs => tiles.clone(),
                    Scheme::Cenc => {
                        let whole = tiles.iter().filter(|tile| tile.len() >= 16);
                        whole.map(|tile| tile.start + tile.len() % 16..tile.end).collect()
                    }
                };
                assert_eq!(protected, wanted);
            }
        }
    }
}

/// The stage gives nothing out of which it does not know where its pictures lie.
#[test]
fn a_track_of_av1_begins_with_a_key_frame() {
    let samples = samples(AV1);
    let mut encryptor = Encryptor::new(&video_track(AV1), Scheme::Cbcs, &key(1), Vec::new()).unwrap();
    assert!(matches!(encryptor.chunk(&chunk(1, &samples[1..2])), Err(Error::Codec(_))));
    assert!(encryptor.chunk(&chunk(1, &samples[..1])).is_ok());
    assert!(encryptor.chunk(&chunk(1, &samples[1..])).is_ok());
}

fn stage(rotation: Option<u64>) -> Stage {
    let pairs = (1..=3).map(|n| KeyPair { video: key(n), audio: key(n + 10) }).collect();
    Stage::new(Scheme::Cbcs, pairs, rotation, Box::new(|scheme, key| (clear_key(scheme, key, None), Vec::new())))
}

fn ids<'a>(signalling: impl IntoIterator<Item = &'a Signalling>) -> Vec<u8> {
    signalling.into_iter().map(|s| s.key_id.0[0]).collect()
}

#[test]
fn keys_change_with_the_number_of_the_segment_alone() {
    let tracks = || vec![video_track(CABAC), audio_track()];
    let real = samples(CABAC);
    let (v, a) = (name("v"), name("a"));
    let mut stage = stage(Some(10));
    // In the middle of crypto period 4, which has the second of three keys.
    let begun = stage.begin(47, tracks()).unwrap();
    assert_eq!(ids(begun.signalling.values()), [12, 2]);
    for segment in [47, 48] {
        assert_eq!(stage.rotate(&chunk(segment, &real)).unwrap(), None);
    }
    let old = stage.chunk(&v, &chunk(49, &real)).unwrap();
    // With the last segment under a key, so that lists can say the next one ahead.
    let next = stage.rotate(&chunk(49, &real)).unwrap().unwrap();
    assert_eq!((next.first_segment, ids(next.signalling.values())), (50, vec![13, 3]));
    assert_ne!(next.tracks[0].1, begun.tracks[0].1, "the init segment has the new key's id");
    for segment in [50, 51] {
        assert_eq!(stage.rotate(&chunk(segment, &real)).unwrap(), None);
    }
    // A rendition that is behind still has the key of its segment.
    assert_eq!(stage.chunk(&v, &chunk(49, &real)).unwrap(), old);
    // Another origin, that came later, has the same bytes.
    let mut other = self::stage(Some(10));
    other.begin(55, tracks()).unwrap();
    assert_eq!(other.chunk(&v, &chunk(56, &real)).unwrap(), stage.chunk(&v, &chunk(56, &real)).unwrap());
    assert_eq!(other.chunk(&a, &chunk(54, &real)), Err(Error::NoKey), "before it began");
}

#[test]
fn nothing_clear_comes_out_without_a_key() {
    let clear = chunk(5, &samples(CABAC));
    assert_eq!(stage(None).chunk(&name("v"), &clear), Err(Error::NoKey));
    let mut none = Stage::new(Scheme::Cbcs, Vec::new(), None, Box::new(|s, k| (clear_key(s, k, None), Vec::new())));
    assert_eq!(none.begin(5, vec![video_track(CABAC)]), Err(Error::NoKey));
    let mut some = stage(None);
    some.begin(5, vec![video_track(CABAC)]).unwrap();
    assert_eq!(some.chunk(&name("other"), &clear), Err(Error::NoKey));
}

/// STANDARDS 3.17: `encv`, the scheme and its version, `tenc` with the pattern and the IV.
#[test]
fn the_init_segment_says_how() {
    let contains = |init: &Bytes, what: &[u8]| init.windows(what.len()).any(|w| w == what);
    let of = |track: &Track, scheme| Encryptor::new(track, scheme, &key(9), Vec::new()).unwrap().init_segment();
    let cbcs = of(&video_track(CABAC), Scheme::Cbcs);
    let mut tenc = b"tenc\x01\0\0\0\0\x19\x01\0".to_vec();
    tenc.extend_from_slice(&[9; 16]);
    tenc.push(16);
    tenc.extend_from_slice(&key(9).iv());
    assert!(contains(&cbcs, b"encv") && !contains(&cbcs, b"avc1\0\0\0\0\0\0\0\x01"));
    assert!(contains(&cbcs, b"frmaavc1") && contains(&cbcs, b"schm\0\0\0\0cbcs\0\x01\0\0") && contains(&cbcs, &tenc));
    let audio = of(&audio_track(), Scheme::Cbcs);
    for (track, clear) in
        [(video_track(HEVC), b"frmahvc1"), (video_track(AV1), b"frmaav01"), (opus_track(), b"frmaOpus")]
    {
        assert!(contains(&of(&track, Scheme::Cbcs), clear) && contains(&of(&track, Scheme::Cenc), clear));
    }
    assert!(contains(&audio, b"enca") && contains(&audio, b"tenc\x01\0\0\0\0\0\x01\0"), "whole samples, no pattern");
    let cenc = of(&video_track(CABAC), Scheme::Cenc);
    assert!(contains(&cenc, b"schm\0\0\0\0cenc") && contains(&cenc, b"tenc\0\0\0\0\0\0\x01\x08\x09"));
}

/// Keys that come when they are let in.
#[derive(Clone, Default)]
struct Late(std::sync::Arc<std::sync::Mutex<BTreeSet<u64>>>);

impl KeySource for Late {
    fn pair(&self, crypto_period: u64) -> Option<KeyPair> {
        let there = self.0.lock().unwrap().contains(&crypto_period);
        there.then(|| KeyPair { video: key(crypto_period as u8), audio: key(crypto_period as u8) })
    }

    fn announce(&self, key: &ContentKey) -> (Signalling, Vec<Bytes>) {
        (clear_key(Scheme::Cbcs, key, None), Vec::new())
    }
}

#[test]
fn a_late_key_begins_with_a_segment_of_which_nothing_has_come() {
    let (real, v) = (samples(CABAC), name("v"));
    let at = |segment| chunk(segment, &real);
    let late = Late::default();
    let come = |period: u64| late.0.lock().unwrap().insert(period);
    let mut stage = Stage::from_source(Scheme::Cbcs, Box::new(late.clone()), Some(10));
    // Without any key nothing begins, and nothing comes out.
    assert_eq!(stage.begin(45, vec![video_track(CABAC)]), Err(Error::NoKey));
    assert_eq!((stage.rotate(&at(45)), stage.chunk(&v, &at(45))), (Ok(None), Err(Error::NoKey)));
    come(4);
    assert_eq!(stage.rotate(&at(45)), Ok(None), "the rest of a segment whose beginning is lost");
    assert_eq!(stage.chunk(&v, &at(45)), Err(Error::NoKey));
    let begun = stage.rotate(&at(46)).unwrap().unwrap();
    assert_eq!((begun.first_segment, ids(begun.signalling.values())), (46, vec![4]));
    let under_four = stage.chunk(&v, &at(46)).unwrap();
    // The next key is late: the last one stays.
    for segment in [50, 51, 52] {
        assert_eq!(stage.rotate(&at(segment)), Ok(None));
        assert!(stage.chunk(&v, &at(segment)).is_ok());
    }
    let before = stage.chunk(&v, &at(52)).unwrap();
    come(5);
    let rotated = stage.rotate(&at(52)).unwrap().unwrap();
    assert_eq!(stage.chunk(&v, &at(52)).unwrap(), before, "a segment has one key");
    assert_eq!(stage.rotate(&at(53)), Ok(None));
    assert_eq!((rotated.first_segment, ids(rotated.signalling.values())), (53, vec![5]));
    assert_eq!(stage.chunk(&v, &at(52)).unwrap(), before, "a rendition that is behind");
    assert_eq!(stage.chunk(&v, &at(46)).unwrap(), under_four);
    // Another contribution while the key is late goes on with the last one.
    let again = stage.begin(61, vec![video_track(CABAC)]).unwrap();
    assert_eq!(ids(again.signalling.values()), [5]);
    come(6);
    assert_eq!(stage.rotate(&at(61)).unwrap().unwrap().first_segment, 62);
}
