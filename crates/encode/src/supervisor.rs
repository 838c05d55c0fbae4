//! Everything the supervision of a worker decides. Pure: the shell tells what happened and when, and does what it says.
//!
//! The promises: a worker that died or hangs is replaced within a second ([`Config::backoff`] after repeated deaths);
//! the output goes on in every rendition with the frame after the last one received, without gap or repetition; a GOP on
//! which workers die twice is left out; nothing grows without bound ([`crate::history`]).
//!
//! Hang: nothing was heard for [`Config::hang_after`] although the worker is asked each [`Config::ping_every`]. Whatever
//! it says is a sign of life; a worker whose pipeline is stuck says nothing by itself.

mod output;

pub(crate) use output::track_of;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use millstream_encode_wire::VERSION;
use millstream_encode_wire::message::{AudioCodec, Ladder, ToWorker, UnitTimes, VideoCodec};
use millstream_media::codec::{AudioConfig, VideoConfig};
use millstream_media::grid::{AAC_FRAME_SAMPLES, FrameIndex, SegmentGrid};
use millstream_media::time::{MonoTime, Timescale, UtcTime};
use millstream_media::track::{RenditionName, Track};
use millstream_media::unit::Contribution;

use crate::event::EncoderEvent;
use crate::history::{self, History};
use crate::overload::{self, Decision, Overload};

/// What is supervised, and the times that matter.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Frame rate and segment length of the output.
    pub grid: SegmentGrid,
    /// What to make.
    pub ladder: Ladder,
    /// First frame of the output.
    pub first_frame: FrameIndex,
    /// Text on the slate (ASCII, at most 64 characters).
    pub slate_text: String,
    /// Between two questions whether the worker is alive.
    pub ping_every: Duration,
    /// So long a worker may be silent.
    pub hang_after: Duration,
    /// So long a worker may take until it first says something.
    pub start_within: Duration,
    /// Delay before a new start, doubled with each death within [`Config::calm`] after the second, up to 5 s. The first
    /// new start is at once.
    pub backoff: Duration,
    /// So long a worker must live for earlier deaths to count no more.
    pub calm: Duration,
    /// Deaths on the same GOP after which it is left out.
    pub deaths_per_gop: u32,
    /// Starts in a row that made nothing, after which [`EncoderEvent::Unable`] says that no worker can work.
    pub fruitless_starts: u32,
    /// Bounds of what is kept.
    pub history: history::Config,
    /// When to shed renditions.
    pub overload: overload::Config,
}

impl Config {
    /// The usual times and bounds.
    pub fn new(grid: SegmentGrid, ladder: Ladder, first_frame: FrameIndex, slate_text: String) -> Self {
        Config {
            grid,
            ladder,
            first_frame,
            slate_text,
            ping_every: Duration::from_secs(1),
            hang_after: Duration::from_secs(3),
            start_within: Duration::from_secs(5),
            backoff: Duration::from_millis(250),
            calm: Duration::from_secs(30),
            deaths_per_gop: 2,
            fruitless_starts: 3,
            history: history::Config::default(),
            overload: overload::Config::default(),
        }
    }
}

/// Longest delay before a new start.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Deaths in a row after which an encoder that is to finish is over, whatever it still holds.
const MAX_DEATHS_AT_END: u32 = 3;
/// How often the supervisor looks at its worker.
const TICK: Duration = Duration::from_millis(250);

/// What the shell is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a worker; then call [`Supervisor::started`], or [`Supervisor::died`] if that fails.
    Start,
    /// End the worker, if it still runs, and do not listen to it any more.
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No worker; the next is started then.
    Down { until: MonoTime },
    /// The shell was told to start one.
    Starting,
    /// It runs.
    Up { since: MonoTime, heard: MonoTime, spoke: bool },
    /// Nothing more happens.
    Over,
}

/// A ladder that was asked for and has not begun.
#[derive(Clone, Debug)]
struct Pending {
    ladder: Ladder,
    at_segment: u64,
    /// Renditions of the old ladder that ended for it.
    ended: Vec<RenditionName>,
}

