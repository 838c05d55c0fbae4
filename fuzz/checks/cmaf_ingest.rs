//! Uploads of CMAF ingest: no path or body panics, a body means the same however its bytes come, and what is taken are
//! bytes of it.
//!
//! The input: a path below a publishing point, a newline, the body.

use millstream_ingest::cmaf::body::{Error, Item, Splitter};
use millstream_ingest::cmaf::path;

/// Bytes held for each byte of input: the body in its pieces, and twice what was taken.
pub const PER_BYTE: usize = 64;

const MOST: usize = 1 << 20;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let split = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (path, body) = data.split_at(split);
    let _ = path::parse(&String::from_utf8_lossy(path));
    let body = body.get(1..).unwrap_or_default();
    let whole = taken(body, body.len().max(1));
    let pieces = taken(body, 97);
    assert!(whole == pieces, "a body means something else in pieces: {whole:?}, {pieces:?}");
    let bytes: usize = whole.0.iter().map(|item| bytes_of(item).len()).sum();
    assert!(bytes <= body.len());
    for item in &whole.0 {
        let bytes = bytes_of(item);
        assert!(bytes.len() >= 8 && bytes.len() <= MOST);
    }
}

fn bytes_of(item: &Item) -> &[u8] {
    match item {
        Item::Header(bytes) | Item::Fragment { bytes, .. } => bytes,
    }
}

fn taken(body: &[u8], size: usize) -> (Vec<Item>, Result<(), Error>) {
    let mut splitter = Splitter::new(MOST);
    let mut items = Vec::new();
    for piece in body.chunks(size) {
        let pushed = splitter.push(piece);
        items.extend(std::iter::from_fn(|| splitter.poll()));
        if pushed.is_err() {
            return (items, pushed);
        }
    }
    let end = splitter.finish();
    (items, end)
}
