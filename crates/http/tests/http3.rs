//! HTTP/3: the same site over QUIC.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod site;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{Method, Request, Response};
use millstream_http::tls::Certificate;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use site::{LIST, Server};
use tokio::io::AsyncWriteExt as _;

type Requests = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

/// A client's connection; it lives as long as its endpoint.
struct Client {
    endpoint: quinn::Endpoint,
    requests: Requests,
    driver: tokio::task::JoinHandle<h3::error::ConnectionError>,
}

async fn connect(address: SocketAddr, trusted: &rustls::pki_types::CertificateDer<'static>) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(200)));
    config.transport_config(Arc::new(transport));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connection = endpoint.connect_with(config, address, "localhost").unwrap().await.unwrap();
    let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(connection)).await.unwrap();
    let driver = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    Client { endpoint, requests, driver }
}

impl Client {
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Vec<u8>>, h3::error::StreamError> {
        let request = Request::builder().method(method).uri(format!("https://localhost{path}")).body(()).unwrap();
        let mut stream = self.requests.send_request(request).await?;
        if !body.is_empty() {
            stream.send_data(body).await?;
        }
        stream.finish().await?;
        let response = stream.recv_response().await?;
        let mut taken = Vec::new();
        while let Some(mut data) = stream.recv_data().await? {
            taken.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        Ok(response.map(|()| taken))
    }

    async fn get(&mut self, path: &str) -> Response<Vec<u8>> {
        self.ask(Method::GET, path, Bytes::new()).await.unwrap()
    }
}

struct Made {
    certificate: Arc<Certificate>,
    trusted: rustls::pki_types::CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

fn certificate() -> Made {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Made { certificate: Certificate::open(&chain, &key).unwrap(), trusted: made.cert.der().clone(), _folder: folder }
}

#[tokio::test]
async fn media_pages_and_uploads_over_http_3() {
    let made = certificate();
    let (_server, address) = Server::with_http3(&made.certificate).await;
    let mut client = connect(address, &made.trusted).await;
    let list = client.get("/live/a/list").await;
    assert_eq!((list.status().as_u16(), list.body().as_slice()), (200, LIST.as_bytes()));
    // STANDARDS 1.47: urgency, as over HTTP/2.
    assert_eq!(list.headers()["priority"], "u=1");
    let large = client.get("/live/a/large").await;
    assert_eq!(large.body().len(), site::LARGE);
    assert_eq!(large.headers()["content-length"], site::LARGE.to_string().as_str());
    let head = client.ask(Method::HEAD, "/live/a/large", Bytes::new()).await.unwrap();
    assert_eq!((head.status().as_u16(), head.body().len()), (200, 0));
    let sent = Bytes::from(vec![7; 100_000]);
    let echo = client.ask(Method::POST, "/echo", sent.clone()).await.unwrap();
    assert_eq!(echo.body().as_slice(), &sent[..]);
    assert_eq!(client.get("/live/a/none").await.status(), 404);
}

#[tokio::test]
async fn what_is_being_made_comes_piece_by_piece_and_a_broken_one_is_no_end() {
    let made = certificate();
    let (_server, address) = Server::with_http3(&made.certificate).await;
    let mut client = connect(address, &made.trusted).await;
    let chunks = client.get("/live/a/chunks").await;
    assert!(chunks.body().ends_with(b"two"), "{:?}", chunks.body());
    client.ask(Method::GET, "/live/a/broken", Bytes::new()).await.unwrap_err();
    // The connection goes on.
    assert_eq!(client.get("/live/a/list").await.status(), 200);
}

#[tokio::test]
async fn a_blocked_request_is_woken_and_one_whose_client_left_is_forgotten() {
    let made = certificate();
    let (server, address) = Server::with_http3(&made.certificate).await;
    let mut client = connect(address, &made.trusted).await;
    let waiting = tokio::spawn(async move { client.get("/live/a/wait").await });
    server.until_waiting(1).await;
    server.publish();
    assert_eq!(waiting.await.unwrap().body().as_slice(), LIST.as_bytes());

    let mut gone = connect(address, &made.trusted).await;
    let endpoint = gone.endpoint.clone();
    let waiting = tokio::spawn(async move { gone.ask(Method::GET, "/live/a/wait", Bytes::new()).await.is_err() });
    server.until_waiting(1).await;
    endpoint.close(0u32.into(), b"");
    assert!(waiting.await.unwrap());
    server.until_waiting(0).await;
}

#[tokio::test]
async fn a_stop_lets_an_open_request_finish() {
    let made = certificate();
    let (server, address) = Server::with_http3(&made.certificate).await;
    let mut client = connect(address, &made.trusted).await;
    let mut other =
        Client { endpoint: client.endpoint.clone(), requests: client.requests.clone(), driver: client.driver };
    let waiting = tokio::spawn(async move {
        let request = Request::get("https://localhost/live/a/wait").body(()).unwrap();
        let mut stream = client.requests.send_request(request).await.unwrap();
        stream.finish().await.unwrap();
        stream.recv_response().await.unwrap().status()
    });
    server.until_waiting(1).await;
    server.stop.send(true).unwrap();
    // Announced (RFC 9114 5.2): nothing new is taken.
    let _ = (&mut other.driver, tokio::task::yield_now().await);
    server.publish();
    assert_eq!(waiting.await.unwrap(), 200);
    drop(other);
    server.ended.await.unwrap();
}

/// RFC 7838: who comes over TLS is told of HTTP/3; who comes without is not.
#[tokio::test]
async fn answers_over_tls_say_that_http_3_is_there() {
    let made = certificate();
    let (server, address) = Server::with_http3(&made.certificate).await;
    let expected = format!("h3=\":{}\"; ma=3600", address.port());
    let mut roots = RootCertStore::empty();
    roots.add(made.trusted.clone()).unwrap();
    for (alpn, path) in [("http/1.1", "/live/a/list"), ("http/1.1", "/echo"), ("h2", "/live/a/list")] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut tls = builder.with_root_certificates(roots.clone()).with_no_client_auth();
        tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
        let mut stream = connector.connect(name, server.connect().await).await.unwrap();
        let said = if alpn == "h2" {
            let answer = site::get_http_2(stream, &format!("https://localhost{path}")).await;
            answer.headers()["alt-svc"].to_str().unwrap().to_owned()
        } else {
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
            let (head, _) = site::read_answer(&mut stream).await;
            head.lines().find_map(|l| l.strip_prefix("alt-svc: ")).unwrap_or_else(|| panic!("{head}")).to_owned()
        };
        assert_eq!(said, expected, "{alpn} {path}");
    }
}

/// Pings alone keep no place.
#[tokio::test]
async fn a_quiet_connection_of_http_3_is_let_go() {
    let made = certificate();
    let (server, address) = Server::with_http3(&made.certificate).await;
    let mut waiting = connect(address, &made.trusted).await;
    let waited = tokio::spawn(async move { waiting.get("/live/a/wait").await });
    server.until_waiting(1).await;
    let mut quiet = connect(address, &made.trusted).await;
    assert_eq!(quiet.get("/live/a/list").await.status(), 200);
    server.until_open(1).await;
    tokio::time::timeout(Duration::from_secs(20), quiet.driver).await.unwrap().unwrap();
    assert!(!waited.is_finished());
    server.publish();
    assert_eq!(waited.await.unwrap().body(), LIST.as_bytes());
}
