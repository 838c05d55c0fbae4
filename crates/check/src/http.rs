//! [`Fetch`] over HTTP and HTTPS, and the system's clock. Cookies are kept and sent back as a player's are.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use millstream_media::time::UtcTime;
use rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::fetch::{Fetch, FetchError, Request, Response};
use crate::url::authority;

/// Longest body read, in bytes.
const MAX_BODY_BYTES: u64 = 256 * 1024 * 1024;

/// Longest wait for one response, in seconds.
const TIMEOUT_SECONDS: u64 = 25;

/// Whose certificates are believed.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Nobody's: `https` cannot be read.
    #[default]
    Nobody,
    /// Those of the system's store.
    System,
    /// Those of the authorities in this PEM text.
    Pem(Vec<u8>),
    /// Anybody's.
    Anybody,
}

/// A field that is sent with requests to one server only.
#[derive(Clone, Debug)]
struct Field {
    authority: String,
    name: String,
    value: String,
}

/// Fetches over HTTP and HTTPS with one connection pool and one set of cookies.
#[derive(Debug)]
pub struct Http {
    agent: ureq::Agent,
    fields: Vec<Field>,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// A client that follows no redirect, treats no status as an error and waits at most 25 s; without `https`.
    pub fn new() -> Self {
        Self::with_roots(&[], false)
    }

    /// The same with `https`.
    ///
    /// # Errors
    /// In words, if there is no certificate in a PEM text.
    pub fn trusting(trust: &Trust) -> Result<Self, String> {
        Ok(match trust {
            Trust::Nobody => Self::new(),
            Trust::Anybody => Self::with_roots(&[], true),
            Trust::System => {
                let found = rustls_native_certs::load_native_certs().certs;
                let roots: Vec<_> = found.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
                Self::with_roots(&roots, false)
            }
            Trust::Pem(text) => {
                let roots: Vec<_> = parse_pem(text)
                    .filter_map(|item| match item {
                        Ok(PemItem::Certificate(certificate)) => Some(certificate),
                        _ => None,
                    })
                    .collect();
                if roots.is_empty() {
                    return Err("it holds no PEM certificate".to_owned());
                }
                Self::with_roots(&roots, false)
            }
        })
    }

    /// Sends this field with every request to the server of `url`, and to no other.
    pub fn send_to(&mut self, url: &str, name: &str, value: &str) {
        let authority = authority(url).to_owned();
        self.fields.push(Field { authority, name: name.to_owned(), value: value.to_owned() });
    }

    fn with_roots(roots: &[Certificate<'static>], anybody: bool) -> Self {
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .root_certs(RootCerts::new_with_certs(roots))
            .disable_verification(anybody)
            .build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_secs(TIMEOUT_SECONDS)))
            .user_agent("millstream-check")
            .tls_config(tls)
            .build();
        Http { agent: config.new_agent(), fields: Vec::new() }
    }
}

impl Fetch for Http {
    fn get(&mut self, request: Request<'_>) -> Result<Response, FetchError> {
        let mut builder = self.agent.get(request.url);
        builder = builder.header("accept-encoding", if request.gzip { "gzip" } else { "identity" });
        for field in self.fields.iter().filter(|f| f.authority == authority(request.url)) {
            builder = builder.header(&field.name, &field.value);
        }
        if let Some(range) = request.range {
            let last = range.offset.saturating_add(range.length).saturating_sub(1);
            builder = builder.header("range", format!("bytes={}-{last}", range.offset));
        }
        let asked = self.now();
        let mut response = builder.call().map_err(|e| FetchError::Transport(e.to_string()))?;
        let headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect();
        let status = response.status().as_u16();
        let mut reader = response.body_mut().with_config().limit(MAX_BODY_BYTES).reader();
        let mut body = vec![0];
        let broken = |e: std::io::Error| FetchError::Transport(e.to_string());
        let first = reader.read(&mut body).map_err(broken)?;
        body.truncate(first);
        let first_byte = self.now().since(asked);
        reader.read_to_end(&mut body).map_err(broken)?;
        let last_byte = self.now().since(asked);
        if headers.iter().any(|(n, v)| n == "content-encoding" && v == "gzip") {
            let mut plain = Vec::new();
            let mut decoder = GzDecoder::new(&body[..]).take(MAX_BODY_BYTES);
            decoder.read_to_end(&mut plain).map_err(|e| FetchError::Body(e.to_string()))?;
            body = plain;
        }
        Ok(Response { status, landed: None, headers, body: Bytes::from(body), first_byte, last_byte })
    }

    #[allow(clippy::disallowed_methods, reason = "this shell is the checker's clock")]
    fn now(&mut self) -> UtcTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UtcTime::EPOCH + since
    }

    #[allow(clippy::disallowed_methods, reason = "this shell is the checker's timer")]
    fn wait_until(&mut self, until: UtcTime) {
        std::thread::sleep(until.since(self.now()));
    }
}
