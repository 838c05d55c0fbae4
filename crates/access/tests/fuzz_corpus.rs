//! The fuzz targets' corpora, replayed: what once broke a parser, or leads deep into it, is tried at every run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/checks/openid.rs"]
mod openid;
#[path = "../../../fuzz/checks/signed.rs"]
mod signed;

#[test]
fn openid() {
    corpus::replay("openid", |data| bounds::hold(openid::PER_BYTE, data, openid::check));
}

#[test]
fn signed() {
    corpus::replay("signed", |data| bounds::hold(signed::PER_BYTE, data, signed::check));
}
