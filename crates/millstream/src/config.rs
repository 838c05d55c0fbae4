//! The configuration: defaults, then the file, then the environment, then flags.
//!
//! - [`settings`]: every setting with its default; their doc comments are the reference page.
//! - [`address`]: an address to listen on.
//! - [`check`]: values that do not fit.
//! - [`delivery`]: the edge role, and who may watch.
//! - [`layers`]: the four layers laid over each other, a pure function.
//! - [`operators`]: who may use the API and the console.
//! - [`protection`]: who may ask an origin, and where viewers may be.
//! - [`reference`]: `docs/reference/config.md`, made from the settings.

pub mod address;
mod check;
pub mod delivery;
pub mod layers;
pub mod operators;
pub mod protection;
pub mod reference;
pub mod settings;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use layers::{Flags, effective};
pub use settings::Config;

/// Read from the current directory where no `--config` is given.
pub const DEFAULT_FILE: &str = "millstream.toml";

/// A configuration, and what was odd about its sources.
#[derive(Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// To be logged once at the start.
    pub warnings: Vec<String>,
}

/// Reads the file (`path`, or [`DEFAULT_FILE`] if it is there), the environment and the flags.
///
/// # Errors
/// If the file cannot be read, or a setting cannot be accepted: with its place and the mend.
pub fn load(path: Option<&Path>, flags: &Flags) -> Result<Loaded> {
    let file = match path {
        Some(path) => Some(path.to_owned()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|default| default.exists()),
    };
    let text = match &file {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("the configuration file {} cannot be read; check --config", path.display()))?,
        ),
        None => None,
    };
    let source = file.as_deref().zip(text.as_deref());
    let (config, mut warnings) = effective(source, &environment(), flags)?;
    warnings.extend(source.and_then(|(path, text)| open_secrets(path, text)));
    Ok(Loaded { config, file, warnings })
}

/// A warning, if others on this machine may read secrets in the file.
fn open_secrets(path: &Path, text: &str) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let secrets = if mode & 0o077 == 0 { Vec::new() } else { layers::secrets_in(text) };
    (!secrets.is_empty()).then(|| {
        let (shown, secrets) = (path.display(), secrets.join(", "));
        format!("{shown} holds secrets ({secrets}) and others on this machine may read it; run chmod 600 {shown}")
    })
}

/// The environment's `MILLSTREAM_…` variables; the one place that reads them.
#[allow(clippy::disallowed_methods, reason = "the shell's one place that reads the environment")]
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(layers::ENV_PREFIX))
        .collect()
}

/// The variable with the token that the command line presents.
pub const TOKEN_VARIABLE: &str = "MILLSTREAM_TOKEN";

/// The token in the environment, if there is one.
pub fn token_variable() -> Option<String> {
    environment().remove(TOKEN_VARIABLE).filter(|token| !token.is_empty())
}

/// The environment's variables that object stores are reached by: credentials, regions, roles.
#[allow(clippy::disallowed_methods, reason = "the shell's one place that reads the environment")]
pub fn store_variables() -> BTreeMap<String, String> {
    const PREFIXES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name == "HOME" || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_secrets_that_others_may_read_is_warned_about() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        let secret = "[[channel]]\nname = \"news\"\nsrt_passphrase = \"ten-letters-or-more\"\n";
        for (mode, text, warned) in [
            (0o600, secret, false),
            (0o640, secret, true),
            (0o604, secret, true),
            (0o644, "[server]\nhttp = \"127.0.0.1:0\"\n", false),
            (0o644, "[origin]\nsecrets = [\"sixteen-letters-or-more\"]\n", true),
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let warning = load(Some(&path), &Flags::default()).unwrap().warnings.join("; ");
            assert_eq!(warning.contains("chmod 600"), warned, "{mode:o}: {warning}");
            assert!(!warning.contains("letters"), "{warning}");
        }
    }
}
