//! Low-latency media playlists (STANDARDS 1D): to the byte in each situation, and what holds of all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod hls_channel;

use std::collections::BTreeMap;

use bytes::Bytes;
use hls_channel::*;
use millstream_media::protection::{KeyId, Scheme, Signalling};
use millstream_media::segment::SegmentEnd;
use millstream_media::track::Track;
use millstream_package::hls::{self, Form};
use millstream_window::{Config, Timing};
use proptest::prelude::*;

/// On air at 30/s with two parts of a second in each segment; a list of 10 s.
fn live(tracks: Vec<Track>) -> Channel {
    live_with(short_list(), tracks)
}

fn live_with(config: Config, tracks: Vec<Track>) -> Channel {
    let mut channel = Channel::live(config, rate(30, 1), vec![]);
    channel.window.begin_session(Timing::epoch_locked(channel.grid).with_part_frames(30), channel.now);
    channel.begin_period(FIRST, tracks, false);
    channel
}

/// 360p and audio.
fn small() -> Vec<Track> {
    ladder(rate(30, 1))[2..].to_vec()
}

fn part(channel: &mut Channel, track: usize, segment: u64, part: u32) {
    let track = channel.tracks[track].clone();
    let chunk = channel.chunk(&track, segment, part);
    channel.window.push_chunk(&track.name, chunk, channel.now).unwrap();
}

fn end(channel: &mut Channel, track: usize, segment: u64) {
    let track = channel.tracks[track].clone();
    let (start, duration) = channel.times(&track, segment);
    let end = SegmentEnd { segment, start, duration, discontinuity: false };
    channel.window.end_segment(&track.name, end, channel.now).unwrap();
}

/// The media playlists of all renditions, one after the other.
fn lists(channel: &Channel) -> String {
    let list = |t: &Track| format!("=== {}\n{}", t.name, list(channel, t.name.as_str(), Form::Full));
    channel.window.renditions().map(list).collect()
}

fn list(channel: &Channel, rendition: &str, form: Form) -> String {
    hls::media(&channel.window, &name(rendition), form).unwrap()
}

#[test]
fn the_first_segment_is_open() {
    let mut channel = live(small());
    part(&mut channel, 0, FIRST, 0);
    insta::assert_snapshot!(lists(&channel));
}

/// The list has slid, video is a part ahead of audio; parts are listed for three target durations (STANDARDS 1.39).
#[test]
fn in_mid_segment() {
    let mut channel = live(small());
    channel.segments(FIRST..FIRST + 7);
    part(&mut channel, 0, FIRST + 7, 0);
    let iframes = hls::iframes(&channel.window, &name("360p"), Form::Full).unwrap();
    insta::assert_snapshot!(format!("{}=== iframes\n{iframes}", lists(&channel)));
}

