//! Which origin is asked, and in which order: what is remembered of those that failed. Time is a parameter.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;

/// How long an origin is left alone after its first failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// And at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What is known of one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it is asked.
    pub healthy: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Why it failed last.
    pub cause: Option<String>,
    /// When a probe may be sent to it next.
    probe_from: Moment,
}

/// The health of all origins, in the order of preference.
#[derive(Debug)]
pub struct Origins {
    all: Mutex<Vec<Health>>,
}

impl Origins {
    /// This many, all held for healthy.
    pub fn new(count: usize) -> Self {
        let new = Health { healthy: true, failures: 0, cause: None, probe_from: Moment::default() };
        Origins { all: Mutex::new(vec![new; count]) }
    }

    /// Whom to ask, in this order: the healthy ones by preference; if there is none, all.
    pub fn order(&self) -> Vec<usize> {
        let all = self.lock();
        let healthy: Vec<usize> = all.iter().enumerate().filter(|(_, h)| h.healthy).map(|(i, _)| i).collect();
        if healthy.is_empty() { (0..all.len()).collect() } else { healthy }
    }

    /// Whether this one is asked.
    pub fn is_healthy(&self, index: usize) -> bool {
        self.lock().get(index).is_some_and(|health| health.healthy)
    }

    /// The unhealthy ones whose pause is over. Each is given to one caller, who probes it.
    pub fn to_probe_at(&self, now: Moment) -> Vec<usize> {
        let mut due = Vec::new();
        for (index, health) in self.lock().iter_mut().enumerate() {
            if !health.healthy && health.probe_from <= now {
                health.probe_from = now.plus(LONGEST_PAUSE);
                due.push(index);
            }
        }
        due
    }

    /// It answered. True if it was held for unhealthy.
    pub fn succeeded(&self, index: usize) -> bool {
        let mut all = self.lock();
        let Some(health) = all.get_mut(index) else { return false };
        let back = !health.healthy;
        health.healthy = true;
        health.failures = 0;
        back
    }

    /// It did not answer. True if it was held for healthy.
    pub fn failed_at(&self, index: usize, cause: &str, now: Moment) -> bool {
        let mut all = self.lock();
        let Some(health) = all.get_mut(index) else { return false };
        let news = health.healthy;
        let pause = FIRST_PAUSE.saturating_mul(1 << health.failures.min(8)).min(LONGEST_PAUSE);
        health.failures = health.failures.saturating_add(1);
        health.healthy = false;
        health.cause = Some(cause.to_owned());
        health.probe_from = now.plus(pause);
        news
    }

    /// What is known of each.
    pub fn health(&self) -> Vec<Health> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Health>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_origin_costs_nothing_until_a_probe_finds_it_back() {
        let origins = Origins::new(2);
        assert_eq!(origins.order(), [0, 1]);
        assert!(origins.failed_at(0, "refused", Moment(0)));
        assert!(!origins.failed_at(0, "refused", Moment(0)), "told once");
        assert_eq!(origins.order(), [1]);
        assert!(origins.to_probe_at(Moment(499)).is_empty());
        assert_eq!(origins.to_probe_at(Moment(500)), [0]);
        assert!(origins.to_probe_at(Moment(501)).is_empty(), "one probe at a time");
        assert!(origins.succeeded(0));
        assert_eq!(origins.order(), [0, 1], "back to the preferred one");
    }

    #[test]
    fn with_all_unhealthy_all_are_asked() {
        let origins = Origins::new(2);
        origins.failed_at(0, "a", Moment(0));
        origins.failed_at(1, "b", Moment(0));
        assert_eq!(origins.order(), [0, 1]);
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        let origins = Origins::new(1);
        for _ in 0..100 {
            origins.failed_at(0, "x", Moment(0));
        }
        assert!(origins.to_probe_at(Moment(7_999)).is_empty());
        assert_eq!(origins.to_probe_at(Moment(8_000)), [0]);
    }
}
