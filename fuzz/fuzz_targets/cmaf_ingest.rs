//! Fuzzes `checks/cmaf_ingest.rs`; the ordinary tests replay the corpus.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[path = "../checks/cmaf_ingest.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::hold(checks::PER_BYTE, data, checks::check));
