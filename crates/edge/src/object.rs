//! A whole answer of a server, kept: its bytes, and the headers of every answer made of it, made once.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foyer::Code;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use millstream_delivery::body::Body;
use millstream_delivery::respond::{self, Range};

use crate::clock::{self, Moment};
use crate::freshness::Freshness;

/// Headers of the server that go on to viewers. Those that depend on connections, or on who asks, do not.
const KEPT: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::DATE,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
    header::ALLOW,
];

/// Bytes that an object takes beside its body, about.
const OVERHEAD: usize = 1024;

/// A kept answer.
#[derive(Clone, Debug)]
pub struct Object(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    freshness: Freshness,
    /// What the server sent, of [`KEPT`].
    kept: HeaderMap,
    /// Entity tag without quotes; empty for none.
    tag: String,
    body: Bytes,
    gzip: Option<Bytes>,
    head: HeaderMap,
    gzip_head: HeaderMap,
}

/// The headers of `from` that go on to viewers.
pub fn kept_headers(from: &HeaderMap) -> HeaderMap {
    KEPT.iter().filter_map(|name| Some((name.clone(), from.get(name)?.clone()))).collect()
}

/// The head of an answer whose bytes are still arriving: no tag, no length.
pub fn arriving_head(kept: &HeaderMap, age: u64) -> HeaderMap {
    let mut head = kept.clone();
    respond::open_to_all(&mut head);
    head.insert(header::AGE, HeaderValue::from(age));
    head
}

impl Object {
    /// An answer with these headers of its server. A manifest is compressed once, for all who take it so.
    pub fn new(status: StatusCode, from: &HeaderMap, freshness: Freshness, body: Bytes) -> Self {
        let tag = from.get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned();
        Object::of(status, kept_headers(from), tag, freshness, body)
    }

    fn of(status: StatusCode, kept: HeaderMap, tag: String, freshness: Freshness, body: Bytes) -> Self {
        let gzip = (status == StatusCode::OK && is_text(&kept)).then(|| respond::gzip(&body));
        let mut head = kept.clone();
        respond::open_to_all(&mut head);
        let quoted = |suffix: &str| HeaderValue::from_str(&format!("\"{tag}{suffix}\"")).ok();
        let mut gzip_head = HeaderMap::new();
        if status == StatusCode::OK {
            if gzip.is_some() {
                head.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            } else {
                head.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            }
            if let Some(gzip) = &gzip {
                gzip_head.clone_from(&head);
                gzip_head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                gzip_head.insert(header::CONTENT_LENGTH, HeaderValue::from(gzip.len()));
                if let Some(tag) = quoted("-gz").filter(|_| !tag.is_empty()) {
                    gzip_head.insert(header::ETAG, tag);
                }
            }
            if let Some(tag) = quoted("").filter(|_| !tag.is_empty()) {
                head.insert(header::ETAG, tag);
            }
        }
        head.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        Object(Arc::new(Inner { status, freshness, kept, tag, body, gzip, head, gzip_head }))
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its bytes, not compressed.
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// How long it may be used.
    pub fn freshness(&self) -> Freshness {
        self.0.freshness
    }

    /// Bytes that it takes in memory, about.
    pub fn weight(&self) -> usize {
        self.0.body.len() + self.0.gzip.as_ref().map_or(0, Bytes::len) + OVERHEAD
    }

    /// The answer to a GET or HEAD at `now`.
    pub fn answer(&self, method: &Method, request: &HeaderMap, now: Moment) -> Response<Body> {
        let object = &*self.0;
        let gzip = object.gzip.as_ref().filter(|_| respond::accepts_gzip(request));
        let head = if gzip.is_some() { &object.gzip_head } else { &object.head };
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = head.clone();
        *response.status_mut() = object.status;
        response.headers_mut().insert(header::AGE, age_value(object.freshness.age_at(now)));
        let is_ok = object.status == StatusCode::OK;
        if is_ok && !object.tag.is_empty() && respond::is_known(request, &object.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response.headers_mut().remove(header::CONTENT_TYPE);
            return response;
        }
        let whole = gzip.unwrap_or(&object.body);
        let range = if is_ok && object.gzip.is_none() && request.contains_key(header::RANGE) {
            respond::wanted_range(method, request, &object.tag, whole.len() as u64)
        } else {
            Range::Whole
        };
        let body = match range {
            Range::Whole => whole.clone(),
            Range::Part { start, end } => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                set_range(&mut response, &format!("bytes {start}-{}/{}", end - 1, whole.len()), end - start);
                // The range lies in the entity: `wanted_range` was given its length.
                whole.slice(start as usize..end as usize)
            }
            Range::Unsatisfiable => {
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                set_range(&mut response, &format!("bytes */{}", whole.len()), 0);
                response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"));
                Bytes::new()
            }
        };
        if method != Method::HEAD {
            *response.body_mut() = Body::full(body);
        }
        response
    }
}

/// An answer of our own, kept for a second, so that a crowd does not ask dead origins again and again.
pub fn failure(status: StatusCode, text: &'static str) -> Object {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let freshness = Freshness { born: clock::now(), life: Duration::from_secs(1) };
    Object::new(status, &headers, freshness, Bytes::from_static(text.as_bytes()))
}

fn set_range(response: &mut Response<Body>, text: &str, length: u64) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
}

/// Most answers are seconds old: those values are made once.
fn age_value(age: u64) -> HeaderValue {
    static SMALL: [HeaderValue; 10] = [
        HeaderValue::from_static("0"),
        HeaderValue::from_static("1"),
        HeaderValue::from_static("2"),
        HeaderValue::from_static("3"),
        HeaderValue::from_static("4"),
        HeaderValue::from_static("5"),
        HeaderValue::from_static("6"),
        HeaderValue::from_static("7"),
        HeaderValue::from_static("8"),
        HeaderValue::from_static("9"),
    ];
    usize::try_from(age).ok().and_then(|age| SMALL.get(age)).cloned().unwrap_or_else(|| HeaderValue::from(age))
}

