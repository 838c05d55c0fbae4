//! A media segment: what it holds, and rules 3.2, 3.4, 3.5, 3.6 (inside), 3.7, 3.8, 3.9, 3.11, 3.12 to 3.15, 1.21.

use std::collections::BTreeSet;

use super::encryption;
use super::header::{Header, Media, order};
use super::walk::{Box, be_by_version, be32, boxes, child, children, name};
use crate::finding::Findings;

/// Most samples read of one segment; more is a finding.
const MAX_SAMPLES: usize = 100_000;

/// What a media segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of chunks (`moof` + `mdat`).
    pub chunks: usize,
    /// `mfhd` sequence number of the first chunk.
    pub sequence: u32,
    /// Decode time of the first sample, in ticks.
    pub start: u64,
    /// Sum of sample durations, in ticks.
    pub duration: u64,
    /// Earliest presentation time, in ticks, with the header's edit list taken off.
    pub earliest: i64,
    /// Number of samples.
    pub samples: usize,
    /// Durations that occur, in ticks, ascending, each once.
    pub sample_durations: Vec<u32>,
    /// A `prft` box was there.
    pub has_prft: bool,
}

/// One sample of a chunk.
struct Sample {
    duration: u32,
    size: u32,
    flags: u32,
    composition: i64,
}

/// Reads a segment and asks its rules. `None` if it cannot be used at all.
pub fn read(bytes: &[u8], header: &Header, url: &str, findings: &mut Findings) -> Option<Segment> {
    let top = match boxes(bytes) {
        Ok(t) => t,
        Err(at) => {
            findings.error("3.4", url, format!("no whole box at byte {at} of {}", bytes.len()));
            return None;
        }
    };
    layout(&top, header, url, findings);
    let mut out: Option<Segment> = None;
    let mut expected = None;
    let mut ivs = BTreeSet::new();
    for (index, moof) in top.iter().enumerate().filter(|(_, b)| b.is(b"moof")) {
        let mdat = top.get(index + 1).filter(|b| b.is(b"mdat"));
        let Some(mdat) = mdat else { continue };
        let chunk = chunk((bytes, moof, mdat), header, out.is_none(), &mut ivs, url, findings)?;
        if expected.is_some_and(|e| e != chunk.start) {
            let message = format!("a chunk starts at {}, the one before ends at {}", chunk.start, expected?);
            findings.error("3.6", url, message);
        }
        expected = chunk.start.checked_add(chunk.duration);
        match &mut out {
            None => out = Some(chunk),
            Some(segment) => {
                segment.chunks += 1;
                segment.duration = segment.duration.saturating_add(chunk.duration);
                segment.samples += chunk.samples;
                segment.earliest = segment.earliest.min(chunk.earliest);
                segment.sample_durations.extend(chunk.sample_durations);
                segment.sample_durations.sort_unstable();
                segment.sample_durations.dedup();
            }
        }
    }
    let Some(mut segment) = out else {
        findings.error("3.4", url, "no chunk (moof and mdat)");
        return None;
    };
    segment.earliest = segment.earliest.saturating_sub(header.edit.unwrap_or(0));
    segment.has_prft = top.iter().any(|b| b.is(b"prft"));
    Some(segment)
}

