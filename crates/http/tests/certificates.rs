//! TLS: what ALPN chooses, and certificates that change while the server runs.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod site;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_http::tls::{Certificate, Error};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use site::{LIST, Server, get_http_2, read_answer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

fn write(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn open(folder: &Path) -> Result<Arc<Certificate>, Error> {
    Certificate::open(&folder.join("cert.pem"), &folder.join("key.pem"))
}

async fn connect(
    server: &Server,
    trusted: &CertificateDer<'static>,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
}

#[tokio::test]
async fn alpn_chooses_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = write(folder.path());
    let server = Server::with_tls(Some(open(folder.path()).unwrap().acceptor().unwrap())).await;
    let mut stream = connect(&server, &trusted, b"http/1.1").await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /live/a/list HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(read_answer(&mut stream).await.1, LIST.as_bytes());
    }
    stream.write_all(b"GET /live/a/large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.1.len(), site::LARGE);
    let stream = connect(&server, &trusted, b"h2").await.unwrap();
    let answer = get_http_2(stream, "https://localhost/live/a/large").await;
    assert_eq!((answer.body().len(), &answer.headers()["priority"]), (site::LARGE, &"u=3".parse().unwrap()));
}

#[tokio::test]
async fn a_new_certificate_is_used_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(folder.path());
    let certificate = open(folder.path()).unwrap();
    let server = Server::with_tls(Some(certificate.acceptor().unwrap())).await;
    let (hint, hints) = mpsc::channel(1);
    tokio::spawn(Arc::clone(&certificate).follow(Duration::from_millis(10), hints, site::clock()));
    connect(&server, &first, b"http/1.1").await.unwrap();

    // A certificate without its key: nothing changes, also when it was looked at.
    let key = std::fs::read(folder.path().join("key.pem")).unwrap();
    write(folder.path());
    std::fs::write(folder.path().join("key.pem"), "no key").unwrap();
    hint.send(()).await.unwrap();
    hint.send(()).await.unwrap();
    connect(&server, &first, b"http/1.1").await.unwrap();

    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    let second = write(folder.path());
    let all = async { while connect(&server, &second, b"http/1.1").await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
    assert!(connect(&server, &first, b"http/1.1").await.is_err());
}

/// One that has ended, or has not begun, stays out as long as the one in use is good.
#[tokio::test]
async fn a_certificate_of_another_time_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let valid = |from: i32, until: i32| {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        made.der().clone()
    };
    let first = valid(2025, 2027);
    let certificate = open(folder.path()).unwrap();
    let now = site::clock().utc();
    assert!(certificate.complaint_at(now).is_none());
    let server = Server::with_tls(Some(certificate.acceptor().unwrap())).await;
    let (hint, hints) = mpsc::channel(1);
    tokio::spawn(Arc::clone(&certificate).follow(Duration::from_secs(3600), hints, site::clock()));
    for (from, until) in [(2020, 2026), (2027, 2028)] {
        valid(from, until);
        for _ in 0..2 {
            hint.send(()).await.unwrap();
        }
        connect(&server, &first, b"http/1.1").await.unwrap();
    }
    let second = valid(2026, 2030);
    hint.send(()).await.unwrap();
    let all = async { while connect(&server, &second, b"http/1.1").await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
    assert!(certificate.complaint_at(now).is_none());
    // At the start there is no other: it is used, and complained of.
    valid(2020, 2026);
    let complaint = open(folder.path()).unwrap().complaint_at(now).unwrap().to_string();
    assert!(complaint.contains("cert.pem is not valid now") && complaint.contains("until 2026-01-01"), "{complaint}");
}

#[test]
fn errors_name_the_file_and_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    assert!(open(folder.path()).unwrap_err().to_string().contains("server.tls_certificate"));
    write(folder.path());
    std::fs::write(folder.path().join("key.pem"), "").unwrap();
    assert!(open(folder.path()).unwrap_err().to_string().contains("holds no private key"));
    let other = tempfile::tempdir().unwrap();
    write(other.path());
    std::fs::copy(other.path().join("key.pem"), folder.path().join("key.pem")).unwrap();
    assert!(open(folder.path()).unwrap_err().to_string().contains("do not work together"));
}
