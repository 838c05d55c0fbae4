//! A faultless presentation has no findings; every rule finds the fault that is made for it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault that does not apply must fail its test")]

#[allow(dead_code, reason = "shared with the other tests")]
mod presentation;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use millstream_check::epoch::EpochLock;
use millstream_check::{Options, Report, live};
use presentation::fault::{header, later, patch, rename, response, swap, text, without};
use presentation::{Fault, World};

const GRID: EpochLock = EpochLock { rate_num: 25, rate_den: 1, frames_per_segment: 50 };

fn run(fault: Fault) -> Report {
    let options = Options {
        duration: Duration::from_secs(24),
        mpd: Some("http://test/live/demo/manifest.mpd".to_owned()),
        epoch: Some(GRID),
        ..Options::default()
    };
    live(&mut World::new(fault), "http://test/live/demo/index.m3u8", options)
}

#[test]
fn a_faultless_presentation_has_no_findings() {
    let report = run(Box::new(|_, _, _| {}));
    let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(lines, Vec::<String>::new());
    assert_eq!(report.renditions.len(), 5);
    // 12 changes and the first version of each of five playlists; every segment of 10 + 12 once for HLS and DASH.
    assert!(report.playlist_versions >= 60, "{report:?}");
    assert!(report.mpd_versions >= 12, "{report:?}");
    assert!(report.segments >= 3 * 2 * 22, "{report:?}");
}

