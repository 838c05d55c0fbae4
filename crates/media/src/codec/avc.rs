//! H.264: the AVCDecoderConfigurationRecord, read and made.

use bytes::{BufMut, Bytes, BytesMut};

use super::avc_sps::{self, AvcSps};
use super::nal::{NalCodec, NalKind, annexb_units};
use super::{Error, PictureInfo, bounded};

/// H.264: an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvcConfig {
    /// The record, the body of `avcC`.
    pub record: Bytes,
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping.
    pub height: u32,
}

impl AvcConfig {
    /// Reads a record: its lengths, and the first sequence parameter set.
    ///
    /// # Errors
    /// [`Error`] if it is no usable record; there must be at least one SPS and one PPS.
    pub fn parse(record: Bytes) -> Result<Self, Error> {
        bounded(&record)?;
        let head = record.first_chunk::<5>().ok_or(Error::Truncated { what: "avcC" })?;
        if head[0] != 1 {
            return Err(Error::Invalid { field: "avcC version", value: u64::from(head[0]) });
        }
        if head[4] & 3 == 2 {
            return Err(Error::Invalid { field: "NAL length size", value: 3 });
        }
        let sets = Sets::parse(&record)?;
        for pps in sets.pps() {
            if NalCodec::Avc.kind(pps) != Some(NalKind::Pps) {
                return Err(Error::Invalid { field: "NAL unit type of the PPS", value: nal_type(pps) });
            }
        }
        sets.pps().next().ok_or(Error::Missing { what: "picture parameter set" })?;
        let sps = avc_sps::parse(sets.sps().next().ok_or(Error::Missing { what: "sequence parameter set" })?)?;
        Ok(AvcConfig { width: sps.width, height: sps.height, record })
    }

    /// Makes a record with 4-byte lengths from parameter set NAL units, without start codes.
    ///
    /// # Errors
    /// [`Error`] if one kind is missing, there are too many of them, or the first SPS cannot be read.
    pub fn from_parameter_sets<S: AsRef<[u8]>, P: AsRef<[u8]>>(sps: &[S], pps: &[P]) -> Result<Self, Error> {
        let first = sps.first().ok_or(Error::Missing { what: "sequence parameter set" })?;
        let facts = avc_sps::parse(first.as_ref())?;
        if sps.len() > 31 {
            return Err(Error::Invalid { field: "number of SPS", value: sps.len() as u64 });
        }
        let pps_count =
            u8::try_from(pps.len()).map_err(|_| Error::Invalid { field: "number of PPS", value: pps.len() as u64 })?;
        let mut out = BytesMut::new();
        out.put_slice(&[1, facts.profile_idc, facts.constraints, facts.level_idc, 0xff, 0xe0 | sps.len() as u8]);
        for set in sps {
            put_set(&mut out, set.as_ref())?;
        }
        out.put_u8(pps_count);
        for set in pps {
            put_set(&mut out, set.as_ref())?;
        }
        if matches!(facts.profile_idc, 100 | 110 | 122 | 144 | 244) {
            out.put_slice(&[
                0xfc | facts.chroma_format_idc,
                0xf8 | facts.bit_depth_luma_minus8,
                0xf8 | facts.bit_depth_chroma_minus8,
                0,
            ]);
        }
        AvcConfig::parse(out.freeze())
    }

    /// Makes a record from the parameter sets in an Annex B byte stream (an encoder's extradata, or an access unit).
    ///
    /// # Errors
    /// As [`AvcConfig::from_parameter_sets`].
    pub fn from_annexb(data: &[u8]) -> Result<Self, Error> {
        let of = |kind| annexb_units(data).filter(move |n| NalCodec::Avc.kind(n) == Some(kind)).collect::<Vec<_>>();
        AvcConfig::from_parameter_sets(&of(NalKind::Sps), &of(NalKind::Pps))
    }

    /// Bytes of the length field before each NAL unit: 1, 2 or 4.
    pub fn nal_length_size(&self) -> u8 {
        self.record.get(4).map_or(4, |b| (b & 3) + 1)
    }

    /// The same configuration for access units with 4-byte lengths.
    pub fn with_four_byte_lengths(&self) -> Self {
        let mut out = BytesMut::from(&self.record[..]);
        if let Some(b) = out.get_mut(4) {
            *b |= 3;
        }
        AvcConfig { record: out.freeze(), ..*self }
    }

    /// The sequence parameter sets, NAL header included.
    pub fn sps(&self) -> impl Iterator<Item = &[u8]> {
        Sets::parse(&self.record).map(|s| s.sps).unwrap_or_default().into_iter()
    }

    /// The picture parameter sets, NAL header included.
    pub fn pps(&self) -> impl Iterator<Item = &[u8]> {
        Sets::parse(&self.record).map(|s| s.pps).unwrap_or_default().into_iter()
    }

    /// `profile_idc`, the constraint flags, and `level_idc` (31 is level 3.1), as the record says them.
    pub fn profile(&self) -> [u8; 3] {
        match self.record.get(1..4) {
            Some(&[profile, flags, level]) => [profile, flags, level],
            _ => [0; 3],
        }
    }

    /// Aspect ratio, colour and frame rate by the first SPS.
    pub fn picture_info(&self) -> PictureInfo {
        self.first_sps().map(|s| s.picture).unwrap_or_default()
    }

    /// RFC 6381: `avc1.` and the profile, constraint and level bytes in hex.
    pub fn rfc6381(&self) -> String {
        let [profile, flags, level] = self.profile();
        format!("avc1.{profile:02x}{flags:02x}{level:02x}")
    }

    fn first_sps(&self) -> Option<AvcSps> {
        avc_sps::parse(self.sps().next()?).ok()
    }
}

fn nal_type(nal: &[u8]) -> u64 {
    u64::from(nal.first().map_or(0, |b| b & 0x1f))
}

fn put_set(out: &mut BytesMut, set: &[u8]) -> Result<(), Error> {
    let length = u16::try_from(set.len())
        .map_err(|_| Error::Invalid { field: "parameter set length", value: set.len() as u64 })?;
    out.put_u16(length);
    out.put_slice(set);
    Ok(())
}

/// The parameter sets of a record.
#[derive(Default)]
struct Sets<'a> {
    sps: Vec<&'a [u8]>,
    pps: Vec<&'a [u8]>,
}

impl<'a> Sets<'a> {
    fn parse(record: &'a [u8]) -> Result<Self, Error> {
        let short = Error::Truncated { what: "avcC" };
        let rest = &mut record.get(5..).ok_or(short)?;
        let count = take_byte(rest).ok_or(short)? & 0x1f;
        let sps = take_sets(rest, count).ok_or(short)?;
        let count = take_byte(rest).ok_or(short)?;
        let pps = take_sets(rest, count).ok_or(short)?;
        Ok(Sets { sps, pps })
    }

    fn sps(&self) -> impl Iterator<Item = &'a [u8]> {
        self.sps.iter().copied()
    }

    fn pps(&self) -> impl Iterator<Item = &'a [u8]> {
        self.pps.iter().copied()
    }
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (&first, after) = rest.split_first()?;
    *rest = after;
    Some(first)
}

fn take_sets<'a>(rest: &mut &'a [u8], count: u8) -> Option<Vec<&'a [u8]>> {
    (0..count).map(|_| super::nal::take_u16_prefixed(rest)).collect()
}
