//! What is packaged goes into the window, and what must outlive the process goes to the store first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_archive::asset::TrackInfo;
use millstream_control::channel::ChannelName;
use millstream_control::documents::Continuity;
use millstream_control::registry::Registry;
use millstream_encode_wire::message::PictureKind;
use millstream_media::cmaf;
use millstream_media::protection::Signalling;
use millstream_media::segment::{Chunk, SegmentEnd};
use millstream_media::time::{Clock, UtcTime};
use millstream_media::track::{RenditionName, Track};
use millstream_origin::channel::ChannelOrigin;
use millstream_package::assembly::Output;
use millstream_package::protection::{self, Protected, Stage};
use millstream_telemetry::{ChannelMetrics, Metrics};
use millstream_window::{Timing, Window};
use tokio::task::JoinHandle;

use super::record::Recorder;

/// Time the store may take to note a segment's number before the segment is published without.
const STORE_PATIENCE: Duration = Duration::from_millis(500);

/// Puts a channel's media into its window.
pub struct Publisher {
    name: ChannelName,
    origin: Arc<ChannelOrigin>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    continuity: Continuity,
    /// The highest number of which a byte could be fetched.
    used: u64,
    /// A write of `continuity` under way.
    noting: Option<JoinHandle<()>>,
    /// The newest chunk, until it is known whether its segment ends with it: a list never shows a segment that has all
    /// its parts and no end.
    held: Option<(RenditionName, Chunk)>,
    tracks: Vec<(Track, Bytes)>,
    timing: Option<Timing>,
    passthrough: bool,
    /// Where broadcasts are recorded, unless the channel is not.
    recorder: Option<Recorder>,
    /// The newest segment before which the source jumped.
    jumped: Option<u64>,
    metrics: Metrics,
    channel_metrics: ChannelMetrics,
    protection: Protection,
    /// What manifests say of the encryption of `tracks`.
    signalling: BTreeMap<RenditionName, Signalling>,
    /// A period waits for its key; whether it begins with a discontinuity.
    waiting: Option<bool>,
}

/// What is done to media before anything keeps it.
enum Protection {
    /// It stays clear.
    Off,
    /// It is encrypted.
    On(Box<Stage>),
    /// It is to be encrypted and cannot be: nothing is published.
    Refused,
}

impl Publisher {
    /// Reads what the channel must remember and takes its window.
    pub async fn open(
        name: ChannelName,
        origin: Arc<ChannelOrigin>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let continuity = match registry.documents().load_continuity(&name).await {
            Ok(continuity) => continuity.unwrap_or_default(),
            Err(error) => {
                // Numbers follow the clock, so an encoded channel goes on above what it published all the same.
                tracing::error!(channel = %name, %error, "the channel's continuity cannot be read; it begins afresh");
                Continuity::default()
            }
        };
        let highest = origin.with_window(|window| window.highest()).unwrap_or(0);
        let continuity = Continuity { last_segment: continuity.last_segment.max(highest), ..continuity };
        Publisher {
            origin,
            registry,
            clock,
            used: continuity.last_segment,
            noting: None,
            held: None,
            continuity,
            tracks: Vec::new(),
            timing: None,
            passthrough: false,
            recorder: None,
            jumped: None,
            channel_metrics: metrics.channel(name.as_str()),
            metrics,
            name,
            protection: Protection::Off,
            signalling: BTreeMap::new(),
            waiting: None,
        }
    }

    /// Records from the next list on, or no longer: without a recorder, the recording at work ends.
    pub fn record(&mut self, recorder: Option<Recorder>) {
        if let Some(former) = std::mem::replace(&mut self.recorder, recorder) {
            former.end();
        }
        if let (Some(recorder), Some(timing)) = (&self.recorder, self.timing) {
            recorder.session(timing.target_duration());
            self.record_line_up(self.used);
        }
    }

    /// Encrypts what comes from the next period on, or no longer.
    pub fn protect(&mut self, stage: Result<Option<Stage>, String>) {
        self.protection = match stage {
            Ok(None) => Protection::Off,
            Ok(Some(stage)) => Protection::On(Box::new(stage)),
            Err(cause) => {
                tracing::error!(channel = %self.name, cause, "the channel cannot be encrypted, so nothing of it is published");
                Protection::Refused
            }
        };
    }

