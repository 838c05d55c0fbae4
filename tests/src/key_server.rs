//! A small key server that speaks SPEKE 2.0, and what it was asked. It can be told to be away, and encrypts keys by openssl
//! for those who send a certificate.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::decrypt::Keys;

/// Base64 of bytes (RFC 4648), in code of its own.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|three| {
            let n = three.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
            (0..4).map(move |i| {
                let letter = LETTERS[(n >> (18 - 6 * i) & 63) as usize];
                if i <= three.len() { char::from(letter) } else { '=' }
            })
        })
        .collect()
}

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Headers, in lower case.
    pub headers: String,
    /// Headers as they came, with the line of the request.
    pub raw: String,
    /// The document.
    pub body: String,
}

/// The server.
pub struct KeyServer {
    address: SocketAddr,
    away: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    keys: Arc<Mutex<Keys>>,
}

impl KeyServer {
    /// On a free port of the loopback address.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = KeyServer {
            address: listener.local_addr().unwrap(),
            away: Arc::default(),
            asked: Arc::default(),
            keys: Arc::default(),
        };
        let (away, asked, keys) = (Arc::clone(&server.away), Arc::clone(&server.asked), Arc::clone(&server.keys));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, away.load(Ordering::SeqCst), &asked, &keys);
            }
        });
        server
    }

    /// Where documents are posted.
    pub fn url(&self) -> String {
        format!("http://{}/speke/v2/keys", self.address)
    }

    /// Answers 503 from now on, or no longer.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Everything it was asked and answered.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Every key that it gave.
    pub fn keys(&self) -> Keys {
        self.keys.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, away: bool, asked: &Mutex<Vec<Asked>>, keys: &Mutex<Keys>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut headers, mut raw, mut line) = (String::new(), String::new(), String::new());
    while reader.read_line(&mut line)? > 2 {
        headers += &line.to_ascii_lowercase();
        raw += &line;
        line.clear();
    }
    let length = headers.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    let mut stream = reader.into_inner();
    if away {
        return stream.write_all(b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let mut answer = answer(&body, keys);
    if let Some(certificate) = certificate(&body) {
        answer = sealed(answer, certificate);
    }
    asked.lock().unwrap().push(Asked { headers, raw, body });
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nX-Speke-Version: 2.0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(answer.as_bytes())
}

/// The certificate that keys are to be encrypted for, in base64.
fn certificate(body: &str) -> Option<&str> {
    Some(body.split_once("<ds:X509Certificate>")?.1.split_once('<')?.0)
}

/// What openssl makes of bytes.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is not installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "openssl {arguments:?}");
    out.stdout
}

/// The answer with its keys encrypted for a certificate: CPIX 2.3 delivery data.
fn sealed(answer: String, certificate: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificate.pem");
    let lines: Vec<&str> = certificate.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    std::fs::write(&file, pem).unwrap();
    let file = file.to_str().unwrap();
    let wrap = |key: &[u8]| {
        openssl(&["pkeyutl", "-encrypt", "-certin", "-inkey", file, "-pkeyopt", "rsa_padding_mode:oaep"], key)
    };
    let (document, mac) = ([0x5a_u8; 32], [0xa5_u8; 64]);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let value = |method: &str, bytes: &[u8]| {
        format!(
            "<pskc:EncryptedValue><enc:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#{method}\"/>\
             <enc:CipherData><enc:CipherValue>{}</enc:CipherValue></enc:CipherData></pskc:EncryptedValue>",
            base64(bytes)
        )
    };
    let mut pieces = answer.split("<pskc:PlainValue>");
    let mut out = pieces.next().unwrap().to_owned();
    for (n, piece) in pieces.enumerate() {
        let (plain, rest) = piece.split_once("</pskc:PlainValue>").unwrap();
        let plain = openssl(&["base64", "-d", "-A"], plain.as_bytes());
        let iv = [n as u8 + 1; 16];
        let cipher = openssl(&["enc", "-aes-256-cbc", "-K", &hex(&document), "-iv", &hex(&iv)], &plain);
        let cipher = [&iv[..], &cipher].concat();
        let key = format!("hexkey:{}", hex(&mac));
        let code = openssl(&["dgst", "-sha512", "-mac", "HMAC", "-macopt", &key, "-binary"], &cipher);
        out += &format!("{}<pskc:ValueMAC>{}</pskc:ValueMAC>{rest}", value("aes256-cbc", &cipher), base64(&code));
    }
    let delivery = format!(
        " xmlns:enc=\"http://www.w3.org/2001/04/xmlenc#\"><cpix:DeliveryDataList><cpix:DeliveryData id=\"millstream\">\
         <cpix:DocumentKey Algorithm=\"http://www.w3.org/2001/04/xmlenc#aes256-cbc\"><cpix:Data><pskc:Secret>{}</pskc:Secret>\
         </cpix:Data></cpix:DocumentKey><cpix:MACMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#hmac-sha512\">\
         <cpix:Key>{}</cpix:Key></cpix:MACMethod></cpix:DeliveryData></cpix:DeliveryDataList><cpix:ContentKeyList>",
        value("rsa-oaep-mgf1p", &wrap(&document)),
        value("rsa-oaep-mgf1p", &wrap(&mac))
    );
    out.replacen("><cpix:ContentKeyList>", &delivery, 1)
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    element.split_once(&format!(" {name}=\"")).unwrap().1.split('"').next().unwrap()
}

