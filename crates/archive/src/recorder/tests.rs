//! Tests of the core: order, loss, and what is published when.

use std::time::Duration;

use millstream_media::protection::{KeyId, Scheme, Signalling};
use millstream_media::time::{MonoTime, Timescale, UtcTime};
use proptest::prelude::*;

use super::*;
use crate::asset::{AssetId, Media};

fn name(text: &str) -> RenditionName {
    RenditionName::new(text).unwrap()
}

fn track(text: &str, rate: u32) -> TrackInfo {
    let media = Media::Audio { sample_rate: 48_000, channels: 2 };
    TrackInfo {
        name: name(text),
        timescale: Timescale::AUDIO_48K,
        bit_rate: rate,
        codec: "mp4a.40.2".into(),
        media,
        pictures: false,
        protection: None,
        clear_version: None,
    }
}

fn cell(number: u64) -> Cell {
    Cell { start: number * 96_000, duration: 96_000, bytes: 1000, head: 10 }
}

fn recorder() -> Recorder {
    let asset = Asset::recording(AssetId::new("a").unwrap(), "demo", UtcTime::EPOCH, 2);
    let mut recorder = Recorder::new(Settings::default(), asset);
    recorder.begin(1, "0a", vec![track("a", 2), track("b", 1)]).unwrap();
    for rendition in ["a", "b"] {
        recorder.init_stored(&name(rendition), "0a");
    }
    recorder
}

fn outputs(recorder: &mut Recorder) -> Vec<Output> {
    std::iter::from_fn(|| recorder.poll_output()).collect()
}

fn numbers(recorder: &Recorder) -> Vec<u64> {
    recorder.index().rows().iter().map(|r| r.number).collect()
}

#[test]
fn a_row_settles_when_all_of_it_is_stored_and_in_order() {
    let mut r = recorder();
    for n in [1, 2] {
        for rendition in ["a", "b"] {
            r.finished(&name(rendition), n, cell(n), false).unwrap();
        }
    }
    for (rendition, n, settled) in [("a", 2, vec![]), ("b", 2, vec![]), ("b", 1, vec![]), ("a", 1, vec![1, 2])] {
        r.stored(&name(rendition), n);
        assert_eq!(numbers(&r), settled);
    }
    assert!(r.index().rows().iter().all(|row| !row.discontinuity));
}

#[test]
fn nothing_settles_before_its_init_segment_is_stored() {
    let asset = Asset::recording(AssetId::new("a").unwrap(), "demo", UtcTime::EPOCH, 2);
    let mut r = Recorder::new(Settings::default(), asset);
    r.begin(1, "0a", vec![track("a", 2)]).unwrap();
    r.finished(&name("a"), 1, cell(1), false).unwrap();
    r.stored(&name("a"), 1);
    assert!(numbers(&r).is_empty());
    r.init_stored(&name("a"), "0a");
    assert_eq!(numbers(&r), [1]);
}

#[test]
fn a_rendition_that_is_silent_is_given_up_and_refused_later() {
    let mut r = recorder();
    for n in 1..=18 {
        r.finished(&name("a"), n, cell(n), false).unwrap();
        r.stored(&name("a"), n);
    }
    assert_eq!(numbers(&r), [1]);
    assert_eq!(r.finished(&name("b"), 1, cell(1), false), Err(Refused::Late(1)));
    assert!(outputs(&mut r).contains(&Output::Gap { rendition: name("b"), number: 1, cause: GapCause::NeverFinished }));
    r.finished(&name("b"), 18, cell(18), false).unwrap();
    r.stored(&name("b"), 18);
    assert_eq!(numbers(&r).len(), 18);
}

#[test]
fn a_segment_is_released_when_the_index_with_it_is_stored() {
    let mut r = recorder();
    for rendition in ["a", "b"] {
        r.finished(&name(rendition), 1, cell(1), false).unwrap();
        r.stored(&name(rendition), 1);
    }
    outputs(&mut r);
    let now = MonoTime::default();
    let publication = r.publication(now).unwrap();
    assert!(publication.asset.is_some() && publication.pages.len() == 1 && publication.files.len() == 4);
    assert_eq!(r.publication(now), None, "one at a time");
    r.not_published();
    assert!(outputs(&mut r).is_empty());
    let again = r.publication(now).unwrap();
    r.published(&again, now);
    let released = outputs(&mut r);
    assert_eq!(released.len(), 2);
    assert!(released.iter().all(|o| matches!(o, Output::Release { number: 1, .. })));
    assert_eq!(r.next_publication(), None);
}

#[test]
fn the_end_waits_for_uploads_and_is_published_once() {
    let mut r = recorder();
    r.finished(&name("a"), 1, cell(1), false).unwrap();
    r.end();
    assert_eq!(r.asset().state, State::Recording);
    r.stored(&name("a"), 1);
    assert_eq!((r.asset().state, r.asset().bytes), (State::Ended, 1000));
    let publication = r.publication(MonoTime::default()).unwrap();
    assert!(publication.files.iter().any(|f| f.text.contains("#EXT-X-ENDLIST")));
    r.published(&publication, MonoTime::default());
    outputs(&mut r);
    assert!(r.is_done());
}

