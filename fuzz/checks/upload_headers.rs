//! Headers of uploads: no bytes panic, and nothing is longer than what was sent.
//!
//! The input: lines of `Upload-Length` and `Upload-Metadata`.

use http::{HeaderMap, HeaderValue};

use super::upload::{LENGTH, METADATA, Upload};

/// Bytes held for each byte of input.
#[allow(dead_code, reason = "the ordinary tests have no counter in this crate")]
pub const PER_BYTE: usize = 64;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let mut lines = data.splitn(2, |b| *b == b'\n');
    let mut headers = HeaderMap::new();
    for name in [LENGTH, METADATA] {
        if let Ok(value) = HeaderValue::from_bytes(lines.next().unwrap_or_default()) {
            headers.insert(name, value);
        }
    }
    let Ok(upload) = Upload::read(&headers) else { return };
    let texts = [Some(upload.file), upload.id, upload.title, upload.fingerprint];
    assert!(texts.iter().flatten().map(String::len).sum::<usize>() <= data.len());
}
