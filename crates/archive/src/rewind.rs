//! Live rewind: what has left a channel's window, under its live names, and lists of any time that is kept.
//!
//! Memory does not grow with the depth: rows come from index pages through the bounded cache of [`TimeShift`], segments
//! through the bounded cache of [`VodDelivery`], and finished lists are kept in a third one.
//!
//! - [`span`]: which time is meant.
//! - [`reel`]: rows of several recordings and of the window, joined.
//! - [`playlist`]: HLS. The MPD is in [`crate::dash`].

pub mod playlist;
pub mod reel;
pub mod span;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use millstream_delivery::shift::Shift;
use millstream_media::cmaf::read;
use millstream_media::storyboard;
use millstream_media::time::{MonoTime, UtcTime};
use millstream_media::track::RenditionName;

use crate::asset::{Asset, AssetId, State};
use crate::catalog;
use crate::dash;
use crate::delivery::{Missing, VodDelivery};
use crate::hls;
use crate::layout;
use crate::running::Running;
use crate::store::{Store, StoreError};
use crate::time_shift::{Config, TimeShift};
use reel::{Reel, Tail};
use span::{Form, Outside, Span};

/// Index pages in memory: three and a half days, about 30 MB with five renditions.
const PAGES: usize = 512;
/// Most time between what a viewer may rewind to and what is still answered: players are late (STANDARDS 2.13).
const GRACE: Duration = Duration::from_secs(120);
/// Longest recording; the start of the one that holds a time is at most so far before that time.
const LONGEST_ASSET: Duration = Duration::from_secs(2 * 24 * 3600);
/// How long the list of a channel's recordings is used without asking the store.
const FRESH: Duration = Duration::from_secs(2);
/// Channels whose recordings are remembered.
const CHANNELS: usize = 256;
/// Segments read ahead for somebody who plays.
const AHEAD: u64 = 2;

/// Which list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// HLS multivariant playlist.
    Multivariant,
    /// HLS media playlist of a rendition; whether an update is enough.
    Media(RenditionName, bool),
    /// HLS I-frame playlist of a rendition; whether an update is enough.
    IFrames(RenditionName, bool),
    /// DASH MPD.
    Mpd,
    /// How far back the list goes: `{"from": TIME, "seconds": DEPTH}`. Its start moves on when the depth is reached.
    Reach,
}

