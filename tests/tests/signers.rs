//! CHECK-7a: interop both ways with botocore's `CloudFrontSigner` and with openssl, for every type of key and hash, through an
//! edge whose cache is warm.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_tests::node::Node;
use millstream_tests::{Channel, Publisher, Server, Source};
use serde_json::{Value, json};

const UP: Duration = Duration::from_secs(30);
/// 2030-03-17.
const END: u64 = 1_900_000_000;
const KEYS: [(&str, &[&str]); 3] = [
    ("KRSA2048", &["genrsa", "-traditional", "2048"]),
    ("KRSA4096", &["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"]),
    ("KECDSA", &["ecparam", "-name", "prime256v1", "-genkey", "-noout"]),
];
const HASHES: [&str; 2] = ["sha1", "sha256"];

fn openssl(arguments: &[&str], input: &[u8]) -> (bool, Vec<u8>) {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is not installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), output.stdout)
}

/// Makes the keys with openssl; their public halves are trusted as a key group. Gives the folder of the private ones.
fn keys(folder: &Path) -> PathBuf {
    let (private, trusted) = (folder.join("private"), folder.join("data/keys/partners"));
    for folder in [&private, &trusted] {
        std::fs::create_dir_all(folder).unwrap();
    }
    for (id, command) in KEYS {
        let (made, pem) = openssl(command, b"");
        assert!(made && pem.starts_with(b"-----BEGIN"), "{id}");
        std::fs::write(private.join(format!("{id}.pem")), &pem).unwrap();
        std::fs::write(trusted.join(format!("{id}.pem")), openssl(&["pkey", "-pubout"], &pem).1).unwrap();
    }
    private
}

/// What botocore signs, a URL for each document.
fn botocore(key: &Path, id: &str, hash: &str, documents: &[Value]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/signer-for-tests");
    let mut child = Command::new(script)
        .arg(key)
        .args([id, hash])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("scripts/signer-for-tests cannot be run");
    let lines: String = documents.iter().map(|document| format!("{document}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let urls: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(urls.len(), documents.len());
    urls
}

/// The signature of a URL as cookies, and the URL without it.
fn as_cookies(signed: &str) -> (String, String) {
    let (base, query) = signed.split_once('?').unwrap();
    let names = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];
    let is_own = |pair: &&str| !names.contains(&pair.split('=').next().unwrap_or_default());
    let (own, signature): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_own);
    let cookies: Vec<String> = signature.iter().map(|pair| format!("CloudFront-{pair}")).collect();
    let mark = if own.is_empty() { "" } else { "?" };
    (format!("{base}{mark}{}", own.join("&")), cookies.join("; "))
}

#[test]
fn what_botocore_and_openssl_sign_is_let_in() {
    let server = Server::start(&[Channel::passthrough("demo")]);
    let private = keys(server.folder());
    let edge = Node::start(&["--role", "edge", "--origin", &server.url("")], |_| {
        vec![
            ("MILLSTREAM_ACCESS_REQUIRE", "true".to_owned()),
            ("MILLSTREAM_ACCESS_KEYS", server.folder().join("data/keys").display().to_string()),
            ("MILLSTREAM_ACCESS_GROUPS", "partners".to_owned()),
        ]
    });
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    server.viewer("demo").wait_listed(2, UP);
    let (index, every) = (edge.url("http", "/live/demo/index.m3u8"), edge.url("http", "/live/demo/*"));
    let path = |url: &str| url.replace(&edge.url("http", ""), "");
    let status = |url: &str, cookies: &str| {
        let header = format!("Cookie: {cookies}");
        edge.status("http", &path(url), &["--header", &header])
    };
    // Verified as the bytes that were sent, whatever the order of its keys and its white space.
    let odd = format!(
        "{{\n  \"Statement\" : {{ \"Condition\":{{\"IpAddress\": {{\"AWS:SourceIp\":\"0.0.0.0/0\"}},\t\"DateLessThan\":\
         {{\"AWS:EpochTime\":{END}}} }},\r\n \"Resource\":\"{every}\" }} }}\n"
    );
    let documents = [
        json!({"url": index, "expires": END}),
        json!({"url": format!("{index}?audience=a%20b&x="), "expires": END}),
        json!({"url": index, "resource": every, "expires": END}),
        json!({"url": index, "resource": every, "expires": END, "not_before": 1_000_000_000, "ip": "127.0.0.0/8"}),
        json!({"url": index, "policy": odd}),
    ];
    let last = documents.len() - 1;
    for (id, _) in KEYS {
        let key = private.join(format!("{id}.pem"));
        for hash in HASHES {
            for (at, signed) in botocore(&key, id, hash, &documents).iter().enumerate() {
                let (plain, cookies) = as_cookies(signed);
                assert_eq!(status(signed, ""), 200, "{id}, {hash}, document {at}");
                assert_eq!(status(&plain, &cookies), 200, "{id}, {hash}, document {at}, cookies");
                let other = if hash == "sha1" { "&Hash-Algorithm=SHA256" } else { "" };
                let other = format!("{}{other}", signed.trim_end_matches("&Hash-Algorithm=SHA256"));
                assert_eq!(status(&other, ""), 403, "{id}, {hash}, document {at}: the other hash");
                if at == last {
                    // The same policy written in another way is not what was signed.
                    let policy = signed.split_once("Policy=").unwrap().1.split_once('&').unwrap().0;
                    let tidy = openssl(&["base64", "-A"], odd.replace(['\n', '\r', '\t'], "").as_bytes()).1;
                    let tidy = String::from_utf8(tidy).unwrap().replace('+', "-").replace('=', "_").replace('/', "~");
                    assert_ne!(policy, tidy);
                    assert_eq!(status(&signed.replace(policy, &tidy), ""), 403, "{id}, {hash}: another text");
                }
            }
        }
    }
}

