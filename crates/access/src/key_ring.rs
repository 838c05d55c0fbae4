//! Which channel a presented key opens. A key opens exactly one.

use std::collections::BTreeMap;

use crate::stream_key::{MAX_LENGTH, StreamKeyHash};

/// Hashes of stream keys, each pointing at one owner (a channel).
///
/// Bounded by the keys the caller puts in: a channel has at most a few.
#[derive(Clone, Debug)]
pub struct KeyRing<T> {
    owners: BTreeMap<StreamKeyHash, T>,
}

impl<T> Default for KeyRing<T> {
    fn default() -> Self {
        KeyRing { owners: BTreeMap::new() }
    }
}

impl<T: PartialEq> KeyRing<T> {
    /// An empty ring.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `hash` open `owner`'s channel. Refused if it already opens another's.
    pub fn insert(&mut self, hash: StreamKeyHash, owner: T) -> Result<(), KeyTaken> {
        match self.owners.get(&hash) {
            Some(other) if *other != owner => Err(KeyTaken),
            _ => {
                self.owners.insert(hash, owner);
                Ok(())
            }
        }
    }

    /// Forgets every key of `owner`.
    pub fn remove_owner(&mut self, owner: &T) {
        self.owners.retain(|_, o| o != owner);
    }

    /// Whose channel `presented` opens. What a peer presents is hashed first, so the time the lookup takes says
    /// nothing about the keys themselves. Text that is too long to be a key is not even hashed.
    pub fn find(&self, presented: &str) -> Option<&T> {
        if presented.len() > MAX_LENGTH {
            return None;
        }
        let hash = StreamKeyHash::of(presented);
        self.owners.get_key_value(&hash).filter(|(kept, _)| kept.matches(&hash)).map(|(_, owner)| owner)
    }

    /// Who owns `hash`.
    pub fn owner(&self, hash: &StreamKeyHash) -> Option<&T> {
        self.owners.get(hash)
    }
}

/// The key already opens another channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this stream key already opens another channel; choose another, or leave it out and one is made for you")]
pub struct KeyTaken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_exactly_one_channel() {
        let mut ring = KeyRing::new();
        let (a, b) = (StreamKeyHash::of("key-of-a"), StreamKeyHash::of("key-of-b"));
        assert_eq!(ring.insert(a, "a"), Ok(()));
        assert_eq!(ring.insert(a, "a"), Ok(()), "again for the same channel");
        assert_eq!(ring.insert(b, "b"), Ok(()));
        assert_eq!(ring.insert(a, "b"), Err(KeyTaken));
        assert_eq!(ring.find("key-of-a"), Some(&"a"));
        assert_eq!(ring.find("key-of-b"), Some(&"b"));
        for wrong in ["", "key-of-", "key-of-c", "KEY-OF-A", &"x".repeat(1_000_000)] {
            assert_eq!(ring.find(wrong), None);
        }
        ring.remove_owner(&"a");
        assert_eq!(ring.find("key-of-a"), None);
        assert_eq!(ring.insert(a, "b"), Ok(()));
    }
}
