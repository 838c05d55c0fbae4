//! `asset.mp4`: an asset as one progressive file, `moov` first, streamed while it is made.
//!
//! The media data of the file is the stored segments themselves, one after another, their fragment headers included (a
//! hundredth of them, which players pass over), so that any range of the file is a range of stored objects and nothing is
//! kept. What is made is the head: its tables come from the headers of the segments' fragments, read by ranges. An asset
//! that has ended gives the same bytes every time.
//!
//! Bounds: 6,000,000 samples of each track (27 h at 60 frames per second), which are 24 MB of sizes and up to 48 MB of
//! other tables while the head is made; two heads are made at once, and 64 MB of heads are kept.

pub mod moov;
pub mod tables;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, Method, Response, StatusCode};
use millstream_delivery::body::Body;
use millstream_delivery::respond::{self, CacheLife};
use millstream_media::cmaf::read;
use millstream_media::time::{NANOS_PER_SECOND, Timescale, UtcTime};
use millstream_media::track::RenditionName;
use object_store::path::Path;
use tokio::sync::{OnceCell, Semaphore};

use crate::asset::{Asset, AssetId, Kind, State, TrackInfo};
use crate::index::{Row, line_up};
use crate::layout;
use crate::sent::{self, How, Sent};
use crate::store::{Store, StoreError};
use crate::time_shift::{Config, TimeShift};
use tables::{Defaults, Fragment, Tables};

/// File name.
pub const NAME: &str = "asset.mp4";

/// Heads that are made at once.
const AT_ONCE: usize = 2;
/// Segments whose headers are read at once for one head.
const READS: usize = 8;
/// Bytes read to find a fragment's header; longer ones are read once more.
const PROBE: u64 = 4096;
/// A segment of at most so many bytes is read whole rather than in steps.
const SMALL: u32 = 64 * 1024;
/// Longest header of a fragment, in bytes.
const MAX_MOOF: u64 = 1 << 20;
/// Most fragments in a segment.
const MAX_FRAGMENTS: usize = 1024;
/// Most bytes of heads that are kept.
const KEPT_BYTES: usize = 64 << 20;
/// Most heads that are kept, those included that nobody waits for any more before they are made.
const KEPT: usize = 256;
/// A hole of this many nanoseconds or more, at a discontinuity, is left out.
const HOLE_NANOS: i64 = 50_000_000;

/// Why there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refused {
    NotThere(&'static str),
    Gone,
    NotEnded,
    TooLong,
    Mixed,
    Encrypted,
    Failed,
}

/// Which tracks: by name, or the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// A video rendition; the one of the highest bit rate without it.
    pub video: Option<RenditionName>,
    /// An audio rendition; the first one without it.
    pub audio: Option<RenditionName>,
}

impl Wanted {
    /// `?video=NAME&audio=NAME`; `None` for a name that cannot be.
    pub fn parse(query: Option<&str>) -> Option<Self> {
        let mut wanted = Wanted::default();
        for pair in query.unwrap_or_default().split('&') {
            match pair.split_once('=') {
                Some(("video", name)) => wanted.video = Some(RenditionName::new(name)?),
                Some(("audio", name)) => wanted.audio = Some(RenditionName::new(name)?),
                _ => {}
            }
        }
        Some(wanted)
    }
}

/// Makes progressive files. Clones share what they keep.
#[derive(Clone)]
pub struct Downloads {
    inner: Arc<Inner>,
}

type Key = (AssetId, Wanted);
type Slot = Arc<OnceCell<Arc<Sent>>>;

struct Inner {
    store: Store,
    index: TimeShift,
    makers: Semaphore,
    kept: Mutex<HashMap<Key, (Slot, u64)>>,
}

/// A segment that the file has.
#[derive(Clone)]
struct Piece {
    track: usize,
    rendition: RenditionName,
    of: AssetId,
    number: u64,
    bytes: u32,
    init: String,
    init_of: AssetId,
    /// Nanoseconds of holes before it.
    shift: u64,
    /// Where it begins in the media data.
    at: u64,
}

impl Downloads {
    /// Reads from `store`.
    pub fn new(store: Store) -> Self {
        let index = TimeShift::new(store.clone(), Config::default());
        let inner = Inner { store, index, makers: Semaphore::new(AT_ONCE), kept: Mutex::default() };
        Downloads { inner: Arc::new(inner) }
    }

