//! Sends an answer on a stream: all that is there with one call, and the rest as the stream takes it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::Body as _;
use millstream_delivery::body::Body;
use millstream_media::time::MonoTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::reply::{self, Framing};

/// Pieces written with one call.
const PIECES: usize = 64;
/// Bytes written with one call of what is at most twice as long: the kernel delivers them while the rest is copied. With
/// 100 kB that makes 1.28 times the requests of a CPU second; 256 KiB and more lose by it (docs/performance.md).
const HALF: usize = 64 * 1024;

/// The stream of a connection.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether what is said on it is encrypted.
    const IS_TLS: bool = false;

    /// Makes the end of the connection one that the client cannot take for the end of an answer.
    fn abort_at_close(&self);
}

impl Socket for TcpStream {
    fn abort_at_close(&self) {
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl<S: Socket> Socket for Box<tokio_rustls::server::TlsStream<S>> {
    const IS_TLS: bool = true;

    // Without the alert that ends TLS, the client knows (RFC 8446 6.1).
    fn abort_at_close(&self) {}
}

/// An answer that is under way.
pub struct Sending {
    /// What was made and is not yet sent: at most the pieces of one answer and the frames around them.
    pub queue: VecDeque<Bytes>,
    /// What is still being made.
    pub rest: Option<Body>,
    pub framing: Framing,
    pub keep_alive: bool,
    /// When all of it must have been taken.
    pub until: MonoTime,
    /// When the client last took something.
    pub taken: MonoTime,
}

impl Sending {
    /// Bytes that were made and are not yet sent.
    pub fn unsent(&self) -> usize {
        self.queue.iter().map(Bytes::len).sum()
    }

    /// Sends until all is said, or the socket takes no more, or nothing more is made yet.
    pub fn poll<S: Socket>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<()>> {
        loop {
            ready!(write_all(cx, stream, &[], &mut 0, &mut self.queue))?;
            let Some(rest) = &mut self.rest else { return Pin::new(stream).poll_flush(cx) };
            // What was written must not wait for what is being made.
            ready!(Pin::new(&mut *stream).poll_flush(cx))?;
            match ready!(Pin::new(rest).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if self.framing == Framing::Chunks => self.queue.extend(chunk(piece)),
                    Ok(piece) => self.queue.push_back(piece),
                    Err(_) => {}
                },
                Some(Err(broken)) => return Poll::Ready(Err(io::Error::other(broken))),
                None => {
                    self.rest = None;
                    if self.framing == Framing::Chunks {
                        self.queue.push_back(reply::LAST_CHUNK);
                    }
                }
            }
        }
    }
}

/// A piece as a chunk; none for an empty one, which would end the body.
pub fn chunk(piece: Bytes) -> impl Iterator<Item = Bytes> {
    let framed = (!piece.is_empty()).then(|| [reply::chunk_begin(piece.len()), piece, reply::CHUNK_END]);
    framed.into_iter().flatten()
}

/// Writes head and pieces, and what the stream itself may still hold.
pub fn send_now<S: Socket>(
    cx: &mut Context<'_>,
    stream: &mut S,
    head: &[u8],
    written: &mut usize,
    pieces: &mut VecDeque<Bytes>,
) -> Poll<io::Result<()>> {
    ready!(write_all(cx, stream, head, written, pieces))?;
    Pin::new(stream).poll_flush(cx)
}

/// Writes what is left of `head` and `pieces`, together; what was written is taken off.
fn write_all<S: Socket>(
    cx: &mut Context<'_>,
    stream: &mut S,
    head: &[u8],
    written: &mut usize,
    pieces: &mut VecDeque<Bytes>,
) -> Poll<io::Result<()>> {
    loop {
        let left = head.get(*written..).unwrap_or_default();
        if left.is_empty() && pieces.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        let all = || (!left.is_empty()).then_some(left).into_iter().chain(pieces.iter().map(|p| &p[..]));
        let unsent = all().try_fold(0, |sum, p| (sum <= 2 * HALF).then_some(sum + p.len()));
        let mut room = if unsent.is_some_and(|sum| sum <= 2 * HALF) { HALF } else { usize::MAX };
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(all()) {
            if room == 0 {
                break;
            }
            let with_it = bytes.get(..room).unwrap_or(bytes);
            *slice = IoSlice::new(with_it);
            room -= with_it.len();
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        let mut taken = match slices {
            [one] => ready!(Pin::new(&mut *stream).poll_write(cx, one))?,
            _ => ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?,
        };
        if taken == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_head = taken.min(left.len());
        *written += of_head;
        taken -= of_head;
        while let Some(first) = pieces.front_mut().filter(|_| taken > 0) {
            let of_first = taken.min(first.len());
            first.advance(of_first);
            taken -= of_first;
            if first.is_empty() {
                pieces.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::ReadBuf;

    /// Takes all it is given, and remembers how much came with each call.
    #[derive(Default)]
    struct Taker {
        bytes: Vec<u8>,
        calls: Vec<usize>,
    }

    impl AsyncRead for Taker {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Taker {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }
        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let taken = slices.iter().map(|s| s.len()).sum();
            slices.iter().for_each(|s| self.bytes.extend_from_slice(s));
            self.calls.push(taken);
            Poll::Ready(Ok(taken))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Socket for Taker {
        fn abort_at_close(&self) {}
    }

    #[test]
    fn a_middling_answer_goes_in_two_halves_and_a_long_one_at_once() {
        for (length, calls) in [
            (1_500, vec![1_504]),
            (HALF - 4, vec![HALF]),
            (100_000, vec![HALF, 100_004 - HALF]),
            (2 * HALF - 4, vec![HALF, HALF]),
            (2 * HALF, vec![2 * HALF + 4]),
        ] {
            let body: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let mut pieces = body.chunks(30_000).map(Bytes::copy_from_slice).collect();
            let (mut taker, mut written) = (Taker::default(), 0);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let sent = send_now(&mut cx, &mut taker, b"head", &mut written, &mut pieces);
            assert!(matches!(sent, Poll::Ready(Ok(()))));
            assert_eq!(taker.calls, calls, "{length} bytes");
            assert_eq!(taker.bytes, [&b"head"[..], &body].concat(), "{length} bytes");
        }
    }
}
