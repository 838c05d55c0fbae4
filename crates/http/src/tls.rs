//! TLS: the certificate and key from files, taken anew when the files change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use millstream_media::time::{Clock, UtcTime};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::validity;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Why a certificate and its key cannot be used. The message has the cause in it, which is thus not a source of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{setting} {} cannot be read ({cause}); check the path and its permissions", path.display())]
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{setting} {} holds no {what} ({cause}); it must be PEM", path.display())]
    NotPem {
        /// The setting that names it.
        setting: &'static str,
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        cause: pem::Error,
    },
    /// Certificate and key do not work together.
    #[error(
        "the certificate {} and the key {} do not work together ({cause}); give the key that the certificate was made \
         for, and the certificate chain with the server's own first",
        certificate.display(),
        key.display()
    )]
    NoPair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
    /// A file's certificates cannot sign those of clients.
    #[error("origin.client_ca {} holds no certificate that can sign others ({cause})", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A certificate is of another time.
    #[error("the certificate {} is not valid now (it is from {from} until {until})", path.display())]
    NotNow {
        /// The file.
        path: PathBuf,
        /// Its beginning, ISO 8601.
        from: String,
        /// Its end, ISO 8601.
        until: String,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
    /// The UDP socket of HTTP/3 cannot be used.
    #[error("HTTP/3 cannot use its UDP socket ({0})")]
    Socket(std::io::Error),
}

/// A certificate and its key, as two files, and the authorities of clients' certificates. The files can be replaced while
/// the server runs.
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    authorities: Option<PathBuf>,
    /// Who may show a certificate of its own.
    clients: RwLock<Option<Arc<dyn ClientCertVerifier>>>,
    /// Counts the changes of `clients`.
    changes: watch::Sender<u64>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Gives each connection at a door the TLS that is current then.
#[derive(Clone)]
pub struct Acceptor {
    certificate: Arc<Certificate>,
    made: Arc<Mutex<(u64, TlsAcceptor)>>,
}

impl Acceptor {
    /// What speaks TLS on a connection that comes now.
    pub fn current(&self) -> TlsAcceptor {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = *self.certificate.changes.borrow();
        if made.0 != changes {
            // The configuration was accepted by the TLS library before, and only the authorities are others.
            if let Ok(acceptor) = self.certificate.over_tcp() {
                *made = (changes, acceptor);
            }
        }
        made.1.clone()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

type Seen = (Result<Files, Error>, Option<Result<Vec<u8>, Error>>);

impl Certificate {
    /// Reads both files (PEM; the server's own certificate first).
    ///
    /// # Errors
    /// If they cannot be read or do not belong together.
    pub fn open(certificate: &Path, key: &Path) -> Result<Arc<Self>, Error> {
        Self::open_for(certificate, key, None)
    }

    /// The same. Clients are asked for a certificate that one in `authorities` (PEM) signed; who has none may connect, too,
    /// and is told apart by [`crate::front::Peer::certified`].
    ///
    /// # Errors
    /// If a file cannot be read, or certificate and key do not belong together.
    pub fn open_for(certificate: &Path, key: &Path, authorities: Option<&Path>) -> Result<Arc<Self>, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = authorities.map(|path| verifier(&provider, path, &read_authorities(path)?)).transpose()?;
        let pair = pair(&provider, &read(certificate, key)?, certificate, key)?;
        Ok(Arc::new(Certificate {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            authorities: authorities.map(Path::to_owned),
            clients: RwLock::new(clients),
            changes: watch::Sender::new(0),
            current: RwLock::new(Arc::new(pair)),
        }))
    }

    /// TLS 1.2 and 1.3 with this certificate; sessions are resumed by tickets; ALPN offers h2 and HTTP/1.1.
    ///
    /// # Errors
    /// If the TLS library refuses its own defaults.
    pub fn acceptor(self: &Arc<Self>) -> Result<Acceptor, Error> {
        let made = Mutex::new((*self.changes.borrow(), self.over_tcp()?));
        Ok(Acceptor { certificate: Arc::clone(self), made: Arc::new(made) })
    }

    /// Changes when [`Self::config`] gives other authorities.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn over_tcp(self: &Arc<Self>) -> Result<TlsAcceptor, Error> {
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        Ok(TlsAcceptor::from(Arc::new(self.config(&versions, &[b"h2", b"http/1.1"])?)))
    }

    /// These versions with this certificate, for these protocols.
    pub(crate) fn config(
        self: &Arc<Self>,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> Result<ServerConfig, Error> {
        let config =
            ServerConfig::builder_with_provider(Arc::clone(&self.provider)).with_protocol_versions(versions)?;
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner).clone();
        let config = match clients {
            Some(clients) => config.with_client_cert_verifier(clients),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::new(Resolver(Arc::clone(self))));
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        // Tickets and kept sessions are of this configuration only: who was certified by authorities that are gone has to
        // show a certificate again.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        // One ticket for a connection: a player opens one after the other.
        config.send_tls13_tickets = 1;
        Ok(config)
    }

