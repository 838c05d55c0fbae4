//! An import's document, its states and names. Pure.

use millstream_archive::AssetId;
use millstream_media::time::UtcTime;
use serde::{Deserialize, Serialize};

/// Version of the document's format.
pub const FORMAT: u32 = 1;
/// Longest title, in bytes.
pub const MAX_TITLE: usize = 1000;
/// Longest file name kept, in bytes.
pub const MAX_NAME: usize = 255;
/// Longest fingerprint, in bytes.
pub const MAX_FINGERPRINT: usize = 128;

/// Name of an import: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

impl JobId {
    /// From random bits.
    pub fn of(random: u64) -> Self {
        JobId(format!("{random:016x}"))
    }

    /// Checks a name.
    pub fn new(text: &str) -> Option<Self> {
        let plain = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| JobId(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for JobId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        JobId::new(&text).ok_or_else(|| format!("{text:?} names no import"))
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> String {
        id.0
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The file is coming.
    Uploading,
    /// The file is here; others come first.
    Waiting,
    /// It is being encoded.
    Importing,
    /// The asset is whole, or as whole as the file was.
    Done,
    /// There is no asset: `error` says why.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl State {
    /// Nothing more happens.
    pub const fn is_over(self) -> bool {
        matches!(self, State::Done | State::Failed | State::Cancelled)
    }
}

/// `imports/ID.json` in the data folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Version of this format.
    pub format: u32,
    /// Its name.
    pub id: JobId,
    /// The asset it makes.
    pub asset: AssetId,
    /// The asset's title.
    #[serde(default)]
    pub title: String,
    /// Name of the file where it came from.
    #[serde(default)]
    pub file: String,
    /// Bytes of the file.
    pub size: u64,
    /// What the client knows the file by: the same file again goes on where this one stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// When it was created.
    pub created: UtcTime,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<UtcTime>,
    /// How far it is.
    pub state: State,
    /// Why it failed: cause and mend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What an operator should know: tracks left out, parts of the file that are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Length of the file in milliseconds, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// How an import that is being encoded comes on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Media that is encoded, in milliseconds.
    pub position_ms: u64,
    /// Media seconds in each second.
    pub speed: f64,
    /// Pictures that the decoder gave.
    pub decoded_frames: u64,
    /// CPU time of the worker in milliseconds, since it was started last.
    pub cpu_ms: u64,
}

/// An import as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Its document.
    pub job: Job,
    /// Bytes that are here.
    pub received: u64,
    /// How it comes on.
    pub progress: Progress,
}

impl Status {
    /// Share that is done, 0 to 1: of the upload, then of the encoding.
    pub fn share(&self) -> f64 {
        let share = |done: u64, all: u64| if all == 0 { 0.0 } else { (done as f64 / all as f64).clamp(0.0, 1.0) };
        match self.job.state {
            State::Uploading => share(self.received, self.job.size),
            State::Waiting | State::Failed | State::Cancelled => 0.0,
            // Not quite before it is said.
            State::Importing => share(self.progress.position_ms, self.job.duration_ms.unwrap_or(0)).min(0.999),
            State::Done => 1.0,
        }
    }

    /// Seconds that the encoding still takes, by its speed so far.
    pub fn seconds_left(&self) -> Option<f64> {
        let duration = self.job.duration_ms.filter(|_| self.job.state == State::Importing)?;
        let left = duration.saturating_sub(self.progress.position_ms) as f64 / 1000.0;
        (self.progress.speed > 0.0).then(|| left / self.progress.speed)
    }
}

/// An asset's name from a file's: `Late News (2).mov` becomes `late-news-2`.
pub fn asset_name(file: &str) -> String {
    let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| if stem.is_empty() { file } else { stem });
    let mut name = String::new();
    for c in stem.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() || c == '_' {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
        if name.len() >= 64 {
            break;
        }
    }
    let name = name.trim_matches(['-', '_']);
    if name.is_empty() { "import".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_becomes_an_assets() {
        let long = "x".repeat(300);
        for (file, expected) in [
            ("news.mp4", "news"),
            ("Late News (2).mov", "late-news-2"),
            ("/home/a/b.c.mkv", "b-c"),
            ("C:\\clips\\A.TS", "a"),
            ("Ärger.mp4", "rger"),
            ("..mp4", "import"),
            ("", "import"),
            ("日本.mp4", "import"),
            (&long, &"x".repeat(64)),
        ] {
            assert_eq!(asset_name(file), expected, "{file}");
            assert!(AssetId::new(&asset_name(file)).is_some(), "{file}");
        }
    }

    #[test]
    fn ids_lead_nowhere_else() {
        assert_eq!(JobId::of(255).as_str(), "00000000000000ff");
        for text in ["", "../../../../etc/x", "00000000000000FF", "0000000000000000a"] {
            assert!(JobId::new(text).is_none(), "{text}");
        }
    }
}
