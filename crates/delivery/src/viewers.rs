//! How many watch: distinct clients that asked for a manifest lately, estimated from a bounded set of hashes.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

/// Distinct clients counted for each channel; above it the figure stays at the bound.
pub const MAX_COUNTED: usize = 200_000;

/// Counts clients over two half-open periods: the one that runs, and the one before it.
#[derive(Debug)]
pub struct Viewers {
    period: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: Duration,
    current: HashSet<u64>,
    last: HashSet<u64>,
}

impl Viewers {
    /// A counter whose figure covers between one and two times `period`; take the longest time between two manifest
    /// requests of a playing client.
    pub fn new(period: Duration) -> Self {
        Viewers { period, state: Mutex::new(State::default()) }
    }

    /// Notes a manifest request of the client with this hash (of its address and user agent).
    pub fn seen(&self, client: u64, now: Duration) {
        let mut state = self.lock();
        state.turn(self.period, now);
        if state.current.len() < MAX_COUNTED {
            state.current.insert(client);
        }
    }

    /// Clients seen lately.
    pub fn count_at(&self, now: Duration) -> usize {
        let mut state = self.lock();
        state.turn(self.period, now);
        let only_last = state.last.iter().filter(|client| !state.current.contains(client)).count();
        state.current.len() + only_last
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    fn turn(&mut self, period: Duration, now: Duration) {
        let age = now.saturating_sub(self.started);
        if age >= period {
            let current = std::mem::take(&mut self.current);
            self.last = if age < 2 * period { current } else { HashSet::new() };
            self.started = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_once_and_is_forgotten() {
        let viewers = Viewers::new(Duration::from_secs(6));
        let at = |s| Duration::from_secs(s);
        for s in 1..4 {
            viewers.seen(1, at(s));
            viewers.seen(2, at(s));
        }
        assert_eq!(viewers.count_at(at(4)), 2);
        viewers.seen(2, at(7));
        assert_eq!(viewers.count_at(at(8)), 2);
        assert_eq!(viewers.count_at(at(13)), 1);
        assert_eq!(viewers.count_at(at(40)), 0);
    }
}
