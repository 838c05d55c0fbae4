//! The imports of this node: created, appended to, cancelled, and run one after the other.

mod running;
mod uploading;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_archive::{AssetId, StoreError, documents};
use millstream_media::time::{Clock, UtcTime};
use tokio::sync::{Notify, watch};

use crate::job::{FORMAT, Job, JobId, MAX_FINGERPRINT, MAX_NAME, MAX_TITLE, Progress, State, Status, asset_name};
use crate::spool::Spool;
use crate::transcode::Setup;

/// Bounds of the imports of a node.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of files that are here or announced.
    pub spool_bytes: u64,
    /// Most imports that are not over.
    pub open: usize,
    /// Imports that are over and still told; the oldest are forgotten.
    pub over: usize,
    /// An upload of which nothing came for so long is given up.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { spool_bytes: 100 << 30, open: 1000, over: 200, idle: Duration::from_secs(48 * 3600) }
    }
}

/// Why something could not be done with an import. Each says the cause and the mend.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No such import.
    #[error("there is no import {0}; GET /api/v1/imports lists those there are")]
    NotFound(String),
    /// A field of the request.
    #[error("{0}")]
    Invalid(String),
    /// The asset's name is taken.
    #[error("the asset {0} is there already; choose another name with id, or leave it out")]
    AssetExists(AssetId),
    /// The file is larger than the spool has room for.
    #[error(
        "the file has {size} bytes and the spool has room for {room}; wait for other imports, or raise import.spool_bytes"
    )]
    NoRoom {
        /// Of the file.
        size: u64,
        /// What is left.
        room: u64,
    },
    /// Too many imports at once.
    #[error("{0} imports wait already; wait for them, or cancel some")]
    TooMany(usize),
    /// The next byte of the upload is another one.
    #[error("the upload is at byte {is}, not {given}; send from there")]
    Offset {
        /// Where the upload is.
        is: u64,
        /// What was sent.
        given: u64,
    },
    /// Somebody else sends this file.
    #[error("another client is sending this file right now; wait until it has ended")]
    Busy,
    /// The upload is whole, or the import is over.
    #[error("import {0} takes no more of its file; GET it to see how it is")]
    NotUploading(JobId),
    /// More was sent than announced.
    #[error("more was sent than the {0} bytes that were announced; create the import anew with the right size")]
    TooLong(u64),
    /// The sender broke off; what came is kept.
    #[error("the upload broke off; go on from the offset that HEAD tells")]
    BrokeOff,
    /// The disk.
    #[error("the spool cannot be written: {0}; make room on the disk of the data folder")]
    Spool(#[source] io::Error),
    /// The store.
    #[error("{0}")]
    Store(StoreError),
}

/// What is to be imported.
#[derive(Clone, Debug, Default)]
pub struct NewImport {
    /// Bytes of the file.
    pub size: u64,
    /// Its name where it is.
    pub file: String,
    /// Name of the asset; from the file's name if it is left out.
    pub asset: Option<String>,
    /// Title of the asset; the file's name if it is left out.
    pub title: Option<String>,
    /// What the client knows the file by.
    pub fingerprint: Option<String>,
}

struct Entry {
    job: Job,
    progress: Progress,
    /// The import is cancelled, or the server stops.
    stop: watch::Sender<bool>,
    /// Somebody appends to it.
    uploading: bool,
}

/// The imports of a node. Clones are the same.
#[derive(Clone)]
pub struct Imports {
    inner: Arc<Inner>,
}

struct Inner {
    spool: Spool,
    setup: Setup,
    limits: Limits,
    clock: Arc<dyn Clock>,
    entries: Mutex<BTreeMap<JobId, Entry>>,
    /// An import waits to be run.
    ready: Notify,
    /// Imports are created one after the other, since the store is asked meanwhile.
    creating: tokio::sync::Mutex<()>,
}

