//! One channel at the origin: its window, and its manifests rendered once per change and shared by all who ask.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use millstream_delivery::respond::{self, CacheLife, Entity};
use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::track::RenditionName;
use millstream_package::hls::Form;
use millstream_package::{dash, hls};
use millstream_window::{Timing, Window};
use tokio::sync::watch;

use crate::pictures::Pictures;
use crate::viewers::Viewers;
use crate::waits::{Place, Waits, Want};

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
    /// HLS media playlist of a rendition, or an update of it.
    Media(RenditionName, Form),
    /// HLS I-frame playlist of a rendition, or an update of it.
    IFrames(RenditionName, Form),
    /// DASH MPD.
    Mpd,
    /// How far back the list of another time reaches, as JSON. A window by itself has none.
    Reach,
}

/// What viewers' pages may know of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PublicStatus {
    /// The document of `status.json`, ready to send.
    pub json: Bytes,
}

struct Rendered {
    /// The window's version of whole segments for which the tags were looked through last.
    segments_version: u64,
    manifests: HashMap<Manifest, Page>,
    /// Hashes of whole segments, made when first asked for: their entity tags. At most [`MAX_TAGS`].
    tags: HashMap<(RenditionName, u64), HeaderValue>,
}

/// A manifest as it was rendered last.
struct Page {
    version: u64,
    entity: Entity,
    /// Compressed, once somebody has asked for that.
    is_compressed: bool,
}

/// Manifests that may be remembered; where that is not enough, all are forgotten and rendered anew when asked for.
const MAX_PAGES: usize = 512;

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
    /// Blocked reloads and held parts.
    waits: Arc<Waits>,
    /// Bodies of segments in the making, apart from those: neither can crowd out the other.
    bodies: Arc<Waits>,
    status: RwLock<PublicStatus>,
    /// Newest media older than this makes manifests answer 503.
    stale_after: RwLock<Duration>,
    /// How far back viewers may go.
    dvr: RwLock<Duration>,
    /// Who watches.
    pub viewers: Viewers,
    /// Poster and storyboard.
    pub pictures: Pictures,
}

/// What a blocking reload is answered with.
pub enum Reload {
    /// The playlist as it is, as if nothing had been asked: there is nothing to wait for.
    Plain,
    /// The playlist as it is: what was asked for has just been listed.
    Listed,
    /// 400.
    TooFar,
    /// 503: too many wait.
    Full,
    /// The playlist, once what was asked for is listed.
    Wait(Wait),
}

/// What the request for a part is answered with.
pub enum Hinted {
    /// The part: it is there.
    Made,
    /// 404.
    Unknown,
    /// 503: too many wait.
    Full,
    /// The part, or 404, once that is decided.
    Wait(Wait),
}

/// What came of a look into the window.
pub(crate) enum Look<R> {
    /// This was there.
    Found(R),
    /// It is still to come.
    Wait(Place),
    /// It is still to come, and too many wait for the like.
    Full,
}

/// A wait, bounded.
pub struct Wait {
    place: Place,
    patience: Duration,
}

impl Wait {
    /// Waits; `false` if nothing happened for three target durations.
    pub async fn over(&self) -> bool {
        tokio::time::timeout(self.patience, self.place.passed()).await.is_ok()
    }
}

