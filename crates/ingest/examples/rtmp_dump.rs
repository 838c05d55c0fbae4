//! Listens for RTMP and prints what comes: for trying encoders by hand.
//!
//! `cargo run -p millstream-ingest --example rtmp_dump -- [ADDRESS] [KEY]`; any key is taken if none is given.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a tool for the hand")]
#![allow(clippy::disallowed_methods, reason = "the clock of this program")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use millstream_ingest::listener::{Admission, Authorizer, Config, Listener};
use millstream_ingest::rtmp::{PublishRequest, Refusal};
use millstream_ingest::source::{MediaKind, RawUnit, SourceEvent, SourceMessage};
use millstream_media::time::{Clock, MonoTime, UtcTime};
use tokio::sync::mpsc;

struct SystemClock(Instant);

impl Clock for SystemClock {
    fn utc(&self) -> UtcTime {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UtcTime(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
    }

    fn mono(&self) -> MonoTime {
        MonoTime(self.0.elapsed())
    }
}

struct AnyOrOne {
    key: Option<String>,
    events: mpsc::Sender<SourceMessage>,
}

impl Authorizer for AnyOrOne {
    async fn authorize(&self, request: PublishRequest, peer: SocketAddr) -> Result<Admission, Refusal> {
        println!("{peer} asks: {request:?}");
        match &self.key {
            Some(key) if key != request.key.expose() => Err(Refusal::BadKey),
            _ => Ok(Admission { channel: "dump".to_owned(), events: self.events.clone() }),
        }
    }
}

#[derive(Default)]
struct Counts {
    units: u64,
    keys: u64,
    bytes: u64,
    first_ms: Option<i64>,
    last_ms: i64,
    backward: u64,
    longest_step_ms: i64,
    offsets_ms: (i64, i64),
}

impl Counts {
    fn add(&mut self, unit: &RawUnit) {
        let ms = unit.dts.0 / 1_000_000;
        if self.first_ms.is_some() {
            self.backward += u64::from(ms < self.last_ms);
            self.longest_step_ms = self.longest_step_ms.max(ms - self.last_ms);
        }
        self.first_ms.get_or_insert(ms);
        self.last_ms = ms;
        self.units += 1;
        self.keys += u64::from(unit.key);
        self.bytes += unit.data.len() as u64;
        let offset = unit.pts.nanos_since(unit.dts) / 1_000_000;
        self.offsets_ms = (self.offsets_ms.0.min(offset), self.offsets_ms.1.max(offset));
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:1935".to_owned());
    let (events, mut received) = mpsc::channel(64);
    let authorizer = AnyOrOne { key: arguments.next(), events };
    let clock = Arc::new(SystemClock(Instant::now()));
    let listener = Listener::bind(address, Config::default(), authorizer, clock).await.expect("cannot bind");
    println!("listening rtmp={}", listener.local_addr().expect("bound"));
    let running = tokio::spawn(listener.run(async {
        let _ = tokio::signal::ctrl_c().await;
    }));
    let mut counts: BTreeMap<MediaKind, Counts> = BTreeMap::new();
    while let Some(SourceMessage { connection, event }) = received.recv().await {
        match event {
            SourceEvent::Unit { unit, .. } => counts.entry(unit.media).or_default().add(&unit),
            SourceEvent::Ended(reason) => {
                for (media, c) in std::mem::take(&mut counts) {
                    println!(
                        "{connection:?} {media}: {} units, {} keys, {} bytes, dts {} to {} ms, longest step {} ms, \
                         {} backward, offsets {:?} ms",
                        c.units,
                        c.keys,
                        c.bytes,
                        c.first_ms.unwrap_or(0),
                        c.last_ms,
                        c.longest_step_ms,
                        c.backward,
                        c.offsets_ms
                    );
                }
                println!("{connection:?} ended: {reason}");
            }
            event => println!("{connection:?} {event:?}"),
        }
    }
    running.await.expect("the listener does not panic");
}
