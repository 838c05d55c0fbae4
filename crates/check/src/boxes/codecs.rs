//! RFC 6381 strings of sample entries whose configuration says more than their name: H.265 (ISO/IEC 14496-15 Annex E) and
//! AV1 ("AV1 Codec ISO Media File Format Binding" section 5).

use std::fmt::Write as _;

/// Of an `hvcC` box, behind the name of the sample entry. `None` if it is too short.
pub(super) fn hevc(entry: &str, record: &[u8]) -> Option<String> {
    let [_, profile, c0, c1, c2, c3, constraints @ .., level] = record.get(..13)? else { return None };
    let space = ["", "A", "B", "C"].get(usize::from(profile >> 6))?;
    let compatibility = u32::from_be_bytes([*c0, *c1, *c2, *c3]).reverse_bits();
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let mut out = format!("{entry}.{space}{}.{compatibility:X}.{tier}{level}", profile & 0x1f);
    let said = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in constraints.iter().take(said) {
        // Writing to a String cannot fail.
        let _ = write!(out, ".{byte:X}");
    }
    Some(out)
}

/// Of an `av1C` box, and the body of a `colr` box if there is one.
pub(super) fn av1(record: &[u8], colour: Option<&[u8]>) -> Option<String> {
    let [_, profile_level, flags, ..] = record else { return None };
    let bit = |n: u32| flags >> n & 1;
    let depth = if bit(6) == 0 { 8 } else { 10 + 2 * bit(5) };
    let tier = if bit(7) == 0 { 'M' } else { 'H' };
    let mut out = format!("av01.{}.{:02}{tier}.{depth:02}", profile_level >> 5, profile_level & 0x1f);
    let position = if bit(3) & bit(2) == 1 { flags & 3 } else { 0 };
    let (mut primaries, mut transfer, mut matrix, mut full) = (1, 1, 1, 0);
    if let Some([b'n', b'c', b'l', b'x', _, p, _, t, _, m, range, ..]) = colour {
        (primaries, transfer, matrix, full) = (*p, *t, *m, range >> 7);
    }
    let more = format!(".{}.{}{}{position}.{primaries:02}.{transfer:02}.{matrix:02}.{full}", bit(4), bit(3), bit(2));
    if more != ".0.110.01.01.01.0" {
        out.push_str(&more);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_records() {
        let main = [1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93, 0xf0];
        assert_eq!(hevc("hvc1", &main).as_deref(), Some("hvc1.1.6.L93.90"));
        let high = [1, 0x64, 0x80, 0, 0, 0, 0xb0, 0, 3, 0, 0, 0, 120];
        assert_eq!(hevc("hev1", &high).as_deref(), Some("hev1.A4.1.H120.B0.0.3"));
        assert_eq!(hevc("hvc1", &main[..12]), None);
        assert_eq!(av1(&[0x81, 0x08, 0x0c, 0], None).as_deref(), Some("av01.0.08M.08"));
        let pq = b"nclx\0\x09\0\x10\0\x09\0";
        assert_eq!(av1(&[0x81, 0x0d, 0x4e, 0], Some(pq)).as_deref(), Some("av01.0.13M.10.0.112.09.16.09.0"));
        assert_eq!(av1(&[0x81], None), None);
    }
}
