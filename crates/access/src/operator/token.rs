//! API tokens and the secrets of console sessions: 160 random bits, shown once, kept only as a SHA-256 hash.
//!
//! A plain hash is enough: so many random bits cannot be guessed, so salting and stretching add nothing.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::stream_key::{self, RANDOM_BYTES, StreamKeyHash};

/// How a token begins, so that scanners of source code and logs find it.
pub const PREFIX: &str = "mst_";
/// Longest text that is looked at as a token, in bytes.
pub const MAX_LENGTH: usize = 256;

/// A token in the clear. It is never printed: `Debug` hides it, there is no `Display` and no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// `mst_` and 32 base32 characters made of `random`, which must come from a cryptographic source.
    pub fn generate(random: [u8; RANDOM_BYTES]) -> Self {
        Token(stream_key::written(PREFIX, random))
    }

    /// The token itself, for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0).unwrap_or(TokenHash(StreamKeyHash::of("")))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// SHA-256 of a token; written as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(StreamKeyHash);

impl TokenHash {
    /// The hash of what somebody presents. What is empty or too long is no token and is not even hashed.
    pub fn of(presented: &str) -> Option<Self> {
        (1..=MAX_LENGTH).contains(&presented.len()).then(|| TokenHash(StreamKeyHash::of(presented)))
    }

    /// Equality in constant time.
    pub fn matches(&self, other: &TokenHash) -> bool {
        self.0.matches(&other.0)
    }
}

/// The token in the value of an `Authorization` header (RFC 6750 2.1): its scheme is not case-sensitive.
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ')).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_base32_of_all_the_bits_and_never_printed() {
        let token = Token::generate([0xff; 20]);
        assert_eq!(token.expose(), "mst_77777777777777777777777777777777");
        assert_eq!(Token::generate(*b"foobafoobafoobafooba").expose(), "mst_mzxw6ytbmzxw6ytbmzxw6ytbmzxw6ytb");
        assert_eq!(format!("{token:?}"), "Token(redacted)");
        assert_eq!(TokenHash::of(token.expose()), Some(token.hash()));
        assert!(token.hash().matches(&token.hash()) && !token.hash().matches(&Token::generate([0; 20]).hash()));
        let text = serde_json::to_string(&token.hash()).unwrap();
        assert_eq!((text.len(), serde_json::from_str(&text).ok()), (66, Some(token.hash())));
    }

    #[test]
    fn what_is_no_token_is_not_hashed() {
        assert!(TokenHash::of("").is_none() && TokenHash::of(&"x".repeat(257)).is_none());
    }

    #[test]
    fn bearers() {
        for (value, want) in [
            ("Bearer mst_a", Some("mst_a")),
            ("bearer  mst_a", Some("mst_a")),
            ("BEARER mst_a ", Some("mst_a")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer a b", None),
            ("Basic mst_a", None),
            ("mst_a", None),
        ] {
            assert_eq!(bearer(value), want, "{value}");
        }
    }
}
