//! Gets one object: from the disk, or from one origin or the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use millstream_delivery::body::{Body, BrokenOff};
use millstream_delivery::respond::{self, CacheLife};
use millstream_telemetry::log::chain;

use crate::clock;
use crate::edge::Shared;
use crate::flight::Flight;
use crate::freshness::Freshness;
use crate::key::{Asked, Hold};
use crate::object::{self, Object};
use crate::upstream::{Fault, request_headers};

/// An answer of a known length up to this is waited for as a whole, so that a break costs no viewer anything.
const WAIT_FOR_WHOLE: u64 = 128 << 10;
/// Answers that live shorter are not written to disk.
const DURABLE_LIFE: Duration = Duration::from_secs(60);
/// Bytes of an error's text.
const MAX_ERROR_BYTES: usize = 16 << 10;

/// How an attempt at one origin ended, other than well.
enum Miss {
    /// Another origin may have it.
    Next(Trouble),
    /// Viewers have seen its head: only to break off is left.
    Broken,
}

/// Why, as it is told to viewers if no origin does better.
enum Trouble {
    /// No answer.
    Fault(Fault),
    /// An answer, but not the one that was hoped for.
    Answer(Object),
    /// Larger than what is kept, or no room for it now.
    NoRoom,
}

/// Fetches `key` into `flight`, which has its end when this returns.
pub async fn fetch(shared: &Shared, key: &String, asked: Asked, way: Option<&HeaderValue>, flight: &Arc<Flight>) {
    if asked.is_media()
        && let Some(object) = shared.cache.load(key).await
        && object.freshness().is_fresh_at(clock::now())
    {
        shared.metrics.disk_hits.increment();
        flight.finish(object);
        return;
    }
    shared.metrics.misses.increment();
    let headers = request_headers(&shared.id, way);
    let mut trouble = None;
    // First in haste. If nobody answered so, once more with patience: the way may be long rather than dead.
    for patient in [false, true] {
        let order = shared.upstream.order();
        let patient = patient || order.len() == 1;
        for (turn, index) in order.iter().enumerate() {
            if turn > 0 {
                shared.metrics.failovers.increment();
            }
            match attempt(shared, *index, key, asked, &headers, patient, flight).await {
                Ok(object) => {
                    land(shared, key, asked, object, flight);
                    return;
                }
                Err(Miss::Broken) => {
                    flight.break_off();
                    return;
                }
                Err(Miss::Next(new)) => trouble = Some(worse(trouble, new)),
            }
        }
        if patient || !matches!(trouble, Some(Trouble::Fault(_))) {
            break;
        }
    }
    let object = match trouble {
        Some(Trouble::Answer(object)) => object,
        Some(Trouble::Fault(Fault::TimeOut)) => failure(StatusCode::GATEWAY_TIMEOUT, "no origin answered in time\n"),
        Some(Trouble::NoRoom) => failure(StatusCode::SERVICE_UNAVAILABLE, "no room for this object at the edge\n"),
        Some(Trouble::Fault(Fault::Connection(_))) | None => {
            failure(StatusCode::BAD_GATEWAY, "no origin can be reached\n")
        }
    };
    land(shared, key, asked, object, flight);
}

/// Keeps the object before the flight ends, so that nobody asks for it again in between.
fn land(shared: &Shared, key: &str, asked: Asked, object: Object, flight: &Flight) {
    let freshness = object.freshness();
    if freshness.is_fresh_at(clock::now()) {
        let durable = asked.is_media() && object.status() == StatusCode::OK && freshness.life >= DURABLE_LIFE;
        shared.cache.keep(key.to_owned(), object.clone(), durable);
    }
    flight.finish(object);
}

