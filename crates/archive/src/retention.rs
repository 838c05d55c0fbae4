//! Retention: what is to be deleted, by age and by total size, and how a deletion goes so that neither a clip nor a
//! running download is hurt.
//!
//! The plan is pure. A deletion has two steps with a time between them: first the asset is marked and its manifests go,
//! so that nobody begins to read it; then, [`Policy::grace`] later, its media goes, but for rows that clips refer to.

use std::time::Duration;

use millstream_media::storyboard;
use millstream_media::time::UtcTime;

use crate::asset::{Asset, AssetId, Kind, State};
use crate::clip::{self, Reference};
use crate::documents;
use crate::layout;
use crate::store::{Store, StoreError};

/// How long recordings are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Recordings that ended so long ago go; `None` for never.
    pub age: Option<Duration>,
    /// The oldest go while a channel's recordings have more bytes than this; `None` for no limit.
    pub bytes: Option<u64>,
    /// Time between the mark and the deletion of media. Default 1 h: a download or a viewer that has begun may finish.
    pub grace: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { age: None, bytes: None, grace: Duration::from_secs(3600) }
    }
}

/// What is to be done with an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Mark it: [`mark`].
    Mark(AssetId),
    /// Its grace is over: [`sweep`].
    Sweep(AssetId),
}

/// What to do with the assets of one channel under its policy. Recordings that go on, clips and imports are never
/// marked; those
/// that are marked already count as gone.
pub fn plan_at(assets: &[Asset], policy: &Policy, now: UtcTime) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let mut ended: Vec<&Asset> = Vec::new();
    let mut bytes = 0_u64;
    for asset in assets {
        match (asset.state, &asset.kind) {
            (State::Deleting, _) => {
                if asset.deleting_since.is_none_or(|since| now.since(since) >= policy.grace) {
                    decisions.push(Decision::Sweep(asset.id.clone()));
                }
            }
            // Imports stay until somebody deletes them: they are no by-product of a channel.
            (_, Kind::Clip { .. } | Kind::Import) => {}
            (State::Recording, _) => bytes = bytes.saturating_add(asset.bytes),
            (State::Ended, _) => {
                bytes = bytes.saturating_add(asset.bytes);
                ended.push(asset);
            }
        }
    }
    let end = |a: &Asset| a.end.unwrap_or(a.created);
    ended.sort_by_key(|a| (end(a), a.id.clone()));
    for asset in ended {
        let is_old = policy.age.is_some_and(|age| now.since(end(asset)) > age);
        let is_too_much = policy.bytes.is_some_and(|most| bytes > most);
        if is_old || is_too_much {
            bytes = bytes.saturating_sub(asset.bytes);
            decisions.push(Decision::Mark(asset.id.clone()));
        }
    }
    decisions
}

/// Whether a clip needs this row.
pub fn is_referenced(number: u64, references: &[Reference]) -> bool {
    references.iter().any(|r| (r.first..=r.last).contains(&number))
}

/// The first step: nobody can begin to read the asset, or make a clip of it. A clip is deleted at once. Returns the
/// document as it was marked.
///
/// # Errors
/// The store failed; the same call again goes on.
pub async fn mark(store: &Store, id: &AssetId) -> Result<Asset, StoreError> {
    let now = store.clock().utc();
    let asset = documents::change_asset(store, id, |asset| {
        let changes = asset.state != State::Deleting;
        asset.state = State::Deleting;
        asset.deleting_since = asset.deleting_since.or(Some(now));
        changes
    })
    .await?;
    if matches!(asset.kind, Kind::Clip { .. }) {
        clip::delete(store, &asset).await?;
    } else {
        withdraw(store, id).await?;
    }
    Ok(asset)
}

/// Takes an asset's manifests away, so that nobody begins to play it.
pub(crate) async fn withdraw(store: &Store, id: &AssetId) -> Result<(), StoreError> {
    for name in [layout::MULTIVARIANT, layout::MPD] {
        store.delete(&layout::file(id, name)).await?;
    }
    Ok(())
}

/// What a sweep left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Nothing.
    Gone,
    /// Segments that clips refer to, and what they need; a later sweep deletes them.
    Referenced {
        /// Objects that are left.
        objects: u64,
    },
}

