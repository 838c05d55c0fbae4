//! What the guard lets through, as whom, and what what answers gets to see.

use std::net::SocketAddr;
use std::sync::Mutex;

use aws_lc_rs::rand::SystemRandom;
use millstream_access::signed::sign::{KeyType, Terms};
use millstream_access::signed::{Policy, PrivateKey, PublicKey, Signed};

use super::*;

const PLAYLIST: &str = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n1.m4s\n";

/// Answers everything, and remembers what it saw.
#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Delivery for Seen {
    fn answer(&self, request: &Request<()>, _: Peer) -> Answer {
        self.0.lock().unwrap().push(request.uri().to_string());
        let entity = respond::Entity {
            pieces: vec![Bytes::from_static(PLAYLIST.as_bytes())],
            gzip: Some(Bytes::from_static(b"gz")),
            etag: HeaderValue::from_static("v1"),
            content_type: "application/vnd.apple.mpegurl",
            cache: respond::CacheLife::Seconds(1),
        };
        Answer::ready(RequestKind::Playlist, respond::entity(request.method(), request.headers(), &entity))
    }
}

struct Bench {
    seen: Arc<Seen>,
    guarded: Guarded,
    key: PrivateKey,
    trust: Trust,
}

fn bench(rules: Rules) -> Bench {
    let (key, _) = PrivateKey::generate(KeyType::Ecdsa).unwrap();
    let trust = Trust::new(keys(&key));
    let seen = Arc::new(Seen::default());
    let inner: Arc<dyn Delivery> = Arc::<Seen>::clone(&seen);
    let guarded = Guarded::new(inner, rules, trust.clone(), Arc::new(|| 1_800_000_000_000));
    Bench { seen, guarded, key, trust }
}

fn keys(key: &PrivateKey) -> KeySet {
    let mut keys = KeySet::default();
    keys.insert("K1", PublicKey::from_pem(key.public_pem().unwrap().as_bytes()).unwrap()).unwrap();
    keys
}

fn required() -> Rules {
    Rules { require: true, ..Rules::default() }
}

impl Bench {
    fn sign(&self, resource: &str, source: Option<&str>) -> Signed {
        let source = source.map(str::to_owned);
        let policy = Policy { resource: resource.to_owned(), expires: 1_900_000_000, not_before: None, source };
        Signed::new(resource, &Terms::Custom(policy), "K1", &self.key, &SystemRandom::new()).unwrap()
    }

    fn get(&self, target: &str, headers: &[(&str, &str)], peer: &str) -> Response<Body> {
        self.get_by(target, headers, peer, false)
    }

    fn get_by(&self, target: &str, headers: &[(&str, &str)], peer: &str, tls: bool) -> Response<Body> {
        let mut request = Request::builder().uri(target).header("host", "h.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = Peer { address: SocketAddr::new(peer.parse().unwrap(), 1234), tls, certified: false };
        match self.guarded.answer(&request.body(()).unwrap(), peer).reply {
            Reply::Ready(response) => response,
            Reply::Later(_) => panic!("nothing waits here"),
        }
    }

    fn status(&self, target: &str, headers: &[(&str, &str)], peer: &str) -> u16 {
        self.get(target, headers, peer).status().as_u16()
    }
}

fn text(mut response: Response<Body>) -> String {
    String::from_utf8(response.body_mut().take_pieces().into_iter().flatten().collect()).unwrap()
}

const PATH: &str = "/live/demo/v/index.m3u8";

/// STANDARDS 7.11 and 7.14: a refusal is not cached and reaches nobody; a signature goes no further.
#[test]
fn refusals_are_not_stored_and_signatures_go_no_further() {
    let bench = bench(required());
    let refused = bench.get(PATH, &[], "192.0.2.1");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["cache-control"]),
        (403, &HeaderValue::from_static("no-store"))
    );
    assert!(text(refused).contains("Missing Key-Pair-Id query parameter or cookie value"));
    assert!(bench.seen.0.lock().unwrap().is_empty());
    let signed = bench.sign("http://h.example/live/demo/*", None);
    let url = format!("{PATH}?a=b&{}&_HLS_msn=7", signed.query());
    assert_eq!(bench.status(&url, &[], "192.0.2.1"), 200);
    assert_eq!(bench.status(&format!("/live/demo/v/1.m4s?{}", signed.query()), &[], "192.0.2.1"), 200);
    assert_eq!(*bench.seen.0.lock().unwrap(), [format!("{PATH}?a=b&_HLS_msn=7"), "/live/demo/v/1.m4s".to_owned()]);
    assert_eq!(bench.status(&url.replace("/demo/", "/news/"), &[], "192.0.2.1"), 403, "another channel's token");
}

