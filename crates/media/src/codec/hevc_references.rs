//! H.265 short-term reference picture sets (ITU-T H.265 7.3.7, 7.4.8). Each may be told by its difference from another, so
//! what they hold must be followed to know how long they are.

use super::Error;
use super::bits::BitReader;

/// Most pictures in a set (sps_max_dec_pic_buffering_minus1 is at most 15, for either direction).
const MAX_PICTURES: usize = 32;
/// Most sets of a sequence.
const MAX_SETS: u32 = 64;

/// A set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReferenceSet {
    /// Distance in picture order count, and whether the current picture uses it: the past from near to far, then the
    /// future from near to far.
    pictures: Vec<(i64, bool)>,
}

impl ReferenceSet {
    /// The sets of a sequence parameter set, with their number before them.
    pub(super) fn list(r: &mut BitReader<'_>) -> Result<Vec<Self>, Error> {
        let count = r.ue_max("num_short_term_ref_pic_sets", MAX_SETS)?;
        let mut sets: Vec<Self> = Vec::new();
        for _ in 0..count {
            let set = match sets.last() {
                Some(before) if r.flag()? => Self::predicted(r, before)?,
                _ => Self::explicit(r)?,
            };
            sets.push(set);
        }
        Ok(sets)
    }

    /// The set of a slice header, which may be told by its difference from any of the sequence's.
    pub(super) fn of_slice(r: &mut BitReader<'_>, sets: &[Self]) -> Result<Self, Error> {
        if sets.is_empty() || !r.flag()? {
            return Self::explicit(r);
        }
        let back = r.ue_max("delta_idx_minus1", MAX_SETS)? as usize + 1;
        let from = sets.len().checked_sub(back).and_then(|at| sets.get(at));
        Self::predicted(r, from.ok_or(Error::Invalid { field: "delta_idx_minus1", value: back as u64 - 1 })?)
    }

    /// Pictures that the current one uses.
    pub(super) fn used(&self) -> usize {
        self.pictures.iter().filter(|(_, used)| *used).count()
    }

    fn explicit(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let negative = r.ue_max("num_negative_pics", 16)?;
        let positive = r.ue_max("num_positive_pics", 16)?;
        let mut pictures = Vec::new();
        for (count, direction) in [(negative, -1), (positive, 1)] {
            let mut distance = 0;
            for _ in 0..count {
                distance += direction * (i64::from(r.ue()?) + 1);
                pictures.push((distance, r.flag()?));
            }
        }
        Ok(ReferenceSet { pictures })
    }

    /// Another set, moved by a distance; pictures may be left out, and the one it was told of may be added.
    fn predicted(r: &mut BitReader<'_>, from: &Self) -> Result<Self, Error> {
        let backwards = r.flag()?;
        let distance = i64::from(r.ue()?) + 1;
        let moved_by = if backwards { -distance } else { distance };
        let mut pictures = Vec::new();
        for (picture, _) in from.pictures.iter().copied().chain([(0, false)]) {
            let used = r.flag()?;
            // use_delta_flag, where it is not used
            let stays = used || r.flag()?;
            if stays && picture + moved_by != 0 {
                pictures.push((picture + moved_by, used));
            }
        }
        pictures.sort_unstable_by_key(|&(p, _)| (p > 0, p.abs()));
        if pictures.len() > MAX_PICTURES {
            return Err(Error::Invalid { field: "short-term reference pictures", value: pictures.len() as u64 });
        }
        Ok(ReferenceSet { pictures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits as a text of 0 and 1; spaces are passed over.
    fn bits(text: &str) -> Vec<u8> {
        let ones: Vec<u8> = text.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
        ones.chunks(8).map(|c| c.iter().enumerate().fold(0, |n, (i, b)| n | b << (7 - i))).collect()
    }

    /// Hardware encoders tell a set by the one before it: it must be followed, or the VUI behind it is misread.
    #[test]
    fn predicted_reference_sets_are_followed() {
        for (name, sets) in [
            // ue: 1 = 0, 010 = 1, 011 = 2, 00100 = 3.
            ("none", "1"),
            // One set: one picture back.
            ("explicit", "010  010 1  1 1"),
            // Second set: the first moved by -1, both pictures kept (one of them by use_delta_flag): two pictures.
            // Third set, from the second: three flags.
            ("predicted", "00100  010 1 1 1  1 1 1  1 01  1 1 1  1 1 1"),
            // The first set moved by +1 falls on the picture itself, which is none: one picture (the one ahead).
            ("onto itself", "00100  010 1 1 1  1 0 1  1 1  1 1 1  1 1"),
            // use_delta_flag 0 leaves a picture out.
            ("left out", "00100  010 1 1 1  1 1 1  00 1  1 1 1  1 1"),
        ] {
            let mut r = [sets, "10110011100011110000"].concat();
            r.retain(|c| c != ' ');
            let bytes = bits(&r);
            let reader = &mut BitReader::new(&bytes, "test");
            ReferenceSet::list(reader).unwrap();
            assert_eq!(reader.bits(20), Ok(0b1011_0011_1000_1111_0000), "{name}");
        }
    }
}
