//! Waiting on a condition with a limit: the one place of the tests that sleeps.

use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// An instant that must not be passed.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    #[allow(clippy::disallowed_methods, reason = "tests of real programs run on the real clock")]
    pub fn after(limit: Duration) -> Self {
        Deadline { started: Instant::now(), limit }
    }

    /// Time since it was set.
    pub fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// Whether it is over.
    pub fn passed(self) -> bool {
        self.elapsed() > self.limit
    }
}

/// Looks at `condition` until it gives something.
///
/// # Panics
/// When it has given nothing within `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, condition: impl FnMut() -> Option<T>) -> T {
    let found = within(limit, condition);
    assert!(found.is_some(), "waited {limit:?} in vain for {what}");
    found.unwrap()
}

/// Looks at `condition` until it gives something or `limit` is over.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Deadline::after(limit);
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if deadline.passed() {
            return None;
        }
        pause();
    }
}

/// Looks at `condition` for the whole of `span`: what must hold all that time.
///
/// # Panics
/// When it does not hold once; it says what it saw.
pub fn holds_for(what: &str, span: Duration, mut condition: impl FnMut() -> Result<(), String>) {
    let deadline = Deadline::after(span);
    while !deadline.passed() {
        if let Err(seen) = condition() {
            panic!("{what} did not hold after {:?}: {seen}", deadline.elapsed());
        }
        pause();
    }
}

#[allow(clippy::disallowed_methods, reason = "between two looks at a condition")]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

/// The time as tokens have it.
#[allow(clippy::disallowed_methods, reason = "tests of real programs run on the real clock")]
pub fn seconds_since_1970() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
