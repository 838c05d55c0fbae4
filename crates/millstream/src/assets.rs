//! The web pages, built by Vite into `web/dist` and embedded in the binary.
//!
//! Scripts and styles have a hash of their content in their names and are kept by caches for ever; pages are asked
//! for again each time. The policy of the pages lets them talk to this server and to nobody else.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use millstream_delivery::screen::Rules;
use rust_embed::{Embed, EmbeddedFile};

#[derive(Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/dist"]
struct Dist;

/// Scripts from this server only; media through `blob:` for Media Source Extensions, whose worker is a blob, too.
const POLICY: &str = "default-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; img-src 'self' data: blob:; \
                      style-src 'self' 'unsafe-inline'; connect-src 'self'; object-src 'none'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors ";
/// Smaller files are sent as they are.
const COMPRESS_FROM: usize = 1024;
/// Most compressed files kept. A build has about twenty; only a development build, whose files change, reaches it.
const COMPRESSED_FILES: usize = 128;

/// The routes of the pages and their assets. `rules` say which sites may show a channel's pages in a frame.
pub fn router(rules: Rules) -> Router {
    let rules = Arc::new(rules);
    let shown = move |file: &'static str, media: &'static str, otherwise: &'static str| {
        let rules = Arc::clone(&rules);
        get(move |Path(name): Path<String>, headers: HeaderMap| async move {
            let ancestors = ancestors(&rules, &format!("{media}{name}/"), otherwise);
            page(file, headers, &ancestors).await
        })
    };
    Router::new()
        .route("/", get(|headers| page("index.html", headers, "'self'")))
        .route("/watch/{channel}", shown("watch.html", "/live/", "'self'"))
        .route("/watch/vod/{asset}", shown("watch.html", "/vod/", "'self'"))
        .route("/embed/{channel}", shown("embed.html", "/live/", "*"))
        .route("/assets/{*path}", get(asset))
}

/// Who may show a page in a frame: the sites that may play what it plays, else `otherwise`.
fn ancestors(rules: &Rules, media: &str, otherwise: &str) -> String {
    match rules.sites(media) {
        None => otherwise.to_owned(),
        Some(sites) => sites.into_iter().fold("'self'".to_owned(), |all, site| all + " " + site.text()),
    }
}

async fn page(name: &'static str, headers: HeaderMap, frame_ancestors: &str) -> Response {
    let Some(file) = Dist::get(name) else {
        let message = "this page was not built into this server; run `make build` and start it again\n";
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    let mut response = answer(name, file, &headers, "no-cache");
    let policy = HeaderValue::try_from(format!("{POLICY}{frame_ancestors}"));
    if let Ok(policy) = policy {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    // A development build reads from the folder, so the path must not lead out of it.
    let plain = !path.split('/').any(|part| part.starts_with('.'));
    let file = plain.then(|| Dist::get(&format!("assets/{path}"))).flatten();
    let Some(file) = file else { return StatusCode::NOT_FOUND.into_response() };
    let cache = if is_hashed(&path) { "public, max-age=31536000, immutable" } else { "no-cache" };
    answer(&path, file, &headers, cache)
}

fn answer(name: &str, file: EmbeddedFile, headers: &HeaderMap, cache: &'static str) -> Response {
    let (content_type, compressible) = content_type(name);
    let hash = file.metadata.sha256_hash();
    let gzip = compressible && file.data.len() >= COMPRESS_FROM && accepts_gzip(headers);
    let digits: String = hash.iter().take(12).map(|b| format!("{b:02x}")).collect();
    let etag = format!("\"{digits}{}\"", if gzip { "-gz" } else { "" });
    let mut response = if is_known(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else if gzip {
        ([(header::CONTENT_ENCODING, "gzip")], compressed(hash, &file.data)).into_response()
    } else {
        match file.data {
            std::borrow::Cow::Borrowed(data) => Bytes::from_static(data).into_response(),
            std::borrow::Cow::Owned(data) => data.into_response(),
        }
    };
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, cache),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "accept-encoding"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(etag) = HeaderValue::try_from(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Vite's names: eight characters of a hash before the extension, `watch-BNSf9YDR.js`.
fn is_hashed(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split('.').next().unwrap_or(file).as_bytes();
    stem.len() > 9 && stem.get(stem.len() - 9) == Some(&b'-')
}

/// The media type of a file, and whether it is text that gets smaller.
fn content_type(name: &str) -> (&'static str, bool) {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => ("text/html; charset=utf-8", true),
        "js" | "mjs" => ("text/javascript; charset=utf-8", true),
        "css" => ("text/css; charset=utf-8", true),
        "svg" => ("image/svg+xml", true),
        "json" | "map" => ("application/json", true),
        "webmanifest" => ("application/manifest+json", true),
        "txt" => ("text/plain; charset=utf-8", true),
        "wasm" => ("application/wasm", true),
        "png" => ("image/png", false),
        "jpg" | "jpeg" => ("image/jpeg", false),
        "webp" => ("image/webp", false),
        "ico" => ("image/x-icon", false),
        "woff2" => ("font/woff2", false),
        _ => ("application/octet-stream", false),
    }
}

/// Whether `Accept-Encoding` has gzip with a weight above 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    accepted.flat_map(|list| list.split(',')).any(|item| {
        let (coding, weight) = item.split_once(';').unwrap_or((item, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
        coding.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|q| q > 0.0)
    })
}

/// Whether `If-None-Match` has this tag (weak comparison, RFC 9110 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    known.flat_map(|list| list.split(',')).map(str::trim).any(|t| t == "*" || t.trim_start_matches("W/") == etag)
}

