//! Signed URLs and cookies as the configuration has them: the rules, the folder of public keys, and its changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use millstream_access::signed::{KeySet, PublicKey};
use millstream_delivery::answer::Delivery;
use millstream_delivery::guard::{Guarded, Rules, TimeOfDay, Trust};
use millstream_media::time::Clock;

use super::fence;
use crate::config::Config;

/// How often the folder of keys is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Largest file that is read as a key, in bytes.
const MAX_FILE: u64 = 16 * 1024;

/// `media` behind the check, if any request needs one.
///
/// # Errors
/// If the keys cannot be read.
pub fn guard(config: &Config, clock: &Arc<dyn Clock>, media: Arc<dyn Delivery>) -> Result<Arc<dyn Delivery>> {
    let set = &config.access;
    if !set.require && set.paths.is_empty() {
        return Ok(media);
    }
    let rules = Rules {
        require: set.require,
        paths: set.paths.clone(),
        edges: fence::networks(&set.edges)?,
        proxies: fence::proxies(config)?,
        sites: set
            .sites
            .iter()
            .map(|text| crate::config::protection::site(text).map_err(|error| anyhow::anyhow!("access.sites {error}")))
            .collect::<Result<_>>()?,
    };
    let folder = config.key_folder();
    let keys = read(&folder, &set.groups)?;
    if keys.is_empty() {
        tracing::warn!(
            folder = %folder.display(),
            "no public key is trusted, so every request that needs a signature is refused; make one with millstream key create"
        );
    }
    let trust = Trust::new(keys);
    follow(folder, set.groups.clone(), trust.clone());
    let clock = Arc::clone(clock);
    let time: TimeOfDay = Arc::new(move || u64::try_from(clock.utc().0 / 1_000_000).unwrap_or(0));
    Ok(Arc::new(Guarded::new(media, rules, trust, time)))
}

/// The keys of the folder (`KEY-PAIR-ID.pem`), and of the folders in it that are trusted groups: all, if none is named.
fn read(folder: &Path, groups: &[String]) -> Result<KeySet> {
    let mut keys = KeySet::default();
    for (id, (file, pem)) in files(folder, groups)? {
        if let Err(error) = PublicKey::from_pem(&pem).and_then(|key| keys.insert(&id, key)) {
            tracing::warn!(file = %file.display(), "a key is not trusted: {error:#}");
        }
    }
    Ok(keys)
}

/// The files that are read as keys, with their bytes, by key-pair id.
fn files(folder: &Path, groups: &[String]) -> Result<BTreeMap<String, (PathBuf, Vec<u8>)>> {
    for group in groups.iter().filter(|group| !folder.join(group).is_dir()) {
        tracing::warn!(group, folder = %folder.display(), "access.groups names a group that is no folder here: none of its keys is trusted");
    }
    let mut folders = vec![folder.to_owned()];
    for entry in entries(folder)? {
        let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if entry.is_dir() && (groups.is_empty() || groups.contains(&name)) {
            folders.push(entry);
        }
    }
    let mut found = BTreeMap::<String, (PathBuf, Vec<u8>)>::new();
    for file in folders.iter().map(|folder| entries(folder)).collect::<Result<Vec<_>>>()?.into_iter().flatten() {
        if !file.is_file() || file.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        let id = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        match (bytes(&file), found.get(&id)) {
            (Ok(pem), None) => drop(found.insert(id, (file, pem))),
            // A key may be in several groups.
            (Ok(pem), Some((_, other))) if *other == pem => {}
            (Ok(_), Some((other, _))) => tracing::warn!(
                file = %file.display(),
                "a key is not trusted: {} has its id, {id}, and is another one; give each key an id of its own",
                other.display()
            ),
            (Err(error), _) => tracing::warn!(file = %file.display(), "a key is not trusted: {error:#}"),
        }
    }
    Ok(found)
}

fn bytes(file: &Path) -> Result<Vec<u8>> {
    let length = std::fs::metadata(file).context("it cannot be read")?.len();
    anyhow::ensure!(length <= MAX_FILE, "it has {length} bytes; a public key has less than {MAX_FILE}");
    std::fs::read(file).context("it cannot be read")
}

/// What lies in a folder, in the order of names; nothing if it is not there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = match std::fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("the keys in {} cannot be listed", folder.display()));
        }
    };
    let mut paths: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

/// Names, sizes and times of what lies in the folder and in those in it: changes with each change of a key.
fn look(folder: &Path) -> Vec<(PathBuf, u64, Option<std::time::SystemTime>)> {
    let inside = entries(folder).unwrap_or_default();
    let below = inside.iter().filter(|path| path.is_dir()).flat_map(|path| entries(path).unwrap_or_default());
    let seen = |path: PathBuf| {
        let data = std::fs::metadata(&path).ok();
        (path, data.as_ref().map_or(0, std::fs::Metadata::len), data.and_then(|d| d.modified().ok()))
    };
    inside.iter().cloned().chain(below).map(seen).collect()
}

/// Takes the keys anew when the folder changes: a key that was added opens, one that was removed does so no more.
fn follow(folder: PathBuf, groups: Vec<String>, trust: Trust) {
    let mut seen = look(&folder);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // A folder may lie on a disk that is slow or gone: only this task waits for it.
            let (folder, groups, before) = (folder.clone(), groups.clone(), seen.clone());
            let looked = tokio::task::spawn_blocking(move || {
                let now = look(&folder);
                let keys = (now != before).then(|| read(&folder, &groups));
                (now, keys)
            });
            let Ok((now, keys)) = looked.await else { continue };
            seen = now;
            match keys {
                None => {}
                Some(Ok(keys)) => {
                    tracing::info!(keys = keys.len(), "the trusted keys changed");
                    trust.replace(keys);
                }
                Some(Err(error)) => tracing::warn!("the trusted keys stay as they were: {error:#}"),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use millstream_access::signed::PrivateKey;
    use millstream_access::signed::sign::KeyType;

    use super::*;

    #[test]
    fn keys_and_groups_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(read(&path.join("none"), &[]).unwrap().is_empty(), "a folder that is not there has none");
        let public = PrivateKey::generate(KeyType::Ecdsa).unwrap().0.public_pem().unwrap();
        for file in ["K1.pem", "a/K2.pem", "b/K3.pem", "b/notes.txt"] {
            std::fs::create_dir_all(path.join(file).parent().unwrap()).unwrap();
            std::fs::write(path.join(file), &public).unwrap();
        }
        std::fs::write(path.join("broken.pem"), "no key").unwrap();
        let before = look(path);
        assert_eq!(read(path, &[]).unwrap().len(), 3);
        let some = read(path, &["b".to_owned()]).unwrap();
        assert!(some.get("K1").is_some() && some.get("K3").is_some() && some.get("K2").is_none());
        std::fs::remove_file(path.join("b/K3.pem")).unwrap();
        assert_ne!(look(path), before);
    }
    #[test]
    fn a_key_may_be_in_two_groups_but_an_id_has_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (file, text) in [("a/K1.pem", "one"), ("a/K2.pem", "two"), ("b/K1.pem", "one"), ("b/K2.pem", "another")] {
            std::fs::create_dir_all(path.join(file).parent().unwrap()).unwrap();
            std::fs::write(path.join(file), text).unwrap();
        }
        let of = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
            let files = files(path, &groups).unwrap().into_iter();
            files.map(|(id, (_, pem))| format!("{id}={}", String::from_utf8(pem).unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), ["K1=one", "K2=two"], "the first by name");
        assert_eq!(of(&["b", "gone"]), ["K1=one", "K2=another"]);
    }
}
