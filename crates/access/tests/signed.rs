//! Signed URLs and cookies as other signers make them, every refusal, and that nothing can be changed unseen.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use core::net::IpAddr;

use aws_lc_rs::rand::SystemRandom;
use millstream_access::signed::credentials::is_reserved;
use millstream_access::signed::resource::Url;
use millstream_access::signed::sign::{KeyType, Terms};
use millstream_access::signed::{
    Hash, KeySet, Place, Policy, PrivateKey, PublicKey, Refusal, Signed, Verifier, Viewed,
};
use millstream_access::signed::{encoding, verify::Allowed};
use proptest::prelude::*;
use serde_json::Value;

const URL: &str = "https://media.example/live/demo/index.m3u8";
const NOW: u64 = 1_800_000_000_000;
const RSA: &[u8] = include_bytes!("data/rsa.pub.pem");
const EC: &[u8] = include_bytes!("data/ec.pub.pem");
const OTHER: &[u8] = include_bytes!("data/other.pub.pem");

fn verifier() -> Verifier {
    let mut keys = KeySet::default();
    for (id, pem) in [("K-RSA", RSA), ("K-EC", EC), ("K-OTHER", OTHER)] {
        keys.insert(id, PublicKey::from_pem(pem).unwrap()).unwrap();
    }
    Verifier::new(keys)
}

/// A viewer with an address that the test data's policies allow.
fn ask(verifier: &Verifier, url: &str, cookies: &str) -> Result<Allowed, Refusal> {
    ask_from(verifier, url, cookies, "192.0.2.7", NOW)
}

fn ask_from(verifier: &Verifier, url: &str, cookies: &str, address: &str, now_ms: u64) -> Result<Allowed, Refusal> {
    let Some((scheme, rest)) = url.split_once("://") else { return Err(Refusal::Resource) };
    let Some(slash) = rest.find('/') else { return Err(Refusal::Resource) };
    let (host, rest) = rest.split_at(slash);
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let address: IpAddr = address.parse().unwrap();
    let viewed = Viewed { url: Url { scheme, host, path, query }, address, now_ms };
    verifier.check(&viewed, (!cookies.is_empty()).then_some(cookies))
}

fn vectors() -> Vec<(String, String, String)> {
    let data: Value = serde_json::from_str(include_str!("data/signed.json")).unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let all = data.as_array().unwrap().iter();
    all.map(|v| (format!("{} {}", v["signer"], v["name"]), text(&v["signed_url"]), text(&v["cookies"]))).collect()
}

fn key() -> PrivateKey {
    PrivateKey::from_pem(include_bytes!("data/rsa.pem")).unwrap()
}

fn sign(url: &str, terms: &Terms) -> Signed {
    Signed::new(url, terms, "K-RSA", &key(), &SystemRandom::new()).unwrap()
}

fn custom(resource: &str) -> Policy {
    Policy { resource: resource.to_owned(), expires: 1_900_000_000, ..Policy::default() }
}

/// CHECK-7a.
#[test]
fn what_botocore_and_openssl_sign_is_accepted() {
    let verifier = verifier();
    let vectors = vectors();
    assert_eq!(vectors.len(), 24);
    for (name, signed_url, cookies) in &vectors {
        for _remembered in [false, true] {
            let allowed = ask(&verifier, signed_url, "").unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert_eq!(allowed.place, Place::Query);
            let url = if name.contains("query") { format!("{URL}?audience=a%20b&x=") } else { URL.to_owned() };
            let allowed = ask(&verifier, &url, cookies).unwrap_or_else(|e| panic!("{name}, cookies: {e:?}"));
            assert_eq!(allowed.place, Place::Cookie);
        }
        assert_eq!(ask_from(&verifier, signed_url, "", "192.0.2.7", 1_900_000_000_000).err(), Some(Refusal::Expired));
    }
}

fn verifier_key(key: &PrivateKey) -> PublicKey {
    PublicKey::from_pem(key.public_pem().unwrap().as_bytes()).unwrap()
}

