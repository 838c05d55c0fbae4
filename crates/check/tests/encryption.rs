//! An encrypted presentation without a fault has no findings; every rule of encryption (1.51, 3.17) finds the fault that
//! is made for it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a fault that does not apply must fail its test")]

#[allow(dead_code, reason = "shared with the other tests")]
mod presentation;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use millstream_check::{Options, Report, live};
use presentation::fault::{patch, rename, response, swap, text, without};
use presentation::protection::Protection;
use presentation::{Fault, World};

fn run(protection: Protection, fault: Fault) -> Report {
    let mpd = Some("http://test/live/demo/manifest.mpd".to_owned());
    // HLS is not offered with cenc (1.51), so that is read from its MPD alone.
    let url = match protection {
        Protection::Cbcs => "http://test/live/demo/index.m3u8",
        Protection::Cenc => "http://test/live/demo/manifest.mpd",
    };
    let options = Options { duration: Duration::from_secs(8), mpd, ..Options::default() };
    live(&mut World::protected(protection, fault), url, options)
}

#[test]
fn a_faultless_encrypted_presentation_has_no_findings() {
    for protection in [Protection::Cbcs, Protection::Cenc] {
        let report = run(protection, Box::new(|_, _, _| {}));
        let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(lines, Vec::<String>::new(), "{protection:?}");
        assert!(report.segments >= 3 * 12, "{report:?}");
    }
}

/// Changes the bytes of whole responses.
fn body(path: &'static str, change: impl Fn(&mut Vec<u8>) + 'static) -> Fault {
    response(path, move |response| {
        if response.status == 200 {
            let mut body = response.body.to_vec();
            change(&mut body);
            response.body = Bytes::from(body);
        }
    })
}

/// Overwrites bytes of the last box of a type, counted from the end of its body.
fn patch_end(path: &'static str, kind: &'static [u8; 4], before_end: usize, bytes: &'static [u8]) -> Fault {
    self::body(path, move |body| {
        let found = body.windows(4).rposition(|w| w == kind).expect("no such box");
        let size = u32::from_be_bytes(body[found - 4..found].try_into().unwrap()) as usize;
        let at = found - 4 + size - before_end;
        body[at..at + bytes.len()].copy_from_slice(bytes);
    })
}

fn missed(protection: Protection, faults: Vec<(&'static str, &'static str, Fault)>) -> Vec<String> {
    let mut missed = Vec::new();
    for (rule, name, fault) in faults {
        let report = run(protection, fault);
        let found: BTreeSet<&str> = report.findings.iter().map(|f| f.rule).collect();
        if !found.contains(rule) {
            missed.push(format!("{rule} ({name}): found {found:?}"));
        }
    }
    missed
}

#[test]
fn playlists() {
    let (v, master) = ("720p/index.m3u8", "demo/index.m3u8");
    let faults = vec![
        ("1.51", "no key for encrypted segments", without(v, "#EXT-X-KEY")),
        (
            "1.51",
            "NONE for encrypted segments",
            text(v, |t, _| t.replace("#EXT-X-MAP", "#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP")),
        ),
        ("1.51", "a method that is none", swap(v, "METHOD=SAMPLE-AES", "METHOD=AES-256")),
        ("1.51", "the method of the other scheme", swap(v, "METHOD=SAMPLE-AES", "METHOD=SAMPLE-AES-CTR")),
        ("1.51", "no URI", swap(v, "URI=\"../video.key\",", "")),
        ("1.51", "an IV that is too short", swap(v, "KEYFORMATVERSIONS", "IV=0x01,KEYFORMATVERSIONS")),
        (
            "1.51",
            "a session key of another format",
            swap(master, "KEYFORMATVERSIONS=\"1\"", "KEYFORMATVERSIONS=\"1/2\""),
        ),
        ("1.51", "a session key NONE", swap(master, "METHOD=SAMPLE-AES", "METHOD=NONE")),
        ("1.51", "segments whose header is clear", rename("720p/init", b"sinf", b"free")),
        ("1.4", "a version below SAMPLE-AES", swap("iframes.m3u8", "VERSION:5", "VERSION:4")),
    ];
    assert_eq!(missed(Protection::Cbcs, faults), Vec::<String>::new());
}

#[test]
fn headers() {
    let init = "720p/init.mp4";
    let faults = vec![
        ("3.17", "no sinf", rename(init, b"sinf", b"free")),
        ("3.17", "no frma", rename(init, b"frma", b"free")),
        ("3.17", "no schm", rename(init, b"schm", b"free")),
        ("3.17", "no tenc", rename(init, b"tenc", b"free")),
        ("3.17", "a sample entry that says it is clear", rename(init, b"encv", b"avc1")),
        ("3.17", "a scheme that is none", patch(init, b"schm", 4, b"abcd")),
        ("3.17", "another version of the scheme", patch(init, b"schm", 8, &[0, 2])),
        ("3.17", "samples that are not protected", patch(init, b"tenc", 6, &[0])),
        ("3.17", "an IV size that is none", patch(init, b"tenc", 7, &[5])),
        ("3.17", "IVs of samples under cbcs", patch(init, b"tenc", 7, &[8])),
        ("3.17", "tenc of cbcs in version 0", patch(init, b"tenc", 0, &[0])),
        ("3.17", "another pattern", patch(init, b"tenc", 5, &[0x55])),
        ("3.17", "a constant IV of another size", patch(init, b"tenc", 24, &[15])),
        ("3.17", "no key id", patch(init, b"tenc", 8, &[0; 16])),
        ("3.17", "pssh of another key", patch(init, b"pssh", 24, &[1])),
        ("3.17", "a pssh whose lengths do not add up", patch(init, b"pssh", 40, &[0, 0, 0, 9])),
    ];
    assert_eq!(missed(Protection::Cbcs, faults), Vec::<String>::new());
}

