//! A box tree as indented text, so that golden files and people can read it.

use std::fmt::Write;

use super::read::{BoxRef, boxes};

/// Containers whose bodies are boxes.
const CONTAINERS: [&[u8; 4]; 11] =
    [b"moov", b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"moof", b"traf", b"udta"];

/// Bytes of a leaf's body that are shown.
const MAX_SHOWN: usize = 256;

/// Writes the boxes of `data` as text: type, size, and the body in hex (of `mdat` only the size).
/// Bytes that are no box end the text with a line that says so.
pub fn dump(data: &[u8]) -> String {
    let mut out = String::new();
    for item in boxes(data) {
        match item {
            Ok(b) => put(&mut out, b, 0),
            Err(e) => {
                let _ = writeln!(out, "! {e}");
            }
        }
    }
    out
}

/// Where the boxes in a body begin, if there are any.
fn children_start(b: &BoxRef<'_>) -> Option<usize> {
    match &b.kind.0 {
        kind if CONTAINERS.contains(&kind) => Some(0),
        b"stsd" | b"dref" => Some(8),
        b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"av01" => Some(78),
        b"mp4a" | b"Opus" => Some(28),
        _ => None,
    }
    .filter(|&n| n <= b.body.len())
}

fn put(out: &mut String, b: BoxRef<'_>, depth: usize) {
    let indent = "  ".repeat(depth);
    let _ = writeln!(out, "{indent}[{}] size={}", b.kind, b.end() - b.offset);
    if b.kind.0 == *b"mdat" {
        return;
    }
    let fields = children_start(&b).unwrap_or(b.body.len());
    let shown = b.body.get(..fields.min(MAX_SHOWN)).unwrap_or_default();
    for row in shown.chunks(16) {
        let _ = write!(out, "{indent}  ");
        for (i, byte) in row.iter().enumerate() {
            let _ = write!(out, "{}{byte:02x}", if i > 0 && i % 4 == 0 { " " } else { "" });
        }
        out.push('\n');
    }
    if fields > MAX_SHOWN {
        let _ = writeln!(out, "{indent}  … {} more bytes", fields - MAX_SHOWN);
    }
    // The tree of containers is as deep as the input makes it: stop where no real file goes.
    if children_start(&b).is_none() || depth >= 12 {
        return;
    }
    for child in b.children_after(fields) {
        match child {
            Ok(c) => put(out, c, depth + 1),
            Err(e) => {
                let _ = writeln!(out, "{indent}  ! {e}");
            }
        }
    }
}
