//! Who may use the API: only callers on this machine, until there are accounts.
//!
//! Three rules, because a browser on this machine carries other people's pages:
//! the peer is a loopback address and no proxy speaks for somebody else;
//! `Host` is `localhost`, an IP address or a configured name, so that a foreign name that resolves to this machine is
//! refused (DNS rebinding); `Origin`, if there is one, is the API's own (cross-site requests).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, header};

use super::ApiState;
use super::problem::Problem;

/// The peer of a connection; the server inserts it into every request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Lets through what the three rules allow.
pub(super) async fn local_only(State(state): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    guarded(&state.hosts, request, next).await
}

/// The same for routes that work on something else.
pub(super) async fn local_only_under(State(hosts): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    guarded(&hosts, request, next).await
}

async fn guarded(hosts: &[String], request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<PeerAddr>().copied();
    let authority = request.uri().authority();
    match check(peer, request.headers(), authority, hosts) {
        Ok(()) => next.run(request).await,
        Err(detail) => Problem::new(StatusCode::FORBIDDEN, detail).into_response(),
    }
}

fn check(
    peer: Option<PeerAddr>,
    headers: &HeaderMap,
    authority: Option<&Authority>,
    hosts: &[String],
) -> Result<(), String> {
    let local = peer.is_some_and(|p| p.0.ip().to_canonical().is_loopback());
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| headers.contains_key(*name));
    if !local || forwarded {
        return Err("the API answers only this machine; run the command on the server itself, or through \
                    `ssh -L 8080:127.0.0.1:8080 SERVER`"
            .into());
    }
    let host = match (authority, headers.get(header::HOST)) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(host)) => host.to_str().ok().and_then(|h| h.parse::<Authority>().ok()),
        (None, None) => None,
    };
    let Some(host) = host else {
        return Err("the request has no Host; ask for the API by the server's address".into());
    };
    if !host_allowed(host.host(), hosts) {
        return Err("the API is not asked under this name; use localhost or the server's IP address, or add the name \
                    to hosts in [server] of the configuration file"
            .into());
    }
    match headers.get(header::ORIGIN).map(|o| o.to_str().unwrap_or_default()) {
        None => Ok(()),
        Some(origin) if same_origin(origin, &host) => Ok(()),
        Some(_) => Err("a page of another site may not use the API; open the console of this server".into()),
    }
}

fn host_allowed(host: &str, hosts: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok()
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(bare))
}

fn same_origin(origin: &str, host: &Authority) -> bool {
    let (default_port, rest) = match origin.split_once("://") {
        Some(("http", rest)) => (80, rest),
        Some(("https", rest)) => (443, rest),
        _ => return false,
    };
    let Ok(origin) = rest.parse::<Authority>() else { return false };
    let port = |a: &Authority| a.port_u16().unwrap_or(default_port);
    origin.host().eq_ignore_ascii_case(host.host()) && port(&origin) == port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(peer: &str, headers: &[(&'static str, &'static str)]) -> Result<(), String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        check(Some(PeerAddr(peer.parse().unwrap())), &map, None, &["media.example".to_owned()])
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
        assert!(check(None, &HeaderMap::new(), None, &[]).is_err(), "a peer that nobody named is not let in");
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
}
