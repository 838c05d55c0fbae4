//! Reading init segments.

use bytes::Bytes;

use super::cursor::Cursor;
use super::{BoxRef, Error, ErrorKind, boxes};
use crate::cmaf::FourCc;
use crate::codec::{AacConfig, AudioConfig, Av1Config, AvcConfig, HevcConfig, OpusConfig, VideoConfig};
use crate::time::Timescale;

/// Brands of `ftyp` or `styp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brands {
    /// Major brand.
    pub major: FourCc,
    /// Minor version.
    pub minor: u32,
    /// Compatible brands.
    pub compatible: Vec<FourCc>,
}

impl Brands {
    pub(super) fn parse(b: BoxRef<'_>) -> Result<Self, Error> {
        let mut c = Cursor::new(b);
        let (major, minor) = (FourCc(c.array()?), c.u32()?);
        let mut compatible = Vec::new();
        while c.remaining() >= 4 {
            if compatible.len() >= 64 {
                return Err(c.error(ErrorKind::TooMany("brands")));
            }
            compatible.push(FourCc(c.array()?));
        }
        Ok(Brands { major, minor, compatible })
    }
}

/// What `trex` says of samples that say nothing themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleDefaults {
    /// Duration in ticks.
    pub duration: u32,
    /// Size in bytes.
    pub size: u32,
    /// Sample flags.
    pub flags: u32,
}

/// The first entry of an edit list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditList {
    /// Number of entries.
    pub entries: u32,
    /// Segment duration in the movie's timescale.
    pub duration: u64,
    /// Media time in ticks; -1 for an empty edit.
    pub media_time: i64,
}

/// The codec of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitCodec {
    /// Video.
    Video(VideoConfig),
    /// Audio.
    Audio(AudioConfig),
    /// A sample entry that we do not read, such as an encrypted one or captions.
    Other(FourCc),
}

/// An init segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Brands of `ftyp`.
    pub brands: Brands,
    /// Track id.
    pub track_id: u32,
    /// The media's timescale.
    pub timescale: Timescale,
    /// Handler type: `vide`, `soun`, `text`, `subt`, `meta`.
    pub handler: FourCc,
    /// Language as three letters of ISO 639-2.
    pub language: [u8; 3],
    /// Durations of `mvhd`, `tkhd` and `mdhd`; all 0 in a CMAF header.
    pub durations: [u64; 3],
    /// Width and height of `tkhd`, 16.16.
    pub presentation_size: (u32, u32),
    /// Type of the sample entry.
    pub sample_entry: FourCc,
    /// Its codec configuration.
    pub codec: InitCodec,
    /// Width and height of a visual sample entry.
    pub coded_size: Option<(u16, u16)>,
    /// Mean bit rate of `btrt`, in bit/s.
    pub bit_rate: Option<u32>,
    /// What `trex` says.
    pub defaults: SampleDefaults,
    /// The edit list, if there is one.
    pub edit_list: Option<EditList>,
    /// Bytes of `ftyp` and `moov` together with what lies between: where media may begin.
    pub end: usize,
}

/// Reads an init segment of one track. Bytes behind `moov` are left alone.
///
/// # Errors
/// [`Error`] if it is none.
pub fn init(data: &[u8]) -> Result<Init, Error> {
    let mut brands = None;
    for b in boxes(data) {
        let b = b?;
        match &b.kind.0 {
            b"ftyp" if brands.is_some() => return Err(b.error(ErrorKind::Duplicate(b.kind))),
            b"ftyp" => brands = Some(Brands::parse(b)?),
            b"moov" => {
                let brands = brands.ok_or(b.error(ErrorKind::Missing(FourCc(*b"ftyp"))))?;
                return moov(b, brands);
            }
            b"moof" | b"mdat" => return Err(b.error(ErrorKind::Order(b.kind))),
            _ => {}
        }
    }
    Err(Error { offset: data.len(), kind: ErrorKind::Missing(FourCc(*b"moov")) })
}

