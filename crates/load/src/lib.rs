//! A crowd of simulated viewers: each a real client's state machine, whose media bytes are counted and dropped.
//!
//! - [`playlist`]: HLS playlists, parsed once for each distinct body. Pure.
//! - [`dash`]: MPDs, from which the same lists of segments are made. Pure.
//! - [`viewer`]: one viewer: what to ask next. Pure; the time is a parameter.
//! - [`playback`]: its buffer, its playhead, its stalls. Pure.
//! - [`abr`]: which variant it watches. Pure.
//! - [`wire`]: an HTTP/1.1 response out of bytes. Pure.
//! - [`chunks`]: chunks counted in a segment that is still arriving. Pure.
//! - [`tally`]: what the crowd saw, by percentile. Pure.
//! - [`report`]: limits, and the table for people. Pure.
//! - [`connection`]: sockets and TLS.
//! - [`crowd`]: the shell: tasks, clocks, the run.

pub mod abr;
pub mod chunks;
pub mod connection;
pub mod crowd;
pub mod dash;
pub mod playback;
pub mod playlist;
pub mod report;
pub mod tally;
pub mod viewer;
pub mod wire;
