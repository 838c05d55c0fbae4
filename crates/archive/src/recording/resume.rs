//! Where a recording was left: what the stored index, the store's names and the spool say.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use millstream_media::cmaf::read;
use millstream_media::track::RenditionName;

use crate::asset::{Asset, State};
use crate::index::Row;
use crate::recorder::{Found, Recorder};
use crate::spool::{Entry, Spool};
use crate::store::{Store, StoreError};
use crate::{documents, layout, segment_facts};

use super::Options;

/// What the spool still has for the store.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub inits: Vec<(RenditionName, String, Bytes)>,
    /// With whether it follows a jump, and its length.
    pub segments: Vec<(RenditionName, u64, bool, u64)>,
}

/// The core as it was left; a new one if nothing was.
pub(super) async fn resume(
    store: &Store,
    options: &Options,
    new: Asset,
) -> Result<(Recorder, Option<Spool>, Left), StoreError> {
    let spool = options.spool.as_ref().map(|folder| Spool::new(folder, &new.id));
    let stored = match documents::asset(store, &new.id).await {
        Ok((asset, _)) => Some(asset),
        Err(StoreError::NotFound { .. }) => None,
        Err(e) => return Err(e),
    };
    let local = spool.as_ref().and_then(Spool::document);
    let local: Option<Asset> = local.and_then(|text| serde_json::from_slice(&text).ok());
    let mut asset = match (stored, local) {
        (Some(stored), _) if stored.state != State::Recording => {
            return Err(StoreError::Exists { path: layout::file(&new.id, layout::ASSET).to_string() });
        }
        // The local document is written first, so it is never older.
        (Some(stored), Some(local)) => Asset { title: stored.title, ..local },
        (Some(asset), None) | (None, Some(asset)) => asset,
        (None, None) => return Ok((Recorder::new(options.settings, new), spool, Left::default())),
    };
    asset.state = State::Recording;
    let rows = stored_rows(store, &asset).await?;
    let after = rows.iter().map(|r| r.number).max();
    let (stored_inits, mut found) = in_store(store, &asset, after).await?;
    let left = match &spool {
        Some(spool) => in_spool(spool, &asset, &stored_inits, &mut found).await,
        None => Left::default(),
    };
    let core = Recorder::resume(options.settings, asset, rows, found, stored_inits);
    Ok((core, spool, left))
}

async fn stored_rows(store: &Store, asset: &Asset) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for number in documents::pages(store, &asset.id).await? {
        match documents::page(store, &asset.id, number).await {
            Ok((page, _)) => rows.extend(page.rows),
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(asset = %asset.id, %error, "an index page is damaged; its rows are left out");
            }
            Err(e) => return Err(e),
        }
    }
    Ok(rows)
}

/// Init segments in the store, and segments that the index does not know yet.
async fn in_store(
    store: &Store,
    asset: &Asset,
    after: Option<u64>,
) -> Result<(BTreeSet<(RenditionName, String)>, Vec<Found>), StoreError> {
    let mut inits = BTreeSet::new();
    let mut orphans = Vec::new();
    for object in store.list(&layout::folder(&asset.id)).await? {
        let mut parts = object.path.parts().skip(2);
        let (Some(folder), Some(file), None) = (parts.next(), parts.next(), parts.next()) else { continue };
        let Some(rendition) = RenditionName::new(folder.as_ref()) else { continue };
        if let Some(version) = file.as_ref().strip_prefix("init-").and_then(|f| f.strip_suffix(".mp4")) {
            inits.insert((rendition, version.to_owned()));
        } else if let Some(number) = layout::segment_number(file.as_ref())
            && after.is_none_or(|a| number > a)
        {
            orphans.push((rendition, number));
        }
    }
    let mut read = HashMap::new();
    let mut found = Vec::new();
    for (rendition, number) in orphans {
        let Some(line_up) = asset.line_up(number) else { continue };
        let key = (rendition.clone(), line_up.init.clone());
        if !inits.contains(&key) {
            continue;
        }
        if !read.contains_key(&key) {
            let (bytes, _) = store.get(&layout::init(&asset.id, &rendition, &line_up.init)).await?;
            read.insert(key.clone(), read::init(&bytes).ok());
        }
        let Some(Some(init)) = read.get(&key) else { continue };
        let (bytes, _) = store.get(&layout::segment(&asset.id, &rendition, number)).await?;
        if let Some(cell) = segment_facts::cell(init, &bytes) {
            found.push(Found { rendition, number, cell, discontinuity: false, in_store: true });
        }
    }
    Ok((inits, found))
}

async fn in_spool(
    spool: &Spool,
    asset: &Asset,
    stored_inits: &BTreeSet<(RenditionName, String)>,
    found: &mut Vec<Found>,
) -> Left {
    let (spool, asset, stored_inits) = (spool.clone(), asset.clone(), stored_inits.clone());
    let read = tokio::task::spawn_blocking(move || read_spool(&spool, &asset, &stored_inits)).await;
    let Ok((left, spooled)) = read else { return Left::default() };
    for mut segment in spooled {
        // The spool knows of the jump, which the bytes in the store do not.
        let twin = found.iter_mut().find(|f| f.number == segment.number && f.rendition == segment.rendition);
        if let Some(stored) = twin {
            stored.discontinuity |= segment.discontinuity;
            segment.discontinuity = stored.discontinuity;
        }
        found.push(segment);
    }
    left
}

fn read_spool(spool: &Spool, asset: &Asset, stored_inits: &BTreeSet<(RenditionName, String)>) -> (Left, Vec<Found>) {
    let mut left = Left::default();
    let mut found = Vec::new();
    let entries = spool.scan();
    let mut inits = HashMap::new();
    for entry in &entries {
        let Entry::Init { rendition, version } = entry else { continue };
        let Ok(bytes) = spool.init(rendition, version) else { continue };
        let Ok(init) = read::init(&bytes) else { continue };
        let key = (rendition.clone(), version.clone());
        if !stored_inits.contains(&key) {
            left.inits.push((rendition.clone(), version.clone(), bytes));
        }
        inits.insert(key, init);
    }
    for entry in entries {
        let Entry::Segment { rendition, number, jump, bytes } = entry else { continue };
        let init = asset.line_up(number).and_then(|l| inits.get(&(rendition.clone(), l.init.clone())));
        let cell = init.and_then(|i| segment_facts::cell(i, &spool.segment(&rendition, number, jump).ok()?));
        let Some(cell) = cell else {
            tracing::error!(asset = %asset.id, %rendition, number, "a spooled segment is damaged; it is left out");
            spool.forget(&rendition, number);
            continue;
        };
        left.segments.push((rendition.clone(), number, jump, bytes));
        found.push(Found { rendition, number, cell, discontinuity: jump, in_store: false });
    }
    (left, found)
}