/// Supervises the workers of one channel.
pub struct Supervisor {
    config: Config,
    state: State,
    history: History,
    /// What goes to the worker before the history.
    urgent: VecDeque<(ToWorker, Bytes)>,
    events: VecDeque<EncoderEvent>,
    actions: VecDeque<Action>,
    ladder: Ladder,
    pending: Option<Pending>,
    /// The newest ladder that was asked for while another was pending: one change is made after the other.
    deferred: Option<(Ladder, u64)>,
    /// The next frame of each video rendition.
    next_frame: BTreeMap<RenditionName, FrameIndex>,
    next_audio: u64,
    /// What was last said of each rendition.
    announced: BTreeMap<RenditionName, Track>,
    overload: Overload,
    newest: Option<UtcTime>,
    deaths: u32,
    /// Starts in a row that made nothing.
    fruitless: u32,
    restarts: u32,
    reason: Option<String>,
    gop_deaths: (Option<UtcTime>, u32),
    next_ping: MonoTime,
    next_tick: MonoTime,
    token: u64,
    finishing: bool,
    finish_sent: bool,
    last_stats: Option<(MonoTime, UtcTime)>,
    next_drop_warning: MonoTime,
}

impl Supervisor {
    /// Begins; the first action is to start a worker.
    pub fn new(config: Config, now: MonoTime) -> Self {
        let samples = config.grid.frame_time(config.first_frame).to_ticks(Timescale::AUDIO_48K);
        let mut made = Supervisor {
            state: State::Down { until: now },
            history: History::new(config.history),
            urgent: VecDeque::new(),
            events: VecDeque::new(),
            actions: VecDeque::new(),
            ladder: config.ladder.clone(),
            pending: None,
            deferred: None,
            next_frame: config.ladder.video.iter().map(|r| (r.name.clone(), config.first_frame)).collect(),
            next_audio: samples.div_ceil(AAC_FRAME_SAMPLES) * AAC_FRAME_SAMPLES,
            announced: BTreeMap::new(),
            overload: Overload::new(config.overload, now),
            newest: None,
            deaths: 0,
            fruitless: 0,
            restarts: 0,
            reason: None,
            gop_deaths: (None, 0),
            next_ping: now,
            next_tick: now,
            token: 0,
            finishing: false,
            finish_sent: false,
            last_stats: None,
            next_drop_warning: now,
            config,
        };
        made.tick(now);
        made
    }

    /// A part of the contribution.
    pub fn contribution(&mut self, part: Contribution, now: MonoTime) {
        let (message, payload) = to_worker(part);
        if let ToWorker::Video(times) | ToWorker::Audio(times) = message {
            self.newest = self.newest.max(Some(times.pts));
        }
        let dropped = self.history.push(message, payload);
        // While workers die, input is dropped for want of one and not for want of speed.
        if dropped > 0 && self.fruitless == 0 && now >= self.next_drop_warning {
            self.next_drop_warning = now + Duration::from_secs(5);
            let waiting = self.config.history.waiting.as_secs();
            self.events.push_back(EncoderEvent::Warning(format!(
                "the encoder is more than {waiting} s behind: input is dropped up to the next key frame ({} units so far); \
                 use fewer renditions, a faster preset or more cores",
                self.history.dropped()
            )));
        }
    }

    /// Makes everything up to `until`, with the last picture or the slate.
    pub fn advance(&mut self, until: UtcTime, slate: bool) {
        self.history.push(ToWorker::Advance { until, slate }, Bytes::new());
    }

    /// Makes another ladder from `at_segment` on, or from the next boundary the worker can still meet. A change that is
    /// not yet in force, as after [`EncoderEvent::Overloaded`], is finished first. [`EncoderEvent::LadderPlanned`] says
    /// from which segment on this one is made.
    pub fn reconfigure(&mut self, ladder: Ladder, at_segment: u64) {
        self.deferred = Some((ladder, at_segment));
        self.plan_deferred();
    }

    /// Plans the ladder that was asked for, unless another change is under way.
    fn plan_deferred(&mut self) {
        if self.pending.is_some() {
            return;
        }
        let Some((ladder, asked)) = self.deferred.take() else { return };
        let at_segment = asked.max(self.reachable_segment());
        self.events.push_back(EncoderEvent::LadderPlanned { ladder: ladder.clone(), at_segment });
        self.change_to(ladder, at_segment);
    }

    fn change_to(&mut self, ladder: Ladder, at_segment: u64) {
        self.urgent.push_back((ToWorker::Reconfigure { ladder: ladder.clone(), at_segment }, Bytes::new()));
        self.pending = (ladder != self.ladder).then_some(Pending { ladder, at_segment, ended: Vec::new() });
    }

