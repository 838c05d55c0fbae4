//! Fuzzes `checks/codec_config.rs`; the corpus is replayed by the ordinary tests.
#![no_main]

#[path = "../checks/codec_config.rs"]
mod codec_config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| codec_config::check(data));
