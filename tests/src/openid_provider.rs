//! A small OpenID Connect provider: discovery, log-in without a question, code with PKCE, ID tokens by ES256 or RS256, and
//! keys that are rotated. It can be told to be away, or to make a mistake.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::wait::seconds_since_1970;

/// What the provider calls the server.
pub const CLIENT: &str = "millstream";
/// The secret that it gave the server.
pub const SECRET: &str = "a secret: with/odd characters";

/// A mistake in what the provider gives, or an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The ID token is of another log-in.
    Nonce,
    /// It is for another client.
    Audience,
    /// It has ended.
    Expired,
    /// It is of another issuer.
    Issuer,
    /// It is signed by a key that is not shown.
    Signature,
    /// It is not signed at all.
    Unsigned,
    /// There is none.
    Missing,
    /// The description is of another issuer.
    Description,
    /// Nothing is answered but 503.
    Away,
}

enum Key {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

struct State {
    issuer: String,
    key: Key,
    /// Counts rotations; the key's id.
    kid: u32,
    groups: Value,
    fault: Option<Fault>,
    /// What was asked for, by the code that was given for it. A code is redeemed once.
    codes: HashMap<String, HashMap<String, String>>,
    given: u32,
    log: Vec<String>,
}

/// The provider.
pub struct Provider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Provider {
    /// On a free port of the loopback address. It signs by ES256.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            issuer: format!("http://{address}/realm"),
            key: Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            kid: 1,
            groups: json!([]),
            fault: None,
            codes: HashMap::new(),
            given: 0,
            log: Vec::new(),
        }));
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &served);
            }
        });
        Provider { address, state }
    }

    /// As it writes itself.
    pub fn issuer(&self) -> String {
        format!("http://{}/realm", self.address)
    }

    /// Who logs in next is in these groups.
    pub fn set_groups(&self, groups: Value) {
        self.state.lock().unwrap().groups = groups;
    }

    /// Makes a mistake from now on, or none any more.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state.lock().unwrap().fault = fault;
    }

    /// Another key, which signs by RS256.
    pub fn rotate(&self) {
        let mut state = self.state.lock().unwrap();
        state.key = Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
        state.kid += 1;
    }

    /// Method and path of every request.
    pub fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let (mut headers, mut line) = (HashMap::new(), String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        line.clear();
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut state = state.lock().unwrap();
    state.log.push(format!("{} {path}", request.split(' ').next().unwrap_or_default()));
    let answer = match path.strip_prefix("/realm") {
        _ if state.fault == Some(Fault::Away) => Err("503 Away"),
        Some("/.well-known/openid-configuration") => Ok(description(&state)),
        Some("/authorize") => match state.authorize(query) {
            Ok(to) => return redirect(reader.into_inner(), &to),
            Err(why) => Err(why),
        },
        Some("/token") => state.redeem(headers.get("authorization"), &String::from_utf8_lossy(&body)),
        Some("/keys") => Ok(keys(&state)),
        _ => Err("404 Not Found"),
    };
    let (status, text) = match answer {
        Ok(document) => ("200 OK", document.to_string()),
        Err(status) => (status, json!({"error": status}).to_string()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", text.len());
    reader.into_inner().write_all(format!("{head}Connection: close\r\n\r\n{text}").as_bytes())
}

fn redirect(mut stream: TcpStream, to: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())
}

fn description(state: &State) -> Value {
    let issuer = &state.issuer;
    let said = if state.fault == Some(Fault::Description) { "https://id.example" } else { issuer };
    json!({
        "issuer": said, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"), "response_types_supported": ["code"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256"], "code_challenge_methods_supported": ["S256"],
    })
}

