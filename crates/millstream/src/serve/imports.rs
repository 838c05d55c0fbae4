//! Imports at the start: their spool in the data folder, and what they are made with.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use millstream_archive::precise::Recoder;
use millstream_encode::ladder::LadderConfig;
use millstream_import::Imports;
use millstream_import::imports::Limits;
use millstream_import::transcode::Setup;

use crate::channel::archive::Archive;
use crate::config::Config;

/// Folder in the data folder where files wait to be imported.
const FOLDER: &str = "imports";
/// Address space of the worker in MiB: that of a channel's, and what demuxers and decoders with threads need.
const WORKER_MEMORY_MIB: u64 = 6144;

/// What encodes the ends of clips that are cut between segments.
pub fn recoder(worker: PathBuf) -> Recoder {
    millstream_import::recode::recoder(worker, WORKER_MEMORY_MIB)
}

/// Takes up the imports of the last process.
///
/// # Errors
/// Their folder cannot be made or read.
pub fn open(config: &Config, archive: &Archive, worker: PathBuf) -> Result<Imports> {
    let set = &config.import;
    let setup = Setup {
        worker,
        memory_mib: WORKER_MEMORY_MIB,
        ladder: LadderConfig::default(),
        segment_millis: set.segment_seconds.millis(),
        store: archive.store().clone(),
        recording: archive.options().clone(),
    };
    let limits = Limits {
        spool_bytes: set.spool_bytes,
        idle: Duration::from_secs(u64::from(set.upload_hours) * 3600),
        ..Limits::default()
    };
    let folder = config.server.data_dir.join(FOLDER);
    Imports::open(&folder, setup, limits)
        .with_context(|| format!("{} cannot be used; check the folder's permissions", folder.display()))
}
