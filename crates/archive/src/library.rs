//! The assets as users see them: listed, shown, clipped, renamed, deleted, and what they fill. The API is a skin over
//! this.

mod clips;
mod overview;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_media::time::{MonoTime, UtcTime};

use crate::asset::{Asset, AssetId, Kind, State};
use crate::clip::{self, ClipError};
use crate::documents;
use crate::precise::Recoder;
use crate::retention::{self, Policy};
use crate::running::Running;
use crate::store::{Store, StoreError};
use crate::time_shift::TimeShift;

pub use clips::{ClipOf, NewClip};
pub use overview::{Cursor, Filter, KindName, Page, Share, Summary, Usage};

/// Documents read at once for a list.
const READS: usize = 16;
/// Most summaries in memory; what is beyond is read each time.
const MAX_KNOWN: usize = 20_000;
/// How old a summary may be: another node may have changed the asset.
const FRESH: Duration = Duration::from_secs(30);
/// The same while the asset is recorded by another node.
const FRESH_WHILE_RECORDED: Duration = Duration::from_secs(2);

/// Why something could not be done with an asset.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LibraryError {
    /// No such asset.
    #[error("there is no asset {0}; `millstream asset list` shows those there are")]
    NotFound(AssetId),
    /// It is being deleted.
    #[error("asset {0} is being deleted; only its clips stay")]
    Deleting(AssetId),
    /// The channel recorded nothing then.
    #[error(
        "channel {channel} has no recording between {start} and {end}; {}",
        .newest.as_ref().map_or_else(|| "it has none at all".to_owned(), |n| format!("its newest one is {n}"))
    )]
    NotRecorded {
        /// The channel.
        channel: String,
        /// Wanted start.
        start: UtcTime,
        /// Wanted end.
        end: UtcTime,
        /// Name and span of its newest recording.
        newest: Option<String>,
    },
    /// Two recordings hold the time.
    #[error(
        "{} to {} is in one recording, {} (to {}), and in the next, {} (from {}): a clip shows one of them; make one of each, \
         by `asset`, or move the clip's start or end",
        .start, .end, .first.0, .first.1, .second.0, .second.1
    )]
    TwoRecordings {
        /// Wanted start.
        start: UtcTime,
        /// Wanted end.
        end: UtcTime,
        /// The earlier one, with its end.
        first: (AssetId, UtcTime),
        /// The later one, with its start.
        second: (AssetId, UtcTime),
    },
    /// A clip of this name is being made.
    #[error("a clip named {0} is being made right now; choose another name")]
    Busy(AssetId),
    /// There is no clip.
    #[error("{0}")]
    Clip(ClipError),
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
}

impl From<ClipError> for LibraryError {
    fn from(error: ClipError) -> Self {
        match error {
            ClipError::Deleting(id) => LibraryError::Deleting(id),
            ClipError::Store(error) => LibraryError::Store(error),
            error => LibraryError::Clip(error),
        }
    }
}

/// An asset with what needs it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its document, as new as this process knows it.
    pub asset: Asset,
    /// Clips that show segments of it.
    pub clips: Vec<AssetId>,
}

/// What a deletion did, and what it left.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// The document as it was marked.
    pub asset: Asset,
    /// When its media goes, but for what clips need; `None` if nothing is left.
    pub media_until: Option<UtcTime>,
    /// Clips whose segments stay until they are deleted, too.
    pub clips: Vec<AssetId>,
}

/// The assets of a store. Clones are the same.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
    /// What cuts clips between segments, if this node can.
    recoder: Option<Recoder>,
}

struct Inner {
    store: Store,
    shift: TimeShift,
    running: Running,
    policy: Policy,
    known: Mutex<HashMap<AssetId, (Summary, MonoTime)>>,
    /// Names of clips that are being made.
    making: Mutex<HashSet<AssetId>>,
}

impl Library {
    /// The assets of `store`, of which `running` are recorded in this process; `policy` is what they are kept by.
    pub fn new(store: Store, running: Running, policy: Policy) -> Self {
        let shift = TimeShift::new(store.clone(), crate::time_shift::Config::default());
        let (known, making) = (Mutex::default(), Mutex::default());
        Library { inner: Arc::new(Inner { store, shift, running, policy, known, making }), recoder: None }
    }

    /// The same with clips that are cut between segments.
    #[must_use]
    pub fn with_recoder(self, recoder: Recoder) -> Self {
        Library { recoder: Some(recoder), ..self }
    }

    /// How long assets are kept.
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// One asset.
    ///
    /// # Errors
    /// There is none of this name, or the store failed.
    pub async fn show(&self, id: &AssetId) -> Result<Shown, LibraryError> {
        let asset = self.asset(id).await?;
        let clips = match asset.kind {
            Kind::Clip { .. } => Vec::new(),
            _ => clip::referring(self.store(), id).await.map_err(LibraryError::Store)?,
        };
        Ok(Shown { asset, clips })
    }

    /// Gives an asset another title.
    ///
    /// # Errors
    /// There is none of this name, it is being deleted, or the store failed.
    pub async fn rename(&self, id: &AssetId, title: &str) -> Result<Asset, LibraryError> {
        let change = |asset: &mut Asset| {
            let changes = asset.state != State::Deleting && asset.title != title;
            if changes {
                title.clone_into(&mut asset.title);
            }
            changes
        };
        let stored = documents::change_asset(self.store(), id, change).await.map_err(|e| of(id, e))?;
        self.forget(id);
        if stored.state == State::Deleting {
            return Err(LibraryError::Deleting(id.clone()));
        }
        Ok(self.inner.running.overlay(id, Some(stored.clone())).unwrap_or(stored))
    }

    /// Deletes an asset as [`retention`] does: nobody begins to play it from now on; its media goes after a grace, but
    /// for what clips need. A clip goes at once. What is deleted already is no error.
    ///
    /// # Errors
    /// There is none of this name, or the store failed; the same call again goes on.
    pub async fn delete(&self, id: &AssetId) -> Result<Deleted, LibraryError> {
        let marked = retention::mark(self.store(), id).await;
        self.forget(id);
        let asset = marked.map_err(|e| of(id, e))?;
        if matches!(asset.kind, Kind::Clip { .. }) {
            return Ok(Deleted { asset, media_until: None, clips: Vec::new() });
        }
        let media_until = asset.deleting_since.map(|since| since + self.inner.policy.grace);
        let clips = clip::referring(self.store(), id).await.map_err(LibraryError::Store)?;
        Ok(Deleted { asset, media_until, clips })
    }

    /// The document as new as this process knows it.
    async fn asset(&self, id: &AssetId) -> Result<Asset, LibraryError> {
        let stored = match documents::asset(self.store(), id).await {
            Ok((asset, _)) => Some(asset),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(LibraryError::Store(error)),
        };
        self.inner.running.overlay(id, stored).ok_or_else(|| LibraryError::NotFound(id.clone()))
    }

    fn forget(&self, id: &AssetId) {
        self.known().remove(id);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<AssetId, (Summary, MonoTime)>> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of(id: &AssetId, error: StoreError) -> LibraryError {
    match error {
        StoreError::NotFound { .. } => LibraryError::NotFound(id.clone()),
        error => LibraryError::Store(error),
    }
}
