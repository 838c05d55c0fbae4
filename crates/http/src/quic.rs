//! HTTP/3: QUIC on a UDP socket, with the same site behind it. The protocol is a library's; the bounds are ours.
//!
//! Sources: RFC 9000 (QUIC), RFC 9114 (HTTP/3), RFC 7838 (Alt-Svc).

use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::{HeaderValue, Method, Response, header};
use http_body::{Body as HttpBody, Frame};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, TokioRuntime, TransportConfig, VarInt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::front::{Lane, Peer};
use crate::full;
use crate::patience::Attended;
use crate::seats::{Places, Seat};
use crate::tls::Certificate;
use crate::unread::Unread;

/// Requests open at once on a connection, as over HTTP/2.
const STREAMS: u32 = 128;
/// Bytes of an answer that a client has not acknowledged, for each connection.
const UNACKNOWLEDGED: u64 = 2 << 20;
/// Bytes of uploads that we have not read, for each request and each connection.
const UNREAD: (u32, u32) = (256 << 10, 1 << 20);
/// Bytes handed to the library at once: a client that takes fewer than these in the stall time is let go.
const PIECE: usize = 64 << 10;
/// Largest head of a request, in bytes.
const HEAD: u64 = 32 << 10;
/// Handshakes that wait to be looked at; further ones are dropped, and tried again by their clients.
const KNOCKING: usize = 1024;
/// How long a browser may go by what it was told of HTTP/3, in seconds.
const TOLD_FOR: u32 = 3600;

/// Opens HTTP/3 on a socket, with the certificate that is current at each handshake. Call it within a runtime.
///
/// # Errors
/// If the TLS library refuses its own defaults, or the socket cannot be used.
pub fn open(socket: UdpSocket, certificate: &Arc<Certificate>, idle: Duration) -> Result<Endpoint, crate::tls::Error> {
    let mut changes = certificate.changes();
    changes.mark_unchanged();
    let server = config(certificate, idle)?;
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime);
    let endpoint = endpoint.map_err(crate::tls::Error::Socket)?;
    let (told, certificate) = (endpoint.clone(), Arc::clone(certificate));
    // Ends with the runtime, as the endpoint does.
    tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            match config(&certificate, idle) {
                Ok(server) => told.set_server_config(Some(server)),
                Err(error) => tracing::warn!(%error, "HTTP/3 does not take the new origin.client_ca"),
            }
        }
    });
    Ok(endpoint)
}

fn config(certificate: &Arc<Certificate>, idle: Duration) -> Result<quinn::ServerConfig, crate::tls::Error> {
    let tls = certificate.config(&[&rustls::version::TLS13], &[b"h3"])?;
    let tls = QuicServerConfig::try_from(tls).map_err(|e| rustls::Error::General(e.to_string()))?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(8))
        .stream_receive_window(VarInt::from_u32(UNREAD.0))
        .receive_window(VarInt::from_u32(UNREAD.1))
        .send_window(UNACKNOWLEDGED)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(idle.try_into().ok());
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
    server.transport_config(Arc::new(transport)).max_incoming(KNOCKING);
    Ok(server)
}

/// What answers over TLS say of it (RFC 7838 3): the same host, this UDP port.
pub fn alt_svc(endpoint: &Endpoint) -> Option<HeaderValue> {
    let port = endpoint.local_addr().ok()?.port();
    HeaderValue::from_str(&format!("h3=\":{port}\"; ma={TOLD_FOR}")).ok()
}

/// Serves an endpoint until `stop` says true, then lets open requests finish within the drain time.
pub(crate) async fn serve(endpoint: Endpoint, lane: Arc<Lane>, places: Places, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            Some(_) = connections.join_next() => continue,
            () = said(&mut stop) => None,
        };
        let Some(incoming) = incoming else { break };
        // While there is much room an address need not show first that it is not forged.
        if places.is_crowded() && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            continue;
        }
        let Some(seat) = places.take(incoming.remote_address().ip(), lane.site.clock.mono()) else {
            incoming.refuse();
            continue;
        };
        connections.spawn(connection(incoming, Arc::clone(&lane), seat, stop.clone()));
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(lane.limits.drain, all).await.is_err() {
        tracing::info!("some HTTP/3 requests were still open when the drain time ended");
    }
    endpoint.close(VarInt::from_u32(0), b"stopped");
    let _ = tokio::time::timeout(Duration::from_millis(200), endpoint.wait_idle()).await;
}

