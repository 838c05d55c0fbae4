//! What the crowd saw: counts, and times by percentile in a fixed number of buckets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// Buckets: 32 for each power of two of milliseconds, about 2 % wide.
const BUCKETS: usize = 32 * 20;

/// A distribution of times, negative ones among them; at most 10 kB whatever it is fed.
#[derive(Debug, Clone)]
pub struct Times {
    buckets: Vec<u64>,
    /// Of the times below zero, by how far; empty while there is none.
    below: Vec<u64>,
    count: u64,
    min: f64,
    max: f64,
}

impl Default for Times {
    fn default() -> Self {
        Times { buckets: vec![0; BUCKETS], below: Vec::new(), count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Times {
    /// Adds one.
    pub fn add(&mut self, time: Duration) {
        self.add_ms(time.as_secs_f64() * 1000.0);
    }

    /// Adds one in ms, which may be below zero.
    pub fn add_ms(&mut self, ms: f64) {
        let at = ((ms.abs().max(1.0).log2() * 32.0) as usize).min(BUCKETS - 1);
        if ms < 0.0 && self.below.is_empty() {
            self.below = vec![0; BUCKETS];
        }
        let buckets = if ms < 0.0 { &mut self.below } else { &mut self.buckets };
        if let Some(bucket) = buckets.get_mut(at) {
            *bucket += 1;
        }
        self.count += 1;
        (self.min, self.max) = (self.min.min(ms), self.max.max(ms));
    }

    /// How many were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The ms that `percent` of them do not exceed (upper edge of a bucket 2 % wide); 0 if there is none.
    pub fn percentile(&self, percent: u64) -> f64 {
        let rank = (self.count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let edge = |at: usize| (at as f64 / 32.0).exp2();
        let below = self.below.iter().enumerate().rev().map(|(at, n)| (-edge(at), n));
        let above = self.buckets.iter().enumerate().map(|(at, n)| (edge(at + 1), n));
        for (ms, n) in below.chain(above) {
            seen += n;
            if seen >= rank {
                return ms.clamp(self.min, self.max);
            }
        }
        0.0
    }

    /// The largest, in ms; 0 if there is none.
    pub fn max(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.max }
    }

    /// p50, p95, p99 and max in ms; null where there is none.
    pub fn to_json(&self) -> Value {
        let ms = |ms: f64| if self.count == 0 { Value::Null } else { json!((ms * 10.0).round() / 10.0) };
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
    /// Segments and parts listed as gaps.
    pub gaps: u64,
    /// Times the playhead jumped over media that was not there.
    pub skips: u64,
    /// Connections opened.
    pub connections: u64,
    /// Connections that the server closed while they idled; the request went out again.
    pub reconnects: u64,
    /// Why connections broke or could not be made, by cause; at most 32 causes.
    pub broken: BTreeMap<String, u64>,
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
            "errors": self.errors, "jumps": self.jumps, "gaps": self.gaps, "skips": self.skips,
            "connections": self.connections, "reconnects": self.reconnects, "broken": self.broken, "bytes": self.bytes,
            "bits_per_second": self.bytes as f64 * 8.0 / seconds,
            "requests": requests, "statuses": statuses})
    }

    /// Time stalled as a share of the time in which something should have played.
    pub fn stall_share(&self) -> f64 {
        let stalled = self.stalled.as_secs_f64();
        stalled / (stalled + self.played.as_secs_f64()).max(0.001)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_below_and_above_zero() {
        let mut times = Times::default();
        for ms in [-200.0, -20.0, 0.0, 30.0, 1000.0] {
            times.add_ms(ms);
        }
        let near = |a: f64, b: f64| (a - b).abs() <= 0.03 * b.abs() + 1.1;
        for (percent, ms) in [(1, -200.0), (40, -20.0), (60, 0.0), (80, 30.0), (100, 1000.0)] {
            assert!(near(times.percentile(percent), ms), "{percent}: {}", times.percentile(percent));
        }
    }
}
