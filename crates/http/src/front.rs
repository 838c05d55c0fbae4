//! Accepts connections, deals them out to lanes (one thread and runtime for each core), and stops in order.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use millstream_delivery::answer::Delivery;
pub use millstream_delivery::answer::Peer;
use millstream_delivery::rate::Rates;
use millstream_media::time::{Clock, MonoTime};
use millstream_telemetry::{HttpMetrics, ServerMetrics};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::connection::Connection;
use crate::seats::{Places, Seat};
use crate::tls::Acceptor;
use crate::wakes::Wakes;
use crate::{full, quic};

/// Bounds of the HTTP server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once; further ones wait to be accepted.
    pub connections: usize,
    /// Connections open at once from one address (an IPv6 /64 is one); further ones are closed. Zero for no limit;
    /// loopback has none.
    pub connections_per_address: usize,
    /// How often one address may open a connection; what comes faster is closed.
    pub connection_rate: Arc<Rates>,
    /// Time a client has to send its request head, and may leave a connection idle.
    pub head_timeout: Duration,
    /// Time for which a client may take nothing of what it asked for.
    pub stall_timeout: Duration,
    /// Time in which a client must have taken a media answer; no player takes longer for what plays in seconds.
    pub answer_timeout: Duration,
    /// Time for which a connection of HTTP/2 or HTTP/3 may have no request open.
    pub quiet_timeout: Duration,
    /// Time in which open requests may finish when the server stops.
    pub drain: Duration,
    /// Threads that serve connections, each with a runtime of its own; `None` serves on the caller's runtime.
    pub lanes: Option<NonZeroUsize>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 20_000,
            connections_per_address: 4000,
            connection_rate: Arc::new(Rates::new(1000, Vec::new())),
            head_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(120),
            quiet_timeout: Duration::from_secs(120),
            drain: Duration::from_secs(3),
            lanes: std::thread::available_parallelism().ok(),
        }
    }
}

/// What the server serves.
#[derive(Clone)]
pub struct Site {
    /// `/live/…` and `/vod/…`: the hot path.
    pub media: Arc<dyn Delivery>,
    /// Everything else: API, pages, operations. Each request has its [`Peer`] as an extension.
    pub router: axum::Router,
    /// Counts requests.
    pub metrics: HttpMetrics,
    /// For the time a request takes.
    pub clock: Arc<dyn Clock>,
}

/// A listener, and the TLS to be spoken on it.
pub struct Door {
    /// Where connections come in.
    pub listener: TcpListener,
    /// Without it the door is for cleartext.
    pub tls: Option<Acceptor>,
    /// HTTP/3 beside TLS ([`quic::open`]); answers over TLS say that it is there.
    pub http3: Option<quinn::Endpoint>,
}

/// Connections that have a request open. Those that answer at once are not counted.
#[derive(Debug, Default)]
pub struct Busy {
    count: AtomicUsize,
    none: Notify,
}

impl Busy {
    pub(crate) fn begin(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        if self.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.none.notify_one();
        }
    }

    async fn none(&self) {
        while self.count.load(Ordering::Relaxed) > 0 {
            self.none.notified().await;
        }
    }
}

/// What the connections of a thread share.
pub struct Lane {
    pub(crate) site: Site,
    pub(crate) limits: Limits,
    pub(crate) busy: Busy,
    pub(crate) wakes: Arc<Wakes>,
    /// What answers over TLS say of HTTP/3.
    pub(crate) alt_svc: Option<HeaderValue>,
    stopping: AtomicBool,
    graceful: Mutex<Option<GracefulShutdown>>,
}

