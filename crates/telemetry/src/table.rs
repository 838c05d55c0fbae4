//! Every metric: name, kind, unit, labels and help, defined once.

/// What a metric's number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows (until the process ends).
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Name, beginning with `millstream_`.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Unit of the number; empty for a plain count.
    pub unit: &'static str,
    /// Label names.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident $kind:ident $name:literal [$($label:literal),*] $unit:literal $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric {
                name: concat!("millstream_", $name),
                kind: Kind::$kind,
                unit: $unit,
                labels: &[$($label),*],
                help: $help,
            };
        )*
        /// All metrics, in the order of the reference page.
        pub const TABLE: &[Metric] = &[$($id),*];
    };
}

metrics! {
    BUILD_INFO Gauge "build_info" ["version"] "" "Always 1; the label names the version.";
    START_TIME Gauge "process_start_time_seconds" [] "seconds" "When the process started, in seconds since 1970 UTC.";
    CPU_SECONDS Counter "process_cpu_seconds_total" [] "seconds" "CPU time of the server process, encode workers not included.";
    RESIDENT_BYTES Gauge "process_resident_memory_bytes" [] "bytes" "Resident memory of the server process.";
    OPEN_FDS Gauge "process_open_fds" [] "" "Open file descriptors of the server process.";

    CHANNEL_LIVE Gauge "channel_live" ["channel"] "" "1 while the channel is on air, with or without its contribution.";
    VIEWERS Gauge "viewers" ["channel"] "" "Viewers that asked for the channel's media lately.";

    INGEST_CONNECTIONS Gauge "ingest_connections" ["protocol"] "" "Open connections of publishers.";
    INGEST_REFUSED Counter "ingest_refused_total" ["protocol", "reason"] "" "Publishers refused.";
    INGEST_BYTES Counter "ingest_bytes_total" ["channel"] "bytes" "Bytes of media received.";
    INGEST_BIT_RATE Gauge "ingest_bit_rate" ["channel"] "bit/s" "Measured bit rate of the contribution.";
    INGEST_FRAME_RATE Gauge "ingest_frame_rate" ["channel"] "frames/s" "Measured frame rate of the contribution.";
    INGEST_GAPS Counter "ingest_gaps_total" ["channel"] "" "Gaps and jumps in the contribution's timestamps.";
    INGEST_RECONNECTS Counter "ingest_reconnects_total" ["channel"] "" "Returns of the publisher while the channel was on air.";
    INPUT_LOSS_SECONDS Counter "input_loss_seconds_total" ["channel"] "seconds" "Time on air without the contribution.";

    ENCODE_SPEED Gauge "encode_speed_ratio" ["channel"] "" "Media time encoded per wall time; below 1 the machine cannot keep up.";
    ENCODE_CPU_SECONDS Counter "encode_cpu_seconds_total" ["channel"] "seconds" "CPU time of the channel's encode workers.";
    ENCODE_DECODED Counter "encode_decoded_frames_total" ["channel"] "frames" "Pictures decoded.";
    ENCODE_DECODE_ERRORS Counter "encode_decode_errors_total" ["channel"] "" "Pictures that could not be decoded.";
    ENCODE_FRAMES Counter "encode_frames_total" ["channel"] "frames" "Frames encoded, each counted once for all renditions.";
    ENCODE_REPEATED Counter "encode_repeated_frames_total" ["channel"] "frames" "Frames that repeat the one before.";
    ENCODE_DROPPED Counter "encode_dropped_frames_total" ["channel"] "frames" "Decoded pictures that found no place.";
    ENCODE_BACKLOG Gauge "encode_backlog_seconds" ["channel"] "seconds" "Media received and not encoded yet.";
    ENCODE_SHED Gauge "encode_shed_renditions" ["channel"] "" "Renditions left out because the machine cannot keep up.";
    WORKER_RESTARTS Counter "worker_restarts_total" ["channel"] "" "Restarts of the encode worker after it died or hung.";
    KEY_REQUESTS Counter "key_server_requests_total" ["channel", "result"] "" "Requests to the channel's key server: answered or failed.";
    KEY_OVERDUE Gauge "key_overdue" ["channel"] "" "1 while the channel needs a key that its key server has not given: it goes on with the last one, or publishes nothing.";

    SEGMENTS Counter "segments_total" ["channel", "rendition"] "" "Segments published.";
    PARTS Counter "parts_total" ["channel", "rendition"] "" "Parts (CMAF chunks) published.";
    SEGMENT_DURATION Gauge "segment_duration_seconds" ["channel", "rendition"] "seconds" "Duration of the newest segment.";
    SEGMENT_SECONDS Counter "segment_media_seconds_total" ["channel", "rendition"] "seconds" "Sum of the segments' durations.";
    RENDITION_BIT_RATE Gauge "rendition_bit_rate" ["channel", "rendition"] "bit/s" "Measured bit rate over the listed window.";
    WINDOW_BYTES Gauge "window_bytes" ["channel"] "bytes" "Media kept in memory.";
    PUBLISH_LATENCY Histogram "publish_latency_seconds" ["channel"] "seconds" "Time from a part's last frame to the part being listed.";

    ARCHIVE_RECORDINGS Gauge "archive_recordings" [] "" "Recordings that this node makes.";
    ARCHIVE_SEGMENTS Counter "archive_segments_total" [] "" "Segments of recordings put into the store.";
    ARCHIVE_BYTES Counter "archive_bytes_total" [] "bytes" "Bytes of segments put into the store.";
    ARCHIVE_LOST Counter "archive_lost_segments_total" [] "" "Finished segments that could not be kept.";
    ARCHIVE_PENDING Gauge "archive_pending_segments" [] "" "Finished segments that are not in the store and its index yet.";
    ARCHIVE_SPOOL_BYTES Gauge "archive_spool_bytes" [] "bytes" "Bytes of segments that wait on the local disk for the store.";
    ARCHIVE_RETRIES Counter "archive_retries_total" [] "" "Uploads and publications that failed and were tried again.";
    ARCHIVE_REQUESTS Counter "archive_requests_total" ["operation", "result"] "" "Requests to the store: put, get, list, delete; answered (also by finding nothing) or failed.";
    ARCHIVE_SECONDS Histogram "archive_request_duration_seconds" ["operation"] "seconds" "Time of a request to the store.";
    ARCHIVE_PAGES Counter "archive_index_pages_total" ["result"] "" "Index pages asked for by clips and time shift: hit (in memory), miss (read from the store).";

    HTTP_CONNECTIONS Gauge "http_connections" [] "" "Open HTTP connections.";
    HTTP_REQUESTS Counter "http_requests_total" ["kind", "status"] "" "Requests answered.";
    HTTP_BYTES Counter "http_response_bytes_total" ["kind"] "bytes" "Bytes of bodies sent.";
    HTTP_SECONDS Histogram "http_request_duration_seconds" ["kind"] "seconds" "Time from a request to its answer's headers; blocking reloads wait in here.";

    EDGE_REQUESTS Counter "edge_requests_total" ["result"] "" "Requests to an edge by where the answer came from: hit, disk_hit, miss, coalesced (waited for another's miss), passed, refused.";
    EDGE_FAILOVERS Counter "edge_failovers_total" [] "" "Requests that another origin was asked for because one failed, or said nothing for too long.";
    EDGE_DESERTED Counter "edge_deserted_total" [] "" "Fetches that were stopped because nobody waited for them any more.";
    EDGE_MEMORY_BYTES Gauge "edge_memory_bytes" [] "bytes" "Bytes of objects that the edge keeps in memory.";
    EDGE_OBJECTS Gauge "edge_objects" [] "" "Objects that the edge keeps in memory.";
    EDGE_FETCHES Gauge "edge_fetches" [] "" "Objects on their way to the edge.";
    ORIGIN_HEALTHY Gauge "edge_origin_healthy" ["origin"] "" "1 while the origin answers.";
    ORIGIN_REQUESTS Counter "edge_origin_requests_total" ["origin"] "" "Requests sent to the origin.";
    ORIGIN_FAILURES Counter "edge_origin_failures_total" ["origin"] "" "Requests that the origin did not answer as it should.";
    ORIGIN_BYTES Counter "edge_origin_bytes_total" ["origin"] "bytes" "Bytes of bodies received from the origin.";
    ORIGIN_SECONDS Histogram "edge_origin_duration_seconds" ["origin"] "seconds" "Time from a request to the origin to its answer's headers; held reloads wait in here.";
}

