//! The part of an AV1 frame header that says how coefficients are quantized (AV1 specification 5.9.12 to 5.9.18).

use super::Error;
use super::av1_frame::Facts;
use super::av1_references::SEGMENTS;
use super::bits::BitReader;

/// Bits of each feature of a segment behind its sign, and whether it has one.
const FEATURES: [(u32, bool); 8] =
    [(8, true), (6, true), (6, true), (6, true), (6, true), (3, false), (0, false), (0, false)];

/// What follows from it.
pub(super) struct Quantizer {
    /// Nothing is lost in any segment.
    pub(super) is_lossless: bool,
    /// What each segment adds to the index.
    pub(super) segments: [Option<i32>; SEGMENTS],
}

/// Reads quantization, segmentation and their deltas. `inherited` are the segments of the frame that this one takes its
/// state from, if there is one.
pub(super) fn read(
    r: &mut BitReader<'_>,
    facts: &Facts<'_>,
    inherited: Option<[Option<i32>; SEGMENTS]>,
) -> Result<Quantizer, Error> {
    let base = r.bits(8)?;
    let has_deltas = quantization(r, facts)?;
    let segments = segmentation(r, inherited)?;
    if base > 0 && r.flag()? {
        r.skip(2)?; // delta_q_res
        if !facts.intra_copy && r.flag()? {
            r.skip(3)?; // delta_lf_res, delta_lf_multi
        }
    }
    let index = |segment: &Option<i32>| (base as i32 + segment.unwrap_or(0)).clamp(0, 255);
    Ok(Quantizer { is_lossless: !has_deltas && segments.iter().all(|s| index(s) == 0), segments })
}

/// quantization_params behind `base_q_idx`: whether planes differ from it.
fn quantization(r: &mut BitReader<'_>, facts: &Facts<'_>) -> Result<bool, Error> {
    let mut has_deltas = delta(r)?;
    if !facts.sequence.monochrome {
        let differ = facts.sequence.separate_uv_delta_q && r.flag()?;
        for _ in 0..if differ { 4 } else { 2 } {
            has_deltas |= delta(r)?;
        }
    }
    if r.flag()? {
        r.skip(if facts.sequence.separate_uv_delta_q { 12 } else { 8 })?; // qm_y, qm_u, qm_v
    }
    Ok(has_deltas)
}

/// `read_delta_q`: whether it is another than 0.
fn delta(r: &mut BitReader<'_>) -> Result<bool, Error> {
    Ok(r.flag()? && r.bits(7)? != 0)
}

fn segmentation(
    r: &mut BitReader<'_>,
    inherited: Option<[Option<i32>; SEGMENTS]>,
) -> Result<[Option<i32>; SEGMENTS], Error> {
    let mut segments = [None; SEGMENTS];
    if !r.flag()? {
        return Ok(segments);
    }
    if let Some(inherited) = inherited {
        if r.flag()? {
            r.skip(1)?; // segmentation_temporal_update
        }
        if !r.flag()? {
            return Ok(inherited);
        }
    }
    for segment in &mut segments {
        for (feature, (bits, is_signed)) in FEATURES.into_iter().enumerate() {
            if !r.flag()? {
                continue;
            }
            let value = r.bits(bits + u32::from(is_signed))? as i32;
            if feature == 0 {
                *segment = Some(if value >= 256 { value - 512 } else { value });
            }
        }
    }
    Ok(segments)
}
