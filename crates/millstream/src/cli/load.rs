//! `millstream load`: a crowd of viewers against any server, and whether it was served well.

use std::io::{IsTerminal as _, Write as _};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use millstream_load::crowd::{Moment, Options, run};
use millstream_load::report::Limits;
use millstream_load::viewer::{Abr, Mode, Rules};

use crate::serve::descriptors;

/// Connections of one viewer: video, and audio where it is separate.
const CONNECTIONS: u64 = 2;

/// Most addresses to connect from.
const MAX_ADDRESSES: u32 = 4096;

/// `millstream load`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream load http://127.0.0.1:8080/live/news/index.m3u8 --viewers 500
  millstream load http://127.0.0.1:8080/live/news/manifest.mpd --viewers 100 --duration 5m --json
  millstream load https://cdn.example/live/index.m3u8 --viewers 2000 --mode hls --abr fixed:highest \\
    --max-stalls 1 --max-errors 0 --max-startup-p95 2s --max-latency-p95 4s

Durations: 500ms, 60s, 2m, 1h. Exit code: 0 all went well, 1 a limit was passed or nobody played, 2 it could not be run.
What a viewer does: docs/load.md.")]
pub struct LoadArgs {
    /// Multivariant playlist, media playlist or MPD (http or https)
    pub url: String,
    /// How many viewers
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub viewers: u32,
    /// From the first join to the end
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub duration: Duration,
    /// Time over which the viewers join
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub ramp: Duration,
    /// What is accepted and how it is watched; auto takes what the URL gives, with low latency where it is offered
    #[arg(long, value_enum, default_value_t = ModeArg::Auto)]
    pub mode: ModeArg,
    /// Which variant is watched: on (by throughput), fixed:lowest, fixed:highest
    #[arg(long, value_enum, default_value_t = AbrArg::On)]
    pub abr: AbrArg,
    /// What one viewer reads at most, in bit/s, as 2500000, 800k or 3M
    #[arg(long, value_name = "BITS", value_parser = bits)]
    pub bandwidth: Option<u64>,
    /// Addresses of this machine to connect from, in turn: 10.0.0.1-10.0.0.9, for more than 28,000 connections
    #[arg(long, value_name = "A-B", value_parser = addresses)]
    pub connect_from: Option<AddressRange>,
    /// Trust every certificate
    #[arg(long)]
    pub insecure: bool,
    /// Fail if more viewers than this stalled or never played
    #[arg(long, value_name = "PERCENT")]
    pub max_stalls: Option<f64>,
    /// Fail if more requests than this failed
    #[arg(long, value_name = "N")]
    pub max_errors: Option<u64>,
    /// Fail if the 95th percentile of the start-up time is longer
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_startup_p95: Option<Duration>,
    /// Fail if the 95th percentile of the latency is longer
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_latency_p95: Option<Duration>,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// [`Mode`] as a word.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ModeArg {
    /// What the URL gives
    Auto,
    /// HLS with whole segments
    Hls,
    /// HLS with parts
    LlHls,
    /// DASH, with low latency where it is offered
    Dash,
}

/// [`Abr`] as a word.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum AbrArg {
    /// By throughput
    On,
    /// The lowest
    #[value(name = "fixed:lowest")]
    Lowest,
    /// The highest
    #[value(name = "fixed:highest")]
    Highest,
}

/// Runs the crowd, prints what it saw, and says by its exit code whether that is good enough.
pub fn run_load(arguments: &LoadArgs) -> ExitCode {
    let url = &arguments.url;
    if millstream_load::connection::Target::of(url).is_none() {
        eprintln!("millstream: '{url}' is no URL; it begins with http:// or https://");
        return ExitCode::from(2);
    }
    let needed = u64::from(arguments.viewers) * CONNECTIONS + 64;
    if let Some(limit) = descriptors::raise_to_hard().filter(|limit| *limit < needed) {
        eprintln!("millstream: {needed} connections may be needed, {limit} can be open; raise the limit (ulimit -Hn)");
    }
    let options = Options {
        url: url.clone(),
        viewers: arguments.viewers,
        duration: arguments.duration,
        ramp: arguments.ramp,
        rules: rules(arguments),
        bandwidth: arguments.bandwidth,
        from: arguments.connect_from.clone().map(|r| r.0).unwrap_or_default(),
        insecure: arguments.insecure,
    };
    let live = std::io::stderr().is_terminal();
    let report = match run(&options, |moment| progress(moment, live)) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("millstream: the viewers cannot be run: {error}");
            return ExitCode::from(2);
        }
    };
    if live {
        eprintln!();
    }
    let limits = Limits {
        max_stalls: arguments.max_stalls,
        max_errors: arguments.max_errors,
        max_startup_p95: arguments.max_startup_p95,
        max_latency_p95: arguments.max_latency_p95,
    };
    let text = if arguments.json {
        serde_json::to_string_pretty(&report.to_json(&limits)).unwrap_or_default() + "\n"
    } else {
        report.to_table()
    };
    if std::io::stdout().write_all(text.as_bytes()).is_err() {
        return ExitCode::from(2);
    }
    let failures = report.failures(&limits);
    for failure in &failures {
        eprintln!("millstream: {failure}");
    }
    ExitCode::from(u8::from(!failures.is_empty()))
}

