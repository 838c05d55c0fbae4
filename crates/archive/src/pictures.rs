//! The task that puts an asset's pictures: its storyboard, sheet by sheet, and its poster.
//!
//! Pictures are no media: what the store does not take in time is given up, oldest first, and nothing else is late for it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_media::storyboard::{SHEET_TILES, Storyboard, sheet_at, sheet_of, tile_at};
use millstream_media::time::UtcTime;
use object_store::path::Path;
use tokio::sync::mpsc;

use crate::asset::AssetId;
use crate::layout;
use crate::store::{Store, StoreError};

/// Pictures handed over that the task has not taken.
const QUEUE: usize = 64;
/// Objects that wait for the store, about 6 MB. The oldest is given up, unless the source can wait.
const MOST_WAITING: usize = 64;
/// Posters of an asset: broadcasts often begin with black, so the first ones are replaced.
const POSTERS: u32 = 4;
/// Wait before an attempt that follows a failure, and how many of these there are once nothing more comes.
const RETRY: Duration = Duration::from_secs(5);
const LAST_ATTEMPTS: u32 = 6;

#[derive(Debug)]
enum Message {
    Tile(UtcTime, Bytes),
    Poster(Bytes),
}

/// The end where pictures are given. When it is dropped, what is there is put, and the task ends.
#[derive(Clone, Debug)]
pub struct Pictures(mpsc::Sender<Message>);

impl Pictures {
    /// Pictures of `asset`, and the task that puts them. What the store does not take in time is given up.
    pub fn begin(store: Store, asset: AssetId) -> (Pictures, impl Future<Output = ()> + Send + 'static) {
        Self::with(store, asset, false)
    }

    /// As [`Pictures::begin`], for a source that can wait: while the store takes nothing, [`Pictures::put_tile`] and
    /// [`Pictures::put_poster`] wait.
    pub fn begin_patient(store: Store, asset: AssetId) -> (Pictures, impl Future<Output = ()> + Send + 'static) {
        Self::with(store, asset, true)
    }

    fn with(store: Store, asset: AssetId, patient: bool) -> (Pictures, impl Future<Output = ()> + Send + 'static) {
        let (sender, inbox) = mpsc::channel(QUEUE);
        let board = Storyboard::new(2 * SHEET_TILES as usize);
        let task = Task { store, asset, patient, board, sheet: None, posters: 0, waiting: VecDeque::new() };
        (Pictures(sender), task.run(inbox))
    }

    /// A tile of the storyboard; given up if the task is behind.
    pub fn tile(&self, time: UtcTime, picture: Bytes) {
        let _ = self.0.try_send(Message::Tile(time, picture));
    }

    /// A poster; the first ones are taken.
    pub fn poster(&self, picture: Bytes) {
        let _ = self.0.try_send(Message::Poster(picture));
    }

    /// As [`Pictures::tile`], but waits for room.
    pub async fn put_tile(&self, time: UtcTime, picture: Bytes) {
        let _ = self.0.send(Message::Tile(time, picture)).await;
    }

    /// As [`Pictures::poster`], but waits for room.
    pub async fn put_poster(&self, picture: Bytes) {
        let _ = self.0.send(Message::Poster(picture)).await;
    }
}

struct Task {
    store: Store,
    asset: AssetId,
    /// Nothing more is taken while as much waits as may.
    patient: bool,
    board: Storyboard,
    /// The sheet of the newest tile.
    sheet: Option<i64>,
    posters: u32,
    waiting: VecDeque<(Path, Bytes)>,
}

type Putting = BoxFuture<'static, Option<(Path, Bytes)>>;

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut has_failed = false;
        // A put goes on while pictures come: they may come faster than the store answers.
        let mut putting: Option<Putting> = None;
        loop {
            if putting.is_none() {
                putting = self.waiting.front().cloned().map(|next| put(self.store.clone(), next, has_failed));
            }
            let has_room = !self.patient || self.waiting.len() < MOST_WAITING;
            tokio::select! {
                message = inbox.recv(), if has_room => match message {
                    Some(message) => self.take(message).await,
                    None => break,
                },
                stored = finished(&mut putting) => has_failed = !self.stored(stored),
            }
        }
        self.end_sheet();
        let mut failures = 0;
        while let Some(next) = self.waiting.front().cloned() {
            let stored = match putting.take() {
                Some(putting) => putting.await,
                None => put(self.store.clone(), next, has_failed).await,
            };
            has_failed = !self.stored(stored);
            failures += u32::from(has_failed);
            if failures > LAST_ATTEMPTS {
                tracing::warn!(asset = %self.asset, pictures = self.waiting.len(), "thumbnails could not be put");
                return;
            }
        }
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Tile(time, picture) => {
                let sheet = sheet_at(time);
                if self.sheet.is_some_and(|before| before != sheet) {
                    self.end_sheet();
                }
                let is_first = self.sheet.is_none();
                self.sheet = Some(sheet);
                self.board.push(time, picture);
                if is_first && tile_at(time) > sheet.saturating_mul(SHEET_TILES) {
                    self.go_on_with(sheet).await;
                }
            }
            Message::Poster(picture) if self.posters < POSTERS => {
                self.posters += 1;
                self.wait(layout::file(&self.asset, layout::POSTER), picture);
            }
            Message::Poster(_) => {}
        }
    }

    /// Begins in the middle of a sheet: its first tiles may be in the store, put by who was there before.
    async fn go_on_with(&mut self, sheet: i64) {
        match self.store.get(&layout::sheet(&self.asset, sheet)).await {
            Ok((stored, _)) => self.board.restore(sheet, &stored),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => tracing::debug!(asset = %self.asset, %error, "a sheet cannot be gone on with"),
        }
    }

    fn end_sheet(&mut self) {
        let Some(number) = self.sheet else { return };
        if let Some(sheet) = self.board.sheet(number) {
            self.wait(layout::sheet(&self.asset, number), sheet);
        }
        let next = self.board.span().map_or(number, |span| sheet_of(*span.end()));
        self.board.forget_before(next.max(number.saturating_add(1)));
    }

    fn wait(&mut self, path: Path, bytes: Bytes) {
        self.waiting.retain(|(p, _)| *p != path);
        self.waiting.push_back((path, bytes));
        if self.waiting.len() > MOST_WAITING {
            self.waiting.pop_front();
        }
    }

    /// Whether it was stored; then it waits no longer, unless there is a newer one.
    fn stored(&mut self, stored: Option<(Path, Bytes)>) -> bool {
        let Some(stored) = stored else { return false };
        self.waiting.retain(|waiting| *waiting != stored);
        true
    }
}

/// Waits for a put, and for ever without one.
async fn finished(putting: &mut Option<Putting>) -> Option<(Path, Bytes)> {
    let Some(running) = putting else { return std::future::pending().await };
    let stored = running.await;
    *putting = None;
    stored
}

/// Puts an object and gives it back; `None` if that failed.
fn put(store: Store, (path, bytes): (Path, Bytes), after_failure: bool) -> Putting {
    Box::pin(async move {
        if after_failure {
            tokio::time::sleep(RETRY).await;
        }
        match store.put(&path, bytes.clone().into()).await {
            Ok(_) => Some((path, bytes)),
            Err(error) => {
                tracing::debug!(%path, %error, "a thumbnail could not be put");
                None
            }
        }
    })
}
