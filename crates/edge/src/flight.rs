//! An object on its way here: a growing list of bytes that any number of viewers read while it grows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use millstream_delivery::body::{Body, BrokenOff};
use tokio::sync::{Notify, watch};

use crate::freshness::Freshness;
use crate::object::Object;

/// What nobody waits for any more is fetched to its end if no more than this is missing: the next viewer will want it.
const WORTH_ITS_END: u64 = 4 << 20;

/// What viewers of an object on its way may know.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Nothing yet.
    Waiting,
    /// Its head is here, and its bytes come in their own time.
    Arriving {
        /// The headers that go on to viewers.
        kept: Arc<HeaderMap>,
        /// Its age.
        freshness: Freshness,
    },
    /// All is here.
    Whole(Object),
    /// It broke off after its head had been shown.
    Broken,
}

#[derive(Debug)]
struct State {
    progress: Progress,
    pieces: Vec<Bytes>,
    /// Bytes that are still to come, if that is known.
    left: Option<u64>,
    /// Who waits for it, or reads it.
    viewers: usize,
}

/// One object on its way. Who fetches it writes; who waits for it reads.
#[derive(Debug)]
pub struct Flight {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    /// Whether its origin may hold it.
    is_held: bool,
    /// Its last viewer has left.
    deserted: Notify,
}

impl Flight {
    /// One that is asked for; `is_held` if its origin may hold it before it answers.
    pub fn new(is_held: bool) -> Self {
        Flight {
            state: Mutex::new(State { progress: Progress::Waiting, pieces: Vec::new(), left: None, viewers: 0 }),
            changed: watch::Sender::new(()),
            is_held,
            deserted: Notify::new(),
        }
    }

    /// The head is here, and is shown before the bytes are whole; there are `length` of them, if that is known.
    pub fn begin(&self, kept: HeaderMap, freshness: Freshness, length: Option<u64>) {
        let mut state = self.lock();
        state.progress = Progress::Arriving { kept: Arc::new(kept), freshness };
        state.left = length;
        let is_deserted = state.viewers == 0;
        drop(state);
        self.changed.send_replace(());
        if is_deserted {
            self.deserted.notify_one();
        }
    }

    /// Bytes came.
    pub fn push(&self, piece: Bytes) {
        let mut state = self.lock();
        state.left = state.left.map(|left| left.saturating_sub(piece.len() as u64));
        state.pieces.push(piece);
        drop(state);
        self.changed.send_replace(());
    }

    /// All is here. The pieces stay for those who are in the middle of them.
    pub fn finish(&self, object: Object) {
        self.lock().progress = Progress::Whole(object);
        self.changed.send_replace(());
    }

    /// It broke off.
    pub fn break_off(&self) {
        self.lock().progress = Progress::Broken;
        self.changed.send_replace(());
    }

    /// Whether its end is known, one way or the other.
    pub fn is_over(&self) -> bool {
        matches!(self.lock().progress, Progress::Whole(_) | Progress::Broken)
    }

    /// Waits until there is something to answer with. `whole` waits for the whole.
    ///
    /// The fetch bounds the wait: it ends each flight, whatever happens.
    pub async fn ready(&self, whole: bool) -> Progress {
        let mut changed = self.changed.subscribe();
        loop {
            let progress = self.lock().progress.clone();
            match progress {
                Progress::Waiting => {}
                Progress::Arriving { .. } if whole => {}
                _ => return progress,
            }
            // The sender is ours, so that it cannot be gone.
            let _ = changed.changed().await;
        }
    }

    /// One more viewer.
    pub fn board(self: &Arc<Self>) -> Viewer {
        self.lock().viewers += 1;
        Viewer { flight: Arc::clone(self) }
    }

    /// Returns when nobody waits for it any more, and what is left of it is not worth its end. It may be boarded again.
    pub async fn deserted(&self) {
        loop {
            self.deserted.notified().await;
            if self.is_deserted() {
                return;
            }
        }
    }

    /// Whether nobody waits for it, and what is left of it is not worth its end.
    pub fn is_deserted(&self) -> bool {
        let state = self.lock();
        let is_worth_it = match state.progress {
            Progress::Waiting => !self.is_held,
            Progress::Arriving { .. } => state.left.is_some_and(|left| left <= WORTH_ITS_END),
            Progress::Whole(_) | Progress::Broken => true,
        };
        state.viewers == 0 && !is_worth_it
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for an object on its way, or reads it.
#[derive(Debug)]
pub struct Viewer {
    flight: Arc<Flight>,
}

impl Viewer {
    /// What it is on.
    pub fn flight(&self) -> &Flight {
        &self.flight
    }

    /// A body of what is here and what still comes.
    pub fn body(self) -> Body {
        let reader = Reader { changed: self.flight.changed.subscribe(), viewer: self, next: 0, over: false };
        Body::unfinished([], Box::pin(futures::stream::unfold(reader, Reader::next)))
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut state = self.flight.lock();
        state.viewers = state.viewers.saturating_sub(1);
        if state.viewers == 0 {
            drop(state);
            self.flight.deserted.notify_one();
        }
    }
}

struct Reader {
    viewer: Viewer,
    changed: watch::Receiver<()>,
    next: usize,
    over: bool,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Bytes, BrokenOff>, Self)> {
        loop {
            if self.over {
                return None;
            }
            self.changed.mark_unchanged();
            let (piece, progress) = {
                let state = self.viewer.flight.lock();
                (state.pieces.get(self.next).cloned(), state.progress.clone())
            };
            if let Some(piece) = piece {
                self.next += 1;
                return Some((Ok(piece), self));
            }
            match progress {
                Progress::Whole(_) => return None,
                Progress::Broken => {
                    self.over = true;
                    return Some((Err(BrokenOff::Upstream), self));
                }
                Progress::Waiting | Progress::Arriving { .. } => {}
            }
            let _ = self.changed.changed().await;
        }
    }
}
