//! Segments of a time range, from the stored index: what live rewind and clips read.
//!
//! Memory: at most [`Config::pages`] pages of ten minutes, whatever the depth.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_media::time::{MonoTime, UtcTime};

use crate::asset::{Asset, AssetId, State};
use crate::documents;
use crate::index::{Page, Row, line_up};
use crate::layout::{PAGE_SECONDS, page_of};
use crate::store::{Store, StoreError};

/// A store that was away for longer than this, while viewers rewound into that time, may hide rows until a restart.
const SETTLED_AFTER: Duration = Duration::from_secs(3600);

/// Bounds of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most index pages in memory; one has about 60 kB with five renditions. Default 64.
    pub pages: usize,
    /// Most documents of assets in memory. Default 64.
    pub assets: usize,
    /// How long a page to which rows may still be added is used without asking the store. Default 2 s.
    pub fresh: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { pages: 64, assets: 64, fresh: Duration::from_secs(2) }
    }
}

/// The rows of one page that lie in a range, in order.
#[derive(Clone, Debug)]
pub struct Part {
    /// The asset, for its line-ups.
    pub asset: Arc<Asset>,
    /// The page.
    page: Arc<Page>,
    range: std::ops::Range<usize>,
}

impl Part {
    /// The rows.
    pub fn rows(&self) -> &[Row] {
        self.page.rows.get(self.range.clone()).unwrap_or_default()
    }
}

/// Reads index pages with a bounded cache, shared by all who rewind.
#[derive(Debug)]
pub struct TimeShift {
    store: Store,
    config: Config,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// With pages that are known to be absent.
    pages: HashMap<(AssetId, i64), Cached<Option<Arc<Page>>>>,
    assets: HashMap<AssetId, Cached<Arc<Asset>>>,
    uses: u64,
}

#[derive(Debug)]
struct Cached<T> {
    value: T,
    read: MonoTime,
    used: u64,
    /// It was read when the asset had ended.
    is_final: bool,
}

impl TimeShift {
    /// With an empty cache.
    pub fn new(store: Store, config: Config) -> Self {
        TimeShift { store, config, cache: Mutex::default() }
    }

    /// The asset's document, at most [`Config::fresh`] old while it may change.
    ///
    /// # Errors
    /// It is not there, or the store failed.
    pub async fn asset(&self, id: &AssetId) -> Result<Arc<Asset>, StoreError> {
        let now = self.store.clock().mono();
        let fresh = |c: &Cached<Arc<Asset>>| now.since(c.read) < self.config.fresh;
        if let Some(asset) = self.with(|cache| cache.used_asset(id, fresh)) {
            return Ok(asset);
        }
        let (asset, _) = documents::asset(&self.store, id).await?;
        let value = Arc::new(asset);
        let read = value.clone();
        self.with(|cache| {
            let used = cache.tick();
            cache.assets.insert(id.clone(), Cached { value: read, read: now, used, is_final: false });
            evict(&mut cache.assets, self.config.assets);
        });
        Ok(value)
    }

    /// The rows that hold media of [`start`, `end`), page by page: `next` is [`start`] first, then what the last answer
    /// said. `None` as next means that it was the last page.
    ///
    /// # Errors
    /// The asset is not there, or the store failed.
    pub async fn part(
        &self,
        id: &AssetId,
        next: i64,
        start: UtcTime,
        end: UtcTime,
    ) -> Result<(Option<Part>, Option<i64>), StoreError> {
        let asset = self.asset(id).await?;
        // A clip reads the pages of the asset it was cut from.
        let of = match &asset.kind {
            crate::asset::Kind::Clip { of, .. } => of.clone(),
            _ => id.clone(),
        };
        let last = page_of(UtcTime(end.0.saturating_sub(1)));
        let following = next.saturating_add(PAGE_SECONDS);
        let following = (following <= last).then_some(following);
        let is_final = asset.state != State::Recording;
        let Some(page) = self.page(&of, next, is_final).await? else { return Ok((None, following)) };
        let lies = |row: &Row| {
            let line_up = line_up(row.number, &asset.line_ups)?;
            Some((row.start(line_up)?, row.end(line_up)?))
        };
        let before = |row: &Row| lies(row).is_none_or(|(_, e)| e <= start);
        let until = |row: &Row| lies(row).is_none_or(|(s, _)| s < end);
        let (from, to) = (page.rows.partition_point(before), page.rows.partition_point(until));
        Ok(((from < to).then_some(Part { asset, page, range: from..to }), following))
    }

