//! Frames between server and encode worker. The worker decodes what strangers send, so what it says is not trusted: no
//! bytes panic, and pieces are as good as the whole.

use bytes::{Bytes, BytesMut};
use millstream_encode_wire::frame;
use millstream_encode_wire::message::{FromWorker, ToWorker};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes held for each byte of input. (A frame's length is believed up to `frame::MAX_FRAME_BYTES`.)
pub const PER_BYTE: usize = 64;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    // The lengths of frames that have not come are believed, within a bound that is not of this check.
    let promised = data.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    if promised > data.len() + 4096 {
        return;
    }
    frames::<FromWorker>(data);
    frames::<ToWorker>(data);
}

fn frames<M: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let mut input = BytesMut::from(data);
    let Ok(Some((message, payload))) = frame::decode::<M>(&mut input) else { return };
    assert!(payload.len() <= data.len());
    let mut written = BytesMut::new();
    // What reads with more than the shortest numbers may be written shorter, never longer.
    frame::encode(&message, &payload, &mut written).expect("what was read can be written");
    assert!(written.len() <= data.len());
    let mut by_byte = BytesMut::new();
    let mut found: Option<(M, Bytes)> = None;
    for byte in &written {
        assert!(found.is_none(), "a frame ended before its end");
        by_byte.extend_from_slice(&[*byte]);
        found = frame::decode(&mut by_byte).expect("what was written can be read");
    }
    let (_, again) = found.expect("a whole frame");
    assert_eq!(again, payload);
}
