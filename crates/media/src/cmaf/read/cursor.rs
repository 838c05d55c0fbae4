//! Reading big-endian fields of a box.

use super::{BoxRef, Error, ErrorKind};

/// A position in a box's body.
pub(super) struct Cursor<'a> {
    of: BoxRef<'a>,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(of: BoxRef<'a>) -> Self {
        Cursor { rest: of.body, of }
    }

    /// Starts behind version and flags, and gives them.
    pub(super) fn full(of: BoxRef<'a>) -> Result<(Self, u8, u32), Error> {
        let mut c = Cursor::new(of);
        let word = c.u32()?;
        Ok((c, (word >> 24) as u8, word & 0x00ff_ffff))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let short = self.error(ErrorKind::Short(self.of.kind));
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(short)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Result<(), Error> {
        let short = self.error(ErrorKind::Short(self.of.kind));
        self.rest = self.rest.get(bytes..).ok_or(short)?;
        Ok(())
    }

    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_be_bytes)
    }

    /// 64 bits in version 1, else 32.
    pub(super) fn by_version(&mut self, version: u8) -> Result<u64, Error> {
        if version == 1 { self.u64() } else { self.u32().map(u64::from) }
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// An error at the present position.
    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error { offset: self.of.end() - self.rest.len(), kind }
    }
}