    /// The first segment that a change can surely begin with: the worker is some frames further than its output.
    fn reachable_segment(&self) -> u64 {
        let ahead = self.config.grid.nearest_frame(self.video_done() + Duration::from_secs(1));
        self.config.grid.segment_of_frame(ahead) + 1
    }

    /// Encodes what is there and ends.
    pub fn finish(&mut self) {
        self.finishing = true;
    }

    /// A worker runs and can be spoken to.
    pub fn started(&mut self, now: MonoTime) {
        self.state = State::Up { since: now, heard: now, spoke: false };
        self.next_ping = now + self.config.ping_every;
        self.finish_sent = false;
        self.overload.settle(now);
        self.last_stats = None;
        self.urgent.clear();
        let start = self.start_message();
        self.urgent.push_back((start, Bytes::new()));
        if let Some(pending) = &self.pending {
            let (ladder, at_segment) = (pending.ladder.clone(), pending.at_segment);
            self.urgent.push_back((ToWorker::Reconfigure { ladder, at_segment }, Bytes::new()));
        }
        let configurations = self.history.rewind();
        self.urgent.extend(configurations);
        if let Some(reason) = self.reason.take() {
            self.restarts += 1;
            self.events.push_back(EncoderEvent::Restarted { reason });
        }
    }

    /// The worker could not be started, or ended. Nothing it said counts any more.
    pub fn died(&mut self, reason: String, now: MonoTime) {
        let lived = match self.state {
            State::Up { since, .. } => now.since(since),
            State::Starting => Duration::ZERO,
            State::Down { .. } | State::Over => return,
        };
        self.deaths = if lived >= self.config.calm { 1 } else { self.deaths + 1 };
        let delay = match self.deaths {
            0 | 1 => Duration::ZERO,
            n => self.config.backoff.saturating_mul(1 << (n - 2).min(16)).min(MAX_BACKOFF),
        };
        self.state = State::Down { until: now + delay };
        self.next_tick = now + delay;
        self.actions.push_back(Action::Kill);
        let gop = self.history.replay_start();
        self.gop_deaths = if self.gop_deaths.0 == gop { (gop, self.gop_deaths.1 + 1) } else { (gop, 1) };
        self.fruitless += 1;
        let mut warning = format!("the encode worker ended: {reason}; starting it again");
        let mut is_news = self.fruitless == 1;
        if self.gop_deaths.1 >= self.config.deaths_per_gop && self.history.has_given() {
            self.history.skip_given();
            self.gop_deaths = (None, 0);
            warning.push_str(" without the pictures it died on");
            is_news = true;
        }
        // Deaths in a row are told once, then counted.
        if is_news {
            self.events.push_back(EncoderEvent::Warning(warning));
        }
        if self.fruitless.is_multiple_of(self.config.fruitless_starts.max(1)) {
            self.events.push_back(EncoderEvent::Unable { reason: reason.clone(), starts: self.fruitless });
        }
        self.reason = Some(reason);
        if self.finishing && self.deaths >= MAX_DEATHS_AT_END {
            self.state = State::Over;
            self.events.push_back(EncoderEvent::Finished);
        }
    }

    /// The shell did not listen for a while (its own consumer was slow): silence until now says nothing.
    pub fn paused(&mut self, now: MonoTime) {
        if let State::Up { heard, .. } = &mut self.state {
            *heard = now;
        }
        self.overload.settle(now);
    }

