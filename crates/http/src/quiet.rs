//! When a connection was last asked something: one of HTTP/2 that stays open without a request keeps a place for as long as
//! its client answers pings.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body as HttpBody, Frame, SizeHint};
use millstream_media::time::{Clock, MonoTime};

/// The open requests of a connection.
pub struct Asked {
    clock: Arc<dyn Clock>,
    /// How many are open, and when the last one ended.
    open: Mutex<(usize, MonoTime)>,
}

impl Asked {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let now = clock.mono();
        Arc::new(Asked { clock, open: Mutex::new((0, now)) })
    }

    /// A request, which is open until what this gives is dropped.
    pub fn begin(self: &Arc<Self>) -> Open {
        self.lock().0 += 1;
        Open(Arc::clone(self))
    }

    /// Returns when no request was open for so long, or up to a quarter more.
    pub async fn quiet_for(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit / 4).await;
            let (open, since) = *self.lock();
            if open == 0 && self.clock.mono().since(since) >= limit {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, MonoTime)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open request.
pub struct Open(Arc<Asked>);

impl Drop for Open {
    fn drop(&mut self) {
        let now = self.0.clock.mono();
        let mut open = self.0.lock();
        *open = (open.0.saturating_sub(1), now);
    }
}

/// A body of an answer, whose request is open until it is sent or given up.
pub struct Answering<B> {
    body: B,
    _open: Open,
}

impl<B> Answering<B> {
    /// The body of the answer to an open request.
    pub fn new(body: B, open: Open) -> Self {
        Answering { body, _open: open }
    }
}

impl<B: HttpBody + Unpin> HttpBody for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