fn keys(state: &State) -> Value {
    let kid = format!("k{}", state.kid);
    let key = match &state.key {
        Key::Ec(key) => {
            let point = key.public_key().as_ref();
            let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
            json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": part(1..33), "y": part(33..65)})
        }
        Key::Rsa(key) => {
            // RFC 8017 A.1.1: a sequence of two integers; the first of 2048 bits has a zero before it.
            let der = key.public_key().as_ref();
            let (n, e) = (URL_SAFE_NO_PAD.encode(&der[9..265]), URL_SAFE_NO_PAD.encode(&der[267..]));
            json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e})
        }
    };
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, key]})
}

impl State {
    /// Asks nobody anything: whoever comes is logged in. Gives where the browser goes on to.
    fn authorize(&mut self, query: &str) -> Result<String, &'static str> {
        let asked = fields(query);
        let is = |name: &str, want: &str| asked.get(name).is_some_and(|value| value == want);
        let openid = asked.get("scope").is_some_and(|scopes| scopes.split(' ').any(|scope| scope == "openid"));
        if !is("response_type", "code") || !is("client_id", CLIENT) || !is("code_challenge_method", "S256") || !openid {
            return Err("400 Bad Request");
        }
        self.given += 1;
        // Characters that must be escaped, as some providers' codes have.
        let code = format!("code/{}+=", self.given);
        let (Some(to), Some(back)) = (asked.get("redirect_uri"), asked.get("state")) else {
            return Err("400 Bad Request");
        };
        let to = format!("{to}?code=code%2F{}%2B%3D&state={back}&session_state=x", self.given);
        self.codes.insert(code, asked);
        Ok(to)
    }

    fn redeem(&mut self, authorization: Option<&String>, body: &str) -> Result<Value, &'static str> {
        // RFC 6749 2.3.1
        let secret = STANDARD
            .encode(format!("{CLIENT}:{}", SECRET.replace(": ", "%3A%20").replace('/', "%2F").replace(' ', "%20")));
        if authorization != Some(&format!("Basic {secret}")) {
            return Err("401 Unauthorized");
        }
        let form = fields(body);
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let asked = self.codes.remove(field("code")).ok_or("400 Bad Request")?;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, field("code_verifier").as_bytes()));
        let same =
            asked.get("redirect_uri") == form.get("redirect_uri") && asked.get("code_challenge") == Some(&challenge);
        if field("grant_type") != "authorization_code" || !same {
            return Err("400 Bad Request");
        }
        let mut answer = json!({"access_token": "unused", "token_type": "Bearer", "expires_in": 60});
        if self.fault != Some(Fault::Missing) {
            answer["id_token"] = Value::String(self.id_token(&asked));
        }
        Ok(answer)
    }

    fn id_token(&self, asked: &HashMap<String, String>) -> String {
        let now = seconds_since_1970();
        let fault = |fault: Fault, wrong: &str, right: &str| {
            if self.fault == Some(fault) { wrong.to_owned() } else { right.to_owned() }
        };
        let claims = json!({
            "iss": fault(Fault::Issuer, "https://id.example", &self.issuer),
            "aud": fault(Fault::Audience, "another", CLIENT),
            "sub": "7f3a", "preferred_username": "anna@id.example", "groups": self.groups,
            "nonce": fault(Fault::Nonce, "another", &asked["nonce"]),
            "iat": now - 3600, "exp": if self.fault == Some(Fault::Expired) { now - 61 } else { now + 300 },
        });
        let algorithm = match &self.key {
            _ if self.fault == Some(Fault::Unsigned) => "none",
            Key::Ec(_) => "ES256",
            Key::Rsa(_) => "RS256",
        };
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": algorithm, "kid": format!("k{}", self.kid)});
        let signed = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let mut signature = match &self.key {
            Key::Ec(key) => key.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        match self.fault {
            Some(Fault::Signature) => signature[7] ^= 1,
            Some(Fault::Unsigned) => signature.clear(),
            _ => {}
        }
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The fields of a form or a query.
fn fields(text: &str) -> HashMap<String, String> {
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), plain(v))).collect()
}

fn plain(value: &str) -> String {
    let mut parts = value.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        out.push(u8::from_str_radix(digits, 16).unwrap());
        out.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(out).unwrap()
}
