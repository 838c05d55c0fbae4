//! What a request for media says: directives, time shift, ranges and conditions; and playlists that carry a signature on.
//!
//! The input: lines of a query, `Range`, `If-Range`, `If-None-Match` and `Accept-Encoding`, then a playlist or an MPD.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use millstream_delivery::carry;
use millstream_delivery::directives::Directives;
use millstream_delivery::respond::{self, CacheLife, Entity, Range};
use millstream_delivery::shift::Shift;

/// Bytes held for each byte of input.
pub const PER_BYTE: usize = 256;

/// What nobody else can have written.
const TOKEN: &str = "Policy=\u{1}";

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(6, '\n');
    let mut line = || lines.next().unwrap_or_default();
    query(line());
    let mut headers = HeaderMap::new();
    for name in [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::ACCEPT_ENCODING] {
        if let Ok(value) = HeaderValue::from_str(line()) {
            headers.insert(name, value);
        }
    }
    answers(&headers);
    let rest = line();
    if !rest.contains('\u{1}') {
        carried(rest);
    }
}

fn query(query: &str) {
    if let Ok(directives) = Directives::parse(Some(query)) {
        assert_eq!(Directives::parse(directives.canonical_query().as_deref()), Ok(directives));
    }
    if let Ok(shift) = Shift::parse(Some(query)) {
        assert_eq!(Shift::parse(shift.canonical_query().as_deref()), Ok(shift));
    }
}

fn answers(headers: &HeaderMap) {
    for len in [0, 1, 10, u64::MAX] {
        if let Range::Part { start, end } = respond::wanted_range(&Method::GET, headers, "tag", len) {
            assert!(start < end && end <= len);
        }
    }
    let entity = Entity {
        pieces: vec![Bytes::from_static(b"01234"), Bytes::from_static(b"56789")],
        gzip: Some(Bytes::from_static(b"gz")),
        etag: HeaderValue::from_static("tag"),
        content_type: "video/mp4",
        cache: CacheLife::Immutable,
    };
    for method in [Method::GET, Method::HEAD] {
        let response = respond::entity(&method, headers, &entity);
        let known = [StatusCode::OK, StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED];
        let refused = response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
        assert!(known.contains(&response.status()) || refused);
        assert!(response.body().len() <= 10 && (method == Method::GET || response.body().is_empty()));
    }
}

/// The signature is all that is added.
fn carried(text: &str) {
    let without =
        |out: String| ["?", "&amp;", "&"].iter().fold(out, |out, mark| out.replace(&format!("{mark}{TOKEN}"), ""));
    assert_eq!(without(carry::playlist(text, TOKEN)), text);
    assert_eq!(without(carry::mpd(text, TOKEN)), text);
}
