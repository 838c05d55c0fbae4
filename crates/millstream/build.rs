//! Makes sure that there is a web folder to embed: `cargo build` works before the pages were built with npm.

use std::path::Path;
use std::{env, fs};

const PLACEHOLDER: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>millstream</title>\n\
                           <p>The pages of this build are missing: run <code>make build</code>.</p>\n</html>\n";

fn main() {
    let Some(manifest) = env::var_os("CARGO_MANIFEST_DIR") else { return };
    let dist = Path::new(&manifest).join("../../web/dist");
    let index = dist.join("index.html");
    if !index.exists() {
        // A folder that cannot be written is reported by the embedding itself.
        let _ = fs::create_dir_all(&dist).and_then(|()| fs::write(&index, PLACEHOLDER));
    }
    println!("cargo::rerun-if-changed={}", dist.display());
    println!("cargo::rerun-if-changed=build.rs");
}
