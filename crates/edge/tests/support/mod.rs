//! A fake origin: a real HTTP server whose answers the test decides, and an edge that asks it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "a harness; each test uses a part of it")]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use millstream_delivery::answer::{Delivery as _, Peer, Reply};
use millstream_delivery::body::Body;
use millstream_edge::{Config, Edge};
use millstream_telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub type Reply_ = Response<BoxBody<Bytes, std::io::Error>>;
type Later = Pin<Box<dyn Future<Output = Reply_> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Later + Send + Sync>;

/// A server on loopback; it dies with this.
pub struct Origin {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Origin {
    pub async fn start<F, R>(answer: F) -> Origin
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Reply_> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Origin::on(listener, answer)
    }

    pub fn on<F, R>(listener: TcpListener, answer: F) -> Origin
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Reply_> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let (seen, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let handler: Handler = Arc::new(move |request| Box::pin(answer(request)));
        let (list, counter) = (Arc::clone(&seen), Arc::clone(&count));
        let task = tokio::spawn(async move {
            // Connections end with the server.
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (handler, list, counter) = (Arc::clone(&handler), Arc::clone(&list), Arc::clone(&counter));
                connections.spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        list.lock().unwrap().push(request.uri().to_string());
                        counter.fetch_add(1, Ordering::SeqCst);
                        let answer = handler(request);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Origin { address, seen, count, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub fn kill(&self) {
        self.task.abort();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer of an origin.
pub fn reply(status: u16, kind: &str, cache: &str, body: impl Into<Bytes>) -> Reply_ {
    let body = http_body_util::Full::new(body.into()).map_err(|never| match never {}).boxed();
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .header("cache-control", cache)
        .header("etag", "\"t1\"")
        .body(body)
        .unwrap()
}

pub const PLAYLIST: &str = "application/vnd.apple.mpegurl";

pub async fn edge(origins: &[String]) -> Edge {
    edge_with(Config::new(origins.to_vec())).await
}

pub async fn edge_with(config: Config) -> Edge {
    Edge::open(config, &Metrics::new()).await.unwrap()
}

/// A whole answer.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn age(&self) -> u64 {
        self.headers["age"].to_str().unwrap().parse().unwrap()
    }
}

pub fn ask(
    edge: &Edge,
    url: &str,
    headers: &[(&'static str, &str)],
) -> impl Future<Output = Response<Body>> + Send + 'static {
    let mut request = Request::builder().uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = edge.answer(&request.body(()).unwrap(), Peer::plain("127.0.0.1:5".parse().unwrap())).reply;
    async move {
        match reply {
            Reply::Ready(response) => response,
            Reply::Later(later) => later.await,
        }
    }
}

pub async fn get(edge: &Edge, url: &str) -> Got {
    get_with(edge, url, &[]).await
}

pub async fn get_with(edge: &Edge, url: &str, headers: &[(&'static str, &str)]) -> Got {
    let response = tokio::time::timeout(Duration::from_secs(20), ask(edge, url, headers)).await.expect("no answer");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Got { status: parts.status, headers: parts.headers, body }
}

/// Waits until `condition` holds.
pub async fn until(condition: impl Fn() -> bool) {
    tokio::time::timeout(Duration::from_secs(10), async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("never came true");
}
