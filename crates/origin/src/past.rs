//! What has left the windows: the seam to whatever keeps it, and its answers, made once for all who ask.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use millstream_delivery::body::Body;
use millstream_delivery::carry;
use millstream_delivery::respond::{self, CacheLife, Entity};
use millstream_delivery::shift::Shift;
use millstream_media::time::{Clock, MonoTime};
use millstream_media::track::RenditionName;
use tokio::sync::OnceCell;

use crate::channel::{ChannelOrigin, DASH_TYPE, HLS_TYPE, Manifest, content_tag};

/// Most lists that are kept.
const MAX_LISTS: usize = 256;
/// Most bytes of lists that are kept, compressed ones included.
const MAX_BYTES: usize = 64 << 20;
const JSON_TYPE: &str = "application/json";

/// What comes from elsewhere, later.
pub type Later<T> = Pin<Box<dyn Future<Output = Result<T, Gone>> + Send>>;

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// 404.
    NotThere(&'static str),
    /// 400.
    Refused(&'static str),
    /// 503.
    Away(&'static str),
}

/// A media file.
#[derive(Clone, Debug)]
pub struct File {
    /// All of it: the bytes that were served live.
    pub bytes: Bytes,
    /// What it is.
    pub content_type: &'static str,
}

/// Keeps what the windows no longer have.
pub trait Past: Send + Sync + 'static {
    /// A segment under its live name.
    fn segment(&self, name: &str, channel: &Arc<ChannelOrigin>, rendition: RenditionName, number: u64) -> Later<File>;

    /// An init segment of this version.
    fn init(&self, name: &str, channel: &Arc<ChannelOrigin>, rendition: RenditionName, version: &str) -> Later<File>;

    /// A sheet of the storyboard under its live name.
    fn sheet(&self, name: &str, channel: &Arc<ChannelOrigin>, number: i64) -> Later<File>;

    /// The text of a manifest of another time.
    fn manifest(&self, name: &str, channel: &Arc<ChannelOrigin>, manifest: Manifest, shift: Shift) -> Later<String>;
}

/// The lists of other times, each made once for as long as its channel does not change.
#[derive(Default)]
pub(crate) struct Shifted {
    lists: Mutex<HashMap<Key, Kept>>,
}

type Key = (String, Manifest, Shift);

#[derive(Clone)]
struct Kept {
    version: u64,
    made: MonoTime,
    slot: Arc<OnceCell<Entity>>,
}

impl Shifted {
    /// Answers a request for a manifest of another time.
    #[allow(clippy::too_many_arguments, reason = "all of a request, and where it goes")]
    pub(crate) async fn answer(
        self: Arc<Self>,
        past: Arc<dyn Past>,
        clock: Arc<dyn Clock>,
        name: String,
        channel: Arc<ChannelOrigin>,
        manifest: Manifest,
        shift: Shift,
        method: Method,
        headers: HeaderMap,
    ) -> Response<Body> {
        let target = channel.target_duration();
        let version = channel.with_window(|window| window.segments_version());
        let now = clock.mono();
        let life = Duration::from_secs(u64::from(target.max(1)));
        let key = (name, manifest, shift);
        let slot = {
            let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
            match lists.get(&key).filter(|kept| kept.version == version && now.since(kept.made) < life) {
                Some(kept) => Arc::clone(&kept.slot),
                None => {
                    let held: usize = lists.values().filter_map(|kept| kept.slot.get()).map(bytes_of).sum();
                    if lists.len() >= MAX_LISTS || held > MAX_BYTES {
                        lists.retain(|_, kept| now.since(kept.made) < life);
                    }
                    if lists.len() >= MAX_LISTS || held > MAX_BYTES {
                        lists.clear();
                    }
                    let kept = Kept { version, made: now, slot: Arc::default() };
                    lists.insert(key.clone(), kept.clone());
                    kept.slot
                }
            }
        };
        let (name, manifest, _) = key;
        let content_type = match manifest {
            Manifest::Mpd => DASH_TYPE,
            Manifest::Reach => JSON_TYPE,
            _ => HLS_TYPE,
        };
        let is_multivariant = manifest == Manifest::Multivariant;
        let made = slot.get_or_try_init(|| async move {
            let text = past.manifest(&name, &channel, manifest, shift).await?;
            let text = match shift.canonical_query().filter(|_| is_multivariant) {
                Some(query) => carry::playlist(&text, &query),
                None => text,
            };
            let gzip = respond::gzip(text.as_bytes());
            let identity = Bytes::from(text);
            let etag = content_tag(std::slice::from_ref(&identity));
            let cache = CacheLife::Seconds((target / 2).max(1));
            Ok(Entity { pieces: vec![identity], gzip: Some(gzip), etag, content_type, cache })
        });
        match made.await {
            Ok(entity) => respond::entity(&method, &headers, entity),
            Err(gone) => refuse(gone),
        }
    }
}

fn bytes_of(entity: &Entity) -> usize {
    entity.pieces.iter().map(Bytes::len).sum::<usize>() + entity.gzip.as_ref().map_or(0, Bytes::len)
}

/// The answer to a request for a media file that the window no longer has.
pub(crate) async fn media(file: Later<File>, method: Method, headers: HeaderMap) -> Response<Body> {
    match file.await {
        Ok(File { bytes, content_type }) => {
            let pieces = vec![bytes];
            let etag = content_tag(&pieces);
            let entity = Entity { pieces, gzip: None, etag, content_type, cache: CacheLife::Immutable };
            respond::entity(&method, &headers, &entity)
        }
        Err(gone) => refuse(gone),
    }
}

fn refuse(gone: Gone) -> Response<Body> {
    match gone {
        Gone::NotThere(text) => respond::not_found(text),
        Gone::Refused(text) => respond::plain(StatusCode::BAD_REQUEST, text, CacheLife::Seconds(10)),
        Gone::Away(text) => respond::unavailable(text),
    }
}
