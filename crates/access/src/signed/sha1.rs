//! Signatures over SHA-1, which is what CloudFront takes where no hash is named (STANDARDS 7.4). The cryptographic
//! library's Rust side verifies such signatures and makes none, so its C side is called.
//!
//! A forger would have to find another policy of the same SHA-1 as one that is signed (a second preimage), which nobody
//! can; that two documents can be made to collide does not help him unless he writes what is signed.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_sys::{
    CBS, CBS_init, ECDSA_sign, ECDSA_size, EVP_PKEY, EVP_PKEY_free, EVP_PKEY_get0_EC_KEY, EVP_PKEY_get0_RSA,
    EVP_parse_private_key, NID_sha1, RSA_sign, RSA_size,
};

use super::key::KeyError;

/// A private key of the C library; freed when it is dropped.
struct Key(*mut EVP_PKEY);

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: it was made by `EVP_parse_private_key`, is not null, and nobody else has it.
        unsafe { EVP_PKEY_free(self.0) }
    }
}

/// Signs with an RSA or ECDSA key in PKCS #8: PKCS #1 v1.5, or DER.
///
/// # Errors
/// [`KeyError::Refused`] if the library cannot.
pub(super) fn sign(pkcs8: &[u8], message: &[u8]) -> Result<Vec<u8>, KeyError> {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, message);
    let hash = hash.as_ref();
    let mut input = CBS { data: std::ptr::null(), len: 0 };
    // SAFETY: `input` points into `pkcs8`, which lives longer than it is read.
    let key = unsafe {
        CBS_init(&raw mut input, pkcs8.as_ptr(), pkcs8.len());
        EVP_parse_private_key(&raw mut input)
    };
    if key.is_null() {
        return Err(KeyError::Type);
    }
    let key = Key(key);
    // SAFETY: the key is not null; what is given back belongs to it and is used only while it lives.
    let (rsa, ec) = unsafe { (EVP_PKEY_get0_RSA(key.0), EVP_PKEY_get0_EC_KEY(key.0)) };
    let mut length = 0;
    let (mut out, done) = if !rsa.is_null() {
        // SAFETY: `rsa` is a key of the library.
        let mut out = vec![0; unsafe { RSA_size(rsa) } as usize];
        // SAFETY: `out` has the `RSA_size` bytes that are written at most, `hash` has the length that is said.
        let done = unsafe { RSA_sign(NID_sha1, hash.as_ptr(), hash.len(), out.as_mut_ptr(), &raw mut length, rsa) };
        (out, done)
    } else if !ec.is_null() {
        // SAFETY: `ec` is a key of the library.
        let mut out = vec![0; unsafe { ECDSA_size(ec) }];
        // SAFETY: as above, with the `ECDSA_size` bytes.
        let done = unsafe { ECDSA_sign(0, hash.as_ptr(), hash.len(), out.as_mut_ptr(), &raw mut length, ec) };
        (out, done)
    } else {
        return Err(KeyError::Type);
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if done != 1 || length > out.len() {
        return Err(KeyError::Refused);
    }
    out.truncate(length);
    Ok(out)
}
