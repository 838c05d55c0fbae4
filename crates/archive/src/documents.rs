//! `asset.json`, index pages and references, read and written with conditional puts.

use object_store::PutPayload;
use object_store::path::Path;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::asset::{Asset, AssetId, FORMAT};
use crate::index::Page;
use crate::layout;
use crate::store::{Store, StoreError, Version};

/// How often a change is repeated on what somebody else wrote meanwhile.
const ATTEMPTS: u32 = 8;

/// Reads an asset's document.
///
/// # Errors
/// It is not there, makes no sense, or the store failed.
pub async fn asset(store: &Store, id: &AssetId) -> Result<(Asset, Version), StoreError> {
    let path = layout::file(id, layout::ASSET);
    let (asset, version) = read::<Asset>(store, &path).await?;
    let reason = if asset.id != *id {
        format!("it describes asset {}", asset.id)
    } else if asset.format > FORMAT {
        format!("its format {} is of a later version", asset.format)
    } else {
        return Ok((asset, version));
    };
    Err(StoreError::Corrupt { path: path.to_string(), reason })
}

/// Writes a new asset's document.
///
/// # Errors
/// [`StoreError::Exists`], or the store failed.
pub async fn create_asset(store: &Store, asset: &Asset) -> Result<Version, StoreError> {
    store.create(&layout::file(&asset.id, layout::ASSET), text(asset)?).await
}

/// Changes an asset's document, on what is stored then. `change` returns whether to write.
///
/// # Errors
/// It is not there, others change it all the time, or the store failed.
pub async fn change_asset(
    store: &Store,
    id: &AssetId,
    mut change: impl FnMut(&mut Asset) -> bool,
) -> Result<Asset, StoreError> {
    let path = layout::file(id, layout::ASSET);
    for attempt in 1.. {
        let (mut stored, version) = asset(store, id).await?;
        if !change(&mut stored) {
            return Ok(stored);
        }
        match store.update(&path, text(&stored)?, &version).await {
            Ok(_) => return Ok(stored),
            Err(StoreError::Conflict { .. }) if attempt < ATTEMPTS => {}
            Err(e) => return Err(e),
        }
    }
    Err(StoreError::Conflict { path: path.to_string() })
}

/// Writes what a recording knows into its document, made if it is not there. What others may change (the title, the
/// deletion) stays as stored. Returns the stored document.
///
/// # Errors
/// The store failed.
pub async fn save_recording(store: &Store, recorded: &Asset) -> Result<Asset, StoreError> {
    match create_asset(store, recorded).await {
        Ok(_) => return Ok(recorded.clone()),
        Err(StoreError::Exists { .. }) => {}
        Err(e) => return Err(e),
    }
    change_asset(store, &recorded.id, |stored| {
        let wanted = recorded.with_changes_of(stored);
        let changed = *stored != wanted;
        *stored = wanted;
        changed
    })
    .await
}

/// Reads an index page.
///
/// # Errors
/// It is not there, makes no sense, or the store failed.
pub async fn page(store: &Store, asset: &AssetId, number: i64) -> Result<(Page, Version), StoreError> {
    let (mut page, version) = read::<Page>(store, &layout::page(asset, number)).await?;
    // What is read is kept for long, and grew while it was read.
    page.rows.iter_mut().for_each(|row| row.cells.shrink_to_fit());
    page.rows.shrink_to_fit();
    Ok((page, version))
}

/// Writes an index page: the rows of `page`, and those that another writer stored.
/// `known` is the version that was written last.
///
/// # Errors
/// The store failed, or others write all the time.
pub async fn save_page(
    store: &Store,
    asset: &AssetId,
    number: i64,
    page: Page,
    known: Option<Version>,
) -> Result<Version, StoreError> {
    let path = layout::page(asset, number);
    let (mut page, mut known) = (page, known);
    for _ in 0..ATTEMPTS {
        let written = match &known {
            Some(version) => store.update(&path, compact(&page)?, version).await,
            None => store.create(&path, compact(&page)?).await,
        };
        match written {
            Err(StoreError::Conflict { .. } | StoreError::Exists { .. }) => {
                match self::page(store, asset, number).await {
                    Ok((stored, version)) => {
                        page = stored.merge(page);
                        known = Some(version);
                    }
                    Err(StoreError::NotFound { .. }) => known = None,
                    // Half of a page is never there, but a damaged disk may have one: ours replaces it.
                    Err(StoreError::Corrupt { .. }) => return store.put(&path, compact(&page)?).await,
                    Err(e) => return Err(e),
                }
            }
            result => return result,
        }
    }
    Err(StoreError::Conflict { path: path.to_string() })
}

/// Numbers of an asset's index pages, ascending.
///
/// # Errors
/// The store failed.
pub async fn pages(store: &Store, asset: &AssetId) -> Result<Vec<i64>, StoreError> {
    let listed = store.list(&layout::folder(asset).join(layout::INDEX)).await?;
    let mut numbers: Vec<i64> = listed.iter().filter_map(|l| layout::page_number(l.path.filename()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Names of all assets. Folders that are no asset's are passed over.
///
/// # Errors
/// The store failed.
pub async fn assets(store: &Store) -> Result<Vec<AssetId>, StoreError> {
    let folders = store.folders(&Path::from(layout::ROOT)).await?;
    Ok(folders.iter().filter_map(|f| AssetId::new(f)).collect())
}

pub(crate) async fn read<T: DeserializeOwned>(store: &Store, path: &Path) -> Result<(T, Version), StoreError> {
    let (bytes, version) = store.get(path).await?;
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok((document, version)),
        Err(error) => Err(StoreError::Corrupt { path: path.to_string(), reason: error.to_string() }),
    }
}

pub(crate) fn text<T: Serialize>(document: &T) -> Result<PutPayload, StoreError> {
    serde_json::to_vec_pretty(document).map(PutPayload::from).map_err(not_json)
}

fn compact<T: Serialize>(document: &T) -> Result<PutPayload, StoreError> {
    serde_json::to_vec(document).map(PutPayload::from).map_err(not_json)
}

#[allow(clippy::needless_pass_by_value, reason = "the form of map_err")]
fn not_json(error: serde_json::Error) -> StoreError {
    StoreError::Corrupt { path: "a document of ours".to_owned(), reason: error.to_string() }
}
