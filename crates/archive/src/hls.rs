//! HLS playlists of an asset (RFC 8216bis): `EVENT` while it is recorded, `VOD` when it has ended.
//!
//! Pure: the same rows give the same bytes. A playlist only grows while the asset is recorded (STANDARDS 1.8, 1.14).
//! A segment that one rendition lacks is an `EXT-X-GAP`; where all renditions lack something there is an
//! `EXT-X-DISCONTINUITY`, at the same row in all playlists (1.16, 1.25).

use std::fmt::{self, Write};

use millstream_media::time::UtcTime;
use millstream_media::track::RenditionName;
use millstream_package::hls::image_variant;

use crate::asset::{AssetId, LineUp, Media, Range, State, TrackInfo};
use crate::index::{Cell, Row, line_up};
use crate::layout;
use crate::storyboard;

/// The first variant is where players without a measurement begin; Apple wants one of about this many bit/s.
const FIRST_VARIANT_BITS: u64 = 2_500_000;

/// What playlists and the MPD are written from.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// In seconds.
    pub target_duration: u32,
    /// How far the asset is.
    pub state: State,
    /// Sets of tracks, oldest first.
    pub line_ups: &'a [LineUp],
    /// Rows, oldest first.
    pub rows: &'a [Row],
    /// The asset that has the segments, if it is another one.
    pub of: Option<&'a AssetId>,
}

impl<'a> View<'a> {
    /// Every rendition name with its track as it was last: those of the newest line-up first.
    pub fn names(&self) -> Vec<&'a TrackInfo> {
        let mut names: Vec<&TrackInfo> = Vec::new();
        for track in self.line_ups.iter().rev().flat_map(|l| &l.tracks) {
            if !names.iter().any(|n| n.name == track.name) {
                names.push(track);
            }
        }
        names
    }

    /// Whether rows can still come.
    pub fn is_growing(&self) -> bool {
        self.state == State::Recording
    }

    /// Its rows with their line-ups; rows without one are left out.
    pub fn lined(&self) -> impl Iterator<Item = (&'a Row, &'a LineUp)> {
        let line_ups = self.line_ups;
        self.rows.iter().filter_map(move |r| Some((r, line_up(r.number, line_ups)?)))
    }
}

/// The media playlist of a rendition.
pub fn media(view: &View<'_>, track: &TrackInfo) -> String {
    write(view, track, false)
}

/// The I-frame playlist of a video rendition: the first sample of each of its segments.
pub fn iframes(view: &View<'_>, track: &TrackInfo) -> String {
    write(view, track, true)
}

fn write(view: &View<'_>, track: &TrackInfo, iframes: bool) -> String {
    let mut out = String::with_capacity(256 + view.rows.len() * 40);
    // EXT-X-MAP needs 6, and 5 with EXT-X-I-FRAMES-ONLY (STANDARDS 1.4).
    let (version, only) = if iframes { (5, "#EXT-X-I-FRAMES-ONLY\n") } else { (6, "") };
    let kind = if view.is_growing() { "EVENT" } else { "VOD" };
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:{kind}\n\
         #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n{only}",
        view.target_duration
    );
    let mut state = Written::default();
    for (i, (row, line_up)) in view.lined().enumerate() {
        if row.discontinuity && i > 0 {
            out.push_str("#EXT-X-DISCONTINUITY\n");
            // A key stays in force over a discontinuity.
            state = Written { keys: state.keys, ..Written::default() };
        }
        segment(&mut out, view, track, iframes, (row, line_up), &mut state);
    }
    if !view.is_growing() {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    out
}

/// What the lines so far say for those that follow.
#[derive(Default)]
struct Written<'a> {
    map: Option<(&'a RenditionName, &'a str)>,
    /// The track of the row before.
    track: Option<&'a TrackInfo>,
    /// The keys in force (STANDARDS 1.51).
    keys: &'a [String],
    /// The page whose first row said its date: once a page, so that rounded durations never add up to a frame.
    dated: Option<i64>,
}

