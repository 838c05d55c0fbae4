//! TLS: the certificate and key from files, taken anew when the files change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

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
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
    /// The UDP socket of HTTP/3 cannot be used.
    #[error("HTTP/3 cannot use its UDP socket ({0})")]
    Socket(std::io::Error),
}

/// A certificate and its key, as two files. The files can be replaced while the server runs.
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    /// Who may show a certificate of its own.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// What the two files hold.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

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
        let clients = authorities.map(|path| verifier(&provider, path)).transpose()?;
        let pair = pair(&provider, &read(certificate, key)?, certificate, key)?;
        Ok(Arc::new(Certificate {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            clients,
            current: RwLock::new(Arc::new(pair)),
        }))
    }

    /// TLS 1.2 and 1.3 with this certificate; sessions are resumed by tickets; ALPN offers h2 and HTTP/1.1.
    ///
    /// # Errors
    /// If the TLS library refuses its own defaults.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, Error> {
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
        let config = match &self.clients {
            Some(clients) => config.with_client_cert_verifier(Arc::clone(clients)),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::new(Resolver(Arc::clone(self))));
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        // One ticket for a connection: a player opens one after the other.
        config.send_tls13_tickets = 1;
        Ok(config)
    }

    /// Looks at the files every `every`, and at each `hint` at once. What is new is used for the next handshakes; what
    /// cannot be used is said once, and the former pair stays.
    pub async fn follow(self: Arc<Self>, every: Duration, mut hint: tokio::sync::mpsc::Receiver<()>) {
        let look = |this: Arc<Self>| tokio::task::spawn_blocking(move || read(&this.certificate, &this.key));
        let mut seen = look(Arc::clone(&self)).await.ok();
        // They may have changed between `open` and now.
        let mut hinted = true;
        loop {
            if !hinted {
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    Some(()) = hint.recv() => hinted = true,
                }
            }
            let Ok(files) = look(Arc::clone(&self)).await else { return };
            if !std::mem::take(&mut hinted) && same(seen.as_ref(), &files) {
                continue;
            }
            match files.as_ref().map_err(ToString::to_string).and_then(|files| {
                pair(&self.provider, files, &self.certificate, &self.key).map_err(|error| error.to_string())
            }) {
                Ok(pair) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    if current.cert != pair.cert {
                        *current = Arc::new(pair);
                        tracing::info!(certificate = %self.certificate.display(), "the new TLS certificate is in use");
                    }
                }
                Err(error) => tracing::warn!(%error, "the new TLS certificate is not used; the former one stays"),
            }
            seen = Some(files);
        }
    }
}

/// Gives each handshake the pair that is current then.
#[derive(Debug)]
struct Resolver(Arc<Certificate>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn same(before: Option<&Result<Files, Error>>, now: &Result<Files, Error>) -> bool {
    match (before, now) {
        (Some(Ok(before)), Ok(now)) => before == now,
        (Some(Err(before)), Err(now)) => before.to_string() == now.to_string(),
        _ => false,
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Files, Error> {
    let bytes = |setting, path: &Path| {
        std::fs::read(path).map_err(|cause| Error::Unreadable { setting, path: path.to_owned(), cause })
    };
    Ok(Files { certificate: bytes("server.tls_certificate", certificate)?, key: bytes("server.tls_key", key)? })
}

/// Accepts certificates of clients that those in the file signed; TLS refuses others before any request.
fn verifier(provider: &Arc<CryptoProvider>, path: &Path) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let setting = "origin.client_ca";
    let bytes = std::fs::read(path).map_err(|cause| Error::Unreadable { setting, path: path.to_owned(), cause })?;
    let mut roots = RootCertStore::empty();
    let wrong = |cause: String| Error::Authorities { path: path.to_owned(), cause };
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
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
