//! What says where an asset's small pictures are: the list of sheets (an HLS image playlist) and that of tiles (WebVTT).
//!
//! Both are written from the rows alone, for names are functions of time: a clip's name the sheets of its recording. A
//! sheet that was never made (the worker was away) is a picture that is not found.

use std::fmt::{self, Write};

use millstream_media::storyboard::{
    SHEET_TILES, TILE_HEIGHT, TILE_WIDTH, sheet_at, sheet_name, sheet_of, tile_at, tile_time,
};
use millstream_media::time::UtcTime;
use millstream_package::hls::images;

use crate::asset::TrackInfo;
use crate::hls::View;
use crate::layout;
use crate::recorder::File;

/// A stretch of media without a hole that has pictures, and where it lies for a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    start: UtcTime,
    end: UtcTime,
    /// Nanoseconds from the beginning, holes left out.
    at: u64,
}

/// Whether any part of the asset has pictures.
pub fn is_there(view: &View<'_>) -> bool {
    view.line_ups.iter().any(|l| has_pictures(&l.tracks))
}

/// The lists; none for an asset without pictures.
pub fn files(view: &View<'_>) -> Vec<File> {
    if !is_there(view) {
        return Vec::new();
    }
    let stretches = stretches(view);
    let mut files = vec![File { rendition: None, name: layout::SHEETS, text: sheets(view, &stretches) }];
    // It is as long as the asset, so it is written once.
    if !view.is_growing() {
        files.push(File { rendition: None, name: layout::TILES, text: tiles(view, &stretches) });
    }
    files
}

fn has_pictures(tracks: &[TrackInfo]) -> bool {
    tracks.iter().any(|t| t.pictures)
}

fn stretches(view: &View<'_>) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut at = 0_u64;
    for (row, line_up) in view.lined() {
        let (Some(start), Some(end)) = (row.start(line_up), row.end(line_up)) else { continue };
        if has_pictures(&line_up.tracks) {
            match stretches.last_mut() {
                Some(last) if !row.discontinuity && last.end == start => last.end = end,
                _ => stretches.push(Stretch { start, end, at }),
            }
        }
        at = at.saturating_add(u64::try_from(end.nanos_since(start)).unwrap_or(0));
    }
    stretches
}

fn sheets(view: &View<'_>, stretches: &[Stretch]) -> String {
    let mut last = i64::MIN;
    let numbers = stretches.iter().flat_map(|s| sheet_at(s.start)..=sheet_at(before(s.end)));
    let new = numbers.filter(move |n| {
        let is_new = last < *n;
        last = last.max(*n);
        is_new
    });
    images(new.map(|n| (n, uri(view, n))), !view.is_growing())
}

fn tiles(view: &View<'_>, stretches: &[Stretch]) -> String {
    let mut out = String::from("WEBVTT\n");
    for s in stretches {
        for tile in tile_at(s.start)..=tile_at(before(s.end)) {
            let place = |time: UtcTime| s.at.saturating_add(u64::try_from(time.nanos_since(s.start)).unwrap_or(0));
            let (start, end) = (place(tile_time(tile).max(s.start)), place(tile_time(tile + 1).min(s.end)));
            let top = tile.rem_euclid(SHEET_TILES) * i64::from(TILE_HEIGHT);
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "\n{} --> {}\n{}#xywh=0,{top},{TILE_WIDTH},{TILE_HEIGHT}\n",
                Timestamp(start),
                Timestamp(end),
                uri(view, sheet_of(tile))
            );
        }
    }
    out
}

/// The last instant before this one.
fn before(time: UtcTime) -> UtcTime {
    UtcTime(time.0.saturating_sub(1))
}

fn uri(view: &View<'_>, sheet: i64) -> String {
    match view.of {
        Some(asset) => format!("../{asset}/{}", sheet_name(sheet)),
        None => sheet_name(sheet),
    }
}

/// Nanoseconds as WebVTT writes them.
struct Timestamp(u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0 / 1_000_000;
        write!(f, "{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }
}

#[cfg(test)]
mod tests {
    use millstream_media::time::Timescale;
    use millstream_media::track::RenditionName;

    use super::*;
    use crate::asset::{LineUp, Media, Range, State};
    use crate::index::{Cell, Row};

    const SCALE: Timescale = Timescale::MPEG;

    fn line_up(pictures: bool) -> LineUp {
        let media = Media::Video { width: 1280, height: 720, frame_rate: None, range: Range::Sdr };
        let name = RenditionName::new("720p").unwrap();
        let track = TrackInfo {
            name,
            timescale: SCALE,
            bit_rate: 1,
            codec: "avc1.64001f".to_owned(),
            media,
            pictures,
            protection: None,
            clear_version: None,
        };
        LineUp { first: 0, init: "0a".to_owned(), tracks: vec![track] }
    }

    /// A row of ten seconds.
    fn row(number: u64, discontinuity: bool) -> Row {
        let ticks = u64::from(SCALE.get()) * 10;
        let cell = Cell { start: number * ticks, duration: ticks as u32, bytes: 1, head: 1 };
        Row { number, discontinuity, cells: vec![Some(cell)] }
    }

    #[test]
    fn a_hole_is_left_out_of_the_times_and_the_sheets() {
        let line_ups = [line_up(true)];
        // From 0:50 to 1:10 and from 5:00 to 5:10.
        let rows = [row(5, false), row(6, false), row(30, true)];
        let view = View { target_duration: 10, state: State::Ended, line_ups: &line_ups, rows: &rows, of: None };
        let files = files(&view);
        let text = |name| files.iter().find(|f| f.name == name).map(|f| f.text.clone()).unwrap();
        let sheets = text(layout::SHEETS);
        let named: Vec<&str> = sheets.lines().filter(|l| l.starts_with("storyboard")).collect();
        assert_eq!(named, ["storyboard-0.jpg", "storyboard-1.jpg", "storyboard-5.jpg"]);
        let tiles = text(layout::TILES);
        assert!(tiles.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:05.000\nstoryboard-0.jpg#xywh=0,1440,256,144\n"));
        assert!(tiles.ends_with("00:00:25.000 --> 00:00:30.000\nstoryboard-5.jpg#xywh=0,144,256,144\n"), "{tiles}");
    }

    #[test]
    fn a_clip_names_its_recordings_sheets_and_others_none() {
        let (with, without) = ([line_up(true)], [line_up(false)]);
        let rows = [row(5, false)];
        let of = crate::AssetId::new("demo-1").unwrap();
        let view = View { target_duration: 10, state: State::Ended, line_ups: &with, rows: &rows, of: Some(&of) };
        assert!(files(&view).iter().all(|f| f.text.contains("../demo-1/storyboard-0.jpg")));
        assert!(files(&View { line_ups: &without, ..view }).is_empty());
        let growing = files(&View { state: State::Recording, ..view });
        assert_eq!(growing.iter().map(|f| f.name).collect::<Vec<_>>(), [layout::SHEETS]);
    }
}
