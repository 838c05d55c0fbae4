//! Common Encryption (ISO/IEC 23001-7): what a header says of it, and whether chunks agree: rule 3.17.

use std::collections::BTreeSet;

use super::header::{Header, Media};
use super::subsamples::{self, Coded};
use super::walk::{Box, be16, be32, be64, boxes, child, children, descend, name};
use crate::finding::Findings;

/// Schemes that CMAF knows.
const SCHEMES: [&[u8; 4]; 4] = [b"cenc", b"cbcs", b"cens", b"cbc1"];

/// What a header says of how samples are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// Scheme, such as `cbcs`.
    pub scheme: [u8; 4],
    /// Key id of all samples.
    pub key_id: [u8; 16],
    /// Bytes of each sample's own IV; 0 if all have the same.
    pub iv_size: usize,
    /// System ids of the `pssh` boxes.
    pub systems: Vec<[u8; 16]>,
}

impl Encryption {
    /// The key id as a UUID.
    pub fn key_id_text(&self) -> String {
        uuid(self.key_id)
    }
}

/// Sixteen bytes as a UUID.
pub fn uuid(bytes: [u8; 16]) -> String {
    let dash = |i: usize| if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
    bytes.iter().enumerate().map(|(i, b)| format!("{}{b:02x}", dash(i))).collect()
}

/// Reads `sinf` of a sample entry. Gives the type of the clear sample entry, and the encryption.
pub(super) fn of_entry(
    entry: &Box<'_>,
    inner: &[Box<'_>],
    url: &str,
    findings: &mut Findings,
) -> Option<([u8; 4], Encryption)> {
    let sinf = inner.iter().find(|b| b.is(b"sinf"));
    let is_protected = matches!(&entry.kind, b"encv" | b"enca");
    let Some(sinf) = sinf else {
        if is_protected {
            findings.error("3.17", url, format!("{} without sinf", entry.name()));
        }
        return None;
    };
    if !is_protected {
        findings.error("3.17", url, format!("sinf in a sample entry {}, not encv or enca", entry.name()));
        return None;
    }
    let mut need = |what: &str, found: Option<Box<'_>>| {
        if found.is_none() {
            findings.error("3.17", url, format!("sinf without {what}"));
        }
        found.map(|b| b.body.to_vec())
    };
    let original = need("frma", child(sinf, b"frma"))?;
    let scheme = need("schm", child(sinf, b"schm"))?;
    let tenc = need("schi with tenc", descend(sinf, &[b"schi", b"tenc"]))?;
    let original: [u8; 4] = original.get(..4)?.try_into().ok()?;
    let version = be32(&scheme, 8);
    let scheme: [u8; 4] = scheme.get(4..8)?.try_into().ok()?;
    if !SCHEMES.contains(&&scheme) {
        findings.error("3.17", url, format!("scheme {} is none of CMAF's", name(scheme)));
    }
    if version != Some(0x0001_0000) {
        findings.error("3.17", url, "the scheme's version is not 0x00010000");
    }
    let (key_id, iv_size) = track_encryption(&tenc, scheme, entry.is(b"encv"), url, findings)?;
    Some((original, Encryption { scheme, key_id, iv_size, systems: Vec::new() }))
}

