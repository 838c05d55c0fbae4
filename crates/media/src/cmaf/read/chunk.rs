//! Reading chunks: `moof` and `mdat`, with what precedes them.

use bytes::Bytes;

use super::cursor::Cursor;
use super::init::{Brands, Init, SampleDefaults};
use super::{BoxRef, Boxes, Error, ErrorKind, MAX_SAMPLES_PER_CHUNK, boxes};
use crate::cmaf::FourCc;
use crate::unit::Sample;

/// `prft`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPrft {
    /// Flags: what kind of event the time is of.
    pub flags: u32,
    /// 64-bit NTP time.
    pub ntp: u64,
    /// Media time in ticks.
    pub media_time: u64,
}

/// One sample of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSample {
    /// Decode time in ticks.
    pub dts: u64,
    /// Presentation time minus decode time, in ticks.
    pub composition_offset: i32,
    /// Duration in ticks.
    pub duration: u32,
    /// Sample flags.
    pub flags: u32,
    /// Where its bytes start, from the start of the input.
    pub offset: usize,
    /// How many there are.
    pub size: u32,
}

impl ReadSample {
    /// Whether it is a sync sample.
    pub fn key(&self) -> bool {
        self.flags & 0x1_0000 == 0
    }
}

/// A chunk, and the boxes before it that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadChunk {
    /// Where its first box starts (`styp`, `prft`, `emsg` or `moof`), from the start of the input.
    pub offset: usize,
    /// Where `moof` starts.
    pub moof_offset: usize,
    /// Where its `mdat` ends.
    pub end: usize,
    /// Brands of a preceding `styp`.
    pub styp: Option<Brands>,
    /// A preceding `prft`.
    pub prft: Option<ReadPrft>,
    /// Number of preceding `emsg` boxes.
    pub events: u32,
    /// `mfhd` sequence number.
    pub sequence_number: u32,
    /// Flags of `tfhd`: 0x020000 is default-base-is-moof, 0x1 base-data-offset-present.
    pub tfhd_flags: u32,
    /// Version of `tfdt`.
    pub tfdt_version: u8,
    /// Decode time of its first sample, in ticks.
    pub tfdt: u64,
    /// Version and flags of its first `trun`.
    pub trun: (u8, u32),
    /// Its samples.
    pub samples: Vec<ReadSample>,
}

impl ReadChunk {
    /// Sum of its samples' durations, in ticks.
    pub fn duration(&self) -> u64 {
        self.samples.iter().map(|s| u64::from(s.duration)).sum()
    }

    /// Its samples with their bytes, shared with `data`, which must be the input the chunk was read from.
    ///
    /// # Errors
    /// [`Error`] if a sample lies outside `data`.
    pub fn media_samples(&self, data: &Bytes) -> Result<Vec<Sample>, Error> {
        let sample = |s: &ReadSample| {
            let end = s.offset.saturating_add(s.size as usize);
            if end > data.len() {
                return Err(Error { offset: s.offset, kind: ErrorKind::Value("sample size") });
            }
            Ok(Sample {
                dts: s.dts,
                composition_offset: s.composition_offset,
                duration: s.duration,
                key: s.key(),
                data: data.slice(s.offset..end),
            })
        };
        self.samples.iter().map(sample).collect()
    }
}

/// The chunks of media segments that follow one another. After an error it ends.
#[derive(Clone, Debug)]
pub struct ChunkBoxes<'a> {
    boxes: Boxes<'a>,
    track_id: u32,
    defaults: SampleDefaults,
}

/// Reads the chunks in `data`: one or more segments of the track that `init` describes, without their init segment.
pub fn chunks<'a>(data: &'a [u8], init: &Init) -> ChunkBoxes<'a> {
    ChunkBoxes { boxes: boxes(data), track_id: init.track_id, defaults: init.defaults }
}

impl Iterator for ChunkBoxes<'_> {
    type Item = Result<ReadChunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read().transpose() {
            Some(Err(e)) => {
                self.boxes = boxes(&[]);
                Some(Err(e))
            }
            other => other,
        }
    }
}

impl ChunkBoxes<'_> {
    fn read(&mut self) -> Result<Option<ReadChunk>, Error> {
        let (mut start, mut styp, mut prft, mut events) = (None, None, None, 0u32);
        while let Some(b) = self.boxes.next().transpose()? {
            match &b.kind.0 {
                b"moof" => {
                    let mdat = self.mdat(b)?;
                    let mut chunk = moof(b, mdat, self.track_id, self.defaults)?;
                    chunk.offset = start.unwrap_or(b.offset);
                    (chunk.styp, chunk.prft, chunk.events) = (styp, prft, events);
                    return Ok(Some(chunk));
                }
                b"mdat" => return Err(b.error(ErrorKind::Order(b.kind))),
                b"styp" => styp = Some(Brands::parse(b)?),
                b"prft" => prft = Some(read_prft(b)?),
                b"emsg" => events += 1,
                _ => {}
            }
            start.get_or_insert(b.offset);
        }
        Ok(None)
    }

    fn mdat(&mut self, moof: BoxRef<'_>) -> Result<(usize, usize), Error> {
        let missing = Error { offset: moof.end(), kind: ErrorKind::Missing(FourCc(*b"mdat")) };
        let b = self.boxes.next().transpose()?.ok_or(missing)?;
        if b.kind.0 == *b"mdat" { Ok((b.body_offset(), b.end())) } else { Err(missing) }
    }
}

