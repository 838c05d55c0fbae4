//! The fuzz targets' corpora, replayed: what once broke a parser, or leads deep into it, is tried at every run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/checks/http_head.rs"]
mod http_head;

use millstream_http::head;

#[test]
fn http_head() {
    corpus::replay("http_head", |data| bounds::hold(http_head::PER_BYTE, data, http_head::check));
}
