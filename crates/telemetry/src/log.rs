//! The log: one line for each event that an operator cares about, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A level that makes no sense.
    #[error(
        "log level {level:?} is not understood ({cause}); use error, warn, info, debug or trace, also by module: info,millstream_ingest=debug"
    )]
    Level {
        /// As it was given.
        level: String,
        /// Why not.
        cause: String,
    },
    /// It was started before.
    #[error("the log was started twice")]
    Twice,
}

/// Starts the log of the process. The environment is not read: the level is configuration's.
pub fn init(level: &str, format: Format) -> Result<(), LogError> {
    let filter = filter(level)?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| LogError::Twice)
}

/// Checks a level.
pub fn check(level: &str) -> Result<(), LogError> {
    filter(level).map(|_| ())
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let refused = |cause: String| LogError::Level { level: level.to_owned(), cause };
    // A word that is no level would be taken for a module and silence everything else.
    let known = ["error", "warn", "info", "debug", "trace", "off"];
    let unknown = level.split(',').find(|part| !part.contains(['=', '[']) && !known.contains(&part.trim()));
    match unknown {
        Some(part) => Err(refused(format!("{part:?} is no level"))),
        None => EnvFilter::builder().parse(level).map_err(|error| refused(error.to_string())),
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        for good in ["info", "warn", "info,millstream_ingest=debug", "off"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["loud", "", "info,x=loud", "INFO ALL"] {
            assert!(check(bad).unwrap_err().to_string().contains("use error, warn, info"), "{bad}");
        }
    }
}
