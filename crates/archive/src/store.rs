//! The object store: opened by URL, each request timed and bounded, each error explained.
//!
//! Puts are whole or absent everywhere: an S3 put is atomic, the local folder writes beside, syncs and renames.

mod explain;
mod location;
mod profile;
mod signer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use millstream_media::time::Clock;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error as Failure, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, UpdateVersion,
};
use tokio::sync::Mutex;

use crate::layout;
use crate::statistics::{Operation, Statistics};
pub use explain::Cause;
pub use location::{Environment, OpenError};
pub use signer::{SignError, Signer};

/// Largest document read, in bytes. A page of ours has about 60 kB.
pub const MAX_DOCUMENT_BYTES: u64 = 32 << 20;
/// Longest time a request may take, with the few repetitions that the client library makes.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Which version of a document was read or written; the next write names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(UpdateVersion);

/// A media file, or what it takes to read it in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// All of it.
    Whole(Bytes),
    /// It has more than [`MAX_DOCUMENT_BYTES`].
    Large {
        /// Its length in bytes.
        bytes: u64,
        /// Changes with its content; for machines.
        tag: String,
    },
}

/// An object that was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub path: Path,
    /// Its length in bytes.
    pub bytes: u64,
}

/// An object store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    /// All names lie below it.
    prefix: Path,
    /// For messages.
    location: Arc<str>,
    /// The local folder: knows neither conditional updates nor attributes.
    is_local: bool,
    /// Held over compare-and-write where the store has no conditional update (the local folder, which has one owner).
    updates: Arc<Mutex<()>>,
    clock: Arc<dyn Clock>,
    statistics: Arc<Statistics>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.location)
    }
}

impl Store {
    /// A store made elsewhere; `location` names it in messages.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        prefix: Path,
        location: &str,
        is_local: bool,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Store {
            inner,
            prefix,
            location: location.into(),
            is_local,
            updates: Arc::default(),
            clock,
            statistics: Arc::default(),
        }
    }

    /// Opens `url`: `file://FOLDER`, a folder's path, `memory://`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
    /// `az://CONTAINER/PREFIX` or `azure://…`. No request is made; see [`Store::probe`].
    ///
    /// # Errors
    /// A URL that names no store, or settings that the store does not know.
    pub fn open(url: &str, environment: &Environment, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        location::open(url, environment, clock)
    }

    /// Writes, reads and deletes a small object, so that a wrong bucket, region, key or clock is said at the start.
    ///
    /// # Errors
    /// What does not work, and the mend.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let path = Path::from(".millstream-probe");
        let text = Bytes::from_static(b"millstream writes this to see whether it can\n");
        self.put(&path, text.clone().into()).await?;
        let (read, _) = self.get(&path).await?;
        self.delete(&path).await?;
        if read == text {
            Ok(())
        } else {
            Err(StoreError::Corrupt { path: self.shown(&path), reason: "it reads back as other bytes".to_owned() })
        }
    }

    /// Where it is, for messages.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether it is a local folder.
    pub const fn is_local(&self) -> bool {
        self.is_local
    }

    /// What it counted.
    pub const fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// The clock it was given.
    pub const fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Writes an object, whatever was there.
    ///
    /// # Errors
    /// The store failed.
    pub async fn put(&self, path: &Path, payload: PutPayload) -> Result<Version, StoreError> {
        self.put_mode(path, payload, PutMode::Overwrite).await
    }

    /// Writes an object that is not there yet.
    ///
    /// # Errors
    /// [`StoreError::Exists`], or the store failed.
    pub async fn create(&self, path: &Path, payload: PutPayload) -> Result<Version, StoreError> {
        self.put_mode(path, payload, PutMode::Create).await
    }

    /// Writes an object if it still is what `expected` says.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], or the store failed.
    pub async fn update(&self, path: &Path, payload: PutPayload, expected: &Version) -> Result<Version, StoreError> {
        if !self.is_local {
            return self.put_mode(path, payload, PutMode::Update(expected.0.clone())).await;
        }
        let _only_writer = self.updates.lock().await;
        let full = self.full(path);
        let stored = self.timed(Operation::Get, path, self.inner.head(&full)).await;
        let stored = match stored {
            Ok(meta) => meta,
            Err(StoreError::NotFound { .. }) => return Err(StoreError::Conflict { path: self.shown(path) }),
            Err(e) => return Err(e),
        };
        if stored.e_tag != expected.0.e_tag {
            return Err(StoreError::Conflict { path: self.shown(path) });
        }
        self.put_mode(path, payload, PutMode::Overwrite).await
    }

    async fn put_mode(&self, path: &Path, payload: PutPayload, mode: PutMode) -> Result<Version, StoreError> {
        let mut options = PutOptions { mode, ..PutOptions::default() };
        if !self.is_local {
            let name = path.filename().unwrap_or_default();
            options.attributes = Attributes::from_iter([
                (Attribute::ContentType, layout::content_type(name)),
                (Attribute::CacheControl, layout::cache_control(name)),
            ]);
        }
        let full = self.full(path);
        let put = self.timed(Operation::Put, path, self.inner.put_opts(&full, payload, options)).await?;
        Ok(Version(UpdateVersion { e_tag: put.e_tag, version: put.version }))
    }

    /// Reads a document of at most [`MAX_DOCUMENT_BYTES`].
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the store failed.
    pub async fn get(&self, path: &Path) -> Result<(Bytes, Version), StoreError> {
        let full = self.full(path);
        let read = async {
            let found = self.inner.get(&full).await?;
            let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
            let bytes = if found.meta.size > MAX_DOCUMENT_BYTES { None } else { Some(found.bytes().await?) };
            Ok((bytes, version))
        };
        let (bytes, version) = self.timed(Operation::Get, path, read).await?;
        let reason = || format!("it has more than {MAX_DOCUMENT_BYTES} bytes");
        let bytes = bytes.ok_or_else(|| StoreError::Corrupt { path: self.shown(path), reason: reason() })?;
        Ok((bytes, Version(version)))
    }

    /// Reads a media file, unless it is large.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the store failed.
    pub async fn media(&self, path: &Path) -> Result<Media, StoreError> {
        let full = self.full(path);
        let read = async {
            let found = self.inner.get(&full).await?;
            let ObjectMeta { size: bytes, e_tag, last_modified, .. } = found.meta.clone();
            if bytes <= MAX_DOCUMENT_BYTES {
                return Ok(Media::Whole(found.bytes().await?));
            }
            Ok(Media::Large { bytes, tag: e_tag.unwrap_or_else(|| format!("{bytes}-{last_modified}")) })
        };
        self.timed(Operation::Get, path, read).await
    }

    /// Reads a part of an object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the store failed.
    pub async fn get_range(&self, path: &Path, range: std::ops::Range<u64>) -> Result<Bytes, StoreError> {
        let full = self.full(path);
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        self.timed(Operation::Get, path, async { self.inner.get_opts(&full, options).await?.bytes().await }).await
    }

    /// Deletes an object. One that is not there is no error.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        let full = self.full(path);
        match self.timed(Operation::Delete, path, self.inner.delete(&full)).await {
            Err(StoreError::NotFound { .. }) => Ok(()),
            result => result,
        }
    }

    /// Every object below `folder`, at any depth, in no order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list(&self, folder: &Path) -> Result<Vec<Listed>, StoreError> {
        let full = self.full(folder);
        let listed = self.inner.list(Some(&full)).map(|o| {
            let o = o?;
            Ok::<_, Failure>(self.below(&o.location).map(|path| Listed { path, bytes: o.size }))
        });
        let all: Vec<Option<Listed>> = self.timed(Operation::List, folder, listed.try_collect()).await?;
        Ok(all.into_iter().flatten().collect())
    }

    /// Names of the folders directly below `folder`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn folders(&self, folder: &Path) -> Result<Vec<String>, StoreError> {
        let full = self.full(folder);
        let list = self.timed(Operation::List, folder, self.inner.list_with_delimiter(Some(&full))).await?;
        Ok(list.common_prefixes.iter().filter_map(|p| p.filename().map(str::to_owned)).collect())
    }

    async fn timed<T>(
        &self,
        operation: Operation,
        path: &Path,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        let began = self.clock.mono();
        let result = tokio::time::timeout(REQUEST_TIMEOUT, request).await;
        let took = self.clock.mono().since(began);
        let result = result.unwrap_or_else(|_| Err(explain::timed_out(REQUEST_TIMEOUT)));
        let result = result.map_err(|e| StoreError::of(self.shown(path), e));
        let answered = !matches!(result, Err(StoreError::Failed { .. }));
        self.statistics.count(operation, answered, took);
        result
    }

    fn full(&self, path: &Path) -> Path {
        self.prefix.parts().chain(path.parts()).collect()
    }

    fn below(&self, full: &Path) -> Option<Path> {
        full.prefix_match(&self.prefix).map(|parts| parts.collect())
    }

    fn shown(&self, path: &Path) -> String {
        format!("{}/{path}", self.location.trim_end_matches('/'))
    }
}

