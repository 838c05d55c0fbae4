//! Lists of assets, newest first and page by page, and what they fill.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use futures::StreamExt;
use millstream_media::time::{MonoTime, UtcTime};

use super::{FRESH, FRESH_WHILE_RECORDED, Library, LibraryError, MAX_KNOWN, READS};
use crate::asset::{Asset, AssetId, Kind, State};
use crate::documents;
use crate::store::StoreError;

/// An asset in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its name.
    pub id: AssetId,
    /// What it is.
    pub kind: Kind,
    /// How far it is.
    pub state: State,
    /// The channel it was recorded from.
    pub channel: Option<String>,
    /// For people.
    pub title: String,
    /// When it was begun.
    pub created: UtcTime,
    /// Start of its media.
    pub start: Option<UtcTime>,
    /// End of its media.
    pub end: Option<UtcTime>,
    /// Its own media, in bytes; 0 for a clip.
    pub bytes: u64,
    /// Segments that were lost.
    pub lost_segments: u64,
}

impl From<&Asset> for Summary {
    fn from(asset: &Asset) -> Self {
        let named = asset.losses.iter().map(|l| l.last.saturating_sub(l.first).saturating_add(1));
        Summary {
            id: asset.id.clone(),
            kind: asset.kind.clone(),
            state: asset.state,
            channel: asset.channel.clone(),
            title: asset.title.clone(),
            created: asset.created,
            start: asset.start,
            end: asset.end,
            bytes: asset.bytes,
            lost_segments: named.fold(asset.losses_not_named, u64::saturating_add),
        }
    }
}

/// A kind without what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindName {
    /// Recorded from a channel.
    Recording,
    /// Imported from a file.
    Import,
    /// A part of another asset.
    Clip,
}

impl From<&Kind> for KindName {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Recording => KindName::Recording,
            Kind::Import => KindName::Import,
            Kind::Clip { .. } => KindName::Clip,
        }
    }
}

/// Which assets are wanted; `None` for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this channel.
    pub channel: Option<String>,
    /// Of this kind.
    pub kind: Option<KindName>,
    /// In this state.
    pub state: Option<State>,
}

impl Filter {
    fn takes(&self, asset: &Summary) -> bool {
        self.channel.as_ref().is_none_or(|c| asset.channel.as_ref() == Some(c))
            && self.kind.is_none_or(|k| KindName::from(&asset.kind) == k)
            && self.state.is_none_or(|s| asset.state == s)
    }
}

/// Where the next page of a list begins: after this asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    created: UtcTime,
    id: AssetId,
}

impl Cursor {
    fn of(asset: &Summary) -> Self {
        Cursor { created: asset.created, id: asset.id.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created.0, self.id)
    }
}

impl FromStr for Cursor {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (created, id) = text.split_once('.').ok_or(())?;
        Ok(Cursor { created: UtcTime(created.parse().map_err(|_| ())?), id: AssetId::new(id).ok_or(())? })
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The newest first.
    pub assets: Vec<Summary>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Cursor>,
}

/// What assets fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Media in the store, in bytes.
    pub bytes: u64,
    /// That of `bytes` which belongs to assets that are being deleted.
    pub deleting_bytes: u64,
    /// Recordings and imports, without those that are being deleted.
    pub assets: u64,
    /// Clips: they fill nothing of their own.
    pub clips: u64,
}

impl Share {
    fn add(&mut self, asset: &Summary) {
        self.bytes = self.bytes.saturating_add(asset.bytes);
        match (asset.state, &asset.kind) {
            (State::Deleting, _) => self.deleting_bytes = self.deleting_bytes.saturating_add(asset.bytes),
            (_, Kind::Clip { .. }) => self.clips += 1,
            _ => self.assets += 1,
        }
    }
}

/// What all assets fill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All together.
    pub total: Share,
    /// By channel; `None` for what belongs to no channel.
    pub channels: BTreeMap<Option<String>, Share>,
}

