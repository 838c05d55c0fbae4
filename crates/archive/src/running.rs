//! The recordings that run in this process: what each knows that the stored index does not say yet. By this a clip may
//! reach up to the newest stored segment, and lists show a recording as it is now.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::asset::{Asset, AssetId, State};
use crate::index::Row;
use crate::recorder::Recorder;

/// Rows that are remembered for each recording. The stored index is ten seconds behind, and what has been read of it
/// two more; this is a quarter of an hour of 2 s segments.
const ROWS: usize = 450;

/// The recordings of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Running {
    tails: Arc<Mutex<HashMap<AssetId, Tail>>>,
}

/// The newest part of a recording.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The asset as its recorder knows it; the stored document may be older.
    pub asset: Asset,
    /// Its newest rows, oldest first; all of them are in the store. At most 450.
    pub rows: VecDeque<Row>,
}

impl Running {
    /// Notes what a recorder knows now.
    pub(crate) fn note(&self, core: &Recorder) {
        let (asset, rows) = (core.asset(), core.index().rows());
        // It has ended when its playlists say so, too: whoever learns of the end finds all of it.
        let ending;
        let asset = if asset.state == State::Ended && !core.is_done() {
            ending = Asset { state: State::Recording, ..asset.clone() };
            &ending
        } else {
            asset
        };
        let mut tails = self.lock();
        let Some(tail) = tails.get_mut(&asset.id) else {
            let newest = rows.get(rows.len().saturating_sub(ROWS)..).unwrap_or_default();
            tails.insert(asset.id.clone(), Tail { asset: asset.clone(), rows: newest.iter().cloned().collect() });
            return;
        };
        if tail.asset != *asset {
            tail.asset = asset.clone();
        }
        let known = tail.rows.back().map(|r| r.number);
        let new = rows.iter().rev().take_while(|r| known.is_none_or(|k| r.number > k)).take(ROWS).count();
        tail.rows.extend(rows.iter().skip(rows.len() - new).cloned());
        let surplus = tail.rows.len().saturating_sub(ROWS);
        tail.rows.drain(..surplus);
    }

    /// The recording's task is gone.
    pub(crate) fn remove(&self, id: &AssetId) {
        self.lock().remove(id);
    }

    /// What is known of a recording that runs here.
    pub fn get(&self, id: &AssetId) -> Option<Tail> {
        self.lock().get(id).cloned()
    }

    /// Its document as it is now.
    pub fn asset(&self, id: &AssetId) -> Option<Asset> {
        self.lock().get(id).map(|t| t.asset.clone())
    }

    /// The documents of all recordings that run here, in no order.
    pub fn assets(&self) -> Vec<Asset> {
        self.lock().values().map(|t| t.asset.clone()).collect()
    }

    /// The document as new as it is known: what is recorded from here, what others may change (the title, the deletion)
    /// from the store. `None` if it is in neither.
    pub fn overlay(&self, id: &AssetId, stored: Option<Asset>) -> Option<Asset> {
        match (stored, self.asset(id)) {
            (Some(stored), Some(running)) => Some(running.with_changes_of(&stored)),
            (stored, running) => stored.or(running),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AssetId, Tail>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
