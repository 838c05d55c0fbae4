//! A text that is never printed, and is compared without telling by time how much of it was right.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// What stands where a secret would.
const REDACTED: &str = "(redacted)";

/// A secret of the configuration. `Debug` and `Serialize` hide it, there is no `Display`.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether somebody presented it, in a time that depends on neither.
    pub fn matches(&self, presented: &[u8]) -> bool {
        // Hashes have one length, so the length is not told either.
        let (own, other) = (Sha256::digest(self.0.as_bytes()), Sha256::digest(presented));
        aws_lc_rs::constant_time::verify_slices_are_equal(&own, &other).is_ok()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret{REDACTED}")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(if self.0.is_empty() { "" } else { REDACTED })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_only_and_is_not_printed() {
        let secret = Secret::new("a-long-secret-word");
        assert!(secret.matches(b"a-long-secret-word"));
        for other in ["", "a-long-secret-wor", "a-long-secret-word ", "A-long-secret-word", "b-long-secret-word"] {
            assert!(!secret.matches(other.as_bytes()), "{other}");
        }
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("long") && shown.contains("redacted"), "{shown}");
        assert_eq!(serde_json::to_string(&Secret::default()).unwrap(), "\"\"", "that none is set may be seen");
        assert_eq!(serde_json::from_str::<Secret>("\"a-long-secret-word\"").unwrap(), secret);
    }
}
