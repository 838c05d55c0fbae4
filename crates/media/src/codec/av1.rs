//! AV1: the AV1CodecConfigurationRecord and the sequence header in it.

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::BitReader;
use super::{Colour, Error, PictureInfo, bounded, dimension};
use crate::grid::FrameRate;

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
const OBU_SEQUENCE_HEADER: u8 = 1;

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
        let header = SequenceHeader::find(obus)?;
        Ok(Av1Config { width: header.width, height: header.height, record })
    }

    /// Makes a record from OBUs with size fields that hold a sequence header (an encoder's extradata, or the first
    /// temporal unit). Only the sequence header is kept.
    ///
    /// # Errors
    /// [`Error`] if there is none or it cannot be read.
    pub fn from_obus(obus: &[u8]) -> Result<Self, Error> {
        let (_, payload) = Obus(obus)
            .find_map(|o| o.map(|(t, p)| (t == OBU_SEQUENCE_HEADER).then_some((t, p))).transpose())
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

    /// Colour and frame rate by the sequence header.
    pub fn picture_info(&self) -> PictureInfo {
        let header = self.record.get(HEAD_BYTES..).and_then(|o| SequenceHeader::find(o).ok());
        header.map_or_else(PictureInfo::default, |h| PictureInfo {
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

/// The OBUs of a temporal unit or record: type and payload of each.
struct Obus<'a>(&'a [u8]);

impl<'a> Iterator for Obus<'a> {
    type Item = Result<(u8, &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        let (&header, mut rest) = rest.split_first()?;
        let cut = || Some(Err(Error::Truncated { what: "an OBU" }));
        if header & 4 != 0 {
            let Some(after) = rest.get(1..) else { return cut() };
            rest = after;
        }
        if header & 2 != 0 {
            let Some((size, after)) = leb128(rest) else { return cut() };
            let Some((payload, next)) = after.split_at_checked(size) else { return cut() };
            self.0 = next;
            rest = payload;
        }
        Some(Ok((header >> 3 & 0xf, rest)))
    }
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
    Obus(obus).map_while(Result::ok).any(|(t, _)| t == OBU_SEQUENCE_HEADER)
}

/// What a sequence header says (AV1 specification 5.5).
#[derive(Clone, Debug, Default)]
struct SequenceHeader {
    profile: u8,
    level: u8,
    tier: bool,
    width: u32,
    height: u32,
    high_bit_depth: bool,
    twelve_bit: bool,
    monochrome: bool,
    subsampling_x: bool,
    subsampling_y: bool,
    chroma_sample_position: u8,
    colour: Option<Colour>,
    frame_rate: Option<FrameRate>,
}

impl SequenceHeader {
    fn find(obus: &[u8]) -> Result<Self, Error> {
        for obu in Obus(obus) {
            if let (OBU_SEQUENCE_HEADER, payload) = obu? {
                return SequenceHeader::parse(payload);
            }
        }
        Err(Error::Missing { what: "sequence header OBU" })
    }

    fn parse(payload: &[u8]) -> Result<Self, Error> {
        let r = &mut BitReader::new(payload, "the sequence header");
        let mut h = SequenceHeader { profile: r.bits(3)? as u8, ..SequenceHeader::default() };
        if h.profile > 2 {
            return Err(Error::Invalid { field: "seq_profile", value: u64::from(h.profile) });
        }
        r.skip(1)?; // still_picture
        let reduced = r.flag()?;
        if reduced {
            h.level = r.bits(5)? as u8;
        } else {
            h.timing_and_operating_points(r)?;
        }
        let width_bits = r.bits(4)? + 1;
        let height_bits = r.bits(4)? + 1;
        h.width = dimension("picture width", u64::from(r.bits(width_bits)?) + 1)?;
        h.height = dimension("picture height", u64::from(r.bits(height_bits)?) + 1)?;
        if !reduced && r.flag()? {
            r.skip(7)?; // lengths of frame ids
        }
        r.skip(3)?; // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
        if !reduced {
            skip_tools(r)?;
        }
        r.skip(3)?; // enable_superres, enable_cdef, enable_restoration
        h.colour_config(r)?;
        Ok(h)
    }

    fn timing_and_operating_points(&mut self, r: &mut BitReader<'_>) -> Result<(), Error> {
        let mut decoder_model_delay_bits = None;
        if r.flag()? {
            let units = r.bits(32)?;
            let scale = r.bits(32)?;
            if r.flag()? {
                let per_picture = uvlc(r)?.saturating_add(1);
                self.frame_rate = units.checked_mul(per_picture).and_then(|den| FrameRate::new(scale, den));
            }
            if r.flag()? {
                decoder_model_delay_bits = Some(r.bits(5)? as usize + 1);
                r.skip(42)?;
            }
        }
        let display_delay = r.flag()?;
        for i in 0..=r.bits(5)? {
            r.skip(12)?; // operating_point_idc
            let level = r.bits(5)? as u8;
            let tier = level > 7 && r.flag()?;
            if i == 0 {
                (self.level, self.tier) = (level, tier);
            }
            if let Some(bits) = decoder_model_delay_bits
                && r.flag()?
            {
                r.skip(2 * bits + 1)?;
            }
            if display_delay && r.flag()? {
                r.skip(4)?;
            }
        }
        Ok(())
    }

    fn colour_config(&mut self, r: &mut BitReader<'_>) -> Result<(), Error> {
        self.high_bit_depth = r.flag()?;
        self.twelve_bit = self.profile == 2 && self.high_bit_depth && r.flag()?;
        self.monochrome = self.profile != 1 && r.flag()?;
        let mut colour = Colour::UNSPECIFIED;
        if r.flag()? {
            (colour.primaries, colour.transfer, colour.matrix) = (r.byte()?, r.byte()?, r.byte()?);
        }
        if self.monochrome {
            colour.full_range = r.flag()?;
            (self.subsampling_x, self.subsampling_y) = (true, true);
        } else if (colour.primaries, colour.transfer, colour.matrix) == (1, 13, 0) {
            colour.full_range = true; // sRGB
        } else {
            colour.full_range = r.flag()?;
            (self.subsampling_x, self.subsampling_y) = match self.profile {
                0 => (true, true),
                1 => (false, false),
                _ if self.twelve_bit => {
                    let x = r.flag()?;
                    (x, x && r.flag()?)
                }
                _ => (true, false),
            };
            if self.subsampling_x && self.subsampling_y {
                self.chroma_sample_position = r.bits(2)? as u8;
            }
        }
        self.colour = colour.if_specified();
        Ok(())
    }
}

/// The tools of a sequence header that is not reduced, from enable_interintra_compound on.
fn skip_tools(r: &mut BitReader<'_>) -> Result<(), Error> {
    r.skip(4)?;
    let order_hint = r.flag()?;
    if order_hint {
        r.skip(2)?;
    }
    let screen_content = r.flag()? || r.flag()?;
    if screen_content && !r.flag()? {
        r.skip(1)?; // seq_force_integer_mv
    }
    if order_hint {
        r.skip(3)?;
    }
    Ok(())
}

/// `uvlc()` (AV1 specification 4.10.3).
fn uvlc(r: &mut BitReader<'_>) -> Result<u32, Error> {
    let mut zeros = 0;
    while !r.flag()? {
        zeros += 1;
        if zeros >= 32 {
            return Ok(u32::MAX);
        }
    }
    Ok(((1u64 << zeros) - 1 + u64::from(r.bits(zeros)?)) as u32)
}
