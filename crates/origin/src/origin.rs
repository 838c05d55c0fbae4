//! All channels of the node, and the answer to each request under `/live/`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use millstream_delivery::answer::{Answer, Delivery, Peer};
use millstream_delivery::body::Body;
use millstream_delivery::directives::Directives;
use millstream_delivery::respond::{self, CacheLife, Entity};
use millstream_delivery::shift::{Depth, Shift};
use millstream_media::time::Clock;
use millstream_media::track::RenditionName;
use millstream_package::hls::Form;
use millstream_telemetry::RequestKind;

use crate::channel::{ChannelOrigin, Hinted, Manifest, Missing, Reload};
use crate::past::{self, File, Later, Past, Shifted};
use crate::route::{self, Resource, Route};
use crate::unfinished;

/// The channels of this node. Clones are the same origin.
#[derive(Clone)]
pub struct Origin {
    channels: Arc<RwLock<HashMap<String, Arc<ChannelOrigin>>>>,
    clock: Arc<dyn Clock>,
    past: Option<Arc<dyn Past>>,
    shifted: Arc<Shifted>,
}

impl Origin {
    /// An origin without channels.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Origin { channels: Arc::default(), clock, past: None, shifted: Arc::default() }
    }

    /// Answers with what has left the windows, too.
    #[must_use]
    pub fn with_past(self, past: Arc<dyn Past>) -> Self {
        Origin { past: Some(past), ..self }
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
    pub fn respond(&self, request: &Request<()>, peer: SocketAddr) -> Answer {
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Answer::ready(RequestKind::Other, respond::preflight()),
            _ => return Answer::ready(RequestKind::Other, respond::method_not_allowed()),
        }
        let Some(route) = route::parse(request.uri().path(), request.uri().query()) else {
            return Answer::ready(RequestKind::Other, respond::not_found("no such resource\n"));
        };
        let Some(channel) = self.channel(route.channel) else {
            return Answer::ready(RequestKind::Other, respond::not_found("no such channel\n"));
        };
        if let Some(answer) = self.shifted(&route, &channel, request, peer) {
            return answer;
        }
        let send = |entity: &Entity| respond::entity(request.method(), request.headers(), entity);
        let manifest = |manifest: &Manifest| {
            channel.viewers.seen(client_hash(request, peer), self.clock.mono());
            self.manifest(&channel, manifest, request.method(), request.headers(), None)
        };
        let media = |entity: Option<Entity>| {
            entity.map_or_else(|| respond::not_found("no such segment, or no longer\n"), |entity| send(&entity))
        };
        let picture = |entity: Option<Entity>| {
            entity.map_or_else(|| respond::not_found("no such picture, not yet or no longer\n"), |entity| send(&entity))
        };
        let named = RenditionName::new;
        let (kind, response) = match route.resource {
            Resource::Multivariant => (RequestKind::Multivariant, manifest(&Manifest::Multivariant)),
            Resource::Mpd => (RequestKind::Mpd, manifest(&Manifest::Mpd)),
            Resource::MediaPlaylist(r) => return self.playlist(channel, RequestKind::Playlist, r, request, peer),
            Resource::IFramePlaylist(r) => {
                return self.playlist(channel, RequestKind::IframePlaylist, r, request, peer);
            }
            Resource::Init(r, version) => {
                let Some(r) = named(r) else { return Answer::ready(RequestKind::Init, media(None)) };
                let entity = channel.init(&r, version);
                if let (None, Some(past), Some(version)) = (&entity, &self.past, version) {
                    let file = past.init(route.channel, &channel, r, version);
                    return later_media(RequestKind::Init, file, request);
                }
                (RequestKind::Init, media(entity))
            }
            Resource::Segment(r, n) => {
                let Some(r) = named(r) else { return Answer::ready(RequestKind::Segment, media(None)) };
                let entity = channel.segment(&r, n);
                // Nobody is sent to the store for what is still to come.
                let is_past = || channel.with_window(|window| window.highest()).is_none_or(|highest| n <= highest);
                if let (None, Some(past), true) = (&entity, &self.past, is_past()) {
                    return later_media(RequestKind::Segment, past.segment(route.channel, &channel, r, n), request);
                }
                (RequestKind::Segment, media(entity))
            }
            Resource::Part(r, n, p) => match named(r) {
                Some(r) => return part(channel, r, n, p, request),
                None => (RequestKind::Part, media(None)),
            },
            Resource::Unfinished(r, n) => match named(r) {
                Some(r) => return unfinished::answer(channel, request, r, n),
                None => (RequestKind::Segment, media(None)),
            },
            Resource::Poster => (RequestKind::Other, picture(channel.pictures.newest_poster())),
            Resource::Sheets => (RequestKind::Other, picture(channel.pictures.sheets())),
            Resource::Sheet(n) => {
                let entity = channel.pictures.sheet(n);
                if let (None, Some(past)) = (&entity, &self.past) {
                    return later_media(RequestKind::Other, past.sheet(route.channel, &channel, n), request);
                }
                (RequestKind::Other, picture(entity))
            }
            // Only what keeps the past knows it.
            Resource::Rewind => (RequestKind::Other, respond::not_found("no rewind\n")),
            Resource::Status => (RequestKind::Other, send(&status_entity(channel.status().json))),
        };
        Answer::ready(kind, response)
    }

    /// A manifest of another time, if the request asks for one.
    fn shifted(
        &self,
        route: &Route<'_>,
        channel: &Arc<ChannelOrigin>,
        request: &Request<()>,
        peer: SocketAddr,
    ) -> Option<Answer> {
        if route.resource == Resource::Rewind {
            let shift = Shift { depth: Some(Depth::Whole), ..Shift::default() };
            return self.past_of(route, channel, request, RequestKind::Other, Manifest::Reach, shift);
        }
        let query = request.uri().query()?;
        let skip = || Directives::parse(Some(query)).is_ok_and(|directives| directives.skip);
        let form = || if skip() { Form::Delta } else { Form::Full };
        let (kind, manifest) = match route.resource {
            Resource::Multivariant => (RequestKind::Multivariant, Manifest::Multivariant),
            Resource::Mpd => (RequestKind::Mpd, Manifest::Mpd),
            Resource::MediaPlaylist(r) => (RequestKind::Playlist, Manifest::Media(RenditionName::new(r)?, form())),
            Resource::IFramePlaylist(r) => {
                (RequestKind::IframePlaylist, Manifest::IFrames(RenditionName::new(r)?, form()))
            }
            _ => return None,
        };
        let shift = match Shift::parse(Some(query)) {
            Ok(shift) if shift.is_empty() => return None,
            Ok(shift) => shift,
            Err(malformed) => {
                let refused = respond::plain(StatusCode::BAD_REQUEST, malformed.text(), CacheLife::Seconds(10));
                return Some(Answer::ready(kind, refused));
            }
        };
        channel.viewers.seen(client_hash(request, peer), self.clock.mono());
        self.past_of(route, channel, request, kind, manifest, shift)
    }

    /// What the past has to say, if there is one.
    fn past_of(
        &self,
        route: &Route<'_>,
        channel: &Arc<ChannelOrigin>,
        request: &Request<()>,
        kind: RequestKind,
        manifest: Manifest,
        shift: Shift,
    ) -> Option<Answer> {
        let past = Arc::clone(self.past.as_ref()?);
        // What ends before now does not depend on what is live.
        if shift.end.is_none() && channel.is_stale_at(self.clock.utc()) {
            return Some(Answer::ready(kind, respond::unavailable("the newest segment is too old\n")));
        }
        let (method, headers) = (request.method().clone(), conditions(request.headers()));
        let (clock, name) = (Arc::clone(&self.clock), route.channel.to_owned());
        let shifted = Arc::clone(&self.shifted);
        let answer = shifted.answer(past, clock, name, Arc::clone(channel), manifest, shift, method, headers);
        Some(Answer::later(kind, answer))
    }

    /// A media or I-frame playlist with its delivery directives (STANDARDS 1.40 to 1.42).
    fn playlist(
        &self,
        channel: Arc<ChannelOrigin>,
        kind: RequestKind,
        rendition: &str,
        request: &Request<()>,
        peer: SocketAddr,
    ) -> Answer {
        let Some(rendition) = RenditionName::new(rendition) else {
            return Answer::ready(kind, respond::not_found("no such rendition\n"));
        };
        channel.viewers.seen(client_hash(request, peer), self.clock.mono());
        let target = channel.target_duration();
        let directives = match Directives::parse(request.uri().query()) {
            Ok(directives) => directives,
            Err(malformed) => {
                let cache = CacheLife::Seconds(4 * target);
                return Answer::ready(kind, respond::plain(StatusCode::BAD_REQUEST, malformed.text(), cache));
            }
        };
        let form = if directives.skip { Form::Delta } else { Form::Full };
        let manifest = match kind {
            RequestKind::IframePlaylist => Manifest::IFrames(rendition.clone(), form),
            _ => Manifest::Media(rendition.clone(), form),
        };
        let reload = directives.msn.map_or(Reload::Plain, |msn| channel.reload(&rendition, msn, directives.part));
        // A reload that blocks has an answer that stays right under its own URL (STANDARDS 1.48).
        let settled = Some(CacheLife::Seconds(6 * target));
        let (method, headers) = (request.method(), request.headers());
        match reload {
            Reload::Plain => Answer::ready(kind, self.manifest(&channel, &manifest, method, headers, None)),
            Reload::Listed => Answer::ready(kind, self.manifest(&channel, &manifest, method, headers, settled)),
            // It will be right in a moment, so it must not be kept for long.
            Reload::TooFar => {
                let text = "this is more than two segments, or too many parts, ahead\n";
                Answer::ready(kind, respond::plain(StatusCode::BAD_REQUEST, text, CacheLife::Seconds(1)))
            }
            Reload::Full => Answer::ready(kind, respond::unavailable("too many requests wait\n")),
            Reload::Wait(wait) => {
                let (origin, method, headers) = (self.clone(), method.clone(), conditions(headers));
                Answer::later(kind, async move {
                    if !wait.over().await {
                        return respond::unavailable("nothing new for three target durations\n");
                    }
                    drop(wait);
                    origin.manifest(&channel, &manifest, &method, &headers, settled)
                })
            }
        }
    }

    fn manifest(
        &self,
        channel: &ChannelOrigin,
        manifest: &Manifest,
        method: &Method,
        headers: &HeaderMap,
        cache: Option<CacheLife>,
    ) -> Response<Body> {
        let gzip = respond::accepts_gzip(headers);
        match channel.manifest_at(manifest, gzip, self.clock.utc(), self.clock.mono()) {
            Ok(mut entity) => {
                entity.cache = cache.unwrap_or(entity.cache);
                respond::entity(method, headers, &entity)
            }
            Err(Missing::NotLive) => respond::unavailable("the channel is not live\n"),
            Err(Missing::Stale) => respond::unavailable("the newest segment is too old\n"),
            Err(Missing::Unknown) => respond::not_found("no such rendition\n"),
        }
    }
}

