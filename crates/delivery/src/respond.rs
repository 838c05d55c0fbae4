//! From an entity and a request's headers to a response: conditions, ranges, compression, CORS, cache life.
//!
//! RFC 9110 sections 13 (conditions) and 14 (ranges); cache lives as STANDARDS 1.48 has them.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::body::Body;

/// How long caches may keep a response, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLife {
    /// Never changes under this URL: segments, parts, versioned init segments (14 days, as MediaPackage does).
    Immutable,
    /// Changes: manifests and errors.
    Seconds(u32),
    /// Must not be kept.
    NoStore,
}

impl CacheLife {
    /// As `Cache-Control` says it.
    pub fn value(self) -> HeaderValue {
        match self {
            CacheLife::Immutable => HeaderValue::from_static("public, max-age=1209600, immutable"),
            CacheLife::NoStore => HeaderValue::from_static("no-store"),
            CacheLife::Seconds(1) => HeaderValue::from_static("public, max-age=1"),
            CacheLife::Seconds(s) => HeaderValue::from_str(&format!("public, max-age={s}"))
                .unwrap_or_else(|_| HeaderValue::from_static("public, max-age=1")),
        }
    }
}

/// What a URL stands for at this moment.
#[derive(Clone, Debug)]
pub struct Entity {
    /// The bytes, in pieces that follow each other.
    pub pieces: Vec<Bytes>,
    /// The same bytes compressed with gzip, for entities that are text. It may be left empty for a client that does not
    /// take gzip ([`accepts_gzip`]).
    pub gzip: Option<Bytes>,
    /// Opaque entity tag without its quotes.
    pub etag: HeaderValue,
    /// Media type.
    pub content_type: &'static str,
    /// Cache life.
    pub cache: CacheLife,
}

impl Entity {
    fn len(&self) -> u64 {
        self.pieces.iter().map(|p| p.len() as u64).sum()
    }
}

const EXPOSED: HeaderValue = HeaderValue::from_static("Date, Age, ETag, Content-Length, Content-Range, Retry-After");
const ANY: HeaderValue = HeaderValue::from_static("*");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// Every media response may be read by any page: players run anywhere.
pub fn open_to_all(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(TIMING_ALLOW_ORIGIN, ANY);
    // What was uploaded is what it is said to be, and no page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}

/// A response without an entity: `text` tells a person why.
pub fn plain(status: StatusCode, text: &'static str, cache: CacheLife) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, cache.value());
    open_to_all(headers);
    response
}

/// 503: not yet live, or the newest segment is too old; a CDN turns to another origin, a player tries again.
pub fn unavailable(text: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, text, CacheLife::Seconds(1));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// 404 for what does not exist, not yet or no longer.
pub fn not_found(text: &'static str) -> Response<Body> {
    plain(StatusCode::NOT_FOUND, text, CacheLife::Seconds(1))
}

/// 405 with the methods that are allowed.
pub fn method_not_allowed() -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and OPTIONS\n", CacheLife::Seconds(1));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}

/// The answer to a CORS preflight (Fetch standard 3.2.2).
pub fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    open_to_all(headers);
    headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Range, If-None-Match, If-Range, Content-Type, CMCD-Request, CMCD-Object, CMCD-Status, CMCD-Session",
        ),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// The response to a GET or HEAD of `entity`.
