//! Whoever presents one wrong key after the other is slowed, by address, and nobody else is. Pure: time is a parameter.
//!
//! Only different keys count: an encoder that was left with an old key presents the same one again and again, and must
//! not lock out those beside it.

use core::hash::Hash;
use core::net::IpAddr;
use std::collections::HashMap;
use std::time::Duration;

use millstream_media::time::MonoTime;

use crate::network::client;
use crate::stream_key::StreamKeyHash;

/// Bounds of [`Guesses`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Different wrong keys from one address before it is slowed. Default 8.
    pub free: u32,
    /// How long the address is shut out after the first one too many; each further one doubles it. Default 2 s.
    pub first_wait: Duration,
    /// Longest time an address is shut out. Default 5 min.
    pub longest_wait: Duration,
    /// An address is forgotten so long after its last wrong key. Default 1 h.
    pub forget_after: Duration,
    /// Addresses remembered; the one whose last wrong key is oldest goes first. Default 4096.
    pub max_addresses: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            free: 8,
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(300),
            forget_after: Duration::from_secs(3600),
            max_addresses: 4096,
        }
    }
}

/// Hashes of wrong keys remembered of one address.
const REMEMBERED: usize = 8;

/// Wrong keys by address: an IPv4 address, or an IPv6 /64; or by whatever else guesses are counted by. About 400 bytes for
/// each, 1.6 MB in all.
#[derive(Debug)]
pub struct Guesses<By = IpAddr> {
    config: Config,
    addresses: HashMap<By, Guesser>,
}

impl<By> Default for Guesses<By> {
    fn default() -> Self {
        Guesses { config: Config::default(), addresses: HashMap::new() }
    }
}

#[derive(Debug)]
struct Guesser {
    /// Different wrong keys so far.
    wrong: u32,
    /// The newest of them.
    keys: Vec<StreamKeyHash>,
    last: MonoTime,
    /// Shut out until then.
    until: MonoTime,
}

impl Guesses {
    /// How long this address is still shut out: its keys are not looked at.
    pub fn shut_out_at(&self, address: IpAddr, now: MonoTime) -> Option<Duration> {
        self.wait_at(&client(address), now)
    }

    /// A key from this address opens nothing. Gives how long the address is shut out from now on.
    pub fn wrong_at(&mut self, address: IpAddr, key: StreamKeyHash, now: MonoTime) -> Option<Duration> {
        self.count_at(client(address), key, now)
    }
}

impl<By: Copy + Eq + Hash> Guesses<By> {
    /// Nobody has guessed.
    pub fn new(config: Config) -> Self {
        Guesses { config, addresses: HashMap::new() }
    }

    /// How long this one is still shut out.
    pub fn wait_at(&self, by: &By, now: MonoTime) -> Option<Duration> {
        let guesser = self.addresses.get(by)?;
        (guesser.until > now).then(|| guesser.until.since(now))
    }

    /// Counts a guess. Gives how long this one is shut out from now on.
    pub fn count_at(&mut self, by: By, guess: StreamKeyHash, now: MonoTime) -> Option<Duration> {
        let forget_after = self.config.forget_after;
        if self.addresses.get(&by).is_some_and(|g| now.since(g.last) >= forget_after) {
            self.addresses.remove(&by);
        }
        if !self.addresses.contains_key(&by) && self.addresses.len() >= self.config.max_addresses.max(1) {
            let oldest = self.addresses.iter().min_by_key(|(_, g)| g.last).map(|(by, _)| *by);
            oldest.and_then(|oldest| self.addresses.remove(&oldest));
        }
        let fresh = || Guesser { wrong: 0, keys: Vec::new(), last: now, until: now };
        let guesser = self.addresses.entry(by).or_insert_with(fresh);
        guesser.last = now;
        if guesser.keys.contains(&guess) {
            return None;
        }
        if guesser.keys.len() >= REMEMBERED {
            guesser.keys.remove(0);
        }
        guesser.keys.push(guess);
        guesser.wrong = guesser.wrong.saturating_add(1);
        let over = guesser.wrong.checked_sub(self.config.free + 1)?;
        let wait = self.config.first_wait.saturating_mul(1 << over.min(20)).min(self.config.longest_wait);
        guesser.until = now + wait;
        Some(wait)
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime(Duration::from_millis(ms))
    }

    fn key(n: u64) -> StreamKeyHash {
        StreamKeyHash::of(&n.to_string())
    }

    const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn waits_double_from_the_ninth_wrong_key_up_to_five_minutes() {
        let mut guesses = Guesses::default();
        let mut now = at(0);
        let mut waits = Vec::new();
        for n in 0..20 {
            assert_eq!(guesses.shut_out_at(HERE, now), None);
            let wait = guesses.wrong_at(HERE, key(n), now).unwrap_or_default();
            waits.push(wait.as_secs());
            assert_eq!(guesses.shut_out_at(HERE, now).unwrap_or_default(), wait);
            assert_eq!(guesses.shut_out_at(THERE, now), None, "others are not touched");
            now = now + wait;
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
    }

    #[test]
    fn an_encoder_left_with_an_old_key_is_no_guesser() {
        let mut guesses = Guesses::default();
        for n in 0..10_000 {
            assert_eq!(guesses.wrong_at(HERE, key(n % 2), at(n * 100)), None);
        }
        assert_eq!(guesses.shut_out_at(HERE, at(1_000_000)), None);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_an_hour_forgets() {
        let mut guesses = Guesses::default();
        for n in 0..9 {
            guesses.wrong_at(format!("2001:db8::{n}").parse().unwrap(), key(n), at(0));
        }
        assert!(guesses.shut_out_at("2001:db8::ffff".parse().unwrap(), at(0)).is_some());
        assert!(guesses.shut_out_at("2001:db8:0:1::1".parse().unwrap(), at(0)).is_none(), "another /64");
        assert_eq!(guesses.len(), 1);
        assert_eq!(guesses.wrong_at("2001:db8::1".parse().unwrap(), key(99), at(3_600_000)), None);
    }

    proptest! {
        /// However addresses guess: the table is bounded, nobody waits longer than the longest wait, and an address that
        /// was told of no wrong key is never shut out.
        #[test]
        fn bounds_hold(guesses in prop::collection::vec((0_u32..40, 0_u64..60, 0_u64..600_000), 1..400)) {
            let config = Config { max_addresses: 16, ..Config::default() };
            let mut table = Guesses::new(config.clone());
            let mut now = at(0);
            for (address, guess, step) in guesses {
                now = now + Duration::from_millis(step);
                let address = IpAddr::V4(core::net::Ipv4Addr::from(address));
                let told = table.wrong_at(address, key(guess), now);
                prop_assert!(told.unwrap_or_default() <= config.longest_wait);
                prop_assert!(table.shut_out_at(address, now).unwrap_or_default() <= config.longest_wait);
                prop_assert!(table.len() <= 16);
                prop_assert_eq!(table.shut_out_at(HERE, now), None);
            }
        }
    }
}
