//! What a media playlist of a rendition lists now: the view that HLS is written from.

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
    /// The list is final.
    pub ended: bool,
    /// The segments, oldest first, numbers without a hole.
    pub entries: Vec<Entry<'a>>,
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

    /// Whether it is a segment with bytes of this rendition itself.
    pub fn is_own(&self, rendition: &RenditionName) -> bool {
        !self.gap && self.source.is_some_and(|s| s.track.name == *rendition)
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
        let entries = (session.first_listed..newest).map_while(|n| self.entry(rendition, n)).collect();
        Some(Listing {
            track,
            media_sequence: session.first_listed,
            discontinuity_sequence: session.discontinuity_sequence,
            target_duration: session.timing.target_duration(),
            ended: session.ended.is_some(),
            entries,
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

    /// A whole segment, listed or still kept after it left the list; `None` for an unknown, open, lost or expired one.
    pub fn segment(&self, rendition: &RenditionName, number: u64) -> Option<SegmentRef<'_>> {
        let Segment { start, duration, ref chunks, bytes, .. } =
            *self.slot(rendition, number).filter(|s| s.state == State::Whole)?;
        Some(SegmentRef { start, duration, chunks, bytes })
    }

    /// One chunk of a segment that is whole or still open.
    pub fn part(&self, rendition: &RenditionName, number: u64, part: u32) -> Option<&Chunk> {
        self.slot(rendition, number)?.chunks.get(usize::try_from(part).ok()?)
    }

    /// The segment whose chunks still come: its number and the chunks so far.
    pub fn open_segment(&self, rendition: &RenditionName) -> Option<(u64, &[Chunk])> {
        let (&number, segment) = self.row(rendition)?.last_key_value()?;
        (segment.state == State::Open).then_some((number, segment.chunks.as_slice()))
    }
}
