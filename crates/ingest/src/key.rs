//! The stream key: a secret that never shows up in a log.

use std::fmt;

/// The secret a contributor publishes with. Its `Debug` and `Display` print `[redacted]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StreamKey(String);

impl StreamKey {
    /// Wraps a key as it came from the peer (already bounded by the message size).
    pub fn new(key: impl Into<String>) -> Self {
        StreamKey(key.into())
    }

    /// The key itself, for comparing or hashing only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let key = StreamKey::new("hunter2");
        assert_eq!(format!("{key} {key:?} {:?}", Some(&key)), "[redacted] [redacted] Some([redacted])");
        assert_eq!(key.expose(), "hunter2");
    }
}
