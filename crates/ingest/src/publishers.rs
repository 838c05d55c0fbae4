//! One publisher for each channel: who holds it, who is refused, who takes over from a silent one. Pure.

use std::collections::HashMap;
use std::time::Duration;

use millstream_media::time::MonoTime;

use crate::source::ConnectionId;

/// Time without media after which a publisher may be replaced, unless another is set.
pub const DEFAULT_SILENCE: Duration = Duration::from_secs(2);

/// Who has a channel when a second publisher comes that may publish to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeover {
    /// The first, as long as it sends media.
    #[default]
    First,
    /// The newest.
    Newest,
}

/// Who publishes where. It holds one entry for each channel being published, so it is bounded by the connections.
#[derive(Debug)]
pub struct Publishers {
    silence: Duration,
    holders: HashMap<String, Holder>,
}

#[derive(Debug)]
struct Holder {
    connection: ConnectionId,
    last_media: MonoTime,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The channel was free.
    Granted,
    /// The channel is the claimant's now; `old` was silent, or has to give way, and is to be closed.
    TakenOver {
        /// The connection that held it.
        old: ConnectionId,
    },
    /// The holder may be gone. Ask again soon, at the latest at `until`.
    ///
    /// An encoder that comes back over another network finds its own dead connection here. OBS takes a refusal for
    /// final, so it is let wait until the holder has shown itself alive, or has been silent for long enough.
    Wait {
        /// When the holder may be replaced if it stays silent.
        until: MonoTime,
    },
    /// Another one is publishing: it has sent media since the claim was made.
    Refused,
}

impl Publishers {
    /// Nobody publishes. A publisher that has sent no media for `silence` may be replaced.
    pub fn new(silence: Duration) -> Self {
        Publishers { silence, holders: HashMap::new() }
    }

    /// `connection` wants to publish on `channel`, and has wanted to since `asked`.
    pub fn claim(
        &mut self,
        channel: &str,
        connection: ConnectionId,
        takeover: Takeover,
        asked: MonoTime,
        now: MonoTime,
    ) -> Claim {
        let claim = match self.holders.get(channel) {
            None => Claim::Granted,
            Some(holder) if holder.connection == connection => Claim::Granted,
            Some(holder) if takeover == Takeover::Newest => Claim::TakenOver { old: holder.connection },
            Some(holder) if now.since(holder.last_media) >= self.silence => Claim::TakenOver { old: holder.connection },
            Some(holder) if holder.last_media > asked => return Claim::Refused,
            Some(holder) => return Claim::Wait { until: holder.last_media + self.silence },
        };
        self.holders.insert(channel.to_owned(), Holder { connection, last_media: now });
        claim
    }

    /// `connection` has sent media for `channel`. False if it does not hold the channel (any more).
    pub fn media(&mut self, channel: &str, connection: ConnectionId, now: MonoTime) -> bool {
        match self.holders.get_mut(channel) {
            Some(holder) if holder.connection == connection => {
                holder.last_media = now;
                true
            }
            _ => false,
        }
    }

    /// `connection` is gone. Nothing happens if another one has taken the channel over.
    pub fn release(&mut self, channel: &str, connection: ConnectionId) {
        if self.holders.get(channel).is_some_and(|h| h.connection == connection) {
            self.holders.remove(channel);
        }
    }
}

impl Default for Publishers {
    fn default() -> Self {
        Publishers::new(DEFAULT_SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);

    fn at(ms: u64) -> MonoTime {
        MonoTime(Duration::from_millis(ms))
    }

    #[test]
    fn a_second_publisher_is_refused_once_the_first_shows_that_it_lives() {
        let mut p = Publishers::default();
        assert_eq!(p.claim("c", A, Takeover::First, at(0), at(0)), Claim::Granted);
        assert!(p.media("c", A, at(5000)));
        assert_eq!(p.claim("c", B, Takeover::First, at(5010), at(5010)), Claim::Wait { until: at(7000) });
        assert!(p.media("c", A, at(5033)));
        assert_eq!(p.claim("c", B, Takeover::First, at(5010), at(5060)), Claim::Refused);
        assert_eq!(p.claim("other", B, Takeover::First, at(5060), at(5060)), Claim::Granted);
    }

    #[test]
    fn a_silent_publisher_is_taken_over_and_cannot_release_the_new_one() {
        let mut p = Publishers::default();
        p.claim("c", A, Takeover::First, at(0), at(0));
        p.media("c", A, at(5000));
        assert_eq!(p.claim("c", B, Takeover::First, at(5500), at(6999)), Claim::Wait { until: at(7000) });
        assert_eq!(p.claim("c", B, Takeover::First, at(5500), at(7000)), Claim::TakenOver { old: A });
        assert!(!p.media("c", A, at(7001)), "the old one holds nothing any more");
        p.release("c", A);
        assert_eq!(
            p.claim("c", A, Takeover::First, at(6999), at(7002)),
            Claim::Refused,
            "of two that waited one gets it"
        );
        p.release("c", B);
        assert_eq!(p.claim("c", A, Takeover::First, at(7003), at(7003)), Claim::Granted);
    }

    #[test]
    fn a_publisher_that_never_sent_counts_as_silent_from_its_claim() {
        let mut p = Publishers::default();
        p.claim("c", A, Takeover::First, at(0), at(0));
        assert_eq!(p.claim("c", B, Takeover::First, at(1000), at(1999)), Claim::Wait { until: at(2000) });
        assert_eq!(p.claim("c", B, Takeover::First, at(1000), at(2000)), Claim::TakenOver { old: A });
    }

    #[test]
    fn where_the_newest_has_it_a_live_publisher_gives_way() {
        let mut p = Publishers::default();
        p.claim("c", A, Takeover::Newest, at(0), at(0));
        p.media("c", A, at(5000));
        assert_eq!(p.claim("c", B, Takeover::Newest, at(5001), at(5001)), Claim::TakenOver { old: A });
        assert!(!p.media("c", A, at(5002)));
        assert_eq!(
            p.claim("c", B, Takeover::Newest, at(5003), at(5003)),
            Claim::Granted,
            "nobody takes over from itself"
        );
    }
}
