//! What an edge shows to its origins, so that they answer it and nobody else.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use http::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::error::Error;

/// A secret in a header of each request upstream. It may change while the edge runs; clones share it.
#[derive(Clone)]
pub struct OriginSecret {
    name: HeaderName,
    value: Arc<RwLock<HeaderValue>>,
}

impl OriginSecret {
    /// Sends `secret` in the header `name`.
    ///
    /// # Errors
    /// If a header cannot hold it.
    pub fn new(name: HeaderName, secret: &str) -> Result<Self, InvalidHeaderValue> {
        Ok(OriginSecret { name, value: Arc::new(RwLock::new(sensitive(secret)?)) })
    }

    /// From now on another one.
    ///
    /// # Errors
    /// If a header cannot hold it; the former one stays.
    pub fn replace(&self, secret: &str) -> Result<(), InvalidHeaderValue> {
        let value = sensitive(secret)?;
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = value;
        Ok(())
    }

    /// The header as it is sent now.
    pub fn header(&self) -> (HeaderName, HeaderValue) {
        (self.name.clone(), self.value.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl fmt::Debug for OriginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OriginSecret({}: (redacted))", self.name)
    }
}

fn sensitive(secret: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(secret)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A certificate and its key, shown to origins that ask for one. PEM files, which may change while the edge runs; clones
/// share what was read.
#[derive(Clone)]
pub struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<RwLock<Arc<CertifiedKey>>>,
}

impl Identity {
    /// Reads both files; in that of the certificate the edge's own comes first.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let current = Arc::new(RwLock::new(Arc::new(pair(certificate, key)?)));
        Ok(Identity { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// Reads them again, for connections from now on.
    ///
    /// # Errors
    /// If they cannot be used; what was read before stays.
    pub fn read_again(&self) -> Result<(), Error> {
        let read = Arc::new(pair(&self.certificate, &self.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        current.key.choose_scheme(schemes).is_some().then_some(current)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let wrong = |why: String| Error::Identity { certificate: certificate.to_owned(), key: key.to_owned(), why };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .map_err(|error| wrong(error.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(error.to_string()))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed_and_changes_for_all_clones() {
        let name = HeaderName::from_static("x-mediapackage-cdnidentifier");
        let secret = OriginSecret::new(name.clone(), "first-secret").unwrap();
        let clone = secret.clone();
        assert!(secret.replace("a\nb").is_err());
        assert_eq!(clone.header().1, "first-secret");
        secret.replace("second-secret").unwrap();
        assert_eq!(clone.header(), (name, HeaderValue::from_static("second-secret")));
        let shown = format!("{clone:?} {:?}", clone.header());
        assert!(!shown.contains("second"), "{shown}");
    }
}