/// STANDARDS 1.37: what opens a segment precedes its first part; 1.16: in all renditions.
#[test]
fn a_discontinuity_is_ahead() {
    let mut channel = live(small());
    channel.segments(FIRST..FIRST + 2);
    channel.window.discontinuity(FIRST + 2);
    let before = list(&channel, "360p", Form::Full);
    assert!(!before.contains("#EXT-X-DISCONTINUITY\n"), "nothing of the segment is listed yet: {before}");
    part(&mut channel, 0, FIRST + 2, 0);
    insta::assert_snapshot!(list(&channel, "360p", Form::Full));
    // Whoever begins a segment decides for all.
    part(&mut channel, 1, FIRST + 2, 0);
    let audio = list(&channel, "audio", Form::Full);
    assert_eq!(audio.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{audio}");
}

/// STANDARDS 1.51: a player that takes the hint of a part under the next key has that key and its header.
#[test]
fn the_next_key_is_said_before_a_part_under_it_is_hinted_at() {
    let under = |channel: &mut Channel, first: u64, key: u8| {
        let signalling = |_: &Track| Signalling {
            scheme: Scheme::Cbcs,
            key_id: KeyId([key; 16]),
            hls: vec![format!("METHOD=SAMPLE-AES,URI=\"{key}.key\"")],
            hls_session: Vec::new(),
            dash: Vec::new(),
        };
        let said = small().iter().map(|t| (t.name.clone(), signalling(t))).collect();
        let tracks = small().into_iter().map(|t| (t, Bytes::copy_from_slice(&[key]))).collect();
        channel.window.begin_protected_period(first, tracks, &said, false).unwrap();
    };
    let mut channel = live(small());
    under(&mut channel, FIRST, 1);
    channel.segments(FIRST..FIRST + 2);
    let hinted = |channel: &Channel| {
        let text = list(channel, "360p", Form::Full);
        let (before, hint) = text.split_once("#EXT-X-PRELOAD-HINT").unwrap();
        assert!(hint.contains(&format!("{}.0.m4s", FIRST + 2)) || before.contains(&format!("{}.0.m4s", FIRST + 2)));
        before.to_owned()
    };
    let unknown = hinted(&channel);
    under(&mut channel, FIRST + 2, 2);
    let ahead = hinted(&channel);
    let said = ahead.strip_prefix(&unknown).unwrap();
    assert!(
        said.starts_with("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"2.key\"\n#EXT-X-MAP:") && said.lines().count() == 2,
        "{said}"
    );
    // What was said stays (STANDARDS 1.8), and is not said again.
    part(&mut channel, 0, FIRST + 2, 0);
    let open = hinted(&channel);
    assert!(open.starts_with(&ahead), "{open}");
    assert_eq!(open.matches("2.key").count(), 1, "{open}");
}

/// A new ladder: the parts of a rendition that left are those of the one that stands in, and the map is said before them.
#[test]
fn a_rendition_stands_in_part_by_part() {
    let full = ladder(rate(30, 1));
    let mut channel = live(full[1..].to_vec());
    channel.segments(FIRST..FIRST + 2);
    channel.begin_period(FIRST + 2, full[2..].to_vec(), false);
    part(&mut channel, 0, FIRST + 2, 0);
    insta::assert_snapshot!(list(&channel, "720p", Form::Full));
}

/// STANDARDS 1.43: no hint beside ENDLIST, no reports, no open segment.
#[test]
fn the_end() {
    let mut channel = live(small());
    channel.segments(FIRST..FIRST + 2);
    part(&mut channel, 0, FIRST + 2, 0);
    channel.window.end(channel.now);
    insta::assert_snapshot!(lists(&channel));
    let name = name("360p");
    assert_eq!(
        hls::media(&channel.window, &name, Form::Delta),
        hls::media(&channel.window, &name, Form::Full),
        "STANDARDS 1.42: nothing is skipped of an ended list"
    );
}

#[test]
fn a_delta_update() {
    let mut channel = live(small());
    channel.segments(FIRST..FIRST + 3);
    assert_eq!(list(&channel, "360p", Form::Delta), list(&channel, "360p", Form::Full), "nothing is old enough");
    let mut channel = live_with(Config { list_duration: std::time::Duration::from_secs(20), ..short_list() }, small());
    channel.segments(FIRST..FIRST + 10);
    part(&mut channel, 0, FIRST + 10, 0);
    insta::assert_snapshot!(list(&channel, "360p", Form::Delta));
}

/// A segment, or the one in the making, as a player knows it.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    /// All lines but those of the map and the parts.
    lines: Vec<String>,
    /// The map that applies.
    map: String,
    parts: Vec<String>,
}

