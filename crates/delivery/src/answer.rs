//! The seam between the HTTP server and what answers on the media paths: an origin, or an edge.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use http::{Request, Response};
use millstream_telemetry::RequestKind;

use crate::body::Body;

/// A response that is not there yet.
///
/// Whoever makes one bounds its wait; dropping it ends the wait and frees all that it held.
pub type Later = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The answer to a request.
pub enum Reply {
    /// It is there now. The usual case: no allocation for a future, no wake-up.
    Ready(Response<Body>),
    /// It comes later: a blocking playlist reload, a hinted part, an object that is fetched from another server.
    Later(Later),
}

/// What a request was for, and its answer.
pub struct Answer {
    /// For counting.
    pub kind: RequestKind,
    /// The answer.
    pub reply: Reply,
}

impl Answer {
    /// An answer that is there.
    pub fn ready(kind: RequestKind, response: Response<Body>) -> Self {
        Answer { kind, reply: Reply::Ready(response) }
    }

    /// An answer that comes later.
    pub fn later(kind: RequestKind, response: impl Future<Output = Response<Body>> + Send + 'static) -> Self {
        Answer { kind, reply: Reply::Later(Box::pin(response)) }
    }
}

/// The other end of a connection: a viewer, or a proxy or an edge before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection is encrypted, so that the URL began with `https`.
    pub tls: bool,
    /// Whether it showed a certificate that is signed by those we trust for that.
    pub certified: bool,
}

impl Peer {
    /// One without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Peer { address, tls: false, certified: false }
    }
}

/// Answers the requests for media: `/live/…` and `/vod/…`.
pub trait Delivery: Send + Sync + 'static {
    /// Answers one request. It must not block, and what it does at once must be short: the thread has other viewers.
    ///
    /// `peer` is the other end of the connection, not a viewer behind a proxy.
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer;
}
