//! When a contribution is late or lost, and what the viewers are shown meanwhile (DESIGN 3). Pure.
//!
//! Three things are told apart. Jitter: nothing for less than [`Config::fill_after`]; nothing happens. Late or lost:
//! the output goes on without it, [`Config::fill_after`] behind the time that is due, first with the last picture,
//! then with the slate. Lost for good: nothing for [`Config::lost_after`]; the channel goes off air.
//! One track that is missing while the other flows is filled in the same way, [`Config::track_lag`] behind the other.

use std::time::Duration;

use millstream_media::time::{MonoTime, UtcTime};

/// The times that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// So long after the last unit the output begins to be filled; it then stays as far behind. More than the jitter
    /// of any usable contribution.
    pub fill_after: Duration,
    /// The same once the contributor is known to be disconnected.
    pub fill_after_disconnect: Duration,
    /// So far behind the other a track may be before it is filled.
    pub track_lag: Duration,
    /// The slate takes the last picture's place after so long without pictures.
    pub slate_after: Duration,
    /// The contribution is lost for good after so long (the channel's `reconnect_seconds`).
    pub lost_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            fill_after: Duration::from_secs(1),
            fill_after_disconnect: Duration::from_millis(300),
            track_lag: Duration::from_secs(1),
            slate_after: Duration::from_secs(3),
            lost_after: Duration::from_secs(30),
        }
    }
}

/// Which track a unit belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: all is well, or not yet late enough.
    Wait,
    /// Tell the encoder to make everything up to `until`.
    Advance {
        /// Media time.
        until: UtcTime,
        /// With the slate.
        slate: bool,
    },
    /// End the channel.
    Lost,
}

/// Least step of an advance: a whole number of them per frame would only be more messages.
const STEP: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
struct Front {
    /// Newest media time.
    time: UtcTime,
    /// When a unit last came.
    arrived: MonoTime,
}

/// Watches a contribution's arrivals.
#[derive(Clone, Copy, Debug)]
pub struct InputLoss {
    config: Config,
    /// Where the output begins, and when the watch began.
    begin: Front,
    video: Option<Front>,
    audio: Option<Front>,
    disconnected: bool,
    advanced: UtcTime,
}

impl InputLoss {
    /// Begins to watch; the output begins at media time `first`.
    pub fn new(config: Config, first: UtcTime, now: MonoTime) -> Self {
        let begin = Front { time: first, arrived: now };
        InputLoss { config, begin, video: None, audio: None, disconnected: false, advanced: first }
    }

