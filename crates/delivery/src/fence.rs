//! The fence around an origin: only the edges and CDNs that it knows get an answer, whatever a viewer presents.
//!
//! A request must satisfy all that is configured: a secret in a header, a network, a client certificate. A refusal is
//! `no-store`, so that it is kept nowhere on the way.

use std::sync::{Arc, PoisonError, RwLock};

use http::header::HeaderName;
use http::{Request, Response, StatusCode};
use millstream_access::network::Network;
use millstream_access::secret::Secret;
use millstream_telemetry::RequestKind;

use crate::answer::{Answer, Delivery, Peer};
use crate::body::Body;
use crate::respond::{self, CacheLife};
use crate::viewer::{Proxies, Viewer};

/// Secrets that are valid at once: the one in use, and the next one.
pub const MAX_SECRETS: usize = 2;

/// The secrets that are valid now; they change while the server runs.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<RwLock<Arc<[Secret]>>>);

impl Secrets {
    /// These are valid, and no others; further ones than [`MAX_SECRETS`] are left out.
    pub fn replace(&self, secrets: &[Secret]) {
        let taken = secrets.get(..secrets.len().min(MAX_SECRETS)).unwrap_or_default();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = taken.into();
    }

    fn accept(&self, presented: &[u8]) -> bool {
        let now = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        // Each is compared, so that the time does not say which one it was.
        now.iter().fold(false, |found, secret| found | (!secret.expose().is_empty() & secret.matches(presented)))
    }
}

/// What a request must satisfy.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// One of these secrets in this header, once.
    pub secret: Option<(HeaderName, Secrets)>,
    /// It comes from one of these networks; any if empty.
    pub networks: Vec<Network>,
    /// The connection showed a client certificate that is trusted.
    pub certificate: bool,
    /// Proxies whose word about the address counts.
    pub proxies: Proxies,
}

impl Rules {
    /// Whether anything is asked for.
    pub fn are_empty(&self) -> bool {
        self.secret.is_none() && self.networks.is_empty() && !self.certificate
    }

    fn admit(&self, request: &Request<()>, peer: Peer) -> bool {
        if self.certificate && !peer.certified {
            return false;
        }
        if !self.networks.is_empty() {
            let address = Viewer::of(request, peer, &self.proxies).address;
            if !self.networks.iter().any(|network| network.contains(address)) {
                return false;
            }
        }
        let Some((name, secrets)) = &self.secret else { return true };
        let mut presented = request.headers().get_all(name).iter();
        match (presented.next(), presented.next()) {
            (Some(value), None) => secrets.accept(value.as_bytes()),
            _ => false,
        }
    }
}

/// What answers, behind a fence.
pub struct Fenced {
    inner: Arc<dyn Delivery>,
    rules: Rules,
}

impl Fenced {
    /// Puts the fence in front of `inner`.
    pub fn new(inner: Arc<dyn Delivery>, rules: Rules) -> Self {
        Fenced { inner, rules }
    }
}

impl Delivery for Fenced {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        if self.rules.admit(request, peer) {
            return self.inner.answer(request, peer);
        }
        Answer::ready(RequestKind::Other, refused())
    }
}

fn refused() -> Response<Body> {
    let text = "this origin answers only the edges and CDNs that it knows; ask the public address of the stream\n";
    respond::plain(StatusCode::FORBIDDEN, text, CacheLife::NoStore)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::HeaderValue;

    use super::*;
    use crate::answer::Reply;

    struct All;

    impl Delivery for All {
        fn answer(&self, _: &Request<()>, _: Peer) -> Answer {
            Answer::ready(RequestKind::Segment, Response::new(Body::empty()))
        }
    }

    fn ask(rules: &Rules, values: &[&str], peer: &str, certified: bool) -> Response<Body> {
        let fenced = Fenced::new(Arc::new(All), rules.clone());
        let mut request = Request::new(());
        *request.uri_mut() = "/live/demo/v/1.m4s".parse().unwrap();
        for value in values {
            request.headers_mut().append("x-mediapackage-cdnidentifier", HeaderValue::from_str(value).unwrap());
        }
        let peer = Peer { address: SocketAddr::new(peer.parse().unwrap(), 1), tls: certified, certified };
        match fenced.answer(&request, peer).reply {
            Reply::Ready(response) => response,
            Reply::Later(_) => panic!("nothing waits here"),
        }
    }

    fn secret(texts: &[&str]) -> Rules {
        let secrets = Secrets::default();
        secrets.replace(&texts.iter().map(|text| Secret::new(*text)).collect::<Vec<_>>());
        let name = HeaderName::from_static("x-mediapackage-cdnidentifier");
        Rules { secret: Some((name, secrets)), ..Rules::default() }
    }

    #[test]
    fn two_secrets_are_valid_at_once_and_each_only_as_long_as_it_is_set() {
        let rules = secret(&["the-old-secret-of-edges", "the-new-secret-of-edges"]);
        let status = |values: &[&str]| ask(&rules, values, "192.0.2.1", false).status().as_u16();
        for (values, want) in [
            (&["the-old-secret-of-edges"][..], 200),
            (&["the-new-secret-of-edges"], 200),
            (&["the-new-secret-of-edge"], 403),
            (&[""], 403),
            (&[], 403),
            (&["the-old-secret-of-edges", "the-old-secret-of-edges"], 403),
        ] {
            assert_eq!(status(values), want, "{values:?}");
        }
        let (_, secrets) = rules.secret.as_ref().unwrap();
        secrets.replace(&[Secret::new("the-new-secret-of-edges")]);
        assert_eq!((status(&["the-old-secret-of-edges"]), status(&["the-new-secret-of-edges"])), (403, 200));
        secrets.replace(&[Secret::new("")]);
        assert_eq!((status(&[""]), status(&[])), (403, 403), "an empty one lets nobody in");
    }

    #[test]
    fn everything_that_is_configured_must_hold() {
        let network = |text| Network::parse(text).unwrap();
        let all = Rules { networks: vec![network("10.0.0.0/8")], certificate: true, ..secret(&["a-secret-of-edges"]) };
        for (value, peer, certified, want) in [
            ("a-secret-of-edges", "10.1.1.1", true, 200),
            ("a-secret-of-edges", "10.1.1.1", false, 403),
            ("a-secret-of-edges", "11.1.1.1", true, 403),
            ("another", "10.1.1.1", true, 403),
        ] {
            assert_eq!(ask(&all, &[value], peer, certified).status(), want, "{value} {peer} {certified}");
        }
        assert_eq!(ask(&Rules::default(), &[], "192.0.2.1", false).status(), 200);
        let refused = ask(&all, &[], "192.0.2.1", false);
        assert_eq!(refused.headers()["cache-control"], "no-store");
    }
}
