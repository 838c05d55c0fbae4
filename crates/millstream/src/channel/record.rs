//! A channel's recorder: takes what the window took, without ever holding it up, and hands it to the recording.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use millstream_archive::asset::{MAX_LINE_UPS, TrackInfo};
use millstream_archive::pictures::Pictures;
use millstream_archive::{Handle, Store};
use millstream_encode_wire::message::PictureKind;
use millstream_media::segment::Chunk;
use millstream_media::time::UtcTime;
use millstream_media::track::RenditionName;
use tokio::sync::mpsc;

use super::archive::Archive;

/// What may wait while a recording begins: a minute of a ladder of ten renditions.
const QUEUE: usize = 512;
/// Room that segments leave for what says how they are to be read.
const RESERVED: usize = 64;
/// A recording that is this long is followed by another one, so that its playlists stay of a size players take.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Pictures that may come before a recording's first segment is whole.
const MOST_EARLY: usize = 8;

enum Message {
    Session { target_duration: u32 },
    LineUp(LineUp),
    Segment(Segment),
    Picture(PictureKind, UtcTime, Bytes),
    End,
}

#[derive(Clone)]
struct LineUp {
    first: u64,
    init: String,
    tracks: Vec<(TrackInfo, Bytes)>,
}

struct Segment {
    rendition: RenditionName,
    number: u64,
    start: UtcTime,
    discontinuity: bool,
    chunks: Vec<Chunk>,
}

/// The channel's end. When it is dropped without [`Recorder::end`], the recording stays open for the next start.
pub struct Recorder {
    messages: mpsc::Sender<Message>,
    channel: String,
    store: Store,
}

impl Recorder {
    /// A recorder, whose task runs from now on.
    pub fn start(channel: &str, archive: Archive) -> Self {
        let (messages, inbox) = mpsc::channel(QUEUE);
        let store = archive.store().clone();
        let tasks = archive.clone();
        let desk = Desk {
            channel: channel.to_owned(),
            archive,
            target_duration: 1,
            line_up: None,
            open: None,
            before: None,
            early: Vec::new(),
        };
        tasks.run(desk.run(inbox));
        Recorder { messages, channel: channel.to_owned(), store }
    }

    /// A list begins that promises this target duration, in seconds.
    pub fn session(&self, target_duration: u32) {
        self.tell(Message::Session { target_duration });
    }

    /// These tracks are in force from segment `first` on; `init` names their init segments.
    pub fn line_up(&self, first: u64, init: &str, tracks: Vec<(TrackInfo, Bytes)>) {
        self.tell(Message::LineUp(LineUp { first, init: init.to_owned(), tracks }));
    }

    /// A segment is whole. Its bytes are shared.
    pub fn segment(
        &self,
        rendition: &RenditionName,
        number: u64,
        start: UtcTime,
        discontinuity: bool,
        chunks: &[Chunk],
    ) {
        let segment = Segment { rendition: rendition.clone(), number, start, discontinuity, chunks: chunks.to_vec() };
        let is_taken = self.messages.capacity() > RESERVED && self.messages.try_send(Message::Segment(segment)).is_ok();
        if !is_taken {
            self.store.statistics().lost_segments.fetch_add(1, Relaxed);
            tracing::error!(channel = %self.channel, %rendition, number, "a finished segment is lost: the recorder's queue is full");
        }
    }

    /// A tile of the storyboard, or a poster. It is given up if the recorder is behind.
    pub fn picture(&self, kind: PictureKind, time: UtcTime, data: Bytes) {
        if self.messages.capacity() > RESERVED {
            let _ = self.messages.try_send(Message::Picture(kind, time, data));
        }
    }

    /// The broadcast is over.
    pub fn end(&self) {
        self.tell(Message::End);
    }

    fn tell(&self, message: Message) {
        if self.messages.try_send(message).is_err() {
            tracing::error!(channel = %self.channel, "the recorder's queue is full; the recording may lack segments");
        }
    }
}

struct Open {
    handle: Handle,
    pictures: Pictures,
    started: UtcTime,
    first: u64,
    /// Sets of tracks that it has.
    line_ups: usize,
    /// The first segment that is not for it, since it can have no further set of tracks.
    full_at: Option<u64>,
}

