//! Content keys as the configuration has them: read from files, put on a shelf for players that may have them, and made
//! into the stage that encrypts a channel.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use millstream_archive::store::{Environment, Signer};
use millstream_control::channel::ChannelConfig;
use millstream_control::status::StatusHandle;
use millstream_media::protection::KeyId;
use millstream_package::protection::keys::{ContentKey, KeyPair, parse_key_file};
use millstream_package::protection::sealed::Recipient;
use millstream_package::protection::systems::{ClearKeyUrls, clear_key, common_pssh};
use millstream_package::protection::{Announce, Stage};
use millstream_telemetry::Metrics;

use super::speke::{Credentials, KeyClient, read_recipient};

/// The service that Amazon's API Gateway is in signatures.
const GATEWAY: &str = "execute-api";
/// Largest file of keys that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// The keys that players may get, by channel. Clones are the same shelf.
#[derive(Clone)]
pub struct Shelf {
    folder: PathBuf,
    /// Where credentials of Amazon come from, for key servers behind its gateway.
    environment: Arc<Environment>,
    keys: Arc<RwLock<HashMap<String, Arc<Vec<ContentKey>>>>>,
}

impl Shelf {
    /// An empty shelf; files of keys lie in `folder`.
    pub fn new(folder: PathBuf, environment: Environment) -> Self {
        Shelf { folder, environment: Arc::new(environment), keys: Arc::default() }
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
    pub fn stage(
        &self,
        config: &ChannelConfig,
        status: &StatusHandle,
        metrics: &Metrics,
    ) -> Result<Option<Stage>, String> {
        let name = config.name.as_str();
        let mut shelf = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        shelf.remove(name);
        let Some(protection) = &config.protection else { return Ok(None) };
        let rotation = u64::from(protection.rotation_seconds.millis());
        let segments = (rotation > 0).then(|| rotation.div_ceil(u64::from(config.segment_seconds.millis()).max(1)));
        if let Some(speke) = &protection.speke {
            let headers = speke.headers.as_ref().map(|file| self.text(file)).transpose()?.unwrap_or_default();
            let telling = (status.clone(), metrics.key_server(name));
            let how = (protection.scheme, segments.is_some());
            let signer = speke.aws_region.as_ref().map(|region| Signer::open(&self.environment, GATEWAY, region));
            let signer = signer.transpose().map_err(|error| format!("speke.aws_region: {error}"))?;
            let recipient = speke.certificate.as_ref().map(|file| self.recipient(file)).transpose()?;
            let credentials = Credentials { headers, signer, recipient };
            let source = KeyClient::start(config, speke, how, credentials, telling)?;
            return Ok(Some(Stage::from_source(protection.scheme, Box::new(source), segments)));
        }
        let pairs = self.read(protection.keys.as_deref().unwrap_or_default())?;
        let urls = protection
            .clear_key
            .unwrap_or(true)
            .then(|| ClearKeyUrls { licence: None, keys: format!("/live/{name}/") });
        if urls.is_some() {
            let mut keys: Vec<ContentKey> = Vec::new();
            for key in pairs.iter().flat_map(|pair| [&pair.video, &pair.audio]) {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
            shelf.insert(name.to_owned(), Arc::new(keys));
        }
        let announce: Announce =
            Box::new(move |scheme, key| (clear_key(scheme, key, urls.as_ref()), vec![common_pssh(key.id())]));
        Ok(Some(Stage::new(protection.scheme, pairs, segments, announce)))
    }

    fn read(&self, name: &str) -> Result<Vec<KeyPair>, String> {
        parse_key_file(&self.text(name)?).map_err(|error| format!("{}: {error}", self.folder.join(name).display()))
    }

    fn recipient(&self, name: &str) -> Result<Recipient, String> {
        read_recipient(&self.text(name)?).map_err(|error| format!("{}: {error}", self.folder.join(name).display()))
    }

    fn text(&self, name: &str) -> Result<String, String> {
        let path = self.folder.join(name);
        let shown = path.display();
        let length = std::fs::metadata(&path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
        if length.len() > MAX_FILE {
            return Err(format!("{shown} has {} bytes; it may have {MAX_FILE} at most", length.len()));
        }
        std::fs::read_to_string(&path).map_err(|error| format!("{shown} cannot be read: {error}"))
    }
}
