//! Listens for RTMP and prints what comes: for trying encoders by hand.
//!
//! `cargo run -p millstream-ingest --example rtmp_dump -- [ADDRESS] [KEY] [utc]`; any key is taken if none is given,
//! `utc` takes the timestamps for UTC.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a tool for the hand")]
#![allow(clippy::disallowed_methods, reason = "the clock of this program")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use millstream_ingest::contribution::{ContributionEvent, Mapper};
use millstream_ingest::listener::{Admission, Authorizer, Config, Listener};
use millstream_ingest::rtmp::{PublishRequest, Refusal};
use millstream_ingest::source::{MediaKind, SourceMessage};
use millstream_ingest::timeline::{self, Mode, RTMP_STAMP_MODULUS};
use millstream_media::time::{Clock, MonoTime, UtcTime};
use millstream_media::unit::{AccessUnit, Contribution};
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
            _ => Ok(Admission::new("dump", self.events.clone())),
        }
    }
}

#[derive(Default)]
struct Counts {
    units: u64,
    keys: u64,
    bytes: u64,
    late: u64,
    first_ms: Option<i64>,
    last_ms: i64,
    backward: u64,
    longest_step_ms: i64,
    offsets_ms: (i64, i64),
    /// Mapped time minus arrival, least and most.
    leads_ms: Option<(i64, i64)>,
}

impl Counts {
    fn add(&mut self, unit: &AccessUnit, arrived: UtcTime, late: bool) {
        let ms = unit.dts.as_millis();
        if self.first_ms.is_some() {
            self.backward += u64::from(ms < self.last_ms);
            self.longest_step_ms = self.longest_step_ms.max(ms - self.last_ms);
        }
        self.first_ms.get_or_insert(ms);
        self.last_ms = ms;
        self.units += 1;
        self.keys += u64::from(unit.key);
        self.bytes += unit.data.len() as u64;
        self.late += u64::from(late);
        let lead = unit.dts.nanos_since(arrived) / 1_000_000;
        let (least, most) = self.leads_ms.unwrap_or((lead, lead));
        self.leads_ms = Some((least.min(lead), most.max(lead)));
        let offset = unit.pts.nanos_since(unit.dts) / 1_000_000;
        self.offsets_ms = (self.offsets_ms.0.min(offset), self.offsets_ms.1.max(offset));
    }
}

impl Counts {
    fn print(&self, media: MediaKind) {
        println!(
            "{media}: {} units, {} keys, {} late, {} bytes, dts {} to {}, longest step {} ms, {} backward, \
             offsets {:?} ms, ahead of arrival {:?} ms",
            self.units,
            self.keys,
            self.late,
            self.bytes,
            UtcTime::from_millis(self.first_ms.unwrap_or(0)),
            UtcTime::from_millis(self.last_ms),
            self.longest_step_ms,
            self.backward,
            self.offsets_ms,
            self.leads_ms.unwrap_or_default(),
        );
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
    let mode = if arguments.next().as_deref() == Some("utc") {
        Mode::Utc { modulus: RTMP_STAMP_MODULUS }
    } else {
        Mode::Arrival
    };
    let mut mapper = Mapper::new(timeline::Config { mode, ..timeline::Config::default() });
    let mut mapped = Vec::new();
    while let Some(message) = received.recv().await {
        mapper.push(message, &mut mapped);
        for event in mapped.drain(..) {
            let media = match &event {
                ContributionEvent::Item { item: Contribution::Video(_), .. } => MediaKind::Video,
                _ => MediaKind::Audio,
            };
            match event {
                ContributionEvent::Item {
                    item: Contribution::Video(unit) | Contribution::Audio(unit),
                    arrived,
                    late,
                } => counts.entry(media).or_default().add(&unit, arrived, late),
                ContributionEvent::Ended(reason) => {
                    std::mem::take(&mut counts).into_iter().for_each(|(media, counts)| counts.print(media));
                    println!("ended: {reason}");
                }
                event => println!("{event:?}"),
            }
        }
    }
    running.await.expect("the listener does not panic");
}