impl Open {
    /// Hands a set of tracks over, or keeps it for the next recording: a recording can have so many, and each change of
    /// keys is one. False if the recording is stuck.
    fn take(&mut self, line_up: &LineUp) -> bool {
        if self.line_ups >= MAX_LINE_UPS {
            self.full_at.get_or_insert(line_up.first);
            return true;
        }
        self.line_ups += 1;
        self.handle.line_up(line_up.first, &line_up.init, line_up.tracks.clone()).is_ok()
    }

    /// Whether the segment begins the next recording.
    fn is_over_at(&self, segment: &Segment) -> bool {
        let full = self.full_at.is_some_and(|full| segment.number >= full);
        full || segment.start.since(self.started) >= LONGEST && segment.number > self.first
    }
}

/// The recorder's task.
struct Desk {
    channel: String,
    archive: Archive,
    target_duration: u32,
    line_up: Option<LineUp>,
    open: Option<Open>,
    /// The recording before this one, while renditions that are behind still have segments for it.
    before: Option<Handle>,
    /// Pictures of a recording that has not begun.
    early: Vec<(PictureKind, UtcTime, Bytes)>,
}

impl Desk {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        while let Some(message) = inbox.recv().await {
            match message {
                Message::Session { target_duration } => {
                    // A playlist's target duration may not change.
                    if self.target_duration != target_duration {
                        self.end();
                    }
                    self.target_duration = target_duration;
                }
                Message::LineUp(line_up) => {
                    let taken = self.open.as_mut().is_none_or(|open| open.take(&line_up));
                    self.line_up = Some(line_up);
                    if !taken {
                        tracing::warn!(channel = %self.channel, "the recording is stuck; another one begins");
                        self.end();
                    }
                }
                Message::Segment(segment) => self.segment(segment).await,
                Message::Picture(kind, time, data) => self.picture(kind, time, data),
                Message::End => self.end(),
            }
        }
        if let Some(open) = self.open.take() {
            let _ = open.handle.leave();
        }
    }

    fn picture(&mut self, kind: PictureKind, time: UtcTime, data: Bytes) {
        match &self.open {
            Some(open) => give(&open.pictures, kind, time, data),
            // Pictures are there before the first segment is whole.
            None if self.early.len() < MOST_EARLY => self.early.push((kind, time, data)),
            None => {}
        }
    }

    fn end(&mut self) {
        self.early.clear();
        self.open = None;
        self.before = None;
    }

    async fn segment(&mut self, segment: Segment) {
        if self.open.as_ref().is_some_and(|open| open.is_over_at(&segment)) {
            self.before = self.open.take().map(|open| open.handle);
        }
        if self.open.is_none() {
            self.open = self.begin(&segment).await;
        }
        let Some(open) = &self.open else {
            self.archive.store().statistics().lost_segments.fetch_add(1, Relaxed);
            tracing::error!(channel = %self.channel, rendition = %segment.rendition, number = segment.number, "a finished segment is lost: no recording could begin");
            return;
        };
        let handle = match &self.before {
            Some(before) if segment.number < open.first => before,
            _ => &open.handle,
        };
        if handle.segment(&segment.rendition, segment.number, segment.discontinuity, &segment.chunks).is_err() {
            tracing::warn!(channel = %self.channel, rendition = %segment.rendition, number = segment.number, "the recording takes no more now");
        }
        if segment.number > open.first + 1 {
            self.before = None;
        }
        // It was deleted while it was recorded: the broadcast goes on in another one.
        if self.open.as_ref().is_some_and(|open| open.handle.is_closed()) {
            self.open = None;
        }
    }

    async fn begin(&mut self, segment: &Segment) -> Option<Open> {
        let line_up = self.line_up.as_ref()?;
        let handle = self.archive.begin(&self.channel, segment.start, self.target_duration).await?;
        let line_ups = handle.line_ups() + 1;
        handle.line_up(line_up.first.max(segment.number), &line_up.init, line_up.tracks.clone()).ok()?;
        tracing::info!(channel = %self.channel, asset = %handle.asset(), "recording");
        let (pictures, put) = Pictures::begin(self.archive.store().clone(), handle.asset().clone());
        self.archive.run(put);
        for (kind, time, data) in self.early.drain(..) {
            give(&pictures, kind, time, data);
        }
        let (started, first) = (segment.start, segment.number);
        Some(Open { handle, pictures, started, first, line_ups, full_at: None })
    }
}

fn give(pictures: &Pictures, kind: PictureKind, time: UtcTime, data: Bytes) {
    match kind {
        PictureKind::Tile => pictures.tile(time, data),
        PictureKind::Poster => pictures.poster(data),
    }
}