    /// Looks at the files every `every`, and at each `hint` at once. What is new is used for the next handshakes; what
    /// cannot be used, or has ended, is said once, and what was there stays.
    pub async fn follow(
        self: Arc<Self>,
        every: Duration,
        mut hint: tokio::sync::mpsc::Receiver<()>,
        clock: Arc<dyn Clock>,
    ) {
        let look = |this: Arc<Self>| {
            tokio::task::spawn_blocking(move || {
                (read(&this.certificate, &this.key), this.authorities.as_deref().map(read_authorities))
            })
        };
        // They may have changed between `open` and now.
        let mut seen: Option<Seen> = None;
        let mut authorities = None;
        loop {
            let Ok(files) = look(Arc::clone(&self)).await else { return };
            if seen.as_ref().is_none_or(|seen| !same(&seen.0, &files.0)) {
                self.take_pair(&files.0, clock.utc());
            }
            if let Some(read) = &files.1
                && seen.as_ref().and_then(|seen| seen.1.as_ref()).is_none_or(|before| !same(before, read))
            {
                self.take_authorities(read, &mut authorities);
            }
            seen = Some(files);
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                Some(()) = hint.recv() => seen = None,
            }
        }
    }

    fn take_pair(&self, files: &Result<Files, Error>, now: UtcTime) {
        let new = files.as_ref().map_err(ToString::to_string).and_then(|files| {
            pair(&self.provider, files, &self.certificate, &self.key).map_err(|error| error.to_string())
        });
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        match new {
            Ok(pair) if pair.cert == current.cert => {}
            Ok(pair) => match valid_at(&pair, now, &self.certificate) {
                Err(error) if valid_at(&current, now, &self.certificate).is_ok() => {
                    tracing::warn!(%error, "the new TLS certificate is not used; the former one stays");
                }
                _ => {
                    *current = Arc::new(pair);
                    tracing::info!(certificate = %self.certificate.display(), "the new TLS certificate is in use");
                }
            },
            Err(error) => tracing::warn!(%error, "the new TLS certificate is not used; the former one stays"),
        }
    }

    /// `used` is what the file held when it was taken last.
    fn take_authorities(&self, bytes: &Result<Vec<u8>, Error>, used: &mut Option<Vec<u8>>) {
        let Some(path) = &self.authorities else { return };
        let new = bytes.as_ref().map_err(ToString::to_string).and_then(|bytes| {
            verifier(&self.provider, path, bytes).map(|new| (new, bytes)).map_err(|error| error.to_string())
        });
        match new {
            Ok((_, bytes)) if used.as_ref() == Some(bytes) => {}
            Ok((clients, bytes)) => {
                *self.clients.write().unwrap_or_else(PoisonError::into_inner) = Some(clients);
                self.changes.send_modify(|changes| *changes += 1);
                if used.replace(bytes.clone()).is_some() {
                    tracing::info!(file = %path.display(), "the new origin.client_ca is in use");
                }
            }
            Err(error) => tracing::warn!(%error, "the new origin.client_ca is not used; the former one stays"),
        }
    }

    /// Why the certificate in use is no good at this time, if it is not.
    pub fn complaint_at(&self, now: UtcTime) -> Option<Error> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        valid_at(&current, now, &self.certificate).err()
    }
}

/// Whether the server's own certificate is valid at this time. One that cannot be read is left to clients.
fn valid_at(pair: &CertifiedKey, now: UtcTime, path: &Path) -> Result<(), Error> {
    let Some((from, until)) = pair.cert.first().and_then(|own| validity::of(own)) else { return Ok(()) };
    if from <= now && now <= until {
        return Ok(());
    }
    Err(Error::NotNow { path: path.to_owned(), from: from.to_iso8601(), until: until.to_iso8601() })
}

/// Gives each handshake the pair that is current then.
#[derive(Debug)]
struct Resolver(Arc<Certificate>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn same<T: PartialEq>(before: &Result<T, Error>, now: &Result<T, Error>) -> bool {
    match (before, now) {
        (Ok(before), Ok(now)) => before == now,
        (Err(before), Err(now)) => before.to_string() == now.to_string(),
        _ => false,
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Files, Error> {
    let bytes = |setting, path: &Path| {
        std::fs::read(path).map_err(|cause| Error::Unreadable { setting, path: path.to_owned(), cause })
    };
    Ok(Files { certificate: bytes("server.tls_certificate", certificate)?, key: bytes("server.tls_key", key)? })
}

fn read_authorities(path: &Path) -> Result<Vec<u8>, Error> {
    let setting = "origin.client_ca";
    std::fs::read(path).map_err(|cause| Error::Unreadable { setting, path: path.to_owned(), cause })
}

/// Accepts certificates of clients that those in the file signed; TLS refuses others before any request.
fn verifier(provider: &Arc<CryptoProvider>, path: &Path, bytes: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let setting = "origin.client_ca";
    let mut roots = RootCertStore::empty();
    let wrong = |cause: String| Error::Authorities { path: path.to_owned(), cause };
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        let not_pem = |cause| Error::NotPem { setting, what: "certificate", path: path.to_owned(), cause };
        roots.add(certificate.map_err(not_pem)?).map_err(|error| wrong(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .allow_unauthenticated()
        .build()
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(|error| wrong(error.to_string()))
}

fn pair(provider: &CryptoProvider, files: &Files, certificate: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let not_pem = |setting, what, path: &Path| {
        let path = path.to_owned();
        move |cause| Error::NotPem { setting, what, path, cause }
    };
    let chain = CertificateDer::pem_slice_iter(&files.certificate)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(not_pem("server.tls_certificate", "certificate", certificate))?;
    let private = PrivateKeyDer::from_pem_slice(&files.key).map_err(not_pem("server.tls_key", "private key", key))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|cause| Error::NoPair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        cause,
    })
}
