//! What a low-latency MPD says more, and its template by number: a player names a segment from the clock alone, before
//! any manifest lists it (STANDARDS 2.15 to 2.20).
//!
//! Only for channels whose segments lie on the epoch grid, where `@duration` is exact: segment N of video begins at its
//! place, that of audio less than a frame after it (STANDARDS 2.9 allows half a segment). Passthrough keeps its timeline.
//!
//! A Period begins at its first segment's place on the grid, and is announced when its number is known, not when its
//! first segment is whole, so that nobody looks for its segments in the Period before.

use std::io;
use std::time::Duration;

use millstream_media::grid::SegmentGrid;
use millstream_media::time::{Timescale, UtcTime};
use millstream_media::track::Track;
use millstream_window::{Presentation, PresentationPeriod, SegmentLength, Window};

use super::manifest::{Set, TIME_SCHEME, Xml, decimal, descriptor, initialization};

/// Periods that `publishTime` tells apart, a millisecond for each that has gone.
const MOST_PERIODS: u64 = 256;

/// The low-latency side of one manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct LowLatency {
    grid: SegmentGrid,
    segment: Duration,
    /// The longest chunk.
    chunk: Duration,
}

impl LowLatency {
    /// `None` where the plain manifest is written: chunks are not listed, or the segments are not on a grid that every
    /// track's scale can express.
    pub fn of(window: &Window, presentation: &Presentation<'_>) -> Option<Self> {
        let SegmentLength::Grid(grid) = presentation.timing.length() else { return None };
        let chunk = window.timing()?.part_target()?;
        let low_latency = LowLatency { grid, segment: presentation.timing.segment_duration(), chunk };
        let periods = presentation.periods.iter().map(|p| p.period).chain(presentation.next.map(|(_, p)| p));
        let exact = |period: &millstream_window::Period| {
            period.tracks().iter().all(|t| low_latency.segment_ticks(t.track.timescale).is_some())
        };
        periods.into_iter().all(exact).then_some(low_latency)
    }

    /// Puts the Periods on the grid and adds the one that is coming. A segment that was joined in its middle is left
    /// out. `None` if nothing remains.
    pub fn arrange(&self, presentation: &mut Presentation<'_>) -> Option<()> {
        for period in &mut presentation.periods {
            if period.first == presentation.first && period.start > self.start_of(period.first) {
                period.first += 1;
            }
            period.start = self.start_of(period.first);
            period.end = self.start_of(period.last + 1);
        }
        presentation.periods.retain(|p| p.first <= p.last);
        if let Some((first, period)) = presentation.next {
            let start = self.start_of(first);
            if let Some(before) = presentation.periods.last_mut().filter(|_| presentation.goes_on) {
                before.end = start;
            }
            let coming = PresentationPeriod { period, first, start, first_listed: first, last: first, end: start };
            presentation.periods.push(coming);
        }
        (!presentation.periods.is_empty()).then_some(())
    }

    /// When the manifest changed last: a Period began, or the oldest left the window, or the channel ended.
    pub fn published(&self, presentation: &Presentation<'_>, depth: Duration) -> UtcTime {
        if presentation.ended {
            return presentation.newest_end + self.segment + Duration::from_millis(1);
        }
        let began = presentation.periods.last().map_or(presentation.newest_end, |p| p.start);
        // A Period goes when as much as the depth has come after it.
        let went = presentation.periods.first().filter(|p| p.first > presentation.first + 1).map(|p| p.start + depth);
        let Some(went) = went else { return began };
        // A Period may be announced a segment ahead, and the oldest go meanwhile: fewer Periods are a later manifest.
        let fewer = MOST_PERIODS.saturating_sub(presentation.periods.len() as u64);
        went.max(began) + Duration::from_millis(fewer)
    }

    /// Media a player holds before it plays: two chunks.
    pub fn min_buffer(&self) -> Duration {
        self.chunk * 2
    }

    /// The latency to play at: four chunks, at least a second (STANDARDS 2.18).
    fn target_ms(&self) -> u128 {
        (self.chunk * 4).as_millis().max(1000)
    }

