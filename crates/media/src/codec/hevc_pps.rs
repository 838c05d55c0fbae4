//! The H.265 picture parameter set (ITU-T H.265 7.3.2.3), as far as slice headers depend on it.

use super::Error;
use super::bits::{BitReader, unescape};
use super::hevc_sps::skip_scaling_lists;

/// Facts of a picture parameter set.
#[derive(Clone, Debug)]
pub(super) struct Pps {
    pub(super) id: u32,
    pub(super) sps: u32,
    pub(super) dependent_slices: bool,
    pub(super) output_flag: bool,
    pub(super) extra_bits: u32,
    pub(super) cabac_init: bool,
    /// Default numbers of reference pictures, less one.
    pub(super) references: [u32; 2],
    pub(super) chroma_offsets: bool,
    pub(super) weighted: bool,
    pub(super) weighted_bi: bool,
    /// Tiles, or rows that are coded side by side: slices say where each begins.
    pub(super) entry_points: bool,
    pub(super) filters_across: bool,
    pub(super) deblocking_override: bool,
    pub(super) deblocks: bool,
    pub(super) modifies_lists: bool,
    pub(super) header_extension: bool,
    pub(super) chroma_offset_list: bool,
}

impl Pps {
    /// Parses a NAL unit, its two header bytes included.
    pub(super) fn parse(nal: &[u8]) -> Result<Self, Error> {
        let rbsp = unescape(nal.get(2..).unwrap_or_default());
        let r = &mut BitReader::new(&rbsp, "the picture parameter set");
        let id = r.ue_max("pps_pic_parameter_set_id", 63)?;
        let sps = r.ue_max("pps_seq_parameter_set_id", 15)?;
        let dependent_slices = r.flag()?;
        let output_flag = r.flag()?;
        let extra_bits = r.bits(3)?;
        r.skip(1)?; // sign_data_hiding_enabled_flag
        let cabac_init = r.flag()?;
        let references = [
            r.ue_max("num_ref_idx_l0_default_active_minus1", 14)?,
            r.ue_max("num_ref_idx_l1_default_active_minus1", 14)?,
        ];
        r.se()?; // init_qp_minus26
        r.skip(1)?; // constrained_intra_pred_flag
        let transform_skip = r.flag()?;
        if r.flag()? {
            r.ue()?; // diff_cu_qp_delta_depth
        }
        r.se()?;
        r.se()?; // pps_cb_qp_offset, pps_cr_qp_offset
        let chroma_offsets = r.flag()?;
        let weighted = r.flag()?;
        let weighted_bi = r.flag()?;
        r.skip(1)?; // transquant_bypass_enabled_flag
        let tiles = r.flag()?;
        let entry_points = r.flag()? || tiles;
        if tiles {
            skip_tiles(r)?;
        }
        let filters_across = r.flag()?;
        let (mut deblocking_override, mut deblocks) = (false, true);
        if r.flag()? {
            deblocking_override = r.flag()?;
            deblocks = !r.flag()?;
            if deblocks {
                r.se()?;
                r.se()?;
            }
        }
        if r.flag()? {
            skip_scaling_lists(r)?;
        }
        let modifies_lists = r.flag()?;
        r.ue()?; // log2_parallel_merge_level_minus2
        let header_extension = r.flag()?;
        let chroma_offset_list = r.flag()? && extension(r, transform_skip)?;
        Ok(Pps {
            id,
            sps,
            dependent_slices,
            output_flag,
            extra_bits,
            cabac_init,
            references,
            chroma_offsets,
            weighted,
            weighted_bi,
            entry_points,
            filters_across,
            deblocking_override,
            deblocks,
            modifies_lists,
            header_extension,
            chroma_offset_list,
        })
    }
}

fn skip_tiles(r: &mut BitReader<'_>) -> Result<(), Error> {
    let columns = r.ue_max("num_tile_columns_minus1", 1024)?;
    let rows = r.ue_max("num_tile_rows_minus1", 1024)?;
    if !r.flag()? {
        for _ in 0..columns + rows {
            r.ue()?;
        }
    }
    r.skip(1) // loop_filter_across_tiles_enabled_flag
}

/// The extensions: gives chroma_qp_offset_list_enabled_flag.
fn extension(r: &mut BitReader<'_>, transform_skip: bool) -> Result<bool, Error> {
    let is_range = r.flag()?;
    // Of several layers, of depth, of screen content: slice headers may have more in them then.
    let others = r.bits(3)?;
    r.skip(4)?;
    if others != 0 {
        return Err(Error::Unsupported { what: "encryption of picture parameter set extension", value: others.into() });
    }
    if !is_range {
        return Ok(false);
    }
    if transform_skip {
        r.ue()?; // log2_max_transform_skip_block_size_minus2
    }
    r.skip(1)?; // cross_component_prediction_enabled_flag
    r.flag()
}
