//! The keys of a channel as the registry has them: definitions, who is live with each, and every change.

use std::net::IpAddr;

use millstream_access::network::Network;
use millstream_access::passphrase::{KeyLength, Passphrase, SrtEncryption};
use millstream_access::publisher::{KeyName, MAX_ADDRESSES, MAX_KEYS, MAX_RETIRED, PublisherKey, RetiredKey, Takeover};
use millstream_access::{StreamKey, StreamKeyHash};
use millstream_media::time::UtcTime;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::channels::Channel;
use super::error::{Refusal, RegistryError};
use crate::channel::{ChannelName, ConfigError};

/// A key of a channel, and the streams that were let in by it.
#[derive(Clone, Debug)]
pub struct ChannelKey {
    /// What it is.
    pub key: PublisherKey,
    /// The configuration file sets it.
    pub in_config: bool,
    /// True when the streams that were let in by it are to end. Shared by all snapshots, and kept over a rotation that
    /// lets them go on.
    streams: watch::Sender<bool>,
}

impl ChannelKey {
    /// A key that nobody has used.
    pub fn new(key: PublisherKey, in_config: bool) -> Self {
        ChannelKey { key, in_config, streams: watch::Sender::new(false) }
    }

    /// What the API shows.
    pub fn view(&self) -> KeyView {
        KeyView {
            name: self.key.name.to_string(),
            managed_by: if self.in_config { "config" } else { "api" },
            created: self.key.created.map(UtcTime::to_iso8601),
            expires: self.key.expires.map(UtcTime::to_iso8601),
            addresses: self.key.addresses.iter().map(Network::to_string).collect(),
            srt_key_bytes: self.key.srt.as_ref().map(|srt| srt.key_bytes.bytes()),
            publishing: self.streams.receiver_count() > 0,
        }
    }
}

/// The same definition; who is live with it may differ.
impl PartialEq for ChannelKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.in_config == other.in_config
    }
}

/// A key as the API shows it. The key itself is shown once, by what makes it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// What it is called.
    pub name: String,
    /// Who sets it: `api` or `config` (the configuration file).
    #[schema(value_type = String)]
    pub managed_by: &'static str,
    /// When it was made or last rotated, if that is known.
    #[schema(format = DateTime)]
    pub created: Option<String>,
    /// From when on it lets nobody in; none if it does not end.
    #[schema(format = DateTime)]
    pub expires: Option<String>,
    /// Networks it may be used from; empty for anywhere.
    pub addresses: Vec<String>,
    /// Length of the AES keys of its SRT contributions in bytes, if it has a passphrase of its own.
    pub srt_key_bytes: Option<u64>,
    /// Whether a publisher that was let in by it is connected.
    pub publishing: bool,
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is to be called.
    pub name: KeyName,
    /// The key; made at random if none is given.
    pub stream_key: Option<StreamKey>,
    /// From when on it is to let nobody in.
    pub expires: Option<UtcTime>,
    /// Networks it may be used from; anywhere if empty.
    pub addresses: Vec<Network>,
    /// How its SRT contributions are to be encrypted, if they are.
    pub srt: Option<NewSrt>,
}

/// The encryption of a key's SRT contributions, to be made.
#[derive(Clone, Debug, Default)]
pub struct NewSrt {
    /// The passphrase; made at random if none is given.
    pub passphrase: Option<Passphrase>,
    /// Length of the keys; as it was, or AES-128, if none is given.
    pub key_bytes: Option<KeyLength>,
}

impl NewSrt {
    /// As it is to be kept; `random` makes a passphrase.
    pub(super) fn made(
        self,
        old: Option<&SrtEncryption>,
        random: impl FnOnce() -> Result<Passphrase, RegistryError>,
    ) -> Result<SrtEncryption, RegistryError> {
        let key_bytes = self.key_bytes.or(old.map(|srt| srt.key_bytes)).unwrap_or_default();
        let passphrase = self.passphrase.map_or_else(random, Ok)?;
        Ok(SrtEncryption { passphrase, key_bytes })
    }
}

/// What becomes of a stream that was let in by a key that is revoked or rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// It ends at once.
    End,
    /// It goes on until its publisher ends it.
    Keep,
}

