//! What an origin and an edge share: how the answer to a media request looks, whoever makes it and whoever sends it.
//!
//! - [`answer`]: the seam between the HTTP server, which owns connections, and what answers on the media paths.
//! - [`body`]: a response body over bytes that were made once.
//! - [`directives`]: the `_HLS_` queries of Low-Latency HLS, and their one spelling.
//! - [`respond`]: method, headers and entity to a response: status codes, CORS, conditions, ranges, gzip, cache life.
//! - [`viewers`]: how many watch.

pub mod answer;
pub mod body;
pub mod directives;
pub mod respond;
pub mod viewers;
