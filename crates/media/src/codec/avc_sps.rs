//! The H.264 sequence parameter set (ITU-T H.264 7.3.2.1.1, E.1.1), as far as the picture's shape and rate.
//!
//! Own rather than `h264-reader`'s: that one refuses a set whose size is over its declared level's limit, and
//! encoders in the field declare levels too low. (It is the oracle in this crate's tests.)

use super::bits::{BitReader, unescape};
use super::{Colour, Error, PictureInfo, dimension};
use crate::grid::FrameRate;

/// Facts of a sequence parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AvcSps {
    pub(super) profile_idc: u8,
    pub(super) constraints: u8,
    pub(super) level_idc: u8,
    pub(super) chroma_format_idc: u8,
    pub(super) bit_depth_luma_minus8: u8,
    pub(super) bit_depth_chroma_minus8: u8,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) picture: PictureInfo,
}

/// Whether the profile's parameter sets carry chroma format and bit depths.
pub(super) fn has_chroma_info(profile_idc: u8) -> bool {
    matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// Parses a sequence parameter set NAL unit, header byte included.
pub(super) fn parse(nal: &[u8]) -> Result<AvcSps, Error> {
    let (header, payload) = nal.split_first().ok_or(Error::Missing { what: "sequence parameter set" })?;
    if header & 0x1f != 7 {
        return Err(Error::Invalid { field: "NAL unit type of the SPS", value: u64::from(header & 0x1f) });
    }
    let rbsp = unescape(payload);
    let r = &mut BitReader::new(&rbsp, "the sequence parameter set");
    let profile_idc = r.byte()?;
    let constraints = r.byte()?;
    let level_idc = r.byte()?;
    r.ue_max("seq_parameter_set_id", 31)?;
    let (mut chroma_format_idc, mut separate_planes) = (1, false);
    let (mut bit_depth_luma_minus8, mut bit_depth_chroma_minus8) = (0, 0);
    if has_chroma_info(profile_idc) {
        chroma_format_idc = r.ue_max("chroma_format_idc", 3)?;
        if chroma_format_idc == 3 {
            separate_planes = r.flag()?;
        }
        bit_depth_luma_minus8 = r.ue_max("bit_depth_luma_minus8", 6)?;
        bit_depth_chroma_minus8 = r.ue_max("bit_depth_chroma_minus8", 6)?;
        r.skip(1)?; // qpprime_y_zero_transform_bypass_flag
        if r.flag()? {
            for i in 0..if chroma_format_idc == 3 { 12 } else { 8 } {
                if r.flag()? {
                    skip_scaling_list(r, if i < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    r.ue_max("log2_max_frame_num_minus4", 12)?;
    match r.ue_max("pic_order_cnt_type", 2)? {
        0 => {
            r.ue_max("log2_max_pic_order_cnt_lsb_minus4", 12)?;
        }
        1 => {
            r.skip(1)?; // delta_pic_order_always_zero_flag
            r.se()?;
            r.se()?;
            for _ in 0..r.ue_max("num_ref_frames_in_pic_order_cnt_cycle", 255)? {
                r.se()?;
            }
        }
        _ => {}
    }
    r.ue()?; // max_num_ref_frames
    r.skip(1)?; // gaps_in_frame_num_value_allowed_flag
    let width_mbs = u64::from(r.ue()?) + 1;
    let height_map_units = u64::from(r.ue()?) + 1;
    let frames_only = r.flag()?;
    if !frames_only {
        r.skip(1)?; // mb_adaptive_frame_field_flag
    }
    r.skip(1)?; // direct_8x8_inference_flag
    let crop = if r.flag()? { [r.ue()?, r.ue()?, r.ue()?, r.ue()?] } else { [0; 4] };
    let fields = if frames_only { 1 } else { 2 };
    // Crop units of Table 6-1: chroma samples where there are any, and pairs of lines where there are fields.
    let chroma = if separate_planes { 0 } else { chroma_format_idc };
    let (unit_x, unit_y) = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 } * fields);
    let [left, right, top, bottom] = crop.map(u64::from);
    let width = (width_mbs * 16).saturating_sub((left + right) * unit_x);
    let height = (height_map_units * 16 * fields).saturating_sub((top + bottom) * unit_y);
    let mut picture = if r.flag()? { vui(r)? } else { PictureInfo::default() };
    picture.interlaced = !frames_only;
    Ok(AvcSps {
        profile_idc,
        constraints,
        level_idc,
        chroma_format_idc: chroma_format_idc as u8,
        bit_depth_luma_minus8: bit_depth_luma_minus8 as u8,
        bit_depth_chroma_minus8: bit_depth_chroma_minus8 as u8,
        width: dimension("picture width", width)?,
        height: dimension("picture height", height)?,
        picture,
    })
}

pub(super) fn skip_scaling_list(r: &mut BitReader<'_>, size: u32) -> Result<(), Error> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(r.se()?) & 0xff;
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

/// The VUI up to its timing fields; what follows them does not matter here.
fn vui(r: &mut BitReader<'_>) -> Result<PictureInfo, Error> {
    let mut picture = PictureInfo { sample_aspect: aspect(r)?, ..PictureInfo::default() };
    if r.flag()? {
        r.skip(1)?; // overscan_appropriate_flag
    }
    picture.colour = video_signal(r)?;
    if r.flag()? {
        r.ue()?; // chroma_sample_loc_type_top_field
        r.ue()?;
    }
    if r.flag()? {
        let units_in_tick = r.bits(32)?;
        let time_scale = r.bits(32)?;
        // A tick is a field; two of them are a frame.
        picture.frame_rate = units_in_tick.checked_mul(2).and_then(|den| FrameRate::new(time_scale, den));
    }
    Ok(picture)
}

/// `aspect_ratio_info` of AVC and HEVC alike.
pub(super) fn aspect(r: &mut BitReader<'_>) -> Result<Option<(u16, u16)>, Error> {
    const TABLE: [(u16, u16); 16] = [
        (1, 1),
        (12, 11),
        (10, 11),
        (16, 11),
        (40, 33),
        (24, 11),
        (20, 11),
        (32, 11),
        (80, 33),
        (18, 11),
        (15, 11),
        (64, 33),
        (160, 99),
        (4, 3),
        (3, 2),
        (2, 1),
    ];
    if !r.flag()? {
        return Ok(None);
    }
    let idc = r.byte()?;
    if idc == 255 {
        let (w, h) = (r.bits(16)? as u16, r.bits(16)? as u16);
        return Ok((w != 0 && h != 0).then_some((w, h)));
    }
    Ok(usize::from(idc).checked_sub(1).and_then(|i| TABLE.get(i)).copied())
}

/// `video_signal_type` of AVC and HEVC alike.
pub(super) fn video_signal(r: &mut BitReader<'_>) -> Result<Option<Colour>, Error> {
    if !r.flag()? {
        return Ok(None);
    }
    r.skip(3)?; // video_format
    let full_range = r.flag()?;
    let mut colour = Colour { full_range, ..Colour::UNSPECIFIED };
    if r.flag()? {
        (colour.primaries, colour.transfer, colour.matrix) = (r.byte()?, r.byte()?, r.byte()?);
    }
    Ok(colour.if_specified())
}
