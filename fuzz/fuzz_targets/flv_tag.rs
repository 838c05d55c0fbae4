//! Fuzzes `checks::flv`.
#![no_main]

#[path = "rtmp_checks.rs"]
#[allow(dead_code, reason = "one of several targets")]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::flv(data));
