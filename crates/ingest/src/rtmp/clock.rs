//! RTMP's 32-bit milliseconds, unrolled to a clock that does not wrap (STANDARDS 6.6).

/// Half of the 32-bit circle, in milliseconds.
const HALF: i64 = 1 << 31;

/// How near to a step of exactly −2^31 ms a step must be to count as a 31-bit wrap.
const SIGNED_WRAP_SLACK_MS: i64 = 60_000;

/// Unrolls 32-bit timestamps by serial-number arithmetic: each one is taken as the instant nearest to the one before.
///
/// FFmpeg's FLV muxer keeps only 31 bits of a timestamp, so its streams wrap at 2^31 ms; a step back by 2^31 ms
/// (24.8 days) is therefore taken as that wrap. The result is congruent to the input modulo 2^31 ms in any case, and
/// modulo 2^32 ms unless that happened.
#[derive(Clone, Debug, Default)]
pub struct UnrolledClock {
    last: Option<i64>,
}

impl UnrolledClock {
    /// The next timestamp, in milliseconds; the first one is taken as it is.
    pub fn unroll(&mut self, timestamp: u32) -> i64 {
        let unrolled = match self.last {
            None => i64::from(timestamp),
            Some(last) => {
                let step = i64::from(timestamp.wrapping_sub(last as u32).cast_signed());
                let step = if step < SIGNED_WRAP_SLACK_MS - HALF { step + HALF } else { step };
                last.saturating_add(step)
            }
        };
        self.last = Some(unrolled);
        unrolled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unrolls_wraps_and_steps() {
        for (name, input, output) in [
            ("steady", vec![0, 40, 80], vec![0, 40, 80]),
            ("32-bit wrap", vec![u32::MAX - 19, 20, 60], vec![4_294_967_276, 4_294_967_316, 4_294_967_356]),
            ("interleaved over the wrap", vec![u32::MAX, 10, u32::MAX - 5, 30], {
                let w = 1_i64 << 32;
                vec![w - 1, w + 10, w - 6, w + 30]
            }),
            ("31-bit wrap", vec![0x7fff_fff0, 16, 56], vec![0x7fff_fff0, 0x8000_0010, 0x8000_0038]),
            ("reset to zero", vec![3_600_000, 0, 40], vec![3_600_000, 0, 40]),
        ] {
            let mut clock = UnrolledClock::default();
            assert_eq!(input.into_iter().map(|t| clock.unroll(t)).collect::<Vec<_>>(), output, "{name}");
        }
    }
}
