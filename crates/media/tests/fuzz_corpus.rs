//! The fuzz targets' corpora, replayed: what once broke a parser, or leads deep into it, is tried at every run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/bounds.rs"]
mod bounds;
#[path = "../../../fuzz/checks/codec_config.rs"]
mod codec_config;
#[path = "../../../fuzz/checks/coded_pictures.rs"]
mod coded_pictures;
#[path = "../../../fuzz/checks/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/checks/mp4.rs"]
mod mp4;

#[test]
fn codec_config() {
    corpus::replay("codec_config", |data| bounds::hold(codec_config::PER_BYTE, data, codec_config::check));
}

#[test]
fn mp4() {
    corpus::replay("mp4", |data| bounds::hold(mp4::PER_BYTE, data, mp4::check));
}

#[test]
fn coded_pictures() {
    corpus::replay("coded_pictures", |data| bounds::hold(coded_pictures::PER_BYTE, data, coded_pictures::check));
}
