//! Console sessions: each is known by the hash of a random secret, ends when it is not used for a while, and ends anyway
//! after some hours.

use std::collections::HashMap;
use std::time::Duration;

use millstream_media::time::MonoTime;

use super::token::TokenHash;

/// Bounds of [`Sessions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A session ends so long after its last request. Default 1 h.
    pub idle: Duration,
    /// A session ends so long after the log-in. Default 12 h.
    pub longest: Duration,
    /// Sessions at once; the one that was used longest ago goes first. Default 1000, about 200 bytes each.
    pub max: usize,
    /// Sessions of one person at once, likewise. Default 20.
    pub max_each: usize,
}

impl Default for Config {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Config { idle: hours(1), longest: hours(12), max: 1000, max_each: 20 }
    }
}

/// Who is logged in. `W` says who it is.
#[derive(Debug)]
pub struct Sessions<W> {
    config: Config,
    sessions: HashMap<TokenHash, Session<W>>,
}

#[derive(Debug)]
struct Session<W> {
    who: W,
    used: MonoTime,
    ends: MonoTime,
}

impl<W: PartialEq> Sessions<W> {
    /// Nobody is logged in.
    pub fn new(config: Config) -> Self {
        Sessions { config, sessions: HashMap::new() }
    }

    /// Logs somebody in.
    pub fn open_at(&mut self, hash: TokenHash, who: W, now: MonoTime) {
        let idle = self.config.idle;
        self.sessions.retain(|_, session| session.is_open_at(now, idle));
        if self.sessions.values().filter(|session| session.who == who).count() >= self.config.max_each.max(1) {
            self.end_oldest(|session| session.who == who);
        }
        if self.sessions.len() >= self.config.max.max(1) {
            self.end_oldest(|_| true);
        }
        let ends = now + self.config.longest;
        self.sessions.insert(hash, Session { who, used: now, ends });
    }

    /// Whose session this is. It counts as used.
    pub fn use_at(&mut self, hash: &TokenHash, now: MonoTime) -> Option<&W> {
        let idle = self.config.idle;
        if !self.sessions.get(hash)?.is_open_at(now, idle) {
            self.sessions.remove(hash);
            return None;
        }
        let session = self.sessions.get_mut(hash)?;
        session.used = now;
        Some(&session.who)
    }

    /// Ends a session. Gives whose it was.
    pub fn end(&mut self, hash: &TokenHash) -> Option<W> {
        self.sessions.remove(hash).map(|session| session.who)
    }

    /// Ends all sessions of these people.
    pub fn end_all(&mut self, of: impl Fn(&W) -> bool) {
        self.sessions.retain(|_, session| !of(&session.who));
    }

    /// Ends all sessions of these people but this one.
    pub fn end_others(&mut self, of: impl Fn(&W) -> bool, but: Option<&TokenHash>) {
        self.sessions.retain(|hash, session| Some(hash) == but || !of(&session.who));
    }

    /// How many there are, those that ended by themselves included.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn end_oldest(&mut self, among: impl Fn(&Session<W>) -> bool) {
        let oldest = self.sessions.iter().filter(|(_, s)| among(s)).min_by_key(|(_, s)| s.used).map(|(hash, _)| *hash);
        oldest.and_then(|oldest| self.sessions.remove(&oldest));
    }
}

impl<W> Session<W> {
    fn is_open_at(&self, now: MonoTime, idle: Duration) -> bool {
        now < self.ends && now < self.used + idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> MonoTime {
        MonoTime(Duration::from_secs(minutes * 60))
    }

    fn hash(n: u64) -> TokenHash {
        TokenHash::of(&n.to_string()).unwrap()
    }

    #[test]
    fn a_session_ends_when_idle_and_after_twelve_hours() {
        let mut sessions = Sessions::new(Config::default());
        sessions.open_at(hash(1), "anna", at(0));
        assert_eq!(sessions.use_at(&hash(1), at(59)), Some(&"anna"));
        assert_eq!(sessions.use_at(&hash(2), at(59)), None);
        assert_eq!(sessions.use_at(&hash(1), at(118)), Some(&"anna"), "it was used within the hour");
        assert_eq!(sessions.use_at(&hash(1), at(178)), None, "idle for an hour");
        sessions.open_at(hash(3), "anna", at(0));
        let used: Vec<bool> = (1..=24).map(|half| sessions.use_at(&hash(3), at(half * 30)).is_some()).collect();
        assert_eq!(used.iter().filter(|used| **used).count(), 23, "not at 12 h, however busy");
        assert!(sessions.is_empty(), "what ended is forgotten");
    }

    #[test]
    fn sessions_are_ended_and_bounded() {
        let mut sessions = Sessions::new(Config { max: 4, max_each: 2, ..Config::default() });
        for n in 1..=3 {
            sessions.open_at(hash(n), "anna", at(n));
        }
        assert_eq!(sessions.use_at(&hash(1), at(4)), None, "the third log-in ends the first");
        assert_eq!(sessions.end(&hash(2)), Some("anna"));
        assert_eq!(sessions.use_at(&hash(2), at(4)), None);
        for (n, who) in [(4, "b"), (5, "c"), (6, "d"), (7, "e")] {
            sessions.open_at(hash(n), who, at(n));
        }
        assert_eq!((sessions.len(), sessions.use_at(&hash(3), at(8))), (4, None));
        sessions.open_at(hash(9), "e", at(8));
        sessions.end_others(|who| *who == "e", Some(&hash(7)));
        assert!(sessions.use_at(&hash(9), at(8)).is_none() && sessions.use_at(&hash(7), at(8)).is_some());
        sessions.end_all(|who| *who == "b" || *who == "c");
        assert!(sessions.use_at(&hash(4), at(8)).is_none() && sessions.use_at(&hash(6), at(8)).is_some());
    }
}
