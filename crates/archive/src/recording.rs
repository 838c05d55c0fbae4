//! The task that records one asset: takes finished segments, keeps them, puts them, publishes what is there.
//!
//! One future without tasks of its own: dropped at any point, it leaves nothing behind but what the spool and the store
//! have, and [`Recording::open`] goes on from there.

mod handle;
mod options;
mod publish;
mod resume;
mod upload;

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use millstream_media::time::MonoTime;
use millstream_media::track::RenditionName;
use tokio::sync::mpsc;

use crate::asset::{Asset, State};
use crate::recorder::{GapCause, Output, Recorder};
use crate::retention;
use crate::spool::Spool;
use crate::store::{Store, StoreError, Version};
pub use handle::{Handle, NotTaken};
use handle::{Input, Missed};
pub use options::Options;
use publish::Published;
pub(crate) use publish::put_files;
use upload::{Key, Source, Upload, Uploaded};

/// A finished segment that is not released yet.
#[derive(Debug)]
struct Pending {
    bytes: u64,
    jump: bool,
    /// Its bytes, while there is room for them in memory.
    chunks: Option<Vec<Bytes>>,
    /// It is in the spool.
    spooled: bool,
}

/// The task's end. [`Recording::run`] it.
pub struct Recording {
    store: Store,
    options: Options,
    core: Recorder,
    spool: Option<Spool>,
    inputs: mpsc::Receiver<Input>,
    missed: Missed,
    pending: HashMap<(RenditionName, u64), Pending>,
    inits: HashMap<(RenditionName, String), Bytes>,
    in_memory: u64,
    in_spool: u64,
    queue: VecDeque<Key>,
    uploads: FuturesUnordered<BoxFuture<'static, Uploaded>>,
    publication: Option<BoxFuture<'static, Published>>,
    pages: HashMap<i64, Version>,
    failures: u32,
    retry_at: MonoTime,
    open: bool,
    left: bool,
    deleted: bool,
}

impl Recording {
    /// Begins the recording of `asset`, or goes on with it where the store and the spool say it was left.
    ///
    /// # Errors
    /// The store cannot be read, or the asset has ended. Who cannot wait for the store takes [`Recording::begin`] with
    /// a new asset; what the spool has of the old one is opened later ([`Spool::assets`]).
    pub async fn open(store: Store, options: Options, asset: Asset) -> Result<(Handle, Recording), StoreError> {
        let (core, spool, left) = resume::resume(&store, &options, asset).await?;
        Ok(Self::with(store, options, core, spool, left))
    }

    /// Begins the recording of an asset that is known to be new, without asking the store.
    pub fn begin(store: Store, options: Options, asset: Asset) -> (Handle, Recording) {
        let spool = options.spool.as_ref().map(|f| Spool::new(f, &asset.id));
        let core = Recorder::new(options.settings, asset);
        Self::with(store, options, core, spool, resume::Left::default())
    }

    fn with(
        store: Store,
        options: Options,
        core: Recorder,
        spool: Option<Spool>,
        left: resume::Left,
    ) -> (Handle, Recording) {
        let (handle, inputs, missed) = Handle::new(core.asset().id.clone(), core.asset().line_ups.len(), options.queue);
        let mut recording = Recording {
            store,
            options,
            core,
            spool,
            inputs,
            missed,
            pending: HashMap::new(),
            inits: HashMap::new(),
            in_memory: 0,
            in_spool: 0,
            queue: VecDeque::new(),
            uploads: FuturesUnordered::new(),
            publication: None,
            pages: HashMap::new(),
            failures: 0,
            retry_at: MonoTime::default(),
            open: true,
            left: false,
            deleted: false,
        };
        for (rendition, version, bytes) in left.inits {
            recording.queue.push_back(Key::Init { rendition: rendition.clone(), version: version.clone() });
            recording.inits.insert((rendition, version), bytes);
        }
        for (rendition, number, jump, bytes) in left.segments {
            let pending = Pending { bytes, jump, chunks: None, spooled: true };
            recording.add_pending((rendition, number), pending);
        }
        (handle, recording)
    }

