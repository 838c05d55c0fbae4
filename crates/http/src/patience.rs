//! How long a connection may stand still: a peer that says nothing, or takes nothing, is let go.
//!
//! Without this a viewer who asks for a segment and never reads it keeps the segment's bytes for as long as it likes, so
//! that memory would not be bounded by the window; and one who connects and says nothing keeps a connection's place,
//! since HTTP's own limit on the head begins only once the version is known.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What an HTTP/2 client with prior knowledge says first (RFC 9113 3.4). Until a client says more or something else, it
/// is not known which version it speaks.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose peer must begin to speak, and must take what it asked for.
pub struct Patient<S> {
    stream: S,
    /// Received before, and read first.
    said: Bytes,
    /// Runs until the peer's version is known.
    greeting: Option<Pin<Box<Sleep>>>,
    /// Bytes of the preface seen.
    matched: usize,
    /// Runs while the peer takes nothing that waits for it.
    stall: Pin<Box<Sleep>>,
    stall_limit: Duration,
    stalled: bool,
}

impl<S> Patient<S> {
    /// A stream of which `said` was received already, and whose peer has `greeting` to say which version it speaks, and then may go without taking anything that
    /// waits for it for `stall`.
    pub fn new(stream: S, said: Bytes, greeting: Duration, stall: Duration) -> Self {
        Patient {
            stream,
            said,
            greeting: Some(Box::pin(sleep(greeting))),
            matched: 0,
            stall: Box::pin(sleep(stall)),
            stall_limit: stall,
            stalled: false,
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        let expected = PREFACE.get(self.matched..).unwrap_or_default();
        let same = expected.iter().zip(bytes).take_while(|(want, got)| want == got).count();
        self.matched += same;
        if same < bytes.len() || self.matched == PREFACE.len() {
            self.greeting = None;
        }
    }

    /// Passes on what a write gave; one that waits for longer than the limit is an error.
    fn watched<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            let until = Instant::now() + self.stall_limit;
            self.stall.as_mut().reset(until);
        }
        ready!(self.stall.as_mut().poll(cx));
        Poll::Ready(Err(timed_out("the client takes nothing of what it asked for")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = if this.said.is_empty() {
            Pin::new(&mut this.stream).poll_read(cx, buffer)
        } else {
            let first = this.said.len().min(buffer.remaining());
            buffer.put_slice(this.said.get(..first).unwrap_or_default());
            this.said.advance(first);
            Poll::Ready(Ok(()))
        };
        let Some(greeting) = &mut this.greeting else { return read };
        if read.is_pending() {
            ready!(greeting.as_mut().poll(cx));
            return Poll::Ready(Err(timed_out("the client says nothing")));
        }
        this.heard(buffer.filled().get(before..).unwrap_or_default());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watched(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, pieces);
        this.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.watched(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// What a client sends with its request: it must go on sending.
pub struct Attended<B> {
    body: B,
    patience: Duration,
    /// Runs while nothing comes.
    overdue: Option<Pin<Box<Sleep>>>,
}

impl<B> Attended<B> {
    /// A body of which something must come within each `patience`.
    pub fn new(body: B, patience: Duration) -> Self {
        Attended { body, patience, overdue: None }
    }
}

impl<B> HttpBody for Attended<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.overdue = None;
                Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)))
            }
            Poll::Pending => {
                let patience = this.patience;
                ready!(this.overdue.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
                Poll::Ready(Some(Err(axum::Error::new("nothing more of the request came"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn timed_out(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const NEVER: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn who_takes_nothing_is_let_go() {
        let (ours, _theirs) = duplex(16);
        let error = Patient::new(ours, Bytes::new(), NEVER, SOON).write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_little_by_little_gets_all() {
        let (ours, mut theirs) = duplex(4);
        let send = async {
            let mut stream = Patient::new(ours, Bytes::new(), NEVER, NEVER);
            stream.write_all(&[7; 4096]).await.unwrap();
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(send, theirs.read_to_end(&mut got));
        assert_eq!((read.unwrap(), got.iter().all(|&b| b == 7)), (4096, true));
    }

    /// Silence, and the beginning of the preface, keep the version open.
    #[tokio::test]
    async fn who_never_says_which_version_is_let_go() {
        for said in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            let (ours, mut theirs) = duplex(64);
            theirs.write_all(said.as_bytes()).await.unwrap();
            let error = Patient::new(ours, Bytes::new(), SOON, NEVER).read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{said:?}");
        }
    }

    /// From there on the time a head may take is HTTP's matter.
    #[tokio::test]
    async fn who_has_said_it_is_left_alone() {
        for said in ["G", "PRO", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "POST / HTTP/1.1\r\n"] {
            let (ours, mut theirs) = duplex(64);
            let mut stream = Patient::new(ours, Bytes::new(), SOON, NEVER);
            for byte in said.bytes() {
                theirs.write_all(&[byte]).await.unwrap();
                stream.read_exact(&mut [0]).await.unwrap();
            }
            assert!(stream.greeting.is_none(), "{said:?}");
        }
    }
}
