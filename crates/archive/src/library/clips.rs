//! Clips by channel and time: which recording holds the time, also one in progress.

use std::collections::HashSet;
use std::sync::PoisonError;

use millstream_media::time::UtcTime;

use super::{Inner, Library, LibraryError, of};
use crate::asset::{Asset, AssetId, State};
use crate::store::StoreError;
use crate::{catalog, clip};

/// Recordings of a channel that are looked at for one that holds a time, the newest first from the wanted end on.
const LOOKS: usize = 16;
/// So many nanoseconds of another recording at its start or end are left out of a clip without a word.
const JOINT_NANOS: i64 = 500_000_000;
/// Attempts to find a free name.
const NAMES: u32 = 8;

/// Of what a clip is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClipOf {
    /// The recording of this channel that holds the time.
    Channel(String),
    /// This asset.
    Asset(AssetId),
}

/// A clip to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClip {
    /// Of what.
    pub of: ClipOf,
    /// Media time; the segment that holds it is the first one.
    pub start: UtcTime,
    /// Media time; the segment before it is the last one.
    pub end: UtcTime,
    /// For people.
    pub title: String,
    /// Cut at the nearest frames rather than at segments.
    pub precise: bool,
    /// Its name; the same request under the same name again gives the same clip. Made up if it is not given.
    pub id: Option<AssetId>,
}

/// A name is free again when this is dropped.
struct Making<'a> {
    inner: &'a Inner,
    id: AssetId,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.inner.lock_making().remove(&self.id);
    }
}

impl Inner {
    fn lock_making(&self) -> std::sync::MutexGuard<'_, HashSet<AssetId>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Library {
    /// Makes a clip. It plays when this returns. What was not recorded yet is not in it.
    ///
    /// # Errors
    /// See [`LibraryError`].
    pub async fn clip(&self, wanted: NewClip) -> Result<Asset, LibraryError> {
        let source = match &wanted.of {
            ClipOf::Asset(id) => self.asset(id).await?,
            ClipOf::Channel(channel) => self.holding(channel, wanted.start, wanted.end).await?,
        };
        if source.state == State::Deleting {
            return Err(LibraryError::Deleting(source.id));
        }
        let precise = match &self.recoder {
            _ if !wanted.precise => None,
            None => return Err(clip::ClipError::Unable("this server has no encode worker".to_owned()).into()),
            recoder => recoder.clone(),
        };
        let mut attempts = 1..NAMES;
        loop {
            let id = match &wanted.id {
                Some(id) => id.clone(),
                None => name(&source, wanted.start).ok_or_else(|| LibraryError::NotFound(source.id.clone()))?,
            };
            if !self.inner.lock_making().insert(id.clone()) {
                return Err(LibraryError::Busy(id));
            }
            let making = Making { inner: &self.inner, id: id.clone() };
            let request = clip::Request {
                id,
                of: source.id.clone(),
                start: wanted.start,
                end: wanted.end,
                title: wanted.title.clone(),
                precise: precise.clone(),
                newer: self.inner.running.get(&source.id),
            };
            let made = clip::create(&self.inner.shift, self.store(), request).await;
            drop(making);
            match made {
                Err(clip::ClipError::Exists(_)) if wanted.id.is_none() && attempts.next().is_some() => {}
                Err(clip::ClipError::Store(error)) => return Err(of(&source.id, error)),
                made => return Ok(made?),
            }
        }
    }

    /// The recording of a channel that holds [`start`, `end`). Time that no recording has may be at either end.
    async fn holding(&self, channel: &str, start: UtcTime, end: UtcTime) -> Result<Asset, LibraryError> {
        let mut ids = catalog::load(self.store(), channel).await.map_err(LibraryError::Store)?.assets;
        let here = self.inner.running.assets().into_iter().filter(|a| a.channel.as_deref() == Some(channel));
        ids.extend(here.map(|a| a.id));
        // A recording's name tells its start: by name they are in order of time.
        ids.sort_unstable();
        ids.dedup();
        let newest = ids.last().cloned();
        let late = AssetId::of_recording(channel, end).map(|id| format!("{id}~"));
        ids.retain(|id| late.as_ref().is_none_or(|late| id.as_str() <= late.as_str()));
        let now = self.store().clock().utc();
        let mut holding: Option<Held> = None;
        for id in ids.iter().rev().take(LOOKS) {
            let asset = match self.asset(id).await {
                Ok(asset) => asset,
                Err(LibraryError::NotFound(_) | LibraryError::Store(StoreError::Corrupt { .. })) => continue,
                Err(error) => return Err(error),
            };
            let Some(from) = asset.start.filter(|_| asset.state != State::Deleting) else { continue };
            // The document of a recording of another node is older than its segments.
            let is_elsewhere = asset.state == State::Recording && self.inner.running.asset(id).is_none();
            let until = if is_elsewhere && holding.is_none() { now } else { asset.end.unwrap_or(from) };
            if until > start && from < end {
                let held = Held { asset, from, until };
                match holding.take() {
                    Some(later) => match held.with(later, start, end) {
                        Ok(held) => holding = Some(held),
                        Err(error) => return Err(*error),
                    },
                    None => holding = Some(held),
                }
            }
            if from <= start {
                break;
            }
        }
        if let Some(held) = holding {
            return Ok(held.asset);
        }
        let newest = match newest {
            Some(id) => self.asset(&id).await.ok(),
            None => None,
        };
        let newest = newest.map(|a| match a.start.zip(a.end) {
            Some((start, end)) => format!("{} from {start} to {end}", a.id),
            None => a.id.to_string(),
        });
        Err(LibraryError::NotRecorded { channel: channel.to_owned(), start, end, newest })
    }
}

/// A recording that holds a part of what is wanted.
struct Held {
    asset: Asset,
    from: UtcTime,
    until: UtcTime,
}

impl Held {
    /// The one of two that holds [`start`, `end`), where only one does.
    fn with(self, later: Held, start: UtcTime, end: UtcTime) -> Result<Held, Box<LibraryError>> {
        // One that follows another may begin a little before the other's end.
        let early = self.until.min(later.from).nanos_since(start.max(self.from));
        let late = later.until.min(end).nanos_since(later.from.max(self.until));
        if early > JOINT_NANOS && late > JOINT_NANOS {
            let (first, second) = ((self.asset.id, self.until), (later.asset.id, later.from));
            return Err(Box::new(LibraryError::TwoRecordings { start, end, first, second }));
        }
        Ok(if early > late { self } else { later })
    }
}

/// `CHANNEL-clip-YYYYMMDD-HHMMSS-XXXXXX`, by the clip's start and at random; without a channel the asset's own name
/// stands first.
fn name(source: &Asset, start: UtcTime) -> Option<AssetId> {
    let stem: String = source.channel.as_deref().unwrap_or(source.id.as_str()).chars().take(64).collect();
    let timed = AssetId::of_recording(&format!("{stem}-clip"), start)?;
    AssetId::new(&format!("{timed}-{:06x}", rand::random::<u32>() & 0xff_ffff))
}
