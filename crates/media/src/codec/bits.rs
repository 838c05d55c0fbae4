//! Reading bits and Exp-Golomb codes from bytes that may end anywhere.

use super::Error;

/// A cursor over the bits of `data`, most significant bit first.
#[derive(Clone)]
pub(super) struct BitReader<'a> {
    data: &'a [u8],
    /// Position in bits from the start of `data`.
    position: usize,
    /// What the bytes are, for the error.
    what: &'static str,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8], what: &'static str) -> Self {
        BitReader { data, position: 0, what }
    }

    /// Bits that are left.
    pub(super) fn remaining(&self) -> usize {
        (self.data.len() * 8).saturating_sub(self.position)
    }

    fn truncated(&self) -> Error {
        Error::Truncated { what: self.what }
    }

    /// The next `count` bits, at most 32, as a number.
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, Error> {
        debug_assert!(count <= 32);
        if self.remaining() < count as usize {
            return Err(self.truncated());
        }
        let mut value: u64 = 0;
        let mut left = count;
        while left > 0 {
            let byte = *self.data.get(self.position / 8).ok_or(self.truncated())?;
            let in_byte = 8 - (self.position % 8) as u32;
            let take = in_byte.min(left);
            let chunk = (u32::from(byte) >> (in_byte - take)) & ((1 << take) - 1);
            value = (value << take) | u64::from(chunk);
            self.position += take as usize;
            left -= take;
        }
        Ok(value as u32)
    }

    /// The next bit.
    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.bits(1)? == 1)
    }

    /// The next 8 bits.
    pub(super) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.bits(8)? as u8)
    }

    /// Passes over `count` bits.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), Error> {
        if self.remaining() < count {
            return Err(self.truncated());
        }
        self.position += count;
        Ok(())
    }

    /// An unsigned Exp-Golomb code of at most 32 bits, `ue(v)`.
    pub(super) fn ue(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Error::Invalid { field: "Exp-Golomb prefix", value: zeros });
            }
        }
        let rest = self.bits(zeros as u32)?;
        Ok(((1u64 << zeros) - 1 + u64::from(rest)) as u32)
    }

    /// A signed Exp-Golomb code, `se(v)`.
    pub(super) fn se(&mut self) -> Result<i32, Error> {
        let code = i64::from(self.ue()?);
        let value = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
        Ok(value as i32)
    }

    /// `ue(v)`, refused above `max`.
    pub(super) fn ue_max(&mut self, field: &'static str, max: u32) -> Result<u32, Error> {
        match self.ue()? {
            v if v <= max => Ok(v),
            v => Err(Error::Invalid { field, value: u64::from(v) }),
        }
    }
}

/// The payload of a NAL unit without its emulation prevention bytes (the 3 of each 0, 0, 3).
pub(super) fn unescape(nal_payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal_payload.len());
    let mut zeros = 0;
    for &b in nal_payload {
        if zeros >= 2 && b == 3 {
            zeros = 0;
            continue;
        }
        zeros = if b == 0 { zeros + 1 } else { 0 };
        out.push(b);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_of_the_table_in_h264_9_1() {
        // 1, 010, 011, 00100, 00101 are 0, 1, 2, 3, 4.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1000_0000];
        let mut r = BitReader::new(&bytes, "test");
        for n in 0..5 {
            assert_eq!(r.ue(), Ok(n));
        }
        let mut r = BitReader::new(&bytes, "test");
        for n in [0, 1, -1, 2, -2] {
            assert_eq!(r.se(), Ok(n));
        }
    }

    #[test]
    fn the_end_is_an_error() {
        let mut r = BitReader::new(&[0, 0], "test");
        assert_eq!(r.ue(), Err(Error::Truncated { what: "test" }));
        let mut r = BitReader::new(&[0; 8], "test");
        assert_eq!(r.ue(), Err(Error::Invalid { field: "Exp-Golomb prefix", value: 32 }));
        let mut r = BitReader::new(&[0xff; 4], "test");
        assert_eq!(r.bits(32), Ok(u32::MAX));
        assert_eq!(r.bits(1), Err(Error::Truncated { what: "test" }));
    }

    #[test]
    fn emulation_prevention_goes_away() {
        assert_eq!(unescape(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [1, 0, 0, 1, 0, 0, 0, 0]);
    }
}
