//! Media playlists and I-frame playlists (STANDARDS 1A, 1B), with parts where the session lists them (1D).

use std::fmt::Write;
use std::time::Duration;

use millstream_media::time::NANOS_PER_SECOND;
use millstream_media::track::RenditionName;
use millstream_window::{Entry, Listing, PeriodTrack, Window};

use super::multivariant::is_offered;

/// A media playlist as it is, or as an update of one that the player has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// All of it.
    Full,
    /// A delta update: older segments are skipped (STANDARDS 1.42). The full playlist where none is old enough, or where
    /// skipping is not offered.
    Delta,
}

/// The media playlist of a rendition. `None` for a name this session never had, or without a session.
///
/// It may be empty before the first whole segment; an origin answers 503 then.
pub fn media(window: &Window, rendition: &RenditionName, form: Form) -> Option<String> {
    let listing = window.listing(rendition).filter(|_| is_offered(window))?;
    Some(write(window, &listing, rendition, Kind::Segments, form))
}

/// The I-frame playlist of a video rendition: the first sample of each of its segments. `None` for an audio rendition
/// or a name this session never had.
pub fn iframes(window: &Window, rendition: &RenditionName, form: Form) -> Option<String> {
    let listing = window.listing(rendition).filter(|_| is_offered(window))?;
    listing.track.is_video().then(|| write(window, &listing, rendition, Kind::Iframes, form))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Segments,
    Iframes,
}

fn write(window: &Window, listing: &Listing<'_>, rendition: &RenditionName, kind: Kind, form: Form) -> String {
    let low_latency = listing.part_target.filter(|_| !listing.ended);
    let mut out = String::with_capacity(1024 + listing.entries.len() * 128);
    let ends = listing.open.as_ref().or(listing.entries.last()).map_or(0, end_nanos);
    let target = u64::from(listing.target_duration) * NANOS_PER_SECOND as u64;
    let mut skipped = 0;
    if form == Form::Delta && low_latency.is_some() {
        let old = |entry: &&Entry<'_>| end_nanos(entry) + SKIP_TARGETS * target < ends;
        skipped = listing.entries.iter().take_while(old).count();
    }
    head(&mut out, listing, kind, skipped > 0);
    if skipped > 0 {
        let _ = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
    }
    // What is skipped is known to the player, its map too.
    let before = skipped.checked_sub(1).and_then(|last| listing.entries.get(last)?.source);
    let mut map = before.map(map_of);
    let mut keys = before.map_or(&[][..], keys_of);
    for entry in listing.entries.iter().skip(skipped) {
        opening(&mut out, entry, rendition, &mut map, &mut keys);
        // STANDARDS 1.39: parts that lie three target durations back are dropped.
        let is_recent = start_nanos(entry) + PARTS_TARGETS * target >= ends;
        if kind == Kind::Segments && low_latency.is_some() && is_recent {
            parts(&mut out, entry, rendition);
        }
        segment(&mut out, entry, rendition, kind);
    }
    if listing.ended {
        out.push_str("#EXT-X-ENDLIST\n");
    } else if low_latency.is_some() && kind == Kind::Segments {
        if let Some(open) = &listing.open {
            opening(&mut out, open, rendition, &mut map, &mut keys);
            parts(&mut out, open, rendition);
        }
        if let Some(next) = &listing.next {
            // A player that takes the hint must have the key and the header of what it leads to.
            if !keys.is_empty() && next.source.protection.as_ref().is_some_and(|p| !p.hls.is_empty()) {
                source_lines(&mut out, next.source, rendition, &mut map, &mut keys);
            }
            let folder = Folder::of(&next.source.track.name, rendition);
            let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{folder}{}.{}.m4s\"", next.number, next.part);
        }
        reports(&mut out, window, rendition);
    }
    out
}

/// Target durations after which a segment may be skipped in a delta update: the least allowed (STANDARDS 1.35).
const SKIP_TARGETS: u64 = 6;
/// Target durations from the end of the list within which parts are listed (STANDARDS 1.39).
const PARTS_TARGETS: u64 = 3;
/// Part durations that a player keeps from the end of the list (STANDARDS 1.35).
const HOLD_BACK_PARTS: u32 = 3;

fn head(out: &mut String, listing: &Listing<'_>, kind: Kind, skips: bool) {
    // EXT-X-SKIP needs 9, EXT-X-MAP in a playlist of whole segments 6, with EXT-X-I-FRAMES-ONLY 5; the tags of low
    // latency need none (STANDARDS 1.4).
    let version = match (skips, kind) {
        (true, _) => 9,
        (false, Kind::Segments) => 6,
        (false, Kind::Iframes) => 5,
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{}\n#EXT-X-INDEPENDENT-SEGMENTS",
        listing.target_duration, listing.media_sequence, listing.discontinuity_sequence
    );
    if kind == Kind::Iframes {
        out.push_str("#EXT-X-I-FRAMES-ONLY\n");
    }
    let Some(part) = listing.part_target else { return };
    // The same in every media playlist (STANDARDS 1.26).
    let _ = writeln!(
        out,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={},CAN-SKIP-UNTIL={}.0",
        Millis(part * HOLD_BACK_PARTS),
        SKIP_TARGETS * u64::from(listing.target_duration)
    );
    if kind == Kind::Segments {
        let _ = writeln!(out, "#EXT-X-PART-INF:PART-TARGET={}", Millis(part));
    }
}

