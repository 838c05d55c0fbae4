//! Content keys as the configuration has them: read from files, put on a shelf for players that may have them, and made
//! into the stage that encrypts a channel.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use millstream_control::channel::ChannelConfig;
use millstream_media::protection::KeyId;
use millstream_package::protection::keys::{ContentKey, KeyPair, parse_key_file};
use millstream_package::protection::systems::{ClearKeyUrls, clear_key, common_pssh};
use millstream_package::protection::{Announce, Stage};

/// Largest file of keys that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// The keys that players may get, by channel. Clones are the same shelf.
#[derive(Clone)]
pub struct Shelf {
    folder: PathBuf,
    keys: Arc<RwLock<HashMap<String, Arc<Vec<ContentKey>>>>>,
}

impl Shelf {
    /// An empty shelf; files of keys lie in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Shelf { folder, keys: Arc::default() }
    }

    /// The keys of a channel that players may get.
    pub fn of(&self, channel: &str) -> Option<Arc<Vec<ContentKey>>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(channel).cloned()
    }

    /// One of them.
    pub fn key(&self, channel: &str, id: KeyId) -> Option<ContentKey> {
        self.of(channel)?.iter().find(|key| key.id() == id).cloned()
    }

    /// The stage of a channel, if it is to be encrypted, with its keys on the shelf.
    ///
    /// # Errors
    /// Why there are no keys, in words for an operator. The channel must then publish nothing.
    pub fn stage(&self, config: &ChannelConfig) -> Result<Option<Stage>, String> {
        let name = config.name.as_str();
        let mut shelf = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        shelf.remove(name);
        let Some(protection) = &config.protection else { return Ok(None) };
        let pairs = self.read(&protection.keys)?;
        let urls = protection.clear_key.then(|| ClearKeyUrls { licence: None, keys: format!("/live/{name}/") });
        if urls.is_some() {
            let mut keys: Vec<ContentKey> = Vec::new();
            for key in pairs.iter().flat_map(|pair| [&pair.video, &pair.audio]) {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
            shelf.insert(name.to_owned(), Arc::new(keys));
        }
        let rotation = u64::from(protection.rotation_seconds.millis());
        let segments = (rotation > 0).then(|| rotation.div_ceil(u64::from(config.segment_seconds.millis()).max(1)));
        let announce: Announce =
            Box::new(move |scheme, key| (clear_key(scheme, key, urls.as_ref()), vec![common_pssh(key.id())]));
        Ok(Some(Stage::new(protection.scheme, pairs, segments, announce)))
    }

    fn read(&self, name: &str) -> Result<Vec<KeyPair>, String> {
        let path = self.folder.join(name);
        let shown = path.display();
        let length =
            std::fs::metadata(&path).map_err(|error| format!("the keys in {shown} cannot be read: {error}"))?;
        if length.len() > MAX_FILE {
            return Err(format!("{shown} has {} bytes; a file of keys has at most {MAX_FILE}", length.len()));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
        parse_key_file(&text).map_err(|error| format!("{shown}: {error}"))
    }
}