    /// Number of the first row that is not settled; `None` if there is none yet. A source that is not live goes on there.
    pub fn next_number(&self) -> Option<u64> {
        self.core.index().last().map(|row| row.number.saturating_add(1))
    }

    /// Records until the handle is dropped (or [`Handle::leave`] was called) and everything that was handed over is in the store and published.
    /// Returns the asset as it was published last.
    pub async fn run(mut self) -> Asset {
        loop {
            self.take_missed();
            self.act().await;
            self.options.running.note(&self.core);
            self.start_uploads();
            self.start_publication();
            let idle = self.uploads.is_empty() && self.publication.is_none() && self.queue.is_empty();
            if self.left && idle {
                self.act().await;
                return self.core.asset().clone();
            }
            if !self.open && !self.left {
                self.core.end();
            }
            if (self.core.is_done() && idle) || self.deleted {
                break;
            }
            self.step().await;
        }
        self.finish().await;
        self.core.asset().clone()
    }

    async fn step(&mut self) {
        let now = self.store.clock().mono();
        let wait = self.core.next_publication().map(|at| at.max(self.retry_at).since(now));
        // At least a millisecond, so that a clock that stands still does not make us spin.
        let wait = wait.unwrap_or(Duration::from_secs(3600)).max(Duration::from_millis(1));
        let publishing = self.publication.is_some();
        tokio::select! {
            input = self.inputs.recv(), if self.open && !self.left && self.has_room() => match input {
                Some(input) => self.take(input).await,
                None => {
                    self.take_missed();
                    self.open = false;
                    if !self.left {
                        self.core.end();
                    }
                }
            },
            Some(uploaded) = self.uploads.next(), if !self.uploads.is_empty() => self.uploaded(uploaded),
            published = publish::finished(&mut self.publication), if publishing => self.published(published),
            () = tokio::time::sleep(wait), if !publishing => {}
        }
    }

    /// Whether more may be taken.
    fn has_room(&self) -> bool {
        !self.options.patient || self.in_memory < self.options.memory_bytes
    }

    async fn take(&mut self, input: Input) {
        match input {
            Input::Leave => self.left = true,
            Input::LineUp { first, init, tracks } => {
                for (track, bytes) in &tracks {
                    self.inits.insert((track.name.clone(), init.clone()), bytes.clone());
                    let (name, version, bytes) = (track.name.clone(), init.clone(), bytes.clone());
                    self.spool_call(move |spool| spool.keep_init(&name, &version, &bytes)).await;
                }
                let tracks = tracks.into_iter().map(|(t, _)| t).collect();
                if let Err(error) = self.core.begin(first, &init, tracks) {
                    // What comes would be listed under other tracks and keys than its own.
                    tracing::error!(asset = %self.core.asset().id, %error, "recording");
                    self.open = false;
                }
                self.keep_document().await;
            }
            Input::Segment { rendition, number, cell, discontinuity, chunks } => {
                let bytes = u64::from(cell.bytes);
                let spooled = self.keep(&rendition, number, discontinuity, &chunks, bytes).await;
                // Who can wait has waited: what is taken then is kept.
                let fits = self.options.patient || self.in_memory + bytes <= self.options.memory_bytes;
                if !spooled && !fits {
                    self.lose(&rendition, number);
                    return;
                }
                match self.core.finished(&rendition, number, cell, discontinuity) {
                    Ok(()) => {
                        let chunks = fits.then_some(chunks);
                        let pending = Pending { bytes, jump: discontinuity, chunks, spooled };
                        self.add_pending((rendition, number), pending);
                    }
                    Err(error) => {
                        tracing::debug!(asset = %self.core.asset().id, %rendition, %error, "not recorded");
                        if spooled {
                            self.forget(&rendition, number).await;
                        }
                    }
                }
            }
        }
    }

