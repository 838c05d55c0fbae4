//! Reading CMAF: a walk over boxes, init segments and chunks.
//!
//! For bytes from anywhere. Nothing is allocated beyond a small multiple of the input, and every error says at which
//! byte it was found. Reading is lenient where players are (unknown boxes are passed over); what a standard asks
//! beyond that is for the checker, which is told the facts.

use super::FourCc;
use crate::codec;

mod chunk;
mod cursor;
mod init;

pub use chunk::{ChunkBoxes, ReadChunk, ReadPrft, ReadSample, chunks};
pub use init::{Brands, EditList, Init, InitCodec, SampleDefaults, init};

/// Most samples in one chunk: more than a minute of 240 pictures a second. They may take no bytes, so it bounds memory.
pub const MAX_SAMPLES_PER_CHUNK: usize = 16_384;

/// What is wrong, and where. The bytes' author is at fault; the same bytes fail again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}")]
pub struct Error {
    /// Byte offset from the start of the input.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ErrorKind,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// A box is longer than what holds it, or shorter than its own header.
    #[error("box {0} has an impossible size")]
    BoxSize(FourCc),
    /// The bytes end inside a box's header.
    #[error("the bytes end inside a box header")]
    Header,
    /// A box ends before its fields do.
    #[error("box {0} ends before its fields do")]
    Short(FourCc),
    /// A necessary box is not there.
    #[error("there is no box {0}")]
    Missing(FourCc),
    /// A box is there twice, or more than one track or fragment.
    #[error("there is more than one box {0}")]
    Duplicate(FourCc),
    /// A box stands where it may not.
    #[error("box {0} is out of place")]
    Order(FourCc),
    /// A field's value cannot be.
    #[error("{0} has an impossible value")]
    Value(&'static str),
    /// A sample entry, or something else, that we do not handle.
    #[error("{0} is not supported")]
    Unsupported(FourCc),
    /// More of something than we take.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The codec configuration cannot be read.
    #[error("codec configuration: {0}")]
    Codec(codec::Error),
}

/// A box inside the input.
#[derive(Clone, Copy, Debug)]
pub struct BoxRef<'a> {
    /// Its type.
    pub kind: FourCc,
    /// Where its header starts, from the start of the input.
    pub offset: usize,
    /// Bytes of the header: 8, or 16 with a 64-bit size.
    pub header_len: usize,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> BoxRef<'a> {
    /// Where the body starts.
    pub fn body_offset(&self) -> usize {
        self.offset + self.header_len
    }

    /// Where the box ends.
    pub fn end(&self) -> usize {
        self.body_offset() + self.body.len()
    }

    /// The boxes in its body.
    pub fn children(&self) -> Boxes<'a> {
        Boxes { rest: self.body, offset: self.body_offset() }
    }

    /// The boxes in its body behind `skip` bytes of fields.
    pub fn children_after(&self, skip: usize) -> Boxes<'a> {
        Boxes { rest: self.body.get(skip..).unwrap_or_default(), offset: self.body_offset() + skip }
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error { offset: self.offset, kind }
    }

    /// The one child of type `kind`.
    fn only(&self, kind: &[u8; 4]) -> Result<BoxRef<'a>, Error> {
        self.at_most_one(kind)?.ok_or_else(|| self.error(ErrorKind::Missing(FourCc(*kind))))
    }

    /// The child of type `kind`, if there is one.
    fn at_most_one(&self, kind: &[u8; 4]) -> Result<Option<BoxRef<'a>>, Error> {
        let mut found = None;
        for child in self.children() {
            let child = child?;
            if child.kind.0 == *kind && found.replace(child).is_some() {
                return Err(child.error(ErrorKind::Duplicate(child.kind)));
            }
        }
        Ok(found)
    }
}

/// A walk over boxes that follow one another. After an error it ends.
#[derive(Clone, Debug)]
pub struct Boxes<'a> {
    rest: &'a [u8],
    offset: usize,
}

/// Walks over the boxes at the top of `data`.
pub fn boxes(data: &[u8]) -> Boxes<'_> {
    Boxes { rest: data, offset: 0 }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<BoxRef<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        let rest = std::mem::take(&mut self.rest);
        let Some(header) = (match BoxHeader::parse(rest) {
            Ok(h) => h,
            Err(kind) => return Some(Err(Error { offset, kind })),
        }) else {
            return Some(Err(Error { offset, kind: ErrorKind::Header }));
        };
        let size = header.size.map_or(Some(rest.len()), |s| usize::try_from(s).ok());
        let Some((whole, after)) = size.and_then(|s| rest.split_at_checked(s)) else {
            return Some(Err(Error { offset, kind: ErrorKind::BoxSize(header.kind) }));
        };
        self.rest = after;
        self.offset = offset + whole.len();
        Some(Ok(BoxRef {
            kind: header.kind,
            offset,
            header_len: header.header_len,
            body: whole.get(header.header_len..).unwrap_or_default(),
        }))
    }
}

/// A box's header, for those who read from a stream and must know how much to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxHeader {
    /// Its type.
    pub kind: FourCc,
    /// Bytes of the header: 8, or 16 with a 64-bit size.
    pub header_len: usize,
    /// Bytes of the box with its header; `None` for a box that goes on to the end of the file.
    pub size: Option<u64>,
}

impl BoxHeader {
    /// Reads the header at the start of `data`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`ErrorKind::BoxSize`] for a box shorter than its header.
    pub fn parse(data: &[u8]) -> Result<Option<BoxHeader>, ErrorKind> {
        let Some(&[a, b, c, d, k0, k1, k2, k3]) = data.first_chunk::<8>() else { return Ok(None) };
        let kind = FourCc([k0, k1, k2, k3]);
        let (header_len, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, None),
            1 => {
                let Some(large) = data.get(8..16).and_then(|l| l.first_chunk::<8>()) else { return Ok(None) };
                (16, Some(u64::from_be_bytes(*large)))
            }
            size => (8, Some(u64::from(size))),
        };
        if size.is_some_and(|s| s < header_len as u64) {
            return Err(ErrorKind::BoxSize(kind));
        }
        Ok(Some(BoxHeader { kind, header_len, size }))
    }
}
