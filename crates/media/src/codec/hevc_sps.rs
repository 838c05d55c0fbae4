//! The H.265 sequence parameter set (ITU-T H.265 7.3.2.2, E.2.1), as far as the picture's shape and rate, and what slice
//! headers depend on.

use super::avc_sps::{aspect, video_signal};
use super::bits::{BitReader, unescape};
use super::hevc_references::ReferenceSet;
use super::{Error, PictureInfo, dimension};
use crate::grid::FrameRate;

/// Facts of a sequence parameter set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HevcSps {
    pub(super) max_sub_layers: u8,
    pub(super) temporal_id_nested: bool,
    /// general_profile_space to general_level_idc: the 12 bytes that `hvcC` repeats.
    pub(super) profile_tier_level: [u8; 12],
    pub(super) chroma_format_idc: u8,
    pub(super) bit_depth_luma_minus8: u8,
    pub(super) bit_depth_chroma_minus8: u8,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) picture: PictureInfo,
    /// What slice headers depend on, if the set could be followed so far.
    pub(super) coding: Result<Coding, Error>,
}

/// What slice headers depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) id: u32,
    pub(super) separate_planes: bool,
    /// ChromaArrayType is not 0.
    pub(super) has_chroma: bool,
    /// Coding tree blocks of a picture.
    pub(super) blocks: u64,
    pub(super) order_bits: u32,
    pub(super) has_offset: bool,
    pub(super) short_term: Vec<ReferenceSet>,
    /// Whether the current picture uses each of the long-term pictures; none if there are no long-term pictures at all.
    pub(super) long_term: Option<Vec<bool>>,
    pub(super) temporal_vectors: bool,
}

/// Parses a sequence parameter set NAL unit, its two header bytes included.
pub(super) fn parse(nal: &[u8]) -> Result<HevcSps, Error> {
    let (header, payload) = nal.split_first_chunk::<2>().ok_or(Error::Missing { what: "sequence parameter set" })?;
    let nal_type = header[0] >> 1 & 0x3f;
    if nal_type != 33 {
        return Err(Error::Invalid { field: "NAL unit type of the SPS", value: u64::from(nal_type) });
    }
    let rbsp = unescape(payload);
    let r = &mut BitReader::new(&rbsp, "the sequence parameter set");
    r.skip(4)?; // sps_video_parameter_set_id
    let max_sub_layers_minus1 = r.bits(3)? as u8;
    let temporal_id_nested = r.flag()?;
    let profile_tier_level = profile_tier_level(r, max_sub_layers_minus1)?;
    let id = r.ue_max("sps_seq_parameter_set_id", 15)?;
    let chroma_format_idc = r.ue_max("chroma_format_idc", 3)?;
    let separate_planes = chroma_format_idc == 3 && r.flag()?;
    let coded_width = u64::from(r.ue()?);
    let coded_height = u64::from(r.ue()?);
    let crop = if r.flag()? { [r.ue()?, r.ue()?, r.ue()?, r.ue()?] } else { [0; 4] };
    let chroma = if separate_planes { 0 } else { chroma_format_idc };
    let (unit_x, unit_y) = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
    let [left, right, top, bottom] = crop.map(u64::from);
    let width = dimension("picture width", coded_width.saturating_sub((left + right) * unit_x))?;
    let height = dimension("picture height", coded_height.saturating_sub((top + bottom) * unit_y))?;
    let bit_depth_luma_minus8 = r.ue_max("bit_depth_luma_minus8", 8)? as u8;
    let bit_depth_chroma_minus8 = r.ue_max("bit_depth_chroma_minus8", 8)? as u8;
    // The shape is known; what follows only gives hints, so a set that cannot be followed further is still good.
    let shape = Shape { id, separate_planes, has_chroma: chroma != 0, coded: (coded_width, coded_height) };
    let coding = coding(r, max_sub_layers_minus1, shape);
    let picture = coding.as_ref().ok().and_then(|_| hints(r).ok()).unwrap_or_default();
    Ok(HevcSps {
        max_sub_layers: max_sub_layers_minus1 + 1,
        temporal_id_nested,
        profile_tier_level,
        chroma_format_idc: chroma_format_idc as u8,
        bit_depth_luma_minus8,
        bit_depth_chroma_minus8,
        width,
        height,
        picture,
        coding,
    })
}

