//! `recordings/CHANNEL.json`: which assets a channel has recorded. By it a restarted node, or another one, finds the
//! recording to go on with, and live rewind the assets that hold a time.

use std::time::Duration;

use millstream_media::time::UtcTime;
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, AssetId, MAX_LINE_UPS, State};
use crate::documents;
use crate::layout;
use crate::store::{Store, StoreError};

/// Version of the format of [`Catalog`].
const FORMAT: u32 = 1;
/// Most assets named; the oldest are left out, and are still found by [`documents::assets`].
pub const MAX_ASSETS: usize = 4096;
/// How often a change is repeated on what somebody else wrote meanwhile.
const ATTEMPTS: u32 = 8;

/// The recordings of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Version of this format.
    pub format: u32,
    /// Names, the newest last.
    pub assets: Vec<AssetId>,
}

/// When a session goes on in the asset of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// Most time from the start of an asset to the start of a session that still goes on in it: bounds the length of
    /// playlists and what a recording holds in memory. Default 24 h.
    pub longest: Duration,
    /// Most time without a recording, by the newest index page (to ten minutes). Default 6 h.
    pub pause: Duration,
}

impl Default for Continuation {
    fn default() -> Self {
        Continuation { longest: Duration::from_secs(24 * 3600), pause: Duration::from_secs(6 * 3600) }
    }
}

/// What to record into.
#[derive(Clone, Debug, PartialEq)]
pub struct Begin {
    /// The asset, new or to go on with: [`crate::Recording::open`] takes either.
    pub asset: Asset,
    /// A recording that was left and is not gone on with: open it, drop its handle and run it, so that it ends.
    pub abandoned: Option<Asset>,
}

/// Decides which asset a session records into that begins at `start` (media time), and notes a new one.
///
/// # Errors
/// The store failed; a caller that must not wait begins a new asset without it ([`crate::Recording::begin`]).
pub async fn begin(
    store: &Store,
    channel: &str,
    start: UtcTime,
    target_duration: u32,
    rule: &Continuation,
) -> Result<Begin, StoreError> {
    let newest = match load(store, channel).await?.assets.pop() {
        Some(id) => match documents::asset(store, &id).await {
            Ok((asset, _)) => Some(asset),
            Err(StoreError::NotFound { .. }) => None,
            Err(e) => return Err(e),
        },
        None => None,
    };
    let open = newest.filter(|a| a.state == State::Recording);
    let goes_on = match &open {
        Some(asset) => {
            let pages = documents::pages(store, &asset.id).await?;
            let last = pages.last().map_or(asset.created, |p| UtcTime::from_millis(p.saturating_mul(1000)));
            let page = Duration::from_secs(layout::PAGE_SECONDS.unsigned_abs());
            asset.target_duration == target_duration
                && start.since(asset.start.unwrap_or(asset.created)) < rule.longest
                && asset.line_ups.len() < MAX_LINE_UPS
                && start.since(last + page) <= rule.pause
        }
        None => false,
    };
    match open {
        Some(asset) if goes_on => Ok(Begin { asset, abandoned: None }),
        abandoned => {
            let corrupt = || StoreError::Corrupt {
                path: layout::channel(channel).to_string(),
                reason: format!("the channel name {channel:?} makes no asset name"),
            };
            let id = AssetId::of_recording(channel, start).ok_or_else(corrupt)?;
            note(store, channel, &id).await?;
            let asset = Asset::recording(id, channel, store.clock().utc(), target_duration);
            Ok(Begin { asset, abandoned })
        }
    }
}

/// The recordings of a channel; none if it never recorded.
///
/// # Errors
/// The store failed.
pub async fn load(store: &Store, channel: &str) -> Result<Catalog, StoreError> {
    match documents::read(store, &layout::channel(channel)).await {
        Ok((catalog, _)) => Ok(catalog),
        Err(StoreError::NotFound { .. }) => Ok(Catalog { format: FORMAT, assets: Vec::new() }),
        Err(e) => Err(e),
    }
}

/// Notes a new recording. One that is noted already is no error.
///
/// # Errors
/// The store failed, or others change the document all the time.
pub async fn note(store: &Store, channel: &str, asset: &AssetId) -> Result<(), StoreError> {
    let path = layout::channel(channel);
    for _ in 0..ATTEMPTS {
        let (mut catalog, version) = match documents::read::<Catalog>(store, &path).await {
            Ok((catalog, version)) => (catalog, Some(version)),
            Err(StoreError::NotFound { .. }) => (Catalog { format: FORMAT, assets: Vec::new() }, None),
            Err(e) => return Err(e),
        };
        if catalog.assets.contains(asset) {
            return Ok(());
        }
        catalog.assets.push(asset.clone());
        let surplus = catalog.assets.len().saturating_sub(MAX_ASSETS);
        catalog.assets.drain(..surplus);
        let text = documents::text(&catalog)?;
        let written = match &version {
            Some(version) => store.update(&path, text, version).await,
            None => store.create(&path, text).await,
        };
        match written {
            Err(StoreError::Conflict { .. } | StoreError::Exists { .. }) => {}
            result => return result.map(|_| ()),
        }
    }
    Err(StoreError::Conflict { path: path.to_string() })
}
