//! When the next part of a playlist is due, learnt from the playlists that go through: so that an origin that is silent
//! can be told from one that waits for its encoder. Pure; nothing is lost when it is forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Moment;

/// Playlists that are known at once; the one unchanged for the longest gives way to a new one.
const MAX_PLAYLISTS: usize = 2048;
/// Durations outside of this are not believed.
const BELIEVED: std::ops::Range<f64> = 0.01..60.0;
/// A list that is kept lacks fewer segments than this: its life is half a target duration at most (STANDARDS 1.48).
const SETTLED_SEGMENTS: u64 = 3;
/// A list that went back is believed after so long: its channel began anew.
const BEGAN_ANEW: Duration = Duration::from_secs(20);

/// What a held request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Path of the media playlist.
    pub playlist: &'a str,
    /// Number of the segment.
    pub msn: u64,
    /// Of the part; the whole segment without.
    pub part: Option<u32>,
}

impl<'a> Wanted<'a> {
    /// What the request with this key may be held for: a reload, a part, or the first chunk of a segment.
    ///
    /// `room` is where the playlist's path is put together.
    pub fn of(key: &'a str, room: &'a mut String) -> Option<Self> {
        let (path, query) = key.split_once('?').unwrap_or((key, ""));
        let (folder, file) = path.rsplit_once('/')?;
        if file == "index.m3u8" {
            let value = |name| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let part = value("_HLS_part").and_then(|part| part.parse().ok());
            return Some(Wanted { playlist: playlist(key)?, msn: value("_HLS_msn")?.parse().ok()?, part });
        }
        let (number, part) = file.strip_suffix(".m4s")?.split_once('.')?;
        let part = if part == "ll" { 0 } else { part.parse().ok()? };
        let msn = number.parse().ok()?;
        room.clear();
        room.push_str(folder);
        room.push_str("/index.m3u8");
        Some(Wanted { playlist: room, msn, part: Some(part) })
    }
}

/// The path of the media playlist with this key; `None` for one of the past.
pub fn playlist(key: &str) -> Option<&str> {
    let (path, query) = key.split_once('?').unwrap_or((key, ""));
    let is_present = query.is_empty() || query.split('&').all(|pair| pair.starts_with("_HLS_"));
    (is_present && path.starts_with("/live/")).then_some(path)
}

/// When something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The moment at which it should be listed; it may lie in the past.
    pub at: Moment,
    /// The longest a part lasts.
    pub part: Duration,
}

/// How far a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    part: Duration,
    /// Parts of a segment, about.
    per_segment: u32,
    /// The first segment that is not whole, and how many of its parts are listed.
    next: (u64, u32),
}

#[derive(Clone, Copy, Debug)]
struct Known {
    progress: Progress,
    /// Since when the list is so far, as seen here.
    since: Moment,
}

/// What is known of all playlists that go through.
#[derive(Debug, Default)]
pub struct Cadence {
    all: Mutex<HashMap<String, Known>>,
}

impl Cadence {
    /// A media playlist came.
    pub fn learn(&self, playlist: &str, text: &[u8], at: Moment) {
        let Some(progress) = read(text) else { return };
        let mut all = self.lock();
        if let Some(known) = all.get_mut(playlist) {
            let is_newer = progress.next > known.progress.next;
            if is_newer || (progress.next < known.progress.next && at.since(known.since) > BEGAN_ANEW) {
                *known = Known { progress, since: at };
            }
            return;
        }
        if all.len() >= MAX_PLAYLISTS
            && let Some(oldest) = all.iter().min_by_key(|(_, known)| known.since).map(|(name, _)| name.clone())
        {
            all.remove(&oldest);
        }
        all.insert(playlist.to_owned(), Known { progress, since: at });
    }

