//! The CMAF chunk: `moof` + `mdat`, made once with exact sizes and one allocation.

use super::TRACK_ID;
use super::boxes::BoxWriter;
use crate::protection::Subsample;
use crate::segment::Chunk;
use crate::time::UtcTime;
use crate::unit::Sample;

/// Most media bytes in one chunk.
pub const MAX_CHUNK_BYTES: usize = 64 * 1024 * 1024;

/// Most parts in a segment, so that [`sequence_number`] grows from chunk to chunk.
pub const MAX_PARTS_PER_SEGMENT: u32 = 256;

/// Seconds from the NTP epoch (1900) to the Unix epoch.
const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;

/// `prft` flags: the UTC time is that of the event which the media shows, at a constant, small offset.
const PRFT_REAL_TIME: u32 = 24;

/// Sample flags: depends on no other sample; is no non-sync sample.
const FLAGS_SYNC: u32 = 0x0200_0000;

/// Sample flags: depends on others; is a non-sync sample.
const FLAGS_NON_SYNC: u32 = 0x0101_0000;

/// Where a chunk belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// Number of its segment.
    pub segment: u64,
    /// Index within the segment, below [`MAX_PARTS_PER_SEGMENT`].
    pub part: u32,
    /// Set on the chunk that opens its segment: it begins with `styp` and a `prft` of this time, the UTC time of the
    /// first sample's presentation.
    pub opens_at: Option<UtcTime>,
}

/// Why a chunk was not written. The caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// No samples.
    #[error("a chunk needs a sample")]
    Empty,
    /// Over [`MAX_CHUNK_BYTES`].
    #[error("a chunk of {0} bytes is over the limit")]
    TooLarge(usize),
    /// A sample does not start where the one before it ends.
    #[error("sample {index} starts at {dts}, not at {expected}")]
    NotContiguous {
        /// Index of the sample in the chunk.
        index: usize,
        /// Where it starts.
        dts: u64,
        /// Where the one before it ends.
        expected: u64,
    },
    /// There is not one description of encryption for each sample, or one does not fit.
    #[error("what is said of the encryption does not fit the samples")]
    Encryption,
}

/// `mfhd` sequence number: the low 32 bits of `segment × 256 + part`, a pure function of the place.
pub const fn sequence_number(segment: u64, part: u32) -> u32 {
    segment.wrapping_mul(MAX_PARTS_PER_SEGMENT as u64).wrapping_add(part as u64) as u32
}

/// Writes a chunk of one or more samples, each starting where the one before it ends.
///
/// One `traf` with `tfhd` (default-base-is-moof), `tfdt` version 1 and one `trun` version 1. What is the same for all
/// samples stands once in `tfhd`, what differs in `trun`; nothing rests on `trex` (STANDARDS 3.5, 3.8, 3.9, 3.15).
///
/// # Errors
/// [`WriteError`] if the samples cannot be one chunk.
pub fn chunk(head: ChunkHead, samples: &[Sample]) -> Result<Chunk, WriteError> {
    write(head, samples, None)
}

/// How one sample is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedSample {
    /// Its own IV, unless all samples have the init segment's.
    pub iv: Option<[u8; 8]>,
    /// What of it is encrypted; none where all is. At most [`MAX_SUBSAMPLES`], with at most 65535 clear bytes each.
    pub subsamples: Vec<Subsample>,
}

/// Most subsamples of a sample: what a size in `saiz` of one byte holds.
pub const MAX_SUBSAMPLES: usize = (255 - 8 - 2) / 6;

/// Writes a chunk of samples whose bytes are encrypted already, with `senc`, `saio` and `saiz` (STANDARDS 3.2, 3.17).
///
/// # Errors
/// As [`chunk`], and [`WriteError::Encryption`].
pub fn protected_chunk(
    head: ChunkHead,
    samples: &[Sample],
    encryption: &[EncryptedSample],
) -> Result<Chunk, WriteError> {
    let fits = |e: &EncryptedSample| {
        e.subsamples.len() <= MAX_SUBSAMPLES && e.subsamples.iter().all(|s| s.clear <= u16::MAX.into())
    };
    if encryption.len() != samples.len() || !encryption.iter().all(fits) {
        return Err(WriteError::Encryption);
    }
    write(head, samples, Some(&Auxiliary(encryption)))
}

