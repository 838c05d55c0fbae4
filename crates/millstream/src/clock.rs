//! The process's clocks: the one place of this crate that reads the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millstream_media::time::{Clock, MonoTime, UtcTime};

/// The system's wall clock and monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[allow(clippy::disallowed_methods, reason = "the shell's one place that reads the clocks")]
    pub fn new() -> Self {
        SystemClock { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the shell's one place that reads the clocks")]
    fn utc(&self) -> UtcTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UtcTime(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn mono(&self) -> MonoTime {
        MonoTime(self.started.elapsed())
    }
}
