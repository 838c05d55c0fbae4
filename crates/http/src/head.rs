//! Reads the head of an HTTP/1.1 request (RFC 9112): what it is, where it ends, and who must answer it.
//!
//! Only plain reads of media are answered the short way. Whatever else a client may say is left to the full server, with
//! the bytes that were read, except what must not be passed on because two servers could read it in two ways.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};

/// Bytes of a head; a longer one is refused.
pub const MAX_HEAD: usize = 16 * 1024;
/// Fields of a head; more are refused.
const MAX_FIELDS: usize = 100;
/// What an HTTP/2 client with prior knowledge says first (RFC 9113 3.4), as far as it looks like a head.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// What the bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Not yet a whole head.
    Partial,
    /// A request that is answered the short way; the request that was passed in holds it.
    Media(Asked),
    /// For the full server, from the first byte on.
    Other,
    /// Refused; the connection cannot go on.
    Refused(Refusal),
}

/// What is needed of a request after it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Bytes of the head.
    pub length: usize,
    /// Whether it is a HEAD: the answer has no body.
    pub head_only: bool,
    /// Whether the client speaks HTTP/1.1 and knows chunks; else 1.0.
    pub chunks: bool,
    /// Whether the connection goes on after the answer.
    pub keep_alive: bool,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not HTTP, or may be read in two ways.
    #[error("the request is malformed")]
    Malformed,
    /// It is longer than [`MAX_HEAD`], or has too many fields.
    #[error("the request's head is too large")]
    TooLarge,
}

impl Refusal {
    /// The whole answer.
    pub const fn answer(self) -> &'static [u8] {
        match self {
            Refusal::Malformed => {
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
            }
            Refusal::TooLarge => {
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ncache-control: no-store\r\n\
                connection: close\r\n\r\n"
            }
        }
    }

    /// The status.
    pub const fn status(self) -> u16 {
        match self {
            Refusal::Malformed => 400,
            Refusal::TooLarge => 431,
        }
    }
}

/// Whether a path is one of media.
pub fn is_media(path: &str) -> bool {
    path.starts_with("/live/") || path.starts_with("/vod/")
}

/// Whether a head may end in `bytes` at or after `from`: a cheap look before each attempt to read a head that comes in
/// little by little, so that a client cannot make us read it again for every byte.
pub fn may_end(bytes: &[u8], from: usize) -> bool {
    let tail = bytes.get(from.saturating_sub(3)..).unwrap_or_default();
    bytes.len() > MAX_HEAD || tail.windows(2).any(|w| w == b"\n\n") || tail.windows(3).any(|w| w == b"\n\r\n")
}

/// Reads the head that `bytes` begins with into `request`, whose former content goes.
pub fn read(bytes: &[u8], request: &mut Request<()>) -> Begin {
    if bytes.starts_with(PREFACE) {
        return Begin::Other;
    }
    if PREFACE.starts_with(bytes) {
        return Begin::Partial;
    }
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => return Begin::Partial,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Begin::Refused(Refusal::TooLarge),
        Err(_) => return Begin::Refused(Refusal::Malformed),
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Begin::Refused(Refusal::Malformed);
    };
    let framing = match Framing::of(parsed.headers, minor) {
        Ok(framing) => framing,
        Err(refusal) => return Begin::Refused(refusal),
    };
    let method = match method {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "OPTIONS" => Method::OPTIONS,
        _ => return Begin::Other,
    };
    if framing.full_server || !is_media(target) {
        return Begin::Other;
    }
    match fill(request, bytes, length, target, parsed.headers) {
        Some(()) => {}
        None => return Begin::Refused(Refusal::Malformed),
    }
    let head_only = method == Method::HEAD;
    *request.method_mut() = method;
    *request.version_mut() = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    Begin::Media(Asked { length, head_only, chunks: minor == 1, keep_alive: framing.keep_alive })
}

/// What the fields say about the connection and the body.
struct Framing {
    /// A body, an upgrade, or an expectation.
    full_server: bool,
    keep_alive: bool,
}

impl Framing {
    /// RFC 9112 3.2 (one Host), 6.1 and 6.3 (one way to read where the body ends), 9.3 (persistence).
    fn of(fields: &[httparse::Header<'_>], minor: u8) -> Result<Self, Refusal> {
        let (mut hosts, mut length, mut coded) = (0, None::<&[u8]>, false);
        let mut framing = Framing { full_server: false, keep_alive: minor == 1 };
        for field in fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            match field.name.len() {
                4 if is("host") => hosts += 1,
                6 if is("expect") => framing.full_server = true,
                7 if is("upgrade") => framing.full_server = true,
                10 if is("connection") => {
                    for word in field.value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                        if word.eq_ignore_ascii_case(b"close") {
                            framing.keep_alive = false;
                        } else if minor == 0 && word.eq_ignore_ascii_case(b"keep-alive") {
                            framing.keep_alive = true;
                        }
                    }
                }
                14 if is("content-length") => {
                    let digits = !field.value.is_empty() && field.value.iter().all(u8::is_ascii_digit);
                    if !digits || length.is_some_and(|other| other != field.value) {
                        return Err(Refusal::Malformed);
                    }
                    length = Some(field.value);
                }
                17 if is("transfer-encoding") => coded = true,
                _ => {}
            }
        }
        if (coded && (length.is_some() || minor == 0)) || hosts > 1 || (hosts == 0 && minor == 1) {
            return Err(Refusal::Malformed);
        }
        framing.full_server |= coded || length.is_some_and(|length| length.iter().any(|b| *b != b'0'));
        Ok(framing)
    }
}

