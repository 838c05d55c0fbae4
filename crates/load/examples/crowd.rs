//! The crowd without the rest of millstream: `crowd URL VIEWERS SECONDS auto|hls|ll-hls|dash`, for measuring the crate.

use std::time::Duration;

use millstream_load::crowd::{Options, run};
use millstream_load::report::Limits;
use millstream_load::viewer::{Abr, Mode, Rules};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, viewers, seconds, mode] = words.as_slice() else {
        return Err("crowd URL VIEWERS SECONDS auto|hls|ll-hls|dash".into());
    };
    let mode = match mode.as_str() {
        "hls" => Mode::Hls,
        "ll-hls" => Mode::LowLatencyHls,
        "dash" => Mode::Dash,
        _ => Mode::Auto,
    };
    let duration = Duration::from_secs(seconds.parse()?);
    let options = Options {
        url: url.clone(),
        viewers: viewers.parse()?,
        duration,
        ramp: duration / 4,
        rules: Rules { abr: Abr::On, mode },
        bandwidth: None,
        from: Vec::new(),
        insecure: true,
    };
    let report = run(&options, |_| {})?;
    print!("{}", report.to_table());
    for failure in report.failures(&Limits::default()) {
        eprintln!("{failure}");
    }
    Ok(())
}
