//! Public keys that signatures are checked with, by their key-pair ids (STANDARDS 7.4, 7.12).

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA256,
};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

use super::sign::Hash;

/// Most keys that are trusted at once: four groups of five are CloudFront's own bound, and each may be rotating.
pub const MAX_KEYS: usize = 64;
/// Longest key-pair id, in bytes.
pub const MAX_ID: usize = 64;

/// Why a key is not taken. None of these repeats the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or not this kind of PEM.
    #[error("it is no PEM file with a public key (BEGIN PUBLIC KEY) or, to sign, a private one (BEGIN PRIVATE KEY)")]
    Pem,
    /// Another type or size.
    #[error("its type is not supported; use RSA of 2048 bits or more, or ECDSA on P-256")]
    Type,
    /// A key-pair id that would not pass unchanged through URLs and cookies.
    #[error("a key-pair id is 1 to 64 letters, digits, - and _")]
    Id,
    /// One more than [`MAX_KEYS`].
    #[error("more than 64 keys are trusted; remove those that are no longer used")]
    TooMany,
    /// The library could not make or use it.
    #[error("the cryptographic library refused it")]
    Refused,
}

/// A public key: RSA of 2048 bits or more, or ECDSA on P-256.
#[derive(Clone)]
pub struct PublicKey {
    sha1: ParsedPublicKey,
    sha256: ParsedPublicKey,
}

impl PublicKey {
    /// Reads `BEGIN PUBLIC KEY` (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// [`KeyError`] if it is none that is supported.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::Pem)?;
        let rsa = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &*der).and_then(|sha256| {
            Ok((ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, &*der)?, sha256))
        });
        let (sha1, sha256) = rsa
            .or_else(|_| {
                let sha256 = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &*der)?;
                Ok((ParsedPublicKey::new(&ECDSA_P256_SHA1_ASN1, &*der)?, sha256))
            })
            .map_err(|_: aws_lc_rs::error::KeyRejected| KeyError::Type)?;
        Ok(PublicKey { sha1, sha256 })
    }

    /// Whether `signature` (ECDSA: in DER) is this key's over `message`.
    pub fn verifies(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let key = match hash {
            Hash::Sha1 => &self.sha1,
            Hash::Sha256 => &self.sha256,
        };
        key.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}

/// The keys that are trusted. To rotate, add the new key before the old one is removed.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: HashMap<Box<str>, PublicKey>,
}

impl KeySet {
    /// Trusts a key, in the place of one with the same id.
    ///
    /// # Errors
    /// For an id that is none, or one key too many.
    pub fn insert(&mut self, id: &str, key: PublicKey) -> Result<(), KeyError> {
        check_id(id)?;
        if self.keys.len() >= MAX_KEYS && !self.keys.contains_key(id) {
            return Err(KeyError::TooMany);
        }
        self.keys.insert(id.into(), key);
        Ok(())
    }

    /// The key with this id.
    pub fn get(&self, id: &str) -> Option<&PublicKey> {
        self.keys.get(id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is trusted: everything is refused.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Checks a key-pair id.
///
/// # Errors
/// [`KeyError::Id`].
pub fn check_id(id: &str) -> Result<(), KeyError> {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if plain && (1..=MAX_ID).contains(&id.len()) { Ok(()) } else { Err(KeyError::Id) }
}
