//! Content keys. Their bytes are in no output: not in `Debug`, not serialised.

use millstream_media::protection::{KeyId, hex16};
use xxhash_rust::xxh3::xxh3_128;

/// Most keys of a list.
pub const MAX_KEYS: usize = 1024;

/// A key with its public id.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey {
    id: KeyId,
    key: [u8; 16],
    iv: Option<[u8; 16]>,
}

impl ContentKey {
    /// A key, with the IV for [`millstream_media::protection::Scheme::Cbcs`] if its provider sets it.
    pub const fn new(id: KeyId, key: [u8; 16], iv: Option<[u8; 16]>) -> Self {
        ContentKey { id, key, iv }
    }

    /// Its public id.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The secret, for those who may have it.
    pub const fn expose(&self) -> &[u8; 16] {
        &self.key
    }

    /// The constant IV: the provider's, or one that follows from the id, the same at every origin.
    pub fn iv(&self) -> [u8; 16] {
        self.iv.unwrap_or_else(|| xxh3_128(&self.id.0).to_be_bytes())
    }
}

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContentKey({}, (redacted))", self.id)
    }
}

/// The keys of one crypto period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// Of video tracks.
    pub video: ContentKey,
    /// Of audio tracks; may be the same.
    pub audio: ContentKey,
}

impl KeyPair {
    /// The key of tracks of a kind.
    pub const fn of(&self, is_video: bool) -> &ContentKey {
        if is_video { &self.video } else { &self.audio }
    }
}

/// Why a file of keys cannot be used. It names lines, never what they say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// A line is no key.
    #[error("line {0} is not KEY-ID:KEY, each 32 hexadecimal digits, with an optional third field for the IV")]
    Line(usize),
    /// `audio` before any key for video.
    #[error("line {0} gives an audio key before there is a key for it to go with")]
    AudioFirst(usize),
    /// One id for two keys.
    #[error("line {0} uses a key id that an earlier line has with another key")]
    Twice(usize),
    /// Over [`MAX_KEYS`].
    #[error("there are more than {MAX_KEYS} keys")]
    TooMany,
    /// No key at all.
    #[error("there is no key; write a line KEY-ID:KEY")]
    Empty,
}

/// Reads a file of keys: a line `KEY-ID:KEY` or `KEY-ID:KEY:IV` for each crypto period, in hexadecimal; a line
/// `audio KEY-ID:KEY` after it gives its audio tracks a key of their own. `#` begins a comment.
///
/// # Errors
/// [`KeyFileError`].
pub fn parse_key_file(text: &str) -> Result<Vec<KeyPair>, KeyFileError> {
    let mut pairs: Vec<KeyPair> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let number = i + 1;
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (is_audio, fields) = match line.strip_prefix("audio ") {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let key = parse_key(fields).ok_or(KeyFileError::Line(number))?;
        let others = pairs.iter().flat_map(|p| [&p.video, &p.audio]);
        if others.into_iter().any(|other| other.id == key.id && other.key != key.key) {
            return Err(KeyFileError::Twice(number));
        }
        if is_audio {
            pairs.last_mut().ok_or(KeyFileError::AudioFirst(number))?.audio = key;
        } else {
            if pairs.len() >= MAX_KEYS {
                return Err(KeyFileError::TooMany);
            }
            pairs.push(KeyPair { video: key.clone(), audio: key });
        }
    }
    if pairs.is_empty() { Err(KeyFileError::Empty) } else { Ok(pairs) }
}

fn parse_key(fields: &str) -> Option<ContentKey> {
    let mut fields = fields.split(':');
    let (id, key) = (KeyId::parse(fields.next()?)?, hex16(fields.next()?)?);
    let iv = match fields.next() {
        Some(iv) => Some(hex16(iv)?),
        None => None,
    };
    fields.next().is_none().then_some(ContentKey { id, key, iv })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";
    const KEY: &str = "0f0e0d0c0b0a09080706050403020100";

    #[test]
    fn a_file_of_keys_is_read() {
        let other = ID.replace("00", "a0");
        let text = format!("# the first\n{ID}:{KEY}\n audio {other}:{KEY}:{KEY} # sound\n\n{other}:{KEY}\n");
        let pairs = parse_key_file(&text).unwrap();
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0].video.id().hex(), ID);
        assert_eq!(pairs[0].audio.id().hex(), other);
        assert_eq!(pairs[0].audio.iv(), *pairs[0].audio.expose());
        assert_eq!(pairs[1].video, pairs[1].audio);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_its_secrets() {
        for (text, error) in [
            (String::new(), KeyFileError::Empty),
            (format!("{ID}:{KEY}0"), KeyFileError::Line(1)),
            (format!("\n{ID} {KEY}"), KeyFileError::Line(2)),
            (format!("{ID}:{KEY}:{KEY}:{KEY}"), KeyFileError::Line(1)),
            (format!("audio {ID}:{KEY}"), KeyFileError::AudioFirst(1)),
            (format!("{ID}:{KEY}\n{ID}:{ID}"), KeyFileError::Twice(2)),
        ] {
            assert_eq!(parse_key_file(&text), Err(error.clone()), "{text}");
            assert!(!error.to_string().contains(KEY));
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let pair = &parse_key_file(&format!("{ID}:{KEY}")).unwrap()[0];
        let shown = format!("{pair:?}").to_lowercase();
        assert!(!shown.contains("0f0e") && !shown.contains("15, 14") && shown.contains("redacted"), "{shown}");
    }
}
