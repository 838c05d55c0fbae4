//! HLS playlists of a time that is over, or that reaches from there to now (RFC 8216bis). Pure.
//!
//! Segments have their live names, and media sequence numbers are segment numbers, so a moving list agrees with itself
//! from one reload to the next whatever left it. Numbers that nothing has stand in it as `EXT-X-GAP`.

use std::fmt::Write;

use millstream_media::time::UtcTime;
use millstream_media::track::RenditionName;

use super::reel::Reel;
use super::span::Form;
use crate::asset::TrackInfo;
use crate::hls::Seconds;
use crate::index::{Row, line_up};
use crate::layout;

/// Target durations after which a segment may be skipped in a delta update: the least allowed (STANDARDS 1.35).
const SKIP_TARGETS: u64 = 6;

/// How a playlist is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How it changes.
    pub form: Form,
    /// In seconds.
    pub target_duration: u32,
    /// Discontinuities before its first segment; of a moving list only.
    pub discontinuity_sequence: u64,
    /// First samples only.
    pub iframes: bool,
    /// A delta update (STANDARDS 1.42).
    pub delta: bool,
}

/// The playlist of a rendition.
pub fn media(reel: &Reel, track: &TrackInfo, options: &Options) -> String {
    let moving = matches!(options.form, Form::Moving(_));
    let mut lines = Lines { out: String::with_capacity(512 + reel.rows().len() * 48), moving, ..Lines::default() };
    let end = reel.rows().last().and_then(|r| reel.times(r)).map_or(UtcTime(0), |(_, end)| end);
    let oldest = SKIP_TARGETS * u64::from(options.target_duration) * 1_000_000_000;
    let is_old = |end_of: UtcTime| u64::try_from(end.nanos_since(end_of)).is_ok_and(|age| age > oldest);
    let delta = options.delta && options.form != Form::Final;
    let (mut skipped, mut behind) = (0_u64, 0_usize);
    let mut before: Option<&Row> = None;
    for row in reel.rows() {
        if let Some(before) = before.filter(|_| moving) {
            for (number, at, nanos) in reel.missing(before, row, options.target_duration).unwrap_or_default() {
                lines.missing(number, at, nanos);
                if delta && is_old(at) {
                    (skipped, behind) = (skipped + 1, lines.out.len());
                }
            }
        }
        let is_first = before.is_none();
        lines.row(reel, row, track, options.iframes, is_first);
        if delta && reel.times(row).is_some_and(|(_, end_of)| is_old(end_of)) {
            (skipped, behind) = (skipped + 1, lines.out.len());
        }
        before = Some(row);
    }
    let mut out = head(reel, options, skipped);
    out.push_str(lines.out.get(behind..).unwrap_or_default());
    if options.form == Form::Final {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    out
}

fn head(reel: &Reel, options: &Options, skipped: u64) -> String {
    // EXT-X-SKIP needs 9, EXT-X-MAP 6, and 5 with EXT-X-I-FRAMES-ONLY (STANDARDS 1.4).
    let version = match (skipped, options.iframes) {
        (1.., _) => 9,
        (_, true) => 5,
        (_, false) => 6,
    };
    let target = options.target_duration;
    let mut out = format!("#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n");
    let first = reel.rows().first().map_or(0, |r| r.number);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{first}");
    match options.form {
        // A list that moves has no type (STANDARDS 1.14).
        Form::Moving(_) => {
            let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", options.discontinuity_sequence);
        }
        Form::Growing => {
            out.push_str("#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-START:TIME-OFFSET=0\n")
        }
        Form::Final => out.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
    }
    out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    if options.iframes {
        out.push_str("#EXT-X-I-FRAMES-ONLY\n");
    }
    if options.form != Form::Final {
        let _ = writeln!(out, "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL={}.0", SKIP_TARGETS * u64::from(target));
    }
    if skipped > 0 {
        let _ = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
    }
    out
}

#[derive(Default)]
struct Lines<'a> {
    out: String,
    moving: bool,
    map: Option<(&'a RenditionName, &'a str)>,
    /// The track of the row before.
    track: Option<&'a TrackInfo>,
    /// The keys in force (STANDARDS 1.51).
    keys: &'a [String],
    /// The page whose first row said its date: once a page, so that rounded durations never add up to a frame.
    dated: Option<i64>,
}

impl<'a> Lines<'a> {
    fn row(&mut self, reel: &'a Reel, row: &Row, track: &'a TrackInfo, iframes: bool, is_first: bool) {
        let Some(line_up) = line_up(row.number, reel.line_ups()) else { return };
        if row.discontinuity && !is_first {
            self.out.push_str("#EXT-X-DISCONTINUITY\n");
            (self.map, self.dated) = (None, None);
        }
        let source = line_up.source(track);
        let cell = source.and_then(|(i, t)| Some((row.cells.get(i).copied().flatten()?, t)));
        // A gap lasts as long as the first track that is there.
        let Some((timed, timed_track)) = cell.or_else(|| row.first(line_up)) else { return };
        let name = source.map_or(&track.name, |(_, t)| &t.name);
        let folder = if *name == track.name { String::new() } else { format!("../{name}/") };
        let mut map = (name, line_up.init.as_str());
        // A track whose key goes on while others change theirs goes on with its init segment. In a list that loses its
        // first rows it would not stay so.
        if let (Some((before, version)), Some(old), Some((_, track))) = (self.map, self.track, source)
            && before == name
            && !self.moving
            && old.is_same_protected(track)
        {
            map.1 = version;
        }
        self.track = source.map(|(_, t)| t);
        let keys = source.and_then(|(_, t)| t.protection.as_ref()).map_or(&[][..], |protection| &protection.hls);
        if source.is_some() && self.keys != keys {
            for key in keys {
                let _ = writeln!(self.out, "#EXT-X-KEY:{key}");
            }
            if keys.is_empty() {
                self.out.push_str("#EXT-X-KEY:METHOD=NONE\n");
            }
            self.keys = keys;
        }
        if self.map != Some(map) && source.is_some() {
            let _ = writeln!(self.out, "#EXT-X-MAP:URI=\"{folder}init.mp4?v={}\"", line_up.init);
            self.map = Some(map);
        }
        self.date(timed.time(timed_track.timescale));
        let _ = writeln!(self.out, "#EXTINF:{},", Seconds(timed.nanos(timed_track.timescale)));
        match cell {
            None => self.out.push_str("#EXT-X-GAP\n"),
            // From the segment's start, so that the range holds the boxes the sample needs.
            Some((cell, _)) if iframes => {
                let _ = writeln!(self.out, "#EXT-X-BYTERANGE:{}@0", cell.head);
            }
            Some(_) => {}
        }
        let _ = writeln!(self.out, "{folder}{}.m4s", row.number);
    }

    /// A number that nothing has.
    fn missing(&mut self, number: u64, at: UtcTime, nanos: u64) {
        self.dated = None;
        self.date(at);
        let _ = writeln!(self.out, "#EXT-X-GAP\n#EXTINF:{},\n{number}.m4s", Seconds(nanos));
        self.dated = None;
    }

    fn date(&mut self, at: UtcTime) {
        let page = layout::page_of(at);
        if self.dated != Some(page) {
            let _ = writeln!(self.out, "#EXT-X-PROGRAM-DATE-TIME:{at}");
            self.dated = Some(page);
        }
    }
}