impl Usage {
    /// That of some channels; `None` stands for what belongs to no channel.
    #[must_use]
    pub fn of(mut self, channels: impl Fn(Option<&str>) -> bool) -> Self {
        self.channels.retain(|channel, _| channels(channel.as_deref()));
        self.total = Share::default();
        for share in self.channels.values() {
            self.total.bytes = self.total.bytes.saturating_add(share.bytes);
            self.total.deleting_bytes = self.total.deleting_bytes.saturating_add(share.deleting_bytes);
            self.total.assets += share.assets;
            self.total.clips += share.clips;
        }
        self
    }
}

impl Library {
    /// At most `limit` assets, the newest first, those after `after`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, LibraryError> {
        self.list_of(|_| true, filter, after, limit).await
    }

    /// The same of some channels; `None` stands for assets of no channel.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list_of(
        &self,
        channels: impl Fn(Option<&str>) -> bool,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, LibraryError> {
        let mut assets = self.summaries().await.map_err(LibraryError::Store)?;
        assets.retain(|a| {
            filter.takes(a) && channels(a.channel.as_deref()) && after.is_none_or(|after| Cursor::of(a) < *after)
        });
        assets.sort_by_cached_key(|a| std::cmp::Reverse(Cursor::of(a)));
        let has_more = assets.len() > limit;
        assets.truncate(limit);
        let next = if has_more { assets.last().map(Cursor::of) } else { None };
        Ok(Page { assets, next })
    }

    /// What the assets fill.
    ///
    /// # Errors
    /// The store failed.
    pub async fn usage(&self) -> Result<Usage, LibraryError> {
        let mut usage = Usage::default();
        for asset in self.summaries().await.map_err(LibraryError::Store)? {
            usage.total.add(&asset);
            usage.channels.entry(asset.channel.clone()).or_default().add(&asset);
        }
        Ok(usage)
    }

    /// Every asset, in no order. Documents that cannot be read are passed over with a word in the log.
    async fn summaries(&self) -> Result<Vec<Summary>, StoreError> {
        let now = self.store().clock().mono();
        let mut ids: HashSet<AssetId> = documents::assets(self.store()).await?.into_iter().collect();
        self.known().retain(|id, _| ids.contains(id));
        // One that has just begun may have nothing in the store yet.
        ids.extend(self.inner.running.assets().into_iter().map(|a| a.id));
        let reads = ids.into_iter().map(|id| self.summary(id, now));
        let read: Vec<_> = futures::stream::iter(reads).buffer_unordered(READS).collect().await;
        let mut summaries = Vec::with_capacity(read.len());
        for summary in read {
            summaries.extend(summary?);
        }
        Ok(summaries)
    }

    async fn summary(&self, id: AssetId, now: MonoTime) -> Result<Option<Summary>, StoreError> {
        let is_fresh = |(asset, read): &&(Summary, MonoTime)| {
            let fresh = if asset.state == State::Recording { FRESH_WHILE_RECORDED } else { FRESH };
            now.since(*read) < fresh
        };
        let known = self.known().get(&id).filter(is_fresh).map(|(asset, _)| asset.clone());
        let stored = match known {
            Some(known) => Some(known),
            None => match documents::asset(self.store(), &id).await {
                Ok((asset, _)) => {
                    let summary = Summary::from(&asset);
                    let mut known = self.known();
                    if known.len() < MAX_KNOWN || known.contains_key(&id) {
                        known.insert(id.clone(), (summary.clone(), now));
                    }
                    Some(summary)
                }
                Err(StoreError::NotFound { .. }) => None,
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::warn!(asset = %id, %error, "an asset is left out of the list");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            },
        };
        let tail = self.inner.running.asset(&id).map(|asset| Summary::from(&asset));
        Ok(match (stored, tail) {
            (Some(stored), Some(tail)) => {
                let state = if stored.state == State::Deleting { State::Deleting } else { tail.state };
                Some(Summary { title: stored.title, state, ..tail })
            }
            (stored, tail) => stored.or(tail),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_its_text() {
        let text = "1795386300000000000.demo-20261122-222500";
        assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        for text in ["", "1", "x.demo", "1.DEMO", "1.", "99999999999999999999.demo"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
