//! Writing a publication: who names others comes after them.

use std::collections::HashMap;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use object_store::PutPayload;

use crate::asset::{Asset, AssetId, State};
use crate::recorder::{File, Publication};
use crate::store::{Store, StoreError, Version};
use crate::{documents, layout};

/// Playlists written at once.
const PUTS: usize = 8;

/// How a publication went.
pub(super) struct Published {
    pub publication: Publication,
    /// Versions of the pages that were written.
    pub pages: HashMap<i64, Version>,
    /// The document as it is stored.
    pub result: Result<Option<Asset>, StoreError>,
}

/// Waits for a publication, and not at all without one.
pub(super) async fn finished(publication: &mut Option<BoxFuture<'static, Published>>) -> Published {
    match publication {
        Some(publication) => publication.await,
        None => std::future::pending().await,
    }
}

pub(super) async fn publish(
    store: Store,
    asset: AssetId,
    publication: Publication,
    mut pages: HashMap<i64, Version>,
) -> Published {
    let result = write(&store, &asset, &publication, &mut pages).await;
    Published { publication, pages, result }
}

async fn write(
    store: &Store,
    asset: &AssetId,
    publication: &Publication,
    pages: &mut HashMap<i64, Version>,
) -> Result<Option<Asset>, StoreError> {
    // Who deletes it marks the stored document, on whatever node.
    let stored = match documents::asset(store, asset).await {
        Ok((stored, _)) => Some(stored),
        Err(StoreError::NotFound { .. }) => None,
        Err(e) => return Err(e),
    };
    if stored.as_ref().is_some_and(|a| a.state == State::Deleting) {
        return Ok(stored);
    }
    for (number, page) in &publication.pages {
        let known = pages.remove(number);
        let version = documents::save_page(store, asset, *number, page.clone(), known).await?;
        // Only the newest page is written again.
        pages.clear();
        pages.insert(*number, version);
    }
    put_files(store, asset, &publication.files).await?;
    match &publication.asset {
        Some(document) => documents::save_recording(store, document).await.map(Some),
        None => Ok(stored),
    }
}

/// Writes playlists and the MPD, those of renditions at once: who names others comes after them.
pub(crate) async fn put_files(store: &Store, asset: &AssetId, files: &[File]) -> Result<(), StoreError> {
    let (renditions, others): (Vec<&File>, Vec<&File>) = files.iter().partition(|f| f.rendition.is_some());
    let puts: Vec<_> = renditions.into_iter().map(|file| put_file(store, asset, file)).collect();
    futures::stream::iter(puts).buffer_unordered(PUTS).try_collect::<Vec<()>>().await?;
    for file in others {
        put_file(store, asset, file).await?;
    }
    Ok(())
}

async fn put_file(store: &Store, asset: &AssetId, file: &File) -> Result<(), StoreError> {
    let path = match &file.rendition {
        Some(rendition) => layout::rendition_file(asset, rendition, file.name),
        None => layout::file(asset, file.name),
    };
    store.put(&path, PutPayload::from(file.text.clone().into_bytes())).await.map(|_| ())
}
