//! One kept-alive connection of a viewer, with or without TLS; all of them read through one buffer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Bytes read at once; shared by all connections.
const SCRATCH_BYTES: usize = 128 << 10;

/// Names whose addresses are held.
const MAX_NAMES: usize = 1024;

/// Where a URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `https`.
    pub tls: bool,
    /// Host and port as the URL has them.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

impl Target {
    /// Of an `http:` or `https:` URL.
    pub fn of(url: &str) -> Option<Target> {
        let (tls, rest) = match url.strip_prefix("http://") {
            Some(rest) => (false, rest),
            None => (true, url.strip_prefix("https://")?),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        (!authority.is_empty()).then(|| Target { tls, authority: authority.to_owned(), path })
    }

    fn host(&self) -> (&str, u16) {
        let default = if self.tls { 443 } else { 80 };
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(default)),
            _ => (&self.authority, default),
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection.
pub struct Connection {
    /// Where to: a connection serves requests for the same authority.
    pub target: (bool, String),
    stream: Stream,
}

/// What connections share.
pub struct Network {
    tls: Option<TlsConnector>,
    from: Vec<Ipv4Addr>,
    turn: Cell<usize>,
    names: RefCell<HashMap<String, SocketAddr>>,
    scratch: RefCell<Vec<u8>>,
}

impl Network {
    /// With TLS if the URL wants it; `insecure` trusts every certificate; `from` are the addresses to connect from.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(insecure: bool, from: Vec<Ipv4Addr>) -> Result<Network> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(Error::other)?;
        let config = if insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))).with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        Ok(Network {
            tls: Some(TlsConnector::from(Arc::new(config))),
            from,
            turn: Cell::new(0),
            names: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If the name is unknown, nobody answers, or the certificate is not trusted.
    pub async fn connect(&self, target: &Target) -> Result<Connection> {
        let (host, port) = target.host();
        let known = self.names.borrow().get(&target.authority).copied();
        let stream = match known {
            Some(address) => self.open(address).await?,
            None => {
                let (address, stream) = self.open_first(host.trim_matches(['[', ']']), port).await?;
                let mut names = self.names.borrow_mut();
                if names.len() >= MAX_NAMES {
                    names.clear();
                }
                names.insert(target.authority.clone(), address);
                stream
            }
        };
        stream.set_nodelay(true)?;
        let stream = match self.tls.as_ref().filter(|_| target.tls) {
            None => Stream::Plain(stream),
            Some(tls) => {
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(Error::other)?;
                Stream::Tls(Box::new(tls.connect(name, stream).await?))
            }
        };
        Ok(Connection { target: (target.tls, target.authority.clone()), stream })
    }

    /// The first of a name's addresses that answers.
    async fn open_first(&self, host: &str, port: u16) -> Result<(SocketAddr, TcpStream)> {
        let mut last = Error::new(ErrorKind::NotFound, "the name has no address that can be reached from here");
        for address in tokio::net::lookup_host((host, port)).await? {
            if address.is_ipv6() && !self.from.is_empty() {
                continue;
            }
            match self.open(address).await {
                Ok(stream) => return Ok((address, stream)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn open(&self, address: SocketAddr) -> Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        if let Some(from) = turn.checked_rem(self.from.len()).and_then(|at| self.from.get(at)) {
            socket.bind(SocketAddr::new(IpAddr::V4(*from), 0))?;
        }
        socket.connect(address).await
    }

    /// Reads at most so many bytes and shows them; 0 at the end.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn read(&self, connection: &mut Connection, most: usize, mut show: impl FnMut(&[u8])) -> Result<usize> {
        std::future::poll_fn(|context| {
            let mut scratch = self.scratch.borrow_mut();
            let most = most.clamp(1, SCRATCH_BYTES);
            let mut buffer = ReadBuf::new(scratch.get_mut(..most).unwrap_or_default());
            let ready = match &mut connection.stream {
                Stream::Plain(stream) => Pin::new(stream).poll_read(context, &mut buffer),
                Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, &mut buffer),
            };
            ready.map_ok(|()| {
                show(buffer.filled());
                buffer.filled().len()
            })
        })
        .await
    }

    /// Sends a request.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn write(&self, connection: &mut Connection, request: &[u8]) -> Result<()> {
        match &mut connection.stream {
            Stream::Plain(stream) => stream.write_all(request).await,
            Stream::Tls(stream) => {
                stream.write_all(request).await?;
                stream.flush().await
            }
        }
    }
}

/// What a viewer may read in a time.
#[derive(Debug, Default)]
pub struct Pace {
    free: Cell<Duration>,
}

impl Pace {
    /// How many bytes to read at once, about 20 ms of them.
    pub fn most(bits_per_second: Option<u64>) -> usize {
        bits_per_second.map_or(SCRATCH_BYTES, |b| usize::try_from(b / 8 / 50).unwrap_or(SCRATCH_BYTES).max(1500))
    }

    /// So many bytes were read: when the next may be.
    pub fn took(&self, bytes: usize, bits_per_second: u64, now: Duration) -> Duration {
        let span = Duration::from_secs_f64(bytes as f64 * 8.0 / bits_per_second.max(1) as f64);
        let free = self.free.get().max(now) + span;
        self.free.set(free);
        free
    }
}

/// Trusts every certificate: for servers with certificates of their own making.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let target = |u| Target::of(u).map(|t| (t.tls, t.host().0.to_owned(), t.host().1, t.path));
        assert_eq!(target("http://h:81/a?b#c"), Some((false, "h".into(), 81, "/a?b".into())));
        assert_eq!(target("https://h?x"), Some((true, "h".into(), 443, "/?x".into())));
        assert_eq!(target("http://[::1]/"), Some((false, "[::1]".into(), 80, "/".into())));
        assert_eq!(target("rtmp://h/"), None);
        assert_eq!(target("http:///x"), None);
    }

    #[test]
    fn a_pace_adds_up_and_forgets_idle_time() {
        let (pace, ms) = (Pace::default(), Duration::from_millis);
        assert_eq!(pace.took(1000, 80_000, ms(0)), ms(100));
        assert_eq!(pace.took(1000, 80_000, ms(10)), ms(200));
        assert_eq!(pace.took(1000, 80_000, ms(900)), ms(1000));
    }
}
