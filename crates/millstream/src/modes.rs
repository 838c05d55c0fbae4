//! Who else on this machine may read or change the server's files: what is secret is its owner's alone, and folders that
//! the server makes are closed to others. What is open nevertheless is warned about at the start.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use millstream_control::signing::SigningKeys;

use crate::config::Config;

/// Most names of a folder that are looked at.
const MAX_NAMES: usize = 1024;

/// Makes a folder that is its owner's alone. One that is there stays as it is.
///
/// # Errors
/// If it cannot be made.
pub fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whether others than its owner may read this file.
pub fn others_may_read(file: &Path) -> bool {
    is_open(file, 0o044)
}

/// What others may read or change though they should not, each with its mend.
pub fn warnings(config: &Config) -> Vec<String> {
    let data = &config.server.data_dir;
    let signing = config.signing_folder();
    let content_keys = data.join("content-keys");
    let secrets = SigningKeys::new(signing).paths().into_iter().chain(names(&content_keys));
    // The group of a key for TLS may be made for those who serve.
    let configured = [&config.server.tls_key, &config.edge.origin_key, &config.edge.origin_secret_file];
    let configured = configured.into_iter().chain([&config.origin.secrets_file]).filter(|p| !p.as_os_str().is_empty());
    let open = secrets.filter(|file| others_may_read(file));
    let open = open.chain(configured.filter(|file| is_open(file, 0o004)).cloned());
    let mut warnings: Vec<String> =
        open.map(|file| format!("others on this machine may read {0}; run chmod 600 {0}", file.display())).collect();

    let trusted = config.key_folder();
    let inside = names(&trusted);
    let groups: Vec<PathBuf> = inside.iter().filter(|path| path.is_dir()).flat_map(|path| names(path)).collect();
    let written = [data.clone(), trusted].into_iter().chain(inside).chain(groups).filter(|path| is_open(path, 0o022));
    warnings.extend(written.map(|path| {
        let shown = path.display();
        format!(
            "others on this machine may write to {shown}, which says what the server trusts; run chmod go-w {shown}"
        )
    }));
    let media = [data.join("imports"), data.join("edge-cache"), config.edge.disk_path.clone()];
    warnings.extend(
        media
            .iter()
            .filter(|path| path.is_dir() && is_open(path, 0o044))
            .map(|path| format!("others on this machine may read the media in {0}; run chmod 700 {0}", path.display())),
    );
    warnings
}

/// Whether one of these bits is set, and no folder above keeps others out.
fn is_open(path: &Path, bits: u32) -> bool {
    let mode = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.permissions().mode());
    let Ok(path) = std::fs::canonicalize(path) else { return false };
    mode(&path) & bits != 0 && path.ancestors().skip(1).all(|folder| mode(folder) & 0o011 != 0)
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder).into_iter().flatten();
    list.filter_map(|entry| Some(entry.ok()?.path())).take(MAX_NAMES).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// A data folder as the server and `millstream key create` make it; `/tmp` is open to all.
    fn data() -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o755);
        let mut config = Config::default();
        config.server.data_dir = folder.path().to_owned();
        for (file, mode) in
            [("signing/apps/K1.private.pem", 0o600), ("content-keys/news", 0o600), ("keys/apps/K1.pem", 0o644)]
        {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "").unwrap();
            set(&file, mode);
        }
        for path in ["signing", "signing/apps", "content-keys", "keys", "keys/apps"] {
            set(&folder.path().join(path), 0o755);
        }
        private_folder(&folder.path().join("imports")).unwrap();
        (folder, config)
    }

    #[test]
    fn nothing_is_said_of_what_is_closed() {
        let (_folder, config) = data();
        assert_eq!(warnings(&config), Vec::<String>::new());
    }

    #[test]
    fn what_is_open_is_said_with_the_mend() {
        for (path, mode, mend) in [
            ("signing/apps/K1.private.pem", 0o640, "chmod 600"),
            ("content-keys/news", 0o604, "chmod 600"),
            ("keys", 0o775, "chmod go-w"),
            ("keys/apps", 0o777, "chmod go-w"),
            ("keys/apps/K1.pem", 0o664, "chmod go-w"),
            ("imports", 0o755, "chmod 700"),
            ("", 0o777, "chmod go-w"),
        ] {
            let (folder, config) = data();
            set(&folder.path().join(path), mode);
            let said = warnings(&config);
            assert_eq!(said.len(), 1, "{path}: {said:?}");
            assert!(said[0].contains(mend) && said[0].contains(path), "{path}: {said:?}");
        }
    }

    #[test]
    fn a_folder_above_that_is_closed_is_enough() {
        let (folder, config) = data();
        set(&folder.path().join("signing/apps/K1.private.pem"), 0o644);
        set(&folder.path().join("signing"), 0o700);
        assert_eq!(warnings(&config), Vec::<String>::new());
    }

    #[test]
    fn a_key_for_tls_may_be_its_groups() {
        let (folder, mut config) = data();
        config.server.tls_key = folder.path().join("tls.pem");
        std::fs::write(&config.server.tls_key, "").unwrap();
        set(&config.server.tls_key, 0o640);
        assert_eq!(warnings(&config), Vec::<String>::new());
        set(&config.server.tls_key, 0o644);
        assert_eq!(warnings(&config).len(), 1);
    }
}