fn rules(arguments: &LoadArgs) -> Rules {
    let mode = match arguments.mode {
        ModeArg::Auto => Mode::Auto,
        ModeArg::Hls => Mode::Hls,
        ModeArg::LlHls => Mode::LowLatencyHls,
        ModeArg::Dash => Mode::Dash,
    };
    let abr = match arguments.abr {
        AbrArg::On => Abr::On,
        AbrArg::Lowest => Abr::Lowest,
        AbrArg::Highest => Abr::Highest,
    };
    Rules { abr, mode }
}

/// One line: each second where it can be written over, each five where it cannot.
fn progress(moment: &Moment<'_>, live: bool) {
    let seconds = moment.elapsed.as_secs();
    if !live && !seconds.is_multiple_of(5) {
        return;
    }
    let tally = moment.tally;
    let line = format!(
        "{seconds} s: {} viewers, {} play, {} stall now, {} stalled; latency p50 {:.0} ms; {} errors; {:.1} Mbit/s",
        tally.joined,
        moment.playing,
        moment.stalled,
        tally.stalled_viewers,
        tally.latency.percentile(50),
        tally.errors,
        tally.bytes as f64 * 8.0 / moment.elapsed.as_secs_f64().max(0.001) / 1e6
    );
    if live {
        eprint!("\r{line}\x1b[K");
    } else {
        eprintln!("{line}");
    }
}

/// `500ms`, `60s`, `2m`, `1h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a duration looks like 500ms, 60s, 2m or 1h".to_owned()),
    };
    let value: f64 = number.parse().map_err(|_| "a duration looks like 500ms, 60s, 2m or 1h".to_owned())?;
    Duration::try_from_secs_f64(value * scale).map_err(|e| e.to_string())
}

/// `2500000`, `800k`, `3M`.
fn bits(text: &str) -> Result<u64, String> {
    let wrong = || "a bit rate looks like 2500000, 800k or 3M".to_owned();
    let (number, scale) = match text.strip_suffix(['k', 'M']) {
        Some(number) => (number, if text.ends_with('k') { 1000 } else { 1_000_000 }),
        None => (text, 1),
    };
    let value: u64 = number.parse().map_err(|_| wrong())?;
    value.checked_mul(scale).filter(|b| *b >= 1000).ok_or_else(wrong)
}

/// Addresses to connect from.
#[derive(Debug, Clone)]
pub struct AddressRange(Vec<Ipv4Addr>);

/// `10.0.0.1-10.0.0.9`, or one address.
fn addresses(text: &str) -> Result<AddressRange, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let parse = |t: &str| t.trim().parse::<Ipv4Addr>().map(u32::from).map_err(|_| format!("'{t}' is no IPv4 address"));
    let (first, last) = (parse(first)?, parse(last)?);
    if last < first || last - first >= MAX_ADDRESSES {
        return Err(format!("a range goes up, and holds at most {MAX_ADDRESSES} addresses"));
    }
    Ok(AddressRange((first..=last).map(Ipv4Addr::from).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_said() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("2 weeks").is_err() && duration("-1s").is_err());
        assert_eq!((bits("800k"), bits("3M"), bits("5000")), (Ok(800_000), Ok(3_000_000), Ok(5000)));
        assert!(bits("1").is_err() && bits("fast").is_err());
        assert_eq!(addresses("127.0.0.2-127.0.0.4").unwrap().0.len(), 3);
        assert!(addresses("127.0.0.4-127.0.0.2").is_err() && addresses("::1").is_err());
    }
}
