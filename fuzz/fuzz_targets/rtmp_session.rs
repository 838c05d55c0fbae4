//! Fuzzes `checks/rtmp.rs`; the ordinary tests replay the corpus.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[allow(dead_code, reason = "one of several targets")]
#[path = "../checks/rtmp.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::hold(checks::PER_BYTE, data, checks::session));
