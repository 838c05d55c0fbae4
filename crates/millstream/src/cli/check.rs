//! `millstream check`: reads a presentation as a player does and lists what breaks the standards.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use millstream_check::finding::Finding;
use millstream_check::http::Http;
use millstream_check::{Options, Report, Severity, live, rules};

/// `millstream check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream check http://127.0.0.1:8080/live/news/index.m3u8
  millstream check http://127.0.0.1:8080/live/news/manifest.mpd --duration 60 --json
  millstream check http://127.0.0.1:8080/live/news/index.m3u8 --only 1.40 --only 1.41

Exit code: 0 nothing found, 1 something found, 2 nothing could be read. The rules: docs/check.md.")]
pub struct CheckArgs {
    /// Playlist (.m3u8) or MPD (.mpd)
    pub url: String,
    /// The MPD of the same presentation, to compare it with the playlists
    #[arg(long, value_name = "URL")]
    pub mpd: Option<String>,
    /// How long to follow it; 0 reads everything once
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=86400))]
    pub duration: u64,
    /// Report this rule only (may be given several times)
    #[arg(long, value_name = "RULE")]
    pub only: Vec<String>,
    /// Do not report this rule (may be given several times)
    #[arg(long, value_name = "RULE")]
    pub ignore: Vec<String>,
    /// List warnings too (against a SHOULD); they count for the exit code then
    #[arg(long)]
    pub warnings: bool,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// Watches, prints, and says by its exit code what was found.
pub fn run_check(arguments: &CheckArgs) -> ExitCode {
    if let Err(message) = usage(arguments) {
        eprintln!("millstream: {message}");
        return ExitCode::from(2);
    }
    let options =
        Options { duration: Duration::from_secs(arguments.duration), mpd: arguments.mpd.clone(), ..Options::default() };
    let mut report = live(&mut Http::new(), &arguments.url, options);
    let reached = report.playlist_versions + report.mpd_versions > 0;
    if !reached {
        let cause = report.findings.first().map_or("it is no playlist and no MPD".to_owned(), |f| f.message.clone());
        eprintln!("millstream: cannot read {}: {cause}", arguments.url);
        return ExitCode::from(2);
    }
    report.findings.retain(|f| wanted(arguments, f));
    let text =
        if arguments.json { serde_json::to_string_pretty(&report).unwrap_or_default() + "\n" } else { lines(&report) };
    if std::io::stdout().write_all(text.as_bytes()).is_err() {
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(!report.findings.is_empty()))
}

fn usage(arguments: &CheckArgs) -> Result<(), String> {
    for url in [Some(&arguments.url), arguments.mpd.as_ref()].into_iter().flatten() {
        if url.starts_with("https://") {
            return Err(format!("{url}: https comes with a later version; check the server over http"));
        }
        if !url.starts_with("http://") {
            return Err(format!("'{url}' is no URL; it begins with http://"));
        }
    }
    let known: BTreeSet<&str> = rules::ALL.iter().map(|(rule, _)| *rule).collect();
    match arguments.only.iter().chain(&arguments.ignore).find(|r| !known.contains(r.as_str())) {
        Some(rule) => Err(format!("there is no rule '{rule}'; docs/check.md lists them")),
        None => Ok(()),
    }
}

fn wanted(arguments: &CheckArgs, finding: &Finding) -> bool {
    let named = |list: &[String]| list.iter().any(|r| r == finding.rule);
    (arguments.only.is_empty() || named(&arguments.only))
        && !named(&arguments.ignore)
        && (arguments.warnings || finding.severity == Severity::Error)
}

/// One line for each finding, and a summary.
fn lines(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let times = if finding.times > 1 { format!(" [{} times]", finding.times) } else { String::new() };
        let since = finding.first_seen.as_ref().map(|t| format!(" since {t}")).unwrap_or_default();
        out.push_str(&format!("{finding}{times}{since}\n"));
    }
    let errors = report.errors().count();
    let warnings = report.findings.len() - errors;
    out.push_str(&format!(
        "{errors} errors, {warnings} warnings; read {} playlists, {} playlist versions, {} MPD versions, {} media \
         resources of {} bytes\n",
        report.renditions.len(),
        report.playlist_versions,
        report.mpd_versions,
        report.segments,
        report.media_bytes
    ));
    if report.findings_left_out > 0 {
        out.push_str(&format!("{} more of the same rules are left out\n", report.findings_left_out));
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn arguments(words: &[&str]) -> CheckArgs {
        match Cli::try_parse_from(["millstream", "check"].iter().chain(words)).unwrap().command {
            Command::Check(check) => check,
            _ => unreachable!(),
        }
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        assert!(usage(&arguments(&["http://h/a.m3u8", "--only", "1.40"])).is_ok());
        for (words, says) in [
            (&["https://h/a.m3u8"][..], "later version"),
            (&["a.m3u8"], "no URL"),
            (&["http://h/a.m3u8", "--ignore", "0.1"], "no rule '0.1'"),
        ] {
            assert!(usage(&arguments(words)).unwrap_err().contains(says), "{words:?}");
        }
    }

    #[test]
    fn rules_and_levels_are_chosen() {
        let finding = |rule, severity| Finding {
            rule,
            severity,
            url: String::new(),
            message: String::new(),
            times: 1,
            first_seen: None,
        };
        let error = finding("1.40", Severity::Error);
        let warning = finding("1.41", Severity::Warning);
        let kept = |words: &[&str], f: &Finding| {
            let mut all = vec!["http://h/a.m3u8"];
            all.extend_from_slice(words);
            wanted(&arguments(&all), f)
        };
        assert!(kept(&[], &error) && !kept(&[], &warning) && kept(&["--warnings"], &warning));
        assert!(!kept(&["--ignore", "1.40"], &error) && !kept(&["--only", "1.41"], &error));
    }
}
