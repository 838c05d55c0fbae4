//! Low-Latency HLS: a faultless presentation has no findings; each fault is found as its rule, and as no other.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault that does not apply must fail its test")]

#[allow(dead_code, reason = "shared with the other tests")]
mod presentation;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use millstream_check::fetch::Response;
use millstream_check::{Options, Report, live};
use presentation::{Fault, World};

/// Faults that break two rules at once.
const COMPANIONS: &[&str] = &[
    "parts below 85 %",
    "a part longer than the target",
    "a part without length",
    "no part target",
    "a hint that is not there",
    "parts that are not their segment",
];

const LIST: &str = "720p/index.m3u8";

fn run(fault: Fault) -> Report {
    let options = Options { duration: Duration::from_secs(12), ..Options::default() };
    live(&mut World::low_latency(fault), "http://test/live/demo/index.m3u8", options)
}

#[test]
fn a_faultless_presentation_has_no_findings() {
    let report = run(Box::new(|_, _, _| {}));
    let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(lines, Vec::<String>::new());
    assert!(report.segments > 30, "{report:?}");
}

/// Changes the text of lists whose URL contains `path`.
fn text(path: &'static str, change: impl Fn(String) -> String + 'static) -> Fault {
    Box::new(move |url, _, response| {
        if url.contains(path) && response.status == 200 {
            let old = String::from_utf8(response.body.to_vec()).unwrap();
            response.body = Bytes::from(change(old));
        }
    })
}

fn swap(path: &'static str, from: &'static str, to: &'static str) -> Fault {
    text(path, move |t| t.replace(from, to))
}

fn without(path: &'static str, begin: &'static str) -> Fault {
    text(path, move |t| t.lines().filter(|l| !l.starts_with(begin)).map(|l| format!("{l}\n")).collect())
}

fn response(hit: impl Fn(&str) -> bool + 'static, change: impl Fn(&mut Response) + 'static) -> Fault {
    Box::new(move |url, _, response| {
        if hit(url) {
            change(response);
        }
    })
}

fn hinted(url: &str) -> bool {
    url.contains("720p/") && url.contains("-") && url.ends_with(".m4s") && !url.contains("millstream")
}

