//! The fuzz targets' corpora, replayed: what once broke a parser, or leads deep into it, is tried at every run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/checker.rs"]
mod checker;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;

#[test]
fn checker_hls() {
    corpus::replay("checker_hls", |data| bounds::hold(checker::PER_BYTE, data, checker::hls));
}

#[test]
fn checker_mpd() {
    corpus::replay("checker_mpd", |data| bounds::hold(checker::PER_BYTE, data, checker::mpd));
}

#[test]
fn checker_boxes() {
    corpus::replay("checker_boxes", |data| bounds::hold(checker::PER_BYTE, data, checker::boxes));
}
