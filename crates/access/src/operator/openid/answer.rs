//! What is read of an issuer besides ID tokens: its description of itself, and the query that browsers bring back from it.

use core::fmt;

use serde::Deserialize;

use super::Attempt;

/// Longest value of the query, in bytes; codes of known issuers have some hundred.
const MAX_VALUE: usize = 4096;

/// What an issuer says about itself (OpenID Connect Discovery 1.0, 3).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Document {
    issuer: String,
    /// Where browsers are sent.
    pub authorization_endpoint: String,
    /// Where a code is redeemed.
    pub token_endpoint: String,
    /// Where its keys are.
    pub jwks_uri: String,
}

/// A description that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// No JSON, or fields are missing.
    #[error("its configuration cannot be read; operators.openid_issuer may not be an issuer")]
    Form,
    /// Another issuer (OpenID Connect Discovery 1.0, 4.3).
    #[error("it calls itself {0:?}; set operators.openid_issuer so")]
    Issuer(String),
    /// Secrets would go over the network in the clear, or to no address at all.
    #[error("its {0} is not https")]
    Cleartext(&'static str),
}

impl Document {
    /// Reads the description of this issuer. Each address is https, or http if the issuer itself is.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn parse(document: &[u8], issuer: &str) -> Result<Self, DocumentError> {
        let read: Document = serde_json::from_slice(document).map_err(|_| DocumentError::Form)?;
        if read.issuer != issuer {
            return Err(DocumentError::Issuer(read.issuer.chars().take(200).collect()));
        }
        let cleartext = issuer.starts_with("http://");
        for (name, url) in [
            ("authorization_endpoint", &read.authorization_endpoint),
            ("token_endpoint", &read.token_endpoint),
            ("jwks_uri", &read.jwks_uri),
        ] {
            if !(url.starts_with("https://") || (cleartext && url.starts_with("http://"))) {
                return Err(DocumentError::Cleartext(name));
            }
        }
        Ok(read)
    }
}

/// What a browser brings back from an issuer (RFC 6749, 4.1.2 and 4.1.2.1).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Callback {
    /// What is redeemed for an ID token.
    pub code: Option<String>,
    /// The secret of the log-in that this answers.
    pub state: Option<String>,
    /// Why there is no code, as a word such as `access_denied`.
    pub error: Option<String>,
}

impl Callback {
    /// Reads a query. `None` if a field is there twice (RFC 6749, 3.1), too long, or no text.
    pub fn parse(query: &str) -> Option<Self> {
        let mut read = Callback::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let field = match name {
                "code" => &mut read.code,
                "state" => &mut read.state,
                "error" => &mut read.error,
                _ => continue,
            };
            let value = decoded(value)?;
            if value.len() > MAX_VALUE || field.replace(value).is_some() {
                return None;
            }
        }
        Some(read)
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback(redacted)")
    }
}

impl Attempt {
    /// As it stands in a cookie.
    pub fn to_cookie(&self) -> String {
        format!("{}.{}.{}", self.state, self.nonce, self.verifier)
    }

    /// From a cookie. Its three parts are in the alphabet of base64url, so none of them ends a header or a form's field.
    pub fn from_cookie(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let mut parts = text.split('.').filter(|part| part.len() == 43 && part.bytes().all(plain)).map(str::to_owned);
        let attempt = Attempt { state: parts.next()?, nonce: parts.next()?, verifier: parts.next()? };
        (attempt.to_cookie() == text).then_some(attempt)
    }
}

/// A form's value: `+` is a space, `%XX` a byte.
fn decoded(value: &str) -> Option<String> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(issuer: &str, endpoint: &str) -> Vec<u8> {
        format!(
            r#"{{"issuer":"{issuer}","authorization_endpoint":"{endpoint}/auth","token_endpoint":"{endpoint}/token",
                "jwks_uri":"{endpoint}/keys","end_session_endpoint":"x"}}"#
        )
        .into_bytes()
    }

    #[test]
    fn an_issuer_is_who_it_was_asked_for_and_has_tls() {
        let parse = |issuer: &str, endpoint: &str, wanted: &str| Document::parse(&document(issuer, endpoint), wanted);
        let id = "https://id.example/realm";
        assert_eq!(parse(id, "https://login.example", id).unwrap().jwks_uri, "https://login.example/keys");
        for (issuer, endpoint, wanted, why) in [
            ("https://id.example/realm/", "https://a", id, "calls itself"),
            (id, "http://login.example", id, "not https"),
            (id, "file:///etc", id, "not https"),
            ("http://127.0.0.1:1", "file:///etc", "http://127.0.0.1:1", "not https"),
        ] {
            let error = parse(issuer, endpoint, wanted).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(parse("http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1").is_ok());
        assert_eq!(Document::parse(b"{}", id), Err(DocumentError::Form));
        assert_eq!(Document::parse(b"<html>", id), Err(DocumentError::Form));
    }

    #[test]
    fn what_a_browser_brings_back() {
        let read = Callback::parse("code=a%2Fb+c&state=s&session_state=x&iss=https%3A%2F%2Fid").unwrap();
        assert_eq!((read.code.as_deref(), read.state.as_deref(), read.error), (Some("a/b c"), Some("s"), None));
        assert_eq!(Callback::parse("error=access_denied&state=s").unwrap().error.as_deref(), Some("access_denied"));
        assert_eq!(Callback::parse(""), Some(Callback::default()));
        for wrong in
            ["code=a&code=b", "code=%", "code=%4", "code=%+4", "code=%ff", &format!("code={}", "a".repeat(4097))]
        {
            assert_eq!(Callback::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_log_in_under_way_is_in_a_cookie() {
        let attempt = Attempt::new([[1; 32], [2; 32], [3; 32]]);
        assert_eq!(Attempt::from_cookie(&attempt.to_cookie()), Some(attempt.clone()));
        let cookie = attempt.to_cookie();
        for wrong in
            ["", "..", "a.b.c", &format!("{cookie}.{cookie}"), &cookie.replace('.', "&"), &format!("{cookie}.")]
        {
            assert_eq!(Attempt::from_cookie(wrong), None, "{wrong}");
        }
    }
}
