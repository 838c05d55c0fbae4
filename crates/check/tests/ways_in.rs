//! A presentation is found by its MPD alone, by redirects, with a signed query; findings name the line they are about.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault that does not apply must fail its test")]

#[allow(dead_code, reason = "shared with the other tests")]
mod presentation;

use std::time::Duration;

use bytes::Bytes;
use millstream_check::fetch::Response;
use millstream_check::{Options, Report, live};
use presentation::fault::text;
use presentation::{Fault, World};

const MPD: &str = "http://test/live/demo/manifest.mpd";
const PLAYLIST: &str = "http://test/live/demo/index.m3u8";

fn run(url: &str, world: &mut World) -> Report {
    live(world, url, Options { duration: Duration::from_secs(12), ..Options::default() })
}

fn lines(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

/// The MPD with `@duration` in place of timelines.
fn by_duration(mpd: &str) -> String {
    let mut out = String::new();
    for (index, piece) in mpd.split("<SegmentTemplate ").enumerate() {
        let Some((timeline, rest)) = piece.split_once("</SegmentTimeline>").filter(|_| index > 0) else {
            out += piece;
            continue;
        };
        let (head, _) = timeline.split_once("<SegmentTimeline>").unwrap();
        let number = head.find("startNumber=\"").unwrap() + 13;
        let end = number + head[number..].find('"').unwrap();
        let ticks = if index == 1 { 50_000 } else { 96_000 };
        out += &format!("<SegmentTemplate duration=\"{ticks}\" {}1{}{rest}", &head[..number], &head[end..]);
    }
    out
}

#[test]
fn an_mpd_alone_is_followed() {
    let report = run(MPD, &mut World::new(Box::new(|_, _, _| {})));
    assert_eq!(lines(&report), Vec::<String>::new());
    assert!(report.mpd_versions >= 6 && report.segments >= 3 * 15 && report.playlist_versions == 0, "{report:?}");
}

#[test]
fn segments_by_duration_are_read_and_must_be_near_their_place() {
    let mut world = World::new(text("manifest.mpd", |t, _| by_duration(&t)));
    let report = run(MPD, &mut world);
    // Its one finding is that a change of nothing but the time is a change: this MPD need not change at all.
    let others: Vec<_> = lines(&report).into_iter().filter(|l| !l.contains("CHECK-2b: @publishTime moved")).collect();
    assert_eq!(others, Vec::<String>::new());
    assert!(report.segments >= 3 * 12, "{report:?}");
    // STANDARDS 2.9: off by more than half a segment.
    let shifted = |t: String, _| {
        by_duration(&t).replace("timescale=\"25000\"", "timescale=\"25000\" presentationTimeOffset=\"30000\"")
    };
    let report = run(MPD, &mut World::new(text("manifest.mpd", shifted)));
    assert!(report.findings.iter().any(|f| f.rule == "2.9" && f.message.contains("1.200 s off")), "{report:?}");
}

/// DASH-IF IOP 6.2.6: JPEG files have neither codec nor init segment, and no rule of media holds for them.
#[test]
fn thumbnails_are_no_media() {
    let set = "<AdaptationSet contentType=\"image\" mimeType=\"image/jpeg\"><SegmentTemplate timescale=\"1\" \
               duration=\"60\" media=\"tiles-$Number$.jpg\"/><Representation id=\"tiles\" bandwidth=\"9\"/>\
               </AdaptationSet></Period>";
    let report = run(MPD, &mut World::new(text("manifest.mpd", |t, _| t.replace("</Period>", set))));
    assert_eq!(lines(&report), Vec::<String>::new());
    assert!(report.segments >= 3 * 15, "{report:?}");
}

#[test]
fn other_addressing_is_told_as_not_read() {
    let mut world = World::new(text("manifest.mpd", |t, _| t.replace("SegmentTemplate", "SegmentList")));
    let report = run(MPD, &mut world);
    assert!(report.not_read.iter().any(|w| w.contains("720p") && w.contains("SegmentList")), "{report:?}");
    assert!(!report.findings.iter().any(|f| f.rule == "2.8"), "{report:?}");
}

#[test]
fn base_urls_of_every_level_count() {
    let mut world = World::new(Box::new(|url, ms, response| {
        text("manifest.mpd", |t, _| {
            t.replace(
                "<Period id=\"p\" start=\"PT0S\">",
                "<BaseURL>/live/</BaseURL><Period id=\"p\" start=\"PT0S\"><BaseURL>x/</BaseURL>",
            )
            .replace("<SegmentTemplate", "<BaseURL>../demo/</BaseURL><SegmentTemplate")
        })(url, ms, response);
    }));
    let report = run(MPD, &mut world);
    assert_eq!(lines(&report), Vec::<String>::new());
    assert!(report.segments > 30);
}

#[test]
fn playlists_may_be_redirected_and_media_may_not() {
    let away = |path: &'static str| -> Fault {
        Box::new(move |url, _, response| {
            if url.starts_with("/live/") && url.contains(path) {
                let location = ("location".to_owned(), url.replacen("/live/", "/moved/", 1));
                *response = Response { status: 302, headers: vec![location], ..Response::default() };
            }
        })
    };
    let report = run(PLAYLIST, &mut World::new(away(".m3u8")));
    assert_eq!(lines(&report), Vec::<String>::new());
    assert!(report.segments > 30 && report.renditions.iter().all(|r| r.contains("/moved/")), "{report:?}");
    let report = run(PLAYLIST, &mut World::new(away("720p/index.m3u8")));
    assert_eq!(lines(&report), Vec::<String>::new());
    let report = run(PLAYLIST, &mut World::new(away("init.mp4")));
    assert!(report.findings.iter().any(|f| f.rule == "1.22" && f.message.contains("/moved/")), "{report:?}");
    let circle: Fault = Box::new(|url, _, response| {
        if url.ends_with("360p/index.m3u8") {
            let location = ("location".to_owned(), url.to_owned());
            *response = Response { status: 302, headers: vec![location], ..Response::default() };
        }
    });
    let report = run(PLAYLIST, &mut World::new(circle));
    assert!(report.findings.iter().any(|f| f.message.contains("leads nowhere")), "{report:?}");
}

