//! The worker's only reader of a clock: for its own liveness, never for media time.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The time since the process began to ask.
#[allow(clippy::disallowed_methods, reason = "the worker's one place that reads the clock")]
pub fn uptime() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// CPU time of the whole process in milliseconds.
pub fn cpu_ms() -> u64 {
    // SAFETY: the call fills a plain structure, for which all zero is a value.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let ms = |t: libc::timeval| t.tv_sec as u64 * 1000 + t.tv_usec as u64 / 1000;
    ms(usage.ru_utime) + ms(usage.ru_stime)
}
