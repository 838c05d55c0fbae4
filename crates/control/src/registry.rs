//! The channels of this node: what they are set to, who may publish to them, and every change of either.
//!
//! Readers take a snapshot and never wait. Changes are made one at a time: checked, written to the store, then
//! published as a new snapshot to whoever subscribed. A subscriber that is slow sees the newest snapshot and misses
//! none of the changes: [`Channels::changes_since`] compares two.

mod channels;
mod error;

use std::sync::Arc;

use millstream_access::{StreamKey, StreamKeyHash};
use millstream_media::time::Clock;
use rand::TryRngCore;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

pub use channels::{Change, Channel, ChannelView, Channels, ManagedBy};
pub use error::{Refusal, RegistryError};

use crate::channel::{ChannelConfig, ChannelName, ConfigError};
use crate::documents::{ChannelDocument, Documents};
use crate::status::{State, StatusHandle};

/// The application name that publishers use: `rtmp://HOST/live`.
pub const APP: &str = "live";
/// Most channels on one node.
pub const MAX_CHANNELS: usize = 1000;

/// The channels of this node.
pub struct Registry {
    documents: Documents,
    clock: Arc<dyn Clock>,
    published: watch::Sender<Arc<Channels>>,
    /// Held while a change is checked, stored and published.
    changing: Mutex<()>,
}

impl Registry {
    /// Reads the stored channels and lays those of the configuration file over them: where both name a channel, the
    /// file wins. A stored channel that cannot be read is there with a fault and does not keep the others away.
    pub async fn open(
        documents: Documents,
        configured: Vec<ChannelConfig>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, RegistryError> {
        let mut channels = Channels::default();
        let mut stored = documents.load_all().await?;
        for mut config in configured {
            config.check()?;
            if channels.get(&config.name).is_some() {
                return Err(RegistryError::Exists { name: config.name });
            }
            let own_key = config.stream_key.take().map(|key| key.hash());
            let kept = stored.iter().position(|(name, _)| *name == config.name).map(|i| stored.swap_remove(i).1);
            let (hashes, version) = match (own_key, kept) {
                (Some(hash), _) => (vec![hash], None),
                (None, Some(Ok((document, version)))) => (document.stream_key_hashes, Some(version)),
                (None, _) => (Vec::new(), None),
            };
            let status = StatusHandle::new(clock.utc());
            if hashes.is_empty() {
                status.warn(
                    "no stream key: set stream_key in the configuration file, or run `millstream channel rotate-key`",
                );
            }
            let managed_by = ManagedBy::Config { own_key: own_key.is_some() };
            channels.put(Channel { config, hashes, managed_by, version, status, fault: None })?;
        }
        stored.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, read) in stored {
            let status = StatusHandle::new(clock.utc());
            let channel = match read {
                Ok((document, version)) => {
                    let mut hashes = document.stream_key_hashes;
                    let before = hashes.len();
                    hashes.retain(|hash| channels.owner(hash).is_none());
                    if hashes.len() < before {
                        status
                            .warn("its stream key also opens another channel and no longer opens this one; rotate it");
                    }
                    let managed_by = ManagedBy::Api;
                    Channel { config: document.config, hashes, managed_by, version: Some(version), status, fault: None }
                }
                Err(error) => {
                    let cause = error.to_string();
                    tracing::error!(channel = %name, error = %cause, "channel document unusable");
                    status.enter(State::Error, Some(cause.clone()), clock.utc());
                    let config = ChannelConfig { enabled: false, ..ChannelConfig::new(name) };
                    let managed_by = ManagedBy::Api;
                    Channel { config, hashes: Vec::new(), managed_by, version: None, status, fault: Some(cause) }
                }
            };
            channels.put(channel)?;
        }
        let (published, _) = watch::channel(Arc::new(channels));
        Ok(Arc::new(Registry { documents, clock, published, changing: Mutex::new(()) }))
    }

    /// The documents, for the runtime to keep its continuity in.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// The channels now.
    pub fn channels(&self) -> Arc<Channels> {
        self.published.borrow().clone()
    }