    /// Encrypts a chunk, after the period that its segment begins if keys change with it; `None` if it must not be
    /// published.
    fn encrypt(&mut self, rendition: &RenditionName, chunk: Chunk) -> Option<Chunk> {
        let stage = match &mut self.protection {
            Protection::Off => return Some(chunk),
            Protection::Refused => return None,
            Protection::On(stage) => stage,
        };
        let rotated = stage.rotate(&chunk);
        match rotated {
            Ok(Some(protected)) => {
                let discontinuity = self.waiting.take().unwrap_or(false);
                self.open_period(protected, discontinuity);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(channel = %self.name, error = chain(&error), "a period under another key cannot begin");
            }
        }
        let Protection::On(stage) = &mut self.protection else { return None };
        match stage.chunk(rendition, &chunk) {
            Ok(chunk) => Some(chunk),
            // Said when the period could not begin.
            Err(protection::Error::NoKey) if self.waiting.is_some() => None,
            Err(error) => {
                tracing::error!(channel = %self.name, %rendition, segment = chunk.segment, %error, "a chunk could not be encrypted and is not published");
                None
            }
        }
    }

    /// The tracks of the newest period are in force from this segment on.
    fn record_line_up(&self, first: u64) {
        let Some(recorder) = &self.recorder else { return };
        // The window's own name for them; the newest period is the one that has just begun.
        let named = self.origin.with_window(|window| window.newest_period().map(|p| p.init_version().to_owned()));
        let Some(init) = named else { return };
        let pictures =
            |track: &Track| track.is_video() && !self.passthrough && matches!(self.protection, Protection::Off);
        let info = |track: &Track| TrackInfo {
            pictures: pictures(track),
            ..TrackInfo::protected(track, self.signalling.get(&track.name).cloned())
        };
        let tracks = self.tracks.iter().map(|(track, init)| (info(track), init.clone())).collect();
        recorder.line_up(first, &init, tracks);
    }

    /// What the channel remembers.
    pub const fn continuity(&self) -> &Continuity {
        &self.continuity
    }

    /// Notes the frame-rate family with the next write.
    pub fn remember_family(&mut self, family: millstream_control::documents::FrameFamily) {
        self.continuity.frame_family = Some(family);
    }

    /// Notes what is added to the clock's numbers with the next write. Whether an offset is another one than before.
    pub fn remember_offset(&mut self, offset: u64) -> bool {
        let before = std::mem::replace(&mut self.continuity.number_offset, offset);
        offset > 0 && offset != before
    }

