//! A channel's pictures by themselves: its poster, and the storyboard of its newest hour.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use millstream_delivery::respond::{CacheLife, Entity};
use millstream_media::storyboard::{MAX_PICTURE_BYTES, SHEET_TILES, Storyboard, sheet_name, sheet_of};
use millstream_media::time::UtcTime;
use millstream_package::hls;

use crate::channel::{HLS_TYPE, content_tag};

/// Tiles that are kept: those of an hour, about 5 MB.
const MOST_TILES: usize = 720;
/// Joined sheets that are kept ready.
const READY_SHEETS: usize = 8;
/// A newer tile, or poster, may come after so many seconds.
const FRESH_SECONDS: u32 = 5;

/// What one channel has of them.
#[derive(Debug)]
pub struct Pictures(Mutex<Held>);

#[derive(Debug)]
struct Held {
    board: Storyboard,
    poster: Option<Bytes>,
    /// Sheets as they were asked for last, with the board's version.
    ready: BTreeMap<i64, (Option<i64>, Bytes)>,
}

impl Default for Pictures {
    fn default() -> Self {
        Pictures(Mutex::new(Held { board: Storyboard::new(MOST_TILES), poster: None, ready: BTreeMap::new() }))
    }
}

impl Pictures {
    /// Takes a tile of the storyboard.
    pub fn tile(&self, time: UtcTime, picture: Bytes) {
        self.lock().board.push(time, picture);
    }

    /// Takes a poster in place of the one before.
    pub fn poster(&self, picture: Bytes) {
        if picture.len() <= MAX_PICTURE_BYTES {
            self.lock().poster = Some(picture);
        }
    }

    /// The newest poster.
    pub fn newest_poster(&self) -> Option<Entity> {
        let poster = self.lock().poster.clone()?;
        Some(entity(poster, JPEG_TYPE, CacheLife::Seconds(FRESH_SECONDS)))
    }

    /// A sheet; the newest one still grows.
    pub fn sheet(&self, number: i64) -> Option<Entity> {
        let mut held = self.lock();
        let newest = held.board.span().map(|span| *span.end()).filter(|tile| sheet_of(*tile) == number);
        let grows = newest.is_some_and(|tile| sheet_of(tile + 1) == number);
        let bytes = match held.ready.get(&number) {
            Some((made_at, bytes)) if *made_at == newest => bytes.clone(),
            _ => {
                let bytes = held.board.sheet(number)?;
                if held.ready.len() >= READY_SHEETS {
                    held.ready.pop_first();
                }
                held.ready.insert(number, (newest, bytes.clone()));
                bytes
            }
        };
        let life = if grows { FRESH_SECONDS } else { 3600 };
        Some(entity(bytes, JPEG_TYPE, CacheLife::Seconds(life)))
    }

    /// The list of sheets. The newest has a query that changes as it grows, so that no cache shows an old one.
    pub fn sheets(&self) -> Option<Entity> {
        let held = self.lock();
        let newest = *held.board.span()?.end();
        let uri = |number| {
            let tiles = newest.rem_euclid(SHEET_TILES) + 1;
            let query = if number == sheet_of(newest) { format!("?tiles={tiles}") } else { String::new() };
            (number, sheet_name(number) + &query)
        };
        let text = hls::images(held.board.sheets().map(uri), false);
        Some(entity(Bytes::from(text), HLS_TYPE, CacheLife::Seconds(FRESH_SECONDS)))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const JPEG_TYPE: &str = "image/jpeg";

fn entity(bytes: Bytes, content_type: &'static str, cache: CacheLife) -> Entity {
    let pieces = vec![bytes];
    let etag = content_tag(&pieces);
    Entity { pieces, gzip: None, etag, content_type, cache }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_media::storyboard::tile_time;

    fn tile(mark: u8) -> Bytes {
        let mut out = vec![0xff, 0xd8];
        out.extend([0xff, 0xc0, 0, 17, 8, 0, 144, 1, 0, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
        out.extend([0xff, 0xda, 0, 3, 9, mark, 0xff, 0xd9]);
        Bytes::from(out)
    }

    #[test]
    fn the_newest_sheet_grows_and_is_not_kept_by_caches() {
        let pictures = Pictures::default();
        assert!(pictures.sheets().is_none() && pictures.sheet(2).is_none() && pictures.newest_poster().is_none());
        for k in 12..26 {
            pictures.tile(tile_time(k), tile(k as u8));
        }
        let list = pictures.sheets().unwrap().pieces[0].clone();
        let list = std::str::from_utf8(&list).unwrap();
        assert!(list.contains("\nstoryboard-1.jpg\n") && list.ends_with("\nstoryboard-2.jpg?tiles=2\n"), "{list}");
        assert_eq!(pictures.sheet(1).unwrap().cache, CacheLife::Seconds(3600));
        let before = pictures.sheet(2).unwrap();
        assert_eq!(before.cache, CacheLife::Seconds(FRESH_SECONDS));
        pictures.tile(tile_time(26), tile(99));
        assert_ne!(pictures.sheet(2).unwrap().etag, before.etag);
        assert!(pictures.sheet(3).is_none());
    }
}
