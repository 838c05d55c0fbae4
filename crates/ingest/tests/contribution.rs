//! Source events become mapped items: one connection at a time, times by the channel's own timeline.
#![allow(clippy::expect_used, reason = "test harness")]

use bytes::Bytes;
use millstream_ingest::contribution::{ContributionEvent, Mapper};
use millstream_ingest::source::{
    ByteCount, ConnectionId, EndReason, MediaKind, Protocol, RawUnit, SourceEvent, SourceInfo, SourceMessage,
    SourceTime,
};
use millstream_ingest::timeline::{Config, TimelineEvent};
use millstream_media::codec::{AacConfig, AudioConfig};
use millstream_media::time::UtcTime;
use millstream_media::unit::{AccessUnit, Contribution};

const T0: i64 = 1_795_348_800_000;

fn utc(ms: i64) -> UtcTime {
    UtcTime::from_millis(T0 + ms)
}

struct Bench {
    mapper: Mapper,
}

impl Bench {
    fn new() -> Self {
        Bench { mapper: Mapper::new(Config::default()) }
    }

    fn push(&mut self, connection: u64, event: SourceEvent) -> Vec<ContributionEvent> {
        let mut out = Vec::new();
        self.mapper.push(SourceMessage { connection: ConnectionId(connection), event }, &mut out);
        out
    }

    fn start(&mut self, connection: u64, ms: i64) {
        let info = SourceInfo {
            protocol: Protocol::Rtmp,
            remote: "127.0.0.1:5000".parse().expect("an address"),
            encoder: None,
            started: utc(ms),
            bytes_in: ByteCount::default(),
        };
        assert!(matches!(self.push(connection, SourceEvent::Started(info))[..], [ContributionEvent::Started(_)]));
    }

    fn unit(&mut self, connection: u64, media: MediaKind, dts: i64, pts: i64, arrived: i64) -> Vec<ContributionEvent> {
        let unit = RawUnit {
            media,
            dts: SourceTime::from_millis(dts),
            pts: SourceTime::from_millis(pts),
            key: true,
            data: Bytes::from_static(b"x"),
        };
        self.push(connection, SourceEvent::Unit { unit, arrived: utc(arrived) })
    }
}

fn item(events: &[ContributionEvent]) -> (&AccessUnit, bool) {
    match events.last() {
        Some(ContributionEvent::Item { item: Contribution::Video(u) | Contribution::Audio(u), late, .. }) => (u, *late),
        other => panic!("{other:?}"),
    }
}

#[test]
fn units_get_their_times_and_configurations_pass() {
    let mut b = Bench::new();
    b.start(1, 0);
    let config = AudioConfig::Aac(AacConfig::lc(48_000, 2).expect("LC"));
    let events = b.push(1, SourceEvent::AudioConfig(config.clone()));
    assert!(
        matches!(&events[..], [ContributionEvent::Item { item: Contribution::AudioConfig(c), late: false, .. }] if *c == config)
    );
    let events = b.unit(1, MediaKind::Video, 5000, 5080, 10);
    assert!(matches!(events[0], ContributionEvent::Timeline(TimelineEvent::Anchored { .. })), "{events:?}");
    let (unit, late) = item(&events);
    assert_eq!((unit.dts, unit.pts, late), (utc(10), utc(90), false));
    let events = b.unit(1, MediaKind::Audio, 5023, 5023, 40);
    assert_eq!(events.len(), 1);
    assert_eq!((item(&events).0.dts, item(&events).0.pts), (utc(33), utc(33)));
}

#[test]
fn what_was_filled_is_late() {
    let mut b = Bench::new();
    b.start(1, 0);
    b.unit(1, MediaKind::Video, 0, 0, 0);
    b.mapper.raise_floor(utc(100));
    let events = b.unit(1, MediaKind::Video, 40, 40, 120);
    assert!(matches!(events[0], ContributionEvent::Timeline(TimelineEvent::Late { .. })), "{events:?}");
    assert!(item(&events).1);
    assert!(!item(&b.unit(1, MediaKind::Video, 120, 120, 130)).1);
}

#[test]
fn only_the_publishing_connection_is_heard() {
    let mut b = Bench::new();
    assert!(b.unit(1, MediaKind::Video, 0, 0, 0).is_empty(), "before Started");
    b.start(1, 0);
    b.unit(1, MediaKind::Video, 0, 0, 0);
    // Taken over; the old one's words come behind the new one's Started.
    b.start(2, 3000);
    assert!(b.unit(1, MediaKind::Video, 40, 40, 3010).is_empty());
    assert!(b.push(1, SourceEvent::Ended(EndReason::TakenOver)).is_empty());
    assert_eq!(b.mapper.connection(), Some(ConnectionId(2)));
    let events = b.unit(2, MediaKind::Video, 70_000, 70_000, 3050);
    assert_eq!(item(&events).0.dts, utc(3050));
    assert!(matches!(b.push(2, SourceEvent::Ended(EndReason::Unpublished))[..], [ContributionEvent::Ended(_)]));
    assert!(b.unit(2, MediaKind::Video, 70_040, 70_040, 3090).is_empty(), "after Ended");
}
