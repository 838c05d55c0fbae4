//! A viewer fed with lists and responses at given times.

use super::*;
use crate::playlist::parse;

const LIVE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-MEDIA-SEQUENCE:7\n\
    #EXTINF:2,\n7.m4s\n#EXT-X-PART:DURATION=0.5,URI=\"8.1\"\n#EXT-X-PART:DURATION=0.5,URI=\"8.2\"\n\
    #EXT-X-PART:DURATION=0.5,URI=\"8.3\"\n";

const RULES: Rules = Rules { abr: Abr::On, mode: Mode::Auto };

fn at(ms: u64) -> Now {
    Now { mono: Duration::from_millis(ms), utc_ms: ms as i64 }
}

fn ok(text: Option<&str>) -> Answer {
    let playlist = text.and_then(|t| parse(t, "http://h/m.m3u8")).map(Arc::new);
    let (took, waited) = (Duration::from_millis(5), Duration::from_millis(1));
    Answer { status: 200, bytes: 1000, took, waited, playlist }
}

/// The next request, waits that are over left out.
fn asks(viewer: &mut Viewer, ms: u64, tally: &mut Tally) -> Action {
    loop {
        match viewer.next(0, at(ms), tally) {
            Action::Wait(until) if until <= at(ms).mono => {}
            action => return action,
        }
    }
}

fn get(path: &str, kind: Kind) -> Action {
    Action::Get(Resource::whole(format!("http://h/{path}")), kind)
}

#[test]
fn a_blocking_reload_asks_for_the_next_part_and_a_late_one_is_a_stall() {
    let mut tally = Tally::default();
    let mut viewer = Viewer::new("http://h/m.m3u8", RULES, at(0));
    assert_eq!(asks(&mut viewer, 0, &mut tally), get("m.m3u8", Kind::Playlist));
    viewer.answered(0, at(10), ok(Some(LIVE)), &mut tally);
    for part in 1..=3 {
        assert_eq!(asks(&mut viewer, 10, &mut tally), get(&format!("8.{part}"), Kind::Part));
        viewer.answered(0, at(10), ok(None), &mut tally);
    }
    assert_eq!(asks(&mut viewer, 10, &mut tally), get("m.m3u8?_HLS_msn=8&_HLS_part=3", Kind::BlockingPlaylist));
    assert_eq!((tally.startup.count(), tally.stalled_viewers), (1, 0));
    viewer.leave(at(2510), &mut tally);
    assert_eq!((tally.stalled_viewers, tally.stalled), (1, Duration::from_secs(1)));
}

#[test]
fn parts_that_left_the_list_are_made_good_by_the_whole_segment() {
    let mut tally = Tally::default();
    let mut viewer = Viewer::new("http://h/m.m3u8", RULES, at(0));
    asks(&mut viewer, 0, &mut tally);
    viewer.answered(0, at(0), ok(Some(LIVE)), &mut tally);
    for _ in 0..3 {
        asks(&mut viewer, 0, &mut tally);
        viewer.answered(0, at(0), ok(None), &mut tally);
    }
    asks(&mut viewer, 0, &mut tally);
    let later = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:8\n\
        #EXTINF:2,\n8.m4s\n#EXTINF:2,\n9.m4s\n";
    viewer.answered(0, at(100), ok(Some(later)), &mut tally);
    assert_eq!(asks(&mut viewer, 100, &mut tally), get("8.m4s", Kind::Segment));
    viewer.answered(0, at(100), ok(None), &mut tally);
    assert_eq!(viewer.playback.ahead(0), Duration::from_millis(1900), "2 s of the segment, 0.1 s played");
    assert_eq!(asks(&mut viewer, 100, &mut tally), get("9.m4s", Kind::Segment));
    assert_eq!((tally.jumps, tally.errors), (0, 0));
}

#[test]
fn a_viewer_that_begins_inside_a_segment_does_not_fetch_it_again() {
    let mut tally = Tally::default();
    let mut viewer = Viewer::new("http://h/m.m3u8", RULES, at(0));
    asks(&mut viewer, 0, &mut tally);
    let part = |n| format!("#EXT-X-PART:DURATION=0.5,URI=\"8.{n}\"\n");
    let list = LIVE.replace("#EXTINF:2,\n7", "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00Z\n#EXTINF:2,\n7") + &part(4);
    viewer.answered(0, at(4100), ok(Some(&list)), &mut tally);
    for n in 2..=4 {
        assert_eq!(asks(&mut viewer, 4100, &mut tally), get(&format!("8.{n}"), Kind::Part));
        viewer.answered(0, at(4100), ok(None), &mut tally);
    }
    assert_eq!(viewer.playback.latency_ms(4100), Some(1600), "the hold-back from the end of the list");
    asks(&mut viewer, 4100, &mut tally);
    viewer.answered(
        0,
        at(4300),
        ok(Some(&(list + "#EXTINF:2,\n8.m4s\n#EXT-X-PART:DURATION=0.5,URI=\"9.1\"\n"))),
        &mut tally,
    );
    assert_eq!(asks(&mut viewer, 4300, &mut tally), get("9.1", Kind::Part));
}

