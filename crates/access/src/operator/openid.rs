//! Log-in by an OpenID Connect issuer, what of it needs no network: the question to the issuer (authorization code with PKCE,
//! RFC 7636), the check of its ID token (OpenID Connect Core 3.1.3.7), and the role that somebody has by a claim.
//!
//! - [`answer`]: what the issuer says about itself, and what browsers bring back from it.

pub mod answer;

use core::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millstream_media::time::UtcTime;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Channels, Grant, Role};

/// Most keys of an issuer that are looked at.
const MAX_KEYS: usize = 64;
/// Longest ID token, in bytes.
const MAX_TOKEN: usize = 32 * 1024;
/// How far the issuer's clock may be from ours, in seconds.
const LEEWAY: i64 = 60;
/// Longest name that is shown, in characters.
const MAX_NAME: usize = 64;

/// A log-in that was begun: three secrets, each of 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Comes back with the answer, and is in a cookie: so the answer belongs to the browser that asked.
    pub state: String,
    /// Comes back in the ID token: so the token was made for this log-in.
    pub nonce: String,
    /// Proves to the issuer that who redeems the code is who asked for it.
    pub verifier: String,
}

impl Attempt {
    /// From random bytes of a cryptographic source.
    pub fn new(random: [[u8; 32]; 3]) -> Self {
        let [state, nonce, verifier] = random.map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        Attempt { state, nonce, verifier }
    }

    /// Where the browser is sent.
    pub fn url(&self, endpoint: &str, client: &str, redirect: &str, scopes: &str) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()));
        let query = form(&[
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", redirect),
            ("scope", scopes),
            ("state", &self.state),
            ("nonce", &self.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        format!("{endpoint}{separator}{query}")
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt(redacted)")
    }
}

/// Names and values as `application/x-www-form-urlencoded`.
pub fn form(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

/// Percent-encoded, but for what RFC 3986 2.3 has as unreserved.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The public keys of an issuer (RFC 7517). What is not for RS256 or ES256 is left out.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Clone, Debug)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The uncompressed point.
    P256(Vec<u8>),
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a JWK set.
    ///
    /// # Errors
    /// [`IdTokenError::Keys`].
    pub fn parse(document: &[u8]) -> Result<Self, IdTokenError> {
        let set: JwkSet = serde_json::from_slice(document).map_err(|_| IdTokenError::Keys)?;
        Ok(Keys(set.keys.iter().take(MAX_KEYS).filter_map(Key::of).collect()))
    }

    /// The keys of this id, and those without one.
    fn fitting<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| id.is_none() || key.id.is_none() || key.id.as_deref() == id)
    }
}

