//! What the store and the recordings count, and how it is shown among the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use millstream_telemetry::archive::{ArchiveMetrics, StoreRequestMetrics};
use millstream_telemetry::{Histogram, Metrics};

use crate::running::Running;

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
    /// Their latencies.
    pub latency: Histogram,
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
        requests.latency.observe(took);
    }
}

/// Shows what is counted among the metrics.
pub struct Exported {
    statistics: Arc<Statistics>,
    running: Running,
    metrics: ArchiveMetrics,
    requests: [(Operation, StoreRequestMetrics); 4],
}

impl Exported {
    /// What this store and the recordings of this process count.
    pub fn new(metrics: &Metrics, statistics: Arc<Statistics>, running: Running) -> Self {
        let requests = Operation::ALL.map(|operation| {
            let latency = &statistics.requests(operation).latency;
            (operation, metrics.store_requests(operation.label(), latency))
        });
        Exported { metrics: metrics.archive(), statistics, running, requests }
    }

    /// Takes the figures anew. Call it before rendering.
    pub fn refresh(&self) {
        let (s, m) = (&self.statistics, &self.metrics);
        m.recordings.set(self.running.count() as f64);
        m.segments.advance_to(s.stored_segments.load(Relaxed));
        m.bytes.advance_to(s.stored_bytes.load(Relaxed));
        m.lost_segments.advance_to(s.lost_segments.load(Relaxed));
        m.retries.advance_to(s.retries.load(Relaxed));
        m.page_hits.advance_to(s.page_hits.load(Relaxed));
        m.page_misses.advance_to(s.page_misses.load(Relaxed));
        m.pending_segments.set(s.pending_segments.load(Relaxed) as f64);
        m.spool_bytes.set(s.spooled_bytes.load(Relaxed) as f64);
        for (operation, metrics) in &self.requests {
            let requests = s.requests(*operation);
            metrics.answered.advance_to(requests.answered.load(Relaxed));
            metrics.failed.advance_to(requests.failed.load(Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_among_the_metrics() {
        let (metrics, statistics) = (Metrics::new(), Arc::new(Statistics::default()));
        let exported = Exported::new(&metrics, statistics.clone(), Running::default());
        statistics.count(Operation::Put, true, Duration::from_millis(30));
        statistics.count(Operation::Get, false, Duration::from_secs(30));
        statistics.retries.fetch_add(2, Relaxed);
        statistics.pending_segments.fetch_add(3, Relaxed);
        statistics.spooled_bytes.fetch_add(1000, Relaxed);
        statistics.lost_segments.fetch_add(4, Relaxed);
        // Twice: counters do not count twice.
        exported.refresh();
        exported.refresh();
        let text = metrics.render();
        for line in [
            "millstream_archive_recordings 0",
            "millstream_archive_lost_segments_total 4",
            "millstream_archive_pending_segments 3",
            "millstream_archive_spool_bytes 1000",
            "millstream_archive_retries_total 2",
            "millstream_archive_requests_total{operation=\"put\",result=\"answered\"} 1",
            "millstream_archive_requests_total{operation=\"get\",result=\"failed\"} 1",
            "millstream_archive_request_duration_seconds_bucket{operation=\"put\",le=\"0.025\"} 0",
            "millstream_archive_request_duration_seconds_bucket{operation=\"put\",le=\"0.05\"} 1",
            "millstream_archive_request_duration_seconds_sum{operation=\"get\"} 30",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
