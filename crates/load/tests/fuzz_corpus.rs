//! The fuzz targets' corpora, replayed: what once broke a parser, or leads deep into it, is tried at every run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/checks/viewer.rs"]
mod viewer;

#[test]
fn viewer_lists() {
    corpus::replay("viewer_lists", |data| bounds::hold(viewer::PER_BYTE, data, viewer::lists));
}

#[test]
fn viewer_wire() {
    corpus::replay("viewer_wire", |data| bounds::hold(viewer::PER_BYTE, data, viewer::wire));
}
