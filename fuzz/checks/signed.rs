//! Signed URLs and cookies: no bytes panic, nothing is let in that nobody signed, and what we write we read.
//!
//! The input: lines of a URL, a `Cookie` header and a resource, then a policy.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use millstream_access::network::Network;
use millstream_access::signed::resource::{Resource, Url};
use millstream_access::signed::{Grant, KeySet, Policy, PublicKey, Verifier, Viewed, encoding, policy};

/// Bytes held for each byte of input.
pub const PER_BYTE: usize = 256;

/// Its private half is nowhere near the fuzzer.
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let mut keys = KeySet::default();
    let key = PublicKey::from_pem(include_bytes!("../../crates/access/tests/data/ec.pub.pem")).expect("a key");
    keys.insert("K", key).expect("a name");
    Verifier::new(keys)
});

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (url, cookies, resource, rest) = (line(), line(), line(), line());
    let url = parts(url);
    let viewed = Viewed { url, address: IpAddr::V4(Ipv4Addr::LOCALHOST), now_ms: 1_800_000_000_000 };
    let answer = VERIFIER.check(&viewed, (!cookies.is_empty()).then_some(cookies));
    assert!(answer.is_err(), "nobody signed this");
    covers(resource, &url);
    let _ = Grant::parse(rest.as_bytes());
    if let Some(bytes) = encoding::decode(rest) {
        assert!(bytes.len() <= rest.len());
        assert_eq!(encoding::decode(&encoding::encode(&bytes)), Some(bytes));
    }
    let _ = (PublicKey::from_pem(rest.as_bytes()), policy::expires(resource));
    if let Ok(network) = Network::parse(resource) {
        assert_eq!(Network::parse(&network.to_string()), Ok(network));
    }
}

fn covers(resource: &str, url: &Url<'_>) {
    let written = Policy { resource: resource.to_owned(), expires: policy::MAX_EPOCH, ..Policy::default() };
    let text = written.to_json();
    let parsed = Resource::parse(resource);
    if let Some(parsed) = &parsed {
        let _ = parsed.covers(url);
    }
    if text.len() <= policy::MAX_LENGTH {
        assert_eq!(Grant::parse(text.as_bytes()).is_ok(), parsed.is_some(), "{text}");
    }
}

fn parts(url: &str) -> Url<'_> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (host, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    Url { scheme, host, path, query }
}
