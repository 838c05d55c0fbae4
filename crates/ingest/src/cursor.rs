//! A cursor over untrusted bytes: every read is checked, and slices share the buffer instead of copying it.

use bytes::Bytes;

/// Reads big-endian fields from the front of a shared buffer. Every method answers `None` when too few bytes are left
/// and then consumes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    data: Bytes,
}

impl Cursor {
    pub(crate) fn new(data: Bytes) -> Self {
        Cursor { data }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.data.first().copied()
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<Bytes> {
        (n <= self.data.len()).then(|| self.data.split_to(n))
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.data
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let value = *self.data.first_chunk::<N>()?;
        drop(self.data.split_to(N));
        Some(value)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Option<u32> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// A signed 24-bit number (SI24 of the FLV specification).
    pub(crate) fn i24(&mut self) -> Option<i32> {
        self.array().map(|[a, b, c]| i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_be_bytes)
    }

    pub(crate) fn four_cc(&mut self) -> Option<[u8; 4]> {
        self.array()
    }
}
