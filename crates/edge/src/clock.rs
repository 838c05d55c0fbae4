//! The edge's clock: the one place of this crate that reads the time.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time: milliseconds on the monotonic clock since the process began to count. Objects that come from the
/// disk may lie before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// Time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This much later.
    pub fn plus(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(millis(time)))
    }

    /// This much earlier.
    pub fn minus(self, time: Duration) -> Moment {
        Moment(self.0.saturating_sub(millis(time)))
    }

    /// As milliseconds since 1970, for what outlives the process. The wall clock is read once only, so that a step of it
    /// changes no age.
    pub fn to_unix_ms(self) -> i64 {
        START.unix_ms.saturating_add(self.0)
    }

    /// From milliseconds since 1970.
    pub fn from_unix_ms(ms: i64) -> Moment {
        Moment(ms.saturating_sub(START.unix_ms))
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

struct Start {
    at: Instant,
    unix_ms: i64,
}

#[allow(clippy::disallowed_methods, reason = "the shell's one place that reads the clocks")]
static START: LazyLock<Start> = LazyLock::new(|| Start {
    at: Instant::now(),
    unix_ms: millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
});

/// Now.
pub fn now() -> Moment {
    Moment(millis(START.at.elapsed()))
}
