//! CMAF files: no bytes make the reader panic, and a chunk that is read and written again says the same.

use bytes::Bytes;
use millstream_media::cmaf::read;
use millstream_media::cmaf::{ChunkHead, chunk, dump};

/// Bytes held for each byte of input.
pub const PER_BYTE: usize = 1024;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let _ = dump::dump(data);
    let Ok(init) = read::init(data) else { return };
    let media = Bytes::copy_from_slice(&data[init.end..]);
    for c in read::chunks(&media, &init).map_while(Result::ok) {
        let samples = c.media_samples(&media).unwrap();
        let head = ChunkHead { segment: 1, part: 0, opens_at: None };
        // (Samples of one chunk always follow one another; there may be none.)
        let Ok(written) = chunk(head, &samples) else { continue };
        let ours = read::Init { track_id: 1, ..init.clone() };
        let again = read::chunks(&written.bytes, &ours).next().unwrap().unwrap();
        assert_eq!(again.media_samples(&written.bytes).unwrap(), samples);
    }
}
