//! `operators.json`: tokens and users, hashed. Its owner alone may read it; it is written whole or not at all.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use millstream_access::operator::Accounts;
use serde::{Deserialize, Serialize};

use super::error::OperatorsError;

/// Largest file that is read, in bytes: bounds on tokens and users keep ours below it.
const MAX_BYTES: u64 = 8 << 20;
const FORMAT: u32 = 1;
/// Read and written by the owner.
const MODE: u32 = 0o600;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    operators: Accounts,
}

/// What the file holds; `None` if it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Accounts>, OperatorsError> {
    let shown = path.display().to_string();
    let corrupt = |reason: String| OperatorsError::Corrupt { path: shown.clone(), reason };
    let failed = |source| OperatorsError::File { path: shown.clone(), what: "read", source: Arc::new(source) };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if metadata.len() > MAX_BYTES {
        return Err(corrupt(format!("it has {} bytes, more than {MAX_BYTES}", metadata.len())));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(file = %shown, "others may read or write the operators' file; run chmod 600 on it");
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
    if document.format != FORMAT {
        return Err(corrupt(format!("it has format {}, and this version knows {FORMAT}", document.format)));
    }
    Ok(Some(document.operators))
}

/// Replaces the file: written beside it, synced and renamed.
pub(super) fn write(path: &Path, operators: &Accounts) -> Result<(), OperatorsError> {
    let shown = path.display().to_string();
    let document = Document { format: FORMAT, operators: operators.clone() };
    let text = serde_json::to_vec_pretty(&document)
        .map_err(|error| OperatorsError::Corrupt { path: shown.clone(), reason: error.to_string() })?;
    let temporary = path.with_extension("json.new");
    let replace = || {
        // One that a crash left may have other permissions.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::File::options().write(true).create_new(true).mode(MODE).open(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    };
    replace().map_err(|source| OperatorsError::File { path: shown, what: "written", source: Arc::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_its_owners_and_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operators.json");
        assert!(read(&path).unwrap().is_none());
        std::fs::write(path.with_extension("json.new"), "left by a crash").unwrap();
        write(&path, &Accounts::default()).unwrap();
        write(&path, &Accounts::default()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap(), Some(Accounts::default()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_makes_no_sense_is_an_error_not_an_empty_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operators.json");
        for wrong in ["", "{}", "[]", r#"{"format":2,"operators":{}}"#, r#"{"format":1,"operators":{"token":[]}}"#] {
            std::fs::write(&path, wrong).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("operators.json") && error.contains("move it away"), "{error}");
        }
    }
}
