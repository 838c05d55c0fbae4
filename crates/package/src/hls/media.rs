//! Media playlists and I-frame playlists (STANDARDS 1A, 1B).

use std::fmt::Write;

use millstream_media::track::RenditionName;
use millstream_window::{Entry, Listing, Window};

/// The media playlist of a rendition. `None` for a name this session never had, or without a session.
///
/// It may be empty before the first whole segment; an origin answers 503 then.
pub fn media(window: &Window, rendition: &RenditionName) -> Option<String> {
    let listing = window.listing(rendition)?;
    // EXT-X-MAP in a playlist of whole segments needs 6 (STANDARDS 1.4).
    Some(write(&listing, rendition, 6, Kind::Segments))
}

/// The I-frame playlist of a video rendition: the first sample of each of its segments. `None` for an audio rendition
/// or a name this session never had.
pub fn iframes(window: &Window, rendition: &RenditionName) -> Option<String> {
    let listing = window.listing(rendition)?;
    // EXT-X-MAP with EXT-X-I-FRAMES-ONLY needs 5 (STANDARDS 1.4).
    listing.track.is_video().then(|| write(&listing, rendition, 5, Kind::Iframes))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Segments,
    Iframes,
}

fn write(listing: &Listing<'_>, rendition: &RenditionName, version: u32, kind: Kind) -> String {
    let mut out = String::with_capacity(256 + listing.entries.len() * 96);
    head(&mut out, listing, version, kind);
    let mut map = None;
    for entry in &listing.entries {
        segment(&mut out, entry, rendition, kind, &mut map);
    }
    if listing.ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    out
}

fn head(out: &mut String, listing: &Listing<'_>, version: u32, kind: Kind) {
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
}

/// The lines of one segment. They depend on the entry and the map before it only, so that a line once written stays as
/// it is (STANDARDS 1.8), except that the first segment of a list always says its map.
fn segment<'a>(
    out: &mut String,
    entry: &Entry<'a>,
    rendition: &RenditionName,
    kind: Kind,
    map: &mut Option<(&'a RenditionName, &'a str)>,
) {
    if entry.discontinuity {
        out.push_str("#EXT-X-DISCONTINUITY\n");
        *map = None;
    }
    let source = entry.source.map(|s| (&s.track.name, s.init_version.as_str()));
    let folder = Folder(source.map(|(name, _)| name).filter(|name| *name != rendition));
    if let Some((_, version)) = source.filter(|s| *map != Some(*s)) {
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{folder}init.mp4?v={version}\"");
        *map = source;
    }
    let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", entry.time());
    if entry.gap {
        out.push_str("#EXT-X-GAP\n");
    }
    let _ = writeln!(out, "#EXTINF:{},", Seconds(entry.nanos()));
    if kind == Kind::Iframes && !entry.gap {
        // From the segment's start, so that the range holds the boxes the sample needs.
        let _ = writeln!(out, "#EXT-X-BYTERANGE:{}@0", entry.first_sample_end);
    }
    let _ = writeln!(out, "{folder}{}.m4s", entry.number);
}

/// Where another rendition's files lie, seen from a media playlist.
struct Folder<'a>(Option<&'a RenditionName>);

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