    /// The answer to a GET or HEAD of an asset's file.
    pub async fn respond(
        &self,
        id: AssetId,
        query: Option<&str>,
        method: Method,
        headers: HeaderMap,
    ) -> Response<Body> {
        let Some(wanted) = Wanted::parse(query) else { return respond::not_found("no such rendition\n") };
        match self.plan(&id, &wanted).await {
            Ok(plan) => {
                // An asset's name may come to stand for another one when it is deleted and made again.
                let how =
                    How { content_type: "video/mp4", cache: CacheLife::Seconds(60), name: Some(format!("{id}.mp4")) };
                sent::respond(&self.inner.store, plan, &method, &headers, &how)
            }
            Err(refused) => refuse(&refused),
        }
    }

    async fn plan(&self, id: &AssetId, wanted: &Wanted) -> Result<Arc<Sent>, Refused> {
        // Also of what is kept: it may have been deleted.
        let asset = self.inner.index.asset(id).await.map_err(|e| failed(id, &e))?;
        match asset.state {
            State::Recording => return Err(Refused::NotEnded),
            State::Deleting => return Err(Refused::Gone),
            State::Ended => {}
        }
        // Before anything is kept for it: what can be asked for has no end.
        let tracks = choose(&asset, wanted)?;
        let key = (id.clone(), wanted.clone());
        let slot = {
            let mut kept = self.lock();
            let uses = kept.values().map(|(_, used)| *used).max().unwrap_or(0) + 1;
            let entry = kept.entry(key.clone()).or_insert_with(|| (Slot::default(), uses));
            entry.1 = uses;
            Arc::clone(&entry.0)
        };
        let made = slot.get_or_try_init(|| self.make(&asset, tracks)).await.cloned();
        self.trim(&key, made.is_ok());
        made
    }

