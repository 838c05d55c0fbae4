//! Signing as `aws cloudfront sign` does: URLs and cookies for our servers and for CloudFront alike.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SecureRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{digest, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::credentials::is_reserved;
use super::encoding;
use super::key::KeyError;
use super::policy::{self, Policy};
use super::sha1;

/// The hash that a signature is made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// What a signature without `Hash-Algorithm` is over.
    Sha1,
    /// `Hash-Algorithm=SHA256`.
    Sha256,
}

enum Kind {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

/// A private key. It is never printed.
pub struct PrivateKey(Kind);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// Types of keys that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// RSA of 2048 bits.
    Rsa,
    /// ECDSA on P-256: shorter signatures.
    Ecdsa,
}

impl PrivateKey {
    /// Makes a key with the cryptographic library's own randomness. Gives the key and its PEM text: PKCS #1 for RSA, which
    /// every signer reads (`aws cloudfront sign` of version 1 reads no other), and PKCS #8 for ECDSA.
    ///
    /// # Errors
    /// If the library cannot.
    pub fn generate(kind: KeyType) -> Result<(Self, String), KeyError> {
        let refused = |_| KeyError::Refused;
        match kind {
            KeyType::Rsa => {
                let key = RsaKeyPair::generate(rsa::KeySize::Rsa2048).map_err(refused)?;
                let der = key.as_der().map_err(refused)?;
                let inner = pkcs1(der.as_ref()).ok_or(KeyError::Refused)?;
                let text = pem("RSA PRIVATE KEY", inner);
                Ok((PrivateKey(Kind::Rsa(key)), text))
            }
            KeyType::Ecdsa => {
                let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(refused)?;
                let der = key.to_pkcs8v1().map_err(refused)?;
                let text = pem("PRIVATE KEY", der.as_ref());
                Ok((PrivateKey(Kind::Ecdsa(key)), text))
            }
        }
    }

    /// Reads `BEGIN PRIVATE KEY`, `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`.
    ///
    /// # Errors
    /// [`KeyError`] if it is none that is supported.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let unsupported = |_| KeyError::Type;
        let kind = match PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::Pem)? {
            PrivateKeyDer::Pkcs1(der) => Kind::Rsa(RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(unsupported)?),
            PrivateKeyDer::Sec1(der) => Kind::Ecdsa(
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_sec1_der())
                    .map_err(unsupported)?,
            ),
            PrivateKeyDer::Pkcs8(der) => match RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()) {
                Ok(key) => Kind::Rsa(key),
                Err(_) => Kind::Ecdsa(
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_pkcs8_der())
                        .map_err(unsupported)?,
                ),
            },
            _ => return Err(KeyError::Type),
        };
        match &kind {
            Kind::Rsa(key) if key.public_modulus_len() < 256 => Err(KeyError::Type),
            _ => Ok(PrivateKey(kind)),
        }
    }

    /// Its public key as PEM (`BEGIN PUBLIC KEY`), as CloudFront wants it uploaded.
    ///
    /// # Errors
    /// If the library cannot write it.
    pub fn public_pem(&self) -> Result<String, KeyError> {
        Ok(pem("PUBLIC KEY", &self.public_der()?))
    }

    /// A key-pair id in CloudFront's form, made from the public key: `K` and 13 capitals and digits.
    ///
    /// # Errors
    /// If the library cannot write the public key.
    pub fn id(&self) -> Result<String, KeyError> {
        const CAPITALS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let hash = digest::digest(&digest::SHA256, &self.public_der()?);
        let letters = hash.as_ref().iter().take(13).map(|b| char::from(CAPITALS[usize::from(*b) & 31]));
        Ok(std::iter::once('K').chain(letters).collect())
    }

    fn public_der(&self) -> Result<Vec<u8>, KeyError> {
        let der = match &self.0 {
            Kind::Rsa(key) => key.public_key().as_der(),
            Kind::Ecdsa(key) => key.public_key().as_der(),
        };
        der.map(|der| der.as_ref().to_vec()).map_err(|_| KeyError::Refused)
    }

    fn pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        let der = match &self.0 {
            Kind::Rsa(key) => key.as_der().map(|der| der.as_ref().to_vec()),
            Kind::Ecdsa(key) => key.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
        };
        der.map_err(|_| KeyError::Refused)
    }

    /// ECDSA signatures are DER.
    fn sign(&self, hash: Hash, message: &[u8], random: &dyn SecureRandom) -> Result<Vec<u8>, KeyError> {
        if hash == Hash::Sha1 {
            return sha1::sign(&self.pkcs8()?, message);
        }
        match &self.0 {
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, random, message, &mut signature).map_err(|_| KeyError::Refused)?;
                Ok(signature)
            }
            Kind::Ecdsa(key) => {
                let signature = key.sign(random, message).map_err(|_| KeyError::Refused)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The URL is none, or has a fragment or one of the reserved parameters.
    #[error(
        "the URL must begin with http:// or https:// and may have no fragment and none of the parameters Policy, \
             Expires, Signature, Key-Pair-Id and Hash-Algorithm"
    )]
    Url,
    /// A policy that would be refused.
    #[error("the policy would be refused as malformed; see docs/access.md for its form")]
    Policy,
    /// The key could not be used.
    #[error("the key: {0}")]
    Key(#[from] KeyError),
}

