//! The samples of one track of a progressive file, as compact tables. Pure.

/// Most samples of one track: 27 h at 60 frames per second.
pub const MAX_SAMPLES: usize = 6_000_000;

/// Runs of one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(pub Vec<(u32, u32)>);

impl Runs {
    fn push(&mut self, value: u32) {
        match self.0.last_mut() {
            Some((count, last)) if *last == value && *count < u32::MAX => *count += 1,
            _ => self.0.push((1, value)),
        }
    }
}

/// What the boxes of a sample table say.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Durations.
    pub durations: Runs,
    /// Composition offsets, as the bits of an `i32`.
    pub offsets: Runs,
    /// Sizes in bytes.
    pub sizes: Vec<u32>,
    /// Numbers, from 1, of samples where decoding can begin.
    pub keys: Vec<u32>,
    /// For each chunk: where it begins in the media data, its samples, and which sample description it has (from 1).
    pub chunks: Vec<(u64, u32, u32)>,
    /// Decode time of the first sample, in ticks.
    pub start: Option<u64>,
    /// Sum of the durations, in ticks.
    pub length: u64,
    /// The last sample, whose duration may still grow until the next one begins.
    pending: Option<u32>,
}

/// A sample as its fragment describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In ticks.
    pub duration: u32,
    /// In bytes.
    pub size: u32,
    /// Composition offset in ticks.
    pub offset: i32,
    /// Decoding can begin here.
    pub key: bool,
}

/// A fragment: samples that lie one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// Decode time of the first one, in ticks.
    pub start: u64,
    /// Where the first one lies, from the start of the segment.
    pub data: u64,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// A track became too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Tables {
    /// Adds a fragment whose segment lies at `at` in the media data and whose times are `shift` ticks too late, since
    /// holes before it were left out.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn add(&mut self, fragment: &Fragment, at: u64, shift: u64, description: u32) -> Result<(), TooLong> {
        if self.sizes.len() + fragment.samples.len() > MAX_SAMPLES {
            return Err(TooLong);
        }
        let start = fragment.start.saturating_sub(shift);
        let first = *self.start.get_or_insert(start);
        if self.pending.take().is_some() {
            // The last sample lasts until this one begins, so what is late or early here is made up for.
            let wanted = start.saturating_sub(first).saturating_sub(self.length).max(1);
            self.duration(u32::try_from(wanted).unwrap_or(u32::MAX));
        }
        let count = u32::try_from(fragment.samples.len()).unwrap_or(u32::MAX);
        self.chunks.push((at + fragment.data, count, description));
        for (i, sample) in fragment.samples.iter().enumerate() {
            self.sizes.push(sample.size);
            self.offsets.push(sample.offset as u32);
            if sample.key {
                self.keys.push(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
            }
            if i + 1 == fragment.samples.len() {
                self.pending = Some(sample.duration);
            } else {
                self.duration(sample.duration);
            }
        }
        Ok(())
    }

    /// Nothing more comes.
    pub fn finish(&mut self) {
        if let Some(duration) = self.pending.take() {
            self.duration(duration);
        }
    }

    fn duration(&mut self, ticks: u32) {
        self.durations.push(ticks);
        self.length += u64::from(ticks);
    }
}

/// What a fragment's header says of samples that do not say it themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    /// In ticks.
    pub duration: u32,
    /// In bytes.
    pub size: u32,
    /// ISO/IEC 14496-12 8.8.3.1.
    pub flags: u32,
}