fn later_media(kind: RequestKind, file: Later<File>, request: &Request<()>) -> Answer {
    Answer::later(kind, past::media(file, request.method().clone(), conditions(request.headers())))
}

impl Delivery for Origin {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        self.respond(request, peer.address)
    }
}

/// A part. One that a list hints at is held until it is whole, and not a byte of it is sent before (STANDARDS 1.44).
fn part(
    channel: Arc<ChannelOrigin>,
    rendition: RenditionName,
    number: u64,
    part: u32,
    request: &Request<()>,
) -> Answer {
    let kind = RequestKind::Part;
    let send = move |channel: &ChannelOrigin, rendition: &RenditionName, method: &Method, headers: &HeaderMap| {
        channel.part(rendition, number, part).map_or_else(
            || respond::not_found("no such part, or no longer\n"),
            |entity| respond::entity(method, headers, &entity),
        )
    };
    match channel.hinted(&rendition, number, part) {
        Hinted::Made | Hinted::Unknown => {
            Answer::ready(kind, send(&channel, &rendition, request.method(), request.headers()))
        }
        Hinted::Full => Answer::ready(kind, respond::unavailable("too many requests wait\n")),
        Hinted::Wait(wait) => {
            let (method, headers) = (request.method().clone(), conditions(request.headers()));
            Answer::later(kind, async move {
                if !wait.over().await {
                    return respond::unavailable("nothing new for three target durations\n");
                }
                drop(wait);
                send(&channel, &rendition, &method, &headers)
            })
        }
    }
}

/// Those headers of a request that decide its answer: a request that waits keeps no others.
fn conditions(headers: &HeaderMap) -> HeaderMap {
    let kept = [header::ACCEPT_ENCODING, header::IF_NONE_MATCH, header::IF_RANGE, header::RANGE];
    let mut conditions = HeaderMap::new();
    for name in kept {
        for value in headers.get_all(&name) {
            conditions.append(&name, value.clone());
        }
    }
    conditions
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
