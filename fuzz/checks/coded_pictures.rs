//! Where slice data and tiles begin, which encryption asks of contributions: no bytes panic, and what is found lies inside of
//! what came, in order.
//!
//! The input: OBUs if it begins with a temporal delimiter, else Annex B.

use millstream_media::codec::nal::annexb_units;
use millstream_media::codec::{Av1Config, Av1Tiles, AvcConfig, HevcConfig, SliceHeaders, VideoConfig};

/// Bytes held for each byte of input: a frame header of two bytes may lay out 4,096 tiles, of which each takes a byte.
pub const PER_BYTE: usize = 256;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    if data.starts_with(&[0x12, 0]) {
        return tiles(data);
    }
    slices(data, AvcConfig::from_annexb(data).ok().map(VideoConfig::Avc));
    slices(data, HevcConfig::from_annexb(data).ok().map(VideoConfig::Hevc));
}

fn slices(data: &[u8], config: Option<VideoConfig>) {
    let Some(Ok(headers)) = config.map(|config| SliceHeaders::of(&config)) else { return };
    for unit in annexb_units(data) {
        if let Ok(clear) = headers.clear_bytes(unit) {
            assert!(clear <= unit.len());
        }
    }
}

/// All of it as one temporal unit, then cut at its delimiters.
fn tiles(data: &[u8]) {
    let Ok(config) = Av1Config::from_obus(data) else { return };
    let Ok(mut whole) = Av1Tiles::of(&config) else { return };
    let mut cut = whole.clone();
    inside(&mut whole, data);
    let mut rest = data;
    while let Some(at) = rest.windows(2).skip(2).position(|pair| pair == [0x12, 0]) {
        let (unit, after) = rest.split_at(at + 2);
        inside(&mut cut, unit);
        rest = after;
    }
    inside(&mut cut, rest);
}

fn inside(follower: &mut Av1Tiles, unit: &[u8]) {
    let Ok(tiles) = follower.next(unit) else { return };
    let mut end = 0;
    for tile in tiles {
        assert!(end <= tile.start && tile.start <= tile.end && tile.end <= unit.len());
        end = tile.end;
    }
}