fn faults() -> Vec<(&'static str, &'static str, Fault)> {
    let (all, any) = (LIST, "/index.m3u8");
    vec![
        ("1.35", "skip boundary below six targets", swap(any, "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=11.0")),
        ("1.35", "skip boundary is no number", swap(any, "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=x")),
        ("1.35", "hold-back below three targets", swap(any, "PART-HOLD", "HOLD-BACK=5.0,PART-HOLD")),
        ("1.35", "part hold-back below two parts", swap(any, "PART-HOLD-BACK=1.560", "PART-HOLD-BACK=1.0")),
        ("1.35", "part hold-back below three parts", swap(any, "PART-HOLD-BACK=1.560", "PART-HOLD-BACK=1.2")),
        ("1.35", "no part hold-back", swap(any, ",PART-HOLD-BACK=1.560", "")),
        ("1.26", "another server control", swap(all, "PART-HOLD-BACK=1.560", "PART-HOLD-BACK=2.0")),
        ("1.37", "a part longer than the target", swap(all, "PART-TARGET=0.520", "PART-TARGET=0.480")),
        ("1.37", "parts below 85 %", swap(any, "PART-TARGET=0.520", "PART-TARGET=0.600")),
        ("1.37", "a part without length", swap(all, "#EXT-X-PART:DURATION=0.52000,", "#EXT-X-PART:")),
        ("1.36", "no part target", without(all, "#EXT-X-PART-INF")),
        ("1.40", "no blocking", swap(any, "CAN-BLOCK-RELOAD=YES,", "")),
        (
            "1.40",
            "blocked answers are 404",
            response(
                |u| u.contains("720p/index.m3u8?_HLS_msn"),
                |r| {
                    if r.status == 200 {
                        r.status = 404
                    }
                },
            ),
        ),
        (
            "1.41",
            "a part without a number is answered",
            response(|u| u.contains("720p/index.m3u8?_HLS_part"), |r| r.status = 200),
        ),
        (
            "1.41",
            "a far number is held",
            response(
                |u| u.contains("720p/index.m3u8?_HLS_msn"),
                |r| {
                    if r.status == 400 {
                        r.status = 503
                    }
                },
            ),
        ),
        (
            "1.12",
            "a stalled encoder",
            response(
                |u| u.contains("720p/index.m3u8?_HLS_msn"),
                |r| {
                    if r.status == 200 {
                        r.status = 503
                    }
                },
            ),
        ),
        ("1.42", "no delta update", without("720p/index.m3u8?_HLS_skip", "#EXT-X-SKIP")),
        ("1.42", "a wrong count", swap("720p/index.m3u8?_HLS_skip", "SKIPPED-SEGMENTS=3", "SKIPPED-SEGMENTS=2")),
        ("1.42", "no count", swap("720p/index.m3u8?_HLS_skip", "SKIPPED-SEGMENTS=3", "SKIPPED=3")),
        ("1.42", "an error", response(|u| u.contains("720p/index.m3u8?_HLS_skip"), |r| r.status = 500)),
        ("1.42", "a delta update that is not promised", swap(any, "CAN-SKIP-UNTIL=12.0,", "")),
        ("1.42", "too much is skipped", text("720p/index.m3u8?_HLS_skip", skip_more)),
        ("1.4", "a delta update of version 6", swap("720p/index.m3u8?_HLS_skip", "VERSION:9", "VERSION:6")),
        ("1.43", "no hint", without(all, "#EXT-X-PRELOAD-HINT")),
        ("1.43", "a hint without type", swap(all, "#EXT-X-PRELOAD-HINT:TYPE=PART,", "#EXT-X-PRELOAD-HINT:")),
        ("1.43", "two hints", text(all, |t| format!("{t}#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"\n"))),
        ("1.43", "a hint that is not there", response(hinted, |r| r.status = 404)),
        ("1.44", "a part drop by drop", response(hinted, |r| r.last_byte += Duration::from_millis(450))),
        ("1.45", "an unknown name is there", response(|u| u.contains("720p/millstream"), |r| r.status = 200)),
        ("1.46", "no report", without(all, "#EXT-X-RENDITION-REPORT:URI=\"../360p")),
        ("1.46", "a report without its place", swap(all, ",LAST-MSN=", ",MSN=")),
        ("1.46", "a report of long ago", text(all, |t| t.replace("LAST-MSN=8607", "LAST-MSN=8507"))),
        ("1.46", "an absolute report", swap(all, "URI=\"../360p", "URI=\"http://test/live/demo/360p")),
        ("1.38", "parts that are not their segment", response(hinted, |r| r.body = r.body.slice(..r.body.len() / 2))),
        (
            "1.48",
            "kept for a day",
            response(
                |u| u.contains("720p/index.m3u8?_HLS_msn"),
                |r| {
                    r.headers.retain(|(n, _)| n != "cache-control");
                    r.headers.push(("cache-control".to_owned(), "max-age=86400".to_owned()));
                },
            ),
        ),
        (
            "1.49",
            "an Age of words",
            response(|u| u.ends_with(LIST), |r| r.headers.push(("age".to_owned(), "old".to_owned()))),
        ),
        (
            "CHECK-1e",
            "no CORS",
            response(|u| u.ends_with(LIST), |r| r.headers.retain(|(n, _)| n != "access-control-allow-origin")),
        ),
        (
            "CHECK-1e",
            "segments of another type",
            response(
                |u| u.ends_with(".m4s"),
                |r| {
                    r.headers.retain(|(n, _)| n != "content-type");
                    r.headers.push(("content-type".to_owned(), "text/html".to_owned()));
                },
            ),
        ),
    ]
}

/// Leaves only the newest two segments in a delta update.
fn skip_more(text: String) -> String {
    let marks: Vec<usize> = text.match_indices("#EXT-X-PROGRAM").map(|(i, _)| i).collect();
    let drop = marks.len() - 3;
    let kept = format!("{}{}", &text[..marks[0]], &text[marks[drop]..]);
    kept.replace("SKIPPED-SEGMENTS=3", &format!("SKIPPED-SEGMENTS={}", 3 + drop))
}

#[test]
fn each_fault_is_found() {
    let mut wrong = Vec::new();
    for (rule, name, fault) in faults() {
        let found: BTreeSet<&str> = run(fault).findings.iter().map(|f| f.rule).collect();
        if !found.contains(rule) {
            wrong.push(format!("{rule} ({name}): missed; found {found:?}"));
        } else if found.len() > 1 && !COMPANIONS.contains(&name) {
            wrong.push(format!("{rule} ({name}): also {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whatever stands in a response, the checker ends and says so: seeded damage to every kind of body.
#[test]
fn mangled_bodies_never_panic() {
    for seed in 0..60_u64 {
        let state = std::cell::Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let next = move || {
            let mut x = state.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            state.set(x);
            x
        };
        let fault: Fault = Box::new(move |_, _, response| {
            let mut body = response.body.to_vec();
            for _ in 0..next() % 6 {
                if body.is_empty() {
                    break;
                }
                let at = (next() % body.len() as u64) as usize;
                match next() % 5 {
                    0 => body[at] = next() as u8,
                    1 => body.truncate(at),
                    2 => drop(body.splice(at..at, *b"99999999999999999999")),
                    3 => drop(body.splice(at..at, [0xff; 8])),
                    _ => drop(body.remove(at)),
                }
            }
            response.body = Bytes::from(body);
        });
        let options = Options {
            duration: Duration::from_secs(3),
            mpd: Some("http://test/live/demo/manifest.mpd".to_owned()),
            ..Options::default()
        };
        let world = if seed % 2 == 0 { World::low_latency(fault) } else { World::new(fault) };
        let mut world = world;
        live(&mut world, "http://test/live/demo/index.m3u8", options);
    }
}
