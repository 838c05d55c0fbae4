//! CMAF ingest (DASH-IF Live Media Ingest, interface 1): what a request's path and body say. Pure.
//!
//! - [`path`]: the objects below a publishing point.
//! - [`body`]: a body's bytes to headers and fragments.

pub mod body;
pub mod path;

/// Both halves over bytes nobody vouches for: the first line is a path, what follows comes in pieces of a body. For
/// fuzzing; gives how many items the body had.
pub fn read_anything(data: &[u8]) -> usize {
    let split = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (path, body) = data.split_at(split);
    let _ = path::parse(&String::from_utf8_lossy(path));
    let mut splitter = body::Splitter::new(1 << 20);
    let mut items = 0;
    for piece in body.chunks(97) {
        if splitter.push(piece).is_err() {
            return items;
        }
        while splitter.poll().is_some() {
            items += 1;
        }
    }
    let _ = splitter.finish();
    items
}