/// The store did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Not there.
    #[error("{path} is not there")]
    NotFound {
        /// Which object.
        path: String,
    },
    /// To be created, but there already.
    #[error("{path} is there already")]
    Exists {
        /// Which object.
        path: String,
    },
    /// Changed by somebody else since it was read.
    #[error("{path} was changed by somebody else; read it again and repeat the change")]
    Conflict {
        /// Which object.
        path: String,
    },
    /// Its content makes no sense.
    #[error("{path} cannot be used: {reason}")]
    Corrupt {
        /// Which object.
        path: String,
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error("{path}: {cause}{}", if .said.is_empty() { String::new() } else { format!(" ({said})") })]
    Failed {
        /// Which object.
        path: String,
        /// What is wrong, and the mend.
        cause: Cause,
        /// What it said and why, in its own words, where the cause does not tell.
        said: String,
        /// What the store said.
        source: Arc<Failure>,
    },
}

impl StoreError {
    fn of(path: String, failure: Failure) -> Self {
        match failure {
            Failure::NotFound { ref source, .. } if !explain::is_about_bucket(&source.to_string()) => {
                StoreError::NotFound { path }
            }
            Failure::AlreadyExists { .. } => StoreError::Exists { path },
            Failure::Precondition { .. } | Failure::NotModified { .. } => StoreError::Conflict { path },
            source => {
                let cause = explain::cause(&source);
                let said = if cause.needs_words() { explain::words(&source) } else { String::new() };
                StoreError::Failed { path, cause, said, source: Arc::new(source) }
            }
        }
    }

    /// Whether the same call may succeed later without anything else being changed by us.
    pub fn retryable(&self) -> bool {
        matches!(self, StoreError::Failed { .. })
    }
}
