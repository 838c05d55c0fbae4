//! Answers the requests of viewers: from the cache at once; otherwise with others who wait for the same.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::header::HeaderValue;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use millstream_delivery::answer::{Answer, Delivery, Peer};
use millstream_delivery::body::Body;
use millstream_delivery::rate;
use millstream_delivery::respond::{self, CacheLife};
use millstream_telemetry::edge::EdgeMetrics;
use millstream_telemetry::{Metrics, RequestKind};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::audience::Audience;
use crate::cache::Cache;
use crate::cadence::Cadence;
use crate::clock;
use crate::config::Config;
use crate::error::Error;
use crate::fetch;
use crate::flight::{Flight, Progress, Viewer};
use crate::key::{self, Asked, Hold, Refused};
use crate::limits::Limits;
use crate::object;
use crate::pass;
use crate::upstream::{CDN_LOOP, Upstream};

/// How often the gauges are set.
const REFRESH: Duration = Duration::from_secs(1);

/// An edge: answers `/live/…` and `/vod/…` out of its cache, and asks its origins for what is not there.
pub struct Edge {
    shared: Arc<Shared>,
}

/// What answering and fetching have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) cache: Cache,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) metrics: EdgeMetrics,
    pub(crate) cadence: Cadence,
    /// Objects on their way, by key. At most `config.fetches`.
    flights: Mutex<HashMap<String, Arc<Flight>>>,
    /// Held reloads do not count: each waits for its origin without work.
    pub(crate) passes: Arc<Semaphore>,
    pub(crate) arriving: AtomicUsize,
    waiters: AtomicUsize,
    limits: Arc<Limits>,
    audience: Audience,
    /// This process in `CDN-Loop`.
    pub(crate) id: String,
}

/// An origin as `/api/v1/edge` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct OriginStatus {
    /// Its URL.
    pub url: String,
    /// Whether it is asked.
    pub healthy: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Why it failed last.
    pub cause: Option<String>,
}

