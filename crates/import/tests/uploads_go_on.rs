//! Uploads go on at their offset after any interruption, have bounds, and outlive the process.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use millstream_archive::Store;
use millstream_archive::recording::Options;
use millstream_encode::ladder::LadderConfig;
use millstream_import::imports::{Limits, NewImport};
use millstream_import::transcode::Setup;
use millstream_import::{ImportError, Imports, State};
use millstream_media::time::{Clock, MonoTime, UtcTime};

struct Still;

impl Clock for Still {
    fn utc(&self) -> UtcTime {
        UtcTime::from_millis(1_795_386_300_000)
    }
    fn mono(&self) -> MonoTime {
        MonoTime(Duration::ZERO)
    }
}

fn open(folder: &Path, limits: Limits) -> Imports {
    let setup = Setup {
        worker: "/nowhere".into(),
        memory_mib: 1024,
        ladder: LadderConfig::default(),
        segment_millis: 2000,
        store: Store::open("memory://", &Default::default(), Arc::new(Still)).unwrap(),
        recording: Options::default(),
    };
    Imports::open(folder, setup, limits).unwrap()
}

fn new(size: u64, fingerprint: Option<&str>) -> NewImport {
    NewImport { size, file: "A b.mp4".into(), fingerprint: fingerprint.map(str::to_owned), ..NewImport::default() }
}

fn pieces(all: &[&'static [u8]], breaks_off: bool) -> impl futures::Stream<Item = Result<Bytes, ()>> + use<> {
    let mut items: Vec<Result<Bytes, ()>> = all.iter().map(|p| Ok(Bytes::from_static(p))).collect();
    if breaks_off {
        items.push(Err(()));
    }
    stream::iter(items)
}

#[tokio::test]
async fn what_came_before_an_interruption_is_kept_also_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let imports = open(folder.path(), Limits::default());
    let (made, is_known) = imports.create(new(10, Some("f"))).await.unwrap();
    assert_eq!((made.job.asset.as_str(), made.job.title.as_str(), is_known), ("a-b", "A b.mp4", false));
    let id = made.job.id;
    let broke = imports.append(&id, 0, pieces(&[b"abc", b"d"], true)).await;
    assert!(matches!(broke, Err(ImportError::BrokeOff)), "{broke:?}");
    assert!(matches!(
        imports.append(&id, 0, pieces(&[b"x"], false)).await,
        Err(ImportError::Offset { is: 4, given: 0 })
    ));
    drop(imports);

    let imports = open(folder.path(), Limits::default());
    // The same file finds its import; another one does not.
    let (again, is_known) = imports.create(new(10, Some("f"))).await.unwrap();
    assert_eq!((again.job.id.clone(), again.received, is_known), (id.clone(), 4, true));
    assert!(!imports.create(new(10, Some("g"))).await.unwrap().1);
    assert_eq!(imports.append(&id, 4, pieces(&[b"efghi"], false)).await.unwrap(), 9);
    assert!(matches!(imports.append(&id, 9, pieces(&[b"jk"], false)).await, Err(ImportError::TooLong(10))));
    assert_eq!(imports.append(&id, 9, pieces(&[b"j"], false)).await.unwrap(), 10);
    assert_eq!(imports.get(&id).unwrap().job.state, State::Waiting);
    assert_eq!(std::fs::read(folder.path().join(format!("{id}.media"))).unwrap(), b"abcdefghij");
    assert!(matches!(imports.append(&id, 10, pieces(&[], false)).await, Err(ImportError::NotUploading(_))));
}

#[tokio::test]
async fn the_spool_has_a_limit_and_names_are_not_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let imports = open(folder.path(), Limits { spool_bytes: 100, open: 3, ..Limits::default() });
    let first = imports.create(new(60, None)).await.unwrap().0;
    let full = imports.create(new(41, None)).await;
    assert!(matches!(full, Err(ImportError::NoRoom { size: 41, room: 40 })), "{full:?}");
    assert_eq!(imports.create(new(10, None)).await.unwrap().0.job.asset.as_str(), "a-b-2");
    let named = NewImport { asset: Some("a-b".into()), ..new(1, None) };
    assert!(matches!(imports.create(named).await, Err(ImportError::AssetExists(_))));
    let bad = NewImport { asset: Some("../x".into()), ..new(1, None) };
    assert!(matches!(imports.create(bad).await, Err(ImportError::Invalid(_))));
    assert!(matches!(imports.create(new(0, None)).await, Err(ImportError::Invalid(_))));
    imports.create(new(1, None)).await.unwrap();
    assert!(matches!(imports.create(new(1, None)).await, Err(ImportError::TooMany(3))));
    // A cancelled import gives its room back, and leaves nothing.
    imports.cancel(&first.job.id).await.unwrap();
    assert!(matches!(imports.get(&first.job.id), Err(ImportError::NotFound(_))));
    imports.create(new(80, None)).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}
