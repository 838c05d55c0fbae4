//! CHECK-7b and CHECK-7c: a low-latency stream behind signed URLs and cookies, through an edge whose cache is warm.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_check::finding::Findings;
use millstream_check::hls::playlist::{self, Media, Playlist};
use millstream_check::text::resolve;
use millstream_tests::client::get;
use millstream_tests::node::Node;
use millstream_tests::wait::wait_for;
use millstream_tests::{Channel, Publisher, Server, Source, decode};
use serde_json::Value;

const UP: Duration = Duration::from_secs(30);

/// A low-latency stream, and an edge that asks every viewer for a signature and trusts the keys of the origin's folder.
struct Stream {
    server: Server,
    edge: Node,
    id: String,
    rendition: String,
    _publisher: Publisher,
}

/// What a viewer asks with.
#[derive(Clone, Default)]
struct Ask {
    url: String,
    cookies: Option<String>,
}

/// What it is answered.
struct Got {
    status: u16,
    cache_control: String,
    body: Vec<u8>,
}

impl Stream {
    fn start() -> Stream {
        let channel = Channel::passthrough("demo").set("low_latency = true").set("part_seconds = 0.5");
        let server = Server::start(&[channel]);
        let made = server.command(&["key", "create", "--out", "private.pem", "--json"]).unwrap();
        let id = serde_json::from_str::<Value>(&made).unwrap()["key_pair_id"].as_str().unwrap().to_owned();
        let edge = Node::start(&["--role", "edge", "--origin", &server.url("")], |_| {
            let keys = server.folder().join("data/keys").display().to_string();
            vec![("MILLSTREAM_ACCESS_REQUIRE", "true".to_owned()), ("MILLSTREAM_ACCESS_KEYS", keys)]
        });
        let publisher = Publisher::start(&server, "test-key-demo", &Source::small());
        let rendition = server.viewer("demo").wait_listed(3, UP);
        Stream { server, edge, id, rendition, _publisher: publisher }
    }

    fn url(&self, path: &str) -> String {
        self.edge.url("http", &format!("/live/demo/{path}"))
    }

    fn sign(&self, url: &str, terms: &[&str]) -> String {
        let key = ["--key-file", "private.pem", "--key-pair-id", &self.id];
        let lines = self.server.command(&[&["sign", url][..], terms, &key].concat()).unwrap();
        lines.trim().replace('\n', "; ")
    }

    /// A URL signed by these terms.
    fn by_url(&self, url: &str, terms: &[&str]) -> Ask {
        Ask { url: self.sign(url, terms), cookies: None }
    }

    /// A URL with cookies by these terms.
    fn by_cookies(&self, url: &str, terms: &[&str]) -> Ask {
        Ask { url: url.to_owned(), cookies: Some(self.sign(url, &[terms, &["--cookies"]].concat())) }
    }

