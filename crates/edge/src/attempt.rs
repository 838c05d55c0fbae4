//! One origin is asked for one object: what its answer is worth, and its body while it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use millstream_telemetry::log::chain;

use crate::clock::{self, Moment};
use crate::edge::Shared;
use crate::flight::Flight;
use crate::freshness::Freshness;
use crate::key::{Asked, Hold};
use crate::object::{self, Object};
use crate::upstream::Fault;

/// An answer of a known length up to this is waited for as a whole, so that a break costs no viewer anything.
const WAIT_FOR_WHOLE: u64 = 128 << 10;
/// Bytes of an error's text.
const MAX_ERROR_BYTES: usize = 16 << 10;

/// What is asked for, alike at each origin.
#[derive(Clone, Debug)]
pub struct Question {
    /// The key, which is also path and query.
    pub target: Arc<str>,
    /// What it is.
    pub asked: Asked,
    /// Headers of the request.
    pub headers: Arc<HeaderMap>,
}

/// An answer to go by.
pub enum Won {
    /// The object.
    Whole(Object),
    /// A large one, of which only the head is here.
    Begun(Box<Begun>),
}

/// An answer whose body is still to come.
pub struct Begun {
    /// Who sends it.
    pub index: usize,
    parts: response::Parts,
    freshness: Freshness,
    body: Incoming,
}

/// Why an origin's answer is none to go by, as it is told to viewers if no origin does better.
pub enum Trouble {
    /// No answer.
    Fault(Fault),
    /// An answer, but not the one that was hoped for.
    Answer(Object),
    /// Larger than what is kept, or no room for it now.
    NoRoom,
}

/// When an origin was last heard of in one attempt.
#[derive(Debug)]
pub struct Pulse(AtomicI64);

impl Pulse {
    /// It is asked at `now`.
    pub fn new(now: Moment) -> Self {
        Pulse(AtomicI64::new(now.0))
    }

    /// When it was heard of last: a head, or a piece of a body.
    pub fn last(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }

    fn beat(&self) {
        self.0.store(clock::now().0, Ordering::Relaxed);
    }
}

/// Asks one origin.
pub async fn attempt(shared: Arc<Shared>, index: usize, question: Question, pulse: Arc<Pulse>) -> Result<Won, Trouble> {
    let config = &shared.config;
    let held = question.asked.hold != Hold::No;
    let limit = if held { config.reload_hold } else { config.last_timeout };
    let sent = clock::now();
    let fault = |fault: Fault| {
        shared.upstream.failed(index, &fault.to_string());
        Trouble::Fault(fault)
    };
    let response = shared.upstream.send(index, &Method::GET, &question.target, &question.headers, limit).await;
    let response = response.map_err(fault)?;
    pulse.beat();
    let came = clock::now();
    let (parts, body) = response.into_parts();
    let freshness = Freshness::of(parts.status, &parts.headers, sent, came, held, config.negative_life);
    if !parts.status.is_success() {
        let text = error_text(&shared, index, body).await;
        return refused(&shared, index, question.asked, &parts, freshness, text).map(Won::Whole);
    }
    let known = body.size_hint().exact();
    // A manifest is compressed as a whole; a small answer is soon here.
    if !object::is_text(&parts.headers) && known.is_none_or(|length| length > WAIT_FOR_WHOLE) {
        shared.upstream.succeeded(index);
        return Ok(Won::Begun(Box::new(Begun { index, parts, freshness, body })));
    }
    let mut whole = Growing::new(&shared);
    match whole.read(index, body, &pulse).await {
        Ok(()) => {
            shared.upstream.succeeded(index);
            Ok(Won::Whole(Object::new(parts.status, &parts.headers, freshness, whole.bytes.split().freeze())))
        }
        Err(Break::Fault(broken)) => Err(fault(broken)),
        Err(Break::NoRoom) => Err(Trouble::NoRoom),
    }
}

impl Begun {
    /// Shows the answer to those who wait for it, while it comes. `None` if it broke off.
    pub async fn arrive(self, shared: &Arc<Shared>, question: &Question, flight: &Flight) -> Option<Object> {
        let Begun { mut index, parts, freshness, mut body } = self;
        let resumable = Resumable::of(&parts, &body);
        flight.begin(object::kept_headers(&parts.headers), freshness, resumable.as_ref().map(|r| r.length));
        let patience = shared.config.answer_timeout.saturating_mul(2);
        let mut whole = Growing::new(shared);
        let mut silent = Duration::ZERO;
        loop {
            let fault = match tokio::time::timeout(patience, body.frame()).await {
                Ok(None) => {
                    return Some(Object::new(parts.status, &parts.headers, freshness, whole.bytes.split().freeze()));
                }
                Ok(Some(Ok(frame))) => {
                    silent = Duration::ZERO;
                    let Ok(piece) = frame.into_data() else { continue };
                    if !whole.take(index, &piece) {
                        return None;
                    }
                    flight.push(piece);
                    continue;
                }
                Ok(Some(Err(error))) => Fault::Connection(chain(&error)),
                Err(_) => Fault::TimeOut,
            };
            let is_broken = fault != Fault::TimeOut;
            silent = silent.saturating_add(patience);
            if let Some(resumable) = &resumable
                && let Some((other, rest)) = resumable.resume(shared, question, index, whole.bytes.len()).await
            {
                shared.upstream.failed(index, &fault.to_string());
                shared.metrics.failovers.increment();
                (index, body, silent) = (other, rest, Duration::ZERO);
                continue;
            }
            // Other requests have shown that it is silent altogether: players do better to ask again.
            let is_gone = shared.upstream.has_others(index) && !shared.upstream.is_healthy(index);
            if is_broken || is_gone || silent >= shared.config.idle_timeout {
                shared.upstream.failed(index, &fault.to_string());
                return None;
            }
        }
    }
}

