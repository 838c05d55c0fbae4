//! The worker's main thread: takes messages, decodes, lays pictures and samples on the grid, passes them on.

mod file;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use millstream_encode_wire::message::{FromWorker, Ladder, ToWorker, VideoRendition};
use millstream_media::grid::{FrameIndex, SegmentGrid};
use millstream_media::time::UtcTime;
use millstream_media::track::RenditionName;

use crate::audio::AudioStage;
use crate::conform::{Conform, Placement};
use crate::ladder::{LadderStage, Source};
use crate::libav::{Error, Frame};
use crate::link::{Inbox, Outbox, Shared};
use crate::slate;
use crate::video::{Decoded, VideoInput};

/// Silence follows the video this far behind where there is, or was a moment ago, audio.
const AUDIO_LAG: Duration = Duration::from_secs(1);
/// The same for a contribution that has no audio, or has had none for [`AUDIO_GONE`].
const NO_AUDIO_LAG: Duration = Duration::from_millis(250);
/// Audio that has been missing for this long is not waited for any more.
const AUDIO_GONE: Duration = Duration::from_secs(3);

/// What the pipeline begins with, from [`ToWorker::Start`].
pub struct Beginning {
    /// Frame rate and segment length.
    pub grid: SegmentGrid,
    /// What to make.
    pub ladder: Ladder,
    /// First frame.
    pub first_frame: FrameIndex,
    /// First audio sample.
    pub first_audio: u64,
    /// Renditions that are further.
    pub resume: Vec<(RenditionName, FrameIndex)>,
    /// Text on the slate.
    pub slate_text: String,
    /// Units come from a file ([`Pipeline::run_file`]), not from the server ([`Pipeline::run`]).
    pub is_file: bool,
}

/// The running pipeline.
pub struct Pipeline {
    grid: SegmentGrid,
    outbox: Outbox,
    shared: Arc<Shared>,
    conform: Conform,
    first_frame: FrameIndex,
    video_ladder: Vec<VideoRendition>,
    stage: LadderStage,
    input: VideoInput,
    audio: AudioStage,
    /// When the last audio unit lay, in the video's time; `None` if there is none (any more).
    heard: Option<UtcTime>,
    /// The picture shown last.
    held: Option<Source>,
    slate: Option<Source>,
    slate_text: String,
    pending: Option<(u64, Vec<VideoRendition>)>,
    next_id: u64,
    /// Units come from a file: sound that is late is waited for.
    is_file: bool,
}

impl Pipeline {
    /// Starts the stages.
    pub fn start(beginning: Beginning, outbox: Outbox, shared: Arc<Shared>) -> std::io::Result<Pipeline> {
        let Beginning { grid, ladder, first_frame, first_audio, resume, slate_text, is_file } = beginning;
        let base = grid.frame_time(first_frame);
        Ok(Pipeline {
            grid,
            conform: Conform::new(grid, first_frame),
            first_frame,
            stage: LadderStage::start(ladder.video.clone(), grid, resume, outbox.clone())?,
            video_ladder: ladder.video,
            input: VideoInput::new(base, outbox.clone(), shared.clone()),
            audio: AudioStage::new(grid, base, ladder.audio, first_audio, outbox.clone(), shared.clone()),
            heard: None,
            held: None,
            slate: None,
            slate_text,
            pending: None,
            next_id: 1,
            is_file,
            outbox,
            shared,
        })
    }

    /// Works until it is told to finish, or nobody can tell it any more.
    pub fn run(mut self, inbox: &Inbox) {
        loop {
            self.shared.idle();
            let Ok((message, payload)) = inbox.recv() else { break };
            self.shared.busy();
            if message == ToWorker::Finish {
                break;
            }
            self.handle(message, &payload);
        }
        self.finish();
    }

