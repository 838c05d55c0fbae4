//! What a session accepts: names, bounds and times.

use std::time::Duration;

use super::{amf0, chunk};

/// Bounds and names.
#[derive(Clone, Debug)]
pub struct Config {
    /// The application in the URL, `rtmp://HOST/APP`. Default `live`.
    pub app: String,
    /// Bounds of the chunk layer.
    pub chunk: chunk::Limits,
    /// Bounds of AMF values.
    pub amf: amf0::Limits,
    /// Time for the handshake, from the start. Default 5 s.
    pub handshake_timeout: Duration,
    /// Time until `publish`, from the start or from the end of the stream before. Default 10 s.
    pub publish_timeout: Duration,
    /// Longest time without a byte while publishing. Default 10 s.
    pub idle_timeout: Duration,
    /// Bytes before the first `publish`, handshake included. Default 64 KiB.
    pub max_bytes_before_publish: u64,
    /// Bytes held while a publish request is being decided. Default 256 KiB.
    pub max_held_bytes: usize,
    /// Calls of `createStream`. Default 16.
    pub max_streams: u32,
    /// Tags in one aggregate message. Default 1024.
    pub max_aggregate_tags: usize,
    /// Window we announce for acknowledgements, in bytes. Default 2,500,000.
    pub window: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            app: "live".to_owned(),
            chunk: chunk::Limits::default(),
            amf: amf0::Limits::default(),
            handshake_timeout: Duration::from_secs(5),
            publish_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
            max_bytes_before_publish: 64 * 1024,
            max_held_bytes: 256 * 1024,
            max_streams: 16,
            max_aggregate_tags: 1024,
            window: 2_500_000,
        }
    }
}
