//! Countries and web sites that may watch: by a database, by what CloudFront says, and by where a page is.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::net::Ipv4Addr;
use std::time::Duration;

use millstream_tests::mmdb;
use millstream_tests::node::Node;
use millstream_tests::wait_for;

const UP: Duration = Duration::from_secs(30);
const NEWS: &str = "/live/news/index.m3u8";
const RULES: &str = r#"[
    { path = "/live/news/", allow = ["DE"], sites = ["https://partner.example"] },
    { path = "/live/sport/", deny = ["DE"], without_site = "deny", sites = ["https://*.app.example"] },
]"#;

/// Documentation networks: the first is in this country, the second in Austria.
fn database(first: &str) -> Vec<u8> {
    mmdb::countries(&[(Ipv4Addr::new(192, 0, 2, 0), 24, first), (Ipv4Addr::new(198, 51, 100, 0), 24, "AT")])
}

fn from(address: &str) -> String {
    format!("X-Forwarded-For: {address}")
}

#[test]
fn countries_by_a_database_that_changes_while_it_runs() {
    for role in [&[][..], &["--role", "edge", "--origin", "http://127.0.0.1:9"]] {
        let node = Node::start(role, |folder| {
            let file = folder.join("countries.mmdb");
            std::fs::write(&file, database("DE")).unwrap();
            vec![
                ("MILLSTREAM_VIEWERS_RULES", RULES.to_owned()),
                ("MILLSTREAM_VIEWERS_COUNTRY_DATABASE", file.display().to_string()),
                ("MILLSTREAM_ACCESS_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
            ]
        });
        let status = |path: &str, headers: &[&str]| {
            let arguments: Vec<&str> = headers.iter().flat_map(|header| ["--header", *header]).collect();
            let got = node.curl("http", path, &arguments).unwrap();
            // The origin's "no such channel", or the edge's "no origin": it got past the rules.
            let passed = matches!(got.status, 404 | 502);
            assert!(passed || got.header("cache-control") == Some("no-store"), "{got:?}");
            if passed { 200 } else { got.status }
        };
        let (german, austrian) = (from("192.0.2.7"), from("198.51.100.7"));
        assert_eq!(status(NEWS, &[&german]), 200);
        assert_eq!(status(NEWS, &[&austrian]), 403);
        assert_eq!(status(NEWS, &[&from("203.0.113.7")]), 403, "a country that is not known");
        assert_eq!(status(NEWS, &[]), 403, "loopback is in none");
        assert_eq!(status("/live/other/index.m3u8", &[&austrian]), 200);
        assert_eq!(status(NEWS, &[&austrian, "CloudFront-Viewer-Country: DE"]), 403, "this proxy does not set it");
        let said = node.curl("http", NEWS, &["--header", &austrian]).unwrap();
        assert_eq!(said.body, "this stream is not available in your country\n");
        assert_eq!(said.header("access-control-allow-origin"), Some("*"), "a page can say why it does not play");

        assert_eq!(status(NEWS, &[&german, "Origin: https://partner.example"]), 200);
        assert_eq!(status(NEWS, &[&german, "Origin: https://evil.example"]), 403);
        assert_eq!(status(NEWS, &[&german, "Referer: https://evil.example/page"]), 403);
        assert_eq!(status("/live/sport/index.m3u8", &[&austrian]), 403, "no site is named");
        assert_eq!(status("/live/sport/index.m3u8", &[&austrian, "Referer: https://tv.app.example/x"]), 200);

        // Replaced as a whole, by a name of its own: as downloaders do it.
        let replace = |bytes: &[u8]| {
            std::fs::write(node.file("new.mmdb"), bytes).unwrap();
            std::fs::rename(node.file("new.mmdb"), node.file("countries.mmdb")).unwrap();
        };
        replace(b"no database");
        wait_for("the complaint", UP, || node.log().contains("the former stays").then_some(()));
        assert_eq!(status(NEWS, &[&german]), 200);
        replace(&database("CH"));
        wait_for("the new database", UP, || (status(NEWS, &[&german]) == 403).then_some(()));
    }
}

#[test]
fn countries_that_cloudfront_says() {
    let node = Node::start(&[], |_| {
        vec![
            ("MILLSTREAM_VIEWERS_RULES", RULES.to_owned()),
            ("MILLSTREAM_ACCESS_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
            ("MILLSTREAM_ACCESS_PROXY_HEADERS", "cloudfront".to_owned()),
        ]
    });
    for (country, interface, want) in [("DE", "127.0.0.1", 404), ("AT", "127.0.0.1", 403), ("DE", "127.0.0.2", 403)] {
        let header = format!("CloudFront-Viewer-Country: {country}");
        let got = node.status("http", NEWS, &["--interface", interface, "--header", &header]);
        assert_eq!(got, want, "{country} from {interface}");
    }
}

#[test]
fn pages_are_framed_by_the_sites_of_their_channel() {
    let rules = r#"[{ path = "/live/news/", sites = ["https://partner.example"] }]"#;
    let node = Node::start(&[], |_| vec![("MILLSTREAM_VIEWERS_RULES", rules.to_owned())]);
    for (path, want) in [
        ("/watch/news", "frame-ancestors 'self' https://partner.example"),
        ("/embed/news", "frame-ancestors 'self' https://partner.example"),
        ("/watch/other", "frame-ancestors 'self'"),
        ("/embed/other", "frame-ancestors *"),
    ] {
        let page = node.curl("http", path, &[]).unwrap();
        // A checkout whose pages were not built has none.
        if page.status == 200 {
            assert!(page.header("content-security-policy").unwrap().ends_with(want), "{path}: {page:?}");
        }
    }
}

#[test]
fn a_database_that_is_missing_or_broken_is_said_at_the_start() {
    let start = |database: Option<&str>| {
        let started = Node::try_start(&[], |folder| {
            std::fs::write(folder.join("broken.mmdb"), "no database").unwrap();
            let mut variables = vec![("MILLSTREAM_VIEWERS_RULES", RULES.to_owned())];
            if let Some(name) = database {
                variables.push(("MILLSTREAM_VIEWERS_COUNTRY_DATABASE", folder.join(name).display().to_string()));
            }
            variables
        });
        started.err().expect("it starts")
    };
    for (database, want) in [
        (None, "need viewers.country_database"),
        (Some("none.mmdb"), "none.mmdb cannot be read; check the path"),
        (Some("broken.mmdb"), "broken.mmdb is no MaxMind database; give a whole .mmdb file"),
    ] {
        let log = start(database);
        assert!(log.contains(want), "{log}");
    }
}
