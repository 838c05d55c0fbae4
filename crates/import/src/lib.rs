//! Imports: a file is uploaded, encoded with the ladder of live channels as fast as the machine can, and stored as an
//! asset in the layout of recordings.
//!
//! Pure parts:
//! - [`job`]: an import's document, its states and names.
//! - [`abreast`]: sound that waits for the picture.
//!
//! Shells:
//! - [`spool`]: uploaded files and documents on the local disk.
//! - [`imports`]: the imports of this node: created, appended to, cancelled, run one after the other.
//! - [`recode`]: pictures at the ends of clips, encoded again.
//! - [`transcode`]: from a file to an asset.
//!
//! Bounds: an import holds a segment of each rendition, what the archive's recording may hold, and 64 MiB of samples that
//! wait for their tracks, however long the file is. The spool has a limit in bytes and in files.

pub mod abreast;
pub mod imports;
pub mod job;
pub mod recode;
pub mod spool;
pub mod transcode;

pub use imports::{ImportError, Imports};
pub use job::{Job, JobId, State};
