//! Fuzzes `checks/mp4.rs`; the corpus is replayed by the ordinary tests.
#![no_main]

#[path = "../checks/mp4.rs"]
mod mp4;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mp4::check(data));