fn profile_tier_level(r: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Result<[u8; 12], Error> {
    let mut general = [0; 12];
    for b in &mut general {
        *b = r.byte()?;
    }
    if max_sub_layers_minus1 > 0 {
        let mut present = Vec::with_capacity(usize::from(max_sub_layers_minus1));
        for _ in 0..max_sub_layers_minus1 {
            present.push((r.flag()?, r.flag()?));
        }
        r.skip(2 * usize::from(8 - max_sub_layers_minus1))?;
        for (profile, level) in present {
            r.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
        }
    }
    Ok(general)
}

struct Shape {
    id: u32,
    separate_planes: bool,
    has_chroma: bool,
    coded: (u64, u64),
}

/// From `log2_max_pic_order_cnt_lsb_minus4` to `strong_intra_smoothing_enabled_flag`.
fn coding(r: &mut BitReader<'_>, max_sub_layers_minus1: u8, shape: Shape) -> Result<Coding, Error> {
    let order_bits = r.ue_max("log2_max_pic_order_cnt_lsb_minus4", 12)? + 4;
    let first_sub_layer = if r.flag()? { 0 } else { max_sub_layers_minus1 };
    for _ in first_sub_layer..=max_sub_layers_minus1 {
        for _ in 0..3 {
            r.ue()?;
        }
    }
    let least_block = 3 + r.ue_max("log2_min_luma_coding_block_size_minus3", 3)?;
    let block = least_block + r.ue_max("log2_diff_max_min_luma_coding_block_size", 3)?;
    let across = |length: u64| length.div_ceil(1 << block);
    let blocks = across(shape.coded.0).saturating_mul(across(shape.coded.1));
    for _ in 0..4 {
        r.ue()?; // transform block sizes and hierarchy depths
    }
    if r.flag()? && r.flag()? {
        skip_scaling_lists(r)?;
    }
    r.skip(1)?; // amp_enabled_flag
    let has_offset = r.flag()?;
    if r.flag()? {
        r.skip(8)?; // PCM bit depths
        r.ue()?;
        r.ue()?;
        r.skip(1)?;
    }
    let short_term = ReferenceSet::list(r)?;
    let long_term = if r.flag()? {
        let count = r.ue_max("num_long_term_ref_pics_sps", 32)?;
        let each = (0..count).map(|_| r.skip(order_bits as usize).and_then(|()| r.flag()));
        Some(each.collect::<Result<_, _>>()?)
    } else {
        None
    };
    let temporal_vectors = r.flag()?;
    r.skip(1)?; // strong_intra_smoothing_enabled_flag
    let Shape { id, separate_planes, has_chroma, .. } = shape;
    Ok(Coding {
        id,
        separate_planes,
        has_chroma,
        blocks,
        order_bits,
        has_offset,
        short_term,
        long_term,
        temporal_vectors,
    })
}

fn hints(r: &mut BitReader<'_>) -> Result<PictureInfo, Error> {
    if r.flag()? { vui(r) } else { Ok(PictureInfo::default()) }
}

pub(super) fn skip_scaling_lists(r: &mut BitReader<'_>) -> Result<(), Error> {
    for size in 0..4u32 {
        let step = if size == 3 { 3 } else { 1 };
        for _ in (0..6).step_by(step) {
            if !r.flag()? {
                r.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if size > 1 {
                r.se()?; // scaling_list_dc_coef_minus8
            }
            for _ in 0..64.min(1 << (4 + (size << 1))) {
                r.se()?;
            }
        }
    }
    Ok(())
}

fn vui(r: &mut BitReader<'_>) -> Result<PictureInfo, Error> {
    let mut picture = PictureInfo { sample_aspect: aspect(r)?, ..PictureInfo::default() };
    if r.flag()? {
        r.skip(1)?; // overscan_appropriate_flag
    }
    picture.colour = video_signal(r)?;
    if r.flag()? {
        r.ue()?;
        r.ue()?;
    }
    r.skip(1)?; // neutral_chroma_indication_flag
    picture.interlaced = r.flag()?; // field_seq_flag
    r.skip(1)?; // frame_field_info_present_flag
    if r.flag()? {
        for _ in 0..4 {
            r.ue()?; // default display window
        }
    }
    if r.flag()? {
        let units_in_tick = r.bits(32)?;
        let time_scale = r.bits(32)?;
        picture.frame_rate = FrameRate::new(time_scale, units_in_tick);
    }
    Ok(picture)
}
