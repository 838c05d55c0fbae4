//! What proxies say of viewers: no header panics, nobody but a trusted proxy is believed, and what is believed is one of the
//! values that were sent.
//!
//! The input: the peer's address, then lines of headers.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderName, HeaderValue, Request};
use millstream_access::network::Network;
use millstream_delivery::answer::Peer;
use millstream_delivery::viewer::{Proxies, ProxyHeaders, Viewer};

/// Bytes held for each byte of input: a line of two bytes is an entry of a map of headers.
pub const PER_BYTE: usize = 512;

/// Panics if a promise is broken.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let address = first.parse().unwrap_or(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    let mut request = Request::new(());
    // As many as our HTTP servers take.
    for line in lines.take(100) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.trim())) {
            request.headers_mut().append(name, value);
        }
    }
    let networks = ["10.0.0.0/8", "2001:db8::/32"].iter().filter_map(|network| Network::parse(network).ok());
    let networks: Vec<_> = networks.collect();
    let values: Vec<&str> = request.headers().values().filter_map(|value| value.to_str().ok()).collect();
    for tls in [false, true] {
        let peer = Peer { address: SocketAddr::new(address, 1), tls, certified: false };
        let own = if tls { "https" } else { "http" };
        for headers in [ProxyHeaders::XForwarded, ProxyHeaders::CloudFront] {
            let proxies = Proxies { networks: networks.clone(), headers };
            let viewer = Viewer::of(&request, peer, &proxies);
            assert!(["http", "https"].contains(&viewer.scheme));
            for said in [viewer.host, viewer.country.unwrap_or_default()] {
                assert!(said.is_empty() || values.iter().any(|value| value.contains(said)), "{said}");
            }
            if !proxies.include(address) {
                assert_eq!(
                    (viewer.address, viewer.scheme, viewer.country),
                    (address, own, None),
                    "a viewer is believed"
                );
            }
            // Who is not trusted is not believed, whatever else holds.
            let nobody = Viewer::of(&request, peer, &Proxies { networks: Vec::new(), headers });
            assert_eq!((nobody.address, nobody.scheme, nobody.country), (address, own, None));
        }
    }
}
