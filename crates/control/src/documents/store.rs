//! Reading and writing the documents.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path as LocalPath;
use std::sync::Arc;

use millstream_access::StreamKeyHash;
use millstream_access::passphrase::Passphrase;
use millstream_access::publisher::{DEFAULT_KEY, KeyName, PublisherKey, RetiredKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::continuity::Continuity;
use super::headers::CmafHeaders;
use crate::channel::{ChannelConfig, ChannelName};

/// Largest document read, in bytes. Ours are below 64 kB.
const MAX_BYTES: u64 = 1 << 20;
/// The folder of channels' documents.
const FOLDER: &str = "channels";
/// Format of [`ChannelDocument`].
const FORMAT: u32 = 1;

/// A channel as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelDocument {
    /// Version of this format.
    pub format: u32,
    /// The settings, without the key.
    pub config: ChannelConfig,
    /// The keys that open it, besides one that the configuration file sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<PublisherKey>,
    /// Keys that opened it, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired_keys: Vec<RetiredKey>,
    /// The SRT passphrase, which the settings do not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srt_passphrase: Option<Passphrase>,
    /// Keys as they were kept before they had names. Read, never written.
    #[serde(default, skip_serializing)]
    stream_key_hashes: Vec<StreamKeyHash>,
}

impl ChannelDocument {
    /// A document in the present format.
    pub fn new(config: ChannelConfig, keys: Vec<PublisherKey>, retired_keys: Vec<RetiredKey>) -> Self {
        let srt_passphrase = config.srt_passphrase.clone();
        ChannelDocument { format: FORMAT, config, keys, retired_keys, srt_passphrase, stream_key_hashes: Vec::new() }
    }

    /// What was read, as the present format has it.
    fn renewed(mut self) -> Self {
        for (index, hash) in std::mem::take(&mut self.stream_key_hashes).into_iter().enumerate() {
            let name = if index == 0 { DEFAULT_KEY.to_owned() } else { format!("{DEFAULT_KEY}-{}", index + 1) };
            self.keys.extend(KeyName::new(&name).ok().map(|name| PublisherKey::new(name, hash, None)));
        }
        self.config.srt_passphrase = self.srt_passphrase.clone();
        self
    }
}

/// Which version of a document was read or written; the next write names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(UpdateVersion);

/// The documents of one object store.
pub struct Documents {
    store: Arc<dyn ObjectStore>,
    /// Where the store is, for messages: a folder or a URL.
    location: String,
    /// Held over compare-and-write where the store has no conditional update (the local folder, which has one owner).
    updates: Mutex<()>,
}

impl Documents {
    /// Documents in `store`; `location` names it in messages.
    pub fn new(store: Arc<dyn ObjectStore>, location: impl Into<String>) -> Self {
        Documents { store, location: location.into(), updates: Mutex::new(()) }
    }

