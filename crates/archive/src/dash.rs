//! The MPD of an asset (ISO/IEC 23009-1): `dynamic` while it is recorded, `static` when it has ended.
//!
//! A Period is a run of rows with the same tracks and no hole (STANDARDS 2.10): where one rendition lacks a segment
//! there is a Period without it. `availabilityStartTime` is the start of the first segment, so a recording without a
//! hole has the same Period starts before and after it ended; a finished one leaves holes out.
//!
//! While it grows the clock is `direct` and says the end of the newest segment: a static server has no time service, and
//! so a player's live edge is never beyond what is in the store.

use std::fmt::Write;
use std::time::Duration;

use millstream_media::grid::FrameRate;
use millstream_media::protection::Signalling;
use millstream_media::storyboard;
use millstream_media::time::UtcTime;

use crate::asset::{LineUp, Media, TrackInfo};
use crate::hls::View;
use crate::index::{Cell, Row};
use crate::layout;

/// The manifest; `None` while there is no row.
pub fn mpd(view: &View<'_>) -> Option<String> {
    let runs = runs(view);
    let (first, last) = (runs.first()?, runs.last()?);
    let mut out = String::with_capacity(4096 + view.rows.len() * 16);
    let segment = Duration::from_secs(u64::from(view.target_duration));
    let total: Duration = runs.iter().map(Run::length).sum();
    out.push_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\"",
    );
    // Writing to a String cannot fail.
    let _ = if view.is_growing() {
        write!(
            out,
            " type=\"dynamic\" availabilityStartTime=\"{}\" publishTime=\"{}\" minimumUpdatePeriod=\"{}\" \
             suggestedPresentationDelay=\"{}\"",
            first.start,
            last.end,
            seconds(segment),
            seconds(segment * 3),
        )
    } else {
        write!(out, " type=\"static\" mediaPresentationDuration=\"{}\"", seconds(total))
    };
    let _ = writeln!(
        out,
        " minBufferTime=\"{}\" maxSegmentDuration=\"{}\">",
        seconds(segment),
        seconds(segment + Duration::from_millis(500))
    );
    let names = Names {
        base: view.of.map_or_else(String::new, |asset| format!("../{asset}/")),
        init: layout::init_name,
        block: u64::MAX,
        thumbnails: true,
    };
    let mut at = Duration::ZERO;
    for (i, run) in runs.iter().enumerate() {
        let start = if view.is_growing() { run.start.since(first.start) } else { at };
        // The last Period of a growing recording is open.
        let ended = !view.is_growing() || i + 1 < runs.len();
        period(&mut out, &names, run, start, ended);
        at += run.length();
    }
    if view.is_growing() {
        let _ = writeln!(out, "  <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"{}\"/>", last.end);
    }
    out.push_str("</MPD>\n");
    Some(out)
}

/// How a manifest names files.
struct Names {
    /// Where the renditions' folders lie.
    base: String,
    /// File name of an init segment, by its version.
    init: fn(&str) -> String,
    /// Equal neighbours are merged in blocks of this many numbers: a repeating `S` may go only as a whole
    /// (STANDARDS 2.7).
    block: u64,
    /// The sheets of the storyboard lie beside the renditions' folders.
    thumbnails: bool,
}

/// A live channel's manifest of a time that is over, or that reaches from there to now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shifted<'a> {
    /// Its clock and its end are still open.
    pub growing: bool,
    /// Depth of a list that moves; `None` for one that keeps its start.
    pub depth: Option<Duration>,
    /// Media before this is listed only where the rules of editing ask for it.
    pub from: UtcTime,
    /// Everything is available so much later.
    pub delay: Duration,
    /// In seconds.
    pub target_duration: u32,
    /// Answers with the server's time.
    pub time_url: &'a str,
}

/// Numbers in a block of a timeline that moves.
const BLOCK: u64 = 32;

