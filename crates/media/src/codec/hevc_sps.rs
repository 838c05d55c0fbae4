//! The H.265 sequence parameter set (ITU-T H.265 7.3.2.2, E.2.1), as far as the picture's shape and rate.

use super::avc_sps::{aspect, video_signal};
use super::bits::{BitReader, unescape};
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
    r.ue_max("sps_seq_parameter_set_id", 15)?;
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
    let picture = hints(r, max_sub_layers_minus1).unwrap_or_default();
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

/// From `log2_max_pic_order_cnt_lsb_minus4` to the VUI's timing fields.
fn hints(r: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Result<PictureInfo, Error> {
    let log2_max_poc_lsb = r.ue_max("log2_max_pic_order_cnt_lsb_minus4", 12)? + 4;
    let first_sub_layer = if r.flag()? { 0 } else { max_sub_layers_minus1 };
    for _ in first_sub_layer..=max_sub_layers_minus1 {
        for _ in 0..3 {
            r.ue()?;
        }
    }
    for _ in 0..6 {
        r.ue()?; // block sizes and transform hierarchy depths
    }
    if r.flag()? && r.flag()? {
        skip_scaling_lists(r)?;
    }
    r.skip(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if r.flag()? {
        r.skip(8)?; // PCM bit depths
        r.ue()?;
        r.ue()?;
        r.skip(1)?;
    }
    skip_short_term_sets(r)?;
    if r.flag()? {
        for _ in 0..r.ue_max("num_long_term_ref_pics_sps", 32)? {
            r.skip(log2_max_poc_lsb as usize + 1)?;
        }
    }
    r.skip(2)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    if r.flag()? { vui(r) } else { Ok(PictureInfo::default()) }
}

fn skip_scaling_lists(r: &mut BitReader<'_>) -> Result<(), Error> {
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

/// Most pictures in a short-term set (sps_max_dec_pic_buffering_minus1 is at most 15, for either direction).
const MAX_SHORT_TERM: usize = 32;

/// Passes over the short-term reference picture sets (7.3.7, 7.4.8). Each may be told by its difference from the one
/// before, so what they hold must be followed to know how long they are.
fn skip_short_term_sets(r: &mut BitReader<'_>) -> Result<(), Error> {
    let count = r.ue_max("num_short_term_ref_pic_sets", 64)?;
    let mut set = Vec::new();
    for i in 0..count {
        set = if i > 0 && r.flag()? { predicted_set(r, &set)? } else { explicit_set(r)? };
        if set.len() > MAX_SHORT_TERM {
            return Err(Error::Invalid { field: "short-term reference pictures", value: set.len() as u64 });
        }
    }
    Ok(())
}

/// Distances in picture order count, the past from near to far, then the future from near to far.
fn explicit_set(r: &mut BitReader<'_>) -> Result<Vec<i64>, Error> {
    let negative = r.ue_max("num_negative_pics", 16)?;
    let positive = r.ue_max("num_positive_pics", 16)?;
    let mut set = Vec::new();
    for (pictures, direction) in [(negative, -1), (positive, 1)] {
        let mut distance = 0;
        for _ in 0..pictures {
            distance += direction * (i64::from(r.ue()?) + 1);
            set.push(distance);
            r.skip(1)?; // used_by_curr_pic_flag
        }
    }
    Ok(set)
}

/// The set before, moved by a distance; pictures may be left out, and the one it was told of may be added.
fn predicted_set(r: &mut BitReader<'_>, before: &[i64]) -> Result<Vec<i64>, Error> {
    let backwards = r.flag()?;
    let distance = i64::from(r.ue()?) + 1;
    let moved_by = if backwards { -distance } else { distance };
    let mut set = Vec::new();
    for picture in before.iter().copied().chain([0]) {
        // used_by_curr_pic_flag, and use_delta_flag where that is 0
        let stays = r.flag()? || r.flag()?;
        if stays && picture + moved_by != 0 {
            set.push(picture + moved_by);
        }
    }
    set.sort_unstable_by_key(|&p| (p > 0, p.abs()));
    Ok(set)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits as a text of 0 and 1; spaces are passed over.
    fn bits(text: &str) -> Vec<u8> {
        let ones: Vec<u8> = text.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
        ones.chunks(8).map(|c| c.iter().enumerate().fold(0, |n, (i, b)| n | b << (7 - i))).collect()
    }

    /// Hardware encoders tell a set by the one before it: it must be followed, or the VUI behind it is misread.
    #[test]
    fn predicted_reference_sets_are_followed() {
        for (name, sets) in [
            // ue: 1 = 0, 010 = 1, 011 = 2, 00100 = 3.
            ("none", "1"),
            // One set: one picture back.
            ("explicit", "010  010 1  1 1"),
            // Second set: the first moved by -1, both pictures kept (one of them by use_delta_flag): two pictures.
            // Third set, from the second: three flags.
            ("predicted", "00100  010 1 1 1  1 1 1  1 01  1 1 1  1 1 1"),
            // The first set moved by +1 falls on the picture itself, which is none: one picture (the one ahead).
            ("onto itself", "00100  010 1 1 1  1 0 1  1 1  1 1 1  1 1"),
            // use_delta_flag 0 leaves a picture out.
            ("left out", "00100  010 1 1 1  1 1 1  00 1  1 1 1  1 1"),
        ] {
            let mut r = [sets, "10110011100011110000"].concat();
            r.retain(|c| c != ' ');
            let bytes = bits(&r);
            let reader = &mut BitReader::new(&bytes, "test");
            skip_short_term_sets(reader).unwrap();
            assert_eq!(reader.bits(20), Ok(0b1011_0011_1000_1111_0000), "{name}");
        }
    }
}
