//! What the store and the recordings count. Plain atomics, read by who exports metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the latency buckets, in milliseconds; the last bucket is open.
pub const LATENCY_MS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000];

/// Kinds of requests to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// An object is written.
    Put,
    /// An object, or a part of one, is read.
    Get,
    /// Names are listed.
    List,
    /// An object is deleted.
    Delete,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 4] = [Operation::Put, Operation::Get, Operation::List, Operation::Delete];

    /// The metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::List => "list",
            Operation::Delete => "delete",
        }
    }
}

/// The requests of one kind.
#[derive(Debug, Default)]
pub struct Requests {
    /// That succeeded, or found that there is nothing, or lost a race.
    pub answered: AtomicU64,
    /// That failed.
    pub failed: AtomicU64,
    /// Sum of their latencies in microseconds.
    pub micros: AtomicU64,
    /// Latencies by bucket, not cumulative; the last one is for what took longer.
    pub buckets: [AtomicU64; LATENCY_MS.len() + 1],
}

/// Counters of one store.
#[derive(Debug, Default)]
pub struct Statistics {
    requests: [Requests; 4],
    /// Uploads that had to be repeated.
    pub retries: AtomicU64,
    /// Bytes in spools on the local disk.
    pub spooled_bytes: AtomicI64,
    /// Segments that are finished and not in the store yet.
    pub pending_segments: AtomicI64,
    /// Segments put.
    pub stored_segments: AtomicU64,
    /// Bytes of segments put.
    pub stored_bytes: AtomicU64,
    /// Finished segments that were lost.
    pub lost_segments: AtomicU64,
    /// Index pages read from the store for time shift, and found in the cache.
    pub page_misses: AtomicU64,
    /// See [`Statistics::page_misses`].
    pub page_hits: AtomicU64,
}

impl Statistics {
    /// The requests of one kind.
    pub fn requests(&self, operation: Operation) -> &Requests {
        let [put, get, list, delete] = &self.requests;
        match operation {
            Operation::Put => put,
            Operation::Get => get,
            Operation::List => list,
            Operation::Delete => delete,
        }
    }

    /// Counts a request.
    pub fn count(&self, operation: Operation, answered: bool, took: Duration) {
        let requests = self.requests(operation);
        if answered { &requests.answered } else { &requests.failed }.fetch_add(1, Relaxed);
        requests.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = LATENCY_MS.partition_point(|b| *b < ms);
        if let Some(bucket) = requests.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
    }
}
