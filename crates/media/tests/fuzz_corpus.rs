//! The fuzz targets' corpora, replayed: what once broke a parser, or leads deep into it, is tried at every run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/codec_config.rs"]
mod codec_config;
#[path = "../../../fuzz/checks/mp4.rs"]
mod mp4;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        println!("{}", file.display());
        check(&std::fs::read(file).unwrap());
    }
}

#[test]
fn codec_configurations() {
    replay("codec_config", codec_config::check);
}

#[test]
fn mp4_files() {
    replay("mp4", mp4::check);
}
