//! Which bytes of an access unit are encrypted: slice data only, so that headers stay readable (ISO/IEC 23001-7 9.5).

use std::ops::Range;

use millstream_media::codec::{Error, SliceHeaders, nal};
use millstream_media::protection::{Scheme, Subsample};

use super::cipher::BLOCK;

/// Bytes of the length before each NAL unit.
const LENGTH: usize = 4;

/// The subsamples of an access unit, which cover it. With [`Scheme::Cenc`] each protected run is a number of whole
/// blocks.
pub(super) fn of(access_unit: &[u8], slices: &SliceHeaders, scheme: Scheme) -> Result<Vec<Subsample>, Error> {
    let mut out = Vec::new();
    let (mut clear, mut covered) = (0, 0);
    for unit in nal::units(access_unit, LENGTH as u8) {
        let unit = unit?;
        let headers = slices.clear_bytes(unit)?.min(unit.len());
        let data = unit.len() - headers;
        let protected = match scheme {
            Scheme::Cbcs if data < BLOCK => 0,
            Scheme::Cbcs => data,
            Scheme::Cenc => data - data % BLOCK,
        };
        clear += LENGTH + unit.len() - protected;
        covered += LENGTH + unit.len();
        if protected > 0 {
            push(&mut out, std::mem::take(&mut clear), protected);
        }
    }
    // Empty units, which the walk passes over.
    clear += access_unit.len().saturating_sub(covered);
    if clear > 0 {
        push(&mut out, clear, 0);
    }
    Ok(out)
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
