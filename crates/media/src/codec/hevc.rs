//! H.265: the HEVCDecoderConfigurationRecord, read and made.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};

use super::hevc_sps::{self, HevcSps};
use super::nal::{NalCodec, NalKind, annexb_units, take_u16_prefixed};
use super::{Error, PictureInfo, bounded};

/// Parameter set NAL unit types, in the order in which records list them.
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;

/// Bytes before the arrays of NAL units.
const HEAD_BYTES: usize = 23;

/// H.265: an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 8.3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HevcConfig {
    /// The record, the body of `hvcC`.
    pub record: Bytes,
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping.
    pub height: u32,
}

impl HevcConfig {
    /// Reads a record: its lengths, and the first sequence parameter set.
    ///
    /// # Errors
    /// [`Error`] if it is no usable record; there must be an SPS.
    pub fn parse(record: Bytes) -> Result<Self, Error> {
        bounded(&record)?;
        let version = *record.first().ok_or(Error::Truncated { what: "hvcC" })?;
        if version != 1 {
            return Err(Error::Invalid { field: "hvcC version", value: u64::from(version) });
        }
        if record.get(21).is_some_and(|b| b & 3 == 2) {
            return Err(Error::Invalid { field: "NAL length size", value: 3 });
        }
        let sets = parameter_sets(&record).ok_or(Error::Truncated { what: "hvcC" })?;
        let (_, sps) = sets.iter().find(|(t, _)| *t == SPS).ok_or(Error::Missing { what: "sequence parameter set" })?;
        let sps = hevc_sps::parse(sps)?;
        Ok(HevcConfig { width: sps.width, height: sps.height, record })
    }

    /// Makes a record with 4-byte lengths from parameter set NAL units, without start codes.
    ///
    /// # Errors
    /// [`Error`] if a kind is missing or the first SPS cannot be read.
    pub fn from_parameter_sets<V: AsRef<[u8]>, S: AsRef<[u8]>, P: AsRef<[u8]>>(
        vps: &[V],
        sps: &[S],
        pps: &[P],
    ) -> Result<Self, Error> {
        let first = sps.first().ok_or(Error::Missing { what: "sequence parameter set" })?;
        let facts = hevc_sps::parse(first.as_ref())?;
        let mut out = BytesMut::new();
        put_head(&mut out, &facts);
        put_array(&mut out, VPS, vps)?;
        put_array(&mut out, SPS, sps)?;
        put_array(&mut out, PPS, pps)?;
        HevcConfig::parse(out.freeze())
    }

    /// Makes a record from the parameter sets in an Annex B byte stream.
    ///
    /// # Errors
    /// As [`HevcConfig::from_parameter_sets`].
    pub fn from_annexb(data: &[u8]) -> Result<Self, Error> {
        let of = |kind| annexb_units(data).filter(move |n| NalCodec::Hevc.kind(n) == Some(kind)).collect::<Vec<_>>();
        HevcConfig::from_parameter_sets(&of(NalKind::Vps), &of(NalKind::Sps), &of(NalKind::Pps))
    }

    /// Bytes of the length field before each NAL unit: 1, 2 or 4.
    pub fn nal_length_size(&self) -> u8 {
        self.record.get(21).map_or(4, |b| (b & 3) + 1)
    }

    /// The same configuration for access units with 4-byte lengths.
    pub fn with_four_byte_lengths(&self) -> Self {
        let mut out = BytesMut::from(&self.record[..]);
        if let Some(b) = out.get_mut(21) {
            *b |= 3;
        }
        HevcConfig { record: out.freeze(), ..*self }
    }

    /// The parameter sets (VPS, SPS, PPS, and SEI if there are any) in the record's order, NAL header included.
    pub fn parameter_sets(&self) -> impl Iterator<Item = &[u8]> {
        parameter_sets(&self.record).unwrap_or_default().into_iter().map(|(_, nal)| nal)
    }

    /// Aspect ratio, colour and frame rate by the first SPS.
    pub fn picture_info(&self) -> PictureInfo {
        let sps = self.parameter_sets().find(|n| NalCodec::Hevc.kind(n) == Some(NalKind::Sps));
        sps.and_then(|n| hevc_sps::parse(n).ok()).map(|s| s.picture).unwrap_or_default()
    }

    /// RFC 6381 as ISO/IEC 14496-15 Annex E has it: `hvc1.1.6.L93.B0`.
    pub fn rfc6381(&self) -> String {
        let Some(general) = self.record.get(1..13) else { return "hvc1".to_owned() };
        let (profile, rest) = (general[0], &general[1..]);
        let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
        let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
        let compatibility = rest.iter().take(4).fold(0u32, |n, &b| n << 8 | u32::from(b)).reverse_bits();
        let mut text = format!("hvc1.{space}{}.{compatibility:X}.{tier}{}", profile & 0x1f, general[11]);
        for byte in without_trailing_zeros(&general[5..11]) {
            // Writing to a String cannot fail.
            let _ = write!(text, ".{byte:X}");
        }
        text
    }
}

fn without_trailing_zeros(mut bytes: &[u8]) -> &[u8] {
    while let [head @ .., 0] = bytes {
        bytes = head;
    }
    bytes
}

/// The record's NAL units with the type of the array they are in; `None` if the lengths do not fit.
fn parameter_sets(record: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let arrays = *record.get(HEAD_BYTES - 1)?;
    let mut rest = record.get(HEAD_BYTES..)?;
    let mut sets = Vec::new();
    for _ in 0..arrays {
        let (head, after) = rest.split_first_chunk::<3>()?;
        rest = after;
        for _ in 0..u16::from_be_bytes([head[1], head[2]]) {
            sets.push((head[0] & 0x3f, take_u16_prefixed(&mut rest)?));
        }
    }
    Some(sets)
}

fn put_head(out: &mut BytesMut, sps: &HevcSps) {
    out.put_u8(1);
    out.put_slice(&sps.profile_tier_level);
    out.put_slice(&[0xf0, 0]); // min_spatial_segmentation_idc 0
    out.put_u8(0xfc); // parallelismType unknown
    out.put_u8(0xfc | sps.chroma_format_idc);
    out.put_u8(0xf8 | (sps.bit_depth_luma_minus8 & 7));
    out.put_u8(0xf8 | (sps.bit_depth_chroma_minus8 & 7));
    out.put_u16(0); // avgFrameRate unspecified
    out.put_u8(sps.max_sub_layers << 3 | u8::from(sps.temporal_id_nested) << 2 | 3);
    out.put_u8(3); // arrays
}

fn put_array<N: AsRef<[u8]>>(out: &mut BytesMut, nal_type: u8, units: &[N]) -> Result<(), Error> {
    if units.is_empty() {
        return Err(Error::Missing { what: "parameter set" });
    }
    let too_long = |value: usize| Error::Invalid { field: "parameter sets", value: value as u64 };
    out.put_u8(0x80 | nal_type); // array_completeness: all of them are here, as hvc1 wants
    out.put_u16(u16::try_from(units.len()).map_err(|_| too_long(units.len()))?);
    for unit in units {
        let unit = unit.as_ref();
        out.put_u16(u16::try_from(unit.len()).map_err(|_| too_long(unit.len()))?);
        out.put_slice(unit);
    }
    Ok(())
}