/// What is signed: a canned policy (an end), or a custom one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terms {
    /// This URL until this second of the epoch.
    Until(u64),
    /// A policy of one's own.
    Custom(Policy),
    /// A policy as text, signed as it is.
    Text(String),
}

/// A signature and what is sent with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// `Policy` or `Expires`.
    policy: (&'static str, String),
    signature: String,
    id: String,
    hash: Hash,
}

impl Signed {
    /// Signs `url` (or what the policy's `Resource` says) with a key over SHA-256.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn new(
        url: &str,
        terms: &Terms,
        id: &str,
        key: &PrivateKey,
        random: &dyn SecureRandom,
    ) -> Result<Self, SignError> {
        Signed::over(Hash::Sha256, url, terms, id, key, random)
    }

    /// The same over this hash.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn over(
        hash: Hash,
        url: &str,
        terms: &Terms,
        id: &str,
        key: &PrivateKey,
        random: &dyn SecureRandom,
    ) -> Result<Self, SignError> {
        super::key::check_id(id)?;
        check_url(url)?;
        let (text, name) = match terms {
            Terms::Until(expires) if *expires <= policy::MAX_EPOCH => (policy::canned(url, *expires), "Expires"),
            Terms::Until(_) => return Err(SignError::Policy),
            Terms::Custom(policy) => (policy.to_json(), "Policy"),
            Terms::Text(text) => (text.clone(), "Policy"),
        };
        policy::Grant::parse(text.as_bytes()).map_err(|_| SignError::Policy)?;
        let value = match terms {
            Terms::Until(expires) => expires.to_string(),
            _ => encoding::encode(text.as_bytes()),
        };
        let signature = encoding::encode(&key.sign(hash, text.as_bytes(), random)?);
        Ok(Signed { policy: (name, value), signature, id: id.to_owned(), hash })
    }

    /// What is appended to a URL's query.
    pub fn query(&self) -> String {
        let (name, value) = &self.policy;
        // SHA-1 is what no name means; signers that know no other write none.
        let hash = if self.hash == Hash::Sha256 { "&Hash-Algorithm=SHA256" } else { "" };
        format!("{name}={value}&Signature={}&Key-Pair-Id={}{hash}", self.signature, self.id)
    }

    /// The URL with the signature in its query.
    pub fn url(&self, url: &str) -> String {
        format!("{url}{}{}", if url.contains('?') { '&' } else { '?' }, self.query())
    }

    /// Names and values of the cookies.
    pub fn cookies(&self) -> Vec<(String, String)> {
        let (name, value) = &self.policy;
        let mut cookies = vec![
            (format!("CloudFront-{name}"), value.clone()),
            ("CloudFront-Signature".to_owned(), self.signature.clone()),
            ("CloudFront-Key-Pair-Id".to_owned(), self.id.clone()),
        ];
        if self.hash == Hash::Sha256 {
            cookies.push(("CloudFront-Hash-Algorithm".to_owned(), "SHA256".to_owned()));
        }
        cookies
    }
}

/// Whoever has the signature may view.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("id", &self.id).finish()
    }
}

fn check_url(url: &str) -> Result<(), SignError> {
    let scheme = ["http://", "https://", "*://", "http*://"].iter().any(|scheme| url.starts_with(scheme));
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let plain = url.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if scheme && plain && !query.split('&').any(is_reserved) { Ok(()) } else { Err(SignError::Url) }
}

/// The RSA key in a PKCS #8 document of the library's (RFC 5208 5, RFC 8017 A.1.2).
fn pkcs1(pkcs8: &[u8]) -> Option<&[u8]> {
    /// Version 0, rsaEncryption without parameters, and an octet string with a length of two bytes.
    const HEAD: &[u8] = b"\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x82";
    let inner = pkcs8.strip_prefix(b"\x30\x82")?.get(2..)?.strip_prefix(HEAD)?;
    let (length, key) = inner.split_first_chunk::<2>()?;
    (usize::from(u16::from_be_bytes(*length)) == key.len()).then_some(key)
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
