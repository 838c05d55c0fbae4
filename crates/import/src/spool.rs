//! The spool of imports: `ID.json` and `ID.media` in one folder of the local disk.
//!
//! Documents are written whole and renamed. The length of the media file is the offset of the upload, so that nothing has
//! to agree with it after a crash. All calls block.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use millstream_media::time::UtcTime;

use crate::job::{FORMAT, Job, JobId};

/// A folder of imports.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Takes the folder, made if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        // Media that is not published yet.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Spool { folder: folder.to_owned() })
    }

    /// All imports. A document that makes no sense is left alone and told.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn jobs(&self) -> io::Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            match fs::read(&path).map(|text| serde_json::from_slice::<Job>(&text)) {
                Ok(Ok(job)) if job.format <= FORMAT && path == self.document(&job.id) => jobs.push(job),
                Ok(Ok(_)) => tracing::warn!(path = %path.display(), "an import of a later version is left alone"),
                Ok(Err(error)) => tracing::warn!(path = %path.display(), %error, "an import's document is damaged"),
                Err(error) => tracing::warn!(path = %path.display(), %error, "an import's document cannot be read"),
            }
        }
        Ok(jobs)
    }

    /// Writes an import's document.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn save(&self, job: &Job) -> io::Result<()> {
        let path = self.document(&job.id);
        let temporary = path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(job)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    }

    /// Bytes of the upload that are here.
    pub fn received(&self, id: &JobId) -> u64 {
        fs::metadata(self.media(id)).map_or(0, |m| m.len())
    }

    /// When something of the upload came last.
    pub fn touched(&self, id: &JobId) -> Option<UtcTime> {
        let modified = fs::metadata(self.media(id)).and_then(|m| m.modified()).ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(UtcTime(i64::try_from(since.as_nanos()).ok()?))
    }

    /// The upload, to be written on from `offset`. What a request that was dropped still writes lands where the next one
    /// sends the same bytes, never behind them.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn write_from(&self, id: &JobId, offset: u64) -> io::Result<File> {
        let mut file = File::options().create(true).write(true).truncate(false).open(self.media(id))?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }

    /// The upload, to be read.
    ///
    /// # Errors
    /// It is not there.
    pub fn read(&self, id: &JobId) -> io::Result<File> {
        File::open(self.media(id))
    }

    /// Forgets the upload.
    pub fn forget_media(&self, id: &JobId) {
        let _ = fs::remove_file(self.media(id));
    }

    /// Forgets an import.
    pub fn forget(&self, id: &JobId) {
        self.forget_media(id);
        let _ = fs::remove_file(self.document(id));
    }

    fn document(&self, id: &JobId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn media(&self, id: &JobId) -> PathBuf {
        self.folder.join(format!("{id}.media"))
    }
}