/// What may stand where at the top: 3.4, 3.11, 3.12, 3.13, 3.14.
fn layout(top: &[Box<'_>], header: &Header, url: &str, findings: &mut Findings) {
    let mut seen_moof = false;
    for (index, this) in top.iter().enumerate() {
        let next = top.get(index + 1);
        match &this.kind {
            b"styp" if index != 0 => findings.error("3.12", url, "styp is not the first box"),
            b"styp" => styp(this, url, findings),
            b"prft" => {
                // `prft` of a chunk precedes that chunk's moof.
                if !top[index..].iter().any(|b| b.is(b"moof")) {
                    findings.error("3.13", url, "prft without a moof after it");
                }
                if be32(this.body, 4) != Some(header.track_id) {
                    findings.error("3.13", url, "prft names another track");
                }
            }
            b"emsg" if !top[index..].iter().any(|b| b.is(b"moof")) => {
                findings.error("3.11", url, "emsg after the last moof");
            }
            b"sidx" => {
                if seen_moof || top.iter().filter(|b| b.is(b"sidx")).count() > 1 {
                    findings.error("3.14", url, "more than one sidx, or one after a moof");
                }
                if be32(this.body, 4) != Some(header.track_id) || be32(this.body, 8) != Some(header.timescale) {
                    findings.error("3.14", url, "sidx has another track or timescale");
                }
            }
            b"moof" => {
                seen_moof = true;
                if next.is_none_or(|n| !n.is(b"mdat")) {
                    findings.error("3.4", url, "moof is not followed by mdat");
                }
            }
            b"mdat" if index == 0 || !top.get(index - 1).is_some_and(|b| b.is(b"moof")) => {
                findings.error("3.4", url, "mdat without a moof before it");
            }
            b"ftyp" | b"moov" => findings.error("3.4", url, format!("{} in a media segment", this.name())),
            _ => {}
        }
    }
}

fn styp(this: &Box<'_>, url: &str, findings: &mut Findings) {
    let compatible = this.body.get(8..).map(|b| b.as_chunks::<4>().0).unwrap_or_default();
    let major = this.body.get(..4).unwrap_or_default();
    let structural = [&b"cmfc"[..], b"cmf2"];
    if structural.contains(&major) && be32(this.body, 4) != Some(0) {
        findings.error("3.3", url, "minor_version of styp is not 0 under a structural CMAF brand");
    }
    let known = [*b"cmfs", *b"cmff", *b"cmfl"];
    if !known.iter().any(|k| &k[..] == major || compatible.contains(k)) {
        findings.error("3.12", url, "styp has none of the brands cmfs, cmff, cmfl");
    }
}

fn chunk(
    (bytes, moof, mdat): (&[u8], &Box<'_>, &Box<'_>),
    header: &Header,
    first: bool,
    ivs: &mut BTreeSet<Vec<u8>>,
    url: &str,
    findings: &mut Findings,
) -> Option<Segment> {
    order(moof, &[b"mfhd", b"traf"], url, findings);
    let trafs: Vec<Box<'_>> = children(moof).into_iter().filter(|b| b.is(b"traf")).collect();
    let [traf] = &trafs[..] else {
        findings.error("3.4", url, format!("{} traf boxes in a moof, there must be one", trafs.len()));
        return None;
    };
    order(traf, &[b"tfhd", b"tfdt", b"trun", b"senc", b"saio", b"saiz", b"sbgp", b"sgpd", b"subs"], url, findings);
    let mfhd = need(b"mfhd", moof, url, findings)?;
    let tfhd = need(b"tfhd", traf, url, findings)?;
    let tfdt = need(b"tfdt", traf, url, findings)?;
    need(b"trun", traf, url, findings)?;
    let defaults = track_defaults(tfhd.body, header, url, findings)?;
    let (version, _) = tfdt.version_flags()?;
    let start = be_by_version(tfdt.body, 4, version)?;
    if version != 1 {
        findings.error("3.15", url, format!("tfdt is version {version}; epoch times need 1"));
    }
    let (samples, runs_end) = samples(traf, moof, mdat, header, defaults, url, findings)?;
    if runs_end != mdat.end {
        let message = format!("the samples end at byte {runs_end}, the mdat at {}", mdat.end);
        findings.error("3.5", url, message);
    }
    let mut time = start;
    let mut earliest = i64::MAX;
    for sample in &samples {
        earliest = earliest.min(i64::try_from(time).ok()?.saturating_add(sample.composition));
        time = time.checked_add(u64::from(sample.duration))?;
    }
    if first {
        starts_independent(bytes, mdat, &samples, header, url, findings);
    }
    nal_units(bytes, mdat, &samples, header, url, findings);
    let sizes: Vec<usize> = samples.iter().map(|s| s.size as usize).collect();
    encryption::chunk(traf, moof, (&sizes, mdat.body), header, ivs, url, findings);
    let mut sample_durations: Vec<u32> = samples.iter().map(|s| s.duration).collect();
    sample_durations.sort_unstable();
    sample_durations.dedup();
    Some(Segment {
        chunks: 1,
        sequence: be32(mfhd.body, 4)?,
        start,
        duration: time - start,
        earliest,
        samples: samples.len(),
        sample_durations,
        has_prft: false,
    })
}

fn need<'a>(kind: &[u8; 4], parent: &Box<'a>, url: &str, findings: &mut Findings) -> Option<Box<'a>> {
    let found = child(parent, kind);
    if found.is_none() {
        findings.error("3.5", url, format!("no {}", name(*kind)));
    }
    found
}

/// Duration, size and flags that hold where `trun` says nothing, and whether `tfhd` itself said them.
fn track_defaults(tfhd: &[u8], header: &Header, url: &str, findings: &mut Findings) -> Option<[(u32, bool); 3]> {
    let flags = be32(tfhd, 0)? & 0x00ff_ffff;
    if be32(tfhd, 4) != Some(header.track_id) {
        findings.error("3.5", url, "tfhd names another track than the header");
    }
    if flags & 0x02_0000 == 0 {
        findings.error("3.5", url, "default-base-is-moof is not set");
    }
    if flags & 0x01 != 0 {
        findings.error("3.5", url, "base-data-offset is present");
    }
    let mut at = 8 + if flags & 0x01 != 0 { 8 } else { 0 } + if flags & 0x02 != 0 { 4 } else { 0 };
    let (duration, size, sample_flags) = header.defaults;
    let mut out = [(duration, false), (size, false), (sample_flags, false)];
    for (slot, bit) in out.iter_mut().zip([0x08, 0x10, 0x20]) {
        if flags & bit != 0 {
            *slot = (be32(tfhd, at)?, true);
            at += 4;
        }
    }
    Some(out)
}

