//! The metrics of an edge, looked up once and kept by who counts.

use crate::registry::{Counter, Gauge, Histogram, Metrics};
use crate::table as t;

/// The metrics of one origin behind an edge.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the help texts are in the table")]
pub struct OriginMetrics {
    pub healthy: Gauge,
    pub requests: Counter,
    pub failures: Counter,
    pub bytes: Counter,
    pub seconds: Histogram,
}

/// The metrics of an edge.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the help texts are in the table")]
pub struct EdgeMetrics {
    pub hits: Counter,
    pub disk_hits: Counter,
    pub misses: Counter,
    pub coalesced: Counter,
    pub passed: Counter,
    pub refused: Counter,
    pub failovers: Counter,
    pub deserted: Counter,
    pub memory_bytes: Gauge,
    pub objects: Gauge,
    pub fetches: Gauge,
}

impl Metrics {
    /// The metrics of an edge.
    pub fn edge(&self) -> EdgeMetrics {
        let requests = |result| self.counter(&t::EDGE_REQUESTS, &[result]);
        EdgeMetrics {
            hits: requests("hit"),
            disk_hits: requests("disk_hit"),
            misses: requests("miss"),
            coalesced: requests("coalesced"),
            passed: requests("passed"),
            refused: requests("refused"),
            failovers: self.counter(&t::EDGE_FAILOVERS, &[]),
            deserted: self.counter(&t::EDGE_DESERTED, &[]),
            memory_bytes: self.gauge(&t::EDGE_MEMORY_BYTES, &[]),
            objects: self.gauge(&t::EDGE_OBJECTS, &[]),
            fetches: self.gauge(&t::EDGE_FETCHES, &[]),
        }
    }

    /// The metrics of an origin, named by its URL.
    pub fn edge_origin(&self, origin: &str) -> OriginMetrics {
        let l = &[origin];
        OriginMetrics {
            healthy: self.gauge(&t::ORIGIN_HEALTHY, l),
            requests: self.counter(&t::ORIGIN_REQUESTS, l),
            failures: self.counter(&t::ORIGIN_FAILURES, l),
            bytes: self.counter(&t::ORIGIN_BYTES, l),
            seconds: self.histogram(&t::ORIGIN_SECONDS, l),
        }
    }
}
