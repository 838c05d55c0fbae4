//! The data folder: made if it is missing, and held by one server at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::modes;

/// The file whose lock says that a server uses the folder; the lock goes with the process, however it ends.
const LOCK_FILE: &str = "lock";

/// Makes the folder, closed to others, and takes it; it is given back when the answer is dropped.
///
/// # Errors
/// If the folder cannot be made or written to, or another server uses it: both would write the same documents.
pub fn take(folder: &Path) -> Result<File> {
    let shown = folder.display();
    modes::private_folder(folder)
        .with_context(|| format!("the data folder {shown} cannot be made; choose another with --data-dir"))?;
    let lock = File::create(folder.join(LOCK_FILE)).with_context(|| {
        format!(
            "the data folder {shown} cannot be written to; correct its permissions, or choose another with --data-dir"
        )
    })?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("another server uses the data folder {shown}; end it, or choose another folder with --data-dir")
        }
        // Some network file systems have no locks.
        Err(TryLockError::Error(error)) => {
            tracing::warn!(folder = %shown, %error, "the data folder cannot be locked; see that one server uses it");
        }
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_has_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new/data");
        let first = take(&data).unwrap();
        let error = take(&data).unwrap_err().to_string();
        assert!(error.contains("another server uses") && error.contains("--data-dir"), "{error}");
        // What lies in it is nobody else's.
        let mode = std::fs::metadata(&data).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{mode:o}");
        drop(first);
        take(&data).unwrap();
    }

    #[test]
    fn what_is_no_folder_is_refused_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = take(&file).unwrap_err().to_string();
        assert!(error.contains("cannot be made") && error.contains("--data-dir"), "{error}");
    }
}
