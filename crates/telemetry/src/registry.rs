//! The metrics' values: one atomic number for each series, found once and counted on without a lock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::table::{BUCKETS, Kind, Metric, TABLE};

/// Microseconds in a second: what time is summed up in.
const MICROS: f64 = 1e6;

/// Counts events or bytes.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Counts up to a total that is counted elsewhere. Nobody else may count on it.
    pub fn advance_to(&self, total: u64) {
        self.0.fetch_max(total, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sums up time, to the microsecond.
#[derive(Clone, Debug, Default)]
pub struct TimeCounter(Arc<AtomicU64>);

impl TimeCounter {
    /// More time.
    pub fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A number that goes up and down. Set it, or count on it, not both.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + n).to_bits());
        // The closure never declines, so this cannot fail.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }

    /// The value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Counts times by length, in the buckets of [`BUCKETS`].
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// Observations at most as long as each bound, and longer than the bound before; the last is beyond all bounds.
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one observation.
    pub fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.0.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[derive(Clone, Debug)]
enum Series {
    Count(Counter),
    Time(TimeCounter),
    Number(Gauge),
    Times(Histogram),
}

/// All metrics of a process. Clones share them.
///
/// Bounded by what the labels can be: channels (at most 1000), their renditions, and fixed lists.
#[derive(Clone, Debug)]
pub struct Metrics {
    families: Arc<[Mutex<Family>]>,
}

/// The series of one metric, by the values of its labels.
type Family = BTreeMap<Vec<String>, Series>;

impl Default for Metrics {
    fn default() -> Self {
        Metrics { families: TABLE.iter().map(|_| Mutex::new(Family::new())).collect() }
    }
}

impl Metrics {
    /// No series yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter of `metric` with these label values.
    pub fn counter(&self, metric: &Metric, labels: &[&str]) -> Counter {
        match self.series(metric, labels, || Series::Count(Counter::default())) {
            Series::Count(counter) => counter,
            _ => Counter::default(),
        }
    }

    /// The counter of time of `metric` with these label values.
    pub fn time(&self, metric: &Metric, labels: &[&str]) -> TimeCounter {
        match self.series(metric, labels, || Series::Time(TimeCounter::default())) {
            Series::Time(time) => time,
            _ => TimeCounter::default(),
        }
    }

    /// The gauge of `metric` with these label values.
    pub fn gauge(&self, metric: &Metric, labels: &[&str]) -> Gauge {
        match self.series(metric, labels, || Series::Number(Gauge::default())) {
            Series::Number(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The histogram of `metric` with these label values.
    pub fn histogram(&self, metric: &Metric, labels: &[&str]) -> Histogram {
        match self.series(metric, labels, || Series::Times(Histogram::default())) {
            Series::Times(histogram) => histogram,
            _ => Histogram::default(),
        }
    }

    /// Shows a histogram that was made elsewhere as the one of `metric` with these label values.
    pub fn adopt_histogram(&self, metric: &Metric, labels: &[&str], histogram: &Histogram) {
        self.series(metric, labels, || Series::Times(histogram.clone()));
    }

    /// Forgets every series of a channel. Handles that are still held count on, unseen.
    pub fn remove_channel(&self, channel: &str) {
        for (metric, family) in TABLE.iter().zip(self.families.iter()) {
            if metric.labels.first() == Some(&"channel") {
                locked(family).retain(|labels, _| labels.first().map(String::as_str) != Some(channel));
            }
        }
    }

    /// Forgets the series of a rendition that a channel no longer makes.
    pub fn remove_rendition(&self, channel: &str, rendition: &str) {
        for (metric, family) in TABLE.iter().zip(self.families.iter()) {
            if metric.labels == ["channel", "rendition"] {
                locked(family).retain(|labels, _| labels != &[channel, rendition]);
            }
        }
    }

    /// Everything in the Prometheus text format (version 0.0.4), in the table's order.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        for (metric, family) in TABLE.iter().zip(self.families.iter()) {
            let family = locked(family);
            if family.is_empty() {
                continue;
            }
            let Metric { name, help, kind, .. } = metric;
            // Writing to a String does not fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
            for (values, series) in family.iter() {
                render_series(&mut text, metric, values, series);
            }
        }
        text
    }

    fn series(&self, metric: &Metric, labels: &[&str], make: impl FnOnce() -> Series) -> Series {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        let found = TABLE.iter().position(|m| m.name == metric.name).and_then(|i| self.families.get(i));
        let labels = labels.iter().map(|l| (*l).to_owned()).collect();
        match found {
            Some(family) => locked(family).entry(labels).or_insert_with(make).clone(),
            None => make(),
        }
    }
}

fn locked(family: &Mutex<Family>) -> MutexGuard<'_, Family> {
    family.lock().unwrap_or_else(PoisonError::into_inner)
}

fn render_series(text: &mut String, metric: &Metric, values: &[String], series: &Series) {
    let name = metric.name;
    let labels: Vec<String> =
        metric.labels.iter().zip(values).map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    let labels = labels.join(",");
    let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    debug_assert_eq!(metric.kind == Kind::Histogram, matches!(series, Series::Times(_)), "{name}");
    let _ = match series {
        Series::Count(counter) => writeln!(text, "{name}{braced} {}", counter.get()),
        Series::Time(time) => writeln!(text, "{name}{braced} {}", time.0.load(Ordering::Relaxed) as f64 / MICROS),
        Series::Number(gauge) => writeln!(text, "{name}{braced} {}", gauge.get()),
        Series::Times(histogram) => {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut sum = 0;
            for (i, count) in histogram.0.counts.iter().enumerate() {
                sum += count.load(Ordering::Relaxed);
                let bound = BUCKETS.get(i).map_or("+Inf".to_owned(), f64::to_string);
                let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {sum}");
            }
            let seconds = histogram.0.micros.load(Ordering::Relaxed) as f64 / MICROS;
            writeln!(text, "{name}_sum{braced} {seconds}\n{name}_count{braced} {sum}")
        }
    };
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn text_of_each_kind() {
        let metrics = Metrics::new();
        metrics.counter(&table::INGEST_BYTES, &["a"]).add(5);
        metrics.counter(&table::INGEST_BYTES, &["a"]).increment();
        metrics.gauge(&table::ENCODE_SPEED, &["a"]).set(1.25);
        metrics.time(&table::INPUT_LOSS_SECONDS, &["a"]).add(Duration::from_millis(1500));
        let histogram = metrics.histogram(&table::HTTP_SECONDS, &["part"]);
        for ms in [1, 2, 400, 9000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let text = metrics.render();
        for line in [
            "# TYPE millstream_ingest_bytes_total counter",
            "millstream_ingest_bytes_total{channel=\"a\"} 6",
            "millstream_encode_speed_ratio{channel=\"a\"} 1.25",
            "millstream_input_loss_seconds_total{channel=\"a\"} 1.5",
            "millstream_http_request_duration_seconds_bucket{kind=\"part\",le=\"0.001\"} 1",
            "millstream_http_request_duration_seconds_bucket{kind=\"part\",le=\"0.0025\"} 2",
            "millstream_http_request_duration_seconds_bucket{kind=\"part\",le=\"0.5\"} 3",
            "millstream_http_request_duration_seconds_bucket{kind=\"part\",le=\"2.5\"} 3",
            "millstream_http_request_duration_seconds_bucket{kind=\"part\",le=\"+Inf\"} 4",
            "millstream_http_request_duration_seconds_sum{kind=\"part\"} 9.403",
            "millstream_http_request_duration_seconds_count{kind=\"part\"} 4",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("millstream_viewers"), "a metric without a series is left out");
    }

    #[test]
    fn series_of_a_deleted_channel_go() {
        let metrics = Metrics::new();
        let held = metrics.counter(&table::SEGMENTS, &["a", "720p"]);
        held.increment();
        metrics.counter(&table::SEGMENTS, &["a", "480p"]).increment();
        metrics.counter(&table::SEGMENTS, &["b", "720p"]).increment();
        metrics.gauge(&table::VIEWERS, &["a"]).set(3.0);
        metrics.remove_rendition("a", "480p");
        assert!(!metrics.render().contains("480p"));
        metrics.remove_channel("a");
        held.increment();
        assert!(!metrics.render().contains("channel=\"a\""), "{}", metrics.render());
        assert!(metrics.render().contains("millstream_segments_total{channel=\"b\",rendition=\"720p\"} 1"));
        metrics.counter(&table::SEGMENTS, &["a", "720p"]).increment();
        assert!(metrics.render().contains("{channel=\"a\",rendition=\"720p\"} 1"), "a new channel begins at 0");
    }

    #[test]
    fn gauges_count_up_and_down() {
        let gauge = Metrics::new().gauge(&table::HTTP_CONNECTIONS, &[]);
        gauge.add(1.0);
        gauge.add(1.0);
        gauge.add(-1.0);
        assert_eq!(gauge.get(), 1.0);
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