/// The file compressed: once, then kept.
fn compressed(hash: [u8; 32], data: &[u8]) -> Bytes {
    static KEPT: LazyLock<Mutex<BTreeMap<[u8; 32], Bytes>>> = LazyLock::new(Mutex::default);
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = kept().get(&hash) {
        return bytes.clone();
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(data.len() / 3), Compression::best());
    // Writing to memory does not fail.
    let written = encoder.write_all(data).and_then(|()| encoder.finish());
    let bytes = Bytes::from(written.unwrap_or_default());
    let mut kept = kept();
    if kept.len() >= COMPRESSED_FILES {
        kept.clear();
    }
    kept.insert(hash, bytes.clone());
    bytes
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use millstream_delivery::screen::{Rule, Site};
    use tower::ServiceExt as _;

    use super::*;

    async fn get(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = router(Rules::default()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn the_console_is_served_with_its_policy() {
        let (status, headers, body) = get("/", &[]).await;
        assert_eq!(status, 200);
        assert!(body.starts_with(b"<!doctype html>"));
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("connect-src 'self'") && policy.ends_with("frame-ancestors 'self'"), "{policy}");

        let etag = headers["etag"].to_str().unwrap();
        let (status, headers, body) = get("/", &[("if-none-match", &format!("\"x\", W/{etag}"))]).await;
        assert_eq!((status.as_u16(), body.len()), (304, 0));
        assert_eq!(headers["etag"], etag);
    }

    #[tokio::test]
    async fn only_the_embed_page_may_be_framed_by_others() {
        for (path, ancestors) in [("/watch/demo", "'self'"), ("/watch/vod/x", "'self'"), ("/embed/demo", "*")] {
            let (status, headers, body) = get(path, &[]).await;
            // A checkout whose pages were not built has the console's placeholder only.
            if status == 404 {
                assert!(body.starts_with(b"this page was not built"), "{path}");
                continue;
            }
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.ends_with(&format!("frame-ancestors {ancestors}")), "{path}: {policy}");
        }
    }

    #[test]
    fn sites_that_may_play_a_channel_may_show_its_pages() {
        let sites = ["https://partner.example", "https://*.app.example"].map(|text| Site::parse(text).unwrap());
        let (allow, deny) = (vec![], vec![]);
        let path = "/live/news/".to_owned();
        let rules = Rules(vec![Rule { path, allow, deny, unknown: true, sites: sites.to_vec(), without_site: true }]);
        let listed = "'self' https://partner.example https://*.app.example";
        assert_eq!(ancestors(&rules, "/live/news/", "*"), listed);
        assert_eq!(ancestors(&rules, "/live/newsroom/", "*"), "*");
    }

    #[tokio::test]
    async fn assets_are_kept_for_ever_and_sent_compressed() {
        for name in Dist::iter().filter(|name| name.starts_with("assets/")) {
            let (status, plain, body) = get(&format!("/{name}"), &[]).await;
            assert_eq!(status, 200, "{name}");
            assert_eq!(plain["cache-control"], "public, max-age=31536000, immutable", "{name}");
            let (_, headers, small) = get(&format!("/{name}"), &[("accept-encoding", "br, gzip;q=0.8")]).await;
            if let Some(encoding) = headers.get("content-encoding") {
                assert!(encoding == "gzip" && small.len() < body.len() && headers["etag"] != plain["etag"], "{name}");
            }
        }
        for path in ["/assets/nothing-12345678.js", "/assets/../index.html", "/assets/%2e%2e/index.html", "/assets/"] {
            assert_eq!(get(path, &[]).await.0, 404, "{path}");
        }
    }

    #[test]
    fn names_with_a_hash() {
        for hashed in ["watch-BNSf9YDR.js", "index-_ZsPDXJh.css", "deep/er/a-12345678.svg", "a-b-12345678.js.map"] {
            assert!(is_hashed(hashed), "{hashed}");
        }
        for plain in ["logo.svg", "some-name.js", "-12345678.js", "a-1234567.js"] {
            assert!(!is_hashed(plain), "{plain}");
        }
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for (value, yes) in
            [("gzip", true), ("GZIP", true), ("br;q=1, gzip;q=0.1", true), ("gzip;q=0", false), ("br", false)]
        {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), yes, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