thread_local! {
    /// The key of the request that is answered now: no allocation on a hit.
    static KEY: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Edge {
    /// Opens the cache. Call it within a tokio runtime.
    ///
    /// # Errors
    /// If there is no origin, or the disk or certificates cannot be used.
    pub async fn open(config: Config, metrics: &Metrics) -> Result<Self, Error> {
        let random = RandomState::new().hash_one(std::process::id());
        let shared = Arc::new(Shared {
            cache: Cache::open(&config).await?,
            upstream: Arc::new(Upstream::new(&config, metrics)?),
            metrics: metrics.edge(),
            cadence: Cadence::default(),
            flights: Mutex::default(),
            passes: Arc::new(Semaphore::new(config.fetches)),
            arriving: AtomicUsize::new(0),
            waiters: AtomicUsize::new(0),
            limits: Arc::new(Limits::new(config.waiting_per_address)),
            audience: Audience::new(metrics.clone()),
            id: format!("millstream-{random:016x}"),
            config,
        });
        tokio::spawn(refresh(Arc::downgrade(&shared)));
        Ok(Edge { shared })
    }

    /// The origins, in the order of preference.
    pub fn origins(&self) -> Vec<OriginStatus> {
        let status = |(url, health): (String, crate::origins::Health)| OriginStatus {
            url,
            healthy: health.healthy,
            failures: health.failures,
            cause: health.cause,
        };
        self.shared.upstream.health().into_iter().map(status).collect()
    }

    /// Writes out what is to be on disk. Call it last.
    pub async fn close(&self) {
        self.shared.cache.close().await;
    }

    fn answer_with(&self, request: &Request<()>, peer: SocketAddr, key: &mut String) -> Answer {
        let shared = &self.shared;
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Answer::ready(RequestKind::Other, respond::preflight()),
            _ => return Answer::ready(RequestKind::Other, respond::method_not_allowed()),
        }
        let now = clock::now();
        let asked = match key::read(request.uri().path(), request.uri().query(), key) {
            Ok(asked) => asked,
            Err(refused) => return Answer::ready(RequestKind::Other, refuse(refused)),
        };
        if let Some(object) = shared.cache.get(key)
            && object.freshness().is_fresh_at(now)
        {
            shared.metrics.hits.increment();
            if asked.is_manifest() && object.status() == StatusCode::OK {
                self.count_viewer(request, peer, now);
            }
            return Answer::ready(asked.kind, object.answer(request.method(), request.headers(), now));
        }
        if asked.hold == Hold::Reload
            && let Some(plain) = shared.cadence.long_listed(key)
        {
            return self.answer_as_it_is(request, peer, &plain, Asked { hold: Hold::No, ..asked }, now);
        }
        self.miss(request, peer, key, asked, now)
    }

    /// A reload whose position was passed long ago.
    fn answer_as_it_is(
        &self,
        request: &Request<()>,
        peer: SocketAddr,
        key: &str,
        asked: Asked,
        now: clock::Moment,
    ) -> Answer {
        let shared = &self.shared;
        match shared.cache.get(key).filter(|object| object.freshness().is_fresh_at(now)) {
            Some(object) => {
                shared.metrics.hits.increment();
                self.count_viewer(request, peer, now);
                Answer::ready(asked.kind, object.answer(request.method(), request.headers(), now))
            }
            None => self.miss(request, peer, key, asked, now),
        }
    }

    fn miss(&self, request: &Request<()>, peer: SocketAddr, key: &str, asked: Asked, now: clock::Moment) -> Answer {
        let shared = &self.shared;
        let kind = asked.kind;
        let way = request.headers().get(CDN_LOOP);
        if way.is_some_and(|way| way.to_str().is_ok_and(|way| way.contains(&shared.id))) {
            shared.metrics.refused.increment();
            return Answer::ready(kind, looped());
        }
        let Some(waiting) = shared.limits.wait(peer.ip()) else {
            shared.metrics.refused.increment();
            return Answer::ready(kind, rate::too_many());
        };
        let Some(seat) = Seat::take(shared) else {
            shared.metrics.refused.increment();
            return Answer::ready(kind, respond::unavailable("too many requests wait at this edge\n"));
        };
        let (method, headers) = (request.method().clone(), request.headers().clone());
        if asked.pass {
            let shared = Arc::clone(shared);
            let target = key.to_owned();
            return Answer::later(kind, async move {
                let _held = (waiting, seat);
                pass::pass(&shared, &target, &method, &headers).await
            });
        }
        if asked.is_manifest() {
            self.count_viewer(request, peer, now);
        }
        let Some(viewer) = join(shared, key, asked, way) else {
            shared.metrics.refused.increment();
            return Answer::ready(kind, respond::unavailable("this edge fetches too much at once\n"));
        };
        Answer::later(kind, async move {
            let _held = (waiting, seat);
            follow(viewer, &method, &headers).await
        })
    }

    fn count_viewer(&self, request: &Request<()>, peer: SocketAddr, now: clock::Moment) {
        if let Some(channel) = key::channel(request.uri().path()) {
            self.shared.audience.seen(channel, request, peer, now);
        }
    }
}

impl Delivery for Edge {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        KEY.with(|key| match key.try_borrow_mut() {
            Ok(mut key) => self.answer_with(request, peer.address, &mut key),
            Err(_) => self.answer_with(request, peer.address, &mut String::new()),
        })
    }
}

