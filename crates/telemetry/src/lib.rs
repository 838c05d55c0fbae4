//! What the server tells its operators: metrics for Prometheus, and the log.
//!
//! - [`table`]: every metric, defined once; `docs/reference/metrics.md` is made from it.
//! - [`registry`]: the values, and their text form. Our own and small, because the series of a channel must go when
//!   the channel is deleted, and counting must cost one atomic addition.
//! - [`handles`]: the metrics of a channel, a rendition, HTTP and the ingest, ready to be counted on.
//! - [`archive`]: those of the archive and its store.
//! - [`edge`]: those of an edge and its origins.
//! - [`process`]: what the operating system says about this process, read when asked.
//! - [`log`]: how log lines are written.

pub mod archive;
pub mod edge;
pub mod handles;
pub mod log;
pub mod process;
pub mod registry;
pub mod table;

pub use handles::{ChannelMetrics, HttpMetrics, KeyServerMetrics, RenditionMetrics, RequestKind, ServerMetrics};
pub use registry::{Counter, Gauge, Histogram, Metrics, TimeCounter};
