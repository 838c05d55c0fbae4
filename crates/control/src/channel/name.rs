//! Channel names: they stand in URLs, file names and metric labels, so they are plain.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest channel name, in characters.
pub const MAX_LENGTH: usize = 64;

/// Name of a channel: 1 to 64 of `a-z`, `0-9`, `-` and `_`, starting with a letter or digit.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Checks and wraps a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let ok = (1..=MAX_LENGTH).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['-', '_']);
        if ok { Ok(ChannelName(name.into())) } else { Err(NameError { name: shown(name) }) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// At most the first 80 characters, for messages.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl TryFrom<String> for ChannelName {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        ChannelName::new(&name)
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> String {
        name.as_str().to_owned()
    }
}

impl std::str::FromStr for ChannelName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        ChannelName::new(name)
    }
}

/// A text is no channel name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("channel name {name:?} is not allowed; use 1 to 64 of a-z, 0-9, - and _, starting with a letter or digit")]
pub struct NameError {
    /// The text, cut to 80 characters.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "demo", "stage-2_b", "0", &"x".repeat(64)] {
            assert!(ChannelName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Demo", "a.b", "a/b", "..", "-a", "_a", "é", "a b", &"x".repeat(65)] {
            assert!(ChannelName::new(bad).is_err(), "{bad}");
        }
    }
}
