//! All channels of the node, and the answer to each request under `/live/`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use millstream_delivery::answer::{Answer, Delivery};
use millstream_delivery::body::Body;
use millstream_delivery::respond::{self, CacheLife, Entity};
use millstream_media::time::Clock;
use millstream_media::track::RenditionName;
use millstream_telemetry::RequestKind;

use crate::channel::{ChannelOrigin, Manifest, Missing};
use crate::route::{self, Resource};

/// The channels of this node.
pub struct Origin {
    channels: RwLock<HashMap<String, Arc<ChannelOrigin>>>,
    clock: Arc<dyn Clock>,
}

impl Origin {
    /// An origin without channels.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Origin { channels: RwLock::default(), clock }
    }

    /// Adds a channel, or replaces it.
    pub fn insert(&self, name: &str, channel: Arc<ChannelOrigin>) {
        self.channels.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), channel);
    }

    /// Takes a channel away: its URLs answer 404 from now on.
    pub fn remove(&self, name: &str) {
        self.channels.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// A channel.
    pub fn channel(&self, name: &str) -> Option<Arc<ChannelOrigin>> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Answers a request under `/live/`; the kind is for counting.
    pub fn respond(&self, request: &Request<()>, peer: SocketAddr) -> (RequestKind, Response<Body>) {
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return (RequestKind::Other, respond::preflight()),
            _ => return (RequestKind::Other, respond::method_not_allowed()),
        }
        let Some(route) = route::parse(request.uri().path(), request.uri().query()) else {
            return (RequestKind::Other, respond::not_found("no such resource\n"));
        };
        let Some(channel) = self.channel(route.channel) else {
            return (RequestKind::Other, respond::not_found("no such channel\n"));
        };
        let send = |entity: &Entity| respond::entity(request.method(), request.headers(), entity);
        let manifest = |manifest: Manifest| {
            channel.viewers.seen(client_hash(request, peer), self.clock.mono());
            match channel.manifest_at(&manifest, self.clock.utc(), self.clock.mono()) {
                Ok(entity) => send(&entity),
                Err(Missing::NotLive) => respond::unavailable("the channel is not live\n"),
                Err(Missing::Stale) => respond::unavailable("the newest segment is too old\n"),
                Err(Missing::Unknown) => respond::not_found("no such rendition\n"),
            }
        };
        let media = |entity: Option<Entity>| {
            entity.map_or_else(|| respond::not_found("no such segment, or no longer\n"), |entity| send(&entity))
        };
        let named = RenditionName::new;
        match route.resource {
            Resource::Multivariant => (RequestKind::Multivariant, manifest(Manifest::Multivariant)),
            Resource::Mpd => (RequestKind::Mpd, manifest(Manifest::Mpd)),
            Resource::MediaPlaylist(r) => (
                RequestKind::Playlist,
                named(r).map_or_else(|| respond::not_found("no such rendition\n"), |r| manifest(Manifest::Media(r))),
            ),
            Resource::IFramePlaylist(r) => (
                RequestKind::IframePlaylist,
                named(r).map_or_else(|| respond::not_found("no such rendition\n"), |r| manifest(Manifest::IFrames(r))),
            ),
            Resource::Init(r, version) => (RequestKind::Init, media(named(r).and_then(|r| channel.init(&r, version)))),
            Resource::Segment(r, n) => (RequestKind::Segment, media(named(r).and_then(|r| channel.segment(&r, n)))),
            Resource::Part(r, n, p) => (RequestKind::Part, media(named(r).and_then(|r| channel.part(&r, n, p)))),
            Resource::Status => (RequestKind::Other, send(&status_entity(channel.status().json))),
        }
    }
}

impl Delivery for Origin {
    fn answer(&self, request: &Request<()>, peer: SocketAddr) -> Answer {
        let (kind, response) = self.respond(request, peer);
        Answer::ready(kind, response)
    }
}

fn status_entity(json: Bytes) -> Entity {
    let etag = HeaderValue::from_str(&format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&json)))
        .unwrap_or_else(|_| HeaderValue::from_static("0"));
    Entity { pieces: vec![json], gzip: None, etag, content_type: "application/json", cache: CacheLife::Seconds(1) }
}

/// One number for one client: its address and user agent. Viewers behind one address with the same browser count once.
fn client_hash(request: &Request<()>, peer: SocketAddr) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    match peer.ip() {
        std::net::IpAddr::V4(ip) => hasher.update(&ip.octets()),
        std::net::IpAddr::V6(ip) => hasher.update(&ip.octets()),
    }
    if let Some(agent) = request.headers().get(header::USER_AGENT) {
        hasher.update(agent.as_bytes());
    }
    hasher.digest()
}
