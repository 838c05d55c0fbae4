//! The channel's end of a recording: what is finished is handed over through a bounded queue.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use millstream_media::segment::Chunk;
use millstream_media::track::RenditionName;
use tokio::sync::mpsc;

use crate::asset::{AssetId, TrackInfo};
use crate::index::Cell;

/// Most segments that are remembered as not taken: the task is stuck for hours by then.
const MAX_MISSED: usize = 65_536;

/// What a channel hands over.
#[derive(Debug)]
pub(super) enum Input {
    LineUp { first: u64, init: String, tracks: Vec<(TrackInfo, Bytes)> },
    Segment { rendition: RenditionName, number: u64, cell: Cell, discontinuity: bool, chunks: Vec<Bytes> },
    Leave,
}

/// The channel's end of a recording. Nothing here waits. When it is dropped, the recording ends.
#[derive(Clone, Debug)]
pub struct Handle {
    inputs: mpsc::Sender<Input>,
    missed: Missed,
    asset: AssetId,
    line_ups: usize,
}

/// Segments that could not be handed over.
pub(super) type Missed = Arc<Mutex<Vec<(RenditionName, u64)>>>;

/// The recording takes nothing now: its queue is full, or it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording takes no more: its queue is full, or it has ended")]
pub struct NotTaken;

impl Handle {
    /// The channel's end of a queue of this length, and the task's.
    pub(super) fn new(asset: AssetId, line_ups: usize, queue: usize) -> (Handle, mpsc::Receiver<Input>, Missed) {
        let (inputs, taken) = mpsc::channel(queue.max(1));
        let missed = Missed::default();
        (Handle { inputs, missed: missed.clone(), asset, line_ups }, taken, missed)
    }

    /// The asset that is recorded.
    pub const fn asset(&self) -> &AssetId {
        &self.asset
    }

    /// Sets of tracks that it had when it was opened.
    pub const fn line_ups(&self) -> usize {
        self.line_ups
    }

    /// Whether the recording has ended by itself, since its asset was deleted.
    pub fn is_closed(&self) -> bool {
        self.inputs.is_closed()
    }

    /// A set of tracks with their init segments is in force from segment `first` on. `init` names all of them
    /// (`Period::init_version`).
    ///
    /// # Errors
    /// The recording takes nothing now.
    pub fn line_up(&self, first: u64, init: &str, tracks: Vec<(TrackInfo, Bytes)>) -> Result<(), NotTaken> {
        self.inputs.try_send(Input::LineUp { first, init: init.to_owned(), tracks }).map_err(|_| NotTaken)
    }

    /// The server stops and the channel goes on later: what was handed over is put, and the recording stays open for
    /// [`super::Recording::open`].
    ///
    /// # Errors
    /// The recording takes nothing now; dropped with its runtime, it stays open all the same.
    pub fn leave(&self) -> Result<(), NotTaken> {
        self.inputs.try_send(Input::Leave).map_err(|_| NotTaken)
    }

    /// A segment is whole. Its bytes are shared, not copied.
    ///
    /// # Errors
    /// The recording takes nothing now: the segment is reported as lost.
    pub fn segment(
        &self,
        rendition: &RenditionName,
        number: u64,
        discontinuity: bool,
        chunks: &[Chunk],
    ) -> Result<(), NotTaken> {
        let input = segment(rendition, number, discontinuity, chunks);
        self.inputs.try_send(input).map_err(|_| {
            let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
            if missed.len() < MAX_MISSED {
                missed.push((rendition.clone(), number));
            }
            NotTaken
        })
    }

    /// As [`Handle::line_up`], but waits for room.
    ///
    /// # Errors
    /// The recording has ended.
    pub async fn put_line_up(&self, first: u64, init: &str, tracks: Vec<(TrackInfo, Bytes)>) -> Result<(), NotTaken> {
        self.inputs.send(Input::LineUp { first, init: init.to_owned(), tracks }).await.map_err(|_| NotTaken)
    }

    /// As [`Handle::leave`], but waits for room.
    ///
    /// # Errors
    /// The recording has ended.
    pub async fn put_leave(&self) -> Result<(), NotTaken> {
        self.inputs.send(Input::Leave).await.map_err(|_| NotTaken)
    }

    /// As [`Handle::segment`], but waits for room.
    ///
    /// # Errors
    /// The recording has ended.
    pub async fn put_segment(
        &self,
        rendition: &RenditionName,
        number: u64,
        discontinuity: bool,
        chunks: &[Chunk],
    ) -> Result<(), NotTaken> {
        self.inputs.send(segment(rendition, number, discontinuity, chunks)).await.map_err(|_| NotTaken)
    }
}

/// A segment to be handed over. Its bytes are shared.
fn segment(rendition: &RenditionName, number: u64, discontinuity: bool, chunks: &[Chunk]) -> Input {
    let sum = |f: fn(&Chunk) -> u64| chunks.iter().map(f).sum::<u64>();
    let cell = Cell {
        start: chunks.first().map_or(0, |c| c.start),
        duration: u32::try_from(sum(|c| c.duration)).unwrap_or(u32::MAX),
        bytes: u32::try_from(sum(|c| c.bytes.len() as u64)).unwrap_or(u32::MAX),
        head: chunks.first().map_or(0, |c| c.first_sample_end),
    };
    let chunks = chunks.iter().map(|c| c.bytes.clone()).collect();
    Input::Segment { rendition: rendition.clone(), number, cell, discontinuity, chunks }
}
