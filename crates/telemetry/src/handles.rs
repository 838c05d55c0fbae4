//! The metrics of a channel, a rendition, HTTP and the server, looked up once and kept by who counts.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::registry::{Counter, Gauge, Histogram, Metrics, TimeCounter};
use crate::table as t;

/// The metrics of one channel. Each field is the metric of [`crate::table`] that its name says.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the help texts are in the table")]
pub struct ChannelMetrics {
    pub live: Gauge,
    pub viewers: Gauge,
    pub ingest_bytes: Counter,
    pub ingest_bit_rate: Gauge,
    pub ingest_frame_rate: Gauge,
    pub ingest_gaps: Counter,
    pub ingest_reconnects: Counter,
    pub input_loss: TimeCounter,
    pub encode_speed: Gauge,
    pub encode_cpu: TimeCounter,
    pub decoded_frames: Counter,
    pub decode_errors: Counter,
    pub encoded_frames: Counter,
    pub repeated_frames: Counter,
    pub dropped_frames: Counter,
    pub encode_backlog_seconds: Gauge,
    pub shed_renditions: Gauge,
    pub worker_restarts: Counter,
    pub window_bytes: Gauge,
    pub publish_latency: Histogram,
}

/// The metrics of a channel's key server.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the help texts are in the table")]
pub struct KeyServerMetrics {
    pub answered: Counter,
    pub failed: Counter,
    pub overdue: Gauge,
}

/// The metrics of one rendition.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the help texts are in the table")]
pub struct RenditionMetrics {
    pub segments: Counter,
    pub parts: Counter,
    pub segment_duration_seconds: Gauge,
    pub segment_media: TimeCounter,
    pub bit_rate: Gauge,
}

impl RenditionMetrics {
    /// Counts a whole segment of this duration.
    pub fn segment(&self, duration: Duration) {
        self.segments.increment();
        self.segment_duration_seconds.set(duration.as_secs_f64());
        self.segment_media.add(duration);
    }
}

/// The metrics of the server's connections.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    metrics: Metrics,
    /// Open HTTP connections.
    pub http_connections: Gauge,
}

impl ServerMetrics {
    /// Open connections of a protocol's publishers.
    pub fn ingest_connections(&self, protocol: &'static str) -> Gauge {
        self.metrics.gauge(&t::INGEST_CONNECTIONS, &[protocol])
    }

    /// Publishers of a protocol refused for a reason, a word such as `key`, `busy`, `limit`, `protocol`.
    pub fn ingest_refused(&self, protocol: &'static str, reason: &'static str) -> Counter {
        self.metrics.counter(&t::INGEST_REFUSED, &[protocol, reason])
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// HLS multivariant playlist.
    Multivariant,
    /// HLS media playlist.
    Playlist,
    /// HLS I-frame playlist.
    IframePlaylist,
    /// DASH MPD.
    Mpd,
    /// Init segment.
    Init,
    /// Segment.
    Segment,
    /// Part.
    Part,
    /// REST API.
    Api,
    /// Pages, scripts, styles.
    Page,
    /// `/metrics`, `/healthz`, `/readyz`.
    Operations,
    /// Anything else.
    Other,
}

impl RequestKind {
    const ALL: [RequestKind; 11] = [
        RequestKind::Multivariant,
        RequestKind::Playlist,
        RequestKind::IframePlaylist,
        RequestKind::Mpd,
        RequestKind::Init,
        RequestKind::Segment,
        RequestKind::Part,
        RequestKind::Api,
        RequestKind::Page,
        RequestKind::Operations,
        RequestKind::Other,
    ];

    /// As the label has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestKind::Multivariant => "multivariant",
            RequestKind::Playlist => "playlist",
            RequestKind::IframePlaylist => "iframe_playlist",
            RequestKind::Mpd => "mpd",
            RequestKind::Init => "init",
            RequestKind::Segment => "segment",
            RequestKind::Part => "part",
            RequestKind::Api => "api",
            RequestKind::Page => "page",
            RequestKind::Operations => "operations",
            RequestKind::Other => "other",
        }
    }
}

