//! What a rule says: which rule, how bad, where, and what was seen.

use std::collections::BTreeSet;

use millstream_media::time::UtcTime;
use serde::Serialize;

/// Most findings kept of one rule for one URL; more are counted only.
const EXAMPLES_PER_RULE: usize = 5;

/// Most findings kept in all.
const MAX_FINDINGS: usize = 1000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Against a SHOULD: it works, somebody is worse off.
    Warning,
    /// Against a MUST: some player will fail.
    Error,
}

impl Severity {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// A line of a playlist or an MPD, from 1; 0 if it is not known. All are equal: where a thing stands is not what it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line(pub u32);

impl PartialEq for Line {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Line {}

/// One thing that is not as a standard says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's number, such as `1.7` or `CHECK-1b`.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub url: String,
    /// The line of the playlist or MPD under `url` where it was first seen, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What was seen, in one line.
    pub message: String,
    /// How often it was seen.
    pub times: u64,
    /// When it was first seen: ISO 8601, UTC; not there for a rule asked without a clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
}

impl Finding {
    /// URL, and line if it is known.
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{} line {line}", self.url),
            None => self.url.clone(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {} ({})", self.severity.name(), self.rule, self.message, self.place())
    }
}

/// Findings as they are collected. Bounded: see [`Findings::left_out`].
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    left_out: u64,
    now: Option<UtcTime>,
}

impl Findings {
    /// What is found from here on was seen at this time.
    pub fn at(&mut self, now: UtcTime) {
        self.now = Some(now);
    }

    /// Against a MUST.
    pub fn error(&mut self, rule: &'static str, url: &str, message: impl Into<String>) {
        self.error_at(rule, url, Line(0), message);
    }

    /// Against a MUST, on this line.
    pub fn error_at(&mut self, rule: &'static str, url: &str, line: Line, message: impl Into<String>) {
        self.add(Severity::Error, rule, url, line, message.into());
    }

    /// Against a SHOULD.
    pub fn warn(&mut self, rule: &'static str, url: &str, message: impl Into<String>) {
        self.warn_at(rule, url, Line(0), message);
    }

    /// Against a SHOULD, on this line.
    pub fn warn_at(&mut self, rule: &'static str, url: &str, line: Line, message: impl Into<String>) {
        self.add(Severity::Warning, rule, url, line, message.into());
    }

    /// What was found, in the order it was seen.
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// How many were seen but not kept, because the same rule had enough examples.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes the findings out.
    pub fn into_list(self) -> Vec<Finding> {
        self.list
    }

    fn add(&mut self, severity: Severity, rule: &'static str, url: &str, line: Line, message: String) {
        if let Some(known) = self.list.iter_mut().find(|f| f.rule == rule && f.url == url && f.message == message) {
            known.times += 1;
            return;
        }
        let same = self.list.iter().filter(|f| f.rule == rule && f.url == url).count();
        if self.list.len() >= MAX_FINDINGS || same >= EXAMPLES_PER_RULE {
            self.left_out += 1;
            return;
        }
        let first_seen = self.now.map(|t| t.to_iso8601());
        let line = Some(line.0).filter(|l| *l > 0);
        self.list.push(Finding { rule, severity, url: url.to_owned(), line, message, times: 1, first_seen });
    }
}

/// What a whole run found, and how much it looked at (a run that saw nothing has proved nothing).
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What was found, in the order it was seen.
    pub findings: Vec<Finding>,
    /// Findings beyond those kept.
    pub findings_left_out: u64,
    /// Media playlist versions that differed from the one before.
    pub playlist_versions: u64,
    /// MPD versions that differed from the one before.
    pub mpd_versions: u64,
    /// Init segments, segments and parts read and parsed.
    pub segments: u64,
    /// Bytes of them.
    pub media_bytes: u64,
    /// URLs of the media playlists that were followed.
    pub renditions: Vec<String>,
    /// What was there but is not read by this checker, in words.
    pub not_read: BTreeSet<String>,
}

impl Report {
    /// The findings that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.severity == Severity::Error)
    }
}