/// CHECK-7a, the other way: what we sign others verify, by the key alone and over exactly the canned bytes.
#[test]
fn what_we_sign_verifies_with_the_public_key() {
    for kind in [KeyType::Rsa, KeyType::Ecdsa] {
        let (key, pem) = PrivateKey::generate(kind).unwrap();
        // The older AWS command line reads no other form of RSA keys.
        let form =
            if kind == KeyType::Rsa { "-----BEGIN RSA PRIVATE KEY-----\n" } else { "-----BEGIN PRIVATE KEY-----\n" };
        assert!(pem.starts_with(form), "{kind:?}");
        let again = PrivateKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(again.public_pem(), key.public_pem());
        let (id, public) = (key.id().unwrap(), PublicKey::from_pem(key.public_pem().unwrap().as_bytes()).unwrap());
        assert!(id.len() == 14 && id.starts_with('K'), "{id}");
        let signed = Signed::new(URL, &Terms::Until(1_900_000_000), &id, &key, &SystemRandom::new()).unwrap();
        let (name, signature) = signed.cookies().swap_remove(1);
        assert_eq!(name, "CloudFront-Signature");
        let message = format!(
            "{{\"Statement\":[{{\"Resource\":\"{URL}\",\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":1900000000}}}}}}]}}"
        );
        assert!(public.verifies(Hash::Sha256, message.as_bytes(), &encoding::decode(&signature).unwrap()));
        let mut keys = KeySet::default();
        keys.insert(&id, public).unwrap();
        let verifier = Verifier::new(keys);
        assert!(ask(&verifier, &signed.url(URL), "").is_ok());
        let over = |terms: &Terms| Signed::over(Hash::Sha1, URL, terms, &id, &key, &SystemRandom::new()).unwrap();
        let canned = over(&Terms::Until(1_900_000_000));
        let signature = encoding::decode(&canned.cookies().swap_remove(1).1).unwrap();
        assert!(verifier_key(&key).verifies(Hash::Sha1, message.as_bytes(), &signature));
        assert!(!verifier_key(&key).verifies(Hash::Sha256, message.as_bytes(), &signature));
        let wide = over(&Terms::Custom(custom("https://media.example/live/*")));
        for signed in [canned, wide] {
            assert!(!signed.url(URL).contains("Hash-Algorithm") && signed.cookies().len() == 3);
            assert!(ask(&verifier, &signed.url(URL), "").is_ok());
            let cookies = signed.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
            assert!(ask(&verifier, URL, &cookies.join("; ")).is_ok());
        }
    }
    for pem in [&include_bytes!("data/ec.pem")[..], include_bytes!("data/ec-sec1.pem"), include_bytes!("data/rsa.pem")]
    {
        let key = PrivateKey::from_pem(pem).unwrap();
        let public = key.public_pem().unwrap();
        assert!([RSA, EC].contains(&public.as_bytes()), "{public}");
    }
}

/// CHECK-7b.
#[test]
fn every_refusal() {
    let verifier = verifier();
    let terms = |policy: Policy| Terms::Custom(policy);
    let canned = sign(URL, &Terms::Until(1_900_000_000)).url(URL);
    let wide = sign(URL, &terms(custom("https://media.example/live/demo/*"))).url(URL);
    let from = sign(URL, &terms(Policy { not_before: Some(1_850_000_000), ..custom(URL) })).url(URL);
    let here = sign(URL, &terms(Policy { source: Some("198.51.100.0/24".to_owned()), ..custom(URL) })).url(URL);
    let over = sign(URL, &Terms::Until(1_800_000_000)).url(URL);
    assert!(ask(&verifier, &canned, "").is_ok() && ask(&verifier, &wide, "").is_ok());
    assert_eq!(ask_from(&verifier, &over, "", "192.0.2.7", NOW - 1).err(), None);
    assert_eq!(ask_from(&verifier, &from, "", "192.0.2.7", 1_850_000_000_000).err(), None);
    for (what, url, want) in [
        ("expired", over, Refusal::Expired),
        ("not yet valid", from, Refusal::NotYet),
        ("wrong address", here, Refusal::Address),
        ("altered path, canned", canned.replace("/demo/", "/news/"), Refusal::Signature),
        ("altered path, custom", wide.replace("/demo/", "/news/"), Refusal::Resource),
        ("altered query", canned.replace('?', "?a=b&"), Refusal::Signature),
        ("altered end", canned.replace("=1900000000", "=1900000001"), Refusal::Signature),
        ("other scheme", canned.replace("https", "http"), Refusal::Signature),
        ("other host", canned.replace("media.", "mirror."), Refusal::Signature),
        ("unknown key", canned.replace("K-RSA", "K-NONE"), Refusal::UnknownKey),
        ("another trusted key", canned.replace("K-RSA", "K-OTHER"), Refusal::Signature),
        ("a key of another type", canned.replace("K-RSA", "K-EC"), Refusal::Signature),
        ("another hash", canned.replace("=SHA256", "=SHA1"), Refusal::Signature),
        ("a hash that is none", canned.replace("=SHA256", "=MD5"), Refusal::Signature),
        ("no hash", canned.replace("&Hash-Algorithm=SHA256", ""), Refusal::Signature),
        ("missing key", canned.replace("&Key-Pair-Id=K-RSA", ""), Refusal::MissingKey),
        ("nothing", URL.to_owned(), Refusal::MissingKey),
        ("missing signature", format!("{URL}?Expires=1900000000&Key-Pair-Id=K-RSA"), Refusal::Signature),
        ("missing policy", format!("{URL}?Signature=x&Key-Pair-Id=K-RSA"), Refusal::MalformedPolicy),
        ("no base64", format!("{URL}?Policy=%25&Signature=x&Key-Pair-Id=K-RSA"), Refusal::MalformedPolicy),
        ("twice", format!("{wide}&Policy=x"), Refusal::Signature),
    ] {
        assert_eq!(ask(&verifier, &url, "").err(), Some(want), "{what}");
    }
    let text = "{\"Statement\":[{\"Resource\":\"nowhere\",\"Condition\":{}}]}".to_owned();
    let malformed = Signed::new(URL, &Terms::Text(text), "K-RSA", &key(), &SystemRandom::new());
    assert!(malformed.is_err(), "what would be refused is not signed");
    let none = Verifier::new(KeySet::default());
    assert_eq!(ask(&none, &wide, "").err(), Some(Refusal::UnknownKey), "no key is trusted by itself");
}

