//! DASH manifests (ISO/IEC 23009-1), written from a window: the same segment files as the HLS playlists name.

mod low_latency;
mod manifest;
mod timeline;

pub use manifest::{MpdOptions, mpd};
