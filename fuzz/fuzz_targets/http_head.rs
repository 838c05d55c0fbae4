//! Fuzzes `checks/http_head.rs`; the ordinary tests replay the corpus.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[path = "../checks/http_head.rs"]
mod checks;
#[allow(dead_code, reason = "a part of its crate, without the rest")]
#[path = "../../crates/http/src/head.rs"]
mod head;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::hold(checks::PER_BYTE, data, checks::check));
