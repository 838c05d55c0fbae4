//! Content keys that a key server encrypts for us: CPIX 2.3 delivery data, "content key encryption" in SPEKE. The server
//! takes our certificate and encrypts a document key with it, and the content keys with that one.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac::{self, HMAC_SHA512};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What wraps the document key: RSA-OAEP with SHA-1, as XML Encryption names it.
pub(super) const OAEP: &str = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p";
/// What encrypts content keys: an IV, then AES in CBC, padded as XML Encryption pads (ISO 10126).
pub(super) const CBC: &str = "http://www.w3.org/2001/04/xmlenc#aes256-cbc";
/// What guards encrypted content keys against changes.
pub(super) const HMAC: &str = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512";

/// Bytes of an initialisation vector.
const IV: usize = 16;

/// Why a certificate and its key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// The private key cannot be read.
    #[error("the private key is no RSA key of 2048 bits or more in PKCS #8 (BEGIN PRIVATE KEY)")]
    Key,
    /// The certificate is that of another key.
    #[error("the certificate is not that of the private key")]
    Other,
}

/// For whom a key server encrypts: our certificate, and the private key that belongs to it.
pub struct Recipient {
    /// Base64 of the certificate.
    certificate: String,
    key: OaepPrivateDecryptingKey,
}

impl Recipient {
    /// From a certificate (X.509) and its RSA key (PKCS #8), both in DER.
    ///
    /// # Errors
    /// [`RecipientError`].
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Self, RecipientError> {
        let key = PrivateDecryptingKey::from_pkcs8(key).map_err(|_| RecipientError::Key)?;
        // A certificate has the public key in it just as this writes it.
        let public = key.public_key().as_der().map_err(|_| RecipientError::Key)?;
        if !certificate.windows(public.as_ref().len()).any(|part| part == public.as_ref()) {
            return Err(RecipientError::Other);
        }
        let key = OaepPrivateDecryptingKey::new(key).map_err(|_| RecipientError::Key)?;
        Ok(Recipient { certificate: STANDARD.encode(certificate), key })
    }

    /// The certificate, in base64.
    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What was encrypted with the certificate.
    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut plain = vec![0; self.key.min_output_size()];
        Some(self.key.decrypt(&OAEP_SHA1_MGF1SHA1, sealed, &mut plain, None).ok()?.to_vec())
    }
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recipient({} bits, (redacted))", self.key.key_size_bits())
    }
}

/// The keys of a document, opened: that of content keys, and that of their MACs if it has them.
pub(super) struct DocumentKeys {
    key: PaddedBlockDecryptingKey,
    mac: Option<hmac::Key>,
}

impl DocumentKeys {
    /// Opens both.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn open(recipient: &Recipient, document: &[u8], mac: Option<&[u8]>) -> Result<Self, &'static str> {
        let key = recipient.open(document).ok_or("the document key is not encrypted for this certificate")?;
        let key = UnboundCipherKey::new(&AES_256, &key).and_then(PaddedBlockDecryptingKey::cbc_iso10126);
        let key = key.map_err(|_| "the document key has not 256 bits")?;
        let opened = mac.map(|mac| recipient.open(mac).ok_or("the MAC key is not encrypted for this certificate"));
        Ok(DocumentKeys { key, mac: opened.transpose()?.map(|mac| hmac::Key::new(HMAC_SHA512, &mac)) })
    }

    /// A content key, whose MAC must be right if the document has MACs.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn content_key(&self, sealed: &[u8], mac: Option<&[u8]>) -> Result<[u8; 16], &'static str> {
        if let Some(key) = &self.mac {
            let right = mac.is_some_and(|mac| hmac::verify(key, sealed, mac).is_ok());
            if !right {
                return Err("its ValueMAC is missing or wrong");
            }
        }
        let (iv, rest) = sealed.split_first_chunk::<IV>().ok_or("it is too short")?;
        let mut rest = rest.to_vec();
        let plain = self.key.decrypt(&mut rest, DecryptionContext::Iv128(FixedLength::from(iv)));
        let plain = plain.map_err(|_| "it cannot be decrypted with the document key")?;
        <[u8; 16]>::try_from(&*plain).map_err(|_| "it has not 16 bytes")
    }
}
