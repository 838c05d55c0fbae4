//! Serves fixed objects through the front, for `benches/delivery.py`: a 1,500-byte playlist, segments of 100 kB and
//! 1 MiB, and playlists that block until one is published. Only the objects differ from the product's server.
//!
//! Usage: fixed [--here] [--tls CERTIFICATE KEY]; prints the addresses as JSON. A line on standard input wakes all that
//! wait for `/live/a/wait.m3u8`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a tool for measurements")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use millstream_delivery::answer::{Answer, Delivery, Peer};
use millstream_delivery::respond::{self, CacheLife, Entity};
use millstream_http::front::{Door, Limits, Site, run};
use millstream_http::tls::Certificate;
use millstream_media::time::{Clock, MonoTime, UtcTime};
use millstream_telemetry::{Metrics, RequestKind};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;

struct Wall(Instant);

impl Clock for Wall {
    fn utc(&self) -> UtcTime {
        UtcTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64)
    }
    fn mono(&self) -> MonoTime {
        MonoTime(self.0.elapsed())
    }
}

/// How long a blocked request waits at most.
const PATIENCE: Duration = Duration::from_secs(60);

struct Fixed {
    playlist: Arc<Entity>,
    small: Entity,
    large: Entity,
    published: watch::Sender<u64>,
}

/// An object in pieces of about the size of a CMAF chunk, as the window keeps them.
fn entity(size: usize, piece: usize, content_type: &'static str, cache: CacheLife) -> Entity {
    let text = Bytes::from(vec![b'#'; size]);
    let pieces = (0..size).step_by(piece).map(|at| text.slice(at..(at + piece).min(size))).collect();
    Entity { pieces, gzip: None, etag: HeaderValue::from_static("0123456789abcdef"), content_type, cache }
}

impl Delivery for Fixed {
    fn answer(&self, request: &Request<()>, _: Peer) -> Answer {
        let send = |e: &Entity| respond::entity(request.method(), request.headers(), e);
        match request.uri().path() {
            "/live/a/v/index.m3u8" => Answer::ready(RequestKind::Playlist, send(&self.playlist)),
            "/live/a/v/small.m4s" => Answer::ready(RequestKind::Segment, send(&self.small)),
            "/live/a/v/large.m4s" => Answer::ready(RequestKind::Segment, send(&self.large)),
            "/live/a/wait.m3u8" => {
                // As the origin does it: the headers are kept, the answer is made when its time has come.
                let (mut published, playlist) = (self.published.subscribe(), Arc::clone(&self.playlist));
                let headers = request.headers().clone();
                Answer::later(RequestKind::Playlist, async move {
                    let _ = tokio::time::timeout(PATIENCE, published.changed()).await;
                    respond::entity(&Method::GET, &headers, &playlist)
                })
            }
            _ => Answer::ready(RequestKind::Other, respond::not_found("no such object\n")),
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(serve(arguments));
}

async fn serve(arguments: Vec<String>) {
    let published = watch::Sender::new(0);
    let media = Fixed {
        playlist: Arc::new(entity(1500, 1500, "application/vnd.apple.mpegurl", CacheLife::Seconds(1))),
        small: entity(100_000, 25_000, "video/mp4", CacheLife::Immutable),
        large: entity(1 << 20, 1 << 18, "video/mp4", CacheLife::Immutable),
        published: published.clone(),
    };
    let metrics = Metrics::new();
    let clock: Arc<dyn Clock> = Arc::new(Wall(Instant::now()));
    let site = Site { media: Arc::new(media), router: axum::Router::new(), metrics: metrics.http(), clock };
    let mut limits = Limits { connections: 30_000, ..Limits::default() };
    if arguments.iter().any(|a| a == "--here") {
        limits.lanes = None;
    }
    if arguments.iter().any(|a| a == "--patient") {
        limits.head_timeout = Duration::from_secs(3600);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut addresses = format!("{{\"http\": \"{}\"", listener.local_addr().unwrap());
    let mut doors = vec![Door { listener, tls: None, http3: None }];
    if let Some(at) = arguments.iter().position(|a| a == "--tls") {
        let certificate = Certificate::open(Path::new(&arguments[at + 1]), Path::new(&arguments[at + 2])).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push_str(&format!(", \"https\": \"{}\"", listener.local_addr().unwrap()));
        doors.push(Door { listener, tls: Some(certificate.acceptor().unwrap()), http3: None });
    }
    println!("{addresses}}}");
    let (stop, stopping) = watch::channel(false);
    let served = tokio::spawn(run(doors, site, limits, metrics.server(), stopping));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {
        published.send_modify(|n| *n += 1);
    }
    stop.send_replace(true);
    let _ = served.await;
}