impl Key {
    fn of(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if text("use").is_some_and(|what| what != "sig") {
            return None;
        }
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => Material::Rsa { n: bytes("n")?, e: bytes("e")? },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                (x.len() == 32 && y.len() == 32).then(|| Material::P256([&[4][..], &x, &y].concat()))?
            }
            _ => return None,
        };
        Some(Key { id: text("kid").map(str::to_owned), material })
    }

    fn verifies(&self, algorithm: &str, signed: &[u8], signature: &[u8]) -> bool {
        match (&self.material, algorithm) {
            (Material::Rsa { n, e }, "RS256") => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            (Material::P256(point), "ES256") => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// What an ID token must say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who made it.
    pub issuer: &'a str,
    /// Whom it is for.
    pub client: &'a str,
    /// The log-in it was made for.
    pub nonce: &'a str,
    /// The time.
    pub now: UtcTime,
}

/// What a verified ID token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(Map<String, Value>);

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Claims {
    /// Verifies an ID token.
    ///
    /// # Errors
    /// [`IdTokenError`].
    pub fn verify(token: &str, keys: &Keys, expected: Expected<'_>) -> Result<Self, IdTokenError> {
        if token.len() > MAX_TOKEN {
            return Err(IdTokenError::Form);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(IdTokenError::Form);
        };
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| IdTokenError::Form);
        let head: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| IdTokenError::Form)?;
        if head.crit.is_some() || !["RS256", "ES256"].contains(&head.alg.as_str()) {
            return Err(IdTokenError::Algorithm);
        }
        let signature = decoded(signature)?;
        let signed = token.get(..header.len() + 1 + payload.len()).unwrap_or_default().as_bytes();
        if !keys.fitting(head.kid.as_deref()).any(|key| key.verifies(&head.alg, signed, &signature)) {
            return Err(IdTokenError::Signature);
        }
        Claims::signed(&decoded(payload)?, expected)
    }

    /// Reads the payload of an ID token whose signature was verified.
    ///
    /// # Errors
    /// [`IdTokenError`].
    pub fn signed(payload: &[u8], expected: Expected<'_>) -> Result<Self, IdTokenError> {
        let claims = Claims(serde_json::from_slice(payload).map_err(|_| IdTokenError::Form)?);
        claims.check(expected)?;
        Ok(claims)
    }

    fn check(&self, expected: Expected<'_>) -> Result<(), IdTokenError> {
        let now = expected.now.as_millis() / 1000;
        let text = |name: &str| self.0.get(name).and_then(Value::as_str);
        let time = |name: &str| self.0.get(name).and_then(Value::as_f64).map(|seconds| seconds as i64);
        if text("iss") != Some(expected.issuer) {
            return Err(IdTokenError::Issuer);
        }
        let party = text("azp");
        let for_us = match self.0.get("aud") {
            Some(Value::String(one)) => one == expected.client,
            Some(Value::Array(many)) => {
                many.iter().any(|one| one.as_str() == Some(expected.client)) && (many.len() == 1 || party.is_some())
            }
            _ => false,
        };
        if !for_us || party.is_some_and(|party| party != expected.client) {
            return Err(IdTokenError::Audience);
        }
        if time("exp").is_none_or(|end| now >= end.saturating_add(LEEWAY)) {
            return Err(IdTokenError::Ended);
        }
        let too_new = |name: &str| time(name).is_some_and(|begin| begin > now.saturating_add(LEEWAY));
        if too_new("iat") || too_new("nbf") {
            return Err(IdTokenError::Early);
        }
        if text("nonce") != Some(expected.nonce) {
            return Err(IdTokenError::Nonce);
        }
        if text("sub").is_none_or(str::is_empty) { Err(IdTokenError::Form) } else { Ok(()) }
    }

    /// What somebody is called in the console and in the log.
    pub fn name(&self) -> String {
        let of = |name: &str| self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let name = of("preferred_username").or_else(|| of("email")).or_else(|| of("sub")).unwrap_or_default();
        name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
    }

    /// The values of a claim, text or a list of texts; dots lead into objects, as in `realm_access.roles`.
    fn values(&self, claim: &str) -> Vec<&str> {
        match self.at(claim) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl Claims {
    /// A name with dots in it goes before a path.
    fn at(&self, claim: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(claim) {
            return Some(value);
        }
        let (first, rest) = claim.split_once('.')?;
        rest.split('.').try_fold(self.0.get(first)?, |at, name| at.get(name))
    }
}

/// Which role somebody has by the values of a claim: the first rule that fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleRules(Vec<(String, Grant)>);

impl RoleRules {
    /// Reads rules such as `ops=admin`, `studio=operator:news,acme-*`; `*` fits everybody whom the issuer knows.
    ///
    /// # Errors
    /// Which one cannot be read, and why.
    pub fn parse(rules: &[String]) -> Result<Self, String> {
        let one = |rule: &String| {
            let wrong = |why: &str| format!("{rule:?} {why}; write VALUE=ROLE or VALUE=operator:CHANNEL,CHANNEL");
            let (value, granted) = rule.rsplit_once('=').ok_or_else(|| wrong("has no ="))?;
            let (role, channels) = granted.split_once(':').map_or((granted, None), |(role, list)| (role, Some(list)));
            let role = Role::parse(role).ok_or_else(|| wrong("names no role"))?;
            let channels = channels.map(|list| Channels::new(list.split(',').map(str::to_owned).collect()));
            let channels = channels.transpose().map_err(|error| wrong(&error.to_string()))?;
            let grant = Grant::new(role, channels).map_err(|error| wrong(&error.to_string()))?;
            if value.is_empty() { Err(wrong("has no value")) } else { Ok((value.to_owned(), grant)) }
        };
        rules.iter().map(one).collect::<Result<_, _>>().map(RoleRules)
    }

    /// What somebody with these claims may do; `None` for nothing.
    pub fn grant(&self, claims: &Claims, claim: &str) -> Option<Grant> {
        let values = claims.values(claim);
        let fits = |value: &str| value == "*" || values.contains(&value);
        self.0.iter().find(|(value, _)| fits(value)).map(|(_, grant)| grant.clone())
    }
}

/// Why an ID token is not believed. None of these repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// The issuer's keys cannot be read.
    #[error("the issuer's keys are no JWK set")]
    Keys,
    /// No JSON web token, or one without a subject.
    #[error("this is no ID token")]
    Form,
    /// Not RS256 or ES256.
    #[error("the ID token is signed in a way that is not accepted; set RS256 or ES256 at the issuer")]
    Algorithm,
    /// Not by a key of the issuer.
    #[error("the ID token is not signed by the issuer")]
    Signature,
    /// Another issuer.
    #[error("the ID token is of another issuer; set operators.openid_issuer exactly as the issuer writes itself")]
    Issuer,
    /// Another client.
    #[error("the ID token is for another client; correct operators.openid_client")]
    Audience,
    /// It has ended.
    #[error("the ID token has ended; compare the clocks of the issuer and of this server")]
    Ended,
    /// It has not begun.
    #[error("the ID token is not valid yet; compare the clocks of the issuer and of this server")]
    Early,
    /// Another log-in.
    #[error("the ID token is of another log-in")]
    Nonce,
}

#[cfg(test)]
#[path = "openid_tests.rs"]
mod tests;
