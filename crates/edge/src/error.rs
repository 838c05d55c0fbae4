//! Why an edge cannot start.

use std::path::PathBuf;

/// Why an edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No origin.
    #[error("an edge needs an origin; give --origin http://HOST:PORT, or edge.origins")]
    NoOrigin,
    /// An origin's address.
    #[error("the origin {origin:?} cannot be used: {why}; write it as http://HOST:PORT or https://HOST")]
    Origin {
        /// As it was given.
        origin: String,
        /// Why not.
        why: String,
    },
    /// The file of certificates.
    #[error("certificates cannot be read from {}: {why}; check edge.origin_ca", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The edge's own certificate.
    #[error(
        "the certificate {} and the key {} cannot be shown to origins: {why}; check edge.origin_certificate and \
         edge.origin_key",
        certificate.display(),
        key.display()
    )]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        why: String,
    },
    /// TLS as a whole.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
    /// The disk cache.
    #[error("the disk cache in {} cannot be opened: {why}; check edge.disk_path, or set edge.disk_bytes = 0", path.display())]
    Disk {
        /// Its folder.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}
