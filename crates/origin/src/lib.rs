//! The origin: what is in the windows, over HTTP.
//!
//! - [`route`]: which resource a path names (pure).
//! - [`respond`]: method, headers and resource to a response: status codes, CORS, conditions, ranges, gzip, cache life.
//! - [`body`]: a response body over bytes that were made once.
//! - [`channel`]: one channel's window and its manifests, rendered once per change.
//! - [`origin`]: all channels of the node.
//! - [`viewers`]: how many watch, estimated without state per viewer beyond a hash.

pub mod body;
pub mod channel;
pub mod origin;
pub mod respond;
pub mod route;
pub mod viewers;
