//! MPDs of both ways of naming segments, at given times.

use super::mpd::duration;
use super::*;

const HEAD: &str = r#"<?xml version="1.0"?><MPD type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z"
    minimumUpdatePeriod="PT2S" suggestedPresentationDelay="PT6S" timeShiftBufferDepth="PT60S">
    <ServiceDescription><Latency target="2000"/></ServiceDescription>"#;

fn clock() -> Dash {
    let text = format!(
        r#"{HEAD}<Period start="PT1000S"><AdaptationSet contentType="video">
        <SegmentTemplate timescale="30000" duration="60000" startNumber="501" availabilityTimeOffset="1.5"
         availabilityTimeComplete="false" initialization="$RepresentationID$/i.mp4" media="$RepresentationID$/$Number%05d$.m4s"/>
        <Representation id="hi" bandwidth="2000"/><Representation id="lo" bandwidth="700"/></AdaptationSet>
        <AdaptationSet mimeType="audio/mp4"><SegmentTemplate timescale="48000" duration="96000" media="a/$Number$"/>
        <Representation id="a" bandwidth="128"/></AdaptationSet></Period></MPD>"#
    );
    parse(&text, "http://h/live/m.mpd").unwrap()
}

fn wanted(low_latency: bool, from: Option<u64>, now_ms: i64) -> Wanted {
    Wanted { variant: 0, audio: false, low_latency, from, now_ms }
}

fn starts(media: &Media) -> Vec<u64> {
    media.segments.iter().map(|s| s.number).collect()
}

#[test]
fn numbers_by_the_clock() {
    let dash = clock();
    assert_eq!((dash.bandwidths(), dash.has_audio()), (vec![700, 2000], true));
    let media = dash.list(wanted(false, None, 1_020_100));
    assert_eq!((starts(&media), media.next_ms), (vec![1_014_000, 1_016_000, 1_018_000], Some(1_022_000)));
    assert_eq!(media.segments[0].at, Some(Resource::whole("http://h/live/lo/00508.m4s")));
    assert_eq!(media.segments[0].map, Some(Resource::whole("http://h/live/lo/i.mp4")));
    assert_eq!(media.segments[0].chunk, None);
    let next = dash.list(wanted(false, Some(1_018_001), 1_020_100));
    assert_eq!((starts(&next), next.next_ms), (vec![], Some(1_022_000)));
}

#[test]
fn a_low_latency_viewer_reads_the_segment_in_the_making() {
    let media = clock().list(wanted(true, None, 1_020_600));
    assert_eq!((starts(&media), media.next_ms), (vec![1_018_000, 1_020_000], Some(1_022_500)));
    assert_eq!(media.segments[0].chunk, Some(Duration::from_millis(500)));
}

#[test]
fn a_timeline_across_periods() {
    let text = format!(
        r#"{HEAD}<BaseURL>media/</BaseURL><Period start="PT1000S"><AdaptationSet contentType="video">
        <SegmentTemplate timescale="1000" presentationTimeOffset="5000" media="$Time$" startNumber="1">
        <SegmentTimeline><S t="5000" d="2000" r="2"/></SegmentTimeline></SegmentTemplate>
        <Representation id="x" bandwidth="1"/></AdaptationSet></Period>
        <Period start="PT1006S"><AdaptationSet contentType="video"><SegmentTemplate timescale="1000" media="p$Number$">
        <SegmentTimeline><S t="0" d="2000"/><S d="1000"/></SegmentTimeline></SegmentTemplate>
        <Representation id="x" bandwidth="1"/></AdaptationSet></Period></MPD>"#
    );
    let dash = parse(&text, "http://h/live/m.mpd").unwrap();
    let media = dash.list(wanted(false, Some(0), 1_010_000));
    assert_eq!(starts(&media), [1_000_000, 1_002_000, 1_004_000, 1_006_000, 1_008_000]);
    let names: Vec<_> = media.segments.iter().map(|s| s.at.as_ref().unwrap().url.as_str()).collect();
    assert_eq!((names[1], names[4]), ("http://h/live/media/7000", "http://h/live/media/p2"));
    assert_eq!(starts(&dash.list(wanted(false, None, 1_010_000))), [1_004_000, 1_006_000, 1_008_000]);
    assert_eq!(starts(&dash.list(wanted(false, None, 1_050_000))), [1_008_000], "the newest there is");
}

#[test]
fn what_is_not_live_begins_at_its_beginning() {
    let text = r#"<MPD type="static" mediaPresentationDuration="PT5S"><Period><AdaptationSet contentType="video">
        <SegmentTemplate duration="2" media="$Number$"/><Representation id="x" bandwidth="1"/></AdaptationSet></Period></MPD>"#;
    let media = parse(text, "http://h/m.mpd").unwrap().list(wanted(true, None, 77));
    assert_eq!((starts(&media), media.ended, media.delay), (vec![0, 2000, 4000], true, None));
}

#[test]
fn durations_and_what_is_no_mpd() {
    assert_eq!(duration("PT1H2M3.5S"), Some(Duration::from_millis(3_723_500)));
    assert_eq!(duration("P1DT1S"), Some(Duration::from_secs(86_401)));
    assert_eq!(duration("1S"), None);
    for text in ["<html></html>", "<MPD>", "<MPD></MPD>", "<MPD><Period/></MPD>", "nothing"] {
        assert_eq!(parse(text, "http://h/m"), None, "{text}");
    }
}
