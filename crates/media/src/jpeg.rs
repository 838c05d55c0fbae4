//! Joining JPEG pictures (ISO/IEC 10918-1) without decoding them: pictures of one size that were coded with the same
//! tables become one picture in which they stand below each other; and taking such a picture apart again.
//!
//! The coded data of each picture begin with fresh predictors and end on a byte, which is just what a restart interval
//! is (E.1.4, E.2.4): so the scan of the joined picture is theirs, one after the other, with restart markers between.

use bytes::Bytes;

/// Longest header (everything before the scan) that is accepted, in bytes.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Restart markers count to seven.
const RESTARTS: usize = 8;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DRI: u8 = 0xdd;
const SOF0: u8 = 0xc0;

/// A baseline picture in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    /// From the start of image to the start of scan, that header included.
    header: Bytes,
    /// Where in it the height stands, and where the scan's header begins.
    height_at: usize,
    scan_at: usize,
    width: u16,
    height: u16,
    /// Minimum coded units in the picture.
    units: u16,
    /// Coded data, without the end of image.
    scan: Bytes,
}

impl Parts {
    /// `None` unless it is a baseline picture of one scan without restarts, whose height is whole rows of units.
    fn of(jpeg: &Bytes) -> Option<Parts> {
        if jpeg.first_chunk::<2>() != Some(&[0xff, SOI]) || jpeg.last_chunk::<2>() != Some(&[0xff, EOI]) {
            return None;
        }
        let (mut at, mut size) = (2, None);
        loop {
            let [0xff, marker, high, low] = *jpeg.get(at..)?.first_chunk::<4>()? else { return None };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let body = jpeg.get(at + 4..at + 2 + length)?;
            if at + 2 + length > MAX_HEADER_BYTES {
                return None;
            }
            match marker {
                SOF0 => {
                    let [_, h1, h2, w1, w2, count, sampling @ ..] = body else { return None };
                    let factors = || sampling.chunks_exact(3).take(usize::from(*count)).filter_map(|c| c.get(1));
                    let across = factors().map(|f| u16::from(f >> 4)).max()?;
                    let down = factors().map(|f| u16::from(f & 15)).max()?;
                    let (width, height) = (u16::from_be_bytes([*w1, *w2]), u16::from_be_bytes([*h1, *h2]));
                    let (wide, high) = (8 * across, 8 * down);
                    if wide == 0 || high == 0 || height == 0 || height % high != 0 {
                        return None;
                    }
                    let units = width.div_ceil(wide).checked_mul(height / high)?;
                    size = Some((at + 5, width, height, units));
                }
                // Other kinds of frames, and a picture with restarts of its own.
                0xc1..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf | DRI => return None,
                SOS => {
                    let end = at + 2 + length;
                    if end + 2 > jpeg.len() {
                        return None;
                    }
                    let (height_at, width, height, units) = size?;
                    let (header, scan) = (jpeg.slice(..end), jpeg.slice(end..jpeg.len() - 2));
                    // Stuffed bytes are the only 0xff in coded data.
                    let mut pairs = scan.windows(2);
                    if scan.last() == Some(&0xff) || pairs.any(|p| matches!(p, [0xff, 1..=0xff])) {
                        return None;
                    }
                    return Some(Parts { header, height_at, scan_at: at, width, height, units, scan });
                }
                _ => {}
            }
            at += 2 + length;
        }
    }
}

/// One picture of all of `pictures`, the first at the top. `None` if there is none, if one of them is no baseline
/// picture of a size and with tables that all have, or if they are too many for a JPEG.
pub fn stack(pictures: &[Bytes]) -> Option<Bytes> {
    let first = Parts::of(pictures.first()?)?;
    let rest: Vec<Parts> = pictures.iter().skip(1).map(Parts::of).collect::<Option<_>>()?;
    if rest.iter().any(|p| p.header != first.header) {
        return None;
    }
    let height = first.height.checked_mul(u16::try_from(pictures.len()).ok()?)?;
    let total = first.header.len() + 16 + pictures.iter().map(Bytes::len).sum::<usize>();
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(first.header.get(..first.height_at)?);
    out.extend_from_slice(&height.to_be_bytes());
    out.extend_from_slice(first.header.get(first.height_at + 2..first.scan_at)?);
    out.extend_from_slice(&[0xff, DRI, 0, 4]);
    out.extend_from_slice(&first.units.to_be_bytes());
    out.extend_from_slice(first.header.get(first.scan_at..)?);
    for (index, part) in std::iter::once(&first).chain(&rest).enumerate() {
        if let Some(before) = index.checked_sub(1) {
            out.extend_from_slice(&[0xff, 0xd0 + (before % RESTARTS) as u8]);
        }
        out.extend_from_slice(&part.scan);
    }
    out.extend_from_slice(&[0xff, EOI]);
    Some(Bytes::from(out))
}