fn write(head: ChunkHead, samples: &[Sample], auxiliary: Option<&Auxiliary<'_>>) -> Result<Chunk, WriteError> {
    let first = samples.first().ok_or(WriteError::Empty)?;
    let (duration, media_bytes) = check(first, samples)?;
    let layout = Layout::of(first, samples);
    let preamble = if head.opens_at.is_some() { STYP_BYTES + PRFT_BYTES } else { 0 };
    let data_offset = layout.moof_bytes() + auxiliary.map_or(0, Auxiliary::bytes) + 8;
    let total = preamble + data_offset + media_bytes;
    let mut w = BoxWriter::with_capacity(total);
    if let Some(utc) = head.opens_at {
        w.brands(b"styp", b"cmfs", &STYP_BRANDS);
        put_prft(&mut w, utc, first);
    }
    w.put_box(b"moof", |w| {
        w.put_full_box(b"mfhd", 0, 0, |w| w.u32(sequence_number(head.segment, head.part)));
        w.put_box(b"traf", |w| {
            layout.put_traf(w, first, samples, data_offset);
            if let Some(auxiliary) = auxiliary {
                auxiliary.put(w, layout.moof_bytes());
            }
        });
    });
    w.u32((8 + media_bytes) as u32);
    w.bytes(b"mdat");
    for sample in samples {
        w.bytes(&sample.data);
    }
    let bytes = w.finish();
    debug_assert_eq!(bytes.len(), total);
    Ok(Chunk {
        segment: head.segment,
        part: head.part,
        independent: first.key,
        start: first.dts,
        duration,
        samples: samples.len() as u32,
        first_sample_end: (preamble + data_offset + first.data.len()) as u32,
        bytes,
    })
}

const STYP_BRANDS: [[u8; 4]; 4] = [*b"cmfs", *b"cmff", *b"cmfc", *b"msdh"];
const STYP_BYTES: usize = 16 + 4 * STYP_BRANDS.len();
const PRFT_BYTES: usize = 32;

/// Sum of the durations and of the bytes, if the samples can be one chunk.
fn check(first: &Sample, samples: &[Sample]) -> Result<(u64, usize), WriteError> {
    let (mut expected, mut bytes) = (first.dts, 0usize);
    for (index, s) in samples.iter().enumerate() {
        if s.dts != expected {
            return Err(WriteError::NotContiguous { index, dts: s.dts, expected });
        }
        expected = s.dts.saturating_add(s.duration.into());
        bytes = bytes.saturating_add(s.data.len());
        if bytes > MAX_CHUNK_BYTES {
            return Err(WriteError::TooLarge(bytes));
        }
    }
    Ok((expected - first.dts, bytes))
}

fn put_prft(w: &mut BoxWriter, utc: UtcTime, first: &Sample) {
    w.put_full_box(b"prft", 1, PRFT_REAL_TIME, |w| {
        w.u32(TRACK_ID);
        let seconds = utc.0.div_euclid(1_000_000_000) + NTP_TO_UNIX_SECONDS;
        let fraction = ((utc.0.rem_euclid(1_000_000_000) as u64) << 32) / 1_000_000_000;
        w.u32(seconds as u32);
        w.u32(fraction as u32);
        w.u64(first.dts.saturating_add_signed(first.composition_offset.into()));
    });
}

const fn flags(s: &Sample) -> u32 {
    if s.key { FLAGS_SYNC } else { FLAGS_NON_SYNC }
}

/// Which fields differ between the samples, and so stand in `trun`.
struct Layout {
    samples: usize,
    durations: bool,
    sizes: bool,
    flags: SampleFlags,
    offsets: bool,
}

/// Where the sample flags stand.
#[derive(PartialEq, Eq)]
enum SampleFlags {
    /// All alike: once in `tfhd`.
    Default,
    /// A sync sample and then none: first-sample-flags, the rest in `tfhd`.
    First,
    /// In each entry of `trun`.
    Each,
}

impl Layout {
    fn of(first: &Sample, samples: &[Sample]) -> Self {
        let rest = samples.get(1..).unwrap_or_default();
        let flags = match rest.first() {
            _ if rest.iter().all(|s| s.key == first.key) => SampleFlags::Default,
            Some(second) if rest.iter().all(|s| s.key == second.key) => SampleFlags::First,
            _ => SampleFlags::Each,
        };
        Layout {
            samples: samples.len(),
            durations: rest.iter().any(|s| s.duration != first.duration),
            sizes: rest.iter().any(|s| s.data.len() != first.data.len()),
            flags,
            offsets: samples.iter().any(|s| s.composition_offset != 0),
        }
    }

    fn tfhd_bytes(&self) -> usize {
        // Header, flags, track_ID, sample_description_index, then the defaults.
        20 + 4
            * (usize::from(!self.durations) + usize::from(!self.sizes) + usize::from(self.flags != SampleFlags::Each))
    }

