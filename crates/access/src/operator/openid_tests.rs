//! ID tokens: those of the issuer are believed, and no other; roles by claims.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::json;

use super::*;

const NOW: UtcTime = UtcTime::from_millis(1_900_000_000_000);

fn expected() -> Expected<'static> {
    Expected { issuer: "https://id.example", client: "millstream", nonce: "n-1", now: NOW }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "millstream", "sub": "s-7", "nonce": "n-1",
        "exp": 1_900_000_300, "iat": 1_899_999_990, "groups": ["studio", "staff"],
        "realm_access": {"roles": ["ops"]}, "preferred_username": "anna\n",
    })
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

struct Issuer {
    ec: EcdsaKeyPair,
    keys: Keys,
}

impl Issuer {
    fn new() -> Self {
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = ec.public_key().as_ref().to_vec();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let set = json!({"keys": [
            {"kty": "oct", "k": "AAAA"},
            {"kty": "EC", "crv": "P-256", "kid": "enc", "use": "enc", "x": x, "y": y},
            {"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "x": x, "y": y},
        ]});
        Issuer { ec, keys: Keys::parse(set.to_string().as_bytes()).unwrap() }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.ec.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn verdict(&self, change: impl Fn(&mut Value)) -> Result<Claims, IdTokenError> {
        let mut claims = claims();
        change(&mut claims);
        let token = self.token(&json!({"alg": "ES256", "kid": "k1"}), &claims);
        Claims::verify(&token, &self.keys, expected())
    }
}

#[test]
fn what_an_id_token_must_say() {
    let issuer = Issuer::new();
    let read = issuer.verdict(|_| ()).unwrap();
    assert_eq!(read.name(), "anna", "what would break a line of the log is left out");
    type Change = (&'static str, Value, Result<(), IdTokenError>);
    let changes: [Change; 15] = [
        ("iss", json!("https://id.example/"), Err(IdTokenError::Issuer)),
        ("iss", Value::Null, Err(IdTokenError::Issuer)),
        ("aud", json!("another"), Err(IdTokenError::Audience)),
        ("aud", json!(["millstream"]), Ok(())),
        ("aud", json!(["millstream", "another"]), Err(IdTokenError::Audience)),
        ("azp", json!("another"), Err(IdTokenError::Audience)),
        ("azp", json!("millstream"), Ok(())),
        ("exp", json!(1_899_999_940), Err(IdTokenError::Ended)),
        ("exp", json!(1_899_999_941), Ok(())),
        ("exp", Value::Null, Err(IdTokenError::Ended)),
        ("iat", json!(1_900_000_061), Err(IdTokenError::Early)),
        ("nbf", json!(1_900_000_061), Err(IdTokenError::Early)),
        ("nonce", json!("n-2"), Err(IdTokenError::Nonce)),
        ("nonce", Value::Null, Err(IdTokenError::Nonce)),
        ("sub", json!(""), Err(IdTokenError::Form)),
    ];
    for (name, value, want) in changes {
        let verdict = issuer.verdict(|claims| claims[name] = value.clone()).map(|_| ());
        assert_eq!(verdict, want, "{name} {value}");
    }
}

#[test]
fn only_the_issuers_signature_counts() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let header = json!({"alg": "ES256", "kid": "k1"});
    let token = issuer.token(&header, &claims());
    let verify = |token: &str| Claims::verify(token, &issuer.keys, expected()).map(|_| ()).unwrap_err();
    assert_eq!(verify(&other.token(&header, &claims())), IdTokenError::Signature);
    assert_eq!(verify(&issuer.token(&json!({"alg": "ES256", "kid": "enc"}), &claims())), IdTokenError::Signature);
    for algorithm in ["none", "HS256", "ES384", "es256"] {
        let token = issuer.token(&json!({"alg": algorithm, "kid": "k1"}), &claims());
        assert_eq!(verify(&token), IdTokenError::Algorithm, "{algorithm}");
    }
    assert_eq!(verify(&issuer.token(&json!({"alg": "RS256", "kid": "k1"}), &claims())), IdTokenError::Signature);
    let critical = json!({"alg": "ES256", "kid": "k1", "crit": ["x"]});
    assert_eq!(verify(&issuer.token(&critical, &claims())), IdTokenError::Algorithm);
    let mut parts: Vec<&str> = token.split('.').collect();
    let more = encoded(&json!({"sub": "admin"}));
    parts[1] = &more;
    assert_eq!(verify(&parts.join(".")), IdTokenError::Signature);
    for broken in ["", "a", "a.b", "a.b.c", "a.b.c.d", &format!("{token}.x"), &"x".repeat(40_000)] {
        assert_eq!(verify(broken), IdTokenError::Form);
    }
    // Any flipped character is refused.
    for at in (0..token.len()).step_by(7) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(bytes).unwrap();
        assert!(flipped == token || Claims::verify(&flipped, &issuer.keys, expected()).is_err(), "{at}");
    }
    assert_eq!(Keys::parse(b"{}").err(), Some(IdTokenError::Keys));
}

#[test]
fn rsa_signatures_are_verified() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    // RFC 8017 A.1.1: a sequence of two integers; the first of 2048 bits has a zero before it.
    let der = public.as_ref();
    let (n, e) = (part(&der[9..265]), part(&der[267..]));
    let keys = Keys::parse(json!({"keys": [{"kty": "RSA", "n": n, "e": e}]}).to_string().as_bytes()).unwrap();
    let signed = format!("{}.{}", encoded(&json!({"alg": "RS256"})), encoded(&claims()));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    let token = format!("{signed}.{}", part(&signature));
    assert!(Claims::verify(&token, &keys, expected()).is_ok());
    assert_eq!(Claims::verify(&token, &Keys::default(), expected()), Err(IdTokenError::Signature));
}