/// Upper bounds of the histograms' buckets, in seconds.
pub const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// `docs/reference/metrics.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n<!-- Made from crates/telemetry/src/table.rs by \
         `cargo test -p millstream-telemetry -- --ignored write_reference`. -->\n\n\
         `GET /metrics` answers in the Prometheus text format. The series of a channel go when it is deleted.\n\n\
         | metric | kind | unit | labels | what it is |\n|---|---|---|---|---|\n",
    );
    for m in TABLE {
        let labels = m.labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
        page.push_str(&format!("| `{}` | {} | {} | {labels} | {} |\n", m.name, m.kind.as_str(), m.unit, m.help));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/metrics.md");

    #[test]
    fn the_reference_page_is_current() {
        let written = std::fs::read_to_string(PATH).unwrap_or_default();
        assert!(written == page(), "run `cargo test -p millstream-telemetry -- --ignored write_reference`");
    }

    #[test]
    #[ignore = "writes the page"]
    fn write_reference() {
        std::fs::write(PATH, page()).unwrap();
    }

    #[test]
    fn names_follow_the_conventions() {
        let mut names: Vec<_> = TABLE.iter().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len(), "no name twice");
        for m in TABLE {
            assert_eq!(m.kind == Kind::Counter, m.name.ends_with("_total"), "{}", m.name);
            if m.unit == "seconds" || m.unit == "bytes" {
                assert!(m.name.contains(m.unit), "{} names its unit", m.name);
            }
            assert!(m.name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'_')), "{}", m.name);
            assert!(m.help.ends_with('.'), "{}", m.name);
        }
    }
}
