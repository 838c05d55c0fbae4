//! One channel at the origin: its window, and its manifests rendered once per change and shared by all who ask.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use millstream_delivery::respond::{CacheLife, Entity};
use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::track::RenditionName;
use millstream_package::{dash, hls};
use millstream_window::Window;
use tokio::sync::watch;

use crate::viewers::Viewers;

/// Content type of HLS playlists (RFC 8216bis 4).
pub const HLS_TYPE: &str = "application/vnd.apple.mpegurl";
/// Content type of MPDs.
pub const DASH_TYPE: &str = "application/dash+xml";

/// Where players read the server's time: a path of the API on the same host.
pub const TIME_URL: &str = "/api/v1/time";

/// Which manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Manifest {
    /// HLS multivariant playlist.
    Multivariant,
    /// HLS media playlist of a rendition.
    Media(RenditionName),
    /// HLS I-frame playlist of a rendition.
    IFrames(RenditionName),
    /// DASH MPD.
    Mpd,
}

/// What viewers' pages may know of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PublicStatus {
    /// The document of `status.json`, ready to send.
    pub json: Bytes,
}

struct Rendered {
    version: u64,
    manifests: HashMap<Manifest, Entity>,
    /// Hashes of whole segments, made when first asked for: their entity tags. At most [`MAX_TAGS`].
    tags: HashMap<(RenditionName, u64), HeaderValue>,
}

/// Entity tags of segments remembered; where that is not enough, all are forgotten and made anew when asked for.
const MAX_TAGS: usize = 4096;

/// A window, and what its look-up of segments does not tell.
struct Media {
    window: Window,
    /// The renditions that are audio, those of earlier sessions included as long as anything of theirs is held.
    audio: BTreeSet<RenditionName>,
}

impl Media {
    fn content_type(&self, rendition: &RenditionName) -> &'static str {
        if self.audio.contains(rendition) { "audio/mp4" } else { "video/mp4" }
    }

    fn note_kinds(&mut self) {
        let Media { window, audio } = self;
        for track in window.renditions() {
            if track.is_video() {
                audio.remove(&track.name);
            } else if !audio.contains(&track.name) {
                audio.insert(track.name.clone());
            }
        }
        // The init segment goes with the last segment that needs it.
        audio.retain(|name| window.init(name, None).is_some() || window.renditions().any(|track| track.name == *name));
    }
}

/// One channel as the delivery routes see it.
pub struct ChannelOrigin {
    media: Mutex<Media>,
    rendered: Mutex<Rendered>,
    version: watch::Sender<u64>,
    status: RwLock<PublicStatus>,
    /// Newest media older than this makes manifests answer 503.
    stale_after: RwLock<Duration>,
    /// Who watches.
    pub viewers: Viewers,
}

/// Why there is no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing is listed yet, or no longer.
    NotLive,
    /// The newest segment is too old.
    Stale,
    /// No such rendition.
    Unknown,
}

impl ChannelOrigin {
    /// A channel with this window.
    pub fn new(window: Window, stale_after: Duration) -> Self {
        let (version, _) = watch::channel(window.version());
        let mut media = Media { window, audio: BTreeSet::new() };
        media.note_kinds();
        ChannelOrigin {
            media: Mutex::new(media),
            rendered: Mutex::new(Rendered { version: 0, manifests: HashMap::new(), tags: HashMap::new() }),
            version,
            status: RwLock::new(PublicStatus::default()),
            stale_after: RwLock::new(stale_after),
            viewers: Viewers::new(Duration::from_secs(8)),
        }
    }

    /// Changes or reads the window; who waits for a change is told of it.
    pub fn with_window<R>(&self, f: impl FnOnce(&mut Window) -> R) -> R {
        let mut media = lock(&self.media);
        let before = media.window.version();
        let result = f(&mut media.window);
        let version = media.window.version();
        if version != before {
            media.note_kinds();
        }
        drop(media);
        self.version.send_if_modified(|known| {
            let changed = *known != version;
            *known = version;
            changed
        });
        result
    }

