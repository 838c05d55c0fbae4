//! A crowd of simulated viewers: each a real client's state machine, whose media bytes are counted and dropped.
//!
//! - [`playlist`]: HLS playlists, parsed once for each distinct body. Pure.
//! - [`viewer`]: one viewer: what to ask next, its buffer, its stalls. Pure; the time is a parameter.
//! - [`tally`]: what the crowd saw, by percentile. Pure.
//! - [`crowd`]: the shell: connections, clocks, the run.

pub mod crowd;
pub mod playlist;
pub mod tally;
pub mod viewer;