/// Statuses with a series of their own; any other is counted under the last.
const STATUSES: [(u16, &str); 24] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (206, "206"),
    (301, "301"),
    (302, "302"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (409, "409"),
    (410, "410"),
    (412, "412"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (416, "416"),
    (422, "422"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (0, "other"),
];

/// The metrics of HTTP. Clones share them; a request costs a few atomic additions.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    shared: Arc<HttpShared>,
}

#[derive(Debug)]
struct HttpShared {
    metrics: Metrics,
    kinds: [KindMetrics; RequestKind::ALL.len()],
}

#[derive(Debug)]
struct KindMetrics {
    kind: RequestKind,
    /// Made at the first request of each status, so that only what happens is shown.
    by_status: [OnceLock<Counter>; STATUSES.len()],
    sent: OnceLock<(Counter, Histogram)>,
}

impl HttpMetrics {
    /// Counts an answer: its status, and the time from the request to the answer's headers.
    pub fn answered(&self, kind: RequestKind, status: u16, took: Duration) {
        let Some(of_kind) = self.of_kind(kind) else { return };
        let column = STATUSES.iter().position(|(s, _)| *s == status).unwrap_or(STATUSES.len() - 1);
        if let (Some(counter), Some((_, label))) = (of_kind.by_status.get(column), STATUSES.get(column)) {
            let make = || self.shared.metrics.counter(&t::HTTP_REQUESTS, &[kind.as_str(), label]);
            counter.get_or_init(make).increment();
        }
        self.sent_of(of_kind).1.observe(took);
    }

    /// Counts bytes of a body sent.
    pub fn sent(&self, kind: RequestKind, bytes: u64) {
        if let Some(of_kind) = self.of_kind(kind) {
            self.sent_of(of_kind).0.add(bytes);
        }
    }

    fn of_kind(&self, kind: RequestKind) -> Option<&KindMetrics> {
        self.shared.kinds.iter().find(|k| k.kind == kind)
    }

    fn sent_of<'a>(&self, of_kind: &'a KindMetrics) -> &'a (Counter, Histogram) {
        of_kind.sent.get_or_init(|| {
            let (metrics, label) = (&self.shared.metrics, of_kind.kind.as_str());
            (metrics.counter(&t::HTTP_BYTES, &[label]), metrics.histogram(&t::HTTP_SECONDS, &[label]))
        })
    }
}

impl Metrics {
    /// The metrics of a channel; the same series each time.
    pub fn channel(&self, channel: &str) -> ChannelMetrics {
        let l = &[channel];
        ChannelMetrics {
            live: self.gauge(&t::CHANNEL_LIVE, l),
            viewers: self.gauge(&t::VIEWERS, l),
            ingest_bytes: self.counter(&t::INGEST_BYTES, l),
            ingest_bit_rate: self.gauge(&t::INGEST_BIT_RATE, l),
            ingest_frame_rate: self.gauge(&t::INGEST_FRAME_RATE, l),
            ingest_gaps: self.counter(&t::INGEST_GAPS, l),
            ingest_reconnects: self.counter(&t::INGEST_RECONNECTS, l),
            input_loss: self.time(&t::INPUT_LOSS_SECONDS, l),
            encode_speed: self.gauge(&t::ENCODE_SPEED, l),
            encode_cpu: self.time(&t::ENCODE_CPU_SECONDS, l),
            decoded_frames: self.counter(&t::ENCODE_DECODED, l),
            decode_errors: self.counter(&t::ENCODE_DECODE_ERRORS, l),
            encoded_frames: self.counter(&t::ENCODE_FRAMES, l),
            repeated_frames: self.counter(&t::ENCODE_REPEATED, l),
            dropped_frames: self.counter(&t::ENCODE_DROPPED, l),
            encode_backlog_seconds: self.gauge(&t::ENCODE_BACKLOG, l),
            shed_renditions: self.gauge(&t::ENCODE_SHED, l),
            worker_restarts: self.counter(&t::WORKER_RESTARTS, l),
            window_bytes: self.gauge(&t::WINDOW_BYTES, l),
            publish_latency: self.histogram(&t::PUBLISH_LATENCY, l),
        }
    }

