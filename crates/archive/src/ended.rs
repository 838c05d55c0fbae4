//! Channels that are gone: their newest recording, for whoever still asks for their live URLs.
//!
//! Cost: the names of all catalogs are listed at most once in ten seconds, however many requests for unknown channels come;
//! a catalog and its newest assets are read only for a name that has one, and again at most once in ten seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millstream_media::time::MonoTime;
use object_store::path::Path;
use tokio::sync::Mutex;

use crate::asset::{AssetId, State};
use crate::store::{Store, StoreError};
use crate::{catalog, documents, layout};

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(10);
/// Most catalogs whose names are kept; channels beyond are not known here.
const MAX_NAMES: usize = 20_000;
/// Most answers that are kept.
const MAX_ANSWERS: usize = 1024;
/// Assets of a catalog that are looked at, the newest first, for one that plays.
const LOOKS: usize = 4;

/// Knows which channels have a recording. Clones share what they know.
#[derive(Clone)]
pub struct EndedChannels {
    store: Store,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    listed: Option<MonoTime>,
    names: BTreeSet<String>,
    newest: BTreeMap<String, (Option<AssetId>, MonoTime)>,
}

impl EndedChannels {
    /// Reads from `store`.
    pub fn new(store: Store) -> Self {
        EndedChannels { store, known: Arc::default() }
    }

    /// The newest recording of `channel` that plays, as it was at most ten seconds ago; `None` if it has none, or the store
    /// does not answer.
    pub async fn newest(&self, channel: &str) -> Option<AssetId> {
        let mut known = self.known.lock().await;
        let now = self.store.clock().mono();
        if known.listed.is_none_or(|at| now.since(at) >= FRESH) {
            // Also if it fails: a store that is away is not asked by each request.
            known.listed = Some(now);
            match self.store.list(&Path::from(layout::CATALOGS)).await {
                Ok(listed) => {
                    let name = |path: &Path| Some(path.filename()?.strip_suffix(".json")?.to_owned());
                    known.names = listed.iter().filter_map(|l| name(&l.path)).take(MAX_NAMES).collect();
                }
                Err(error) => tracing::warn!(%error, "the channels that have recordings cannot be listed"),
            }
        }
        if !known.names.contains(channel) {
            return None;
        }
        if let Some((asset, at)) = known.newest.get(channel)
            && now.since(*at) < FRESH
        {
            return asset.clone();
        }
        let newest = self.read(channel).await.unwrap_or_else(|error| {
            tracing::warn!(channel, %error, "the newest recording of a channel that is gone cannot be read");
            None
        });
        if known.newest.len() >= MAX_ANSWERS {
            known.newest.retain(|_, (_, at)| now.since(*at) < FRESH);
        }
        if known.newest.len() < MAX_ANSWERS {
            known.newest.insert(channel.to_owned(), (newest.clone(), now));
        }
        newest
    }

    async fn read(&self, channel: &str) -> Result<Option<AssetId>, StoreError> {
        for id in catalog::load(&self.store, channel).await?.assets.into_iter().rev().take(LOOKS) {
            match documents::asset(&self.store, &id).await {
                Ok((asset, _)) if asset.state != State::Deleting && asset.start.is_some() => return Ok(Some(id)),
                Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use millstream_media::time::{Clock, UtcTime};
    use object_store::memory::InMemory;

    use super::*;
    use crate::asset::Asset;

    #[derive(Default)]
    struct Hand(AtomicU64);
    impl Clock for Hand {
        fn utc(&self) -> UtcTime {
            UtcTime::EPOCH
        }
        fn mono(&self) -> MonoTime {
            MonoTime(Duration::from_secs(self.0.load(Relaxed)))
        }
    }

    #[tokio::test]
    async fn the_newest_recording_that_plays_is_known_and_the_store_is_asked_seldom() {
        let clock = Arc::new(Hand::default());
        let store = Store::new(Arc::new(InMemory::new()), Path::default(), "memory://", false, clock.clone());
        for (id, state) in [("old", State::Ended), ("new", State::Ended), ("newest", State::Deleting)] {
            let id = AssetId::new(id).unwrap();
            catalog::note(&store, "demo", &id).await.unwrap();
            let asset = Asset { state, start: Some(UtcTime::EPOCH), ..Asset::recording(id, "demo", UtcTime::EPOCH, 2) };
            documents::create_asset(&store, &asset).await.unwrap();
        }
        let ended = EndedChannels::new(store.clone());
        assert_eq!(ended.newest("demo").await, AssetId::new("new"));
        assert_eq!(ended.newest("other").await, None);
        // What comes and goes is noticed ten seconds later, not by each request.
        catalog::note(&store, "other", &AssetId::new("old").unwrap()).await.unwrap();
        documents::change_asset(&store, &AssetId::new("new").unwrap(), |a| {
            a.state = State::Deleting;
            true
        })
        .await
        .unwrap();
        assert_eq!((ended.newest("demo").await, ended.newest("other").await), (AssetId::new("new"), None));
        clock.0.store(10, Relaxed);
        let old = AssetId::new("old");
        assert_eq!((ended.newest("demo").await, ended.newest("other").await), (old.clone(), old));
    }
}
