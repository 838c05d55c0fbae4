//! Who waits for which part: blocked playlist reloads and requests for parts that were hinted at.
//!
//! Waiters for one and the same thing share a gate: a new part looks at a handful of gates, opens those that are due, and
//! wakes each waiter once, when its time has come. What may be waited for lies within two segments of the newest one, so
//! the gates are few whatever the number of waiters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_media::track::RenditionName;
use millstream_window::Progress;
use tokio::sync::Notify;

/// Requests of one channel that may wait at once; further ones are answered 503.
pub const MAX_WAITING: usize = 32_768;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Want {
    /// Number of the segment.
    pub msn: u64,
    /// Of the part; the whole segment without.
    pub part: Option<u32>,
    /// Whether a later part does not do: its bytes are wanted, and once its segment is over without it, it never comes.
    pub exactly: bool,
}

impl Want {
    /// Whether the wait is over when a list is so far.
    pub fn is_over(&self, progress: &Progress) -> bool {
        progress.ended || progress.has(self.msn, self.part) || (self.exactly && self.msn < progress.next)
    }
}

/// Opens once, for all who wait.
#[derive(Default)]
struct Gate {
    is_open: AtomicBool,
    opened: Notify,
}

impl Gate {
    fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        self.opened.notify_waiters();
    }

    async fn passed(&self) {
        let opened = self.opened.notified();
        if !self.is_open.load(Ordering::Acquire) {
            opened.await;
        }
    }
}

type Gates = HashMap<RenditionName, HashMap<Want, Arc<Gate>>>;

/// The gates of one channel.
#[derive(Default)]
pub struct Waits {
    gates: Mutex<Gates>,
    waiting: AtomicUsize,
}

impl Waits {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// A place among those who wait for this. `None` if there are [`MAX_WAITING`]. It must be taken while the window is
    /// locked, and opened by [`Waits::open`] after every change of the window.
    pub fn join(self: &Arc<Self>, rendition: &RenditionName, want: Want) -> Option<Place> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = Arc::clone(gates.entry(rendition.clone()).or_default().entry(want).or_default());
        Some(Place { waits: Arc::clone(self), gate })
    }

    /// Opens the gates of what is there now; `progress` says how far a rendition's list is. All gates of a rendition
    /// without a list open, too.
    pub fn open(&self, progress: impl Fn(&RenditionName) -> Option<Progress>) {
        let mut opened = Vec::new();
        {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            gates.retain(|rendition, gates| {
                let progress = progress(rendition);
                gates.retain(|want, gate| {
                    let is_over = progress.as_ref().is_none_or(|progress| want.is_over(progress));
                    if is_over {
                        opened.push(Arc::clone(gate));
                    }
                    // Whoever waited for it may be gone: the gate is then known to this list only.
                    !is_over && Arc::strong_count(gate) > 1
                });
                !gates.is_empty()
            });
        }
        for gate in opened {
            gate.open();
        }
    }
}

/// One who waits. Dropping it frees the place.
pub struct Place {
    waits: Arc<Waits>,
    gate: Arc<Gate>,
}

impl Place {
    /// Returns when what is waited for is there, or will never be.
    pub async fn passed(&self) {
        self.gate.passed().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waits.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
