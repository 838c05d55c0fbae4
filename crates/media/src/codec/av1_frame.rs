//! The AV1 frame header (AV1 specification 5.9), read to know where it ends and how the tiles behind it are laid out.

use super::Error;
use super::av1_quantizer;
use super::av1_references::{REFERENCES, SLOTS, Slot, Slots};
use super::av1_sequence::SequenceHeader;
use super::av1_tail;
use super::bits::BitReader;

/// Widest tile, in pixels.
const MAX_TILE_WIDTH: u32 = 4096;
/// Largest tile, in pixels.
const MAX_TILE_AREA: u32 = 4096 * 2304;
/// Most columns, and most rows, of tiles.
const MAX_TILES: u32 = 64;
const ALL_SLOTS: u32 = 0xff;

const KEY: u32 = 0;
const INTER: u32 = 1;
const INTRA_ONLY: u32 = 2;
const SWITCH: u32 = 3;

/// A frame header.
pub(super) enum Header {
    /// A frame that is in a slot already is shown.
    Existing(u32),
    /// A frame follows.
    Frame(Frame),
}

/// A frame whose tiles follow.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The slots that it goes into, by bit.
    pub(super) refresh: u32,
    pub(super) slot: Slot,
    pub(super) tiles: Tiles,
    /// Bits of its header.
    pub(super) bits: usize,
}

/// How tiles are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    pub(super) count: u32,
    /// Bits that tell tiles apart.
    pub(super) bits: u32,
    /// Bytes of the size before each tile but the last.
    pub(super) size_bytes: usize,
}

/// What the rest of a header depends on, as far as it has been read.
pub(super) struct Facts<'a> {
    pub(super) sequence: &'a SequenceHeader,
    pub(super) is_intra: bool,
    pub(super) is_inter_type: bool,
    /// It is shown, at once or later.
    pub(super) is_showable: bool,
    pub(super) error_resilient: bool,
    pub(super) intra_copy: bool,
    /// It is coded smaller than it is shown.
    pub(super) is_scaled: bool,
    pub(super) precise_vectors: bool,
    pub(super) skip_mode: bool,
}