/// Of two troubles the one that tells viewers more: an answer before none, "not there" before "out of order".
fn worse(old: Option<Trouble>, new: Trouble) -> Trouble {
    match (old, new) {
        (Some(Trouble::Answer(old)), Trouble::Answer(new)) => {
            let rank = |o: &Object| (o.status().is_server_error(), o.status() != StatusCode::SERVICE_UNAVAILABLE);
            Trouble::Answer(if rank(&new) < rank(&old) { new } else { old })
        }
        (Some(old @ Trouble::Answer(_)), _) => old,
        (_, new) => new,
    }
}

async fn attempt(
    shared: &Shared,
    index: usize,
    target: &str,
    asked: Asked,
    headers: &HeaderMap,
    patient: bool,
    flight: &Arc<Flight>,
) -> Result<Object, Miss> {
    let config = &shared.config;
    let quick = if patient { config.last_timeout } else { config.answer_timeout };
    let limit = match asked.hold {
        Hold::No => quick,
        Hold::Part => quick.max(config.part_hold),
        Hold::Reload => config.reload_hold,
    };
    let sent = clock::now();
    let fault = |fault: Fault| {
        shared.upstream.failed(index, &fault.to_string());
        Miss::Next(Trouble::Fault(fault))
    };
    let response = shared.upstream.send(index, target, headers, patient, limit).await.map_err(fault)?;
    let came = clock::now();
    let (parts, body) = response.into_parts();
    let held = asked.hold != Hold::No;
    let freshness = Freshness::of(parts.status, &parts.headers, sent, came, held, config.negative_life);
    if !parts.status.is_success() {
        let text = error_text(shared, index, body).await;
        return refused(shared, index, asked, parts.status, &parts.headers, freshness, text);
    }
    let known = body.size_hint().exact();
    // A manifest is compressed as a whole; a small answer is soon here.
    if !object::is_text(&parts.headers) && known.is_none_or(|length| length > WAIT_FOR_WHOLE) {
        shared.upstream.succeeded(index);
        flight.begin(object::kept_headers(&parts.headers), freshness);
        return match read(shared, index, body, Some(flight)).await {
            Ok(bytes) => Ok(Object::new(parts.status, &parts.headers, freshness, bytes)),
            Err(Break::Fault(fault)) => {
                shared.upstream.failed(index, &fault.to_string());
                Err(Miss::Broken)
            }
            Err(Break::NoRoom) => Err(Miss::Broken),
        };
    }
    match read(shared, index, body, None).await {
        Ok(bytes) => {
            shared.upstream.succeeded(index);
            Ok(Object::new(parts.status, &parts.headers, freshness, bytes))
        }
        Err(Break::Fault(broken)) => Err(fault(broken)),
        Err(Break::NoRoom) => Err(Miss::Next(Trouble::NoRoom)),
    }
}

/// An answer other than success: final, or a reason to ask another origin.
fn refused(
    shared: &Shared,
    index: usize,
    asked: Asked,
    status: StatusCode,
    headers: &HeaderMap,
    freshness: Freshness,
    text: Bytes,
) -> Result<Object, Miss> {
    // An origin that is stale for one channel may be well for the others.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        shared.upstream.failed(index, &format!("it answered {status}"));
        let object = failure(StatusCode::BAD_GATEWAY, "the origin is out of order\n");
        return Err(Miss::Next(Trouble::Answer(object)));
    }
    shared.upstream.succeeded(index);
    let object = Object::new(status, headers, freshness, text);
    // Media that one origin does not have, because it was away for a while, another one may.
    let elsewhere = status == StatusCode::NOT_FOUND && asked.is_media();
    if status.is_server_error() || elsewhere { Err(Miss::Next(Trouble::Answer(object))) } else { Ok(object) }
}

/// Why a body did not come whole.
enum Break {
    Fault(Fault),
    NoRoom,
}

/// Room taken among the bytes that are arriving; given back when this goes.
struct Room<'a> {
    all: &'a AtomicUsize,
    taken: usize,
}

