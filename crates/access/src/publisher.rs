//! Publishers' keys: each has a name and a hash, may end, and may be bound to addresses.
//!
//! - [`guesses`]: addresses that present one wrong key after the other are slowed.
//! - [`webhook`]: what an outside service is told before a publisher is let in, and how that is signed.

pub mod guesses;
pub mod webhook;

use core::fmt;
use core::net::IpAddr;

use millstream_media::time::UtcTime;
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::passphrase::SrtEncryption;
use crate::stream_key::StreamKeyHash;

/// The name of the key that a channel is created with, and that its `stream_key` setting sets.
pub const DEFAULT_KEY: &str = "default";
/// Most keys of one channel.
pub const MAX_KEYS: usize = 32;
/// Most networks of one key.
pub const MAX_ADDRESSES: usize = 32;
/// Revoked keys that a channel remembers, so that the log can tell them from wrong ones; the oldest are forgotten.
pub const MAX_RETIRED: usize = 32;

/// Name of a key: 1 to 64 of `a-z`, `0-9`, `-` and `_`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

impl KeyName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`KeyNameError`].
    pub fn new(name: &str) -> Result<Self, KeyNameError> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let ok = (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['-', '_']);
        if ok { Ok(KeyName(name.to_owned())) } else { Err(KeyNameError) }
    }

    /// [`DEFAULT_KEY`].
    pub fn default_key() -> Self {
        KeyName(DEFAULT_KEY.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyName {
    type Error = KeyNameError;
    fn try_from(name: String) -> Result<Self, KeyNameError> {
        KeyName::new(&name)
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> String {
        name.0
    }
}

/// A text is no name of a key. It is not repeated: it may be a key that was put in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key's name is 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit")]
pub struct KeyNameError;

/// A key of a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublisherKey {
    /// What it is called, for the log and for people.
    pub name: KeyName,
    /// What is kept of the key itself.
    pub hash: StreamKeyHash,
    /// When it was made or last rotated; unknown for one that comes from the configuration file.
    #[serde(default, with = "iso8601_option", skip_serializing_if = "Option::is_none")]
    pub created: Option<UtcTime>,
    /// From when on it lets nobody in. A stream that is live then goes on.
    #[serde(default, with = "iso8601_option", skip_serializing_if = "Option::is_none")]
    pub expires: Option<UtcTime>,
    /// Networks it may be used from; anywhere if empty. At most [`MAX_ADDRESSES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Network>,
    /// How its SRT contributions are encrypted; as the channel says where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srt: Option<SrtEncryption>,
}

impl PublisherKey {
    /// A key that does not end and may be used from anywhere.
    pub fn new(name: KeyName, hash: StreamKeyHash, created: Option<UtcTime>) -> Self {
        PublisherKey { name, hash, created, expires: None, addresses: Vec::new(), srt: None }
    }

    /// Whether it lets somebody at `address` in.
    ///
    /// # Errors
    /// Why not.
    pub fn check_at(&self, now: UtcTime, address: IpAddr) -> Result<(), KeyRefusal> {
        if self.expires.is_some_and(|end| now >= end) {
            return Err(KeyRefusal::Expired);
        }
        if !self.addresses.is_empty() && !self.addresses.iter().any(|network| network.contains(address)) {
            return Err(KeyRefusal::Address);
        }
        Ok(())
    }
}

/// Why a channel's own key lets nobody in. For the log and the metrics; a publisher is told that the key is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// It has ended.
    #[error("the key has expired")]
    Expired,
    /// Not from this address.
    #[error("the key is not to be used from this address")]
    Address,
    /// It was taken back or replaced.
    #[error("the key was revoked or replaced")]
    Revoked,
}

/// A key that opens nothing any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetiredKey {
    /// What it was called.
    pub name: KeyName,
    /// What was kept of it.
    pub hash: StreamKeyHash,
    /// When it was revoked or replaced.
    #[serde(with = "iso8601")]
    pub at: UtcTime,
}

/// Which publisher has a channel when a second one comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Takeover {
    /// The first, as long as it sends media.
    #[default]
    First,
    /// The newest: the one before is cut off.
    Newest,
}

pub(crate) mod iso8601 {
    //! Times in documents, as ISO 8601.

    use millstream_media::time::UtcTime;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &UtcTime, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&time.to_iso8601())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<UtcTime, D::Error> {
        let text = String::deserialize(d)?;
        UtcTime::from_iso8601(&text).ok_or_else(|| serde::de::Error::custom("this is no RFC 3339 time"))
    }
}

pub(crate) mod iso8601_option {
    //! The same for times that may be absent.

    use millstream_media::time::UtcTime;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Option<UtcTime>, s: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::iso8601::serialize(time, s),
            None => s.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<UtcTime>, D::Error> {
        super::iso8601::deserialize(d).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_and_is_bound_to_addresses() {
        let at = UtcTime::from_millis;
        let mut key = PublisherKey::new(KeyName::default_key(), StreamKeyHash::of("k"), Some(at(0)));
        let (here, there) = ("192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap());
        assert_eq!(key.check_at(at(i64::MAX / 1_000_000), there), Ok(()), "neither end nor networks");
        key.expires = Some(at(5000));
        key.addresses = vec![Network::parse("192.0.2.0/24").unwrap()];
        assert_eq!(key.check_at(at(4999), here), Ok(()));
        assert_eq!(key.check_at(at(4999), "::ffff:192.0.2.7".parse().unwrap()), Ok(()), "IPv4 written as IPv6");
        assert_eq!(key.check_at(at(5000), here), Err(KeyRefusal::Expired));
        assert_eq!(key.check_at(at(4999), there), Err(KeyRefusal::Address));
        let text = serde_json::to_string(&key).unwrap();
        assert!(text.contains("\"expires\":\"1970-01-01T00:00:05.000Z\"") && text.contains("192.0.2.0/24"), "{text}");
        assert_eq!(serde_json::from_str::<PublisherKey>(&text).unwrap(), key);
    }

    #[test]
    fn names_of_keys() {
        for good in ["default", "studio-2", "0", "a_b"] {
            assert!(KeyName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Studio", "a b", "../a", "-a", "ms_é", &"x".repeat(65)] {
            assert!(KeyName::new(bad).is_err(), "{bad}");
        }
    }
}