/// Reads a `moof` (header included) that lies `offset` bytes into its segment (ISO/IEC 14496-12 8.8). `None` if it makes
/// no sense, or describes more than one run.
pub fn fragment(moof: &[u8], offset: u64, defaults: Defaults) -> Option<Fragment> {
    let traf = child(moof.get(8..)?, b"traf")?;
    let tfhd = child(traf, b"tfhd")?;
    let tfdt = child(traf, b"tfdt")?;
    let trun = child(traf, b"trun")?;
    let mut fields = Fields(tfhd);
    let flags = fields.u32()? & 0x00ff_ffff;
    fields.u32()?;
    let mut base = offset;
    if flags & 1 != 0 {
        base = fields.u64()?;
    }
    if flags & 2 != 0 {
        fields.u32()?;
    }
    let mut defaults = defaults;
    for (bit, field) in [(8, &mut defaults.duration), (0x10, &mut defaults.size), (0x20, &mut defaults.flags)] {
        if flags & bit != 0 {
            *field = fields.u32()?;
        }
    }
    let mut fields = Fields(tfdt);
    let start = if fields.u32()? >> 24 == 1 { fields.u64()? } else { u64::from(fields.u32()?) };
    let mut fields = Fields(trun);
    let flags = fields.u32()? & 0x00ff_ffff;
    let count = fields.u32()?;
    let data = if flags & 1 != 0 { i64::from(fields.u32()? as i32) } else { 0 };
    let first_flags = if flags & 4 != 0 { Some(fields.u32()?) } else { None };
    let mut samples = Vec::with_capacity(usize::try_from(count.min(65_536)).ok()?);
    for i in 0..count {
        let mut field = |bit: u32, default: u32| if flags & bit != 0 { fields.u32() } else { Some(default) };
        let duration = field(0x100, defaults.duration)?;
        let size = field(0x200, defaults.size)?;
        let own = field(0x400, first_flags.filter(|_| i == 0).unwrap_or(defaults.flags))?;
        let offset = field(0x800, 0)? as i32;
        samples.push(Sample { duration, size, offset, key: own & 0x0001_0000 == 0 });
    }
    Some(Fragment { start, data: base.checked_add_signed(data)?, samples })
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*head))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }
}

/// The body of the first box of this type.
pub fn child<'a>(mut boxes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    loop {
        let (size, own) = header(boxes)?;
        let whole = boxes.get(..usize::try_from(size).ok()?)?;
        if own == *kind {
            return whole.get(8..);
        }
        boxes = boxes.get(whole.len()..)?;
    }
}

/// Size and type of the box that begins here; boxes of ours have no 64-bit sizes.
pub fn header(bytes: &[u8]) -> Option<(u64, [u8; 4])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let kind = *rest.first_chunk::<4>()?;
    Some((u64::from(u32::from_be_bytes(*size)), kind)).filter(|(size, _)| *size >= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment_at(start: u64, count: usize) -> Fragment {
        let sample = Sample { duration: 10, size: 5, offset: 0, key: false };
        Fragment { start, data: 100, samples: vec![sample; count] }
    }

    #[test]
    fn gaps_lengthen_the_sample_before_them_and_overlaps_are_made_up_for() {
        let mut tables = Tables::default();
        tables.add(&fragment_at(1000, 2), 0, 0, 1).unwrap();
        tables.add(&fragment_at(1020, 2), 500, 0, 1).unwrap();
        // 30 ticks are missing.
        tables.add(&fragment_at(1070, 2), 1000, 0, 1).unwrap();
        // Five ticks early.
        tables.add(&fragment_at(1085, 2), 1500, 0, 1).unwrap();
        tables.finish();
        assert_eq!(tables.durations.0, [(3, 10), (1, 40), (1, 10), (1, 5), (2, 10)]);
        assert_eq!((tables.start, tables.length), (Some(1000), 105));
        assert_eq!(tables.chunks, [(100, 2, 1), (600, 2, 1), (1100, 2, 1), (1600, 2, 1)]);
    }

    #[test]
    fn holes_that_are_left_out_take_no_time() {
        let mut tables = Tables::default();
        tables.add(&fragment_at(1000, 2), 0, 0, 1).unwrap();
        tables.add(&fragment_at(9020, 2), 500, 8000, 1).unwrap();
        tables.finish();
        assert_eq!((tables.durations.0, tables.length), (vec![(4, 10)], 40));
    }

    #[test]
    fn hostile_fragments_are_refused() {
        for bytes in [&b""[..], &[0; 8], &[0, 0, 0, 8, b'm', b'o', b'o', b'f'], &[0xff; 64]] {
            assert_eq!(fragment(bytes, 0, Defaults::default()), None);
        }
    }
}
