//! What an OpenID Connect issuer and a browser that comes back from it send: no bytes panic, no token is believed that
//! nobody signed, and what we write we read.
//!
//! The input: lines of the issuer, the query of the callback, the cookie, an ID token and a rule for roles; then a document
//! that is read as the issuer's description, as its keys and as the payload of a token whose signature was right.

use millstream_access::operator::openid::answer::{Callback, Document};
use millstream_access::operator::openid::{Attempt, Claims, Expected, Keys, RoleRules, form};
use millstream_media::time::UtcTime;

/// Bytes held for each byte of input: a JSON value takes many times its text, as `[[[[`, and three readings are held at once.
pub const PER_BYTE: usize = 1024;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(6, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (issuer, query, cookie, token, rule, rest) = (line(), line(), line(), line(), line(), line());
    callback(query, cookie);
    if let Ok(document) = Document::parse(rest.as_bytes(), issuer) {
        let urls = [&document.authorization_endpoint, &document.token_endpoint, &document.jwks_uri];
        let tls = !issuer.starts_with("http://");
        assert!(urls.iter().all(|url| url.starts_with("https://") || !tls && url.starts_with("http://")));
        let attempt = Attempt::new([[1; 32], [2; 32], [3; 32]]);
        let url = attempt.url(&document.authorization_endpoint, "millstream", "https://tv.example/", "openid");
        assert!(url.starts_with(&document.authorization_endpoint) && url.contains("code_challenge_method=S256"));
    }
    let expected =
        Expected { issuer, client: "millstream", nonce: "n-1", now: UtcTime::from_millis(1_900_000_000_000) };
    if let Ok(keys) = Keys::parse(rest.as_bytes()) {
        assert!(Claims::verify(token, &keys, expected).is_err(), "nobody signed this");
    }
    assert!(Claims::verify(token, &Keys::default(), expected).is_err(), "there is no key");
    if let Ok(claims) = Claims::signed(rest.as_bytes(), expected) {
        let name = claims.name();
        assert!(name.chars().count() <= 64 && !name.chars().any(char::is_control));
        let rules = RoleRules::parse(&[rule.to_owned()]).unwrap_or_default();
        for claim in ["groups", "realm_access.roles", rule] {
            let _ = rules.grant(&claims, claim);
        }
        assert_eq!(RoleRules::default().grant(&claims, "groups"), None, "without a rule nobody has a role");
    }
}

fn callback(query: &str, cookie: &str) {
    if let Some(read) = Callback::parse(query) {
        let fields = [("code", &read.code), ("state", &read.state), ("error", &read.error)];
        let fields: Vec<_> = fields.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        assert_eq!(Callback::parse(&form(&fields)).as_ref(), Some(&read), "{query}");
    }
    if let Some(attempt) = Attempt::from_cookie(cookie) {
        assert_eq!(attempt.to_cookie(), cookie);
        assert_eq!(form(&[("v", &attempt.verifier)]).len(), attempt.verifier.len() + 2, "nothing in it is escaped");
    }
}
