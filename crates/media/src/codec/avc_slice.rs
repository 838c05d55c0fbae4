//! The H.264 slice header (ITU-T H.264 7.3.3), read only to know where it ends.

use super::Error;
use super::avc::AvcConfig;
use super::avc_sps::{has_chroma_info, skip_scaling_list};
use super::bits::{BitReader, unescape};
use super::slice::{HEADER_PROBE, escaped_len};

/// Most parameter sets kept of each kind; a record cannot have more.
const MAX_SETS: usize = 256;
/// Commands in a slice header's lists; the standard allows fewer.
const MAX_COMMANDS: u32 = 66;

#[derive(Clone, Debug)]
struct Sps {
    id: u32,
    separate_planes: bool,
    has_chroma: bool,
    frame_num_bits: u32,
    order_type: u32,
    order_bits: u32,
    order_always_zero: bool,
    frames_only: bool,
}

#[derive(Clone, Debug)]
struct Pps {
    id: u32,
    sps: u32,
    cabac: bool,
    order_in_frame: bool,
    /// Default numbers of reference pictures, less one.
    references: [u32; 2],
    weighted: bool,
    weighted_bi: u32,
    deblocking: bool,
    redundant: bool,
}

/// The parameter sets of a track.
#[derive(Clone, Debug)]
pub(super) struct AvcParameters {
    sps: Vec<Sps>,
    pps: Vec<Pps>,
}

impl AvcParameters {
    pub(super) fn of(config: &AvcConfig) -> Result<Self, Error> {
        let sps = config.sps().take(MAX_SETS).map(Sps::parse).collect::<Result<_, _>>()?;
        let pps = config.pps().take(MAX_SETS).map(Pps::parse).collect::<Result<_, _>>()?;
        Ok(AvcParameters { sps, pps })
    }

    pub(super) fn clear_bytes(&self, nal: &[u8]) -> Result<usize, Error> {
        let Some((&header, payload)) = nal.split_first() else { return Ok(0) };
        match header & 0x1f {
            1 | 5 => {}
            // Data partitions, and slices of layers and views.
            kind @ (2..=4 | 20 | 21) => {
                return Err(Error::Unsupported { what: "encryption of slices of type", value: u64::from(kind) });
            }
            _ => return Ok(nal.len()),
        }
        let probe = payload.get(..HEADER_PROBE).unwrap_or(payload);
        let bits = match self.header_bits(header, probe) {
            Err(Error::Truncated { .. }) if probe.len() < payload.len() => self.header_bits(header, payload)?,
            other => other?,
        };
        Ok(1 + escaped_len(payload, bits))
    }

    /// Bits of the slice header behind the NAL unit's own.
    fn header_bits(&self, header: u8, payload: &[u8]) -> Result<usize, Error> {
        let rbsp = unescape(payload);
        let r = &mut BitReader::new(&rbsp, "the slice header");
        let is_idr = header & 0x1f == 5;
        let is_reference = header & 0x60 != 0;
        r.ue()?; // first_mb_in_slice
        let kind = Kind::of(r.ue_max("slice_type", 9)?);
        let pps_id = r.ue_max("pic_parameter_set_id", 255)?;
        let missing = Error::Missing { what: "parameter set of the slice" };
        let pps = self.pps.iter().find(|p| p.id == pps_id).ok_or(missing)?;
        let sps = self.sps.iter().find(|s| s.id == pps.sps).ok_or(missing)?;
        if sps.separate_planes {
            r.skip(2)?;
        }
        r.skip(sps.frame_num_bits as usize)?;
        let mut field = false;
        if !sps.frames_only {
            field = r.flag()?;
            if field {
                r.skip(1)?;
            }
        }
        if is_idr {
            r.ue()?; // idr_pic_id
        }
        if sps.order_type == 0 {
            r.skip(sps.order_bits as usize)?;
        }
        let deltas = u32::from(sps.order_type == 1 && !sps.order_always_zero);
        let in_frame = pps.order_in_frame && !field && (sps.order_type == 0 || deltas == 1);
        for _ in 0..deltas + u32::from(in_frame) {
            r.se()?;
        }
        if pps.redundant {
            r.ue()?;
        }
        if kind == Kind::B {
            r.skip(1)?; // direct_spatial_mv_pred_flag
        }
        let mut references = pps.references;
        if kind.predicts() && r.flag()? {
            references[0] = r.ue_max("num_ref_idx_l0_active_minus1", 31)?;
            if kind == Kind::B {
                references[1] = r.ue_max("num_ref_idx_l1_active_minus1", 31)?;
            }
        }
        let lists = if kind == Kind::B { 2 } else { usize::from(kind.predicts()) };
        for _ in 0..lists {
            modification(r)?;
        }
        if kind.predicts() && (kind != Kind::B && pps.weighted || kind == Kind::B && pps.weighted_bi == 1) {
            weights(r, sps.has_chroma, references.get(..lists).unwrap_or_default())?;
        }
        if is_reference {
            marking(r, is_idr)?;
        }
        if pps.cabac && kind.predicts() {
            r.ue()?; // cabac_init_idc
        }
        r.se()?; // slice_qp_delta
        if matches!(kind, Kind::Sp | Kind::Si) {
            if kind == Kind::Sp {
                r.skip(1)?;
            }
            r.se()?;
        }
        if pps.deblocking && r.ue_max("disable_deblocking_filter_idc", 2)? != 1 {
            r.se()?;
            r.se()?;
        }
        Ok(rbsp.len() * 8 - r.remaining())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    P,
    B,
    I,
    Sp,
    Si,
}

impl Kind {
    fn of(slice_type: u32) -> Self {
        match slice_type % 5 {
            0 => Kind::P,
            1 => Kind::B,
            2 => Kind::I,
            3 => Kind::Sp,
            _ => Kind::Si,
        }
    }

