//! Writes the head of an HTTP/1.1 answer (RFC 9112), and the frames of a body whose length is not known.

use std::io::Write as _;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use millstream_delivery::body::Body;

use crate::head::Asked;

/// How the client knows where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// Its length is in the head.
    Length,
    /// In chunks (RFC 9112 7.1).
    Chunks,
    /// At the end of the connection: HTTP/1.0, which knows no chunks.
    Close,
}

/// Ends the last chunk of a body.
pub const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");
/// Ends a chunk.
pub const CHUNK_END: Bytes = Bytes::from_static(b"\r\n");

/// The line before a chunk of `length` bytes, which is not zero.
pub fn chunk_begin(length: usize) -> Bytes {
    Bytes::from(format!("{length:x}\r\n"))
}

/// Appends the head of `response` to `out`, and says how its body is framed. `date` is as RFC 9110 5.6.7 has it.
pub fn write_head(
    out: &mut Vec<u8>,
    response: &Response<Body>,
    asked: Asked,
    keep_alive: bool,
    date: &[u8],
) -> Framing {
    let status = response.status();
    let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED || status.is_informational();
    let body = response.body();
    let framing = if asked.head_only || bodiless {
        Framing::Empty
    } else if body.exact_len().is_some() {
        Framing::Length
    } else if asked.chunks {
        Framing::Chunks
    } else {
        Framing::Close
    };
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let (mut dated, mut length) = (false, None);
    for (name, value) in response.headers() {
        match *name {
            header::CONNECTION | header::TRANSFER_ENCODING => continue,
            header::CONTENT_LENGTH => {
                length = Some(value);
                continue;
            }
            header::DATE => dated = true,
            _ => {}
        }
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
    match framing {
        Framing::Length => write_length(out, body.exact_len().unwrap_or(body.len())),
        // What a GET would have had.
        Framing::Empty if !bodiless => match length {
            Some(value) => line(out, b"content-length", value.as_bytes()),
            None if !body.is_unfinished() => write_length(out, body.len()),
            None => {}
        },
        Framing::Chunks => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Empty | Framing::Close => {}
    }
    if !dated {
        line(out, b"date", date);
    }
    if !keep_alive || framing == Framing::Close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if !asked.chunks {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    framing
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    // Writing to memory does not fail.
    let _ = write!(out, "content-length: {length}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const ASKED: Asked = Asked { length: 0, head_only: false, chunks: true, keep_alive: true };

    fn unfinished() -> Body {
        Body::unfinished([Bytes::from_static(b"a")], Box::pin(futures::stream::empty()))
    }

    #[test]
    fn each_body_is_framed_in_one_way_only() {
        let full = || Body::full(Bytes::from_static(b"abc"));
        let cases = [
            (200, full(), ASKED, Framing::Length, "content-length: 3"),
            (204, Body::empty(), ASKED, Framing::Empty, ""),
            (304, Body::empty(), ASKED, Framing::Empty, ""),
            (404, full(), Asked { head_only: true, ..ASKED }, Framing::Empty, "content-length: 3"),
            (200, unfinished(), ASKED, Framing::Chunks, "transfer-encoding: chunked"),
            (200, unfinished(), Asked { chunks: false, ..ASKED }, Framing::Close, "connection: close"),
            (200, unfinished(), Asked { head_only: true, ..ASKED }, Framing::Empty, ""),
        ];
        for (status, body, asked, want, line) in cases {
            let mut response = Response::builder().status(status).body(body).unwrap();
            // Whoever made the answer cannot confuse its framing.
            response.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            let mut out = Vec::new();
            assert_eq!(write_head(&mut out, &response, asked, true, b"now"), want);
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.ends_with("\r\n\r\n"), "{text}");
            let framing: Vec<_> = text
                .lines()
                .filter(|l| ["content-length", "transfer-encoding"].iter().any(|n| l.starts_with(n)))
                .collect();
            assert!(framing.len() <= 1 && text.contains(line), "{text}");
            assert_eq!(text.matches("date: now\r\n").count(), 1);
        }
    }

    #[test]
    fn a_head_has_the_length_a_get_would_have_had() {
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("77"));
        let mut out = Vec::new();
        write_head(&mut out, &response, Asked { head_only: true, ..ASKED }, false, b"");
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("content-length: 77\r\n") && text.contains("connection: close\r\n"), "{text}");
    }
}