#[test]
fn a_gap_is_not_asked_for() {
    let mut tally = Tally::default();
    let mut viewer = Viewer::new("http://h/m.m3u8", RULES, at(0));
    asks(&mut viewer, 0, &mut tally);
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00Z\n#EXTINF:2,\na\n\
        #EXT-X-GAP\n#EXTINF:2,\nb\n#EXTINF:2,\nc\n";
    viewer.answered(0, at(0), ok(Some(list)), &mut tally);
    assert_eq!(asks(&mut viewer, 0, &mut tally), get("a", Kind::Segment));
    viewer.answered(0, at(0), ok(None), &mut tally);
    assert_eq!(asks(&mut viewer, 0, &mut tally), get("c", Kind::Segment));
    viewer.answered(0, at(1000), ok(None), &mut tally);
    asks(&mut viewer, 3500, &mut tally);
    assert_eq!((tally.gaps, tally.skips, tally.stalled_viewers), (1, 1, 0));
}

#[test]
fn another_variant_goes_on_at_the_same_date() {
    let mut tally = Tally::default();
    let mut viewer = Viewer::new("http://h/m.m3u8", Rules { abr: Abr::On, mode: Mode::Hls }, at(0));
    asks(&mut viewer, 0, &mut tally);
    let list = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100\nlo\n#EXT-X-STREAM-INF:BANDWIDTH=900000\nhi\n";
    let media = |first: u64, name: &str| {
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00Z\n#EXTINF:2,\n{name}0\n#EXTINF:2,\n{name}1\n#EXTINF:2,\n{name}2\n"
        )
    };
    viewer.answered(0, at(0), ok(Some(list)), &mut tally);
    assert_eq!(asks(&mut viewer, 0, &mut tally), get("lo", Kind::Playlist));
    viewer.answered(0, at(0), ok(Some(&media(40, "l"))), &mut tally);
    assert_eq!(asks(&mut viewer, 0, &mut tally), get("l0", Kind::Segment));
    let fast = Answer { bytes: 900_000, ..ok(None) };
    viewer.answered(0, at(0), fast.clone(), &mut tally);
    assert_eq!(asks(&mut viewer, 0, &mut tally), get("hi", Kind::Playlist), "a buffer of a segment, and fast");
    viewer.answered(0, at(0), ok(Some(&media(90, "h"))), &mut tally);
    assert_eq!(asks(&mut viewer, 0, &mut tally), get("h1", Kind::Segment), "not number 41");
}

#[test]
fn a_refusal_is_an_error_and_waits() {
    let mut tally = Tally::default();
    let mut viewer = Viewer::new("http://h/m.m3u8", RULES, at(0));
    asks(&mut viewer, 0, &mut tally);
    viewer.answered(0, at(10), Answer { status: 404, ..ok(None) }, &mut tally);
    assert!(matches!(viewer.next(0, at(10), &mut tally), Action::Wait(_)));
    viewer.leave(at(20), &mut tally);
    assert_eq!((tally.errors, tally.never_played), (1, 1));
}

#[test]
fn a_mode_refuses_other_presentations() {
    for (mode, errors) in [(Mode::Auto, 0), (Mode::LowLatencyHls, 0), (Mode::Hls, 0), (Mode::Dash, 1)] {
        let mut tally = Tally::default();
        let mut viewer = Viewer::new("http://h/m.m3u8", Rules { abr: Abr::On, mode }, at(0));
        asks(&mut viewer, 0, &mut tally);
        viewer.answered(0, at(0), ok(Some(LIVE)), &mut tally);
        assert_eq!(tally.errors, errors, "{mode:?}");
    }
}

#[test]
fn chunks_play_before_their_segment_is_complete() {
    let mpd = r#"<MPD type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z"><ServiceDescription>
        <Latency target="2000"/></ServiceDescription><Period start="PT0S"><AdaptationSet contentType="video">
        <SegmentTemplate duration="4" availabilityTimeOffset="3.5" availabilityTimeComplete="false" media="$Number$"/>
        <Representation id="x" bandwidth="1"/></AdaptationSet></Period></MPD>"#;
    let mut tally = Tally::default();
    let now = |ms| Now { mono: Duration::from_millis(ms), utc_ms: 101_000 + ms as i64 };
    let mut viewer = Viewer::new("http://h/m.mpd", RULES, now(0));
    viewer.next(0, now(0), &mut tally);
    viewer.answered(0, now(0), ok(Some(mpd)), &mut tally);
    let first = loop {
        match viewer.next(0, now(0), &mut tally) {
            Action::Wait(until) if until <= Duration::ZERO => {}
            action => break action,
        }
    };
    assert_eq!(first, get("25", Kind::ChunkedSegment), "the one that holds 99 s");
    viewer.chunks(0, now(10), 7, 1000, Duration::from_millis(1), &mut tally);
    assert_eq!(tally.startup.count(), 1);
    assert_eq!(viewer.playback.latency_ms(now(10).utc_ms), Some(2510), "99.5 s leaves two chunks ahead... of 3.5 s");
    viewer.answered(0, now(500), ok(None), &mut tally);
    assert_eq!(viewer.playback.end(0), Some(100_000_000));
}
