//! The origin: what is in the windows, over HTTP.
//!
//! - [`route`]: which resource a path names (pure).
//! - [`channel`]: one channel's window and its manifests, rendered once per change.
//! - [`origin`]: all channels of the node.
//! - [`past`]: what has left the windows.
//! - [`waits`]: blocked playlist reloads and requests for hinted parts.
//! - [`unfinished`]: segments in the making, sent while they are made.
//! - [`pictures`]: poster and storyboard.
//! - [`viewers`]: how many watch, estimated without state per viewer beyond a hash.

pub mod channel;
pub mod origin;
pub mod past;
pub mod pictures;
pub mod route;
pub mod unfinished;
pub mod viewers;
pub mod waits;
