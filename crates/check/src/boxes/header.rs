//! The CMAF header (init segment): what it says, and rules 3.1, 3.2, 3.3, 3.9 and 1.19.

use super::codecs;
use super::encryption::{self, Encryption};
use super::walk::{Box, be_by_version, be16, be32, boxes, child, children, descend, name};
use crate::finding::Findings;

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Anything else.
    Other,
}

/// What an init segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Major brand.
    pub major_brand: [u8; 4],
    /// All compatible brands.
    pub brands: Vec<[u8; 4]>,
    /// Track id.
    pub track_id: u32,
    /// Ticks per second.
    pub timescale: u32,
    /// Kind of media.
    pub media: Media,
    /// Sample entry type, such as `avc1`; of an encrypted track the one that decryption gives back.
    pub sample_entry: [u8; 4],
    /// How samples are encrypted, if they are.
    pub encryption: Option<Encryption>,
    /// RFC 6381 string, as far as we can tell.
    pub codec: String,
    /// Width and height of the sample entry (video).
    pub size: (u32, u32),
    /// Samples per second of the sample entry (audio).
    pub sample_rate: u32,
    /// Bytes of a NAL unit's length (AVC, HEVC).
    pub nal_length_bytes: usize,
    /// Default sample duration, size and flags of `trex`.
    pub defaults: (u32, u32, u32),
    /// Media time of the only edit, if there is an edit list.
    pub edit: Option<i64>,
}

/// Reads an init segment and asks its rules. `None` if it cannot be used at all.
pub fn read(bytes: &[u8], url: &str, findings: &mut Findings) -> Option<Header> {
    let top = match boxes(bytes) {
        Ok(t) => t,
        Err(at) => {
            findings.error("3.1", url, format!("no whole box at byte {at}"));
            return None;
        }
    };
    let ftyp = top.first().filter(|b| b.is(b"ftyp"));
    let Some(ftyp) = ftyp else {
        findings.error("3.1", url, "ftyp is not the first box");
        return None;
    };
    let (major_brand, brands) = brands(ftyp, url, findings)?;
    let moovs: Vec<&Box<'_>> = top.iter().filter(|b| b.is(b"moov")).collect();
    let [moov] = moovs[..] else {
        findings.error("3.1", url, format!("{} moov boxes, there must be one", moovs.len()));
        return None;
    };
    for stray in top.iter().filter(|b| b.is(b"moof") || b.is(b"mdat") || b.is(b"styp")) {
        findings.error("3.1", url, format!("{} in a header", stray.name()));
    }
    order(moov, &[b"mvhd", b"trak", b"mvex", b"pssh"], url, findings);
    if !children(moov).first().is_some_and(|b| b.is(b"mvhd")) {
        findings.error("3.1", url, "mvhd is not first in moov");
    }
    let tracks = children(moov).into_iter().filter(|b| b.is(b"trak")).count();
    if tracks != 1 {
        findings.error("3.1", url, format!("{tracks} tracks, there must be one"));
    }
    track(moov, major_brand, brands, url, findings)
}

fn brands(ftyp: &Box<'_>, url: &str, findings: &mut Findings) -> Option<([u8; 4], Vec<[u8; 4]>)> {
    let major: [u8; 4] = ftyp.body.get(..4)?.try_into().ok()?;
    let compatible: Vec<[u8; 4]> = ftyp.body.get(8..)?.as_chunks::<4>().0.to_vec();
    let structural = [*b"cmfc", *b"cmf2"];
    if structural.contains(&major) && be32(ftyp.body, 4) != Some(0) {
        findings.error("3.3", url, "minor_version is not 0 under a structural CMAF brand");
    }
    if !structural.contains(&major) && !compatible.iter().any(|b| structural.contains(b)) {
        findings.error("3.3", url, "neither cmfc nor cmf2 among the brands");
    }
    // Rule 1.19: a brand compatible with iso6 or later.
    let late = [*b"iso6", *b"iso7", *b"iso8", *b"iso9", *b"cmfc", *b"cmf2"];
    if !late.contains(&major) && !compatible.iter().any(|b| late.contains(b)) {
        findings.error("1.19", url, "no brand compatible with iso6");
    }
    Some((major, compatible))
}

