//! The archive at the start: its store opened and tried, `/vod/` answered from it, old recordings deleted.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Request;
use millstream_archive::delivery::VodDelivery;
use millstream_archive::retention::Policy;
use millstream_archive::store::{Environment, Store};
use millstream_delivery::answer::{Answer, Delivery};
use millstream_media::time::Clock;
use millstream_origin::origin::Origin;
use tokio::sync::watch;

use crate::channel::archive::{Archive, SWEEP_EVERY};
use crate::config::{self, Config};

/// Folder in the data folder where finished segments wait for a store in the cloud.
const SPOOL: &str = "spool";

/// Opens the store of recordings.
///
/// # Errors
/// Settings that name no store.
pub fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Archive> {
    let set = &config.archive;
    let folder = format!("file://{}", config.store_folder().display());
    let url = if set.url.is_empty() { &folder } else { &set.url };
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let variables = config::store_variables();
    let environment = Environment {
        endpoint: some(&set.endpoint),
        region: some(&set.region),
        path_style: some(&set.addressing).map(|a| a == "path"),
        profile: some(&set.profile),
        kms_key: some(&set.kms_key),
        home: variables.get("HOME").map(Into::into),
        variables,
    };
    let store = Store::open(url, &environment, Arc::clone(clock));
    let store = store.context("the store of recordings cannot be opened; correct [archive]")?;
    let spool = (!store.is_local()).then(|| config.server.data_dir.join(SPOOL));
    Ok(Archive::new(store, spool, set.spool_bytes))
}

/// How long recordings are kept.
pub fn policy(config: &Config) -> Policy {
    let set = &config.archive;
    let is_local = set.url.is_empty() || set.url.starts_with("file://");
    let bytes = match set.keep_bytes {
        0 if is_local => half_of_disk(&config.store_folder()),
        0 => None,
        bytes => Some(bytes),
    };
    let age = (set.keep_days > 0).then(|| Duration::from_secs(u64::from(set.keep_days) * 86_400));
    Policy { age, bytes, ..Policy::default() }
}

fn half_of_disk(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_blocks.saturating_mul(disk.f_frsize) / 2)
}

/// Tries the store, puts what the last process left, and deletes what is to go, until the server stops.
pub async fn keep(archive: Archive, policy: Policy, mut stopping: watch::Receiver<bool>) {
    let work = async {
        if let Err(error) = archive.store().probe().await {
            tracing::warn!(store = archive.store().location(), %error, "recordings cannot be stored now; live goes on");
        }
        archive.put_left().await;
        loop {
            archive.sweep(&policy).await;
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    };
    tokio::select! {
        () = work => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

/// What answers under `/live/` and `/vod/`.
pub fn media(origin: Arc<Origin>, archive: &Archive) -> Arc<dyn Delivery> {
    Arc::new(Both { live: origin, vod: VodDelivery::new(archive.store().clone()) })
}

struct Both {
    live: Arc<Origin>,
    vod: VodDelivery,
}

impl Delivery for Both {
    fn answer(&self, request: &Request<()>, peer: SocketAddr) -> Answer {
        if request.uri().path().starts_with("/vod/") {
            self.vod.answer(request, peer)
        } else {
            self.live.answer(request, peer)
        }
    }
}
