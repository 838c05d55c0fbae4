//! The H.265 slice segment header (ITU-T H.265 7.3.6), read only to know where it ends.

use super::Error;
use super::bits::{BitReader, unescape};
use super::hevc::HevcConfig;
use super::hevc_pps::Pps;
use super::hevc_references::ReferenceSet;
use super::hevc_sps::{self, Coding};
use super::nal::{NalCodec, NalKind};
use super::slice::{HEADER_PROBE, escaped_len};

/// Most parameter sets kept of each kind.
const MAX_SETS: usize = 64;
/// Profiles with screen content tools, whose slice headers have more in them.
const SCREEN_CONTENT: [u8; 2] = [9, 11];

/// The parameter sets of a track.
#[derive(Clone, Debug)]
pub(super) struct HevcParameters {
    sps: Vec<Coding>,
    pps: Vec<Pps>,
}

impl HevcParameters {
    pub(super) fn of(config: &HevcConfig) -> Result<Self, Error> {
        let of = |kind| config.parameter_sets().filter(move |n| NalCodec::Hevc.kind(n) == Some(kind)).take(MAX_SETS);
        let sps = |nal| {
            let sps = hevc_sps::parse(nal)?;
            let profile = sps.profile_tier_level.first().map_or(0, |b| b & 0x1f);
            if SCREEN_CONTENT.contains(&profile) {
                return Err(Error::Unsupported { what: "encryption of H.265 profile", value: u64::from(profile) });
            }
            sps.coding
        };
        Ok(HevcParameters {
            sps: of(NalKind::Sps).map(sps).collect::<Result<_, _>>()?,
            pps: of(NalKind::Pps).map(Pps::parse).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn clear_bytes(&self, nal: &[u8]) -> Result<usize, Error> {
        let Some((header, payload)) = nal.split_first_chunk::<2>() else { return Ok(nal.len()) };
        // Types 0 to 31 hold slices (7.4.2.2).
        let kind = header[0] >> 1 & 0x3f;
        if kind > 31 {
            return Ok(nal.len());
        }
        let layer = (header[0] & 1) << 5 | header[1] >> 3;
        if !matches!(kind, 0..=9 | 16..=21) || layer != 0 {
            return Err(Error::Unsupported { what: "encryption of slices of type", value: u64::from(kind) });
        }
        let probe = payload.get(..HEADER_PROBE).unwrap_or(payload);
        let bits = match self.header_bits(kind, probe) {
            Err(Error::Truncated { .. }) if probe.len() < payload.len() => self.header_bits(kind, payload)?,
            other => other?,
        };
        Ok(2 + escaped_len(payload, bits))
    }

    /// Bits of the slice segment header behind the NAL unit's own, with the bits that align it.
    fn header_bits(&self, nal_type: u8, payload: &[u8]) -> Result<usize, Error> {
        let rbsp = unescape(payload);
        let r = &mut BitReader::new(&rbsp, "the slice header");
        let is_first = r.flag()?;
        if nal_type >= 16 {
            r.skip(1)?; // no_output_of_prior_pics_flag
        }
        let pps_id = r.ue_max("slice_pic_parameter_set_id", 63)?;
        let missing = Error::Missing { what: "parameter set of the slice" };
        let pps = self.pps.iter().find(|p| p.id == pps_id).ok_or(missing)?;
        let sps = self.sps.iter().find(|s| s.id == pps.sps).ok_or(missing)?;
        let mut is_dependent = false;
        if !is_first {
            is_dependent = pps.dependent_slices && r.flag()?;
            r.skip(bits_for(sps.blocks))?; // slice_segment_address
        }
        if !is_dependent {
            independent(r, nal_type, sps, pps)?;
        }
        if pps.entry_points {
            let count = u64::from(r.ue()?);
            if count > sps.blocks {
                return Err(Error::Invalid { field: "num_entry_point_offsets", value: count });
            }
            if count > 0 {
                let each = u64::from(r.ue_max("offset_len_minus1", 31)?) + 1;
                r.skip(usize::try_from(count * each).unwrap_or(usize::MAX))?;
            }
        }
        if pps.header_extension {
            let length = r.ue_max("slice_segment_header_extension_length", 256)?;
            r.skip(length as usize * 8)?;
        }
        // A one, and zeros up to the next whole byte.
        if !r.flag()? {
            return Err(Error::Invalid { field: "alignment of the slice header", value: 0 });
        }
        Ok(rbsp.len() * 8 - r.remaining())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    B,
    P,
    I,
}

/// From `slice_reserved_flag` to `slice_loop_filter_across_slices_enabled_flag`.
fn independent(r: &mut BitReader<'_>, nal_type: u8, sps: &Coding, pps: &Pps) -> Result<(), Error> {
    r.skip(pps.extra_bits as usize)?;
    let kind = match r.ue_max("slice_type", 2)? {
        0 => Kind::B,
        1 => Kind::P,
        _ => Kind::I,
    };
    if pps.output_flag {
        r.skip(1)?;
    }
    if sps.separate_planes {
        r.skip(2)?;
    }
    // IDR pictures have no references.
    let (used, temporal_vectors) = if matches!(nal_type, 19 | 20) { (0, false) } else { references(r, sps)? };
    let mut filtered = false;
    if sps.has_offset {
        filtered = r.flag()?;
        filtered |= sps.has_chroma && r.flag()?;
    }
    if kind != Kind::I {
        prediction(r, kind, (used, temporal_vectors), sps, pps)?;
    }
    r.se()?; // slice_qp_delta
    if pps.chroma_offsets {
        r.se()?;
        r.se()?;
    }
    if pps.chroma_offset_list {
        r.skip(1)?;
    }
    let mut deblocks = pps.deblocks;
    if pps.deblocking_override && r.flag()? {
        deblocks = !r.flag()?;
        if deblocks {
            r.se()?;
            r.se()?;
        }
    }
    if pps.filters_across && (filtered || deblocks) {
        r.skip(1)?;
    }
    Ok(())
}

/// From `slice_pic_order_cnt_lsb` to `slice_temporal_mvp_enabled_flag`: how many pictures are referred to, and that flag.
fn references(r: &mut BitReader<'_>, sps: &Coding) -> Result<(usize, bool), Error> {
    r.skip(sps.order_bits as usize)?;
    let mut used = if r.flag()? {
        let index = r.bits(bits_for(sps.short_term.len() as u64) as u32)?;
        let missing = Error::Invalid { field: "short_term_ref_pic_set_idx", value: u64::from(index) };
        sps.short_term.get(index as usize).ok_or(missing)?.used()
    } else {
        ReferenceSet::of_slice(r, &sps.short_term)?.used()
    };
    if let Some(listed) = &sps.long_term {
        let of_sps = if listed.is_empty() { 0 } else { r.ue_max("num_long_term_sps", 32)? };
        let own = r.ue_max("num_long_term_pics", 32)?;
        for i in 0..of_sps + own {
            let is_used = if i < of_sps {
                let index = r.bits(bits_for(listed.len() as u64) as u32)?;
                let missing = Error::Invalid { field: "lt_idx_sps", value: u64::from(index) };
                *listed.get(index as usize).ok_or(missing)?
            } else {
                r.skip(sps.order_bits as usize)?;
                r.flag()?
            };
            used += usize::from(is_used);
            if r.flag()? {
                r.ue()?; // delta_poc_msb_cycle_lt
            }
        }
    }
    Ok((used, sps.temporal_vectors && r.flag()?))
}

/// From `num_ref_idx_active_override_flag` to `five_minus_max_num_merge_cand`.
fn prediction(
    r: &mut BitReader<'_>,
    kind: Kind,
    (used, temporal_vectors): (usize, bool),
    sps: &Coding,
    pps: &Pps,
) -> Result<(), Error> {
    // Numbers of references, less one.
    let mut last = pps.references;
    if r.flag()? {
        last[0] = r.ue_max("num_ref_idx_l0_active_minus1", 14)?;
        if kind == Kind::B {
            last[1] = r.ue_max("num_ref_idx_l1_active_minus1", 14)?;
        }
    }
    let lists = last.get(..if kind == Kind::B { 2 } else { 1 }).unwrap_or_default();
    if pps.modifies_lists && used > 1 {
        for last in lists {
            if r.flag()? {
                r.skip((*last as usize + 1) * bits_for(used as u64))?;
            }
        }
    }
    if kind == Kind::B {
        r.skip(1)?; // mvd_l1_zero_flag
    }
    if pps.cabac_init {
        r.skip(1)?;
    }
    if temporal_vectors {
        let of_first = kind != Kind::B || r.flag()?;
        if last[usize::from(!of_first)] > 0 {
            r.ue()?; // collocated_ref_idx
        }
    }
    if kind == Kind::P && pps.weighted || kind == Kind::B && pps.weighted_bi {
        weights(r, sps.has_chroma, lists)?;
    }
    r.ue_max("five_minus_max_num_merge_cand", 4)?;
    Ok(())
}

/// `pred_weight_table` of a single layer.
fn weights(r: &mut BitReader<'_>, has_chroma: bool, lists: &[u32]) -> Result<(), Error> {
    r.ue()?;
    if has_chroma {
        r.se()?;
    }
    for last in lists {
        let mut flags = |is_there: bool| -> Result<Vec<bool>, Error> {
            (0..=*last).map(|_| if is_there { r.flag() } else { Ok(false) }).collect()
        };
        let (luma, chroma) = (flags(true)?, flags(has_chroma)?);
        for (luma, chroma) in luma.into_iter().zip(chroma) {
            for _ in 0..if luma { 2 } else { 0 } + if chroma { 4 } else { 0 } {
                r.se()?;
            }
        }
    }
    Ok(())
}

/// Ceil(Log2(count)): bits that tell `count` things apart.
fn bits_for(count: u64) -> usize {
    count.max(1).next_power_of_two().trailing_zeros() as usize
}