    /// A unit came.
    pub fn unit(&mut self, kind: Kind, pts: UtcTime, now: MonoTime) {
        self.disconnected = false;
        let front = match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        };
        let time = front.map_or(pts, |f| f.time.max(pts));
        *front = Some(Front { time, arrived: now });
    }

    /// The contributor's connection has ended.
    pub fn disconnected(&mut self) {
        self.disconnected = true;
    }

    /// Whether nothing comes: no unit for the time after which the output is filled.
    pub fn is_lost_at(&self, now: MonoTime) -> bool {
        now.since(self.newest().arrived) > self.fill_after()
    }

    /// What to do at this moment. Ask every 100 ms or so.
    pub fn action_at(&mut self, now: MonoTime) -> Action {
        let newest = self.newest();
        let quiet = now.since(newest.arrived);
        if quiet >= self.config.lost_after {
            return Action::Lost;
        }
        // The media time that would be due if the contribution had gone on.
        let bridged = newest.time + quiet.saturating_sub(self.fill_after());
        let lost = quiet > self.fill_after();
        let front = self.video.iter().chain(&self.audio).map(|f| f.time).max().unwrap_or(self.begin.time);
        let behind = |track: Option<Front>| track.unwrap_or(self.begin).time + self.config.track_lag < front;
        let until = if lost {
            bridged.max(front)
        } else if behind(self.video) || behind(self.audio) {
            front - self.config.track_lag
        } else {
            return Action::Wait;
        };
        if until < self.advanced + STEP {
            return Action::Wait;
        }
        self.advanced = until;
        let slate = now.since(self.video.unwrap_or(self.begin).arrived) >= self.config.slate_after;
        Action::Advance { until, slate }
    }

    fn newest(&self) -> Front {
        let fronts = self.video.iter().chain(&self.audio);
        let time = fronts.clone().map(|f| f.time).max().unwrap_or(self.begin.time);
        let arrived = fronts.map(|f| f.arrived).max().unwrap_or(self.begin.arrived);
        Front { time, arrived }
    }

    fn fill_after(&self) -> Duration {
        if self.disconnected { self.config.fill_after_disconnect } else { self.config.fill_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_795_365_013_000;

    fn mono(ms: u64) -> MonoTime {
        MonoTime(Duration::from_millis(ms))
    }

    fn media(ms: u64) -> UtcTime {
        UtcTime::from_millis(T + ms as i64)
    }

    /// Plays arrivals (kind, media ms, arrival ms) and asks each 100 ms: (ms, until in ms, slate), and the end.
    fn play(arrivals: &[(Kind, u64, u64)], to_ms: u64) -> (Vec<(u64, i64, bool)>, Option<u64>) {
        let mut loss = InputLoss::new(Config::default(), media(0), mono(0));
        let mut advances = Vec::new();
        for now in (0..to_ms).step_by(100) {
            for (kind, pts, _) in arrivals.iter().filter(|a| a.2 <= now && a.2 + 100 > now) {
                loss.unit(*kind, media(*pts), mono(now));
            }
            match loss.action_at(mono(now)) {
                Action::Wait => {}
                Action::Advance { until, slate } => advances.push((now, until.as_millis() - T, slate)),
                Action::Lost => return (advances, Some(now)),
            }
        }
        (advances, None)
    }

    fn both(from: u64, to: u64, delay: impl Fn(u64) -> u64) -> Vec<(Kind, u64, u64)> {
        (from..to).step_by(20).flat_map(|t| [(Kind::Video, t, t + delay(t)), (Kind::Audio, t, t + delay(t))]).collect()
    }

    #[test]
    fn jitter_of_several_hundred_milliseconds_changes_nothing() {
        // Everything of each 800 ms comes at their end.
        let (advances, lost) = play(&both(0, 20_000, |t| 800 - t % 800), 20_000);
        assert!(advances.is_empty() && lost.is_none(), "{advances:?}");
    }

    #[test]
    fn a_loss_is_filled_a_second_behind_then_slated_then_given_up() {
        let (advances, lost) = play(&both(0, 5000, |_| 0), 60_000);
        let first = advances[0];
        assert!((6000..6300).contains(&first.0) && !first.2, "{first:?}");
        for (now, until, slate) in &advances {
            // 1 s behind the time that is due, to within the 20 ms grain of the arrivals.
            assert!((*now as i64 - 1000 - until).abs() <= 120, "{now} {until}");
            assert_eq!(*slate, *now >= 8000 - 20, "{now}");
        }
        assert!(advances.windows(2).all(|w| w[1].1 > w[0].1));
        assert!((34_900..35_200).contains(&lost.unwrap()), "{lost:?}");
    }

    #[test]
    fn a_return_ends_the_filling() {
        let mut arrivals = both(0, 5000, |_| 0);
        arrivals.extend(both(12_000, 20_000, |_| 0));
        let (advances, lost) = play(&arrivals, 20_000);
        assert!(lost.is_none() && advances.iter().all(|a| (6000..12_100).contains(&a.0)), "{advances:?}");
    }

    #[test]
    fn a_missing_track_is_filled_behind_the_other() {
        for missing in [Kind::Video, Kind::Audio] {
            let arrivals: Vec<_> =
                both(0, 10_000, |_| 0).into_iter().filter(|a| a.0 != missing || a.1 < 3000).collect();
            let (advances, lost) = play(&arrivals, 10_000);
            assert!(lost.is_none() && advances.len() > 30, "{missing:?}: {advances:?}");
            for (now, until, slate) in &advances {
                assert!((*now as i64 - 1000 - until).abs() <= 120, "{missing:?}: {now} {until}");
                assert_eq!(*slate, missing == Kind::Video && *now >= 5980, "{missing:?}: {now}");
            }
        }
    }

    #[test]
    fn a_track_that_was_never_there_is_filled_from_the_start() {
        let arrivals: Vec<_> = both(0, 5000, |_| 0).into_iter().filter(|a| a.0 == Kind::Audio).collect();
        let (advances, _) = play(&arrivals, 5000);
        assert!(advances.first().is_some_and(|a| a.0 <= 1300) && advances.last().is_some_and(|a| a.1 >= 3700));
    }

    #[test]
    fn a_known_disconnect_is_filled_sooner() {
        let mut loss = InputLoss::new(Config::default(), media(0), mono(0));
        loss.unit(Kind::Video, media(0), mono(0));
        loss.disconnected();
        assert_eq!(loss.action_at(mono(250)), Action::Wait);
        assert_eq!(loss.action_at(mono(500)), Action::Advance { until: media(200), slate: false });
        assert!(loss.is_lost_at(mono(500)));
    }
}
