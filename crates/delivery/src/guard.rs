//! Signed URLs and cookies in front of what answers media requests: an origin or an edge, before its cache is asked.
//!
//! The signature ends here: what answers sees the query without it, so it is in no cache key and goes to no server
//! upstream. A refusal is `no-store`.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use millstream_access::network::Network;
use millstream_access::signed::credentials::{is_reserved, without};
use millstream_access::signed::resource::Url;
use millstream_access::signed::verify::Allowed;
use millstream_access::signed::{KeySet, Place, Refusal, Verifier, Viewed};
use millstream_telemetry::RequestKind;

use crate::answer::{Answer, Delivery, Peer, Reply};
use crate::body::Body;
use crate::carry;
use crate::respond;
use crate::screen::Site;
use crate::viewer::{Proxies, Viewer};

/// Which requests need a signature, and whose word about a viewer counts.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// All of them.
    pub require: bool,
    /// Those whose path begins with one of these.
    pub paths: Vec<String>,
    /// Connections from here need none: edges that checked it already.
    pub edges: Vec<Network>,
    /// Proxies whose word about a viewer counts.
    pub proxies: Proxies,
    /// Web sites whose pages may send cookies here.
    pub sites: Vec<Site>,
}

/// The keys that are trusted now; they change while the server runs.
#[derive(Clone)]
pub struct Trust(Arc<RwLock<Arc<Verifier>>>);

impl Trust {
    /// Trusts these keys.
    pub fn new(keys: KeySet) -> Self {
        Trust(Arc::new(RwLock::new(Arc::new(Verifier::new(keys)))))
    }

    /// Trusts these keys and no others. What was verified with others is forgotten.
    pub fn replace(&self, keys: KeySet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Verifier::new(keys));
    }

    fn now(&self) -> Arc<Verifier> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Gives the time of day, in milliseconds of the epoch.
pub type TimeOfDay = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Why a request is answered.
enum Passed {
    /// An edge asks, which checked it.
    Edge,
    /// It needs no signature.
    Open,
    /// By its signature.
    Signed(Allowed),
}

/// What answers, behind a check.
pub struct Guarded {
    inner: Arc<dyn Delivery>,
    rules: Rules,
    trust: Trust,
    time: TimeOfDay,
}

impl Guarded {
    /// Puts the check in front of `inner`.
    pub fn new(inner: Arc<dyn Delivery>, rules: Rules, trust: Trust, time: TimeOfDay) -> Self {
        Guarded { inner, rules, trust, time }
    }

    fn check(&self, request: &Request<()>, peer: Peer) -> Result<Passed, Refusal> {
        let path = request.uri().path();
        if !is_plain(path) {
            // Two servers may read it in two ways.
            return Err(Refusal::Resource);
        }
        if self.rules.edges.iter().any(|network| network.contains(peer.address.ip())) {
            return Ok(Passed::Edge);
        }
        if !self.rules.require && !self.rules.paths.iter().any(|start| path.starts_with(start)) {
            return Ok(Passed::Open);
        }
        let viewer = Viewer::of(request, peer, &self.rules.proxies);
        let cookies = request.headers().get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let url = Url { scheme: viewer.scheme, host: viewer.host, path, query: request.uri().query() };
        let viewed = Viewed { url, address: viewer.address, now_ms: (self.time)() };
        self.trust.now().check(&viewed, cookies).map(Passed::Signed)
    }

    /// What lets pages of the sites that are named send cookies along (Fetch standard 3.2.5). That the answer depends on
    /// `Origin` is said to all who ask, or a cache would give a page what was made for a player without one.
    fn cross_origin(&self, origin: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let is_named = |origin: &&HeaderValue| {
            origin.to_str().is_ok_and(|origin| self.rules.sites.iter().any(|site| site.covers(origin)))
        };
        if let Some(origin) = origin.filter(is_named) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers
    }
}

