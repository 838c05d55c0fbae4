//! The channels of this node: what they are set to, who may publish to them, and every change of either.
//!
//! Readers take a snapshot and never wait. Changes are made one at a time: checked, written to the store, then
//! published as a new snapshot to whoever subscribed. A subscriber that is slow sees the newest snapshot and misses
//! none of the changes: [`Channels::changes_since`] compares two.

mod channels;
mod error;
mod keys;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use millstream_access::passphrase::Passphrase;
use millstream_access::publisher::{KeyName, KeyRefusal, PublisherKey};
use millstream_access::{StreamKey, StreamKeyHash};
use millstream_media::time::Clock;
use rand::TryRngCore;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

pub use channels::{Change, Channel, ChannelView, Channels, ManagedBy};
pub use error::{Refusal, RegistryError};
pub use keys::{ChannelKey, KeyView, NewKey, NewSrt, Opened, Streams};

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
        // The file's keys go first: what is stored never keeps one of them from its channel.
        let in_file: BTreeSet<StreamKeyHash> =
            configured.iter().filter_map(|config| config.stream_key.as_ref()).map(StreamKey::hash).collect();
        for mut config in configured {
            config.check()?;
            if channels.get(&config.name).is_some() {
                return Err(RegistryError::Exists { name: config.name });
            }
            let own = config
                .stream_key
                .take()
                .map(|key| ChannelKey::new(PublisherKey::new(KeyName::default_key(), key.hash(), None), true));
            let own_key = own.is_some();
            let kept = stored.iter().position(|(name, _)| *name == config.name).map(|i| stored.swap_remove(i).1);
            let (kept_keys, retired, version) = match kept {
                Some(Ok((document, version))) => (document.keys, document.retired_keys, Some(version)),
                _ => (Vec::new(), Vec::new(), None),
            };
            let mut keys: Vec<ChannelKey> = own.into_iter().collect();
            for key in kept_keys {
                let named = keys.iter().any(|other| other.key.name == key.name);
                if !named && !in_file.contains(&key.hash) && channels.owner(&key.hash).is_none() {
                    keys.push(ChannelKey::new(key, false));
                }
            }
            let status = StatusHandle::new(clock.utc());
            if keys.is_empty() {
                status.warn(
                    "no stream key: set stream_key in the configuration file, or run `millstream channel rotate-key`",
                );
            }
            let managed_by = ManagedBy::Config { own_key };
            channels.put(Channel { config, keys, retired, managed_by, version, status, fault: None })?;
        }
        stored.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, read) in stored {
            let status = StatusHandle::new(clock.utc());
            let channel = match read {
                Ok((document, version)) => {
                    let mut keys = document.keys;
                    let before = keys.len();
                    keys.retain(|key| channels.owner(&key.hash).is_none());
                    if keys.len() < before {
                        status
                            .warn("its stream key also opens another channel and no longer opens this one; rotate it");
                    }
                    let keys = keys.into_iter().map(|key| ChannelKey::new(key, false)).collect();
                    let (config, retired, managed_by) = (document.config, document.retired_keys, ManagedBy::Api);
                    Channel { config, keys, retired, managed_by, version: Some(version), status, fault: None }
                }
                Err(error) => {
                    let cause = error.to_string();
                    tracing::error!(channel = %name, error = %cause, "channel document unusable");
                    status.enter(State::Error, Some(cause.clone()), clock.utc());
                    let config = ChannelConfig { enabled: false, ..ChannelConfig::new(name) };
                    let managed_by = ManagedBy::Api;
                    let (keys, retired) = (Vec::new(), Vec::new());
                    Channel { config, keys, retired, managed_by, version: None, status, fault: Some(cause) }
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

    /// Which channel a publisher at `address` opens with `key`. The refusal never repeats the key.
    ///
    /// # Errors
    /// [`Refusal`], for the log: a publisher is not told which it is.
    pub fn authorize(&self, app: &str, key: &str, address: IpAddr) -> Result<Opened, Refusal> {
        if app.trim_matches('/') != APP {
            return Err(Refusal::UnknownApp);
        }
        let channels = self.channels();
        let hash = StreamKeyHash::of(key);
        if let Some(channel) = channels.opened_by(key) {
            return channel.open_at(&hash, self.clock.utc(), address);
        }
        match channels.opened_once_by(&hash) {
            Some((channel, old)) => {
                Err(Refusal::Key { channel: channel.clone(), key: old.name.clone(), cause: KeyRefusal::Revoked })
            }
            None => Err(Refusal::UnknownKey),
        }
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
        let hash = self.free_hash(&key, None)?;
        let keys = vec![PublisherKey::new(KeyName::default_key(), hash, Some(self.clock.utc()))];
        let document = ChannelDocument::new(config.clone(), keys.clone(), Vec::new());
        let version = Some(self.documents.create(&document).await?);
        let status = StatusHandle::new(self.clock.utc());
        let keys = keys.into_iter().map(|key| ChannelKey::new(key, false)).collect();
        let (retired, managed_by) = (Vec::new(), ManagedBy::Api);
        let channel = self.publish(Channel { config, keys, retired, managed_by, version, status, fault: None })?;
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
        let changed = self.store(Channel { config, ..Channel::clone(&channel) }).await?;
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
            ManagedBy::Api => self.store(Channel { config, ..Channel::clone(&channel) }).await?,
            ManagedBy::Config { .. } => self.publish(Channel { config, ..Channel::clone(&channel) })?,
        };
        tracing::info!(channel = %name, enabled, "channel {}", if enabled { "started" } else { "stopped" });
        Ok(changed)
    }

    /// Gives a channel one more key and returns it: the only time it is shown.
    ///
    /// # Errors
    /// [`RegistryError`]: the name or the key is taken, too many, or the store's.
    pub async fn add_key(&self, name: &ChannelName, new: NewKey) -> Result<(Arc<Channel>, StreamKey), RegistryError> {
        let _one_change = self.changing.lock().await;
        let channel = self.found(name)?;
        channel.check_fault()?;
        let key = match new.stream_key {
            Some(key) => key,
            None => random_key()?,
        };
        let hash = self.free_hash(&key, None)?;
        let (expires, addresses) = (new.expires, new.addresses);
        let srt = new.srt.map(|srt| srt.made(None, random_passphrase)).transpose()?;
        let made =
            PublisherKey { expires, addresses, srt, ..PublisherKey::new(new.name, hash, Some(self.clock.utc())) };
        let key_name = made.name.clone();
        let changed = self.store(channel.with_key(made)?).await?;
        has_key(&changed);
        tracing::info!(channel = %name, key = %key_name, "stream key added");
        Ok((changed, key))
    }

    /// Takes a key back: it opens nothing any more. By [`Streams::End`] a stream that was let in by it ends.
    ///
    /// # Errors
    /// [`RegistryError`]: no such key, set in the configuration file, or the store's.
    pub async fn revoke_key(
        &self,
        name: &ChannelName,
        key: &KeyName,
        streams: Streams,
    ) -> Result<Arc<Channel>, RegistryError> {
        let _one_change = self.changing.lock().await;
        let channel = self.found(name)?;
        channel.check_fault()?;
        let (next, end) = channel.without_key(key, self.clock.utc())?;
        let changed = self.store(next).await?;
        if streams == Streams::End {
            end.end();
        }
        tracing::info!(channel = %name, %key, ?streams, "stream key revoked");
        Ok(changed)
    }

    /// Gives a key another secret, made at random unless one is given, and returns it: the only time it is shown.
    /// The old one opens nothing any more. A passphrase of SRT is made anew with it; `srt` says which, or gives one to a key
    /// that had none. By [`Streams::Keep`] who is publishing with it stays connected, until the key
    /// is revoked or the stream ends. A missing `default` key is made.
    ///
    /// # Errors
    /// [`RegistryError`]: no such key, set in the configuration file, taken, or the store's.
    pub async fn rotate_key(
        &self,
        name: &ChannelName,
        key: &KeyName,
        chosen: Option<StreamKey>,
        srt: Option<NewSrt>,
        streams: Streams,
    ) -> Result<(Arc<Channel>, StreamKey), RegistryError> {
        let _one_change = self.changing.lock().await;
        let channel = self.found(name)?;
        channel.check_fault()?;
        let secret = match chosen {
            Some(key) => key,
            None => random_key()?,
        };
        let now = self.clock.utc();
        let hash = self.free_hash(&secret, channel.key(key))?;
        let old = channel.key(key).and_then(|key| key.key.srt.as_ref());
        let srt = srt.or(old.map(|_| NewSrt::default())).map(|srt| srt.made(old, random_passphrase)).transpose()?;
        let changed = if channel.key(key).is_none() && *key == KeyName::default_key() {
            self.store(channel.with_key(PublisherKey { srt, ..PublisherKey::new(key.clone(), hash, Some(now)) })?)
                .await?
        } else {
            let (next, end) = channel.rotated(key, hash, srt, now, streams)?;
            let changed = self.store(next).await?;
            if streams == Streams::End {
                end.end();
            }
            changed
        };
        has_key(&changed);
        tracing::info!(channel = %name, %key, ?streams, "stream key rotated");
        Ok((changed, secret))
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

    /// The hash of a key that opens nothing yet, or that `own` is already.
    fn free_hash(&self, key: &StreamKey, own: Option<&ChannelKey>) -> Result<StreamKeyHash, RegistryError> {
        let hash = key.hash();
        if self.channels().owner(&hash).is_some() && own.is_none_or(|own| own.key.hash != hash) {
            return Err(RegistryError::Config(ConfigError::one(
                "stream_key",
                "already opens another channel, or this one under another name; choose another",
            )));
        }
        Ok(hash)
    }

    /// Writes the new definition of a channel and publishes it.
    async fn store(&self, channel: Channel) -> Result<Arc<Channel>, RegistryError> {
        let keys = channel.keys.iter().filter(|key| !key.in_config).map(|key| key.key.clone()).collect();
        let document = ChannelDocument::new(channel.config.clone(), keys, channel.retired.clone());
        let version = match &channel.version {
            Some(version) => self.documents.update(&document, version).await?,
            None => self.documents.create(&document).await?,
        };
        self.publish(Channel { version: Some(version), ..channel })
    }

    fn publish(&self, channel: Channel) -> Result<Arc<Channel>, RegistryError> {
        let mut next = Channels::clone(&self.channels());
        let channel = next.put(channel)?;
        self.published.send_replace(Arc::new(next));
        Ok(channel)
    }
}

/// The channel lacks no key any more.
fn has_key(channel: &Channel) {
    channel.status.update(|status| status.warnings.retain(|w| !w.contains("stream key")));
}

/// A key from the operating system's random source.
fn random_key() -> Result<StreamKey, RegistryError> {
    let mut random = [0_u8; millstream_access::stream_key::RANDOM_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(|_| RegistryError::Random)?;
    Ok(StreamKey::generate(random))
}

/// A passphrase of as many random bits as a key.
fn random_passphrase() -> Result<Passphrase, RegistryError> {
    Passphrase::new(random_key()?.expose()).map_err(|_| RegistryError::Random)
}
