//! What the edge keeps: in memory, and media also on disk.

use std::os::unix::fs::DirBuilderExt as _;

use foyer::{
    BlockEngineConfig, DeviceBuilder as _, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy,
    HybridCacheProperties, Location, LruConfig,
};

use crate::config::Config;
use crate::error::Error;
use crate::object::Object;

/// Objects up to this size are kept on disk; a block of the disk cache holds at least one.
const BLOCK_BYTES: usize = 16 << 20;

/// Kept objects by key.
pub struct Cache {
    kept: HybridCache<String, Object>,
    on_disk: bool,
}

impl Cache {
    /// Opens it.
    ///
    /// # Errors
    /// If the disk cannot be used.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let wrong = |why: String| Error::Disk { path: config.disk_path.clone(), why };
        let on_disk = config.disk_bytes > 0;
        let builder = HybridCacheBuilder::new()
            .with_name("edge")
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .memory(config.memory_bytes)
            .with_shards(8)
            // Live media is wanted while it is new: how often it was wanted before says nothing.
            .with_eviction_config(LruConfig::default())
            .with_weighter(|key: &String, object: &Object| key.len() + object.weight())
            .storage();
        let builder = if on_disk {
            let capacity = config.disk_bytes.max(4 * BLOCK_BYTES);
            // Media that needs a signature lies here, too.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.disk_path);
            made.map_err(|error| wrong(error.to_string()))?;
            let device = FsDeviceBuilder::new(&config.disk_path).with_capacity(capacity).build();
            let device = device.map_err(|error| wrong(error.to_string()))?;
            builder.with_engine_config(BlockEngineConfig::new(device).with_block_size(BLOCK_BYTES))
        } else {
            builder
        };
        let kept = builder.build().await.map_err(|error| wrong(error.to_string()))?;
        Ok(Cache { kept, on_disk })
    }

    /// A kept object, if it is in memory.
    pub fn get(&self, key: &str) -> Option<Object> {
        self.kept.memory().get(key).map(|entry| entry.value().clone())
    }

    /// A kept object, from the disk if need be.
    pub async fn load(&self, key: &String) -> Option<Object> {
        if !self.on_disk {
            return None;
        }
        match self.kept.get(key).await {
            Ok(entry) => entry.map(|entry| entry.value().clone()),
            Err(error) => {
                tracing::debug!(%error, "an object cannot be read from the disk cache");
                None
            }
        }
    }

    /// Keeps an object; on disk, too, if `durable`.
    pub fn keep(&self, key: String, object: Object, durable: bool) {
        let small = object.weight() < BLOCK_BYTES / 2;
        let location = if durable && small && self.on_disk { Location::Default } else { Location::InMem };
        self.kept.insert_with_properties(key, object, HybridCacheProperties::default().with_location(location));
    }

    /// Bytes and number of objects in memory.
    pub fn usage(&self) -> (usize, usize) {
        (self.kept.memory().usage(), self.kept.memory().entries())
    }

    /// Writes out what is to be on disk.
    pub async fn close(&self) {
        if let Err(error) = self.kept.close().await {
            tracing::warn!(%error, "the disk cache was not closed in order");
        }
    }
}
