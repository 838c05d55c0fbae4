//! The decision about one request: whether what it presents allows it (STANDARDS 7.6 to 7.11).

use core::net::IpAddr;
use std::borrow::Cow;
use std::sync::Arc;

use super::credentials::{Place, Presented, is_of_player, is_reserved, without};
use super::encoding;
use super::key::KeySet;
use super::memory::{Claim, Memory};
use super::policy::{self, Grant};
use super::resource::Url;
use super::sign::Hash;

/// Verified policies that are remembered (see [`Memory`]): 16 MB if each is as large as it may be.
const REMEMBERED: usize = 8192;

/// A request as the viewer made it.
#[derive(Clone, Copy, Debug)]
pub struct Viewed<'a> {
    /// Its URL; the query is the whole one, with what belongs to a signature.
    pub url: Url<'a>,
    /// The viewer's address.
    pub address: IpAddr,
    /// Now, in milliseconds of the epoch.
    pub now_ms: u64,
}

/// Why a request is refused; each is answered 403 (STANDARDS 7.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No key-pair id in URL or cookies.
    #[error("Missing Key-Pair-Id query parameter or cookie value")]
    MissingKey,
    /// A key-pair id that is not trusted.
    #[error("Unknown Key")]
    UnknownKey,
    /// Neither a custom policy that can be read nor the end of a canned one.
    #[error("Malformed Policy")]
    MalformedPolicy,
    /// The signature is missing, or is not the key's over this policy.
    #[error("Access denied")]
    Signature,
    /// The policy is over.
    #[error("Access denied")]
    Expired,
    /// The policy has not begun.
    #[error("Access denied")]
    NotYet,
    /// The viewer's address is not among the policy's.
    #[error("Access denied")]
    Address,
    /// The policy covers other URLs.
    #[error("Access denied")]
    Resource,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Refusal; 8] = [
        Refusal::MissingKey,
        Refusal::UnknownKey,
        Refusal::MalformedPolicy,
        Refusal::Signature,
        Refusal::Expired,
        Refusal::NotYet,
        Refusal::Address,
        Refusal::Resource,
    ];

    /// The answer's body: the document that CloudFront sends, so that players and tools read it the same way.
    pub const fn document(self) -> &'static str {
        match self {
            Refusal::MissingKey => {
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>MissingKey</Code><Message>Missing Key-Pair-Id query \
                 parameter or cookie value</Message></Error>\n"
            }
            Refusal::UnknownKey => {
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>InvalidKey</Code><Message>Unknown \
                 Key</Message></Error>\n"
            }
            Refusal::MalformedPolicy => {
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>MalformedPolicy</Code><Message>Malformed \
                 Policy</Message></Error>\n"
            }
            _ => {
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code><Message>Access \
                 denied</Message></Error>\n"
            }
        }
    }
}

/// What allowed a request.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// Where the signature was.
    pub place: Place,
    /// Whether the policy covers more URLs than this one, so that a playlist's children may be among them.
    pub wide: bool,
}

/// Decides about requests with one set of keys. When the keys change another one takes its place, so that nothing stays
/// remembered of a key that is no longer trusted.
pub struct Verifier {
    keys: KeySet,
    memory: Memory,
}

impl Verifier {
    /// Trusts these keys.
    pub fn new(keys: KeySet) -> Self {
        Verifier { keys, memory: Memory::new(REMEMBERED) }
    }

