//! The storyboard: small pictures of what was shown, at fixed times, several to a sheet.
//!
//! Tile k shows the first picture at or after k × 5 s of UTC media time; sheet n holds the twelve tiles of minute n, one
//! below the other. All sizes are constants, and names are functions of time, so that whoever makes a sheet again makes
//! the same one, and a clip can name the sheets of its recording.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::jpeg;
use crate::time::UtcTime;

/// Width of a tile in pixels; pictures of another shape have black bars.
pub const TILE_WIDTH: u32 = 256;
/// Height of a tile in pixels: a multiple of 16, as joining them asks for.
pub const TILE_HEIGHT: u32 = 144;
/// Media time from tile to tile.
pub const TILE_SECONDS: i64 = 5;
/// Tiles of a sheet.
pub const SHEET_TILES: i64 = 12;
/// Media time that a sheet shows.
pub const SHEET_SECONDS: i64 = TILE_SECONDS * SHEET_TILES;
/// Largest tile or poster that is kept, in bytes: many times what they have.
pub const MAX_PICTURE_BYTES: usize = 512 * 1024;

const TILE_NANOS: i64 = TILE_SECONDS * crate::time::NANOS_PER_SECOND;

/// The tile that shows this time.
pub const fn tile_at(time: UtcTime) -> i64 {
    time.0.div_euclid(TILE_NANOS)
}

/// The sheet that holds a tile.
pub const fn sheet_of(tile: i64) -> i64 {
    tile.div_euclid(SHEET_TILES)
}

/// The sheet that shows this time.
pub const fn sheet_at(time: UtcTime) -> i64 {
    sheet_of(tile_at(time))
}

/// Start of a tile.
pub const fn tile_time(tile: i64) -> UtcTime {
    UtcTime(tile.saturating_mul(TILE_NANOS))
}

/// Start of a sheet.
pub const fn sheet_time(sheet: i64) -> UtcTime {
    tile_time(sheet.saturating_mul(SHEET_TILES))
}

/// File name of a sheet.
pub fn sheet_name(sheet: i64) -> String {
    format!("storyboard-{sheet}.jpg")
}

/// The sheet that a file name names.
pub fn sheet_number(file_name: &str) -> Option<i64> {
    let digits = file_name.strip_prefix("storyboard-")?.strip_suffix(".jpg")?;
    let number = digits.parse::<i64>().ok().filter(|n| *n >= 0)?;
    // One number has one name.
    (number.to_string() == digits).then_some(number)
}

/// File name of the poster: one larger picture.
pub const POSTER: &str = "poster.jpg";
/// File name of the list of sheets (an HLS image playlist).
pub const SHEETS: &str = "storyboard.m3u8";
/// File name of the list of tiles (WebVTT).
pub const TILES: &str = "storyboard.vtt";

/// The tiles of a sheet, the first at the top; `None` if it is no sheet of ours.
pub fn tiles_of(sheet: &Bytes) -> Option<Vec<Bytes>> {
    jpeg::split(sheet, SHEET_TILES as u16)
}

/// The newest tiles.
#[derive(Clone, Debug)]
pub struct Storyboard {
    tiles: BTreeMap<i64, Bytes>,
    most: usize,
}

impl Storyboard {
    /// Keeps at most so many tiles.
    pub fn new(most: usize) -> Self {
        Storyboard { tiles: BTreeMap::new(), most: most.max(1) }
    }

    /// Takes a tile, unless it is no picture that can be joined. The oldest go when there are too many.
    pub fn push(&mut self, time: UtcTime, picture: Bytes) {
        let size = (TILE_WIDTH as u16, TILE_HEIGHT as u16);
        if picture.len() > MAX_PICTURE_BYTES || jpeg::size(&picture) != Some(size) {
            return;
        }
        self.tiles.insert(tile_at(time), picture);
        while self.tiles.len() > self.most {
            self.tiles.pop_first();
        }
    }

    /// Takes the tiles of a sheet that was made before, but for those that are there already.
    pub fn restore(&mut self, sheet: i64, picture: &Bytes) {
        for (tile, picture) in (sheet.saturating_mul(SHEET_TILES)..).zip(tiles_of(picture).unwrap_or_default()) {
            if !self.tiles.contains_key(&tile) {
                self.push(tile_time(tile), picture);
            }
        }
    }

