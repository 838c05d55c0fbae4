//! An origin that answers only its edges: by a secret in a header, by client certificates, by networks. Viewers' signed
//! requests go through the edge, and nobody gets past it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::path::Path;
use std::time::Duration;

use millstream_tests::client::get;
use millstream_tests::node::Node;
use millstream_tests::{Channel, Publisher, Server, Source, wait_for};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;

const UP: Duration = Duration::from_secs(30);
/// A path of media, answered without a channel: 404 with a text.
const MEDIA: &str = "/live/nobody/index.m3u8";
const OLD: &str = "the-old-secret-of-all-edges";
const NEW: &str = "the-new-secret-of-all-edges";

fn edge(origin: &str, prepare: impl FnOnce(&Path) -> Vec<(&'static str, String)>) -> Node {
    Node::start(&["--role", "edge", "--origin", origin], |folder| {
        // A busy machine's handshake may take longer than the default.
        let mut variables = prepare(folder);
        variables.push(("MILLSTREAM_EDGE_FAILOVER_MS", "3000".to_owned()));
        variables
    })
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_secret_of_the_edges_that_is_changed_while_a_signed_viewer_watches() {
    let secrets = tempfile::tempdir().unwrap();
    let origin_file = file(secrets.path(), "origin", &format!("{OLD}\n"));
    let edge_file = file(secrets.path(), "edge", &format!("{OLD}\n"));
    let server =
        Server::start_with(&[Channel::passthrough("demo")], &format!("[origin]\nsecrets_file = \"{origin_file}\"\n"));
    let _publisher = Publisher::start(&server, "test-key-demo", &Source::small());
    let made = server.command(&["key", "create", "--out", "private.pem", "--json"]).unwrap();
    let id = serde_json::from_str::<Value>(&made).unwrap()["key_pair_id"].as_str().unwrap().to_owned();
    let keys = server.folder().join("data/keys").display().to_string();
    let edge = edge(&server.url(""), |_| {
        vec![
            ("MILLSTREAM_EDGE_ORIGIN_SECRET_FILE", edge_file.clone()),
            ("MILLSTREAM_ACCESS_REQUIRE", "true".to_owned()),
            ("MILLSTREAM_ACCESS_KEYS", keys),
        ]
    });
    let index = edge.url("http", "/live/demo/index.m3u8");
    let sign = ["sign", &index, "--resource", &edge.url("http", "/live/demo/*"), "--expires", "1h"];
    let signed = server.command(&[&sign[..], &["--key-file", "private.pem", "--key-pair-id", &id]].concat()).unwrap();
    let signed = signed.trim();
    let plays = || (get(signed).unwrap().status == 200).then_some(());
    wait_for("the stream through the edge", UP, plays);
    let rendition = get(signed).map(|list| String::from_utf8_lossy(&list.body).into_owned()).unwrap();
    let rendition = rendition
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| line.split_once("/index.m3u8"))
        .unwrap()
        .0
        .to_owned();

    // Nobody asks the origin itself, with or without a signature, and no cache keeps the refusal.
    let direct = server.url("/live/demo/index.m3u8");
    for url in [direct.clone(), signed.replace(&edge.url("http", ""), &server.url(""))] {
        let refused = get(&url).unwrap();
        assert_eq!((refused.status, refused.header("cache-control")), (403, Some("no-store")), "{url}");
    }
    // Nor the edge without a signature.
    assert_eq!(get(&index).unwrap().status, 403);
    // Operations are not meant.
    assert_eq!(get(&server.url("/healthz")).unwrap().status, 200);

    // A new secret: both are valid at the origin, the edge changes, the old one goes.
    std::fs::write(&origin_file, format!("{OLD}\n{NEW}\n")).unwrap();
    let changed = "origin.secrets_file changed and is in use";
    wait_for("both secrets", UP, || server.log().contains(changed).then_some(()));
    std::fs::write(&edge_file, format!("{NEW}\n")).unwrap();
    wait_for("the edge's secret", UP, || edge.log().contains("changed and is in use").then_some(()));
    // One that is too short is not taken; the former two stay.
    std::fs::write(&origin_file, "short\n").unwrap();
    wait_for("the complaint", UP, || server.log().contains("the former stays").then_some(()));
    std::fs::write(&origin_file, format!("{NEW}\n")).unwrap();
    wait_for("the new secret alone", UP, || (server.log().matches(changed).count() == 2).then_some(()));
    // Another query is another object, which the edge must fetch.
    let fresh = format!("{}&_HLS_msn=0", signed.replace("/index.m3u8", &format!("/{rendition}/index.m3u8")));
    assert_eq!(get(&fresh).unwrap().status, 200, "{}", edge.log());
    for (secret, want) in [(OLD, 403), (NEW, 200)] {
        let request = ureq::get(&direct).header("x-mediapackage-cdnidentifier", secret);
        let status = request.config().http_status_as_error(false).build().call().unwrap().status().as_u16();
        assert_eq!(status, want);
    }
    for log in [server.log(), edge.log()] {
        assert!(!log.contains(OLD) && !log.contains(NEW), "a secret is in a log");
    }
}

#[test]
fn an_edge_without_the_secret_says_what_is_missing() {
    let origin = Node::start(&[], |_| vec![("MILLSTREAM_ORIGIN_SECRETS", OLD.to_owned())]);
    let right = edge(&origin.url("http", ""), |_| vec![("MILLSTREAM_EDGE_ORIGIN_SECRET", OLD.to_owned())]);
    assert_eq!(right.status("http", MEDIA, &[]), 404);
    for variables in [vec![], vec![("MILLSTREAM_EDGE_ORIGIN_SECRET", NEW.to_owned())]] {
        let wrong = edge(&origin.url("http", ""), |_| variables);
        let refused = wrong.curl("http", MEDIA, &[]).unwrap();
        assert_eq!((refused.status, refused.header("cache-control")), (403, Some("no-store")));
        assert!(wrong.log().contains("edge.origin_secret"), "{}", wrong.log());
    }
}

/// One that signs certificates of edges.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
}