/// A publisher that may come in.
#[derive(Debug)]
pub struct Opened {
    /// The channel.
    pub channel: ChannelName,
    /// The key's name.
    pub key: KeyName,
    /// What happens if the channel has a publisher.
    pub takeover: Takeover,
    /// True when the stream is to end.
    pub ended: watch::Receiver<bool>,
}

impl Channel {
    /// One of its keys.
    pub fn key(&self, name: &KeyName) -> Option<&ChannelKey> {
        self.keys.iter().find(|key| key.key.name == *name)
    }

    /// Lets a publisher in that presented the key with this hash.
    pub(super) fn open_at(&self, hash: &StreamKeyHash, now: UtcTime, address: IpAddr) -> Result<Opened, Refusal> {
        let channel = self.config.name.clone();
        let Some(key) = self.keys.iter().find(|key| key.key.hash.matches(hash)) else {
            return Err(Refusal::UnknownKey);
        };
        if let Err(cause) = key.key.check_at(now, address) {
            return Err(Refusal::Key { channel, key: key.key.name.clone(), cause });
        }
        if !self.config.enabled {
            return Err(Refusal::Disabled { channel });
        }
        let (key, ended) = (key.key.name.clone(), key.streams.subscribe());
        Ok(Opened { channel, key, takeover: self.config.takeover, ended })
    }

    /// Its keys with one more.
    pub(super) fn with_key(&self, new: PublisherKey) -> Result<Channel, RegistryError> {
        if self.key(&new.name).is_some() {
            return Err(RegistryError::KeyExists { name: self.config.name.clone(), key: new.name });
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(RegistryError::TooManyKeys { name: self.config.name.clone() });
        }
        if new.addresses.len() > MAX_ADDRESSES {
            let message = format!("has more than {MAX_ADDRESSES} networks; name fewer, larger ones");
            return Err(RegistryError::Config(ConfigError::one("addresses", message)));
        }
        let mut next = self.clone();
        next.retired.retain(|old| old.hash != new.hash);
        next.keys.push(ChannelKey::new(new, false));
        Ok(next)
    }

    /// Its keys without this one. Gives also what its streams listen to.
    pub(super) fn without_key(&self, name: &KeyName, now: UtcTime) -> Result<(Channel, EndStreams), RegistryError> {
        let key = self.changeable(name)?;
        let end = EndStreams(key.streams.clone());
        let mut next = self.clone();
        next.keys.retain(|key| key.key.name != *name);
        next.retire(key.key.name.clone(), key.key.hash, now);
        Ok((next, end))
    }

    /// The same with another secret under a key's name. Gives also what the former one's streams listen to.
    pub(super) fn rotated(
        &self,
        name: &KeyName,
        hash: StreamKeyHash,
        srt: Option<SrtEncryption>,
        now: UtcTime,
        streams: Streams,
    ) -> Result<(Channel, EndStreams), RegistryError> {
        let old = self.changeable(name)?;
        let end = EndStreams(old.streams.clone());
        let (old_name, old_hash) = (old.key.name.clone(), old.key.hash);
        let mut next = self.clone();
        for key in next.keys.iter_mut().filter(|key| key.key.name == *name) {
            (key.key.hash, key.key.created) = (hash, Some(now));
            key.key.srt.clone_from(&srt);
            if streams == Streams::End {
                key.streams = watch::Sender::new(false);
            }
        }
        next.retire(old_name, old_hash, now);
        next.retired.retain(|old| old.hash != hash);
        Ok((next, end))
    }

    fn changeable(&self, name: &KeyName) -> Result<&ChannelKey, RegistryError> {
        match self.key(name) {
            None => Err(RegistryError::NoKey { name: self.config.name.clone(), key: name.clone() }),
            Some(key) if key.in_config => Err(RegistryError::KeyInConfig { name: self.config.name.clone() }),
            Some(key) => Ok(key),
        }
    }

    fn retire(&mut self, name: KeyName, hash: StreamKeyHash, at: UtcTime) {
        self.retired.push(RetiredKey { name, hash, at });
        let too_many = self.retired.len().saturating_sub(MAX_RETIRED);
        self.retired.drain(..too_many);
    }
}

/// Ends the streams of a key.
pub(super) struct EndStreams(watch::Sender<bool>);

impl EndStreams {
    /// Ends them.
    pub(super) fn end(self) {
        self.0.send_replace(true);
    }
}
