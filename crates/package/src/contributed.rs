//! A contribution that comes as CMAF (DASH-IF Live Media Ingest, interface 1): headers and fragments of an encoder's
//! tracks to periods, chunks and segment ends.
//!
//! Segments are the encoder's own. Their numbers are a pure function of its media time and of the channel's segment
//! length ([`places`]), so that two servers which one encoder feeds, or two encoders in step, make segments that are
//! interchangeable (STANDARDS 4.15). The media is packaged anew, sample by sample, and never decoded.
//!
//! Nothing is shown before the first segment is whole: only then are the tracks, the length of segments and the bit
//! rates known, and whether chunks come one by one, which is what low latency needs.

mod feed;
mod places;
mod terms;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use millstream_media::cmaf::read;
use millstream_media::grid::{FrameRate, SegmentGrid};
use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::track::{RenditionName, Track};
use millstream_media::unit::Sample;
use millstream_window::Timing;

use crate::assembly::Output;
use crate::passthrough::Step;
use crate::segmenter::{self, DictatedSegmenter, EvenParts, SegmenterOutput};
use feed::{Feed, Held};
use places::Places;

pub use terms::{Config, Note, Refusal, Taken};

/// Bytes of media that may wait for the first segment to be whole.
pub const MAX_WAITING_BYTES: usize = 64 << 20;
/// Tracks of video and audio that a channel may have.
pub const MAX_TRACKS: usize = 24;
/// Time after which a channel begins with what is there, though no second segment has begun.
const BEGIN_PATIENCE: Duration = Duration::from_secs(20);
/// Numbers that may be skipped at once; a longer hole begins another list.
const MAX_SKIP: u64 = 25;
/// A track this many segments behind is taken for gone: a period without it begins.
const GONE_AFTER: u64 = 5;
/// Segments whose numbers were in use before a restart that are left out rather than counted on from.
const MAX_KNOWN: u64 = 5;

/// One contribution from its first header to its end.
pub struct Contributed {
    config: Config,
    feeds: BTreeMap<RenditionName, Feed>,
    /// Where media lies, once that is known.
    places: Option<Places>,
    /// When the first media came.
    since: Option<MonoTime>,
    waiting_bytes: usize,
    parts: Option<EvenParts>,
    /// First segment of the newest period.
    period: u64,
    /// Highest segment that any track has begun.
    opened: u64,
    steps: VecDeque<Step>,
    notes: VecDeque<Note>,
}

impl Contributed {
    /// A session to which nothing has come.
    pub fn new(config: Config) -> Self {
        Contributed {
            config,
            feeds: BTreeMap::new(),
            places: None,
            since: None,
            waiting_bytes: 0,
            parts: None,
            period: 0,
            opened: 0,
            steps: VecDeque::new(),
            notes: VecDeque::new(),
        }
    }