fn moov(moov: BoxRef<'_>, brands: Brands) -> Result<Init, Error> {
    let trak = moov.only(b"trak")?;
    let mdia = trak.only(b"mdia")?;
    let stbl = mdia.only(b"minf")?.only(b"stbl")?;
    let mvhd_duration = header_duration(moov.only(b"mvhd")?)?.1;
    let (tkhd_duration, track_id, presentation_size) = tkhd(trak.only(b"tkhd")?)?;
    let mdhd = mdia.only(b"mdhd")?;
    let (scale, mdhd_duration, language) = header_duration(mdhd)?;
    let timescale = Timescale::new(scale).ok_or(mdhd.error(ErrorKind::Value("timescale")))?;
    let (mut c, ..) = Cursor::full(mdia.only(b"hdlr")?)?;
    c.skip(4)?;
    let handler = FourCc(c.array()?);
    let entry = sample_entry(stbl.only(b"stsd")?, handler)?;
    Ok(Init {
        brands,
        track_id,
        timescale,
        handler,
        language,
        durations: [mvhd_duration, tkhd_duration, mdhd_duration],
        presentation_size,
        sample_entry: entry.kind,
        codec: entry.codec,
        coded_size: entry.coded_size,
        bit_rate: entry.bit_rate,
        defaults: trex(moov.only(b"mvex")?, track_id)?,
        edit_list: edit_list(trak)?,
        end: moov.end(),
    })
}

/// Timescale, duration and (of `mdhd`) language of `mvhd` or `mdhd`.
fn header_duration(b: BoxRef<'_>) -> Result<(u32, u64, [u8; 3]), Error> {
    let (mut c, version, _) = Cursor::full(b)?;
    c.skip(if version == 1 { 16 } else { 8 })?;
    let scale = c.u32()?;
    let duration = c.by_version(version)?;
    let packed = c.u16()?;
    let letter = |shift: u16| (packed >> shift & 0x1f) as u8 + 0x60;
    Ok((scale, duration, [letter(10), letter(5), letter(0)]))
}

fn tkhd(b: BoxRef<'_>) -> Result<(u64, u32, (u32, u32)), Error> {
    let (mut c, version, _) = Cursor::full(b)?;
    c.skip(if version == 1 { 16 } else { 8 })?;
    let track_id = c.u32()?;
    if track_id == 0 {
        return Err(b.error(ErrorKind::Value("track_ID")));
    }
    c.skip(4)?;
    let duration = c.by_version(version)?;
    c.skip(16 + 36)?;
    Ok((duration, track_id, (c.u32()?, c.u32()?)))
}

fn trex(mvex: BoxRef<'_>, track_id: u32) -> Result<SampleDefaults, Error> {
    for b in mvex.children() {
        let b = b?;
        if b.kind.0 != *b"trex" {
            continue;
        }
        let (mut c, ..) = Cursor::full(b)?;
        if c.u32()? == track_id {
            c.skip(4)?;
            return Ok(SampleDefaults { duration: c.u32()?, size: c.u32()?, flags: c.u32()? });
        }
    }
    Err(mvex.error(ErrorKind::Missing(FourCc(*b"trex"))))
}

fn edit_list(trak: BoxRef<'_>) -> Result<Option<EditList>, Error> {
    let Some(edts) = trak.at_most_one(b"edts")? else { return Ok(None) };
    let Some(elst) = edts.at_most_one(b"elst")? else { return Ok(None) };
    let (mut c, version, _) = Cursor::full(elst)?;
    let entries = c.u32()?;
    if entries == 0 {
        return Ok(None);
    }
    let duration = c.by_version(version)?;
    let media_time = if version == 1 { c.u64()? as i64 } else { i64::from(c.u32()? as i32) };
    Ok(Some(EditList { entries, duration, media_time }))
}

struct Entry {
    kind: FourCc,
    codec: InitCodec,
    coded_size: Option<(u16, u16)>,
    bit_rate: Option<u32>,
}

/// Bytes of fields before the boxes in a visual and in an audio sample entry.
const VISUAL_FIELDS: usize = 78;
const AUDIO_FIELDS: usize = 28;