    /// When this is due, as far as is known.
    pub fn due(&self, wanted: &Wanted<'_>) -> Option<Due> {
        let Known { progress, since } = *self.lock().get(wanted.playlist)?;
        let (msn, listed) = progress.next;
        let per_segment = u64::from(progress.per_segment);
        // Parts from the first one that is not listed to the end of what is wanted.
        let segments = wanted.msn.saturating_sub(msn).saturating_mul(per_segment);
        let parts = wanted.part.map_or(per_segment, |part| u64::from(part) + 1);
        let ahead = if wanted.msn < msn { 0 } else { segments.saturating_add(parts).saturating_sub(u64::from(listed)) };
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        Some(Due { at: since.plus(progress.part.saturating_mul(ahead)), part: progress.part })
    }

    /// The key of the list as it is, if this reload asks for what has been listed for so long that this list has it, too,
    /// even one that was kept for as long as it may be. So old positions, of which there are many, have one answer.
    pub fn long_listed(&self, key: &str) -> Option<String> {
        let mut room = String::new();
        let wanted = Wanted::of(key, &mut room)?;
        let known = self.lock().get(wanted.playlist).copied()?;
        (wanted.msn.saturating_add(SETTLED_SEGMENTS) < known.progress.next.0).then(|| {
            let delta = if key.ends_with("_HLS_skip=YES") { "?_HLS_skip=YES" } else { "" };
            format!("{}{delta}", wanted.playlist)
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a playlist with parts is; `None` for others, and for those that have ended.
fn read(text: &[u8]) -> Option<Progress> {
    let text = std::str::from_utf8(text).ok()?;
    let (mut part, mut target) = (None, None);
    let (mut msn, mut parts, mut per_segment) = (0u64, 0u32, 0u32);
    for line in text.lines() {
        if line.starts_with("#EXT-X-PART:") {
            parts = parts.saturating_add(1);
        } else if line.starts_with("#EXTINF:") {
            msn = msn.saturating_add(1);
            per_segment = if parts > 0 { parts } else { per_segment };
            parts = 0;
        } else if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            msn = msn.saturating_add(value.trim().parse().ok()?);
        } else if let Some(attributes) = line.strip_prefix("#EXT-X-SKIP:") {
            msn = msn.saturating_add(attribute(attributes, "SKIPPED-SEGMENTS")?.parse().ok()?);
        } else if let Some(attributes) = line.strip_prefix("#EXT-X-PART-INF:") {
            part = attribute(attributes, "PART-TARGET").and_then(seconds);
        } else if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            target = seconds(value.trim());
        } else if line.starts_with("#EXT-X-ENDLIST") {
            return None;
        }
    }
    let (part, target) = (part?, target?);
    if per_segment == 0 {
        let whole = target.as_millis().div_ceil(part.as_millis().max(1));
        per_segment = u32::try_from(whole).unwrap_or(u32::MAX);
    }
    Some(Progress { part, per_segment, next: (msn, parts) })
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    attributes.split(',').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse::<f64>().ok().filter(|value| BELIEVED.contains(value)).map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:10\n\
                        #EXTINF:2,\n10.m4s\n#EXT-X-PART:DURATION=0.5,URI=\"11.0.m4s\"\n#EXT-X-PART:DURATION=0.5,URI=\"11.1.m4s\"\n\
                        #EXT-X-PART:DURATION=0.5,URI=\"11.2.m4s\"\n#EXT-X-PART:DURATION=0.4,URI=\"11.3.m4s\"\n#EXTINF:1.9,\n11.m4s\n\
                        #EXT-X-PART:DURATION=0.5,URI=\"12.0.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"12.1.m4s\"\n";
    const NAME: &str = "/live/a/v/index.m3u8";

    fn due(cadence: &Cadence, key: &str) -> Option<i64> {
        cadence.due(&Wanted::of(key, &mut String::new())?).map(|due| due.at.0)
    }

    #[test]
    fn what_is_wanted_is_due_so_many_parts_later() {
        let cadence = Cadence::default();
        assert_eq!(due(&cadence, "/live/a/v/12.1.m4s"), None, "nothing is known yet");
        cadence.learn(NAME, LIST.as_bytes(), Moment(1000));
        for (key, want) in [
            ("/live/a/v/index.m3u8?_HLS_msn=12&_HLS_part=1", Some(1500)),
            ("/live/a/v/index.m3u8?_HLS_msn=12&_HLS_part=2&_HLS_skip=YES", Some(2000)),
            ("/live/a/v/index.m3u8?_HLS_msn=12", Some(2500)),
            ("/live/a/v/index.m3u8?_HLS_msn=13&_HLS_part=0", Some(3000)),
            ("/live/a/v/index.m3u8?_HLS_msn=12&_HLS_part=0", Some(1000)),
            ("/live/a/v/index.m3u8?_HLS_msn=3", Some(1000)),
            ("/live/a/v/12.1.m4s", Some(1500)),
            ("/live/a/v/13.ll.m4s", Some(3000)),
            ("/live/a/v/index.m3u8?_HLS_msn=12&start=5", None),
            ("/live/a/v/index.m3u8", None),
            ("/live/a/v/12.m4s", None),
            ("/live/b/v/12.1.m4s", None),
        ] {
            assert_eq!(due(&cadence, key), want, "{key}");
        }
    }

    #[test]
    fn the_same_list_once_more_is_not_newer_and_an_older_one_is_not_believed_at_once() {
        let cadence = Cadence::default();
        cadence.learn(NAME, LIST.as_bytes(), Moment(1000));
        cadence.learn(NAME, LIST.as_bytes(), Moment(1400));
        let older = LIST.replace(":10\n", ":9\n");
        cadence.learn(NAME, older.as_bytes(), Moment(1450));
        assert_eq!(due(&cadence, "/live/a/v/12.1.m4s"), Some(1500));
        cadence.learn(NAME, older.as_bytes(), Moment(30_000));
        assert_eq!(due(&cadence, "/live/a/v/11.1.m4s"), Some(30_500));
    }

    #[test]
    fn positions_of_long_ago_are_the_list_as_it_is() {
        let cadence = Cadence::default();
        cadence.learn(NAME, LIST.as_bytes(), Moment(0));
        for (query, want) in [
            ("_HLS_msn=8", Some("")),
            ("_HLS_msn=1&_HLS_part=7&_HLS_skip=YES", Some("?_HLS_skip=YES")),
            ("_HLS_msn=9", None),
            ("_HLS_msn=1&start=5", None),
            ("_HLS_skip=YES", None),
        ] {
            let want = want.map(|want| format!("{NAME}{want}"));
            assert_eq!(cadence.long_listed(&format!("{NAME}?{query}")), want, "{query}");
        }
    }

    /// A delta update counts what it leaves out.
    #[test]
    fn lists_of_every_form() {
        let skip = LIST.replace("#EXTINF:2,\n10.m4s\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n");
        assert_eq!(read(skip.as_bytes()).map(|p| (p.next, p.per_segment)), Some(((16, 1), 4)));
        let begins =
            "#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.3\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2,\n7.m4s\n";
        assert_eq!(read(begins.as_bytes()).map(|p| (p.next, p.per_segment)), Some(((8, 0), 7)));
        for none in [
            &format!("{LIST}#EXT-X-ENDLIST\n"),
            &LIST.replace("PART-TARGET=0.5", "PART-TARGET=0"),
            &LIST.replace("PART-TARGET=0.5", "PART-TARGET=NaN"),
            &LIST.replace("SEQUENCE:10", "SEQUENCE:x"),
            "",
        ] {
            assert_eq!(read(none.as_bytes()), None, "{none}");
        }
        assert_eq!(read(&[0xff, 0xfe]), None);
    }

    #[test]
    fn the_number_of_lists_is_bounded() {
        let cadence = Cadence::default();
        for index in 0..MAX_PLAYLISTS + 3 {
            cadence.learn(&format!("/live/{index}/v/index.m3u8"), LIST.as_bytes(), Moment(index as i64));
        }
        assert_eq!(cadence.lock().len(), MAX_PLAYLISTS);
        assert_eq!(due(&cadence, "/live/2/v/12.1.m4s"), None);
        assert!(due(&cadence, "/live/3/v/12.1.m4s").is_some());
    }
}