    /// The window's version, and a way to wait for its next one.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Sets what `status.json` says.
    pub fn set_status(&self, status: PublicStatus) {
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Sets the age of the newest media at which manifests answer 503.
    pub fn set_stale_after(&self, age: Duration) {
        *self.stale_after.write().unwrap_or_else(PoisonError::into_inner) = age;
    }

    /// The channel's public status.
    pub fn status(&self) -> PublicStatus {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A manifest as it is now: rendered at the window's last change, and compressed, once for all who ask.
    ///
    /// # Errors
    /// [`Missing`] says why there is none.
    pub fn manifest_at(&self, manifest: &Manifest, now: UtcTime, mono: MonoTime) -> Result<Entity, Missing> {
        let stale_after = *self.stale_after.read().unwrap_or_else(PoisonError::into_inner);
        let mut media = lock(&self.media);
        let window = &mut media.window;
        if window.next_change().is_some_and(|due| due <= mono) {
            window.prune_at(mono);
        }
        let newest = window.newest().ok_or(Missing::NotLive)?;
        if !window.is_ended() && now.since(newest.end) > stale_after {
            return Err(Missing::Stale);
        }
        let mut rendered = lock(&self.rendered);
        if rendered.version != window.version() {
            rendered.version = window.version();
            rendered.manifests.clear();
            rendered.tags.retain(|(rendition, number), _| window.segment(rendition, *number).is_some());
        }
        if let Some(entity) = rendered.manifests.get(manifest) {
            return Ok(entity.clone());
        }
        let entity = render(window, manifest).ok_or(Missing::Unknown)?;
        rendered.manifests.insert(manifest.clone(), entity.clone());
        Ok(entity)
    }

    /// A whole segment.
    pub fn segment(&self, rendition: &RenditionName, number: u64) -> Option<Entity> {
        let (pieces, content_type) = {
            let media = lock(&self.media);
            let segment = media.window.segment(rendition, number)?;
            let pieces: Vec<Bytes> = segment.chunks.iter().map(|chunk| chunk.bytes.clone()).collect();
            (pieces, media.content_type(rendition))
        };
        let key = (rendition.clone(), number);
        let known = lock(&self.rendered).tags.get(&key).cloned();
        let etag = known.unwrap_or_else(|| {
            let tag = content_tag(&pieces);
            let tags = &mut lock(&self.rendered).tags;
            if tags.len() >= MAX_TAGS {
                tags.clear();
            }
            tags.insert(key, tag.clone());
            tag
        });
        Some(Entity { pieces, gzip: None, etag, content_type, cache: CacheLife::Immutable })
    }

    /// One part of a segment.
    pub fn part(&self, rendition: &RenditionName, number: u64, part: u32) -> Option<Entity> {
        let media = lock(&self.media);
        let bytes = media.window.part(rendition, number, part)?.bytes.clone();
        let content_type = media.content_type(rendition);
        drop(media);
        let pieces = vec![bytes];
        let etag = content_tag(&pieces);
        Some(Entity { pieces, gzip: None, etag, content_type, cache: CacheLife::Immutable })
    }

    /// An init segment: of a version, or the newest.
    pub fn init(&self, rendition: &RenditionName, version: Option<&str>) -> Option<Entity> {
        let media = lock(&self.media);
        let bytes = media.window.init(rendition, version)?;
        let content_type = media.content_type(rendition);
        drop(media);
        let cache = if version.is_some() { CacheLife::Immutable } else { CacheLife::Seconds(1) };
        let pieces = vec![bytes];
        let etag = content_tag(&pieces);
        Some(Entity { pieces, gzip: None, etag, content_type, cache })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn render(window: &Window, manifest: &Manifest) -> Option<Entity> {
    let target = window.timing()?.target_duration();
    let (text, content_type) = match manifest {
        Manifest::Multivariant => (hls::multivariant(window)?, HLS_TYPE),
        Manifest::Media(rendition) => (hls::media(window, rendition)?, HLS_TYPE),
        Manifest::IFrames(rendition) => (hls::iframes(window, rendition)?, HLS_TYPE),
        Manifest::Mpd => (dash::mpd(window, &dash::MpdOptions { time_url: TIME_URL })?, DASH_TYPE),
    };
    let identity = Bytes::from(text);
    let gzip = compress(&identity);
    // STANDARDS 1.48: half a target duration for what changes with each segment.
    let cache = CacheLife::Seconds((target / 2).max(1));
    let etag = content_tag(std::slice::from_ref(&identity));
    Some(Entity { pieces: vec![identity], gzip: Some(gzip), etag, content_type, cache })
}

fn compress(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4 + 64), Compression::new(5));
    // Writing to memory does not fail.
    let _ = encoder.write_all(text);
    encoder.finish().map(Bytes::from).unwrap_or_default()
}

/// A tag that follows from the bytes alone, so that two origins with the same bytes give the same tag.
fn content_tag(pieces: &[Bytes]) -> HeaderValue {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for piece in pieces {
        hasher.update(piece);
    }
    HeaderValue::from_str(&format!("{:016x}", hasher.digest())).unwrap_or_else(|_| HeaderValue::from_static("0"))
}
