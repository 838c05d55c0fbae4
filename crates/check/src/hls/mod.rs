//! HLS playlists: a line parser of our own, and the rules of RFC 8216bis and Apple's authoring specification.
//!
//! - [`attributes`]: attribute lists, strictly.
//! - [`playlist`]: lines to a playlist, tolerant of what it does not know.
//! - [`keys`]: rules of encryption.
//! - [`low_latency`]: rules of parts, hints, reports and delta updates.
//! - [`single`]: rules of one version of a media playlist.
//! - [`change`]: rules between two versions.
//! - [`set`]: rules of a multivariant playlist and between its media playlists.

pub mod attributes;
pub mod change;
pub mod keys;
pub mod low_latency;
pub mod playlist;
pub mod set;
pub mod single;
