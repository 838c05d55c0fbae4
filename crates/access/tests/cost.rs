//! What a check costs: `cargo test -p millstream-access --release --test cost -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, reason = "a measurement")]

use aws_lc_rs::rand::SystemRandom;
use millstream_access::signed::resource::Url;
use millstream_access::signed::sign::Terms;
use millstream_access::signed::{Hash, KeySet, Policy, PrivateKey, PublicKey, Signed, Verifier, Viewed};

const PATH: &str = "/live/demo/720p/index.m3u8";
const URL: &str = "https://media.example/live/demo/720p/index.m3u8";
/// The most that a request may cost whose policy is remembered, in nanoseconds.
const GOAL: u128 = 2000;

/// CPU time of this thread, in nanoseconds: what others on the machine do does not count.
fn cpu() -> u128 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn keys() -> KeySet {
    let mut keys = KeySet::default();
    for (id, pem) in [("KRSA", &include_bytes!("data/rsa.pub.pem")[..]), ("KEC", include_bytes!("data/ec.pub.pem"))] {
        keys.insert(id, PublicKey::from_pem(pem).unwrap()).unwrap();
    }
    keys
}

fn viewed(query: Option<&str>) -> Viewed<'_> {
    let url = Url { scheme: "https", host: "media.example", path: PATH, query };
    Viewed { url, address: "192.0.2.1".parse().unwrap(), now_ms: 1_800_000_000_000 }
}

#[test]
#[ignore = "a measurement"]
fn cost_of_a_check() {
    let resource = "https://media.example/live/demo/*".to_owned();
    let wide = Terms::Custom(Policy { resource, expires: 1_900_000_000, ..Policy::default() });
    let private = [("KRSA", &include_bytes!("data/rsa.pem")[..]), ("KEC", include_bytes!("data/ec.pem"))]
        .map(|(id, pem)| (id, PrivateKey::from_pem(pem).unwrap()));
    for (id, key) in &private {
        for (form, terms) in [("wildcard", &wide), ("canned", &Terms::Until(1_900_000_000))] {
            let signed = Signed::over(Hash::Sha256, URL, terms, id, key, &SystemRandom::new()).unwrap();
            let cookies: Vec<String> = signed.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
            let cookies = cookies.join("; ");
            let query = format!("_HLS_msn=7&_HLS_part=1&{}", signed.query());
            for (place, query, cookies) in
                [("cookies", Some("_HLS_msn=7&_HLS_part=1"), Some(&*cookies)), ("URL", Some(&*query), None)]
            {
                let fresh: Vec<Verifier> = (0..1000).map(|_| Verifier::new(keys())).collect();
                let start = cpu();
                for verifier in &fresh {
                    assert!(verifier.check(&viewed(query), cookies).is_ok());
                }
                let first = (cpu() - start) / 1000;
                let (verifier, rounds) = (&fresh[0], 500_000);
                let start = cpu();
                for _ in 0..rounds {
                    assert!(std::hint::black_box(verifier.check(&viewed(query), cookies)).is_ok());
                }
                let remembered = (cpu() - start) / rounds;
                println!("{id} {form} {place}: {first} ns at first, {remembered} ns a request then");
                assert!(remembered < GOAL, "the goal is {GOAL} ns");
            }
        }
    }
}
