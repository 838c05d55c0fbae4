//! The full server: HTTP/1.1 and HTTP/2 as a well-kept library has them, for all that the short way leaves out.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use millstream_delivery::answer::Reply;
use millstream_delivery::body::Body;
use millstream_media::time::{Clock, MonoTime};
use millstream_telemetry::RequestKind;
use tower::ServiceExt as _;

use crate::front::{Lane, Peer};
use crate::head;
use crate::patience::{Attended, Patient};
use crate::quiet::{Answering, Asked};
use crate::seats::Seat;
use crate::sending::Socket;
use crate::unread::{Token, Unread};

const PRIORITY: HeaderName = HeaderName::from_static("priority");

/// Serves a connection of which `said` was received already.
pub async fn serve<S: Socket>(lane: Arc<Lane>, stream: S, said: Bytes, peer: Peer, seat: Seat) {
    let _seat = seat;
    let (head_timeout, stall_timeout) = (lane.limits.head_timeout, lane.limits.stall_timeout);
    let answer_timeout = lane.limits.answer_timeout;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(32 * 1024);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(128).keep_alive_interval(Duration::from_secs(20));
    let unread = Arc::new(Unread::default());
    let asked = Asked::new(Arc::clone(&lane.site.clock));
    let service = {
        let (lane, unread, asked) = (Arc::clone(&lane), Arc::clone(&unread), Arc::clone(&asked));
        let alt_svc = lane.alt_svc.clone().filter(|_| S::IS_TLS);
        service_fn(move |request: Request<Incoming>| {
            let (lane, unread) = (Arc::clone(&lane), Arc::clone(&unread));
            let (alt_svc, open) = (alt_svc.clone(), asked.begin());
            async move {
                let request = request.map(|body| Attended::new(body, stall_timeout));
                let mut response = answer(&lane, peer, &unread, request).await;
                if let Some(http3) = alt_svc {
                    response.headers_mut().insert(header::ALT_SVC, http3);
                }
                Ok::<_, Infallible>(response.map(|body| Answering::new(body, open)))
            }
        })
    };
    let stream = TokioIo::new(Patient::new(stream, said, head_timeout, stall_timeout));
    let connection = builder.serve_connection(stream, service).into_owned();
    let Some(watcher) = lane.watcher() else { return };
    let connection = watcher.watch(connection);
    tokio::select! {
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(peer = %peer.address, %error, "an HTTP connection ended early");
            }
        }
        () = overdue(&unread, lane.site.clock.as_ref(), answer_timeout) => {
            tracing::debug!(peer = %peer.address, "an HTTP client takes nothing of what it asked for; it is let go");
        }
        () = asked.quiet_for(lane.limits.quiet_timeout) => {
            tracing::debug!(peer = %peer.address, "an HTTP client asks nothing; it is let go");
        }
    }
}

/// Returns when an answer was not taken within `limit`, or up to a quarter more.
async fn overdue(unread: &Unread, clock: &dyn Clock, limit: Duration) {
    while !unread.is_overdue_at(clock.mono(), limit) {
        tokio::time::sleep(limit / 4).await;
    }
}

/// The answer to a request, counted.
pub async fn answer<B>(lane: &Lane, peer: Peer, unread: &Arc<Unread>, mut request: Request<B>) -> Response<AnyBody>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let site = &lane.site;
    let asked = site.clock.mono();
    let version = request.version();
    let (kind, mut response) = if head::is_media(request.uri().path()) {
        let answer = site.media.answer(&request.map(|_| ()), peer);
        let response = match answer.reply {
            Reply::Ready(response) => response,
            Reply::Later(response) => response.await,
        };
        (answer.kind, response.map(|body| AnyBody::media(body, unread, &site.clock, asked)))
    } else {
        let kind = kind_of(request.uri().path());
        request.extensions_mut().insert(peer);
        let response = match site.router.clone().oneshot(request.map(axum::body::Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        (kind, response.map(AnyBody::Page))
    };
    if matches!(version, Version::HTTP_2 | Version::HTTP_3)
        && let Some(urgency) = urgency(kind)
    {
        response.headers_mut().entry(PRIORITY).or_insert(HeaderValue::from_static(urgency));
    }
    site.metrics.answered(kind, response.status().as_u16(), site.clock.mono().since(asked));
    if let Some(length) = response.body().size_hint().exact() {
        site.metrics.sent(kind, length);
    }
    response
}

/// STANDARDS 1.47: the urgency of an answer over HTTP/2 and HTTP/3 (RFC 9218 5), for a CDN that forwards it. All renditions have
/// the same, so none is before another of a lower bit rate.
fn urgency(kind: RequestKind) -> Option<&'static str> {
    match kind {
        RequestKind::Multivariant | RequestKind::Playlist | RequestKind::IframePlaylist | RequestKind::Mpd => {
            Some("u=1")
        }
        RequestKind::Init | RequestKind::Part => Some("u=2"),
        RequestKind::Segment => Some("u=3"),
        _ => None,
    }
}

