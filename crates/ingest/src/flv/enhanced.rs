//! The parts of the Enhanced RTMP header that audio and video share: modifiers and multitrack (STANDARDS 6.16, 6.17).

use bytes::Bytes;

use super::Problem;
use crate::cursor::Cursor;
use crate::source::MediaKind;

/// Modifiers on one tag; real ones have one.
const MAX_MODIFIERS: usize = 8;

/// The largest offset a modifier may give, in nanoseconds (ER2).
const MAX_NANO_OFFSET: u32 = 999_999;

/// A FourCC and the body that belongs to track 0.
pub(super) struct TrackBody {
    pub(super) four_cc: [u8; 4],
    pub(super) packet_type: u8,
    pub(super) body: Cursor,
}

/// Reads modifiers off the front until another packet type comes. Answers that type and the offset in nanoseconds.
/// A modifier that is not known fails: it might change what the rest means.
pub(super) fn modifiers(
    cursor: &mut Cursor,
    mut packet_type: u8,
    modifier_type: u8,
    media: MediaKind,
) -> Result<(u8, i64), Problem> {
    let short = || Problem::Truncated(media);
    let mut nanos = 0;
    for _ in 0..MAX_MODIFIERS {
        if packet_type != modifier_type {
            return Ok((packet_type, nanos));
        }
        let mut size = usize::from(cursor.u8().ok_or_else(short)?) + 1;
        if size == 256 {
            size = usize::from(cursor.u16().ok_or_else(short)?) + 1;
        }
        let data = cursor.take(size).ok_or_else(short)?;
        let types = cursor.u8().ok_or_else(short)?;
        packet_type = types & 0x0f;
        match types >> 4 {
            0 => {
                let offset = Cursor::new(data).u24().ok_or_else(short)?;
                nanos = i64::from(offset.min(MAX_NANO_OFFSET));
            }
            value => return Err(Problem::Unknown { media, what: "modifier type", value }),
        }
    }
    Err(Problem::Unknown { media, what: "more modifiers than", value: MAX_MODIFIERS as u8 })
}

/// Finds track 0 in a multitrack body. The whole message is read; tracks other than 0 set `extra`.
pub(super) fn multitrack(mut cursor: Cursor, media: MediaKind, extra: &mut bool) -> Result<Option<TrackBody>, Problem> {
    const ONE_TRACK: u8 = 0;
    const MANY_TRACKS: u8 = 1;
    const MANY_TRACKS_MANY_CODECS: u8 = 2;
    let short = || Problem::Truncated(media);
    let types = cursor.u8().ok_or_else(short)?;
    let (multitrack_type, packet_type) = (types >> 4, types & 0x0f);
    let shared = match multitrack_type {
        ONE_TRACK | MANY_TRACKS => Some(cursor.four_cc().ok_or_else(short)?),
        MANY_TRACKS_MANY_CODECS => None,
        value => return Err(Problem::Unknown { media, what: "multitrack type", value }),
    };
    let mut found = None;
    while !cursor.is_empty() {
        let four_cc = match shared {
            Some(cc) => cc,
            None => cursor.four_cc().ok_or_else(short)?,
        };
        let track = cursor.u8().ok_or_else(short)?;
        let body: Bytes = if multitrack_type == ONE_TRACK {
            let all = cursor.remaining();
            cursor.take(all).ok_or_else(short)?
        } else {
            let size = cursor.u24().ok_or_else(short)?;
            cursor.take(size as usize).ok_or_else(short)?
        };
        if track == 0 && found.is_none() {
            found = Some(TrackBody { four_cc, packet_type, body: Cursor::new(body) });
        } else {
            *extra = true;
        }
    }
    Ok(found)
}