    fn handle(&mut self, message: ToWorker, payload: &Bytes) {
        match message {
            ToWorker::VideoConfig { codec } => {
                if !self.video_ladder.is_empty() || self.pending.is_some() {
                    let held = self.input.configure(codec, payload);
                    self.pictures(held);
                }
            }
            ToWorker::Video(times) => {
                let decoded = self.input.unit(times, payload);
                self.pictures(decoded);
            }
            ToWorker::AudioConfig { codec } => {
                self.audio.configure(codec, payload);
                self.heard = Some(self.conform.next_time());
            }
            ToWorker::Audio(times) => {
                self.audio.unit(times, payload);
                self.heard = Some(self.conform.next_time().max(self.audio.position()));
            }
            ToWorker::Advance { until, slate } => self.advance(until, slate),
            ToWorker::Reconfigure { ladder, at_segment } => self.reconfigure(ladder, at_segment),
            ToWorker::Start { .. } => self.outbox.warn("a second start is ignored"),
            // Answered by the reading thread; handled by run.
            ToWorker::Ping { .. } | ToWorker::Finish => {}
        }
    }

    fn finish(mut self) {
        let held = self.input.finish();
        self.pictures(held);
        self.audio.finish();
        self.stage.finish();
        self.outbox.send(FromWorker::Finished, Bytes::new());
    }

    fn pictures(&mut self, pictures: Vec<Decoded>) {
        for (time, frame) in pictures {
            match self.conform.place(time) {
                Placement::Next { repeats } => {
                    for _ in 0..repeats {
                        self.repeat(false);
                    }
                    self.hold(frame);
                    let shown = self.held.as_ref().map(Source::share);
                    self.emit(shown);
                }
                Placement::Late => {
                    // Newer than what is shown, though too late for its slot: repeats show it.
                    if time >= self.grid.frame_time(self.first_frame) {
                        Shared::count(&self.shared.dropped);
                    }
                    self.hold(frame);
                }
                Placement::TooFar => Shared::count(&self.shared.dropped),
            }
        }
        if self.is_file {
            return;
        }
        let lag = match self.heard {
            Some(heard) if self.conform.next_time().since(heard) < AUDIO_GONE => AUDIO_LAG,
            _ => NO_AUDIO_LAG,
        };
        self.audio.fill_until(self.conform.next_time() - lag);
    }

    fn advance(&mut self, until: UtcTime, slate: bool) {
        while self.conform.next_time() < until {
            self.repeat(slate);
        }
        self.audio.fill_until(until);
    }

    /// Fills the next slot with what was there before, or with the slate.
    fn repeat(&mut self, slate: bool) {
        Shared::count(&self.shared.repeated);
        self.shared.busy();
        let Some((width, height)) = self.video_ladder.first().map(|r| (r.width, r.height)) else {
            return self.emit(None);
        };
        if slate {
            if self.slate.is_none() {
                self.slate = slate::slate(width, height, &self.slate_text).ok().map(|frame| self.source(frame));
            }
        } else if self.held.is_none()
            && let Ok(frame) = slate::black(width, height)
        {
            self.hold(frame);
        }
        let shown = if slate { &self.slate } else { &self.held };
        let shown = shown.as_ref().map(Source::share);
        self.emit(shown);
    }

    /// Puts a picture into the next slot.
    fn emit(&mut self, picture: Option<Result<Source, Error>>) {
        let frame = self.conform.next();
        let segment = self.grid.segment_of_frame(frame);
        let boundary = self.grid.is_boundary(frame);
        if boundary && let Some((_, video)) = self.pending.take_if(|(at, _)| *at <= segment) {
            self.video_ladder.clone_from(&video);
            self.slate = None;
            self.stage.switch(video, segment);
        }
        self.conform.take();
        self.shared.frames_out.fetch_add(1, Ordering::Relaxed);
        if let Some(Ok(source)) = picture {
            self.stage.push(frame, boundary || frame == self.first_frame, source);
        }
    }

    fn reconfigure(&mut self, ladder: Ladder, at_segment: u64) {
        let next = self.conform.next();
        let open = self.grid.segment_of_frame(next) + u64::from(!self.grid.is_boundary(next));
        let segment = at_segment.max(open);
        self.audio.switch(ladder.audio, segment);
        // Also if nothing has changed: failed renditions are tried again.
        self.pending = Some((segment, ladder.video));
    }

    fn hold(&mut self, frame: Frame) {
        self.held = Some(self.source(frame));
    }

    fn source(&mut self, frame: Frame) -> Source {
        self.next_id += 1;
        Source { id: self.next_id, frame }
    }
}

impl Source {
    /// The same picture for another user.
    fn share(&self) -> Result<Source, Error> {
        Ok(Source { id: self.id, frame: self.frame.share()? })
    }
}