/// Adds to an answer what depends on its page.
fn mark(mut response: Response<Body>, cross_origin: HeaderMap) -> Response<Body> {
    let headers = response.headers_mut();
    headers.extend(cross_origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

impl Delivery for Guarded {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        let origin = request.headers().get(header::ORIGIN);
        // A licence request is a POST.
        let answer = if matches!(*request.method(), Method::GET | Method::HEAD | Method::POST) {
            match self.check(request, peer) {
                // What an edge keeps has to be the same for all.
                Ok(Passed::Edge) => return self.inner.answer(request, peer),
                // Pages that send cookies along send them for what needs none, too.
                Ok(Passed::Open) => self.inner.answer(request, peer),
                Ok(Passed::Signed(allowed)) => self.pass(request, peer, &allowed),
                Err(refusal) => Answer::ready(RequestKind::Other, refused(refusal)),
            }
        } else {
            // A preflight carries no cookies, and nothing else is answered.
            self.inner.answer(request, peer)
        };
        if self.rules.sites.is_empty() {
            return answer;
        }
        let cross_origin = self.cross_origin(origin);
        match answer.reply {
            Reply::Ready(response) => Answer::ready(answer.kind, mark(response, cross_origin)),
            Reply::Later(later) => Answer::later(answer.kind, async move { mark(later.await, cross_origin) }),
        }
    }
}

impl Guarded {
    /// Lets a request through without its signature.
    fn pass(&self, request: &Request<()>, peer: Peer, allowed: &Allowed) -> Answer {
        let Some(query) = request.uri().query().filter(|_| allowed.place == Place::Query) else {
            return self.inner.answer(request, peer);
        };
        let mut plain = request.clone();
        match stripped(request.uri(), query) {
            Some(uri) => *plain.uri_mut() = uri,
            None => return Answer::ready(RequestKind::Other, refused(Refusal::Resource)),
        }
        let path = request.uri().path();
        let form = match path.rsplit_once('.') {
            Some((_, "m3u8")) => Form::Playlist,
            Some((_, "mpd")) => Form::Mpd,
            _ => return self.inner.answer(&plain, peer),
        };
        if !allowed.wide {
            return self.inner.answer(&plain, peer);
        }
        let token = token(query);
        // The text is changed, so it must come as it is and whole.
        for name in [header::ACCEPT_ENCODING, header::RANGE, header::IF_RANGE] {
            plain.headers_mut().remove(name);
        }
        let head_only = request.method() == Method::HEAD;
        let answer = self.inner.answer(&plain, peer);
        match answer.reply {
            Reply::Ready(response) => Answer::ready(answer.kind, carried(response, form, &token, head_only)),
            Reply::Later(later) => {
                Answer::later(answer.kind, async move { carried(later.await, form, &token, head_only) })
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Form {
    Playlist,
    Mpd,
}

/// The answer with the signature in the URLs that it names.
fn carried(mut response: Response<Body>, form: Form, token: &str, head_only: bool) -> Response<Body> {
    let plain = response.status() == StatusCode::OK && !response.headers().contains_key(header::CONTENT_ENCODING);
    if !plain || response.body().is_unfinished() {
        return response;
    }
    response.headers_mut().remove(header::ACCEPT_RANGES);
    if head_only {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    } else {
        let bytes: Vec<u8> = response.body_mut().take_pieces().into_iter().flatten().collect();
        let text = String::from_utf8_lossy(&bytes);
        let text = match form {
            Form::Playlist => carry::playlist(&text, token),
            Form::Mpd => carry::mpd(&text, token),
        };
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
        *response.body_mut() = Body::full(Bytes::from(text));
    }
    // It holds this viewer's signature.
    let headers = response.headers_mut();
    let life = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
    let life = life.map(|value| value.replace("public", "private"));
    if let Some(life) = life.and_then(|life| HeaderValue::from_str(&life).ok()) {
        headers.insert(header::CACHE_CONTROL, life);
    }
    response
}

/// The pairs of a query that children need, as they were sent.
fn token(query: &str) -> String {
    let needed = |pair: &&str| is_reserved(pair) && !pair.starts_with("Expires");
    query.split('&').filter(needed).collect::<Vec<_>>().join("&")
}

/// The URI without the signature.
fn stripped(uri: &Uri, query: &str) -> Option<Uri> {
    let target: Cow<'_, str> = match without(Some(query), is_reserved) {
        Some(query) => Cow::Owned(format!("{}?{query}", uri.path())),
        None => Cow::Borrowed(uri.path()),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(&*target).ok()?);
    Uri::from_parts(parts).ok()
}

/// 403 as CloudFront answers it (STANDARDS 7.11).
fn refused(refusal: Refusal) -> Response<Body> {
    let mut response = respond::plain(StatusCode::FORBIDDEN, refusal.document(), respond::CacheLife::NoStore);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
    response
}

/// Whether no server reads a path as another one: no `.` and `..`, no empty names, none of them escaped.
fn is_plain(path: &str) -> bool {
    if path.contains('\\') {
        return false;
    }
    let names = || path.split('/').skip(1);
    let empty = names().count().saturating_sub(1);
    if names().take(empty).any(str::is_empty) || names().any(|name| name == "." || name == "..") {
        return false;
    }
    let hidden = |at: usize| {
        let pair = path.as_bytes().get(at + 1..at + 3).unwrap_or_default();
        [b"2e", b"2f", b"5c", b"25"].iter().any(|escape| pair.eq_ignore_ascii_case(*escape))
    };
    !path.bytes().enumerate().any(|(at, byte)| byte == b'%' && hidden(at))
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
