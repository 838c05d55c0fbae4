//! The node's recordings: the store they go to, and their tasks. Nothing here is waited for by what is live.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_archive::asset::{Asset, AssetId, Kind, State};
use millstream_archive::recording::Options;
use millstream_archive::running::Running;
use millstream_archive::spool::Spool;
use millstream_archive::{Handle, Recording, Store, catalog, documents, retention};
use millstream_media::time::UtcTime;
use tokio::task::JoinSet;

/// Longest wait for the store while a recording begins; then it begins without having asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often deletions are looked for.
pub const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Records channels into one store. Clones are the same.
#[derive(Clone)]
pub struct Archive {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    options: Options,
    kept: Option<Duration>,
    /// Assets with a task. An asset has one at a time.
    busy: Mutex<HashSet<AssetId>>,
    tasks: Mutex<JoinSet<()>>,
}

/// An asset is free again when this is dropped, also with a task that is cut.
struct Busy {
    inner: Arc<Inner>,
    id: AssetId,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.inner.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Archive {
    /// Records into `store`; a spool keeps what a store in the cloud does not take at once. Recordings are deleted when
    /// they ended so long ago as `kept` says, or not by their age.
    pub fn new(store: Store, spool: Option<PathBuf>, spool_bytes: u64, kept: Option<Duration>) -> Self {
        let options = Options { spool, spool_bytes, ..Options::default() };
        let (busy, tasks) = (Mutex::default(), Mutex::default());
        Archive { inner: Arc::new(Inner { store, options, kept, busy, tasks }) }
    }

    /// Where recordings are.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// How long recordings are kept after their end, unless for ever.
    pub fn kept(&self) -> Option<Duration> {
        self.inner.kept
    }

    /// How recordings are put.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// The recordings that run here.
    pub fn running(&self) -> &Running {
        &self.inner.options.running
    }

    /// Begins a recording of `channel` at `start` (media time), or goes on with the one that was left. It waits a
    /// bounded time for the store. `None` if the asset cannot be recorded into now.
    pub async fn begin(&self, channel: &str, start: UtcTime, target_duration: u32) -> Option<Handle> {
        let store = &self.inner.store;
        let rule = catalog::Continuation::default();
        let begun = tokio::time::timeout(PATIENCE, catalog::begin(store, channel, start, target_duration, &rule)).await;
        match begun {
            Ok(Ok(begin)) => {
                if let Some(abandoned) = begin.abandoned {
                    self.finish(abandoned);
                }
                if let Some(busy) = self.take(&begin.asset.id) {
                    let opened = Recording::open(store.clone(), self.inner.options.clone(), begin.asset);
                    match tokio::time::timeout(PATIENCE, opened).await {
                        Ok(Ok((handle, recording))) => {
                            self.spawn(busy, recording, None);
                            return Some(handle);
                        }
                        Ok(Err(error)) => {
                            tracing::warn!(channel, %error, "the recording cannot be gone on with; another one begins");
                        }
                        Err(_) => tracing::warn!(channel, "the store is slow; another recording begins"),
                    }
                } else {
                    tracing::warn!(channel, asset = %begin.asset.id, "the last recording is still being put; another one begins");
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(channel, %error, "the store does not answer; a new recording begins without it")
            }
            Err(_) => tracing::warn!(channel, "the store is slow; a new recording begins without it"),
        }
        // Names are functions of time: a second one of the same time has a mark.
        let first = AssetId::of_recording(channel, start)?;
        let id = [first.clone(), AssetId::new(&format!("{first}-b"))?];
        let (id, busy) = id.into_iter().find_map(|id| self.take(&id).map(|busy| (id, busy)))?;
        let asset = Asset::recording(id, channel, store.clock().utc(), target_duration);
        let (handle, recording) = Recording::begin(store.clone(), self.inner.options.clone(), asset);
        self.spawn(busy, recording, Some(channel.to_owned()));
        Some(handle)
    }

    /// Puts what the spool has of recordings that were killed; they stay open for their channels.
    pub async fn put_left(&self) {
        let Some(folder) = self.inner.options.spool.clone() else { return };
        let listed = tokio::task::spawn_blocking(move || Spool::assets(&folder)).await.unwrap_or_default();
        for id in listed {
            let Some(busy) = self.take(&id) else { continue };
            // The document in the store, or the one in the spool, says what it is; this one only names it.
            let asset = Asset::recording(id.clone(), "", self.inner.store.clock().utc(), 1);
            match Recording::open(self.inner.store.clone(), self.inner.options.clone(), asset).await {
                Ok((handle, recording)) => {
                    tracing::info!(asset = %id, "putting what was left in the spool");
                    let _ = handle.leave();
                    self.spawn(busy, recording, None);
                }
                Err(error) => tracing::warn!(asset = %id, %error, "what is left in the spool cannot be put now"),
            }
        }
    }

    /// Ends a recording that is not gone on with.
    fn finish(&self, asset: Asset) {
        let Some(busy) = self.take(&asset.id) else { return };
        let archive = self.clone();
        self.lock_tasks().spawn(async move {
            let id = asset.id.clone();
            let opened = Recording::open(archive.inner.store.clone(), archive.inner.options.clone(), asset).await;
            match opened {
                Ok((handle, recording)) => {
                    drop(handle);
                    recording.run().await;
                    tracing::info!(asset = %id, "a recording that was left is ended");
                }
                Err(error) => tracing::warn!(asset = %id, %error, "a recording that was left cannot be ended"),
            }
            drop(busy);
        });
    }

    fn spawn(&self, busy: Busy, recording: Recording, note_for: Option<String>) {
        let store = self.inner.store.clone();
        self.lock_tasks().spawn(async move {
            let asset = recording.run().await;
            if let Some(channel) = note_for
                && let Err(error) = catalog::note(&store, &channel, &asset.id).await
            {
                tracing::warn!(asset = %asset.id, %error, "the recording could not be noted among its channel's");
            }
            tracing::info!(asset = %asset.id, state = ?asset.state, bytes = asset.bytes, losses = asset.losses.len(), "recording put");
            drop(busy);
        });
    }

    /// Waits until all recordings are put, and cuts them after `patience`: the spool has what is missing.
    pub async fn close(&self, patience: Duration) {
        let all = async {
            loop {
                // Those that end may begin others.
                let mut tasks = std::mem::take(&mut *self.lock_tasks());
                if tasks.is_empty() {
                    break;
                }
                while tasks.join_next().await.is_some() {}
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("recordings were not all put within server.drain_seconds; they go on with the next start");
        }
    }

    /// Deletes what is to go under `policy`. Recordings at work are not touched.
    pub async fn sweep(&self, policy: &retention::Policy) {
        // Tasks that have ended are let go.
        while self.lock_tasks().try_join_next().is_some() {}
        if let Err(error) = self.try_sweep(policy).await {
            tracing::warn!(%error, "recordings could not be looked through for deletion; it is tried again");
        }
    }

    async fn try_sweep(&self, policy: &retention::Policy) -> Result<(), millstream_archive::StoreError> {
        let store = &self.inner.store;
        let now = store.clock().utc();
        let mut assets = Vec::new();
        for id in documents::assets(store).await? {
            match documents::asset(store, &id).await {
                Ok((asset, _)) => assets.push(asset),
                Err(error) => tracing::debug!(asset = %id, %error, "passed over"),
            }
        }
        for decision in retention::plan_at(&assets, policy, now) {
            match decision {
                retention::Decision::Mark(id) => {
                    tracing::info!(asset = %id, "the recording's time is over; it is marked for deletion");
                    retention::mark(store, &id).await?;
                }
                retention::Decision::Sweep(id) => {
                    retention::sweep(store, &id).await?;
                }
            }
        }
        // Of a channel that never came back.
        let longest = catalog::Continuation::default();
        for asset in assets {
            let last = asset.end.or(asset.start).unwrap_or(asset.created);
            let is_recording = asset.state == State::Recording && asset.kind == Kind::Recording;
            if is_recording && now.since(last) > longest.longest + longest.pause {
                self.finish(asset);
            }
        }
        Ok(())
    }

    /// Runs a recorder's task; [`Archive::close`] waits for it.
    pub fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.lock_tasks().spawn(task);
    }

    fn take(&self, id: &AssetId) -> Option<Busy> {
        let is_new = self.inner.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        is_new.then(|| Busy { inner: Arc::clone(&self.inner), id: id.clone() })
    }

    fn lock_tasks(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