fn track(
    moov: &Box<'_>,
    major_brand: [u8; 4],
    brands: Vec<[u8; 4]>,
    url: &str,
    findings: &mut Findings,
) -> Option<Header> {
    let mut need = |what: &str, found: Option<Box<'_>>| -> Option<()> {
        if found.is_none() {
            findings.error("3.1", url, format!("no {what}"));
        }
        found.map(|_| ())
    };
    let trak = child(moov, b"trak")?;
    need("mvhd", child(moov, b"mvhd"))?;
    need("tkhd", child(&trak, b"tkhd"))?;
    need("mdhd", descend(&trak, &[b"mdia", b"mdhd"]))?;
    need("hdlr", descend(&trak, &[b"mdia", b"hdlr"]))?;
    need("stbl", descend(&trak, &[b"mdia", b"minf", b"stbl"]))?;
    need("trex", descend(moov, &[b"mvex", b"trex"]))?;
    let mdia = child(&trak, b"mdia")?;
    let minf = child(&mdia, b"minf")?;
    let stbl = child(&minf, b"stbl")?;
    order(&trak, &[b"tkhd", b"edts", b"mdia", b"udta"], url, findings);
    order(&mdia, &[b"mdhd", b"hdlr", b"elng", b"minf"], url, findings);
    order(&stbl, &[b"stsd", b"stts", b"stsc", b"stsz", b"stco", b"sgpd", b"stss"], url, findings);
    let hdlr = child(&mdia, b"hdlr")?;
    let media = match hdlr.body.get(8..12)? {
        b"vide" => Media::Video,
        b"soun" => Media::Audio,
        _ => Media::Other,
    };
    let media_header: &[u8; 4] = match media {
        Media::Video => b"vmhd",
        Media::Audio => b"smhd",
        Media::Other => b"nmhd",
    };
    order(&minf, &[media_header, b"dinf", b"stbl"], url, findings);
    if media != Media::Other && child(&minf, media_header).is_none() {
        findings.error("3.1", url, format!("no {}", name(*media_header)));
    }
    let track_id = movie_and_track(moov, &trak, media, url, findings)?;
    data_reference(&minf, url, findings);
    empty_tables(&stbl, url, findings);
    let trex = descend(moov, &[b"mvex", b"trex"])?;
    if be32(trex.body, 4) != Some(track_id) {
        findings.error("3.1", url, "trex names another track");
    }
    let mdhd = child(&mdia, b"mdhd")?;
    let (version, _) = mdhd.version_flags()?;
    let at = if version == 1 { 20 } else { 12 };
    let timescale = be32(mdhd.body, at)?;
    if timescale == 0 {
        findings.error("3.1", url, "the timescale is 0");
        return None;
    }
    if be_by_version(mdhd.body, at + 4, version) != Some(0) {
        findings.error("3.1", url, "the duration in mdhd is not 0");
    }
    let mut entry = sample_entry(&stbl, media, url, findings)?;
    let key_id = entry.encryption.as_ref().map(|e| e.key_id);
    let systems = encryption::systems(moov, key_id, url, findings);
    if let Some(encryption) = &mut entry.encryption {
        encryption.systems = systems;
    }
    Some(Header {
        major_brand,
        brands,
        track_id,
        timescale,
        media,
        sample_entry: entry.kind,
        encryption: entry.encryption,
        codec: entry.codec,
        size: entry.size,
        sample_rate: entry.sample_rate,
        nal_length_bytes: entry.nal_length_bytes,
        defaults: (be32(trex.body, 12)?, be32(trex.body, 16)?, be32(trex.body, 20)?),
        edit: edit_list(&trak, url, findings),
    })
}