    /// The metrics of a channel's key server; the same series each time.
    pub fn key_server(&self, channel: &str) -> KeyServerMetrics {
        KeyServerMetrics {
            answered: self.counter(&t::KEY_REQUESTS, &[channel, "answered"]),
            failed: self.counter(&t::KEY_REQUESTS, &[channel, "failed"]),
            overdue: self.gauge(&t::KEY_OVERDUE, &[channel]),
        }
    }

    /// The metrics of a rendition of a channel; the same series each time.
    pub fn rendition(&self, channel: &str, rendition: &str) -> RenditionMetrics {
        let l = &[channel, rendition];
        RenditionMetrics {
            segments: self.counter(&t::SEGMENTS, l),
            parts: self.counter(&t::PARTS, l),
            segment_duration_seconds: self.gauge(&t::SEGMENT_DURATION, l),
            segment_media: self.time(&t::SEGMENT_SECONDS, l),
            bit_rate: self.gauge(&t::RENDITION_BIT_RATE, l),
        }
    }

    /// The metrics of HTTP. Make them once and clone them.
    pub fn http(&self) -> HttpMetrics {
        let kinds = RequestKind::ALL.map(|kind| KindMetrics {
            kind,
            by_status: std::array::from_fn(|_| OnceLock::new()),
            sent: OnceLock::new(),
        });
        HttpMetrics { shared: Arc::new(HttpShared { metrics: self.clone(), kinds }) }
    }

    /// The metrics of the server's connections.
    pub fn server(&self) -> ServerMetrics {
        ServerMetrics { metrics: self.clone(), http_connections: self.gauge(&t::HTTP_CONNECTIONS, &[]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_kind_and_status() {
        let metrics = Metrics::new();
        let http = metrics.http();
        for status in [200, 200, 404, 418] {
            http.answered(RequestKind::Part, status, Duration::from_millis(3));
        }
        http.sent(RequestKind::Part, 1000);
        http.sent(RequestKind::Segment, 7);
        let text = metrics.render();
        for line in [
            "millstream_http_requests_total{kind=\"part\",status=\"200\"} 2",
            "millstream_http_requests_total{kind=\"part\",status=\"404\"} 1",
            "millstream_http_requests_total{kind=\"part\",status=\"other\"} 1",
            "millstream_http_response_bytes_total{kind=\"part\"} 1000",
            "millstream_http_response_bytes_total{kind=\"segment\"} 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("kind=\"segment\",status"), "only what happened is shown");
    }

    #[test]
    fn the_same_channel_gives_the_same_series() {
        let metrics = Metrics::new();
        metrics.channel("a").ingest_gaps.increment();
        metrics.channel("a").ingest_gaps.increment();
        assert_eq!(metrics.channel("a").ingest_gaps.get(), 2);
        metrics.rendition("a", "720p").segment(Duration::from_millis(2002));
        assert!(
            metrics.render().contains("millstream_segment_duration_seconds{channel=\"a\",rendition=\"720p\"} 2.002")
        );
    }

    /// Every metric of the table has a handle, so none is promised that nobody counts.
    #[test]
    fn the_table_holds_nothing_without_a_handle() {
        let metrics = Metrics::new();
        metrics.channel("a");
        metrics.rendition("a", "b");
        metrics.http().answered(RequestKind::Api, 200, Duration::ZERO);
        let server = metrics.server();
        server.ingest_connections("rtmp");
        server.ingest_refused("rtmp", "key");
        metrics.archive();
        metrics.store_requests("put", &Histogram::default());
        metrics.edge();
        metrics.edge_origin("http://a:1");
        metrics.key_server("a");
        crate::process::ProcessMetrics::new(&metrics, "1.0.0", 0.0);
        let text = metrics.render();
        for metric in t::TABLE {
            assert!(text.contains(&format!("# TYPE {} ", metric.name)), "{}", metric.name);
        }
    }
}