fn bytes(uuid: &str) -> [u8; 16] {
    u128::from_str_radix(&uuid.replace('-', ""), 16).unwrap().to_be_bytes()
}

/// Fills the document in: a key is its id with every bit turned.
fn answer(body: &str, keys: &Mutex<Keys>) -> String {
    let elements = |name: &str| -> Vec<String> {
        body.split(&format!("<cpix:{name} "))
            .skip(1)
            .map(|rest| format!(" {}", rest.split('>').next().unwrap()))
            .collect()
    };
    let mut out = String::from(
        "<?xml version=\"1.0\"?><cpix:CPIX version=\"2.3\" xmlns:cpix=\"urn:dashif:org:cpix\" \
         xmlns:pskc=\"urn:ietf:params:xml:ns:keyprov:pskc\"><cpix:ContentKeyList>",
    );
    for element in elements("ContentKey") {
        let id = attribute(&element, "kid");
        let key = bytes(id).map(|b| !b);
        keys.lock().unwrap().insert(bytes(id), key);
        out += &format!(
            "<cpix:ContentKey kid=\"{id}\"><cpix:Data><pskc:Secret><pskc:PlainValue>{}</pskc:PlainValue></pskc:Secret>\
             </cpix:Data></cpix:ContentKey>",
            base64(&key)
        );
    }
    out += "</cpix:ContentKeyList><cpix:DRMSystemList>";
    for element in elements("DRMSystem") {
        let (id, system) = (attribute(&element, "kid"), attribute(&element, "systemId"));
        let mut pssh = 40_u32.to_be_bytes().to_vec();
        pssh.extend_from_slice(b"pssh\0\0\0\0");
        pssh.extend_from_slice(&bytes(system));
        pssh.extend_from_slice(&8_u32.to_be_bytes());
        pssh.extend_from_slice(&bytes(id)[..8]);
        let (uri, format) = match system {
            "94ce86fb-07ff-4f43-adb8-93d2fa968ca2" => {
                (format!("skd://{id}"), "com.apple.streamingkeydelivery".to_owned())
            }
            other => (format!("data:text/plain;base64,{}", base64(&pssh)), format!("urn:uuid:{other}")),
        };
        let list = format!("METHOD=SAMPLE-AES,URI=\"{uri}\",KEYFORMAT=\"{format}\",KEYFORMATVERSIONS=\"1\"");
        let inner = format!("<pssh xmlns=\"urn:mpeg:cenc:2013\">{}</pssh>", base64(&pssh));
        out += &format!(
            "<cpix:DRMSystem kid=\"{id}\" systemId=\"{system}\"><cpix:PSSH>{}</cpix:PSSH>\
             <cpix:ContentProtectionData>{}</cpix:ContentProtectionData>\
             <cpix:HLSSignalingData playlist=\"media\">{}</cpix:HLSSignalingData>\
             <cpix:HLSSignalingData playlist=\"master\">{}</cpix:HLSSignalingData></cpix:DRMSystem>",
            base64(&pssh),
            base64(inner.as_bytes()),
            base64(format!("#EXT-X-KEY:{list}").as_bytes()),
            base64(format!("#EXT-X-SESSION-KEY:{list}").as_bytes()),
        );
    }
    out + "</cpix:DRMSystemList></cpix:CPIX>"
}
