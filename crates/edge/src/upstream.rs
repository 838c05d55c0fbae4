//! The client that asks the origins: connections kept alive, TLS, time limits, and what is logged of each origin.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use millstream_telemetry::Metrics;
use millstream_telemetry::edge::OriginMetrics;
use millstream_telemetry::log::chain;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;

use crate::clock;
use crate::config::Config;
use crate::credentials::OriginSecret;
use crate::error::Error;
use crate::origins::{Health, Origins};

/// Loop detection (RFC 8586).
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
/// Connections kept open to each origin while they are idle.
const IDLE_CONNECTIONS: usize = 256;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type HttpClient = Client<Deadline, Empty<Bytes>>;

/// Why an origin gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer in time.
    TimeOut,
    /// No connection, or it broke.
    Connection(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::TimeOut => f.write_str("no answer in time"),
            Fault::Connection(cause) => f.write_str(cause),
        }
    }
}

struct Server {
    name: String,
    scheme: Scheme,
    authority: Authority,
    metrics: OriginMetrics,
    /// It was said that it refuses this edge.
    refuses: AtomicBool,
}

impl Server {
    /// An origin never refuses a viewer, of whom it knows nothing: it refuses the edge. Said once until it is over.
    fn note(&self, status: StatusCode) {
        if status == StatusCode::FORBIDDEN && !self.refuses.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                origin = %self.name,
                "the origin answers this edge with 403; see that it has access.edges with this edge's network, and that \
                 edge.origin_secret or edge.origin_certificate is what it asks for"
            );
        } else if status.is_success() {
            self.refuses.store(false, Ordering::Relaxed);
        }
    }
}

/// The origins, and the way to them.
pub struct Upstream {
    servers: Vec<Server>,
    origins: Origins,
    client: HttpClient,
    /// Says that an origin was found to be healthy or not.
    changed: watch::Sender<()>,
    /// How long a probe may take.
    probe_timeout: Duration,
    secret: Option<OriginSecret>,
}

impl Upstream {
    /// The origins of `config`.
    ///
    /// # Errors
    /// If there is none, an address makes no sense, or certificates cannot be read.
    pub fn new(config: &Config, metrics: &Metrics) -> Result<Self, Error> {
        let servers: Vec<Server> = config.origins.iter().map(|text| server(text, metrics)).collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err(Error::NoOrigin);
        }
        for server in &servers {
            server.metrics.healthy.set(1.0);
        }
        let tls = tls(config)?;
        Ok(Upstream {
            origins: Origins::new(servers.len()),
            servers,
            client: client(tls, config.last_timeout),
            changed: watch::Sender::new(()),
            probe_timeout: config.last_timeout,
            secret: config.origin_secret.clone(),
        })
    }

    /// Whom to ask, in this order. Those that failed are probed in the background once their pause is over.
    pub fn order(self: &std::sync::Arc<Self>) -> Vec<usize> {
        for index in self.origins.to_probe_at(clock::now()) {
            let upstream = std::sync::Arc::clone(self);
            tokio::spawn(async move {
                let limit = upstream.probe_timeout;
                match upstream.send(index, &Method::GET, "/healthz", &HeaderMap::new(), limit).await {
                    Ok(_) => upstream.succeeded(index),
                    Err(fault) => upstream.failed(index, &fault.to_string()),
                }
            });
        }
        self.origins.order()
    }

    /// Asks one origin. Returns when the head is here.
    pub async fn send(
        &self,
        index: usize,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        limit: Duration,
    ) -> Result<Response<Incoming>, Fault> {
        let Some(server) = self.servers.get(index) else { return Err(Fault::Connection("no such origin".to_owned())) };
        let uri = Uri::builder()
            .scheme(server.scheme.clone())
            .authority(server.authority.clone())
            .path_and_query(target)
            .build()
            .map_err(|error| Fault::Connection(error.to_string()))?;
        let mut request = Request::new(Empty::new());
        request.method_mut().clone_from(method);
        *request.uri_mut() = uri;
        *request.headers_mut() = headers.clone();
        if let Some(secret) = &self.secret {
            let (name, value) = secret.header();
            request.headers_mut().insert(name, value);
        }
        let sent = clock::now();
        server.metrics.requests.increment();
        let answer = tokio::time::timeout(limit, self.client.request(request)).await;
        server.metrics.seconds.observe(clock::now().since(sent));
        match answer {
            Ok(Ok(response)) => {
                server.note(response.status());
                Ok(response)
            }
            Ok(Err(error)) => Err(Fault::Connection(chain(&error))),
            Err(_) => Err(Fault::TimeOut),
        }
    }

    /// An origin answered as it should.
    pub fn succeeded(&self, index: usize) {
        if self.origins.succeeded(index)
            && let Some(server) = self.servers.get(index)
        {
            server.metrics.healthy.set(1.0);
            self.changed.send_replace(());
            tracing::info!(origin = %server.name, "the origin answers again");
        }
    }

    /// An origin did not.
    pub fn failed(&self, index: usize, cause: &str) {
        let Some(server) = self.servers.get(index) else { return };
        server.metrics.failures.increment();
        if self.origins.failed_at(index, cause, clock::now()) {
            server.metrics.healthy.set(0.0);
            self.changed.send_replace(());
            tracing::warn!(origin = %server.name, cause, "the origin fails; the others are asked until it is back");
        }
    }

    /// Whether an origin is asked.
    pub fn is_healthy(&self, index: usize) -> bool {
        self.origins.is_healthy(index)
    }

    /// Whether there is another origin than this one that is asked.
    pub fn has_others(&self, index: usize) -> bool {
        (0..self.servers.len()).any(|other| other != index && self.origins.is_healthy(other))
    }

    /// Changes when an origin is found to be healthy, or not.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Counts bytes of an origin.
    pub fn received(&self, index: usize, bytes: usize) {
        if let Some(server) = self.servers.get(index) {
            server.metrics.bytes.add(bytes as u64);
        }
    }

    /// The origins' names, and what is known of each.
    pub fn health(&self) -> Vec<(String, Health)> {
        self.servers.iter().map(|server| server.name.clone()).zip(self.origins.health()).collect()
    }
}