    /// Documents in a local folder, made if it is not there. Writes are synced to the disk.
    pub fn local(folder: &LocalPath) -> Result<Self, DocumentError> {
        let path = folder.display().to_string();
        std::fs::create_dir_all(folder)
            .map_err(|source| DocumentError::Folder { path: path.clone(), source: Arc::new(source) })?;
        // What the documents hold in the clear, such as an SRT passphrase, is the server's alone; recordings beside them may
        // be read by a web server.
        let documents = folder.join(FOLDER);
        std::fs::create_dir_all(&documents)
            .and_then(|()| std::fs::set_permissions(&documents, std::fs::Permissions::from_mode(0o700)))
            .map_err(|source| DocumentError::Folder {
                path: documents.display().to_string(),
                source: Arc::new(source),
            })?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|source| DocumentError::Store { path: path.clone(), source: Arc::new(source) })?;
        Ok(Self::new(Arc::new(store.with_fsync(true)), path))
    }

    /// The store itself, for what else is kept in it.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Every channel there is. A document that cannot be read is an error in its own place; the others are unaffected.
    #[allow(clippy::type_complexity, reason = "a list of named results, read in one place")]
    pub async fn load_all(
        &self,
    ) -> Result<Vec<(ChannelName, Result<(ChannelDocument, Version), DocumentError>)>, DocumentError> {
        let folder = Path::from(FOLDER);
        let list = self.store.list_with_delimiter(Some(&folder)).await.map_err(|e| self.failed(&folder, e))?;
        let mut channels = Vec::new();
        for object in list.objects {
            let stem = object.location.filename().and_then(|f| f.strip_suffix(".json"));
            // What channels remember (`NAME.state.json`, `NAME.headers.json`) and foreign files are no channel names.
            if let Some(name) = stem.and_then(|s| ChannelName::new(s).ok()) {
                let document = self.load(&name).await;
                channels.push((name, document));
            }
        }
        Ok(channels)
    }

    /// One channel's settings.
    pub async fn load(&self, name: &ChannelName) -> Result<(ChannelDocument, Version), DocumentError> {
        let path = config_path(name);
        let (document, version) = self.read::<ChannelDocument>(&path).await?;
        if document.config.name != *name {
            let reason = format!("it describes channel {}", document.config.name);
            return Err(DocumentError::Corrupt { path: self.shown(&path), reason });
        }
        if let Err(error) = document.config.check() {
            return Err(DocumentError::Corrupt { path: self.shown(&path), reason: error.to_string() });
        }
        Ok((document.renewed(), version))
    }

    /// Writes the settings of a channel that is not there yet.
    pub async fn create(&self, document: &ChannelDocument) -> Result<Version, DocumentError> {
        let path = config_path(&document.config.name);
        self.write(&path, document, PutMode::Create).await
    }

    /// Writes the settings of a channel if `expected` is still what is stored.
    pub async fn update(&self, document: &ChannelDocument, expected: &Version) -> Result<Version, DocumentError> {
        let path = config_path(&document.config.name);
        match self.write(&path, document, PutMode::Update(expected.0.clone())).await {
            Err(DocumentError::Store { source, .. }) if matches!(*source, StoreError::NotImplemented { .. }) => {
                let _only_writer = self.updates.lock().await;
                let stored = self.store.head(&path).await.map_err(|e| self.failed(&path, e))?;
                if stored.e_tag != expected.0.e_tag {
                    return Err(DocumentError::Conflict { path: self.shown(&path) });
                }
                self.write(&path, document, PutMode::Overwrite).await
            }
            result => result,
        }
    }

    /// Deletes a channel's settings and its encoder's headers. Its continuity stays, so that a channel made again under the same name does not
    /// use its segment names for other bytes. Deleting what is not there is no error.
    pub async fn delete(&self, name: &ChannelName) -> Result<(), DocumentError> {
        let path = config_path(name);
        let _only_writer = self.updates.lock().await;
        for path in [headers_path(name), path] {
            match self.store.delete(&path).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(&path, error)),
            }
        }
        Ok(())
    }

    /// What the channel must remember; `None` if it never was on air.
    pub async fn load_continuity(&self, name: &ChannelName) -> Result<Option<Continuity>, DocumentError> {
        match self.read::<Continuity>(&state_path(name)).await {
            Ok((continuity, _)) => Ok(Some(continuity)),
            Err(DocumentError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes what the channel must remember: one small file, written beside the old one, synced and renamed.
    /// A channel has one writer, so the write is unconditional. When this returns, the mark is durable.
    pub async fn save_continuity(&self, name: &ChannelName, continuity: &Continuity) -> Result<(), DocumentError> {
        self.write(&state_path(name), continuity, PutMode::Overwrite).await.map(|_| ())
    }

    /// The headers that the channel's encoder sent; none if it sent none.
    pub async fn load_headers(&self, name: &ChannelName) -> Result<CmafHeaders, DocumentError> {
        match self.read::<CmafHeaders>(&headers_path(name)).await {
            Ok((headers, _)) => Ok(headers),
            Err(DocumentError::Missing { .. }) => Ok(CmafHeaders::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes the headers that the channel's encoder sent, unconditionally, as its continuity is.
    pub async fn save_headers(&self, name: &ChannelName, headers: &CmafHeaders) -> Result<(), DocumentError> {
        self.write(&headers_path(name), headers, PutMode::Overwrite).await.map(|_| ())
    }

    async fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<(T, Version), DocumentError> {
        let found = self.store.get(path).await.map_err(|e| self.failed(path, e))?;
        if found.meta.size > MAX_BYTES {
            let reason = format!("it has {} bytes, more than {MAX_BYTES}", found.meta.size);
            return Err(DocumentError::Corrupt { path: self.shown(path), reason });
        }
        let version = Version(UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() });
        let bytes = found.bytes().await.map_err(|e| self.failed(path, e))?;
        match serde_json::from_slice(&bytes) {
            Ok(document) => Ok((document, version)),
            Err(error) => Err(DocumentError::Corrupt { path: self.shown(path), reason: error.to_string() }),
        }
    }

    async fn write<T: Serialize>(&self, path: &Path, document: &T, mode: PutMode) -> Result<Version, DocumentError> {
        let text = serde_json::to_vec_pretty(document)
            .map_err(|e| DocumentError::Corrupt { path: self.shown(path), reason: e.to_string() })?;
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.store.put_opts(path, PutPayload::from(text), options).await.map_err(|e| self.failed(path, e))?;
        Ok(Version(UpdateVersion { e_tag: put.e_tag, version: put.version }))
    }

    fn shown(&self, path: &Path) -> String {
        format!("{}/{path}", self.location)
    }

    fn failed(&self, path: &Path, error: StoreError) -> DocumentError {
        let path = self.shown(path);
        match error {
            StoreError::NotFound { .. } => DocumentError::Missing { path },
            StoreError::AlreadyExists { .. } => DocumentError::Exists { path },
            StoreError::Precondition { .. } | StoreError::NotModified { .. } => DocumentError::Conflict { path },
            source => DocumentError::Store { path, source: Arc::new(source) },
        }
    }
}

fn config_path(name: &ChannelName) -> Path {
    Path::from(format!("{FOLDER}/{name}.json"))
}

fn state_path(name: &ChannelName) -> Path {
    Path::from(format!("{FOLDER}/{name}.state.json"))
}

fn headers_path(name: &ChannelName) -> Path {
    Path::from(format!("{FOLDER}/{name}.headers.json"))
}

/// A document could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not there.
    #[error("{path} is not there")]
    Missing {
        /// Which document.
        path: String,
    },
    /// To be created, but there already.
    #[error("{path} is there already")]
    Exists {
        /// Which document.
        path: String,
    },
    /// Changed by somebody else since it was read.
    #[error("{path} was changed by somebody else; read it again and repeat the change")]
    Conflict {
        /// Which document.
        path: String,
    },
    /// Its content makes no sense.
    #[error("{path} cannot be used: {reason}; repair the file, or delete it and create the channel again")]
    Corrupt {
        /// Which document.
        path: String,
        /// Why.
        reason: String,
    },
    /// The folder could not be made.
    #[error("the folder {path} cannot be made; check data_dir and its permissions")]
    Folder {
        /// Which folder.
        path: String,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// The store failed.
    #[error("{path}: the store failed; check that it can be reached, its permissions and its free space")]
    Store {
        /// Which document.
        path: String,
        /// Why.
        source: Arc<StoreError>,
    },
}

impl DocumentError {
    /// Whether the same call may succeed later.
    pub fn retryable(&self) -> bool {
        matches!(self, DocumentError::Store { .. } | DocumentError::Folder { .. })
    }
}
