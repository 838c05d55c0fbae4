//! Passwords of users: argon2id with 19 MiB, two passes and one lane (RFC 9106; OWASP's least), in the PHC string format.

use core::fmt;
use std::sync::LazyLock;

use argon2::password_hash::{PasswordHash as Phc, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

/// Shortest password, in characters.
pub const MIN_CHARACTERS: usize = 10;
/// Longest password, in bytes.
pub const MAX_BYTES: usize = 256;
/// Random bytes of salt.
pub const SALT_BYTES: usize = 16;
/// Longest hash that is read, in bytes; ours have 97.
const MAX_HASH: usize = 256;

/// What is kept of a password: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(String);

/// A hash that no password has, for users that are not there: asking for them takes as long.
static NOBODY: LazyLock<Option<PasswordHash>> = LazyLock::new(|| hashed("nobody has this password", [0; SALT_BYTES]));

impl PasswordHash {
    /// Checks a new password of `user` and hashes it; `salt` must be random. Takes tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn new(user: &str, password: &str, salt: [u8; SALT_BYTES]) -> Result<Self, PasswordError> {
        if password.chars().count() < MIN_CHARACTERS {
            return Err(PasswordError::TooShort);
        }
        if password.len() > MAX_BYTES {
            return Err(PasswordError::TooLong);
        }
        let mut characters = password.chars();
        let first = characters.next();
        if password.eq_ignore_ascii_case(user) || characters.all(|c| Some(c) == first) {
            return Err(PasswordError::Guessable);
        }
        hashed(password, salt).ok_or(PasswordError::Hash)
    }

    /// Whether this is the password. Takes as long as [`PasswordHash::new`].
    pub fn verify(&self, password: &str) -> bool {
        if password.len() > MAX_BYTES {
            return false;
        }
        Phc::new(&self.0).is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
    }

    /// Takes as long as [`PasswordHash::verify`], and is never true.
    pub fn verify_nobody(password: &str) -> bool {
        if let Some(nobody) = NOBODY.as_ref() {
            std::hint::black_box(nobody.verify(password));
        }
        false
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn hashed(password: &str, salt: [u8; SALT_BYTES]) -> Option<PasswordHash> {
    let salt = SaltString::encode_b64(&salt).ok()?;
    let hash = argon2().hash_password(password.as_bytes(), &salt).ok()?;
    Some(PasswordHash(hash.to_string()))
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(redacted)")
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = PasswordError;
    fn try_from(text: String) -> Result<Self, PasswordError> {
        // A hash that asks for gigabytes would stop the server at a log-in.
        let readable = text.len() <= MAX_HASH
            && Phc::new(&text).is_ok_and(|hash| {
                let memory = hash.params.get_decimal("m").unwrap_or(u32::MAX);
                let passes = hash.params.get_decimal("t").unwrap_or(u32::MAX);
                hash.algorithm.as_str() == "argon2id" && memory <= 256 * 1024 && passes <= 16
            });
        if readable { Ok(PasswordHash(text)) } else { Err(PasswordError::Hash) }
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> String {
        hash.0
    }
}

/// Why a text is no password. None of these repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer than [`MIN_CHARACTERS`].
    #[error("the password has fewer than 10 characters; use a longer one, such as four words")]
    TooShort,
    /// More than [`MAX_BYTES`].
    #[error("the password has more than 256 bytes; use a shorter one")]
    TooLong,
    /// The user's name, or one character again and again.
    #[error("the password is too easy to guess; use another, such as four words")]
    Guessable,
    /// What was stored is no hash of ours, or could not be made.
    #[error("this is no argon2id hash within our bounds; set the user's password again")]
    Hash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_as_argon2id_and_verified() {
        let hash = PasswordHash::new("anna", "correct horse", [7; SALT_BYTES]).unwrap();
        let text = String::from(hash.clone());
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert!(!text.contains("horse") && !format!("{hash:?}").contains("argon2id"));
        assert!(hash.verify("correct horse"));
        for wrong in ["", "correct hors", "Correct horse", &"x".repeat(100_000)] {
            assert!(!hash.verify(wrong));
        }
        assert_ne!(hash, PasswordHash::new("anna", "correct horse", [8; SALT_BYTES]).unwrap(), "salted");
        assert!(!PasswordHash::verify_nobody("nobody has this password"));
        assert_eq!(PasswordHash::try_from(text), Ok(hash));
    }

    #[test]
    fn weak_passwords_and_hostile_hashes_are_refused() {
        for (password, error) in [
            ("short", PasswordError::TooShort),
            ("ééééé", PasswordError::TooShort),
            ("aaaaaaaaaaaa", PasswordError::Guessable),
            ("Anna@Example.com", PasswordError::Guessable),
            (&"ab".repeat(129), PasswordError::TooLong),
        ] {
            assert_eq!(PasswordHash::new("anna@example.com", password, [0; 16]), Err(error), "{password}");
        }
        for hash in [
            "",
            "plain",
            "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=19456,t=9999,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(PasswordHash::try_from(hash.to_owned()), Err(PasswordError::Hash), "{hash}");
        }
    }
}
