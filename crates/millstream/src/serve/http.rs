//! The HTTP server: accepts connections, speaks HTTP/1.1 and cleartext h2, sends each request to its room.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

use millstream_control::api::PeerAddr;
use millstream_delivery::answer::{Delivery, Reply};
use millstream_media::time::{Clock, MonoTime};
use millstream_telemetry::{HttpMetrics, RequestKind, ServerMetrics};

use super::patience::Patient;
use super::unread::{Token, Unread};

/// Bounds of the HTTP server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once; further ones wait to be accepted.
    pub connections: usize,
    /// Time a client has to send its request head, and may leave a connection idle.
    pub head_timeout: Duration,
    /// Time for which a client may take nothing of what it asked for.
    pub stall_timeout: Duration,
    /// Time in which a client must have taken a media answer; no player takes longer for what plays in seconds.
    pub answer_timeout: Duration,
    /// Time in which open requests may finish when the server stops.
    pub drain: Duration,
}

/// Least time between two log lines about connections that could not be accepted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 20_000,
            head_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(120),
            drain: Duration::from_secs(3),
        }
    }
}

/// What the server serves.
#[derive(Clone)]
pub struct Rooms {
    /// `/live/…`: the hot path.
    pub media: Arc<dyn Delivery>,
    /// Everything else: API, pages, operations.
    pub router: axum::Router,
    /// Counts requests.
    pub metrics: HttpMetrics,
    /// For the time a request takes.
    pub clock: Arc<dyn Clock>,
}

/// Serves `listener` until `stop` says true, then lets open requests finish within the drain time.
pub async fn run(
    listener: TcpListener,
    rooms: Rooms,
    limits: Limits,
    metrics: ServerMetrics,
    mut stop: watch::Receiver<bool>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head_timeout).max_buf_size(32 * 1024);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(128).keep_alive_interval(Duration::from_secs(20));
    let builder = Arc::new(builder);
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut lost = 0u64;
    let mut complained = None::<MonoTime>;

    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: let some close before trying again.
                lost += 1;
                let now = rooms.clock.mono();
                if complained.is_none_or(|then| now.since(then) >= COMPLAIN_EVERY) {
                    tracing::warn!(
                        %error,
                        times = lost,
                        "HTTP connections cannot be accepted; if files are short, raise the limit (ulimit -n) or lower \
                         limits.http_connections"
                    );
                    (lost, complained) = (0, Some(now));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let rooms = rooms.clone();
        let clock = Arc::clone(&rooms.clock);
        let unread = Arc::new(Unread::default());
        let answers = Arc::clone(&unread);
        let service = service_fn(move |request| answer(rooms.clone(), peer, Arc::clone(&answers), request));
        let stream = TokioIo::new(Patient::new(stream, limits.head_timeout, limits.stall_timeout));
        let connection = builder.serve_connection(stream, service).into_owned();
        let connection = graceful.watch(connection);
        let open = metrics.http_connections.clone();
        open.add(1.0);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "an HTTP connection ended early");
                    }
                }
                () = overdue(&unread, clock.as_ref(), limits.answer_timeout) => {
                    tracing::debug!(%peer, "an HTTP client takes nothing of what it asked for; it is let go");
                }
            }
            open.add(-1.0);
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::info!("some HTTP requests were still open when the drain time ended");
    }
}

/// Returns when an answer was not taken within `limit`, or up to a quarter more.
async fn overdue(unread: &Unread, clock: &dyn Clock, limit: Duration) {
    while !unread.is_overdue_at(clock.mono(), limit) {
        tokio::time::sleep(limit / 4).await;
    }
}

async fn answer(
    rooms: Rooms,
    peer: SocketAddr,
    unread: Arc<Unread>,
    mut request: Request<Incoming>,
) -> Result<Response<AnyBody>, Infallible> {
    let asked = rooms.clock.mono();
    let (kind, response) = if request.uri().path().starts_with("/live/") {
        let answer = rooms.media.answer(&request.map(|_| ()), peer);
        let response = match answer.reply {
            Reply::Ready(response) => response,
            Reply::Later(response) => response.await,
        };
        let token = unread.begin(asked);
        (answer.kind, response.map(|body| AnyBody::Media(body, token)))
    } else {
        let kind = kind_of(request.uri().path());
        request.extensions_mut().insert(PeerAddr(peer));
        let response = match rooms.router.oneshot(request.map(axum::body::Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        (kind, response.map(AnyBody::Page))
    };
    rooms.metrics.answered(kind, response.status().as_u16(), rooms.clock.mono().since(asked));
    if let Some(length) = response.body().size_hint().exact() {
        rooms.metrics.sent(kind, length);
    }
    Ok(response)
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
    Media(millstream_delivery::body::Body, Token),
    /// Whatever the router answered.
    Page(axum::body::Body),
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
            AnyBody::Page(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnyBody::Media(body, _) => body.is_end_stream(),
            AnyBody::Page(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnyBody::Media(body, _) => body.size_hint(),
            AnyBody::Page(body) => body.size_hint(),
        }
    }
}
