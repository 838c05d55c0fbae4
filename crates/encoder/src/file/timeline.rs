//! The time stamps of a file on one timeline without jumps. Pure.

/// A jump is closed where time stamps may jump (MPEG-TS put together), in nanoseconds.
const JUMP: i64 = 10_000_000_000;
/// Elsewhere a pause may be long: only what no file has is closed.
const NONSENSE: i64 = 3_600_000_000_000;

/// Longest pause that is kept, in seconds.
pub const LONGEST_PAUSE_SECONDS: i64 = NONSENSE / 1_000_000_000;

/// Maps a file's time stamps.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    bound: i64,
    shift: i64,
    newest: Option<i64>,
    jumps: u32,
}

impl Timeline {
    /// A timeline on which `origin` (nanoseconds) is zero.
    pub fn new(origin: i64, may_jump: bool) -> Self {
        let bound = if may_jump { JUMP } else { NONSENSE };
        Timeline { bound, shift: origin.saturating_neg(), newest: None, jumps: 0 }
    }

    /// What to add to the times of a packet with this time.
    pub fn shift(&mut self, time: i64) -> i64 {
        let mapped = time.saturating_add(self.shift);
        if let Some(newest) = self.newest {
            let ahead = mapped.saturating_sub(newest);
            if ahead > self.bound || ahead < -self.bound {
                self.shift = self.shift.saturating_sub(ahead);
                self.jumps += 1;
            }
        }
        let mapped = time.saturating_add(self.shift);
        self.newest = Some(self.newest.map_or(mapped, |n| n.max(mapped)));
        self.shift
    }

    /// Jumps that were closed.
    pub fn jumps(&self) -> u32 {
        self.jumps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn run(may_jump: bool, times: &[i64]) -> Vec<i64> {
        let mut timeline = Timeline::new(5 * S, may_jump);
        times.iter().map(|t| (t * S + timeline.shift(t * S)) / S).collect()
    }

    #[test]
    fn jumps_of_a_transport_stream_are_closed_both_ways() {
        assert_eq!(run(true, &[5, 6, 7, 90_000, 90_001, 3, 4]), [0, 1, 2, 2, 3, 3, 4]);
    }

    #[test]
    fn a_pause_is_kept_where_time_stamps_do_not_jump() {
        assert_eq!(run(false, &[5, 6, 1006, 1000]), [0, 1, 1001, 995]);
        assert_eq!(run(false, &[5, 6, 10_000_000]), [0, 1, 1]);
    }
}
