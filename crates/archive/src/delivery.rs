//! Answers requests under `/vod/` with what the store has, through a small cache: what is asked for by many is read
//! once.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use millstream_delivery::answer::{Answer, Delivery, Peer};
use millstream_delivery::body::Body;
use millstream_delivery::respond::{self, CacheLife, Entity};
use millstream_media::storyboard;
use millstream_media::time::MonoTime;
use millstream_media::track::RenditionName;
use millstream_telemetry::RequestKind;
use object_store::path::Path;
use tokio::sync::{OnceCell, Semaphore};

use crate::asset::{AssetId, State};
use crate::documents;
use crate::download::{self, Downloads};
use crate::layout;
use crate::sent::{self, How, Sent};
use crate::store::{Media, Store, StoreError};

/// Most bytes of objects in the cache.
pub const CACHE_BYTES: u64 = 64 << 20;
/// Most objects in the cache.
const CACHE_OBJECTS: usize = 4096;
/// Objects that are read from the store at once; each has at most [`crate::store::MAX_DOCUMENT_BYTES`].
const READS: usize = 16;
/// How long a playlist or an MPD is taken from the cache: they change while the recording goes on.
const FRESH: Duration = Duration::from_secs(1);
/// Cache life of playlists and MPDs for others, in seconds.
const MANIFEST_SECONDS: u32 = 2;

/// An object that was read.
#[derive(Clone, Debug)]
struct Object {
    bytes: Bytes,
    /// Of text.
    gzip: Option<Bytes>,
    etag: HeaderValue,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It was never there, or is gone for long.
    NotThere,
    /// Its asset was deleted.
    Gone,
    /// It is too large to be kept: it is read in pieces while it is sent.
    Large {
        /// In bytes.
        bytes: u64,
        /// Hash of what the store knows its content by.
        tag: u64,
    },
    /// The store failed.
    Failed,
}

type Slot = Arc<OnceCell<Object>>;

#[derive(Default)]
struct Cache {
    slots: HashMap<Path, (Slot, MonoTime)>,
    /// Objects with their sizes, the oldest first.
    order: VecDeque<(Path, u64)>,
    bytes: u64,
}

/// What `/vod/` is answered by. Clones share the cache.
#[derive(Clone)]
pub struct VodDelivery {
    store: Store,
    cache: Arc<Mutex<Cache>>,
    reads: Arc<Semaphore>,
    downloads: Downloads,
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    asset: AssetId,
    path: Path,
    kind: RequestKind,
}

impl VodDelivery {
    /// Answers from this store.
    pub fn new(store: Store) -> Self {
        let downloads = Downloads::new(store.clone());
        VodDelivery { store, cache: Arc::default(), reads: Arc::new(Semaphore::new(READS)), downloads }
    }

    async fn respond(self, named: Named, method: Method, headers: http::HeaderMap) -> Response<Body> {
        let file = named.path.filename().unwrap_or_default().to_owned();
        let is_media = file.ends_with(".m4s") || file.ends_with(".mp4") || storyboard::sheet_number(&file).is_some();
        match self.object(&named, is_media).await {
            Ok(object) => {
                let cache = if is_media { CacheLife::Immutable } else { CacheLife::Seconds(MANIFEST_SECONDS) };
                let entity = Entity {
                    pieces: vec![object.bytes],
                    gzip: object.gzip,
                    etag: object.etag,
                    content_type: layout::content_type(&file),
                    cache,
                };
                respond::entity(&method, &headers, &entity)
            }
            Err(Missing::Large { bytes, tag }) => {
                let sent = Sent {
                    head: Bytes::new(),
                    objects: vec![(named.path.clone(), 0)],
                    length: bytes,
                    etag: format!("{tag:016x}"),
                };
                let how = How { content_type: layout::content_type(&file), cache: CacheLife::Immutable, name: None };
                sent::respond(&self.store, Arc::new(sent), &method, &headers, &how)
            }
            Err(Missing::NotThere) => respond::not_found("no such asset, or nothing of this name in it\n"),
            Err(Missing::Gone) => {
                respond::plain(StatusCode::GONE, "the asset was deleted\n", CacheLife::Seconds(MANIFEST_SECONDS))
            }
            Err(Missing::Failed) => respond::unavailable("the store does not answer; try again\n"),
        }
    }