/// Reads a header. `layer` is the temporal and the spatial id of its OBU.
pub(super) fn read(
    payload: &[u8],
    sequence: &SequenceHeader,
    slots: &mut Slots,
    layer: Option<(u8, u8)>,
) -> Result<Header, Error> {
    let r = &mut BitReader::new(payload, "the frame header");
    let timed = sequence.timing.model.filter(|_| !sequence.timing.equal_intervals).map(|(shown, _)| shown);
    let (mut kind, mut is_shown, mut is_showable, mut error_resilient) = (KEY, true, false, true);
    if !sequence.reduced {
        if r.flag()? {
            return Ok(Header::Existing(r.bits(3)?));
        }
        kind = r.bits(2)?;
        is_shown = r.flag()?;
        if let Some(bits) = timed.filter(|_| is_shown) {
            r.skip(bits as usize)?;
        }
        is_showable = if is_shown { kind != KEY } else { r.flag()? };
        error_resilient = kind == SWITCH || kind == KEY && is_shown || r.flag()?;
    }
    let is_intra = matches!(kind, KEY | INTRA_ONLY);
    let no_update = r.flag()?; // disable_cdf_update
    let screen_content = sequence.screen_content.map_or_else(|| r.flag(), Ok)?;
    let integer_vectors = screen_content && sequence.integer_vectors.map_or_else(|| r.flag(), Ok)?;
    if let Some((bits, _)) = sequence.frame_id_bits {
        r.skip(bits as usize)?;
    }
    let own_size = kind == SWITCH || !sequence.reduced && r.flag()?;
    let order_bits = sequence.order_bits.unwrap_or(0);
    let order = r.bits(order_bits)?;
    let primary = if is_intra || error_resilient { None } else { Some(r.bits(3)?).filter(|p| *p != 7) };
    skip_removal_times(r, sequence, layer)?;
    let refresh = if kind == SWITCH || kind == KEY && is_shown { ALL_SLOTS } else { r.bits(8)? };
    if (!is_intra || refresh != ALL_SLOTS) && error_resilient && order_bits > 0 {
        for i in 0..SLOTS {
            slots.expect(i, r.bits(order_bits)?, sequence);
        }
    }
    let mut facts = Facts {
        sequence,
        is_intra,
        is_inter_type: kind == INTER,
        is_showable: is_shown || is_showable,
        error_resilient,
        intra_copy: false,
        is_scaled: false,
        precise_vectors: false,
        skip_mode: false,
    };
    let (size, mut references) = if is_intra {
        let size = Size::read(r, sequence, own_size)?;
        skip_render_size(r)?;
        facts.intra_copy = screen_content && size.coded_width == size.width && r.flag()?;
        (size, None)
    } else {
        let references = references(r, slots, order, sequence)?;
        let size = if own_size && !error_resilient {
            Size::by_references(r, sequence, slots, &references)?
        } else {
            let size = Size::read(r, sequence, own_size)?;
            skip_render_size(r)?;
            size
        };
        facts.precise_vectors = !integer_vectors && r.flag()?;
        if !r.flag()? {
            r.skip(2)?; // interpolation_filter
        }
        r.skip(1)?; // is_motion_mode_switchable
        if !error_resilient && sequence.reference_vectors {
            r.skip(1)?; // use_ref_frame_mvs
        }
        (size, Some(references))
    };
    facts.is_scaled = size.coded_width != size.width;
    if !sequence.reduced && !no_update {
        r.skip(1)?; // disable_frame_end_update_cdf
    }
    let tiles = tiles(r, sequence, &size)?;
    let inherited = match primary.zip(references.as_ref()) {
        Some((primary, references)) => {
            let reference = references.get(primary as usize).copied();
            Some(slots.get(reference.unwrap_or(u32::MAX))?.quantizers)
        }
        None => None,
    };
    let quantizer = av1_quantizer::read(r, &facts, inherited)?;
    av1_tail::filters(r, &facts, quantizer.is_lossless)?;
    let selects = !is_intra && r.flag()?; // reference_select
    if let Some(references) = references.take().filter(|_| selects && order_bits > 0) {
        facts.skip_mode = slots.allow_skip_mode(&references, order, sequence)?;
    }
    av1_tail::read(r, &facts)?;
    let slot =
        Slot { width: size.width, height: size.height, order, is_key: kind == KEY, quantizers: quantizer.segments };
    Ok(Header::Frame(Frame { refresh, slot, tiles, bits: payload.len() * 8 - r.remaining() }))
}

fn skip_removal_times(r: &mut BitReader<'_>, sequence: &SequenceHeader, layer: Option<(u8, u8)>) -> Result<(), Error> {
    let Some((_, bits)) = sequence.timing.model else { return Ok(()) };
    if !r.flag()? {
        return Ok(());
    }
    let (temporal, spatial) = layer.unwrap_or((0, 0));
    for (idc, has_model) in &sequence.timing.points {
        let is_in = idc >> temporal & 1 == 1 && idc >> (spatial + 8) & 1 == 1;
        if *has_model && (*idc == 0 || is_in) {
            r.skip(bits as usize)?;
        }
    }
    Ok(())
}

/// The slots of the seven references.
fn references(
    r: &mut BitReader<'_>,
    slots: &Slots,
    order: u32,
    sequence: &SequenceHeader,
) -> Result<[u32; REFERENCES], Error> {
    let derived = if sequence.order_bits.is_some() && r.flag()? {
        let told = (r.bits(3)?, r.bits(3)?);
        Some(slots.derive(told, order, sequence)?)
    } else {
        None
    };
    let mut references = derived.unwrap_or_default();
    for reference in &mut references {
        if derived.is_none() {
            *reference = r.bits(3)?;
        }
        if let Some((_, distance)) = sequence.frame_id_bits {
            r.skip(distance as usize)?;
        }
    }
    Ok(references)
}

struct Size {
    /// Width as it is shown.
    width: u32,
    coded_width: u32,
    height: u32,
}

impl Size {
    fn read(r: &mut BitReader<'_>, sequence: &SequenceHeader, own: bool) -> Result<Self, Error> {
        let (width, height) = if own {
            let (width, height) = sequence.size_bits;
            (r.bits(width)? + 1, r.bits(height)? + 1)
        } else {
            (sequence.width, sequence.height)
        };
        Size::scaled(r, sequence, (width, height))
    }