fn kind_of(path: &str) -> RequestKind {
    match path {
        "/metrics" | "/healthz" | "/readyz" => RequestKind::Operations,
        _ if path.starts_with("/api/") => RequestKind::Api,
        _ => RequestKind::Page,
    }
}

/// A media body, or one of the router's.
pub enum AnyBody {
    /// Bytes of a window.
    Media(Body, Token),
    /// A file of any size, read while it is sent.
    File(Body, Arc<Unread>, Arc<dyn Clock>),
    /// Whatever the router answered.
    Page(axum::body::Body),
}

impl AnyBody {
    /// A media body, of which it is noted when it is not taken. A file takes as long as its reader, who must only go on
    /// reading: of it each piece counts by itself.
    fn media(body: Body, unread: &Arc<Unread>, clock: &Arc<dyn Clock>, asked: MonoTime) -> Self {
        if body.is_unfinished() && body.exact_len().is_some() {
            AnyBody::File(body, Arc::clone(unread), Arc::clone(clock))
        } else {
            AnyBody::Media(body, unread.begin(asked))
        }
    }
}

impl HttpBody for AnyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            AnyBody::Media(body, token) => Pin::new(body)
                .poll_frame(cx)
                .map_ok(|frame| frame.map_data(|bytes| token.bind(bytes)))
                .map_err(axum::Error::new),
            AnyBody::File(body, unread, clock) => Pin::new(body)
                .poll_frame(cx)
                .map_ok(|frame| frame.map_data(|bytes| unread.begin(clock.mono()).bind(bytes)))
                .map_err(axum::Error::new),
            AnyBody::Page(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnyBody::Media(body, _) | AnyBody::File(body, ..) => body.is_end_stream(),
            AnyBody::Page(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnyBody::Media(body, _) | AnyBody::File(body, ..) => body.size_hint(),
            AnyBody::Page(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use http_body_util::BodyExt as _;
    use millstream_media::time::UtcTime;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn utc(&self) -> UtcTime {
            UtcTime::EPOCH
        }
        fn mono(&self) -> MonoTime {
            MonoTime(Duration::from_secs(self.0.load(Ordering::Relaxed)))
        }
    }

    /// A download of hours over HTTP/2 goes on while it is read, and is let go when it is not.
    #[tokio::test]
    async fn a_file_takes_as_long_as_its_reader() {
        let (hand, unread, limit) = (Arc::new(Hand::default()), Arc::new(Unread::default()), Duration::from_secs(120));
        let clock: Arc<dyn Clock> = hand.clone();
        let pieces = futures::stream::iter(0..100).map(|_| Ok(Bytes::from_static(b"piece")));
        let mut file = AnyBody::media(Body::sized(500, Box::pin(pieces)), &unread, &clock, clock.mono());
        for second in (0..9000).step_by(100) {
            hand.0.store(second, Ordering::Relaxed);
            assert!(!unread.is_overdue_at(clock.mono(), limit), "{second}");
            drop(file.frame().await);
        }
        let untaken = file.frame().await;
        hand.0.store(9100, Ordering::Relaxed);
        assert!(unread.is_overdue_at(clock.mono(), limit));
        drop(untaken);
        assert!(!unread.is_overdue_at(clock.mono(), limit));
        // A segment is a matter of seconds, however it is read.
        let mut whole = AnyBody::media(Body::full("segment"), &unread, &clock, clock.mono());
        drop(whole.frame().await);
        hand.0.store(9300, Ordering::Relaxed);
        assert!(unread.is_overdue_at(clock.mono(), limit));
        drop(whole);
    }
}
