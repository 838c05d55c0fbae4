//! Policies that were verified already, so that a viewer's next requests cost no signature check.
//!
//! Only what a trusted key signed comes in here, so nobody else can fill it. What is remembered is that the signature is
//! right; dates, address and URL are looked at for every request.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError};

use super::policy::Grant;
use super::sign::Hash;

/// Shards, so that the cores do not wait for each other.
const SHARDS: usize = 16;
/// Longest policy and signature together that are remembered, in bytes.
const MAX_BYTES: usize = 2048;

/// What a signature was verified over, and with which key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Whether the policy is a canned one, written by us: then `policy` is its text, else what was sent.
    pub canned: bool,
    /// The policy.
    pub policy: &'a str,
    /// The signature as it was sent.
    pub signature: &'a str,
    /// Which key made it.
    pub key_pair_id: &'a str,
    /// Over which hash.
    pub hash: Hash,
}

struct Known {
    canned: bool,
    policy: Box<str>,
    signature: Box<str>,
    key_pair_id: Box<str>,
    hash: Hash,
    grant: Arc<Grant>,
}

impl Known {
    fn claim(&self) -> Claim<'_> {
        Claim {
            canned: self.canned,
            policy: &self.policy,
            signature: &self.signature,
            key_pair_id: &self.key_pair_id,
            hash: self.hash,
        }
    }
}

/// Two generations: when the young one is full it becomes the old one, and the old one goes.
#[derive(Default)]
struct Shard {
    young: HashMap<u64, Known>,
    old: HashMap<u64, Known>,
}

/// Verified policies, at most as many as it was made for.
pub struct Memory {
    shards: Box<[Mutex<Shard>]>,
    random: RandomState,
    /// Of each generation of each shard.
    room: usize,
}

impl Memory {
    /// Room for about this many, at most 4 KiB each.
    pub fn new(entries: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Memory { shards, random: RandomState::new(), room: entries.div_ceil(2 * SHARDS).max(1) }
    }

    /// What was verified of exactly this.
    pub fn find(&self, claim: &Claim<'_>) -> Option<Arc<Grant>> {
        let (number, mut shard) = self.shard(claim);
        if let Some(known) = shard.young.get(&number).filter(|known| known.claim() == *claim) {
            return Some(Arc::clone(&known.grant));
        }
        let known = shard.old.remove(&number).filter(|known| known.claim() == *claim)?;
        let grant = Arc::clone(&known.grant);
        self.put(&mut shard, number, known);
        Some(grant)
    }

    /// Remembers that this was verified.
    pub fn keep(&self, claim: &Claim<'_>, grant: &Arc<Grant>) {
        if claim.policy.len() + claim.signature.len() > MAX_BYTES {
            return;
        }
        let known = Known {
            canned: claim.canned,
            policy: claim.policy.into(),
            signature: claim.signature.into(),
            key_pair_id: claim.key_pair_id.into(),
            hash: claim.hash,
            grant: Arc::clone(grant),
        };
        let (number, mut shard) = self.shard(claim);
        self.put(&mut shard, number, known);
    }

    fn put(&self, shard: &mut Shard, number: u64, known: Known) {
        if shard.young.len() >= self.room {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(number, known);
    }

    /// A signature names its claim well enough to find it; that it is the same is compared.
    fn shard(&self, claim: &Claim<'_>) -> (u64, std::sync::MutexGuard<'_, Shard>) {
        let number = self.random.hash_one(claim.signature);
        let shard = &self.shards[number as usize % SHARDS];
        (number, shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.map(|shard| shard.young.len() + shard.old.len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim<'a>(policy: &'a str, signature: &'a str) -> Claim<'a> {
        Claim { canned: false, policy, signature, key_pair_id: "K", hash: Hash::Sha1 }
    }

    fn grant() -> Arc<Grant> {
        Arc::new(Grant { resource: None, expires: 5, not_before: None, source: None })
    }

    #[test]
    fn only_the_same_claim_is_found() {
        let memory = Memory::new(64);
        let known = claim("policy", "signature");
        assert!(memory.find(&known).is_none());
        memory.keep(&known, &grant());
        assert_eq!(memory.find(&known), Some(grant()));
        for other in [
            Claim { policy: "other", ..known },
            Claim { signature: "other", ..known },
            Claim { key_pair_id: "L", ..known },
            Claim { hash: Hash::Sha256, ..known },
            Claim { canned: true, ..known },
        ] {
            assert!(memory.find(&other).is_none());
        }
        assert_eq!(memory.find(&known), Some(grant()), "another claim does not push it out");
    }

    #[test]
    fn it_does_not_grow_and_keeps_what_is_used() {
        let memory = Memory::new(320);
        let used = claim("used", "used");
        memory.keep(&used, &grant());
        for n in 0..5_000 {
            let signature = n.to_string();
            memory.keep(&claim("p", &signature), &grant());
            assert!(memory.find(&used).is_some(), "after {n}");
            assert!(memory.len() <= 320);
        }
        let long = "x".repeat(MAX_BYTES);
        memory.keep(&claim(&long, "s"), &grant());
        assert!(memory.find(&claim(&long, "s")).is_none());
    }
}