    /// Keeps a segment in the spool, if there is one with room.
    async fn keep(&mut self, rendition: &RenditionName, number: u64, jump: bool, chunks: &[Bytes], bytes: u64) -> bool {
        if self.in_spool + bytes > self.options.spool_bytes {
            return false;
        }
        let (rendition, chunks) = (rendition.clone(), chunks.to_vec());
        self.spool_call(move |spool| spool.keep(&rendition, number, jump, &chunks)).await
    }

    async fn keep_document(&mut self) {
        if let Ok(text) = serde_json::to_vec(self.core.asset()) {
            self.spool_call(move |spool| spool.keep_document(&text)).await;
        }
    }

    async fn forget(&mut self, rendition: &RenditionName, number: u64) {
        let rendition = rendition.clone();
        self.spool_call(move |spool| {
            spool.forget(&rendition, number);
            Ok(())
        })
        .await;
    }

    /// Runs a call that blocks; false without a spool, or if it failed.
    async fn spool_call(&mut self, call: impl FnOnce(&Spool) -> std::io::Result<()> + Send + 'static) -> bool {
        let Some(spool) = self.spool.clone() else { return false };
        match tokio::task::spawn_blocking(move || call(&spool)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(asset = %self.core.asset().id, %error, "the spool cannot be written; make room on its disk");
                false
            }
            Err(_) => false,
        }
    }

    /// What the handle could not hand over is lost.
    fn take_missed(&mut self) {
        let missed = std::mem::take(&mut *self.missed.lock().unwrap_or_else(PoisonError::into_inner));
        for (rendition, number) in missed {
            self.lose(&rendition, number);
        }
    }

    fn lose(&mut self, rendition: &RenditionName, number: u64) {
        if self.core.lost(rendition, number).is_ok() {
            self.store.statistics().lost_segments.fetch_add(1, Relaxed);
        }
    }

    fn add_pending(&mut self, key: (RenditionName, u64), pending: Pending) {
        let statistics = self.store.statistics();
        statistics.pending_segments.fetch_add(1, Relaxed);
        if pending.spooled {
            self.in_spool += pending.bytes;
            statistics.spooled_bytes.fetch_add(i64::try_from(pending.bytes).unwrap_or(0), Relaxed);
        }
        if pending.chunks.is_some() {
            self.in_memory += pending.bytes;
        }
        self.pending.insert(key, pending);
    }

    async fn release(&mut self, key: (RenditionName, u64)) {
        let Some(pending) = self.pending.remove(&key) else { return };
        let statistics = self.store.statistics();
        statistics.pending_segments.fetch_sub(1, Relaxed);
        if pending.chunks.is_some() {
            self.in_memory -= pending.bytes;
        }
        if pending.spooled {
            self.in_spool -= pending.bytes;
            statistics.spooled_bytes.fetch_sub(i64::try_from(pending.bytes).unwrap_or(0), Relaxed);
            self.forget(&key.0, key.1).await;
        }
    }

    /// Does what the core asks for.
    async fn act(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::PutInit { rendition, version } => self.queue.push_front(Key::Init { rendition, version }),
                Output::PutSegment { rendition, number } => self.queue.push_back(Key::Segment { rendition, number }),
                Output::Release { rendition, number } => self.release((rendition, number)).await,
                Output::Gap { rendition, number, cause: GapCause::Lost } => {
                    tracing::error!(asset = %self.core.asset().id, %rendition, number, "a finished segment is lost: neither the store nor the spool had room for it");
                    self.keep_document().await;
                }
                Output::Gap { rendition, number, cause: GapCause::NeverFinished } => {
                    tracing::info!(asset = %self.core.asset().id, %rendition, number, "a gap in the recording");
                }
            }
        }
    }

    fn start_uploads(&mut self) {
        while self.uploads.len() < self.options.uploads.max(1) {
            // Init segments are at the front. Segments wait until the stored document knows their tracks.
            let is_init = matches!(self.queue.front(), Some(Key::Init { .. }));
            if !is_init && !self.core.line_ups_are_stored() {
                break;
            }
            let Some(key) = self.queue.pop_front() else { break };
            let source = match &key {
                Key::Init { rendition, version } => {
                    let Some(bytes) = self.inits.get(&(rendition.clone(), version.clone())) else { continue };
                    Source::Memory(vec![bytes.clone()])
                }
                Key::Segment { rendition, number } => {
                    let Some(pending) = self.pending.get(&(rendition.clone(), *number)) else { continue };
                    match (&pending.chunks, &self.spool) {
                        (Some(chunks), _) => Source::Memory(chunks.clone()),
                        (None, Some(spool)) => Source::Spool(spool.clone(), pending.jump),
                        (None, None) => continue,
                    }
                }
            };
            let upload = Upload {
                store: self.store.clone(),
                asset: self.core.asset().id.clone(),
                key,
                source,
                backoff: self.options.backoff,
            };
            self.uploads.push(Box::pin(upload.run()));
        }
    }

    fn uploaded(&mut self, uploaded: Uploaded) {
        match (uploaded.key, uploaded.is_stored) {
            (Key::Init { rendition, version }, true) => self.core.init_stored(&rendition, &version),
            (Key::Init { .. }, false) => {}
            (Key::Segment { rendition, number }, true) => {
                let statistics = self.store.statistics();
                statistics.stored_segments.fetch_add(1, Relaxed);
                if let Some(pending) = self.pending.get_mut(&(rendition.clone(), number)) {
                    statistics.stored_bytes.fetch_add(pending.bytes, Relaxed);
                    if pending.chunks.take().is_some() {
                        self.in_memory -= pending.bytes;
                    }
                }
                self.core.stored(&rendition, number);
            }
            (Key::Segment { rendition, number }, false) => {
                self.store.statistics().lost_segments.fetch_add(1, Relaxed);
                self.core.vanished(&rendition, number);
            }
        }
    }

    fn start_publication(&mut self) {
        let now = self.store.clock().mono();
        if self.publication.is_some() || now < self.retry_at {
            return;
        }
        if let Some(publication) = self.core.publication(now) {
            let asset = self.core.asset().id.clone();
            let pages = self.pages.clone();
            self.publication = Some(Box::pin(publish::publish(self.store.clone(), asset, publication, pages)));
        }
    }

    fn published(&mut self, published: Published) {
        self.publication = None;
        self.pages = published.pages;
        let now = self.store.clock().mono();
        match published.result {
            Ok(stored) => {
                self.failures = 0;
                self.core.published(&published.publication, now);
                if stored.is_some_and(|a| a.state == State::Deleting) {
                    tracing::warn!(asset = %self.core.asset().id, "the recording was deleted; it ends");
                    self.deleted = true;
                }
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(asset = %self.core.asset().id, %error, "the recording cannot be published; it is tried again");
                }
                self.store.statistics().retries.fetch_add(1, Relaxed);
                self.retry_at = now + self.options.backoff.wait(self.failures, rand::random());
                self.failures = self.failures.saturating_add(1);
                self.core.not_published();
            }
        }
    }

    async fn finish(&mut self) {
        self.act().await;
        if self.deleted
            && let Err(error) = retention::withdraw(&self.store, &self.core.asset().id).await
        {
            // The sweep takes them with the rest.
            tracing::warn!(asset = %self.core.asset().id, %error, "the manifests of a deleted recording are still there");
        }
        self.spool_call(|spool| {
            spool.clear();
            Ok(())
        })
        .await;
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.options.running.remove(&self.core.asset().id);
        let statistics = self.store.statistics();
        statistics.pending_segments.fetch_sub(i64::try_from(self.pending.len()).unwrap_or(0), Relaxed);
        statistics.spooled_bytes.fetch_sub(i64::try_from(self.in_spool).unwrap_or(0), Relaxed);
    }
}
