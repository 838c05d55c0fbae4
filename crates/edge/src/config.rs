//! The bounds of an edge, each with its default.

use std::path::PathBuf;
use std::time::Duration;

use crate::credentials::{Identity, OriginSecret};

/// What an edge is told, and its bounds.
#[derive(Clone, Debug)]
pub struct Config {
    /// The servers behind it, the preferred one first: `http://HOST:PORT` or `https://HOST`.
    pub origins: Vec<String>,
    /// PEM file with certificates that sign the origins', besides those of the system.
    pub origin_ca: Option<PathBuf>,
    /// Sent to the origins with each request.
    pub origin_secret: Option<OriginSecret>,
    /// Shown to origins that ask for a certificate.
    pub identity: Option<Identity>,
    /// Bytes of objects kept in memory.
    pub memory_bytes: usize,
    /// Bytes kept on disk; 0 keeps none.
    pub disk_bytes: usize,
    /// Folder of the disk cache.
    pub disk_path: PathBuf,
    /// Largest object that is kept, and that is shared while it arrives. A larger one is an error.
    pub object_bytes: usize,
    /// Bytes of all objects that are arriving.
    pub arriving_bytes: usize,
    /// Objects asked for upstream at once, held playlist reloads included.
    pub fetches: usize,
    /// Viewers that wait for an object at once.
    pub waiters: usize,
    /// Time without a word after which the next origin is asked, too; what is held on purpose counts from when it is due.
    pub answer_timeout: Duration,
    /// Time to connect, and to the first byte of an answer that is not held, after which an origin has failed.
    pub last_timeout: Duration,
    /// As `answer_timeout`, for what is held where nothing is known of when it is due.
    pub part_hold: Duration,
    /// Time for which an origin may hold a playlist reload, or a part that it announced.
    pub reload_hold: Duration,
    /// Time between two pieces of an answer.
    pub idle_timeout: Duration,
    /// How long a refusal (404 and the like) is kept at most.
    pub negative_life: Duration,
    /// Requests that one address may have waiting; 0 for no limit. Loopback addresses have none.
    pub waiting_per_address: u32,
}

impl Config {
    /// The defaults for these origins, without a disk cache.
    pub fn new(origins: Vec<String>) -> Self {
        Config {
            origins,
            origin_ca: None,
            origin_secret: None,
            identity: None,
            memory_bytes: 512 << 20,
            disk_bytes: 0,
            disk_path: PathBuf::new(),
            object_bytes: 64 << 20,
            arriving_bytes: 256 << 20,
            fetches: 1024,
            waiters: 100_000,
            answer_timeout: Duration::from_millis(150),
            last_timeout: Duration::from_secs(5),
            part_hold: Duration::from_millis(1500),
            reload_hold: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(5),
            negative_life: Duration::from_secs(10),
            waiting_per_address: 4000,
        }
    }
}
