//! What answers is told of the connection: whether it is encrypted, and whether the client showed a certificate.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod site;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use http::Request;
use millstream_http::tls::{Certificate, Error};
use quinn::crypto::rustls::QuicClientConfig;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use site::{Server, get_http_2, read_answer};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// One that signs certificates of clients.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    fn certify(&self) -> Shown {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["edge".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

struct Made {
    certificate: Arc<Certificate>,
    trusted: CertificateDer<'static>,
    authority: Authority,
    folder: tempfile::TempDir,
}

fn made() -> Made {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| -> PathBuf { folder.path().join(name) };
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let authority = Authority::new();
    std::fs::write(file("cert.pem"), own.cert.pem()).unwrap();
    std::fs::write(file("key.pem"), own.signing_key.serialize_pem()).unwrap();
    std::fs::write(file("ca.pem"), &authority.pem).unwrap();
    let certificate = Certificate::open_for(&file("cert.pem"), &file("key.pem"), Some(&file("ca.pem"))).unwrap();
    Made { certificate, trusted: own.cert.der().clone(), authority, folder }
}

fn client(trusted: &CertificateDer<'static>, alpn: &[u8], shown: Option<Shown>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

async fn connect(server: &Server, config: ClientConfig) -> TlsStream<tokio::net::TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await.unwrap()
}

async fn over_http_3(address: SocketAddr, config: ClientConfig) -> Option<String> {
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connection = endpoint.connect_with(config, address, "localhost").unwrap().await.ok()?;
    let (mut driver, mut requests) = h3::client::new(h3_quinn::Connection::new(connection)).await.ok()?;
    tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    let request = Request::get("https://localhost/live/a/who").body(()).unwrap();
    let mut stream = requests.send_request(request).await.ok()?;
    stream.finish().await.ok()?;
    stream.recv_response().await.ok()?;
    let mut taken = Vec::new();
    while let Some(mut data) = stream.recv_data().await.ok()? {
        taken.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    Some(String::from_utf8(taken).unwrap())
}

#[tokio::test]
async fn cleartext_is_not_tls_whatever_the_request_says() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    let request = b"GET https://h/live/a/who HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // An absolute target is the full server's, which finds the same media.
    assert_eq!(read_answer(&mut stream).await.1, b"tls false certified false");
    let answer = get_http_2(server.connect().await, "https://h/live/a/who").await;
    assert_eq!(answer.body(), "tls false certified false", ":scheme is what the client says");
}

#[tokio::test]
async fn a_certificate_of_a_client_is_noticed_over_each_version() {
    let made = made();
    let (server, address) = Server::with_http3(&made.certificate).await;
    for certified in [false, true] {
        let want = format!("tls true certified {certified}");
        let config = |alpn| client(&made.trusted, alpn, certified.then(|| made.authority.certify()));
        let mut stream = connect(&server, config(b"http/1.1")).await;
        stream.write_all(b"GET /live/a/who HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(read_answer(&mut stream).await.1, want.as_bytes());
        let answer = get_http_2(connect(&server, config(b"h2")).await, "https://localhost/live/a/who").await;
        assert_eq!(answer.body(), &want);
        assert_eq!(over_http_3(address, config(b"h3")).await, Some(want));
    }
}

/// A session that is resumed is the same client's.
#[tokio::test]
async fn a_resumed_session_keeps_its_certificate() {
    let made = made();
    let server = Server::with_tls(Some(made.certificate.acceptor().unwrap())).await;
    let config = client(&made.trusted, b"http/1.1", Some(made.authority.certify()));
    for resumed in [false, true] {
        let mut stream = connect(&server, config.clone()).await;
        stream.write_all(b"GET /live/a/who HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(read_answer(&mut stream).await.1, b"tls true certified true");
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        assert_eq!(kind == rustls::HandshakeKind::Resumed, resumed);
    }
}

/// Other authorities count from the next handshake on, over TCP and HTTP/3, and no session is resumed that the former ones
/// had certified; a file that cannot be used changes nothing.
#[tokio::test]
async fn authorities_are_changed_while_the_server_runs() {
    let made = made();
    let (server, address) = Server::with_http3(&made.certificate).await;
    let (hint, hints) = mpsc::channel(1);
    let follow = Arc::clone(&made.certificate).follow(Duration::from_secs(3600), hints, site::clock());
    tokio::spawn(follow);
    let new = Authority::new();
    let (old_one, new_one) = (made.authority.certify(), new.certify());
    let shown = |(certificate, key): &Shown| (certificate.clone(), key.clone_key());
    let of_old = client(&made.trusted, b"http/1.1", Some(shown(&old_one)));
    let is_known = async |config: &ClientConfig| {
        let mut stream = connect(&server, config.clone()).await;
        let _ = stream.write_all(b"GET /live/a/who HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut first = [0];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await.is_ok()
    };
    assert!(is_known(&of_old).await && is_known(&of_old).await);
    let ca = made.folder.path().join("ca.pem");
    let take = async |text: &str| {
        std::fs::write(&ca, text).unwrap();
        // The second one is taken only when the first was looked at.
        for _ in 0..3 {
            hint.send(()).await.unwrap();
        }
    };
    take("garbage").await;
    assert!(is_known(&of_old).await, "the former authorities stay");

    take(&format!("{}{}", made.authority.pem, new.pem)).await;
    assert!(is_known(&of_old).await);
    let over_3 = |shown| over_http_3(address, client(&made.trusted, b"h3", Some(shown)));
    let certified = Some("tls true certified true".to_owned());
    assert_eq!((over_3(shown(&old_one)).await, over_3(shown(&new_one)).await), (certified.clone(), certified.clone()));

    take(&new.pem).await;
    assert!(!is_known(&of_old).await, "its authority is gone, and its ticket opens nothing");
    assert!(is_known(&client(&made.trusted, b"http/1.1", Some(shown(&new_one)))).await);
    assert_eq!((over_3(shown(&old_one)).await, over_3(shown(&new_one)).await), (None, certified));
}

#[tokio::test]
async fn a_certificate_of_others_gets_no_connection() {
    let made = made();
    let (server, address) = Server::with_http3(&made.certificate).await;
    let config = |alpn| client(&made.trusted, alpn, Some(Authority::new().certify()));
    let mut stream = connect(&server, config(b"http/1.1")).await;
    // In TLS 1.3 the client hears of it after its own end of the handshake.
    let _ = stream.write_all(b"GET /live/a/who HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut got = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut got).await.unwrap_err();
    assert!(got.is_empty());
    assert_eq!(over_http_3(address, config(b"h3")).await, None);
}

#[test]
fn errors_name_the_file_of_authorities() {
    let made = made();
    let open = |text: &str| {
        let file = |name: &str| -> PathBuf { Path::new(made.folder.path()).join(name) };
        std::fs::write(file("ca.pem"), text).unwrap();
        let opened: Result<_, Error> =
            Certificate::open_for(&file("cert.pem"), &file("key.pem"), Some(&file("ca.pem")));
        opened.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(open(text).contains("origin.client_ca"), "{text}: {}", open(text));
    }
}
