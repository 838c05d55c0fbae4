//! Pictures by themselves: a tile of the storyboard every five seconds, and a poster now and then, as JPEGs.
//!
//! They are scaled from the smallest rendition that is large enough, so that they cost next to nothing: a tile half a
//! millisecond of processor time, which is a ten-thousandth of a core.

use bytes::Bytes;
use millstream_encode_wire::message::{FromWorker, PictureKind};
use millstream_media::grid::{FrameIndex, SegmentGrid};
use millstream_media::storyboard::{TILE_HEIGHT, TILE_WIDTH, tile_at};

use crate::libav::{Encoder, Error, Frame, Rect, Scaler};
use crate::link::Outbox;
use crate::{geometry, slate};

/// Largest side of a poster in pixels.
const POSTER_SIDE: u32 = 640;
/// From so many tiles on there is a poster with every sixth: a broadcast often begins with black.
const FIRST_POSTERS: u32 = 3;
const TILES_PER_POSTER: i64 = 6;
/// Quantiser's scales.
const TILE_QUALITY: i32 = 6;
const POSTER_QUALITY: i32 = 4;

/// Width of the pictures that are best to be given.
pub const fn wanted_width(kind: PictureKind) -> u32 {
    match kind {
        PictureKind::Tile => TILE_WIDTH,
        PictureKind::Poster => POSTER_SIDE,
    }
}

/// Makes the pictures of a channel.
pub struct Pictures {
    grid: SegmentGrid,
    outbox: Outbox,
    tile: Option<i64>,
    made: u32,
    tiles: Option<Maker>,
    posters: Option<Maker>,
    /// It was said that they cannot be made.
    has_failed: bool,
}

impl Pictures {
    /// Pictures of this grid's frames.
    pub fn new(grid: SegmentGrid, outbox: Outbox) -> Self {
        Pictures { grid, outbox, tile: None, made: 0, tiles: None, posters: None, has_failed: false }
    }

    /// Which pictures are to be made of this frame, the next one. For most frames none.
    pub fn due(&mut self, frame: FrameIndex) -> &'static [PictureKind] {
        let tile = tile_at(self.grid.frame_time(frame));
        if self.has_failed || self.tile.replace(tile) == Some(tile) {
            return &[];
        }
        self.made = self.made.saturating_add(1);
        if self.made <= FIRST_POSTERS || tile.rem_euclid(TILES_PER_POSTER) == 0 {
            &[PictureKind::Tile, PictureKind::Poster]
        } else {
            &[PictureKind::Tile]
        }
    }

    /// Makes one and sends it.
    pub fn make(&mut self, kind: PictureKind, frame: FrameIndex, source: &Frame) {
        let maker = match kind {
            PictureKind::Tile => &mut self.tiles,
            PictureKind::Poster => &mut self.posters,
        };
        match made(maker, kind, source) {
            Ok(data) => self.outbox.send(FromWorker::Picture { kind, frame }, Bytes::from(data)),
            Err(error) => {
                self.has_failed = true;
                self.outbox.warn(format!("there will be no thumbnails: {error}"));
            }
        }
    }
}

/// Scales and codes pictures of one shape.
struct Maker {
    scaler: Scaler,
    encoder: Encoder,
    size: (u32, u32),
    rect: Rect,
}

fn made(maker: &mut Option<Maker>, kind: PictureKind, source: &Frame) -> Result<Vec<u8>, Error> {
    let shape = source.picture();
    let quality = if kind == PictureKind::Tile { TILE_QUALITY } else { POSTER_QUALITY };
    let maker = match maker {
        Some(maker) if maker.scaler.fits(&shape, maker.rect.width, maker.rect.height) => maker,
        other => {
            let size = match kind {
                PictureKind::Tile => (TILE_WIDTH, TILE_HEIGHT),
                // What is left of the square is cut off.
                PictureKind::Poster => {
                    let rect = geometry::fit(&shape, POSTER_SIDE, POSTER_SIDE);
                    (rect.width, rect.height)
                }
            };
            let rect = geometry::fit(&shape, size.0, size.1);
            let scaler = Scaler::for_jpeg(shape, rect.width, rect.height)?;
            other.insert(Maker { scaler, encoder: Encoder::open_jpeg(size.0, size.1, quality)?, size, rect })
        }
    };
    let mut target = Frame::jpeg(maker.size.0, maker.size.1, quality)?;
    if (maker.rect.width, maker.rect.height) != maker.size {
        slate::fill(&mut target, 0);
    }
    maker.scaler.scale(source, &mut target, maker.rect)?;
    maker.encoder.send(Some(&target))?;
    let coded = maker.encoder.receive()?;
    coded.map(|c| c.data).ok_or(Error { doing: "coding a thumbnail", code: ffmpeg_sys::AVERROR(libc::EAGAIN) })
}