#[test]
fn chunks() {
    let faults = || {
        let seg = "720p/8";
        vec![
            (
                "3.17",
                "neither senc nor saiz",
                body(seg, |body| {
                    for kind in [b"senc", b"saiz", b"saio"] {
                        let at: Vec<usize> =
                            body.windows(4).enumerate().filter(|(_, w)| w == kind).map(|(i, _)| i).collect();
                        at.into_iter().for_each(|at| body[at..at + 4].copy_from_slice(b"free"));
                    }
                }),
            ),
            ("3.17", "saiz without saio", rename(seg, b"saio", b"free")),
            ("3.17", "senc of fewer samples", patch(seg, b"senc", 7, &[1])),
            ("3.17", "saio that leads elsewhere", patch(seg, b"saio", 11, &[1])),
            ("3.17", "two entries in saio", patch(seg, b"saio", 7, &[2])),
            ("3.17", "other sizes in saiz", patch(seg, b"saiz", 4, &[9])),
            ("3.17", "saiz of fewer samples", patch(seg, b"saiz", 8, &[1])),
            ("3.17", "subsamples that do not cover a sample", patch_end(seg, b"senc", 1, &[31])),
            (
                "3.2",
                "senc before trun",
                body(seg, |body| {
                    let at = body.windows(4).position(|w| w == b"trun").unwrap();
                    let other = body.windows(4).position(|w| w == b"senc").unwrap();
                    body[at..at + 4].copy_from_slice(b"senc");
                    body[other..other + 4].copy_from_slice(b"trun");
                }),
            ),
        ]
    };
    assert_eq!(missed(Protection::Cbcs, faults()), Vec::<String>::new());
    let mut cenc = faults();
    cenc.push((
        "3.17",
        "an IV twice",
        body("audio/8", |body| {
            let at = body.windows(4).position(|w| w == b"senc").unwrap() + 12;
            let first = body[at..at + 8].to_vec();
            body[at + 8..at + 16].copy_from_slice(&first);
        }),
    ));
    // The first sample's run: two clear bytes and a NAL unit header in the protected rest.
    cenc.push((
        "3.17",
        "an encrypted NAL unit header",
        body("720p/8", |body| {
            let at = body.windows(4).position(|w| w == b"senc").unwrap() + 12 + 8 + 2;
            let size = usize::from(body[at + 1]) + 32;
            body[at + 1] = (size % 16) as u8;
            body[at + 5] = (size - size % 16) as u8;
            if size % 16 >= 5 {
                body[at + 1] = 0;
                body[at + 5] = size as u8;
            }
        }),
    ));
    assert_eq!(missed(Protection::Cenc, cenc), Vec::<String>::new());
}

#[test]
fn manifests() {
    let m = "manifest.mpd";
    let faults = vec![
        ("3.17", "no ContentProtection", swap(m, "ContentProtection", "Supplement")),
        ("3.17", "none of mp4protection", swap(m, "mp4protection:2011", "mp4protection:2099")),
        ("3.17", "another scheme", swap(m, "value=\"cbcs\"", "value=\"cenc\"")),
        ("3.17", "another key", swap(m, "default_KID=\"b0b0b0b0", "default_KID=\"b0b0b0b1")),
        ("3.17", "no key", swap(m, "cenc:default_KID", "cenc:other")),
        ("3.17", "a key id that is no UUID", swap(m, "default_KID=\"b0b0b0b0-", "default_KID=\"b0b0b0b0")),
        ("3.17", "pssh that is none", swap(m, "</cenc:pssh>", "A</cenc:pssh>")),
        ("3.17", "pssh of another system", swap(m, "urn:uuid:1077efec", "urn:uuid:1077efed")),
        ("3.17", "a system without a scheme", swap(m, "schemeIdUri=\"urn:uuid", "schemeIdUrl=\"urn:uuid")),
    ];
    assert_eq!(missed(Protection::Cbcs, faults), Vec::<String>::new());
    // Clear media under a ContentProtection.
    let clear = Box::new(move |url: &str, _: i64, r: &mut millstream_check::fetch::Response| {
        if url.contains(m) && r.status == 200 {
            let text = String::from_utf8(r.body.to_vec()).unwrap();
            let element =
                "<ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=\"cbcs\"/><SegmentTemplate";
            r.body = Bytes::from(text.replace("<SegmentTemplate", element));
        }
    });
    let options = Options { mpd: Some("http://test/live/demo/manifest.mpd".to_owned()), ..Options::default() };
    let report = live(&mut World::new(clear), "http://test/live/demo/manifest.mpd", options);
    assert!(report.findings.iter().any(|f| f.rule == "3.17"), "{report:?}");
}