/// The manifest under a live channel's name; `None` while it has no row. Period starts, ids and offsets follow from the
/// runs of rows, not from what of them is shown, so the caller gives rows from the start of a recording on.
pub(crate) fn shifted(line_ups: &[LineUp], rows: &[Row], how: &Shifted<'_>) -> Option<String> {
    let view =
        View { target_duration: how.target_duration, state: crate::asset::State::Recording, line_ups, rows, of: None };
    let mut runs = runs(&view);
    runs.retain(|run| run.end > how.from);
    let moving = how.growing && how.depth.is_some();
    let names = Names {
        base: String::new(),
        init: |version| format!("init.mp4?v={version}"),
        block: if moving { BLOCK } else { u64::MAX },
        thumbnails: false,
    };
    for run in &mut runs {
        let ended = |row: &&Row| row.end(run.line_up).is_none_or(|end| end <= how.from);
        let over = run.rows.iter().copied().take_while(|row| ended(row)).count();
        run.shown = match run.rows.get(over) {
            // A block that is shown in part stays whole.
            Some(first) if moving => over.saturating_sub(usize::try_from(first.number % BLOCK).unwrap_or(0)),
            _ => over,
        };
    }
    let (first, last) = (runs.first()?, runs.last()?);
    let segment = Duration::from_secs(u64::from(how.target_duration));
    let longest = segment + Duration::from_millis(500);
    let mut out = String::with_capacity(4096 + rows.len() * 16);
    out.push_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\"",
    );
    let (begins, total) = (UtcTime::EPOCH + how.delay, runs.iter().map(Run::shown_length).sum());
    // Writing to a String cannot fail.
    let _ = if how.growing {
        let depth = how.depth.unwrap_or_else(|| last.end.since(how.from.max(first.start)));
        write!(
            out,
            " type=\"dynamic\" availabilityStartTime=\"{begins}\" publishTime=\"{}\" minimumUpdatePeriod=\"{}\" \
             timeShiftBufferDepth=\"{}\" suggestedPresentationDelay=\"{}\"",
            last.end + how.delay,
            seconds(segment),
            seconds(depth),
            seconds(segment * 3),
        )
    } else {
        write!(out, " type=\"static\" mediaPresentationDuration=\"{}\"", seconds(total))
    };
    let _ = writeln!(out, " minBufferTime=\"{}\" maxSegmentDuration=\"{}\">", seconds(segment), seconds(longest));
    let mut at = Duration::ZERO;
    for (i, run) in runs.iter().enumerate() {
        let start = if how.growing { run.start.since(UtcTime::EPOCH) } else { at };
        period(&mut out, &names, run, start, !how.growing || i + 1 < runs.len());
        at += run.shown_length();
    }
    if how.growing {
        for scheme in ["urn:mpeg:dash:utc:http-iso:2014", "urn:mpeg:dash:utc:http-head:2014"] {
            let _ = writeln!(out, "  <UTCTiming schemeIdUri=\"{scheme}\" value=\"{}\"/>", how.time_url);
        }
    }
    out.push_str("</MPD>\n");
    Some(out)
}

/// Rows that one Period names.
struct Run<'a> {
    line_up: &'a LineUp,
    /// Which tracks of the line-up are there.
    present: Vec<bool>,
    rows: Vec<&'a Row>,
    /// The first of them that is named: what lies before has left a list that moves.
    shown: usize,
    start: UtcTime,
    end: UtcTime,
}

impl<'a> Run<'a> {
    fn length(&self) -> Duration {
        self.end.since(self.start)
    }

    fn first_number(&self) -> u64 {
        self.rows.first().map_or(0, |r| r.number)
    }

    fn shown_rows(&self) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().skip(self.shown).copied()
    }

    fn shown_length(&self) -> Duration {
        let first = self.shown_rows().next().and_then(|r| r.start(self.line_up));
        self.end.since(first.unwrap_or(self.start))
    }
}

fn runs<'a>(view: &View<'a>) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for (row, line_up) in view.lined() {
        let present: Vec<bool> = row.cells.iter().map(Option::is_some).collect();
        let (Some(start), Some(end)) = (row.start(line_up), row.end(line_up)) else { continue };
        if !has_all_kinds(line_up, &present) {
            continue;
        }
        let joins = |run: &Run<'_>| {
            !row.discontinuity
                && run.present == present
                && run.line_up.first == line_up.first
                && run.rows.last().is_some_and(|l| l.number.checked_add(1) == Some(row.number))
        };
        match runs.last_mut() {
            Some(run) if joins(run) => {
                run.rows.push(row);
                run.end = end;
            }
            _ => runs.push(Run { line_up, present, rows: vec![row], shown: 0, start, end }),
        }
    }
    runs
}

/// A row without any video, or without any audio, where its line-up has some, is a hole for a DASH player.
fn has_all_kinds(line_up: &LineUp, present: &[bool]) -> bool {
    [true, false].into_iter().all(|video| {
        let mut kind = line_up.tracks.iter().zip(present).filter(|(t, _)| t.is_video() == video).peekable();
        kind.peek().is_none() || kind.any(|(_, there)| *there)
    })
}

fn period(out: &mut String, names: &Names, run: &Run<'_>, start: Duration, ended: bool) {
    let _ = write!(out, "  <Period id=\"p{}\" start=\"{}\"", run.first_number(), seconds(start));
    if ended {
        let _ = write!(out, " duration=\"{}\"", seconds(run.length()));
    }
    out.push_str(">\n");
    let sets = sets(run);
    for set in &sets {
        adaptation_set(out, names, run, set, &sets);
    }
    if names.thumbnails && run.line_up.tracks.iter().any(|t| t.pictures) {
        thumbnails(out, names, run);
    }
    out.push_str("  </Period>\n");
}