    fn by_references(
        r: &mut BitReader<'_>,
        sequence: &SequenceHeader,
        slots: &Slots,
        references: &[u32; REFERENCES],
    ) -> Result<Self, Error> {
        for reference in references {
            if r.flag()? {
                let slot = slots.get(*reference)?;
                return Size::scaled(r, sequence, (slot.width, slot.height));
            }
        }
        let size = Size::read(r, sequence, true)?;
        skip_render_size(r)?;
        Ok(size)
    }

    /// superres_params
    fn scaled(r: &mut BitReader<'_>, sequence: &SequenceHeader, (width, height): (u32, u32)) -> Result<Self, Error> {
        let denominator = if sequence.superres && r.flag()? { r.bits(3)? + 9 } else { 8 };
        Ok(Size { width, coded_width: (width * 8 + denominator / 2) / denominator, height })
    }
}

fn skip_render_size(r: &mut BitReader<'_>) -> Result<(), Error> {
    if r.flag()? { r.skip(32) } else { Ok(()) }
}

/// tile_info (5.9.15)
fn tiles(r: &mut BitReader<'_>, sequence: &SequenceHeader, size: &Size) -> Result<Tiles, Error> {
    let shift = if sequence.superblock_128 { 7 } else { 6 };
    let (columns, rows) = (size.coded_width.div_ceil(1 << shift), size.height.div_ceil(1 << shift));
    let widest = MAX_TILE_WIDTH >> shift;
    let least_columns = log2(widest, columns);
    let (most_columns, most_rows) = (log2(1, columns.min(MAX_TILES)), log2(1, rows.min(MAX_TILES)));
    let least = least_columns.max(log2(MAX_TILE_AREA >> (2 * shift), rows * columns));
    let (count, bits) = if r.flag()? {
        let mut log2_columns = least_columns;
        while log2_columns < most_columns && r.flag()? {
            log2_columns += 1;
        }
        let mut log2_rows = least.saturating_sub(log2_columns);
        while log2_rows < most_rows && r.flag()? {
            log2_rows += 1;
        }
        let across = |blocks: u32, log2: u32| blocks.div_ceil(blocks.div_ceil(1 << log2).max(1));
        (across(columns, log2_columns) * across(rows, log2_rows), log2_columns + log2_rows)
    } else {
        let (count_columns, widest_tile) = lengths(r, columns, widest)?;
        let area = if least > 0 { (rows * columns) >> (least + 1) } else { rows * columns };
        let (count_rows, _) = lengths(r, rows, (area / widest_tile.max(1)).max(1))?;
        (count_columns * count_rows, log2(1, count_columns) + log2(1, count_rows))
    };
    let mut size_bytes = 0;
    if bits > 0 {
        r.skip(bits as usize)?; // context_update_tile_id
        size_bytes = r.bits(2)? as usize + 1;
    }
    Ok(Tiles { count, bits, size_bytes })
}

/// Tiles whose lengths are told one by one: how many there are, and the longest.
fn lengths(r: &mut BitReader<'_>, blocks: u32, most: u32) -> Result<(u32, u32), Error> {
    let (mut start, mut count, mut longest) = (0, 0, 0);
    while start < blocks {
        let length = non_symmetric(r, (blocks - start).min(most))? + 1;
        longest = longest.max(length);
        start += length;
        count += 1;
        if count > MAX_TILES {
            return Err(Error::Invalid { field: "number of tiles in a row or column", value: count.into() });
        }
    }
    Ok((count, longest))
}

/// The least `k` with `from << k` at least `wanted`.
fn log2(from: u32, wanted: u32) -> u32 {
    (0..31).find(|k| u64::from(from) << k >= u64::from(wanted)).unwrap_or(31)
}

/// `ns(n)`: a number below `count` (4.10.7).
pub(super) fn non_symmetric(r: &mut BitReader<'_>, count: u32) -> Result<u32, Error> {
    let bits = u32::BITS - count.leading_zeros();
    let shorter = (1 << bits) - count;
    let value = r.bits(bits.saturating_sub(1))?;
    if bits == 0 || value < shorter { Ok(value) } else { Ok((value << 1) - shorter + r.bits(1)?) }
}