/// STANDARDS 7.7.
#[test]
fn the_url_comes_before_cookies() {
    let verifier = verifier();
    let signed = sign(URL, &Terms::Custom(custom("https://media.example/live/*")));
    let cookies = signed.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    assert!(ask(&verifier, URL, &cookies).is_ok());
    assert!(ask(&verifier, &signed.url(URL), "CloudFront-Policy=x").is_ok());
    for reserved in ["Expires=5", "Policy=x", "Signature=x", "Key-Pair-Id=K-RSA", "Hash-Algorithm=SHA256"] {
        assert!(ask(&verifier, &format!("{URL}?{reserved}"), &cookies).is_err(), "{reserved}");
    }
}

/// STANDARDS 7.9: what players add breaks no signature, what anybody else adds does.
#[test]
fn directives_and_cmcd_break_no_signature() {
    let verifier = verifier();
    for terms in [Terms::Until(1_900_000_000), Terms::Custom(custom(URL))] {
        let signed = sign(URL, &terms).url(URL);
        for added in ["_HLS_msn=7&_HLS_part=2", "_HLS_skip=YES", "CMCD=bl%3D3%2Csid%3D%22x%22", "_HLS_start_offset=3"] {
            assert!(ask(&verifier, &format!("{signed}&{added}"), "").is_ok(), "{added}");
            assert!(ask(&verifier, &signed.replace('?', &format!("?{added}&")), "").is_ok(), "{added} first");
        }
        for added in ["start=5", "x=y", "CMCDX=1", "_hls_msn=1"] {
            assert!(ask(&verifier, &format!("{signed}&{added}"), "").is_err(), "{added}");
        }
        let with_own = format!("{URL}?_HLS_msn=7&a=b");
        let signed = match terms {
            Terms::Custom(_) => sign(&with_own, &Terms::Custom(custom(&with_own))),
            terms => sign(&with_own, &terms),
        };
        assert!(ask(&verifier, &signed.url(&with_own), "").is_ok(), "they may be signed, too");
    }
}

#[test]
fn keys_that_are_too_weak_or_none_are_not_taken() {
    for pem in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert!(PublicKey::from_pem(pem.as_bytes()).is_err());
        assert!(PrivateKey::from_pem(pem.as_bytes()).is_err());
    }
    let mut keys = KeySet::default();
    for id in ["", "a b", "K/1", &"K".repeat(65)] {
        assert!(keys.insert(id, PublicKey::from_pem(RSA).unwrap()).is_err(), "{id}");
    }
}