impl Lane {
    fn new(site: Site, limits: Limits, alt_svc: Option<HeaderValue>) -> Self {
        Lane {
            site,
            limits,
            alt_svc,
            busy: Busy::default(),
            wakes: Arc::default(),
            stopping: AtomicBool::new(false),
            graceful: Mutex::new(Some(GracefulShutdown::new())),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// For a connection of the full server; none once the lane stops.
    pub(crate) fn watcher(&self) -> Option<Watcher> {
        let graceful = self.graceful.lock().unwrap_or_else(PoisonError::into_inner);
        graceful.as_ref().map(GracefulShutdown::watcher)
    }

    /// Lets open requests finish within the drain time.
    async fn drain(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let graceful = self.graceful.lock().unwrap_or_else(PoisonError::into_inner).take();
        let all = async {
            if let Some(graceful) = graceful {
                graceful.shutdown().await;
            }
            self.busy.none().await;
        };
        if tokio::time::timeout(self.limits.drain, all).await.is_err() {
            tracing::info!("some HTTP requests were still open when the drain time ended");
        }
    }
}

/// A connection on its way to a lane.
struct Arrival {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    seat: Seat,
    tls: Option<TlsAcceptor>,
}

/// Arrivals that wait for a lane; further ones wait in the listener's queue.
const ARRIVALS: usize = 256;
/// Least time between two log lines about connections that could not be accepted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Serves `doors` until `stop` says true, then lets open requests finish within the drain time.
pub async fn run(doors: Vec<Door>, site: Site, limits: Limits, metrics: ServerMetrics, stop: watch::Receiver<bool>) {
    let (mut lanes, mut ended) = (Vec::new(), Vec::new());
    let alt_svc = doors.iter().find_map(|door| quic::alt_svc(door.http3.as_ref()?));
    for number in 0..limits.lanes.map_or(1, NonZeroUsize::get) {
        let (to_lane, arrivals) = mpsc::channel(ARRIVALS);
        lanes.push(to_lane);
        let (say_ended, lane_ended) = tokio::sync::oneshot::channel::<()>();
        ended.push(lane_ended);
        let serve = serve(Arc::new(Lane::new(site.clone(), limits.clone(), alt_svc.clone())), arrivals);
        if limits.lanes.is_none() {
            tokio::spawn(async move {
                serve.await;
                drop(say_ended);
            });
            continue;
        }
        let spawned = std::thread::Builder::new().name(format!("http-{number}")).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(serve),
                Err(error) => tracing::error!(%error, "an HTTP thread has no runtime"),
            }
            drop(say_ended);
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "an HTTP thread cannot be started");
            lanes.pop();
        }
    }
    let places = Places::new(&limits, &metrics.http_connections);
    let mut accepting = tokio::task::JoinSet::new();
    for mut door in doors {
        if let Some(endpoint) = door.http3.take() {
            let lane = Arc::new(Lane::new(site.clone(), limits.clone(), None));
            accepting.spawn(quic::serve(endpoint, lane, places.clone(), stop.clone()));
        }
        accepting.spawn(accept(door, lanes.clone(), places.clone(), Arc::clone(&site.clock), stop.clone()));
    }
    drop(lanes);
    while accepting.join_next().await.is_some() {}
    for lane in ended {
        let _ = lane.await;
    }
}

/// Says what happens often now and then.
#[derive(Default)]
struct Complaint {
    times: u64,
    said: Option<MonoTime>,
}

impl Complaint {
    /// How often it happened since it was last said, if it is to be said again.
    fn due_at(&mut self, now: MonoTime) -> Option<u64> {
        self.times += 1;
        if self.said.is_some_and(|then| now.since(then) < COMPLAIN_EVERY) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

/// Accepts at one door and deals the connections out to the lanes, each in turn.
async fn accept(
    door: Door,
    lanes: Vec<mpsc::Sender<Arrival>>,
    places: Places,
    clock: Arc<dyn Clock>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut lost, mut crowded) = (Complaint::default(), Complaint::default());
    let mut turn = lanes.iter().cycle();
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&places.permits).acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok(permit) = permit else { return };
        let accepted = tokio::select! {
            accepted = door.listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let accepted = accepted.and_then(|(stream, peer)| {
            let _ = stream.set_nodelay(true);
            Ok((stream.into_std()?, peer))
        });
        match accepted {
            Ok((stream, peer)) => {
                let Some(entered) = places.enter(peer.ip(), clock.mono()) else {
                    if let Some(times) = crowded.due_at(clock.mono()) {
                        tracing::warn!(
                            address = %peer.ip(),
                            times,
                            "HTTP connections are closed: their address has too many, or opens them too fast; if it is a \
                             proxy, raise limits.http_connections_per_address or \
                             limits.http_connections_per_second_per_address"
                        );
                    }
                    continue;
                };
                let seat = Seat::take(permit, entered, &places.open);
                let arrival = Arrival { stream, peer, seat, tls: door.tls.as_ref().map(Acceptor::current) };
                let Some(lane) = turn.next() else { return };
                let _ = lane.send(arrival).await;
            }
            Err(error) => {
                // Out of file descriptors, mostly: let some close before trying again.
                if let Some(times) = lost.due_at(clock.mono()) {
                    tracing::warn!(
                        %error,
                        times,
                        "HTTP connections cannot be accepted; if files are short, raise the limit (ulimit -n) or lower \
                         limits.http_connections"
                    );
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A lane: each connection that arrives is a task of its own.
async fn serve(lane: Arc<Lane>, mut arrivals: mpsc::Receiver<Arrival>) {
    let wakes = Arc::clone(&lane.wakes);
    let deliver = tokio::spawn(async move { wakes.deliver().await });
    while let Some(arrival) = arrivals.recv().await {
        let Ok(stream) = TcpStream::from_std(arrival.stream) else { continue };
        match arrival.tls {
            None => {
                drop(tokio::spawn(Connection::new(stream, Peer::plain(arrival.peer), Arc::clone(&lane), arrival.seat)))
            }
            Some(tls) => drop(tokio::spawn(greet(tls, stream, arrival.peer, Arc::clone(&lane), arrival.seat))),
        }
    }
    lane.drain().await;
    deliver.abort();
}

/// The TLS handshake; ALPN says what follows.
async fn greet(tls: TlsAcceptor, stream: TcpStream, peer: SocketAddr, lane: Arc<Lane>, seat: Seat) {
    match tokio::time::timeout(lane.limits.head_timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certified = stream.get_ref().1.peer_certificates().is_some();
            let peer = Peer { address: peer, tls: true, certified };
            let stream = Box::new(stream);
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                tokio::spawn(full::serve(lane, stream, bytes::Bytes::new(), peer, seat));
            } else {
                tokio::spawn(Connection::new(stream, peer, lane, seat));
            }
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}
