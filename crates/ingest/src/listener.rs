//! The RTMP listener: accepts connections within bounds and runs a task for each.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_media::time::{Clock, MonoTime};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::connection;
use crate::publishers::{Claim, DEFAULT_SILENCE, Publishers, Takeover};
use crate::rtmp::{self, PublishRequest, Refusal};
use crate::source::{ConnectionId, EndReason, SourceMessage};

/// How often a claimant looks whether the channel's holder lives: a few frames.
const CLAIM_INTERVAL: Duration = Duration::from_millis(50);

/// Least time between two log lines about connections that could not be accepted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Bounds of the listener.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bounds of each session.
    pub session: rtmp::Config,
    /// Connections in all. Default 512.
    pub max_connections: usize,
    /// Connections from one address. Default 64.
    pub max_connections_per_address: usize,
    /// What an address is counted as, where several are one client's. Default: itself.
    pub counted_as: fn(IpAddr) -> IpAddr,
    /// Time the [`Authorizer`] may take. Default 5 s.
    pub authorize_timeout: Duration,
    /// Time a peer may take to read what it is sent. Default 5 s.
    pub write_timeout: Duration,
    /// Silence after which a publisher may be replaced. Default 2 s.
    pub silence: Duration,
    /// Time connections have to end in at shutdown. Default 3 s.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            session: rtmp::Config::default(),
            max_connections: 512,
            max_connections_per_address: 64,
            counted_as: |address| address,
            authorize_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            silence: DEFAULT_SILENCE,
            drain_timeout: Duration::from_secs(3),
        }
    }
}

/// Where an admitted contribution goes.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The channel.
    pub channel: String,
    /// The channel owner's queue. While it is full the connection is not read, so that the peer is slowed down and
    /// nothing is dropped. If its receiver is dropped, the connection is closed.
    pub events: mpsc::Sender<SourceMessage>,
    /// What happens if the channel has a publisher.
    pub takeover: Takeover,
    /// True when the contribution is to end, because its key was revoked. If the sender is gone, it never is.
    pub revoked: watch::Receiver<bool>,
}

impl Admission {
    /// To a channel whose first publisher keeps it, for as long as it likes.
    pub fn new(channel: impl Into<String>, events: mpsc::Sender<SourceMessage>) -> Self {
        let (_, revoked) = watch::channel(false);
        Admission { channel: channel.into(), events, takeover: Takeover::First, revoked }
    }
}

/// Decides who may publish.
pub trait Authorizer: Send + Sync + 'static {
    /// Whether `request` from `peer` may publish, and where it goes. That the channel has no other publisher is
    /// checked by the listener afterwards. A refusal is logged here, where its cause is known; the listener logs its own.
    fn authorize(
        &self,
        request: PublishRequest,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Admission, Refusal>> + Send;
}

impl<A: Authorizer> Authorizer for Arc<A> {
    async fn authorize(&self, request: PublishRequest, peer: SocketAddr) -> Result<Admission, Refusal> {
        A::authorize(self, request, peer).await
    }
}

/// A bound RTMP listener.
#[derive(Debug)]
pub struct Listener<A> {
    socket: TcpListener,
    shared: Arc<Shared<A>>,
}

/// What the connections of a listener share.
pub(crate) struct Shared<A> {
    pub(crate) config: Config,
    pub(crate) authorizer: A,
    pub(crate) clock: Arc<dyn Clock>,
    registry: Mutex<Registry>,
}

#[derive(Debug)]
struct Registry {
    publishers: Publishers,
    next_id: u64,
    open: Vec<Open>,
    refused: u64,
}

#[derive(Debug)]
struct Open {
    id: ConnectionId,
    address: IpAddr,
    end: watch::Sender<Option<EndReason>>,
}

impl<A: Authorizer> Listener<A> {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// The socket's.
    pub async fn bind(
        address: impl ToSocketAddrs,
        config: Config,
        authorizer: A,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let registry =
            Registry { publishers: Publishers::new(config.silence), next_id: 1, open: Vec::new(), refused: 0 };
        let shared = Arc::new(Shared { config, authorizer, clock, registry: Mutex::new(registry) });
        Ok(Listener { socket, shared })
    }

