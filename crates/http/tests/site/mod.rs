//! A small site behind the front, and what a test asks of it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use millstream_delivery::answer::{Answer, Delivery, Peer};
use millstream_delivery::body::{Body, BrokenOff};
use millstream_delivery::respond::{self, CacheLife, Entity};
use millstream_http::front::{Door, Limits, Site, run};
use millstream_http::quic;
use millstream_http::tls::{Acceptor, Certificate};
use millstream_media::time::{Clock, MonoTime, UtcTime};
use millstream_telemetry::{Metrics, RequestKind, ServerMetrics};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub const LIST: &str = "#EXTM3U of the test";
pub const LARGE: usize = 1 << 20;
const LIMIT: Duration = Duration::from_secs(20);

/// The time of these tests: November 2026.
const NOW: UtcTime = UtcTime::from_millis(1_795_000_000_000);

struct Wall(Instant);

#[allow(dead_code, reason = "for those that follow files")]
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(Wall(Instant::now()))
}

impl Clock for Wall {
    fn utc(&self) -> UtcTime {
        NOW
    }
    fn mono(&self) -> MonoTime {
        MonoTime(self.0.elapsed())
    }
}

struct Media {
    published: watch::Sender<u64>,
}

fn entity(pieces: Vec<Bytes>) -> Entity {
    let etag = HeaderValue::from_static("tag");
    Entity { pieces, gzip: None, etag, content_type: "text/plain", cache: CacheLife::Seconds(1) }
}

impl Delivery for Media {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        let send = |pieces| respond::entity(request.method(), request.headers(), &entity(pieces));
        let unfinished = |last: Result<Bytes, BrokenOff>| {
            let rest = futures::stream::iter([last]);
            Answer::ready(RequestKind::Segment, Response::new(Body::unfinished(["one".into()], Box::pin(rest))))
        };
        match request.uri().path() {
            "/live/a/list" => Answer::ready(RequestKind::Playlist, send(vec![LIST.into()])),
            "/live/a/large" => Answer::ready(
                RequestKind::Segment,
                send(vec![vec![b'x'; LARGE / 2].into(), vec![b'x'; LARGE / 2].into()]),
            ),
            "/live/a/who" => {
                let text = format!("tls {} certified {}", peer.tls, peer.certified);
                Answer::ready(RequestKind::Playlist, send(vec![text.into()]))
            }
            "/live/a/chunks" => unfinished(Ok("two".into())),
            "/live/a/broken" => unfinished(Err(BrokenOff::GivenUp)),
            "/live/a/wait" => {
                let (mut published, response) = (self.published.subscribe(), send(vec![LIST.into()]));
                Answer::later(RequestKind::Playlist, async move {
                    let _ = published.changed().await;
                    response
                })
            }
            _ => Answer::ready(RequestKind::Other, respond::not_found("nothing\n")),
        }
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub stop: watch::Sender<bool>,
    pub ended: tokio::task::JoinHandle<()>,
    published: watch::Sender<u64>,
    metrics: ServerMetrics,
}

impl Server {
    pub async fn start() -> Self {
        Self::with_tls(None).await
    }

    pub async fn with_tls(tls: Option<Acceptor>) -> Self {
        Self::behind(tls, None).await
    }

    /// HTTP/3 and what goes over TLS; the address of HTTP/3 is given, too.
    pub async fn with_http3(certificate: &Arc<Certificate>) -> (Self, SocketAddr) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let endpoint = quic::open(socket, certificate, Duration::from_secs(5)).unwrap();
        let address = endpoint.local_addr().unwrap();
        (Self::behind(Some(certificate.acceptor().unwrap()), Some(endpoint)).await, address)
    }

    async fn behind(tls: Option<Acceptor>, http3: Option<quinn::Endpoint>) -> Self {
        let published = watch::Sender::new(0);
        let all = Metrics::new();
        let echo = axum::routing::post(async |body: Bytes| body);
        let site = Site {
            media: Arc::new(Media { published: published.clone() }),
            router: axum::Router::new().route("/echo", echo),
            metrics: all.http(),
            clock: Arc::new(Wall(Instant::now())),
        };
        let limits = Limits {
            head_timeout: Duration::from_secs(2),
            stall_timeout: Duration::from_millis(500),
            quiet_timeout: Duration::from_secs(1),
            lanes: NonZeroUsize::new(2),
            ..Limits::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let metrics = all.server();
        let ended = tokio::spawn(run(vec![Door { listener, tls, http3 }], site, limits, metrics.clone(), stopping));
        Server { address, stop, ended, published, metrics }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub fn publish(&self) {
        self.published.send_modify(|n| *n += 1);
    }

    /// Returns when this many requests wait.
    pub async fn until_waiting(&self, count: usize) {
        until(|| self.published.receiver_count() == count).await;
    }

    /// Returns when this many connections are open.
    pub async fn until_open(&self, count: usize) {
        until(|| self.metrics.http_connections.get() == count as f64).await;
    }
}

pub async fn until(condition: impl Fn() -> bool) {
    let all = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LIMIT, all).await.unwrap();
}

/// Head and body of an answer whose length is in its head.
pub async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(LIMIT, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}

/// A client of HTTP/2; its connection lives as long as the server lets it.
pub type Http2 = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

pub async fn http_2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Http2 {
    let (send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

/// Asks with HTTP/2 and reads the whole answer.
pub async fn get_http_2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, url: &str) -> Response<Bytes> {
    ask_http_2(&mut http_2(stream).await, url).await
}

/// The same on a connection that is there.
pub async fn ask_http_2(send: &mut Http2, url: &str) -> Response<Bytes> {
    let request = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
    let (parts, body) = send.send_request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}