/// Durations, matrix, rate, volume and size of `mvhd` and `tkhd`. Gives the track id.
fn movie_and_track(moov: &Box<'_>, trak: &Box<'_>, media: Media, url: &str, findings: &mut Findings) -> Option<u32> {
    let mvhd = child(moov, b"mvhd")?;
    let (version, _) = mvhd.version_flags()?;
    let at = if version == 1 { 24 } else { 16 };
    if be_by_version(mvhd.body, at, version) != Some(0) {
        findings.error("3.1", url, "the duration in mvhd is not 0");
    }
    let after = at + if version == 1 { 8 } else { 4 };
    if be32(mvhd.body, after) != Some(0x0001_0000) || be16(mvhd.body, after + 4) != Some(0x0100) {
        findings.error("3.1", url, "rate or volume in mvhd is not the default");
    }
    let tkhd = child(trak, b"tkhd")?;
    let (version, _) = tkhd.version_flags()?;
    let id_at = if version == 1 { 20 } else { 12 };
    let track_id = be32(tkhd.body, id_at)?;
    if be_by_version(tkhd.body, id_at + 8, version) != Some(0) {
        findings.error("3.1", url, "the duration in tkhd is not 0");
    }
    let matrix_at = id_at + 8 + if version == 1 { 8 } else { 4 } + 16;
    let matrix: Vec<Option<u32>> = (0..9).map(|i| be32(tkhd.body, matrix_at + i * 4)).collect();
    let identity = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000].map(Some);
    if matrix != identity {
        findings.error("3.1", url, "the matrix in tkhd is not the default");
    }
    let size = (be32(tkhd.body, matrix_at + 36)?, be32(tkhd.body, matrix_at + 40)?);
    if media != Media::Video && size != (0, 0) {
        findings.error("3.1", url, "width and height of a track that is not visual are not 0");
    }
    if media == Media::Video && (size.0 == 0 || size.1 == 0) {
        findings.error("3.1", url, "a video track without width and height");
    }
    Some(track_id)
}

fn data_reference(minf: &Box<'_>, url: &str, findings: &mut Findings) {
    let dref = descend(minf, &[b"dinf", b"dref"]);
    let entry = dref.and_then(|d| boxes(d.body.get(8..)?).ok());
    let good = dref.is_some_and(|d| be32(d.body, 4) == Some(1))
        && entry.is_some_and(|e| e.first().and_then(Box::version_flags).is_some_and(|(_, flags)| flags == 1));
    if !good {
        findings.error("3.1", url, "dref is not one entry with flag 1 (media in the same file)");
    }
}

fn empty_tables(stbl: &Box<'_>, url: &str, findings: &mut Findings) {
    for (kind, count_at) in [(b"stts", 4), (b"stsc", 4), (b"stsz", 8), (b"stco", 4)] {
        match child(stbl, kind) {
            None => findings.error("3.1", url, format!("no {}", name(*kind))),
            Some(table) if be32(table.body, count_at) != Some(0) => {
                findings.error("3.1", url, format!("{} is not empty", name(*kind)));
            }
            Some(_) => {}
        }
    }
}

/// Rule 3.9: one entry, segment duration 0, rate 1. Gives its media time.
fn edit_list(trak: &Box<'_>, url: &str, findings: &mut Findings) -> Option<i64> {
    let elst = descend(trak, &[b"edts", b"elst"])?;
    let (version, _) = elst.version_flags()?;
    let (duration, time, rate_at) = if version == 1 {
        (be_by_version(elst.body, 8, 1)?, be_by_version(elst.body, 16, 1)? as i64, 24)
    } else {
        (u64::from(be32(elst.body, 8)?), i64::from(be32(elst.body, 12)? as i32), 16)
    };
    if be32(elst.body, 4) != Some(1) || duration != 0 || be32(elst.body, rate_at) != Some(0x0001_0000) {
        findings.error("3.9", url, "the edit list is not one entry of duration 0 and rate 1");
    }
    Some(time)
}

struct Entry {
    kind: [u8; 4],
    encryption: Option<Encryption>,
    codec: String,
    size: (u32, u32),
    sample_rate: u32,
    nal_length_bytes: usize,
}

