//! The settings of a channel's content protection. No secret is among them: keys lie in a file.

use millstream_media::protection::{KeySystem, Scheme};
use serde::{Deserialize, Serialize};

use super::seconds::Seconds;

/// How a channel is encrypted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtectionConfig {
    /// `cbcs`, or `cenc`, which HLS is not offered with.
    #[serde(default = "cbcs")]
    pub scheme: Scheme,
    /// Name of the file with the keys, in the folder `content-keys` of `data_dir`; or `speke`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
    /// The key server that gives the keys; or `keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speke: Option<SpekeConfig>,
    /// How long a key is used, in seconds; 0 for as long as the channel is on air.
    #[serde(default = "never")]
    pub rotation_seconds: Seconds,
    /// Whether players that may watch get the keys from this server (ClearKey). By default they do where the keys are in
    /// a file; those of a key server are never given out here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_key: Option<bool>,
}

/// A key server that speaks SPEKE 2.0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpekeConfig {
    /// Where documents are posted: `https://`, or `http://` on this machine.
    pub url: String,
    /// The content's name at the key server; the channel's where it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_id: String,
    /// The systems whose players are to play it.
    pub systems: Vec<KeySystem>,
    /// Whether sound has a key of its own.
    #[serde(default)]
    pub audio_key: bool,
    /// Name of a file in the folder `content-keys` with lines `Name: value` that are sent as headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
    /// Name of a file in the folder `content-keys` with an RSA certificate and its private key (PEM, PKCS #8), for which the
    /// key server encrypts keys; else they come as they are, over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Region of an Amazon API Gateway whose requests are signed (SigV4) with AWS credentials of the environment, a profile
    /// or the machine's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_region: Option<String>,
}

impl SpekeConfig {
    fn check(&self) -> Result<(), String> {
        let rest = self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://")).unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let plain = (8..=2048).contains(&self.url.len()) && self.url.bytes().all(|b| b.is_ascii_graphic());
        if !plain || host.is_empty() || authority.contains('@') {
            return Err(
                "speke.url is no URL; write https://HOST/PATH, and secrets into the file of speke.headers".into()
            );
        }
        if self.url.starts_with("http://") && !matches!(host, "127.0.0.1" | "::1" | "localhost") {
            return Err("speke.url is http:// to another machine, where keys could be read; use https://".into());
        }
        if self.systems.is_empty() || self.systems.len() > 4 {
            return Err("speke.systems names none; name some of widevine, playready, fairplay, clearkey".into());
        }
        if self.systems.iter().enumerate().any(|(i, system)| self.systems.iter().skip(i + 1).any(|s| s == system)) {
            return Err("speke.systems names one twice".into());
        }
        if self.content_id.len() > 256 || self.content_id.chars().any(char::is_control) {
            return Err("speke.content_id is longer than 256 bytes or has control characters".into());
        }
        let is_region = |region: &String| {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            (1..=32).contains(&region.len()) && region.bytes().all(plain)
        };
        if !self.aws_region.as_ref().is_none_or(is_region) {
            return Err("speke.aws_region is no region; write one such as eu-west-1".into());
        }
        for (what, name) in [("headers", &self.headers), ("certificate", &self.certificate)] {
            if name.as_ref().is_some_and(|name| !is_plain_name(name)) {
                return Err(format!("speke.{what} is no plain file name"));
            }
        }
        Ok(())
    }
}

fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=100).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

fn cbcs() -> Scheme {
    Scheme::Cbcs
}

fn never() -> Seconds {
    Seconds::new(0)
}

impl ProtectionConfig {
    /// What is wrong with it, in words for an operator.
    ///
    /// # Errors
    /// The fault and its mend.
    pub fn check(&self) -> Result<(), String> {
        match (&self.keys, &self.speke) {
            (None, None) | (Some(_), Some(_)) => {
                return Err("has not exactly one of keys and speke; name a file of keys, or a key server".to_owned());
            }
            (Some(name), None) if !is_plain_name(name) => {
                return Err("keys is no plain file name; name a file in the folder content-keys of data_dir".to_owned());
            }
            (None, Some(_)) if self.clear_key == Some(true) => {
                return Err(
                    "clear_key cannot be with speke: players get those keys from the key server's system".into()
                );
            }
            (None, Some(speke)) => speke.check()?,
            (Some(_), None) => {}
        }
        let rotation = self.rotation_seconds.millis();
        if (1..10_000).contains(&rotation) {
            return Err(format!("rotation_seconds is {}; use 10 or more, or 0", self.rotation_seconds));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str| serde_json::from_str::<ProtectionConfig>(text).unwrap().check();
        let speke = |url: &str| format!(r#"{{"speke": {{"url": "{url}", "systems": ["widevine", "fairplay"]}}}}"#);
        for good in [
            r#"{"keys": "news.keys"}"#.to_owned(),
            speke("https://keys.example/v2"),
            speke("http://127.0.0.1:8000/"),
            speke("http://[::1]:8000/"),
            speke("https://k.example/").replace("\"url\"", "\"aws_region\": \"eu-west-1\", \"url\""),
        ] {
            assert_eq!(check(&good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("{}".to_owned(), "exactly one of keys and speke"),
            (r#"{"keys": "../x"}"#.to_owned(), "no plain file name"),
            (speke("http://keys.example/v2"), "use https://"),
            (speke("http://127.0.0.1.example/v2"), "use https://"),
            (speke("https://user:secret@keys.example/"), "is no URL"),
            (speke("ftp://keys.example/"), "is no URL"),
            (speke("https://k.example/").replace("\"url\"", "\"aws_region\": \"EU\\n\", \"url\""), "no region"),
            (
                r#"{"clear_key": true, "speke": {"url": "https://k.example/", "systems": ["clearkey"]}}"#.to_owned(),
                "clear_key",
            ),
            (r#"{"speke": {"url": "https://k.example/", "systems": []}}"#.to_owned(), "names none"),
            (speke("https://k.example/").replace("\"url\"", "\"headers\": \"../a\", \"url\""), "speke.headers is no"),
            (
                speke("https://k.example/").replace("\"url\"", "\"certificate\": \"/a\", \"url\""),
                "speke.certificate is no",
            ),
            (r#"{"speke": {"url": "https://k.example/", "systems": ["widevine", "widevine"]}}"#.to_owned(), "twice"),
        ] {
            assert!(check(&bad).is_err_and(|said| said.contains(why)), "{bad}");
        }
    }
}