fn segment<'a>(
    out: &mut String,
    view: &View<'a>,
    track: &'a TrackInfo,
    iframes: bool,
    (row, line_up): (&'a Row, &'a LineUp),
    written: &mut Written<'a>,
) {
    let source = line_up.source(track);
    let cell = source.and_then(|(i, t)| Some((row.cells.get(i).copied().flatten()?, t)));
    // A gap lasts as long as the first track that is there.
    let Some((timed, timed_track)) = cell.or_else(|| row.first(line_up)) else { return };
    let name = source.map_or(&track.name, |(_, t)| &t.name);
    let of = view.of.filter(|_| !line_up.is_own());
    let folder = Folder { of, name: (of.is_some() || *name != track.name).then_some(name) };
    let mut map = (name, line_up.init_version());
    // A track whose key goes on while others change theirs goes on with its init segment.
    if let (Some((before, version)), Some(old), Some((_, track))) = (written.map, written.track, source)
        && before == name
        && old.is_same_protected(track)
    {
        map.1 = version;
    }
    written.track = source.map(|(_, t)| t);
    let keys = source.and_then(|(_, t)| t.protection.as_ref()).map_or(&[][..], |protection| &protection.hls);
    if source.is_some() && written.keys != keys {
        for key in keys {
            let _ = writeln!(out, "#EXT-X-KEY:{key}");
        }
        if keys.is_empty() {
            out.push_str("#EXT-X-KEY:METHOD=NONE\n");
        }
        written.keys = keys;
    }
    if written.map != Some(map) && source.is_some() {
        let of = view.of.filter(|_| !line_up.has_own_init());
        let folder = Folder { of, name: (of.is_some() || *name != track.name).then_some(name) };
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{folder}{}\"", layout::init_name(line_up.init_version()));
        written.map = Some(map);
    }
    let start = timed.time(timed_track.timescale);
    let page = layout::page_of(start);
    if written.dated != Some(page) {
        let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{start}");
        written.dated = Some(page);
    }
    let _ = writeln!(out, "#EXTINF:{},", Seconds(timed.nanos(timed_track.timescale)));
    match cell {
        None => out.push_str("#EXT-X-GAP\n"),
        // From the segment's start, so that the range holds the boxes the sample needs.
        Some((cell, _)) if iframes => {
            let _ = writeln!(out, "#EXT-X-BYTERANGE:{}@0", cell.head);
        }
        Some(_) => {}
    }
    let _ = writeln!(out, "{folder}{}.m4s", row.number);
}

/// Where a rendition's files lie, seen from a media playlist.
struct Folder<'a> {
    of: Option<&'a AssetId>,
    name: Option<&'a RenditionName>,
}

impl fmt::Display for Folder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.of, self.name) {
            (Some(asset), Some(name)) => write!(f, "../../{asset}/{name}/"),
            (None, Some(name)) => write!(f, "../{name}/"),
            _ => Ok(()),
        }
    }
}

/// Nanoseconds as seconds with six decimals.
pub(crate) struct Seconds(pub(crate) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.saturating_add(500) / 1000;
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

/// The multivariant playlist. Bit rates are measured (STANDARDS 1.27, 1.28); while the asset grows, never below the
/// nominal ones. I-frame playlists are named when it has ended, since they are written then.
pub fn multivariant(view: &View<'_>) -> String {
    let names = view.names();
    let (video, audio): (Vec<&TrackInfo>, Vec<&TrackInfo>) = names.iter().partition(|t| t.is_video());
    let mut out = String::from("#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let rates: Vec<(&RenditionName, Rates)> = names.iter().map(|t| (&t.name, rates(view, t, false))).collect();
    let of = |t: &TrackInfo| rates.iter().find(|(n, _)| **n == t.name).map_or(Rates::default(), |(_, r)| *r);
    let ranges = video.iter().any(|t| range(t) != Range::Sdr);
    if video.is_empty() {
        for track in &audio {
            variant(&mut out, view, track, &[], &of, false);
        }
        return out;
    }
    for (i, track) in audio.iter().enumerate() {
        let Media::Audio { channels, .. } = track.media else { continue };
        let (name, default) = (&track.name, if i == 0 { "YES" } else { "NO" });
        let _ = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{name}\",LANGUAGE=\"und\",DEFAULT={default},\
             AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{name}/{}\"",
            layout::MEDIA
        );
    }
    let mut ordered = video.clone();
    let below = |(_, t): &(usize, &&TrackInfo)| of(t).peak <= FIRST_VARIANT_BITS;
    let first = video.iter().enumerate().filter(below).max_by_key(|(_, t)| of(t).peak);
    if let Some((i, _)) = first.or_else(|| video.iter().enumerate().min_by_key(|(_, t)| of(t).peak)) {
        let first = ordered.remove(i);
        ordered.insert(0, first);
    }
    for track in ordered {
        variant(&mut out, view, track, &audio, &of, ranges);
    }
    if !view.is_growing() {
        for track in video {
            iframe_variant(&mut out, view, track, ranges);
        }
    }
    if storyboard::is_there(view) {
        out.push_str(&image_variant(layout::SHEETS));
    }
    out
}

fn variant(
    out: &mut String,
    view: &View<'_>,
    track: &TrackInfo,
    audio: &[&TrackInfo],
    of: &impl Fn(&TrackInfo) -> Rates,
    ranges: bool,
) {
    let dearest = |f: fn(Rates) -> u64| audio.iter().map(|t| f(of(t))).max().unwrap_or(0);
    let own = of(track);
    let (peak, average) = (own.peak + dearest(|r| r.peak), own.average + dearest(|r| r.average));
    let tracks = std::iter::once(track).chain(audio.iter().copied());
    let _ = write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}{}", codecs(view, tracks));
    if let Media::Video { width, height, frame_rate, .. } = &track.media {
        let _ = write!(out, ",RESOLUTION={width}x{height}");
        if let Some(rate) = frame_rate {
            let _ = write!(out, ",FRAME-RATE={:.3}", rate.as_f64());
        }
        out.push_str(range_attribute(track, ranges));
        if !audio.is_empty() {
            out.push_str(",AUDIO=\"audio\"");
        }
        out.push_str(",CLOSED-CAPTIONS=NONE");
    }
    let _ = writeln!(out, "\n{}/{}", track.name, layout::MEDIA);
}

