//! Fuzzes `checks/edge_playlist.rs`; the ordinary tests replay the corpus.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[allow(dead_code, reason = "a part of its crate, without the rest")]
#[path = "../../crates/edge/src/cadence.rs"]
mod cadence;
#[path = "../checks/edge_playlist.rs"]
mod checks;
#[allow(dead_code, reason = "a part of its crate, without the rest")]
#[path = "../../crates/edge/src/clock.rs"]
mod clock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::hold(checks::PER_BYTE, data, checks::check));