/// Parts ahead of the newest one that may be asked for: the Advance Part Limit (STANDARDS 1.41).
fn part_limit(part_target: Duration) -> u32 {
    let ms = u32::try_from(part_target.as_millis()).unwrap_or(u32::MAX).max(1);
    if ms >= 1000 { 3 } else { 3000_u32.div_ceil(ms) }
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
            rendered: Mutex::new(Rendered { segments_version: 0, manifests: HashMap::new(), tags: HashMap::new() }),
            version,
            waits: Arc::default(),
            bodies: Arc::default(),
            status: RwLock::new(PublicStatus::default()),
            stale_after: RwLock::new(stale_after),
            dvr: RwLock::default(),
            viewers: Viewers::new(Duration::from_secs(8)),
            pictures: Pictures::default(),
        }
    }

    /// Changes or reads the window; who waits for a change is told of it.
    pub fn with_window<R>(&self, f: impl FnOnce(&mut Window) -> R) -> R {
        let mut media = lock(&self.media);
        let before = (media.window.version(), media.window.segments_version());
        let result = f(&mut media.window);
        let version = media.window.version();
        if media.window.segments_version() != before.1 {
            media.note_kinds();
        }
        if version != before.0 {
            for waits in [&self.waits, &self.bodies] {
                if !waits.is_empty() {
                    waits.open(|rendition| media.window.progress(rendition));
                }
            }
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

    /// Sets how far back viewers may go; zero at first.
    pub fn set_dvr(&self, depth: Duration) {
        *self.dvr.write().unwrap_or_else(PoisonError::into_inner) = depth;
    }

    /// How far back viewers may go.
    pub fn dvr(&self) -> Duration {
        *self.dvr.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the newest media is too old to be called live.
    pub fn is_stale_at(&self, now: UtcTime) -> bool {
        let stale_after = *self.stale_after.read().unwrap_or_else(PoisonError::into_inner);
        let media = lock(&self.media);
        media.window.newest().is_some_and(|newest| !media.window.is_ended() && now.since(newest.end) > stale_after)
    }

    /// The channel's public status.
    pub fn status(&self) -> PublicStatus {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A manifest as it is now: rendered at the window's last change that concerns it, and compressed if that is wanted,
    /// once for all who ask.
    ///
    /// # Errors
    /// [`Missing`] says why there is none.
    pub fn manifest_at(
        &self,
        manifest: &Manifest,
        gzip: bool,
        now: UtcTime,
        mono: MonoTime,
    ) -> Result<Entity, Missing> {
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
        if rendered.segments_version != window.segments_version() {
            rendered.segments_version = window.segments_version();
            rendered.tags.retain(|(rendition, number), _| window.segment(rendition, *number).is_some());
        }
        let version = match manifest {
            Manifest::Media(..) => window.version(),
            _ => window.segments_version(),
        };
        if rendered.manifests.get(manifest).is_none_or(|page| page.version != version) {
            // The channel has both of these; while they cannot be written it is not live for those who ask.
            let none = match manifest {
                Manifest::Multivariant if !hls::is_offered(window) => Missing::Unknown,
                Manifest::Multivariant | Manifest::Mpd => Missing::NotLive,
                _ => Missing::Unknown,
            };
            let entity = render(window, manifest).ok_or(none)?;
            if rendered.manifests.len() >= MAX_PAGES {
                rendered.manifests.clear();
            }
            rendered.manifests.insert(manifest.clone(), Page { version, entity, is_compressed: false });
        }
        let page = rendered.manifests.get_mut(manifest).ok_or(Missing::Unknown)?;
        if gzip && !page.is_compressed {
            page.entity.gzip = Some(page.entity.pieces.first().map(|text| respond::gzip(text)).unwrap_or_default());
            page.is_compressed = true;
        }
        Ok(page.entity.clone())
    }

    /// What a blocking reload is answered with at this moment (STANDARDS 1.40, 1.41).
    pub fn reload(&self, rendition: &RenditionName, msn: u64, part: Option<u32>) -> Reload {
        let media = lock(&self.media);
        let window = &media.window;
        let Some((timing, progress)) = window.timing().zip(window.progress(rendition)) else { return Reload::Plain };
        let Some(part_target) = timing.part_target().filter(|_| !progress.ended) else { return Reload::Plain };
        if progress.last_whole.is_none() {
            return Reload::Plain;
        }
        if progress.has(msn, part) {
            return if msn >= progress.next.saturating_sub(1) { Reload::Listed } else { Reload::Plain };
        }
        if progress.is_too_far(msn, part, part_limit(part_target)) {
            return Reload::TooFar;
        }
        self.wait(rendition, Want { msn, part, exactly: false }, &timing).map_or(Reload::Full, Reload::Wait)
    }

    /// A wait for a part that a list hints at and that is not there yet (STANDARDS 1.43, 1.45).
    pub fn hinted(&self, rendition: &RenditionName, number: u64, part: u32) -> Hinted {
        let media = lock(&self.media);
        let window = &media.window;
        if window.part(rendition, number, part).is_some() {
            return Hinted::Made;
        }
        let Some((timing, progress)) = window.timing().zip(window.progress(rendition)) else { return Hinted::Unknown };
        let is_next = (progress.next, progress.parts) == (number, part);
        if progress.ended || timing.part_target().is_none() || progress.last_whole.is_none() || !is_next {
            return Hinted::Unknown;
        }
        let want = Want { msn: number, part: Some(part), exactly: true };
        self.wait(rendition, want, &timing).map_or(Hinted::Full, Hinted::Wait)
    }

    /// What `look` finds in the window, or a place to wait for a chunk of a segment in the making: nothing that comes
    /// after the look is missed.
    pub(crate) fn look_or_wait<R>(
        &self,
        rendition: &RenditionName,
        number: u64,
        chunk: u32,
        look: impl FnOnce(&Window) -> Option<R>,
    ) -> Look<R> {
        let media = lock(&self.media);
        if let Some(found) = look(&media.window) {
            return Look::Found(found);
        }
        let want = Want { msn: number, part: Some(chunk), exactly: true };
        self.bodies.join(rendition, want).map_or(Look::Full, Look::Wait)
    }

    fn wait(&self, rendition: &RenditionName, want: Want, timing: &Timing) -> Option<Wait> {
        // STANDARDS 1.41: who is blocked for three target durations is told so.
        let patience = Duration::from_secs(3 * u64::from(timing.target_duration()));
        self.waits.join(rendition, want).map(|place| Wait { place, patience })
    }

    /// `EXT-X-TARGETDURATION` of the present list in seconds, or 1.
    pub fn target_duration(&self) -> u32 {
        lock(&self.media).window.timing().map_or(1, |timing| timing.target_duration())
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
        Manifest::Media(rendition, form) => (hls::media(window, rendition, *form)?, HLS_TYPE),
        Manifest::IFrames(rendition, form) => (hls::iframes(window, rendition, *form)?, HLS_TYPE),
        Manifest::Mpd => (dash::mpd(window, &dash::MpdOptions { time_url: TIME_URL })?, DASH_TYPE),
        Manifest::Reach => return None,
    };
    let identity = Bytes::from(text);
    // STANDARDS 1.48: half a target duration for what changes with each segment, a second for what changes with each part.
    let is_media = matches!(manifest, Manifest::Media(..) | Manifest::IFrames(..));
    let has_parts = window.timing().is_some_and(|timing| timing.part_target().is_some());
    let cache = CacheLife::Seconds(if is_media && has_parts { 1 } else { (target / 2).max(1) });
    let etag = content_tag(std::slice::from_ref(&identity));
    Some(Entity { pieces: vec![identity], gzip: Some(Bytes::new()), etag, content_type, cache })
}

/// A tag that follows from the bytes alone, so that two origins with the same bytes give the same tag.
pub(crate) fn content_tag(pieces: &[Bytes]) -> HeaderValue {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for piece in pieces {
        hasher.update(piece);
    }
    HeaderValue::from_str(&format!("{:016x}", hasher.digest())).unwrap_or_else(|_| HeaderValue::from_static("0"))
}
