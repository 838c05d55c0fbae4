//! Bounds of a recording.

use std::path::PathBuf;

use crate::backoff::Backoff;
use crate::recorder::Settings;
use crate::running::Running;

/// Bounds of a recording.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where finished segments are kept while the store does not have them; `None` to keep them in memory only, which
    /// is enough where the store is the same disk.
    pub spool: Option<PathBuf>,
    /// Most bytes in the spool. Default 20 GiB.
    pub spool_bytes: u64,
    /// Most bytes of segments in memory. Default 64 MiB.
    pub memory_bytes: u64,
    /// Uploads at once. Default 4.
    pub uploads: usize,
    /// Segments handed over that the task has not taken yet. Default 256.
    pub queue: usize,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Of the core.
    pub settings: Settings,
    /// The source can wait ([`super::Handle::put_segment`]): while as much is in memory as may be, nothing more is taken, and
    /// nothing is lost. Default false.
    pub patient: bool,
    /// Where the recording is known to this process while it runs.
    pub running: Running,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            spool: None,
            spool_bytes: 20 << 30,
            memory_bytes: 64 << 20,
            uploads: 4,
            queue: 256,
            backoff: Backoff::default(),
            settings: Settings::default(),
            patient: false,
            running: Running::default(),
        }
    }
}