impl Shared {
    fn flights(&self) -> MutexGuard<'_, HashMap<String, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on the flight of this key: one that is under way, or a new one. `None` if there are too many.
fn join(shared: &Arc<Shared>, key: &str, asked: Asked, way: Option<&HeaderValue>) -> Option<Viewer> {
    let mut flights = shared.flights();
    if let Some(flight) = flights.get(key) {
        shared.metrics.coalesced.increment();
        return Some(flight.board());
    }
    // It may have landed since the cache was asked.
    if let Some(object) = shared.cache.get(key)
        && object.freshness().is_fresh_at(clock::now())
    {
        shared.metrics.coalesced.increment();
        let flight = Arc::new(Flight::new(false));
        flight.finish(object);
        return Some(flight.board());
    }
    if flights.len() >= shared.config.fetches {
        return None;
    }
    let flight = Arc::new(Flight::new(asked.hold != Hold::No));
    let viewer = flight.board();
    flights.insert(key.to_owned(), Arc::clone(&flight));
    drop(flights);
    shared.metrics.fetches.add(1.0);
    // A task of its own: whoever asked first may go.
    let landing = Landing { shared: Arc::clone(shared), key: key.to_owned(), flight };
    let way = way.cloned();
    tokio::spawn(async move {
        let fetch = fetch::fetch(&landing.shared, &landing.key, asked, way.as_ref(), &landing.flight);
        tokio::select! {
            () = fetch => {}
            () = landing.deserted() => landing.shared.metrics.deserted.increment(),
        }
    });
    Some(viewer)
}

/// Takes a flight off the list when its task ends, however that ends.
struct Landing {
    shared: Arc<Shared>,
    key: String,
    flight: Arc<Flight>,
}

impl Landing {
    /// Returns when the last viewer has left; the flight is then off the list, so that nobody can board it.
    async fn deserted(&self) {
        loop {
            self.flight.deserted().await;
            let mut flights = self.shared.flights();
            if self.flight.is_deserted() {
                flights.remove(&self.key);
                return;
            }
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut flights = self.shared.flights();
        // A deserted one may have a successor by now.
        if flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            flights.remove(&self.key);
        }
        drop(flights);
        self.shared.metrics.fetches.add(-1.0);
        if !self.flight.is_over() {
            self.flight.break_off();
        }
    }
}

async fn follow(viewer: Viewer, method: &Method, headers: &HeaderMap) -> Response<Body> {
    // A part of something is cut out of the whole.
    match viewer.flight().ready(headers.contains_key(header::RANGE)).await {
        Progress::Whole(object) => object.answer(method, headers, clock::now()),
        Progress::Arriving { kept, freshness } => {
            let body = if method == Method::HEAD { Body::empty() } else { viewer.body() };
            let mut response = Response::new(body);
            *response.headers_mut() = object::arriving_head(&kept, freshness.age_at(clock::now()));
            response
        }
        Progress::Waiting | Progress::Broken => {
            respond::plain(StatusCode::BAD_GATEWAY, "the origin broke off\n", CacheLife::NoStore)
        }
    }
}

/// A place among those who wait.
struct Seat(Arc<Shared>);

impl Seat {
    fn take(shared: &Arc<Shared>) -> Option<Seat> {
        let seat = Seat(Arc::clone(shared));
        // On a full house the seat is dropped, which takes the count back.
        (shared.waiters.fetch_add(1, Ordering::Relaxed) < shared.config.waiters).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refuse(refused: Refused) -> Response<Body> {
    match refused {
        Refused::NotFound => respond::not_found("no such resource\n"),
        Refused::Malformed(cause) => respond::plain(StatusCode::BAD_REQUEST, cause, CacheLife::Seconds(1)),
    }
}

fn looped() -> Response<Body> {
    respond::plain(
        StatusCode::LOOP_DETECTED,
        "the request came back to this edge: its origins lead to itself\n",
        CacheLife::NoStore,
    )
}

async fn refresh(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(REFRESH);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let (bytes, objects) = shared.cache.usage();
        shared.metrics.memory_bytes.set(bytes as f64);
        shared.metrics.objects.set(objects as f64);
        shared.audience.refresh_at(clock::now());
        // Probes those that are due, even while nobody asks.
        let _ = shared.upstream.order();
    }
}
