//! How often one address may do something, and media requests at such a rate. Time is a parameter.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use millstream_access::network::Network;
pub use millstream_access::network::client;
use millstream_media::time::{Clock, MonoTime};
use millstream_telemetry::RequestKind;

use crate::answer::{Answer, Delivery, Peer};
use crate::body::Body;
use crate::respond::{self, CacheLife};
use crate::viewer::{Proxies, Viewer};

/// Addresses remembered; one more, and all are forgotten. Each then has its burst again.
const MAX_ADDRESSES: usize = 100_000;
/// What one time costs; a millisecond adds the rate.
const ONE: u64 = 1000;

#[derive(Clone, Copy, Debug)]
struct Client {
    credit: u64,
    seen: MonoTime,
}

/// A rate that each address has for itself, with twice that in a burst. An IPv6 /64 counts as one; loopback has none.
#[derive(Debug)]
pub struct Rates {
    per_second: u32,
    free: Vec<Network>,
    clients: Mutex<HashMap<IpAddr, Client>>,
}

impl Rates {
    /// So many times a second; zero is no limit. Those in `free` have none.
    pub fn new(per_second: u32, free: Vec<Network>) -> Self {
        Rates { per_second, free, clients: Mutex::default() }
    }

    /// Counts one time; false if it is one too many.
    pub fn take_at(&self, address: IpAddr, now: MonoTime) -> bool {
        let address = address.to_canonical();
        if self.per_second == 0 || address.is_loopback() || self.free.iter().any(|free| free.contains(address)) {
            return true;
        }
        let full = u64::from(self.per_second) * 2 * ONE;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let network = client(address);
        if clients.len() >= MAX_ADDRESSES && !clients.contains_key(&network) {
            clients.clear();
        }
        let client = clients.entry(network).or_insert(Client { credit: full, seen: now });
        let millis = u64::try_from(now.since(client.seen).as_millis()).unwrap_or(u64::MAX);
        if millis > 0 {
            client.credit = client.credit.saturating_add(millis.saturating_mul(self.per_second.into())).min(full);
            // What is less than a millisecond counts the next time.
            client.seen = client.seen + Duration::from_millis(millis);
        }
        let allowed = client.credit >= ONE;
        client.credit = client.credit.saturating_sub(if allowed { ONE } else { 0 });
        allowed
    }
}

/// What answers, as often as each viewer's address may ask.
pub struct Paced {
    inner: Arc<dyn Delivery>,
    rates: Rates,
    /// Connections from here are edges, which ask for many viewers.
    edges: Vec<Network>,
    proxies: Proxies,
    clock: Arc<dyn Clock>,
}

impl Paced {
    /// Puts the rate in front of `inner`. It is that of the viewer that a trusted proxy says; a trusted proxy that says
    /// none has no limit, nor has an edge.
    pub fn new(
        inner: Arc<dyn Delivery>,
        per_second: u32,
        edges: Vec<Network>,
        proxies: Proxies,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let rates = Rates::new(per_second, proxies.networks.clone());
        Paced { inner, rates, edges, proxies, clock }
    }

    fn admit(&self, request: &Request<()>, peer: Peer) -> bool {
        let edge = self.edges.iter().any(|edge| edge.contains(peer.address.ip()));
        edge || self.rates.take_at(Viewer::of(request, peer, &self.proxies).address, self.clock.mono())
    }
}

impl Delivery for Paced {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        if self.admit(request, peer) {
            return self.inner.answer(request, peer);
        }
        Answer::ready(RequestKind::Other, too_many())
    }
}

