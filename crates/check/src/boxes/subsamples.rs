//! Whether a sample's subsamples fit it, and leave clear what its codec wants clear: rule 3.17 (ISO/IEC 23001-7 9.5; "AV1
//! Codec ISO Media File Format Binding" 6.1).

use std::ops::Range;

use super::header::Header;

/// What must be known of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coded {
    units: Units,
    /// Protected runs are whole blocks.
    is_cenc: bool,
}

/// What samples are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Units {
    /// NAL units: bytes of their lengths, and of their headers.
    Nal(usize, usize),
    /// OBUs (AV1).
    Obu,
    /// Nothing that is known here.
    Other,
}

impl Coded {
    pub(super) fn of(header: &Header) -> Self {
        let units = match &header.sample_entry {
            b"avc1" | b"avc3" => Units::Nal(header.nal_length_bytes, 1),
            b"hvc1" | b"hev1" => Units::Nal(header.nal_length_bytes, 2),
            b"av01" => Units::Obu,
            _ => Units::Other,
        };
        Coded { units, is_cenc: header.encryption.as_ref().is_some_and(|e| e.scheme == *b"cenc") }
    }
}

/// Asks of the runs of clear and of protected bytes; none of them means that all is protected.
pub(super) fn fit(runs: &[(usize, usize)], sample: &[u8], coded: &Coded) -> Result<(), String> {
    let has_units = coded.units != Units::Other;
    if runs.is_empty() {
        return if has_units { Err("all of it is encrypted, headers too".to_owned()) } else { Ok(()) };
    }
    let covered: usize = runs.iter().map(|(clear, protected)| clear + protected).sum();
    if covered != sample.len() {
        return Err(format!("its subsamples cover {covered} of {} bytes", sample.len()));
    }
    if has_units && coded.is_cenc && runs.iter().any(|(_, protected)| protected % 16 != 0) {
        return Err("a protected run of cenc is no number of whole blocks".to_owned());
    }
    let mut at = 0;
    let mut protected = Vec::with_capacity(runs.len());
    for (clear, length) in runs {
        protected.push(at + clear..at + clear + length);
        at += clear + length;
    }
    let touches = |range: &Range<usize>| {
        protected.iter().any(|run| !run.is_empty() && run.start < range.end && run.end > range.start)
    };
    match coded.units {
        Units::Nal(length, header) => match nal_heads(sample, length, header).find(touches) {
            Some(head) => Err(format!("the NAL unit at byte {} has an encrypted length or header", head.start)),
            None => Ok(()),
        },
        Units::Obu => obus(sample, &touches, coded.is_cenc),
        Units::Other => Ok(()),
    }
}

fn nal_heads(sample: &[u8], length_bytes: usize, header_bytes: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut unit = 0;
    std::iter::from_fn(move || {
        let length = sample.get(unit..unit + length_bytes)?;
        let head = unit..unit + length_bytes + header_bytes;
        unit += length_bytes + length.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
        Some(head)
    })
}

const TILE_GROUP: u8 = 4;
const FRAME: u8 = 6;

/// Headers, sizes and all OBUs without tiles are clear; with `cbcs` the last byte of one with tiles is of a tile's
/// subsample.
fn obus(sample: &[u8], touches: &dyn Fn(&Range<usize>) -> bool, is_cenc: bool) -> Result<(), String> {
    let mut at = 0;
    while let Some(header) = sample.get(at) {
        let (kind, start) = (header >> 3 & 0xf, at);
        at += 1 + usize::from(header >> 2 & 1);
        let mut end = sample.len();
        if header & 2 != 0 {
            let mut size = 0_usize;
            for shift in (0..28).step_by(7) {
                let byte = *sample.get(at).ok_or_else(|| format!("the OBU at byte {start} has no end"))?;
                at += 1;
                size |= usize::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            end = at + size;
        }
        if end > sample.len() {
            return Err(format!("the OBU at byte {start} has no end"));
        }
        let has_tiles = matches!(kind, TILE_GROUP | FRAME);
        if touches(&(start..if has_tiles { at } else { end })) {
            return Err(format!("the OBU at byte {start} has an encrypted header, or is none with tiles"));
        }
        if has_tiles && !is_cenc && at < end && !touches(&(end - 1..end)) {
            return Err(format!("the OBU at byte {start} has tiles without a subsample"));
        }
        at = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_av1_tiles_alone_are_protected() {
        // A sequence header of 3 bytes, and a frame of 40.
        let mut sample = vec![0x0a, 3, 1, 2, 3, 0x32, 40];
        sample.resize(47, 0x55);
        let of = |is_cenc| Coded { units: Units::Obu, is_cenc };
        for (runs, is_cenc, fault) in [
            (&[(10, 37)][..], false, ""),
            (&[(15, 32)], true, ""),
            (&[(47, 0)], true, ""),
            (&[], false, "headers too"),
            (&[(10, 36)], false, "cover 46"),
            (&[(10, 37)], true, "whole blocks"),
            (&[(6, 41)], false, "the OBU at byte 5 has an encrypted header"),
            (&[(3, 1), (6, 37)], false, "the OBU at byte 0"),
            (&[(47, 0)], false, "without a subsample"),
            (&[(10, 20), (17, 0)], false, "without a subsample"),
        ] {
            match fit(runs, &sample, &of(is_cenc)) {
                Ok(()) => assert_eq!(fault, "", "{runs:?}"),
                Err(found) => assert!(!fault.is_empty() && found.contains(fault), "{runs:?}: {found}"),
            }
        }
        assert!(fit(&[(46, 0)], &sample[..46], &of(false)).unwrap_err().contains("no end"));
    }
}