/// Puts target and fields into `request`. The bytes are copied once; all values share the copy.
fn fill(
    request: &mut Request<()>,
    bytes: &[u8],
    length: usize,
    target: &str,
    fields: &[httparse::Header<'_>],
) -> Option<()> {
    let shared = Bytes::copy_from_slice(bytes.get(..length)?);
    let part = |inner: &[u8]| {
        let start = (inner.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize)?;
        let end = start.checked_add(inner.len())?;
        (end <= length).then(|| shared.slice(start..end))
    };
    *request.uri_mut() = Uri::from_maybe_shared(part(target.as_bytes())?).ok()?;
    request.extensions_mut().clear();
    let headers = request.headers_mut();
    headers.clear();
    for field in fields {
        let name = if field.name.eq_ignore_ascii_case("host") {
            header::HOST
        } else {
            HeaderName::from_bytes(field.name.as_bytes()).ok()?
        };
        // An empty value may lie outside of the head.
        let value = if field.value.is_empty() { Bytes::new() } else { part(field.value)? };
        headers.append(name, HeaderValue::from_maybe_shared(value).ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ASKED: &str = "GET /live/demo/v1/index.m3u8?_HLS_msn=5 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n";

    fn of(text: &str) -> Begin {
        read(text.as_bytes(), &mut Request::new(()))
    }

    #[test]
    fn a_media_request_is_read_whole() {
        let mut request = Request::new(());
        let bytes = format!("\r\n{ASKED}GET /next");
        let want = Asked { length: ASKED.len() + 2, head_only: false, chunks: true, keep_alive: true };
        assert_eq!(read(bytes.as_bytes(), &mut request), Begin::Media(want));
        assert_eq!(request.uri(), "/live/demo/v1/index.m3u8?_HLS_msn=5");
        assert_eq!((request.headers().len(), request.headers()[header::RANGE].as_bytes()), (2, &b"bytes=0-1"[..]));
        // The next request finds nothing of the one before.
        read(b"HEAD /vod/x HTTP/1.0\r\n\r\n", &mut request);
        assert_eq!((request.method(), request.headers().len()), (&Method::HEAD, 0));
    }

    #[test]
    fn what_is_not_a_plain_read_of_media_is_for_the_full_server() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /live HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /live/a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /live/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "GET /live/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET /live/a HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
            "GET http://a/live/a HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            assert_eq!(of(text), Begin::Other, "{text:?}");
        }
    }

    /// RFC 9112 6.1: what two servers may read in two ways is refused, whatever its path.
    #[test]
    fn what_may_be_read_in_two_ways_is_refused() {
        for text in [
            "GET /live/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /live/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET /live/a HTTP/1.1\r\n\r\n",
            "GET /live/a HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET /live/a HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        ] {
            assert_eq!(of(text), Begin::Refused(Refusal::Malformed), "{text:?}");
        }
    }

    #[test]
    fn too_much_is_refused() {
        let long = format!("GET /live/{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD));
        let many = format!("GET /live/a HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        for text in [long, many] {
            assert_eq!(of(&text), Begin::Refused(Refusal::TooLarge));
        }
    }

    #[test]
    fn persistence_is_as_the_version_and_the_client_say() {
        for (version, connection, want) in [
            ("1.1", "", true),
            ("1.1", "Connection: x, Close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
        ] {
            let text = format!("GET /live/a HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
            let Begin::Media(asked) = of(&text) else { panic!("{text}") };
            assert_eq!((asked.keep_alive, asked.chunks), (want, version == "1.1"), "{text}");
        }
    }

    #[test]
    fn every_beginning_of_a_head_is_partial() {
        for text in [ASKED, "PRI * HTTP/2.0\r\n\r\n"] {
            for end in 0..text.len() {
                assert_eq!(of(&text[..end]), Begin::Partial, "{end}");
                assert!(end < 3 || !may_end(&text.as_bytes()[..end], 0) || text.starts_with("PRI"), "{end}");
            }
            assert!((1..text.len()).all(|from| may_end(text.as_bytes(), from)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_reach_past_their_end(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..ASKED.len()) {
            let mut mixed = ASKED.as_bytes()[..cut].to_vec();
            mixed.extend_from_slice(&bytes);
            for bytes in [bytes, mixed] {
                if let Begin::Media(asked) = read(&bytes, &mut Request::new(())) {
                    prop_assert!(asked.length <= bytes.len());
                    prop_assert!(may_end(&bytes, asked.length - 1));
                }
            }
        }
    }
}