    async fn object(&self, named: &Named, is_media: bool) -> Result<Object, Missing> {
        let now = self.store.clock().mono();
        let slot = {
            let mut cache = self.lock();
            let known = cache.slots.get(&named.path);
            match known.filter(|(_, read)| is_media || now.since(*read) < FRESH) {
                Some((slot, _)) => slot.clone(),
                None => {
                    cache.forget(&named.path);
                    let slot = Slot::default();
                    cache.slots.insert(named.path.clone(), (slot.clone(), now));
                    cache.order.push_back((named.path.clone(), 0));
                    cache.trim();
                    slot
                }
            }
        };
        // Those who ask for the same object wait for one read.
        let read = slot.get_or_try_init(|| self.read(named)).await;
        if read.is_err() {
            self.lock().forget_slot(&named.path, &slot);
        }
        read.cloned()
    }

    async fn read(&self, named: &Named) -> Result<Object, Missing> {
        let Ok(_permit) = self.reads.acquire().await else { return Err(Missing::Failed) };
        match self.store.media(&named.path).await {
            Ok(Media::Large { bytes, tag }) => {
                let mut hasher = DefaultHasher::new();
                hasher.write(tag.as_bytes());
                Err(Missing::Large { bytes, tag: hasher.finish() })
            }
            Ok(Media::Whole(bytes)) => {
                // A playlist of a day has megabytes.
                let text = is_text(&named.path).then(|| bytes.clone());
                let gzip = match text.map(|text| tokio::task::spawn_blocking(move || respond::gzip(&text))) {
                    Some(compressing) => compressing.await.ok(),
                    None => None,
                };
                let size = bytes.len() + gzip.as_ref().map_or(0, Bytes::len);
                self.lock().note_size(&named.path, size as u64);
                let mut hasher = DefaultHasher::new();
                hasher.write(&bytes);
                let tag = format!("{:016x}", hasher.finish());
                let etag = HeaderValue::from_str(&tag).unwrap_or_else(|_| HeaderValue::from_static("0"));
                Ok(Object { bytes, gzip, etag })
            }
            Err(StoreError::NotFound { .. }) => match documents::asset(&self.store, &named.asset).await {
                Ok((asset, _)) if asset.state == State::Deleting => Err(Missing::Gone),
                _ => Err(Missing::NotThere),
            },
            Err(error) => {
                tracing::warn!(asset = %named.asset, %error, "an object of an asset cannot be read");
                Err(Missing::Failed)
            }
        }
    }

    /// A media file of an asset, through the cache.
    pub(crate) async fn media(&self, asset: &AssetId, path: Path) -> Result<Bytes, Missing> {
        let named = Named { asset: asset.clone(), path, kind: RequestKind::Segment };
        self.object(&named, true).await.map(|object| object.bytes)
    }

    /// Brings a media file into the cache, unless the store is busy. One that is not there does no harm.
    pub(crate) fn read_ahead(&self, asset: &AssetId, path: Path) {
        if self.reads.available_permits() <= READS / 2 || self.lock().slots.contains_key(&path) {
            return;
        }
        let (vod, asset) = (self.clone(), asset.clone());
        tokio::spawn(async move { vod.media(&asset, path).await });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delivery for VodDelivery {
    fn answer(&self, request: &Request<()>, _peer: Peer) -> Answer {
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Answer::ready(RequestKind::Other, respond::preflight()),
            _ => return Answer::ready(RequestKind::Other, respond::method_not_allowed()),
        }
        if let Some(id) = download_of(request.uri().path()) {
            let (downloads, query) = (self.downloads.clone(), request.uri().query().map(str::to_owned));
            let (method, headers) = (request.method().clone(), request.headers().clone());
            return Answer::later(RequestKind::Other, async move {
                downloads.respond(id, query.as_deref(), method, headers).await
            });
        }
        let Some(named) = parse(request.uri().path()) else {
            return Answer::ready(RequestKind::Other, respond::not_found("no such resource\n"));
        };
        let (method, headers) = (request.method().clone(), request.headers().clone());
        Answer::later(named.kind, self.clone().respond(named, method, headers))
    }
}

impl Cache {
    fn forget(&mut self, path: &Path) {
        if self.slots.remove(path).is_some()
            && let Some(at) = self.order.iter().position(|(p, _)| p == path)
            && let Some((_, size)) = self.order.remove(at)
        {
            self.bytes -= size;
        }
    }

    fn forget_slot(&mut self, path: &Path, slot: &Slot) {
        if self.slots.get(path).is_some_and(|(known, _)| Arc::ptr_eq(known, slot)) {
            self.forget(path);
        }
    }

