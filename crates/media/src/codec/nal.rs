//! NAL units of AVC and HEVC access units: length-prefixed and Annex B, their kinds, and the ways between.

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;

/// Whose NAL unit headers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalCodec {
    /// H.264, one header byte.
    Avc,
    /// H.265, two header bytes.
    Hevc,
}

/// What a NAL unit holds, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalKind {
    /// A slice of a picture that is no random access point.
    Slice,
    /// A slice of a picture at which decoding can start: IDR; for HEVC also CRA and BLA (types 16 to 21).
    RandomAccess,
    /// Supplemental enhancement information.
    Sei,
    /// Video parameter set (HEVC).
    Vps,
    /// Sequence parameter set.
    Sps,
    /// Picture parameter set.
    Pps,
    /// Access unit delimiter.
    Aud,
    /// Filler data.
    Filler,
    /// Anything else, by its `nal_unit_type`.
    Other(u8),
}

impl NalCodec {
    /// The kind of a NAL unit; `None` if it is empty.
    pub fn kind(self, nal: &[u8]) -> Option<NalKind> {
        let first = *nal.first()?;
        Some(match self {
            NalCodec::Avc => match first & 0x1f {
                1..=4 => NalKind::Slice,
                5 => NalKind::RandomAccess,
                6 => NalKind::Sei,
                7 => NalKind::Sps,
                8 => NalKind::Pps,
                9 => NalKind::Aud,
                12 => NalKind::Filler,
                t => NalKind::Other(t),
            },
            NalCodec::Hevc => match first >> 1 & 0x3f {
                0..=9 => NalKind::Slice,
                16..=21 => NalKind::RandomAccess,
                32 => NalKind::Vps,
                33 => NalKind::Sps,
                34 => NalKind::Pps,
                35 => NalKind::Aud,
                38 => NalKind::Filler,
                39 | 40 => NalKind::Sei,
                t => NalKind::Other(t),
            },
        })
    }
}

impl NalKind {
    /// A parameter set (VPS, SPS, PPS).
    pub fn is_parameter_set(self) -> bool {
        matches!(self, NalKind::Vps | NalKind::Sps | NalKind::Pps)
    }
}

/// What is left out when an access unit is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strip {
    /// Everything stays.
    Nothing,
    /// Parameter sets and access unit delimiters go (they are in the sample entry, or say nothing).
    ParameterSets,
    /// As [`Strip::ParameterSets`], and filler data too.
    ParameterSetsAndFiller,
}

impl Strip {
    fn keeps(self, kind: NalKind) -> bool {
        match self {
            Strip::Nothing => true,
            Strip::ParameterSets => !kind.is_parameter_set() && kind != NalKind::Aud,
            Strip::ParameterSetsAndFiller => {
                !kind.is_parameter_set() && kind != NalKind::Aud && kind != NalKind::Filler
            }
        }
    }
}

/// The NAL units of a length-prefixed access unit. Empty units are passed over. After an error it ends.
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
    length_size: usize,
}

/// Iterates over the NAL units of an access unit whose length fields have `length_size` bytes (1, 2 or 4).
pub fn units(access_unit: &[u8], length_size: u8) -> NalUnits<'_> {
    NalUnits { rest: access_unit, length_size: usize::from(length_size.clamp(1, 4)) }
}

impl NalUnits<'_> {
    /// Bytes behind the unit that was given last.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let rest = std::mem::take(&mut self.rest);
            let Some((prefix, body)) = rest.split_at_checked(self.length_size) else {
                return Some(Err(Error::Truncated { what: "a NAL unit's length" }));
            };
            let length = prefix.iter().fold(0usize, |n, &b| n << 8 | usize::from(b));
            let Some((nal, after)) = body.split_at_checked(length) else {
                return Some(Err(Error::Truncated { what: "a NAL unit" }));
            };
            self.rest = after;
            if !nal.is_empty() {
                return Some(Ok(nal));
            }
        }
    }
}

/// Whether the access unit holds a random access picture. False for bytes that are no access unit.
pub fn is_random_access(access_unit: &[u8], length_size: u8, codec: NalCodec) -> bool {
    units(access_unit, length_size).map_while(Result::ok).any(|n| codec.kind(n) == Some(NalKind::RandomAccess))
}

/// Rewrites a length-prefixed access unit with 4-byte lengths, leaving out what `strip` names. Where nothing changes
/// the bytes are shared, not copied.
///
/// # Errors
/// [`Error`] if the lengths do not fit the bytes.
pub fn to_four_byte_lengths(
    access_unit: &Bytes,
    length_size: u8,
    codec: NalCodec,
    strip: Strip,
) -> Result<Bytes, Error> {
    let mut kept = 0;
    let mut dropped = false;
    for nal in units(access_unit, length_size) {
        let nal = nal?;
        if codec.kind(nal).is_some_and(|k| strip.keeps(k)) {
            kept += 4 + nal.len();
        } else {
            dropped = true;
        }
    }
    if length_size == 4 && !dropped && kept == access_unit.len() {
        return Ok(access_unit.clone());
    }
    let mut out = BytesMut::with_capacity(kept);
    for nal in units(access_unit, length_size) {
        put_unit(&mut out, nal?, codec, strip);
    }
    Ok(out.freeze())
}

/// The NAL units of an Annex B byte stream (each behind 0, 0, 1), trailing zero bytes removed.
pub fn annexb_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = next_start_code(data, 0).map(|c| c + 3);
    std::iter::from_fn(move || {
        loop {
            let start = at?;
            let end = next_start_code(data, start);
            at = end.map(|c| c + 3);
            let mut nal = data.get(start..end.unwrap_or(data.len()))?;
            while let Some((0, head)) = nal.split_last() {
                nal = head;
            }
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    })
}

