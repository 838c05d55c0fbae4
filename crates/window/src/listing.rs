//! What a media playlist of a rendition lists now: the view that HLS is written from.

use std::time::Duration;

use millstream_media::segment::Chunk;
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track};

use crate::period::PeriodTrack;
use crate::segment::{Segment, State, nanos};
use crate::window::Window;

/// The list of one rendition name. All names of a session list the same range of numbers, with discontinuities at the
/// same segments (STANDARDS 1.16, 1.25); at the newest end a fast rendition may be a segment ahead of a slow one.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// The rendition as it is now, or as it was last.
    pub track: &'a Track,
    /// Number of the first entry.
    pub media_sequence: u64,
    /// Discontinuities before the first entry.
    pub discontinuity_sequence: u64,
    /// In seconds, the same for all lists of a session.
    pub target_duration: u32,
    /// The longest a part may be; `None` if parts are not listed.
    pub part_target: Option<Duration>,
    /// The list is final.
    pub ended: bool,
    /// The segments, oldest first, numbers without a hole.
    pub entries: Vec<Entry<'a>>,
    /// The segment in the making, if parts are listed and it has one: its chunks so far, its duration so far.
    pub open: Option<Entry<'a>>,
    /// The part that comes next; `None` if parts are not listed, or none of this kind is made now.
    pub next: Option<NextPart<'a>>,
}

/// The part that comes next: what a list hints at (STANDARDS 1.43).
#[derive(Clone, Copy, Debug)]
pub struct NextPart<'a> {
    /// Number of its segment.
    pub number: u64,
    /// Its index.
    pub part: u32,
    /// The track it belongs to: the rendition's own, or the one that stands in.
    pub source: &'a PeriodTrack,
}

/// One segment in a list.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its number.
    pub number: u64,
    /// The track whose bytes it names: the rendition's own, or the one that stands in; `None` where the period has no
    /// track of its kind (then it is a gap).
    pub source: Option<&'a PeriodTrack>,
    /// A discontinuity precedes it.
    pub discontinuity: bool,
    /// There are no bytes (STANDARDS 1.18).
    pub gap: bool,
    /// Decode time of its first sample, in ticks of [`Entry::timescale`].
    pub start: u64,
    /// In ticks of [`Entry::timescale`].
    pub duration: u64,
    /// Of `start` and `duration`.
    pub timescale: Timescale,
    /// Length in bytes.
    pub bytes: u64,
    /// Bytes from the segment's start to the end of its first sample; 0 for a gap.
    pub first_sample_end: u32,
    /// Its chunks, in order.
    pub chunks: &'a [Chunk],
}

impl Entry<'_> {
    /// Decode time of its first sample.
    pub fn time(&self) -> UtcTime {
        UtcTime::from_ticks(self.start, self.timescale)
    }

    /// Its duration in nanoseconds.
    pub fn nanos(&self) -> u64 {
        nanos(self.duration, self.timescale)
    }

    /// Duration of one of its chunks in nanoseconds.
    pub fn part_nanos(&self, part: &Chunk) -> u64 {
        nanos(part.duration, self.timescale)
    }

    /// Whether it is a segment with bytes of this rendition itself.
    pub fn is_own(&self, rendition: &RenditionName) -> bool {
        !self.gap && self.source.is_some_and(|s| s.track.name == *rendition)
    }
}

/// How far a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of the newest segment that is listed whole, or as a gap.
    pub last_whole: Option<u64>,
    /// Its number of parts; the highest number for a gap.
    pub last_parts: u32,
    /// Number of the segment in the making.
    pub next: u64,
    /// Parts of it that are listed.
    pub parts: u32,
    /// The list is final.
    pub ended: bool,
}

impl Progress {
    /// Whether a list so far answers a blocking reload for segment `msn`, or for `part` of it (STANDARDS 1.40). A part
    /// beyond a segment's last is the first of the next segment.
    pub fn has(&self, msn: u64, part: Option<u32>) -> bool {
        let Some(part) = part else { return msn < self.next };
        if msn < self.next.saturating_sub(1) {
            return true;
        }
        if msn < self.next {
            return part < self.last_parts || self.parts > 0;
        }
        msn == self.next && part < self.parts
    }

    /// Whether a blocking reload asks for what lies too far ahead (STANDARDS 1.41): more than two segments after the
    /// last whole one, or more parts after the last one than `part_limit`.
    pub fn is_too_far(&self, msn: u64, part: Option<u32>, part_limit: u32) -> bool {
        if msn > self.next.saturating_add(1) {
            return true;
        }
        let listed = if msn == self.next { self.parts } else { 0 };
        msn >= self.next && part.is_some_and(|p| u64::from(p) + 1 > u64::from(listed) + u64::from(part_limit))
    }

    /// Segment and index of the newest part; `None` without any.
    pub fn last_part(&self) -> Option<(u64, u32)> {
        if self.parts > 0 {
            return Some((self.next, self.parts - 1));
        }
        let last = self.last_whole?;
        Some((last, self.last_parts.checked_sub(1).filter(|_| self.last_parts != u32::MAX)?))
    }
}

/// A whole segment.
#[derive(Clone, Copy, Debug)]
pub struct SegmentRef<'a> {
    /// Decode time of its first sample, in ticks.
    pub start: u64,
    /// In ticks.
    pub duration: u64,
    /// Its chunks, in order: their bytes one after the other are the segment.
    pub chunks: &'a [Chunk],
    /// Sum of their lengths.
    pub bytes: u64,
}