    /// All rows that hold media of [`start`, `end`). For ranges that are short, or where everything is wanted anyway.
    ///
    /// # Errors
    /// The asset is not there, or the store failed.
    pub async fn rows(&self, id: &AssetId, start: UtcTime, end: UtcTime) -> Result<Vec<Row>, StoreError> {
        let asset = self.asset(id).await?;
        // Only where the asset is: a range from the epoch on must not read a million absent pages.
        let (Some(first), state) = (asset.start, asset.state) else { return Ok(Vec::new()) };
        let end = match (state, asset.end) {
            (State::Recording, _) | (_, None) => end.min(self.store.clock().utc() + Duration::from_secs(60)),
            (_, Some(last)) => end.min(last),
        };
        let start = start.max(first);
        let mut rows = Vec::new();
        // A row that began on the page before may reach into the range.
        let mut next = (start < end).then(|| page_of(start) - PAGE_SECONDS);
        while let Some(number) = next {
            let (part, following) = self.part(id, number, start, end).await?;
            rows.extend(part.iter().flat_map(|p| p.rows().iter().cloned()));
            next = following;
        }
        asset.lay_cut(&mut rows);
        Ok(rows)
    }

    /// Pages in the cache.
    pub fn cached_pages(&self) -> usize {
        self.with(|cache| cache.pages.len())
    }

    async fn page(&self, id: &AssetId, number: i64, is_final: bool) -> Result<Option<Arc<Page>>, StoreError> {
        let now = self.store.clock().mono();
        let key = (id.clone(), number);
        // A page whose time is long over gets no rows any more, but one that is absent may only be late.
        let over = UtcTime::from_millis(number.saturating_add(PAGE_SECONDS).saturating_mul(1000)) + SETTLED_AFTER;
        let is_over = self.store.clock().utc() > over;
        let fresh = |c: &Cached<Option<Arc<Page>>>| {
            c.is_final || (is_over && c.value.is_some()) || now.since(c.read) < self.config.fresh
        };
        let statistics = self.store.statistics();
        if let Some(page) = self.with(|cache| cache.used_page(&key, fresh)) {
            statistics.page_hits.fetch_add(1, Relaxed);
            return Ok(page);
        }
        statistics.page_misses.fetch_add(1, Relaxed);
        let page = match documents::page(&self.store, id, number).await {
            Ok((page, _)) => Some(Arc::new(page)),
            Err(StoreError::NotFound { .. }) => None,
            Err(e) => return Err(e),
        };
        let kept = page.clone();
        self.with(|cache| {
            let used = cache.tick();
            cache.pages.insert(key, Cached { value: kept, read: now, used, is_final });
            evict(&mut cache.pages, self.config.pages);
        });
        Ok(page)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> T {
        f(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cache {
    fn tick(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn used_asset(&mut self, id: &AssetId, fresh: impl Fn(&Cached<Arc<Asset>>) -> bool) -> Option<Arc<Asset>> {
        let used = self.tick();
        let cached = self.assets.get_mut(id).filter(|c| fresh(c))?;
        cached.used = used;
        Some(cached.value.clone())
    }

    fn used_page(
        &mut self,
        key: &(AssetId, i64),
        fresh: impl Fn(&Cached<Option<Arc<Page>>>) -> bool,
    ) -> Option<Option<Arc<Page>>> {
        let used = self.tick();
        let cached = self.pages.get_mut(key).filter(|c| fresh(c))?;
        cached.used = used;
        Some(cached.value.clone())
    }
}

/// Lets the least recently used go.
fn evict<K: Clone + Eq + std::hash::Hash, T>(map: &mut HashMap<K, Cached<T>>, most: usize) {
    while map.len() > most.max(1) {
        let Some(oldest) = map.iter().min_by_key(|(_, c)| c.used).map(|(k, _)| k.clone()) else { break };
        map.remove(&oldest);
    }
}
