//! Segmenter, HLS and DASH manifests.
//!
//! Pure: no sockets, files, tasks or clocks. Manifests are functions of a [`millstream_window::Window`] alone: two
//! origins that hold the same segments write the same bytes.
//!
//! - [`hls`]: multivariant, media and I-frame playlists.
//! - [`dash`]: the MPD.

pub mod dash;
pub mod hls;