impl Window {
    /// What the media playlist of `rendition` lists. `None` if the name was never announced in this session, or there
    /// is no session, or the ended one has expired.
    pub fn listing(&self, rendition: &RenditionName) -> Option<Listing<'_>> {
        let session = self.session()?;
        let track = session.names.iter().find(|t| t.name == *rendition)?;
        let newest = session.newest.map_or(session.first_listed, |n| n + 1);
        let entries: Vec<Entry<'_>> = (session.first_listed..newest).map_while(|n| self.entry(rendition, n)).collect();
        let number = session.first_listed + entries.len() as u64;
        let lists_parts = self.lists_parts();
        let open = if lists_parts { self.open_entry(rendition, number) } else { None };
        let made = open.map_or(0, |e| u32::try_from(e.chunks.len()).unwrap_or(u32::MAX));
        let source = open.map_or_else(|| self.period_of(number)?.source(rendition), |e| e.source);
        let next = source.filter(|_| lists_parts).map(|source| NextPart { number, part: made, source });
        Some(Listing {
            track,
            media_sequence: session.first_listed,
            discontinuity_sequence: session.discontinuity_sequence,
            target_duration: session.timing.target_duration(),
            part_target: session.timing.part_target(),
            ended: session.ended.is_some(),
            entries,
            open,
            next,
        })
    }

    fn entry(&self, rendition: &RenditionName, number: u64) -> Option<Entry<'_>> {
        let session = self.session()?;
        let period = self.period_of(number)?;
        let source = period.source(rendition);
        // A kind that the period does not have lasts as long as the period's first track.
        let timing = match source {
            Some(s) => s,
            None if number < session.next_unsettled => period.tracks().first()?,
            None => return None,
        };
        let segment = self.slot(&timing.track.name, number).filter(|s| s.is_settled())?;
        let gap = source.is_none() || segment.state == State::Gap;
        let chunks: &[Chunk] = if gap { &[] } else { &segment.chunks };
        Some(Entry {
            number,
            source,
            discontinuity: session.discontinuities.contains(&number),
            gap,
            start: segment.start,
            duration: segment.duration,
            timescale: timing.track.timescale,
            bytes: if gap { 0 } else { segment.bytes },
            first_sample_end: chunks.first().map_or(0, |c| c.first_sample_end),
            chunks,
        })
    }

    /// The segment in the making, if it has a part.
    fn open_entry(&self, rendition: &RenditionName, number: u64) -> Option<Entry<'_>> {
        let source = self.period_of(number)?.source(rendition)?;
        let segment = self.slot(&source.track.name, number)?;
        let first = segment.chunks.first().filter(|_| segment.state == State::Open)?;
        Some(Entry {
            number,
            source: Some(source),
            discontinuity: self.session()?.discontinuities.contains(&number),
            gap: false,
            start: segment.start,
            duration: segment.duration,
            timescale: source.track.timescale,
            bytes: segment.bytes,
            first_sample_end: first.first_sample_end,
            chunks: &segment.chunks,
        })
    }

    /// Whether parts are listed: the session says so, and goes on.
    pub(crate) fn lists_parts(&self) -> bool {
        self.session.as_ref().is_some_and(|s| s.ended.is_none() && s.timing.part_target().is_some())
    }

    /// How far the list of `rendition` is: what blocking reloads wait for and rendition reports say. `None` as for
    /// [`Window::listing`].
    pub fn progress(&self, rendition: &RenditionName) -> Option<Progress> {
        let session = self.session()?;
        session.names.iter().find(|t| t.name == *rendition)?;
        let first = session.first_listed;
        let next = session.newest.map_or(first, |newest| {
            (first..=newest).rev().find(|&n| self.entry(rendition, n).is_some()).map_or(first, |n| n + 1)
        });
        let count = |chunks: usize| u32::try_from(chunks).unwrap_or(u32::MAX);
        let last = next.checked_sub(1).filter(|&n| n >= first).and_then(|n| self.entry(rendition, n));
        let parts =
            self.open_entry(rendition, next).filter(|_| self.lists_parts()).map_or(0, |e| count(e.chunks.len()));
        Some(Progress {
            next,
            parts,
            last_whole: last.map(|e| e.number),
            // Nobody is kept waiting for a part of what is given up.
            last_parts: last.map_or(0, |e| if e.gap { u32::MAX } else { count(e.chunks.len()) }),
            ended: session.ended.is_some(),
        })
    }

    /// A whole segment, listed or still kept after it left the list; `None` for an unknown, open, lost or expired one.
    pub fn segment(&self, rendition: &RenditionName, number: u64) -> Option<SegmentRef<'_>> {
        let Segment { start, duration, ref chunks, bytes, .. } =
            *self.slot(rendition, number).filter(|s| s.state == State::Whole)?;
        Some(SegmentRef { start, duration, chunks, bytes })
    }

    /// One chunk of a segment that is whole or still open, or was given up after its parts were listed.
    pub fn part(&self, rendition: &RenditionName, number: u64, part: u32) -> Option<&Chunk> {
        let at = usize::try_from(part).ok()?;
        let held = self.slot(rendition, number).and_then(|segment| segment.chunks.get(at));
        held.or_else(|| self.abandoned.iter().find(|l| l.number == number && l.rendition == *rendition)?.chunks.get(at))
    }

    /// The segment whose chunks still come: its number and the chunks so far.
    pub fn open_segment(&self, rendition: &RenditionName) -> Option<(u64, &[Chunk])> {
        let (&number, segment) = self.row(rendition)?.last_key_value()?;
        (segment.state == State::Open).then_some((number, segment.chunks.as_slice()))
    }
}
