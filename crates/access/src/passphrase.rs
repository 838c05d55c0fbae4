//! The passphrase of an encrypted SRT contribution, and the length of its keys. Kept as it is, because SRT derives its keys
//! from it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A passphrase: 10 to 79 printable ASCII characters. `Debug` hides it; it is written into documents only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Passphrase(String);

impl Passphrase {
    /// Checks one.
    ///
    /// # Errors
    /// [`PassphraseError`], which does not repeat it.
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if (10..=79).contains(&text.len()) && plain { Ok(Passphrase(text.to_owned())) } else { Err(PassphraseError) }
    }

    /// The passphrase itself, for deriving keys.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}

impl TryFrom<String> for Passphrase {
    type Error = PassphraseError;
    fn try_from(text: String) -> Result<Self, PassphraseError> {
        Passphrase::new(&text)
    }
}

impl From<Passphrase> for String {
    fn from(passphrase: Passphrase) -> String {
        passphrase.0
    }
}

/// Length of the AES keys of an SRT contribution in bytes (`pbkeylen`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum KeyLength {
    /// AES-128.
    #[default]
    Aes128,
    /// AES-192.
    Aes192,
    /// AES-256.
    Aes256,
}

impl KeyLength {
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            KeyLength::Aes128 => 16,
            KeyLength::Aes192 => 24,
            KeyLength::Aes256 => 32,
        }
    }
}

impl TryFrom<u64> for KeyLength {
    type Error = KeyLengthError;
    fn try_from(bytes: u64) -> Result<Self, KeyLengthError> {
        let all = [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256];
        all.into_iter().find(|length| length.bytes() == bytes).ok_or(KeyLengthError)
    }
}

impl From<KeyLength> for u64 {
    fn from(length: KeyLength) -> u64 {
        length.bytes()
    }
}

/// A number is no length of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SRT has keys of 16, 24 or 32 bytes")]
pub struct KeyLengthError;

/// What a publisher's SRT contribution is encrypted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SrtEncryption {
    /// From which the keys are derived.
    pub passphrase: Passphrase,
    /// Their length.
    #[serde(default)]
    pub key_bytes: KeyLength,
}

/// A text is no passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an SRT passphrase has 10 to 79 printable ASCII characters")]
pub struct PassphraseError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_to_seventy_nine_characters() {
        for (length, good) in [(9, false), (10, true), (79, true), (80, false)] {
            assert_eq!(Passphrase::new(&"x".repeat(length)).is_ok(), good, "{length}");
        }
        assert!(Passphrase::new("ten and more").is_ok() && Passphrase::new("with\na line end").is_err());
        for bytes in [16, 24, 32] {
            assert_eq!(KeyLength::try_from(bytes).map(KeyLength::bytes), Ok(bytes));
        }
        assert!(KeyLength::try_from(20).is_err());
        assert_eq!(format!("{:?}", Passphrase::new("very-secret-words").unwrap()), "Passphrase(redacted)");
    }
}
