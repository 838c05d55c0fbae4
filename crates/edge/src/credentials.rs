//! What an edge shows to its origins, so that they answer it and nobody else.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use http::header::{HeaderName, HeaderValue, InvalidHeaderValue};

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

/// A certificate and its key, shown to origins that ask for one. PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The chain, the edge's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
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
