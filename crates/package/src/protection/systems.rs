//! What manifests and init segments say of a key system that needs no provider: ClearKey.

use bytes::Bytes;
use millstream_media::protection::{DashSystem, KeyId, Scheme, Signalling, pssh};

use super::keys::ContentKey;

/// The common system of W3C, whose boxes name key ids alone.
pub const COMMON_SYSTEM: [u8; 16] =
    [0x10, 0x77, 0xef, 0xec, 0xc0, 0xb2, 0x4d, 0x02, 0xac, 0xe3, 0x3c, 0x1e, 0x52, 0xe2, 0xfb, 0x4b];

/// ClearKey in an MPD (DASH-IF).
const CLEARKEY_URN: &str = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e";

/// Where players get keys without a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearKeyUrls {
    /// Answers the W3C's ClearKey licence requests: a whole URL, since players take it relative to their own page. None
    /// if players are told another way.
    pub licence: Option<String>,
    /// Before the key id and `.key`: answers with the sixteen bytes of a key.
    pub keys: String,
}

/// A `pssh` box of the common system.
pub fn common_pssh(key: KeyId) -> Bytes {
    pssh(COMMON_SYSTEM, &[key], &[])
}

/// What manifests say of a track under `key`. HLS is offered with [`Scheme::Cbcs`] only (STANDARDS 1.51); without
/// `urls` only the key's id is said, and the player must have the key.
pub fn clear_key(scheme: Scheme, key: &ContentKey, urls: Option<&ClearKeyUrls>) -> Signalling {
    let id = key.id();
    let mut signalling = Signalling { scheme, key_id: id, hls: Vec::new(), hls_session: Vec::new(), dash: Vec::new() };
    let Some(urls) = urls else {
        if scheme == Scheme::Cbcs {
            // A player that has been given the key needs no place to get it from; the attribute must be there.
            signalling.hls = vec![format!("METHOD=SAMPLE-AES,URI=\"urn:uuid:{id}\",KEYFORMAT=\"identity\"")];
        }
        return signalling;
    };
    if scheme == Scheme::Cbcs {
        let iv = u128::from_be_bytes(key.iv());
        let attributes = format!(
            "METHOD=SAMPLE-AES,URI=\"{}{}.key\",KEYFORMAT=\"identity\",KEYFORMATVERSIONS=\"1\",IV=0x{iv:032x}",
            urls.keys,
            id.hex()
        );
        signalling.hls_session = vec![attributes.clone()];
        signalling.hls = vec![attributes];
    }
    let inner = urls.licence.as_ref().map_or_else(String::new, |licence| {
        let licence = quick_xml::escape::escape(licence.as_str());
        format!(
            "<dashif:Laurl xmlns:dashif=\"https://dashif.org/CPS\" licenseType=\"EME-1.0\">{licence}</dashif:Laurl>"
        )
    });
    signalling.dash = vec![DashSystem { scheme_id_uri: CLEARKEY_URN.into(), value: "ClearKey1.0".into(), inner }];
    signalling
}
