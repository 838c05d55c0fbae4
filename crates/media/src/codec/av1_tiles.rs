//! Where the tiles of AV1 frames lie: encryption leaves everything else clear ("AV1 Codec ISO Media File Format Binding",
//! section 6).
//!
//! A frame header says its length only to those who know the frames it refers to, so this follows a track from a key frame
//! on, one temporal unit after the other.

use std::ops::Range;

use super::Error;
use super::av1::{Av1Config, OBU_SEQUENCE_HEADER, Obu, Obus};
use super::av1_frame::{self, Frame, Header};
use super::av1_references::Slots;
use super::av1_sequence::SequenceHeader;
use super::bits::BitReader;

const FRAME_HEADER: u8 = 3;
const TILE_GROUP: u8 = 4;
const FRAME: u8 = 6;
const TILE_LIST: u8 = 8;

/// Follows the frames of a track.
#[derive(Clone, Debug)]
pub struct Av1Tiles {
    sequence: SequenceHeader,
    slots: Slots,
    /// The frame whose tiles are due.
    frame: Option<Frame>,
}

impl Av1Tiles {
    /// Before a track's first temporal unit.
    ///
    /// # Errors
    /// [`Error`] if the sequence header cannot be read.
    pub fn of(config: &Av1Config) -> Result<Self, Error> {
        Ok(Av1Tiles { sequence: config.sequence_header()?, slots: Slots::default(), frame: None })
    }

    /// Where the tiles of the next temporal unit lie in it, in order.
    ///
    /// # Errors
    /// [`Error`] if it cannot be read, or refers to what has not been there; it goes on with the next key frame then.
    pub fn next(&mut self, unit: &[u8]) -> Result<Vec<Range<usize>>, Error> {
        let mut tiles = Vec::new();
        let mut at = 0;
        let read = Obus(unit).try_for_each(|obu| {
            let obu = obu?;
            at += obu.head;
            self.obu(&obu, at, &mut tiles)?;
            at += obu.payload.len();
            Ok(())
        });
        if read.is_err() {
            (self.slots, self.frame) = (Slots::default(), None);
        }
        read.map(|()| tiles)
    }

    fn obu(&mut self, obu: &Obu<'_>, at: usize, tiles: &mut Vec<Range<usize>>) -> Result<(), Error> {
        match obu.kind {
            OBU_SEQUENCE_HEADER => self.sequence = SequenceHeader::parse(obu.payload)?,
            // With tiles due it is the same header again.
            FRAME_HEADER if self.frame.is_none() => {
                self.header(obu)?;
            }
            FRAME => {
                let bytes = self.header(obu)?;
                let group = obu.payload.get(bytes..).unwrap_or_default();
                self.group(group, at + bytes, tiles)?;
            }
            TILE_GROUP => self.group(obu.payload, at, tiles)?,
            TILE_LIST => return Err(Error::Unsupported { what: "encryption of OBU type", value: TILE_LIST.into() }),
            _ => {}
        }
        Ok(())
    }

    /// Reads a frame header: gives its whole bytes.
    fn header(&mut self, obu: &Obu<'_>) -> Result<usize, Error> {
        match av1_frame::read(obu.payload, &self.sequence, &mut self.slots, obu.layer)? {
            Header::Existing(index) => {
                let slot = *self.slots.get(index)?;
                if slot.is_key {
                    self.slots.refresh(0xff, slot);
                }
                Ok(obu.payload.len())
            }
            Header::Frame(frame) => {
                let bytes = frame.bits.div_ceil(8);
                self.frame = Some(frame);
                Ok(bytes)
            }
        }
    }

    /// A tile group (5.11.1) that begins at byte `at` of the temporal unit.
    fn group(&mut self, group: &[u8], mut at: usize, out: &mut Vec<Range<usize>>) -> Result<(), Error> {
        let frame = self.frame.as_ref().ok_or(Error::Missing { what: "frame header before tiles" })?;
        let layout = frame.tiles;
        let r = &mut BitReader::new(group, "a tile group");
        let (mut first, mut last) = (0, layout.count.saturating_sub(1));
        if layout.count > 1 && r.flag()? {
            (first, last) = (r.bits(layout.bits)?, r.bits(layout.bits)?);
        }
        if first > last || last >= layout.count {
            return Err(Error::Invalid { field: "tg_end", value: last.into() });
        }
        let head = group.len() - r.remaining() / 8;
        let cut = Error::Truncated { what: "a tile group" };
        let mut rest = group.get(head..).ok_or(cut)?;
        at += head;
        for tile in first..=last {
            let mut length = rest.len();
            if tile < last {
                let (said, after) = rest.split_at_checked(layout.size_bytes).ok_or(cut)?;
                length = said.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)) + 1;
                (rest, at) = (after, at + layout.size_bytes);
            }
            rest = rest.get(length..).ok_or(cut)?;
            out.push(at..at + length);
            at += length;
        }
        if last + 1 == layout.count
            && let Some(frame) = self.frame.take()
        {
            self.slots.refresh(frame.refresh, frame.slot);
        }
        Ok(())
    }
}