#[test]
fn roles_by_claims_the_first_rule_that_fits() {
    let read = Issuer::new().verdict(|_| ()).unwrap();
    let role = |rules: &[&str], claim: &str| {
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        RoleRules::parse(&rules).unwrap().grant(&read, claim)
    };
    assert_eq!(role(&["ops=admin", "staff=viewer"], "groups"), Some(Grant::all(Role::Viewer)));
    assert_eq!(role(&["ops=admin"], "realm_access.roles"), Some(Grant::all(Role::Admin)));
    let scoped = role(&["studio=operator:news,acme-*", "*=viewer"], "groups").unwrap();
    assert!(scoped.role == Role::Operator && scoped.covers(Some("acme-1")) && !scoped.covers(None));
    assert_eq!(role(&["ops=admin", "*=viewer"], "nothing"), Some(Grant::all(Role::Viewer)));
    assert_eq!(role(&["ops=admin"], "groups"), None);
    assert_eq!(role(&[], "groups"), None, "nobody has a role by default");
    assert_eq!(role(&["anna=admin"], "realm_access"), None, "an object is no text");
    for wrong in ["ops", "ops=root", "=admin", "ops=admin:news", "ops=viewer:", "ops=viewer:*"] {
        assert!(RoleRules::parse(&[wrong.to_owned()]).unwrap_err().contains("write VALUE=ROLE"), "{wrong}");
    }
}

#[test]
fn the_question_to_the_issuer() {
    let attempt = Attempt::new([[0; 32], [1; 32], [2; 32]]);
    let url = attempt.url("https://id.example/auth?x=1", "a b", "https://tv.example/back", "openid profile");
    assert!(
        url.starts_with("https://id.example/auth?x=1&response_type=code&client_id=a%20b&redirect_uri=https%3A%2F%2Ftv")
    );
    assert!(url.contains("&code_challenge_method=S256") && !url.contains(&attempt.verifier));
    assert_eq!(attempt.verifier.len(), 43);
    // RFC 7636 appendix B.
    let known = Attempt { verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(), ..attempt };
    assert!(known.url("https://a", "", "", "").contains("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
}
