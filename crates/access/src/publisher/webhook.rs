//! The question to an outside service before a publisher is let in, and the signature by which it knows who asks.

use aws_lc_rs::hmac;
use serde::Serialize;

/// Header with the second of the epoch at which the question was signed.
pub const TIMESTAMP_HEADER: &str = "Millstream-Timestamp";
/// Header with the signature.
pub const SIGNATURE_HEADER: &str = "Millstream-Signature";

/// What the service is asked, as a JSON object. The key itself is never sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question<'a> {
    /// Always `publish`.
    pub event: &'static str,
    /// The channel that the key opens.
    pub channel: &'a str,
    /// Name of the key.
    pub key: &'a str,
    /// `rtmp`.
    pub protocol: &'a str,
    /// The publisher's IP address.
    pub address: String,
    /// The publisher's port.
    pub port: u16,
    /// What the encoder calls itself.
    pub encoder: Option<&'a str>,
    /// When it came, as ISO 8601.
    pub time: String,
}

/// The value of [`SIGNATURE_HEADER`]: `sha256=` and HMAC-SHA256 of `TIMESTAMP.BODY` in hex.
pub fn sign(secret: &[u8], timestamp: u64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let hex: String = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// What an answer's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 2xx.
    Allow,
    /// 401 or 403.
    Deny,
    /// Anything else is no answer.
    None,
}

/// Reads a status.
pub fn answer(status: u16) -> Answer {
    match status {
        200..=299 => Answer::Allow,
        401 | 403 => Answer::Deny,
        _ => Answer::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `printf '1700000000.{}' | openssl dgst -sha256 -hmac secret-of-the-hook`.
    #[test]
    fn the_signature_is_openssls() {
        assert_eq!(sign(b"secret-of-the-hook", 1_700_000_000, b"{}"), OPENSSL);
    }

    #[test]
    fn only_clear_answers_are_answers() {
        for (status, want) in [
            (200, Answer::Allow),
            (204, Answer::Allow),
            (403, Answer::Deny),
            (401, Answer::Deny),
            (302, Answer::None),
            (404, Answer::None),
            (500, Answer::None),
        ] {
            assert_eq!(answer(status), want, "{status}");
        }
    }

    const OPENSSL: &str = "sha256=9bd1f092aea90b3f3a8897a0f16f5156b239e998d6dcbabb251901a086eda03e";
}
