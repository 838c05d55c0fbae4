//! The AV1 sequence header (AV1 specification 5.5).

use super::bits::BitReader;
use super::{Colour, Error, dimension};
use crate::grid::FrameRate;

/// What a sequence header says (AV1 specification 5.5).
#[derive(Clone, Debug, Default)]
pub(super) struct SequenceHeader {
    pub(super) profile: u8,
    pub(super) level: u8,
    pub(super) tier: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) high_bit_depth: bool,
    pub(super) twelve_bit: bool,
    pub(super) monochrome: bool,
    pub(super) subsampling_x: bool,
    pub(super) subsampling_y: bool,
    pub(super) chroma_sample_position: u8,
    pub(super) colour: Option<Colour>,
    pub(super) frame_rate: Option<FrameRate>,
    /// reduced_still_picture_header: there is one picture, of which little is said.
    pub(super) reduced: bool,
    /// What the frame header depends on beside.
    pub(super) timing: Timing,
    /// Bits in which a frame's width and height are said.
    pub(super) size_bits: (u32, u32),
    /// Bits of a frame's number, and of the distance to another.
    pub(super) frame_id_bits: Option<(u32, u32)>,
    pub(super) superblock_128: bool,
    pub(super) warped_motion: bool,
    /// enable_order_hint, with its bits.
    pub(super) order_bits: Option<u32>,
    pub(super) reference_vectors: bool,
    /// seq_force_screen_content_tools; none where each frame says.
    pub(super) screen_content: Option<bool>,
    /// seq_force_integer_mv; none where each frame says.
    pub(super) integer_vectors: Option<bool>,
    pub(super) superres: bool,
    pub(super) cdef: bool,
    pub(super) restoration: bool,
    pub(super) separate_uv_delta_q: bool,
    pub(super) film_grain: bool,
}

/// Of a sequence header: what says when frames are shown, and leave the decoder.
#[derive(Clone, Debug, Default)]
pub(super) struct Timing {
    pub(super) equal_intervals: bool,
    /// With a decoder model: bits of the time at which a frame is shown, and of that at which it leaves.
    pub(super) model: Option<(u32, u32)>,
    /// operating_point_idc, and whether it has a decoder model.
    pub(super) points: Vec<(u32, bool)>,
}

impl SequenceHeader {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Error> {
        let r = &mut BitReader::new(payload, "the sequence header");
        let mut h = SequenceHeader { profile: r.bits(3)? as u8, ..SequenceHeader::default() };
        if h.profile > 2 {
            return Err(Error::Invalid { field: "seq_profile", value: u64::from(h.profile) });
        }
        r.skip(1)?; // still_picture
        h.reduced = r.flag()?;
        let reduced = h.reduced;
        if reduced {
            h.timing.points.push((0, false));
            h.level = r.bits(5)? as u8;
        } else {
            h.timing_and_operating_points(r)?;
        }
        let width_bits = r.bits(4)? + 1;
        let height_bits = r.bits(4)? + 1;
        h.width = dimension("picture width", u64::from(r.bits(width_bits)?) + 1)?;
        h.height = dimension("picture height", u64::from(r.bits(height_bits)?) + 1)?;
        h.size_bits = (width_bits, height_bits);
        if !reduced && r.flag()? {
            let distance = r.bits(4)? + 2;
            h.frame_id_bits = Some((distance + r.bits(3)? + 1, distance));
        }
        h.superblock_128 = r.flag()?;
        r.skip(2)?; // enable_filter_intra, enable_intra_edge_filter
        if !reduced {
            h.tools(r)?;
        }
        (h.superres, h.cdef, h.restoration) = (r.flag()?, r.flag()?, r.flag()?);
        h.colour_config(r)?;
        h.film_grain = r.flag()?;
        Ok(h)
    }

    fn timing_and_operating_points(&mut self, r: &mut BitReader<'_>) -> Result<(), Error> {
        let mut decoder_model_delay_bits = None;
        if r.flag()? {
            let units = r.bits(32)?;
            let scale = r.bits(32)?;
            self.timing.equal_intervals = r.flag()?;
            if self.timing.equal_intervals {
                let per_picture = uvlc(r)?.saturating_add(1);
                self.frame_rate = units.checked_mul(per_picture).and_then(|den| FrameRate::new(scale, den));
            }
            if r.flag()? {
                decoder_model_delay_bits = Some(r.bits(5)? as usize + 1);
                r.skip(32)?; // num_units_in_decoding_tick
                let leaves = r.bits(5)? + 1;
                self.timing.model = Some((r.bits(5)? + 1, leaves));
            }
        }
        let display_delay = r.flag()?;
        for i in 0..=r.bits(5)? {
            let idc = r.bits(12)?;
            let level = r.bits(5)? as u8;
            let tier = level > 7 && r.flag()?;
            if i == 0 {
                (self.level, self.tier) = (level, tier);
            }
            let mut has_model = false;
            if let Some(bits) = decoder_model_delay_bits {
                has_model = r.flag()?;
                r.skip(if has_model { 2 * bits + 1 } else { 0 })?;
            }
            self.timing.points.push((idc, has_model));
            if display_delay && r.flag()? {
                r.skip(4)?;
            }
        }
        Ok(())
    }

    /// The tools of a sequence header that is not reduced, from enable_interintra_compound on.
    fn tools(&mut self, r: &mut BitReader<'_>) -> Result<(), Error> {
        r.skip(2)?;
        self.warped_motion = r.flag()?;
        r.skip(1)?; // enable_dual_filter
        let order_hint = r.flag()?;
        if order_hint {
            r.skip(1)?; // enable_jnt_comp
            self.reference_vectors = r.flag()?;
        }
        self.screen_content = if r.flag()? { None } else { Some(r.flag()?) };
        if self.screen_content != Some(false) && !r.flag()? {
            self.integer_vectors = Some(r.flag()?);
        }
        if order_hint {
            self.order_bits = Some(r.bits(3)? + 1);
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
        self.separate_uv_delta_q = !self.monochrome && r.flag()?;
        self.colour = colour.if_specified();
        Ok(())
    }
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
