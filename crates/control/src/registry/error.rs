//! What the registry refuses, with the mend in each message.

use millstream_access::KeyTaken;
use millstream_access::publisher::{KeyName, KeyRefusal};

use crate::channel::{ChannelName, ConfigError};
use crate::documents::DocumentError;

/// Why a publisher is not let in. The contributor's fault, except [`Refusal::Disabled`], which an operator chose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not the application `live`.
    #[error("unknown application; the server's URL ends in /live")]
    UnknownApp,
    /// No channel has this key.
    #[error("unknown stream key; copy the channel's key into the encoder, or rotate it to get a new one")]
    UnknownKey,
    /// One of the channel's keys, but not now, not from there, or not any more.
    #[error("key {key} of channel {channel}: {cause}")]
    Key {
        /// The channel.
        channel: ChannelName,
        /// The key's name.
        key: KeyName,
        /// Why.
        cause: KeyRefusal,
    },
    /// The channel is stopped.
    #[error("channel {channel} is stopped; start it with `millstream channel start {channel}`")]
    Disabled {
        /// The channel that the key would open.
        channel: ChannelName,
    },
}

/// Why a channel could not be read or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such channel.
    #[error("there is no channel {name}; `millstream channel list` shows those there are")]
    NotFound {
        /// The name asked for.
        name: ChannelName,
    },
    /// A channel of that name is there.
    #[error(
        "channel {name} is there already; choose another name, or change it with `millstream channel update {name}`"
    )]
    Exists {
        /// The name.
        name: ChannelName,
    },
    /// The configuration file defines it.
    #[error("channel {name} is defined in the configuration file; change it there and restart the server")]
    ManagedByConfig {
        /// The channel.
        name: ChannelName,
    },
    /// The configuration file sets its key.
    #[error(
        "the stream key of channel {name} is set in the configuration file; change it there and restart the server"
    )]
    KeyInConfig {
        /// The channel.
        name: ChannelName,
    },
    /// It has a key of that name.
    #[error("channel {name} has a key {key} already; choose another name, or rotate that one")]
    KeyExists {
        /// The channel.
        name: ChannelName,
        /// The key.
        key: KeyName,
    },
    /// It has no key of that name.
    #[error("channel {name} has no key {key}; `millstream channel key list {name}` shows those there are")]
    NoKey {
        /// The channel.
        name: ChannelName,
        /// The key.
        key: KeyName,
    },
    /// Too many keys.
    #[error("channel {name} has 32 keys, the most it takes; revoke one")]
    TooManyKeys {
        /// The channel.
        name: ChannelName,
    },
    /// Its document could not be read at the start.
    #[error("channel {name} cannot be changed: {cause}")]
    Broken {
        /// The channel.
        name: ChannelName,
        /// Why, with the mend.
        cause: String,
    },
    /// It is not at the revision the caller knows.
    #[error("channel {name} was changed meanwhile and is at revision {revision}; read it again and repeat the change")]
    Changed {
        /// The channel.
        name: ChannelName,
        /// Its revision now.
        revision: String,
    },
    /// Settings that cannot be accepted.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The key opens another channel.
    #[error("{0}")]
    KeyTaken(#[from] KeyTaken),
    /// Too many channels.
    #[error("this node has 1000 channels, the most it takes; delete one, or add a node")]
    Full,
    /// The store failed or holds something else.
    #[error("{0}")]
    Document(#[from] DocumentError),
    /// No random numbers.
    #[error("the operating system gave no random numbers; try again")]
    Random,
}