/// The `count` pictures that [`stack`] joined to this one, the first at the top. `None` if it was not made so.
pub fn split(joined: &Bytes, count: u16) -> Option<Vec<Bytes>> {
    if joined.first_chunk::<2>() != Some(&[0xff, SOI]) || joined.last_chunk::<2>() != Some(&[0xff, EOI]) {
        return None;
    }
    // Its own header: without the restart interval, and with the height of one.
    let mut header = vec![0xff, SOI];
    let mut at = 2;
    let mut scan = loop {
        let [0xff, marker, high, low] = *joined.get(at..)?.first_chunk::<4>()? else { return None };
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        if end > MAX_HEADER_BYTES {
            return None;
        }
        let begins = header.len();
        if marker != DRI {
            header.extend_from_slice(joined.get(at..end)?);
        }
        if marker == SOF0 {
            let height = header.get_mut(begins + 5..begins + 7)?;
            let all = u16::from_be_bytes([*height.first()?, *height.last()?]);
            let one = all.checked_div(count).filter(|one| one.checked_mul(count) == Some(all))?;
            height.copy_from_slice(&one.to_be_bytes());
        }
        at = end;
        if marker == SOS {
            break joined.get(end..joined.len() - 2)?;
        }
    };
    let mut pictures = Vec::with_capacity(usize::from(count));
    for index in 0..usize::from(count) {
        let marker = [0xff, 0xd0 + (index % RESTARTS) as u8];
        let end = scan.windows(2).position(|w| w == marker);
        let (own, rest) = match end {
            Some(end) => (scan.get(..end)?, scan.get(end + 2..)?),
            None => (scan, &[][..]),
        };
        let picture = Bytes::from([&header, own, &[0xff, EOI]].concat());
        // Restarts that are not ours are found here: each part is a picture of its own.
        Parts::of(&picture)?;
        pictures.push(picture);
        scan = rest;
    }
    scan.is_empty().then_some(pictures)
}

/// Whether the picture can be stacked with others of its kind, and its size: width and height in pixels.
pub fn size(jpeg: &Bytes) -> Option<(u16, u16)> {
    Parts::of(jpeg).map(|p| (p.width, p.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 16 by 16 pixels that is no real one: the parts are what counts.
    fn picture(table: u8, scan: &[u8]) -> Bytes {
        let mut out = vec![0xff, SOI, 0xff, 0xdb, 0, 3, table];
        out.extend([0xff, SOF0, 0, 17, 8, 0, 16, 0, 16, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
        out.extend([0xff, SOS, 0, 3, 9]);
        out.extend(scan);
        out.extend([0xff, EOI]);
        Bytes::from(out)
    }

    #[test]
    fn scans_follow_each_other_between_restart_markers() {
        let scans: Vec<Vec<u8>> = (0..10).map(|n| vec![n, 0xff, 0, n]).collect();
        let pictures: Vec<Bytes> = scans.iter().map(|s| picture(1, s)).collect();
        let joined = stack(&pictures).unwrap();
        // The height is that of all, one restart interval is one picture.
        let frame = joined.windows(2).position(|w| w == [0xff, SOF0]).unwrap();
        assert_eq!(joined[frame + 5..frame + 9], [0, 160, 0, 16]);
        let restart = joined.windows(2).position(|w| w == [0xff, DRI]).unwrap();
        assert_eq!(joined[restart..restart + 6], [0xff, DRI, 0, 4, 0, 1]);
        let scan = joined.windows(2).position(|w| w == [0xff, SOS]).unwrap() + 5;
        let mut want = scans[0].clone();
        for (n, scan) in scans.iter().enumerate().skip(1) {
            want.extend([0xff, 0xd0 + ((n - 1) % 8) as u8]);
            want.extend(scan);
        }
        want.extend([0xff, EOI]);
        assert_eq!(joined[scan..], want);
    }

    #[test]
    fn a_joined_picture_falls_into_its_parts() {
        let pictures: Vec<Bytes> = (0..12).map(|n| picture(1, &[n, 0xff, 0, n])).collect();
        let joined = stack(&pictures).unwrap();
        assert_eq!(split(&joined, 12).unwrap(), pictures);
        for other in [0, 1, 5, 11, 24] {
            assert_eq!(split(&joined, other), None, "{other} parts");
        }
        for cut in 0..joined.len() {
            let mut hostile = joined.slice(..cut).to_vec();
            hostile.extend([0xff, EOI]);
            let parts = split(&Bytes::from(hostile), 12).unwrap_or_default();
            assert!(parts.iter().all(|p| size(p).is_some()), "cut at {cut}");
        }
    }

    #[test]
    fn what_does_not_belong_together_is_not_joined() {
        let one = picture(1, &[5]);
        assert!(stack(&[]).is_none());
        assert!(stack(&[one.clone(), picture(2, &[5])]).is_none(), "other tables");
        assert!(stack(&[picture(1, &[5, 0xff, 0xd0, 5])]).is_none(), "restarts of its own");
        assert!(stack(&[one.slice(..one.len() - 1)]).is_none(), "cut off");
        assert!(stack(&vec![one; 4096]).is_none(), "higher than a JPEG may be");
        for cut in 0..picture(1, &[5]).len() {
            let mut hostile = picture(1, &[5]).slice(..cut).to_vec();
            hostile.extend([0xff, EOI]);
            let _ = size(&Bytes::from(hostile));
        }
    }
}
