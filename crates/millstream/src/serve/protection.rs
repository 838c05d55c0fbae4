//! Gives content keys to players that may watch: the licences of ClearKey, and keys alone. It stands behind the check of
//! signed URLs and cookies, so that whoever may not watch gets no key.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use millstream_delivery::answer::{Answer, Delivery, Peer};
use millstream_delivery::body::Body;
use millstream_delivery::respond;
use millstream_media::protection::KeyId;
use millstream_telemetry::RequestKind;

use crate::channel::protection::Shelf;

/// Answers what concerns keys, and leaves the rest to another.
pub struct KeyServer {
    inner: Arc<dyn Delivery>,
    shelf: Shelf,
}

impl KeyServer {
    /// Keys of `shelf` before what `inner` answers.
    pub fn new(inner: Arc<dyn Delivery>, shelf: Shelf) -> Self {
        KeyServer { inner, shelf }
    }

    fn keys(&self, request: &Request<()>) -> Option<Response<Body>> {
        let (channel, file) = request.uri().path().strip_prefix("/live/")?.split_once('/')?;
        let missing = || respond::not_found("no such key\n");
        if file == "clearkey" {
            return Some(match *request.method() {
                Method::POST => self.licence(channel).unwrap_or_else(missing),
                Method::OPTIONS => licence_preflight(),
                _ => respond::method_not_allowed(),
            });
        }
        let id = file.strip_suffix(".key").filter(|id| id.len() == 32)?;
        Some(match *request.method() {
            Method::GET | Method::HEAD => {
                let key = KeyId::parse(id).and_then(|id| self.shelf.key(channel, id));
                key.map_or_else(missing, |key| secret(Bytes::copy_from_slice(key.expose()), "application/octet-stream"))
            }
            Method::OPTIONS => respond::preflight(),
            _ => respond::method_not_allowed(),
        })
    }

    /// A JSON Web Key Set (W3C Encrypted Media Extensions 9.1.4). Whoever may watch may have all keys of the channel, so
    /// it does not matter which ones the request names.
    fn licence(&self, channel: &str) -> Option<Response<Body>> {
        let keys: Vec<_> = (self.shelf.of(channel)?.iter())
            .map(|key| {
                let (id, secret) = (URL_SAFE_NO_PAD.encode(key.id().0), URL_SAFE_NO_PAD.encode(key.expose()));
                serde_json::json!({ "kty": "oct", "kid": id, "k": secret })
            })
            .collect();
        let set = serde_json::json!({ "keys": keys, "type": "temporary" });
        Some(secret(Bytes::from(set.to_string()), "application/json"))
    }
}

impl Delivery for KeyServer {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        match self.keys(request) {
            Some(response) => Answer::ready(RequestKind::Other, response),
            None => self.inner.answer(request, peer),
        }
    }
}

/// No cache may keep it.
fn secret(body: Bytes, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    respond::open_to_all(headers);
    response
}

/// The preflight of a licence request, whose body is JSON.
fn licence_preflight() -> Response<Body> {
    let mut response = respond::preflight();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
    response
}
