//! The settings of a channel's content protection. No secret is among them: keys lie in a file.

use millstream_media::protection::Scheme;
use serde::{Deserialize, Serialize};

use super::seconds::Seconds;

/// How a channel is encrypted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtectionConfig {
    /// `cbcs`, or `cenc`, which HLS is not offered with.
    #[serde(default = "cbcs")]
    pub scheme: Scheme,
    /// Name of the file with the keys, in the folder `content-keys` of `data_dir`.
    pub keys: String,
    /// How long a key is used, in seconds; 0 for as long as the channel is on air.
    #[serde(default = "never")]
    pub rotation_seconds: Seconds,
    /// Whether players that may watch get the keys from this server (ClearKey).
    #[serde(default = "yes")]
    pub clear_key: bool,
}

fn cbcs() -> Scheme {
    Scheme::Cbcs
}

fn never() -> Seconds {
    Seconds::new(0)
}

fn yes() -> bool {
    true
}

impl ProtectionConfig {
    /// What is wrong with it, in words for an operator.
    ///
    /// # Errors
    /// The fault and its mend.
    pub fn check(&self) -> Result<(), String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let named = (1..=100).contains(&self.keys.len()) && self.keys.bytes().all(plain) && !self.keys.starts_with('.');
        if !named {
            return Err("keys is no plain file name; name a file in the folder content-keys of data_dir".to_owned());
        }
        let rotation = self.rotation_seconds.millis();
        if (1..10_000).contains(&rotation) {
            return Err(format!("rotation_seconds is {}; use 10 or more, or 0", self.rotation_seconds));
        }
        Ok(())
    }
}
