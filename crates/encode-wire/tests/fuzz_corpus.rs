//! The fuzz targets' corpora, replayed: what once broke a parser, or leads deep into it, is tried at every run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/checks/worker_frames.rs"]
mod worker_frames;

#[test]
fn worker_frames() {
    corpus::replay("worker_frames", |data| bounds::hold(worker_frames::PER_BYTE, data, worker_frames::check));
}