/// Asks the rules of `tenc`. Gives the key id and the size of each sample's IV.
fn track_encryption(
    tenc: &[u8],
    scheme: [u8; 4],
    video: bool,
    url: &str,
    findings: &mut Findings,
) -> Option<([u8; 16], usize)> {
    let (version, pattern) = (*tenc.first()?, *tenc.get(5)?);
    let (is_protected, iv_size) = (*tenc.get(6)?, usize::from(*tenc.get(7)?));
    let key_id: [u8; 16] = tenc.get(8..24)?.try_into().ok()?;
    if is_protected != 1 {
        findings.error("3.17", url, format!("isProtected in tenc is {is_protected}, not 1"));
    }
    if key_id == [0; 16] {
        findings.error("3.17", url, "the key id in tenc is all zero");
    }
    let constant = tenc.get(24).map_or(0, |size| usize::from(*size));
    match iv_size {
        0 if !matches!(constant, 8 | 16) || tenc.len() != 25 + constant => {
            findings.error("3.17", url, "tenc has neither IVs of samples nor a constant one of 8 or 16 bytes");
        }
        0 | 8 | 16 => {}
        other => findings.error("3.17", url, format!("an IV of {other} bytes; there are 0, 8 and 16")),
    }
    if scheme == *b"cbcs" {
        if version != 1 {
            findings.error("3.17", url, "tenc of cbcs is not version 1");
        }
        if iv_size != 0 {
            findings.error("3.17", url, "cbcs without a constant IV");
        }
        let (crypt, skip) = (pattern >> 4, pattern & 15);
        if video && (crypt, skip) != (1, 9) {
            findings.error("3.17", url, format!("the pattern of video is {crypt}:{skip}, not 1:9 (Apple 13.7)"));
        }
    } else if matches!(&scheme, b"cenc" | b"cbc1") && version == 1 && pattern != 0 {
        findings.error("3.17", url, format!("a pattern under scheme {}, which has none", name(scheme)));
    }
    Some((key_id, iv_size))
}

/// Reads the `pssh` boxes of a header: their form, and that those which name key ids name this one.
pub(super) fn systems(moov: &Box<'_>, key_id: Option<[u8; 16]>, url: &str, findings: &mut Findings) -> Vec<[u8; 16]> {
    let all = children(moov);
    let systems = all.iter().filter(|b| b.is(b"pssh")).filter_map(|pssh| {
        let read = read_pssh(pssh.body);
        match &read {
            None => findings.error("3.17", url, "a pssh box whose lengths do not add up"),
            Some((system, ids)) if !ids.is_empty() && key_id.is_some_and(|id| !ids.contains(&id)) => {
                findings.error("3.17", url, format!("pssh of {} names other key ids than tenc", uuid(*system)));
            }
            Some(_) => {}
        }
        read.map(|(system, _)| system)
    });
    systems.collect()
}

/// System id and key ids of the body of a `pssh` box, if its lengths add up.
pub fn read_pssh(body: &[u8]) -> Option<([u8; 16], Vec<[u8; 16]>)> {
    let system = body.get(4..20)?.try_into().ok()?;
    let (ids, at) = match body.first()? {
        0 => (&[][..], 20),
        1 => {
            let length = (be32(body, 20)? as usize).checked_mul(16)?;
            (body.get(24..24_usize.checked_add(length)?)?, 24 + length)
        }
        _ => return None,
    };
    let whole = body.len() == at.checked_add(4)?.checked_add(be32(body, at)? as usize)?;
    whole.then(|| (system, ids.as_chunks::<16>().0.to_vec()))
}

/// A sample's encryption as `senc` says it.
struct Entry {
    iv: Vec<u8>,
    /// Bytes in `senc`.
    size: usize,
    /// Runs of clear and of protected bytes; none if all of the sample is protected.
    runs: Vec<(usize, usize)>,
}

/// Asks of one chunk whether `senc`, `saiz` and `saio` are there, agree with each other and with the samples. `sizes` are
/// those of the samples, `data` their bytes; `seen` collects IVs over the chunks of a segment.
pub(super) fn chunk(
    traf: &Box<'_>,
    moof: &Box<'_>,
    (sizes, data): (&[usize], &[u8]),
    header: &Header,
    seen: &mut BTreeSet<Vec<u8>>,
    url: &str,
    findings: &mut Findings,
) {
    let (senc, saiz, saio) = (child(traf, b"senc"), child(traf, b"saiz"), child(traf, b"saio"));
    let Some(encryption) = &header.encryption else {
        if senc.is_some() || saiz.is_some() {
            findings.error("3.17", url, "senc or saiz, but the header says nothing of encryption");
        }
        return;
    };
    let Some(senc) = senc else {
        // Whole samples under a constant IV need no description.
        let described = saiz.is_some() && saio.is_some();
        if !described && (encryption.iv_size > 0 || header.media == Media::Video) {
            findings.error("3.17", url, "neither senc nor saiz and saio in an encrypted chunk");
        }
        return;
    };
    let Some(entries) = entries(senc.body, encryption.iv_size, sizes.len()) else {
        findings.error("3.17", url, format!("senc does not describe the chunk's {} samples", sizes.len()));
        return;
    };
    // `senc` lies in `traf`, whose body lies in `moof`, whose body lies in the file.
    let place = (moof.end - moof.body.len()) + (traf.end - traf.body.len()) + (senc.end - senc.body.len()) + 8;
    auxiliary(saiz, saio, &entries, place - moof.start, url, findings);
    let mut at = 0;
    for (index, (entry, size)) in entries.iter().zip(sizes).enumerate() {
        let sample = data.get(at..at + size).unwrap_or_default();
        at += size;
        if let Err(fault) = subsamples::fit(&entry.runs, sample, &Coded::of(header)) {
            findings.error("3.17", url, format!("sample {index} of a chunk: {fault}"));
            return;
        }
        if encryption.iv_size > 0 && !seen.insert(entry.iv.clone()) {
            findings.error("3.17", url, format!("sample {index} of a chunk has the IV of another"));
            return;
        }
    }
}

