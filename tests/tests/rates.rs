//! How often one address may ask for media, at origins and edges; who asks for many is not held back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use millstream_tests::node::Node;

/// A path of media, answered without a channel: 404 with a text.
const MEDIA: &str = "/live/nobody/index.m3u8";

/// One request a second, and a proxy before the server that says whose requests they are.
fn slow(further: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("MILLSTREAM_LIMITS_MEDIA_REQUESTS_PER_SECOND_PER_ADDRESS", "1".to_owned()),
        ("MILLSTREAM_ACCESS_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
    ];
    variables.extend(further.iter().map(|(name, value)| (*name, (*value).to_owned())));
    variables
}

/// How many of eight requests of a viewer are refused, at once.
fn refused(node: &Node, viewer: &str, further: &[&str]) -> usize {
    let says = format!("X-Forwarded-For: {viewer}");
    let arguments = [&["--header", &says][..], further].concat();
    let answers = (0..8).map(|_| node.curl("http", MEDIA, &arguments).unwrap());
    let late: Vec<_> = answers.filter(|got| got.status == 429).collect();
    for got in &late {
        assert_eq!((got.header("retry-after"), got.header("cache-control")), (Some("1"), Some("no-store")));
        assert_eq!(got.header("access-control-allow-origin"), Some("*"), "a player elsewhere reads it");
    }
    late.len()
}

#[test]
fn a_viewer_has_a_rate_at_an_origin_and_at_an_edge() {
    let origin = Node::start(&[], |_| slow(&[]));
    let edge = Node::start(&["--role", "edge", "--origin", &origin.url("http", "")], |_| slow(&[]));
    for node in [&origin, &edge] {
        assert!(refused(node, "192.0.2.7", &[]) >= 3, "{}", node.log());
        assert_eq!(node.curl("http", MEDIA, &["--header", "X-Forwarded-For: 192.0.2.8"]).unwrap().status, 404);
        assert_eq!(
            refused(node, "192.0.2.7", &["--interface", "127.0.0.2"]),
            0,
            "no proxy says so, and loopback has none"
        );
    }
}

#[test]
fn edges_and_whoever_gets_through_the_fence_have_no_rate() {
    let named = Node::start(&[], |_| slow(&[("MILLSTREAM_ACCESS_EDGES", "127.0.0.1")]));
    assert_eq!(refused(&named, "192.0.2.7", &[]), 0, "an edge passes on what it was asked by");
    let fenced = Node::start(&[], |_| slow(&[("MILLSTREAM_ORIGIN_SECRETS", "a-secret-of-the-edges")]));
    let with = ["--header", "X-MediaPackage-CDNIdentifier: a-secret-of-the-edges"];
    assert_eq!(refused(&fenced, "192.0.2.7", &with), 0);
    assert_eq!(fenced.status("http", MEDIA, &[]), 403);
}
