//! Tells the code which FFmpeg it is built against, where the libraries' structures differ.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(ffmpeg_6_1)");
    println!("cargo::rerun-if-changed=build.rs");
    // Set by ffmpeg-sys-the-third for each version whose interface is there.
    if std::env::vars_os().any(|(name, _)| name == "DEP_FFMPEG_FFMPEG_6_1") {
        println!("cargo::rustc-cfg=ffmpeg_6_1");
    }
}
