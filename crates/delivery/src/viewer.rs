//! The viewer of a request: scheme, host and address that it used, behind whatever proxies there are.
//!
//! What a connection is says the server that has it. Headers say more only if they come from a proxy that is trusted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::Request;
use http::header::{self, HeaderMap, HeaderName};
use millstream_access::network::Network;

use crate::answer::{Answer, Delivery, Peer};

/// Most elements of `X-Forwarded-For` that are looked at, from the last one.
const MAX_HOPS: usize = 20;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const CLOUDFRONT_PROTO: HeaderName = HeaderName::from_static("cloudfront-forwarded-proto");
const CLOUDFRONT_ADDRESS: HeaderName = HeaderName::from_static("cloudfront-viewer-address");
const CLOUDFRONT_COUNTRY: HeaderName = HeaderName::from_static("cloudfront-viewer-country");

/// Which headers a proxy sets itself, so that its word is not the viewer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeaders {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    #[default]
    XForwarded,
    /// `CloudFront-Viewer-Address`, `-Forwarded-Proto` and `-Viewer-Country`; without them `X-Forwarded-For` and `-Proto`,
    /// which load balancers behind CloudFront add. The host is that of the request.
    CloudFront,
}

/// The proxies in front of a server.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Where they are. Nobody else's headers are believed.
    pub networks: Vec<Network>,
    /// What they set.
    pub headers: ProxyHeaders,
}

impl Proxies {
    /// Whether a connection from here is one of theirs.
    pub fn include(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// What a viewer used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Name and port as the viewer wrote them.
    pub host: &'a str,
    /// The viewer's own address.
    pub address: IpAddr,
    /// The country that the proxy says, as it wrote it.
    pub country: Option<&'a str>,
}

impl<'a> Viewer<'a> {
    /// The viewer of a request that came over this connection.
    pub fn of(request: &'a Request<()>, peer: Peer, proxies: &Proxies) -> Self {
        let headers = request.headers();
        let host = || headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut viewer = Viewer {
            scheme: if peer.tls { "https" } else { "http" },
            host: request.uri().authority().map_or_else(host, |authority| authority.as_str()),
            address: peer.address.ip(),
            country: None,
        };
        if !proxies.include(peer.address.ip()) {
            return viewer;
        }
        let cloudfront = proxies.headers == ProxyHeaders::CloudFront;
        let said = |name: &HeaderName| last(headers, name).filter(|_| cloudfront);
        if let Some(scheme @ ("http" | "https")) = said(&CLOUDFRONT_PROTO).or_else(|| last(headers, &X_FORWARDED_PROTO))
        {
            viewer.scheme = scheme;
        }
        if let Some(host) = last(headers, &X_FORWARDED_HOST).filter(|_| !cloudfront) {
            viewer.host = host;
        }
        viewer.country = said(&CLOUDFRONT_COUNTRY);
        if let Some(text) = said(&CLOUDFRONT_ADDRESS) {
            // It is always there if CloudFront was told to send it, so one that cannot be read is nobody's.
            viewer.address = before_port(text).unwrap_or(viewer.address);
            return viewer;
        }
        // From the last proxy back to the first address that none of them is.
        for hop in backwards(headers, &X_FORWARDED_FOR).take(MAX_HOPS) {
            let Some(address) = address(hop) else { break };
            viewer.address = address;
            if !proxies.include(address) {
                break;
            }
        }
        viewer
    }
}

/// What answers, told of viewers instead of the proxies in front: it counts and limits by address.
pub struct BehindProxies {
    inner: Arc<dyn Delivery>,
    proxies: Proxies,
}

impl BehindProxies {
    /// Tells `inner` the addresses that these proxies say.
    pub fn new(inner: Arc<dyn Delivery>, proxies: Proxies) -> Self {
        BehindProxies { inner, proxies }
    }
}

impl Delivery for BehindProxies {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        let viewer = Viewer::of(request, peer, &self.proxies).address;
        self.inner.answer(request, Peer { address: SocketAddr::new(viewer, peer.address.port()), ..peer })
    }
}

/// Elements of a list header, the last one first.
fn backwards<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .rev()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.rsplit(','))
        .map(str::trim)
}

fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    backwards(headers, name).next().filter(|value| !value.is_empty())
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// `ADDRESS:PORT`, where CloudFront writes IPv6 without brackets.
fn before_port(text: &str) -> Option<IpAddr> {
    let (address, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(headers: &[(&str, &str)], peer: &str, tls: bool, kind: ProxyHeaders) -> (String, String, String, String) {
        let mut request = Request::builder().uri("/live/demo/v/1.m4s").header("host", "own.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let peer = Peer { address: SocketAddr::new(peer.parse().unwrap(), 1), tls, certified: false };
        let proxies = Proxies { networks: vec![Network::parse("10.0.0.0/8").unwrap()], headers: kind };
        let viewer = Viewer::of(&request, peer, &proxies);
        (
            viewer.scheme.to_owned(),
            viewer.host.to_owned(),
            viewer.address.to_string(),
            viewer.country.unwrap_or("-").to_owned(),
        )
    }

    #[test]
    fn headers_count_from_trusted_proxies_and_only_those_that_they_set() {
        let all = [
            ("x-forwarded-for", "203.0.113.9, 192.0.2.7, 10.9.9.9"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "public.example"),
            ("cloudfront-forwarded-proto", "https"),
            ("cloudfront-viewer-address", "198.51.100.10:46532"),
            ("cloudfront-viewer-country", "DE"),
        ];
        let want = |scheme: &str, host: &str, address: &str, country: &str| {
            (scheme.to_owned(), host.to_owned(), address.to_owned(), country.to_owned())
        };
        for kind in [ProxyHeaders::XForwarded, ProxyHeaders::CloudFront] {
            assert_eq!(seen(&all, "192.0.2.1", true, kind), want("https", "own.example", "192.0.2.1", "-"));
            assert_eq!(seen(&all, "192.0.2.1", false, kind), want("http", "own.example", "192.0.2.1", "-"));
            assert_eq!(seen(&[], "10.0.0.1", true, kind), want("https", "own.example", "10.0.0.1", "-"));
        }
        assert_eq!(
            seen(&all, "10.0.0.1", true, ProxyHeaders::XForwarded),
            want("http", "public.example", "192.0.2.7", "-"),
            "a viewer's own CloudFront headers pass through other proxies"
        );
        assert_eq!(
            seen(&all, "10.0.0.1", false, ProxyHeaders::CloudFront),
            want("https", "own.example", "198.51.100.10", "DE"),
            "CloudFront passes a viewer's own X-Forwarded-Host on"
        );
        assert_eq!(
            seen(&all[..3], "10.0.0.1", true, ProxyHeaders::CloudFront),
            want("http", "own.example", "192.0.2.7", "-")
        );
    }

    #[test]
    fn what_answers_is_told_of_viewers() {
        struct Seen(std::sync::Mutex<Vec<String>>);
        impl Delivery for Seen {
            fn answer(&self, _: &Request<()>, peer: Peer) -> Answer {
                self.0.lock().unwrap().push(peer.address.ip().to_string());
                Answer::ready(millstream_telemetry::RequestKind::Other, crate::respond::not_found("nothing\n"))
            }
        }
        let seen = Arc::new(Seen(std::sync::Mutex::default()));
        let proxies = Proxies { networks: vec![Network::parse("10.0.0.0/8").unwrap()], ..Proxies::default() };
        let behind = BehindProxies::new(Arc::<Seen>::clone(&seen), proxies);
        let request = Request::builder().header("x-forwarded-for", "192.0.2.7").body(()).unwrap();
        for peer in ["10.0.0.1:1", "198.51.100.1:1"] {
            behind.answer(&request, Peer::plain(peer.parse().unwrap()));
        }
        assert_eq!(*seen.0.lock().unwrap(), ["192.0.2.7", "198.51.100.1"]);
    }

    #[test]
    fn addresses_as_proxies_write_them() {
        for (text, want) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7:5555", Some("192.0.2.7")),
            ("[2001:db8::1]:5", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("unknown", None),
        ] {
            assert_eq!(address(text), want.map(|w| w.parse().unwrap()), "{text}");
        }
        for (text, want) in [
            ("192.0.2.7:5555", Some("192.0.2.7")),
            ("2001:0db8:85a3:0:0:8a2e:0370:7334:443", Some("2001:db8:85a3::8a2e:370:7334")),
            ("192.0.2.7", None),
            ("x:1", None),
        ] {
            assert_eq!(before_port(text), want.map(|w| w.parse().unwrap()), "{text}");
        }
    }
}