/// An Annex B access unit with 4-byte lengths in place of start codes, leaving out what `strip` names.
///
/// # Errors
/// [`Error::Missing`] if there is no start code.
pub fn annexb_to_length_prefixed(data: &[u8], codec: NalCodec, strip: Strip) -> Result<Bytes, Error> {
    let mut out = BytesMut::with_capacity(data.len() + 16);
    let mut any = false;
    for nal in annexb_units(data) {
        any = true;
        put_unit(&mut out, nal, codec, strip);
    }
    if any { Ok(out.freeze()) } else { Err(Error::Missing { what: "Annex B start code" }) }
}

/// A length-prefixed access unit as an Annex B byte stream, for decoders that want one.
///
/// # Errors
/// [`Error`] if the lengths do not fit the bytes.
pub fn length_prefixed_to_annexb(access_unit: &[u8], length_size: u8) -> Result<Bytes, Error> {
    let mut out = BytesMut::with_capacity(access_unit.len() + 16);
    for nal in units(access_unit, length_size) {
        out.put_u32(1);
        out.put_slice(nal?);
    }
    Ok(out.freeze())
}

/// Takes a block behind a 16-bit length off the front of `rest`, as configuration records hold parameter sets.
pub(super) fn take_u16_prefixed<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (prefix, body) = rest.split_first_chunk::<2>()?;
    let (block, after) = body.split_at_checked(usize::from(u16::from_be_bytes(*prefix)))?;
    *rest = after;
    Some(block)
}

fn put_unit(out: &mut BytesMut, nal: &[u8], codec: NalCodec, strip: Strip) {
    if codec.kind(nal).is_some_and(|k| strip.keeps(k)) {
        out.put_u32(nal.len() as u32);
        out.put_slice(nal);
    }
}

/// Position of the next 0, 0, 1 at or after `from`.
fn next_start_code(data: &[u8], from: usize) -> Option<usize> {
    // Look at the third byte first: above 1 it cannot be part of a start code, so three bytes are passed at once.
    let mut i = from;
    while let Some(&[a, b, c]) = data.get(i..i + 3) {
        match c {
            2.. => i += 3,
            1 if a == 0 && b == 0 => return Some(i),
            1 => i += 3,
            0 => i += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annex_b_becomes_lengths_and_back() {
        let stream = [0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x65, 0, 0, 3, 1, 0, 0];
        let all = annexb_to_length_prefixed(&stream, NalCodec::Avc, Strip::Nothing).unwrap();
        assert_eq!(&all[..], [0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 3, 0x67, 1, 2, 0, 0, 0, 5, 0x65, 0, 0, 3, 1]);
        let bare = annexb_to_length_prefixed(&stream, NalCodec::Avc, Strip::ParameterSets).unwrap();
        assert_eq!(&bare[..], [0, 0, 0, 5, 0x65, 0, 0, 3, 1]);
        assert!(is_random_access(&bare, 4, NalCodec::Avc));
        let back = length_prefixed_to_annexb(&all, 4).unwrap();
        assert_eq!(annexb_to_length_prefixed(&back, NalCodec::Avc, Strip::Nothing).unwrap(), all);
        assert!(annexb_to_length_prefixed(&[1, 2, 3], NalCodec::Avc, Strip::Nothing).is_err());
    }

    #[test]
    fn lengths_that_lie_are_an_error() {
        for (bytes, size) in [(&[0, 0, 0, 9, 1][..], 4), (&[0, 0, 0][..], 4), (&[2, 1][..], 1), (&[0][..], 2)] {
            assert!(units(bytes, size).any(|n| n.is_err()), "{bytes:?}");
            assert!(!is_random_access(bytes, size, NalCodec::Avc));
        }
        // Empty units are passed over, and an error is the last item.
        assert_eq!(units(&[0, 0, 1, 7, 0], 1).collect::<Vec<_>>(), [Ok(&[7u8][..])]);
        assert_eq!(units(&[9, 1, 1], 1).count(), 1);
    }

    #[test]
    fn other_length_sizes_become_four() {
        let two = Bytes::from_static(&[0, 2, 0x68, 1, 0, 1, 0x41]);
        let four = to_four_byte_lengths(&two, 2, NalCodec::Avc, Strip::Nothing).unwrap();
        assert_eq!(&four[..], [0, 0, 0, 2, 0x68, 1, 0, 0, 0, 1, 0x41]);
        let same = to_four_byte_lengths(&four, 4, NalCodec::Avc, Strip::Nothing).unwrap();
        assert_eq!(same.as_ptr(), four.as_ptr());
        let bare = to_four_byte_lengths(&four, 4, NalCodec::Avc, Strip::ParameterSets).unwrap();
        assert_eq!(&bare[..], [0, 0, 0, 1, 0x41]);
    }

    #[test]
    fn kinds_of_both_codecs() {
        for (codec, byte, kind) in [
            (NalCodec::Avc, 0x67, NalKind::Sps),
            (NalCodec::Avc, 0x68, NalKind::Pps),
            (NalCodec::Avc, 0x06, NalKind::Sei),
            (NalCodec::Avc, 0x41, NalKind::Slice),
            (NalCodec::Hevc, 0x40, NalKind::Vps),
            (NalCodec::Hevc, 0x42, NalKind::Sps),
            (NalCodec::Hevc, 0x44, NalKind::Pps),
            (NalCodec::Hevc, 0x26, NalKind::RandomAccess),
            (NalCodec::Hevc, 0x02, NalKind::Slice),
            (NalCodec::Hevc, 0x46, NalKind::Aud),
        ] {
            assert_eq!(codec.kind(&[byte, 1]), Some(kind));
        }
        assert_eq!(NalCodec::Avc.kind(&[]), None);
    }
}
