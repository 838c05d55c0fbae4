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
}