/// A server that signs what it lists asks for the signature everywhere, and answers 403 without, whatever the name.
#[test]
fn a_signed_query_is_carried_as_the_lists_carry_it() {
    let mut world = World::low_latency(Box::new(|url, _, response| {
        if !url.contains("Signature=x") {
            *response = Response { status: 403, ..Response::default() };
        } else if response.status == 200 && url.contains(".m3u8") {
            let text = String::from_utf8(response.body.to_vec()).unwrap();
            let signed = text.replace(".m3u8\"", ".m3u8?Signature=x\"").replace(".m3u8\n", ".m3u8?Signature=x\n");
            let signed = signed.replace(".m4s\"", ".m4s?Signature=x\"").replace(".m4s\n", ".m4s?Signature=x\n");
            response.body = Bytes::from(signed.replace("?v=1", "?v=1&Signature=x"));
        }
    }));
    let report = run(&format!("{PLAYLIST}?Signature=x"), &mut world);
    assert_eq!(lines(&report), Vec::<String>::new());
}

#[test]
fn findings_name_their_line() {
    let line_of = |report: &Report, rule: &str| report.findings.iter().find(|f| f.rule == rule).and_then(|f| f.line);
    let long = text("720p/index.m3u8", |t, _| t.replace("TARGETDURATION:2", "TARGETDURATION:1"));
    // The first segment's URI: seven lines of header, then date, EXTINF, URI.
    assert_eq!(line_of(&run(PLAYLIST, &mut World::new(long)), "1.7"), Some(10));
    let version = text("720p/index.m3u8", |t, _| t.replace("VERSION:6", "VERSION:5"));
    assert_eq!(line_of(&run(PLAYLIST, &mut World::new(version)), "1.4"), Some(2));
    let variant = text("demo/index.m3u8", |t, _| t.replacen("FRAME-RATE=25.000", "FRAME-RATE=25", 1));
    assert_eq!(line_of(&run(PLAYLIST, &mut World::new(variant)), "1.28"), Some(5));
    let gap = text("manifest.mpd", |t, _| t.replace("><", ">\n<").replacen("d=\"50000\"", "d=\"49000\"", 1));
    // MPD, Period, AdaptationSet, SegmentTemplate, SegmentTimeline, S, and the S after the gap.
    assert_eq!(line_of(&run(MPD, &mut World::new(gap)), "2.10"), Some(8));
}

#[test]
fn media_that_is_no_fragmented_mp4_is_told_as_not_read() {
    let mut world = World::new(Box::new(|url, ms, response| {
        text("index.m3u8", |t, _| {
            t.lines().filter(|l| !l.starts_with("#EXT-X-MAP")).map(|l| format!("{l}\n")).collect()
        })(url, ms, response);
        if url.ends_with(".m4s") && response.status == 200 {
            response.body = Bytes::from(vec![0x47; 188 * 4]);
        }
    }));
    let report = run(PLAYLIST, &mut world);
    assert!(report.not_read.iter().any(|w| w.contains("720p/index.m3u8")), "{report:?}");
    assert!(!report.findings.iter().any(|f| f.rule == "1.19"), "{report:?}");
}