    fn trun_bytes(&self) -> usize {
        let entry = 4
            * (usize::from(self.durations)
                + usize::from(self.sizes)
                + usize::from(self.flags == SampleFlags::Each)
                + usize::from(self.offsets));
        20 + 4 * usize::from(self.flags == SampleFlags::First) + entry * self.samples
    }

    fn moof_bytes(&self) -> usize {
        8 + 16 + 8 + self.tfhd_bytes() + 20 + self.trun_bytes()
    }

    fn put_traf(&self, w: &mut BoxWriter, first: &Sample, samples: &[Sample], data_offset: usize) {
        let set = |on: bool, bit: u32| if on { bit } else { 0 };
        let default_flags = self.flags != SampleFlags::Each;
        let tfhd = 0x02_0002 | set(!self.durations, 8) | set(!self.sizes, 0x10) | set(default_flags, 0x20);
        w.put_full_box(b"tfhd", 0, tfhd, |w| {
            w.u32(TRACK_ID);
            w.u32(1); // sample_description_index
            if !self.durations {
                w.u32(first.duration);
            }
            if !self.sizes {
                w.u32(first.data.len() as u32);
            }
            if default_flags {
                w.u32(flags(samples.last().unwrap_or(first)));
            }
        });
        w.put_full_box(b"tfdt", 1, 0, |w| w.u64(first.dts));
        let trun = 1
            | set(self.flags == SampleFlags::First, 4)
            | set(self.durations, 0x100)
            | set(self.sizes, 0x200)
            | set(self.flags == SampleFlags::Each, 0x400)
            | set(self.offsets, 0x800);
        w.put_full_box(b"trun", 1, trun, |w| {
            w.u32(samples.len() as u32);
            w.u32(data_offset as u32);
            if self.flags == SampleFlags::First {
                w.u32(flags(first));
            }
            for s in samples {
                if self.durations {
                    w.u32(s.duration);
                }
                if self.sizes {
                    w.u32(s.data.len() as u32);
                }
                if self.flags == SampleFlags::Each {
                    w.u32(flags(s));
                }
                if self.offsets {
                    w.u32(s.composition_offset as u32);
                }
            }
        });
    }
}

/// What decryption must know of each sample.
struct Auxiliary<'a>(&'a [EncryptedSample]);

impl Auxiliary<'_> {
    fn has_subsamples(&self) -> bool {
        self.0.iter().any(|e| !e.subsamples.is_empty())
    }

    fn size_of(&self, sample: &EncryptedSample) -> usize {
        let map = if self.has_subsamples() { 2 + 6 * sample.subsamples.len() } else { 0 };
        sample.iv.map_or(0, |iv| iv.len()) + map
    }

    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|e| self.size_of(e))
    }

    /// The size that all have.
    fn common(&self) -> Option<usize> {
        let first = self.sizes().next().unwrap_or(0);
        self.sizes().all(|size| size == first).then_some(first)
    }

    fn bytes(&self) -> usize {
        let senc = 16 + self.sizes().sum::<usize>();
        let saiz = 17 + if self.common().is_some() { 0 } else { self.0.len() };
        // Where no sample has anything of its own, there is nothing to point at.
        senc + if self.common() == Some(0) { 0 } else { saiz + 20 }
    }

    /// Writes `senc`, `saio` and `saiz`; `before` bytes of `moof` come before them.
    fn put(&self, w: &mut BoxWriter, before: usize) {
        let map = self.has_subsamples();
        w.put_full_box(b"senc", 0, if map { 2 } else { 0 }, |w| {
            w.u32(self.0.len() as u32);
            for sample in self.0 {
                sample.iv.iter().for_each(|iv| w.bytes(iv));
                if map {
                    w.u16(sample.subsamples.len() as u16);
                    for s in &sample.subsamples {
                        w.u16(s.clear as u16);
                        w.u32(s.protected);
                    }
                }
            }
        });
        if self.common() == Some(0) {
            return;
        }
        w.put_full_box(b"saio", 0, 0, |w| {
            w.u32(1);
            w.u32((before + 16) as u32); // from the start of moof to behind senc's own fields
        });
        w.put_full_box(b"saiz", 0, 0, |w| {
            w.u8(self.common().unwrap_or(0) as u8);
            w.u32(self.0.len() as u32);
            if self.common().is_none() {
                self.sizes().for_each(|size| w.u8(size as u8));
            }
        });
    }
}
