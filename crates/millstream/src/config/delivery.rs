//! `[edge]` and `[access]`: the edge role, and who may watch.

use std::path::PathBuf;

use millstream_access::secret::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The edge role (`--role edge`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// Servers that the edge asks, the preferred one first: `http://HOST:PORT` or `https://HOST`. Origins, or other edges.
    pub origins: Vec<String>,
    /// PEM file with certificates that sign the origins', besides those of the system.
    #[schema(value_type = String)]
    pub origin_ca: PathBuf,
    /// Secret that is sent to the origins, as `origin.secrets` there has it; at least 16 characters.
    #[schema(value_type = String)]
    pub origin_secret: Secret,
    /// File with that secret instead, in one line; a change counts within seconds.
    #[schema(value_type = String)]
    pub origin_secret_file: PathBuf,
    /// Header in which it is sent: `origin.secret_header` of the origins.
    pub origin_secret_header: String,
    /// PEM file with the certificate that the edge shows to origins, for those with `origin.client_ca`. A
    /// change counts for new connections within seconds.
    #[schema(value_type = String)]
    pub origin_certificate: PathBuf,
    /// PEM file with its private key.
    #[schema(value_type = String)]
    pub origin_key: PathBuf,
    /// Bytes of objects kept in memory.
    pub memory_bytes: u64,
    /// Bytes of media kept on disk; 0 keeps none, less than 67108864 counts as that.
    pub disk_bytes: u64,
    /// Folder of the disk cache; `edge-cache` in the data folder if empty.
    #[schema(value_type = String)]
    pub disk_path: PathBuf,
    /// Time without a word from an origin after which the next one is asked, too, in milliseconds; what is held on
    /// purpose counts from when it is due. Raise it for origins that are far away.
    pub failover_ms: u32,
    /// Requests of one client address that may wait for an origin at once; 0 for no limit. Loopback has none.
    pub waiting_per_address: u32,
}

impl Default for Edge {
    fn default() -> Self {
        Edge {
            origins: Vec::new(),
            origin_ca: PathBuf::new(),
            origin_secret: Secret::default(),
            origin_secret_file: PathBuf::new(),
            origin_secret_header: super::protection::SECRET_HEADER.to_owned(),
            origin_certificate: PathBuf::new(),
            origin_key: PathBuf::new(),
            memory_bytes: 512 << 20,
            disk_bytes: 0,
            disk_path: PathBuf::new(),
            failover_ms: 150,
            waiting_per_address: 4000,
        }
    }
}

/// Who may watch: URLs and cookies signed in CloudFront's format, checked by origins and edges (docs/access.md).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Whether every media request needs a signed URL or signed cookies.
    pub require: bool,
    /// Paths that need one, if not all do: a request whose path begins so, such as `/live/news/`.
    pub paths: Vec<String>,
    /// Folder of trusted public keys, each in a file `KEY-PAIR-ID.pem`, also in folders that are key groups; `keys` in the
    /// data folder if empty. Changes count within seconds.
    #[schema(value_type = String)]
    pub keys: PathBuf,
    /// Folder of private keys, each in a file `KEY-PAIR-ID.private.pem`, with which `POST /api/v1/sign` signs; `signing` in
    /// the data folder if empty.
    #[schema(value_type = String)]
    pub signing_keys: PathBuf,
    /// Key groups that are trusted, besides the keys that are in none; all if empty.
    pub groups: Vec<String>,
    /// Networks from which no signature is needed: edges that checked it already. Addresses of connections.
    pub edges: Vec<String>,
    /// Networks of proxies whose word about a viewer is believed: its address, scheme and host.
    pub trusted_proxies: Vec<String>,
    /// Which headers these proxies set themselves: `x-forwarded` for `X-Forwarded-For`, `-Proto` and `-Host`; `cloudfront`
    /// for `CloudFront-Viewer-Address`, `CloudFront-Forwarded-Proto` and `CloudFront-Viewer-Country`.
    #[schema(value_type = String)]
    pub proxy_headers: ProxyHeaders,
    /// Web sites, such as `https://app.example` or `https://*.app.example`, whose pages may send signed cookies to this
    /// server from another host.
    pub sites: Vec<String>,
}

/// What trusted proxies say, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeaders {
    /// As most proxies and load balancers.
    #[default]
    XForwarded,
    /// As CloudFront.
    Cloudfront,
}

impl From<ProxyHeaders> for millstream_delivery::viewer::ProxyHeaders {
    fn from(headers: ProxyHeaders) -> Self {
        match headers {
            ProxyHeaders::XForwarded => Self::XForwarded,
            ProxyHeaders::Cloudfront => Self::CloudFront,
        }
    }
}
