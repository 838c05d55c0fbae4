//! The end of an AV1 frame header: filters, global motion and film grain (AV1 specification 5.9.11, 5.9.19 to 5.9.30). It
//! is passed over, no more.

use super::Error;
use super::av1_frame::{Facts, non_symmetric};
use super::bits::BitReader;

/// loop_filter_params, cdef_params, lr_params and read_tx_mode.
pub(super) fn filters(r: &mut BitReader<'_>, facts: &Facts<'_>, is_lossless: bool) -> Result<(), Error> {
    let sequence = facts.sequence;
    let has_chroma = !sequence.monochrome;
    if !is_lossless && !facts.intra_copy {
        let levels = (r.bits(6)?, r.bits(6)?);
        if has_chroma && levels != (0, 0) {
            r.skip(12)?;
        }
        r.skip(3)?; // loop_filter_sharpness
        if r.flag()? && r.flag()? {
            // Eight references, and two modes.
            for _ in 0..10 {
                if r.flag()? {
                    r.skip(7)?;
                }
            }
        }
        if sequence.cdef {
            r.skip(2)?; // cdef_damping_minus_3
            let strengths = 1 << r.bits(2)?;
            r.skip(strengths * if has_chroma { 12 } else { 6 })?;
        }
    }
    let restores = sequence.restoration && !facts.intra_copy && (!is_lossless || facts.is_scaled);
    if restores {
        restoration(r, facts)?;
    }
    if !is_lossless {
        r.skip(1)?; // tx_mode_select
    }
    Ok(())
}

fn restoration(r: &mut BitReader<'_>, facts: &Facts<'_>) -> Result<(), Error> {
    let sequence = facts.sequence;
    let luma = r.bits(2)? != 0;
    let mut chroma = false;
    if !sequence.monochrome {
        chroma = r.bits(4)? != 0;
    }
    if luma || chroma {
        let shifts = r.flag()?;
        if shifts && !sequence.superblock_128 {
            r.skip(1)?; // lr_unit_extra_shift
        }
        if chroma && sequence.subsampling_x && sequence.subsampling_y {
            r.skip(1)?; // lr_uv_shift
        }
    }
    Ok(())
}

/// From skip_mode_present to the film grain.
pub(super) fn read(r: &mut BitReader<'_>, facts: &Facts<'_>) -> Result<(), Error> {
    if facts.skip_mode {
        r.skip(1)?;
    }
    if !facts.is_intra && !facts.error_resilient && facts.sequence.warped_motion {
        r.skip(1)?; // allow_warped_motion
    }
    r.skip(1)?; // reduced_tx_set
    if !facts.is_intra {
        global_motion(r, facts.precise_vectors)?;
    }
    if facts.sequence.film_grain && facts.is_showable { film_grain(r, facts) } else { Ok(()) }
}

fn global_motion(r: &mut BitReader<'_>, precise_vectors: bool) -> Result<(), Error> {
    /// Bits of the values of rotation and zoom, and of a shift with them.
    const BITS: u32 = 12;
    // Of a shift alone.
    let shift_bits = if precise_vectors { 9 } else { 8 };
    for _ in 0..super::av1_references::REFERENCES {
        if !r.flag()? {
            continue;
        }
        let (others, shift) = if r.flag()? {
            (2, BITS)
        } else if r.flag()? {
            (0, shift_bits)
        } else {
            (4, BITS)
        };
        for bits in std::iter::repeat_n(BITS, others).chain([shift; 2]) {
            skip_exponential(r, 2 * (1 << bits) + 1)?;
        }
    }
    Ok(())
}

/// decode_subexp (5.9.28): its length does not depend on what the value is told from.
fn skip_exponential(r: &mut BitReader<'_>, count: u32) -> Result<(), Error> {
    let (mut bits, mut least) = (3, 0);
    for step in 0.. {
        if step > 1 {
            bits += 1;
        }
        let range = 1 << bits;
        if count <= least + 3 * range {
            non_symmetric(r, count - least)?;
            return Ok(());
        }
        if !r.flag()? {
            return r.skip(bits);
        }
        least += range;
    }
    Ok(())
}

fn film_grain(r: &mut BitReader<'_>, facts: &Facts<'_>) -> Result<(), Error> {
    let sequence = facts.sequence;
    if !r.flag()? {
        return Ok(());
    }
    r.skip(16)?; // grain_seed
    if facts.is_inter_type && !r.flag()? {
        return r.skip(3); // film_grain_params_ref_idx
    }
    let luma = points(r, true)?;
    let from_luma = !sequence.monochrome && r.flag()?;
    let quarter = sequence.subsampling_x && sequence.subsampling_y;
    let has_chroma = !(sequence.monochrome || from_luma || quarter && luma == 0);
    let (cb, cr) = (points(r, has_chroma)?, points(r, has_chroma)?);
    r.skip(2)?; // grain_scaling_minus_8
    let lag = r.bits(2)? as usize;
    let of_luma = 2 * lag * (lag + 1);
    let of_chroma = of_luma + usize::from(luma > 0);
    let mut coefficients = if luma > 0 { of_luma } else { 0 };
    for points in [cb, cr] {
        coefficients += if from_luma || points > 0 { of_chroma } else { 0 };
    }
    r.skip(8 * coefficients)?;
    r.skip(4)?; // ar_coeff_shift_minus_6, grain_scale_shift
    for points in [cb, cr] {
        r.skip(if points > 0 { 25 } else { 0 })?;
    }
    r.skip(2) // overlap_flag, clip_to_restricted_range
}

/// Points of a curve: how many there are.
fn points(r: &mut BitReader<'_>, is_there: bool) -> Result<usize, Error> {
    let count = if is_there { r.bits(4)? as usize } else { 0 };
    r.skip(16 * count)?;
    Ok(count)
}
