//! The output's frame rate: the usual rate nearest to what the input says or shows. Pure.

use millstream_media::grid::FrameRate;

/// Which rates may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// All of them.
    #[default]
    Any,
    /// 24, 25, 30, 48, 50, 60.
    Integer,
    /// 24000/1001, 30000/1001, 60000/1001.
    Ntsc,
}

/// The rates a channel can have, at most 60 a second.
const RATES: [(u32, u32); 9] =
    [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (48, 1), (50, 1), (60_000, 1001), (60, 1)];

/// The usual rate nearest to `frames` pictures in `nanos` nanoseconds (a declared rate `num/den` is `num` pictures in
/// `den` seconds). The distance is counted as a ratio. Of two rates equally near (nothing measures 30 apart from 29.97
/// to that degree in a short time) the integer one wins. No or a nonsensical measurement gives 30.
pub fn snap(frames: u64, nanos: u64, family: Family) -> FrameRate {
    let allowed = RATES.into_iter().filter(|(_, den)| match family {
        Family::Any => true,
        Family::Integer => *den == 1,
        Family::Ntsc => *den != 1,
    });
    let (frames, nanos) = if frames == 0 || nanos == 0 { (30, 1_000_000_000) } else { (frames, nanos) };
    // Twice the distance from a rate: |log| grows with max(a, b) / min(a, b); compared in parts per million.
    let distance = |(num, den): (u32, u32)| {
        let a = u128::from(frames) * u128::from(den) * 1_000_000_000;
        let b = u128::from(nanos) * u128::from(num);
        (a.max(b).saturating_mul(1_000_000) / a.min(b).max(1), den)
    };
    let best = allowed.min_by_key(|rate| distance(*rate)).unwrap_or((30, 1));
    FrameRate::new(best.0, best.1).unwrap_or_else(thirty)
}

/// The usual rate nearest to a declared one.
pub fn snap_declared(declared: FrameRate, family: Family) -> FrameRate {
    snap(u64::from(declared.num()), u64::from(declared.den()) * 1_000_000_000, family)
}

/// The rate for a file: `mean` pictures a second, which seem to lie on the grid of the rate `grid` (both fractions). Up to
/// 60 a second every picture finds a place: a usual rate where the file has one, else the file's own; for pictures that
/// come unevenly the rate of their grid.
pub fn of_file(mean: Option<(u32, u32)>, grid: Option<(u32, u32)>) -> FrameRate {
    let Some(mean) = mean.or(grid) else { return thirty() };
    let grid = grid.unwrap_or(mean);
    let per_mille = |a: (u32, u32), b: (u32, u32)| {
        let (a, b) = (u64::from(a.0) * u64::from(b.1), u64::from(b.0) * u64::from(a.1));
        a.abs_diff(b).saturating_mul(1000) / a.min(b).max(1)
    };
    let usual = |(num, den): (u32, u32)| {
        RATES.into_iter().find(|rate| per_mille(*rate, (num, den)) == 0).or_else(|| {
            RATES.into_iter().filter(|rate| per_mille(*rate, (num, den)) <= 5).min_by_key(|r| per_mille(*r, (num, den)))
        })
    };
    let is_slow = |(num, den): (u32, u32)| u64::from(num) <= 60 * u64::from(den);
    // Two fields of one picture lie on a grid of twice the rate.
    let are_fields = per_mille((mean.0.saturating_mul(2), mean.1), grid) == 0;
    let wanted = match (are_fields, is_slow(mean), is_slow(grid)) {
        (true, true, _) => mean,
        (false, _, true) => grid,
        (false, true, false) => {
            let is_enough = |r: &(u32, u32)| u64::from(r.0) * u64::from(mean.1) >= u64::from(mean.0) * u64::from(r.1);
            RATES.into_iter().find(is_enough).unwrap_or((60, 1))
        }
        (_, false, _) => (60, 1),
    };
    let (num, den) = usual(wanted).unwrap_or(wanted);
    FrameRate::new(num, den).unwrap_or_else(|| snap(num.into(), u64::from(den) * 1_000_000_000, Family::Any))
}

#[allow(clippy::expect_used, reason = "a constant that every test of this module goes through")]
fn thirty() -> FrameRate {
    FrameRate::new(30, 1).expect("30 is a frame rate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_snapped_to_the_usual_ones() {
        for (frames, nanos, family, expected) in [
            (30, 1_000_000_000, Family::Any, (30, 1)),
            (30_000, 1_001_000_000_000, Family::Any, (30_000, 1001)),
            (2997, 100_000_000_000, Family::Any, (30_000, 1001)),
            (2997, 100_000_000_000, Family::Integer, (30, 1)),
            (25, 1_000_000_000, Family::Ntsc, (24_000, 1001)),
            (59, 1_000_000_000, Family::Any, (60_000, 1001)),
            (144, 1_000_000_000, Family::Any, (60, 1)),
            (10, 1_000_000_000, Family::Integer, (24, 1)),
            (23_976, 1_000_000_000_000, Family::Any, (24_000, 1001)),
            (0, 0, Family::Any, (30, 1)),
            (u64::MAX, 1, Family::Any, (60, 1)),
        ] {
            let got = snap(frames, nanos, family);
            assert_eq!((got.num(), got.den()), expected, "{frames} in {nanos} ns, {family:?}");
        }
    }
    #[test]
    fn a_files_pictures_find_their_places() {
        for (mean, grid, expected) in [
            (Some((30, 1)), Some((30, 1)), (30, 1)),
            (Some((30_000, 1001)), Some((30_000, 1001)), (30_000, 1001)),
            (Some((2997, 100)), Some((30_000, 1001)), (30_000, 1001)),
            (Some((15, 1)), Some((15, 1)), (15, 1)),
            (Some((25, 2)), Some((25, 2)), (25, 2)),
            (Some((120, 1)), Some((120, 1)), (60, 1)),
            // Interlaced, its fields on a grid of their own.
            (Some((25, 1)), Some((50, 1)), (25, 1)),
            // A phone that drops to 24 in the dark, and a screen that changes now and then.
            (Some((24_300, 1000)), Some((30, 1)), (30, 1)),
            (Some((11, 1)), Some((60, 1)), (60, 1)),
            (Some((27, 1)), Some((1000, 1)), (30_000, 1001)),
            // An odd mean, as short files have.
            (Some((359_000, 12_001)), Some((30, 1)), (30, 1)),
            (None, Some((25, 1)), (25, 1)),
            (None, None, (30, 1)),
            (Some((u32::MAX, 1)), Some((u32::MAX, u32::MAX)), (1, 1)),
        ] {
            let got = of_file(mean, grid);
            assert_eq!((got.num(), got.den()), expected, "{mean:?}, {grid:?}");
        }
    }
}
