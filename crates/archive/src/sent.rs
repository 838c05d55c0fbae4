//! Answers whose bytes are read from the store while they are sent, one piece of an object at a time: progressive files,
//! and media files that are too large to be kept.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use millstream_delivery::body::{Body, BrokenOff};
use millstream_delivery::respond::{self, CacheLife, Range};
use object_store::path::Path;

use crate::store::Store;

/// Bytes of an object that are sent with one read.
const PIECE: u64 = 2 << 20;

/// A file: its head, and the objects that follow it.
pub(crate) struct Sent {
    pub head: Bytes,
    /// Objects with where they begin behind the head.
    pub objects: Vec<(Path, u64)>,
    /// Of all of it, in bytes.
    pub length: u64,
    /// Without quotes.
    pub etag: String,
}

/// How it is called.
pub(crate) struct How {
    pub content_type: &'static str,
    pub cache: CacheLife,
    /// Name for who saves it.
    pub name: Option<String>,
}

impl Sent {
    /// What it costs to keep it.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.objects.iter().map(|(path, _)| path.as_ref().len() + 32).sum::<usize>()
    }
}

/// The answer to a GET or HEAD.
pub(crate) fn respond(
    store: &Store,
    sent: Arc<Sent>,
    method: &Method,
    headers: &HeaderMap,
    how: &How,
) -> Response<Body> {
    let known = respond::is_known(headers, &sent.etag);
    let range = respond::wanted_range(method, headers, &sent.etag, sent.length);
    let (status, from, until) = match range {
        _ if known => (StatusCode::NOT_MODIFIED, 0, 0),
        Range::Whole => (StatusCode::OK, 0, sent.length),
        Range::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
        Range::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let body = if *method == Method::HEAD || until == 0 {
        Body::empty()
    } else {
        Body::sized(until - from, Box::pin(bytes_of(store.clone(), Arc::clone(&sent), from, until)))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let out = response.headers_mut();
    respond::open_to_all(out);
    out.insert(header::CACHE_CONTROL, how.cache.value());
    let mut text = |name, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            out.insert(name, value);
        }
    };
    text(header::ETAG, format!("\"{}\"", sent.etag));
    text(header::ACCEPT_RANGES, "bytes".to_owned());
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        text(header::CONTENT_RANGE, format!("bytes */{}", sent.length));
    } else if status != StatusCode::NOT_MODIFIED {
        text(header::CONTENT_TYPE, how.content_type.to_owned());
        text(header::CONTENT_LENGTH, (until - from).to_string());
        if let Some(name) = &how.name {
            text(header::CONTENT_DISPOSITION, format!("inline; filename=\"{name}\""));
        }
    }
    if status == StatusCode::PARTIAL_CONTENT {
        text(header::CONTENT_RANGE, format!("bytes {from}-{}/{}", until - 1, sent.length));
    }
    response
}

/// The bytes [`from`, `until`) of a file, read as they are sent.
fn bytes_of(
    store: Store,
    sent: Arc<Sent>,
    from: u64,
    until: u64,
) -> impl futures::Stream<Item = Result<Bytes, BrokenOff>> + Send {
    stream::try_unfold(from, move |at| {
        let (store, sent) = (store.clone(), Arc::clone(&sent));
        async move {
            if at >= until {
                return Ok(None);
            }
            let head = sent.head.len() as u64;
            if at < head {
                let end = head.min(until);
                let piece = sent.head.slice(usize::try_from(at).unwrap_or(0)..usize::try_from(end).unwrap_or(0));
                return Ok(Some((piece, end)));
            }
            let place = at - head;
            let after = sent.objects.partition_point(|(_, start)| *start <= place);
            let (path, start) = after.checked_sub(1).and_then(|i| sent.objects.get(i)).ok_or(BrokenOff::Upstream)?;
            let end = sent.objects.get(after).map_or(sent.length - head, |(_, next)| *next).min(until - head);
            let end = end.min(place + PIECE);
            match store.get_range(path, place - start..end - start).await {
                Ok(bytes) if bytes.len() as u64 == end - place => Ok(Some((bytes, head + end))),
                Ok(_) => Err(BrokenOff::Upstream),
                Err(error) => {
                    tracing::warn!(%error, "a download breaks off");
                    Err(BrokenOff::Upstream)
                }
            }
        }
    })
}
