//! What the operating system says about this process, read from `/proc` when the metrics are asked for.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::registry::{Gauge, Metrics, TimeCounter};
use crate::table as t;

/// Kernel clock ticks in a second: fixed at 100 in what Linux shows to programs.
const TICKS_PER_SECOND: u64 = 100;

/// The process's own metrics.
#[derive(Debug)]
pub struct ProcessMetrics {
    resident: Gauge,
    open_fds: Gauge,
    cpu: TimeCounter,
    counted: Mutex<Duration>,
}

impl ProcessMetrics {
    /// `started` is the start in seconds since 1970 UTC.
    pub fn new(metrics: &Metrics, version: &str, started: f64) -> Self {
        metrics.gauge(&t::BUILD_INFO, &[version]).set(1.0);
        metrics.gauge(&t::START_TIME, &[]).set(started);
        ProcessMetrics {
            resident: metrics.gauge(&t::RESIDENT_BYTES, &[]),
            open_fds: metrics.gauge(&t::OPEN_FDS, &[]),
            cpu: metrics.time(&t::CPU_SECONDS, &[]),
            counted: Mutex::new(Duration::ZERO),
        }
    }

    /// Reads the figures anew. Call it before rendering. What cannot be read stays as it is.
    pub fn refresh(&self) {
        let proc = Path::new("/proc/self");
        if let Some(bytes) = std::fs::read_to_string(proc.join("status")).ok().and_then(|s| resident_bytes(&s)) {
            self.resident.set(bytes as f64);
        }
        if let Ok(entries) = std::fs::read_dir(proc.join("fd")) {
            self.open_fds.set(entries.count() as f64);
        }
        if let Some(total) = std::fs::read_to_string(proc.join("stat")).ok().and_then(|s| cpu_time(&s)) {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            self.cpu.add(total.saturating_sub(*counted));
            *counted = total.max(*counted);
        }
    }
}

/// `VmRSS` of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// utime + stime of `/proc/self/stat`; the command in brackets may hold anything.
fn cpu_time(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks.saturating_mul(1000) / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nThreads: 1\n"), Some(2 << 20));
        assert_eq!(resident_bytes(""), None);
        let stat = "42 (a) b) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 7 7 20 0 1 0 100 0 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_time("42 (a"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let metrics = Metrics::new();
        let process = ProcessMetrics::new(&metrics, "1.2.3", 1.5);
        process.refresh();
        process.refresh();
        assert!(process.resident.get() > 100_000.0 && process.open_fds.get() >= 3.0);
        assert!(metrics.render().contains("millstream_build_info{version=\"1.2.3\"} 1"));
    }
}
