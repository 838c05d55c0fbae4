//! What an origin and an edge share: how the answer to a media request looks, whoever makes it and whoever sends it.
//!
//! - [`answer`]: the seam between the HTTP server, which owns connections, and what answers on the media paths.
//! - [`body`]: a response body over bytes that were made once.
//! - [`carry`]: the signature of a playlist's URL in the URLs that it names.
//! - [`directives`]: the `_HLS_` queries of Low-Latency HLS, and their one spelling.
//! - [`fence`]: who may ask an origin at all: edges and CDNs that it knows.
//! - [`guard`]: signed URLs and cookies in front of an origin or an edge.
//! - [`rate`]: how often one address may ask.
//! - [`respond`]: method, headers and entity to a response: status codes, CORS, conditions, ranges, gzip, cache life.
//! - [`screen`]: countries and web sites that may watch.
//! - [`shift`]: the parameters of time shift, and their one spelling.
//! - [`viewer`]: what the viewer of a request used, behind whatever proxies there are.
//! - [`viewers`]: how many watch.

pub mod answer;
pub mod body;
pub mod carry;
pub mod directives;
pub mod fence;
pub mod guard;
pub mod rate;
pub mod respond;
pub mod screen;
pub mod shift;
pub mod viewer;
pub mod viewers;
