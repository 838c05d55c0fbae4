//! What `millstream load` reads from the servers that it loads: responses, playlists, MPDs, chunks.

use millstream_load::chunks::Chunks;
use millstream_load::dash::Wanted;
use millstream_load::playlist::{self, Playlist};
use millstream_load::wire::Response;

/// Bytes held for each byte of input.
pub const PER_BYTE: usize = 1024;

/// A playlist or an MPD, and the lists that a viewer makes of an MPD.
pub fn lists(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(Playlist::Dash(dash)) = playlist::parse(&text, "http://h/live/a/manifest.mpd?x") else { return };
    for (from, now_ms) in [(None, 1_800_000_000_000), (Some(0), 0), (Some(u64::MAX), i64::MAX), (None, i64::MIN)] {
        for (audio, low_latency) in [(false, false), (false, true), (true, true)] {
            let list = dash.list(Wanted { variant: 0, audio, low_latency, from, now_ms });
            assert!(list.segments.len() <= 64 * dash.periods.len().max(1));
        }
    }
}

/// A response by pieces of the length in its first byte: the same body, whatever the pieces.
pub fn wire(data: &[u8]) {
    let Some((&piece, data)) = data.split_first() else { return };
    let whole = response(data, data.len().max(1));
    assert_eq!(response(data, usize::from(piece) + 1), whole);
    let mut chunks = Chunks::default();
    data.chunks(usize::from(piece) + 1).for_each(|piece| {
        chunks.push(piece);
    });
    let mut at_once = Chunks::default();
    at_once.push(data);
    assert_eq!(chunks.whole, at_once.whole);
}

fn response(data: &[u8], piece: usize) -> Option<(u16, Vec<u8>)> {
    let (mut response, mut body) = (Response::default(), Vec::new());
    for piece in data.chunks(piece) {
        if response.push(piece, &mut |bytes| body.extend_from_slice(bytes)).ok()? {
            break;
        }
    }
    assert!(body.len() <= data.len() && response.bytes == body.len() as u64);
    Some((response.status, body))
}