/// The headers of every request upstream. `before` is the request's own `CDN-Loop`.
pub fn request_headers(id: &str, before: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::VIA, HeaderValue::from_static("1.1 millstream"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("millstream/", env!("CARGO_PKG_VERSION"))));
    let before = before.and_then(|value| value.to_str().ok());
    let way = before.map_or_else(|| id.to_owned(), |before| format!("{before}, {id}"));
    if let Ok(way) = HeaderValue::from_str(&way) {
        headers.insert(CDN_LOOP, way);
    }
    headers
}

fn server(text: &str, metrics: &Metrics) -> Result<Server, Error> {
    let wrong = |why: &str| Error::Origin { origin: text.to_owned(), why: why.to_owned() };
    let uri: Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
    let scheme = uri.scheme().cloned().ok_or_else(|| wrong("it begins neither with http:// nor https://"))?;
    if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
        return Err(wrong("it begins neither with http:// nor https://"));
    }
    let authority = uri.authority().cloned().ok_or_else(|| wrong("it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("it holds a user name"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it has a path; give scheme, host and port only"));
    }
    let name = format!("{scheme}://{authority}");
    Ok(Server { metrics: metrics.edge_origin(&name), name, scheme, authority, refuses: AtomicBool::new(false) })
}

fn tls(settings: &Config) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    // A system without certificates has none to trust; https origins then need `origin_ca`.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &settings.origin_ca {
        let wrong = |why: String| Error::Certificates { path: path.to_owned(), why };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
            roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| Error::Tls(e.to_string()))?;
    let config = config.with_root_certificates(roots);
    Ok(match &settings.identity {
        Some(identity) => config.with_client_cert_resolver(std::sync::Arc::new(identity.clone())),
        None => config.with_no_client_auth(),
    })
}

fn client(tls: rustls::ClientConfig, connect: Duration) -> HttpClient {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    // An origin that is gone without a word is found out while a reload is held.
    http.set_keepalive(Some(Duration::from_secs(2)));
    http.set_keepalive_interval(Some(Duration::from_secs(1)));
    http.set_keepalive_retries(Some(2));
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions().wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(15))
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .http2_keep_alive_interval(Some(Duration::from_secs(2)))
        .http2_keep_alive_timeout(Duration::from_secs(2))
        .build(Deadline { inner: connector, limit: connect })
}

/// Ends an attempt to connect, TLS included, that takes too long.
#[derive(Clone)]
struct Deadline {
    inner: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl tower::Service<Uri> for Deadline {
    type Response = <HttpsConnector<HttpConnector> as tower::Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        tower::Service::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tower::Service::call(&mut self.inner, uri);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err("no connection in time".into()),
            }
        })
    }
}