#[test]
fn what_we_sign_openssl_verifies_and_botocore_signs_alike() {
    let server = Server::start(&[]);
    let private = keys(server.folder());
    let url = "https://tv.example/live/news/index.m3u8?a=b";
    let end = END.to_string();
    let custom = ["--resource", "https://tv.example/*", "--not-before", "1000000000", "--ip", "192.0.2.7"];
    let condition = format!("\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{END}}}");
    let texts = [
        format!("{{\"Statement\":[{{\"Resource\":\"{url}\",{condition}}}}}]}}"),
        format!(
            "{{\"Statement\":[{{\"Resource\":\"https://tv.example/*\",{condition},\"IpAddress\":{{\"AWS:SourceIp\":\
             \"192.0.2.7/32\"}},\"DateGreaterThan\":{{\"AWS:EpochTime\":1000000000}}}}}}]}}"
        ),
    ];
    let documents = [
        json!({"url": url, "expires": END}),
        json!({"url": url, "resource": "https://tv.example/*", "expires": END, "not_before": 1_000_000_000, "ip": "192.0.2.7"}),
    ];
    for (id, _) in KEYS {
        let key = private.join(format!("{id}.pem"));
        for hash in HASHES {
            let theirs = botocore(&key, id, hash, &documents);
            for (at, more) in [&[][..], &custom].into_iter().enumerate() {
                let key = key.display().to_string();
                let terms = ["sign", url, "--key-file", &key, "--key-pair-id", id, "--hash", hash, "--expires", &end];
                let signed = server.command(&[&terms[..], more].concat()).unwrap().trim().to_owned();
                let signature = signed.split_once("Signature=").unwrap().1.split_once('&').unwrap().0;
                let signature = signature.replace('-', "+").replace('_', "=").replace('~', "/");
                let file = server.folder().join("signature");
                std::fs::write(&file, openssl(&["base64", "-d", "-A"], signature.as_bytes()).1).unwrap();
                let public = server.folder().join(format!("data/keys/partners/{id}.pem")).display().to_string();
                let digest = format!("-{hash}");
                let file = file.display().to_string();
                let verify = ["dgst", &digest, "-verify", &public, "-signature", &file];
                assert!(openssl(&verify, texts[at].as_bytes()).0, "{id}, {hash}: {signed}");
                assert!(!openssl(&verify, format!("{} ", texts[at]).as_bytes()).0, "{id}, {hash}");
                // An ECDSA signature has a random number in it.
                if id != "KECDSA" {
                    assert_eq!(signed, theirs[at], "{id}, {hash}");
                }
            }
        }
    }
}

#[test]
fn the_arguments_of_the_aws_command_line_and_keys_by_group() {
    let server = Server::start(&[]);
    let private = keys(server.folder());
    let key = private.join("KRSA2048.pem").display().to_string();
    let url = "https://tv.example/live/news/index.m3u8";
    let ours = ["sign", url, "--key-file", &key, "--key-pair-id", "KRSA2048", "--expires", "1900000000"];
    let as_file = format!("file://{key}");
    let theirs = ["sign", "--url", url, "--private-key", &as_file, "--key-pair-id", "KRSA2048"];
    let theirs = [&theirs[..], &["--date-less-than", "2030-03-17T17:46:40"]].concat();
    let same = |ours: &[&str], theirs: &[&str]| {
        assert_eq!(server.command(ours).unwrap(), server.command(theirs).unwrap());
    };
    same(&ours, &theirs);
    let more = ["--not-before", "2026-01-02", "--ip", "192.0.2.7"];
    let their_more = ["--date-greater-than", "2026-01-02T00:00:00+00:00", "--ip-address", "192.0.2.7/32"];
    same(&[&ours[..], &more].concat(), &[&theirs[..], &their_more].concat());

    // Keys of the server.
    let make = |group: &[&str]| {
        let made = server.command(&[&["key", "create", "--for-api", "--json"][..], group].concat()).unwrap();
        serde_json::from_str::<Value>(&made).unwrap()["key_pair_id"].as_str().unwrap().to_owned()
    };
    let sign = |more: &[&str]| server.command(&[&["sign", url, "--expires", "1h"][..], more].concat());
    assert!(sign(&[]).unwrap_err().contains("key create --for-api"));
    let (alone, grouped) = (make(&[]), make(&["--group", "apps"]));
    assert!(sign(&[]).unwrap_err().contains("--key-group"), "which one?");
    for (choice, id) in [
        (["--key-group", "apps"], &grouped),
        (["--key-pair-id", grouped.as_str()], &grouped),
        (["--key-pair-id", alone.as_str()], &alone),
    ] {
        let signed = sign(&choice).unwrap();
        assert!(signed.contains(&format!("&Key-Pair-Id={id}&")), "{choice:?}: {signed}");
    }
    assert!(sign(&["--key-group", "nobody"]).unwrap_err().contains("no private key in this group"));
    assert!(server.folder().join(format!("data/keys/apps/{grouped}.pem")).is_file(), "and it is trusted as one of it");
}
