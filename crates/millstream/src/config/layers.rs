//! Default, file, environment, flag: laid over each other in this order, key by key, by a pure function.
//!
//! Each value remembers where it came from, so that an error names the line, the variable or the flag.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use millstream_control::channel::{ChannelConfig, ConfigError as ChannelError, nearest};
use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::reference::{SECTIONS, keys};
use super::settings::Config;

/// Variables are named `MILLSTREAM_<SECTION>_<KEY>`.
pub const ENV_PREFIX: &str = "MILLSTREAM_";

/// The settings that have a flag of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--http`
    pub http: Option<String>,
    /// `--rtmp`
    pub rtmp: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--log-level`
    pub log_level: Option<String>,
    /// `--origin`, each
    pub origins: Vec<String>,
}

/// Everything that is wrong with a configuration, each with its place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Where a value came from.
#[derive(Clone, Debug)]
enum Source {
    File { line: usize },
    Environment { variable: String },
    Flag(&'static str),
}

/// The configuration in force, and warnings to log. `file` is the path (for messages) and the text.
///
/// # Errors
/// All settings that cannot be accepted.
pub fn effective(
    file: Option<(&Path, &str)>,
    environment: &BTreeMap<String, String>,
    flags: &Flags,
) -> Result<(Config, Vec<String>), ConfigErrors> {
    let mut layers = Layers { path: file.map(|(path, _)| path.display().to_string()), ..Layers::default() };
    if let Some((_, text)) = file {
        layers.read_file(text);
    }
    layers.read_environment(environment);
    layers.read_flags(flags);
    layers.finish()
}

#[derive(Default)]
struct Layers {
    path: Option<String>,
    values: BTreeMap<(&'static str, &'static str), (Value, Source)>,
    channels: Vec<ChannelConfig>,
    warnings: Vec<String>,
    errors: Vec<String>,
}

impl Layers {
    fn read_file(&mut self, text: &str) {
        let line_of = |offset: usize| text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1;
        let spans = match DeTable::parse(text) {
            Ok(spans) => spans,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(span.start));
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                return self.fail_at(line, &format!("{message}; correct the TOML there"));
            }
        };
        // The parse above succeeded, so this one does, too; it gives plain values.
        let Ok(values) = text.parse::<Table>() else { return };
        for (section, spanned) in spans.get_ref() {
            let line = line_of(section.span().start);
            let (Some(value), written) = (values.get(section.get_ref().as_ref()), section.get_ref().as_ref()) else {
                continue;
            };
            if written == "channel" {
                self.read_channels(value, spanned.get_ref(), line, &line_of);
                continue;
            }
            let known = SECTIONS.iter().find(|s| **s == written);
            let (Some(known), Value::Table(table), Some(key_spans)) = (known, value, spanned.get_ref().as_table())
            else {
                self.fail_at(line, &unknown_section(written, value));
                continue;
            };
            for (key, _) in key_spans {
                let line = line_of(key.span().start);
                let written = key.get_ref().as_ref();
                match (keys(known).iter().find(|k| **k == written), table.get(written)) {
                    (Some(key), Some(value)) => {
                        self.values.insert((known, key), (value.clone(), Source::File { line }));
                    }
                    _ => self.fail_at(line, &unknown_key(known, written)),
                }
            }
        }
    }

    fn read_channels(&mut self, value: &Value, spans: &DeValue<'_>, line: usize, line_of: &dyn Fn(usize) -> usize) {
        let (Value::Array(tables), Some(spans)) = (value, spans.as_array()) else {
            return self.fail_at(line, "channel is not a list; write each channel under its own [[channel]]");
        };
        for (table, spanned) in tables.iter().zip(spans.iter()) {
            let start = line_of(spanned.span().start);
            let lines: BTreeMap<String, usize> = spanned
                .get_ref()
                .as_table()
                .map(|t| t.keys().map(|k| (k.get_ref().to_string(), line_of(k.span().start))).collect())
                .unwrap_or_default();
            let name = table.get("name").and_then(Value::as_str).unwrap_or("without a name").to_owned();
            let read = serde_json::to_value(table)
                .map_err(|error| ChannelError::one("", error.to_string()))
                .and_then(ChannelConfig::from_json);
            match read {
                Ok(config) if self.channels.iter().any(|c| c.name == config.name) => {
                    let line = lines.get("name").copied().unwrap_or(start);
                    self.fail_at(line, &format!("channel {name} is there twice; rename one of the two"));
                }
                Ok(config) => self.channels.push(config),
                Err(error) => {
                    for error in error.errors {
                        let line = lines.get(&error.field).copied().unwrap_or(start);
                        self.fail_at(line, &format!("channel {name}: {error}"));
                    }
                }
            }
        }
    }

    fn read_environment(&mut self, environment: &BTreeMap<String, String>) {
        for (variable, text) in environment {
            let Some(rest) = variable.strip_prefix(ENV_PREFIX) else { continue };
            let rest = rest.to_ascii_lowercase();
            let section = SECTIONS.iter().find_map(|s| Some((s, rest.strip_prefix(s)?.strip_prefix('_')?)));
            // Others use the prefix, too (Kubernetes names a service's variables so); only our sections are ours.
            let Some((section, written)) = section else { continue };
            let Some(key) = keys(section).iter().find(|key| **key == written) else {
                let hint = nearest(written, keys(section))
                    .map(|key| format!("; did you mean {}?", variable_name(section, key)))
                    .unwrap_or_default();
                self.warnings.push(format!("the environment variable {variable} names no setting{hint}"));
                continue;
            };
            // An empty variable is one that is not set: scripts pass them on so.
            if text.is_empty() {
                continue;
            }
            let source = Source::Environment { variable: variable.clone() };
            let value = value_from_text(section, key, text);
            self.values.insert((section, key), (value, source));
        }
    }

    fn read_flags(&mut self, flags: &Flags) {
        let text = |t: &Option<String>| t.clone().map(Value::String);
        let data_dir = flags.data_dir.as_ref().map(|d| Value::String(d.display().to_string()));
        let origins = flags.origins.iter().cloned().map(Value::String).collect::<Vec<_>>();
        let origins = (!origins.is_empty()).then_some(Value::Array(origins));
        for (section, key, flag, value) in [
            ("server", "http", "--http", text(&flags.http)),
            ("server", "data_dir", "--data-dir", data_dir),
            ("ingest", "rtmp", "--rtmp", text(&flags.rtmp)),
            ("log", "level", "--log-level", text(&flags.log_level)),
            ("edge", "origins", "--origin", origins),
        ] {
            if let Some(value) = value {
                self.values.insert((section, key), (value, Source::Flag(flag)));
            }
        }
    }

    fn finish(mut self) -> Result<(Config, Vec<String>), ConfigErrors> {
        let mut root = Table::new();
        let mut refused = Vec::new();
        for ((section, key), (value, source)) in &self.values {
            // Each value is tried alone first: so an error is this value's, and its source is known.
            match Config::deserialize(Value::Table(one(section, key, value))) {
                Ok(_) => {
                    let table = root.entry(*section).or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(table) = table {
                        table.insert((*key).to_owned(), value.clone());
                    }
                }
                // A type's complaint repeats the value.
                Err(_) if SECRETS.contains(&(*section, *key)) => {
                    refused.push((source.clone(), *section, *key, NOT_A_SECRET.to_owned()));
                }
                Err(error) => refused.push((source.clone(), *section, *key, last_words(error.message()))),
            }
        }
        let mut config = Config::deserialize(Value::Table(root)).unwrap_or_default();
        for (section, key, message) in config.check() {
            if let Some((_, source)) = self.values.get(&(section, key)) {
                refused.push((source.clone(), section, key, message));
            }
        }
        for (source, section, key, message) in refused {
            let place = match source {
                Source::File { line } => self.place(line),
                Source::Environment { variable } => format!("{variable}: "),
                Source::Flag(flag) => format!("{flag}: "),
            };
            self.errors.push(format!("{place}{section}.{key} {}", sentence(&message)));
        }
        config.channel = self.channels;
        if self.errors.is_empty() { Ok((config, self.warnings)) } else { Err(ConfigErrors(self.errors)) }
    }

    fn place(&self, line: usize) -> String {
        format!("{}:{line}: ", self.path.as_deref().unwrap_or("the configuration"))
    }

    fn fail_at(&mut self, line: usize, message: &str) {
        self.errors.push(format!("{}{message}", self.place(line)));
    }
}

/// Settings whose values are never shown.
const SECRETS: [(&str, &str); 6] = [
    ("ingest", "authorize_secret"),
    ("origin", "secrets"),
    ("edge", "origin_secret"),
    ("operators", "admin_token"),
    ("operators", "viewer_token"),
    ("operators", "openid_secret"),
];
const NOT_A_SECRET: &str = "is of another type; write a text in quotes, or a list of texts where there may be several";

/// The settings of a file that are secrets and are set.
pub fn secrets_in(text: &str) -> Vec<String> {
    let Ok(file) = text.parse::<Table>() else { return Vec::new() };
    let is_set = |table: &Value, key: &str| table.get(key).is_some_and(|v| *v != Value::String(String::new()));
    let mut found: Vec<String> = SECRETS
        .into_iter()
        .filter(|(section, key)| file.get(*section).is_some_and(|table| is_set(table, key)))
        .map(|(section, key)| format!("{section}.{key}"))
        .collect();
    let channels = file.get("channel").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for key in ["stream_key", "srt_passphrase"] {
        if channels.iter().any(|channel| is_set(channel, key)) {
            found.push(format!("channel.{key}"));
        }
    }
    found
}

/// The variable of a setting.
pub fn variable_name(section: &str, key: &str) -> String {
    format!("{ENV_PREFIX}{}_{}", section.to_ascii_uppercase(), key.to_ascii_uppercase())
}

fn one(section: &str, key: &str, value: &Value) -> Table {
    let inner: Table = [(key.to_owned(), value.clone())].into_iter().collect();
    [(section.to_owned(), Value::Table(inner))].into_iter().collect()
}

/// A variable's text as the kind of value that the setting's default is.
fn value_from_text(section: &str, key: &str, text: &str) -> Value {
    let defaults = Value::try_from(Config::default()).unwrap_or(Value::Boolean(false));
    match defaults.get(section).and_then(|s| s.get(key)) {
        Some(Value::Integer(_) | Value::Float(_)) => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => Value::Integer(whole),
            (_, Ok(real)) => Value::Float(real),
            _ => Value::String(text.to_owned()),
        },
        Some(Value::Boolean(_)) => match text {
            "true" | "1" => Value::Boolean(true),
            "false" | "0" => Value::Boolean(false),
            _ => Value::String(text.to_owned()),
        },
        // A list of tables is written as in the file.
        Some(Value::Array(_)) if text.trim_start().starts_with('[') => {
            let read = format!("list = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("list"));
            read.unwrap_or_else(|| Value::String(text.to_owned()))
        }
        Some(Value::Array(_)) => {
            Value::Array(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect())
        }
        _ => Value::String(text.to_owned()),
    }
}

fn unknown_section(written: &str, value: &Value) -> String {
    if SECTIONS.contains(&written) {
        return format!("{written} is a section; write [{written}] and its keys below it");
    }
    let home = SECTIONS.iter().find(|s| keys(s).contains(&written));
    let sections: Vec<&str> = SECTIONS.iter().copied().chain(["channel"]).collect();
    match (home, nearest(written, &sections)) {
        (Some(section), _) => format!("{written} is a key of [{section}]; write it below that line"),
        (None, Some("channel")) => format!("[{written}] is not a section; did you mean [[channel]]?"),
        (None, Some(section)) => format!("[{written}] is not a section; did you mean [{section}]?"),
        (None, None) if value.is_table() => {
            format!(
                "[{written}] is not a section; there are [server], [ingest], [encode], [archive], [log], [limits] and [[channel]]"
            )
        }
        (None, None) => match nearest_anywhere(written) {
            Some((section, key)) => format!("{written} is not a setting; did you mean {key} below [{section}]?"),
            None => format!("{written} is not a setting; see docs/reference/config.md"),
        },
    }
}

fn unknown_key(section: &str, written: &str) -> String {
    let home = SECTIONS.iter().find(|s| keys(s).contains(&written));
    match (home, nearest(written, keys(section)), nearest_anywhere(written)) {
        (Some(home), _, _) => format!("{written} is a key of [{home}], not of [{section}]; move it there"),
        (None, Some(key), _) => format!("{written} is not a key of [{section}]; did you mean {key}?"),
        (None, None, Some((home, key))) => {
            format!("{written} is not a key of [{section}]; did you mean {key} below [{home}]?")
        }
        (None, None, None) => format!("{written} is not a key of [{section}]; it has {}", keys(section).join(", ")),
    }
}

fn nearest_anywhere(written: &str) -> Option<(&'static str, &'static str)> {
    SECTIONS.iter().find_map(|section| Some((*section, nearest(written, keys(section))?)))
}

/// serde's message on one line.
fn last_words(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(" ")
}

/// Makes a type's complaint read on after the key's name.
fn sentence(message: &str) -> String {
    let starts_as_verb = ["is ", "cannot ", "has ", "needs "].iter().any(|verb| message.starts_with(verb));
    if starts_as_verb { message.to_owned() } else { format!("is not valid: {message}") }
}

#[cfg(test)]
mod tests;