    /// `ServiceDescription`: what players of low latency hold to.
    pub fn write_service(&self, xml: &mut Xml) -> io::Result<()> {
        let target = self.target_ms();
        let (min, max) = (target / 2, target + 2 * self.segment.as_millis());
        xml.create_element("ServiceDescription").with_attribute(("id", "0")).write_inner_content(|xml| {
            xml.create_element("Latency")
                .with_attributes([
                    ("target", target.to_string().as_str()),
                    ("min", min.to_string().as_str()),
                    ("max", max.to_string().as_str()),
                ])
                .write_empty()?;
            xml.create_element("PlaybackRate").with_attributes([("min", "0.96"), ("max", "1.04")]).write_empty()?;
            Ok(())
        })?;
        Ok(())
    }

    /// `ProducerReferenceTime`: media time is the time of capture as UTC, as the `prft` boxes say, too
    /// (STANDARDS 2.19, 3.13). Told at a whole second, where ticks and text are both exact.
    pub fn write_reference_time(
        &self,
        xml: &mut Xml,
        period: &PresentationPeriod<'_>,
        set: &Set<'_>,
        time_url: &str,
    ) -> io::Result<()> {
        let Some(scale) = set.tracks.first().map(|t| t.timescale) else { return Ok(()) };
        let whole = period.start.since(UtcTime::EPOCH) + Duration::from_nanos(999_999_999);
        let ticks = u128::from(whole.as_secs()) * u128::from(scale.get());
        let wall = UtcTime::EPOCH + Duration::from_secs(whole.as_secs());
        xml.create_element("ProducerReferenceTime")
            .with_attributes([
                ("id", set.id.to_string().as_str()),
                ("inband", "true"),
                ("type", "captured"),
                ("wallClockTime", wall.to_iso8601().as_str()),
                ("presentationTime", ticks.to_string().as_str()),
            ])
            .write_inner_content(|xml| descriptor(xml, "UTCTiming", TIME_SCHEME, time_url))?;
        Ok(())
    }

    /// The template by number: a segment may be asked for when its first chunk is there, and comes as it is made.
    pub fn write_template(&self, xml: &mut Xml, period: &PresentationPeriod<'_>, set: &Set<'_>) -> io::Result<()> {
        let Some((scale, duration)) =
            set.tracks.first().and_then(|t| Some((t.timescale, self.segment_ticks(t.timescale)?)))
        else {
            return Ok(());
        };
        // Exact: the number of whole segments before it, which need not be its own number less one.
        let before = self.grid.first_frame(period.first) / u64::from(self.grid.frames_per_segment());
        let offset = u128::from(duration) * u128::from(before);
        xml.create_element("SegmentTemplate")
            .with_attributes([
                ("timescale", scale.get().to_string().as_str()),
                ("presentationTimeOffset", offset.to_string().as_str()),
                ("duration", duration.to_string().as_str()),
                ("startNumber", period.first.to_string().as_str()),
                ("availabilityTimeOffset", decimal(self.segment.saturating_sub(self.chunk)).as_str()),
                ("availabilityTimeComplete", "false"),
                ("initialization", initialization(period).as_str()),
                ("media", "$RepresentationID$/$Number$.ll.m4s"),
            ])
            .write_empty()?;
        Ok(())
    }

    /// `Resync`: where a player may begin to read in the middle of a segment, at each `moof` (STANDARDS 2.15). All of
    /// audio can be decoded from there (SAP type 1), of video the segment's first chunk only.
    pub fn write_resync(&self, xml: &mut Xml, track: &Track) -> io::Result<()> {
        let ticks = (UtcTime::EPOCH + self.chunk).to_ticks(track.timescale);
        xml.create_element("Resync")
            .with_attributes([
                ("type", if track.is_video() { "0" } else { "1" }),
                ("dT", ticks.to_string().as_str()),
                ("marker", "true"),
            ])
            .write_empty()?;
        Ok(())
    }

    fn start_of(&self, number: u64) -> UtcTime {
        self.grid.frame_time(self.grid.first_frame(number))
    }

    /// A segment in ticks of `scale`, if that is a whole number.
    fn segment_ticks(&self, scale: Timescale) -> Option<u64> {
        let ticks = u128::from(self.grid.segment_ticks()) * u128::from(scale.get());
        let per_second = u128::from(self.grid.rate().timescale().get());
        ticks.is_multiple_of(per_second).then(|| u64::try_from(ticks / per_second).ok())?
    }
}
