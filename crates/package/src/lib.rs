//! Segmenter, HLS and DASH manifests.
//!
//! Pure: no sockets, files, tasks or clocks. Manifests are functions of a [`millstream_window::Window`] alone: two
//! origins that hold the same segments write the same bytes.
//!
//! - [`assembly`]: an encoder's samples to chunks, period by period.
//! - [`contributed`]: an encoder's CMAF, to periods and chunks.
//! - [`hls`]: multivariant, media and I-frame playlists.
//! - [`dash`]: the MPD.
//! - [`passthrough`]: a contribution that is not encoded, to periods and chunks.
//! - [`protection`]: clear chunks in, encrypted chunks out.
//! - [`segmenter`]: samples in, chunks and segment ends out.

pub mod assembly;
pub mod contributed;
pub mod dash;
pub mod hls;
pub mod passthrough;
pub mod protection;
pub mod segmenter;
