//! How many connections may be open: in all, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_delivery::rate::{Rates, client};
use millstream_media::time::MonoTime;
use millstream_telemetry::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::front::Limits;

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
        let address = client(address.to_canonical());
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

/// The places of connections, of all doors together.
#[derive(Clone)]
pub struct Places {
    /// One for each that may be open.
    pub permits: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    rate: Arc<Rates>,
    /// How many are open.
    pub open: Gauge,
    /// How many may be.
    most: usize,
}

impl Places {
    /// As many as these bounds say.
    pub fn new(limits: &Limits, open: &Gauge) -> Self {
        Places {
            permits: Arc::new(Semaphore::new(limits.connections)),
            addresses: Addresses::new(limits.connections_per_address),
            rate: Arc::clone(&limits.connection_rate),
            open: open.clone(),
            most: limits.connections,
        }
    }

    /// Counts a connection from `address`; `None` if it is one too many, or comes too soon.
    pub fn enter(&self, address: IpAddr, now: MonoTime) -> Option<Entered> {
        let entered = self.addresses.enter(address)?;
        self.rate.take_at(address, now).then_some(entered)
    }

    /// A place for a connection that cannot wait for one.
    pub fn take(&self, address: IpAddr, now: MonoTime) -> Option<Seat> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Seat::take(permit, self.enter(address, now)?, &self.open))
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
    fn connections_that_come_too_fast_are_turned_away_and_count_for_nothing() {
        let limits = Limits { connection_rate: Arc::new(Rates::new(2, Vec::new())), ..Limits::default() };
        let places = Places::new(&limits, &millstream_telemetry::Metrics::new().server().http_connections);
        let (now, address) = (MonoTime::default(), "192.0.2.1".parse().unwrap());
        assert_eq!((0..10).filter(|_| places.enter(address, now).is_some()).count(), 4, "a burst of two seconds");
        assert!(places.take(address, now).is_none(), "HTTP/3 alike");
        assert!(places.addresses.lock().is_empty());
        assert!(places.enter("192.0.2.2".parse().unwrap(), now).is_some());
        assert!(places.take(address, now + std::time::Duration::from_millis(500)).is_some());
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
