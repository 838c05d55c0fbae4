//! What the crowd saw: counts, and times by percentile in a fixed number of buckets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// Buckets: 32 for each power of two of milliseconds, about 3 % wide.
const BUCKETS: usize = 32 * 20;

/// A distribution of times; at most 5 kB whatever it is fed.
#[derive(Debug, Clone)]
pub struct Times {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Times { buckets: vec![0; BUCKETS], count: 0, max: Duration::ZERO }
    }
}

impl Times {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        let ms = (time.as_secs_f64() * 1000.0).max(1.0);
        let at = ((ms.log2() * 32.0) as usize).min(BUCKETS - 1);
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(time);
    }

    /// How many were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The time that `percent` of them do not exceed (upper edge of its bucket).
    pub fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (at, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank && rank > 0 {
                return Duration::from_secs_f64(((at + 1) as f64 / 32.0).exp2() / 1000.0).min(self.max);
            }
        }
        self.max
    }

    /// p50, p95, p99 and max in ms.
    pub fn to_json(&self) -> Value {
        let ms = |d: Duration| (d.as_secs_f64() * 10_000.0).round() / 10.0;
        json!({"count": self.count, "p50_ms": ms(self.percentile(50)), "p95_ms": ms(self.percentile(95)),
            "p99_ms": ms(self.percentile(99)), "max_ms": ms(self.max)})
    }
}

/// Everything counted in a run.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Viewers that joined.
    pub joined: u64,
    /// From join to the first picture.
    pub startup: Times,
    /// Wall clock less the date of what plays, once for each append.
    pub latency: Times,
    /// Length of each stall.
    pub stalls: Times,
    /// Viewers that stalled at least once.
    pub stalled_viewers: u64,
    /// Viewers that never played.
    pub never_played: u64,
    /// Failed requests: status 400 and above, broken connections, unreadable playlists.
    pub errors: u64,
    /// Times a viewer fell out of the window and had to jump.
    pub jumps: u64,
    /// Body bytes.
    pub bytes: u64,
    /// Media played by all viewers together.
    pub played: Duration,
    /// Time stalled by all viewers together.
    pub stalled: Duration,
    /// Request time by kind.
    pub requests: BTreeMap<&'static str, Times>,
    /// Responses by status; 0 is a broken connection.
    pub statuses: BTreeMap<u16, u64>,
}

impl Tally {
    /// The report as JSON; `elapsed` is the length of the run.
    pub fn to_json(&self, elapsed: Duration) -> Value {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let requests: serde_json::Map<String, Value> = self
            .requests
            .iter()
            .map(|(kind, times)| {
                let mut value = times.to_json();
                value["per_second"] = json!((times.count() as f64 / seconds * 10.0).round() / 10.0);
                ((*kind).to_owned(), value)
            })
            .collect();
        let statuses: BTreeMap<String, u64> = self.statuses.iter().map(|(s, n)| (s.to_string(), *n)).collect();
        json!({"seconds": seconds, "viewers": self.joined, "never_played": self.never_played,
            "startup": self.startup.to_json(), "latency": self.latency.to_json(),
            "stalls": {"count": self.stalls.count(), "seconds": self.stalled.as_secs_f64(),
                "viewers": self.stalled_viewers, "share_of_time": self.stall_share(), "times": self.stalls.to_json()},
            "errors": self.errors, "jumps": self.jumps, "bytes": self.bytes,
            "bits_per_second": self.bytes as f64 * 8.0 / seconds,
            "requests": requests, "statuses": statuses})
    }

    /// Time stalled as a share of the time in which something should have played.
    pub fn stall_share(&self) -> f64 {
        let stalled = self.stalled.as_secs_f64();
        stalled / (stalled + self.played.as_secs_f64()).max(0.001)
    }
}
