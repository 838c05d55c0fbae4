//! Fuzzes `checks/edge_request.rs`; the ordinary tests replay the corpus.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[path = "../checks/edge_request.rs"]
mod checks;
#[allow(dead_code, reason = "a part of its crate, without the rest")]
#[path = "../../crates/edge/src/clock.rs"]
mod clock;
#[allow(dead_code, reason = "a part of its crate, without the rest")]
#[path = "../../crates/edge/src/freshness.rs"]
mod freshness;
#[allow(dead_code, reason = "a part of its crate, without the rest")]
#[path = "../../crates/edge/src/key.rs"]
mod key;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::hold(checks::PER_BYTE, data, checks::check));
