//! Two servers that are fed the same stamped contribution, one of them joining later, make the same segments.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_check::boxes::{header, segment};
use millstream_check::fetch::Fetch as _;
use millstream_check::finding::Findings;
use millstream_check::http::Http;
use millstream_tests::{Channel, Publisher, Server, Source, Viewer};

/// What must be equal: start, duration and number of samples.
type Shape = (u64, u64, usize);

#[test]
fn a_second_run_gives_the_same_numbers_and_boundaries() {
    let channel = || [Channel::new("demo").set("clock = \"utc\"")];
    let first = Server::start(&channel());
    // Any moment; the contribution is stamped with UTC from here on, modulo what RTMP can carry.
    let stamp = Http::new().now().0 as f64 / 1e9;
    let source = Source { timestamp_offset: Some(stamp), ..Source::small() };
    let _publishing = Publisher::start(&first, "test-key-demo", &source);
    first.viewer("demo").wait_listed(2, Duration::from_secs(20));

    // The second server starts now, and gets the same contribution from its present moment on. Its frames lie on the
    // same grid of 1/30 s as the first one's.
    let second = Server::start(&channel());
    let later = Http::new().now().0 as f64 / 1e9;
    let joined = stamp + ((later - stamp) * 30.0).round() / 30.0;
    let source = Source { timestamp_offset: Some(joined), ..Source::small() };
    let _joining = Publisher::start(&second, "test-key-demo", &source);
    second.viewer("demo").wait_listed(5, Duration::from_secs(30));

    for rendition in first.viewer("demo").renditions() {
        let a = shapes(&mut first.viewer("demo"), &rendition.name);
        let b = shapes(&mut second.viewer("demo"), &rendition.name);
        // The first segment of each may be short: both joined in the middle of one.
        let inner = |s: &BTreeMap<u64, Shape>| s.clone().into_iter().skip(1).collect::<BTreeMap<_, _>>();
        let (a, b) = (inner(&a), inner(&b));
        let shared: Vec<u64> = a.keys().filter(|n| b.contains_key(n)).copied().collect();
        assert!(shared.len() >= 3, "{}: only {shared:?} in both of {a:?} and {b:?}", rendition.name);
        for number in shared {
            assert_eq!(a[&number], b[&number], "{}: segment {number}", rendition.name);
        }
    }
}

fn shapes(viewer: &mut Viewer, rendition: &str) -> BTreeMap<u64, Shape> {
    let media = viewer.media(rendition).unwrap();
    let mut findings = Findings::default();
    let init = viewer.bytes(&format!("{rendition}/{}", media.segments[0].map.as_ref().unwrap().0)).unwrap();
    let init = header::read(&init, "init", &mut findings).unwrap();
    let mut out = BTreeMap::new();
    for entry in &media.segments {
        let bytes = viewer.bytes(&format!("{rendition}/{}", entry.uri)).unwrap();
        let read = segment::read(&bytes, &init, &entry.uri, &mut findings).unwrap();
        out.insert(entry.number, (read.start, read.duration, read.samples));
    }
    out
}