    fn note_size(&mut self, path: &Path, size: u64) {
        if let Some((_, noted)) = self.order.iter_mut().rev().find(|(p, _)| p == path) {
            self.bytes = self.bytes - *noted + size;
            *noted = size;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.bytes > CACHE_BYTES || self.order.len() > CACHE_OBJECTS {
            let Some((path, size)) = self.order.pop_front() else { break };
            self.bytes -= size;
            self.slots.remove(&path);
        }
    }
}

/// `/vod/ASSET/asset.mp4`.
fn download_of(path: &str) -> Option<AssetId> {
    let (asset, file) = path.strip_prefix("/vod/")?.split_once('/')?;
    AssetId::new(asset).filter(|_| file == download::NAME)
}

/// What is worth compressing.
fn is_text(path: &Path) -> bool {
    let file = path.filename().unwrap_or_default();
    [".m3u8", ".mpd", ".vtt"].iter().any(|suffix| file.ends_with(suffix))
}

/// `/vod/ASSET/FILE` and `/vod/ASSET/RENDITION/FILE`: only what players read. Documents are the API's.
fn parse(path: &str) -> Option<Named> {
    let mut parts = path.strip_prefix("/vod/")?.split('/');
    let asset = AssetId::new(parts.next()?)?;
    let (second, third) = (parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    let (path, kind) = match third {
        None => {
            let kind = match second {
                layout::MULTIVARIANT => RequestKind::Multivariant,
                layout::MPD => RequestKind::Mpd,
                layout::POSTER | layout::SHEETS | layout::TILES => RequestKind::Other,
                _ if storyboard::sheet_number(second).is_some() => RequestKind::Other,
                _ => return None,
            };
            (layout::file(&asset, second), kind)
        }
        Some(file) => {
            let rendition = RenditionName::new(second)?;
            let is_init = file.strip_prefix("init-").and_then(|f| f.strip_suffix(".mp4"));
            let kind = match file {
                layout::MEDIA => RequestKind::Playlist,
                layout::IFRAMES => RequestKind::IframePlaylist,
                _ if layout::segment_number(file).is_some() => RequestKind::Segment,
                _ if is_init.is_some_and(|v| v.len() <= 32 && v.bytes().all(|b| b.is_ascii_alphanumeric())) => {
                    RequestKind::Init
                }
                _ => return None,
            };
            (layout::rendition_file(&asset, &rendition, file), kind)
        }
    };
    Some(Named { asset, path, kind })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::header;
    use std::net::SocketAddr;

    use millstream_delivery::answer::Reply;
    use millstream_media::time::{Clock, UtcTime};
    use object_store::memory::InMemory;

    use super::*;
    use crate::asset::Asset;

    struct Still;
    impl Clock for Still {
        fn utc(&self) -> UtcTime {
            UtcTime::EPOCH
        }
        fn mono(&self) -> MonoTime {
            MonoTime::default()
        }
    }

    fn store() -> Store {
        Store::new(Arc::new(InMemory::new()), Path::default(), "memory://", false, Arc::new(Still))
    }

    async fn ask(vod: &VodDelivery, path: &str, range: Option<&str>) -> Response<Body> {
        let mut request = Request::get(path);
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let answer = vod.answer(&request.body(()).unwrap(), Peer::plain(SocketAddr::from(([127, 0, 0, 1], 1))));
        match answer.reply {
            Reply::Ready(response) => response,
            Reply::Later(later) => later.await,
        }
    }

    #[tokio::test]
    async fn media_has_ranges_tags_and_a_long_life() {
        let store = store();
        store.put(&Path::from("vod/a/720p/7.m4s"), Bytes::from_static(b"0123456789").into()).await.unwrap();
        store.put(&Path::from("vod/a/index.m3u8"), Bytes::from_static(b"#EXTM3U\n").into()).await.unwrap();
        let vod = VodDelivery::new(store);
        let whole = ask(&vod, "/vod/a/720p/7.m4s", None).await;
        assert_eq!((whole.status(), whole.body().len()), (StatusCode::OK, 10));
        assert!(whole.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert_eq!(whole.headers()[header::CONTENT_TYPE], "video/mp4");
        assert_eq!(whole.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let part = ask(&vod, "/vod/a/720p/7.m4s", Some("bytes=2-4")).await;
        assert_eq!((part.status(), part.body().len()), (StatusCode::PARTIAL_CONTENT, 3));
        assert_eq!(part.headers()[header::ETAG], whole.headers()[header::ETAG]);
        let list = ask(&vod, "/vod/a/index.m3u8", None).await;
        assert_eq!(list.headers()[header::CONTENT_TYPE], "application/vnd.apple.mpegurl");
        assert_eq!(list.headers()[header::CACHE_CONTROL], "public, max-age=2");
        // STANDARDS 1.5, CHECK-1e: whoever takes gzip gets it.
        assert_eq!(list.headers()[header::VARY].to_str().unwrap().to_ascii_lowercase(), "accept-encoding");
        let request = Request::get("/vod/a/index.m3u8").header(header::ACCEPT_ENCODING, "gzip").body(()).unwrap();
        let Reply::Later(later) = vod.answer(&request, Peer::plain(SocketAddr::from(([127, 0, 0, 1], 1)))).reply else {
            panic!()
        };
        assert_eq!(later.await.headers()[header::CONTENT_ENCODING], "gzip");
    }

    #[tokio::test]
    async fn what_is_not_there_is_404_and_what_was_deleted_is_410() {
        let store = store();
        let id = AssetId::new("a").unwrap();
        let mut asset = Asset::recording(id.clone(), "demo", UtcTime::EPOCH, 2);
        asset.state = State::Deleting;
        documents::create_asset(&store, &asset).await.unwrap();
        let vod = VodDelivery::new(store.clone());
        assert_eq!(ask(&vod, "/vod/a/index.m3u8", None).await.status(), StatusCode::GONE);
        assert_eq!(ask(&vod, "/vod/b/index.m3u8", None).await.status(), StatusCode::NOT_FOUND);
        // A miss is not kept: what is recorded next is there at once.
        store.put(&Path::from("vod/b/index.m3u8"), Bytes::from_static(b"#EXTM3U\n").into()).await.unwrap();
        assert_eq!(ask(&vod, "/vod/b/index.m3u8", None).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_large_object_is_read_in_pieces_while_it_is_sent() {
        use http_body_util::BodyExt as _;
        let store = store();
        let media: Vec<u8> = (0..33_u32 << 20).map(|i| (i / 7) as u8).collect();
        let path = "/vod/a/720p/7.m4s";
        store.put(&Path::from(&path[1..]), Bytes::from(media.clone()).into()).await.unwrap();
        let vod = VodDelivery::new(store);
        let whole = ask(&vod, path, None).await;
        assert_eq!(
            (whole.status(), &whole.headers()[header::CONTENT_LENGTH]),
            (StatusCode::OK, &HeaderValue::from_static("34603008"))
        );
        assert!(whole.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert_eq!(whole.headers()[header::CONTENT_TYPE], "video/mp4");
        assert_eq!(whole.into_body().collect().await.unwrap().to_bytes(), media);
        let part = ask(&vod, path, Some("bytes=5000000-9999999")).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.into_body().collect().await.unwrap().to_bytes(), media[5_000_000..10_000_000]);
        assert_eq!(vod.lock().bytes, 0, "nothing of it is kept");
    }

    #[tokio::test]
    async fn the_cache_is_bounded() {
        let store = store();
        let media = Bytes::from(vec![0; 8 << 20]);
        for n in 0..10 {
            store.put(&Path::from(format!("vod/a/720p/{n}.m4s")), media.clone().into()).await.unwrap();
        }
        let vod = VodDelivery::new(store);
        for n in 0..10 {
            ask(&vod, &format!("/vod/a/720p/{n}.m4s"), None).await;
        }
        let cache = vod.lock();
        assert_eq!((cache.bytes, cache.slots.len(), cache.order.len()), (CACHE_BYTES, 8, 8));
    }

    #[test]
    fn only_what_players_read_has_a_name() {
        for path in ["/vod/a/index.m3u8", "/vod/a/manifest.mpd", "/vod/a/720p/init-0a.mp4", "/vod/a/720p/iframes.m3u8"]
        {
            assert_eq!(parse(path).map(|n| format!("/{}", n.path)).as_deref(), Some(path));
        }
        for path in [
            "/vod/a/asset.json",
            "/vod/a/index/0.json",
            "/vod/../lock",
            "/vod/a/../b/index.m3u8",
            "/vod/a/720p/007.m4s",
            "/vod/a/720p/1/2.m4s",
            "/vod/a/720p/init-/../x.mp4",
            "/vod/A/index.m3u8",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