fn read_prft(b: BoxRef<'_>) -> Result<ReadPrft, Error> {
    let (mut c, version, flags) = Cursor::full(b)?;
    c.skip(4)?;
    Ok(ReadPrft { flags, ntp: c.u64()?, media_time: c.by_version(version)? })
}

fn moof(moof: BoxRef<'_>, mdat: (usize, usize), track_id: u32, trex: SampleDefaults) -> Result<ReadChunk, Error> {
    let (mut c, ..) = Cursor::full(moof.only(b"mfhd")?)?;
    let sequence_number = c.u32()?;
    let traf = moof.only(b"traf")?;
    let tfhd = traf.only(b"tfhd")?;
    let (mut c, _, tfhd_flags) = Cursor::full(tfhd)?;
    if c.u32()? != track_id {
        return Err(tfhd.error(ErrorKind::Value("track_ID")));
    }
    let base = if tfhd_flags & 1 != 0 { c.u64()? } else { moof.offset as u64 };
    if tfhd_flags & 2 != 0 {
        c.skip(4)?; // sample_description_index
    }
    let mut defaults = trex;
    if tfhd_flags & 8 != 0 {
        defaults.duration = c.u32()?;
    }
    if tfhd_flags & 0x10 != 0 {
        defaults.size = c.u32()?;
    }
    if tfhd_flags & 0x20 != 0 {
        defaults.flags = c.u32()?;
    }
    let (mut c, tfdt_version, _) = Cursor::full(traf.only(b"tfdt")?)?;
    let tfdt = c.by_version(tfdt_version)?;
    let mut runs = Runs { base, mdat, defaults, next_dts: tfdt, next_offset: None, samples: Vec::new() };
    let mut first_trun = None;
    for b in traf.children() {
        let b = b?;
        if b.kind.0 == *b"trun" {
            let version_and_flags = runs.read(b)?;
            first_trun.get_or_insert(version_and_flags);
        }
    }
    Ok(ReadChunk {
        offset: moof.offset,
        moof_offset: moof.offset,
        end: mdat.1,
        styp: None,
        prft: None,
        events: 0,
        sequence_number,
        tfhd_flags,
        tfdt_version,
        tfdt,
        trun: first_trun.ok_or(traf.error(ErrorKind::Missing(FourCc(*b"trun"))))?,
        samples: runs.samples,
    })
}

/// The `trun`s of a `traf`, one after the other.
struct Runs {
    base: u64,
    mdat: (usize, usize),
    defaults: SampleDefaults,
    next_dts: u64,
    /// Where the samples of the run before end.
    next_offset: Option<u64>,
    samples: Vec<ReadSample>,
}

impl Runs {
    fn read(&mut self, trun: BoxRef<'_>) -> Result<(u8, u32), Error> {
        let (mut c, version, flags) = Cursor::full(trun)?;
        let has = |bit: u32| flags & bit != 0;
        let count = c.u32()? as usize;
        let mut offset = match (has(1), self.next_offset) {
            (true, _) => self.base.checked_add_signed(i64::from(c.u32()? as i32)),
            (false, following) => Some(following.unwrap_or(self.base)),
        }
        .ok_or(trun.error(ErrorKind::Value("data offset")))?;
        let first_flags = if has(4) { Some(c.u32()?) } else { None };
        if count > MAX_SAMPLES_PER_CHUNK - self.samples.len() {
            return Err(trun.error(ErrorKind::TooMany("samples")));
        }
        for index in 0..count {
            let duration = if has(0x100) { c.u32()? } else { self.defaults.duration };
            let size = if has(0x200) { c.u32()? } else { self.defaults.size };
            let own_flags = if has(0x400) { Some(c.u32()?) } else { first_flags.filter(|_| index == 0) };
            let raw_offset = if has(0x800) { c.u32()? } else { 0 };
            let composition_offset = if version == 0 {
                i32::try_from(raw_offset).map_err(|_| c.error(ErrorKind::Value("composition offset")))?
            } else {
                raw_offset as i32
            };
            let end = offset.saturating_add(size.into());
            if offset < self.mdat.0 as u64 || end > self.mdat.1 as u64 {
                return Err(trun.error(ErrorKind::Value("sample position")));
            }
            self.samples.push(ReadSample {
                dts: self.next_dts,
                composition_offset,
                duration,
                flags: own_flags.unwrap_or(self.defaults.flags),
                offset: offset as usize,
                size,
            });
            offset = end;
            self.next_dts =
                self.next_dts.checked_add(duration.into()).ok_or(trun.error(ErrorKind::Value("decode time")))?;
        }
        self.next_offset = Some(offset);
        Ok((version, flags))
    }
}
