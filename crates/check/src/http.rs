//! [`Fetch`] over HTTP and the system's clock.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use millstream_media::time::UtcTime;

use crate::fetch::{Fetch, FetchError, Request, Response};

/// Longest body read, in bytes.
const MAX_BODY_BYTES: u64 = 256 * 1024 * 1024;

/// Longest wait for one response, in seconds.
const TIMEOUT_SECONDS: u64 = 25;

/// Fetches over HTTP with one connection pool.
#[derive(Debug)]
pub struct Http {
    agent: ureq::Agent,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// A client that follows no redirect, treats no status as an error and waits at most 25 s.
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_secs(TIMEOUT_SECONDS)))
            .user_agent("millstream-check")
            .build();
        Http { agent: config.new_agent() }
    }
}

impl Fetch for Http {
    fn get(&mut self, request: Request<'_>) -> Result<Response, FetchError> {
        let mut builder = self.agent.get(request.url);
        builder = builder.header("accept-encoding", if request.gzip { "gzip" } else { "identity" });
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
        Ok(Response { status, headers, body: Bytes::from(body), first_byte, last_byte })
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
