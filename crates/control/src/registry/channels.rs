//! A snapshot of all channels, and the difference between two.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use millstream_access::publisher::{PublisherKey, RetiredKey};
use millstream_access::{KeyRing, KeyTaken, StreamKeyHash};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::RegistryError;
use super::keys::ChannelKey;
use crate::channel::{ChannelConfig, ChannelName, Mode};
use crate::documents::Version;
use crate::status::{LiveStatus, StatusHandle};

/// Who owns a channel's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedBy {
    /// Created through the API; the store keeps it.
    Api,
    /// Defined in the configuration file.
    Config {
        /// The file sets the stream key, too.
        own_key: bool,
    },
}

impl ManagedBy {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            ManagedBy::Api => "api",
            ManagedBy::Config { .. } => "config",
        }
    }
}

/// A channel as it is defined now. The status is shared by all snapshots.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its settings; `stream_key` is always `None` in here.
    pub config: ChannelConfig,
    /// The keys that open it.
    pub keys: Vec<ChannelKey>,
    /// Keys that opened it, the newest last.
    pub retired: Vec<RetiredKey>,
    /// Who owns the definition.
    pub managed_by: ManagedBy,
    /// What it is doing; the runtime writes it.
    pub status: StatusHandle,
    /// Its document cannot be read: why. Such a channel is disabled.
    pub fault: Option<String>,
    /// Version of the stored document, if there is one.
    pub(super) version: Option<Version>,
}

impl Channel {
    /// Names the definition's content: changes whenever a setting or the key does, and with the process. What is secret in
    /// the content cannot be guessed by it.
    pub fn revision(&self) -> String {
        static OF_THIS_PROCESS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let content = serde_json::to_vec(&(&self.config, self.definitions())).unwrap_or_default();
        format!("{:016x}", OF_THIS_PROCESS.hash_one(content))
    }

    fn definitions(&self) -> Vec<&PublisherKey> {
        self.keys.iter().map(|key| &key.key).collect()
    }

    /// What the API shows.
    pub fn view(&self) -> ChannelView {
        ChannelView {
            name: self.config.name.as_str().to_owned(),
            title: self.config.display_title().to_owned(),
            mode: self.config.mode,
            enabled: self.config.enabled,
            managed_by: self.managed_by.as_str(),
            revision: self.revision(),
            live: self.status.get(),
            config: self.config.clone(),
        }
    }

    pub(super) fn check_owner(&self) -> Result<(), RegistryError> {
        match self.managed_by {
            ManagedBy::Api => Ok(()),
            ManagedBy::Config { .. } => Err(RegistryError::ManagedByConfig { name: self.config.name.clone() }),
        }
    }

    pub(super) fn check_fault(&self) -> Result<(), RegistryError> {
        match &self.fault {
            None => Ok(()),
            Some(cause) => Err(RegistryError::Broken { name: self.config.name.clone(), cause: cause.clone() }),
        }
    }

    pub(super) fn check_revision(&self, expected: Option<&str>) -> Result<(), RegistryError> {
        let revision = self.revision();
        match expected {
            Some(expected) if expected != revision => {
                Err(RegistryError::Changed { name: self.config.name.clone(), revision })
            }
            _ => Ok(()),
        }
    }

    /// The same definition (the status may differ).
    fn same_definition(&self, other: &Channel) -> bool {
        self.config == other.config && self.keys == other.keys && self.managed_by == other.managed_by
    }
}

/// A channel as the API shows it: its status and its settings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChannelView {
    /// Name in URLs.
    pub name: String,
    /// What viewers read.
    pub title: String,
    /// How it is made.
    #[schema(inline)]
    pub mode: Mode,
    /// Whether it may go on air.
    pub enabled: bool,
    /// Who owns its definition: `api` or `config` (the configuration file).
    #[schema(value_type = String)]
    pub managed_by: &'static str,
    /// Names the settings as they are; give it as `If-Match` to change only these.
    pub revision: String,
    /// What it is doing.
    #[serde(flatten)]
    pub live: LiveStatus,
    /// Its settings.
    pub config: ChannelConfig,
}

/// All channels at one moment.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    by_name: BTreeMap<ChannelName, Arc<Channel>>,
    keys: KeyRing<ChannelName>,
}

impl Channels {
    /// One channel.
    pub fn get(&self, name: &ChannelName) -> Option<&Arc<Channel>> {
        self.by_name.get(name)
    }

    /// One channel, by text that may be no channel name at all.
    pub fn find(&self, name: &str) -> Option<&Arc<Channel>> {
        ChannelName::new(name).ok().and_then(|name| self.by_name.get(&name))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The channel that a presented key opens.
    pub fn opened_by(&self, key: &str) -> Option<&Arc<Channel>> {
        self.keys.find(key).and_then(|name| self.by_name.get(name))
    }

    /// The channel that a key with this hash opened once, and what it was called.
    pub(super) fn opened_once_by(&self, hash: &StreamKeyHash) -> Option<(&ChannelName, &RetiredKey)> {
        let mut channels = self.by_name.values();
        channels.find_map(|c| Some((&c.config.name, c.retired.iter().find(|old| old.hash.matches(hash))?)))
    }

    /// What has to be done to go from `old` to these.
    pub fn changes_since(&self, old: &Channels) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, before) in &old.by_name {
            match self.by_name.get(name) {
                None => changes.push(Change::Removed(before.clone())),
                // Another status handle is another channel, deleted and created again under the same name.
                Some(now) if !now.status.is_same(&before.status) => {
                    changes.push(Change::Removed(before.clone()));
                    changes.push(Change::Added(now.clone()));
                }
                Some(now) if !now.same_definition(before) => {
                    changes.push(Change::Updated { before: before.clone(), now: now.clone() });
                }
                Some(_) => {}
            }
        }
        changes.extend(
            self.by_name
                .iter()
                .filter(|(name, _)| !old.by_name.contains_key(*name))
                .map(|(_, now)| Change::Added(now.clone())),
        );
        changes
    }

    pub(super) fn owner(&self, hash: &StreamKeyHash) -> Option<&ChannelName> {
        self.keys.owner(hash)
    }

    pub(super) fn put(&mut self, channel: Channel) -> Result<Arc<Channel>, KeyTaken> {
        let name = channel.config.name.clone();
        self.keys.remove_owner(&name);
        for key in &channel.keys {
            self.keys.insert(key.key.hash, name.clone())?;
        }
        let channel = Arc::new(channel);
        self.by_name.insert(name, channel.clone());
        Ok(channel)
    }

    pub(super) fn remove(&mut self, name: &ChannelName) {
        self.keys.remove_owner(name);
        self.by_name.remove(name);
    }
}

/// A change of one channel.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new channel.
    Added(Arc<Channel>),
    /// Other settings, another key, started or stopped.
    Updated {
        /// As it was.
        before: Arc<Channel>,
        /// As it is to be.
        now: Arc<Channel>,
    },
    /// Deleted.
    Removed(Arc<Channel>),
}
