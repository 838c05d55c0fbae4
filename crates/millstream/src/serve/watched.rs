//! A file of the configuration whose changes count while the server runs.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// If it cannot be read, or is larger.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let length = std::fs::metadata(path).map(|data| data.len());
    let length = length.with_context(|| format!("{} cannot be read; check the path", path.display()))?;
    ensure!(length <= most, "{} has {length} bytes; at most {most} are read", path.display());
    std::fs::read(path).with_context(|| format!("{} cannot be read; check its permissions", path.display()))
}

/// Size, time and number of the file: changes when it is written or replaced.
fn look(path: &Path) -> Option<(u64, Option<SystemTime>, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let of = |data: Metadata| (data.len(), data.modified().ok(), data.ino());
    std::fs::metadata(path).map(of).ok()
}

/// Calls `take` with the path each time the file has changed. What it cannot use is said, and the former stays.
pub fn follow(path: PathBuf, what: &'static str, take: impl Fn(&Path) -> Result<()> + Clone + Send + 'static) {
    let mut seen = look(&path);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let (path, take, before) = (path.clone(), take.clone(), seen);
            // The file may lie on a disk that is slow or gone: only this task waits for it.
            let looked = tokio::task::spawn_blocking(move || {
                let now = look(&path);
                let taken = (now != before).then(|| take(&path));
                (now, taken)
            });
            let Ok((now, taken)) = looked.await else { continue };
            seen = now;
            match taken {
                None => {}
                Some(Ok(())) => tracing::info!("{what} changed and is in use"),
                Some(Err(error)) => tracing::warn!("{what} changed and cannot be used; the former stays: {error:#}"),
            }
        }
    });
}