fn start_nanos(entry: &Entry<'_>) -> u64 {
    u64::try_from(entry.time().0).unwrap_or(0)
}

fn end_nanos(entry: &Entry<'_>) -> u64 {
    start_nanos(entry).saturating_add(entry.nanos())
}

/// What `EXT-X-MAP` says of a segment: whose init segment, and which version.
type Map<'a> = Option<(&'a RenditionName, &'a str)>;

fn map_of(source: &PeriodTrack) -> (&RenditionName, &str) {
    (&source.track.name, source.init_version.as_str())
}

/// The keys of a segment, as `EXT-X-KEY` says them; none if it is clear.
fn keys_of(source: &PeriodTrack) -> &[String] {
    source.protection.as_ref().map_or(&[], |protection| &protection.hls)
}

/// The lines before a segment's first part. They depend on the entry and the map before it only, so that a line once
/// written stays as it is (STANDARDS 1.8), except that the first segment of a list always says its map.
fn opening<'a>(
    out: &mut String,
    entry: &Entry<'a>,
    rendition: &RenditionName,
    map: &mut Map<'a>,
    keys: &mut &'a [String],
) {
    if entry.discontinuity {
        out.push_str("#EXT-X-DISCONTINUITY\n");
        *map = None;
    }
    if let Some(source) = entry.source {
        source_lines(out, source, rendition, map, keys);
    }
    let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", entry.time());
}

/// Key and map of what follows, where they are others than before.
fn source_lines<'a>(
    out: &mut String,
    source: &'a PeriodTrack,
    rendition: &RenditionName,
    map: &mut Map<'a>,
    keys: &mut &'a [String],
) {
    // STANDARDS 1.51: a key is in force until the next one; before the map, which is of this key.
    let wanted = keys_of(source);
    if *keys != wanted {
        for key in wanted {
            let _ = writeln!(out, "#EXT-X-KEY:{key}");
        }
        if wanted.is_empty() {
            out.push_str("#EXT-X-KEY:METHOD=NONE\n");
        }
        *keys = wanted;
    }
    let (name, version) = map_of(source);
    if *map != Some((name, version)) {
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{}init.mp4?v={version}\"", Folder::of(name, rendition));
        *map = Some((name, version));
    }
}

/// The parts of a segment, whole or in the making.
fn parts(out: &mut String, entry: &Entry<'_>, rendition: &RenditionName) {
    let folder = Folder::of_entry(entry, rendition);
    for (index, part) in entry.chunks.iter().enumerate() {
        let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
        let _ = writeln!(
            out,
            "#EXT-X-PART:DURATION={},URI=\"{folder}{}.{index}.m4s\"{independent}",
            Seconds(entry.part_nanos(part)),
            entry.number
        );
    }
}

/// How far the other playlists are (STANDARDS 1.46).
fn reports(out: &mut String, window: &Window, rendition: &RenditionName) {
    for other in window.renditions().filter(|other| other.name != *rendition) {
        let Some(progress) = window.progress(&other.name) else { continue };
        let _ = match (progress.last_part(), progress.last_whole) {
            (Some((msn, part)), _) => {
                writeln!(
                    out,
                    "#EXT-X-RENDITION-REPORT:URI=\"../{}/index.m3u8\",LAST-MSN={msn},LAST-PART={part}",
                    other.name
                )
            }
            (None, Some(msn)) => {
                writeln!(out, "#EXT-X-RENDITION-REPORT:URI=\"../{}/index.m3u8\",LAST-MSN={msn}", other.name)
            }
            (None, None) => Ok(()),
        };
    }
}

/// The lines of a segment that is whole.
fn segment(out: &mut String, entry: &Entry<'_>, rendition: &RenditionName, kind: Kind) {
    if entry.gap {
        out.push_str("#EXT-X-GAP\n");
    }
    let _ = writeln!(out, "#EXTINF:{},", Seconds(entry.nanos()));
    if kind == Kind::Iframes && !entry.gap {
        // From the segment's start, so that the range holds the boxes the sample needs.
        let _ = writeln!(out, "#EXT-X-BYTERANGE:{}@0", entry.first_sample_end);
    }
    let _ = writeln!(out, "{}{}.m4s", Folder::of_entry(entry, rendition), entry.number);
}

/// Where another rendition's files lie, seen from a media playlist.
struct Folder<'a>(Option<&'a RenditionName>);

impl<'a> Folder<'a> {
    fn of(name: &'a RenditionName, playlist: &RenditionName) -> Self {
        Folder(Some(name).filter(|name| *name != playlist))
    }

    fn of_entry(entry: &Entry<'a>, playlist: &RenditionName) -> Self {
        entry.source.map_or(Folder(None), |source| Folder::of(&source.track.name, playlist))
    }
}

impl std::fmt::Display for Folder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, "../{name}/"))
    }
}

/// Nanoseconds as seconds with six decimals, so that sums stay exact to far less than a frame (STANDARDS 1.20).
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.saturating_add(500) / 1000;
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

/// Seconds with three decimals.
struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}