/// 429: this address asks too often, or has too much waiting.
pub fn too_many() -> Response<Body> {
    let text = "too many requests from this address\n";
    let mut response = respond::plain(StatusCode::TOO_MANY_REQUESTS, text, CacheLife::NoStore);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicU64, Ordering};

    use millstream_media::time::UtcTime;

    use super::*;
    use crate::answer::Reply;

    fn at(ms: u64) -> MonoTime {
        MonoTime(Duration::from_millis(ms))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_of_two_seconds_and_then_the_rate() {
        let rates = Rates::new(10, vec![Network::parse("198.51.100.0/24").unwrap()]);
        let a = ip("192.0.2.1");
        assert_eq!((0..30).filter(|_| rates.take_at(a, at(0))).count(), 20);
        assert!(rates.take_at(ip("192.0.2.2"), at(0)), "another address");
        assert!(!rates.take_at(a, at(99)));
        assert!(rates.take_at(a, at(100)) && !rates.take_at(a, at(100)));
        assert!(!rates.take_at(ip("::ffff:192.0.2.1"), at(100)), "the same one, written as IPv6");
        for free in ["127.0.0.1", "::1", "198.51.100.7"] {
            assert!((0..1000).all(|_| rates.take_at(ip(free), at(0))), "{free}");
        }
        assert_eq!((0..30).filter(|_| rates.take_at(a, at(1_000_000))).count(), 20, "no more than a burst is saved up");
        let none = Rates::new(0, vec![]);
        assert!((0..1000).all(|_| none.take_at(a, at(0))));
    }

    #[test]
    fn who_asks_without_a_pause_has_the_whole_rate() {
        let rates = Rates::new(4000, vec![]);
        let asks = |n: u64| rates.take_at(ip("192.0.2.1"), MonoTime(Duration::from_micros(n * 190)));
        // More than 5000 a second for 19 s: 8000 at once, and 4000 in each second.
        let answered = (0..100_000).filter(|n| asks(*n)).count();
        assert!((83_990..=84_000).contains(&answered), "{answered}");
    }

    #[test]
    fn one_network_of_v6_is_one_client() {
        let rates = Rates::new(1, vec![]);
        let taken = |text: &str| rates.take_at(ip(text), at(0));
        assert!(taken("2001:db8::1") && taken("2001:db8::2") && !taken("2001:db8::3"));
        assert!(taken("2001:db8:0:1::1"));
    }

    #[test]
    fn addresses_without_end_take_bounded_memory() {
        let rates = Rates::new(1, vec![]);
        for n in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 10 {
            rates.take_at(IpAddr::V4(n.wrapping_add(0x0800_0000).into()), at(0));
        }
        assert_eq!(rates.clients.lock().unwrap().len(), 10);
    }

    struct Stopped(AtomicU64);

    impl Clock for Stopped {
        fn utc(&self) -> UtcTime {
            UtcTime::EPOCH
        }
        fn mono(&self) -> MonoTime {
            at(self.0.load(Ordering::Relaxed))
        }
    }

    struct All;

    impl Delivery for All {
        fn answer(&self, _: &Request<()>, _: Peer) -> Answer {
            Answer::ready(RequestKind::Segment, Response::new(Body::empty()))
        }
    }

    #[test]
    fn viewers_have_the_rate_and_edges_and_proxies_have_none() {
        let clock = Arc::new(Stopped(AtomicU64::new(0)));
        let network = |text| Network::parse(text).unwrap();
        let proxies = Proxies { networks: vec![network("10.0.0.0/8")], ..Proxies::default() };
        let paced =
            Paced::new(Arc::new(All), 1, vec![network("192.0.2.128/25")], proxies, Arc::<Stopped>::clone(&clock));
        let ask = |peer: &str, says: &str| {
            let mut request = Request::builder().uri("/live/demo/index.m3u8");
            if !says.is_empty() {
                request = request.header("x-forwarded-for", says);
            }
            let peer = Peer::plain(SocketAddr::new(ip(peer), 1));
            match paced.answer(&request.body(()).unwrap(), peer).reply {
                Reply::Ready(response) => response,
                Reply::Later(_) => panic!("nothing waits here"),
            }
        };
        let answered = |peer: &str, says: &str| (0..9).filter(|_| ask(peer, says).status() == 200).count();
        assert_eq!(answered("192.0.2.1", ""), 2);
        assert_eq!(answered("192.0.2.1", "198.51.100.1"), 0, "a viewer's own word of another address");
        assert_eq!(answered("192.0.2.129", ""), 9, "an edge");
        assert_eq!((answered("10.0.0.1", "198.51.100.1"), answered("10.0.0.2", "198.51.100.1")), (2, 0), "its viewer");
        assert_eq!(answered("10.0.0.1", "198.51.100.2"), 2, "another viewer of the same proxy");
        assert_eq!(answered("10.0.0.1", ""), 9, "a proxy that says no address asks for many");
        let refused = ask("192.0.2.1", "");
        let says = |name: &str| refused.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(refused.status(), 429);
        assert_eq!((says("retry-after").as_deref(), says("cache-control").as_deref()), (Some("1"), Some("no-store")));
        assert_eq!(says("access-control-allow-origin").as_deref(), Some("*"), "players on other sites read it");
        clock.0.store(1000, Ordering::Relaxed);
        assert_eq!(ask("192.0.2.1", "").status(), 200);
    }
}