fn sample_entry(stsd: BoxRef<'_>, handler: FourCc) -> Result<Entry, Error> {
    let (mut c, ..) = Cursor::full(stsd)?;
    let count = c.u32()?;
    let first = stsd.children_after(8).next().ok_or(stsd.error(ErrorKind::Short(stsd.kind)))??;
    if count != 1 {
        return Err(stsd.error(ErrorKind::Value("number of sample entries")));
    }
    let fields = match &handler.0 {
        b"vide" => VISUAL_FIELDS,
        b"soun" => AUDIO_FIELDS,
        _ => {
            return Ok(Entry {
                kind: first.kind,
                codec: InitCodec::Other(first.kind),
                coded_size: None,
                bit_rate: None,
            });
        }
    };
    let mut c = Cursor::new(first);
    c.skip(fields)?;
    let mut coded_size = None;
    if fields == VISUAL_FIELDS {
        let mut c = Cursor::new(first);
        c.skip(24)?;
        coded_size = Some((c.u16()?, c.u16()?));
    }
    let mut bit_rate = None;
    let mut config = None;
    for b in first.children_after(fields) {
        let b = b?;
        match &b.kind.0 {
            b"btrt" => {
                let mut c = Cursor::new(b);
                c.skip(8)?;
                bit_rate = Some(c.u32()?);
            }
            b"avcC" | b"hvcC" | b"av1C" | b"esds" | b"dOps" => config = Some(b),
            _ => {}
        }
    }
    let codec = codec(first, config)?;
    Ok(Entry { kind: first.kind, codec, coded_size, bit_rate })
}

fn codec(entry: BoxRef<'_>, config: Option<BoxRef<'_>>) -> Result<InitCodec, Error> {
    let wanted = match &entry.kind.0 {
        b"avc1" | b"avc3" => b"avcC",
        b"hvc1" | b"hev1" => b"hvcC",
        b"av01" => b"av1C",
        b"mp4a" => b"esds",
        b"Opus" => b"dOps",
        _ => return Ok(InitCodec::Other(entry.kind)),
    };
    let b = config.filter(|b| b.kind.0 == *wanted).ok_or(entry.error(ErrorKind::Missing(FourCc(*wanted))))?;
    let record = Bytes::copy_from_slice(b.body);
    let result = match wanted {
        b"avcC" => AvcConfig::parse(record).map(|c| InitCodec::Video(VideoConfig::Avc(c))),
        b"hvcC" => HevcConfig::parse(record).map(|c| InitCodec::Video(VideoConfig::Hevc(c))),
        b"av1C" => Av1Config::parse(record).map(|c| InitCodec::Video(VideoConfig::Av1(c))),
        b"dOps" => OpusConfig::parse(record).map(|c| InitCodec::Audio(AudioConfig::Opus(c))),
        _ => {
            let asc = Bytes::copy_from_slice(decoder_specific_info(b)?);
            AacConfig::parse(asc).map(|c| InitCodec::Audio(AudioConfig::Aac(c)))
        }
    };
    result.map_err(|e| b.error(ErrorKind::Codec(e)))
}

/// The DecoderSpecificInfo in the descriptors of `esds`.
fn decoder_specific_info(esds: BoxRef<'_>) -> Result<&[u8], Error> {
    let short = esds.error(ErrorKind::Short(esds.kind));
    let rest = esds.body.get(4..).ok_or(short)?;
    let (stream, _) = descriptor(rest, 3).ok_or(short)?;
    let flags = *stream.get(2).ok_or(short)?;
    let mut at = 3;
    if flags & 0x80 != 0 {
        at += 2; // dependsOn_ES_ID
    }
    if flags & 0x40 != 0 {
        at += 1 + usize::from(*stream.get(at).ok_or(short)?); // URL
    }
    if flags & 0x20 != 0 {
        at += 2; // OCR_ES_Id
    }
    let (config, _) = descriptor(stream.get(at..).ok_or(short)?, 4).ok_or(short)?;
    let (info, _) = descriptor(config.get(13..).ok_or(short)?, 5).ok_or(short)?;
    if config.first() != Some(&0x40) {
        return Err(esds.error(ErrorKind::Value("objectTypeIndication")));
    }
    Ok(info)
}

/// The body of a descriptor with this tag, and what follows it.
fn descriptor(data: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, mut rest) = data.split_first()?;
    let mut size = 0usize;
    for _ in 0..4 {
        let (&b, after) = rest.split_first()?;
        rest = after;
        size = size << 7 | usize::from(b & 0x7f);
        if b & 0x80 == 0 {
            break;
        }
    }
    (found == tag).then_some(())?;
    rest.split_at_checked(size)
}