impl Room<'_> {
    fn take(&mut self, bytes: usize, bound: usize) -> bool {
        self.taken += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= bound
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// Reads a body to its end; each piece goes into `flight` as it comes.
async fn read(shared: &Shared, index: usize, mut body: Incoming, flight: Option<&Arc<Flight>>) -> Result<Bytes, Break> {
    let mut room = Room { all: &shared.arriving, taken: 0 };
    let mut whole = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(shared.config.idle_timeout, body.frame()).await;
        let piece = match frame {
            Err(_) => return Err(Break::Fault(Fault::TimeOut)),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(error))) => return Err(Break::Fault(Fault::Connection(chain(&error)))),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(piece) => piece,
                Err(_) => continue,
            },
        };
        shared.upstream.received(index, piece.len());
        if whole.len() + piece.len() > shared.config.object_bytes
            || !room.take(piece.len(), shared.config.arriving_bytes)
        {
            return Err(Break::NoRoom);
        }
        whole.extend_from_slice(&piece);
        if let Some(flight) = flight {
            flight.push(piece);
        }
    }
}

async fn error_text(shared: &Shared, index: usize, body: Incoming) -> Bytes {
    let limited = http_body_util::Limited::new(body, MAX_ERROR_BYTES).collect();
    let text = match tokio::time::timeout(shared.config.idle_timeout, limited).await {
        Ok(Ok(text)) => text.to_bytes(),
        _ => Bytes::new(),
    };
    shared.upstream.received(index, text.len());
    text
}

/// An answer of our own, kept for a second, so that a crowd does not ask dead origins again and again.
fn failure(status: StatusCode, text: &'static str) -> Object {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let freshness = Freshness { born: clock::now(), life: Duration::from_secs(1) };
    Object::new(status, &headers, freshness, Bytes::from_static(text.as_bytes()))
}

/// Hands a request for a large file through, ranges and conditions included, as fast as the viewer reads.
pub async fn pass(shared: &Arc<Shared>, target: &str, method: &Method, asked: &HeaderMap) -> Response<Body> {
    shared.metrics.passed.increment();
    let Ok(permit) = Arc::clone(&shared.passes).try_acquire_owned() else {
        return respond::unavailable("too many large files are on their way\n");
    };
    let mut headers = request_headers(&shared.id, None);
    for name in [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
        if let Some(value) = asked.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    for index in shared.upstream.order() {
        let answer = shared.upstream.send(index, target, &headers, true, shared.config.last_timeout).await;
        let response = match answer {
            Ok(response) if !response.status().is_server_error() => response,
            Ok(_) => continue,
            Err(fault) => {
                shared.upstream.failed(index, &fault.to_string());
                continue;
            }
        };
        shared.upstream.succeeded(index);
        let (parts, body) = response.into_parts();
        let mut head = object::kept_headers(&parts.headers);
        for name in [header::ETAG, header::CONTENT_RANGE, header::ACCEPT_RANGES, header::CONTENT_LENGTH] {
            if let Some(value) = parts.headers.get(&name) {
                head.insert(name, value.clone());
            }
        }
        respond::open_to_all(&mut head);
        let idle = shared.config.idle_timeout;
        let rest = futures::stream::unfold(Some((body, permit)), move |state| async move {
            let (mut body, permit) = state?;
            loop {
                match tokio::time::timeout(idle, body.frame()).await {
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(piece) => return Some((Ok(piece), Some((body, permit)))),
                        Err(_) => continue,
                    },
                    Ok(None) => return None,
                    Ok(Some(Err(_))) | Err(_) => return Some((Err(BrokenOff::Upstream), None)),
                }
            }
        });
        let body = if *method == Method::HEAD { Body::empty() } else { Body::unfinished([], Box::pin(rest)) };
        if !body.is_empty() {
            // The server frames a body that is still being made; a length beside it would be a second frame.
            head.remove(header::CONTENT_LENGTH);
        }
        let mut response = Response::new(body);
        *response.status_mut() = parts.status;
        *response.headers_mut() = head;
        return response;
    }
    respond::plain(StatusCode::BAD_GATEWAY, "no origin can be reached\n", CacheLife::Seconds(1))
}
