//! FLV as a file or a pipe has it: a header, then tags with their sizes (Adobe FLV 10.1, E.2 and E.3).

use bytes::{Buf as _, Bytes, BytesMut};

use crate::rtmp::chunk::kind;

/// Bytes of the file's header with the size of the tag before the first one.
const FILE_HEADER: usize = 13;
/// Bytes of a tag's header, and of the size behind its body.
const TAG_HEADER: usize = 11;
const TAG_SIZE: usize = 4;

/// A tag as it stands in a file: its type is that of the RTMP message which carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTag {
    /// [`kind::AUDIO`], [`kind::VIDEO`] or [`kind::DATA_AMF0`].
    pub kind: u8,
    /// Milliseconds.
    pub timestamp: u32,
    /// The body.
    pub body: Bytes,
}

/// What comes is no FLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the source gives no FLV")]
pub struct NoFlv;

/// Bytes in, tags out. It holds at most one tag, whose size is a 24-bit number, and what was
/// pushed last.
#[derive(Debug, Default)]
pub struct FileReader {
    held: BytesMut,
    header_is_read: bool,
}

impl FileReader {
    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole tag.
    ///
    /// # Errors
    /// [`NoFlv`].
    pub fn poll(&mut self) -> Result<Option<FileTag>, NoFlv> {
        if !self.header_is_read {
            let Some(header) = self.held.get(..FILE_HEADER) else { return Ok(None) };
            if !header.starts_with(b"FLV\x01") {
                return Err(NoFlv);
            }
            self.held.advance(FILE_HEADER);
            self.header_is_read = true;
        }
        let Some(&[tag_kind, a, b, c, t, u, v, extended, ..]) = self.held.first_chunk::<TAG_HEADER>() else {
            return Ok(None);
        };
        if !matches!(tag_kind, kind::AUDIO | kind::VIDEO | kind::DATA_AMF0) {
            return Err(NoFlv);
        }
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if self.held.len() < TAG_HEADER + length + TAG_SIZE {
            return Ok(None);
        }
        self.held.advance(TAG_HEADER);
        let body = self.held.split_to(length).freeze();
        self.held.advance(TAG_SIZE);
        Ok(Some(FileTag { kind: tag_kind, timestamp: u32::from_be_bytes([extended, t, u, v]), body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_out_whole_however_they_come_in() {
        let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        file.extend_from_slice(b"\x09\0\0\x03\xff\xff\xff\x01\0\0\0abc\0\0\0\x0e");
        file.extend_from_slice(b"\x08\0\0\x01\0\0\x17\0\0\0\0d\0\0\0\x0c");
        for piece in [1, 5, file.len()] {
            let (mut reader, mut tags) = (FileReader::default(), Vec::new());
            for bytes in file.chunks(piece) {
                reader.push(bytes);
                tags.extend(std::iter::from_fn(|| reader.poll().unwrap()));
            }
            let want = [(kind::VIDEO, 0x01ff_ffff, &b"abc"[..]), (kind::AUDIO, 0x17, &b"d"[..])];
            let got: Vec<_> = tags.iter().map(|tag| (tag.kind, tag.timestamp, &tag.body[..])).collect();
            assert_eq!(got, want, "in pieces of {piece}");
            assert!(reader.held.is_empty());
        }
    }

    #[test]
    fn what_is_no_flv_is_told() {
        for bytes in [&b"ftypisom.....\0\0\0\0"[..], b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x01..........."] {
            let mut reader = FileReader::default();
            reader.push(bytes);
            assert_eq!(reader.poll(), Err(NoFlv));
        }
    }
}
