//! What a run is judged by, and how it is told to people and to programs. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::tally::{Tally, Times};

/// Limits; what is not set is not judged, but a crowd of which nobody played always fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Viewers that stalled or never played, in percent.
    pub max_stalls: Option<f64>,
    /// Failed requests.
    pub max_errors: Option<u64>,
    /// 95th percentile of the start-up time.
    pub max_startup_p95: Option<Duration>,
    /// 95th percentile of the latency.
    pub max_latency_p95: Option<Duration>,
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was counted.
    pub tally: Tally,
    /// Length of the run.
    pub elapsed: Duration,
    /// Processor time of the crowd itself.
    pub cpu: Duration,
    /// Memory that the crowd itself took, in bytes.
    pub memory: u64,
}

impl Report {
    /// Viewers that stalled or never played, in percent.
    pub fn stalls_percent(&self) -> f64 {
        let bad = self.tally.stalled_viewers + self.tally.never_played;
        bad as f64 * 100.0 / self.tally.joined.max(1) as f64
    }

    /// What is past the limits, in words.
    pub fn failures(&self, limits: &Limits) -> Vec<String> {
        let mut out = Vec::new();
        let tally = &self.tally;
        if tally.never_played == tally.joined {
            let causes: Vec<String> = tally.broken.keys().take(3).cloned().collect();
            let statuses: Vec<String> = tally.statuses.keys().filter(|s| **s >= 400).map(u16::to_string).collect();
            let why = [causes, statuses].concat().join(", ");
            let why = if why.is_empty() { "the presentation gave nothing to play".to_owned() } else { why };
            out.push(format!("nobody played: {why}"));
        }
        let percent = self.stalls_percent();
        if limits.max_stalls.is_some_and(|most| percent > most) {
            out.push(format!("{percent:.2} % of the viewers stalled or never played"));
        }
        if limits.max_errors.is_some_and(|most| tally.errors > most) {
            out.push(format!("{} requests failed", tally.errors));
        }
        let late = |times: &Times, most: Option<Duration>| {
            let p95 = times.percentile(95);
            most.filter(|m| times.count() == 0 || p95 > m.as_secs_f64() * 1000.0).map(|_| p95)
        };
        if let Some(p95) = late(&tally.startup, limits.max_startup_p95) {
            out.push(format!(
                "the 95th percentile of the start-up time is {p95:.0} ms of {} starts",
                tally.startup.count()
            ));
        }
        if let Some(p95) = late(&tally.latency, limits.max_latency_p95) {
            out.push(format!("the 95th percentile of the latency is {p95:.0} ms of {} samples", tally.latency.count()));
        }
        out
    }

    /// One JSON document.
    pub fn to_json(&self, limits: &Limits) -> Value {
        let mut value = self.tally.to_json(self.elapsed);
        value["client"] = json!({"cpu_seconds": self.cpu.as_secs_f64(), "memory_bytes": self.memory});
        value["stalls"]["viewers_percent"] = json!(self.stalls_percent());
        value["failures"] = json!(self.failures(limits));
        value
    }

    /// The table.
    pub fn to_table(&self) -> String {
        let tally = &self.tally;
        let seconds = self.elapsed.as_secs_f64().max(0.001);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} viewers in {seconds:.1} s: {} stalled, {} never played, {:.3} % of the time stalled",
            tally.joined,
            tally.stalled_viewers,
            tally.never_played,
            tally.stall_share() * 100.0
        );
        let _ = writeln!(
            out,
            "{} failed requests, {} jumps, {} gaps, {} skips, {} connections, {} opened again",
            tally.errors, tally.jumps, tally.gaps, tally.skips, tally.connections, tally.reconnects
        );
        let _ = writeln!(
            out,
            "{} bytes, {:.2} Mbit/s; this program took {:.2} s of processor time and {:.1} MB\n",
            tally.bytes,
            tally.bytes as f64 * 8.0 / seconds / 1e6,
            self.cpu.as_secs_f64(),
            self.memory as f64 / 1e6
        );
        let _ = writeln!(
            out,
            "{:<20}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "ms", "count", "per s", "p50", "p95", "p99", "max"
        );
        let mut row = |name: &str, times: &Times| {
            let _ = writeln!(
                out,
                "{name:<20}{:>10}{:>10.1}{:>10.1}{:>10.1}{:>10.1}{:>10.1}",
                times.count(),
                times.count() as f64 / seconds,
                times.percentile(50),
                times.percentile(95),
                times.percentile(99),
                times.max()
            );
        };
        for (name, times) in [("start-up", &tally.startup), ("latency", &tally.latency), ("stall", &tally.stalls)] {
            row(name, times);
        }
        for (kind, times) in &tally.requests {
            row(kind, times);
        }
        for (status, count) in &tally.statuses {
            let what = if *status == 0 { "no response".to_owned() } else { format!("status {status}") };
            let _ = writeln!(out, "{what:<20}{count:>10}");
        }
        for (cause, count) in &tally.broken {
            let _ = writeln!(out, "{count} times: {cause}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_judged() {
        let mut tally = Tally { joined: 10, errors: 3, stalled_viewers: 1, ..Tally::default() };
        tally.startup.add(Duration::from_millis(500));
        let mut report = Report { tally, elapsed: Duration::from_secs(1), cpu: Duration::ZERO, memory: 0 };
        let judged = |report: &Report, limits: Limits| report.failures(&limits).len();
        let none = Limits::default();
        assert_eq!(judged(&report, none), 0);
        assert_eq!(judged(&report, Limits { max_stalls: Some(10.0), max_errors: Some(3), ..none }), 0);
        assert_eq!(judged(&report, Limits { max_stalls: Some(9.9), max_errors: Some(2), ..none }), 2);
        assert_eq!(judged(&report, Limits { max_startup_p95: Some(Duration::from_millis(499)), ..none }), 1);
        assert_eq!(judged(&report, Limits { max_latency_p95: Some(Duration::from_secs(9)), ..none }), 1, "unknown");
        report.tally.never_played = 10;
        assert_eq!(judged(&report, none), 1);
        assert!(report.to_table().contains("10 never played"));
    }
}
