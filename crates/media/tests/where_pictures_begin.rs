//! Where headers end and coded pictures begin, in H.265 and AV1, as another parser says it (ffmpeg's `trace_headers`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::ops::Range;

use bytes::Bytes;
use millstream_media::codec::nal::annexb_units;
use millstream_media::codec::{Av1Config, Av1Tiles, Error, HevcConfig, SliceHeaders, VideoConfig};
use proptest::prelude::*;

/// x265: rows side by side, two slices a picture, B-frames, weights.
const WPP: &[u8] = include_bytes!("fixtures/wpp.h265");
/// Kvazaar: two by two tiles, two references of each picture.
const TILES_HEVC: &[u8] = include_bytes!("fixtures/tiles.h265");
/// x265: 4:2:2 in ten bits, temporal layers, transform skip, no deblocking.
const RANGE: &[u8] = include_bytes!("fixtures/rext.h265");

/// libaom: hidden frames, segments that go on from those of another frame, film grain, frames that are shown again.
const AOM: &[u8] = include_bytes!("fixtures/aom.obu");
/// SVT-AV1: coded narrower than shown.
const SUPER: &[u8] = include_bytes!("fixtures/super.obu");
/// SVT-AV1: frames of other sizes, two by two tiles.
const RESIZE: &[u8] = include_bytes!("fixtures/resize.obu");
/// libaom in real time: two by two tiles.
const TILES_AV1: &[u8] = include_bytes!("fixtures/tiles.obu");
/// rav1e: segments that go on from those of another frame.
const RAV1E: &[u8] = include_bytes!("fixtures/rav1e.obu");

fn hevc_headers(stream: &[u8]) -> SliceHeaders {
    SliceHeaders::of(&VideoConfig::Hevc(HevcConfig::from_annexb(stream).unwrap())).unwrap()
}

fn slices(stream: &'static [u8]) -> Vec<&'static [u8]> {
    annexb_units(stream).filter(|unit| unit[0] >> 1 & 0x3f < 32).collect()
}

#[test]
fn headers_of_slices_in_hevc() {
    let of = |stream: &'static [u8]| -> Vec<usize> {
        let headers = hevc_headers(stream);
        slices(stream).iter().map(|slice| headers.clear_bytes(slice).unwrap()).collect()
    };
    assert_eq!(of(WPP), [8, 9, 17, 18, 19, 19, 17, 19, 18, 19, 11, 12, 21, 23, 19, 19, 20, 20, 15, 16]);
    assert_eq!(of(TILES_HEVC), [9, 9, 10, 10, 9, 10]);
    assert_eq!(of(RANGE), [4, 9, 8, 8, 11, 9]);
}