fn entries(senc: &[u8], iv_size: usize, samples: usize) -> Option<Vec<Entry>> {
    let has_runs = be32(senc, 0)? & 2 != 0;
    if be32(senc, 4)? as usize != samples {
        return None;
    }
    let mut at = 8;
    let mut out = Vec::new();
    for _ in 0..samples {
        let from = at;
        let iv = senc.get(at..at + iv_size)?.to_vec();
        at += iv_size;
        let count = if has_runs { usize::from(be16(senc, at)?) } else { 0 };
        at += if has_runs { 2 } else { 0 };
        let mut runs = Vec::new();
        for _ in 0..count {
            runs.push((usize::from(be16(senc, at)?), be32(senc, at + 2)? as usize));
            at += 6;
        }
        out.push(Entry { iv, size: at - from, runs });
    }
    (at == senc.len()).then_some(out)
}

/// `saiz` has the sizes of the entries of `senc`, `saio` says where the first is, counted from the start of `moof`.
fn auxiliary(
    saiz: Option<Box<'_>>,
    saio: Option<Box<'_>>,
    entries: &[Entry],
    place: usize,
    url: &str,
    findings: &mut Findings,
) {
    let (Some(saiz), Some(saio)) = (saiz, saio) else {
        if saiz.is_some() || saio.is_some() {
            findings.error("3.17", url, "one of saiz and saio without the other");
        }
        return;
    };
    // With flag 1 a type of eight bytes comes first.
    let skip = |b: &Box<'_>| if b.version_flags().is_some_and(|(_, flags)| flags & 1 != 0) { 12 } else { 4 };
    let at = skip(&saiz);
    let said: Option<Vec<usize>> = match saiz.body.get(at) {
        Some(0) => saiz.body.get(at + 5..).map(|sizes| sizes.iter().map(|s| usize::from(*s)).collect()),
        Some(size) => Some(vec![usize::from(*size); entries.len()]),
        None => None,
    };
    let count = be32(saiz.body, at + 1).map(|n| n as usize);
    if count != Some(entries.len()) || said.is_none_or(|said| !said.iter().eq(entries.iter().map(|e| &e.size))) {
        findings.error("3.17", url, "the sizes in saiz are not those of the entries of senc");
    }
    let at = skip(&saio);
    if be32(saio.body, at) != Some(1) {
        findings.error("3.17", url, "saio has not exactly one entry");
        return;
    }
    let offset = match saio.version_flags() {
        Some((0, _)) => be32(saio.body, at + 4).map(u64::from),
        _ => be64(saio.body, at + 4),
    };
    if offset != u64::try_from(place).ok() {
        let offset = offset.map_or_else(|| "nowhere".to_owned(), |o| format!("byte {o}"));
        findings.error("3.17", url, format!("saio leads to {offset} of moof, the first entry of senc is at {place}"));
    }
}

/// The `pssh` box that stands in an MPD: one whole box.
pub fn pssh_system(bytes: &[u8]) -> Option<[u8; 16]> {
    let all = boxes(bytes).ok()?;
    let [only] = &all[..] else { return None };
    only.is(b"pssh").then(|| read_pssh(only.body)).flatten().map(|(system, _)| system)
}
