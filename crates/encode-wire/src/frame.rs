//! Framing: a length-prefixed header and payload, decoded from whatever pieces arrive.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest frame accepted, in bytes: a coded picture of 32 MiB and its header.
pub const MAX_FRAME_BYTES: usize = 32 * 1024 * 1024 + 64 * 1024;

/// Why the stream of frames broke. After an error the connection is of no use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A frame longer than [`MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes is over the limit")]
    TooLong(usize),
    /// Lengths that do not fit each other, or a header that is no message.
    #[error("a malformed frame: {0}")]
    Malformed(&'static str),
}

/// Encodes one message with its payload, appended to `out`.
///
/// # Errors
/// [`Error::TooLong`] if the frame would be over the limit.
pub fn encode<M: Serialize>(message: &M, payload: &[u8], out: &mut BytesMut) -> Result<(), Error> {
    let header = postcard::to_stdvec(message).map_err(|_| Error::Malformed("unencodable header"))?;
    let header_len = u16::try_from(header.len()).map_err(|_| Error::TooLong(header.len()))?;
    let total = 2 + header.len() + payload.len();
    if total > MAX_FRAME_BYTES {
        return Err(Error::TooLong(total));
    }
    out.reserve(4 + total);
    out.put_u32(total as u32);
    out.put_u16(header_len);
    out.put_slice(&header);
    out.put_slice(payload);
    Ok(())
}

/// Takes one whole message off the front of `input`; `None` if more bytes are needed.
///
/// # Errors
/// [`Error`] if the peer broke the framing.
pub fn decode<M: DeserializeOwned>(input: &mut BytesMut) -> Result<Option<(M, Bytes)>, Error> {
    let Some(prefix) = input.first_chunk::<4>() else { return Ok(None) };
    let total = u32::from_be_bytes(*prefix) as usize;
    if total > MAX_FRAME_BYTES {
        return Err(Error::TooLong(total));
    }
    if input.len() < 4 + total {
        input.reserve(4 + total - input.len());
        return Ok(None);
    }
    input.advance(4);
    let mut frame = input.split_to(total).freeze();
    if frame.len() < 2 {
        return Err(Error::Malformed("shorter than its header length"));
    }
    let header_len = usize::from(frame.get_u16());
    if frame.len() < header_len {
        return Err(Error::Malformed("header longer than the frame"));
    }
    let header = frame.split_to(header_len);
    let message = postcard::from_bytes(&header).map_err(|_| Error::Malformed("not a message"))?;
    Ok(Some((message, frame)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ToWorker, UnitTimes};
    use millstream_media::time::UtcTime;

    #[test]
    fn a_message_survives_any_split() {
        let message = ToWorker::Video(UnitTimes { pts: UtcTime(7), dts: UtcTime(5), key: true });
        let mut wire = BytesMut::new();
        encode(&message, b"payload", &mut wire).unwrap();
        for cut in 0..wire.len() {
            let mut buffer = BytesMut::from(&wire[..cut]);
            assert_eq!(decode::<ToWorker>(&mut buffer).unwrap(), None);
            buffer.extend_from_slice(&wire[cut..]);
            let (got, payload) = decode::<ToWorker>(&mut buffer).unwrap().unwrap();
            assert_eq!((got, &payload[..]), (message.clone(), &b"payload"[..]));
        }
    }

    #[test]
    fn hostile_lengths_are_refused() {
        let mut long = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
        assert!(matches!(decode::<ToWorker>(&mut long), Err(Error::TooLong(_))));
        let mut lying = BytesMut::from(&[0, 0, 0, 2, 0, 9][..]);
        assert!(matches!(decode::<ToWorker>(&mut lying), Err(Error::Malformed(_))));
    }
}
