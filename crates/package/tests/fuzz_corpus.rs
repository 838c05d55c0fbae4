//! The fuzz targets' corpora, replayed: what once broke a parser, or leads deep into it, is tried at every run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/checks/cpix.rs"]
mod cpix;

#[test]
fn cpix() {
    corpus::replay("cpix", |data| bounds::hold(cpix::PER_BYTE, data, cpix::check));
}