    /// The keys that are trusted.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Decides about a request. `cookies` are the values of its `Cookie` headers; they count only if the URL has none of
    /// the reserved parameters.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check<'a>(
        &self,
        viewed: &Viewed<'a>,
        cookies: impl IntoIterator<Item = &'a str>,
    ) -> Result<Allowed, Refusal> {
        let presented = viewed.url.query.and_then(Presented::in_query).or_else(|| Presented::in_cookies(cookies));
        let presented = presented.ok_or(Refusal::MissingKey)?;
        let id = presented.key_pair_id.as_deref().filter(|id| !id.is_empty()).ok_or(Refusal::MissingKey)?;
        if self.keys.get(id).is_none() {
            return Err(Refusal::UnknownKey);
        }
        let hash = match presented.hash.as_deref() {
            None | Some("SHA1") => Hash::Sha1,
            Some("SHA256") => Hash::Sha256,
            Some(_) => return Err(Refusal::Signature),
        };
        let signature = presented.signature.as_deref().filter(|_| !presented.ambiguous).ok_or(Refusal::Signature)?;
        let own: Option<Cow<'_, str>> = match presented.place {
            Place::Query => without(viewed.url.query, is_reserved),
            Place::Cookie => viewed.url.query.map(Cow::Borrowed),
        };
        let plain = if own.as_deref().is_some_and(|query| query.split('&').any(is_of_player)) {
            Some(without(own.as_deref(), is_of_player))
        } else {
            None
        };
        let url = Url { query: own.as_deref(), ..viewed.url };
        // The same without what the player added.
        let plain = plain.as_ref().map(|query| Url { query: query.as_deref(), ..viewed.url });

        let claim = Claim { canned: false, policy: "", signature, key_pair_id: id, hash };
        let (grant, covered) = match (&presented.policy, &presented.expires) {
            (Some(policy), _) => {
                let grant = self.custom(&Claim { policy, ..claim })?;
                let covered = grant.covers(&url) || plain.is_some_and(|plain| grant.covers(&plain));
                (grant, covered)
            }
            (None, Some(expires)) => {
                let expires = policy::expires(expires).ok_or(Refusal::MalformedPolicy)?;
                let canned = |url: &Url<'_>| {
                    let policy = policy::canned(&url.to_text(), expires);
                    self.canned(&Claim { canned: true, policy: &policy, ..claim }, expires)
                };
                let grant = match plain {
                    Some(plain) => canned(&plain).or_else(|_| canned(&url)),
                    None => canned(&url),
                };
                (grant?, true)
            }
            (None, None) => return Err(Refusal::MalformedPolicy),
        };
        if viewed.now_ms >= grant.expires.saturating_mul(1000) {
            return Err(Refusal::Expired);
        }
        if grant.not_before.is_some_and(|from| viewed.now_ms < from.saturating_mul(1000)) {
            return Err(Refusal::NotYet);
        }
        if grant.source.is_some_and(|range| !range.contains(viewed.address)) {
            return Err(Refusal::Address);
        }
        if !covered {
            return Err(Refusal::Resource);
        }
        let wide = presented.policy.is_some() && grant.is_wide();
        Ok(Allowed { place: presented.place, wide })
    }

    /// The grant of a custom policy, verified as the bytes that were sent.
    fn custom(&self, claim: &Claim<'_>) -> Result<Arc<Grant>, Refusal> {
        if let Some(grant) = self.memory.find(claim) {
            return Ok(grant);
        }
        let text = encoding::decode(claim.policy).ok_or(Refusal::MalformedPolicy)?;
        if text.len() > policy::MAX_LENGTH {
            return Err(Refusal::MalformedPolicy);
        }
        self.verify(claim, &text)?;
        let grant = Arc::new(Grant::parse(&text).map_err(|_| Refusal::MalformedPolicy)?);
        self.memory.keep(claim, &grant);
        Ok(grant)
    }

    /// The grant of a canned policy, which covers the URL that it was written from.
    fn canned(&self, claim: &Claim<'_>, expires: u64) -> Result<Arc<Grant>, Refusal> {
        if let Some(grant) = self.memory.find(claim) {
            return Ok(grant);
        }
        self.verify(claim, claim.policy.as_bytes())?;
        let grant = Arc::new(Grant { resource: None, expires, not_before: None, source: None });
        self.memory.keep(claim, &grant);
        Ok(grant)
    }

    fn verify(&self, claim: &Claim<'_>, policy: &[u8]) -> Result<(), Refusal> {
        let key = self.keys.get(claim.key_pair_id).ok_or(Refusal::UnknownKey)?;
        let signature = encoding::decode(claim.signature).ok_or(Refusal::Signature)?;
        if key.verifies(claim.hash, policy, &signature) { Ok(()) } else { Err(Refusal::Signature) }
    }
}