/// What a channel is, for a look into its past.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// `dvr_seconds`.
    pub dvr: Duration,
    /// What its window lists.
    pub tail: Option<Tail>,
    /// Length of its live list.
    pub list: Duration,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// 404.
    NotThere(&'static str),
    /// 400.
    Refused(&'static str),
    /// 503: the store does not answer.
    Away,
    /// 503: nothing is on the air, and nothing else was asked for.
    NotLive,
}

/// A media file from the store.
#[derive(Clone, Debug)]
pub struct File {
    /// All of it.
    pub bytes: Bytes,
    /// Of an audio rendition.
    pub audio: bool,
}

/// Reads a channel's past. Clones are the same.
#[derive(Clone)]
pub struct Rewind {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    running: Running,
    index: TimeShift,
    vod: VodDelivery,
    recordings: Mutex<HashMap<String, Recordings>>,
}

/// The recordings of a channel, as read last, the oldest first.
#[derive(Clone)]
struct Recordings {
    read: MonoTime,
    known: Vec<Chapter>,
    /// There are none before these.
    all: bool,
}

/// A recording, or what of it never changes.
#[derive(Clone, Debug)]
struct Chapter {
    id: AssetId,
    /// Number of its first row.
    first: u64,
    start: UtcTime,
}

impl Rewind {
    /// Reads from `store`, through the cache of `vod`.
    pub fn new(store: Store, running: Running, vod: VodDelivery) -> Self {
        let index = TimeShift::new(store.clone(), Config { pages: PAGES, ..Config::default() });
        Rewind { inner: Arc::new(Inner { store, running, index, vod, recordings: Mutex::default() }) }
    }

    /// A segment that has left the window, and the next ones read ahead.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn segment(&self, channel: &Channel, rendition: &RenditionName, number: u64) -> Result<File, Failed> {
        let horizon = self.horizon(channel).await?;
        let recordings = self.recordings(&channel.name, horizon).await?;
        // Two recordings may overlap by a segment where one follows the other.
        for chapter in recordings.iter().rev().filter(|c| c.first <= number).take(2) {
            let Ok(asset) = self.asset(&chapter.id).await else { continue };
            let track = asset.line_up(number).and_then(|l| l.track(rendition)).map(|(_, track)| track.clone());
            let Some(track) = track.filter(|_| asset.state != State::Deleting) else { continue };
            let path = layout::segment(&chapter.id, rendition, number);
            match self.inner.vod.media(&chapter.id, path).await {
                Ok(bytes) => {
                    let start = first_decode_time(&bytes).map(|ticks| UtcTime::from_ticks(ticks, track.timescale));
                    if start.is_some_and(|start| start < horizon) {
                        return Err(Failed::NotThere(EXPIRED));
                    }
                    self.read_ahead(&chapter.id, rendition, number);
                    return Ok(File { bytes, audio: !track.is_video() });
                }
                Err(Missing::Failed | Missing::Large { .. }) => return Err(Failed::Away),
                Err(Missing::NotThere | Missing::Gone) => {}
            }
        }
        Err(Failed::NotThere(EXPIRED))
    }

    /// An init segment that has left the window.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn init(&self, channel: &Channel, rendition: &RenditionName, version: &str) -> Result<File, Failed> {
        let recordings = self.recordings(&channel.name, self.horizon(channel).await?).await?;
        for chapter in recordings.iter().rev() {
            let Ok(asset) = self.asset(&chapter.id).await else { continue };
            let line_up = asset.line_ups.iter().find(|l| l.init == version && l.track(rendition).is_some());
            let Some((_, track)) = line_up.and_then(|l| l.track(rendition)) else { continue };
            match self.inner.vod.media(&chapter.id, layout::init(&chapter.id, rendition, version)).await {
                Ok(bytes) => return Ok(File { bytes, audio: !track.is_video() }),
                Err(Missing::Failed | Missing::Large { .. }) => return Err(Failed::Away),
                Err(Missing::NotThere | Missing::Gone) => {}
            }
        }
        Err(Failed::NotThere(EXPIRED))
    }

    /// A sheet of the storyboard, of a minute that is over.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn sheet(&self, channel: &Channel, number: i64) -> Result<Bytes, Failed> {
        let (start, end) = (storyboard::sheet_time(number), storyboard::sheet_time(number.saturating_add(1)));
        let horizon = self.horizon(channel).await?;
        if end < horizon {
            return Err(Failed::NotThere(NO_PICTURE));
        }
        let recordings = self.recordings(&channel.name, horizon).await?;
        // A minute in which one recording followed another lies in both.
        for chapter in recordings.iter().rev().filter(|c| c.start < end).take(2) {
            let Ok(asset) = self.asset(&chapter.id).await else { continue };
            if asset.state == State::Deleting {
                continue;
            }
            match self.inner.vod.media(&chapter.id, layout::sheet(&chapter.id, number)).await {
                Ok(bytes) => return Ok(bytes),
                Err(Missing::Failed | Missing::Large { .. }) => return Err(Failed::Away),
                Err(Missing::NotThere | Missing::Gone) => {}
            }
            if chapter.start < start {
                break;
            }
        }
        Err(Failed::NotThere(NO_PICTURE))
    }

    /// A list.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn list(&self, channel: &Channel, list: &List, shift: &Shift, time_url: &str) -> Result<String, Failed> {
        let tail = channel.tail.as_ref();
        let wall = self.inner.store.clock().utc();
        let (now, ended) = match tail {
            Some(tail) if !tail.ended => (tail.end, None),
            Some(tail) => (wall, Some(tail.end)),
            None => (wall, Some(self.end_of(channel, wall).await?)),
        };
        let of = span::Channel { now, ended, dvr: channel.dvr, list: channel.list };
        let span = span::span(shift, &of).map_err(|outside| match outside {
            Outside::TooOld => Failed::NotThere("this is older than the channel's dvr_seconds\n"),
            Outside::NotYet if ended.is_some() => Failed::NotThere(NOTHING),
            Outside::NotYet => Failed::NotThere("this has not been yet\n"),
            Outside::Delay => Failed::Refused("time_delay is more than the channel's dvr_seconds\n"),
        })?;
        let is_mpd = *list == List::Mpd;
        let mut reel = self.reel(channel, &span, is_mpd).await?;
        let target_duration = match (tail, self.target_of(channel, &span).await) {
            (Some(tail), _) if span.form != Form::Final => tail.target_duration,
            (tail, stored) => stored.or(tail.map(|t| t.target_duration)).unwrap_or(1),
        };
        if reel.rows().is_empty() {
            return Err(if span.form == Form::Final && shift.start.is_some() {
                Failed::NotThere(NOTHING)
            } else {
                Failed::NotLive
            });
        }
        let moving = matches!(span.form, Form::Moving(_));
        match list {
            List::Multivariant => {
                let view = hls::View {
                    target_duration,
                    state: State::Recording,
                    line_ups: reel.line_ups(),
                    rows: &[],
                    of: None,
                };
                Ok(hls::multivariant(&view))
            }
            List::Mpd => {
                let how = dash::Shifted {
                    growing: span.form != Form::Final,
                    depth: match span.form {
                        Form::Moving(depth) => Some(depth),
                        Form::Growing | Form::Final => None,
                    },
                    from: span.from,
                    delay: span.delay,
                    target_duration,
                    time_url,
                };
                dash::shifted(reel.line_ups(), reel.rows(), &how).ok_or(Failed::NotLive)
            }
            List::Reach => {
                reel.cut_holes(target_duration);
                let Form::Moving(depth) = span.form else { return Err(Failed::NotLive) };
                let first = reel.rows().first().and_then(|row| reel.times(row));
                let (from, _) = first.ok_or(Failed::NotThere("no rewind\n"))?;
                Ok(serde_json::json!({ "from": from.to_iso8601(), "seconds": depth.as_secs() }).to_string())
            }
            List::Media(name, delta) | List::IFrames(name, delta) => {
                if moving {
                    reel.cut_holes(target_duration);
                }
                let iframes = matches!(list, List::IFrames(..));
                let track = reel.track(name).filter(|t| !iframes || t.is_video());
                let track = track.ok_or(Failed::NotThere("no such rendition\n"))?;
                let (count, first) = tail
                    .map_or((0, 0), |tail| (tail.discontinuity_sequence, tail.rows.first().map_or(0, |r| r.number)));
                let options = playlist::Options {
                    form: span.form,
                    target_duration,
                    discontinuity_sequence: reel.discontinuity_sequence(count, first),
                    iframes,
                    delta: *delta,
                };
                Ok(playlist::media(&reel, track, &options))
            }
        }
    }

    /// The rows of a span. With `whole`, from the start of the recording that holds its start.
    async fn reel(&self, channel: &Channel, span: &Span, whole: bool) -> Result<Reel, Failed> {
        let mut reel = Reel::default();
        let moving = matches!(span.form, Form::Moving(_));
        let target = channel.tail.as_ref().map(|t| t.target_duration);
        let until = span.until.min(self.inner.store.clock().utc() + Duration::from_secs(3600));
        for (chapter, next) in self.chapters(channel, span).await? {
            let Ok(asset) = self.asset(&chapter.id).await else { continue };
            if asset.state == State::Deleting {
                continue;
            }
            // A list's target duration does not change.
            if moving && target.is_some_and(|target| asset.target_duration != target) {
                reel = Reel::default();
                continue;
            }
            let from = if whole && moving { chapter.start } else { span.from };
            let tail = self.inner.running.get(&chapter.id);
            let newer = tail.as_ref().and_then(|t| {
                let first = t.rows.front()?;
                crate::index::line_up(first.number, &t.asset.line_ups).and_then(|l| first.start(l))
            });
            // What the recorder knows need not be read.
            let stored_until = newer.map_or(until, |newer| newer.min(until));
            let rows = if from < stored_until {
                match self.inner.index.rows(&chapter.id, from, stored_until).await {
                    Ok(rows) => rows,
                    Err(StoreError::NotFound { .. }) => Vec::new(),
                    Err(error) => {
                        tracing::warn!(channel = channel.name, %error, "the index of a recording cannot be read");
                        return Err(Failed::Away);
                    }
                }
            } else {
                Vec::new()
            };
            let before_next = |row: &crate::index::Row| next.is_none_or(|next| row.number < next);
            reel.append(rows.into_iter().filter(before_next), &asset.line_ups);
            if let Some(tail) = tail {
                reel.append(tail.rows.into_iter().filter(before_next), &tail.asset.line_ups);
            }
        }
        if let Some(tail) = &channel.tail {
            reel.append(tail.rows.iter().cloned(), &tail.line_ups);
        }
        reel.cut(if whole && moving { UtcTime(0) } else { span.from }, span.until, span.complete);
        Ok(reel)
    }

    /// The recordings of a span, each with the number at which the next one begins.
    async fn chapters(&self, channel: &Channel, span: &Span) -> Result<Vec<(Chapter, Option<u64>)>, Failed> {
        let known = self.recordings(&channel.name, span.from).await?;
        let nexts: Vec<(Option<u64>, UtcTime)> = known.iter().skip(1).map(|c| (Some(c.first), c.start)).collect();
        let nexts = nexts.into_iter().chain([(None, UtcTime(i64::MAX))]);
        let within = |(c, (_, next)): &(Chapter, (Option<u64>, UtcTime))| c.start < span.until && *next > span.from;
        Ok(known.iter().cloned().zip(nexts).filter(within).map(|(c, (first, _))| (c, first)).collect())
    }

    async fn target_of(&self, channel: &Channel, span: &Span) -> Option<u32> {
        let mut longest = None;
        for (chapter, _) in self.chapters(channel, span).await.ok()? {
            longest = longest.max(self.asset(&chapter.id).await.ok().map(|a| a.target_duration));
        }
        longest
    }

    /// A channel's recordings from the one that holds `back_to` on.
    async fn recordings(&self, channel: &str, back_to: UtcTime) -> Result<Vec<Chapter>, Failed> {
        let now = self.inner.store.clock().mono();
        let cached = self.lock().get(channel).cloned();
        let reaches = |r: &Recordings| r.all || r.known.first().is_some_and(|c| c.start <= back_to);
        let known = match cached {
            Some(recordings) if now.since(recordings.read) < FRESH && reaches(&recordings) => {
                return Ok(recordings.known);
            }
            cached => cached.map(|r| r.known).unwrap_or_default(),
        };
        let listed = match catalog::load(&self.inner.store, channel).await {
            Ok(catalog) => catalog.assets,
            Err(error) => {
                tracing::warn!(channel, %error, "the list of recordings cannot be read");
                return Err(Failed::Away);
            }
        };
        let mut found: Vec<Chapter> = Vec::new();
        let mut is_all = true;
        // Those that run here may not be listed yet.
        let running = self.inner.running.assets();
        let unlisted = running.iter().filter(|a| a.channel.as_deref() == Some(channel) && !listed.contains(&a.id));
        for id in unlisted.map(|a| &a.id).chain(listed.iter().rev()) {
            let chapter = match known.iter().find(|c| c.id == *id) {
                Some(chapter) => chapter.clone(),
                None => match self.asset(id).await {
                    Ok(asset) => match (asset.line_ups.first(), asset.start) {
                        (Some(first), Some(start)) => Chapter { id: id.clone(), first: first.first, start },
                        _ => continue,
                    },
                    Err(StoreError::NotFound { .. }) => continue,
                    Err(error) => {
                        tracing::warn!(channel, asset = %id, %error, "a recording cannot be read");
                        return Err(Failed::Away);
                    }
                },
            };
            let is_enough = chapter.start <= back_to - LONGEST_ASSET;
            found.push(chapter);
            if is_enough {
                is_all = false;
                break;
            }
        }
        found.sort_by_key(|c| c.first);
        let mut all = self.lock();
        if all.len() >= CHANNELS && !all.contains_key(channel) {
            all.clear();
        }
        all.insert(channel.to_owned(), Recordings { read: now, known: found.clone(), all: is_all });
        Ok(found)
    }

    async fn asset(&self, id: &AssetId) -> Result<Arc<Asset>, StoreError> {
        match self.inner.running.asset(id) {
            Some(asset) => Ok(Arc::new(asset)),
            None => self.inner.index.asset(id).await,
        }
    }

    /// Media older than this is not answered.
    async fn horizon(&self, channel: &Channel) -> Result<UtcTime, Failed> {
        let newest = self.end_of(channel, self.inner.store.clock().utc()).await?;
        Ok(newest - channel.dvr.max(channel.list) - channel.list - GRACE)
    }

    /// The end of a channel's newest recording, when it has ended; else the time of day.
    async fn end_of(&self, channel: &Channel, wall: UtcTime) -> Result<UtcTime, Failed> {
        for chapter in self.recordings(&channel.name, wall).await?.iter().rev() {
            match self.asset(&chapter.id).await {
                Ok(asset) if asset.state == State::Ended => return Ok(asset.end.unwrap_or(wall).min(wall)),
                Ok(asset) if asset.state == State::Recording => return Ok(wall),
                _ => {}
            }
        }
        Ok(wall)
    }

    fn read_ahead(&self, id: &AssetId, rendition: &RenditionName, number: u64) {
        for next in (1..=AHEAD).filter_map(|i| number.checked_add(i)) {
            self.inner.vod.read_ahead(id, layout::segment(id, rendition, next));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Recordings>> {
        self.inner.recordings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_PICTURE: &str = "no such picture, not yet or no longer\n";
const EXPIRED: &str = "no such segment, or no longer\n";
const NOTHING: &str = "nothing was recorded then\n";

/// `tfdt` of a segment's first fragment, in ticks.
fn first_decode_time(segment: &[u8]) -> Option<u64> {
    let moof = read::boxes(segment).find_map(|b| b.ok().filter(|b| b.kind.0 == *b"moof"))?;
    let traf = moof.children().find_map(|b| b.ok().filter(|b| b.kind.0 == *b"traf"))?;
    let tfdt = traf.children().find_map(|b| b.ok().filter(|b| b.kind.0 == *b"tfdt"))?;
    match tfdt.body.first()? {
        1 => Some(u64::from_be_bytes(tfdt.body.get(4..12)?.try_into().ok()?)),
        _ => Some(u64::from(u32::from_be_bytes(tfdt.body.get(4..8)?.try_into().ok()?))),
    }
}