/// All samples of a traf's runs, and where their bytes end.
fn samples(
    traf: &Box<'_>,
    moof: &Box<'_>,
    mdat: &Box<'_>,
    header: &Header,
    defaults: [(u32, bool); 3],
    url: &str,
    findings: &mut Findings,
) -> Option<(Vec<Sample>, usize)> {
    let mut out = Vec::new();
    let mut position = 0;
    for (index, trun) in children(traf).into_iter().filter(|b| b.is(b"trun")).enumerate() {
        let (version, flags) = trun.version_flags()?;
        if flags & 0x01 == 0 {
            findings.error("3.5", url, "trun without data-offset");
        }
        if version > 1 {
            findings.error("3.5", url, format!("trun version {version}"));
        }
        if version == 1 && flags & 0x800 != 0 && header.edit.is_some_and(|e| e != 0) {
            findings.error("3.9", url, "trun version 1 and an edit list at once");
        }
        let self_contained = header.brands.contains(b"cmf2") || header.major_brand == *b"cmf2";
        let said = [0x100, 0x200, 0x400].iter().zip(defaults).all(|(bit, (_, in_tfhd))| flags & bit != 0 || in_tfhd);
        if self_contained && !said {
            findings.error("3.8", url, "brand cmf2, but duration, size or flags are in trex only");
        }
        let count = be32(trun.body, 4)? as usize;
        if count == 0 || out.len() + count > MAX_SAMPLES {
            findings.error("3.5", url, format!("a run of {count} samples"));
            return None;
        }
        let mut at = 8;
        if flags & 0x01 != 0 {
            let offset = i64::from(be32(trun.body, at)? as i32);
            let absolute = usize::try_from(i64::try_from(moof.start).ok()? + offset).ok()?;
            let body = mdat.end - mdat.body.len();
            let expected = if index == 0 { body } else { position };
            if absolute != expected {
                findings.error("3.5", url, format!("data-offset leads to byte {absolute}, the data is at {expected}"));
            }
            position = absolute;
            at += 4;
        }
        let mut first_flags = None;
        if flags & 0x04 != 0 {
            first_flags = be32(trun.body, at);
            at += 4;
        }
        for i in 0..count {
            let mut field = |bit: u32, default: u32| -> Option<u32> {
                if flags & bit == 0 {
                    return Some(default);
                }
                at += 4;
                be32(trun.body, at - 4)
            };
            let [(duration, _), (size, _), (sample_flags, _)] = defaults;
            let (duration, size) = (field(0x100, duration)?, field(0x200, size)?);
            let sample_flags = field(0x400, if i == 0 { first_flags.unwrap_or(sample_flags) } else { sample_flags })?;
            let composition = field(0x800, 0)?;
            let composition = if version == 1 { i64::from(composition as i32) } else { i64::from(composition) };
            position = position.checked_add(size as usize)?;
            out.push(Sample { duration, size, flags: sample_flags, composition });
        }
    }
    Some((out, position))
}

/// Rules 3.7 and 1.21: the first sample can be decoded by itself.
fn starts_independent(
    bytes: &[u8],
    mdat: &Box<'_>,
    samples: &[Sample],
    header: &Header,
    url: &str,
    findings: &mut Findings,
) {
    let Some(first) = samples.first() else { return };
    if first.flags & 0x0001_0000 != 0 {
        findings.error("3.7", url, "the first sample is no sync sample");
        return;
    }
    let body = mdat.end - mdat.body.len();
    let Some(data) = bytes.get(body..body + first.size as usize) else { return };
    if header.sample_entry == *b"avc1" || header.sample_entry == *b"avc3" {
        let is_idr = nals(data, header.nal_length_bytes).is_some_and(|n| n.iter().any(|n| n[0] & 0x1f == 5));
        if !is_idr {
            findings.error("1.21", url, "the first sample is no IDR picture");
        }
    }
}

/// Every sample of AVC and HEVC is whole NAL units.
fn nal_units(bytes: &[u8], mdat: &Box<'_>, samples: &[Sample], header: &Header, url: &str, findings: &mut Findings) {
    if header.media != Media::Video || !matches!(&header.sample_entry, b"avc1" | b"avc3" | b"hvc1" | b"hev1") {
        return;
    }
    let mut at = mdat.end - mdat.body.len();
    for (index, sample) in samples.iter().enumerate() {
        let end = at + sample.size as usize;
        if bytes.get(at..end).and_then(|d| nals(d, header.nal_length_bytes)).is_none() {
            findings.error("3.5", url, format!("sample {index} of a chunk is not whole NAL units"));
            return;
        }
        at = end;
    }
}

/// The NAL units of a sample, none of them empty; `None` if the lengths do not add up.
fn nals(mut data: &[u8], length_bytes: usize) -> Option<Vec<&[u8]>> {
    let mut out = Vec::new();
    while !data.is_empty() {
        let length = data.get(..length_bytes)?.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
        let unit = data.get(length_bytes..length_bytes.checked_add(length)?)?;
        if unit.is_empty() {
            return None;
        }
        out.push(unit);
        data = &data[length_bytes + length..];
    }
    (!out.is_empty()).then_some(out)
}
