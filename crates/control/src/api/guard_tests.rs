//! The rules by which a request counts as this machine's.

use super::*;

fn verdict(peer: &str, headers: &[(&'static str, &'static str)]) -> Result<(), String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    check_local(Some(PeerAddr(peer.parse().unwrap())), &map, None, &["media.example".to_owned()])
}

#[test]
fn only_this_machine() {
    for peer in ["127.0.0.1:5", "127.9.9.9:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
        assert_eq!(verdict(peer, &[("host", "localhost")]), Ok(()), "{peer}");
    }
    for peer in ["10.0.0.1:5", "192.168.1.2:5", "[::ffff:10.0.0.1]:5", "[fe80::1]:5", "0.0.0.0:5"] {
        assert!(verdict(peer, &[("host", "localhost")]).unwrap_err().contains("only this machine"), "{peer}");
    }
    for proxy in ["forwarded", "x-forwarded-for", "x-real-ip"] {
        assert!(verdict("127.0.0.1:5", &[("host", "localhost"), (proxy, "1.2.3.4")]).is_err(), "{proxy}");
    }
    assert!(check_local(None, &HeaderMap::new(), None, &[]).is_err(), "a peer that nobody named is not let in");
}

#[test]
fn only_known_hosts() {
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "192.168.1.5", "media.example:80"] {
        assert_eq!(verdict("127.0.0.1:5", &[("host", host)]), Ok(()), "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "user@evil.example:80"] {
        assert!(verdict("127.0.0.1:5", &[("host", host)]).unwrap_err().contains("this name"), "{host}");
    }
    assert!(verdict("127.0.0.1:5", &[]).unwrap_err().contains("no Host"));
}

#[test]
fn only_its_own_pages() {
    for (origin, host) in [
        ("http://localhost:8080", "localhost:8080"),
        ("http://localhost", "localhost"),
        ("http://localhost", "localhost:80"),
        ("https://media.example", "media.example:443"),
    ] {
        assert_eq!(verdict("127.0.0.1:5", &[("host", host), ("origin", origin)]), Ok(()), "{origin}");
    }
    for origin in ["http://evil.example", "http://localhost:3000", "null", "", "file://", "http://127.0.0.1:8080"] {
        let headers = [("host", "localhost:8080"), ("origin", origin)];
        assert!(verdict("127.0.0.1:5", &headers).unwrap_err().contains("another site"), "{origin}");
    }
}