/// A playlist as a player reads it. Those it skips are taken from `known`, without their parts (STANDARDS 1.42).
fn read(text: &str, known: &BTreeMap<u64, Item>) -> (Vec<String>, BTreeMap<u64, Item>, Vec<String>) {
    let (mut head, mut items, mut tail) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut number = 0;
    let mut map = String::new();
    let empty = Item { lines: Vec::new(), map: String::new(), parts: Vec::new() };
    let mut item = empty.clone();
    for line in text.lines() {
        let tag = line.split(':').next().unwrap();
        match tag {
            "#EXT-X-MEDIA-SEQUENCE" => {
                number = line.split(':').nth(1).unwrap().parse().unwrap();
                head.push(line.to_owned());
            }
            "#EXT-X-SKIP" => {
                let skipped: u64 = line.split('=').nth(1).unwrap().parse().unwrap();
                for _ in 0..skipped {
                    let old = known.get(&number).expect("a skipped segment was listed before").clone();
                    map.clone_from(&old.map);
                    items.insert(number, Item { parts: Vec::new(), ..old });
                    number += 1;
                }
            }
            "#EXT-X-MAP" => line.clone_into(&mut map),
            "#EXT-X-PART" => item.parts.push(line.to_owned()),
            "#EXT-X-PRELOAD-HINT" | "#EXT-X-RENDITION-REPORT" | "#EXT-X-ENDLIST" => tail.push(line.to_owned()),
            "#EXT-X-DISCONTINUITY" | "#EXT-X-PROGRAM-DATE-TIME" | "#EXT-X-GAP" | "#EXTINF" => {
                item.lines.push(line.to_owned());
            }
            // A delta update has its own (STANDARDS 1.4).
            "#EXT-X-VERSION" => {}
            _ if line.starts_with('#') => head.push(line.to_owned()),
            _ => {
                item.lines.push(line.to_owned());
                items.insert(number, Item { map: map.clone(), ..std::mem::replace(&mut item, empty.clone()) });
                number += 1;
            }
        }
    }
    if item != empty {
        items.insert(number, Item { map, ..item });
    }
    (head, items, tail)
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Event {
    Segment,
    Discontinuity,
    Gap,
    Ladder(usize),
    /// A segment, of which video is a part ahead. (A last part and the end of its segment come together.)
    Open,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => Just(Event::Segment),
        1 => Just(Event::Discontinuity),
        1 => Just(Event::Gap),
        1 => (0usize..3).prop_map(Event::Ladder),
        4 => Just(Event::Open),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// STANDARDS 1.42: what a player had, brought up to date by a delta update, is the full list. 1.8: a segment's lines
    /// never change. 1.26: one SERVER-CONTROL everywhere. 1.46: each list reports on all others, and says what they list.
    /// 1.43: one hint, and the next part has that name. 1.39: parts go after three target durations, not before.
    #[test]
    fn what_holds_of_every_list(events in prop::collection::vec(any_event(), 1..60)) {
        let full = ladder(rate(30, 1));
        let longer = Config { list_duration: std::time::Duration::from_secs(30), ..short_list() };
        let mut channel = live_with(longer, full.clone());
        let mut known: BTreeMap<String, BTreeMap<u64, Item>> = BTreeMap::new();
        let mut hints: BTreeMap<String, String> = BTreeMap::new();
        let mut next = FIRST;
        channel.segment(next);
        next += 1;
        for event in events {
            match event {
                Event::Segment => { channel.segment(next); next += 1; }
                Event::Discontinuity => channel.window.discontinuity(next),
                Event::Gap => { channel.window.mark_gap(next, channel.now).unwrap(); next += 1; }
                Event::Ladder(from) => channel.begin_period(next, full[from..].to_vec(), false),
                Event::Open => {
                    let ahead: Vec<Track> = channel.tracks.iter().filter(|t| t.is_video()).cloned().collect();
                    for index in 0..ahead.len() {
                        part(&mut channel, index, next, 0);
                    }
                    check(&channel, &mut known, &mut hints)?;
                    for index in 0..channel.tracks.len() {
                        let from = u32::from(channel.tracks[index].is_video());
                        (from..2).for_each(|p| part(&mut channel, index, next, p));
                        end(&mut channel, index, next);
                    }
                    next += 1;
                }
            }
            check(&channel, &mut known, &mut hints)?;
        }
    }
}

fn check(
    channel: &Channel,
    known: &mut BTreeMap<String, BTreeMap<u64, Item>>,
    hints: &mut BTreeMap<String, String>,
) -> Result<(), TestCaseError> {
    let names: Vec<String> = channel.window.renditions().map(|t| t.name.to_string()).collect();
    let control = |text: &str| text.lines().find(|l| l.starts_with("#EXT-X-SERVER-CONTROL")).unwrap().to_owned();
    let mut controls = Vec::new();
    // For each list, segment and index of its newest part, and its newest whole segment.
    let mut newest = BTreeMap::new();
    let mut reports = Vec::new();
    for rendition in &names {
        let text = list(channel, rendition, Form::Full);
        let (head, items, tail) = read(&text, &BTreeMap::new());
        controls.push(control(&text));
        let video = channel.window.renditions().any(|t| t.name.as_str() == rendition && t.is_video());
        if video {
            controls.push(control(&hls::iframes(&channel.window, &name(rendition), Form::Full).unwrap()));
        }
        // 1.42, 1.8
        let before = known.entry(rendition.clone()).or_default();
        let delta = list(channel, rendition, Form::Delta);
        // 1.4
        let skips = delta.contains("#EXT-X-SKIP");
        prop_assert!(text.contains("#EXT-X-VERSION:6\n"), "{}", text);
        prop_assert!(delta.contains(if skips { "#EXT-X-VERSION:9\n" } else { "#EXT-X-VERSION:6\n" }), "{}", delta);
        let merged = read(&delta, if before.is_empty() { &items } else { before });
        prop_assert_eq!(&merged, &(head, items.clone(), tail.clone()));
        for (number, item) in before.iter().filter(|(n, i)| items.contains_key(*n) && i.lines.len() > 2) {
            prop_assert_eq!((&item.lines, &item.map), (&items[number].lines, &items[number].map));
        }
        // 1.43
        let hint: Vec<&String> = tail.iter().filter(|l| l.starts_with("#EXT-X-PRELOAD-HINT")).collect();
        prop_assert_eq!(hint.len(), 1, "{}", text);
        let uri = hint[0].split('"').nth(1).unwrap().to_owned();
        if let Some(hinted) = hints.insert(rendition.clone(), uri.clone()).filter(|before| *before != uri) {
            let file = hinted.rsplit('/').next().unwrap().to_owned();
            let number: u64 = file.split('.').next().unwrap().parse().unwrap();
            // It has become a part of that very name, unless its segment was given up or another ladder took it over.
            let item = items.get(&number);
            let lost = item.is_none_or(|i| i.lines.iter().any(|l| l == "#EXT-X-GAP"));
            let named = |p: &String| p.contains(&format!("URI=\"{hinted}\""));
            let elsewhere = |p: &String| p.contains(&format!("{file}\"")) && !named(p);
            let parts = || item.into_iter().flat_map(|i| &i.parts);
            prop_assert!(lost || parts().any(named) || parts().any(elsewhere), "{} in {}", hinted, text);
        }
        // 1.39: those of the newest two segments, and none that lie more than three target durations back.
        let last = *items.keys().next_back().unwrap();
        for (number, item) in &items {
            let gap = item.lines.iter().any(|l| l == "#EXT-X-GAP");
            if !gap && number + 1 >= last {
                prop_assert!(!item.parts.is_empty(), "{} of {}", number, text);
            }
            prop_assert!(number + 3 >= last || item.parts.is_empty(), "{} of {}", number, text);
        }
        let whole =
            items.iter().filter(|(_, i)| i.lines.iter().any(|l| l.starts_with("#EXTINF"))).map(|(n, _)| *n).max();
        newest.insert(rendition.clone(), (items[&last].parts.len().checked_sub(1).map(|p| (last, p)), whole));
        reports.push((rendition.clone(), tail));
    }
    prop_assert!(controls.windows(2).all(|c| c[0] == c[1]), "STANDARDS 1.26: {:?}", controls);
    for (rendition, tail) in reports {
        let mut expected: Vec<String> = names
            .iter()
            .filter(|other| **other != rendition)
            .map(|other| {
                let head = format!("#EXT-X-RENDITION-REPORT:URI=\"../{other}/index.m3u8\"");
                match newest[other] {
                    (Some((msn, part)), _) => format!("{head},LAST-MSN={msn},LAST-PART={part}"),
                    (None, whole) => format!("{head},LAST-MSN={}", whole.unwrap()),
                }
            })
            .collect();
        let mut said: Vec<String> = tail.into_iter().filter(|l| l.contains("RENDITION-REPORT")).collect();
        expected.sort();
        said.sort();
        prop_assert_eq!(said, expected);
    }
    for rendition in &names {
        let items = read(&list(channel, rendition, Form::Full), &BTreeMap::new()).1;
        known.insert(rendition.clone(), items);
    }
    Ok(())
}