fn certify(folder: &Path, issuer: &Issuer<'static, KeyPair>) -> [String; 2] {
    let key = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec!["edge".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    [file(folder, "edge.pem", &signed.pem()), file(folder, "edge.key.pem", &key.serialize_pem())]
}

#[test]
fn certificates_of_edges() {
    let (pem, issuer) = authority();
    let origin = Node::start(&[], |folder| {
        let mut variables = Node::https(folder);
        variables.push(("MILLSTREAM_ORIGIN_CLIENT_CA", file(folder, "ca.pem", &pem)));
        variables
    });
    let trusted = origin.file("cert.pem").display().to_string();
    let shown = |issuer: &Issuer<'static, KeyPair>| {
        edge(&origin.url("https", ""), |folder| {
            let [certificate, key] = certify(folder, issuer);
            vec![
                ("MILLSTREAM_EDGE_ORIGIN_CA", trusted.clone()),
                ("MILLSTREAM_EDGE_ORIGIN_CERTIFICATE", certificate),
                ("MILLSTREAM_EDGE_ORIGIN_KEY", key),
            ]
        })
    };
    assert_eq!(shown(&issuer).status("http", MEDIA, &[]), 404, "the origin's own answer");
    let stranger = shown(&authority().1).status("http", MEDIA, &[]);
    assert!((500..=599).contains(&stranger), "{stranger}: TLS refuses it");
    let bare = edge(&origin.url("https", ""), |_| vec![("MILLSTREAM_EDGE_ORIGIN_CA", trusted.clone())]);
    assert_eq!(bare.status("http", MEDIA, &[]), 403);

    for (door, arguments) in [("http", &["--http1.1"][..]), ("https", &["--http1.1"]), ("https", &["--http2"])] {
        let refused = origin.curl(door, MEDIA, arguments).unwrap();
        assert_eq!((refused.status, refused.header("cache-control")), (403, Some("no-store")), "{door}");
        assert_eq!(origin.status(door, "/healthz", arguments), 200, "people need no certificate");
    }
    let [certificate, key] = certify(origin.folder(), &issuer);
    let with = ["--cert", &certificate, "--key", &key];
    assert_eq!(origin.status("https", MEDIA, &with), 404);
}

