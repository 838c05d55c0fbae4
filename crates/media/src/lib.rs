//! The nouns that every stage shares: time, tracks, access units, codec configurations, CMAF boxes.
//!
//! Pure: no sockets, files, tasks or clocks in here (a check in `make lint` holds that).
//!
//! - [`time`]: UTC instants, tick scales, the injected [`time::Clock`].
//! - [`grid`]: the frame grid and the epoch-locked segment grid.
//! - [`mod@unit`]: contribution access units and encoded samples.
//! - [`codec`]: codec configurations and their RFC 6381 strings.
//! - [`track`]: what a rendition is.
//! - [`segment`]: chunks and segment ends.
//! - [`cmaf`]: writing and reading CMAF boxes.
//! - [`protection`]: what is said of encrypted tracks.
//! - [`jpeg`]: joining pictures; [`storyboard`]: small pictures of what was shown.

pub mod cmaf;
pub mod codec;
pub mod grid;
pub mod jpeg;
pub mod protection;
pub mod segment;
pub mod storyboard;
pub mod time;
pub mod track;
pub mod unit;