/// What happens to a recording.
#[derive(Clone, Debug)]
enum Step {
    Finish(usize, u64),
    Lose(usize, u64),
    Store(usize),
    Tracks,
    Publish(bool),
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2_usize, 0..3_u64).prop_map(|(r, skip)| Step::Finish(r, skip)),
        1 => (0..2_usize, 0..2_u64).prop_map(|(r, skip)| Step::Lose(r, skip)),
        6 => (0..8_usize).prop_map(Step::Store),
        1 => Just(Step::Tracks),
        3 => any::<bool>().prop_map(Step::Publish),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// In any order of events: rows rise and never change, only stored segments are listed, playlists only grow,
    /// and after the end everything stored is listed.
    #[test]
    fn published_rows_are_stored_and_never_change(steps in steps()) {
        let renditions = [name("a"), name("b")];
        let mut r = recorder();
        let (mut next, mut uploading, mut stored) = ([1_u64; 2], Vec::new(), std::collections::BTreeMap::new());
        let (mut before, mut saved): (Vec<Row>, Vec<Row>) = (Vec::new(), Vec::new());
        let (mut document, mut lists) = (r.asset().clone(), BTreeMap::<String, String>::new());
        let mut now = MonoTime::default();
        let mut version = 10;
        for step in steps.into_iter().chain([Step::Publish(true)]) {
            match step {
                Step::Finish(i, skip) => {
                    let n = next[i] + skip;
                    if r.finished(&renditions[i], n, cell(n), false).is_ok() {
                        uploading.push((i, n));
                    }
                    next[i] = n + 1;
                }
                Step::Lose(i, skip) => {
                    let n = next[i] + skip;
                    let _ = r.lost(&renditions[i], n);
                    next[i] = n + 1;
                }
                Step::Store(at) if !uploading.is_empty() => {
                    let (i, n) = uploading.remove(at % uploading.len());
                    stored.insert((i, n), cell(n));
                    r.stored(&renditions[i], n);
                }
                Step::Store(_) => {}
                Step::Tracks => {
                    version += 1;
                    let v = version.to_string();
                    let first = next[0].max(next[1]);
                    r.begin(first, &v, vec![track("a", 2), track("b", 1)]).unwrap();
                    renditions.iter().for_each(|n| r.init_stored(n, &v));
                    document = r.asset().clone();
                }
                Step::Publish(succeeds) => {
                    now = now + Duration::from_secs(11);
                    if let Some(p) = r.publication(now) {
                        if succeeds {
                            for f in &p.files {
                                let key = format!("{:?}{}", f.rendition, f.name);
                                let old = lists.insert(key.clone(), f.text.clone()).unwrap_or_default();
                                prop_assert!(f.rendition.is_none() || f.text.starts_with(&old), "{key} changed");
                            }
                            r.published(&p, now);
                            saved = r.index().rows().to_vec();
                            document = r.asset().clone();
                        } else {
                            r.not_published();
                        }
                    }
                }
                Step::Kill => {
                    // What the store has and the spool still holds.
                    let found = |i: usize, n: u64, in_store: bool| Found {
                        rendition: renditions[i].clone(), number: n, cell: cell(n), discontinuity: false, in_store,
                    };
                    let all = stored.keys().map(|(i, n)| found(*i, *n, true));
                    let all = all.chain(uploading.iter().map(|(i, n)| found(*i, *n, false))).collect();
                    let versions = (10..=version).map(|v| v.to_string()).chain(["0a".to_owned()]);
                    let inits = versions.flat_map(|v| renditions.iter().map(move |n| (n.clone(), v.clone()))).collect();
                    r = Recorder::resume(Settings::default(), document.clone(), saved.clone(), all, inits);
                    before.truncate(saved.len());
                    uploading.retain(|(i, n)| r.slot(&renditions[*i], *n).is_some());
                }
            }
            let rows = r.index().rows();
            prop_assert!(rows.starts_with(&before), "a settled row changed");
            prop_assert!(rows.windows(2).all(|w| w[0].number < w[1].number));
            for row in rows {
                for (i, c) in row.cells.iter().enumerate() {
                    prop_assert!(c.is_none_or(|c| stored.get(&(i, row.number)) == Some(&c)));
                }
                prop_assert!(row.cells.iter().any(Option::is_some));
            }
            before = rows.to_vec();
        }
    }
}

/// STANDARDS 1.16: a change of keys is none of tracks; what decoders are told is.
#[test]
fn another_key_is_no_discontinuity_and_another_configuration_is() {
    let under = |key: u8, scheme, clear: &str| {
        let signalling =
            Signalling { scheme, key_id: KeyId([key; 16]), hls: Vec::new(), hls_session: Vec::new(), dash: Vec::new() };
        TrackInfo { protection: Some(signalling), clear_version: Some(clear.to_owned()), ..track("a", 2) }
    };
    let asset = Asset::recording(AssetId::new("a").unwrap(), "demo", UtcTime::EPOCH, 2);
    let mut r = Recorder::new(Settings::default(), asset);
    let line_ups = [
        (under(1, Scheme::Cbcs, "0c"), false),
        (under(2, Scheme::Cbcs, "0c"), false),
        (under(1, Scheme::Cbcs, "0d"), true),
        (under(1, Scheme::Cenc, "0d"), true),
        (track("a", 2), true),
        (under(1, Scheme::Cenc, "0d"), true),
        // As written before there was a version to compare.
        (TrackInfo { clear_version: None, ..under(2, Scheme::Cenc, "0d") }, true),
    ];
    for (n, (info, _)) in (1..).zip(&line_ups) {
        let init = format!("0{n}");
        r.begin(n, &init, vec![info.clone()]).unwrap();
        r.init_stored(&name("a"), &init);
        r.finished(&name("a"), n, cell(n), false).unwrap();
        r.stored(&name("a"), n);
    }
    let told: Vec<bool> = r.index().rows().iter().map(|row| row.discontinuity).collect();
    assert_eq!(told, line_ups.map(|(_, discontinuity)| discontinuity));
}
