//! The private keys that a server signs with, in files, and which of them signs.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use millstream_access::signed::PrivateKey;
use millstream_access::signed::key::{KeyError, check_id};

/// How the files of private keys end.
pub const ENDING: &str = ".private.pem";
/// Largest file that is read as a key, in bytes.
const MAX_FILE: u64 = 16 * 1024;
/// Most names of a folder that are looked at.
const MAX_NAMES: usize = 1024;

/// Private keys: files `KEY-PAIR-ID.private.pem` in a folder, also in folders in it that are named as key groups.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    folder: PathBuf,
}

/// Which key is to sign.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The key pair's id.
    pub id: Option<&'a str>,
    /// Its group. Of several keys in it the oldest signs, until its file is removed.
    pub group: Option<&'a str>,
}

/// Why no key can sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// An id, or the name of a group, that is none.
    #[error("{0}, and so is the name of a group")]
    Name(KeyError),
    /// There is none at all.
    #[error("this server has no private key; make one with `millstream key create --for-api`")]
    Empty,
    /// None of this id.
    #[error("there is no private key of this id; make one with `millstream key create --for-api`")]
    Id,
    /// None in this group.
    #[error("there is no private key in this group; make one with `millstream key create --for-api --group NAME`")]
    Group,
    /// More than one, and neither id nor group is named.
    #[error("this server has several private keys; name one by key_pair_id, or its group by key_group")]
    Several,
    /// The file is no key.
    #[error("the key cannot be used: {0}")]
    Unusable(KeyError),
}

/// A file with a private key.
struct Found {
    id: String,
    file: PathBuf,
}

impl SigningKeys {
    /// Keys in this folder. It need not be there.
    pub fn new(folder: PathBuf) -> Self {
        SigningKeys { folder }
    }

    /// The key that is to sign, with its id.
    ///
    /// # Errors
    /// There is none, or more than one might be meant.
    pub fn find(&self, wanted: Wanted<'_>) -> Result<(String, PrivateKey), NoKey> {
        // Both become parts of a path: they are checked first.
        for name in [wanted.id, wanted.group].into_iter().flatten() {
            check_id(name).map_err(NoKey::Name)?;
        }
        let mut found = match wanted.group {
            Some(group) => keys_of(&self.folder.join(group)),
            None => self.files(),
        };
        if let Some(id) = wanted.id {
            found.retain(|key| key.id == id);
        }
        let key = match (found.as_slice(), wanted.id, wanted.group) {
            ([], Some(_), _) => return Err(NoKey::Id),
            ([], None, Some(_)) => return Err(NoKey::Group),
            ([], None, None) => return Err(NoKey::Empty),
            ([_, _, ..], None, None) => return Err(NoKey::Several),
            ([first, ..], ..) => first,
        };
        let small = std::fs::metadata(&key.file).is_ok_and(|data| data.len() <= MAX_FILE);
        let pem = if small { std::fs::read(&key.file).unwrap_or_default() } else { Vec::new() };
        let private = PrivateKey::from_pem(&pem).map_err(NoKey::Unusable)?;
        Ok((key.id.clone(), private))
    }

    /// The files of all keys, those in groups, too.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files().into_iter().map(|key| key.file).collect()
    }

    fn files(&self) -> Vec<Found> {
        let mut groups: Vec<PathBuf> = names(&self.folder).filter(|path| path.is_dir()).collect();
        groups.sort();
        let inside = groups.iter().flat_map(|group| keys_of(group));
        keys_of(&self.folder).into_iter().chain(inside).collect()
    }
}

/// Where a new key of this id is kept.
pub fn file(folder: &Path, group: Option<&str>, id: &str) -> PathBuf {
    let folder = group.map_or_else(|| folder.to_owned(), |group| folder.join(group));
    folder.join(format!("{id}{ENDING}"))
}

/// The keys of one folder, the oldest first.
fn keys_of(folder: &Path) -> Vec<Found> {
    let key = |path: PathBuf| {
        let id = path.file_name()?.to_str()?.strip_suffix(ENDING)?.to_owned();
        check_id(&id).ok()?;
        let changed = std::fs::metadata(&path).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        Some((changed, Found { id, file: path }))
    };
    let mut keys: Vec<(SystemTime, Found)> = names(folder).filter_map(key).collect();
    keys.sort_by(|(a_time, a), (b_time, b)| (a_time, &a.id).cmp(&(b_time, &b.id)));
    keys.into_iter().map(|(_, key)| key).collect()
}

fn names(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).take(MAX_NAMES)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use millstream_access::signed::sign::KeyType;

    use super::*;

    fn put(folder: &Path, group: Option<&str>, id: &str, age: u64) {
        let path = file(folder, group, id);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, PrivateKey::generate(KeyType::Ecdsa).unwrap().1).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000 - age);
        File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
    }

    fn find(folder: &Path, id: Option<&str>, group: Option<&str>) -> Result<String, NoKey> {
        SigningKeys::new(folder.to_owned()).find(Wanted { id, group }).map(|(id, _)| id)
    }

    #[test]
    fn a_key_by_its_id_and_by_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(find(&folder.join("none"), None, None), Err(NoKey::Empty));
        put(folder, Some("partners"), "K1", 5);
        assert_eq!(find(folder, None, None).unwrap(), "K1", "the only one");
        put(folder, None, "K2", 9);
        put(folder, Some("apps"), "K3", 1);
        assert_eq!(find(folder, None, None), Err(NoKey::Several));
        assert_eq!(find(folder, Some("K3"), None).unwrap(), "K3", "whatever its group");
        assert_eq!(find(folder, None, Some("partners")).unwrap(), "K1");
        assert_eq!(find(folder, Some("K1"), Some("partners")).unwrap(), "K1");
        assert_eq!(find(folder, Some("K1"), Some("apps")), Err(NoKey::Id));
        assert_eq!(find(folder, Some("K9"), None), Err(NoKey::Id));
        assert_eq!(find(folder, None, Some("nobody")), Err(NoKey::Group));
        for name in ["", "..", "a/b", "../../etc"] {
            assert!(matches!(find(folder, Some(name), None), Err(NoKey::Name(_))), "{name}");
            assert!(matches!(find(folder, None, Some(name)), Err(NoKey::Name(_))), "{name}");
        }
        assert_eq!(SigningKeys::new(folder.to_owned()).paths().len(), 3);
    }

    /// STANDARDS 7.12: the new key is there before the old one goes, and signs only from then on.
    #[test]
    fn a_group_hands_over_when_its_oldest_key_goes() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), Some("apps"), "KNEW", 1);
        put(folder.path(), Some("apps"), "KOLD", 2);
        assert_eq!(find(folder.path(), None, Some("apps")).unwrap(), "KOLD");
        std::fs::remove_file(file(folder.path(), Some("apps"), "KOLD")).unwrap();
        assert_eq!(find(folder.path(), None, Some("apps")).unwrap(), "KNEW");
    }

    #[test]
    fn what_is_no_key_does_not_sign() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(file(folder.path(), None, "K1"), "no key").unwrap();
        assert_eq!(find(folder.path(), None, None), Err(NoKey::Unusable(KeyError::Pem)));
        std::fs::write(file(folder.path(), None, "K1"), "x".repeat(20_000)).unwrap();
        assert_eq!(find(folder.path(), None, None), Err(NoKey::Unusable(KeyError::Pem)));
    }
}