fn hls_faults() -> Vec<(&'static str, &'static str, Fault)> {
    let v = "720p/index.m3u8";
    let master = "demo/index.m3u8";
    vec![
        ("1.1", "byte order mark", text(v, |t, _| format!("\u{feff}{t}"))),
        ("1.1", "control character", swap(v, "#EXT-X-INDEPENDENT", "#\u{7}\n#EXT-X-INDEPENDENT")),
        ("1.1", "not UTF-8", response(v, |r| r.body = Bytes::from_static(b"#EXTM3U\n\xff\xfe"))),
        ("1.3", "no EXTM3U", swap(v, "#EXTM3U\n", "")),
        ("1.3", "two versions", swap(v, "#EXT-X-VERSION:6", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6")),
        ("1.3", "a broken attribute list", swap(master, "BANDWIDTH=90000,", "BANDWIDTH=90000, ")),
        ("1.4", "version too low", swap(v, "VERSION:6", "VERSION:5")),
        ("1.4", "version too high", swap(v, "VERSION:6", "VERSION:9")),
        ("1.5", "not gzipped", header(v, "content-encoding", None)),
        ("1.7", "no target duration", without(v, "#EXT-X-TARGETDURATION")),
        ("1.7", "a segment longer than the target", swap(v, "TARGETDURATION:2", "TARGETDURATION:1")),
        ("1.7", "the target changes", later(v, "TARGETDURATION:2", "TARGETDURATION:3")),
        ("1.7", "EXTINF is no number", swap(v, "#EXTINF:2.00000", "#EXTINF:two")),
        ("1.8", "a URI changes", later(v, ".m4s", ".m4s?x")),
        ("1.8", "an EXTINF changes", later(v, "#EXTINF:2.00000", "#EXTINF:2.00001")),
        ("1.8", "a header tag vanishes", later(v, "#EXT-X-INDEPENDENT-SEGMENTS\n", "")),
        ("1.8", "the last segments vanish", text(v, |t, ms| if ms < 8000 { t } else { cut_last(&t, 3) })),
        ("1.9", "the sequence falls", text(v, |t, ms| if ms < 8000 { t } else { sequence(&t, -5) })),
        ("1.9", "the sequence stands after a segment", text(v, |t, _| format!("{t}#EXT-X-MEDIA-SEQUENCE:1\n"))),
        ("1.9", "no sequence", text(v, |t, _| sequence(&t, 0).replace("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-NONE"))),
        ("1.8", "the sequence jumps", text(v, |t, ms| if ms < 8000 { t } else { sequence(&t, 50) })),
        ("1.10", "less than three targets left", text(v, |t, _| keep_last(&t, 2))),
        ("1.10", "less than six segments left (Apple)", text(v, |t, _| keep_last(&t, 5))),
        ("1.11", "a removed segment is gone at once", gone_after_removal()),
        ("1.12", "no new segment in time", freeze(v, 8000)),
        ("CHECK-1b", "a listed segment is missing", response("720p/8", |r| r.status = 404)),
        ("CHECK-1b", "an empty segment", response("360p/8", |r| r.body = Bytes::new())),
        ("CHECK-1b", "no connection", response("audio/8", |r| r.status = 0)),
        ("CHECK-1b", "a missing header", response("720p/init", |r| r.status = 404)),
        ("CHECK-1b", "a playlist vanishes", response(v, |r| r.status = 503)),
        ("1.14", "a type on a sliding list", swap(v, "#EXT-X-MAP", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MAP")),
        ("1.14", "VOD without an end", swap(v, "#EXT-X-MAP", "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP")),
        (
            "1.16",
            "no discontinuity sequence",
            text(v, |t, _| {
                t.replace("#EXT-X-DISCONTINUITY-SEQUENCE:3\n", "").replacen(
                    "#EXTINF",
                    "#EXT-X-DISCONTINUITY\n#EXTINF",
                    1,
                )
            }),
        ),
        (
            "1.16",
            "the discontinuity sequence changes",
            later(v, "DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:4"),
        ),
        (
            "1.16",
            "a new header without a discontinuity",
            text(v, |t, _| {
                let at = t.rfind("#EXT-X-PROGRAM").unwrap();
                format!("{}#EXT-X-MAP:URI=\"init.mp4?v=2\"\n{}", &t[..at], &t[at..])
            }),
        ),
        ("1.17", "no dates", without(v, "#EXT-X-PROGRAM-DATE-TIME")),
        ("1.17", "a date without zone", text(v, |t, _| t.replace("00Z\n", "00\n"))),
        (
            "1.17",
            "dates that go back",
            text(v, |t, _| {
                let last = t.rfind("#EXT-X-PROGRAM-DATE-TIME:").unwrap();
                let line = t[last..].lines().next().unwrap().to_owned();
                t.replace(&line, "#EXT-X-PROGRAM-DATE-TIME:2024-07-20T00:00:00.000Z")
            }),
        ),
        ("1.19", "no header", without(v, "#EXT-X-MAP")),
        ("1.20", "EXTINF is off the media", swap(v, "#EXTINF:2.00000", "#EXTINF:1.99000")),
        ("1.22", "a redirect", response("720p/8", |r| r.status = 302)),
        ("1.25", "another target duration", swap("360p/index.m3u8", "TARGETDURATION:2", "TARGETDURATION:3")),
        ("1.25", "another discontinuity sequence", swap("360p/index.m3u8", "SEQUENCE:3", "SEQUENCE:2")),
        (
            "1.26",
            "server control in one list",
            swap(v, "#EXT-X-MAP", "#EXT-X-SERVER-CONTROL:HOLD-BACK=6.0\n#EXT-X-MAP"),
        ),
        ("1.27", "no bandwidth", swap(master, "BANDWIDTH=90000,", "")),
        ("1.27", "average above peak", swap(master, "AVERAGE-BANDWIDTH=80000", "AVERAGE-BANDWIDTH=95000")),
        ("1.28", "no codecs", swap(master, "CODECS=\"avc1.64001f,mp4a.40.2\",", "")),
        ("1.28", "no average", swap(master, "AVERAGE-BANDWIDTH=80000,", "")),
        ("1.28", "no frame rate", swap(master, "FRAME-RATE=25.000,", "")),
        ("1.28", "frame rate without three decimals", swap(master, "FRAME-RATE=25.000", "FRAME-RATE=25")),
        ("1.28", "another frame rate", swap(master, "FRAME-RATE=25.000", "FRAME-RATE=30.000")),
        ("1.28", "another size", swap(master, "1280x720", "1920x1080")),
        ("1.28", "no I-frame playlists", without(master, "#EXT-X-I-FRAME")),
        ("1.28", "no language", swap(master, "LANGUAGE=\"und\",", "")),
        ("1.28", "I-frame list without its tag", without("iframes.m3u8", "#EXT-X-I-FRAMES-ONLY")),
        ("1.29", "a codec is missing", swap(master, "avc1.64001f,mp4a.40.2", "avc1.64001f")),
        ("1.30", "a score on one variant", text(master, |t, _| t.replacen(",RESOLUTION", ",SCORE=1.0,RESOLUTION", 1))),
        ("1.31", "a bad variant id", swap(master, ",RESOLUTION", ",STABLE-VARIANT-ID=\"a b\",RESOLUTION")),
        ("1.32", "an unknown group", swap(master, ",AUDIO=\"aac\"", ",AUDIO=\"opus\"")),
        (
            "1.32",
            "two defaults of one name",
            text(master, |t, _| {
                let line = t.lines().find(|l| l.starts_with("#EXT-X-MEDIA:")).unwrap().to_owned();
                t.replace(&line, &format!("{line}\n{line}"))
            }),
        ),
        (
            "1.32",
            "captions NONE on one variant",
            text(master, |t, _| t.replacen(",RESOLUTION", ",CLOSED-CAPTIONS=NONE,RESOLUTION", 1)),
        ),
        ("CHECK-1d", "dates differ between renditions", shift_dates("360p/index.m3u8")),
        ("CHECK-1d", "dates are not the media time", shift_dates("index.m3u8")),
        ("CHECK-1e", "no content type", header(v, "content-type", Some("text/plain"))),
        ("CHECK-1e", "no Vary", header(v, "vary", None)),
        ("CHECK-1e", "no Cache-Control", header(v, "cache-control", None)),
        (
            "CHECK-1f",
            "peak above bandwidth",
            swap(master, "BANDWIDTH=90000,AVERAGE-BANDWIDTH=80000", "BANDWIDTH=900,AVERAGE-BANDWIDTH=800"),
        ),
        (
            "CHECK-1g",
            "a change after the end",
            text(v, |t, ms| match ms {
                ..8000 => t,
                8000..10_000 => format!("{t}#EXT-X-ENDLIST\n"),
                _ => t,
            }),
        ),
        ("2.23", "no validator", header(v, "etag", None)),
    ]
}

fn dash_faults() -> Vec<(&'static str, &'static str, Fault)> {
    let m = "manifest.mpd";
    vec![
        ("2.1", "no XML", swap(m, "</Period>", "</Perio>")),
        ("2.1", "no profiles", swap(m, "profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" ", "")),
        ("2.1", "an unknown attribute", swap(m, "minBufferTime", "lowLatency=\"true\" minBufferTime")),
        ("2.1", "another namespace", swap(m, "schema:mpd:2011", "schema:mpd:2009")),
        ("2.1", "segments longer than said", swap(m, "maxSegmentDuration=\"PT2.1S\"", "maxSegmentDuration=\"PT1S\"")),
        ("2.2", "no availability start", swap(m, "availabilityStartTime=\"1970-01-01T00:00:00Z\" ", "")),
        ("2.2", "the availability start moves", later(m, "1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z")),
        ("2.2", "the MPD vanishes", response(m, |r| r.status = 500)),
        ("2.3", "no clock", swap(m, "<UTCTiming", "<Timing")),
        ("2.3", "a clock scheme that is not allowed", swap(m, "utc:http-iso:2014", "utc:ntp:2014")),
        ("2.4", "no leap seconds", swap(m, "<LeapSecondInformation", "<Leap")),
        ("2.5", "a change without update period", swap(m, " minimumUpdatePeriod=\"PT2S\"", "")),
        ("2.5", "an end without duration", later(m, " minimumUpdatePeriod=\"PT2S\"", "")),
        ("2.6", "a set without id", swap(m, "<AdaptationSet id=\"1\"", "<AdaptationSet")),
        (
            "2.6",
            "representations change",
            later(m, "<Representation id=\"360p\" bandwidth=\"80000\" width=\"640\" height=\"360\"/>", ""),
        ),
        ("2.6", "the period start moves", later(m, "start=\"PT0S\"", "start=\"PT1S\"")),
        ("2.7", "S@n", swap(m, "<S t=", "<S n=\"1\" t=")),
        ("2.7", "the template changes", later(m, "init.mp4?v=1", "init.mp4?v=2")),
        ("2.7", "an entry is edited", text(m, |t, ms| if ms < 8000 { t } else { shift_number(&t) })),
        (
            "2.7",
            "an entry gets another length",
            text(m, |t, ms| if ms < 8000 { t } else { t.replacen("d=\"50000\"", "d=\"49000\"", 1) }),
        ),
        ("2.7", "expired segments stay", swap(m, "timeShiftBufferDepth=\"PT20S\"", "timeShiftBufferDepth=\"PT7S\"")),
        ("2.8", "no timescale", swap(m, "timescale=\"25000\" ", "")),
        ("2.8", "no media", swap(m, "$Number$", "x")),
        ("2.8", "number and time", swap(m, "$Number$.m4s", "$Number$-$Time$.m4s")),
        ("2.9", "an S without length", swap(m, "d=\"50000\"", "e=\"50000\"")),
        ("2.10", "a gap", swap(m, "d=\"50000\"", "d=\"49000\"")),
        ("2.10", "an overlap", swap(m, "d=\"50000\"", "d=\"51000\"")),
        (
            "2.11",
            "an offset on a representation",
            swap(m, "<Representation id=\"360p\"", "<Representation availabilityTimeOffset=\"1\" id=\"360p\""),
        ),
        (
            "2.11",
            "a segment of the future",
            swap(m, "availabilityStartTime=\"1970-01-01T00:00:00Z\"", "availabilityStartTime=\"1970-01-01T00:01:00Z\""),
        ),
        (
            "2.12",
            "a delay beyond the window",
            swap(m, "suggestedPresentationDelay=\"PT6S\"", "suggestedPresentationDelay=\"PT60S\""),
        ),
        ("2.14", "a duration in months", swap(m, "minBufferTime=\"PT2S\"", "minBufferTime=\"P1M\"")),
        ("2.21", "no alignment", swap(m, "segmentAlignment=\"true\"", "")),
        ("2.21", "another codec", swap(m, "avc1.64001f", "avc1.640028")),
        ("2.21", "another timescale", swap(m, "timescale=\"48000\"", "timescale=\"44100\"")),
        ("2.21", "another size", swap(m, "width=\"1280\"", "width=\"1920\"")),
        ("2.21", "no mime type", swap(m, "mimeType=\"audio/mp4\"", "")),
        (
            "CHECK-2b",
            "publishTime stands still",
            text(m, |t, _| {
                let at = t.find("publishTime=\"").unwrap() + 13;
                format!("{}2024-07-20T00:00:00.000Z{}", &t[..at], &t[at + 24..])
            }),
        ),
        (
            "CHECK-2b",
            "a listed segment is missing",
            swap(m, "$RepresentationID$/$Number$", "$RepresentationID$/x$Number$"),
        ),
        (
            "CHECK-2b",
            "the future is there already",
            Box::new(|url, _, r| {
                if url.ends_with(".m4s") && r.status == 404 {
                    r.status = 200;
                }
            }),
        ),
        ("CHECK-2c", "S@t is off the bytes", text(m, |t, _| shift_number(&t))),
        ("CHECK-2c", "other bytes than HLS", other_bytes_in_dash()),
        ("CHECK-2e", "the clock is wrong", text("/time", |_, _| "2024-07-20T13:40:00.000Z".to_owned())),
        ("CHECK-2e", "the clock says nothing", text("/time", |_, _| "soon".to_owned())),
    ]
}

fn box_faults() -> Vec<(&'static str, &'static str, Fault)> {
    let (init, seg) = ("720p/init.mp4", "720p/8");
    vec![
        ("3.1", "ftyp is not first", rename(init, b"ftyp", b"free")),
        ("3.1", "no moov", rename(init, b"moov", b"free")),
        ("3.1", "cut short", response(init, |r| r.body = r.body.slice(..100))),
        ("3.1", "no mvex", rename(init, b"mvex", b"free")),
        ("3.1", "a duration in mvhd", patch(init, b"mvhd", 16, &[0, 0, 0, 9])),
        ("3.1", "a duration in tkhd", patch(init, b"tkhd", 20, &[0, 0, 0, 9])),
        ("3.1", "a duration in mdhd", patch(init, b"mdhd", 16, &[0, 0, 0, 9])),
        ("3.1", "another matrix", patch(init, b"tkhd", 40, &[0, 2, 0, 0])),
        ("3.1", "a video track without size", patch(init, b"tkhd", 76, &[0; 8])),
        ("3.1", "an audio track with size", patch("audio/init.mp4", b"tkhd", 76, &[0, 1, 0, 0])),
        ("3.1", "samples in the header", patch(init, b"stts", 4, &[0, 0, 0, 1])),
        ("3.1", "no vmhd", rename(init, b"vmhd", b"free")),
        ("3.1", "a data reference outside", patch(init, b"url ", 0, &[0, 0, 0, 0])),
        ("3.1", "trex of another track", patch(init, b"trex", 4, &[0, 0, 0, 2])),
        ("3.1", "no avcC", rename(init, b"avcC", b"free")),
        (
            "3.2",
            "order of stbl",
            response(init, |r| {
                let swapped = swap_kinds(&r.body, b"stts", b"stsc");
                r.body = swapped;
            }),
        ),
        ("3.3", "a minor version", patch(init, b"ftyp", 4, &[0, 0, 0, 1])),
        ("1.19", "no late brand", patch(init, b"ftyp", 0, b"isom\0\0\0\0isomisomisom")),
        ("3.4", "no mdat", rename(seg, b"mdat", b"free")),
        (
            "3.4",
            "cut short",
            response(seg, |r| {
                if r.status == 200 {
                    r.body = r.body.slice(..r.body.len() - 5);
                }
            }),
        ),
        ("3.5", "base is not the moof", patch(seg, b"tfhd", 1, &[0])),
        ("3.5", "another track", patch(seg, b"tfhd", 4, &[0, 0, 0, 2])),
        ("3.5", "no tfdt", rename(seg, b"tfdt", b"free")),
        ("3.5", "data-offset off by one", patch(seg, b"trun", 11, &[255])),
        ("3.5", "sizes that do not fill the mdat", patch(seg, b"trun", 15, &[39])),
        ("3.5", "NAL lengths that do not add up", patch(seg, b"mdat", 3, &[1])),
        ("3.6", "a hole between segments", patch(seg, b"tfhd", 8, &[0, 0, 3, 0])),
        ("3.7", "no sync sample first", patch(seg, b"trun", 16, &[1, 1, 0, 0])),
        ("1.21", "no IDR first", patch(seg, b"mdat", 4, &[0x41])),
        ("3.8", "cmf2 with defaults in trex", patch(seg, b"tfhd", 0, &[0, 2, 0, 0])),
        ("3.12", "styp is not first", rename(seg, b"prft", b"styp")),
        ("3.12", "styp without a CMAF brand", patch(seg, b"styp", 0, b"msdh\0\0\0\0msdhmsix")),
        ("3.13", "prft of another track", patch(seg, b"prft", 4, &[0, 0, 0, 9])),
        ("3.15", "tfdt version 0", patch(seg, b"tfdt", 0, &[0])),
        ("3.10", "another timescale in one rendition", patch("360p/init.mp4", b"mdhd", 12, &[0, 0, 0x61, 0xa9])),
        ("CHECK-3b", "another length in one rendition", patch("360p/8", b"tfhd", 8, &[0, 0, 3, 0])),
        ("CHECK-3b", "another start in one rendition", patch("360p/8", b"tfdt", 11, &[1])),
        ("5.6", "a video segment off its place", patch(seg, b"tfdt", 10, &[0, 0])),
        ("5.6", "a name with another number", names_off_by_one("720p/index.m3u8")),
        ("5.9", "an audio segment off its place", patch("audio/8", b"tfdt", 10, &[0, 0])),
        ("5.11", "off the frame grid", patch(seg, b"tfdt", 11, &[1])),
    ]
}

#[test]
fn hls_rules_fire() {
    every_fault_is_found(hls_faults());
}

#[test]
fn dash_rules_fire() {
    every_fault_is_found(dash_faults());
}

#[test]
fn box_rules_fire() {
    every_fault_is_found(box_faults());
}

fn every_fault_is_found(faults: Vec<(&'static str, &'static str, Fault)>) {
    let mut missed = Vec::new();
    for (rule, name, fault) in faults {
        let report = run(fault);
        let found: BTreeSet<&str> = report.findings.iter().map(|f| f.rule).collect();
        if !found.contains(rule) {
            missed.push(format!("{rule} ({name}): found {found:?}"));
        }
    }
    assert!(missed.is_empty(), "faults that were not found: {missed:#?}");
}

fn sequence(text: &str, by: i64) -> String {
    text.lines()
        .map(|l| match l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            Some(n) => format!("#EXT-X-MEDIA-SEQUENCE:{}\n", n.parse::<i64>().unwrap() + by),
            None => format!("{l}\n"),
        })
        .collect()
}

/// Drops the newest `count` segments.
fn cut_last(text: &str, count: usize) -> String {
    let marks: Vec<usize> = text.match_indices("#EXT-X-PROGRAM").map(|(i, _)| i).collect();
    text[..marks[marks.len() - count]].to_owned()
}

/// Keeps only the newest `count` segments.
fn keep_last(text: &str, count: usize) -> String {
    let marks: Vec<usize> = text.match_indices("#EXT-X-PROGRAM").map(|(i, _)| i).collect();
    let dropped = marks.len() - count;
    sequence(&format!("{}{}", &text[..marks[0]], &text[marks[dropped]..]), dropped as i64)
}

/// Answers with what was there at that time, from then on.
fn freeze(path: &'static str, from_ms: i64) -> Fault {
    let frozen = std::cell::RefCell::new(None);
    Box::new(move |url, ms, response| {
        if url.contains(path) && ms >= from_ms {
            let mut frozen = frozen.borrow_mut();
            response.body = frozen.get_or_insert_with(|| response.body.clone()).clone();
        }
    })
}

/// Segments that left the list answer 404.
fn gone_after_removal() -> Fault {
    Box::new(|url, ms, response| {
        let newest = (presentation::START_MS + ms) / 2000;
        let number = url.rsplit('/').next().and_then(|f| f.strip_suffix(".m4s")).and_then(|n| n.parse::<i64>().ok());
        if number.is_some_and(|n| n + 10 <= newest) {
            response.status = 404;
        }
    })
}

/// Names each segment by the number before its own.
fn names_off_by_one(path: &'static str) -> Fault {
    text(path, |t, _| {
        t.lines()
            .map(|l| match l.strip_suffix(".m4s").and_then(|n| n.parse::<u64>().ok()) {
                Some(n) => format!("{}.m4s\n", n - 1),
                None => format!("{l}\n"),
            })
            .collect()
    })
}

/// The MPD names its segments otherwise, and under those names the last byte differs.
fn other_bytes_in_dash() -> Fault {
    let rename = swap("manifest.mpd", "$Number$.m4s", "$Number$.m4s?dash");
    Box::new(move |url, ms, response| {
        rename(url, ms, response);
        if url.ends_with("?dash") && response.status == 200 {
            let mut body = response.body.to_vec();
            *body.last_mut().unwrap() ^= 1;
            response.body = Bytes::from(body);
        }
    })
}

/// Moves all dates by 40 ms.
fn shift_dates(path: &'static str) -> Fault {
    text(path, |t, _| t.replace(".000Z", ".040Z"))
}

/// Names the timeline's segments by the next number.
fn shift_number(text: &str) -> String {
    let at = text.find("startNumber=\"").unwrap() + 13;
    let end = at + text[at..].find('"').unwrap();
    let number: u64 = text[at..end].parse().unwrap();
    format!("{}{}{}", &text[..at], number - 1, &text[end..])
}

fn swap_kinds(body: &Bytes, a: &[u8; 4], b: &[u8; 4]) -> Bytes {
    let mut out = body.to_vec();
    let at = |kind: &[u8; 4]| body.windows(4).position(|w| w == kind).unwrap();
    let (x, y) = (at(a), at(b));
    out[x..x + 4].copy_from_slice(b);
    out[y..y + 4].copy_from_slice(a);
    Bytes::from(out)
}
