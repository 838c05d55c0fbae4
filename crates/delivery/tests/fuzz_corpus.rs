//! The fuzz targets' corpora, replayed: what once broke a parser, or leads deep into it, is tried at every run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/checks/forwarded.rs"]
mod forwarded;
#[path = "../../../fuzz/checks/media_request.rs"]
mod media_request;

#[test]
fn forwarded() {
    corpus::replay("forwarded", |data| bounds::hold(forwarded::PER_BYTE, data, forwarded::check));
}

#[test]
fn media_request() {
    corpus::replay("media_request", |data| bounds::hold(media_request::PER_BYTE, data, media_request::check));
}
