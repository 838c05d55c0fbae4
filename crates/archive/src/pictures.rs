//! The task that puts an asset's pictures: its storyboard, sheet by sheet, and its poster.
//!
//! Pictures are no media: what the store does not take in time is given up, oldest first, and nothing else is late for it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use millstream_media::storyboard::{SHEET_TILES, Storyboard, sheet_at, sheet_of};
use millstream_media::time::UtcTime;
use object_store::path::Path;
use tokio::sync::mpsc;

use crate::asset::AssetId;
use crate::layout;
use crate::store::Store;

/// Pictures handed over that the task has not taken.
const QUEUE: usize = 64;
/// Objects that wait for the store, about 6 MB.
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
    /// Pictures of `asset`, and the task that puts them.
    pub fn begin(store: Store, asset: AssetId) -> (Pictures, impl Future<Output = ()> + Send + 'static) {
        let (sender, inbox) = mpsc::channel(QUEUE);
        let board = Storyboard::new(2 * SHEET_TILES as usize);
        let task = Task { store, asset, board, sheet: None, posters: 0, waiting: VecDeque::new() };
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
}

struct Task {
    store: Store,
    asset: AssetId,
    board: Storyboard,
    /// The sheet of the newest tile.
    sheet: Option<i64>,
    posters: u32,
    waiting: VecDeque<(Path, Bytes)>,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut has_failed = false;
        loop {
            let next = self.waiting.front().cloned();
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
                stored = put(&self.store, next, has_failed) => has_failed = !self.stored(stored),
            }
        }
        self.end_sheet();
        let mut failures = 0;
        while let Some(next) = self.waiting.front().cloned() {
            let stored = put(&self.store, Some(next), has_failed).await;
            has_failed = !self.stored(stored);
            failures += u32::from(has_failed);
            if failures > LAST_ATTEMPTS {
                tracing::warn!(asset = %self.asset, pictures = self.waiting.len(), "thumbnails could not be put");
                return;
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Tile(time, picture) => {
                let sheet = sheet_at(time);
                if self.sheet.is_some_and(|before| before != sheet) {
                    self.end_sheet();
                }
                self.sheet = Some(sheet);
                self.board.push(time, picture);
            }
            Message::Poster(picture) if self.posters < POSTERS => {
                self.posters += 1;
                self.wait(layout::file(&self.asset, layout::POSTER), picture);
            }
            Message::Poster(_) => {}
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

/// Puts an object and gives it back; `None` if that failed. Without one it waits for ever.
async fn put(store: &Store, object: Option<(Path, Bytes)>, after_failure: bool) -> Option<(Path, Bytes)> {
    let Some((path, bytes)) = object else { return std::future::pending().await };
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
}
