//! Who uploads, from one request to the next: an encoder that sends a request for each segment is one publisher, as one
//! with a connection is. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use millstream_access::StreamKeyHash;
use millstream_media::time::MonoTime;
use tokio::sync::watch;

/// Time without a request after which an uploader is gone; the next one is let in as if it were the first.
pub const GONE_AFTER: Duration = Duration::from_secs(30);
/// How long the outside service's answer holds.
const ANSWER_HOLDS: Duration = Duration::from_secs(60);
/// Uploaders that are remembered; others are looked at with each request.
const MAX_UPLOADERS: usize = 4096;

/// Whose requests belong together: channel, secret and address.
pub type Who = (String, StreamKeyHash, IpAddr);

/// An uploader that was let in.
#[derive(Clone, Debug)]
pub struct Uploader {
    /// The name of its key.
    pub key: String,
    /// True when its stream is to end.
    pub ended: watch::Receiver<bool>,
    /// Whether the outside service is to be asked again.
    pub ask: bool,
}

#[derive(Debug)]
struct Known {
    uploader: Uploader,
    seen: MonoTime,
    asked: MonoTime,
}

/// The uploaders of all channels.
#[derive(Debug, Default)]
pub struct Admitted(HashMap<Who, Known>);

impl Admitted {
    /// The uploader, if it was let in and has not been away since: a key that was rotated, or that has expired
    /// meanwhile, lets its stream go on, one that was revoked does not.
    pub fn again_at(&mut self, who: &Who, now: MonoTime) -> Option<Uploader> {
        let known = self.0.get_mut(who)?;
        if now.since(known.seen) >= GONE_AFTER || *known.uploader.ended.borrow() {
            self.0.remove(who);
            return None;
        }
        known.seen = now;
        Some(Uploader { ask: now.since(known.asked) >= ANSWER_HOLDS, ..known.uploader.clone() })
    }

    /// The uploader was let in, or the outside service has let it in again.
    pub fn let_in_at(&mut self, who: Who, key: String, ended: watch::Receiver<bool>, now: MonoTime) {
        if self.0.len() >= MAX_UPLOADERS {
            self.0.retain(|_, known| now.since(known.seen) < GONE_AFTER);
        }
        if self.0.len() < MAX_UPLOADERS || self.0.contains_key(&who) {
            let uploader = Uploader { key, ended, ask: false };
            self.0.insert(who, Known { uploader, seen: now, asked: now });
        }
    }

    /// Forgets those who are gone.
    pub fn forget_at(&mut self, now: MonoTime) {
        self.0.retain(|_, known| now.since(known.seen) < GONE_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime(Duration::from_secs(seconds))
    }

    fn who() -> Who {
        ("news".to_owned(), StreamKeyHash::of("secret"), IpAddr::from([127, 0, 0, 1]))
    }

    #[test]
    fn an_uploader_is_known_until_it_is_away_for_too_long() {
        let (_end, ended) = watch::channel(false);
        let mut admitted = Admitted::default();
        assert!(admitted.again_at(&who(), at(0)).is_none());
        admitted.let_in_at(who(), "default".to_owned(), ended, at(0));
        for second in [2, 31, 59] {
            assert!(!admitted.again_at(&who(), at(second)).unwrap().ask, "{second}");
        }
        assert!(admitted.again_at(&who(), at(61)).unwrap().ask, "the outside service is asked once a minute");
        assert!(admitted.again_at(&who(), at(91)).is_none());
        assert!(admitted.again_at(&who(), at(92)).is_none());
    }

    #[test]
    fn an_uploader_whose_key_was_revoked_is_out() {
        let (end, ended) = watch::channel(false);
        let mut admitted = Admitted::default();
        admitted.let_in_at(who(), "default".to_owned(), ended, at(0));
        assert!(admitted.again_at(&who(), at(1)).is_some());
        end.send_replace(true);
        assert!(admitted.again_at(&who(), at(2)).is_none());
    }
}
