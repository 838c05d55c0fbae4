//! The segmenter's promises: epoch-locked and passthrough.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod epoch;
mod fixtures;
mod passthrough;