fn iframe_variant(out: &mut String, view: &View<'_>, track: &TrackInfo, ranges: bool) {
    let Media::Video { width, height, .. } = &track.media else { return };
    let Rates { peak, average } = rates(view, track, true);
    let _ = writeln!(
        out,
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average}{},RESOLUTION={width}x{height}{},\
         URI=\"{}/{}\"",
        codecs(view, std::iter::once(track)),
        range_attribute(track, ranges),
        track.name,
        layout::IFRAMES
    );
}

fn range(track: &TrackInfo) -> Range {
    match track.media {
        Media::Video { range, .. } => range,
        Media::Audio { .. } => Range::Sdr,
    }
}

/// On all variants, or on none where all are SDR (STANDARDS 1.28).
fn range_attribute(track: &TrackInfo, ranges: bool) -> &'static str {
    match range(track) {
        _ if !ranges => "",
        Range::Sdr => ",VIDEO-RANGE=SDR",
        Range::Pq => ",VIDEO-RANGE=PQ",
        Range::Hlg => ",VIDEO-RANGE=HLG",
    }
}

/// Every format that any line-up plays under these names (STANDARDS 1.29); nothing if there is none.
fn codecs<'a>(view: &View<'a>, tracks: impl Iterator<Item = &'a TrackInfo>) -> String {
    let mut all: Vec<&str> = Vec::new();
    for track in tracks {
        for line_up in view.line_ups.iter().rev() {
            if let Some((_, source)) = line_up.source(track)
                && !source.codec.is_empty()
                && !all.contains(&source.codec.as_str())
            {
                all.push(&source.codec);
            }
        }
    }
    if all.is_empty() { String::new() } else { format!(",CODECS=\"{}\"", all.join(",")) }
}

/// In bit/s, at least 1.
#[derive(Clone, Copy, Default)]
struct Rates {
    peak: u64,
    average: u64,
}

/// Measured over all segments: the peak over those of half a target duration or more (STANDARDS 1.27).
fn rates(view: &View<'_>, track: &TrackInfo, iframes: bool) -> Rates {
    let (mut peak, mut bits, mut nanos) = (0_u64, 0_u64, 0_u64);
    let shortest = u64::from(view.target_duration) * 500_000_000;
    for (row, line_up) in view.lined() {
        let Some((i, source)) = line_up.source(track) else { continue };
        let Some(cell) = row.cells.get(i).copied().flatten() else { continue };
        let Cell { bytes, head, .. } = cell;
        let (size, length) = (8 * u64::from(if iframes { head } else { bytes }), cell.nanos(source.timescale));
        bits += size;
        nanos += length;
        if length >= shortest {
            peak = peak.max(per_second(size, length));
        }
    }
    let average = per_second(bits, nanos);
    let least = if view.is_growing() && !iframes { u64::from(track.bit_rate) } else { 0 };
    Rates { peak: peak.max(average).max(least).max(1), average: average.max(least).max(1) }
}

fn per_second(bits: u64, nanos: u64) -> u64 {
    u64::try_from(u128::from(bits) * 1_000_000_000 / u128::from(nanos.max(1))).unwrap_or(u64::MAX)
}

/// Start of the first row and end of the last one.
pub fn span(view: &View<'_>) -> Option<(UtcTime, UtcTime)> {
    let (first, first_line_up) = view.lined().next()?;
    let last = view.rows.last()?;
    Some((first.start(first_line_up)?, last.end(line_up(last.number, view.line_ups)?)?))
}