/// What a request says, apart from how it is written: a change that leaves this the same may be accepted.
fn meaning(url: &str) -> Option<(String, Vec<(String, String)>)> {
    let (base, query) = url.split_once('?')?;
    let unescape = |text: &str| text.replace("%7E", "~").replace("%7e", "~");
    let pairs = query.split('&').map(|p| p.split_once('=').unwrap_or((p, "")));
    let mut pairs: Vec<(String, String)> = pairs.map(|(n, v)| (n.to_owned(), unescape(v))).collect();
    pairs.sort();
    Some((base.to_owned(), pairs))
}

/// The pairs of a URL that belong to the signature.
fn signature_of(url: &str) -> Vec<(String, String)> {
    let mut pairs = meaning(url).map(|(_, pairs)| pairs).unwrap_or_default();
    pairs.retain(|(name, _)| is_reserved(name));
    pairs
}

/// Every byte in its turn, of every type of key and hash, asked of a server that remembers the right signature: what is
/// changed is refused or means the same. A wildcard covers other URLs by right, with the same signature only.
#[test]
fn each_byte_flipped_is_refused_or_means_the_same() {
    let (mut asked, mut same) = (0, 0);
    for (name, signed, cookies) in vectors() {
        let verifier = verifier();
        let url = if name.contains("query") { format!("{URL}?audience=a%20b&x=") } else { URL.to_owned() };
        assert!(ask(&verifier, &signed, "").is_ok() && ask(&verifier, &url, &cookies).is_ok(), "{name}");
        let flipped = |text: &str, at: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1 << (at % 7);
            String::from_utf8(bytes).unwrap()
        };
        let wide = ["wildcard", "everything", "another order"].iter().any(|wide| name.contains(wide));
        for at in 0..signed.len() {
            let changed = flipped(&signed, at);
            asked += 1;
            if ask(&verifier, &changed, "").is_ok() {
                same += 1;
                assert_eq!(signature_of(&changed), signature_of(&signed), "{name}: byte {at}");
                assert!(wide || meaning(&changed) == meaning(&signed), "{name}: byte {at}");
            }
        }
        // White space between cookies means nothing.
        for at in (0..cookies.len()).filter(|at| cookies.as_bytes()[*at] != b' ') {
            asked += 1;
            assert!(ask(&verifier, &url, &flipped(&cookies, at)).is_err(), "{name}, cookies: byte {at}");
        }
        assert!(ask(&verifier, &signed, "").is_ok(), "{name}: still");
    }
    println!("{asked} asked, {same} covered by a wildcard");
    assert!(asked > 20_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_byte_of_a_signed_url_changed_is_refused_or_means_the_same(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), to in 0x21_u8..0x7f
    ) {
        // A wildcard covers other URLs by right.
        let exact = |name: &str| !["wildcard", "everything", "another order"].iter().any(|wide| name.contains(wide));
        let all: Vec<_> = vectors().into_iter().filter(|(name, ..)| exact(name)).collect();
        let (name, signed, _) = &all[which.index(all.len())];
        let mut bytes = signed.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let changed = String::from_utf8(bytes).unwrap();
        if ask(&verifier(), &changed, "").is_ok() {
            prop_assert_eq!(meaning(&changed), meaning(signed), "{}: byte {} to {}", name, at, to);
        }
    }

    #[test]
    fn a_byte_of_a_cookie_changed_is_refused(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), to in 0x21_u8..0x7f
    ) {
        let all = vectors();
        let (name, _, cookies) = &all[which.index(all.len())];
        let mut bytes = cookies.clone().into_bytes();
        let at = at.index(bytes.len());
        // White space between cookies means nothing.
        prop_assume!(bytes[at] != to && bytes[at] != b' ');
        bytes[at] = to;
        let changed = String::from_utf8(bytes).unwrap();
        let url = if name.contains("query") { format!("{URL}?audience=a%20b&x=") } else { URL.to_owned() };
        prop_assert!(ask(&verifier(), &url, &changed).is_err(), "{}: byte {} to {}", name, at, to);
    }

    #[test]
    fn nothing_a_viewer_sends_panics(query in "[ -~]{0,80}", cookies in "[ -~]{0,80}", path in "/[ -~]{0,20}") {
        let _ = ask(&verifier(), &format!("http://h{path}?{query}&Key-Pair-Id=K-RSA"), &cookies);
        let _ = ask(&verifier(), "http://h/", &format!("CloudFront-Key-Pair-Id=K-RSA; {cookies}"));
    }
}
