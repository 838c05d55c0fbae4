//! Which bytes of a sample are encrypted: slice data and tiles only, so that headers stay readable (ISO/IEC 23001-7 9.5;
//! "AV1 Codec ISO Media File Format Binding", section 6).

use std::ops::Range;

use millstream_media::codec::{Av1Tiles, Error, SliceHeaders, VideoConfig, nal};
use millstream_media::protection::{Scheme, Subsample};

use super::cipher::BLOCK;

/// Bytes of the length before each NAL unit.
const LENGTH: u8 = 4;

/// How a track's pictures are laid out in its samples.
pub(super) enum Layout {
    /// H.264 and H.265: slices in NAL units.
    Slices(SliceHeaders),
    /// AV1: tiles in OBUs.
    Tiles(Box<Av1Tiles>),
}

impl Layout {
    pub(super) fn of(config: &VideoConfig) -> Result<Self, Error> {
        match config {
            VideoConfig::Av1(config) => Ok(Layout::Tiles(Box::new(Av1Tiles::of(config)?))),
            config => Ok(Layout::Slices(SliceHeaders::of(config)?)),
        }
    }

    /// The subsamples of the next sample, which cover it. With [`Scheme::Cenc`] each protected run is a number of whole
    /// blocks, at the end of its slice or tile.
    pub(super) fn subsamples(&mut self, sample: &[u8], scheme: Scheme) -> Result<Vec<Subsample>, Error> {
        let (mut out, mut covered) = (Vec::new(), 0);
        for data in self.data(sample)? {
            let length = data.len();
            let protected = match (scheme, &self) {
                // Each tile has a subsample, though less than a block stays clear.
                (Scheme::Cbcs, Layout::Slices(_)) if length < BLOCK => 0,
                (Scheme::Cbcs, _) => length,
                (Scheme::Cenc, _) => length - length % BLOCK,
            };
            if protected > 0 {
                push(&mut out, data.end - protected - covered, protected);
                covered = data.end;
            }
        }
        if covered < sample.len() {
            push(&mut out, sample.len() - covered, 0);
        }
        Ok(out)
    }

    /// Where slice data or tiles lie, in order.
    fn data(&mut self, sample: &[u8]) -> Result<Vec<Range<usize>>, Error> {
        match self {
            Layout::Tiles(tiles) => tiles.next(sample),
            Layout::Slices(headers) => {
                let mut out = Vec::new();
                let mut units = nal::units(sample, LENGTH);
                while let Some(unit) = units.next() {
                    let unit = unit?;
                    let end = sample.len() - units.remaining();
                    let data = unit.len() - headers.clear_bytes(unit)?.min(unit.len());
                    out.push(end - data..end);
                }
                Ok(out)
            }
        }
    }
}

/// A field of 16 bits says how many bytes are clear.
fn push(out: &mut Vec<Subsample>, mut clear: usize, protected: usize) {
    const MOST: usize = u16::MAX as usize;
    while clear > MOST {
        out.push(Subsample { clear: MOST as u32, protected: 0 });
        clear -= MOST;
    }
    out.push(Subsample { clear: clear as u32, protected: protected as u32 });
}

/// Where the protected runs lie in a sample of `length` bytes; all of it where there are no subsamples.
pub(super) fn ranges(length: usize, subsamples: &[Subsample]) -> impl Iterator<Item = Range<usize>> {
    let whole = subsamples.is_empty().then_some(0..length);
    let mut at = 0;
    let runs = subsamples.iter().map(move |s| {
        let start = at + s.clear as usize;
        at = start + s.protected as usize;
        start..at
    });
    whole.into_iter().chain(runs).filter(|range| !range.is_empty())
}