/// Tracks of one kind and one timescale, so that one timeline describes them all.
struct Set<'a> {
    id: usize,
    video: bool,
    /// With their places in the row's cells.
    tracks: Vec<(usize, &'a TrackInfo)>,
}

/// Video sets have odd ids, audio sets even ones, so that an id means the same in all Periods.
fn sets<'a>(run: &Run<'a>) -> Vec<Set<'a>> {
    let mut sets: Vec<Set<'a>> = Vec::new();
    let there = run.line_up.tracks.iter().enumerate().zip(&run.present).filter(|(_, p)| **p);
    for ((place, track), _) in there {
        let alike =
            |s: &Set<'_>| s.video == track.is_video() && s.tracks.iter().all(|t| t.1.timescale == track.timescale);
        match sets.iter_mut().find(|s| alike(s)) {
            Some(set) => set.tracks.push((place, track)),
            None => {
                let video = track.is_video();
                let before = sets.iter().filter(|s| s.video == video).count();
                sets.push(Set { id: 2 * before + if video { 1 } else { 2 }, video, tracks: vec![(place, track)] });
            }
        }
    }
    sets
}

/// The storyboard as a thumbnail track (DASH-IF IOP 6.2.6). Sheets begin with their minutes: the first one of a Period may
/// begin before it.
fn thumbnails(out: &mut String, names: &Names, run: &Run<'_>) {
    let (first, last) = (storyboard::sheet_at(run.start), storyboard::sheet_at(run.end));
    let (height, scale) = (i64::from(storyboard::TILE_HEIGHT) * storyboard::SHEET_TILES, 1000);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "    <AdaptationSet id=\"999\" contentType=\"image\" mimeType=\"image/jpeg\">\n      <SegmentTemplate \
         timescale=\"{scale}\" presentationTimeOffset=\"{}\" media=\"{}storyboard-$Number$.jpg\" \
         startNumber=\"{first}\">\n        <SegmentTimeline>\n          <S t=\"{}\" d=\"{}\" r=\"{}\"/>\n        \
         </SegmentTimeline>\n      </SegmentTemplate>\n      <Representation id=\"storyboard\" bandwidth=\"40000\" \
         width=\"{}\" height=\"{height}\">",
        run.start.as_millis(),
        names.base,
        storyboard::sheet_time(first).as_millis(),
        storyboard::SHEET_SECONDS * scale,
        last - first,
        storyboard::TILE_WIDTH,
    );
    let layout = format!("1x{}", storyboard::SHEET_TILES);
    out.push_str("  ");
    descriptor(out, "EssentialProperty", "http://dashif.org/guidelines/thumbnail_tile", &layout);
    out.push_str("      </Representation>\n    </AdaptationSet>\n");
}