    /// From other pictures.
    fn predicts(self) -> bool {
        matches!(self, Kind::P | Kind::B | Kind::Sp)
    }
}

/// `ref_pic_list_modification` of one list.
fn modification(r: &mut BitReader<'_>) -> Result<(), Error> {
    if !r.flag()? {
        return Ok(());
    }
    for _ in 0..MAX_COMMANDS {
        if r.ue_max("modification_of_pic_nums_idc", 3)? == 3 {
            return Ok(());
        }
        r.ue()?;
    }
    Err(Error::Invalid { field: "number of list modifications", value: MAX_COMMANDS.into() })
}

/// `pred_weight_table`.
fn weights(r: &mut BitReader<'_>, has_chroma: bool, references: &[u32]) -> Result<(), Error> {
    r.ue()?;
    if has_chroma {
        r.ue()?;
    }
    for &last in references {
        for _ in 0..=last {
            if r.flag()? {
                r.se()?;
                r.se()?;
            }
            if has_chroma && r.flag()? {
                for _ in 0..4 {
                    r.se()?;
                }
            }
        }
    }
    Ok(())
}

/// `dec_ref_pic_marking`.
fn marking(r: &mut BitReader<'_>, is_idr: bool) -> Result<(), Error> {
    if is_idr {
        return r.skip(2);
    }
    if !r.flag()? {
        return Ok(());
    }
    for _ in 0..MAX_COMMANDS {
        let operands = match r.ue_max("memory_management_control_operation", 6)? {
            0 => return Ok(()),
            3 => 2,
            5 => 0,
            _ => 1,
        };
        for _ in 0..operands {
            r.ue()?;
        }
    }
    Err(Error::Invalid { field: "number of marking commands", value: MAX_COMMANDS.into() })
}

impl Sps {
    fn parse(nal: &[u8]) -> Result<Self, Error> {
        let rbsp = unescape(nal.get(1..).unwrap_or_default());
        let r = &mut BitReader::new(&rbsp, "the sequence parameter set");
        let profile_idc = r.byte()?;
        r.skip(16)?;
        let id = r.ue_max("seq_parameter_set_id", 31)?;
        let (mut chroma_format, mut separate_planes) = (1, false);
        if has_chroma_info(profile_idc) {
            chroma_format = r.ue_max("chroma_format_idc", 3)?;
            if chroma_format == 3 {
                separate_planes = r.flag()?;
            }
            r.ue()?;
            r.ue()?;
            r.skip(1)?;
            if r.flag()? {
                for i in 0..if chroma_format == 3 { 12 } else { 8 } {
                    if r.flag()? {
                        skip_scaling_list(r, if i < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        let frame_num_bits = 4 + r.ue_max("log2_max_frame_num_minus4", 12)?;
        let order_type = r.ue_max("pic_order_cnt_type", 2)?;
        let (mut order_bits, mut order_always_zero) = (0, false);
        match order_type {
            0 => order_bits = 4 + r.ue_max("log2_max_pic_order_cnt_lsb_minus4", 12)?,
            1 => {
                order_always_zero = r.flag()?;
                r.se()?;
                r.se()?;
                for _ in 0..r.ue_max("num_ref_frames_in_pic_order_cnt_cycle", 255)? {
                    r.se()?;
                }
            }
            _ => {}
        }
        r.ue()?;
        r.skip(1)?;
        r.ue()?;
        r.ue()?;
        let frames_only = r.flag()?;
        Ok(Sps {
            id,
            separate_planes,
            has_chroma: chroma_format != 0 && !separate_planes,
            frame_num_bits,
            order_type,
            order_bits,
            order_always_zero,
            frames_only,
        })
    }
}

impl Pps {
    fn parse(nal: &[u8]) -> Result<Self, Error> {
        let rbsp = unescape(nal.get(1..).unwrap_or_default());
        let r = &mut BitReader::new(&rbsp, "the picture parameter set");
        let id = r.ue_max("pic_parameter_set_id", 255)?;
        let sps = r.ue_max("seq_parameter_set_id", 31)?;
        let cabac = r.flag()?;
        let order_in_frame = r.flag()?;
        let groups = r.ue()?;
        if groups > 0 {
            return Err(Error::Unsupported { what: "number of slice groups", value: u64::from(groups) + 1 });
        }
        let references = [
            r.ue_max("num_ref_idx_l0_default_active_minus1", 31)?,
            r.ue_max("num_ref_idx_l1_default_active_minus1", 31)?,
        ];
        let weighted = r.flag()?;
        let weighted_bi = r.bits(2)?;
        for _ in 0..3 {
            r.se()?; // pic_init_qp, pic_init_qs, chroma_qp_index_offset
        }
        let deblocking = r.flag()?;
        r.skip(1)?; // constrained_intra_pred_flag
        let redundant = r.flag()?;
        Ok(Pps { id, sps, cabac, order_in_frame, references, weighted, weighted_bi, deblocking, redundant })
    }
}
