//! What an edge reads from viewers and from origins: the key of a request, and how long an answer lives.
//!
//! The input: lines of a path with its query, `Cache-Control` and `Age`.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::clock::Moment;
use super::freshness::Freshness;
use super::key;

/// Bytes held for each byte of input.
#[allow(dead_code, reason = "the ordinary tests have no counter in this crate")]
pub const PER_BYTE: usize = 64;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let url = lines.next().unwrap_or_default();
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let mut one = String::new();
    if let Ok(asked) = key::read(path, query, &mut one) {
        assert!(one.starts_with(path) && one.len() <= key::MAX_PATH + 512);
        // A key is a request with that key.
        let (path, query) = one.split_once('?').map_or((one.as_str(), None), |(path, query)| (path, Some(query)));
        let mut again = String::new();
        let same = key::read(path, query, &mut again).expect("a key is a request");
        assert_eq!((&again, same.kind, same.hold, same.pass), (&one, asked.kind, asked.hold, asked.pass));
    }
    let mut headers = HeaderMap::new();
    for name in [header::CACHE_CONTROL, header::AGE] {
        if let Ok(value) = HeaderValue::from_str(lines.next().unwrap_or_default()) {
            headers.insert(name, value);
        }
    }
    for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY] {
        let negative = Duration::from_secs(10);
        let of = Freshness::of(status, &headers, Moment(1000), Moment(2000), false, negative);
        assert!(of.born <= Moment(1000), "an answer is not younger than its request");
        assert!(of.life <= Duration::from_secs(400 * 24 * 3600));
        assert!(status.is_success() || of.life <= negative);
        assert!(!of.is_fresh_at(Moment(i64::MAX)));
    }
}
