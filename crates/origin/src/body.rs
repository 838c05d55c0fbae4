//! A response body over bytes that were made once: nothing is copied, only reference counts move.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// The pieces of a body, in order. Its length is known from the start.
#[derive(Debug, Default)]
pub struct Body {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Body::default()
    }

    /// One piece.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Body::pieces([bytes.into()])
    }

    /// Pieces that follow each other.
    pub fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: VecDeque<Bytes> = pieces.into_iter().filter(|p| !p.is_empty()).collect();
        let left = pieces.iter().map(|p| p.len() as u64).sum();
        Body { pieces, left }
    }

    /// The bytes `[start, end)` of `pieces`.
    pub fn range(pieces: &[Bytes], start: u64, end: u64) -> Self {
        let mut at = 0u64;
        let mut kept = Vec::new();
        for piece in pieces {
            let (from, to) = (at.max(start), (at + piece.len() as u64).min(end));
            if from < to {
                kept.push(piece.slice((from - at) as usize..(to - at) as usize));
            }
            at += piece.len() as u64;
        }
        Body::pieces(kept)
    }

    /// Bytes not yet taken.
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop_front().map(|piece| {
            self.left -= piece.len() as u64;
            Ok(Frame::data(piece))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(body: Body) -> Vec<u8> {
        body.pieces.into_iter().flatten().collect()
    }

    #[test]
    fn ranges_cut_across_pieces() {
        let pieces = [Bytes::from_static(b"abc"), Bytes::from_static(b"defg"), Bytes::from_static(b"h")];
        for (start, end) in (0..=8).flat_map(|s| (s..=8).map(move |e| (s, e))) {
            let body = Body::range(&pieces, start, end);
            assert_eq!(body.len(), end - start);
            assert_eq!(bytes_of(body), b"abcdefgh"[start as usize..end as usize]);
        }
    }
}
