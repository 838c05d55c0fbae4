//! The metrics of the archive, looked up once and kept by who counts.

use crate::registry::{Counter, Gauge, Histogram, Metrics};
use crate::table as t;

/// The metrics of the archive.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the help texts are in the table")]
pub struct ArchiveMetrics {
    pub recordings: Gauge,
    pub segments: Counter,
    pub bytes: Counter,
    pub lost_segments: Counter,
    pub pending_segments: Gauge,
    pub spool_bytes: Gauge,
    pub retries: Counter,
    pub page_hits: Counter,
    pub page_misses: Counter,
}

/// The requests of one kind to a store.
#[derive(Clone, Debug)]
pub struct StoreRequestMetrics {
    /// That were answered.
    pub answered: Counter,
    /// That failed.
    pub failed: Counter,
}

impl Metrics {
    /// The metrics of the archive.
    pub fn archive(&self) -> ArchiveMetrics {
        ArchiveMetrics {
            recordings: self.gauge(&t::ARCHIVE_RECORDINGS, &[]),
            segments: self.counter(&t::ARCHIVE_SEGMENTS, &[]),
            bytes: self.counter(&t::ARCHIVE_BYTES, &[]),
            lost_segments: self.counter(&t::ARCHIVE_LOST, &[]),
            pending_segments: self.gauge(&t::ARCHIVE_PENDING, &[]),
            spool_bytes: self.gauge(&t::ARCHIVE_SPOOL_BYTES, &[]),
            retries: self.counter(&t::ARCHIVE_RETRIES, &[]),
            page_hits: self.counter(&t::ARCHIVE_PAGES, &["hit"]),
            page_misses: self.counter(&t::ARCHIVE_PAGES, &["miss"]),
        }
    }

    /// The metrics of requests to the store, `put`, `get`, `list` or `delete`; their latencies are shown as `latency`
    /// counts them.
    pub fn store_requests(&self, operation: &str, latency: &Histogram) -> StoreRequestMetrics {
        self.adopt_histogram(&t::ARCHIVE_SECONDS, &[operation], latency);
        StoreRequestMetrics {
            answered: self.counter(&t::ARCHIVE_REQUESTS, &[operation, "answered"]),
            failed: self.counter(&t::ARCHIVE_REQUESTS, &[operation, "failed"]),
        }
    }
}
