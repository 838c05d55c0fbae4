//! The trait that brings bytes and tells the time, so that every rule can be tested on texts and a made-up clock.

use std::time::Duration;

use bytes::Bytes;
use millstream_media::time::UtcTime;

use crate::hls::playlist::ByteRange;

/// A response, of any status.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Where redirects led, if they were followed.
    pub landed: Option<String>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, its content coding taken off.
    pub body: Bytes,
    /// From the request to the first byte of the body.
    pub first_byte: Duration,
    /// From the request to the end of the body.
    pub last_byte: Duration,
}

impl Response {
    /// The first header of a name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A GET that may ask for a part of the resource.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Absolute URL.
    pub url: &'a str,
    /// Only these bytes.
    pub range: Option<ByteRange>,
    /// Say that gzip is welcome.
    pub gzip: bool,
}

/// Why there is no response at all.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, a broken one, or a time-out.
    #[error("{0}")]
    Transport(String),
    /// The body is longer than the limit, or its coding is broken.
    #[error("unusable body: {0}")]
    Body(String),
}

/// What the checker needs of the world.
pub trait Fetch {
    /// One GET. Redirects are not followed.
    ///
    /// # Errors
    /// [`FetchError`] if there is no response.
    fn get(&mut self, request: Request<'_>) -> Result<Response, FetchError>;

    /// The wall clock.
    fn now(&mut self) -> UtcTime;

    /// Returns when [`Fetch::now`] has reached `until`.
    fn wait_until(&mut self, until: UtcTime);
}