/// STANDARDS 7.13: the children of a playlist whose URL was signed; with cookies there is nothing to carry.
#[test]
fn a_wide_signature_is_carried_to_the_children() {
    let bench = bench(required());
    let signed = bench.sign("http://h.example/live/demo/*", None);
    let response =
        bench.get(&format!("{PATH}?{}&_HLS_msn=7", signed.query()), &[("accept-encoding", "gzip")], "192.0.2.1");
    assert_eq!(response.headers()["cache-control"], "private, max-age=1");
    let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let got = text(response);
    let query = signed.query();
    assert_eq!(got, format!("#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4?{query}\"\n1.m4s?{query}\n"));
    assert_eq!(got.len(), length);
    let cookies = signed.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let response = bench.get(PATH, &[("cookie", &cookies)], "192.0.2.1");
    assert_eq!(response.headers()["cache-control"], "public, max-age=1");
    assert_eq!(text(response), PLAYLIST);
    let exact = bench.sign("http://h.example/live/demo/v/index.m3u8", None);
    assert_eq!(text(bench.get(&format!("{PATH}?{}", exact.query()), &[], "192.0.2.1")), PLAYLIST, "it covers no child");
}

#[test]
fn only_what_needs_a_signature_is_asked_for_one() {
    let network = |text| Network::parse(text).unwrap();
    let bench =
        bench(Rules { paths: vec!["/live/paid/".to_owned()], edges: vec![network("10.1.0.0/16")], ..Rules::default() });
    for (target, peer, want) in [
        ("/live/free/index.m3u8", "192.0.2.1", 200),
        ("/live/paid/index.m3u8", "192.0.2.1", 403),
        ("/live/paid/index.m3u8", "10.1.2.3", 200),
        ("/live/./paid/index.m3u8", "192.0.2.1", 403),
        ("/live/free/../paid/index.m3u8", "192.0.2.1", 403),
        ("/live/free/%2E%2e/paid/index.m3u8", "192.0.2.1", 403),
        ("/live//paid/index.m3u8", "192.0.2.1", 403),
        ("/live/free%2f..%2fpaid/index.m3u8", "192.0.2.1", 403),
    ] {
        assert_eq!(bench.status(target, &[], peer), want, "{target} from {peer}");
    }
}

/// `Resource` and address are those that the viewer used; only a trusted proxy is believed.
#[test]
fn forwarded_headers_of_trusted_proxies_only() {
    let proxies = Proxies { networks: vec![Network::parse("10.0.0.0/8").unwrap()], ..Proxies::default() };
    let bench = bench(Rules { proxies, ..required() });
    let signed = bench.sign("https://public.example/live/demo/*", Some("192.0.2.0/24"));
    let url = format!("/live/demo/v/1.m4s?{}", signed.query());
    let by = |hops| [("x-forwarded-for", hops), ("x-forwarded-proto", "https"), ("x-forwarded-host", "public.example")];
    for (peer, hops, want) in [
        ("10.0.0.1", "192.0.2.7", 200),
        ("10.0.0.1", "192.0.2.7:5555, 10.9.9.9", 200),
        ("10.0.0.1", "198.51.100.1", 403),
        ("10.0.0.1", "192.0.2.7, 198.51.100.1", 403),
        ("10.0.0.1", "192.0.2.7, nonsense", 403),
        ("192.0.2.7", "192.0.2.7", 403),
    ] {
        assert_eq!(bench.status(&url, &by(hops), peer), want, "{peer} says {hops}");
    }
}

