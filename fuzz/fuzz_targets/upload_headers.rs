//! Fuzzes `checks/upload_headers.rs`; the ordinary tests replay the corpus.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[path = "../checks/upload_headers.rs"]
mod checks;
#[allow(dead_code, reason = "a part of its crate, without the rest")]
#[path = "../../crates/control/src/api/imports/upload.rs"]
mod upload;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::hold(checks::PER_BYTE, data, checks::check));