    /// Lets the least recently used heads go, but for the one at hand.
    fn trim(&self, key: &Key, keep: bool) {
        let mut kept = self.lock();
        if !keep {
            kept.remove(key);
        }
        loop {
            let bytes: usize = kept.values().filter_map(|(slot, _)| slot.get()).map(|p| p.bytes()).sum();
            let oldest = kept.iter().filter(|(k, _)| *k != key).min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(k, _)| k.clone()).filter(|_| bytes > KEPT_BYTES || kept.len() > KEPT);
            let Some(oldest) = oldest else { break };
            kept.remove(&oldest);
        }
    }

    async fn make(&self, asset: &Arc<Asset>, tracks: Vec<TrackInfo>) -> Result<Arc<Sent>, Refused> {
        let id = &asset.id;
        let _permit = self.inner.makers.acquire().await.map_err(|_| Refused::Failed)?;
        // What `senc` says of each sample has no place in a file without fragments.
        if asset.line_ups.iter().flat_map(|l| &l.tracks).any(|t| t.protection.is_some()) {
            return Err(Refused::Encrypted);
        }
        let rows = self.inner.index.rows(id, UtcTime(0), UtcTime(i64::MAX)).await.map_err(|e| failed(id, &e))?;
        let pieces = pieces(asset, &tracks, &rows);
        if pieces.is_empty() {
            return Err(Refused::NotThere("the asset has no media\n"));
        }
        let mut inits: Vec<Vec<(String, RenditionName, Bytes, Defaults)>> = vec![Vec::new(); tracks.len()];
        let mut scales: Vec<Option<Timescale>> = vec![None; tracks.len()];
        let mut found: Vec<Tables> = vec![Tables::default(); tracks.len()];
        for piece in &pieces {
            let Some(known) = inits.get_mut(piece.track) else { continue };
            if known.iter().any(|(version, name, ..)| *version == piece.init && *name == piece.rendition) {
                continue;
            }
            let path = layout::init(&piece.init_of, &piece.rendition, &piece.init);
            let (bytes, _) = self.inner.store.get(&path).await.map_err(|e| failed(id, &e))?;
            let init = read::init(&bytes).map_err(|_| Refused::Failed)?;
            let scale = scales.get_mut(piece.track).ok_or(Refused::Failed)?;
            if scale.is_some_and(|scale| scale != init.timescale) {
                return Err(Refused::Mixed);
            }
            *scale = Some(init.timescale);
            let read::SampleDefaults { duration, size, flags } = init.defaults;
            known.push((piece.init.clone(), piece.rendition.clone(), bytes, Defaults { duration, size, flags }));
        }
        let mut read = stream::iter(pieces.iter().cloned())
            .map(|piece| {
                let known = inits.get(piece.track).and_then(|of| {
                    of.iter().position(|(version, name, ..)| *version == piece.init && *name == piece.rendition)
                });
                let defaults = known.and_then(|at| inits.get(piece.track)?.get(at)).map(|(.., d)| *d);
                let defaults = defaults.unwrap_or_default();
                async move {
                    let path = layout::segment(&piece.of, &piece.rendition, piece.number);
                    let fragments = self.fragments(&path, piece.bytes, defaults).await?;
                    Ok::<_, StoreError>((piece, known.unwrap_or(0), fragments))
                }
            })
            .buffered(READS);
        while let Some((piece, known, fragments)) = read.try_next().await.map_err(|e| failed(id, &e))? {
            let (Some(tables), Some(Some(scale))) = (found.get_mut(piece.track), scales.get(piece.track)) else {
                continue;
            };
            let shift = UtcTime(i64::try_from(piece.shift).unwrap_or(i64::MAX)).to_ticks(*scale);
            let description = u32::try_from(known).unwrap_or(0) + 1;
            for fragment in fragments {
                tables.add(&fragment, piece.at, shift, description).map_err(|_| Refused::TooLong)?;
            }
        }
        drop(read);
        found.iter_mut().for_each(Tables::finish);
        let media_bytes = pieces.last().map_or(0, |p| p.at + u64::from(p.bytes));
        let described = inits.iter().zip(&scales).zip(&found).filter_map(|((inits, scale), tables)| {
            let inits = inits.iter().map(|(_, _, bytes, _)| bytes.as_ref()).collect();
            Some(moov::Track { timescale: (*scale)?, inits, tables })
        });
        let described: Vec<_> = described.filter(|t| !t.tables.sizes.is_empty()).collect();
        let head = Bytes::from(moov::head(&described, media_bytes).ok_or(Refused::Failed)?);
        let mut hasher = DefaultHasher::new();
        hasher.write(&head);
        let objects = pieces.iter().map(|p| (layout::segment(&p.of, &p.rendition, p.number), p.at)).collect();
        let (length, etag) = (head.len() as u64 + media_bytes, format!("{:016x}", hasher.finish()));
        tracing::info!(asset = %id, bytes = length, head = head.len(), "a progressive file is described");
        Ok(Arc::new(Sent { head, objects, length, etag }))
    }

    /// The fragments of a segment, by their headers alone.
    async fn fragments(&self, path: &Path, bytes: u32, defaults: Defaults) -> Result<Vec<Fragment>, StoreError> {
        let corrupt = || StoreError::Corrupt { path: path.to_string(), reason: "it is no segment".to_owned() };
        let all = u64::from(bytes);
        let step = if bytes <= SMALL { all } else { PROBE };
        let (mut at, mut from, mut buffer) = (0_u64, 0_u64, Bytes::new());
        let mut fragments = Vec::new();
        while at < all && fragments.len() < MAX_FRAGMENTS {
            let behind =
                |buffer: &Bytes, from: u64, length: u64| at >= from && at + length <= from + buffer.len() as u64;
            if !behind(&buffer, from, 16.min(all - at)) {
                buffer = self.inner.store.get_range(path, at..(at + step).min(all)).await?;
                from = at;
            }
            let place =
                |buffer: &Bytes, from: u64| buffer.slice(usize::try_from(at - from).unwrap_or(0).min(buffer.len())..);
            let (size, kind) = tables::header(&place(&buffer, from)).ok_or_else(corrupt)?;
            if kind == *b"moof" {
                if size > MAX_MOOF {
                    return Err(corrupt());
                }
                if !behind(&buffer, from, size) {
                    buffer = self.inner.store.get_range(path, at..(at + size).min(all)).await?;
                    from = at;
                }
                let moof = place(&buffer, from);
                let moof = moof.get(..usize::try_from(size).unwrap_or(0)).ok_or_else(corrupt)?;
                fragments.push(tables::fragment(moof, at, defaults).ok_or_else(corrupt)?);
            }
            at += size;
        }
        Ok(fragments)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, (Slot, u64)>> {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tracks of a file.
fn choose(asset: &Asset, wanted: &Wanted) -> Result<Vec<TrackInfo>, Refused> {
    let mut names: Vec<&TrackInfo> = Vec::new();
    for track in asset.line_ups.iter().rev().flat_map(|l| &l.tracks) {
        if !names.iter().any(|n| n.name == track.name) {
            names.push(track);
        }
    }
    let named = |name: &RenditionName, video: bool| {
        let found = names.iter().find(|t| t.name == *name && t.is_video() == video);
        found.copied().ok_or(Refused::NotThere("the asset has no such rendition\n"))
    };
    let video = match &wanted.video {
        Some(name) => Some(named(name, true)?),
        None => names.iter().copied().filter(|t| t.is_video()).max_by_key(|t| t.bit_rate),
    };
    let audio = match &wanted.audio {
        Some(name) => Some(named(name, false)?),
        None => names.iter().copied().find(|t| !t.is_video()),
    };
    Ok([video, audio].into_iter().flatten().cloned().collect())
}

/// The segments of a file in their order: row by row, video first.
fn pieces(asset: &Asset, tracks: &[TrackInfo], rows: &[Row]) -> Vec<Piece> {
    let (of, least, most) = match &asset.kind {
        Kind::Clip { of, first, last } => (of.clone(), *first, *last),
        _ => (asset.id.clone(), 0, u64::MAX),
    };
    let (mut pieces, mut at, mut shift) = (Vec::new(), 0, 0_u64);
    let mut end: Option<UtcTime> = None;
    for row in rows.iter().filter(|r| (least..=most).contains(&r.number)) {
        let Some(line_up) = line_up(row.number, &asset.line_ups) else { continue };
        let (Some(starts), Some(ends)) = (row.start(line_up), row.end(line_up)) else { continue };
        if let Some(end) = end.filter(|_| row.discontinuity) {
            let hole = starts.nanos_since(end);
            if hole >= HOLE_NANOS.min(NANOS_PER_SECOND) {
                shift += u64::try_from(hole).unwrap_or(0);
            }
        }
        end = Some(ends);
        for (track, info) in tracks.iter().enumerate() {
            let Some((place, source)) = line_up.source(info) else { continue };
            let Some(cell) = row.cells.get(place).copied().flatten() else { continue };
            let rendition = source.name.clone();
            let (number, bytes, init) = (row.number, cell.bytes, line_up.init_version().to_owned());
            let lies = |own: bool| if own { asset.id.clone() } else { of.clone() };
            let (of, init_of) = (lies(line_up.is_own()), lies(line_up.has_own_init()));
            pieces.push(Piece { track, rendition, of, number, bytes, init, init_of, shift, at });
            at += u64::from(bytes);
        }
    }
    pieces
}

fn failed(id: &AssetId, error: &StoreError) -> Refused {
    if matches!(error, StoreError::NotFound { .. }) {
        return Refused::NotThere("no such asset, or a part of it is gone\n");
    }
    tracing::warn!(asset = %id, %error, "a progressive file cannot be made");
    Refused::Failed
}

fn refuse(refused: &Refused) -> Response<Body> {
    let (status, text) = match refused {
        Refused::NotThere(text) => return respond::not_found(text),
        Refused::Failed => return respond::unavailable("the store does not answer; try again\n"),
        Refused::Gone => (StatusCode::GONE, "the asset was deleted\n"),
        Refused::NotEnded => (StatusCode::CONFLICT, "the recording goes on; make a clip of it, or wait for its end\n"),
        Refused::TooLong => (
            StatusCode::CONFLICT,
            "the asset has more than 6000000 frames of a track (27 hours at 60 frames per second); make clips of it\n",
        ),
        Refused::Encrypted => (
            StatusCode::CONFLICT,
            "the asset is encrypted and has no progressive file, which cannot say where its keys are; play index.m3u8 or \
             manifest.mpd\n",
        ),
        Refused::Mixed => {
            (StatusCode::CONFLICT, "the rendition changes its timescale; make a clip of each part, or choose another\n")
        }
    };
    respond::plain(status, text, CacheLife::Seconds(2))
}