fn sample_entry(stbl: &Box<'_>, media: Media, url: &str, findings: &mut Findings) -> Option<Entry> {
    let stsd = child(stbl, b"stsd")?;
    let entries = boxes(stsd.body.get(8..)?).unwrap_or_default();
    let Some(entry) = entries.first() else {
        findings.error("3.1", url, "stsd has no sample entry");
        return None;
    };
    let mut out = Entry {
        kind: entry.kind,
        encryption: None,
        codec: entry.name(),
        size: (0, 0),
        sample_rate: 0,
        nal_length_bytes: 4,
    };
    let inner = match media {
        Media::Video => {
            out.size = (u32::from(be16(entry.body, 24)?), u32::from(be16(entry.body, 26)?));
            boxes(entry.body.get(78..)?).unwrap_or_default()
        }
        Media::Audio => {
            out.sample_rate = be32(entry.body, 24)? >> 16;
            boxes(entry.body.get(28..)?).unwrap_or_default()
        }
        Media::Other => Vec::new(),
    };
    if let Some((original, encryption)) = encryption::of_entry(entry, &inner, url, findings) {
        (out.kind, out.codec, out.encryption) = (original, name(original), Some(encryption));
    }
    let find = |kind: &[u8; 4]| inner.iter().find(|b| b.is(kind));
    match &out.kind {
        b"avc1" | b"avc3" => {
            let Some([_, profile, constraints, level, lengths, ..]) = find(b"avcC").map(|b| b.body) else {
                findings.error("3.1", url, "an AVC sample entry without avcC");
                return None;
            };
            out.codec = format!("{}.{profile:02x}{constraints:02x}{level:02x}", name(out.kind));
            out.nal_length_bytes = usize::from(lengths & 3) + 1;
        }
        b"hvc1" | b"hev1" => {
            let record = find(b"hvcC").map_or(&[][..], |b| b.body);
            let (Some(codec), Some(lengths)) = (codecs::hevc(&name(out.kind), record), record.get(21)) else {
                findings.error("3.1", url, "an HEVC sample entry without a readable hvcC");
                return None;
            };
            out.codec = codec;
            out.nal_length_bytes = usize::from(lengths & 3) + 1;
        }
        b"av01" => {
            let record = find(b"av1C").map_or(&[][..], |b| b.body);
            let Some(codec) = codecs::av1(record, find(b"colr").map(|b| b.body)) else {
                findings.error("3.1", url, "an AV1 sample entry without a readable av1C");
                return None;
            };
            out.codec = codec;
        }
        b"mp4a" => {
            let object_type = find(b"esds").and_then(|b| audio_object_type(b.body.get(4..)?));
            match object_type {
                Some(t) => out.codec = format!("mp4a.40.{t}"),
                None => findings.error("3.1", url, "an mp4a sample entry without a readable esds"),
            }
        }
        _ => {}
    }
    Some(out)
}

/// Audio object type out of an ES descriptor (ISO/IEC 14496-1 7.2.6).
fn audio_object_type(mut bytes: &[u8]) -> Option<u8> {
    // At most the three nested descriptors: ES, DecoderConfig, DecoderSpecificInfo.
    for _ in 0..3 {
        let tag = *bytes.first()?;
        let mut at = 1;
        while bytes.get(at)? & 0x80 != 0 && at < 4 {
            at += 1;
        }
        let body = bytes.get(at + 1..)?;
        bytes = match tag {
            3 => body.get(3..)?,
            4 => body.get(13..)?,
            5 => {
                let first = *body.first()?;
                let object_type = first >> 3;
                return if object_type == 31 {
                    Some(32 + ((first & 7) << 3 | body.get(1)? >> 5))
                } else {
                    Some(object_type)
                };
            }
            _ => return None,
        };
    }
    None
}

/// Rule 3.2: the boxes that are named here come in this order.
pub(super) fn order(parent: &Box<'_>, expected: &[&[u8; 4]], url: &str, findings: &mut Findings) {
    let places: Vec<usize> = children(parent).iter().filter_map(|b| expected.iter().position(|e| b.is(e))).collect();
    if !places.is_sorted() {
        let found: Vec<String> = children(parent).iter().map(Box::name).collect();
        findings.error("3.2", url, format!("order in {}: {}", parent.name(), found.join(" ")));
    }
}