#[test]
fn certificates_change_while_origin_and_edge_run() {
    let (first, second) = (authority(), authority());
    let origin = Node::start(&[], |folder| {
        let mut variables = Node::https(folder);
        variables.push(("MILLSTREAM_ORIGIN_CLIENT_CA", file(folder, "ca.pem", &first.0)));
        variables
    });
    let trusted = origin.file("cert.pem").display().to_string();
    let shown = |issuer: &Issuer<'static, KeyPair>| {
        edge(&origin.url("https", ""), |folder| {
            let [certificate, key] = certify(folder, issuer);
            vec![
                ("MILLSTREAM_EDGE_ORIGIN_CA", trusted.clone()),
                ("MILLSTREAM_EDGE_ORIGIN_CERTIFICATE", certificate),
                ("MILLSTREAM_EDGE_ORIGIN_KEY", key),
            ]
        })
    };
    let edge = shown(&first.1);
    assert_eq!(edge.status("http", MEDIA, &[]), 404);
    let ca = |text: &str, said: &str| {
        let before = origin.log().matches(said).count();
        std::fs::write(origin.file("ca.pem"), text).unwrap();
        wait_for(said, UP, || (origin.log().matches(said).count() > before).then_some(()));
    };
    ca("garbage", "the new origin.client_ca is not used");
    ca(&format!("{}{}", first.0, second.0), "the new origin.client_ca is in use");
    certify(edge.folder(), &second.1);
    wait_for("the edge's new certificate", UP, || edge.log().contains("changed and is in use").then_some(()));
    ca(&second.0, "the new origin.client_ca is in use");
    let late = shown(&first.1).status("http", MEDIA, &[]);
    assert!((500..=599).contains(&late), "{late}: the first authority is trusted no more");
    // Another name is another object, which the edge fetches; what it has open for long is closed meanwhile, or new.
    assert_eq!(edge.status("http", "/live/nobody/other.m3u8", &[]), 404, "{}", edge.log());
}

#[test]
fn networks_of_edges() {
    let origin = Node::start(&[], |_| vec![("MILLSTREAM_ORIGIN_NETWORKS", "127.0.0.1,10.0.0.0/8".to_owned())]);
    let edge = edge(&origin.url("http", ""), |_| vec![]);
    assert_eq!(edge.status("http", MEDIA, &["--interface", "127.0.0.2"]), 404, "an edge is there for everybody");
    for (address, want) in [("127.0.0.1", 404), ("127.0.0.2", 403)] {
        let got = origin.curl("http", MEDIA, &["--interface", address, "--header", "X-Forwarded-For: 10.0.0.1"]);
        assert_eq!(got.unwrap().status, want, "{address}");
    }
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let missing = "/nowhere/secrets".to_owned();
    for (variable, value, want) in [
        ("MILLSTREAM_ORIGIN_SECRETS_FILE", missing.clone(), "/nowhere/secrets cannot be read"),
        (
            "MILLSTREAM_ORIGIN_SECRETS",
            "short".to_owned(),
            "MILLSTREAM_ORIGIN_SECRETS: origin.secrets has a secret of 5",
        ),
        ("MILLSTREAM_ORIGIN_CLIENT_CA", missing, "set server.https"),
    ] {
        let log = Node::try_start(&[], |_| vec![(variable, value)]).err().expect("it starts");
        assert!(log.contains(want), "{log}");
    }
}