/// Temporal units, each from its delimiter on.
fn units(stream: &'static [u8]) -> Vec<&'static [u8]> {
    let (mut starts, mut at) = (Vec::new(), 0);
    while at < stream.len() {
        if stream[at] >> 3 == 2 {
            starts.push(at);
        }
        let (mut size, mut shift) = (0, 0);
        loop {
            at += 1;
            size |= usize::from(stream[at] & 0x7f) << shift;
            shift += 7;
            if stream[at] < 0x80 {
                break;
            }
        }
        at += 1 + size;
    }
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts.iter().zip(ends).map(|(start, end)| &stream[*start..end]).collect()
}

fn tiles(stream: &'static [u8]) -> Vec<Vec<Range<usize>>> {
    let mut tiles = Av1Tiles::of(&Av1Config::from_obus(stream).unwrap()).unwrap();
    units(stream).into_iter().map(|unit| tiles.next(unit).unwrap()).collect()
}

/// The first tile of each frame of each temporal unit.
#[test]
fn tiles_of_av1() {
    let firsts = |stream, each: usize| -> Vec<Vec<usize>> {
        let of = |unit: Vec<Range<usize>>| unit.chunks(each).map(|frame| frame[0].start).collect();
        tiles(stream).into_iter().map(of).collect()
    };
    let none: Vec<usize> = Vec::new();
    let n = || none.clone();
    #[rustfmt::skip]
    assert_eq!(firsts(AOM, 1), [vec![176], vec![167, 782, 1142, 1412], n(), vec![149], n(), vec![152, 422], n(),
        vec![143], vec![137], n(), vec![149], vec![143], vec![164], vec![155]]);
    #[rustfmt::skip]
    assert_eq!(firsts(SUPER, 1), [vec![23], vec![23, 342, 410, 442], n(), vec![20], n(), vec![20, 58], n(), vec![20],
        n(), vec![23, 211], n(), vec![20]]);
    assert_eq!(firsts(TILES_AV1, 4), [[32], [24], [24], [24], [24], [24]]);
    #[rustfmt::skip]
    assert_eq!(firsts(RAV1E, 1), [vec![53], vec![26, 672, 892], n(), vec![25], n(), vec![26], vec![49], vec![26]]);
    let resized = tiles(RESIZE);
    #[rustfmt::skip]
    let wanted = [vec![29], vec![29, 236, 319, 348], n(), vec![20], n(), vec![20, 60], n(), vec![20], n(), vec![24, 259],
        n(), vec![26]];
    for (unit, wanted) in resized.iter().zip(wanted) {
        let starts: Vec<usize> = unit.iter().map(|tile| tile.start).collect();
        assert!(wanted.iter().all(|start| starts.contains(start)), "{starts:?} lacks some of {wanted:?}");
    }
}

/// Tiles lie one behind the other, with a size before each but the last, to the end of the temporal unit.
#[test]
fn tiles_lie_end_to_end() {
    for (unit, tiles) in units(TILES_AV1).iter().zip(tiles(TILES_AV1)) {
        assert_eq!(tiles.len(), 4);
        let gaps: Vec<usize> = tiles.windows(2).map(|pair| pair[1].start - pair[0].end).collect();
        assert!((1..=4).contains(&gaps[0]) && gaps == [gaps[0], gaps[0], 0], "{tiles:?}");
        assert_eq!(tiles[3].end, unit.len());
    }
}

/// A frame header cannot be read by one who does not know the frames before it.
#[test]
fn frames_that_refer_to_nothing_are_errors_until_the_next_key_frame() {
    let all = units(RAV1E);
    let mut fresh = Av1Tiles::of(&Av1Config::from_obus(RAV1E).unwrap()).unwrap();
    assert!(matches!(fresh.next(all[1]), Err(Error::Missing { .. })));
    let expected = tiles(RAV1E);
    assert_eq!(fresh.next(all[0]).as_ref(), Ok(&expected[0]));
    assert_eq!(fresh.next(all[1]).as_ref(), Ok(&expected[1]));
    // What is broken makes all that follow it unknown.
    assert!(fresh.next(&all[3][..10]).is_err());
    assert!(fresh.next(all[5]).is_err());
    assert_eq!(fresh.next(all[6]).as_ref(), Ok(&expected[6]), "a key frame");
}

proptest! {
    /// Whatever comes is an error or lies inside of what came.
    #[test]
    fn hostile_temporal_units(at in 0usize..6000, value in any::<u8>(), cut in 0usize..6000, which in 0usize..5) {
        let stream = [AOM, SUPER, RESIZE, TILES_AV1, RAV1E][which];
        let mut follower = Av1Tiles::of(&Av1Config::from_obus(stream).unwrap()).unwrap();
        let mut offset = 0;
        for unit in units(stream) {
            let mut bytes = unit.to_vec();
            if (offset..offset + bytes.len()).contains(&at) {
                bytes[at - offset] = value;
            }
            offset += bytes.len();
            if (offset..offset + 200).contains(&cut) {
                bytes.truncate(bytes.len() / 2);
            }
            if let Ok(tiles) = follower.next(&bytes) {
                let mut end = 0;
                for tile in tiles {
                    prop_assert!(end <= tile.start && tile.start <= tile.end && tile.end <= bytes.len());
                    end = tile.end;
                }
            }
        }
    }

    #[test]
    fn hostile_slices(at in 0usize..600, value in any::<u8>(), which in 0usize..3) {
        let stream = [WPP, TILES_HEVC, RANGE][which];
        let headers = hevc_headers(stream);
        for slice in slices(stream) {
            let mut bytes = slice.to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            if let Ok(clear) = headers.clear_bytes(&bytes) {
                prop_assert!(clear <= bytes.len());
            }
        }
    }

    /// Parameter sets from outside.
    #[test]
    fn hostile_parameter_sets(at in 0usize..400, value in any::<u8>(), which in 0usize..3) {
        let stream = [WPP, TILES_HEVC, RANGE][which];
        let mut record = HevcConfig::from_annexb(stream).unwrap().record.to_vec();
        if let Some(byte) = record.get_mut(at) {
            *byte = value;
        }
        if let Ok(config) = HevcConfig::parse(Bytes::from(record))
            && let Ok(headers) = SliceHeaders::of(&VideoConfig::Hevc(config))
        {
            for slice in slices(stream) {
                let _ = headers.clear_bytes(slice);
            }
        }
    }
}
