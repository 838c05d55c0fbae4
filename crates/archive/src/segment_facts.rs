//! What a whole segment says about itself: its place in time, read from its boxes. By this a recording that was
//! killed finds out what the store and the spool hold.

use millstream_media::cmaf::read;

use crate::index::Cell;

/// Reads a segment's start, duration and the end of its first sample; `None` if the bytes are no whole segment of the
/// track that `init` describes.
pub fn cell(init: &read::Init, bytes: &[u8]) -> Option<Cell> {
    let mut start = None;
    let (mut duration, mut head) = (0_u64, 0);
    for chunk in read::chunks(bytes, init) {
        let chunk = chunk.ok()?;
        if start.is_none() {
            start = Some(chunk.tfdt);
            let first = chunk.samples.first()?;
            head = first.offset.checked_add(usize::try_from(first.size).ok()?)?;
        }
        duration = duration.checked_add(chunk.duration())?;
    }
    Some(Cell {
        start: start?,
        duration: u32::try_from(duration).ok()?,
        bytes: u32::try_from(bytes.len()).ok()?,
        head: u32::try_from(head).ok()?,
    })
}
