//! A response body over bytes that were made once: nothing is copied, only reference counts move.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Why a body breaks off before its end. The connection (or the h2 stream) is then closed, so that nobody takes what
/// was sent for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenOff {
    /// The segment in the making was given up.
    #[error("the segment was given up while it was being sent")]
    GivenUp,
    /// The server that it came from broke off.
    #[error("the server upstream broke off")]
    Upstream,
}

/// What follows the pieces of a body while it is being sent: each item goes out as soon as it is there.
///
/// Whoever makes one bounds its wait.
pub type Rest = Pin<Box<dyn Stream<Item = Result<Bytes, BrokenOff>> + Send>>;

/// The pieces of a body, in order. Its length is known from the start, unless more is still being made.
#[derive(Default)]
pub struct Body {
    pieces: VecDeque<Bytes>,
    left: u64,
    rest: Option<Rest>,
    /// Bytes of the rest, if that is known.
    rest_len: Option<u64>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left).field("unfinished", &self.rest.is_some()).finish()
    }
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
        Body { pieces, left, rest: None, rest_len: None }
    }

    /// Pieces that are there, and then those that are still being made. Its length is unknown.
    pub fn unfinished(pieces: impl IntoIterator<Item = Bytes>, rest: Rest) -> Self {
        Body { rest: Some(rest), ..Body::pieces(pieces) }
    }

    /// So many bytes, read while they are sent. A rest that ends early or late breaks the connection off.
    pub fn sized(length: u64, rest: Rest) -> Self {
        Body { rest: Some(rest), rest_len: Some(length), ..Body::default() }
    }

    /// The bytes of all of it, where they are known from the start.
    pub fn exact_len(&self) -> Option<u64> {
        match &self.rest {
            None => Some(self.left),
            Some(_) => self.rest_len.map(|rest| rest + self.left),
        }
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

    /// Takes the pieces that are there, for a server that writes them itself. What is still being made stays.
    pub fn take_pieces(&mut self) -> VecDeque<Bytes> {
        self.left = 0;
        std::mem::take(&mut self.pieces)
    }

    /// Whether more is still being made, so that the length is unknown.
    pub fn is_unfinished(&self) -> bool {
        self.rest.is_some()
    }

    /// Bytes that are there and not yet taken.
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether nothing is left, and nothing is being made.
    pub fn is_empty(&self) -> bool {
        self.left == 0 && self.rest.is_none()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.left -= piece.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let next = std::task::ready!(rest.as_mut().poll_next(cx));
        if let (Some(left), Some(Ok(piece))) = (self.rest_len, &next) {
            let Some(left) = left.checked_sub(piece.len() as u64) else {
                self.rest = None;
                return Poll::Ready(Some(Err(BrokenOff::Upstream)));
            };
            self.rest_len = Some(left);
        }
        if !matches!(next, Some(Ok(_))) {
            self.rest = None;
            if next.is_none() && self.rest_len.take().is_some_and(|left| left > 0) {
                return Poll::Ready(Some(Err(BrokenOff::Upstream)));
            }
        }
        Poll::Ready(next.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.exact_len().map_or_else(
            || {
                let mut hint = SizeHint::new();
                hint.set_lower(self.left);
                hint
            },
            SizeHint::with_exact,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(body: Body) -> Vec<u8> {
        body.pieces.into_iter().flatten().collect()
    }

    /// STANDARDS 2.15: what is there goes out at once, then each piece as it is made; a break is an error, not an end.
    #[tokio::test]
    async fn an_unfinished_body_goes_on_until_it_ends_or_breaks_off() {
        use http_body::Body as _;
        for (last, want) in [(None, None), (Some(Err(BrokenOff::GivenUp)), Some(BrokenOff::GivenUp))] {
            let items = [Ok(Bytes::from_static(b"cd"))].into_iter().chain(last);
            let rest = futures::stream::iter(items.collect::<Vec<_>>());
            let mut body = Box::pin(Body::unfinished([Bytes::from_static(b"ab")], Box::pin(rest)));
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (None, false));
            let (mut got, mut broken) = (Vec::new(), None);
            while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                match frame {
                    Ok(frame) => got.extend_from_slice(frame.data_ref().unwrap()),
                    Err(error) => broken = Some(error),
                }
            }
            assert_eq!((got.as_slice(), broken), (&b"abcd"[..], want));
            assert!(body.is_end_stream());
        }
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
