//! What one address may take: requests a second, and requests that wait. Time is a parameter.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Moment;

/// Addresses remembered; with more, those that have nothing waiting are forgotten.
const MAX_ADDRESSES: usize = 100_000;
/// A request's cost, and what is added for each millisecond and request per second.
const REQUEST: u64 = 1000;

#[derive(Clone, Copy, Debug)]
struct Client {
    waiting: u32,
    /// In thousandths of a request.
    credit: u64,
    seen: Moment,
}

/// The limits for each client address; an IPv6 /64 counts as one.
#[derive(Debug)]
pub struct Limits {
    per_second: u32,
    waiting: u32,
    clients: Mutex<HashMap<IpAddr, Client>>,
}

/// A request that waits; it counts until this is dropped.
#[derive(Debug)]
pub struct Waiting {
    limits: Arc<Limits>,
    address: Option<IpAddr>,
}

impl Limits {
    /// Zero is no limit.
    pub fn new(per_second: u32, waiting: u32) -> Self {
        Limits { per_second, waiting, clients: Mutex::default() }
    }

    /// Counts a request; false if it is one too many.
    pub fn request_at(&self, address: IpAddr, now: Moment) -> bool {
        if self.per_second == 0 || address.is_loopback() {
            return true;
        }
        let full = u64::from(self.per_second) * 2 * REQUEST;
        let mut clients = self.lock();
        let client = client(&mut clients, address, full, now);
        let millis = u64::try_from(now.since(client.seen).as_millis()).unwrap_or(u64::MAX);
        client.credit = client.credit.saturating_add(millis.saturating_mul(self.per_second.into())).min(full);
        client.seen = now;
        let allowed = client.credit >= REQUEST;
        client.credit = client.credit.saturating_sub(if allowed { REQUEST } else { 0 });
        allowed
    }

    /// Counts a request that waits; `None` if it is one too many.
    pub fn wait_at(self: &Arc<Self>, address: IpAddr, now: Moment) -> Option<Waiting> {
        if self.waiting == 0 || address.is_loopback() {
            return Some(Waiting { limits: Arc::clone(self), address: None });
        }
        let full = u64::from(self.per_second) * 2 * REQUEST;
        let mut clients = self.lock();
        let client = client(&mut clients, address, full, now);
        if client.waiting >= self.waiting {
            return None;
        }
        client.waiting += 1;
        Some(Waiting { limits: Arc::clone(self), address: Some(network(address)) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        if let Some(client) = self.limits.lock().get_mut(&address) {
            client.waiting = client.waiting.saturating_sub(1);
        }
    }
}

fn client(clients: &mut HashMap<IpAddr, Client>, address: IpAddr, full: u64, now: Moment) -> &mut Client {
    if clients.len() >= MAX_ADDRESSES {
        clients.retain(|_, client| client.waiting > 0);
    }
    clients.entry(network(address)).or_insert(Client { waiting: 0, credit: full, seen: now })
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_two_seconds_and_then_the_rate() {
        let limits = Limits::new(10, 0);
        let a: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!((0..30).filter(|_| limits.request_at(a, Moment(0))).count(), 20);
        assert!(limits.request_at("192.0.2.2".parse().unwrap(), Moment(0)), "another address");
        assert!(!limits.request_at(a, Moment(99)));
        assert!(limits.request_at(a, Moment(100)));
        assert!((0..1000).all(|_| limits.request_at("127.0.0.1".parse().unwrap(), Moment(0))), "loopback");
    }

    #[test]
    fn one_network_of_v6_is_one_client() {
        let limits = Arc::new(Limits::new(0, 1));
        let first = limits.wait_at("2001:db8::1".parse().unwrap(), Moment(0));
        assert!(first.is_some() && limits.wait_at("2001:db8::2".parse().unwrap(), Moment(0)).is_none());
        drop(first);
        assert!(limits.wait_at("2001:db8::2".parse().unwrap(), Moment(0)).is_some());
    }
}