/// Whether an answer with these headers is a manifest: text that shrinks when compressed.
pub fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/vnd.apple.mpegurl") || kind.starts_with("application/dash+xml")
}

/// The first byte of an object on disk; another one is of another version, and not read.
const VERSION: u8 = 1;

impl Code for Object {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        let object = &*self.0;
        let mut head = vec![VERSION];
        head.extend_from_slice(&object.status.as_u16().to_le_bytes());
        head.extend_from_slice(&object.freshness.born.to_unix_ms().to_le_bytes());
        let life = u64::try_from(object.freshness.life.as_millis()).unwrap_or(u64::MAX);
        head.extend_from_slice(&life.to_le_bytes());
        put(&mut head, object.tag.as_bytes());
        for name in &KEPT {
            put(&mut head, object.kept.get(name).map_or(&[][..], HeaderValue::as_bytes));
        }
        head.extend_from_slice(&(object.body.len() as u64).to_le_bytes());
        writer.write_all(&head).and_then(|()| writer.write_all(&object.body)).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        decode(reader).map_err(foyer::Error::io_error)
    }

    fn estimated_size(&self) -> usize {
        self.weight()
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(0);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes.get(..len.into()).unwrap_or_default());
}

fn decode(reader: &mut impl Read) -> std::io::Result<Object> {
    let bad = |what: &'static str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    if fixed::<1>(reader)? != [VERSION] {
        return Err(bad("another version"));
    }
    let status = StatusCode::from_u16(u16::from_le_bytes(fixed(reader)?)).map_err(|_| bad("status"))?;
    let born = Moment::from_unix_ms(i64::from_le_bytes(fixed(reader)?));
    let life = Duration::from_millis(u64::from_le_bytes(fixed(reader)?));
    let tag = String::from_utf8(counted(reader)?).map_err(|_| bad("tag"))?;
    let mut kept = HeaderMap::new();
    for name in &KEPT {
        let value = counted(reader)?;
        if !value.is_empty() {
            kept.insert(name.clone(), HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|_| bad("header"))?);
        }
    }
    let len = u64::from_le_bytes(fixed(reader)?);
    let mut body = Vec::new();
    // Reads what is there: a length that lies makes no room.
    reader.take(len).read_to_end(&mut body)?;
    if body.len() as u64 != len {
        return Err(bad("cut off"));
    }
    Ok(Object::of(status, kept, tag, Freshness { born, life }, Bytes::from(body)))
}

fn fixed<const N: usize>(reader: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn counted(reader: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; u16::from_le_bytes(fixed(reader)?).into()];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &'static str) -> Object {
        let mut from = HeaderMap::new();
        from.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        from.insert(header::ETAG, HeaderValue::from_static("\"abc\""));
        from.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        from.insert(header::SET_COOKIE, HeaderValue::from_static("who=1"));
        let freshness = Freshness { born: Moment(1000), life: Duration::from_secs(60) };
        Object::new(StatusCode::OK, &from, freshness, Bytes::from_static(b"0123456789"))
    }

    fn asking(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.clone(), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn the_age_is_that_of_the_moment_and_nothing_personal_goes_on() {
        let response = object("video/mp4").answer(&Method::GET, &HeaderMap::new(), Moment(13_999));
        assert_eq!((&response.headers()[header::AGE], response.body().len()), (&HeaderValue::from_static("12"), 10));
        assert_eq!(response.headers()[header::ETAG], "\"abc\"");
        assert!(!response.headers().contains_key(header::SET_COOKIE));
    }

    #[test]
    fn conditions_ranges_and_compression() {
        let media = object("video/mp4");
        for (ask, status, len) in [
            (asking(&[(header::IF_NONE_MATCH, "\"abc\"")]), 304, 0),
            (asking(&[(header::RANGE, "bytes=2-4")]), 206, 3),
            (asking(&[(header::RANGE, "bytes=10-")]), 416, 0),
            (asking(&[(header::RANGE, "bytes=2-4"), (header::IF_RANGE, "\"x\"")]), 200, 10),
        ] {
            let response = media.answer(&Method::GET, &ask, Moment(0));
            assert_eq!((response.status().as_u16(), response.body().len()), (status, len), "{ask:?}");
        }
        let response = media.answer(&Method::HEAD, &HeaderMap::new(), Moment(0));
        assert_eq!((&response.headers()[header::CONTENT_LENGTH], response.body().len()), (&HeaderValue::from(10), 0));
        let text = object("application/vnd.apple.mpegurl");
        let response = text.answer(&Method::GET, &asking(&[(header::ACCEPT_ENCODING, "gzip")]), Moment(0));
        assert_eq!(response.headers()[header::ETAG], "\"abc-gz\"");
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    }

    #[test]
    fn an_object_survives_the_disk_and_a_cut_one_does_not() {
        let object = object("video/mp4");
        let mut bytes = Vec::new();
        object.encode(&mut bytes).unwrap();
        let back = Object::decode(&mut bytes.as_slice()).unwrap();
        let of = |o: &Object| {
            let response = o.answer(&Method::GET, &HeaderMap::new(), Moment(5000));
            format!("{:?} {:?}", response.headers(), response.body())
        };
        assert_eq!(of(&back), of(&object));
        for end in 0..bytes.len() {
            assert!(Object::decode(&mut &bytes[..end]).is_err(), "{end}");
        }
    }
}
