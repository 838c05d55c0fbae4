//! Content protection by Common Encryption (ISO/IEC 23001-7): the nouns. Keys themselves are not among them; whoever
//! encrypts holds those.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How samples are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// AES-128 in CBC mode: one block of ten of video slices, all whole blocks of audio, with a constant IV.
    Cbcs,
    /// AES-128 in CTR mode: all of video slices and of audio, with an IV of eight bytes for each sample.
    Cenc,
}

impl Scheme {
    /// The scheme's four-character code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Cbcs => "cbcs",
            Scheme::Cenc => "cenc",
        }
    }

    /// The code as it stands in `schm`.
    pub const fn four_cc(self) -> [u8; 4] {
        match self {
            Scheme::Cbcs => *b"cbcs",
            Scheme::Cenc => *b"cenc",
        }
    }
}

/// A system that gives players their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySystem {
    /// Google's, in Chrome, Firefox and Android.
    Widevine,
    /// Microsoft's, in Edge, Windows and many televisions.
    PlayReady,
    /// Apple's; only by HLS.
    FairPlay,
    /// Of the W3C, without protection of the keys.
    ClearKey,
}

impl KeySystem {
    /// Its system id (registered with DASH-IF).
    pub const fn id(self) -> KeyId {
        KeyId(match self {
            KeySystem::Widevine => 0xedef_8ba9_79d6_4ace_a3c8_27dc_d51d_21ed_u128.to_be_bytes(),
            KeySystem::PlayReady => 0x9a04_f079_9840_4286_ab92_e65b_e088_5f95_u128.to_be_bytes(),
            KeySystem::FairPlay => 0x94ce_86fb_07ff_4f43_adb8_93d2_fa96_8ca2_u128.to_be_bytes(),
            KeySystem::ClearKey => 0xe271_9d58_a985_b3c9_781a_b030_af78_d30e_u128.to_be_bytes(),
        })
    }

    /// `@value` of its `ContentProtection`, for people who read an MPD.
    pub const fn dash_value(self) -> &'static str {
        match self {
            KeySystem::Widevine => "Widevine",
            KeySystem::PlayReady => "MSPR 2.0",
            KeySystem::FairPlay => "FairPlay 1.0",
            KeySystem::ClearKey => "ClearKey1.0",
        }
    }
}

/// Names a key, in public: a KID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(pub [u8; 16]);

impl KeyId {
    /// Reads 32 hexadecimal digits, with or without the dashes of a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        hex16(&text.replace('-', "")).map(KeyId)
    }

    /// 32 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Reads exactly 32 hexadecimal digits.
pub fn hex16(text: &str) -> Option<[u8; 16]> {
    let exact = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    exact.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

impl std::fmt::Display for KeyId {
    /// As a UUID: `8-4-4-4-12`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        KeyId::parse(&text).ok_or_else(|| "a key id has 32 hexadecimal digits".to_owned())
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.to_string()
    }
}

/// What an init segment says of how its track is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackEncryption {
    /// The scheme.
    pub scheme: Scheme,
    /// The key of all samples.
    pub key_id: KeyId,
    /// The IV of all samples, for [`Scheme::Cbcs`].
    pub constant_iv: Option<[u8; 16]>,
    /// Blocks that are encrypted and blocks that are not, by turns; `(0, 0)` where all are encrypted.
    pub pattern: (u8, u8),
    /// Whole `pssh` boxes.
    pub pssh: Vec<Bytes>,
}

/// What manifests say of a protected track. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalling {
    /// The scheme.
    pub scheme: Scheme,
    /// The key of the track's samples.
    pub key_id: KeyId,
    /// Attribute lists of `EXT-X-KEY` in media playlists, one for each key system; none if HLS does not offer the track.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hls: Vec<String>,
    /// Attribute lists of `EXT-X-SESSION-KEY` in the multivariant playlist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hls_session: Vec<String>,
    /// `ContentProtection` elements of the MPD besides the one of `mp4protection`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dash: Vec<DashSystem>,
}

/// A key system in an MPD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DashSystem {
    /// `@schemeIdUri`.
    pub scheme_id_uri: String,
    /// `@value`; none where it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Elements inside, as XML that declares its own namespaces.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub inner: String,
}

/// A run of bytes that are clear and then of bytes that are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subsample {
    /// Bytes left as they are.
    pub clear: u32,
    /// Bytes to which the scheme is applied.
    pub protected: u32,
}

/// Writes a `pssh` box (ISO/IEC 23001-7 8.1): version 1 with key ids, version 0 where there are none.
pub fn pssh(system: [u8; 16], key_ids: &[KeyId], data: &[u8]) -> Bytes {
    let size = 32 + if key_ids.is_empty() { 0 } else { 4 + 16 * key_ids.len() } + data.len();
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(&(size as u32).to_be_bytes());
    out.extend_from_slice(b"pssh");
    out.extend_from_slice(&[u8::from(!key_ids.is_empty()), 0, 0, 0]);
    out.extend_from_slice(&system);
    if !key_ids.is_empty() {
        out.extend_from_slice(&(key_ids.len() as u32).to_be_bytes());
        key_ids.iter().for_each(|id| out.extend_from_slice(&id.0));
    }
    out.extend_from_slice(&(data.len() as u32).to_be_bytes());
    out.extend_from_slice(data);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_read_and_written_as_uuids() {
        let id = KeyId::parse("00112233445566778899AABBCCDDEEFF").unwrap();
        assert_eq!(id.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(KeyId::parse(&id.to_string()), Some(id));
        for bad in ["", "0011", "+0112233445566778899aabbccddeeff", "g0112233445566778899aabbccddeeff"] {
            assert_eq!(KeyId::parse(bad), None, "{bad}");
        }
    }
}
