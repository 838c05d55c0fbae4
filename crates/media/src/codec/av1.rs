//! AV1: the AV1CodecConfigurationRecord, and OBUs.

use bytes::{BufMut, Bytes, BytesMut};

use super::av1_sequence::SequenceHeader;
use super::{Colour, Error, PictureInfo, bounded};

/// AV1: an AV1CodecConfigurationRecord ("AV1 Codec ISO Media File Format Binding" 2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Av1Config {
    /// The record, the body of `av1C`.
    pub record: Bytes,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// OBU type of a sequence header.
pub(super) const OBU_SEQUENCE_HEADER: u8 = 1;

/// Bytes of the record before its OBUs.
const HEAD_BYTES: usize = 4;

impl Av1Config {
    /// Reads a record; its sequence header must be in it.
    ///
    /// # Errors
    /// [`Error`] if it is no usable record.
    pub fn parse(record: Bytes) -> Result<Self, Error> {
        bounded(&record)?;
        let obus = record.get(HEAD_BYTES..).ok_or(Error::Truncated { what: "av1C" })?;
        let first = *record.first().ok_or(Error::Truncated { what: "av1C" })?;
        if first != 0x81 {
            return Err(Error::Invalid { field: "av1C marker and version", value: u64::from(first) });
        }
        let header = sequence_header(obus)?;
        Ok(Av1Config { width: header.width, height: header.height, record })
    }

    /// Makes a record from OBUs with size fields that hold a sequence header (an encoder's extradata, or the first
    /// temporal unit). Only the sequence header is kept.
    ///
    /// # Errors
    /// [`Error`] if there is none or it cannot be read.
    pub fn from_obus(obus: &[u8]) -> Result<Self, Error> {
        let payload = Obus(obus)
            .find_map(|o| o.map(|o| (o.kind == OBU_SEQUENCE_HEADER).then_some(o.payload)).transpose())
            .ok_or(Error::Missing { what: "sequence header OBU" })??;
        let header = SequenceHeader::parse(payload)?;
        let mut out = BytesMut::with_capacity(HEAD_BYTES + 6 + payload.len());
        out.put_u8(0x81);
        out.put_u8(header.profile << 5 | header.level);
        let flags = [
            header.tier,
            header.high_bit_depth,
            header.twelve_bit,
            header.monochrome,
            header.subsampling_x,
            header.subsampling_y,
        ];
        out.put_u8(flags.iter().fold(0, |n, &f| n << 1 | u8::from(f)) << 2 | header.chroma_sample_position);
        out.put_u8(0); // no initial presentation delay
        out.put_u8(OBU_SEQUENCE_HEADER << 3 | 2);
        put_leb128(&mut out, payload.len());
        out.put_slice(payload);
        Av1Config::parse(out.freeze())
    }

    pub(super) fn sequence_header(&self) -> Result<SequenceHeader, Error> {
        sequence_header(self.record.get(HEAD_BYTES..).unwrap_or_default())
    }

    /// Colour and frame rate by the sequence header.
    pub fn picture_info(&self) -> PictureInfo {
        self.sequence_header().ok().map_or_else(PictureInfo::default, |h| PictureInfo {
            sample_aspect: None,
            colour: h.colour,
            frame_rate: h.frame_rate,
            interlaced: false,
        })
    }

    /// RFC 6381 as the binding's section 5 has it: `av01.0.08M.08`, and the long form where the picture is not
    /// plain 4:2:0 in BT.709.
    pub fn rfc6381(&self) -> String {
        let Some(&[_, profile_level, flags, ..]) = self.record.get(..HEAD_BYTES) else { return "av01".to_owned() };
        let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
        let depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
            (false, _) => 8,
            (true, false) => 10,
            (true, true) => 12,
        };
        let short = format!("av01.{}.{:02}{tier}.{depth:02}", profile_level >> 5, profile_level & 0x1f);
        let monochrome = u8::from(flags & 0x10 != 0);
        let (sub_x, sub_y) = (u8::from(flags & 8 != 0), u8::from(flags & 4 != 0));
        let position = if sub_x == 1 && sub_y == 1 { flags & 3 } else { 0 };
        let colour =
            self.picture_info().colour.unwrap_or(Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false });
        let long = format!(
            ".{monochrome}.{sub_x}{sub_y}{position}.{:02}.{:02}.{:02}.{}",
            colour.primaries,
            colour.transfer,
            colour.matrix,
            u8::from(colour.full_range)
        );
        if long == ".0.110.01.01.01.0" { short } else { short + &long }
    }
}

fn put_leb128(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// An OBU of a temporal unit or record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Obu<'a> {
    pub(super) kind: u8,
    /// temporal_id and spatial_id, where it says them.
    pub(super) layer: Option<(u8, u8)>,
    pub(super) payload: &'a [u8],
    /// Bytes of its header and size field.
    pub(super) head: usize,
}

/// The OBUs of a temporal unit or record.
pub(super) struct Obus<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let all = std::mem::take(&mut self.0);
        let (&header, mut rest) = all.split_first()?;
        let cut = || Some(Err(Error::Truncated { what: "an OBU" }));
        let mut layer = None;
        if header & 4 != 0 {
            let Some((extension, after)) = rest.split_first() else { return cut() };
            (layer, rest) = (Some((extension >> 5, extension >> 3 & 3)), after);
        }
        let mut head = all.len() - rest.len();
        if header & 2 != 0 {
            let Some((size, after)) = leb128(rest) else { return cut() };
            let Some((payload, next)) = after.split_at_checked(size) else { return cut() };
            head = all.len() - after.len();
            self.0 = next;
            rest = payload;
        }
        Some(Ok(Obu { kind: header >> 3 & 0xf, layer, payload: rest, head }))
    }
}

/// The first sequence header among OBUs.
fn sequence_header(obus: &[u8]) -> Result<SequenceHeader, Error> {
    for obu in Obus(obus) {
        let obu = obu?;
        if obu.kind == OBU_SEQUENCE_HEADER {
            return SequenceHeader::parse(obu.payload);
        }
    }
    Err(Error::Missing { what: "sequence header OBU" })
}

fn leb128(data: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (i, &b) in data.iter().take(4).enumerate() {
        value |= usize::from(b & 0x7f) << (7 * i);
        if b & 0x80 == 0 {
            return Some((value, data.get(i + 1..)?));
        }
    }
    None
}

/// Whether a temporal unit of OBUs starts with, or holds, a sequence header: what makes it a random access point.
pub(super) fn has_sequence_header(obus: &[u8]) -> bool {
    Obus(obus).map_while(Result::ok).any(|o| o.kind == OBU_SEQUENCE_HEADER)
}