fn adaptation_set(out: &mut String, names: &Names, run: &Run<'_>, set: &Set<'_>, sets: &[Set<'_>]) {
    let Some(&(place, reference)) = set.tracks.first() else { return };
    let kind = if set.video { "video" } else { "audio" };
    let _ = write!(
        out,
        "    <AdaptationSet id=\"{}\" contentType=\"{kind}\" mimeType=\"{kind}/mp4\" segmentAlignment=\"true\" \
         startWithSAP=\"1\"",
        set.id
    );
    let pictures = || {
        set.tracks.iter().filter_map(|(_, t)| match &t.media {
            Media::Video { width, height, frame_rate, .. } => Some((*width, *height, *frame_rate)),
            Media::Audio { .. } => None,
        })
    };
    if set.video {
        let (width, height) = (pictures().map(|p| p.0).max(), pictures().map(|p| p.1).max());
        let _ = write!(out, " maxWidth=\"{}\" maxHeight=\"{}\"", width.unwrap_or(0), height.unwrap_or(0));
        if let Some(rate) = pictures().filter_map(|p| p.2).max_by(|a, b| a.as_f64().total_cmp(&b.as_f64())) {
            let _ = write!(out, " maxFrameRate=\"{}\"", fraction(rate));
        }
    } else {
        out.push_str(" lang=\"und\"");
    }
    out.push_str(">\n");
    if let Some(protection) = &reference.protection {
        content_protection(out, protection);
    }
    let siblings: Vec<String> =
        sets.iter().filter(|s| s.video == set.video && s.id != set.id).map(|s| s.id.to_string()).collect();
    if !siblings.is_empty() {
        descriptor(out, "SupplementalProperty", "urn:mpeg:dash:adaptation-set-switching:2016", &siblings.join(","));
    }
    descriptor(out, "Role", "urn:mpeg:dash:role:2011", "main");
    let base = |own: bool| if own { "" } else { names.base.as_str() };
    let (base, init_base) = (base(run.line_up.is_own()), base(run.line_up.has_own_init()));
    let _ = writeln!(
        out,
        "      <SegmentTemplate timescale=\"{}\" presentationTimeOffset=\"{}\" \
         initialization=\"{init_base}$RepresentationID$/{}\" media=\"{base}$RepresentationID$/$Number$.m4s\" \
         startNumber=\"{}\">\n        <SegmentTimeline>",
        reference.timescale.get(),
        run.start.to_ticks(reference.timescale),
        (names.init)(run.line_up.init_version()),
        run.shown_rows().next().map_or(0, |r| r.number),
    );
    timeline(
        out,
        names.block,
        run.shown_rows().filter_map(|r| Some((r.number, r.cells.get(place).copied().flatten()?))),
    );
    out.push_str("        </SegmentTimeline>\n      </SegmentTemplate>\n");
    for (_, track) in &set.tracks {
        representation(out, track);
    }
    out.push_str("    </AdaptationSet>\n");
}

fn timeline(out: &mut String, block: u64, cells: impl Iterator<Item = (u64, Cell)>) {
    let mut cells = cells.peekable();
    let mut due = None;
    while let Some((_, first)) = cells.next() {
        let (mut last, mut repeats) = (first, 0_u32);
        let joins = |(number, next): &(u64, Cell), last: Cell| {
            next.duration == first.duration && next.start == last.end_ticks() && !number.is_multiple_of(block)
        };
        while let Some((_, next)) = cells.next_if(|next| joins(next, last)) {
            last = next;
            repeats += 1;
        }
        out.push_str("          <S");
        if due != Some(first.start) {
            let _ = write!(out, " t=\"{}\"", first.start);
        }
        let _ = write!(out, " d=\"{}\"", first.duration);
        if repeats > 0 {
            let _ = write!(out, " r=\"{repeats}\"");
        }
        out.push_str("/>\n");
        due = Some(last.end_ticks());
    }
}

fn representation(out: &mut String, track: &TrackInfo) {
    let _ = write!(out, "      <Representation id=\"{}\" bandwidth=\"{}\"", track.name, track.bit_rate.max(1));
    if !track.codec.is_empty() {
        let _ = write!(out, " codecs=\"{}\"", quick_xml::escape::escape(track.codec.as_str()));
    }
    match &track.media {
        Media::Video { width, height, frame_rate, .. } => {
            let _ = write!(out, " width=\"{width}\" height=\"{height}\"");
            if let Some(rate) = frame_rate {
                let _ = write!(out, " frameRate=\"{}\"", fraction(*rate));
            }
            out.push_str("/>\n");
        }
        Media::Audio { sample_rate, channels } => {
            // ISO/IEC 23091-3: configurations 1 to 6 have as many channels as their number, 12 has eight.
            let layout = match channels {
                7 => 11,
                8 => 12,
                n => *n,
            };
            let _ = writeln!(out, " audioSamplingRate=\"{sample_rate}\">");
            let scheme = "urn:mpeg:mpegB:cicp:ChannelConfiguration";
            descriptor(out, "AudioChannelConfiguration", scheme, &layout.to_string());
            out.push_str("      </Representation>\n");
        }
    }
}

fn descriptor(out: &mut String, element: &str, scheme: &str, value: &str) {
    let _ = writeln!(out, "      <{element} schemeIdUri=\"{scheme}\" value=\"{value}\"/>");
}

/// `ContentProtection` (ISO/IEC 23001-7 11.2): the scheme and the key's id, then each key system.
fn content_protection(out: &mut String, protection: &Signalling) {
    let _ = writeln!(
        out,
        "      <ContentProtection xmlns:cenc=\"urn:mpeg:cenc:2013\" schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" \
         value=\"{}\" cenc:default_KID=\"{}\"/>",
        protection.scheme.as_str(),
        protection.key_id
    );
    for system in &protection.dash {
        let uri = quick_xml::escape::escape(system.scheme_id_uri.as_str());
        let _ = write!(out, "      <ContentProtection schemeIdUri=\"{uri}\"");
        if !system.value.is_empty() {
            let _ = write!(out, " value=\"{}\"", quick_xml::escape::escape(system.value.as_str()));
        }
        // It is XML already.
        let _ = writeln!(out, ">{}</ContentProtection>", system.inner);
    }
}

fn fraction(rate: FrameRate) -> String {
    if rate.den() == 1 { rate.num().to_string() } else { format!("{}/{}", rate.num(), rate.den()) }
}

/// An xs:duration in seconds alone, since years and months have no fixed length (STANDARDS 2.14).
fn seconds(d: Duration) -> String {
    let fraction = format!("{:09}", d.subsec_nanos());
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("PT{}{point}{fraction}S", d.as_secs())
}
