//! How many connections may be open: in all, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_telemetry::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The open connections of each address; an IPv6 /64 counts as one. Loopback is not counted. At most as many entries as
/// connections.
#[derive(Debug)]
pub struct Addresses {
    /// Connections of one address; zero for no limit.
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    /// None yet.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Addresses { most, open: Mutex::default() })
    }

    /// Counts a connection from `address`; `None` if it is one too many.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let address = network(address.to_canonical());
        if self.most == 0 || address.is_loopback() {
            return Some(Entered(None));
        }
        let mut all = self.lock();
        let open = all.entry(address).or_insert(0);
        if *open >= self.most {
            return None;
        }
        *open += 1;
        Some(Entered(Some((Arc::clone(self), address))))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts for its address until this is dropped.
#[derive(Debug)]
pub struct Entered(Option<(Arc<Addresses>, IpAddr)>);

impl Drop for Entered {
    fn drop(&mut self) {
        let Some((addresses, address)) = &self.0 else { return };
        let mut all = addresses.lock();
        if let Some(open) = all.get_mut(address) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                all.remove(address);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        _ => address,
    }
}

/// The places of connections, of all doors together.
#[derive(Clone)]
pub struct Places {
    /// One for each that may be open.
    pub permits: Arc<Semaphore>,
    /// Of each address.
    pub addresses: Arc<Addresses>,
    /// How many are open.
    pub open: Gauge,
    /// How many may be.
    most: usize,
}

impl Places {
    /// As many as `most`, of them `of_address` for one address.
    pub fn new(most: usize, of_address: usize, open: &Gauge) -> Self {
        let (permits, addresses) = (Arc::new(Semaphore::new(most)), Addresses::new(of_address));
        Places { permits, addresses, open: open.clone(), most }
    }

    /// A place for a connection that cannot wait for one.
    pub fn take(&self, address: IpAddr) -> Option<Seat> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Seat::take(permit, self.addresses.enter(address)?, &self.open))
    }

    /// Whether half of them are taken.
    pub fn is_crowded(&self) -> bool {
        self.permits.available_permits() < self.most / 2
    }
}

/// A connection's place among those that may be open.
pub struct Seat {
    _permit: OwnedSemaphorePermit,
    _entered: Entered,
    open: Gauge,
}

impl Seat {
    /// Takes it; `open` says how many are taken.
    pub fn take(permit: OwnedSemaphorePermit, entered: Entered, open: &Gauge) -> Self {
        open.add(1.0);
        Seat { _permit: permit, _entered: entered, open: open.clone() }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.add(-1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_no_more() {
        let addresses = Addresses::new(2);
        let enter = |text: &str| addresses.enter(text.parse().unwrap());
        let held = [enter("192.0.2.1"), enter("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some) && enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some(), "another one has its own share");
        let of_v6 = [enter("2001:db8::1"), enter("2001:db8::2")];
        assert!(of_v6.iter().all(Option::is_some) && enter("2001:db8::3").is_none(), "a /64 is one");
        assert!(enter("2001:db8:0:1::1").is_some());
        drop(held);
        assert!(enter("192.0.2.1").is_some());
        drop(of_v6);
        assert!(addresses.lock().is_empty(), "nothing is kept of those who are gone");
    }

    #[test]
    fn loopback_and_no_limit_are_not_counted() {
        let addresses = Addresses::new(1);
        for local in ["127.0.0.1", "127.0.0.9", "::1"] {
            let held: Vec<_> = (0..9).map(|_| addresses.enter(local.parse().unwrap())).collect();
            assert!(held.iter().all(Option::is_some), "{local}");
        }
        let free = Addresses::new(0);
        let held: Vec<_> = (0..9).map(|_| free.enter("192.0.2.1".parse().unwrap())).collect();
        assert!(held.iter().all(Option::is_some));
    }
}