    /// Forgets the sheets before this one.
    pub fn forget_before(&mut self, sheet: i64) {
        self.tiles = self.tiles.split_off(&sheet.saturating_mul(SHEET_TILES));
    }

    /// Sheets of which there is a tile, oldest first.
    pub fn sheets(&self) -> impl Iterator<Item = i64> {
        let mut last = None;
        let all = self.tiles.keys().map(|tile| sheet_of(*tile));
        all.filter(move |sheet| last.replace(*sheet) != Some(*sheet))
    }

    /// The first and the last tile that is there.
    pub fn span(&self) -> Option<RangeInclusive<i64>> {
        Some(*self.tiles.first_key_value()?.0..=*self.tiles.last_key_value()?.0)
    }

    /// A sheet. In place of a tile that is missing stands the one before it, or the first one.
    pub fn sheet(&self, sheet: i64) -> Option<Bytes> {
        let first = sheet.checked_mul(SHEET_TILES)?;
        let there = self.tiles.range(first..first.checked_add(SHEET_TILES)?);
        let mut shown = there.clone().next()?.1;
        let mut pictures = Vec::with_capacity(SHEET_TILES as usize);
        for tile in first..first + SHEET_TILES {
            shown = self.tiles.get(&tile).unwrap_or(shown);
            pictures.push(shown.clone());
        }
        // Pictures that cannot be joined were made by different programs: the newest of a kind are shown.
        jpeg::stack(&pictures).or_else(|| jpeg::stack(&vec![there.last()?.1.clone(); SHEET_TILES as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_functions_of_time() {
        let time = UtcTime::from_millis(1_795_386_725_400);
        assert_eq!(sheet_at(time), 1_795_386_725 / 60);
        assert_eq!(tile_at(time), 1_795_386_725 / 5);
        assert_eq!(sheet_time(sheet_at(time)).as_millis(), 1_795_386_720_000);
        assert_eq!(sheet_number(&sheet_name(29_923_112)), Some(29_923_112));
        for other in ["storyboard-01.jpg", "storyboard--1.jpg", "storyboard-.jpg", "storyboard-1.png", "poster.jpg"] {
            assert_eq!(sheet_number(other), None, "{other}");
        }
    }

    fn tile(mark: u8) -> Bytes {
        let mut out = vec![0xff, 0xd8];
        out.extend([0xff, 0xc0, 0, 17, 8, 0, 144, 1, 0, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
        out.extend([0xff, 0xda, 0, 3, 9, mark, 0xff, 0xd9]);
        Bytes::from(out)
    }

    fn marks(sheet: &Bytes) -> Vec<u8> {
        let scan = sheet.windows(2).position(|w| w == [0xff, 0xda]).unwrap() + 5;
        sheet[scan..].chunks(3).map(|c| c[0]).collect()
    }

    #[test]
    fn a_sheet_repeats_what_is_there_where_something_is_missing() {
        let mut board = Storyboard::new(100);
        for (k, mark) in [(14, 1), (16, 2), (24, 3)] {
            board.push(tile_time(k), tile(mark));
        }
        assert_eq!(board.sheets().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(marks(&board.sheet(1).unwrap()), [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(board.sheet(0), None);
        board.forget_before(2);
        assert_eq!(board.span(), Some(24..=24));
    }

    #[test]
    fn a_sheet_that_was_made_before_is_gone_on_with() {
        let mut before = Storyboard::new(100);
        for (k, mark) in [(12, 1), (13, 2), (14, 3)] {
            before.push(tile_time(k), tile(mark));
        }
        let mut board = Storyboard::new(100);
        board.push(tile_time(15), tile(4));
        board.restore(1, &before.sheet(1).unwrap());
        board.push(tile_time(16), tile(5));
        assert_eq!(marks(&board.sheet(1).unwrap()), [1, 2, 3, 4, 5, 3, 3, 3, 3, 3, 3, 3]);
        board.restore(2, &Bytes::from_static(b"no sheet"));
        assert_eq!(board.span(), Some(12..=23));
    }

    #[test]
    fn it_is_bounded_and_takes_no_other_pictures() {
        let mut board = Storyboard::new(3);
        for k in 0..10 {
            board.push(tile_time(k), tile(k as u8));
        }
        board.push(tile_time(10), Bytes::from_static(b"\xff\xd8garbage\xff\xd9"));
        assert_eq!(board.span(), Some(7..=9));
    }
}
