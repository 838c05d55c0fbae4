//! The HTTP front as the configuration has it: its doors, and where its requests go.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use millstream_control::api::{ClientAddr, ClientTls, PeerAddr};
use millstream_delivery::rate::Rates;
use millstream_delivery::viewer::{Proxies, Viewer};
use millstream_http::front::{Door, Limits, Peer};
use millstream_http::quic;
use millstream_http::tls::{Certificate, LOOK_EVERY};
use millstream_media::time::Clock;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{bind_help, fence};
use crate::config::Config;

/// How long an HTTP/3 connection lives on without a word.
const QUIC_IDLE: Duration = Duration::from_secs(30);

/// Connections that may wait to be accepted; the kernel's `somaxconn` (4096 by default) bounds it. What does not fit is
/// tried again by its client a second later.
const BACKLOG: u32 = 4096;

/// Binds the doors, and notes their addresses in `listening`.
///
/// # Errors
/// If an address is taken, or the certificate cannot be used.
pub async fn doors(
    config: &Config,
    listening: &mut BTreeMap<String, String>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Door>> {
    let address = config.server.http.get().context("server.http is off; give an address such as 127.0.0.1:8080")?;
    let http = listen(address).with_context(|| bind_help("HTTP", "--http", address))?;
    listening.insert("http".to_owned(), http.local_addr()?.to_string());
    let mut doors = vec![Door { listener: http, tls: None, http3: None }];
    let Some(address) = config.server.https.get() else {
        anyhow::ensure!(!config.server.http3, "server.http3 needs TLS; set server.https, or server.http3 = false");
        return Ok(doors);
    };
    let (certificate, key) = (&config.server.tls_certificate, &config.server.tls_key);
    if certificate.as_os_str().is_empty() || key.as_os_str().is_empty() {
        anyhow::bail!("server.https needs a certificate; set server.tls_certificate and server.tls_key to PEM files");
    }
    let authorities = Some(config.origin.client_ca.as_path()).filter(|path| !path.as_os_str().is_empty());
    let certificate = Certificate::open_for(certificate, key, authorities)?;
    let https = listen(address).with_context(|| bind_help("HTTPS", "server.https", address))?;
    let address = https.local_addr()?;
    listening.insert("https".to_owned(), address.to_string());
    let http3 = if config.server.http3 {
        let socket = UdpSocket::bind(address).with_context(|| bind_help("HTTP/3", "server.https", address))?;
        listening.insert("http3".to_owned(), address.to_string());
        Some(quic::open(socket, &certificate, QUIC_IDLE)?)
    } else {
        None
    };
    doors.push(Door { listener: https, tls: Some(certificate.acceptor()?), http3 });
    if let Some(error) = certificate.complaint_at(clock.utc()) {
        tracing::warn!(%error, "clients will refuse the TLS certificate; give a valid one, it is used without a restart");
    }
    follow(certificate, Arc::clone(clock))?;
    Ok(doors)
}

/// Listens with a queue that a crowd that comes at once fits into.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As `TcpListener::bind` does: a restart must not wait for the connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The front's bounds.
///
/// # Errors
/// If a network of the configuration makes no sense.
pub fn limits(config: &Config, drain: Duration) -> Result<Limits> {
    let set = &config.limits;
    let mut many = fence::networks(&config.access.edges)?;
    many.extend(fence::networks(&config.access.trusted_proxies)?);
    Ok(Limits {
        connections: set.http_connections as usize,
        connections_per_address: set.http_connections_per_address as usize,
        connection_rate: Arc::new(Rates::new(set.http_connections_per_second_per_address, many)),
        drain,
        ..Limits::default()
    })
}

/// The address of a client and whether it has TLS, behind whatever proxies there are.
fn client(request: &Request, proxies: &Proxies) -> Option<(IpAddr, bool)> {
    let peer = *request.extensions().get::<Peer>()?;
    if !proxies.include(peer.address.ip()) {
        return Some((peer.address.ip(), peer.tls));
    }
    let mut head = http::Request::new(());
    head.headers_mut().clone_from(request.headers());
    let viewer = Viewer::of(&head, peer, proxies);
    Some((viewer.address, viewer.scheme == "https"))
}

fn too_many() -> Response {
    let headers = [(header::RETRY_AFTER, "1"), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::TOO_MANY_REQUESTS, headers, "too many requests from this address\n").into_response()
}

/// What is no page shows nothing, runs nothing and stands in no frame; pages say more themselves.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

fn harden(headers: &mut HeaderMap, hsts_seconds: u32) {
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("same-origin"));
    let is_script =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/javascript"));
    // A script's policy is that of its page, but a worker's is its own: that of a page would forbid it nothing.
    if !is_script {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(NO_PAGE);
    }
    if hsts_seconds > 0
        && let Ok(value) = HeaderValue::try_from(format!("max-age={hsts_seconds}"))
    {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
}

/// Lets SIGHUP, which says that files changed, end nothing where there is no certificate to read again.
///
/// # Errors
/// If the signal cannot be awaited.
pub fn outlive_hangup() -> Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be awaited")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!(
                "SIGHUP: files that may change are read again when they do; the rest of the configuration needs a restart"
            );
        }
    });
    Ok(())
}

/// Takes the certificate's files anew when they change, and at SIGHUP at once.
fn follow(certificate: Arc<Certificate>, clock: Arc<dyn Clock>) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be awaited")?;
    let (hint, hints) = mpsc::channel(1);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // One that waits is enough.
            let _ = hint.try_send(());
        }
    });
    tokio::spawn(certificate.follow(LOOK_EVERY, hints, clock));
    Ok(())
}

/// The routes with the connection's and the client's address where the API looks for them, with what browsers are to be told, and with the
/// rate at which one client may ask.
///
/// # Errors
/// If a network of the configuration makes no sense.
pub fn routes(router: axum::Router, config: &Config, clock: &Arc<dyn Clock>) -> Result<axum::Router> {
    let hsts_seconds = config.server.hsts_seconds;
    let rates = Arc::new(Rates::new(config.limits.page_requests_per_second_per_address, Vec::new()));
    let (proxies, clock) = (Arc::new(fence::proxies(config)?), Arc::clone(clock));
    let router = router.layer(middleware::from_fn(move |mut request: Request, next: Next| {
        let client = client(&request, &proxies);
        if let Some((address, tls)) = client {
            request.extensions_mut().insert(ClientAddr(address.to_canonical()));
            if tls {
                request.extensions_mut().insert(ClientTls);
            }
        }
        let address = client.map(|(address, _)| address);
        let allowed = address.is_none_or(|address| rates.take_at(address, clock.mono()));
        async move { if allowed { next.run(request).await } else { too_many() } }
    }));
    let router = router.layer(middleware::from_fn(move |request: Request, next: Next| async move {
        let tls = request.extensions().get::<Peer>().is_some_and(|peer| peer.tls);
        let mut response = next.run(request).await;
        harden(response.headers_mut(), if tls { hsts_seconds } else { 0 });
        response
    }));
    let router = router.layer(middleware::map_request(|mut request: Request| async {
        if let Some(peer) = request.extensions().get::<Peer>().copied() {
            request.extensions_mut().insert(PeerAddr(peer.address));
        }
        request
    }));
    Ok(router)
}
