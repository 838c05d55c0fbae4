//! Heads of HTTP/1.1 requests: no bytes panic, nothing is read beyond its end, and what comes in pieces is the same.

use http::Request;

use super::head::{self, Begin};

/// Bytes held for each byte of input.
pub const PER_BYTE: usize = 64;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let mut request = Request::new(());
    let begin = head::read(data, &mut request);
    match begin {
        Begin::Partial => assert!(data.len() <= head::MAX_HEAD),
        Begin::Media(asked) => {
            assert!(asked.length <= data.len() && asked.length <= head::MAX_HEAD);
            assert!(head::may_end(data, asked.length - 1), "a server that waits would not look");
            assert!(head::is_media(request.uri().path()));
            // What follows on the connection changes nothing.
            let (alone, before) = (&data[..asked.length], &data[..asked.length - 1]);
            let mut again = Request::new(());
            assert_eq!(head::read(alone, &mut again), begin);
            assert_eq!((again.uri(), again.headers()), (request.uri(), request.headers()));
            assert_eq!(head::read(before, &mut again), Begin::Partial);
        }
        Begin::Other | Begin::Refused(_) => {}
    }
}
