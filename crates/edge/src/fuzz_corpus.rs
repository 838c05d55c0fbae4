//! The fuzz targets' corpora, replayed.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/checks/edge_playlist.rs"]
mod edge_playlist;
#[path = "../../../fuzz/checks/edge_request.rs"]
mod edge_request;

use crate::{cadence, clock, freshness, key};

#[test]
fn edge_request() {
    corpus::replay("edge_request", edge_request::check);
}

#[test]
fn edge_playlist() {
    corpus::replay("edge_playlist", edge_playlist::check);
}
