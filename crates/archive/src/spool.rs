//! Finished segments on the local disk until the store has them: `SPOOL/ASSET/RENDITION/NUMBER.m4s`.
//!
//! A file is written beside, synced and renamed, so that it is whole or absent after a power cut. Calls block; the
//! recording makes them where that is allowed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use millstream_media::track::RenditionName;

use crate::asset::AssetId;
use crate::layout;

/// Ends the names of files that are being written.
const PARTIAL: &str = ".partial";
/// Ends the stem of a segment that follows a jump of the source.
const JUMP: &str = "-jump";

/// The spool of one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    folder: PathBuf,
}

/// A file of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A segment.
    Segment {
        /// Of which rendition.
        rendition: RenditionName,
        /// Its number.
        number: u64,
        /// It follows a jump of the source.
        jump: bool,
        /// Its length in bytes.
        bytes: u64,
    },
    /// An init segment.
    Init {
        /// Of which rendition.
        rendition: RenditionName,
        /// Its version.
        version: String,
    },
}

impl Spool {
    /// The spool of `asset` below `folder`.
    pub fn new(folder: &Path, asset: &AssetId) -> Self {
        Spool { folder: folder.join(asset.as_str()) }
    }

    /// Keeps a segment. When this returns it is on the disk.
    ///
    /// # Errors
    /// The disk has no room, or failed.
    pub fn keep(&self, rendition: &RenditionName, number: u64, jump: bool, chunks: &[Bytes]) -> io::Result<()> {
        self.write(rendition.as_str(), &segment_name(number, jump), chunks)
    }

    /// Keeps an init segment.
    ///
    /// # Errors
    /// The disk has no room, or failed.
    pub fn keep_init(&self, rendition: &RenditionName, version: &str, bytes: &Bytes) -> io::Result<()> {
        self.write(rendition.as_str(), &layout::init_name(version), std::slice::from_ref(bytes))
    }

    /// Keeps the asset's document, which says the tracks.
    ///
    /// # Errors
    /// The disk has no room, or failed.
    pub fn keep_document(&self, text: &[u8]) -> io::Result<()> {
        self.write("", layout::ASSET, &[Bytes::copy_from_slice(text)])
    }

    /// The asset's document, if one was kept.
    pub fn document(&self) -> Option<Vec<u8>> {
        fs::read(self.folder.join(layout::ASSET)).ok()
    }

    /// Reads a segment.
    ///
    /// # Errors
    /// It is not there, or the disk failed.
    pub fn segment(&self, rendition: &RenditionName, number: u64, jump: bool) -> io::Result<Bytes> {
        fs::read(self.folder.join(rendition.as_str()).join(segment_name(number, jump))).map(Bytes::from)
    }

    /// Reads an init segment.
    ///
    /// # Errors
    /// It is not there, or the disk failed.
    pub fn init(&self, rendition: &RenditionName, version: &str) -> io::Result<Bytes> {
        fs::read(self.folder.join(rendition.as_str()).join(layout::init_name(version))).map(Bytes::from)
    }

    /// Forgets a segment. One that is not there is no error.
    pub fn forget(&self, rendition: &RenditionName, number: u64) {
        for jump in [false, true] {
            // What cannot be deleted now is found and deleted by the next scan.
            let _ = fs::remove_file(self.folder.join(rendition.as_str()).join(segment_name(number, jump)));
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// What is there. Files that were not finished are deleted.
    pub fn scan(&self) -> Vec<Entry> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let Some(rendition) = folder.file_name().to_str().and_then(RenditionName::new) else { continue };
            for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
                let name = file.file_name();
                let Some(name) = name.to_str() else { continue };
                if name.ends_with(PARTIAL) {
                    let _ = fs::remove_file(file.path());
                    continue;
                }
                let stem = name.strip_suffix(".m4s").unwrap_or_default();
                let number = stem.strip_suffix(JUMP).unwrap_or(stem).parse();
                let init = name.strip_prefix("init-").and_then(|n| n.strip_suffix(".mp4"));
                match (number, init) {
                    (Ok(number), _) => found.push(Entry::Segment {
                        rendition: rendition.clone(),
                        number,
                        jump: stem.ends_with(JUMP),
                        bytes: file.metadata().map_or(0, |m| m.len()),
                    }),
                    (_, Some(v)) => {
                        found.push(Entry::Init { rendition: rendition.clone(), version: v.to_owned() });
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// Assets that have a spool below `folder`: they were being recorded when the process ended.
    pub fn assets(folder: &Path) -> Vec<AssetId> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|e| AssetId::new(e.file_name().to_str()?)).collect()
    }

    fn write(&self, folder: &str, name: &str, chunks: &[Bytes]) -> io::Result<()> {
        let folder = if folder.is_empty() { self.folder.clone() } else { self.folder.join(folder) };
        let beside = folder.join(format!("{name}{PARTIAL}"));
        let result = (|| {
            let mut file = match File::create(&beside) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&folder)?;
                    File::create(&beside)?
                }
                other => other?,
            };
            for chunk in chunks {
                file.write_all(chunk)?;
            }
            file.sync_all()?;
            fs::rename(&beside, folder.join(name))?;
            File::open(&folder)?.sync_all()
        })();
        if result.is_err() {
            let _ = fs::remove_file(&beside);
        }
        result
    }
}

fn segment_name(number: u64, jump: bool) -> String {
    format!("{number}{}.m4s", if jump { JUMP } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_halves_are_not() {
        let temporary = tempfile::tempdir().unwrap();
        let spool = Spool::new(temporary.path(), &AssetId::new("a").unwrap());
        let name = RenditionName::new("720p").unwrap();
        spool.keep_init(&name, "0a", &Bytes::from_static(b"init")).unwrap();
        spool.keep(&name, 7, true, &[Bytes::from_static(b"ab"), Bytes::from_static(b"c")]).unwrap();
        fs::write(temporary.path().join("a/720p/8.m4s.partial"), b"x").unwrap();
        assert_eq!(spool.segment(&name, 7, true).unwrap(), "abc");
        let segment = Entry::Segment { rendition: name.clone(), number: 7, jump: true, bytes: 3 };
        let init = Entry::Init { rendition: name.clone(), version: "0a".to_owned() };
        let found = spool.scan();
        assert!(found.len() == 2 && found.contains(&segment) && found.contains(&init), "{found:?}");
        assert!(!temporary.path().join("a/720p/8.m4s.partial").exists());
        spool.forget(&name, 7);
        assert_eq!(spool.scan(), [init]);
        assert_eq!(Spool::assets(temporary.path()), [AssetId::new("a").unwrap()]);
    }
}