pub fn entity(method: &Method, request: &HeaderMap, entity: &Entity) -> Response<Body> {
    let compressed = entity.gzip.as_ref().filter(|_| accepts_gzip(request));
    let tag = entity_tag(&entity.etag, compressed.is_some());

    let own_tag = entity.etag.to_str().unwrap_or_default();
    let mut response = if is_known(request, own_tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else if let Some(gzip) = compressed {
        let mut response = Response::new(Body::full(gzip.clone()));
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        let range =
            if entity.gzip.is_some() { Range::Whole } else { wanted_range(method, request, own_tag, entity.len()) };
        match range {
            Range::Whole => Response::new(Body::pieces(entity.pieces.iter().cloned())),
            Range::Part { start, end } => {
                let mut response = Response::new(Body::range(&entity.pieces, start, end));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                insert_text(
                    &mut response,
                    header::CONTENT_RANGE,
                    &format!("bytes {start}-{}/{}", end - 1, entity.len()),
                );
                response
            }
            Range::Unsatisfiable => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                insert_text(&mut response, header::CONTENT_RANGE, &format!("bytes */{}", entity.len()));
                response
            }
        }
    };

    let length = response.body().len();
    let impossible = response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
    let has_length = response.status() != StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    // Room for all of them at once.
    headers.reserve(12);
    headers.insert(header::ETAG, tag);
    // An error must not stand for the entity in a cache that keeps it without its range, as some CDNs do with a 416.
    headers.insert(header::CACHE_CONTROL, if impossible { CacheLife::Seconds(1) } else { entity.cache }.value());
    open_to_all(headers);
    if entity.gzip.is_some() {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    } else {
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    if has_length {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(entity.content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

fn insert_text(response: &mut Response<Body>, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, value);
    }
}

/// The two encodings of a text are two representations, so their tags differ (RFC 9110 8.8.3.3).
fn entity_tag(etag: &HeaderValue, gzip: bool) -> HeaderValue {
    let suffix: &[u8] = if gzip { b"-gz\"" } else { b"\"" };
    let tag = [b"\"", etag.as_bytes(), suffix].concat();
    HeaderValue::from_maybe_shared(Bytes::from(tag)).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Text compressed as playlists and MPDs are: small and quickly.
pub fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4 + 64), Compression::new(5));
    // Writing to memory does not fail.
    let _ = encoder.write_all(text);
    encoder.finish().map(Bytes::from).unwrap_or_default()
}

/// Whether the client takes gzip (RFC 9110 12.5.3): named, or `*`, and not with `q=0`.
pub fn accepts_gzip(request: &HeaderMap) -> bool {
    let mut any = None;
    for value in request.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut words = item.split(';').map(str::trim);
            let coding = words.next().unwrap_or_default();
            let refused = words.any(|w| matches!(w.strip_prefix("q="), Some("0" | "0.0" | "0.00" | "0.000")));
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                return !refused;
            }
            if coding == "*" {
                any = Some(!refused);
            }
        }
    }
    any.unwrap_or(false)
}

fn strip_tag(tag: &str) -> &str {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let tag = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(tag);
    tag.strip_suffix("-gz").unwrap_or(tag)
}

/// Whether the client holds the entity with this tag already (RFC 9110 13.1.2); the tag is without quotes.
pub fn is_known(request: &HeaderMap, own: &str) -> bool {
    request.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value.to_str().unwrap_or_default().split(',').any(|tag| tag.trim() == "*" || strip_tag(tag) == own)
    })
}

/// Which bytes of an entity a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All.
    Whole,
    /// Those of `[start, end)`, at least one.
    Part {
        /// The first.
        start: u64,
        /// Behind the last.
        end: u64,
    },
    /// None that it has.
    Unsatisfiable,
}

/// The range asked for, of an entity with this tag (without quotes) and length. More than one range, another unit, or a
/// malformed header is ignored, as RFC 9110 14.2 allows.
pub fn wanted_range(method: &Method, request: &HeaderMap, own: &str, len: u64) -> Range {
    if method != Method::GET {
        return Range::Whole;
    }
    if let Some(condition) = request.get(header::IF_RANGE) {
        // Only a strong tag may join ranges (RFC 9110 13.1.5); we send no dates.
        let condition = condition.to_str().unwrap_or_default();
        if condition.starts_with("W/") || strip_tag(condition) != own {
            return Range::Whole;
        }
    }
    let text = request.get(header::RANGE).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("bytes="));
    text.map_or(Range::Whole, |text| parse_range(text, len))
}