    /// The tracks of the newest period.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().map(|(track, _)| track)
    }

    /// The first number that a new session may use.
    pub const fn first_free(&self) -> u64 {
        self.continuity.last_segment + 1
    }

    /// The channel's origin.
    pub fn origin(&self) -> &Arc<ChannelOrigin> {
        &self.origin
    }

    /// A list begins.
    pub fn begin_session(&mut self, timing: Timing, passthrough: bool) {
        self.flush();
        self.passthrough = passthrough;
        self.timing = Some(timing);
        let now = self.clock.mono();
        self.origin.with_window(|window| window.begin_session(timing, now));
        if let Some(recorder) = &self.recorder {
            recorder.session(timing.target_duration());
        }
    }

    /// One step of the packager. [`Publisher::flush`] follows the last one that is there.
    pub async fn apply(&mut self, output: Output, discontinuity: bool) {
        if !matches!((&output, &self.held), (Output::End(ends, _), Some((held, _))) if ends == held) {
            self.flush();
        }
        match output {
            Output::BeginPeriod { first_segment, tracks } => self.begin_period(first_segment, tracks, discontinuity),
            Output::Chunk(rendition, chunk) => {
                let Some(chunk) = self.encrypt(&rendition, chunk) else { return };
                if self.lists_parts() {
                    self.use_number(chunk.segment).await;
                }
                self.held = Some((rendition, chunk));
            }
            Output::Discontinuity(segment) => {
                self.jumped = Some(segment);
                self.origin.with_window(|window| window.discontinuity(segment));
            }
            Output::Lost(rendition, last) => {
                let now = self.clock.mono();
                self.origin.with_window(|window| window.give_up(&rendition, last, now));
            }
            Output::End(rendition, end) => self.end_segment(&rendition, end).await,
            Output::Warning(rendition, warning) => {
                tracing::warn!(channel = %self.name, %rendition, %warning, "packaging");
                self.channel_metrics.ingest_gaps.increment();
            }
        }
    }

    /// What came last is listed.
    pub fn flush(&mut self) {
        let Some((rendition, chunk)) = self.held.take() else { return };
        let now = self.clock.mono();
        let pushed = self.origin.with_window(|window| window.push_chunk(&rendition, chunk, now));
        if let Err(error) = pushed {
            tracing::warn!(channel = %self.name, %rendition, %error, "a chunk could not be listed");
        }
    }

    fn lists_parts(&self) -> bool {
        self.timing.is_some_and(|timing| timing.part_target().is_some())
    }

    fn begin_period(&mut self, first_segment: u64, tracks: Vec<Track>, discontinuity: bool) {
        let protected = match &mut self.protection {
            Protection::On(stage) => match stage.begin(first_segment, tracks) {
                Ok(protected) => {
                    self.waiting = None;
                    protected
                }
                Err(protection::Error::NoKey) => {
                    tracing::error!(channel = %self.name, first_segment, "there is no key yet, so a period does not begin and nothing of it is published");
                    self.waiting = Some(discontinuity);
                    return;
                }
                Err(error) => {
                    tracing::error!(channel = %self.name, first_segment, error = chain(&error), "a period cannot be encrypted, so it does not begin");
                    return;
                }
            },
            Protection::Refused => return,
            Protection::Off => Protected {
                first_segment,
                tracks: tracks.into_iter().map(|track| (track.clone(), cmaf::init_segment(&track))).collect(),
                signalling: BTreeMap::new(),
            },
        };
        self.open_period(protected, discontinuity);
    }

    fn open_period(&mut self, protected: Protected, discontinuity: bool) {
        let Protected { first_segment, tracks, signalling } = protected;
        (self.tracks, self.signalling) = (tracks.clone(), signalling);
        let begun = self.origin.with_window(|window| {
            window.begin_protected_period(first_segment, tracks, &self.signalling, discontinuity)
        });
        match begun {
            Ok(()) => {
                let renditions: Vec<&str> = self.tracks().map(|t| t.name.as_str()).collect();
                tracing::info!(channel = %self.name, first_segment, ?renditions, "period begun");
                if discontinuity {
                    self.jumped = Some(first_segment);
                }
                self.record_line_up(first_segment);
            }
            Err(error) => tracing::error!(channel = %self.name, first_segment, %error, "a period cannot begin"),
        }
    }

    async fn end_segment(&mut self, rendition: &RenditionName, end: SegmentEnd) {
        self.use_number(end.segment).await;
        let now = self.clock.mono();
        let last = self.held.take();
        let mut ended = self.origin.with_window(|window| {
            if let Some((rendition, chunk)) = last {
                window.push_chunk(&rendition, chunk, now)?;
            }
            window.end_segment(rendition, end, now)
        });
        if self.lists_parts() && end.segment == self.used {
            // Its first part is a part's length away, time enough for the disk.
            self.note(end.segment + 1).await;
        }
        if let Err(millstream_window::Error::TooLong { duration_ms, .. }) = ended {
            self.lengthen(end.segment, duration_ms);
            ended = self.origin.with_window(|window| window.end_segment(rendition, end, now));
        }
        if let Err(error) = ended {
            tracing::warn!(channel = %self.name, %rendition, segment = end.segment, %error, "a segment could not be listed");
            return;
        }
        let scale = self.tracks.iter().find(|(t, _)| t.name == *rendition).map(|(t, _)| t.timescale);
        if let (Some(recorder), Some(scale)) = (&self.recorder, scale) {
            let start = UtcTime::from_ticks(end.start, scale);
            let jump = end.discontinuity || self.jumped == Some(end.segment);
            self.origin.with_window(|window| {
                if let Some(segment) = window.segment(rendition, end.segment) {
                    recorder.segment(rendition, end.segment, start, jump, segment.chunks);
                }
            });
        }
        let seconds = scale.map_or(0.0, |scale| scale.seconds(end.duration));
        let of_rendition = self.metrics.rendition(self.name.as_str(), rendition.as_str());
        of_rendition.segment(Duration::from_secs_f64(seconds));
        if let Some(scale) = scale {
            let ends = UtcTime::from_ticks(end.start + end.duration, scale);
            self.channel_metrics.publish_latency.observe(self.clock.utc().since(ends));
        }
        tracing::debug!(channel = %self.name, %rendition, segment = end.segment, seconds, "segment published");
    }

    /// The source's groups of pictures became longer than the list promises, which may not change: another list begins
    /// with this segment, or with the next one if another rendition has this one whole already.
    fn lengthen(&mut self, segment: u64, duration_ms: u64) {
        let Some(timing) = self.timing else { return };
        let target = u32::try_from(duration_ms.div_ceil(1000) + 1).unwrap_or(u32::MAX);
        tracing::warn!(channel = %self.name, segment, duration_ms, target, "segments became longer; a new list begins");
        let longer = Timing::with_target(timing.length(), target);
        let longer = timing.part_target().map_or(longer, |part| longer.with_parts(part));
        self.begin_session(longer, self.passthrough);
        let begun = self.origin.with_window(|window: &mut Window| {
            let first = segment.max(window.highest().map_or(0, |highest| highest + 1));
            window.begin_protected_period(first, self.tracks.clone(), &self.signalling, true)
        });
        match begun {
            Ok(()) => self.record_line_up(segment),
            Err(error) => tracing::error!(channel = %self.name, %error, "the longer list cannot begin"),
        }
    }

    /// A tile of the storyboard, or a poster.
    pub fn picture(&self, kind: PictureKind, time: UtcTime, data: Bytes) {
        // A picture of a protected channel would be clear.
        if !matches!(self.protection, Protection::Off) {
            return;
        }
        match kind {
            PictureKind::Tile => self.origin.pictures.tile(time, data.clone()),
            PictureKind::Poster => self.origin.pictures.poster(data.clone()),
        }
        if let Some(recorder) = &self.recorder {
            recorder.picture(kind, time, data);
        }
    }

    /// The list is final.
    pub async fn end_session(&mut self) {
        self.flush();
        let now = self.clock.mono();
        self.origin.with_window(|window| window.end(now));
        if let Some(recorder) = &self.recorder {
            recorder.end();
        }
        self.continuity.on_air = false;
        self.save().await;
    }

    /// On the disk before the first byte of this number can be fetched: no number is ever used twice.
    async fn use_number(&mut self, number: u64) {
        if number > self.used {
            self.used = number;
            self.note(number).await;
            self.noted().await;
        }
    }

    /// Begins to write that this number is in use.
    async fn note(&mut self, number: u64) {
        if number <= self.continuity.last_segment {
            return;
        }
        self.noted().await;
        self.continuity.last_segment = number;
        self.continuity.on_air = true;
        if self.passthrough {
            self.continuity.passthrough_next_sequence = number + 1;
        }
        self.continuity.discontinuity_sequence = self.origin.with_window(|window| window.next_discontinuity_sequence());
        let (registry, name, continuity) = (Arc::clone(&self.registry), self.name.clone(), self.continuity);
        self.noting = Some(tokio::spawn(async move { write(&registry, &name, &continuity).await }));
    }

    /// Returns when nothing is being written any more.
    async fn noted(&mut self) {
        if let Some(noting) = self.noting.take() {
            let _ = noting.await;
        }
    }

    /// Writes what must be remembered.
    pub async fn save(&mut self) {
        self.flush();
        self.noted().await;
        // A number that was noted ahead and not used is free.
        self.continuity.last_segment = self.used;
        self.continuity.discontinuity_sequence = self.origin.with_window(|window| window.next_discontinuity_sequence());
        write(&self.registry, &self.name, &self.continuity).await;
    }
}

async fn write(registry: &Registry, name: &ChannelName, continuity: &Continuity) {
    match tokio::time::timeout(STORE_PATIENCE, registry.documents().save_continuity(name, continuity)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(channel = %name, %error, "the channel's continuity cannot be written"),
        Err(_) => tracing::error!(channel = %name, "the store is slow; a segment's number was not noted in time"),
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