    /// The channels now and at every change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Channels>> {
        self.published.subscribe()
    }

    /// Which channel a publisher opens with `key`. The refusal never repeats the key.
    pub fn authorize(&self, app: &str, key: &str) -> Result<ChannelName, Refusal> {
        if app.trim_matches('/') != APP {
            return Err(Refusal::UnknownApp);
        }
        let channels = self.channels();
        let channel = channels.opened_by(key).ok_or(Refusal::UnknownKey)?;
        let name = channel.config.name.clone();
        if channel.config.enabled { Ok(name) } else { Err(Refusal::Disabled { channel: name }) }
    }

    /// Creates a channel. Returns its key: this is the only time it is shown.
    pub async fn create(&self, mut config: ChannelConfig) -> Result<(Arc<Channel>, StreamKey), RegistryError> {
        let _one_change = self.changing.lock().await;
        config.check()?;
        let channels = self.channels();
        if channels.get(&config.name).is_some() {
            return Err(RegistryError::Exists { name: config.name });
        }
        if channels.len() >= MAX_CHANNELS {
            return Err(RegistryError::Full);
        }
        let key = match config.stream_key.take() {
            Some(key) => key,
            None => random_key()?,
        };
        let hashes = vec![self.free_hash(&key, &config.name)?];
        let document = ChannelDocument::new(config.clone(), hashes.clone());
        let version = Some(self.documents.create(&document).await?);
        let status = StatusHandle::new(self.clock.utc());
        let channel =
            self.publish(Channel { config, hashes, managed_by: ManagedBy::Api, version, status, fault: None })?;
        tracing::info!(channel = %channel.config.name, "channel created");
        Ok((channel, key))
    }

    /// Changes settings by a JSON merge patch. `revision`, if given, must still be the channel's.
    pub async fn patch(
        &self,
        name: &ChannelName,
        patch: &Value,
        revision: Option<&str>,
    ) -> Result<Arc<Channel>, RegistryError> {
        let _one_change = self.changing.lock().await;
        let channel = self.editable(name, revision)?;
        let config = channel.config.patched(patch)?;
        let changed = self.store(&channel, config, channel.hashes.clone()).await?;
        tracing::info!(channel = %name, "channel changed");
        Ok(changed)
    }

    /// Deletes a channel. Who is publishing to it is cut off by the runtime.
    pub async fn delete(&self, name: &ChannelName, revision: Option<&str>) -> Result<(), RegistryError> {
        let _one_change = self.changing.lock().await;
        let channel = self.found(name)?;
        channel.check_owner()?;
        channel.check_revision(revision)?;
        self.documents.delete(name).await?;
        let mut next = Channels::clone(&self.channels());
        next.remove(name);
        self.published.send_replace(Arc::new(next));
        tracing::info!(channel = %name, "channel deleted");
        Ok(())
    }

    /// Starts (`true`) or stops a channel. For a channel of the configuration file this holds until the server is
    /// started again.
    pub async fn set_enabled(&self, name: &ChannelName, enabled: bool) -> Result<Arc<Channel>, RegistryError> {
        let _one_change = self.changing.lock().await;
        let channel = self.found(name)?;
        channel.check_fault()?;
        if channel.config.enabled == enabled {
            return Ok(channel);
        }
        let config = ChannelConfig { enabled, ..channel.config.clone() };
        let changed = match channel.managed_by {
            ManagedBy::Api => self.store(&channel, config, channel.hashes.clone()).await?,
            ManagedBy::Config { .. } => self.publish(Channel { config, ..Channel::clone(&channel) })?,
        };
        tracing::info!(channel = %name, enabled, "channel {}", if enabled { "started" } else { "stopped" });
        Ok(changed)
    }

    /// Gives a channel a new key, made at random unless one is given, and returns it: the only time it is shown.
    /// The old key opens nothing any more; who is publishing with it stays connected.
    pub async fn rotate_key(
        &self,
        name: &ChannelName,
        chosen: Option<StreamKey>,
    ) -> Result<(Arc<Channel>, StreamKey), RegistryError> {
        let _one_change = self.changing.lock().await;
        let channel = self.found(name)?;
        channel.check_fault()?;
        if channel.managed_by == (ManagedBy::Config { own_key: true }) {
            return Err(RegistryError::KeyInConfig { name: name.clone() });
        }
        let key = match chosen {
            Some(key) => key,
            None => random_key()?,
        };
        let hashes = vec![self.free_hash(&key, name)?];
        let changed = self.store(&channel, channel.config.clone(), hashes).await?;
        changed.status.update(|status| status.warnings.retain(|w| !w.contains("stream key")));
        tracing::info!(channel = %name, "stream key rotated");
        Ok((changed, key))
    }

    fn found(&self, name: &ChannelName) -> Result<Arc<Channel>, RegistryError> {
        self.channels().get(name).cloned().ok_or_else(|| RegistryError::NotFound { name: name.clone() })
    }

    fn editable(&self, name: &ChannelName, revision: Option<&str>) -> Result<Arc<Channel>, RegistryError> {
        let channel = self.found(name)?;
        channel.check_owner()?;
        channel.check_fault()?;
        channel.check_revision(revision)?;
        Ok(channel)
    }

    fn free_hash(&self, key: &StreamKey, name: &ChannelName) -> Result<StreamKeyHash, RegistryError> {
        let hash = key.hash();
        match self.channels().owner(&hash) {
            Some(owner) if owner != name => Err(RegistryError::Config(ConfigError::one(
                "stream_key",
                "already opens another channel; choose another",
            ))),
            _ => Ok(hash),
        }
    }

    /// Writes the new settings of `channel` and publishes them.
    async fn store(
        &self,
        channel: &Channel,
        config: ChannelConfig,
        hashes: Vec<StreamKeyHash>,
    ) -> Result<Arc<Channel>, RegistryError> {
        let document = ChannelDocument::new(config.clone(), hashes.clone());
        let version = match &channel.version {
            Some(version) => self.documents.update(&document, version).await?,
            None => self.documents.create(&document).await?,
        };
        self.publish(Channel { config, hashes, version: Some(version), ..channel.clone() })
    }

    fn publish(&self, channel: Channel) -> Result<Arc<Channel>, RegistryError> {
        let mut next = Channels::clone(&self.channels());
        let channel = next.put(channel)?;
        self.published.send_replace(Arc::new(next));
        Ok(channel)
    }
}

/// A key from the operating system's random source.
fn random_key() -> Result<StreamKey, RegistryError> {
    let mut random = [0_u8; millstream_access::stream_key::RANDOM_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(|_| RegistryError::Random)?;
    Ok(StreamKey::generate(random))
}