fn parse_range(text: &str, len: u64) -> Range {
    let Some((first, last)) = text.trim().split_once('-') else { return Range::Whole };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let value = |s: &str| s.parse::<u64>().unwrap_or(u64::MAX);
    if first.is_empty() {
        if !digits(last) {
            return Range::Whole;
        }
        return match value(last).min(len) {
            0 => Range::Unsatisfiable,
            suffix => Range::Part { start: len - suffix, end: len },
        };
    }
    if !digits(first) || !(last.is_empty() || digits(last)) {
        return Range::Whole;
    }
    let start = value(first);
    let end = if last.is_empty() { len } else { value(last).saturating_add(1).min(len) };
    if !last.is_empty() && value(last) < start {
        return Range::Whole;
    }
    if start >= len { Range::Unsatisfiable } else { Range::Part { start, end } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn media() -> Entity {
        Entity {
            pieces: vec![Bytes::from_static(b"01234"), Bytes::from_static(b"56789")],
            gzip: None,
            etag: HeaderValue::from_static("tag"),
            content_type: "video/mp4",
            cache: CacheLife::Immutable,
        }
    }

    fn manifest() -> Entity {
        Entity {
            pieces: vec![Bytes::from_static(b"#EXTM3U\n")],
            gzip: Some(Bytes::from_static(b"gz")),
            etag: HeaderValue::from_static("v1"),
            content_type: "application/vnd.apple.mpegurl",
            cache: CacheLife::Seconds(1),
        }
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.clone(), HeaderValue::from_str(v).unwrap())).collect()
    }

    #[test]
    fn ranges_as_rfc_9110_has_them() {
        for (text, want) in [
            ("0-3", Range::Part { start: 0, end: 4 }),
            ("4-", Range::Part { start: 4, end: 10 }),
            ("-3", Range::Part { start: 7, end: 10 }),
            ("-30", Range::Part { start: 0, end: 10 }),
            ("0-99", Range::Part { start: 0, end: 10 }),
            ("10-", Range::Unsatisfiable),
            ("-0", Range::Unsatisfiable),
            ("5-4", Range::Whole),
            ("a-b", Range::Whole),
            ("0-1,3-4", Range::Whole),
        ] {
            assert_eq!(parse_range(text, 10), want, "{text}");
        }
    }

    #[test]
    fn a_range_is_206_and_a_head_has_its_length_only() {
        let r = entity(&Method::GET, &headers(&[(header::RANGE, "bytes=3-6")]), &media());
        assert_eq!((r.status(), r.body().len()), (StatusCode::PARTIAL_CONTENT, 4));
        assert_eq!(r.headers()[header::CONTENT_RANGE], "bytes 3-6/10");
        let r = entity(&Method::HEAD, &HeaderMap::new(), &media());
        assert_eq!((r.status(), r.body().len()), (StatusCode::OK, 0));
        assert_eq!(r.headers()[header::CONTENT_LENGTH], "10");
        let r =
            entity(&Method::GET, &headers(&[(header::RANGE, "bytes=3-6"), (header::IF_RANGE, "\"old\"")]), &media());
        assert_eq!(r.status(), StatusCode::OK);
    }

    /// STANDARDS 1.5 and CHECK-1e: gzip when asked for, with `Vary`, and a tag of its own.
    #[test]
    fn manifests_are_compressed_when_asked() {
        for (accept, gzip) in
            [("gzip, br", true), ("*", true), ("gzip;q=0", false), ("br", false), ("br, *;q=0", false), ("GZIP", true)]
        {
            let r = entity(&Method::GET, &headers(&[(header::ACCEPT_ENCODING, accept)]), &manifest());
            assert_eq!(r.headers().contains_key(header::CONTENT_ENCODING), gzip, "{accept}");
            assert_eq!(r.headers()[header::VARY], "Accept-Encoding");
            assert_eq!(r.headers()[header::ETAG] == "\"v1-gz\"", gzip);
        }
    }

    #[test]
    fn a_known_tag_is_304_without_a_body() {
        for tag in ["\"v1\"", "W/\"v1\"", "\"x\", \"v1-gz\"", "*"] {
            let r = entity(&Method::GET, &headers(&[(header::IF_NONE_MATCH, tag)]), &manifest());
            assert_eq!((r.status(), r.body().len()), (StatusCode::NOT_MODIFIED, 0), "{tag}");
        }
        let r = entity(&Method::GET, &headers(&[(header::IF_NONE_MATCH, "\"v2\"")]), &manifest());
        assert_eq!(r.status(), StatusCode::OK);
    }

    proptest! {
        #[test]
        fn no_range_header_panics_or_leaves_the_entity(text in "[0-9a-z,=* -]{0,24}") {
            let r = entity(&Method::GET, &headers(&[(header::RANGE, &format!("bytes={text}"))]), &media());
            prop_assert!(r.body().len() <= 10);
        }
    }
}
