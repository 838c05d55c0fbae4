//! `millstream check`: reads a presentation as a player does and lists what breaks the standards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use millstream_check::finding::Finding;
use millstream_check::http::{Http, Trust};
use millstream_check::{Options, Report, Severity, live, rules};

/// `millstream check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  millstream check http://127.0.0.1:8080/live/news/index.m3u8
  millstream check http://127.0.0.1:8080/live/news/manifest.mpd --duration 60 --json
  millstream check http://127.0.0.1:8080/live/news/index.m3u8 --only 1.40 --only 1.41
  millstream check https://cdn.example/live/index.m3u8 --header 'Cookie: CloudFront-Policy=…'

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
    /// List every finding, not the first one of each rule only
    #[arg(long)]
    pub all: bool,
    /// Trust the authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub cacert: Option<PathBuf>,
    /// Trust every certificate
    #[arg(long)]
    pub insecure: bool,
    /// Send this with requests to the server of URL (may be given several times)
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
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
    let mut http = match client(arguments) {
        Ok(http) => http,
        Err(message) => {
            eprintln!("millstream: {message}");
            return ExitCode::from(2);
        }
    };
    let mut report = live(&mut http, &arguments.url, options);
    let reached = report.playlist_versions + report.mpd_versions > 0;
    if !reached {
        let cause = report.findings.first().map_or("it is no playlist and no MPD".to_owned(), |f| f.message.clone());
        eprintln!("millstream: cannot read {}: {cause}", arguments.url);
        return ExitCode::from(2);
    }
    // A run that read no media because it cannot has proved nothing.
    let blind = report.segments == 0 && !report.not_read.is_empty();
    report.findings.retain(|f| wanted(arguments, f));
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"
    } else {
        listing(&report, arguments.all)
    };
    if std::io::stdout().write_all(text.as_bytes()).is_err() {
        return ExitCode::from(2);
    }
    if blind {
        eprintln!("millstream: no media of {} is of a kind that is read", arguments.url);
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(!report.findings.is_empty()))
}

fn usage(arguments: &CheckArgs) -> Result<(), String> {
    for url in [Some(&arguments.url), arguments.mpd.as_ref()].into_iter().flatten() {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("'{url}' is no URL; it begins with http:// or https://"));
        }
    }
    if let Some(wrong) = arguments.header.iter().find(|h| field(h).is_none()) {
        return Err(format!("'{wrong}' is no header; it looks like NAME: VALUE"));
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

/// `NAME: VALUE`.
fn field(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = !name.is_empty() && name.chars().all(plain) && !value.contains(|c: char| c.is_control());
    fits.then(|| (name, value.trim()))
}

/// The client: whom it trusts, and what it sends.
fn client(arguments: &CheckArgs) -> Result<Http, String> {
    let mut http = match &arguments.cacert {
        Some(path) => {
            let text = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
            Http::trusting(&Trust::Pem(text)).map_err(|e| format!("{}: {e}", path.display()))?
        }
        None if arguments.insecure => Http::trusting(&Trust::Anybody)?,
        None if arguments.url.starts_with("https://") => Http::trusting(&Trust::System)?,
        None => Http::new(),
    };
    for (name, value) in arguments.header.iter().filter_map(|h| field(h)) {
        http.send_to(&arguments.url, name, value);
    }
    Ok(http)
}

/// Findings of each rule with the first one (or all) of them, and a summary.
fn listing(report: &Report, all: bool) -> String {
    let mut rules: BTreeMap<usize, Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        let place = rules::ALL.iter().position(|(rule, _)| *rule == finding.rule).unwrap_or(usize::MAX);
        rules.entry(place).or_default().push(finding);
    }
    let mut out = String::new();
    for (place, findings) in &rules {
        let (rule, what) = rules::ALL.get(*place).copied().unwrap_or(("?", "of no known rule"));
        let worst = findings.iter().map(|f| f.severity).max().unwrap_or(Severity::Warning);
        let times: u64 = findings.iter().map(|f| f.times).sum();
        let urls = findings.iter().map(|f| &f.url).collect::<BTreeSet<_>>().len();
        let under = if urls > 1 { format!(" under {urls} URLs") } else { String::new() };
        let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
        out.push_str(&format!("{} {rule} ({what}): {times}{under}\n", worst.name()));
        let shown = if all { findings.len() } else { 1 };
        for finding in findings.iter().take(shown) {
            let since = finding.first_seen.as_ref().map(|t| format!(" at {t}")).unwrap_or_default();
            let first = if all || findings.len() == 1 { "" } else { "first: " };
            out.push_str(&format!("    {first}{}\n        {}{since}\n", finding.message, finding.place()));
        }
    }
    for what in &report.not_read {
        out.push_str(&format!("not read: {what}\n"));
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
            (&["a.m3u8"][..], "no URL"),
            (&["https://h/a.m3u8", "--header", "no header"], "NAME: VALUE"),
            (&["http://h/a.m3u8", "--ignore", "0.1"], "no rule '0.1'"),
        ] {
            assert!(usage(&arguments(words)).unwrap_err().contains(says), "{words:?}");
        }
    }

    #[test]
    fn findings_are_listed_by_rule_with_count_place_and_first_occurrence() {
        let finding = |rule, message: &str, line| Finding {
            rule,
            severity: Severity::Error,
            url: "http://h/a.m3u8".to_owned(),
            line,
            message: message.to_owned(),
            times: 2,
            first_seen: None,
        };
        let findings =
            vec![finding("2.1", "late", None), finding("1.7", "long", Some(9)), finding("1.7", "longer", None)];
        let mut report = Report { findings, ..Report::default() };
        report.not_read.insert("subtitles".to_owned());
        let text = listing(&report, false);
        assert!(
            text.starts_with("error 1.7 (target duration: there, kept, constant): 4 times\n    first: long\n"),
            "{text}"
        );
        assert!(
            text.contains("http://h/a.m3u8 line 9\nerror 2.1 ") && text.contains("not read: subtitles\n"),
            "{text}"
        );
        assert!(!text.contains("longer") && listing(&report, true).contains("    longer\n"));
    }

    #[test]
    fn rules_and_levels_are_chosen() {
        let finding = |rule, severity| Finding {
            rule,
            severity,
            url: String::new(),
            line: None,
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
