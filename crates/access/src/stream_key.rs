//! Stream keys: made from random bytes or chosen by the user, shown once, kept only as a SHA-256 hash.
//!
//! A plain hash is enough for the keys we make: 160 random bits cannot be guessed, so salting and stretching add
//! nothing, and a presented key is found in one lookup. A key that a user chooses is only as strong as the user makes it.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Random bytes in a generated key (160 bits).
pub const RANDOM_BYTES: usize = 20;
/// Shortest key a user may choose, in characters.
pub const MIN_LENGTH: usize = 8;
/// Longest key accepted from a user or from a peer, in bytes.
pub const MAX_LENGTH: usize = 128;

const PREFIX: &str = "ms_";
/// RFC 4648 base32 in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A stream key in the clear. It is never printed: `Debug` hides it, there is no `Display` and no `Serialize`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct StreamKey(String);

impl StreamKey {
    /// `ms_` and 32 base32 characters made of `random`, which must come from a cryptographic source.
    pub fn generate(random: [u8; RANDOM_BYTES]) -> Self {
        StreamKey(written(PREFIX, random))
    }

    /// Checks a key that a user chose: 8 to 128 of letters, digits, `-`, `_`, `.` and `~`, the characters that pass
    /// unchanged through URLs and through encoders' key fields.
    pub fn from_user(text: &str) -> Result<Self, StreamKeyError> {
        if text.len() < MIN_LENGTH {
            return Err(StreamKeyError::TooShort { length: text.len() });
        }
        if text.len() > MAX_LENGTH {
            return Err(StreamKeyError::TooLong { length: text.len() });
        }
        let bad = text.chars().position(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~')));
        match bad {
            Some(at) => Err(StreamKeyError::Character { position: at + 1 }),
            None => Ok(StreamKey(text.to_owned())),
        }
    }

    /// The key itself, for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> StreamKeyHash {
        StreamKeyHash::of(&self.0)
    }
}

/// A prefix, and 160 bits as 32 base32 characters.
pub(crate) fn written(prefix: &str, random: [u8; RANDOM_BYTES]) -> String {
    let mut text = String::with_capacity(prefix.len() + 32);
    text.push_str(prefix);
    for group in random.chunks_exact(5) {
        let bits = group.iter().fold(0_u64, |all, b| all << 8 | u64::from(*b));
        text.extend((0..8).rev().map(|i| char::from(BASE32[(bits >> (5 * i)) as usize & 31])));
    }
    text
}

impl TryFrom<String> for StreamKey {
    type Error = StreamKeyError;
    fn try_from(text: String) -> Result<Self, StreamKeyError> {
        StreamKey::from_user(&text)
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(redacted)")
    }
}

/// SHA-256 of a stream key; written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamKeyHash([u8; 32]);

impl StreamKeyHash {
    /// The hash of what a peer presents, whatever it is.
    pub fn of(presented: &str) -> Self {
        StreamKeyHash(Sha256::digest(presented.as_bytes()).into())
    }

    /// Equality in constant time.
    pub fn matches(&self, other: &StreamKeyHash) -> bool {
        let difference = self.0.iter().zip(&other.0).fold(0_u8, |d, (a, b)| d | (a ^ b));
        std::hint::black_box(difference) == 0
    }

    /// 64 hex digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// From 64 hex digits.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = pair.iter().try_fold(0, |v, d| char::from(*d).to_digit(16).map(|d| v * 16 + d))?;
            *byte = value as u8;
        }
        Some(StreamKeyHash(bytes))
    }
}

impl TryFrom<String> for StreamKeyHash {
    type Error = StreamKeyError;
    fn try_from(hex: String) -> Result<Self, StreamKeyError> {
        StreamKeyHash::from_hex(&hex).ok_or(StreamKeyError::Hash)
    }
}

impl From<StreamKeyHash> for String {
    fn from(hash: StreamKeyHash) -> String {
        hash.to_hex()
    }
}

/// Enough to tell two hashes apart in a test, too little to search for the key.
impl fmt::Debug for StreamKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamKeyHash({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// Why a text is no stream key. None of these repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamKeyError {
    /// Fewer than [`MIN_LENGTH`] characters.
    #[error("the stream key has {length} characters; use at least 8, or leave it out and one is made for you")]
    TooShort {
        /// Its length in bytes.
        length: usize,
    },
    /// More than [`MAX_LENGTH`] bytes.
    #[error("the stream key has {length} bytes; use at most 128")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A character that does not pass through URLs and encoders unchanged.
    #[error("character {position} of the stream key is not allowed; use letters, digits, -, _, . and ~")]
    Character {
        /// Position of the character, from 1.
        position: usize,
    },
    /// Not a SHA-256 hash in hex.
    #[error("a stream key hash is 64 hex digits; rotate the channel's key to make a new one")]
    Hash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_are_rfc_4648_base32_of_all_the_bits() {
        for (random, text) in [
            ([0_u8; 20], "ms_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            ([0xff; 20], "ms_77777777777777777777777777777777"),
            (*b"foobafoobafoobafooba", "ms_mzxw6ytbmzxw6ytbmzxw6ytbmzxw6ytb"),
        ] {
            let key = StreamKey::generate(random);
            assert_eq!(key.expose(), text);
            assert_eq!(StreamKey::from_user(text), Ok(key), "a generated key passes the user's rules");
        }
    }

    #[test]
    fn keys_users_choose() {
        for (text, error) in [
            ("abcd1234", None),
            ("live_5.a~B-9", None),
            ("short", Some(StreamKeyError::TooShort { length: 5 })),
            ("with space", Some(StreamKeyError::Character { position: 5 })),
            ("key?query=1", Some(StreamKeyError::Character { position: 4 })),
            ("schlüssel", Some(StreamKeyError::Character { position: 5 })),
        ] {
            assert_eq!(StreamKey::from_user(text).err(), error, "{text}");
        }
        assert_eq!(StreamKey::from_user(&"x".repeat(129)).err(), Some(StreamKeyError::TooLong { length: 129 }));
    }

    #[test]
    fn hash_is_sha256_and_round_trips_as_hex() {
        let hash = StreamKeyHash::of("abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_hex(), hex);
        assert_eq!(StreamKeyHash::from_hex(hex), Some(hash));
        assert_eq!(StreamKeyHash::from_hex(&hex[1..]), None);
        assert_eq!(StreamKeyHash::from_hex(&hex.replace('b', "g")), None);
        assert_eq!(StreamKeyHash::from_hex(&hex.replace("ba", "+a")), None, "a sign is no digit");
    }

    #[test]
    fn hashes_match_only_when_every_byte_does() {
        let hash = StreamKeyHash::of("a stream key");
        assert!(hash.matches(&StreamKeyHash::of("a stream key")));
        for i in 0..32 {
            let mut other = hash;
            other.0[i] ^= 1;
            assert!(!hash.matches(&other), "byte {i}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = StreamKey::from_user("very-secret-key").unwrap();
        assert_eq!(format!("{key:?}"), "StreamKey(redacted)");
        let error = StreamKey::from_user("sec ret!").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("sec"));
    }
}