/// The second step: deletes the media of a marked asset that no clip refers to, and the asset itself if nothing is left.
///
/// # Errors
/// The store failed; the same call again goes on.
pub async fn sweep(store: &Store, id: &AssetId) -> Result<Swept, StoreError> {
    match documents::asset(store, id).await {
        Ok((asset, _)) if asset.state != State::Deleting => {
            let reason = "it is not marked for deletion".to_owned();
            return Err(StoreError::Corrupt { path: layout::file(id, layout::ASSET).to_string(), reason });
        }
        Ok(_) => {}
        Err(StoreError::NotFound { .. }) => return Ok(Swept::Gone),
        Err(e) => return Err(e),
    }
    let references = clip::references(store, id).await?;
    let document = layout::file(id, layout::ASSET);
    let folder = layout::folder(id);
    let mut left = 0;
    for object in store.list(&folder).await? {
        let within: Vec<_> = object.path.parts().skip(folder.parts().count()).collect();
        let file = object.path.filename().unwrap_or_default();
        let is_needed = !references.is_empty()
            && match (within.first().map(AsRef::as_ref), layout::segment_number(file)) {
                (_, Some(number)) => is_referenced(number, &references),
                // Index pages and references; a clip of it is found by them.
                (Some(layout::INDEX | layout::REFERENCES), _) => true,
                // The storyboard is small: all of it stays for its clips.
                _ => file.starts_with("init-") || storyboard::sheet_number(file).is_some(),
            };
        if is_needed {
            left += 1;
        } else if object.path != document {
            store.delete(&object.path).await?;
        }
    }
    if left > 0 {
        return Ok(Swept::Referenced { objects: left });
    }
    store.delete(&document).await?;
    Ok(Swept::Gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn asset(name: &str, ended_hour: u64, bytes: u64, state: State) -> Asset {
        let mut asset = Asset::recording(AssetId::new(name).unwrap(), "demo", UtcTime::EPOCH, 2);
        asset.end = Some(UtcTime::EPOCH + HOUR * u32::try_from(ended_hour).unwrap());
        (asset.bytes, asset.state) = (bytes, state);
        asset
    }

    fn names(decisions: &[Decision]) -> Vec<String> {
        decisions
            .iter()
            .map(|d| match d {
                Decision::Mark(a) => format!("mark {a}"),
                Decision::Sweep(a) => format!("sweep {a}"),
            })
            .collect()
    }

    #[test]
    fn the_oldest_go_by_age_and_by_size() {
        let assets = [
            asset("b", 20, 50, State::Ended),
            asset("a", 10, 50, State::Ended),
            asset("c", 30, 50, State::Ended),
            asset("now", 40, 50, State::Recording),
        ];
        let now = UtcTime::EPOCH + HOUR * 40;
        let plan = |policy: Policy| names(&plan_at(&assets, &policy, now));
        assert!(plan(Policy::default()).is_empty());
        assert_eq!(plan(Policy { age: Some(HOUR * 25), ..Policy::default() }), ["mark a"]);
        assert_eq!(plan(Policy { bytes: Some(120), ..Policy::default() }), ["mark a", "mark b"]);
        // What is still recorded stays, even if it alone is too much.
        assert_eq!(plan(Policy { bytes: Some(1), ..Policy::default() }), ["mark a", "mark b", "mark c"]);
    }

    #[test]
    fn media_goes_after_the_grace_and_clips_stay() {
        let mut deleting = asset("a", 10, 50, State::Deleting);
        deleting.deleting_since = Some(UtcTime::EPOCH + HOUR * 20);
        let mut cut = asset("clip", 1, 0, State::Ended);
        cut.kind = Kind::Clip { of: deleting.id.clone(), first: 1, last: 2 };
        let assets = [deleting, cut];
        let policy = Policy { age: Some(HOUR), bytes: Some(0), grace: HOUR };
        assert!(plan_at(&assets, &policy, UtcTime::EPOCH + HOUR * 20).is_empty());
        assert_eq!(names(&plan_at(&assets, &policy, UtcTime::EPOCH + HOUR * 21)), ["sweep a"]);
    }
}
