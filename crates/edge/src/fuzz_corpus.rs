//! The fuzz target's corpus, replayed.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/edge_request.rs"]
mod check;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;

use crate::{clock, freshness, key};

#[test]
fn edge_request() {
    corpus::replay("edge_request", check::check);
}
