//! How many requests of one address may wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_delivery::rate::client;

/// The requests that wait, by client address; an IPv6 /64 counts as one. Loopback has no limit. At most as many entries
/// as requests that wait.
#[derive(Debug)]
pub struct Limits {
    most: u32,
    waiting: Mutex<HashMap<IpAddr, u32>>,
}

/// A request that waits; it counts until this is dropped.
#[derive(Debug)]
pub struct Waiting {
    limits: Arc<Limits>,
    address: Option<IpAddr>,
}

impl Limits {
    /// So many for each address; zero is no limit.
    pub fn new(most: u32) -> Self {
        Limits { most, waiting: Mutex::default() }
    }

    /// Counts a request that waits; `None` if it is one too many.
    pub fn wait(self: &Arc<Self>, address: IpAddr) -> Option<Waiting> {
        let address = address.to_canonical();
        if self.most == 0 || address.is_loopback() {
            return Some(Waiting { limits: Arc::clone(self), address: None });
        }
        let address = client(address);
        let mut all = self.lock();
        let waiting = all.entry(address).or_insert(0);
        if *waiting >= self.most {
            return None;
        }
        *waiting += 1;
        Some(Waiting { limits: Arc::clone(self), address: Some(address) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut all = self.limits.lock();
        if let Some(waiting) = all.get_mut(&address) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                all.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_of_v6_is_one_client_and_nothing_is_kept_of_who_is_gone() {
        let limits = Arc::new(Limits::new(1));
        let wait = |text: &str| limits.wait(text.parse().unwrap());
        let first = wait("2001:db8::1");
        assert!(first.is_some() && wait("2001:db8::2").is_none());
        assert!(wait("192.0.2.1").is_some() && wait("127.0.0.1").is_some());
        drop(first);
        assert!(wait("2001:db8::2").is_some());
        assert!(limits.lock().is_empty());
    }
}
