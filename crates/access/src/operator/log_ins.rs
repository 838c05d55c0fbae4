//! Wrong log-ins slow down: those from one address, and those for one user from wherever they come.
//!
//! The second would let anybody keep a user out by guessing. So addresses from which the user logged in before are asked by
//! address only. Names that nobody has are counted as well, or a wait would tell which there are.

use core::net::IpAddr;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use millstream_media::time::MonoTime;

use super::OperatorName;
use crate::network::client;
use crate::publisher::guesses::{self, Guesses};
use crate::stream_key::StreamKeyHash;

/// Addresses remembered of each user.
const ADDRESSES: usize = 8;
/// Users of whom addresses are remembered: as many as there can be.
const USERS: usize = super::accounts::MAX_USERS;

/// Who must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Everybody at the address.
    Address(Duration),
    /// Whoever wants to be this user.
    User(Duration),
}

/// Wrong log-ins so far. About 4 MB at most.
#[derive(Debug)]
pub struct LogIns {
    addresses: Guesses,
    /// By the hash of the name as it was written.
    users: Guesses<StreamKeyHash>,
    /// Where users logged in, the newest last.
    known: HashMap<OperatorName, VecDeque<IpAddr>>,
    /// Each wrong log-in counts as another guess, also the same again: who repeats a password is a person or a program
    /// that guesses.
    wrong: u64,
}

impl Default for LogIns {
    /// An address waits as a publisher's does. A user waits after 20 wrong ones, for 1 minute at most.
    fn default() -> Self {
        let users = guesses::Config { free: 20, longest_wait: Duration::from_secs(60), ..guesses::Config::default() };
        LogIns { addresses: Guesses::default(), users: Guesses::new(users), known: HashMap::new(), wrong: 0 }
    }
}

impl LogIns {
    /// How long who is at this address has to wait before they may try to be `user`; a token names none.
    pub fn wait_at(&self, address: IpAddr, user: Option<&str>, now: MonoTime) -> Option<Wait> {
        if let Some(wait) = self.addresses.shut_out_at(address, now) {
            return Some(Wait::Address(wait));
        }
        let user = user.filter(|user| !self.knows(user, address))?;
        self.users.wait_at(&StreamKeyHash::of(user), now).map(Wait::User)
    }

    /// A log-in was wrong.
    pub fn wrong_at(&mut self, address: IpAddr, user: Option<&str>, now: MonoTime) {
        self.wrong = self.wrong.wrapping_add(1);
        let guess = StreamKeyHash::of(&self.wrong.to_string());
        self.addresses.wrong_at(address, guess, now);
        if let Some(user) = user.filter(|user| !self.knows(user, address)) {
            self.users.count_at(StreamKeyHash::of(user), guess, now);
        }
    }

    /// A log-in was right.
    pub fn right(&mut self, address: IpAddr, user: &OperatorName) {
        if self.known.len() >= USERS && !self.known.contains_key(user) {
            let any = self.known.keys().next().cloned();
            any.and_then(|any| self.known.remove(&any));
        }
        let known = self.known.entry(user.clone()).or_default();
        known.retain(|one| *one != client(address));
        if known.len() >= ADDRESSES {
            known.pop_front();
        }
        known.push_back(client(address));
    }

    /// A user is gone, or somebody else of that name may come.
    pub fn forget(&mut self, user: &OperatorName) {
        self.known.remove(user);
    }

    fn knows(&self, user: &str, address: IpAddr) -> bool {
        let known = OperatorName::new(user).ok().and_then(|user| self.known.get(&user));
        known.is_some_and(|known| known.contains(&client(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime(Duration::from_secs(seconds))
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(core::net::Ipv4Addr::from(n))
    }

    fn anna() -> OperatorName {
        OperatorName::new("anna").unwrap()
    }

    const HOME: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn one_user_from_many_addresses_is_slowed() {
        let mut log_ins = LogIns::default();
        log_ins.right(HOME, &anna());
        for n in 0..20 {
            assert_eq!(log_ins.wait_at(address(n), Some("anna"), at(0)), None, "{n}");
            log_ins.wrong_at(address(n), Some("anna"), at(0));
        }
        log_ins.wrong_at(address(20), Some("anna"), at(0));
        let two = Some(Wait::User(Duration::from_secs(2)));
        assert_eq!(log_ins.wait_at(address(99), Some("anna"), at(0)), two);
        assert_eq!(log_ins.wait_at(address(99), Some("berta"), at(0)), None, "other users are not touched");
        assert_eq!(log_ins.wait_at(address(99), None, at(0)), None, "nor are tokens");
        assert_eq!(log_ins.wait_at(HOME, Some("anna"), at(0)), None, "nor is anna where she was before");
        for n in 21..40 {
            log_ins.wrong_at(address(n), Some("anna"), at(0));
        }
        let minute = Some(Wait::User(Duration::from_secs(60)));
        assert_eq!(log_ins.wait_at(address(99), Some("anna"), at(0)), minute, "never longer");
        log_ins.forget(&anna());
        assert_eq!(log_ins.wait_at(HOME, Some("anna"), at(0)), minute);
        for n in 0..21 {
            log_ins.wrong_at(address(100 + n), Some("No Name"), at(0));
        }
        assert!(log_ins.wait_at(HOME, Some("No Name"), at(0)).is_some(), "a name that nobody has tells nothing");
    }

    #[test]
    fn a_known_address_is_slowed_as_an_address() {
        let mut log_ins = LogIns::default();
        log_ins.right(HOME, &anna());
        for _ in 0..9 {
            log_ins.wrong_at(HOME, Some("anna"), at(0));
        }
        assert_eq!(log_ins.wait_at(HOME, Some("anna"), at(0)), Some(Wait::Address(Duration::from_secs(2))));
        assert_eq!(log_ins.wait_at(address(1), Some("anna"), at(0)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut log_ins = LogIns::default();
        for n in 0..20 {
            log_ins.right(address(n), &anna());
        }
        assert_eq!(log_ins.known[&anna()].len(), ADDRESSES);
        for n in 0..600 {
            log_ins.right(HOME, &OperatorName::new(&format!("u{n}")).unwrap());
        }
        assert_eq!(log_ins.known.len(), USERS);
    }
}