    /// The address that is bound.
    ///
    /// # Errors
    /// The socket's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `shutdown` is done, then ends every connection and waits for them, at most
    /// [`Config::drain_timeout`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        let mut complaints = Complaints::default();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => self.start(stream, peer, &mut tasks),
                    Err(error) => {
                        // Out of descriptors, mostly: it passes when connections end.
                        if let Some(times) = complaints.another_at(self.shared.clock.mono()) {
                            warn!(
                                %error,
                                times,
                                "RTMP connections cannot be accepted; if files are short, raise the limit (ulimit -n) or \
                                 lower limits.http_connections"
                            );
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = tasks.join_next() => {}
            }
        }
        drop(self.socket);
        for open in &self.shared.registry().open {
            open.end.send_replace(Some(EndReason::Stopped));
        }
        let all_done = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.shared.config.drain_timeout, all_done).await.is_err() {
            warn!("rtmp: connections did not end in time and are cut");
        }
    }

    fn start(&self, stream: TcpStream, peer: SocketAddr, tasks: &mut JoinSet<()>) {
        let Some((id, end)) = self.shared.open(peer.ip()) else {
            debug!(%peer, "rtmp: too many connections");
            return;
        };
        let shared = Arc::clone(&self.shared);
        tasks.spawn(async move {
            let slot = Slot { shared: &*shared, id };
            connection::run(&shared, id, stream, peer, end).await;
            drop(slot);
        });
    }
}

/// What goes wrong many times is told every 10 s.
#[derive(Debug, Default)]
struct Complaints {
    untold: u64,
    told: Option<MonoTime>,
}

impl Complaints {
    /// Once more; how often it happened since it was told last, if it is to be told now.
    fn another_at(&mut self, now: MonoTime) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|then| now.since(then) < COMPLAIN_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// A connection's place in the registry; given back also when its task is cut or panics.
struct Slot<'a, A> {
    shared: &'a Shared<A>,
    id: ConnectionId,
}

impl<A> Drop for Slot<'_, A> {
    fn drop(&mut self) {
        self.shared.registry().open.retain(|o| o.id != self.id);
    }
}

impl<A> Shared<A> {
    /// The registry holds no invariant across a panic, so a poisoned lock is taken as it is.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, address: IpAddr) -> Option<(ConnectionId, watch::Receiver<Option<EndReason>>)> {
        let address = (self.config.counted_as)(address);
        let mut registry = self.registry();
        let of_address = registry.open.iter().filter(|o| o.address == address).count();
        if registry.open.len() >= self.config.max_connections || of_address >= self.config.max_connections_per_address {
            registry.refused += 1;
            return None;
        }
        let id = ConnectionId(registry.next_id);
        registry.next_id += 1;
        let (end, receiver) = watch::channel(None);
        registry.open.push(Open { id, address, end });
        Some((id, receiver))
    }

    /// Claims `channel`; a holder that is silent or has to give way is told to end. Waits while it is open whether the
    /// holder is silent, at most [`Config::silence`].
    pub(crate) async fn claim(&self, channel: &str, id: ConnectionId, takeover: Takeover) -> bool {
        let asked = self.clock.mono();
        loop {
            let now = self.clock.mono();
            let until = match self.claim_at(channel, id, takeover, asked, now) {
                Claim::Granted | Claim::TakenOver { .. } => return true,
                Claim::Refused => return false,
                Claim::Wait { until } => until,
            };
            tokio::time::sleep(until.since(now).clamp(Duration::from_millis(1), CLAIM_INTERVAL)).await;
        }
    }

    fn claim_at(&self, channel: &str, id: ConnectionId, takeover: Takeover, asked: MonoTime, now: MonoTime) -> Claim {
        let mut registry = self.registry();
        let claim = registry.publishers.claim(channel, id, takeover, asked, now);
        if let Claim::TakenOver { old } = claim
            && let Some(open) = registry.open.iter().find(|o| o.id == old)
        {
            open.end.send_replace(Some(EndReason::TakenOver));
        }
        claim
    }

    pub(crate) fn media(&self, channel: &str, id: ConnectionId) {
        self.registry().publishers.media(channel, id, self.clock.mono());
    }

    pub(crate) fn release(&self, channel: &str, id: ConnectionId) {
        self.registry().publishers.release(channel, id);
    }
}

impl<A> std::fmt::Debug for Shared<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_cannot_be_accepted_are_told_of_every_10_s() {
        let mut complaints = Complaints::default();
        let told: Vec<(u64, u64)> = (0..300)
            .filter_map(|n| Some((n, complaints.another_at(MonoTime(Duration::from_millis(n * 100)))?)))
            .collect();
        assert_eq!(told, [(0, 1), (100, 100), (200, 100)]);
    }
}