impl Imports {
    /// Takes the imports in `folder`, as the last process left them.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path, setup: Setup, limits: Limits) -> io::Result<Self> {
        let spool = Spool::open(folder)?;
        let mut entries = BTreeMap::new();
        for mut job in spool.jobs()? {
            if job.state == State::Importing {
                job.state = State::Waiting;
            }
            let (stop, _) = watch::channel(false);
            let entry = Entry { progress: Progress::default(), stop, uploading: false, job };
            entries.insert(entry.job.id.clone(), entry);
        }
        let clock = setup.store.clock().clone();
        let (entries, ready, creating) = (Mutex::new(entries), Notify::new(), tokio::sync::Mutex::new(()));
        Ok(Imports { inner: Arc::new(Inner { spool, setup, limits, clock, entries, ready, creating }) })
    }

    /// All imports, the newest first.
    pub fn list(&self) -> Vec<Status> {
        let mut all: Vec<Status> = self.entries().values().map(|entry| self.status_of(entry)).collect();
        all.sort_by(|a, b| (b.job.created, &b.job.id).cmp(&(a.job.created, &a.job.id)));
        all
    }

    /// One import.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn get(&self, id: &JobId) -> Result<Status, ImportError> {
        match self.entries().get(id) {
            Some(entry) => Ok(self.status_of(entry)),
            None => Err(ImportError::NotFound(id.to_string())),
        }
    }

    /// Creates an import, or gives the one of the same file that is not over; then `true` comes with it.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn create(&self, new: NewImport) -> Result<(Status, bool), ImportError> {
        check(&new)?;
        let _one = self.inner.creating.lock().await;
        if let Some(known) = self.same_file(&new) {
            return Ok((known, true));
        }
        self.make_room(new.size)?;
        let asset = self.free_name(&new).await?;
        let file: String = new.file.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        let job = Job {
            format: FORMAT,
            id: JobId::of(rand::random()),
            asset,
            title: new.title.unwrap_or_else(|| file.clone()),
            file,
            size: new.size,
            fingerprint: new.fingerprint,
            created: self.inner.clock.utc(),
            ended: None,
            state: State::Uploading,
            error: None,
            notes: Vec::new(),
            duration_ms: None,
        };
        self.save(&job).await?;
        let (stop, _) = watch::channel(false);
        let entry = Entry { job: job.clone(), progress: Progress::default(), stop, uploading: false };
        let status = self.status_of(&entry);
        self.entries().insert(job.id, entry);
        Ok((status, false))
    }

    /// Cancels an import: what was made of it is deleted. One that is over is forgotten; its asset stays.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn cancel(&self, id: &JobId) -> Result<(), ImportError> {
        let job = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(id) else { return Err(ImportError::NotFound(id.to_string())) };
            let job = entry.job.clone();
            entry.stop.send_replace(true);
            if job.state == State::Importing {
                // Who runs it tidies up.
                entry.job.state = State::Cancelled;
                return Ok(());
            }
            entries.remove(id);
            job
        };
        if job.state == State::Waiting {
            // What an earlier process made of it.
            self.delete_asset(&job).await;
        }
        self.forget(id).await;
        Ok(())
    }

    fn status_of(&self, entry: &Entry) -> Status {
        let received = match entry.job.state {
            State::Uploading => self.inner.spool.received(&entry.job.id),
            State::Waiting | State::Importing | State::Done => entry.job.size,
            State::Failed | State::Cancelled => 0,
        };
        Status { job: entry.job.clone(), received, progress: entry.progress }
    }

    /// The import of this file that is not over.
    fn same_file(&self, new: &NewImport) -> Option<Status> {
        let fingerprint = new.fingerprint.as_ref()?;
        let entries = self.entries();
        let is_same = |e: &&Entry| {
            let job = &e.job;
            !job.state.is_over()
                && job.size == new.size
                && job.fingerprint.as_ref() == Some(fingerprint)
                && new.asset.as_ref().is_none_or(|asset| asset == job.asset.as_str())
        };
        entries.values().find(is_same).map(|entry| self.status_of(entry))
    }

    fn make_room(&self, size: u64) -> Result<(), ImportError> {
        let entries = self.entries();
        let open = || entries.values().filter(|e| !e.job.state.is_over());
        if open().count() >= self.inner.limits.open {
            return Err(ImportError::TooMany(open().count()));
        }
        let taken: u64 = open().map(|e| e.job.size).fold(0, u64::saturating_add);
        let room = self.inner.limits.spool_bytes.saturating_sub(taken);
        if size > room { Err(ImportError::NoRoom { size, room }) } else { Ok(()) }
    }

    /// The asset's name: as asked for, or from the file's, with a number if that is taken.
    async fn free_name(&self, new: &NewImport) -> Result<AssetId, ImportError> {
        if let Some(wanted) = &new.asset {
            let id = AssetId::try_from(wanted.clone()).map_err(ImportError::Invalid)?;
            return if self.is_free(&id).await? { Ok(id) } else { Err(ImportError::AssetExists(id)) };
        }
        let base = asset_name(&new.file);
        for number in 1..100 {
            let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            if let Some(id) = AssetId::new(&name)
                && self.is_free(&id).await?
            {
                return Ok(id);
            }
        }
        let name = format!("{base}-{:08x}", rand::random::<u32>());
        AssetId::new(&name)
            .ok_or_else(|| ImportError::Invalid(format!("{name} cannot name an asset; choose one with id")))
    }

    async fn is_free(&self, id: &AssetId) -> Result<bool, ImportError> {
        let promised = |e: &Entry| !e.job.state.is_over() && e.job.asset == *id;
        if self.entries().values().any(promised) {
            return Ok(false);
        }
        match documents::asset(&self.inner.setup.store, id).await {
            Err(StoreError::NotFound { .. }) => Ok(true),
            Ok(_) | Err(StoreError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(ImportError::Store(error)),
        }
    }

    /// Changes an import's document and writes it.
    async fn change(&self, id: &JobId, change: impl FnOnce(&mut Job)) -> Result<(), ImportError> {
        let job = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(id) else { return Ok(()) };
            change(&mut entry.job);
            entry.job.clone()
        };
        self.save(&job).await
    }

    async fn save(&self, job: &Job) -> Result<(), ImportError> {
        let (spool, job) = (self.inner.spool.clone(), job.clone());
        let saved = tokio::task::spawn_blocking(move || spool.save(&job)).await;
        saved.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(ImportError::Spool)
    }

    async fn forget(&self, id: &JobId) {
        let (spool, id) = (self.inner.spool.clone(), id.clone());
        let _ = tokio::task::spawn_blocking(move || spool.forget(&id)).await;
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<JobId, Entry>> {
        self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> UtcTime {
        self.inner.clock.utc()
    }
}

fn check(new: &NewImport) -> Result<(), ImportError> {
    let invalid = |text: String| Err(ImportError::Invalid(text));
    if new.size == 0 {
        return invalid("the file is empty; choose one with media in it".to_owned());
    }
    if new.file.len() > 4096 || new.file.rsplit(['/', '\\']).next().is_some_and(|name| name.len() > MAX_NAME) {
        return invalid(format!("the file's name is longer than {MAX_NAME} bytes; shorten it"));
    }
    let title = new.title.as_deref().unwrap_or_default();
    if title.len() > MAX_TITLE || title.chars().any(char::is_control) {
        return invalid(format!("the title is longer than {MAX_TITLE} bytes or has control characters; change it"));
    }
    if new.fingerprint.as_ref().is_some_and(|f| f.len() > MAX_FINGERPRINT || f.is_empty()) {
        return invalid(format!("the fingerprint is empty or longer than {MAX_FINGERPRINT} bytes; send a hash"));
    }
    Ok(())
}
