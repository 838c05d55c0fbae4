//! Recordings, clips and time shift on an object store.
//!
//! Pure parts (no tasks, sockets, files or clocks; `tests/tests/layering.rs` holds it):
//! - [`layout`]: the names of everything under `vod/`, a stable format (docs/vod.md).
//! - [`asset`]: `asset.json`, and what a track is in it.
//! - [`index`]: which segments a recording has, row by row, and the index pages they are stored in.
//! - [`hls`], [`dash`]: playlists and the MPD of an asset, for any static server.
//! - [`storyboard`]: the lists of an asset's small pictures.
//! - [`recorder`]: finished segments in, uploads and documents out.
//! - [`backoff`]: how long to wait before a retry.
//! - [`clip`]: a part of a recording as an asset of its own, without a copy.
//! - [`retention`]: what may be deleted, and in which order.
//!
//! Shells:
//! - [`store`]: the object store: opened by URL, timed, its errors explained.
//! - [`statistics`]: what the store and the recordings count.
//! - [`documents`]: `asset.json` and index pages, read and written.
//! - [`catalog`]: the assets of a channel, and which one a session records into.
//! - [`ended`]: the newest recordings of channels that are gone.
//! - [`spool`]: finished segments on the local disk while the store is away.
//! - [`recording`]: the task that records one asset.
//! - [`precise`]: the ends of a clip that is cut between segments.
//! - [`pictures`]: the task that puts an asset's poster and storyboard.
//! - [`running`]: the recordings of this process, and what they know before the store does.
//! - [`library`]: the assets as users see them: listed, shown, clipped, renamed, deleted.
//! - [`delivery`]: answers requests under `/vod/`.
//! - [`download`]: an asset as one progressive file.
//! - `sent`: answers that are read while they are sent.
//! - [`rewind`]: what has left a live window, under its live names; its parts are pure.
//! - [`time_shift`]: segments of a time range, with a bounded cache.

pub mod asset;
pub mod backoff;
pub mod catalog;
pub mod clip;
pub mod dash;
pub mod delivery;
pub mod documents;
pub mod download;
pub mod ended;
pub mod hls;
pub mod index;
pub mod layout;
pub mod library;
pub mod pictures;
pub mod precise;
pub mod recorder;
pub mod recording;
pub mod retention;
pub mod rewind;
pub mod running;
pub mod segment_facts;
mod sent;
pub mod spool;
pub mod statistics;
pub mod store;
pub mod storyboard;
pub mod time_shift;

pub use asset::{Asset, AssetId, Kind, State, TrackInfo};
pub use index::{Cell, Index, Row};
pub use recording::{Handle, Recording};
pub use store::{Store, StoreError};