    fn metric(&self, result: &str) -> f64 {
        let text = String::from_utf8(get(&self.edge.url("http", "/metrics")).unwrap().body.to_vec()).unwrap();
        let start = format!("millstream_edge_requests_total{{result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&*start)?.parse().ok()).unwrap_or(0.0)
    }
}

fn ask(ask: &Ask) -> Got {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .new_agent();
    let mut request = agent.get(&ask.url);
    if let Some(cookies) = &ask.cookies {
        request = request.header("cookie", cookies);
    }
    let mut response = request.call().unwrap();
    let life = response.headers().get("cache-control").and_then(|value| value.to_str().ok());
    Got {
        status: response.status().as_u16(),
        cache_control: life.unwrap_or_default().to_owned(),
        body: response.body_mut().read_to_vec().unwrap(),
    }
}

fn list(body: &[u8], url: &str) -> Media {
    match playlist::parse(body, url, &mut Findings::default()) {
        Some(Playlist::Media(media)) => *media,
        _ => panic!("no media playlist: {url}"),
    }
}

fn with(url: &str, directives: &str) -> String {
    format!("{url}{}{directives}", if url.contains('?') { '&' } else { '?' })
}

/// A session as AVPlayer has one: the multivariant playlist, the header, then a held reload for each part, now and then as a
/// delta update, and each part asked for as soon as it is hinted. `present` says what is asked with for a URL of the stream.
fn plays_low_latency(start: &str, present: &dyn Fn(&str) -> Ask) {
    let fetch = |url: &str, directives: &str| {
        let mut asked = present(url);
        if !directives.is_empty() {
            asked.url = with(&asked.url, directives);
        }
        let got = ask(&asked);
        assert_eq!(got.status, 200, "{url} {directives}: {}", String::from_utf8_lossy(&got.body));
        got.body
    };
    let top = fetch(start, "");
    let Some(Playlist::Multivariant(top)) = playlist::parse(&top, start, &mut Findings::default()) else {
        panic!("no multivariant playlist");
    };
    let rendition = resolve(start, &top.variants[0].1);
    let mut media = list(&fetch(&rendition, ""), &rendition);
    let (header, _) = media.segments.last().and_then(|segment| segment.map.clone()).expect("a header");
    let header = fetch(&resolve(&rendition, &header), "");
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for round in 0..10 {
        let hint = media.hints[0].get("URI").expect("a hint").to_owned();
        let part = media.parts.last().expect("parts are listed");
        let skip = if round % 3 == 2 { "&_HLS_skip=YES" } else { "" };
        // The hinted part is held until it is there. Decoding begins with a whole segment's first one.
        let piece = fetch(&resolve(&rendition, &hint), "");
        let directives = format!("_HLS_msn={}&_HLS_part={}{skip}", part.segment, part.index + 1);
        media = list(&fetch(&rendition, &directives), &rendition);
        let hinted = media.parts.iter().find(|part| part.uri == hint).expect("what was hinted is listed");
        if hinted.independent || !pieces.is_empty() {
            pieces.push(piece);
        }
    }
    assert!(pieces.len() >= 6, "{}", pieces.len());
    let (packets, _) = decode::packets(&decode::concatenate(&header, &pieces));
    assert!(packets.len() >= 6 * 14, "{} packets of {} parts of half a second", packets.len(), pieces.len());
    let whole = media.segments.last().expect("a segment").uri.clone();
    fetch(&resolve(&rendition, &whole), "");
}

/// Plays four seconds with ffmpeg; gives the packets.
fn play(stream: &Stream, asked: &Ask) -> usize {
    let out = stream.server.folder().join("played.mp4");
    let mut player = Command::new("ffmpeg");
    player.args(["-nostdin", "-v", "error"]);
    if let Some(cookies) = &asked.cookies {
        player.args(["-headers", &format!("Cookie: {cookies}\r\n")]);
    }
    player.args(["-i", &asked.url, "-t", "4", "-c", "copy", "-y", "-movflags", "+frag_keyframe+empty_moov"]).arg(&out);
    assert!(player.stdin(Stdio::null()).status().unwrap().success(), "{}", asked.url);
    decode::packets(&std::fs::read(&out).unwrap()).0.len()
}

/// CHECK-7c.
#[test]
fn low_latency_sessions_by_every_form_of_signature() {
    let stream = Stream::start();
    let (index, every) = (stream.url("index.m3u8"), stream.url("*"));
    let long = ["--expires", "1h"];
    let wide = stream.by_url(&index, &["--resource", &every, "--expires", "1h"]);
    let cookies = stream.by_cookies(&every, &long).cookies;

    // All at once, so that each could be answered from the cache that the others warm.
    std::thread::scope(|scope| {
        // One signature in the URL, which the playlists carry on (STANDARDS 7.13): the player knows nothing of it.
        scope.spawn(|| plays_low_latency(&wide.url, &|url| Ask { url: url.to_owned(), cookies: None }));
        // One set of cookies.
        scope.spawn(|| plays_low_latency(&index, &|url| Ask { url: url.to_owned(), cookies: cookies.clone() }));
        // A canned policy for each URL, by an app that signs what it asks for; directives are added after that.
        scope.spawn(|| plays_low_latency(&index, &|url| stream.by_url(url, &long)));
        scope.spawn(|| plays_low_latency(&index, &|url| stream.by_cookies(url, &long)));
    });
    let shared = stream.metric("hit") + stream.metric("coalesced");
    assert!(shared >= 40.0, "{shared} answers were shared");

    assert!(play(&stream, &wide) >= 3 * 30);
    assert!(play(&stream, &Ask { url: index, cookies }) >= 3 * 30);
}

/// CHECK-7b: what is refused is refused although the answer lies in the cache, with CloudFront's codes (STANDARDS 7.11).
#[test]
fn every_refusal_before_a_warm_cache() {
    let stream = Stream::start();
    let newest = stream.server.viewer("demo").newest(&stream.rendition).unwrap();
    let every = stream.url("*");
    let wide = ["--resource", &*every, "--expires", "1h"];
    for path in ["index.m3u8".to_owned(), format!("{}/{newest}.m4s", stream.rendition)] {
        let url = stream.url(&path);
        let long = ["--expires", "1h"];
        let (good, canned) = (stream.by_url(&url, &wide), stream.by_url(&url, &long));
        let cookies = stream.by_cookies(&url, &wide);
        for allowed in [&good, &canned, &cookies, &stream.by_cookies(&url, &long)] {
            assert_eq!(ask(allowed).status, 200, "{path}");
        }
        let over = ["--resource", &every, "--expires", "1000"];
        let not_yet = ["--resource", &every, "--expires", "2h", "--not-before", "1h"];
        let elsewhere = ["--resource", &every, "--expires", "1h", "--ip", "192.0.2.1"];
        let theirs = every.replace("/demo/", "/news/");
        let theirs = ["--resource", &*theirs, "--expires", "1h"];
        let other = |asked: &Ask, from: &str, to: &str| Ask {
            url: asked.url.replace(from, to),
            cookies: asked.cookies.as_ref().map(|cookies| cookies.replace(from, to)),
        };
        let mut refused = Vec::new();
        for (what, terms) in
            [("over", &over[..]), ("not yet", &not_yet), ("elsewhere", &elsewhere), ("another channel's", &theirs)]
        {
            refused.push((what, stream.by_url(&url, terms), "AccessDenied"));
            refused.push((what, stream.by_cookies(&url, terms), "AccessDenied"));
        }
        for asked in [&good, &cookies] {
            refused.push(("a byte changed", other(asked, "Signature=", "Signature=A"), "AccessDenied"));
            refused.push(("another policy", other(asked, "Policy=", "Policy=A"), "MalformedPolicy"));
            refused.push(("an unknown key", other(asked, &stream.id, "KUNKNOWN"), "InvalidKey"));
            refused.push(("no key", other(asked, "Key-Pair-Id=", "Key="), "MissingKey"));
        }
        let elsewhere = stream.by_cookies(&stream.url("other.m3u8"), &long).cookies;
        refused.extend([
            ("nothing", Ask { url: url.clone(), cookies: None }, "MissingKey"),
            ("another path", other(&stream.by_url(&stream.url("other"), &long), "other", &path), "AccessDenied"),
            ("another path, cookies", Ask { url: url.clone(), cookies: elsewhere }, "AccessDenied"),
            ("another query", Ask { url: with(&canned.url, "start=5"), ..Ask::default() }, "AccessDenied"),
            ("the URL counts, not the cookies", Ask { url: with(&url, "Expires=5"), ..cookies.clone() }, "MissingKey"),
        ]);
        for (what, asked, code) in &refused {
            let got = ask(asked);
            assert_eq!((got.status, &*got.cache_control), (403, "no-store"), "{what}: {path}");
            let body = String::from_utf8_lossy(&got.body).into_owned();
            assert!(body.contains(&format!("<Code>{code}</Code>")), "{what}: {path}: {body}");
            assert_eq!(ask(&good).status, 200, "a refusal ({what}) is kept: {path}");
        }
        assert_eq!(ask(&Ask { cookies: Some("CloudFront-Policy=x".to_owned()), ..good }).status, 200, "the URL counts");
    }
}

/// STANDARDS 7.6 and 7.14: what a wildcard covers, and that all who may see have one object in the cache.
#[test]
fn wildcards_and_one_object_for_all_signatures() {
    let stream = Stream::start();
    let newest = stream.server.viewer("demo").newest(&stream.rendition).unwrap();
    let (index, segment) =
        (stream.url("index.m3u8"), stream.url(&format!("{}/{}.m4s", stream.rendition, newest.saturating_sub(1))));
    let host = index.trim_start_matches("http://");
    for (resource, for_index, for_segment) in [
        (stream.url("*"), 200, 200),
        (stream.url("*.m3u8"), 200, 403),
        (stream.url("?ndex.m3u8"), 200, 403),
        (stream.url("?index.m3u8"), 403, 403),
        (stream.url("*.m4s"), 403, 200),
        (format!("*://{}", host.replace("index.m3u8", "*")), 200, 200),
        (format!("https://{}", host.replace("index.m3u8", "*")), 403, 403),
        ("http://*/live/demo/*".to_owned(), 200, 200),
        ("http://*.example/live/demo/*".to_owned(), 403, 403),
    ] {
        let terms = ["--resource", &*resource, "--expires", "1h"];
        assert_eq!(ask(&stream.by_url(&index, &terms)).status, for_index, "{resource}");
        assert_eq!(ask(&stream.by_cookies(&segment, &terms)).status, for_segment, "{resource}");
    }

    // A URL that nobody asked for yet: a refusal first, then four signatures, of which one is a miss.
    let fresh = stream.url(&format!("{}/{newest}.m4s", stream.rendition));
    let every = stream.url("*");
    let (hits, misses) = (stream.metric("hit"), stream.metric("miss"));
    assert_eq!(ask(&Ask { url: fresh.clone(), cookies: None }).status, 403);
    let bodies: Vec<Vec<u8>> = [
        stream.by_url(&fresh, &["--expires", "1h"]),
        stream.by_url(&fresh, &["--resource", &every, "--expires", "1h"]),
        stream.by_url(&fresh, &["--resource", &every, "--expires", "2h"]),
        stream.by_cookies(&fresh, &["--resource", &every, "--expires", "1h"]),
    ]
    .iter()
    .map(|asked| {
        let got = ask(asked);
        assert_eq!(got.status, 200);
        got.body
    })
    .collect();
    assert!(bodies.windows(2).all(|two| two[0] == two[1]));
    assert_eq!((stream.metric("miss") - misses, stream.metric("hit") - hits), (1.0, 3.0));
}

/// STANDARDS 7.10 and 7.12: a signature ends while its viewer watches, also for the next range of the same file; a new key is
/// trusted without a restart, and what the old one signed opens nothing once it is gone.
#[test]
fn signatures_end_and_keys_are_rotated_before_a_warm_cache() {
    let stream = Stream::start();
    let newest = stream.server.viewer("demo").newest(&stream.rendition).unwrap();
    let segment = stream.url(&format!("{}/{newest}.m4s", stream.rendition));
    let range = |asked: &Ask| {
        let path = asked.url.replace(&stream.edge.url("http", ""), "");
        stream.edge.status("http", &path, &["--range", "0-99"])
    };
    let short = stream.by_url(&segment, &["--expires", "4s"]);
    assert_eq!((ask(&short).status, range(&short)), (200, 206));
    wait_for("the end of the signature", UP, || (ask(&short).status == 403).then_some(()));
    assert_eq!(range(&short), 403);

    let old = stream.by_url(&segment, &["--expires", "1h"]);
    assert_eq!(ask(&old).status, 200);
    let made = stream.server.command(&["key", "create", "--out", "new.pem", "--json"]).unwrap();
    let id = serde_json::from_str::<Value>(&made).unwrap()["key_pair_id"].as_str().unwrap().to_owned();
    let key = ["--key-file", "new.pem", "--key-pair-id", &id, "--expires", "1h"];
    let new = stream.server.command(&[&["sign", &*segment][..], &key].concat()).unwrap();
    let new = Ask { url: new.trim().to_owned(), cookies: None };
    wait_for("trust in the new key", UP, || (ask(&new).status == 200).then_some(()));
    assert_eq!(ask(&old).status, 200, "both are trusted meanwhile");
    std::fs::remove_file(stream.server.folder().join(format!("data/keys/{}.pem", stream.id))).unwrap();
    wait_for("the end of the old key", UP, || (ask(&old).status == 403).then_some(()));
    assert_eq!(ask(&new).status, 200);
}
