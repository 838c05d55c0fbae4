//! What the check of a remembered policy costs: `cargo test -p millstream-access --release -- --ignored --nocapture cost`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement")]

use aws_lc_rs::rand::SystemRandom;
use millstream_access::signed::resource::Url;
use millstream_access::signed::sign::Terms;
use millstream_access::signed::{KeySet, Policy, PrivateKey, PublicKey, Signed, Verifier, Viewed};

#[test]
#[ignore = "a measurement"]
fn cost_of_a_remembered_policy() {
    let mut keys = KeySet::default();
    keys.insert("K1", PublicKey::from_pem(include_bytes!("data/rsa.pub.pem")).unwrap()).unwrap();
    let verifier = Verifier::new(keys);
    let key = PrivateKey::from_pem(include_bytes!("data/rsa.pem")).unwrap();
    let resource = "https://media.example/live/demo/*".to_owned();
    let policy = Policy { resource, expires: 1_900_000_000, ..Policy::default() };
    let signed =
        Signed::new("https://media.example/", &Terms::Custom(policy), "K1", &key, &SystemRandom::new()).unwrap();
    let cookies = signed.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let query = format!("_HLS_msn=7&_HLS_part=1&{}", signed.query());
    for (what, query, cookies) in
        [("cookies", Some("_HLS_msn=7&_HLS_part=1"), Some(&*cookies)), ("URL", Some(&*query), None)]
    {
        let url = Url { scheme: "https", host: "media.example", path: "/live/demo/720p/index.m3u8", query };
        let viewed = Viewed { url, address: "192.0.2.1".parse().unwrap(), now_ms: 1_800_000_000_000 };
        let rounds = 200_000;
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            assert!(std::hint::black_box(verifier.check(&viewed, cookies)).is_ok());
        }
        println!("{what}: {} ns a request", start.elapsed().as_nanos() / rounds);
    }
}