/// What another origin needs to send the rest of an answer: the same bytes have the same tag at each of ours.
struct Resumable {
    tag: HeaderValue,
    length: u64,
}

impl Resumable {
    fn of(parts: &response::Parts, body: &Incoming) -> Option<Self> {
        let tag = parts.headers.get(header::ETAG).filter(|tag| tag.as_bytes().first() == Some(&b'"'))?.clone();
        let length = body.size_hint().exact().filter(|_| parts.status == StatusCode::OK)?;
        Some(Resumable { tag, length })
    }

    /// The bytes from `from` on, of another origin than `index`.
    async fn resume(
        &self,
        shared: &Shared,
        question: &Question,
        index: usize,
        from: usize,
    ) -> Option<(usize, Incoming)> {
        let range = HeaderValue::from_str(&format!("bytes={from}-")).ok()?;
        let want = format!("bytes {from}-{}/{}", self.length.checked_sub(1)?, self.length);
        let mut headers = HeaderMap::clone(&question.headers);
        headers.insert(header::RANGE, range);
        headers.insert(header::IF_RANGE, self.tag.clone());
        for other in shared.upstream.order().into_iter().filter(|other| *other != index) {
            let limit = shared.config.answer_timeout;
            let answer = shared.upstream.send(other, &Method::GET, &question.target, &headers, limit).await;
            if let Ok(response) = answer
                && response.status() == StatusCode::PARTIAL_CONTENT
                && response.headers().get(header::CONTENT_RANGE).is_some_and(|range| range == want.as_str())
            {
                return Some((other, response.into_body()));
            }
        }
        None
    }
}

/// An answer other than success: final, or a reason to ask another origin.
fn refused(
    shared: &Shared,
    index: usize,
    asked: Asked,
    parts: &response::Parts,
    freshness: Freshness,
    text: Bytes,
) -> Result<Object, Trouble> {
    let status = parts.status;
    // An origin that is stale for one channel may be well for the others.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        shared.upstream.failed(index, &format!("it answered {status}"));
        return Err(Trouble::Answer(object::failure(StatusCode::BAD_GATEWAY, "the origin is out of order\n")));
    }
    shared.upstream.succeeded(index);
    let object = Object::new(status, &parts.headers, freshness, text);
    // Media that one origin does not have, because it was away for a while, another one may.
    let elsewhere = status == StatusCode::NOT_FOUND && asked.is_media();
    if status.is_server_error() || elsewhere { Err(Trouble::Answer(object)) } else { Ok(object) }
}

/// Why a body did not come whole.
enum Break {
    Fault(Fault),
    NoRoom,
}

/// A body as far as it is here; what it takes among the bytes that are arriving is given back when this goes.
struct Growing<'a> {
    shared: &'a Shared,
    all: &'a AtomicUsize,
    taken: usize,
    bytes: BytesMut,
}

impl<'a> Growing<'a> {
    fn new(shared: &'a Shared) -> Self {
        Growing { shared, all: &shared.arriving, taken: 0, bytes: BytesMut::new() }
    }

    /// `false` if there is no room.
    fn take(&mut self, index: usize, piece: &[u8]) -> bool {
        let config = &self.shared.config;
        self.shared.upstream.received(index, piece.len());
        self.taken += piece.len();
        let all = self.all.fetch_add(piece.len(), Ordering::Relaxed).saturating_add(piece.len());
        let fits = self.bytes.len() + piece.len() <= config.object_bytes && all <= config.arriving_bytes;
        if fits {
            self.bytes.extend_from_slice(piece);
        }
        fits
    }

    async fn read(&mut self, index: usize, mut body: Incoming, pulse: &Pulse) -> Result<(), Break> {
        loop {
            match tokio::time::timeout(self.shared.config.idle_timeout, body.frame()).await {
                Err(_) => return Err(Break::Fault(Fault::TimeOut)),
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(Break::Fault(Fault::Connection(chain(&error)))),
                Ok(Some(Ok(frame))) => {
                    pulse.beat();
                    if let Ok(piece) = frame.into_data()
                        && !self.take(index, &piece)
                    {
                        return Err(Break::NoRoom);
                    }
                }
            }
        }
    }
}

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.taken, Ordering::Relaxed);
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
