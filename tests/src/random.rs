//! Seeded numbers, so that a run can be repeated: `MILLSTREAM_TEST_SEED=…`.

/// A generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator from the environment's seed, or from `default`. Prints the seed, which the test's output shows when
    /// it fails.
    #[allow(clippy::disallowed_methods, reason = "the seed of a failed run comes in by the environment")]
    pub fn seeded(default: u64) -> Self {
        let seed = std::env::var("MILLSTREAM_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(default);
        println!("MILLSTREAM_TEST_SEED={seed}");
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of `low..high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % (high - low).max(1)
    }

    /// Bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }
}