    /// Time passes.
    pub fn tick(&mut self, now: MonoTime) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        match self.state {
            State::Down { until } if now >= until => {
                self.state = State::Starting;
                self.actions.push_back(Action::Start);
            }
            State::Down { until } => self.next_tick = until,
            State::Starting | State::Over => {}
            State::Up { heard, spoke, .. } => {
                let patience = if spoke { self.config.hang_after } else { self.config.start_within };
                if now.since(heard) >= patience {
                    self.died(format!("nothing was heard of it for {} s", patience.as_secs()), now);
                    return;
                }
                if now >= self.next_ping {
                    self.next_ping = now + self.config.ping_every;
                    self.token += 1;
                    self.urgent.push_back((ToWorker::Ping { token: self.token }, Bytes::new()));
                }
                if self.pending.is_some() {
                    // Its effect is still to come.
                    self.overload.settle(now);
                } else if self.overload.observe(self.backlog(), now) == Decision::Shed {
                    self.shed();
                }
            }
        }
    }

    /// When [`Supervisor::tick`] is due.
    pub fn next_tick(&self) -> MonoTime {
        self.next_tick
    }

    /// The next thing for the shell to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next event for the owner.
    pub fn poll_event(&mut self) -> Option<EncoderEvent> {
        self.events.pop_front()
    }

    /// Events that wait.
    pub fn events_waiting(&self) -> usize {
        self.events.len()
    }

    /// The next message for the worker; taken only when it can be written.
    pub fn poll_message(&mut self) -> Option<(ToWorker, Bytes)> {
        if !matches!(self.state, State::Up { .. }) || self.finish_sent {
            return None;
        }
        if let Some(message) = self.urgent.pop_front() {
            return Some(message);
        }
        if let Some(item) = self.history.give() {
            return Some(item);
        }
        if self.finishing {
            self.finish_sent = true;
            return Some((ToWorker::Finish, Bytes::new()));
        }
        None
    }

    /// Whether all is said and done.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The ladder in force.
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// The contribution that is in but not out, in media time.
    pub fn backlog(&self) -> Duration {
        self.newest.map_or(Duration::ZERO, |newest| newest.since(self.video_done().max(self.audio_done_if_alone())))
    }

    fn start_message(&self) -> ToWorker {
        let first_frame = self.resume_frame();
        let ahead = self.next_frame.iter().filter(|(_, frame)| **frame > first_frame);
        ToWorker::Start {
            version: VERSION,
            grid: self.config.grid,
            ladder: self.ladder.clone(),
            first_frame,
            first_audio: self.next_audio,
            resume: ahead.map(|(name, frame)| (name.clone(), *frame)).collect(),
            slate_text: self.config.slate_text.clone(),
        }
    }

    /// The first frame that some rendition lacks; without renditions, the frame of the next sound.
    fn resume_frame(&self) -> FrameIndex {
        let audio = UtcTime::from_ticks(self.next_audio, Timescale::AUDIO_48K);
        let wanted = self.ladder.video.iter().filter_map(|r| self.next_frame.get(&r.name)).min().copied();
        wanted.unwrap_or_else(|| self.config.grid.frame_at_or_before(audio))
    }

    fn video_done(&self) -> UtcTime {
        self.config.grid.frame_time(self.resume_frame())
    }

    /// The sound's time where there is nothing else to go by.
    fn audio_done_if_alone(&self) -> UtcTime {
        if self.ladder.video.is_empty() { self.audio_done() } else { UtcTime::EPOCH }
    }

    fn audio_done(&self) -> UtcTime {
        UtcTime::from_ticks(self.next_audio, Timescale::AUDIO_48K)
    }

    /// Gives up the highest rendition, never the last.
    fn shed(&mut self) {
        if self.pending.is_some() || self.ladder.video.len() < 2 {
            return;
        }
        let mut ladder = self.ladder.clone();
        let shed = ladder.video.remove(0).name;
        let backlog = self.backlog();
        let segment = self.reachable_segment();
        self.events.push_back(EncoderEvent::Overloaded { shed, backlog, at_segment: segment });
        self.change_to(ladder, segment);
    }
}

fn to_worker(part: Contribution) -> (ToWorker, Bytes) {
    let times = |unit: &millstream_media::unit::AccessUnit| UnitTimes { pts: unit.pts, dts: unit.dts, key: unit.key };
    match part {
        Contribution::VideoConfig(VideoConfig::Avc(c)) => (ToWorker::VideoConfig { codec: VideoCodec::H264 }, c.record),
        Contribution::VideoConfig(VideoConfig::Hevc(c)) => {
            (ToWorker::VideoConfig { codec: VideoCodec::Hevc }, c.record)
        }
        Contribution::VideoConfig(VideoConfig::Av1(c)) => (ToWorker::VideoConfig { codec: VideoCodec::Av1 }, c.record),
        Contribution::AudioConfig(AudioConfig::Aac(c)) => (ToWorker::AudioConfig { codec: AudioCodec::Aac }, c.asc),
        Contribution::AudioConfig(AudioConfig::Opus(c)) => {
            (ToWorker::AudioConfig { codec: AudioCodec::Opus }, c.record)
        }
        Contribution::Video(unit) => (ToWorker::Video(times(&unit)), unit.data),
        Contribution::Audio(unit) => (ToWorker::Audio(times(&unit)), unit.data),
    }
}
