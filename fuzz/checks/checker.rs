//! What `millstream check` reads from servers it does not know: playlists, MPDs and CMAF, and every rule over them.

use millstream_check::finding::Findings;
use millstream_check::hls::playlist::{self, Playlist};
use millstream_check::hls::set::{self, Member};
use millstream_check::{boxes, dash, hls};
use millstream_media::time::UtcTime;

/// Bytes held for each byte of input.
pub const PER_BYTE: usize = 1024;
const URL: &str = "http://h/live/a/v/index.m3u8";
const NOW: UtcTime = UtcTime(1_800_000_000_000_000_000);

/// Two versions of a playlist, split at the first NUL.
pub fn hls(data: &[u8]) {
    let mut findings = Findings::default();
    let at = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    let (old, new) = data.split_at(at);
    let old = playlist::parse(old, URL, &mut findings);
    let new = playlist::parse(new.get(1..).unwrap_or_default(), URL, &mut findings);
    for list in [&old, &new].into_iter().flatten() {
        match list {
            Playlist::Multivariant(list) => set::multivariant(list, URL, &mut findings),
            Playlist::Media(media) => {
                hls::single::check(media, URL, &mut findings);
                hls::low_latency::check(media, URL, &mut findings);
                hls::low_latency::reports(media, URL, &["../b/index.m3u8".to_owned()], &mut findings);
                let _ = (media.date_times(), media.duration(), media.next_number(), media.contains(u64::MAX, Some(0)));
            }
        }
    }
    if let (Some(Playlist::Media(old)), Some(Playlist::Media(new))) = (&old, &new) {
        hls::change::check(old, new, URL, &mut findings);
        hls::low_latency::change(old, new, URL, &mut findings);
        hls::low_latency::delta(old, new, URL, &mut findings);
        let members = [old, new].map(|media| Member { url: URL, media, audio: false });
        set::together(&members, &mut findings);
    }
}

/// Two versions of an MPD, split at the first NUL, and the names of their segments.
pub fn mpd(data: &[u8]) {
    let mut findings = Findings::default();
    let at = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    let (old, new) = data.split_at(at);
    let old = dash::mpd::parse(old, URL, &mut findings);
    let new = dash::mpd::parse(new.get(1..).unwrap_or_default(), URL, &mut findings);
    for mpd in [&old, &new].into_iter().flatten() {
        dash::single::check(mpd, NOW, URL, &mut findings);
        for (index, period) in mpd.periods.iter().enumerate() {
            let _ = mpd.length_of(index);
            for representation in period.sets.iter().flat_map(|set| &set.representations) {
                let _ = mpd.base(URL, representation);
                let Some(template) = &representation.template else { continue };
                let counted = template.counted(UtcTime(0), mpd.length_of(index), NOW, 100);
                assert!(counted.len() <= 100);
                for entry in counted.iter().chain(template.timeline.iter().flatten()).take(4) {
                    let media = template.media.as_deref().unwrap_or_default();
                    let _ = dash::mpd::Template::expand(media, representation, Some(*entry));
                }
            }
        }
    }
    if let (Some(old), Some(new)) = (&old, &new) {
        dash::change::check(old, new, URL, &mut findings);
    }
}

/// A header and what follows it.
pub fn boxes(data: &[u8]) {
    let mut findings = Findings::default();
    if let Some(header) = boxes::header::read(data, URL, &mut findings) {
        let _ = boxes::segment::read(data, &header, URL, &mut findings);
    }
}
