//! Whether the machine keeps up, and when to shed a rendition. Pure.
//!
//! The backlog is the contribution that is in but not out, in media time. A machine that keeps up has a steady backlog
//! of a few frames; one that does not has a growing one. One rendition is shed at a time, and then it is waited whether
//! that was enough. Shed renditions stay off until the ladder is set anew: trying again would stutter again.

use std::time::Duration;

use millstream_media::time::MonoTime;

/// When to shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// A backlog up to this is no overload.
    pub threshold: Duration,
    /// So long the backlog may stay above the threshold without being worked off.
    pub patience: Duration,
    /// With a backlog of this much the patience is a third.
    pub urgent: Duration,
    /// After a start, or once a new ladder is in force, so long nothing is shed: what has gathered is worked off first.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            threshold: Duration::from_millis(1500),
            patience: Duration::from_secs(3),
            urgent: Duration::from_secs(4),
            settle: Duration::from_secs(2),
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Keep,
    /// Shed the highest rendition, if it is not the last.
    Shed,
}

/// Watches the backlog.
#[derive(Clone, Copy, Debug)]
pub struct Overload {
    config: Config,
    /// Since when the backlog above the threshold is watched, and how large it was then.
    above: Option<(MonoTime, Duration)>,
    settled_at: MonoTime,
}

impl Overload {
    /// Begins to watch.
    pub fn new(config: Config, now: MonoTime) -> Self {
        Overload { config, above: None, settled_at: now + config.settle }
    }

    /// Whatever was seen so far counts no more: the worker starts, or the ladder changes.
    pub fn settle(&mut self, now: MonoTime) {
        *self = Overload::new(self.config, now);
    }

    /// The backlog now.
    pub fn observe(&mut self, backlog: Duration, now: MonoTime) -> Decision {
        if backlog <= self.config.threshold || now < self.settled_at {
            self.above = None;
            return Decision::Keep;
        }
        let (since, then) = *self.above.get_or_insert((now, backlog));
        let patience = if backlog >= self.config.urgent { self.config.patience / 3 } else { self.config.patience };
        let watched = now.since(since);
        if watched >= patience {
            // A burst that the machine works off a tenth faster than life is no overload: watch on from here.
            if then.saturating_sub(backlog) >= watched / 10 {
                self.above = Some((now, backlog));
                return Decision::Keep;
            }
            self.settle(now);
            return Decision::Shed;
        }
        Decision::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    /// Feeds a backlog as a function of time, four times a second: when it sheds.
    fn sheds(seconds: u32, backlog: impl Fn(f64, usize) -> f64) -> Vec<f64> {
        let mut overload = Overload::new(Config::default(), MonoTime::default());
        let mut shed = Vec::new();
        for tick in 0..seconds * 4 {
            let t = f64::from(tick) / 4.0;
            let decision = overload.observe(secs(backlog(t, shed.len()).max(0.0)), MonoTime(secs(t)));
            if decision == Decision::Shed {
                shed.push(t);
            }
        }
        shed
    }

    #[test]
    fn a_machine_that_keeps_up_sheds_nothing() {
        assert!(sheds(600, |_, _| 0.4).is_empty());
        // A spike that is worked off.
        assert!(sheds(60, |t, _| if (20.0..24.0).contains(&t) { 3.0 - (t - 20.0) } else { 0.3 }).is_empty());
        // A contribution that stalled brings six seconds at once; the machine has a fifth to spare.
        assert!(sheds(90, |t, _| if t < 20.0 { 0.3 } else { (6.0 - (t - 20.0) * 0.2).max(0.3) }).is_empty());
        // Short spikes again and again.
        assert!(sheds(60, |t, _| if t % 5.0 < 1.0 { 2.5 } else { 0.3 }).is_empty());
    }

    #[test]
    fn a_growing_backlog_sheds_one_at_a_time() {
        // Too slow by a tenth until two are shed.
        let got = sheds(60, |t, shed| if shed < 2 { t * 0.1 } else { 0.3 });
        assert_eq!(got.len(), 2, "{got:?}");
        assert!(got[0] >= 15.0 && got[1] - got[0] >= 3.0, "{got:?}");
    }

    #[test]
    fn a_backlog_that_stays_sheds() {
        let got = sheds(30, |_, shed| if shed == 0 { 2.0 } else { 0.2 });
        assert_eq!(got, [5.0], "2 s to settle, 3 s of patience");
    }

    #[test]
    fn a_start_is_given_time() {
        assert!(sheds(3, |_, _| 10.0).is_empty());
        // A restarted worker works five seconds off at twice the speed of life.
        assert!(sheds(30, |t, _| (5.0 - t).max(0.3)).is_empty());
    }
}
