//! Settings that cannot be accepted: which, why, and what to do.

use serde::Serialize;
use utoipa::ToSchema;

/// The known key that `key` was most likely meant to be, if any is near.
pub fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    if key.len() > 100 {
        return None;
    }
    let score = |k: &str| strsim::jaro_winkler(key, k).max(strsim::normalized_damerau_levenshtein(key, k));
    known
        .iter()
        .map(|k| (score(k), *k))
        .filter(|(score, _)| *score >= 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// One setting that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SettingError {
    /// The setting, or empty where it is about the whole.
    pub field: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl std::fmt::Display for SettingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "{} {}", self.field, self.message) }
    }
}

/// Settings that cannot be accepted: everything that is wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub errors: Vec<SettingError>,
}

impl ConfigError {
    /// About one setting.
    pub fn one(field: &str, message: impl Into<String>) -> Self {
        ConfigError { errors: vec![SettingError { field: field.to_owned(), message: message.into() }] }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            write!(f, "{}{error}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
