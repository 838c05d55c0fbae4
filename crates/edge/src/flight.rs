//! An object on its way here: a growing list of bytes that any number of viewers read while it grows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use millstream_delivery::body::{Body, BrokenOff};
use tokio::sync::watch;

use crate::freshness::Freshness;
use crate::object::Object;

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
}

/// One object on its way. Who fetches it writes; who waits for it reads.
#[derive(Debug)]
pub struct Flight {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Default for Flight {
    fn default() -> Self {
        Flight {
            state: Mutex::new(State { progress: Progress::Waiting, pieces: Vec::new() }),
            changed: watch::Sender::new(()),
        }
    }
}

impl Flight {
    /// The head is here, and is shown before the bytes are whole.
    pub fn begin(&self, kept: HeaderMap, freshness: Freshness) {
        self.lock().progress = Progress::Arriving { kept: Arc::new(kept), freshness };
        self.changed.send_replace(());
    }

    /// Bytes came.
    pub fn push(&self, piece: Bytes) {
        self.lock().pieces.push(piece);
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

    /// A body of what is here and what still comes.
    pub fn body(self: &Arc<Self>) -> Body {
        let reader = Reader { changed: self.changed.subscribe(), flight: Arc::clone(self), next: 0, over: false };
        Body::unfinished([], Box::pin(futures::stream::unfold(reader, Reader::next)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    flight: Arc<Flight>,
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
                let state = self.flight.lock();
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