async fn said(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One connection: each request is a task of its own, which ends with the connection.
async fn connection(incoming: Incoming, lane: Arc<Lane>, seat: Seat, mut stop: watch::Receiver<bool>) {
    let _seat = seat;
    let address = incoming.remote_address();
    let patience = lane.limits.head_timeout;
    let Ok(Ok(quic)) = tokio::time::timeout(patience, async { incoming.accept()?.await }).await else {
        tracing::debug!(peer = %address, "a QUIC handshake failed");
        return;
    };
    let peer = Peer { address, tls: true, certified: quic.peer_identity().is_some() };
    let mut builder = h3::server::builder();
    let built = builder.max_field_section_size(HEAD).build(h3_quinn::Connection::new(quic));
    let Ok(Ok(mut http)) = tokio::time::timeout(patience, built).await else {
        tracing::debug!(peer = %address, "an HTTP/3 connection failed at its start");
        return;
    };
    let mut requests = JoinSet::new();
    let mut is_stopping = false;
    // A client that sends pings would keep its place for ever.
    let quiet = lane.limits.quiet_timeout;
    let mut silence = std::pin::pin!(tokio::time::sleep(quiet));
    loop {
        tokio::select! {
            accepted = http.accept() => match accepted {
                Ok(Some(resolver)) => drop(requests.spawn(request(resolver, Arc::clone(&lane), peer))),
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(peer = %address, %error, "an HTTP/3 connection ended");
                    // Nobody reads what is still being made.
                    requests.abort_all();
                    break;
                }
            },
            Some(_) = requests.join_next() => silence.as_mut().reset(tokio::time::Instant::now() + quiet),
            () = &mut silence, if requests.is_empty() => {
                tracing::debug!(peer = %address, "an HTTP/3 client asks nothing; it is let go");
                break;
            }
            () = said(&mut stop), if !is_stopping => {
                is_stopping = true;
                if http.shutdown(0).await.is_err() {
                    break;
                }
            }
        }
    }
    while requests.join_next().await.is_some() {}
}

type Both = h3_quinn::BidiStream<Bytes>;
type Send = h3_quinn::SendStream<Bytes>;
type Receive = h3_quinn::RecvStream;

async fn request(resolver: RequestResolver<h3_quinn::Connection, Bytes>, lane: Arc<Lane>, peer: Peer) {
    let resolved = tokio::time::timeout(lane.limits.head_timeout, resolver.resolve_request()).await;
    let Ok(Ok((request, stream))) = resolved else { return };
    let (send, receive): (RequestStream<Send, Bytes>, RequestStream<Receive, Bytes>) = split(stream);
    let head_only = request.method() == Method::HEAD;
    let stall = lane.limits.stall_timeout;
    let asked = request.map(|()| Attended::new(Upload(receive), stall));
    // Bytes that are not taken are bounded here by the stall time, and need not be counted.
    let response = full::answer(&lane, peer, &Arc::<Unread>::default(), asked).await;
    if let Err(error) = answer(send, response, head_only, stall).await {
        tracing::debug!(peer = %peer.address, error, "an HTTP/3 answer was not taken");
    }
}

fn split(stream: RequestStream<Both, Bytes>) -> (RequestStream<Send, Bytes>, RequestStream<Receive, Bytes>) {
    stream.split()
}

async fn answer<B>(
    mut send: RequestStream<Send, Bytes>,
    response: Response<B>,
    head_only: bool,
    stall: Duration,
) -> Result<(), String>
where
    B: HttpBody<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && !head.headers.contains_key(header::CONTENT_LENGTH)
        && !head.status.is_informational()
        && !matches!(head.status.as_u16(), 204 | 304)
    {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    in_time(stall, send.send_response(Response::from_parts(head, ()))).await?;
    if !head_only {
        let mut body = std::pin::pin!(body);
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    // The client must not take this for the end.
                    send.stop_stream(Code::H3_INTERNAL_ERROR);
                    return Err(error.to_string());
                }
            };
            let Ok(mut bytes) = frame.into_data() else { continue };
            while !bytes.is_empty() {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                in_time(stall, send.send_data(piece)).await?;
            }
        }
    }
    in_time(stall, send.finish()).await
}

/// A step of an answer, which the client must let happen.
async fn in_time(limit: Duration, step: impl Future<Output = Result<(), StreamError>>) -> Result<(), String> {
    match tokio::time::timeout(limit, step).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the client takes nothing".to_owned()),
    }
}

/// What a client sends with its request.
struct Upload(RequestStream<Receive, Bytes>);

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let received = ready!(self.0.poll_recv_data(cx)).map_err(axum::Error::new).transpose();
        Poll::Ready(received.map(|data| data.map(|mut data| Frame::data(data.copy_to_bytes(data.remaining())))))
    }
}
