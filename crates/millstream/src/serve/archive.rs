//! The archive at the start: its store opened and tried, `/vod/` answered from it, old recordings deleted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{HeaderValue, Method, Request, StatusCode, header};
use millstream_archive::delivery::VodDelivery;
use millstream_archive::ended::EndedChannels;
use millstream_archive::retention::Policy;
use millstream_archive::rewind::reel::Tail;
use millstream_archive::rewind::{self, List, Rewind};
use millstream_archive::store::{Environment, Store};
use millstream_control::channel::ChannelName;
use millstream_delivery::answer::{Answer, Delivery, Peer};
use millstream_delivery::body::Body;
use millstream_delivery::respond::{self, CacheLife};
use millstream_delivery::shift::Shift;
use millstream_media::time::Clock;
use millstream_media::track::RenditionName;
use millstream_origin::channel::{ChannelOrigin, Manifest, TIME_URL};
use millstream_origin::origin::Origin;
use millstream_origin::past::{self, Gone, Later, Past};
use millstream_package::hls::Form;
use millstream_telemetry::RequestKind;
use tokio::sync::watch;

use crate::channel::archive::{Archive, SWEEP_EVERY};
use crate::config::{self, Config};

/// Folder in the data folder where finished segments wait for a store in the cloud.
const SPOOL: &str = "spool";
/// How long others may keep the answer that a channel is gone: it may come back.
const GONE_SECONDS: u32 = 10;

/// Opens the store of recordings.
///
/// # Errors
/// Settings that name no store.
pub fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Archive> {
    let set = &config.archive;
    let folder = format!("file://{}", config.store_folder().display());
    let url = if set.url.is_empty() { &folder } else { &set.url };
    let environment = environment(config);
    let store = Store::open(url, &environment, Arc::clone(clock));
    let store = store.context("the store of recordings cannot be opened; correct [archive]")?;
    let spool = (!store.is_local()).then(|| config.server.data_dir.join(SPOOL));
    Ok(Archive::new(store, spool, set.spool_bytes, kept(config)))
}

/// What stores in the cloud are to know, and who signs for Amazon.
pub fn environment(config: &Config) -> Environment {
    let set = &config.archive;
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let variables = config::store_variables();
    Environment {
        endpoint: some(&set.endpoint),
        region: some(&set.region),
        path_style: some(&set.addressing).map(|a| a == "path"),
        profile: some(&set.profile),
        kms_key: some(&set.kms_key),
        home: variables.get("HOME").map(Into::into),
        variables,
    }
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
    Policy { age: kept(config), bytes, ..Policy::default() }
}

/// The same by age alone.
fn kept(config: &Config) -> Option<Duration> {
    let days = config.archive.keep_days;
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
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
pub fn media(origin: &Origin, archive: &Archive) -> Arc<dyn Delivery> {
    let vod = VodDelivery::new(archive.store().clone());
    let ended = EndedChannels::new(archive.store().clone());
    let rewind = Rewind::new(archive.store().clone(), archive.running().clone(), vod.clone());
    Arc::new(Both { live: origin.clone().with_past(Arc::new(Rewound(rewind))), vod, ended })
}

struct Both {
    live: Origin,
    vod: VodDelivery,
    ended: EndedChannels,
}

impl Both {
    /// The answer for a channel that is not there, or not any more.
    fn gone(&self, request: &Request<()>) -> Option<Answer> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let (name, _) = request.uri().path().strip_prefix("/live/").filter(|_| is_read)?.split_once('/')?;
        let name = ChannelName::new(name).ok()?;
        if self.live.channel(name.as_str()).is_some() {
            return None;
        }
        let ended = self.ended.clone();
        Some(Answer::later(RequestKind::Other, async move {
            let Some(asset) = ended.newest(name.as_str()).await else { return respond::not_found("no such channel\n") };
            let mut response = respond::plain(StatusCode::GONE, "", CacheLife::Seconds(GONE_SECONDS));
            let text = format!("the channel is gone; its newest recording is /vod/{asset}/index.m3u8\n");
            *response.body_mut() = Body::full(text);
            if let Ok(link) = HeaderValue::from_str(&format!("</vod/{asset}/index.m3u8>; rel=\"alternate\"")) {
                response.headers_mut().insert(header::LINK, link);
            }
            response
        }))
    }
}

impl Delivery for Both {
    fn answer(&self, request: &Request<()>, peer: Peer) -> Answer {
        if request.uri().path().starts_with("/vod/") {
            self.vod.answer(request, peer)
        } else {
            self.gone(request).unwrap_or_else(|| self.live.answer(request, peer))
        }
    }
}

/// What has left the windows, from the archive.
struct Rewound(Rewind);

impl Past for Rewound {
    fn segment(
        &self,
        name: &str,
        channel: &Arc<ChannelOrigin>,
        rendition: RenditionName,
        number: u64,
    ) -> Later<past::File> {
        let (rewind, of) = (self.0.clone(), look(name, channel, false));
        Box::pin(async move { rewind.segment(&of, &rendition, number).await.map(file).map_err(gone) })
    }

    fn init(
        &self,
        name: &str,
        channel: &Arc<ChannelOrigin>,
        rendition: RenditionName,
        version: &str,
    ) -> Later<past::File> {
        let (rewind, of, version) = (self.0.clone(), look(name, channel, false), version.to_owned());
        Box::pin(async move { rewind.init(&of, &rendition, &version).await.map(file).map_err(gone) })
    }

    fn sheet(&self, name: &str, channel: &Arc<ChannelOrigin>, number: i64) -> Later<past::File> {
        let (rewind, of) = (self.0.clone(), look(name, channel, false));
        Box::pin(async move {
            let bytes = rewind.sheet(&of, number).await.map_err(gone)?;
            Ok(past::File { bytes, content_type: "image/jpeg" })
        })
    }

    fn manifest(&self, name: &str, channel: &Arc<ChannelOrigin>, manifest: Manifest, shift: Shift) -> Later<String> {
        let (rewind, of) = (self.0.clone(), look(name, channel, true));
        let list = match manifest {
            Manifest::Multivariant => List::Multivariant,
            Manifest::Media(rendition, form) => List::Media(rendition, form == Form::Delta),
            Manifest::IFrames(rendition, form) => List::IFrames(rendition, form == Form::Delta),
            Manifest::Mpd => List::Mpd,
            Manifest::Reach => List::Reach,
        };
        Box::pin(async move { rewind.list(&of, &list, &shift, TIME_URL).await.map_err(gone) })
    }
}

fn look(name: &str, channel: &ChannelOrigin, with_tail: bool) -> rewind::Channel {
    channel.with_window(|window| rewind::Channel {
        name: name.to_owned(),
        dvr: channel.dvr(),
        list: window.timing().map_or(window.config().list_duration, |timing| window.config().list_length(&timing)),
        tail: Tail::of(window).filter(|_| with_tail),
    })
}

fn file(file: rewind::File) -> past::File {
    past::File { bytes: file.bytes, content_type: if file.audio { "audio/mp4" } else { "video/mp4" } }
}

fn gone(failed: rewind::Failed) -> Gone {
    match failed {
        rewind::Failed::NotThere(text) => Gone::NotThere(text),
        rewind::Failed::Refused(text) => Gone::Refused(text),
        rewind::Failed::Away => Gone::Away("the store does not answer; try again\n"),
        rewind::Failed::NotLive => Gone::Away("the channel is not live\n"),
    }
}