/// STANDARDS 7.6: the scheme of `Resource` is that of the URL which the viewer used, so that what was allowed over TLS goes
/// over no cleartext connection, and the other way round.
#[test]
fn a_signature_is_good_for_the_scheme_it_names() {
    let proxies = Proxies { networks: vec![Network::parse("10.0.0.0/8").unwrap()], ..Proxies::default() };
    let bench = bench(Rules { proxies, ..required() });
    let said = |scheme| [("x-forwarded-proto", scheme)];
    for (scheme, over_http, over_https) in
        [("http", 200, 403), ("https", 403, 200), ("http*", 200, 200), ("*", 200, 200)]
    {
        let policy = bench.sign(&format!("{scheme}://h.example/live/demo/*"), None).query();
        let status = |headers: &[(&str, &str)], peer, tls| {
            bench.get_by(&format!("/live/demo/v/1.m4s?{policy}"), headers, peer, tls).status().as_u16()
        };
        assert_eq!(status(&[], "192.0.2.1", false), over_http, "{scheme}");
        assert_eq!(status(&[], "192.0.2.1", true), over_https, "{scheme}");
        assert_eq!(status(&said("https"), "192.0.2.1", false), over_http, "{scheme}: a viewer says it");
        assert_eq!(status(&said("https"), "10.0.0.1", false), over_https, "{scheme}: TLS ends at the proxy");
        assert_eq!(status(&said("http"), "10.0.0.1", true), over_http, "{scheme}: the proxy's own TLS does not count");
    }
}

/// The same of a canned policy, whose URL is made of the request's.
#[test]
fn a_canned_signature_is_good_for_the_scheme_it_names() {
    let bench = bench(required());
    let path = "/live/demo/v/1.m4s";
    for (scheme, over_http, over_https) in [("http", 200, 403), ("https", 403, 200)] {
        let terms = Terms::Until(1_900_000_000);
        let resource = format!("{scheme}://h.example{path}");
        let signed = Signed::new(&resource, &terms, "K1", &bench.key, &SystemRandom::new()).unwrap().query();
        let status = |tls| bench.get_by(&format!("{path}?{signed}"), &[], "192.0.2.1", tls).status().as_u16();
        assert_eq!((status(false), status(true)), (over_http, over_https), "{scheme}");
    }
}

/// STANDARDS 7.12: a new key is trusted at once, and one that is gone opens nothing more, though it was verified before.
#[test]
fn keys_change_while_it_runs() {
    let bench = bench(required());
    let url = format!("/live/demo/v/1.m4s?{}", bench.sign("http://h.example/live/demo/*", None).query());
    assert_eq!(bench.status(&url, &[], "192.0.2.1"), 200);
    bench.trust.replace(KeySet::default());
    assert_eq!(bench.status(&url, &[], "192.0.2.1"), 403);
    bench.trust.replace(keys(&bench.key));
    assert_eq!(bench.status(&url, &[], "192.0.2.1"), 200);
}

fn site(text: &str) -> Site {
    Site::parse(text).unwrap()
}

/// Pages that send cookies to a host send them for its open channels, too, and may read no answer to that through `*`. What an
/// edge keeps is the same for all.
#[test]
fn cookies_from_pages_for_what_is_open() {
    let edges = vec![Network::parse("10.1.0.0/16").unwrap()];
    let sites = vec![site("https://app.example")];
    let bench = bench(Rules { paths: vec!["/live/paid/".to_owned()], edges, sites, ..Rules::default() });
    for (peer, want) in [("192.0.2.1", Some("true")), ("10.1.2.3", None)] {
        let response = bench.get("/live/free/index.m3u8", &[("origin", "https://app.example")], peer);
        let credentials = response.headers().get("access-control-allow-credentials").map(|v| v.to_str().unwrap());
        assert_eq!((response.status().as_u16(), credentials), (200, want), "from {peer}");
    }
}

/// A page may read an answer to a request with cookies only if it is named, never through `*`.
#[test]
fn cookies_from_pages_of_named_sites() {
    let bench = bench(Rules { sites: vec![site("https://app.example"), site("https://*.tv.example")], ..required() });
    for (site, want) in [
        ("https://app.example", Some("true")),
        ("https://www.tv.example", Some("true")),
        ("https://tv.example", None),
        ("https://evil.example", None),
    ] {
        let response = bench.get(PATH, &[("origin", site)], "192.0.2.1");
        let credentials = response.headers().get("access-control-allow-credentials").map(|v| v.to_str().unwrap());
        assert_eq!(credentials, want, "{site}");
        assert_eq!(response.headers()["access-control-allow-origin"] == site, want.is_some());
    }
    // What a player without a page is given lies in caches, too.
    let response = bench.get(PATH, &[], "192.0.2.1");
    assert!(response.headers().get_all("vary").iter().any(|value| value == "Origin"));
}