    /// A track's header. The same one again changes nothing; another one is another track from the next segment on.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn header(&mut self, name: &RenditionName, data: &[u8]) -> Result<(), Refusal> {
        let broken = |cause| Refusal::Broken { what: "the header", track: name.clone(), cause };
        let init = read::init(data).map_err(broken)?;
        if let Some(feed) = self.feeds.get_mut(name).filter(|feed| feed.init == init) {
            feed.remembered = false;
            return Ok(());
        }
        let feed = Feed::new(name, init)?;
        let is_other = |before: &Feed| before.track.is_video() != feed.track.is_video();
        if self.feeds.get(name).is_some_and(|before| !before.is_unused() && is_other(before)) {
            let cause = "its name is that of a track of another kind; give each track a name of its own".to_owned();
            return Err(Refusal::Unsuitable { track: name.clone(), cause });
        }
        if !self.feeds.contains_key(name) && self.feeds.len() >= MAX_TRACKS {
            // A track of an encoder before this one makes room.
            let unused = self.feeds.iter().find(|(_, feed)| feed.is_unused()).map(|(name, _)| name.clone());
            let unused = unused.ok_or(Refusal::TooManyTracks)?;
            self.feeds.remove(&unused);
        }
        if let Some(mut before) = self.feeds.insert(name.clone(), feed) {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(before.held_bytes());
            self.retire(name, &mut before);
        }
        Ok(())
    }

    /// A header that came to a session before this one, so that an encoder that goes on need not send it again. It is
    /// nothing but known: without media there is no track of it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn remember(&mut self, name: &RenditionName, data: &[u8]) -> Result<(), Refusal> {
        self.header(name, data)?;
        if let Some(feed) = self.feeds.get_mut(name) {
            feed.remembered = true;
        }
        Ok(())
    }

    /// Whether a header has come in this session.
    pub fn has_own_headers(&self) -> bool {
        self.feeds.values().any(|feed| !feed.remembered)
    }

    /// Whether media of a track has come, or its header in this session.
    pub fn uses(&self, name: &RenditionName) -> bool {
        self.feeds.get(name).is_some_and(|feed| !feed.is_unused())
    }

    /// A fragment of a track; `starts` if a segment of the encoder begins with it. Came at `now`, which is `utc`.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of the fragment is used then.
    pub fn fragment(
        &mut self,
        name: &RenditionName,
        data: &Bytes,
        starts: bool,
        now: MonoTime,
        utc: UtcTime,
    ) -> Result<Taken, Refusal> {
        let feed = self.feeds.get_mut(name).ok_or_else(|| Refusal::NoHeader(name.clone()))?;
        let samples = feed.read(data)?;
        let last = samples.last().map_or(0, |sample| sample.dts);
        let ahead = |places: &Places| places.seconds_ahead(last, feed.track.timescale, utc, self.opened);
        if let Some(seconds) = self.places.as_ref().and_then(ahead) {
            return Err(Refusal::Ahead { track: name.clone(), seconds });
        }
        if self.places.is_none() {
            let since = *self.since.get_or_insert(now);
            let held = Held { samples, starts, came: now };
            let bytes = held.bytes();
            if feed.hold(held) {
                self.waiting_bytes += bytes;
                self.begin_if_known(now, utc, since);
                return Ok(Taken::New);
            }
            return Ok(Taken::Known);
        }
        Ok(self.take(name, samples, starts, utc))
    }

    /// An object of a track is over: if its segment is whole by that, it is listed now.
    pub fn object_ended(&mut self, name: &RenditionName) {
        let (Some(places), Some(feed)) = (self.places, self.feeds.get_mut(name)) else { return };
        let scale = feed.track.timescale;
        let Some(segmenter) = &mut feed.segmenter else { return };
        let (Some(open), Some(due)) = (segmenter.segment(), segmenter.due()) else { return };
        if places.number(due, scale, true) > open {
            let closed = segmenter.close();
            drain(&mut self.steps, name, segmenter, closed);
        }
    }

    /// Time passes: a channel begins with what there is.
    pub fn tick(&mut self, now: MonoTime, utc: UtcTime) {
        if let Some(since) = self.since.filter(|_| self.places.is_none()) {
            self.begin_if_known(now, utc, since);
        }
    }

    /// Whether anything is packaged.
    pub const fn has_begun(&self) -> bool {
        self.places.is_some()
    }

    /// Whether the encoder's times are UTC, once media has come; it is `utc` now.
    pub fn is_utc(&self, utc: UtcTime) -> Option<bool> {
        if let Some(places) = &self.places {
            return Some(places.is_utc());
        }
        let lead = self.lead()?;
        lead.first_dts().map(|first| places::is_utc(first, lead.track.timescale, utc))
    }

    /// What is added to numbers.
    pub fn number_offset(&self) -> u64 {
        self.places.map_or(self.config.number_offset, |places| places.offset())
    }

    /// The contribution is over: what is open is closed, what a track lacks of the last segment is lost.
    pub fn finish(&mut self) {
        for (name, feed) in &mut self.feeds {
            let Some(segmenter) = &mut feed.segmenter else { continue };
            let last = segmenter.segment().or(feed.last);
            let closed = segmenter.close();
            drain(&mut self.steps, name, segmenter, closed);
            if last.is_none_or(|last| last < self.opened) {
                let output = Output::Lost(name.clone(), self.opened);
                self.steps.push_back(Step::Output { output, discontinuity: false });
            }
        }
    }

    /// The next thing to tell the window.
    pub fn poll(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// The next thing that somebody should hear of.
    pub fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    /// The track that the others follow: the first video, else the first audio.
    fn lead(&self) -> Option<&Feed> {
        let with_media = || self.feeds.values().filter(|feed| feed.has_media());
        with_media().find(|feed| feed.track.is_video()).or_else(|| with_media().next())
    }

    /// Begins once a second segment of the leading track has begun, or when it has been long enough.
    fn begin_if_known(&mut self, now: MonoTime, utc: UtcTime, since: MonoTime) {
        let overdue = now.since(since) >= BEGIN_PATIENCE || self.waiting_bytes > MAX_WAITING_BYTES;
        let Some(lead) = self.lead() else { return };
        let scale = lead.track.timescale;
        let least = u64::from(self.config.segment_ms) * u64::from(scale.get()) / 1000 * 9 / 10;
        let second = lead.second_segment(least);
        let (Some(first), true) = (lead.first_dts(), second.is_some() || overdue) else { return };
        let rate = lead.frame_rate().or_else(|| FrameRate::new(30, 1));
        let Some(rate) = rate else { return };
        let mut grid = SegmentGrid::with_segment_millis(rate, self.config.segment_ms);
        let chunked = self.config.low_latency && second.is_some_and(|at| lead.comes_in_chunks(at));
        // When it was in front of the camera: before it came, and before the others that waited.
        let waited = lead.held.front().map_or(Duration::ZERO, |held| now.since(held.came) + held.length(scale));
        let length_ms = second.map(|at| at.saturating_sub(first) * 1000 / u64::from(scale.get()));
        if let Some(encoder_ms) = length_ms.filter(|ms| *ms * 4 > u64::from(self.config.segment_ms) * 5) {
            let millis = u32::try_from(encoder_ms).unwrap_or(u32::MAX).min(60_000);
            grid = SegmentGrid::with_segment_millis(rate, millis);
            self.notes.push_back(Note::SegmentLength { encoder_ms, settings_ms: self.config.segment_ms });
        }
        let shown = UtcTime(utc.0.saturating_sub(i64::try_from(waited.as_nanos()).unwrap_or(0)));
        let mut places = Places::new(grid, first, scale, shown);
        if !places.is_utc() {
            self.notes.push_back(Note::NotUtc);
        }
        let lowest =
            self.feeds.values().filter_map(|f| f.first_dts().map(|t| places.number(t, f.track.timescale, true)));
        let lowest = lowest.min().unwrap_or(0).saturating_add(self.config.number_offset);
        places.count_on(self.config.number_offset, lowest, self.config.first_segment, MAX_KNOWN);
        let mut timing = Timing::epoch_locked(places.grid());
        self.parts = chunked.then(|| {
            let wanted = Duration::from_millis(self.config.part_ms.into());
            let samples = self.feeds.values().filter_map(Feed::sample_length);
            EvenParts::of(timing.segment_duration(), wanted, samples)
        });
        if let Some(parts) = self.parts {
            timing = timing.with_parts(parts.longest);
        }
        self.places = Some(places);
        self.steps.push_back(Step::BeginSession(timing));
        let first = lowest.saturating_add(places.offset() - self.config.number_offset).max(self.config.first_segment);
        for feed in self.feeds.values_mut().filter(|feed| feed.has_media()) {
            feed.measure();
            feed.segmenter = Some(DictatedSegmenter::new(&feed.track, self.parts));
        }
        self.begin_period(first, None, false);
        self.let_go(utc);
    }

    /// What waited goes where it belongs.
    fn let_go(&mut self, utc: UtcTime) {
        let names: Vec<RenditionName> = self.feeds.keys().cloned().collect();
        for name in names {
            let held = self.feeds.get_mut(&name).map(|feed| std::mem::take(&mut feed.held)).unwrap_or_default();
            for Held { samples, starts, .. } in held {
                self.take(&name, samples, starts, utc);
            }
        }
        self.waiting_bytes = 0;
    }

    /// From `first` on the tracks are those that have a segmenter, and one that is not among the feeds just now.
    fn begin_period(&mut self, first: u64, besides: Option<Track>, discontinuity: bool) {
        let known = self.feeds.values().filter(|feed| feed.segmenter.is_some()).map(|feed| feed.track.clone());
        let mut tracks: Vec<Track> = known.chain(besides).collect();
        if tracks.is_empty() {
            return;
        }
        tracks.sort_by_key(|track| (!track.is_video(), std::cmp::Reverse(track.bit_rate)));
        self.period = first;
        let output = Output::BeginPeriod { first_segment: first, tracks };
        self.steps.push_back(Step::Output { output, discontinuity });
    }

    fn take(&mut self, name: &RenditionName, samples: Vec<Sample>, starts: bool, utc: UtcTime) -> Taken {
        let (Some(mut places), Some(mut feed)) = (self.places, self.feeds.remove(name)) else { return Taken::Known };
        let scale = feed.track.timescale;
        let first = samples.first().map_or(0, |sample| sample.dts);
        if places.has_jumped(first, scale, feed.newest(), utc) {
            // A restarted encoder whose clock is its own: its times go on behind what was shown.
            places.map_anew(first, scale, utc, self.opened);
            self.notes.push_back(Note::Jump);
            self.feeds.insert(name.clone(), feed);
            self.places = Some(places);
            self.restart();
            return self.take(name, samples, starts, utc);
        }
        let mut taken = Taken::Known;
        if places.is_ahead(first, scale, utc) {
            // Of a clock that was set anew meanwhile.
            self.feeds.insert(name.clone(), feed);
            return taken;
        }
        for (index, mut sample) in samples.into_iter().enumerate() {
            let key = sample.key || !feed.track.is_video();
            sample.dts = places.at(sample.dts, scale);
            if feed.segmenter.as_ref().and_then(DictatedSegmenter::due).is_some_and(|due| sample.dts < due) {
                continue;
            }
            let number = places.number_at(sample.dts, scale, starts && index == 0);
            if feed.segmenter.is_none() {
                self.join(&mut feed, number);
            }
            let open = feed.segmenter.as_ref().and_then(DictatedSegmenter::segment);
            let cut = match open {
                Some(open) => number > open && (key || number > open + MAX_SKIP),
                // What was listed as whole takes nothing more in.
                None => key && feed.last.is_none_or(|last| number > last),
            };
            if cut && number >= self.period {
                self.begin_segment(&mut feed, name, number, sample.dts);
            }
            let Some(segmenter) = &mut feed.segmenter else { break };
            if segmenter.segment().is_none() {
                continue;
            }
            let pushed = segmenter.push(sample);
            if pushed == Ok(true) {
                taken = Taken::New;
            }
            drain(&mut self.steps, name, segmenter, pushed.map(|_| ()));
        }
        self.feeds.insert(name.clone(), feed);
        taken
    }

    /// A track that came later, or came back, or changed, is in the line-up from a segment on that nobody has begun.
    fn join(&mut self, feed: &mut Feed, number: u64) {
        feed.measure();
        feed.segmenter = Some(DictatedSegmenter::new(&feed.track, self.parts));
        feed.last = None;
        // It is not among the others while its fragment is being taken.
        self.begin_period(number.max(self.opened + 1), Some(feed.track.clone()), false);
    }

    /// A track begins a segment.
    fn begin_segment(&mut self, feed: &mut Feed, name: &RenditionName, number: u64, start: u64) {
        let Some(segmenter) = &mut feed.segmenter else { return };
        let closed = segmenter.close();
        drain(&mut self.steps, name, segmenter, closed);
        if self.opened > 0 && number > self.opened + MAX_SKIP {
            // The list cannot say so long a hole.
            if let Some(places) = self.places {
                let timing = Timing::epoch_locked(places.grid());
                let timing = self.parts.map_or(timing, |parts| timing.with_parts(parts.longest));
                self.steps.push_back(Step::BeginSession(timing));
                self.begin_period(number, Some(feed.track.clone()), false);
            }
        } else if number > self.opened {
            self.leave_out_who_is_gone(feed, number);
        }
        self.opened = self.opened.max(number);
        feed.last = Some(number);
        if let Some(segmenter) = &mut feed.segmenter {
            let begun = segmenter.cut(number, start);
            drain(&mut self.steps, name, segmenter, begun);
        }
    }

    /// Tracks that lag by far are not waited for: the others' list would have gaps for ever.
    fn leave_out_who_is_gone(&mut self, leading: &Feed, number: u64) {
        let lags = |feed: &Feed| feed.segmenter.is_some() && feed.last.unwrap_or(self.period) + GONE_AFTER < number;
        let gone: Vec<RenditionName> =
            self.feeds.iter().filter(|(_, feed)| lags(feed)).map(|(name, _)| name.clone()).collect();
        if gone.is_empty() {
            return;
        }
        for name in gone {
            if let Some(feed) = self.feeds.get_mut(&name) {
                feed.segmenter = None;
            }
            self.notes.push_back(Note::Gone(name));
        }
        self.begin_period(number, Some(leading.track.clone()), false);
    }

    /// The track's line ends here.
    fn retire(&mut self, name: &RenditionName, feed: &mut Feed) {
        if let Some(segmenter) = &mut feed.segmenter {
            let closed = segmenter.close();
            drain(&mut self.steps, name, segmenter, closed);
        }
    }

    /// All tracks go on with the next segment, as after a break.
    fn restart(&mut self) {
        let parts = self.parts;
        for (name, feed) in &mut self.feeds {
            let Some(segmenter) = &mut feed.segmenter else { continue };
            let closed = segmenter.close();
            drain(&mut self.steps, name, segmenter, closed);
            *segmenter = DictatedSegmenter::new(&feed.track, parts);
        }
        self.begin_period(self.opened + 1, None, true);
    }
}

/// What a segmenter has made goes to the window, in order.
fn drain(
    steps: &mut VecDeque<Step>,
    name: &RenditionName,
    segmenter: &mut DictatedSegmenter,
    done: Result<(), segmenter::Error>,
) {
    while let Some(made) = segmenter.pull() {
        let output = match made {
            SegmenterOutput::Chunk(chunk) => Output::Chunk(name.clone(), chunk),
            SegmenterOutput::Discontinuity(number) => Output::Discontinuity(number),
            SegmenterOutput::SegmentEnd(end) => Output::End(name.clone(), end),
            SegmenterOutput::Warning(warning) => Output::Warning(name.clone(), warning),
        };
        steps.push_back(Step::Output { output, discontinuity: false });
    }
    if let Err(segmenter::Error::TimeRange { dts }) = done {
        let output = Output::Warning(name.clone(), segmenter::Warning::Late { dts });
        steps.push_back(Step::Output { output, discontinuity: false });
    }
}
