//! A clip's poster: the tile of its recording's storyboard that is nearest to its start.
//!
//! The sheet of the newest minute is not in the store yet; then the tile before stands in, and where there is none the
//! recording's own poster.

use bytes::Bytes;
use millstream_media::storyboard::{SHEET_TILES, sheet_at, tile_at, tiles_of};
use millstream_media::time::UtcTime;

use crate::asset::AssetId;
use crate::layout;
use crate::store::{Store, StoreError};

/// Puts the poster of `clip`, which begins at `start` of `of`. A clip plays without one: a failure is only noted.
pub(super) async fn put(store: &Store, of: &AssetId, clip: &AssetId, start: UtcTime) {
    let made = async {
        match find(store, of, start).await? {
            Some(picture) => store.put(&layout::file(clip, layout::POSTER), picture.into()).await.map(|_| ()),
            None => Ok(()),
        }
    };
    if let Err(error) = made.await {
        tracing::debug!(asset = %clip, %error, "a clip has no poster");
    }
}

async fn find(store: &Store, of: &AssetId, start: UtcTime) -> Result<Option<Bytes>, StoreError> {
    let sheet = sheet_at(start);
    let place = usize::try_from(tile_at(start).rem_euclid(SHEET_TILES)).unwrap_or(0);
    for (sheet, place) in [(sheet, place), (sheet.saturating_sub(1), SHEET_TILES as usize - 1)] {
        if let Some(picture) = read(store, &layout::sheet(of, sheet)).await?
            && let Some(tile) = tiles_of(&picture).and_then(|mut tiles| tiles.drain(..).nth(place))
        {
            return Ok(Some(tile));
        }
    }
    read(store, &layout::file(of, layout::POSTER)).await
}

async fn read(store: &Store, path: &object_store::path::Path) -> Result<Option<Bytes>, StoreError> {
    match store.get(path).await {
        Ok((bytes, _)) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
